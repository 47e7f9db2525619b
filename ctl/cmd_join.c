/* tuttictl pki join: the first certificate of a new server or agent, for a token.
 *
 * Happy path: read the token → make a key here → connect to a server whose CA has the fingerprint
 * in the token (nothing else is trusted yet) → send token, name and certificate request → write
 * NAME.key, NAME.crt and ca.crt. The token comes from a file or standard input, never from the
 * command line, which others can see. Failure: a refused token is not used up; after a lost answer
 * it may be, and a new one is needed. */
#include <stdio.h>
#include <unistd.h>

#include "api/json/json.h"
#include "base/file.h"
#include "base/json.h"
#include "base/version.h"
#include "ctl/output.h"
#include "ctl/pki_files.h"
#include "ctl/session.h"
#include "server/tls/context.h"
#include "server/tls/join_token.h"
#include "server/tls/pki.h"

enum { BODY_SIZE_MAX = 128 << 10, KEY_MODE = 0600, CERT_MODE = 0644, PATH_SIZE = 4096 };

struct joining {
    /* Options: token_file "-" is standard input; hosts NULL: none; out: a directory. */
    const char *server, *token_file, *name, *hosts, *out;
    struct tt_buf token_text;       /* the file as it is; wiped in the end */
    struct tt_join_token token;     /* token_text parsed; wiped in the end */
    struct tt_buf csr_pem, key_pem; /* of the new pair; key_pem is wiped in the end */
};

static int read_token(struct joining *joining, struct tt_err *err)
{
    bool is_stdin = strcmp(joining->token_file, "-") == 0;
    int r = tt_file_read(is_stdin ? "/dev/stdin" : joining->token_file, 4096, &joining->token_text,
                         err);
    if (r == TT_OK) {
        r = tt_join_token_parse(tt_str_trim(tt_buf_view(&joining->token_text)), &joining->token,
                                err);
    }
    return r;
}

static void write_body(const struct joining *joining, struct tt_buf *buf)
{
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_str(&w, "token", tt_str_trim(tt_buf_view(&joining->token_text)));
    tt_json_c(&w, "name", joining->name);
    tt_json_str(&w, "csr", tt_buf_view(&joining->csr_pem));
    if (joining->hosts != NULL) {
        tt_json_c(&w, "hosts", joining->hosts);
    }
    tt_json_object_end(&w);
}

static int send_request(const struct joining *joining, struct tt_api_result *ret,
                        struct tt_err *err)
{
    struct tt_kubeconfig config = {.endpoint_count = 1};
    const struct tt_tls_config tls_config = {.alpn = "h2",
                                             .pinned_ca_sha256 = joining->token.ca_sha256};
    struct tt_tls_context *tls = NULL;
    TT_AUTO(tt_api_blocking) client = NULL;
    TT_AUTO_BUF struct tt_buf body;
    tt_buf_init(&body, BODY_SIZE_MAX);
    write_body(joining, &body);
    int r = tt_endpoint_parse(tt_str_c(joining->server), &config.endpoint[0], err);
    if (r == TT_OK) {
        r = tt_tls_context_new(&tls_config, &tls, err);
    }
    const struct tt_api_client_config client_config = {
        .kubeconfig = &config, .tls = tls, .user_agent = "tuttictl/" TT_VERSION_TEXT};
    if (r == TT_OK) {
        r = tt_api_blocking_new(&client_config, &client, err);
    }
    if (r == TT_OK) {
        r = tt_api_blocking_call(client, "POST", TT_STR("/tutti/v1/join"), tt_buf_view(&body), ret,
                                 err);
    }
    tt_tls_context_unref(tls);
    tt_pki_buf_wipe(&body);
    return r;
}

static int write_file(const struct joining *joining, const char *name, const char *suffix,
                      struct tt_str bytes, struct tt_err *err)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s/%s%s", joining->out, name, suffix);
    if (size < 0 || size >= PATH_SIZE) {
        return TT_FAIL(err, TT_EINVAL, "--out: the path is too long");
    }
    bool is_key = strcmp(suffix, ".key") == 0;
    return tt_file_write_atomic(path, bytes, is_key ? KEY_MODE : CERT_MODE, err);
}

static int keep(const struct joining *joining, struct tt_str answer, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(64 << 10, 4 << 20);
    yyjson_doc *doc = NULL;
    int r = tt_json_read(arena, answer, &doc, err);
    yyjson_val *root = r == TT_OK ? yyjson_doc_get_root(doc) : NULL;
    struct tt_str certificate = tt_json_iget_str(root, "certificate");
    struct tt_str ca = tt_json_iget_str(root, "ca");
    if (r == TT_OK && (certificate.len == 0 || ca.len == 0)) {
        r = TT_FAIL(err, TT_EPROTO, "the answer holds no certificate");
    }
    if (r == TT_OK) {
        r = tt_dir_make(joining->out, 0700, err);
    }
    if (r == TT_OK) {
        r = write_file(joining, joining->name, ".key", tt_buf_view(&joining->key_pem), err);
    }
    if (r == TT_OK) {
        r = write_file(joining, joining->name, ".crt", certificate, err);
    }
    if (r == TT_OK) {
        r = write_file(joining, "ca", ".crt", ca, err);
    }
    return r;
}

static int join(struct joining *joining, struct tt_err *err)
{
    struct tt_api_result result = {.status = 0};
    int r = read_token(joining, err);
    if (r == TT_OK && strcmp(joining->name, "ca") == 0) {
        r = TT_FAIL(err, TT_EINVAL, "--name: \"ca\" is what the authority's own file is called");
    }
    if (r == TT_OK) {
        r = ctl_pki_may_write(joining->out, joining->token.role, joining->name, err);
    }
    if (r == TT_OK) {
        r = ctl_pki_may_trust(joining->out, joining->token.ca_sha256, err);
    }
    if (r == TT_OK) {
        r = tt_pki_csr_new(&joining->csr_pem, &joining->key_pem, err);
    }
    if (r == TT_OK) {
        r = send_request(joining, &result, err);
    }
    if (r == TT_OK && result.status / 100 != 2) {
        r = tt_api_status_error(result.status, tt_buf_view(&result.body), err);
    }
    if (r == TT_OK) {
        r = keep(joining, tt_buf_view(&result.body), err);
    }
    tt_buf_fini(&result.body);
    if (r == TT_OK) {
        ctl_print("%s/%s.crt, %s.key and ca.crt: %s %s of the cluster\n", joining->out,
                  joining->name, joining->name, tt_role_name(joining->token.role), joining->name);
    }
    return r;
}

static int run_join(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct joining joining = {.token_file = "-", .out = "pki"};
    const struct tt_option options[] = {
        {"server", 's', TT_OPTION_STRING, &joining.server, "URL", "https://HOST:PORT of a server"},
        {"token-file", 0, TT_OPTION_STRING, &joining.token_file, "FILE",
         "what pki token printed; -: standard input [-]"},
        {"name", 0, TT_OPTION_STRING, &joining.name, "NAME", "of the new server or agent"},
        {"hosts", 0, TT_OPTION_STRING, &joining.hosts, "LIST",
         "a server's DNS names and addresses, for its certificate"},
        {"out", 'o', TT_OPTION_STRING, &joining.out, "DIR", "where to write [pki]"},
    };
    struct ctl_args args = {self, options, 5, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (joining.server == NULL || joining.name == NULL || args.word_count > 0) {
        return TT_FAIL(err, TT_EINVAL, "--server and --name are needed");
    }
    r = join(&joining, err);
    tt_join_token_wipe(&joining.token);
    tt_pki_buf_wipe(&joining.token_text);
    tt_pki_buf_wipe(&joining.key_pem);
    tt_buf_fini(&joining.csr_pem);
    return r;
}

const struct ctl_command ctl_join_commands[] = {
    {"pki join", "--server URL --name NAME [--token-file FILE]",
     "Gets the first certificate of a new server or agent for a token.",
     "Examples:\n"
     "  tuttictl pki token agent | ssh node-7 tuttictl pki join -s https://10.0.0.1:6443 \\\n"
     "    --name node-7 --out /etc/tutti/pki",
     run_join},
    {NULL, NULL, NULL, NULL, NULL},
};

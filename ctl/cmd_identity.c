/* tuttictl pki token, renew, revoke: identities of a running cluster, through its API.
 *
 * A token lets one new server or agent get its first certificate; it is printed once and never
 * stored. Renewing makes a new key here and sends only a request for a certificate; the old files
 * are replaced when the new pair is complete. Revoking names an identity, whose certificates issued
 * until now are all worthless, or one certificate by its serial: handshakes with it fail and its
 * open connections are cut within seconds. */
#include <errno.h>
#include <stdio.h>

#include "api/json/json.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "server/tls/pki.h"

enum { BODY_SIZE_MAX = 128 << 10, KEY_MODE = 0600, CERT_MODE = 0644, TTL_S_DEFAULT = 3600 };

static int post(const struct ctl_common *common, const char *path, struct tt_str body,
                struct ctl_answer *ret, struct tt_err *err)
{
    TT_AUTO(ctl_session) session = NULL;
    int r = ctl_session_open(common, &session, err);
    if (r != TT_OK) {
        return r;
    }
    const struct ctl_request request = {.method = "POST", .path = tt_str_c(path), .body = body};
    return ctl_ask(session, &request, ret, err);
}

/* ---- token ---- */

static int run_token(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_common common = {.kubeconfig = NULL};
    const char *name = NULL;
    const char *output = NULL;
    uint64_t ttl_s = TTL_S_DEFAULT;
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&common),
        {"name", 0, TT_OPTION_STRING, &name, "NAME", "the only name it may be used for [any]"},
        {"ttl", 0, TT_OPTION_U64, &ttl_s, "SECONDS", "how long it counts [3600]"},
        {"output", 'o', TT_OPTION_STRING, &output, "FORMAT", "json or yaml"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 3, argc, argv, {NULL},
                            0,    false};
    enum ctl_format format = CTL_FORMAT_TABLE;
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    bool is_role = args.word_count == 1 &&
                   (strcmp(args.words[0], "server") == 0 || strcmp(args.words[0], "agent") == 0);
    if (!is_role) {
        return TT_FAIL(err, TT_EINVAL, "give a role: pki token server|agent");
    }
    r = ctl_format_parse(output, &format, err);
    TT_AUTO_BUF struct tt_buf body;
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    struct tt_json_writer w;
    tt_buf_init(&body, BODY_SIZE_MAX);
    tt_json_begin(&w, &body);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "role", args.words[0]);
    tt_json_u64(&w, "ttlSeconds", ttl_s);
    if (name != NULL) {
        tt_json_c(&w, "name", name);
    }
    tt_json_object_end(&w);
    if (r == TT_OK) {
        r = post(&common, "/tutti/v1/tokens", tt_buf_view(&body), &answer, err);
    }
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    if (format != CTL_FORMAT_TABLE) {
        ctl_print_value(format, root);
        return TT_OK;
    }
    ctl_print("%.*s\n", TT_STR_ARG(tt_json_iget_str(root, "token")));
    (void)fprintf(stderr, "counts once, until %.*s\n",
                  TT_STR_ARG(tt_json_iget_str(root, "expires")));
    return TT_OK;
}

/* ---- renew ---- */

struct renewal {
    struct ctl_common common;       /* options of the connection */
    const char *cert, *key;         /* files, both replaced */
    struct tt_buf csr_pem, key_pem; /* of the new pair; key_pem is wiped in the end */
};

static int ask_certificate(struct renewal *renewal, const struct tt_pki_info *info,
                           struct ctl_answer *ret, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf body;
    struct tt_json_writer w;
    tt_buf_init(&body, BODY_SIZE_MAX);
    tt_json_begin(&w, &body);
    tt_json_object(&w, NULL);
    tt_json_str(&w, "csr", tt_buf_view(&renewal->csr_pem));
    if (info->hosts[0] != '\0') {
        tt_json_c(&w, "hosts", info->hosts);
    }
    tt_json_object_end(&w);
    return post(&renewal->common, "/tutti/v1/certificates/renew", tt_buf_view(&body), ret, err);
}

/* The new certificate is on the disk as CERT.new before the old key goes, so that no crash leaves
 * one without a pair: if CERT does not fit KEY, CERT.new does. */
static int replace_files(const struct renewal *renewal, struct tt_str certificate,
                         struct tt_err *err)
{
    TT_AUTO_FREE char *fresh = tt_xasprintf("%s.new", renewal->cert);
    int r = tt_file_write_atomic(fresh, certificate, CERT_MODE, err);
    if (r == TT_OK) {
        r = tt_file_write_atomic(renewal->key, tt_buf_view(&renewal->key_pem), KEY_MODE, err);
    }
    if (r == TT_OK && rename(fresh, renewal->cert) != 0) {
        r = TT_FAIL_ERRNO(err, errno, "rename %s", fresh);
    }
    return r;
}

static int renew(struct renewal *renewal, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf old;
    struct tt_pki_info info;
    tt_buf_init(&old, TT_PKI_PEM_SIZE_MAX);
    int r = tt_file_read(renewal->cert, TT_PKI_PEM_SIZE_MAX, &old, err);
    if (r == TT_OK) {
        r = tt_pki_cert_info(tt_buf_view(&old), &info, err);
    }
    if (r == TT_OK) {
        r = tt_pki_csr_new(&renewal->csr_pem, &renewal->key_pem, err);
    }
    if (r == TT_OK) {
        r = ask_certificate(renewal, &info, &answer, err);
    }
    if (r != TT_OK) {
        return r;
    }
    struct tt_str certificate = tt_json_iget_str(yyjson_doc_get_root(answer.doc), "certificate");
    r = tt_pki_cert_info(certificate, &info, err);
    if (r == TT_OK) {
        r = replace_files(renewal, certificate, err);
    }
    if (r == TT_OK) {
        char until[TT_TIME_TEXT_SIZE];
        (void)tt_time_format(info.not_after_ms, until);
        ctl_print("%s: %s until %s\n", renewal->cert, info.identity.uri, until);
    }
    return r;
}

static int run_renew(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct renewal renewal = {.cert = NULL};
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&renewal.common),
        {"cert", 0, TT_OPTION_STRING, &renewal.cert, "FILE", "the certificate; replaced"},
        {"key", 0, TT_OPTION_STRING, &renewal.key, "FILE", "its key; replaced"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 2, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (renewal.cert == NULL || renewal.key == NULL) {
        return TT_FAIL(err, TT_EINVAL, "--cert and --key are needed: the pair of the kubeconfig");
    }
    r = renew(&renewal, err);
    tt_buf_fini(&renewal.csr_pem);
    tt_pki_buf_wipe(&renewal.key_pem);
    return r;
}

/* ---- revoke ---- */

/* What `pki revoke` was given. */
struct target {
    const char *field; /* of the request: "serial" or "identity" */
    const char *value; /* of that field */
    char serial[64];   /* of a file's certificate */
    char uri[256];     /* likewise; "" = not known */
};

static bool is_identity(const char *word)
{
    return strchr(word, '/') != NULL;
}

static int find_target(const char *word, struct target *target, struct tt_err *err)
{
    struct tt_pki_info info;
    TT_AUTO_BUF struct tt_buf pem;
    tt_buf_init(&pem, TT_PKI_PEM_SIZE_MAX);
    *target = (struct target){.field = is_identity(word) ? "identity" : "serial", .value = word};
    if (!tt_path_exists(word)) {
        return TT_OK; /* the server knows what is a serial or an identity */
    }
    int r = tt_file_read(word, TT_PKI_PEM_SIZE_MAX, &pem, err);
    if (r == TT_OK) {
        r = tt_pki_cert_info(tt_buf_view(&pem), &info, err);
    }
    if (r == TT_OK) {
        target->field = "serial";
        target->value = target->serial;
        memcpy(target->serial, info.identity.serial, sizeof target->serial);
        memcpy(target->uri, info.identity.uri, sizeof target->uri);
    }
    return r;
}

static void print_revoked(const struct target *target)
{
    if (strcmp(target->field, "identity") == 0) {
        ctl_print("every certificate of %s issued until now is revoked: it opens nothing any more, "
                  "and its connections are cut\nnext: to let it in again, tuttictl pki token "
                  "(servers, agents) or pki issue (users)\n",
                  target->value);
        return;
    }
    ctl_print("%s is revoked: it opens nothing any more, and its connections are cut\n",
              target->value);
    if (target->uri[0] != '\0') {
        ctl_print("other certificates of %s still count; all of them: tuttictl pki revoke %s\n",
                  target->uri, target->uri);
    }
}

static int run_revoke(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_common common = {.kubeconfig = NULL};
    const struct tt_option options[] = {CTL_COMMON_OPTIONS(&common)};
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count != 1) {
        return TT_FAIL(err, TT_EINVAL, "give a certificate's file, its serial, or an identity");
    }
    struct target target;
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf body;
    struct tt_json_writer w;
    r = find_target(args.words[0], &target, err);
    if (r != TT_OK) {
        return r;
    }
    tt_buf_init(&body, BODY_SIZE_MAX);
    tt_json_begin(&w, &body);
    tt_json_object(&w, NULL);
    tt_json_c(&w, target.field, target.value);
    tt_json_object_end(&w);
    r = post(&common, "/tutti/v1/certificates/revoked", tt_buf_view(&body), &answer, err);
    if (r == TT_OK) {
        print_revoked(&target);
    }
    return r;
}

const struct ctl_command ctl_identity_commands[] = {
    {"pki token", "server|agent [--name NAME] [--ttl SECONDS]",
     "Makes a token that lets one new server or agent join.",
     "Examples:\n"
     "  tuttictl pki token agent --name node-7\n"
     "  tuttictl pki token server --ttl 600",
     run_token},
    {"pki renew", "--cert FILE --key FILE", "Replaces your certificate by a fresh one.",
     "Examples:\n"
     "  tuttictl pki renew --cert alice.crt --key alice.key",
     run_renew},
    {"pki revoke", "IDENTITY|FILE|SERIAL",
     "Makes an identity's certificates, or one certificate, worthless at once.",
     "Examples:\n"
     "  tuttictl pki revoke user/mallory      # every certificate of hers issued until now\n"
     "  tuttictl pki revoke pki/mallory.crt   # this one; one renewed from it still counts",
     run_revoke},
    {NULL, NULL, NULL, NULL, NULL},
};

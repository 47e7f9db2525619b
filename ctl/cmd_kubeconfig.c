/* tuttictl kubeconfig and version: what concerns this tool itself.
 *
 * A kubeconfig names all servers (kubectl uses the first, tuttictl any that answers) and either
 * points to the credentials' files or embeds them. Its user is called what the certificate says. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/version.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "server/tls/pki.h"

enum { FILE_MODE = 0600, CONFIG_SIZE_MAX = 1 << 20 };

struct kubeconfig {
    struct tt_option_values servers; /* one https URL each, once normalised; at least one */
    const char *ca, *cert, *key;     /* files */
    const char *namespace;           /* of the context; "default" unless given */
    const char *out;                 /* NULL: standard output */
    bool embed;                      /* contents of the files instead of their paths */
};

/* A credential: `field: path`, or `field-data: base64` of the file. */
static int write_material(struct tt_buf *buf, const struct kubeconfig *config, const char *field,
                          const char *path, struct tt_err *err)
{
    if (!config->embed) {
        char full[PATH_MAX];
        if (realpath(path, full) == NULL) {
            return TT_FAIL(err, TT_ENOTFOUND, "%s: no such file", path);
        }
        tt_buf_printf(buf, "    %s: ", field);
        tt_json_quote(buf, tt_str_c(full));
        tt_buf_char(buf, '\n');
        return TT_OK;
    }
    struct tt_buf pem;
    int r = tt_file_read(path, TT_PKI_PEM_SIZE_MAX, &pem, err);
    if (r == TT_OK) {
        size_t size = tt_base64_encoded_size(pem.len);
        tt_buf_printf(buf, "    %s-data: ", field);
        char *at = tt_buf_reserve(buf, size + 1);
        if (at != NULL) {
            buf->len += tt_base64_encode(pem.ptr, pem.len, at);
        }
        tt_buf_char(buf, '\n');
    }
    tt_pki_buf_wipe(&pem);
    return r;
}

static int write_cluster(struct tt_buf *buf, const struct kubeconfig *config, struct tt_err *err)
{
    const struct tt_option_values *servers = &config->servers;
    tt_buf_printf(buf, "    server: %s\n", servers->items[0]);
    int r = write_material(buf, config, "certificate-authority", config->ca, err);
    if (servers->count > 1) {
        tt_buf_c(buf, "    extensions:\n    - name: tutti\n      extension:\n        servers:\n");
        for (size_t i = 0; i < servers->count; i++) {
            tt_buf_printf(buf, "        - %s\n", servers->items[i]);
        }
    }
    return r;
}

static int write_config(struct tt_buf *buf, const struct kubeconfig *config, struct tt_err *err)
{
    struct tt_buf pem;
    struct tt_pki_info info;
    int r = tt_file_read(config->cert, TT_PKI_PEM_SIZE_MAX, &pem, err);
    if (r == TT_OK) {
        r = tt_pki_cert_info(tt_buf_view(&pem), &info, err);
    }
    tt_buf_fini(&pem);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--cert");
    }
    const char *cluster = info.identity.cluster;
    const char *user = info.identity.name;
    tt_buf_printf(buf, "apiVersion: v1\nkind: Config\nclusters:\n- name: \"%s\"\n  cluster:\n",
                  cluster);
    r = write_cluster(buf, config, err);
    tt_buf_printf(buf, "users:\n- name: \"%s\"\n  user:\n", user);
    if (r == TT_OK) {
        r = write_material(buf, config, "client-certificate", config->cert, err);
    }
    if (r == TT_OK) {
        r = write_material(buf, config, "client-key", config->key, err);
    }
    tt_buf_printf(buf,
                  "contexts:\n- name: \"%s\"\n  context:\n    cluster: \"%s\"\n    user: \"%s\"\n"
                  "    namespace: \"%s\"\ncurrent-context: \"%s\"\n",
                  cluster, cluster, user, config->namespace, cluster);
    if (r == TT_OK && !tt_buf_ok(buf)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the kubeconfig");
    }
    return r;
}

/* "host:port" or "https://host:port", a list with commas: one URL each. */
static int normalise_servers(struct kubeconfig *config, struct tt_arena *arena, struct tt_err *err)
{
    struct tt_option_values given = config->servers;
    config->servers.count = 0;
    for (size_t i = 0; i < given.count; i++) {
        struct tt_str rest = tt_str_c(given.items[i]);
        struct tt_str part;
        while (tt_str_cut(&rest, ',', &part)) {
            const char *scheme = tt_str_starts(part, TT_STR("https://")) ? "" : "https://";
            char *url = tt_arena_printf(arena, "%s%.*s", scheme, TT_STR_ARG(part));
            struct tt_endpoint endpoint;
            if (url == NULL || config->servers.count == TT_ENDPOINTS_MAX) {
                return TT_FAIL(err, TT_EINVAL, "--server: at most %d", TT_ENDPOINTS_MAX);
            }
            int r = tt_endpoint_parse(tt_str_c(url), &endpoint, err);
            if (r != TT_OK) {
                return r;
            }
            config->servers.items[config->servers.count++] = url;
        }
    }
    return TT_OK;
}

static int run_kubeconfig(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct kubeconfig config = {.namespace = "default"};
    const struct tt_option options[] = {
        {"server", 's', TT_OPTION_LIST, &config.servers, "URL",
         "a server's https://HOST:PORT; again for each further one"},
        {"ca", 0, TT_OPTION_STRING, &config.ca, "FILE", "the cluster's authority (ca.crt)"},
        {"cert", 0, TT_OPTION_STRING, &config.cert, "FILE", "your certificate"},
        {"key", 0, TT_OPTION_STRING, &config.key, "FILE", "your private key"},
        {"namespace", 'n', TT_OPTION_STRING, &config.namespace, "NAME", "default namespace"},
        {"embed", 0, TT_OPTION_FLAG, &config.embed, NULL,
         "put the files' contents in, so that it can be moved"},
        {"output", 'o', TT_OPTION_STRING, &config.out, "FILE",
         "where to write, mode 0600 [standard output]"},
    };
    struct ctl_args args = {self, options, 7, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (config.servers.count == 0 || config.ca == NULL || config.cert == NULL ||
        config.key == NULL || args.word_count > 0) {
        return TT_FAIL(err, TT_EINVAL, "--server, --ca, --cert and --key are needed");
    }
    TT_AUTO(tt_arena) arena = tt_arena_new(4096, 1 << 20);
    r = normalise_servers(&config, arena, err);
    struct tt_buf text;
    tt_buf_init(&text, CONFIG_SIZE_MAX);
    if (r == TT_OK) {
        r = write_config(&text, &config, err);
    }
    if (r == TT_OK && config.out != NULL) {
        r = tt_file_write_atomic(config.out, tt_buf_view(&text), FILE_MODE, err);
    } else if (r == TT_OK) {
        ctl_print_buf(&text);
    }
    tt_pki_buf_wipe(&text);
    return r;
}

/* ---- version ---- */

static int ask_version(const struct ctl_common *common, struct ctl_answer *answer,
                       struct tt_err *err)
{
    TT_AUTO(ctl_session) session = NULL;
    int r = ctl_session_open(common, &session, err);
    return r != TT_OK ? r : ctl_get(session, TT_STR("/version"), answer, err);
}

static void write_version_json(struct tt_buf *buf, const struct ctl_answer *answer)
{
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_object(&w, "client");
    tt_json_c(&w, "gitVersion", TT_VERSION_TEXT);
    tt_json_object_end(&w);
    if (answer->doc != NULL) {
        tt_json_raw(&w, "server", tt_buf_view(&answer->body));
    }
    tt_json_object_end(&w);
}

static int run_version(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_common common = {.kubeconfig = NULL};
    bool client_only = false;
    const char *output = NULL;
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&common),
        {"client", 0, TT_OPTION_FLAG, &client_only, NULL, "ask no server"},
        {"output", 'o', TT_OPTION_STRING, &output, "FORMAT", "json or yaml"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 2, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    enum ctl_format format;
    r = ctl_format_parse(output, &format, err);
    if (r != TT_OK) {
        return r;
    }
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    int asked = client_only ? TT_OK : ask_version(&common, &answer, err);
    if (format == CTL_FORMAT_TABLE) {
        ctl_print("client: %s\n", TT_VERSION_TEXT);
        yyjson_val *root = answer.doc != NULL ? yyjson_doc_get_root(answer.doc) : NULL;
        const char *server = yyjson_get_str(yyjson_obj_get(root, "gitVersion"));
        if (server != NULL) {
            ctl_print("server: %s\n", server);
        }
        return asked;
    }
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 64 << 10);
    write_version_json(&text, &answer);
    yyjson_doc *doc = yyjson_read(text.ptr, text.len, YYJSON_READ_NUMBER_AS_RAW);
    TT_ASSERT(doc != NULL);
    ctl_print_value(format, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return asked;
}

const struct ctl_command ctl_kubeconfig_commands[] = {
    {"kubeconfig", "--server URL --ca FILE --cert FILE --key FILE [OPTIONS]",
     "Makes a kubeconfig for this tool and for kubectl.",
     "Examples:\n"
     "  tuttictl kubeconfig -s 10.0.0.1:6443 -s 10.0.0.2:6443 --ca pki/ca.crt \\\n"
     "    --cert pki/alice.crt --key pki/alice.key --embed -o alice.kubeconfig",
     run_kubeconfig},
    {"version", "[--client] [-o json|yaml]", "Prints the versions of this tool and of the server.",
     "Examples:\n"
     "  tuttictl version\n"
     "  tuttictl version --client -o json",
     run_version},
    {NULL, NULL, NULL, NULL, NULL},
};

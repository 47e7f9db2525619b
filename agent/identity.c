/* Join: no certificate, the CA is recognised by the fingerprint in the token. The answer carries
 * the certificate and the CA, which from then on are trusted by file. Renewal: after two thirds of
 * the validity, with a new key, over the present certificate. */
#include "agent/identity.h"

#include "agent/request.h"
#include "api/json/json.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "server/tls/context.h"
#include "server/tls/join_token.h"
#include "server/tls/pki.h"

enum {
    BODY_MAX = 64 << 10,
    ARENA_CHUNK = 16 << 10,
    ARENA_MAX = 1 << 20,
    CERT_MODE = 0644,
    KEY_MODE = 0600,
    JOIN_TIMEOUT_MS = 60000,
};

static int save(const struct agent_options *o, struct tt_str answer, struct tt_str key_pem,
                bool with_ca, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    yyjson_mut_doc *doc = NULL;
    int r = tt_json_parse(arena, answer, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "the servers' answer");
    }
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct tt_str cert = tt_json_get_str(root, "certificate");
    struct tt_str ca = tt_json_get_str(root, "ca");
    struct tt_pki_info info;
    r = tt_pki_cert_info(cert, &info, err);
    if (r == TT_OK && (info.identity.role != TT_IDENTITY_AGENT ||
                       strcmp(info.identity.name, o->name) != 0 || ca.len == 0)) {
        r = TT_FAIL(err, TT_EPROTO, "the servers answered with a certificate for %s",
                    info.identity.uri);
    }
    if (r == TT_OK && with_ca) {
        r = tt_file_write_atomic(o->ca_path, ca, CERT_MODE, err);
    }
    if (r == TT_OK) {
        r = tt_file_write_atomic(o->key_path, key_pem, KEY_MODE, err);
    }
    return r == TT_OK ? tt_file_write_atomic(o->cert_path, cert, CERT_MODE, err) : r;
}

static void write_body(struct tt_buf *body, const char *token, const char *name, struct tt_str csr)
{
    struct tt_json_writer json;
    tt_json_begin(&json, body);
    tt_json_object(&json, NULL);
    if (token != NULL) {
        tt_json_c(&json, "token", token);
        tt_json_c(&json, "name", name);
    }
    tt_json_str(&json, "csr", csr);
    tt_json_object_end(&json);
}

/* ---- joining ---- */

static int ask(const struct agent_options *o, struct tt_tls_context *tls, struct tt_str body,
               struct tt_api_result *ret_result, struct tt_err *err)
{
    struct tt_kubeconfig servers = {.endpoint_count = o->endpoint_count};
    memcpy(servers.endpoint, o->endpoint, sizeof servers.endpoint);
    const struct tt_api_client_config config = {.kubeconfig = &servers,
                                                .tls = tls,
                                                .user_agent = "tuttid-agent",
                                                .timeout_ms = JOIN_TIMEOUT_MS};
    TT_AUTO(tt_api_blocking) client = NULL;
    int r = tt_api_blocking_new(&config, &client, err);
    return r == TT_OK ? tt_api_blocking_call(client, "POST", TT_STR("/tutti/v1/join"), body,
                                             ret_result, err)
                      : r;
}

static int join_with(const struct agent_options *o, const struct tt_join_token *token,
                     struct tt_err *err)
{
    struct tt_tls_context *tls = NULL;
    struct tt_buf csr = {.ptr = NULL};
    struct tt_buf key = {.ptr = NULL};
    struct tt_api_result result = {.status = 0};
    TT_AUTO_BUF struct tt_buf body;
    tt_buf_init(&body, BODY_MAX);
    const struct tt_tls_config config = {.alpn = "h2", .pinned_ca_sha256 = token->ca_sha256};
    int r = tt_tls_context_new(&config, &tls, err);
    if (r == TT_OK) {
        r = tt_pki_csr_new(&csr, &key, err);
    }
    if (r == TT_OK) {
        write_body(&body, o->join, o->name, tt_buf_view(&csr));
        r = ask(o, tls, tt_buf_view(&body), &result, err);
    }
    if (r == TT_OK) {
        r = save(o, tt_buf_view(&result.body), tt_buf_view(&key), true, err);
    }
    tt_buf_fini(&result.body);
    tt_buf_fini(&csr);
    tt_pki_buf_wipe(&key);
    tt_tls_context_unref(tls);
    return r;
}

int identity_join(const struct agent_options *options, struct tt_err *err)
{
    struct tt_join_token token;
    if (options->join == NULL || tt_path_exists(options->cert_path)) {
        return TT_OK;
    }
    int r = tt_join_token_parse(tt_str_c(options->join), &token, err);
    if (r == TT_OK && token.role != TT_IDENTITY_AGENT) {
        r = TT_FAIL(err, TT_EINVAL, "the token is for a %s, not for an agent",
                    tt_role_name(token.role));
    }
    if (r == TT_OK) {
        r = join_with(options, &token, err);
    }
    tt_join_token_wipe(&token);
    if (r == TT_OK) {
        TT_LOG(TT_LOG_INFO, "agent", "joined the cluster", TT_F_C("name", options->name));
    }
    return r == TT_OK ? TT_OK : TT_WRAP(err, r, "--join");
}

/* ---- renewal ---- */

static void read_end(struct identity *identity)
{
    struct tt_buf pem;
    struct tt_pki_info info;
    identity->renew_at_ms = 0;
    if (tt_file_read(identity->options->cert_path, TT_PKI_PEM_SIZE_MAX, &pem, NULL) != TT_OK) {
        return;
    }
    if (tt_pki_cert_info(tt_buf_view(&pem), &info, NULL) == TT_OK) {
        identity->renew_at_ms = tt_pki_renew_at_ms(&info.identity);
        identity->retry_ms = tt_pki_look_every_ms(&info.identity);
    }
    tt_buf_fini(&pem);
}

void identity_init(struct identity *identity, const struct agent_options *options,
                   struct tt_api_client *client)
{
    *identity = (struct identity){.options = options, .client = client};
    read_end(identity);
}

void identity_fini(struct identity *identity)
{
    TT_ASSERT(!identity->is_renewing);
    tt_pki_buf_wipe(&identity->key);
}

static void renewed(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct identity *identity = ctx;
    struct tt_err own;
    tt_err_init(&own);
    (void)status; /* the error says more */
    identity->is_renewing = false;
    if (err == NULL && save(identity->options, answer, tt_buf_view(&identity->key), false, &own)) {
        err = &own;
    }
    tt_pki_buf_wipe(&identity->key);
    if (err == NULL) {
        TT_LOG(TT_LOG_INFO, "agent", "the certificate was renewed");
        read_end(identity);
    } else if (err->code != TT_ECANCELED) {
        TT_LOG(TT_LOG_WARN, "agent", "the certificate cannot be renewed yet", TT_F_ERR(err));
    }
}

static void renew(struct identity *identity)
{
    struct tt_err err;
    struct tt_buf csr = {.ptr = NULL};
    TT_AUTO_BUF struct tt_buf body;
    tt_err_init(&err);
    tt_buf_init(&body, BODY_MAX);
    int r = tt_pki_csr_new(&csr, &identity->key, &err);
    if (r == TT_OK) {
        write_body(&body, NULL, NULL, tt_buf_view(&csr));
        const struct request request = {.method = "POST",
                                        .path = TT_STR("/tutti/v1/certificates/renew"),
                                        .body = tt_buf_view(&body),
                                        .done = renewed,
                                        .ctx = identity};
        r = request_send(identity->client, &request, &err);
    }
    tt_buf_fini(&csr);
    if (r == TT_OK) {
        identity->is_renewing = true;
    } else {
        tt_pki_buf_wipe(&identity->key);
        TT_LOG(TT_LOG_WARN, "agent", "the certificate cannot be renewed", TT_F_ERR(&err));
    }
}

void identity_tick(struct identity *identity, uint64_t wall_ms, uint64_t mono_ms)
{
    if (identity->renew_at_ms == 0 || wall_ms < identity->renew_at_ms || identity->is_renewing ||
        mono_ms < identity->next_try_ms) {
        return;
    }
    identity->next_try_ms = mono_ms + identity->retry_ms;
    renew(identity);
}

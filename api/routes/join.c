/* Joining, tokens, renewal: how identities come to be.
 *
 * Tokens are rows t/tokens/<id> (only the hash of the secret is stored). Joining is one
 * transaction: delete the token's row, comparing its revision, and record the identity
 * (t/identities/<role>.<name>), so that a token works once even when two servers see it at a time.
 * The certificate is signed before the commit (a bad request does not cost the token) and handed
 * out after it. A token for any name does not give a name that somebody has already: who found one
 * could pass for a node and read its Secrets. Renewal signs for exactly who the present certificate
 * says, unless that is revoked; who was revoked joins with a token that was made since. Failure:
 * every reason a token does not count is told the same way. Host names are granted to servers only:
 * an agent's certificate must not pass for the API. */
#include "api/routes/write.h"
#include "base/json.h"
#include "server/tls/join_token.h"
#include "server/tls/pki.h"

enum {
    TOKEN_TTL_S_DEFAULT = 3600,
    TOKEN_TTL_S_MAX = 7 * 86400,
    NAME_SIZE = 128,
    HOSTS_SIZE = 1024,
    GROUPS_SIZE = TT_GROUPS_MAX * (TT_GROUP_SIZE + 1),
};

struct join_op {
    struct tt_join_token token; /* wiped at the end */
    struct tt_str csr;          /* PEM; of the parsed body, in the arena */
    struct tt_str token_key;    /* of the row t/tokens/<id> */
    struct tt_str identity_key; /* of the row t/identities/<role>.<name> */
    uint64_t identity_revision; /* of who had the name before; 0 = nobody */
    char name[NAME_SIZE];       /* asked for; not empty */
    char hosts[HOSTS_SIZE];     /* asked for; granted to servers only */
    struct tt_str certificate;  /* PEM, in the arena */
};

static int no_signer(struct tt_err *err)
{
    return TT_FAIL(err, TT_EUNAVAILABLE, "this server does not sign certificates");
}

static int parse_body(struct api_request *rq, yyjson_mut_val **ret_root, struct tt_err *err)
{
    yyjson_mut_doc *doc = NULL;
    struct tt_str json;
    int r = api_body_json(rq, &json, err);
    if (r == TT_OK) {
        r = tt_json_parse(rq->arena, json, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    }
    if (r == TT_OK) {
        *ret_root = yyjson_mut_doc_get_root(doc);
    }
    return r;
}

static bool copy_text(struct tt_str text, char *out, size_t out_size)
{
    if (text.len >= out_size || (text.len > 0 && memchr(text.ptr, '\0', text.len))) {
        return false;
    }
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    out[text.len] = '\0';
    return true;
}

static int row_key(struct api_request *rq, struct tt_str table, struct tt_str id,
                   struct tt_str *ret_key, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, TT_OBJECT_KEY_SIZE_MAX);
    int r = tt_key_row(&buf, table, id, err);
    if (r) {
        return r;
    }
    char *copy = tt_arena_strndup(rq->arena, buf.ptr, buf.len);
    *ret_key = tt_str(copy, buf.len);
    return copy ? TT_OK : api_no_memory(err);
}

/* ---- tokens ---- */

struct token_op {
    char text[TT_JOIN_TEXT_SIZE]; /* the token itself, a secret; wiped at the end */
    char id[TT_JOIN_ID_SIZE];     /* names the row; not secret */
    uint64_t expires_ms;          /* Unix time */
};

static void token_cleanup(struct api_request *rq)
{
    struct token_op *op = rq->op;
    explicit_bzero(op, sizeof *op);
}

static int token_stored(struct api_request *rq, const struct api_outcome *outcome,
                        struct tt_err *err)
{
    struct token_op *op = rq->op;
    if (outcome->code) {
        return TT_FAIL(err, outcome->code, "the token could not be stored");
    }
    char stamp[TT_TIME_TEXT_SIZE];
    size_t stamp_size = tt_time_format(op->expires_ms, stamp);
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 1024);
    struct tt_json_writer w;
    tt_json_begin(&w, &buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "token", op->text);
    tt_json_c(&w, "id", op->id);
    tt_json_str(&w, "expires", tt_str(stamp, stamp_size));
    tt_json_object_end(&w);
    api_respond_json(rq, 201, tt_buf_view(&buf));
    explicit_bzero(buf.ptr, buf.len);
    return TT_OK;
}

static int make_token(struct api_request *rq, yyjson_mut_val *root, struct token_op *op,
                      char stored_text[TT_JOIN_STORED_SIZE], struct tt_err *err)
{
    struct tt_str role = tt_json_get_str(root, "role");
    bool agent = tt_str_eq_c(role, "agent");
    char name[NAME_SIZE];
    int64_t ttl_s = tt_json_get_i64(root, "ttlSeconds", TOKEN_TTL_S_DEFAULT);
    if ((!agent && !tt_str_eq_c(role, "server")) || ttl_s <= 0 || ttl_s > TOKEN_TTL_S_MAX ||
        !copy_text(tt_json_get_str(root, "name"), name, sizeof name)) {
        return TT_FAIL(err, TT_EINVAL,
                       "a token needs a role (server or agent), may have a name, and ttlSeconds "
                       "between 1 and %d",
                       TOKEN_TTL_S_MAX);
    }
    char fingerprint[TT_PKI_FINGERPRINT_SIZE];
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    int r = tt_pki_ca_fingerprint(rq->worker->ca, fingerprint, err);
    if (r == TT_OK) {
        r = tt_join_token_new(agent ? TT_IDENTITY_AGENT : TT_IDENTITY_SERVER, fingerprint, &token,
                              err);
    }
    if (r) {
        return r;
    }
    op->expires_ms = tt_clock_wall_ms(rq->worker->api->config.clock) + (uint64_t)ttl_s * 1000;
    r = tt_join_token_store(&token, op->expires_ms, name, &stored, err);
    if (r == TT_OK) {
        tt_join_stored_format(&stored, stored_text);
        tt_join_token_format(&token, op->text);
        memcpy(op->id, token.id, sizeof op->id);
    }
    tt_join_token_wipe(&token);
    return r;
}

int api_handle_tokens(struct api_request *rq, struct tt_err *err)
{
    if (!rq->worker->ca) {
        return no_signer(err);
    }
    yyjson_mut_val *root = NULL;
    struct token_op *op = tt_arena_alloc(rq->arena, sizeof *op);
    int r = op ? parse_body(rq, &root, err) : api_no_memory(err);
    if (r) {
        return r;
    }
    rq->op = op;
    rq->cleanup = token_cleanup;
    char stored_text[TT_JOIN_STORED_SIZE];
    r = make_token(rq, root, op, stored_text, err);
    struct tt_str key;
    if (r == TT_OK) {
        r = row_key(rq, TT_STR("tokens"), tt_str_c(op->id), &key, err);
    }
    if (r) {
        return r;
    }
    struct tt_compare absent = {key, 0};
    struct tt_txn_op put = {
        TT_OP_PUT, key, {.codec = TT_CODEC_RECORD, .bytes = tt_str_c(stored_text)}};
    struct tt_txn txn = {.compares = &absent,
                         .compare_count = 1,
                         .ops = &put,
                         .op_count = 1,
                         .actor = rq->subject.uri,
                         .verb = TT_STR("token")};
    struct tt_bytes *command = NULL;
    r = tt_txn_encode(&txn, &command, err);
    if (r == TT_OK) {
        api_propose(rq, command, token_stored);
    }
    return r;
}

/* ---- signing ---- */

static int cluster_id_of(struct api_request *rq, char out[40], struct tt_err *err)
{
    struct tt_cluster *cluster = rq->worker->api->config.cluster;
    struct tt_cluster_status *status = tt_arena_alloc(rq->arena, sizeof *status);
    if (!status) {
        return api_no_memory(err);
    }
    cluster->status(cluster, status);
    memcpy(out, status->cluster_id, sizeof status->cluster_id);
    return TT_OK;
}

/* As of a version: a revocation behind it cuts off what is signed here. */
static int sign(struct api_request *rq, struct tt_version *version, struct tt_str csr,
                const struct tt_pki_subject *subject, struct tt_str *ret_pem, struct tt_err *err)
{
    struct tt_buf pem;
    char cluster_id[sizeof((struct tt_cluster_status *)NULL)->cluster_id];
    int r = cluster_id_of(rq, cluster_id, err);
    if (r) {
        return r;
    }
    struct tt_pki_subject own = *subject;
    own.cluster_id = cluster_id;
    own.revision = tt_version_revision(version);
    r = tt_pki_csr_sign(rq->worker->ca, csr, &own, tt_clock_wall_ms(rq->worker->api->config.clock),
                        &pem, err);
    if (r) {
        return r;
    }
    char *copy = tt_arena_strndup(rq->arena, pem.ptr, pem.len);
    *ret_pem = tt_str(copy, pem.len);
    tt_buf_fini(&pem);
    return copy ? TT_OK : api_no_memory(err);
}

static void write_members(struct tt_json_writer *w, const struct tt_cluster_status *status)
{
    tt_json_array(w, "members");
    for (uint32_t i = 0; i < status->member_count; i++) {
        const struct tt_member *member = &status->members[i];
        tt_json_object(w, NULL);
        tt_json_u64(w, "id", member->id);
        tt_json_c(w, "name", member->name);
        tt_json_c(w, "peerAddress", member->peer_address);
        tt_json_c(w, "apiAddress", member->api_address);
        tt_json_object_end(w);
    }
    tt_json_array_end(w);
}

/* Certificate, trusted CA, and whom to talk to. */
static int respond_certificate(struct api_request *rq, struct tt_str certificate,
                               struct tt_err *err)
{
    struct tt_buf ca_pem;
    int r = tt_pki_ca_cert_pem(rq->worker->ca, &ca_pem, err);
    struct tt_cluster_status *status = tt_arena_alloc(rq->arena, sizeof *status);
    if (r == TT_OK && !status) {
        tt_buf_fini(&ca_pem);
        return api_no_memory(err);
    }
    if (r) {
        return r;
    }
    struct tt_cluster *cluster = rq->worker->api->config.cluster;
    cluster->status(cluster, status);
    struct tt_buf *buf = &rq->worker->text;
    struct tt_json_writer w;
    tt_buf_reset(buf);
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_str(&w, "certificate", certificate);
    tt_json_str(&w, "ca", tt_buf_view(&ca_pem));
    tt_json_c(&w, "cluster", rq->worker->api->config.cluster_name);
    tt_json_c(&w, "clusterId", status->cluster_id);
    write_members(&w, status);
    tt_json_object_end(&w);
    tt_buf_fini(&ca_pem);
    api_respond_json(rq, 201, tt_buf_view(buf));
    return TT_OK;
}

/* ---- joining ---- */

static int refuse_token(struct tt_err *err)
{
    tt_err_init(err);
    return TT_FAIL(err, TT_EUNAUTHORIZED,
                   "the token does not count: unknown, expired, used, or for another name");
}

static void join_cleanup(struct api_request *rq)
{
    struct join_op *op = rq->op;
    tt_join_token_wipe(&op->token);
}

static int joined(struct api_request *rq, const struct api_outcome *outcome, struct tt_err *err)
{
    struct join_op *op = rq->op;
    if (outcome->code == TT_ECONFLICT) {
        return refuse_token(err);
    }
    if (outcome->code) {
        return TT_FAIL(err, outcome->code, "joining could not be committed");
    }
    return respond_certificate(rq, op->certificate, err);
}

static int propose_join(struct api_request *rq, struct join_op *op, uint64_t token_revision,
                        struct tt_err *err)
{
    char uri[256];
    int r = tt_identity_format(rq->worker->api->config.cluster_name, op->token.role,
                               tt_str_c(op->name), uri, sizeof uri, err);
    if (r) {
        return r;
    }
    const struct tt_compare compares[2] = {{op->token_key, token_revision},
                                           {op->identity_key, op->identity_revision}};
    struct tt_txn_op ops[2] = {
        {.kind = TT_OP_DELETE, .key = op->token_key},
        {TT_OP_PUT, op->identity_key, {.codec = TT_CODEC_RECORD, .bytes = op->certificate}},
    };
    struct tt_txn txn = {.compares = compares,
                         .compare_count = 2,
                         .ops = ops,
                         .op_count = 2,
                         .actor = tt_str_c(uri),
                         .verb = TT_STR("join")};
    struct tt_bytes *command = NULL;
    r = tt_txn_encode(&txn, &command, err);
    if (r == TT_OK) {
        api_propose(rq, command, joined);
    }
    return r;
}

static int join_with(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct join_op *op = rq->op;
    const struct tt_item *item = tt_version_get(version, op->token_key);
    struct tt_join_token_stored stored;
    if (!item || tt_join_stored_parse(item->value.bytes, &stored, err) ||
        tt_join_token_verify(&op->token, &stored, tt_str_c(op->name),
                             tt_clock_wall_ms(rq->worker->api->config.clock), err)) {
        return refuse_token(err);
    }
    const struct tt_item *known = tt_version_get(version, op->identity_key);
    if (known && stored.name[0] == '\0') {
        return refuse_token(err); /* a name that is taken goes only to whom an operator named */
    }
    if (item->mod_revision <= api_revoked_at(version, op->token.role, op->name)) {
        return refuse_token(err); /* only a token that was made after the revocation lets it in */
    }
    op->identity_revision = known ? known->mod_revision : 0;
    struct tt_pki_subject subject = {.role = op->token.role,
                                     .name = op->name,
                                     .hosts =
                                         op->token.role == TT_IDENTITY_SERVER ? op->hosts : NULL};
    int r = sign(rq, version, op->csr, &subject, &op->certificate, err);
    return r ? r : propose_join(rq, op, item->mod_revision, err);
}

int api_handle_join(struct api_request *rq, struct tt_err *err)
{
    if (!rq->worker->ca) {
        return no_signer(err);
    }
    yyjson_mut_val *root = NULL;
    struct join_op *op = tt_arena_alloc(rq->arena, sizeof *op);
    if (!op) {
        return api_no_memory(err);
    }
    int r = parse_body(rq, &root, err);
    if (r) {
        return r;
    }
    memset(op, 0, sizeof *op);
    if (tt_join_token_parse(tt_json_get_str(root, "token"), &op->token, err)) {
        return refuse_token(err);
    }
    rq->op = op;
    rq->cleanup = join_cleanup;
    op->csr = tt_json_get_str(root, "csr");
    struct tt_str name = tt_json_get_str(root, "name");
    if (op->csr.len == 0 || name.len == 0 || !copy_text(name, op->name, sizeof op->name) ||
        !copy_text(tt_json_get_str(root, "hosts"), op->hosts, sizeof op->hosts)) {
        return TT_FAIL(err, TT_EINVAL, "joining needs token, name and csr");
    }
    r = row_key(rq, TT_STR("tokens"), tt_str_c(op->token.id), &op->token_key, err);
    char *identity = tt_arena_printf(rq->arena, "%s.%s", tt_role_name(op->token.role), op->name);
    if (r == TT_OK && !identity) {
        return api_no_memory(err);
    }
    if (r == TT_OK) {
        r = row_key(rq, TT_STR("identities"), tt_str_c(identity), &op->identity_key, err);
    }
    if (r) {
        return r;
    }
    api_barrier(rq, join_with);
    return TT_OK;
}

/* ---- renewal ---- */

static void join_groups(const struct tt_peer_identity *peer, char out[GROUPS_SIZE])
{
    size_t size = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < peer->group_count && i < TT_GROUPS_MAX; i++) {
        size_t length = strlen(peer->groups[i]);
        TT_ASSERT(size + length + 2 <= GROUPS_SIZE);
        if (i > 0) {
            out[size++] = ',';
        }
        memcpy(out + size, peer->groups[i], length + 1);
        size += length;
    }
}

/* What a renewal asks for. */
struct renew_op {
    struct tt_str csr;      /* PEM; of the parsed body, in the arena */
    char hosts[HOSTS_SIZE]; /* granted to servers only; may be "" */
};

static int renew_with(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct renew_op *op = rq->op;
    const struct tt_peer_identity *peer = rq->subject.peer;
    char cluster_id[sizeof((struct tt_cluster_status *)NULL)->cluster_id];
    char groups[GROUPS_SIZE];
    int r = cluster_id_of(rq, cluster_id, err);
    if (r) {
        return r;
    }
    if (api_is_revoked(version, cluster_id, peer)) {
        return TT_FAIL(err, TT_EFORBIDDEN,
                       "%s is revoked and is not renewed: an administrator has to let it in again "
                       "(tuttictl pki token)",
                       peer->uri);
    }
    join_groups(peer, groups);
    struct tt_pki_subject subject = {
        .role = peer->role,
        .name = peer->name,
        .hosts = peer->role == TT_IDENTITY_SERVER ? op->hosts : NULL,
        .groups = peer->role == TT_IDENTITY_USER ? groups : NULL,
        .validity_s = tt_pki_successor_s(peer),
    };
    struct tt_str certificate;
    r = sign(rq, version, op->csr, &subject, &certificate, err);
    return r ? r : respond_certificate(rq, certificate, err);
}

int api_handle_renew(struct api_request *rq, struct tt_err *err)
{
    if (!rq->worker->ca) {
        return no_signer(err);
    }
    yyjson_mut_val *root = NULL;
    struct renew_op *op = tt_arena_alloc(rq->arena, sizeof *op);
    if (!op) {
        return api_no_memory(err);
    }
    int r = parse_body(rq, &root, err);
    if (r) {
        return r;
    }
    TT_ASSERT(rq->subject.peer != NULL);
    rq->op = op;
    op->csr = tt_json_get_str(root, "csr");
    if (op->csr.len == 0 ||
        !copy_text(tt_json_get_str(root, "hosts"), op->hosts, sizeof op->hosts)) {
        return TT_FAIL(err, TT_EINVAL, "renewal needs a csr");
    }
    api_barrier(rq, renew_with);
    return TT_OK;
}

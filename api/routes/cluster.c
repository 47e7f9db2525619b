/* /tutti/v1/cluster: status, membership, backup.
 *
 * Happy path: status is a copy the cluster hands out; a change is one operation that is answered
 * when it is committed; a backup streams a snapshot of a linearizable version, in pieces, as fast
 * as the client takes them. Failure: a change tells its own reason; a backup that cannot go on is
 * cut, and its missing end tells the reader. */
#include "api/routes/write.h"
#include "base/json.h"

enum {
    CHANGE_WAIT_MS = 30000,
    CHANGE_WAIT_MS_MAX = 300000,
    BACKUP_PIECE_SIZE = 128 << 10,
    BACKUP_BUF_MAX = 4 << 20,
};

static const char *role_name(enum tt_member_role role)
{
    switch (role) {
    case TT_ROLE_VOTER:
        return "voter";
    case TT_ROLE_STANDBY:
        return "standby";
    case TT_ROLE_SPARE:
        return "spare";
    default:
        return "unknown";
    }
}

static const char *name_of(const struct tt_cluster_status *status, uint64_t id)
{
    for (uint32_t i = 0; i < status->member_count; i++) {
        if (id != 0 && status->members[i].id == id) {
            return status->members[i].name;
        }
    }
    return "";
}

static const char *member_state(const struct tt_cluster_status *status,
                                const struct tt_member *member)
{
    if (member->id == status->self_id) {
        return tt_server_state_name(status->state);
    }
    if (member->id == status->leader_id) {
        return "leader";
    }
    return member->reachable ? "follower" : "unreachable";
}

static void write_member(struct tt_json_writer *w, const struct tt_cluster_status *status,
                         const struct tt_member *member)
{
    tt_json_object(w, NULL);
    tt_json_c(w, "name", member->name);
    tt_json_u64(w, "id", member->id);
    tt_json_c(w, "role", role_name(member->role));
    tt_json_c(w, "state", member_state(status, member));
    tt_json_bool(w, "reachable", member->reachable || member->id == status->self_id);
    tt_json_u64(w, "lastIndex",
                member->id == status->self_id ? status->last_index : member->last_index);
    tt_json_c(w, "peerAddress", member->peer_address);
    tt_json_c(w, "apiAddress", member->api_address);
    tt_json_object_end(w);
}

static void write_status(struct tt_buf *buf, const struct tt_cluster_status *status)
{
    char hash[24];
    uint8_t bytes[8];
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(status->state_hash >> (56 - 8 * i));
    }
    (void)tt_hex_encode(bytes, sizeof bytes, hash); /* fixed size */
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "clusterId", status->cluster_id);
    tt_json_c(&w, "leader", name_of(status, status->leader_id));
    tt_json_u64(&w, "leaderId", status->leader_id);
    tt_json_c(&w, "self", name_of(status, status->self_id));
    tt_json_u64(&w, "selfId", status->self_id);
    tt_json_c(&w, "state", tt_server_state_name(status->state));
    tt_json_u64(&w, "term", status->term);
    tt_json_u64(&w, "commitIndex", status->commit_index);
    tt_json_u64(&w, "appliedIndex", status->applied_index);
    tt_json_u64(&w, "lastIndex", status->last_index);
    if (status->removed_index != 0) {
        tt_json_u64(&w, "removedIndex", status->removed_index);
    }
    tt_json_u64(&w, "revision", status->revision);
    tt_json_c(&w, "stateHash", hash);
    tt_json_u64(&w, "featureLevel", status->feature_level);
    tt_json_array(&w, "members");
    for (uint32_t i = 0; i < status->member_count && i < TT_MEMBERS_MAX; i++) {
        write_member(&w, status, &status->members[i]);
    }
    tt_json_array_end(&w);
    tt_json_object_end(&w);
}

int api_handle_cluster(struct api_request *rq, struct tt_err *err)
{
    struct tt_cluster_status *status = tt_arena_alloc(rq->arena, sizeof *status);
    if (!status) {
        return api_no_memory(err);
    }
    struct tt_cluster *cluster = rq->worker->api->config.cluster;
    cluster->status(cluster, status);
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    write_status(buf, status);
    api_respond_json(rq, 200, tt_buf_view(buf));
    return TT_OK;
}

/* ---- changes ---- */

/* Outlives a client that goes away: allocated, freed when done. */
struct change {
    struct tt_change_op op;       /* ctx is this struct */
    struct api_request *rq;       /* NULL once the client went away */
    struct tt_api_worker *worker; /* of rq; done runs on its loop */
};

static void change_cleanup(struct api_request *rq)
{
    struct change *change = rq->op;
    if (change) {
        change->rq = NULL;
    }
}

static void change_done(struct tt_change_op *op)
{
    struct change *change = op->ctx;
    struct api_request *rq = change->rq;
    change->worker->ops_out--;
    if (rq) {
        rq->op = NULL;
        if (op->code == TT_OK) {
            api_respond_success(rq, 200, TT_STR(""), TT_STR(""));
        } else {
            struct tt_err err = op->err;
            if (err.code == TT_OK) {
                (void)TT_FAIL(&err, op->code, "the change could not be made");
            }
            api_fail(rq, &err);
        }
    }
    tt_free(change);
}

static enum tt_change_kind change_kind(enum api_route route)
{
    switch ((unsigned)route) {
    case API_ROUTE_MEMBER_ADD:
        return TT_CHANGE_ADD;
    case API_ROUTE_MEMBER_PROMOTE:
        return TT_CHANGE_PROMOTE;
    case API_ROUTE_MEMBER_REMOVE:
        return TT_CHANGE_REMOVE;
    case API_ROUTE_TRANSFER:
        return TT_CHANGE_TRANSFER;
    default:
        return TT_CHANGE_SNAPSHOT;
    }
}

static bool copy_field(struct tt_str text, char *out, size_t out_size)
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

/* Members may be named by id or by name. */
static int find_member(struct api_request *rq, struct change *change, struct tt_err *err)
{
    struct tt_member *member = &change->op.member;
    if (member->id != 0 || member->name[0] == '\0') {
        return TT_OK;
    }
    struct tt_cluster_status *status = tt_arena_alloc(rq->arena, sizeof *status);
    if (!status) {
        return api_no_memory(err);
    }
    struct tt_cluster *cluster = rq->worker->api->config.cluster;
    cluster->status(cluster, status);
    for (uint32_t i = 0; i < status->member_count; i++) {
        if (strcmp(status->members[i].name, member->name) == 0) {
            member->id = status->members[i].id;
            return TT_OK;
        }
    }
    return TT_FAIL(err, TT_ENOTFOUND, "no member is called %s", member->name);
}

static int check_new_member(const struct tt_member *member, struct tt_err *err)
{
    if (member->id != 0) { /* it tells when the member was added */
        return TT_FAIL(err, TT_EINVAL, "the cluster gives the id of a new member");
    }
    return member->name[0] != '\0' && member->peer_address[0] != '\0'
               ? TT_OK
               : TT_FAIL(err, TT_EINVAL, "adding a member needs name and peerAddress");
}

static int read_change(struct api_request *rq, struct change *change, struct tt_err *err)
{
    yyjson_mut_val *root = NULL;
    struct tt_str json;
    int r = api_body_json(rq, &json, err);
    if (r == TT_OK && tt_str_trim(json).len > 0) {
        yyjson_mut_doc *doc = NULL;
        r = tt_json_parse(rq->arena, json, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
        root = r == TT_OK ? yyjson_mut_doc_get_root(doc) : NULL;
    }
    if (r) {
        return r;
    }
    struct tt_member *member = &change->op.member;
    int64_t id = tt_json_get_i64(root, "id", 0);
    if (id < 0 || !copy_field(tt_json_get_str(root, "name"), member->name, sizeof member->name) ||
        !copy_field(tt_json_get_str(root, "peerAddress"), member->peer_address,
                    sizeof member->peer_address)) {
        return TT_FAIL(err, TT_EINVAL, "id, name or peerAddress is not valid");
    }
    member->id = (uint64_t)id;
    change->op.kind = change_kind(rq->path.route);
    if (change->op.kind == TT_CHANGE_ADD) {
        return check_new_member(member, err);
    }
    r = find_member(rq, change, err);
    bool needs_id = change->op.kind == TT_CHANGE_PROMOTE || change->op.kind == TT_CHANGE_REMOVE;
    if (r == TT_OK && needs_id && member->id == 0) {
        return TT_FAIL(err, TT_EINVAL, "name the member by name or id");
    }
    return r;
}

int api_handle_change(struct api_request *rq, struct tt_err *err)
{
    struct change *change = TT_NEW(struct change);
    tt_err_init(&change->op.err);
    int r = read_change(rq, change, err);
    if (r) {
        tt_free(change);
        return r;
    }
    uint64_t wait_ms = rq->query.timeout_ms > 0 ? rq->query.timeout_ms : CHANGE_WAIT_MS;
    wait_ms = wait_ms < CHANGE_WAIT_MS_MAX ? wait_ms : CHANGE_WAIT_MS_MAX;
    struct tt_api_worker *worker = rq->worker;
    change->rq = rq;
    change->worker = worker;
    change->op.deadline_ms = api_now_ms(worker) + wait_ms;
    change->op.reply = tt_loop_mailbox(worker->loop);
    change->op.done = change_done;
    change->op.ctx = change;
    struct tt_cluster *cluster = worker->api->config.cluster;
    r = cluster->change(cluster, &change->op);
    if (r) {
        tt_free(change);
        return TT_FAIL(err, r, "the change could not be submitted");
    }
    worker->ops_out++;
    rq->op = change;
    rq->cleanup = change_cleanup;
    return TT_OK;
}

/* ---- backup ---- */

struct backup_op {
    struct tt_snapshot_writer *writer; /* owned; pins the version; NULL after cleanup */
    struct tt_buf piece;               /* written, not yet taken */
    bool ended;                        /* piece is the last */
};

static void backup_cleanup(struct api_request *rq)
{
    struct backup_op *op = rq->op;
    tt_snapshot_writer_free(op->writer);
    op->writer = NULL;
    tt_buf_fini(&op->piece);
}

static void backup_pump(struct api_request *rq)
{
    struct backup_op *op = rq->op;
    for (;;) {
        if (op->piece.len > 0) {
            struct tt_http_part part = {.bytes = tt_buf_view(&op->piece)};
            int r = tt_http_stream_write(rq->ex, &part, 1);
            if (r == TT_EBUSY) {
                return;
            }
            if (r) {
                api_stream_abort(rq);
                return;
            }
            tt_buf_reset(&op->piece);
        }
        if (op->ended) {
            api_stream_end(rq);
            return;
        }
        if (tt_snapshot_writer_next(op->writer, BACKUP_PIECE_SIZE, &op->piece, &op->ended, NULL) ||
            !tt_buf_ok(&op->piece)) {
            api_stream_abort(rq);
            return;
        }
    }
}

static void backup_drained(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    struct api_request *rq = tt_http_user(ex);
    if (tt_sm_state(&rq->sm) == API_STREAMING) {
        backup_pump(rq);
    }
}

static int backup_from(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct backup_op *op = tt_arena_alloc(rq->arena, sizeof *op);
    if (!op) {
        return api_no_memory(err);
    }
    memset(op, 0, sizeof *op);
    op->writer = tt_snapshot_writer_new(version);
    tt_buf_init(&op->piece, BACKUP_BUF_MAX);
    rq->op = op;
    rq->cleanup = backup_cleanup;
    api_stream_begin(rq, "application/octet-stream", backup_drained);
    backup_pump(rq);
    return TT_OK;
}

int api_handle_backup(struct api_request *rq, struct tt_err *err)
{
    (void)err;
    api_barrier(rq, backup_from);
    return TT_OK;
}

/* Happy path and failures: see write.h. Two details:
 * A refusal that depends on stored state is only told after a read index and a second look; errors
 * of the body itself are told at once.
 * Exactly once: a keyed request that is refused may have been applied before (a retry of a create
 * finds its own object): a transaction that cannot apply, under the same key, asks the store, which
 * repeats the first answer if there was one. A keyed success is answered from history at the
 * revision the store names, so that a retry gets the object of the first try. */
#include "api/routes/write.h"

static int propose(struct api_request *rq, struct api_write *op, struct tt_err *err);
static int attempt(struct api_request *rq, struct tt_version *version, struct tt_err *err);

int api_write_conflict(struct api_request *rq, struct tt_err *err)
{
    return TT_FAIL(err, TT_ECONFLICT,
                   "Operation cannot be fulfilled on %s: the object has been modified; please "
                   "apply your changes to the latest version and try again",
                   api_object_title(rq, rq->path.name));
}

int api_write_decode(struct api_request *rq, struct api_write *op, struct tt_object *ret_object,
                     struct tt_err *err)
{
    struct tt_issues found;
    tt_issues_init(&found, rq->worker->scratch);
    int r = tt_object_decode(rq->kind, op->body, op->validation, &found, ret_object, err);
    tt_issues_append(&rq->warnings, &found);
    return r;
}

struct tt_str api_write_keep(struct api_request *rq, struct tt_str text)
{
    const char *copy = tt_arena_strndup(rq->arena, text.len > 0 ? text.ptr : "", text.len);
    return copy ? tt_str(copy, text.len) : TT_STR("");
}

/* revision 0: the object comes without resourceVersion. */
static int load(struct api_request *rq, const struct tt_item *item, uint64_t revision,
                struct tt_object *ret_object, struct tt_err *err)
{
    struct tt_arena *scratch = rq->worker->scratch;
    struct tt_str text;
    int r = tt_item_text(item, rq->worker->api->config.sealer, scratch, &text, err);
    return r ? r : tt_object_stored(rq->kind, scratch, text, revision, ret_object, err);
}

int api_write_load(struct api_request *rq, struct api_write *op, struct tt_object *ret_old,
                   struct tt_err *err)
{
    const struct tt_item *item = tt_version_get(op->admission.version, rq->key);
    if (!item) {
        return api_not_found(rq, rq->path.name, err);
    }
    int r = load(rq, item, 0, ret_old, err); /* nobody asks it for its resourceVersion */
    if (r) {
        return r;
    }
    op->key = rq->key;
    op->old_revision = item->mod_revision;
    tt_admission_compare(&op->admission, rq->key, item->mod_revision);
    return TT_OK;
}

int api_write_stored(struct api_request *rq, const struct tt_item *item,
                     struct tt_object *ret_object, struct tt_err *err)
{
    return load(rq, item, item->mod_revision, ret_object, err);
}

int api_write_encode(struct api_request *rq, struct api_write *op, const struct tt_object *object,
                     struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    int r = tt_object_encode(object, buf, &op->splice, err);
    if (r) {
        return r;
    }
    char *copy = tt_buf_ok(buf) ? tt_arena_strndup(rq->arena, buf->ptr, buf->len) : NULL;
    if (!copy) {
        return api_no_memory(err);
    }
    op->text = tt_str(copy, buf->len);
    return TT_OK;
}

/* ---- answers ---- */

static int answer(struct api_request *rq, struct api_write *op, uint64_t revision,
                  struct tt_err *err)
{
    if (op->answers_status) {
        api_respond_success(rq, op->http_status, op->name, op->uid);
        return TT_OK;
    }
    struct api_view view = {op->text, op->splice, revision, NULL};
    if (op->shown.len > 0) {
        view = (struct api_view){op->shown, op->shown_splice, revision, NULL};
    }
    return api_respond_object(rq, op->http_status, &view, err);
}

/* The change a keyed request made, from history; what is there now when history is gone. */
static int answer_keyed(struct api_request *rq, struct api_write *op, uint64_t revision,
                        struct tt_err *err)
{
    struct tt_version *version = tt_store_version(rq->worker->api->config.store);
    struct tt_history_cursor cursor;
    struct tt_change change = {0};
    int r = TT_OK;
    bool found = revision > 0 && tt_history_seek(version, revision - 1, &cursor, NULL) == TT_OK &&
                 tt_history_next(version, &cursor, &change) && change.revision == revision;
    if (op->shown.len > 0) {
        r = answer(rq, op, revision, err);
    } else if (found && !change.item) {
        api_respond_success(rq, op->http_status, op->name.len > 0 ? op->name : rq->path.name,
                            op->uid);
    } else if (found) {
        struct tt_str text;
        r = tt_item_text(change.item, rq->worker->api->config.sealer, rq->arena, &text, err);
        if (r == TT_OK) {
            bool is_own = change.item->value.codec == TT_CODEC_JSON; /* text is the item's own */
            struct api_view view = {text, change.item->value.splice, revision,
                                    is_own ? change.item : NULL};
            r = api_respond_object(rq, op->http_status, &view, err);
        }
    } else if (op->text.len > 0) {
        r = answer(rq, op, revision, err);
    } else {
        api_respond_success(rq, op->http_status, rq->path.name, op->uid);
    }
    tt_version_unref(version);
    return r;
}

/* ---- proposing ---- */

/* The newest version will do without a read index. An outcome is told once this server has
 * published what it came of (server/store/proposer.h; a forwarded write too: raft/proposals.c), so
 * that version holds the change that the compare met. And it holds all that was committed before
 * the request came, for our proposal took its place in the log behind that: what is refused now is
 * refused on a state that is up to date. Only a store that is being replaced by a snapshot lags. */
static int conflict_again(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    rq->worker->metrics.conflicts++;
    if (op->attempts >= API_WRITE_ATTEMPTS) {
        return api_write_conflict(rq, err);
    }
    op->confirmed = true;
    struct tt_version *version = tt_store_version(rq->worker->api->config.store);
    uint64_t present = tt_version_revision(version);
    int r = TT_OK;
    if (present == 0 || present < op->seen_revision) { /* a snapshot is being installed */
        api_barrier(rq, attempt);
    } else {
        r = attempt(rq, version, err);
    }
    tt_version_unref(version);
    return r;
}

static int outcome_error(const struct api_outcome *outcome, struct tt_err *err)
{
    switch (outcome->code) {
    case TT_ETIMEOUT:
        return TT_FAIL(err, TT_ETIMEOUT,
                       "Timeout: request did not complete within requested timeout - the write may "
                       "or may not have been applied");
    case TT_ENOSPACE:
        return TT_FAIL(err, TT_ENOSPACE,
                       "the servers' disk reserve is reached: only deletions are accepted");
    case TT_EBUSY:
        return TT_FAIL(err, TT_EBUSY, "Too many requests, please try again later.");
    default:
        return TT_FAIL(err, outcome->code,
                       outcome->code == TT_EUNAVAILABLE
                           ? "no leader could be reached in time: nothing was written"
                           : "the write failed");
    }
}

static int proposed(struct api_request *rq, const struct api_outcome *outcome, struct tt_err *err)
{
    struct api_write *op = rq->op;
    if (outcome->code == TT_ECONFLICT) {
        return conflict_again(rq, op, err);
    }
    if (outcome->code) {
        return outcome_error(outcome, err);
    }
    if (rq->http->request_key.len > 0) {
        return answer_keyed(rq, op, outcome->revision_first, err);
    }
    return answer(rq, op, outcome->revision_first, err);
}

static int submit(struct api_request *rq, const struct tt_txn *txn,
                  int (*result)(struct api_request *rq, const struct api_outcome *outcome,
                                struct tt_err *err),
                  struct tt_err *err)
{
    struct tt_bytes *command = NULL;
    int r = tt_txn_encode(txn, &command, err);
    if (r == TT_OK) {
        api_propose(rq, command, result);
    }
    return r;
}

static int propose(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_txn_op change = {.kind = op->action == API_WRITE_DELETE ? TT_OP_DELETE : TT_OP_PUT,
                               .key = op->key};
    if (change.kind == TT_OP_PUT) {
        change.value = (struct tt_value){TT_CODEC_JSON, op->splice, TT_STR(""), op->text};
        int r =
            tt_value_seal(rq->worker->api->config.sealer, rq->arena, op->key, &change.value, err);
        if (r) {
            return r;
        }
    }
    struct tt_txn txn = {
        .compares = op->admission.compares,
        .compare_count = op->admission.compare_count,
        .ops = &change,
        .op_count = 1,
        .actor = rq->subject.uri,
        .verb = tt_str_c(tt_verb_name(rq->verb)),
        .request_id = rq->http->request_key,
    };
    op->attempts++;
    return submit(rq, &txn, proposed, err);
}

/* ---- exactly once ---- */

static int probed(struct api_request *rq, const struct api_outcome *outcome, struct tt_err *err)
{
    struct api_write *op = rq->op;
    if (outcome->code == TT_OK && outcome->revision_first > 0) {
        return answer_keyed(rq, op, outcome->revision_first, err);
    }
    if (outcome->code && outcome->code != TT_ECONFLICT) {
        return outcome_error(outcome, err);
    }
    *err = op->refusal;
    return op->refusal.code;
}

static int probe(struct api_request *rq, struct api_write *op, const struct tt_err *refusal,
                 struct tt_err *err)
{
    op->refusal = *refusal;
    struct tt_str key = rq->key.len > 0 ? rq->key : TT_STR("o/");
    struct tt_compare never = {key, UINT64_MAX};
    struct tt_txn txn = {
        .compares = &never,
        .compare_count = 1,
        .actor = rq->subject.uri,
        .verb = tt_str_c(tt_verb_name(rq->verb)),
        .request_id = rq->http->request_key,
    };
    tt_err_init(err);
    return submit(rq, &txn, probed, err);
}

/* ---- attempts ---- */

/* Errors of the request's own bytes do not change with the version. */
static bool depends_on_state(int code)
{
    return code != TT_EINVAL && code != TT_EMEDIATYPE && code != TT_ETOOLARGE &&
           code != TT_EUNAVAILABLE && code != TT_ECORRUPT;
}

static int refused(struct api_request *rq, struct api_write *op, int code, struct tt_err *err)
{
    if (!depends_on_state(code)) {
        return code;
    }
    if (!op->confirmed) {
        op->confirmed = true;
        api_barrier(rq, attempt);
        return TT_OK;
    }
    if (rq->http->request_key.len > 0 && !api_is_dry_run(rq)) {
        struct tt_err refusal = *err;
        return probe(rq, op, &refusal, err);
    }
    return code;
}

static int decide(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct api_write *op = rq->op;
    op->admission.version = version;
    op->seen_revision = tt_version_revision(version);
    op->admission.compare_count = 0;
    tt_issues_init(&rq->warnings, rq->arena);
    rq->causes = NULL;
    int r = TT_OK;
    if (rq->subject.kind == TT_SUBJECT_AGENT) {
        r = api_authorise(rq, version, err); /* an agent's rights are those of this version */
        op->admission.grant = rq->grant;
    }
    if (r == TT_OK) {
        r = op->admit(rq, op, err);
    }
    op->admission.version = NULL;
    if (r) {
        return refused(rq, op, r, err);
    }
    bool dry_run = api_is_dry_run(rq) || op->delete_options.dry_run;
    if (op->action != API_WRITE_NOTHING && !dry_run) {
        return propose(rq, op, err);
    }
    if (!op->confirmed) {
        op->confirmed = true;
        api_barrier(rq, attempt);
        return TT_OK;
    }
    return answer(rq, op, op->old_revision, err);
}

/* Documents of an attempt lie in the worker's scratch, which is warm from the one before; what
 * waits for the commit with the request is small. */
static int attempt(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    tt_arena_reset(rq->worker->scratch);
    if (tt_kind_is_sealed(rq->kind)) {
        tt_arena_hold_secret(rq->worker->scratch); /* the body, too: overwritten below */
    }
    int r = decide(rq, version, err);
    tt_arena_reset(rq->worker->scratch);
    return r;
}

int api_write_new(struct api_request *rq, struct api_write **ret_op, struct tt_err *err)
{
    struct api_write *op = tt_arena_alloc(rq->arena, sizeof *op);
    if (!op) {
        return api_no_memory(err);
    }
    memset(op, 0, offsetof(struct api_write, refusal));
    tt_err_init(&op->refusal);
    if (!tt_field_validation_parse(rq->query.field_validation, &op->validation)) {
        return TT_FAIL(err, TT_EINVAL,
                       "fieldValidation: Unsupported value: \"%.*s\": supported values: "
                       "\"Ignore\", \"Warn\", \"Strict\"",
                       TT_STR_ARG(rq->query.field_validation));
    }
    op->http_status = 200;
    op->admission.arena = rq->arena;
    op->admission.subject = &rq->subject;
    op->admission.grant = rq->grant;
    op->admission.now_ms = tt_clock_wall_ms(rq->worker->api->config.clock);
    rq->op = op;
    *ret_op = op;
    return TT_OK;
}

int api_write_new_json(struct api_request *rq,
                       int (*admit)(struct api_request *rq, struct api_write *op,
                                    struct tt_err *err),
                       struct api_write **ret_op, struct tt_err *err)
{
    int r = api_write_new(rq, ret_op, err);
    if (r == TT_OK) {
        r = api_body_json(rq, &(*ret_op)->body, err);
    }
    if (r == TT_OK) {
        (*ret_op)->admit = admit;
    }
    return r;
}

int api_write_start(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    TT_ASSERT(op->admit != NULL);
    struct tt_version *version = tt_store_version(rq->worker->api->config.store);
    int r = attempt(rq, version, err);
    tt_version_unref(version);
    return r;
}

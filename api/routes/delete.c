/* DELETE of an object and of a collection.
 *
 * Happy path of one: options from the body (or the query), preconditions, then the row goes, or is
 * marked for those who hold it. A collection is walked in pieces of transactions of up to
 * PIECE_OPS rows, each row compared; a piece whose compare fails is decided again.
 * Failure: a precondition that does not hold is a conflict and nothing changes. */
#include "api/kinds/status.h"
#include "api/routes/selection.h"
#include "api/routes/write.h"

enum { PIECE_OPS = 32, COLLECTION_ATTEMPTS = 64, PIECE_SIZE_MAX = 512 << 10 };

/* Query parameters count when the body does not say. */
static int merge_query(const struct api_request *rq, struct tt_delete_options *options,
                       struct tt_err *err)
{
    const struct api_query *query = &rq->query;
    if (query->has_grace_period && !options->has_grace) {
        options->has_grace = true;
        options->grace_s = query->grace_period_s;
    }
    if (query->propagation_policy.len > 0 && !options->orphan && !options->foreground) {
        options->orphan = tt_str_eq_c(query->propagation_policy, "Orphan");
        options->foreground = tt_str_eq_c(query->propagation_policy, "Foreground");
        if (!options->orphan && !options->foreground &&
            !tt_str_eq_c(query->propagation_policy, "Background")) {
            return TT_FAIL(err, TT_EINVAL, "Invalid value: \"%.*s\": unknown propagationPolicy",
                           TT_STR_ARG(query->propagation_policy));
        }
    }
    options->orphan = options->orphan || query->orphan_dependents;
    options->dry_run = options->dry_run || query->dry_run.len > 0;
    return TT_OK;
}

/* A field of the wrong type must not read as one that is absent: a precondition or a dry run would
 * be lost. Unknown fields are passed over, as in Kubernetes. */
static int check_options(struct api_request *rq, yyjson_mut_doc *doc, struct tt_err *err)
{
    return api_check_body(rq, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", doc,
                          TT_FIELDS_IGNORE, err);
}

static int read_options(struct api_request *rq, struct tt_delete_options *ret_options,
                        struct tt_err *err)
{
    struct tt_str json;
    yyjson_mut_doc *doc = NULL;
    int r = api_body_json(rq, &json, err);
    bool present = r == TT_OK && tt_str_trim(json).len > 0;
    if (present) {
        r = tt_json_parse(rq->arena, json, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
        r = r ? r : check_options(rq, doc, err);
    }
    if (r == TT_OK) {
        yyjson_mut_val *root = present ? yyjson_mut_doc_get_root(doc) : NULL;
        r = tt_delete_options_read(root, ret_options, err);
    }
    return r ? r : merge_query(rq, ret_options, err);
}

static int admit_delete(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_object object;
    int r = api_write_load(rq, op, &object, err);
    if (r) {
        return r;
    }
    enum tt_deletion outcome = TT_DELETION_REMOVE;
    r = tt_admit_delete(&op->admission, &object, op->old_revision, &op->delete_options, &outcome,
                        err);
    if (r) {
        return r;
    }
    op->name = rq->path.name;
    op->uid = api_write_keep(rq, tt_object_uid(&object));
    op->answers_status = outcome == TT_DELETION_REMOVE;
    op->action = outcome == TT_DELETION_REMOVE ? API_WRITE_DELETE
                 : outcome == TT_DELETION_MARK ? API_WRITE_PUT
                                               : API_WRITE_NOTHING;
    return outcome == TT_DELETION_REMOVE ? TT_OK : api_write_encode(rq, op, &object, err);
}

static int admit_eviction(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    int r = admit_delete(rq, op, err);
    op->answers_status = true; /* also when the pod only goes later */
    return r;
}

int api_handle_delete(struct api_request *rq, struct tt_err *err)
{
    struct api_write *op = NULL;
    int r = api_write_new(rq, &op, err);
    if (r == TT_OK) {
        r = read_options(rq, &op->delete_options, err);
    }
    if (r) {
        return r;
    }
    op->admit = admit_delete;
    return api_write_start(rq, op, err);
}

static int read_eviction(struct api_request *rq, yyjson_mut_doc *doc,
                         struct tt_delete_options *ret_options, struct tt_err *err)
{
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct tt_str name = tt_json_get_str(root, "metadata.name");
    struct tt_str kind = tt_json_get_str(root, "kind");
    if (!yyjson_mut_is_obj(root) || (kind.len > 0 && !tt_str_eq_c(kind, "Eviction")) ||
        (name.len > 0 && !tt_str_eq(name, rq->path.name))) {
        return TT_FAIL(err, TT_EINVAL, "the body must be an Eviction of the pod in the URL");
    }
    yyjson_mut_val *options = tt_json_get(root, "deleteOptions");
    int r = TT_OK;
    if (options) {
        yyjson_mut_doc_set_root(doc, options);
        r = check_options(rq, doc, err);
    }
    return r ? r : tt_delete_options_read(options, ret_options, err);
}

/* POST of pods/NAME/eviction: a deletion that asks politely. Nothing may object to it (there are no
 * disruption budgets yet), so it is one. */
int api_handle_eviction(struct api_request *rq, struct tt_err *err)
{
    struct api_write *op = NULL;
    yyjson_mut_doc *doc = NULL;
    int r = api_write_new_json(rq, admit_eviction, &op, err);
    if (r == TT_OK) {
        r = tt_json_parse(rq->arena, op->body, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    }
    if (r) {
        return r;
    }
    r = read_eviction(rq, doc, &op->delete_options, err);
    if (r) {
        return r;
    }
    op->http_status = 201;
    return api_write_start(rq, op, err);
}

/* ---- collections ---- */

struct collection_op {
    struct tt_delete_options options; /* the same for each object */
    struct api_selection selection;   /* from moves on: what is left */
    struct tt_str next;               /* where the piece at hand ends */
    bool last;                        /* nothing is left behind the piece */
    unsigned conflicts;               /* pieces decided again; bounded by COLLECTION_ATTEMPTS */
};
struct piece {
    struct tt_compare compares[PIECE_OPS]; /* one per op */
    struct tt_txn_op ops[PIECE_OPS];       /* deletions, and puts of what is only marked */
    size_t op_count;                       /* of ops and compares */
    size_t size;                           /* bytes of the puts */
};

static int collection_piece(struct api_request *rq, struct tt_version *version, struct tt_err *err);

/* The piece at hand is done, or only looked at: goes on behind it. */
static void next_piece(struct api_request *rq)
{
    struct collection_op *op = rq->op;
    op->selection.from = op->next;
    if (op->last) {
        api_respond_success(rq, 200, TT_STR(""), TT_STR(""));
    } else {
        api_barrier(rq, collection_piece);
    }
}

static int put_marked(struct api_request *rq, const struct tt_object *object, struct tt_txn_op *op,
                      struct tt_err *err)
{
    struct api_write scratch = {0};
    int r = api_write_encode(rq, &scratch, object, err);
    if (r) {
        return r;
    }
    op->kind = TT_OP_PUT;
    op->value = (struct tt_value){TT_CODEC_JSON, scratch.splice, TT_STR(""), scratch.text};
    return tt_value_seal(rq->worker->api->config.sealer, rq->arena, op->key, &op->value, err);
}

static int add_item(struct api_request *rq, struct collection_op *op, const struct tt_item *item,
                    struct piece *piece, struct tt_err *err)
{
    struct tt_str text;
    yyjson_doc *doc = NULL;
    struct tt_arena *scratch = rq->worker->scratch;
    tt_arena_reset(scratch);
    int r = tt_item_text(item, rq->worker->api->config.sealer, scratch, &text, err);
    if (r == TT_OK) {
        r = tt_json_read(scratch, text, &doc, err);
    }
    if (r || !api_selection_matches(&op->selection, yyjson_doc_get_root(doc))) {
        return r;
    }
    struct tt_admission admission = {.arena = rq->arena,
                                     .now_ms = tt_clock_wall_ms(rq->worker->api->config.clock)};
    struct tt_object object;
    enum tt_deletion outcome = TT_DELETION_REMOVE;
    r = tt_object_stored(rq->kind, scratch, text, item->mod_revision, &object, err);
    if (r == TT_OK) {
        r = tt_admit_delete(&admission, &object, item->mod_revision, &op->options, &outcome, err);
    }
    if (r || outcome == TT_DELETION_UNCHANGED) {
        return r;
    }
    char *key = tt_arena_strndup(rq->arena, item->key.ptr, item->key.len);
    if (!key) {
        return api_no_memory(err);
    }
    struct tt_txn_op *change = &piece->ops[piece->op_count];
    *change = (struct tt_txn_op){.kind = TT_OP_DELETE, .key = tt_str(key, item->key.len)};
    piece->compares[piece->op_count] = (struct tt_compare){change->key, item->mod_revision};
    if (outcome == TT_DELETION_MARK) {
        r = put_marked(rq, &object, change, err);
        piece->size += change->value.bytes.len;
    }
    piece->op_count++;
    return r;
}

static int collection_proposed(struct api_request *rq, const struct api_outcome *outcome,
                               struct tt_err *err)
{
    struct collection_op *op = rq->op;
    if (outcome->code == TT_ECONFLICT) {
        if (++op->conflicts > COLLECTION_ATTEMPTS) {
            return api_write_conflict(rq, err);
        }
        api_barrier(rq, collection_piece);
        return TT_OK;
    }
    if (outcome->code) {
        return TT_FAIL(err, outcome->code, "the collection was deleted in part");
    }
    next_piece(rq);
    return TT_OK;
}

/* The smallest key behind this one. */
static int key_behind(struct api_request *rq, struct tt_str key, struct tt_str *ret_next,
                      struct tt_err *err)
{
    char *next = tt_arena_alloc(rq->arena, key.len + 1);
    if (!next) {
        return api_no_memory(err);
    }
    memcpy(next, key.ptr, key.len);
    next[key.len] = '\0';
    *ret_next = tt_str(next, key.len + 1);
    return TT_OK;
}

static int collect(struct api_request *rq, struct collection_op *op, struct tt_version *version,
                   struct piece *piece, struct tt_err *err)
{
    struct tt_scan *scan = NULL;
    int r = tt_scan_new(version, op->selection.from, op->selection.to, 0, &scan, err);
    if (r) {
        return r;
    }
    const struct tt_item *item = NULL;
    const struct tt_item *newest = NULL;
    while (r == TT_OK && piece->op_count < PIECE_OPS && piece->size < PIECE_SIZE_MAX &&
           (item = tt_scan_next(scan))) {
        r = add_item(rq, op, item, piece, err);
        newest = item;
    }
    op->last = item == NULL;
    if (r == TT_OK && newest) {
        r = key_behind(rq, newest->key, &op->next, err);
    }
    tt_scan_free(scan);
    return r;
}

static int collection_piece(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct collection_op *op = rq->op;
    struct piece *piece = tt_arena_alloc(rq->arena, sizeof *piece);
    if (!piece) {
        return api_no_memory(err);
    }
    memset(piece, 0, sizeof *piece);
    int r = collect(rq, op, version, piece, err);
    if (r) {
        return r;
    }
    if (piece->op_count == 0 || op->options.dry_run) {
        next_piece(rq); /* one without rows is the last */
        return TT_OK;
    }
    struct tt_txn txn = {.compares = piece->compares,
                         .compare_count = piece->op_count,
                         .ops = piece->ops,
                         .op_count = piece->op_count,
                         .actor = rq->subject.uri,
                         .verb = TT_STR("deletecollection")};
    struct tt_bytes *command = NULL;
    r = tt_txn_encode(&txn, &command, err);
    if (r == TT_OK) {
        api_propose(rq, command, collection_proposed);
    }
    return r;
}

int api_handle_delete_collection(struct api_request *rq, struct tt_err *err)
{
    struct collection_op *op = tt_arena_alloc(rq->arena, sizeof *op);
    if (!op) {
        return api_no_memory(err);
    }
    memset(op, 0, sizeof *op);
    rq->op = op;
    int r = read_options(rq, &op->options, err);
    if (r == TT_OK) {
        r = api_selection_range(rq, &op->selection, err);
    }
    if (r == TT_OK) {
        r = api_selection_parse(rq, &op->selection, err);
    }
    if (r) {
        return r;
    }
    api_barrier(rq, collection_piece);
    return TT_OK;
}

/* A pass: views of one immutable version on one side, a bounded list of writes on the other.
 *
 * Every write carries the revision it was planned against (0 for a create), which becomes a
 * compare of the transaction; tt_pass_rely adds compares for rows that were only read. When the
 * list is full the plan stops with TT_EBUSY; the engine commits what is there and plans again. */
#include "reconciler/engine/pass.h"

enum { ARENA_CHUNK = 64 << 10 };

struct tt_pass *tt_pass_new(struct tt_version *version, struct tt_kinds *kinds,
                            const struct tt_clock *clock, uint64_t seed)
{
    struct tt_pass *pass = TT_NEW(struct tt_pass);
    pass->version = tt_version_ref(version);
    pass->kinds = tt_kinds_ref(kinds);
    pass->arena = tt_arena_new(ARENA_CHUNK, TT_PASS_ARENA_MAX);
    pass->now_ms = tt_clock_wall_ms(clock);
    pass->monotonic_ms = tt_clock_ms(clock);
    tt_rng_seed(&pass->rng, seed);
    return pass;
}

void tt_pass_free(struct tt_pass *pass)
{
    if (pass == NULL) {
        return;
    }
    tt_arena_free(pass->arena);
    tt_kinds_unref(pass->kinds);
    tt_version_unref(pass->version);
    tt_free(pass);
}

bool tt_item_json(const struct tt_pass_seal *seal, const struct tt_item *item,
                  struct tt_arena *arena, struct tt_str *ret_text)
{
    if (item != NULL && item->value.codec == TT_CODEC_JSON) {
        *ret_text = item->value.bytes;
        return true;
    }
    if (item == NULL || item->value.codec != TT_CODEC_SEALED || seal == NULL) {
        return false;
    }
    tt_arena_hold_secret(arena);
    return seal->open(seal, item, arena, ret_text, NULL) == TT_OK;
}

static int no_room(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the pass needs more than %d MiB", TT_PASS_ARENA_MAX >> 20);
}

/* key_of(prefix or object) in the arena. */
static int arena_key(struct tt_pass *pass, const struct tt_object_ref *ref, bool prefix,
                     struct tt_str *ret_key, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 2 * TT_OBJECT_KEY_SIZE_MAX);
    int r = prefix ? tt_key_list_prefix(&buf, ref, err) : tt_key_object(&buf, ref, err);
    if (r != TT_OK) {
        return r;
    }
    char *copy = tt_arena_strndup(pass->arena, buf.ptr, buf.len);
    if (copy == NULL) {
        return no_room(err);
    }
    *ret_key = tt_str(copy, buf.len);
    return TT_OK;
}

int tt_pass_view(struct tt_pass *pass, const struct tt_item *item, struct tt_view *ret_view,
                 struct tt_err *err)
{
    yyjson_doc *doc;
    struct tt_view view = {.item = item, .root = NULL};
    bool is_object = tt_key_parse(item->key, &view.ref);
    TT_ASSERT(is_object);
    struct tt_str text;
    if (!tt_item_json(pass->seal, item, pass->arena, &text)) {
        *ret_view = view; /* sealed: plans see its key and revision only */
        return TT_OK;
    }
    int r = tt_json_read(pass->arena, text, &doc, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "read stored %.*s", TT_STR_ARG(item->key));
    }
    view.root = yyjson_doc_get_root(doc);
    *ret_view = view;
    return TT_OK;
}

int tt_pass_get(struct tt_pass *pass, const struct tt_object_ref *ref, struct tt_view *ret_view,
                struct tt_err *err)
{
    struct tt_str key = TT_STR_NONE;
    int r = arena_key(pass, ref, false, &key, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_item *item = tt_version_get(pass->version, key);
    if (item == NULL) {
        *ret_view = (struct tt_view){.item = NULL};
        bool parsed = tt_key_parse(key, &ret_view->ref);
        TT_ASSERT(parsed);
        return TT_OK;
    }
    return tt_pass_view(pass, item, ret_view, err);
}

int tt_pass_search(struct tt_pass *pass, const struct tt_pass_search *search, struct tt_err *err)
{
    struct tt_str from = TT_STR_NONE;
    int r = arena_key(pass, search->prefix, true, &from, err);
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO_BUF struct tt_buf end;
    tt_buf_init(&end, 2 * TT_OBJECT_KEY_SIZE_MAX);
    tt_key_prefix_end(from, &end);
    TT_AUTO(tt_scan) scan = NULL;
    r = tt_scan_new(pass->version, from, tt_buf_view(&end), 0, &scan, err);
    const struct tt_item *item;
    while (r == TT_OK && (item = tt_scan_next(scan)) != NULL) {
        struct tt_view view;
        if (search->needle.len > 0 && tt_str_find_str(item->value.bytes, search->needle) < 0) {
            continue;
        }
        r = tt_pass_view(pass, item, &view, err);
        if (r == TT_OK) {
            r = search->each(search->ctx, &view, err);
        }
    }
    return r;
}

int tt_pass_each(struct tt_pass *pass, const struct tt_object_ref *prefix,
                 int (*each)(void *ctx, const struct tt_view *view, struct tt_err *err), void *ctx,
                 struct tt_err *err)
{
    const struct tt_pass_search search = {.prefix = prefix, .each = each, .ctx = ctx};
    return tt_pass_search(pass, &search, err);
}

int tt_pass_rely(struct tt_pass *pass, const struct tt_view *view, struct tt_err *err)
{
    struct tt_str key;
    if (view->item != NULL) {
        key = view->item->key;
    } else {
        int r = arena_key(pass, &view->ref, false, &key, err);
        if (r != TT_OK) {
            return r;
        }
    }
    size_t max = sizeof pass->relied / sizeof pass->relied[0];
    if (pass->relied_count == max) {
        return TT_FAIL(err, TT_EBUSY, "the plan relies on more than %zu rows", max);
    }
    pass->relied[pass->relied_count++] = (struct tt_compare){
        .key = key, .mod_revision = view->item != NULL ? view->item->mod_revision : 0};
    return TT_OK;
}

const struct tt_kind *tt_pass_kind(const struct tt_pass *pass, const struct tt_object_ref *ref)
{
    size_t count = tt_kinds_count(pass->kinds);
    for (size_t i = 0; i < count; i++) {
        const struct tt_kind *kind = tt_kinds_at(pass->kinds, i);
        if (tt_str_eq(kind->group, ref->group) && tt_str_eq(kind->plural, ref->resource)) {
            return kind;
        }
    }
    return NULL;
}

int tt_pass_edit(struct tt_pass *pass, const struct tt_view *view, struct tt_object *ret_object,
                 struct tt_err *err)
{
    TT_ASSERT(view->item != NULL);
    const struct tt_kind *kind = tt_pass_kind(pass, &view->ref);
    struct tt_str text;
    if (kind == NULL || !tt_item_json(pass->seal, view->item, pass->arena, &text)) {
        return TT_FAIL(err, TT_EINVALID, "%.*s cannot be edited: its kind is unknown or sealed",
                       TT_STR_ARG(view->item->key));
    }
    return tt_object_stored(kind, pass->arena, text, 0, ret_object, err);
}

static int plan_write(struct tt_pass *pass, const struct tt_pass_write *write, struct tt_err *err)
{
    for (size_t i = 0; i < pass->write_count; i++) {
        TT_ASSERT(!tt_str_eq(pass->writes[i].key, write->key));
    }
    if (pass->write_count == TT_PASS_WRITES_MAX) {
        return TT_FAIL(err, TT_EBUSY, "the plan has more than %d writes", TT_PASS_WRITES_MAX);
    }
    pass->writes[pass->write_count++] = *write;
    return TT_OK;
}

static int plan_put(struct tt_pass *pass, struct tt_str key, uint64_t mod_revision,
                    const struct tt_object *object, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, TT_OBJECT_SIZE_MAX);
    struct tt_pass_write write = {.kind = TT_OP_PUT, .key = key, .mod_revision = mod_revision};
    int r = tt_object_encode(object, &buf, &write.splice, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "encode %.*s", TT_STR_ARG(key));
    }
    char *json = tt_arena_strndup(pass->arena, buf.ptr, buf.len);
    if (json == NULL) {
        return no_room(err);
    }
    write.json = tt_str(json, buf.len);
    return plan_write(pass, &write, err);
}

/* Five characters that cannot spell words, as generated names have them. */
static void name_suffix(struct tt_rng *rng, char out[6])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < 5; i++) {
        out[i] = alphabet[tt_rng_below(rng, sizeof alphabet - 1)];
    }
    out[5] = 0;
}

int tt_pass_create(struct tt_pass *pass, const struct tt_kind *kind, struct tt_str ns,
                   yyjson_mut_doc *doc, struct tt_err *err)
{
    struct tt_object object = {
        .kind = kind, .arena = pass->arena, .doc = doc, .root = yyjson_mut_doc_get_root(doc)};
    struct tt_issues issues;
    tt_issues_init(&issues, pass->arena);
    char uid[TT_UUID_TEXT_SIZE];
    char suffix[6];
    tt_uuid_v4(uid);
    name_suffix(&pass->rng, suffix);
    const struct tt_object_create params = {
        .ns = ns, .now_ms = pass->now_ms, .uid = uid, .name_suffix = suffix};
    int r = tt_object_adopt(&object, TT_FIELDS_STRICT, &issues, err);
    if (r == TT_OK) {
        r = tt_object_prepare_create(&object, &params, err);
    }
    if (r == TT_OK) {
        r = tt_object_validate(&object, &issues, err);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "plan a new %.*s", TT_STR_ARG(kind->kind));
    }
    const struct tt_object_ref ref = {kind->group, kind->plural, ns, tt_object_name(&object)};
    struct tt_str key;
    r = arena_key(pass, &ref, false, &key, err);
    return r != TT_OK ? r : plan_put(pass, key, 0, &object, err);
}

int tt_pass_update(struct tt_pass *pass, const struct tt_view *view, struct tt_object *object,
                   enum tt_object_part part, struct tt_err *err)
{
    TT_ASSERT(view->item != NULL);
    struct tt_object old;
    int r = tt_pass_edit(pass, view, &old, err);
    if (r == TT_OK) {
        r = tt_object_prepare_update(object, &old, part, err);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "update %.*s", TT_STR_ARG(view->item->key));
    }
    if (tt_object_deletion_complete(object)) {
        const struct tt_pass_write write = {
            .kind = TT_OP_DELETE, .key = view->item->key, .mod_revision = view->item->mod_revision};
        return plan_write(pass, &write, err);
    }
    if (tt_object_equal(object, &old)) {
        return TT_OK;
    }
    return plan_put(pass, view->item->key, view->item->mod_revision, object, err);
}

int tt_pass_update_status(struct tt_pass *pass, const struct tt_view *view,
                          struct tt_object *object, struct tt_err *err)
{
    size_t before = pass->write_count;
    int r = tt_pass_update(pass, view, object, TT_PART_STATUS, err);
    bool unchanged = r == TT_OK && pass->write_count == before;
    return unchanged && before > 0 ? tt_pass_rely(pass, view, err) : r;
}

int tt_pass_replace(struct tt_pass *pass, const struct tt_view *view,
                    const struct tt_object *object, struct tt_err *err)
{
    TT_ASSERT(view->item != NULL);
    return plan_put(pass, view->item->key, view->item->mod_revision, object, err);
}

int tt_pass_remove(struct tt_pass *pass, const struct tt_view *view, struct tt_err *err)
{
    TT_ASSERT(view->item != NULL);
    const struct tt_pass_write write = {
        .kind = TT_OP_DELETE, .key = view->item->key, .mod_revision = view->item->mod_revision};
    return plan_write(pass, &write, err);
}

int tt_pass_delete(struct tt_pass *pass, const struct tt_view *view, int64_t grace_seconds,
                   struct tt_err *err)
{
    TT_ASSERT(view->item != NULL);
    if (view->root == NULL) {
        return tt_pass_remove(pass, view, err); /* it cannot be read, so nobody can wait for it */
    }
    struct tt_object object;
    enum tt_deletion deletion;
    int r = tt_pass_edit(pass, view, &object, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_deletion_options options = {.now_ms = pass->now_ms,
                                                .grace_seconds = grace_seconds,
                                                .propagation = TT_PROPAGATE_BACKGROUND};
    r = tt_object_prepare_delete(&object, &options, &deletion, err);
    if (r != TT_OK || deletion == TT_DELETION_UNCHANGED) {
        return r;
    }
    if (deletion == TT_DELETION_REMOVE) {
        return tt_pass_remove(pass, view, err);
    }
    return plan_put(pass, view->item->key, view->item->mod_revision, &object, err);
}

void tt_pass_note(struct tt_pass *pass, const struct tt_view *about, enum tt_note_type type,
                  const char *reason, const char *fmt, ...)
{
    const struct tt_kind *kind = tt_pass_kind(pass, &about->ref);
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, (size_t)4 * TT_EVENT_MESSAGE_MAX);
    va_list args;
    va_start(args, fmt);
    tt_buf_vprintf(&text, fmt, args);
    va_end(args);
    const char *message = tt_arena_strndup(pass->arena, text.ptr ? text.ptr : "", text.len);
    if (kind == NULL || message == NULL || pass->note_count == TT_PASS_NOTES_MAX) {
        return; /* nobody depends on it */
    }
    pass->notes[pass->note_count++] = (struct tt_event_note){
        .api_version = kind->api_version,
        .kind = kind->kind,
        .ns = about->ref.ns,
        .name = about->ref.name,
        .uid = tt_view_uid(about),
        .component = pass->component != NULL ? pass->component : "tutti-server",
        .warning = type == TT_NOTE_WARNING,
        .reason = reason,
        .message = tt_str(message, text.len)};
}

struct tt_str tt_pass_written_name(const struct tt_pass *pass)
{
    struct tt_object_ref ref;
    TT_ASSERT(pass->write_count > 0);
    bool parsed = tt_key_parse(pass->writes[pass->write_count - 1].key, &ref);
    TT_ASSERT(parsed);
    return ref.name;
}

static int close_value(const struct tt_pass *pass, struct tt_str key, struct tt_value *value,
                       struct tt_err *err)
{
    return pass->seal != NULL ? pass->seal->close(pass->seal, key, value, pass->arena, err) : TT_OK;
}

int tt_pass_encode(const struct tt_pass *pass, struct tt_str actor, struct tt_bytes **ret_command,
                   struct tt_err *err)
{
    struct tt_compare compares[TT_TXN_COMPARES_MAX];
    struct tt_txn_op ops[TT_PASS_WRITES_MAX];
    size_t compare_count = 0;
    for (size_t i = 0; i < pass->write_count; i++) {
        const struct tt_pass_write *write = &pass->writes[i];
        compares[compare_count++] =
            (struct tt_compare){.key = write->key, .mod_revision = write->mod_revision};
        ops[i] = (struct tt_txn_op){.kind = write->kind, .key = write->key};
        if (write->kind == TT_OP_PUT) {
            ops[i].value = (struct tt_value){
                .codec = TT_CODEC_JSON, .splice = write->splice, .bytes = write->json};
            int r = close_value(pass, write->key, &ops[i].value, err);
            if (r != TT_OK) {
                return r;
            }
        }
    }
    for (size_t i = 0; i < pass->relied_count; i++) {
        compares[compare_count++] = pass->relied[i];
    }
    const struct tt_txn txn = {.compares = compares,
                               .compare_count = compare_count,
                               .ops = ops,
                               .op_count = pass->write_count,
                               .actor = actor,
                               .verb = TT_STR("reconcile")};
    return tt_txn_encode(&txn, ret_command, err);
}

struct tt_str tt_view_str(const struct tt_view *view, const char *dotted)
{
    return tt_json_iget_str(view->root, dotted);
}

int64_t tt_view_i64(const struct tt_view *view, const char *dotted, int64_t fallback)
{
    return tt_json_iget_i64(view->root, dotted, fallback);
}

bool tt_view_is_deleting(const struct tt_view *view)
{
    return tt_view_str(view, "metadata.deletionTimestamp").len > 0;
}

struct tt_str tt_view_uid(const struct tt_view *view)
{
    return tt_view_str(view, "metadata.uid");
}

bool tt_view_controller(const struct tt_view *view, struct tt_str *ret_kind,
                        struct tt_str *ret_name, struct tt_str *ret_uid)
{
    yyjson_val *owners = tt_json_iget(view->root, "metadata.ownerReferences");
    size_t index;
    size_t count;
    yyjson_val *owner;
    yyjson_arr_foreach(owners, index, count, owner)
    {
        if (yyjson_is_true(yyjson_obj_get(owner, "controller"))) {
            *ret_kind = tt_json_istr_of(yyjson_obj_get(owner, "kind"));
            *ret_name = tt_json_istr_of(yyjson_obj_get(owner, "name"));
            *ret_uid = tt_json_istr_of(yyjson_obj_get(owner, "uid"));
            return true;
        }
    }
    return false;
}

/* Objects between request and store: decoding and preparing. encode.c writes them, check.c
 * validates them, apply_patch.c patches them.
 *
 * What a client sends decides spec and most of metadata; what the server owns (uid, times,
 * generation, status of kinds with a status subresource) is set here, from the request's
 * circumstances or from the stored object. */
#include "api/kinds/object.h"

#include "api/kinds/decode.h"
#include "base/clock.h"
#include "base/intmath.h"

enum { GENERATE_NAME_MAX = 58, SUFFIX_SIZE = 5, NAME_MAX_SIZE = GENERATE_NAME_MAX + SUFFIX_SIZE };

/* Set by the server, never by clients. */
static const char *const server_fields[] = {"uid", "creationTimestamp", "deletionTimestamp",
                                            "deletionGracePeriodSeconds", "generation"};

bool tt_field_validation_parse(struct tt_str text, enum tt_field_validation *ret)
{
    static const struct {
        const char *name;               /* of ?fieldValidation=; "" is the default */
        enum tt_field_validation value; /* what it asks for */
    } names[] = {{"", TT_FIELDS_WARN},
                 {"Warn", TT_FIELDS_WARN},
                 {"Strict", TT_FIELDS_STRICT},
                 {"Ignore", TT_FIELDS_IGNORE}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (tt_str_eq_c(text, names[i].name)) {
            *ret = names[i].value;
            return true;
        }
    }
    return false;
}

static int no_memory(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the object needs more memory than one request may use");
}

struct tt_str tt_object_strict_message(const struct tt_issues *issues, struct tt_arena *arena)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 64 << 10);
    tt_buf_c(&buf, "strict decoding error: ");
    for (size_t i = 0; i < issues->count; i++) {
        tt_buf_printf(&buf, "%s%.*s", i > 0 ? ", " : "", TT_STR_ARG(issues->items[i].message));
    }
    if (issues->dropped > 0) {
        tt_buf_printf(&buf, ", and %zu more", issues->dropped);
    }
    const char *copy = tt_arena_strndup(arena, buf.ptr, buf.len);
    return copy != NULL ? tt_str(copy, buf.len) : TT_STR("strict decoding error");
}

/* The tree against its type; unknown and duplicate fields as `validation` says. */
static int decode_tree(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *root,
                       enum tt_field_validation validation, struct tt_issues *issues)
{
    ctx->issues = validation == TT_FIELDS_IGNORE ? NULL : issues;
    if (!yyjson_mut_is_obj(root)) {
        return TT_FAIL(ctx->err, TT_EINVAL, "the body is not a JSON object");
    }
    int r = kinds_decode(ctx, type, root);
    if (r < 0) {
        return r;
    }
    if (validation == TT_FIELDS_STRICT && tt_issues_total(issues) > 0) {
        issues->refusal = tt_object_strict_message(issues, issues->arena);
        return TT_FAIL(ctx->err, TT_EINVAL, "%.*s", TT_STR_ARG(issues->refusal));
    }
    return TT_OK;
}

static int check_identity(struct tt_object *object, const char *member, struct tt_str expected,
                          struct tt_err *err)
{
    struct tt_str found = tt_json_str_of(yyjson_mut_obj_get(object->root, member));
    if (found.len == 0) {
        return tt_json_put_str(object->doc, object->root, tt_str_c(member), expected)
                   ? TT_OK
                   : no_memory(err);
    }
    if (!tt_str_eq(found, expected)) {
        return TT_FAIL(err, TT_EINVAL,
                       "the %s in the data (%.*s) does not match the expected %s (%.*s)", member,
                       TT_STR_ARG(tt_str_head(found, 80)), member, TT_STR_ARG(expected));
    }
    return TT_OK;
}

#define NOT_HANDLED_FMT "%.*s in version \"%.*s\" cannot be handled as a %.*s"

static void add_prefix(const struct tt_kind *kind, struct tt_issues *issues)
{
    if (issues->refusal.len == 0) {
        return;
    }
    const char *whole = tt_arena_printf(issues->arena, NOT_HANDLED_FMT ": %.*s",
                                        TT_STR_ARG(kind->kind), TT_STR_ARG(kind->version),
                                        TT_STR_ARG(kind->kind), TT_STR_ARG(issues->refusal));
    issues->refusal = whole ? tt_str_c(whole) : TT_STR("");
}

static int adopt(struct tt_object *object, enum tt_field_validation validation,
                 struct tt_issues *issues, struct tt_err *err)
{
    const struct tt_kind *kind = object->kind;
    struct decode ctx = {.doc = object->doc, .arena = object->arena, .err = err};
    int r = decode_tree(&ctx, kind->type, object->root, validation, issues);
    if (r < 0) {
        add_prefix(kind, issues);
        return TT_WRAP(err, r, NOT_HANDLED_FMT, TT_STR_ARG(kind->kind), TT_STR_ARG(kind->version),
                       TT_STR_ARG(kind->kind));
    }
    r = check_identity(object, "kind", kind->kind, err);
    return r == TT_OK ? check_identity(object, "apiVersion", kind->api_version, err) : r;
}

int tt_object_adopt(struct tt_object *object, enum tt_field_validation validation,
                    struct tt_issues *ret_issues, struct tt_err *err)
{
    TT_ASSERT(object->root != NULL);
    return adopt(object, validation, ret_issues, err);
}

int tt_object_decode(const struct tt_kind *kind, struct tt_str json,
                     enum tt_field_validation validation, struct tt_issues *ret_issues,
                     struct tt_object *ret_object, struct tt_err *err)
{
    struct tt_arena *arena = ret_issues->arena;
    struct tt_object object = {.kind = kind, .arena = arena};
    struct tt_issues ignored;
    tt_issues_init(&ignored, arena);
    struct tt_issues *issues = validation == TT_FIELDS_IGNORE ? &ignored : ret_issues;
    int r = tt_json_parse(arena, json, TT_JSON_DUPLICATES_REPORT, issues, &object.doc, err);
    if (r < 0) {
        return r;
    }
    object.root = yyjson_mut_doc_get_root(object.doc);
    r = adopt(&object, validation, issues, err);
    if (r == TT_OK) {
        *ret_object = object;
    }
    return r;
}

int tt_object_stored(const struct tt_kind *kind, struct tt_arena *arena, struct tt_str json,
                     uint64_t revision, struct tt_object *ret_object, struct tt_err *err)
{
    struct tt_object object = {.kind = kind, .arena = arena};
    yyjson_doc *doc = NULL;
    int r = tt_json_read(arena, json, &doc, err);
    if (r == TT_OK) {
        r = tt_json_mutable(arena, yyjson_doc_get_root(doc), &object.doc, err);
    }
    if (r < 0) {
        return TT_WRAP(err, r, "read a stored %.*s", TT_STR_ARG(kind->kind));
    }
    object.root = yyjson_mut_doc_get_root(object.doc);
    if (revision > 0) {
        char text[24];
        struct tt_buf number;
        tt_buf_init(&number, sizeof text);
        tt_buf_u64(&number, revision);
        bool ok = tt_json_set_str(object.doc, object.root, "metadata.resourceVersion",
                                  tt_buf_view(&number));
        tt_buf_fini(&number);
        if (!ok) {
            return no_memory(err);
        }
    }
    *ret_object = object;
    return TT_OK;
}

int tt_type_adopt(const struct tt_type *type, yyjson_mut_doc *doc,
                  enum tt_field_validation validation, struct tt_issues *ret_issues,
                  struct tt_err *err)
{
    struct decode ctx = {.doc = doc, .arena = ret_issues->arena, .err = err};
    return decode_tree(&ctx, type, yyjson_mut_doc_get_root(doc), validation, ret_issues);
}

static yyjson_mut_val *metadata_of(const struct tt_object *object)
{
    return yyjson_mut_obj_get(object->root, "metadata");
}

struct tt_str tt_object_name(const struct tt_object *object)
{
    return tt_json_str_of(yyjson_mut_obj_get(metadata_of(object), "name"));
}

struct tt_str tt_object_namespace(const struct tt_object *object)
{
    return tt_json_str_of(yyjson_mut_obj_get(metadata_of(object), "namespace"));
}

struct tt_str tt_object_uid(const struct tt_object *object)
{
    return tt_json_str_of(yyjson_mut_obj_get(metadata_of(object), "uid"));
}

int tt_object_resource_version(const struct tt_object *object, uint64_t *ret_revision,
                               struct tt_err *err)
{
    struct tt_str text = tt_json_str_of(yyjson_mut_obj_get(metadata_of(object), "resourceVersion"));
    uint64_t revision = 0;
    if (text.len > 0 && !tt_str_to_u64(text, &revision)) {
        return TT_FAIL(err, TT_EINVAL, "metadata.resourceVersion \"%.*s\" is not a number",
                       TT_STR_ARG(tt_str_head(text, 40)));
    }
    *ret_revision = revision;
    return TT_OK;
}

static bool ensure_metadata(struct tt_object *object)
{
    return metadata_of(object) != NULL ||
           tt_json_put(object->doc, object->root, TT_STR("metadata"), yyjson_mut_obj(object->doc));
}

static bool add_generated_name(struct tt_object *object, const char *suffix)
{
    yyjson_mut_val *metadata = metadata_of(object);
    struct tt_str base = tt_json_str_of(yyjson_mut_obj_get(metadata, "generateName"));
    char name[NAME_MAX_SIZE];
    if (tt_object_name(object).len > 0 || base.len == 0) {
        return true; /* a missing name is found by validation */
    }
    base = tt_str_head(base, GENERATE_NAME_MAX);
    TT_ASSERT(suffix != NULL && strlen(suffix) == SUFFIX_SIZE);
    memcpy(name, base.ptr, base.len);
    memcpy(name + base.len, suffix, SUFFIX_SIZE);
    return tt_json_put_str(object->doc, metadata, TT_STR("name"),
                           tt_str(name, base.len + SUFFIX_SIZE));
}

static int settle_namespace(struct tt_object *object, struct tt_str ns, struct tt_err *err)
{
    struct tt_str found = tt_object_namespace(object);
    if (found.len > 0 && !tt_str_eq(found, ns)) {
        return TT_FAIL(err, TT_EINVAL,
                       "the namespace of the provided object does not match the namespace sent on "
                       "the request");
    }
    if (!object->kind->namespaced || ns.len == 0) {
        (void)tt_json_remove(metadata_of(object), TT_STR("namespace")); /* "" or absent */
        return TT_OK;
    }
    return found.len > 0 ||
                   tt_json_put_str(object->doc, metadata_of(object), TT_STR("namespace"), ns)
               ? TT_OK
               : no_memory(err);
}

static void drop_server_fields(yyjson_mut_val *metadata)
{
    for (size_t i = 0; i < sizeof server_fields / sizeof server_fields[0]; i++) {
        (void)tt_json_remove(metadata, tt_str_c(server_fields[i])); /* absent is fine */
    }
    (void)tt_json_remove(metadata, TT_STR("selfLink"));
    (void)tt_json_remove(metadata, TT_STR("managedFields"));
    (void)tt_json_remove(metadata, TT_STR("resourceVersion"));
}

int tt_object_default(struct tt_object *object, struct tt_err *err)
{
    return kinds_fill_defaults(object->doc, object->kind->type, object->root) ? TT_OK
                                                                              : no_memory(err);
}

int tt_object_prepare_create(struct tt_object *object, const struct tt_object_create *params,
                             struct tt_err *err)
{
    TT_ASSERT(params->uid != NULL);
    if (!ensure_metadata(object)) {
        return no_memory(err);
    }
    yyjson_mut_val *metadata = metadata_of(object);
    if (tt_json_str_of(yyjson_mut_obj_get(metadata, "resourceVersion")).len > 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "resourceVersion should not be set on objects to be created");
    }
    int r = settle_namespace(object, params->ns, err);
    if (r < 0) {
        return r;
    }
    drop_server_fields(metadata);
    if (object->kind->has_status) {
        (void)tt_json_remove(object->root, TT_STR("status")); /* absent is fine */
    }
    char now[TT_TIME_TEXT_SIZE];
    size_t len = tt_time_format(params->now_ms, now);
    bool ok =
        add_generated_name(object, params->name_suffix) &&
        tt_json_put_str(object->doc, metadata, TT_STR("uid"), tt_str_c(params->uid)) &&
        tt_json_put_str(object->doc, metadata, TT_STR("creationTimestamp"), tt_str(now, len)) &&
        (!object->kind->has_generation ||
         tt_json_put_i64(object->doc, metadata, TT_STR("generation"), 1));
    return ok ? tt_object_default(object, err) : no_memory(err);
}

/* Server fields as the stored object has them. */
static bool take_server_fields(struct tt_object *object, const struct tt_object *old)
{
    yyjson_mut_val *metadata = metadata_of(object), *was = metadata_of(old);
    drop_server_fields(metadata);
    for (size_t i = 0; i < sizeof server_fields / sizeof server_fields[0]; i++) {
        yyjson_mut_val *val = yyjson_mut_obj_get(was, server_fields[i]);
        if (val != NULL && !tt_json_put(object->doc, metadata, tt_str_c(server_fields[i]),
                                        tt_json_copy(object->doc, val))) {
            return false;
        }
    }
    return true;
}

static int check_same_object(const struct tt_object *object, const struct tt_object *old,
                             struct tt_err *err)
{
    struct tt_str name = tt_object_name(object), uid = tt_object_uid(object);
    if (name.len > 0 && !tt_str_eq(name, tt_object_name(old))) {
        return TT_FAIL(err, TT_EINVAL,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       TT_STR_ARG(tt_str_head(name, 80)),
                       TT_STR_ARG(tt_str_head(tt_object_name(old), 80)));
    }
    if (uid.len > 0 && !tt_str_eq(uid, tt_object_uid(old))) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                       TT_STR_ARG(tt_str_head(uid, 40)),
                       TT_STR_ARG(tt_str_head(tt_object_uid(old), 40)));
    }
    return TT_OK;
}

/* Members that are neither identity, metadata nor status: what generation counts. */
static bool is_spec_member(struct tt_str name)
{
    return !tt_str_eq(name, TT_STR("metadata")) && !tt_str_eq(name, TT_STR("status")) &&
           !tt_str_eq(name, TT_STR("kind")) && !tt_str_eq(name, TT_STR("apiVersion"));
}

static bool spec_changed(yyjson_mut_val *a, yyjson_mut_val *b)
{
    size_t i, n, count[2] = {0, 0};
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(b, i, n, key, item)
    {
        count[1] += is_spec_member(tt_json_str_of(key));
    }
    yyjson_mut_obj_foreach(a, i, n, key, item)
    {
        struct tt_str name = tt_json_str_of(key);
        if (is_spec_member(name)) {
            count[0]++;
            if (!tt_json_equal(item, tt_json_member(b, name))) {
                return true;
            }
        }
    }
    return count[0] != count[1];
}

static int update_main(struct tt_object *object, const struct tt_object *old, struct tt_err *err)
{
    bool ok =
        take_server_fields(object, old) &&
        tt_json_put_str(object->doc, metadata_of(object), TT_STR("name"), tt_object_name(old));
    if (ok && object->kind->has_status) {
        yyjson_mut_val *status = yyjson_mut_obj_get(old->root, "status");
        (void)tt_json_remove(object->root, TT_STR("status")); /* absent is fine */
        ok = status == NULL || tt_json_put(object->doc, object->root, TT_STR("status"),
                                           tt_json_copy(object->doc, status));
    }
    if (!ok || !kinds_fill_defaults(object->doc, object->kind->type, object->root)) {
        return no_memory(err);
    }
    if (object->kind->has_generation && spec_changed(object->root, old->root)) {
        int64_t generation = tt_json_get_i64(old->root, "metadata.generation", 0);
        if (!tt_json_put_i64(object->doc, metadata_of(object), TT_STR("generation"),
                             generation + 1)) {
            return no_memory(err);
        }
    }
    return TT_OK;
}

/* Everything but status is as stored. */
static int update_status(struct tt_object *object, const struct tt_object *old, struct tt_err *err)
{
    yyjson_mut_val *status = yyjson_mut_obj_get(object->root, "status");
    yyjson_mut_val *root = tt_json_copy(object->doc, old->root);
    if (root == NULL) {
        return no_memory(err);
    }
    (void)tt_json_remove_path(root, "metadata.resourceVersion"); /* absent is fine */
    if (status != NULL && !tt_json_put(object->doc, root, TT_STR("status"), status)) {
        return no_memory(err);
    }
    object->root = root;
    return tt_object_default(object, err);
}

int tt_object_prepare_update(struct tt_object *object, const struct tt_object *old,
                             enum tt_object_part part, struct tt_err *err)
{
    TT_ASSERT(object->kind == old->kind);
    TT_ASSERT(tt_object_name(old).len > 0);
    if (!ensure_metadata(object)) {
        return no_memory(err);
    }
    int r = settle_namespace(object, tt_object_namespace(old), err);
    if (r == TT_OK) {
        r = check_same_object(object, old, err);
    }
    if (r < 0) {
        return r;
    }
    return part == TT_PART_STATUS ? update_status(object, old, err) : update_main(object, old, err);
}

static bool is_volatile(struct tt_str name)
{
    return tt_str_eq(name, TT_STR("resourceVersion")) || tt_str_eq(name, TT_STR("managedFields"));
}

static bool metadata_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    size_t i, n, count[2] = {0, 0};
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(b, i, n, key, item)
    {
        count[1] += !is_volatile(tt_json_str_of(key));
    }
    yyjson_mut_obj_foreach(a, i, n, key, item)
    {
        struct tt_str name = tt_json_str_of(key);
        if (!is_volatile(name)) {
            count[0]++;
            if (!tt_json_equal(item, tt_json_member(b, name))) {
                return false;
            }
        }
    }
    return count[0] == count[1];
}

bool tt_object_equal(const struct tt_object *a, const struct tt_object *b)
{
    return !spec_changed(a->root, b->root) && metadata_equal(metadata_of(a), metadata_of(b)) &&
           tt_json_equal(yyjson_mut_obj_get(a->root, "status"),
                         yyjson_mut_obj_get(b->root, "status"));
}

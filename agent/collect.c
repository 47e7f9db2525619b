/* Collectors add files one by one; each kind of source is one function. The files' paths are
 * checked when they are committed. */
#include "agent/collect.h"

#include "api/json/json.h"
#include "base/buf.h"

enum { FILE_MODE = 0644 };

struct collector {
    const struct env_context *context; /* borrowed; the pod and its sources */
    struct tt_arena *arena;            /* the caller's; of paths and bytes */
    struct project_file *files;        /* PROJECT_FILES_MAX */
    size_t count;                      /* filled of files */
    unsigned mode;                     /* of files that name none */
};

static int add_file(struct collector *collector, struct tt_str path, struct tt_str bytes,
                    unsigned mode, struct tt_err *err)
{
    const char *copy = tt_arena_strndup(collector->arena, path.ptr, path.len);
    if (copy == NULL || collector->count == PROJECT_FILES_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "the volume has too many files");
    }
    collector->files[collector->count++] = (struct project_file){copy, bytes, mode};
    return TT_OK;
}

static unsigned mode_of(yyjson_val *object, const char *name, unsigned fallback)
{
    int64_t mode = tt_json_iget_i64(object, name, (int64_t)fallback);
    return mode >= 0 && mode <= 0777 ? (unsigned)mode : fallback;
}

/* Text of data; base64 of a Secret's data and of binaryData. */
static int bytes_of(struct collector *collector, struct tt_str text, bool is_base64,
                    struct tt_str *ret_bytes, struct tt_err *err)
{
    if (!is_base64) {
        char *copy = tt_arena_strndup(collector->arena, text.ptr ? text.ptr : "", text.len);
        *ret_bytes = tt_str(copy, text.len);
        return copy != NULL ? TT_OK : TT_FAIL(err, TT_ETOOLARGE, "the volume is too large");
    }
    char *out = tt_arena_alloc(collector->arena, text.len + 1);
    ptrdiff_t size = out != NULL ? tt_base64_decode(text, out, text.len) : -1;
    if (size < 0) {
        return TT_FAIL(err, TT_EINVAL, "a value of the volume is no base64");
    }
    *ret_bytes = tt_str(out, (size_t)size);
    return TT_OK;
}

/* item: {key, path, mode} of a volume's items. */
static int add_item(struct collector *collector, yyjson_val *object, bool is_secret,
                    yyjson_val *item, struct tt_err *err)
{
    struct tt_str key = tt_json_iget_str(item, "key");
    struct tt_str bytes;
    yyjson_val *value = yyjson_obj_getn(yyjson_obj_get(object, "data"), key.ptr, key.len);
    bool is_base64 = is_secret;
    if (value == NULL && !is_secret) {
        value = yyjson_obj_getn(yyjson_obj_get(object, "binaryData"), key.ptr, key.len);
        is_base64 = true;
    }
    if (value == NULL) {
        return TT_FAIL(err, TT_ENOTFOUND, "references non-existent key: %.*s", TT_STR_ARG(key));
    }
    int r = bytes_of(collector, tt_json_istr_of(value), is_base64, &bytes, err);
    return r != TT_OK ? r
                      : add_file(collector, tt_json_iget_str(item, "path"), bytes,
                                 mode_of(item, "mode", collector->mode), err);
}

static int add_map(struct collector *collector, yyjson_val *map, bool is_base64, struct tt_err *err)
{
    size_t index;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    yyjson_obj_foreach(map, index, count, key, value)
    {
        struct tt_str bytes;
        int r = bytes_of(collector, tt_json_istr_of(value), is_base64, &bytes, err);
        if (r == TT_OK) {
            r = add_file(collector, tt_json_istr_of(key), bytes, collector->mode, err);
        }
        if (r != TT_OK) {
            return r;
        }
    }
    return TT_OK;
}

/* source: the configMap or secret part of a volume or of a projected source. */
static int add_object(struct collector *collector, yyjson_val *source, const char *name_member,
                      bool is_secret, struct tt_err *err)
{
    struct ref_source refs = collector->context->refs;
    struct tt_str name = tt_json_iget_str(source, name_member);
    yyjson_val *object = NULL;
    bool optional = yyjson_is_true(yyjson_obj_get(source, "optional"));
    enum ref_state state =
        refs.get(refs.ctx, is_secret, tt_str_c(collector->context->pod->namespace), name, &object);
    const char *kind = is_secret ? "secret" : "configmap";
    if (state == REF_UNKNOWN) {
        return TT_FAIL(err, TT_EBUSY, "%s \"%.*s\" is not known yet", kind, TT_STR_ARG(name));
    }
    if (state == REF_ABSENT) {
        return optional
                   ? TT_OK
                   : TT_FAIL(err, TT_ENOTFOUND, "%s \"%.*s\" not found", kind, TT_STR_ARG(name));
    }
    yyjson_val *items = yyjson_obj_get(source, "items");
    int r = TT_OK;
    if (yyjson_arr_size(items) == 0) {
        r = add_map(collector, yyjson_obj_get(object, "data"), is_secret, err);
        return r != TT_OK || is_secret
                   ? r
                   : add_map(collector, yyjson_obj_get(object, "binaryData"), true, err);
    }
    size_t index;
    size_t count;
    yyjson_val *item;
    yyjson_arr_foreach(items, index, count, item)
    {
        r = add_item(collector, object, is_secret, item, err);
        if (r != TT_OK && !(r == TT_ENOTFOUND && optional)) {
            return r;
        }
    }
    return TT_OK;
}

/* metadata.labels and .annotations as a whole are lines KEY="VALUE". */
static const char *map_text(struct collector *collector, const char *dotted)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    size_t index;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    yyjson_obj_foreach(tt_json_iget(collector->context->pod->root, dotted), index, count, key,
                       value)
    {
        tt_buf_printf(&text, "%s%s=\"%s\"", text.len > 0 ? "\n" : "", yyjson_get_str(key),
                      yyjson_get_str(value));
    }
    return tt_arena_strndup(collector->arena, text.ptr ? text.ptr : "", text.len);
}

static int add_downward(struct collector *collector, yyjson_val *items, struct tt_err *err)
{
    size_t index;
    size_t count;
    yyjson_val *item;
    yyjson_arr_foreach(items, index, count, item)
    {
        struct tt_str field = tt_json_iget_str(item, "fieldRef.fieldPath");
        const char *value = NULL;
        int r = TT_OK;
        if (tt_str_eq_c(field, "metadata.labels") || tt_str_eq_c(field, "metadata.annotations")) {
            TT_AUTO_FREE char *dotted = tt_str_xdup(field);
            value = map_text(collector, dotted);
        } else {
            r = env_field(collector->context, field, collector->arena, &value, err);
        }
        if (r == TT_OK) {
            r = add_file(collector, tt_json_iget_str(item, "path"), tt_str_c(value),
                         mode_of(item, "mode", collector->mode), err);
        }
        if (r != TT_OK) {
            return r;
        }
    }
    return TT_OK;
}

static int add_sources(struct collector *collector, yyjson_val *sources, struct tt_err *err)
{
    size_t index;
    size_t count;
    yyjson_val *source;
    yyjson_arr_foreach(sources, index, count, source)
    {
        yyjson_val *part;
        int r;
        if ((part = yyjson_obj_get(source, "configMap")) != NULL) {
            r = add_object(collector, part, "name", false, err);
        } else if ((part = yyjson_obj_get(source, "secret")) != NULL) {
            r = add_object(collector, part, "name", true, err);
        } else if ((part = yyjson_obj_get(source, "downwardAPI")) != NULL) {
            r = add_downward(collector, yyjson_obj_get(part, "items"), err);
        } else {
            r = TT_FAIL(err, TT_EINVAL, "a projected source is not supported");
        }
        if (r != TT_OK) {
            return r;
        }
    }
    return TT_OK;
}

yyjson_val *collect_part(yyjson_val *volume)
{
    static const char *const names[] = {"configMap", "secret", "projected", "downwardAPI"};
    yyjson_val *part = NULL;
    for (size_t i = 0; part == NULL && i < sizeof names / sizeof names[0]; i++) {
        part = yyjson_obj_get(volume, names[i]);
    }
    return part;
}

bool collect_is_secret(yyjson_val *volume)
{
    size_t index;
    size_t count;
    yyjson_val *source;
    if (yyjson_obj_get(volume, "secret") != NULL) {
        return true;
    }
    yyjson_arr_foreach(tt_json_iget(volume, "projected.sources"), index, count, source)
    {
        if (yyjson_obj_get(source, "secret") != NULL) {
            return true;
        }
    }
    return false;
}

int collect_files(const struct env_context *context, yyjson_val *volume, struct tt_arena *arena,
                  struct collected *ret_files, struct tt_err *err)
{
    yyjson_val *part = collect_part(volume);
    struct collector collector = {
        .context = context, .arena = arena, .mode = mode_of(part, "defaultMode", FILE_MODE)};
    collector.files = tt_arena_alloc(arena, PROJECT_FILES_MAX * sizeof *collector.files);
    int r;
    if (collector.files == NULL) {
        r = TT_FAIL(err, TT_ETOOLARGE, "the volume is too large");
    } else if (yyjson_obj_get(volume, "configMap") != NULL) {
        r = add_object(&collector, part, "name", false, err);
    } else if (yyjson_obj_get(volume, "secret") != NULL) {
        r = add_object(&collector, part, "secretName", true, err);
    } else if (yyjson_obj_get(volume, "projected") != NULL) {
        r = add_sources(&collector, yyjson_obj_get(part, "sources"), err);
    } else {
        r = add_downward(&collector, yyjson_obj_get(part, "items"), err);
    }
    *ret_files = (struct collected){.files = collector.files, .count = collector.count};
    return r;
}

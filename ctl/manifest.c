/* Sources → texts → documents → objects. Text that begins with '{' or '[' is read as JSON, one
 * value after the other (lines only of where a value begins); all else as YAML. */
#include "ctl/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ctl/yaml_in.h"

enum {
    ARENA_CHUNK = 1 << 20,
    ARENA_MAX = 1 << 30,
    DIRECTORY_FILES_MAX = 20000,
    DIRECTORY_DEPTH_MAX = 32,
    ITEMS_FIRST = 16,
    READ_SIZE = 64 << 10,
};

void ctl_manifest_init(struct ctl_manifest *manifest)
{
    *manifest = (struct ctl_manifest){.arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX)};
}

void ctl_manifest_fini(struct ctl_manifest *manifest)
{
    tt_arena_free(manifest->arena);
    tt_free(manifest->items);
    *manifest = (struct ctl_manifest){0};
}

struct tt_str ctl_object_str(const struct ctl_object *object, const char *dotted)
{
    return tt_json_get_str(object->root, dotted);
}

/* ---- objects ---- */

static int add_object(struct ctl_manifest *manifest, const struct ctl_object *object,
                      struct tt_err *err)
{
    if (manifest->count == CTL_MANIFEST_OBJECTS_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "%s:%u: more than %d objects", object->source,
                       object->line, CTL_MANIFEST_OBJECTS_MAX);
    }
    if (manifest->count == manifest->capacity) {
        manifest->capacity = manifest->capacity > 0 ? manifest->capacity * 2 : ITEMS_FIRST;
        manifest->items =
            tt_xrealloc(manifest->items, manifest->capacity * sizeof manifest->items[0]);
    }
    manifest->items[manifest->count++] = *object;
    return TT_OK;
}

static int check_object(const struct ctl_object *object, struct tt_err *err)
{
    static const char *const needed[] = {"apiVersion", "kind"};
    if (!yyjson_mut_is_obj(object->root)) {
        return TT_FAIL(err, TT_EINVAL,
                       "%s:%u: not an object: fields such as apiVersion and kind "
                       "are expected",
                       object->source, object->line);
    }
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (ctl_object_str(object, needed[i]).len == 0) {
            return TT_FAIL(err, TT_EINVAL, "%s:%u: %s is missing", object->source, object->line,
                           needed[i]);
        }
    }
    return TT_OK;
}

static unsigned mark_of(const struct ctl_object *object, const yyjson_mut_val *val)
{
    for (size_t i = 0; i < object->mark_count; i++) {
        if (object->marks[i].val == val) {
            return object->marks[i].line;
        }
    }
    return 0;
}

static bool is_list(const struct ctl_object *object)
{
    return tt_str_ends(ctl_object_str(object, "kind"), TT_STR("List")) &&
           yyjson_mut_is_arr(tt_json_member(object->root, TT_STR("items")));
}

static int add_items(struct ctl_manifest *manifest, const struct ctl_object *list,
                     struct tt_err *err)
{
    yyjson_mut_arr_iter iter =
        yyjson_mut_arr_iter_with(tt_json_member(list->root, TT_STR("items")));
    yyjson_mut_val *item;
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        struct ctl_object object = *list;
        unsigned line = mark_of(list, item);
        object.root = item;
        object.line = line > 0 ? line : list->line;
        int r = check_object(&object, err);
        if (r == TT_OK) {
            r = add_object(manifest, &object, err);
        }
        if (r != TT_OK) {
            return r;
        }
    }
    return TT_OK;
}

static int add_document(struct ctl_manifest *manifest, const struct ctl_object *object,
                        struct tt_err *err)
{
    if (yyjson_mut_is_null(object->root)) {
        return TT_OK; /* an empty document, as between two separators */
    }
    int r = check_object(object, err);
    if (r != TT_OK) {
        return r;
    }
    return is_list(object) ? add_items(manifest, object, err) : add_object(manifest, object, err);
}

/* ---- texts ---- */

static int parse_yaml(struct ctl_manifest *manifest, struct tt_str text, const char *source,
                      struct tt_err *err)
{
    TT_AUTO(ctl_yaml) yaml = ctl_yaml_new(manifest->arena, text);
    for (;;) {
        struct ctl_object object = {.source = NULL};
        struct tt_err cause;
        tt_err_init(&cause);
        int r = ctl_yaml_next(yaml, &object, &cause);
        if (r != TT_OK) {
            return TT_FAIL(err, r, "%s:%s", source, tt_err_cause(&cause));
        }
        if (object.root == NULL) {
            return TT_OK;
        }
        object.source = source;
        r = add_document(manifest, &object, err);
        if (r != TT_OK) {
            return r;
        }
    }
}

/* Newlines in text[from, to). */
static unsigned lines_in(struct tt_str text, size_t from, size_t to)
{
    unsigned count = 0;
    for (size_t i = from; i < to && i < text.len; i++) {
        count += text.ptr[i] == '\n';
    }
    return count;
}

/* Bytes of the JSON value that text begins with. */
static int json_extent(struct tt_str text, size_t *ret_size, size_t *ret_bad_at)
{
    yyjson_read_err why;
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)text.ptr, text.len,
                         YYJSON_READ_STOP_WHEN_DONE | YYJSON_READ_NUMBER_AS_RAW, NULL, &why);
    if (doc == NULL) {
        *ret_bad_at = why.pos;
        return TT_EINVAL;
    }
    *ret_size = yyjson_doc_get_read_size(doc);
    yyjson_doc_free(doc);
    return TT_OK;
}

static int parse_json(struct ctl_manifest *manifest, struct tt_str text, const char *source,
                      struct tt_err *err)
{
    size_t at = 0;
    unsigned line = 1; /* at `at` */
    struct tt_str rest;
    while ((rest = tt_str_trim(tt_str_skip(text, at))).len > 0) {
        size_t begin = (size_t)(rest.ptr - text.ptr);
        line += lines_in(text, at, begin);
        struct ctl_object object = {.source = source, .line = line};
        size_t size = 0;
        size_t bad_at = 0;
        struct tt_err cause;
        tt_err_init(&cause);
        int r = json_extent(rest, &size, &bad_at);
        if (r != TT_OK) {
            return TT_FAIL(err, r, "%s:%u: not JSON", source,
                           line + lines_in(text, begin, begin + bad_at));
        }
        r = tt_json_parse(manifest->arena, tt_str_head(rest, size), TT_JSON_DUPLICATES_REFUSE, NULL,
                          &object.doc, &cause);
        if (r != TT_OK) {
            return TT_FAIL(err, r, "%s:%u: %s", source, object.line, tt_err_cause(&cause));
        }
        object.root = yyjson_mut_doc_get_root(object.doc);
        r = add_document(manifest, &object, err);
        if (r != TT_OK) {
            return r;
        }
        at = begin + size;
        line += lines_in(text, begin, at);
    }
    return TT_OK;
}

int ctl_manifest_parse(struct ctl_manifest *manifest, struct tt_str text, const char *source,
                       struct tt_err *err)
{
    struct tt_str trimmed = tt_str_trim(text);
    if (memchr(text.ptr != NULL ? text.ptr : "", '\0', text.len) != NULL || !tt_utf8_valid(text)) {
        return TT_FAIL(err, TT_EINVAL, "%s: not UTF-8 text", source);
    }
    if (trimmed.len == 0) {
        return TT_OK;
    }
    bool is_json = trimmed.ptr[0] == '{' || trimmed.ptr[0] == '[';
    return is_json ? parse_json(manifest, text, source, err)
                   : parse_yaml(manifest, text, source, err);
}

/* ---- sources ---- */

static int read_stdin(struct tt_buf *buf, struct tt_err *err)
{
    tt_buf_init(buf, CTL_MANIFEST_FILE_SIZE_MAX);
    for (;;) {
        char *at = tt_buf_reserve(buf, READ_SIZE);
        if (at == NULL) {
            return TT_FAIL(err, TT_ETOOLARGE, "standard input: more than 64 MiB");
        }
        ssize_t size = read(STDIN_FILENO, at, READ_SIZE);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return TT_FAIL_ERRNO(err, errno, "standard input");
        }
        if (size == 0) {
            return TT_OK;
        }
        buf->len += (size_t)size;
    }
}

static int read_file(struct ctl_manifest *manifest, const char *path, struct tt_err *err)
{
    struct tt_buf text = {0};
    bool is_stdin = strcmp(path, "-") == 0;
    char *source = tt_arena_printf(manifest->arena, "%s", is_stdin ? "standard input" : path);
    if (source == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "too many manifests");
    }
    int r = is_stdin ? read_stdin(&text, err)
                     : tt_file_read(path, CTL_MANIFEST_FILE_SIZE_MAX, &text, err);
    if (r == TT_OK) {
        r = ctl_manifest_parse(manifest, tt_buf_view(&text), source, err);
    }
    tt_buf_fini(&text);
    return r;
}

static bool is_manifest_name(const char *name)
{
    struct tt_str s = tt_str_c(name);
    return tt_str_ends(s, TT_STR(".yaml")) || tt_str_ends(s, TT_STR(".yml")) ||
           tt_str_ends(s, TT_STR(".json"));
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int read_path(struct ctl_manifest *manifest, const char *path, unsigned depth,
                     bool recursive, struct tt_err *err);

static int read_entry(struct ctl_manifest *manifest, const char *path, unsigned depth,
                      bool recursive, struct tt_err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return TT_FAIL_ERRNO(err, errno, "%s", path);
    }
    bool is_dir = S_ISDIR(info.st_mode);
    if (is_dir ? !recursive : !is_manifest_name(path)) {
        return TT_OK;
    }
    return read_path(manifest, path, depth + 1, recursive, err);
}

static int read_directory(struct ctl_manifest *manifest, const char *path, unsigned depth,
                          bool recursive, struct tt_err *err)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, visible, alphasort);
    if (count < 0) {
        return TT_FAIL_ERRNO(err, errno, "%s", path);
    }
    int r = count <= DIRECTORY_FILES_MAX
                ? TT_OK
                : TT_FAIL(err, TT_ETOOLARGE, "%s: more than %d files", path, DIRECTORY_FILES_MAX);
    for (int i = 0; i < count; i++) {
        if (r == TT_OK) {
            TT_AUTO_FREE char *full = tt_xasprintf("%s/%s", path, names[i]->d_name);
            r = read_entry(manifest, full, depth, recursive, err);
        }
        tt_free(names[i]);
    }
    tt_free(names);
    return r;
}

static int read_path(struct ctl_manifest *manifest, const char *path, unsigned depth,
                     bool recursive, struct tt_err *err)
{
    struct stat info;
    if (depth > DIRECTORY_DEPTH_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "%s: directories nested too deeply", path);
    }
    if (strncmp(path, "http://", 7) == 0 || strncmp(path, "https://", 8) == 0) {
        return TT_FAIL(err, TT_EINVAL, "%s: fetch it first (curl -fsSL URL | tuttictl apply -f -)",
                       path);
    }
    bool is_dir = strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    return is_dir ? read_directory(manifest, path, depth, recursive, err)
                  : read_file(manifest, path, err);
}

/* What others need comes first; the order is kept otherwise. */
static void namespaces_first(struct ctl_manifest *manifest)
{
    if (manifest->count == 0) {
        return;
    }
    struct ctl_object *sorted = tt_xcalloc(manifest->count, sizeof *sorted);
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < manifest->count; i++) {
            bool is_namespace =
                tt_str_eq_c(ctl_object_str(&manifest->items[i], "kind"), "Namespace");
            if (is_namespace == (pass == 0)) {
                sorted[at++] = manifest->items[i];
            }
        }
    }
    TT_ASSERT(at == manifest->count);
    tt_free(manifest->items);
    manifest->items = sorted;
    manifest->capacity = manifest->count;
}

int ctl_manifest_read(struct ctl_manifest *manifest, const struct tt_option_values *sources,
                      bool recursive, struct tt_err *err)
{
    for (size_t i = 0; i < sources->count; i++) {
        int r = read_path(manifest, sources->items[i], 0, recursive, err);
        if (r != TT_OK) {
            return r;
        }
    }
    if (manifest->count == 0) {
        return TT_FAIL(err, TT_EINVAL, "%s: no objects in it (files end in .yaml, .yml or .json)",
                       sources->count > 0 ? sources->items[0] : "-f");
    }
    namespaces_first(manifest);
    return TT_OK;
}

/* ---- lines ---- */

/* Cuts the next part off *field: a name, or [key] / [index] (*ret_is_index). */
static bool next_part(struct tt_str *field, struct tt_str *ret_part, bool *ret_in_brackets)
{
    if (field->len > 0 && field->ptr[0] == '.') {
        *field = tt_str_skip(*field, 1);
    }
    if (field->len == 0) {
        return false;
    }
    *ret_in_brackets = field->ptr[0] == '[';
    if (*ret_in_brackets) {
        ptrdiff_t end = tt_str_find(*field, ']');
        size_t size = end > 0 ? (size_t)end : field->len;
        *ret_part = tt_str_skip(tt_str_head(*field, size), 1);
        *field = tt_str_skip(*field, size + 1);
        return true;
    }
    size_t size = 0;
    while (size < field->len && field->ptr[size] != '.' && field->ptr[size] != '[') {
        size++;
    }
    *ret_part = tt_str_head(*field, size);
    *field = tt_str_skip(*field, size);
    return true;
}

unsigned ctl_object_line(const struct ctl_object *object, struct tt_str field)
{
    yyjson_mut_val *val = object->root;
    unsigned line = object->line;
    struct tt_str part;
    bool in_brackets = false;
    while (next_part(&field, &part, &in_brackets)) {
        uint64_t index = 0;
        bool is_item = in_brackets && yyjson_mut_is_arr(val) && tt_str_to_u64(part, &index);
        val = is_item ? yyjson_mut_arr_get(val, index) : tt_json_member(val, part);
        unsigned at = val != NULL ? mark_of(object, val) : 0;
        if (at == 0) {
            break;
        }
        line = at;
    }
    return line;
}

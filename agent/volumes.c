/* Each volume type is one branch of prepare_volume: projected kinds collect files and commit them,
 * the others make a directory or name one of the host. */
#include "agent/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/project.h"
#include "base/file.h"

enum {
    ARENA_CHUNK = 64 << 10,
    ARENA_MAX = 64 << 20,
    PRIVATE_MODE = 0700,
    SHARED_MODE = 0777,
    FILE_MODE = 0644,
};

struct collector {
    const struct env_context *context;
    struct tt_arena *arena;
    struct project_file *files; /* PROJECT_FILES_MAX */
    size_t count;
    unsigned mode; /* of files that name none */
};

static int format(char out[VOLUMES_PATH_SIZE], struct tt_err *err, const char *fmt, ...)
    TT_PRINTF(3, 4);
static int format(char out[VOLUMES_PATH_SIZE], struct tt_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(out, VOLUMES_PATH_SIZE, fmt, args);
    va_end(args);
    return size > 0 && size < VOLUMES_PATH_SIZE
               ? TT_OK
               : TT_FAIL(err, TT_EINVAL, "a path of the pod is too long");
}

/* uid, names: one path segment each. The API has checked them; a path is built from them only when
 * they are what they should be. */
static int check_segment(const char *text, struct tt_err *err)
{
    if (text[0] == '\0' || text[0] == '.' || strchr(text, '/') != NULL) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\" cannot be part of a path", text);
    }
    return TT_OK;
}

int volumes_pod_path(const char *root, const char *uid, char out[VOLUMES_PATH_SIZE],
                     struct tt_err *err)
{
    int r = check_segment(uid, err);
    return r != TT_OK ? r : format(out, err, "%s/pods/%s", root, uid);
}

int volumes_log_path(const char *root, const char *ns, const char *pod, const char *uid,
                     char out[VOLUMES_PATH_SIZE], struct tt_err *err)
{
    int r = check_segment(ns, err);
    if (r == TT_OK) {
        r = check_segment(pod, err);
    }
    if (r == TT_OK) {
        r = check_segment(uid, err);
    }
    return r != TT_OK ? r : format(out, err, "%s/logs/%s_%s_%s", root, ns, pod, uid);
}

static int volume_path(const char *root, const struct pod *pod, struct tt_str name,
                       char out[VOLUMES_PATH_SIZE], struct tt_err *err)
{
    TT_AUTO_FREE char *segment = tt_str_xdup(name);
    int r = check_segment(segment, err);
    return r != TT_OK ? r : format(out, err, "%s/pods/%s/volumes/%s", root, pod->uid, segment);
}

/* ---- projected files ---- */

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

/* The part of a volume whose content is projected; NULL: another type. */
static yyjson_val *projected_part(yyjson_val *volume)
{
    static const char *const names[] = {"configMap", "secret", "projected", "downwardAPI"};
    yyjson_val *part = NULL;
    for (size_t i = 0; part == NULL && i < sizeof names / sizeof names[0]; i++) {
        part = yyjson_obj_get(volume, names[i]);
    }
    return part;
}

static int prepare_projected(const char *directory, const struct env_context *context,
                             yyjson_val *volume, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    yyjson_val *part = projected_part(volume);
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
    if (r == TT_EBUSY && project_is_there(directory)) {
        return TT_OK; /* the servers are away: what was known last serves on */
    }
    return r != TT_OK ? r : project_commit(directory, collector.files, collector.count, err);
}

/* ---- the others ---- */

static int prepare_host_path(yyjson_val *source, struct tt_err *err)
{
    TT_AUTO_FREE char *path = tt_str_xdup(tt_json_iget_str(source, "path"));
    struct tt_str type = tt_json_iget_str(source, "type");
    struct stat st;
    if (tt_str_eq_c(type, "DirectoryOrCreate")) {
        return tt_dir_make(path, 0755, err);
    }
    if (stat(path, &st) != 0) {
        return type.len == 0 ? tt_dir_make(path, 0755, err)
                             : TT_FAIL_ERRNO(err, errno, "hostPath %s", path);
    }
    bool fits = type.len == 0 || (tt_str_eq_c(type, "Directory") && S_ISDIR(st.st_mode)) ||
                (tt_str_eq_c(type, "File") && S_ISREG(st.st_mode)) ||
                (tt_str_eq_c(type, "Socket") && S_ISSOCK(st.st_mode)) ||
                (tt_str_eq_c(type, "CharDevice") && S_ISCHR(st.st_mode)) ||
                (tt_str_eq_c(type, "BlockDevice") && S_ISBLK(st.st_mode));
    return fits ? TT_OK : TT_FAIL(err, TT_EINVAL, "hostPath %s is no %.*s", path, TT_STR_ARG(type));
}

static int prepare_volume(const char *root, const struct env_context *context, yyjson_val *volume,
                          struct tt_err *err)
{
    char directory[VOLUMES_PATH_SIZE];
    struct tt_str name = tt_json_iget_str(volume, "name");
    int r = volume_path(root, context->pod, name, directory, err);
    if (r != TT_OK) {
        return r;
    }
    if (projected_part(volume) != NULL) {
        r = prepare_projected(directory, context, volume, err);
    } else if (yyjson_obj_get(volume, "emptyDir") != NULL) {
        r = tt_dir_make(directory, SHARED_MODE, err);
        if (r == TT_OK && chmod(directory, SHARED_MODE) != 0) {
            r = TT_FAIL_ERRNO(err, errno, "%s", directory);
        }
    } else if (yyjson_obj_get(volume, "hostPath") != NULL) {
        r = prepare_host_path(yyjson_obj_get(volume, "hostPath"), err);
    } else {
        r = TT_FAIL(err, TT_EINVAL, "its type is not supported");
    }
    return r != TT_OK ? TT_WRAP(err, r, "volume \"%.*s\"", TT_STR_ARG(name)) : TT_OK;
}

int volumes_prepare(const char *root, const struct env_context *context, struct tt_err *err)
{
    const struct pod *pod = context->pod;
    char path[VOLUMES_PATH_SIZE];
    int r = volumes_pod_path(root, pod->uid, path, err);
    if (r == TT_OK) {
        r = tt_dir_make(path, PRIVATE_MODE, err);
    }
    size_t index;
    size_t count;
    yyjson_val *volume;
    yyjson_arr_foreach(yyjson_obj_get(pod->spec, "volumes"), index, count, volume)
    {
        if (r == TT_OK) {
            r = prepare_volume(root, context, volume, err);
        }
    }
    for (size_t i = 0; r == TT_OK && i < pod->container_count; i++) {
        char logs[VOLUMES_PATH_SIZE];
        r = volumes_log_path(root, pod->namespace, pod->name, pod->uid, path, err);
        if (r == TT_OK) {
            r = format(logs, err, "%s/%s", path, pod->containers[i].name);
        }
        if (r == TT_OK) {
            r = tt_dir_make(logs, PRIVATE_MODE, err);
        }
    }
    return r;
}

/* ---- mounts ---- */

static yyjson_val *find_volume(const struct pod *pod, struct tt_str name)
{
    size_t index;
    size_t count;
    yyjson_val *volume;
    yyjson_arr_foreach(yyjson_obj_get(pod->spec, "volumes"), index, count, volume)
    {
        if (tt_str_eq(tt_json_iget_str(volume, "name"), name)) {
            return volume;
        }
    }
    return NULL;
}

static int host_path(const char *root, const struct pod *pod, yyjson_val *volume,
                     char out[VOLUMES_PATH_SIZE], struct tt_err *err)
{
    struct tt_str given = tt_json_iget_str(volume, "hostPath.path");
    if (given.len > 0) {
        return format(out, err, "%.*s", TT_STR_ARG(given));
    }
    return volume_path(root, pod, tt_json_iget_str(volume, "name"), out, err);
}

static int add_mount(const char *root, const struct env_context *context, struct tt_arena *arena,
                     yyjson_val *item, struct rt_mount *ret_mount, struct tt_err *err)
{
    struct tt_str name = tt_json_iget_str(item, "name");
    struct tt_str target = tt_json_iget_str(item, "mountPath");
    yyjson_val *volume = find_volume(context->pod, name);
    char path[VOLUMES_PATH_SIZE];
    if (volume == NULL) {
        return TT_FAIL(err, TT_EINVAL, "volume \"%.*s\" is not in the pod", TT_STR_ARG(name));
    }
    if (tt_json_iget_str(item, "subPath").len > 0 ||
        tt_json_iget_str(item, "subPathExpr").len > 0) {
        return TT_FAIL(err, TT_EINVAL, "volume \"%.*s\": subPath is not supported",
                       TT_STR_ARG(name));
    }
    int r = host_path(root, context->pod, volume, path, err);
    if (r != TT_OK) {
        return r;
    }
    ret_mount->host_path = tt_arena_strndup(arena, path, strlen(path));
    ret_mount->container_path = tt_arena_strndup(arena, target.ptr, target.len);
    ret_mount->read_only =
        projected_part(volume) != NULL || yyjson_is_true(yyjson_obj_get(item, "readOnly"));
    return ret_mount->host_path != NULL && ret_mount->container_path != NULL
               ? TT_OK
               : TT_FAIL(err, TT_ETOOLARGE, "too many mounts");
}

int volumes_mounts(const char *root, const struct env_context *context, struct tt_arena *arena,
                   struct rt_container_config *config, struct tt_err *err)
{
    yyjson_val *list = yyjson_obj_get(context->pod->containers[config->index].spec, "volumeMounts");
    struct rt_mount *mounts = tt_arena_alloc(arena, (yyjson_arr_size(list) + 1) * sizeof *mounts);
    if (mounts == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "too many mounts");
    }
    size_t index;
    size_t count;
    size_t n = 0;
    yyjson_val *item;
    yyjson_arr_foreach(list, index, count, item)
    {
        int r = add_mount(root, context, arena, item, &mounts[n++], err);
        if (r != TT_OK) {
            return r;
        }
    }
    config->mounts = mounts;
    config->mount_count = n;
    return TT_OK;
}

/* ---- removal ---- */

/* The log directory carries the uid at its end; the other parts may not be known any more. */
static int remove_logs(const char *root, const char *uid, struct tt_err *err)
{
    char path[VOLUMES_PATH_SIZE];
    int r = format(path, err, "%s/logs", root);
    DIR *dir = r == TT_OK ? opendir(path) : NULL;
    if (dir == NULL) {
        return r;
    }
    for (struct dirent *entry = readdir(dir); r == TT_OK && entry != NULL; entry = readdir(dir)) {
        struct tt_str name = tt_str_c(entry->d_name);
        size_t size = strlen(uid);
        if (name.len > size && name.ptr[name.len - size - 1] == '_' &&
            tt_str_ends(name, tt_str_c(uid))) {
            char logs[VOLUMES_PATH_SIZE];
            r = format(logs, err, "%s/logs/%s", root, entry->d_name);
            if (r == TT_OK) {
                r = tt_dir_remove_tree(logs, err);
            }
        }
    }
    (void)closedir(dir);
    return r;
}

int volumes_remove(const char *root, const char *uid, struct tt_err *err)
{
    char path[VOLUMES_PATH_SIZE];
    int r = volumes_pod_path(root, uid, path, err);
    if (r == TT_OK) {
        r = tt_dir_remove_tree(path, err);
    }
    return r == TT_OK ? remove_logs(root, uid, err) : r;
}

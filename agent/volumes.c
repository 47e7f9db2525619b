/* A plan holds one item per volume: its directory and what becomes of it. Projected kinds carry all
 * their files and commit them, the others make a directory or look at one of the host.
 *
 * Volumes with a Secret, and empty ones that ask for memory, lie in a file system of their own in
 * memory (memory_fs.h), so that no secret comes to a disk. Removal unmounts before it deletes. */
#include "agent/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/collect.h"
#include "agent/memory_fs.h"
#include "api/kinds/quantity.h"
#include "base/file.h"

enum {
    ARENA_CHUNK = 64 << 10,
    ARENA_MAX = 64 << 20,
    PRIVATE_MODE = 0700,
    SHARED_MODE = 0777,
    PROJECTED_MODE = 0755,
    SECRET_SIZE_MAX = 32 << 20, /* of a volume: both contents while one replaces the other */
};

enum item_kind { ITEM_PROJECTED, ITEM_EMPTY, ITEM_HOST_PATH };
struct item {                 /* all in the plan's arena */
    enum item_kind kind;      /* what apply does with it */
    const char *volume;       /* its name, for errors */
    const char *directory;    /* a host path for ITEM_HOST_PATH */
    const char *type;         /* of a host path */
    struct collected content; /* ITEM_PROJECTED: files with all bytes */
    struct tt_err *unknown;   /* why the content is not known now; NULL: it is */
    bool in_memory;           /* lies in a file system in memory */
    uint64_t size_max;        /* of a file system in memory; 0: the kernel's default */
};
struct volumes {
    struct tt_arena *arena;            /* owned; items, texts and contents */
    char directory[VOLUMES_PATH_SIZE]; /* of the pod */
    struct item *items;                /* in the arena; in the order of the spec */
    size_t item_count;                 /* at most spec.volumes */
    const char **log_directories;      /* in the arena; absolute, one per container */
    size_t log_count;                  /* at most the pod's containers */
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

/* ---- planning: on the loop ---- */

static int no_room(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the pod's volumes are too large");
}

static int copy_text(struct tt_arena *arena, struct tt_str text, const char **ret,
                     struct tt_err *err)
{
    *ret = tt_arena_strndup(arena, text.ptr ? text.ptr : "", text.len);
    return *ret != NULL ? TT_OK : no_room(err);
}

static int plan_projected(struct volumes *plan, const struct env_context *context,
                          yyjson_val *volume, struct item *item, struct tt_err *err)
{
    item->kind = ITEM_PROJECTED;
    item->in_memory = collect_is_secret(volume);
    item->size_max = SECRET_SIZE_MAX;
    struct tt_err cause;
    tt_err_init(&cause);
    int r = collect_files(context, volume, plan->arena, &item->content, &cause);
    if (r == TT_EBUSY) { /* the servers are away: what was known last serves on, if it was */
        item->unknown = tt_arena_alloc(plan->arena, sizeof *item->unknown);
        if (item->unknown == NULL) {
            return no_room(err);
        }
        *item->unknown = cause;
        return TT_OK;
    }
    if (r != TT_OK && err != NULL) {
        *err = cause;
    }
    return r;
}

static void plan_empty(yyjson_val *source, struct item *item)
{
    struct tt_quantity size;
    int64_t bytes = 0;
    item->kind = ITEM_EMPTY;
    item->in_memory = tt_str_eq_c(tt_json_iget_str(source, "medium"), "Memory");
    if (tt_quantity_parse(tt_json_iget_str(source, "sizeLimit"), &size) &&
        tt_quantity_value(&size, &bytes) && bytes > 0) {
        item->size_max = (uint64_t)bytes;
    }
}

static int plan_volume(struct volumes *plan, const char *root, const struct env_context *context,
                       yyjson_val *volume, struct tt_err *err)
{
    char directory[VOLUMES_PATH_SIZE];
    struct item *item = &plan->items[plan->item_count++];
    struct tt_str name = tt_json_iget_str(volume, "name");
    yyjson_val *source = yyjson_obj_get(volume, "hostPath");
    *item = (struct item){.kind = ITEM_HOST_PATH};
    int r = volume_path(root, context->pod, name, directory, err);
    if (r == TT_OK) {
        r = copy_text(plan->arena, name, &item->volume, err);
    }
    if (r == TT_OK && source != NULL) {
        r = copy_text(plan->arena, tt_json_iget_str(source, "type"), &item->type, err);
    }
    if (r == TT_OK) {
        struct tt_str path =
            source != NULL ? tt_json_iget_str(source, "path") : tt_str_c(directory);
        r = copy_text(plan->arena, path, &item->directory, err);
    }
    if (r != TT_OK || source != NULL) {
        return r;
    }
    if (collect_part(volume) != NULL) {
        r = plan_projected(plan, context, volume, item, err);
    } else if ((source = yyjson_obj_get(volume, "emptyDir")) != NULL) {
        plan_empty(source, item);
    } else {
        r = TT_FAIL(err, TT_EINVAL, "its type is not supported");
    }
    return r != TT_OK ? TT_WRAP(err, r, "volume \"%.*s\"", TT_STR_ARG(name)) : TT_OK;
}

static int plan_logs(struct volumes *plan, const char *root, const struct pod *pod,
                     struct tt_err *err)
{
    char path[VOLUMES_PATH_SIZE];
    int r = volumes_log_path(root, pod->namespace, pod->name, pod->uid, path, err);
    for (size_t i = 0; r == TT_OK && i < pod->container_count; i++) {
        const char *logs = tt_arena_printf(plan->arena, "%s/%s", path, pod->containers[i].name);
        if (logs == NULL) {
            return no_room(err);
        }
        plan->log_directories[plan->log_count++] = logs;
    }
    return r;
}

int volumes_plan(const char *root, const struct env_context *context, struct volumes **ret_plan,
                 struct tt_err *err)
{
    const struct pod *pod = context->pod;
    yyjson_val *list = yyjson_obj_get(pod->spec, "volumes");
    TT_AUTO(volumes) plan = TT_NEW(struct volumes);
    plan->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    plan->items = tt_arena_alloc(plan->arena, (yyjson_arr_size(list) + 1) * sizeof *plan->items);
    plan->log_directories =
        tt_arena_alloc(plan->arena, (pod->container_count + 1) * sizeof(const char *));
    if (plan->items == NULL || plan->log_directories == NULL) {
        return no_room(err);
    }
    int r = volumes_pod_path(root, pod->uid, plan->directory, err);
    size_t index;
    size_t count;
    yyjson_val *volume;
    yyjson_arr_foreach(list, index, count, volume)
    {
        if (r == TT_OK) {
            r = plan_volume(plan, root, context, volume, err);
        }
    }
    if (r == TT_OK) {
        r = plan_logs(plan, root, pod, err);
    }
    if (r == TT_OK) {
        *ret_plan = TT_TAKE(plan);
    }
    return r;
}

void volumes_free(struct volumes *plan)
{
    if (plan == NULL) {
        return;
    }
    for (size_t i = 0; i < plan->item_count; i++) {
        const struct item *item = &plan->items[i];
        for (size_t f = 0; item->in_memory && f < item->content.count; f++) {
            struct tt_str bytes = item->content.files[f].bytes; /* secrets, in the own arena */
            explicit_bzero((void *)(uintptr_t)bytes.ptr, bytes.len);
        }
    }
    tt_arena_free(plan->arena);
    tt_free(plan);
}

/* ---- applying: on any thread ---- */

static int apply_host_path(const struct item *item, struct tt_err *err)
{
    struct tt_str type = tt_str_c(item->type);
    struct stat st;
    if (tt_str_eq_c(type, "DirectoryOrCreate")) {
        return tt_dir_make(item->directory, 0755, err);
    }
    if (stat(item->directory, &st) != 0) {
        return type.len == 0 ? tt_dir_make(item->directory, 0755, err)
                             : TT_FAIL_ERRNO(err, errno, "hostPath %s", item->directory);
    }
    bool fits = type.len == 0 || (tt_str_eq_c(type, "Directory") && S_ISDIR(st.st_mode)) ||
                (tt_str_eq_c(type, "File") && S_ISREG(st.st_mode)) ||
                (tt_str_eq_c(type, "Socket") && S_ISSOCK(st.st_mode)) ||
                (tt_str_eq_c(type, "CharDevice") && S_ISCHR(st.st_mode)) ||
                (tt_str_eq_c(type, "BlockDevice") && S_ISBLK(st.st_mode));
    return fits ? TT_OK
                : TT_FAIL(err, TT_EINVAL, "hostPath %s is no %s", item->directory, item->type);
}

static int apply_empty(const struct item *item, struct tt_err *err)
{
    const struct memory_fs_options options = {.size_max = item->size_max, .mode = SHARED_MODE};
    int r = tt_dir_make(item->directory, SHARED_MODE, err);
    if (r == TT_OK && item->in_memory) {
        r = memory_fs_mount(item->directory, &options, err);
    }
    if (r == TT_OK && chmod(item->directory, SHARED_MODE) != 0) {
        r = TT_FAIL_ERRNO(err, errno, "%s", item->directory);
    }
    return r;
}

static int apply_projected(const struct item *item, struct tt_err *err)
{
    if (item->unknown != NULL) {
        if (project_is_there(item->directory)) {
            return TT_OK;
        }
        if (err != NULL) {
            *err = *item->unknown;
        }
        return item->unknown->code;
    }
    const struct memory_fs_options options = {
        .size_max = item->size_max, .mode = PROJECTED_MODE, .no_programs = true};
    int r = TT_OK;
    if (item->in_memory) {
        r = tt_dir_make(item->directory, PROJECTED_MODE, err);
    }
    if (r == TT_OK && item->in_memory) {
        r = memory_fs_mount(item->directory, &options, err);
    }
    return r == TT_OK
               ? project_commit(item->directory, item->content.files, item->content.count, err)
               : r;
}

static int apply_item(const struct item *item, struct tt_err *err)
{
    int r;
    switch (item->kind) {
    case ITEM_PROJECTED:
        r = apply_projected(item, err);
        break;
    case ITEM_EMPTY:
        r = apply_empty(item, err);
        break;
    case ITEM_HOST_PATH:
    default:
        r = apply_host_path(item, err);
        break;
    }
    return r != TT_OK ? TT_WRAP(err, r, "volume \"%s\"", item->volume) : TT_OK;
}

int volumes_apply(const struct volumes *plan, struct tt_err *err)
{
    int r = tt_dir_make(plan->directory, PRIVATE_MODE, err);
    for (size_t i = 0; r == TT_OK && i < plan->item_count; i++) {
        r = apply_item(&plan->items[i], err);
    }
    for (size_t i = 0; r == TT_OK && i < plan->log_count; i++) {
        r = tt_dir_make(plan->log_directories[i], PRIVATE_MODE, err);
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
        collect_part(volume) != NULL || yyjson_is_true(yyjson_obj_get(item, "readOnly"));
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
    char volumes[VOLUMES_PATH_SIZE];
    int r = volumes_pod_path(root, uid, path, err);
    if (r == TT_OK) {
        r = format(volumes, err, "%s/volumes", path);
    }
    if (r == TT_OK) {
        r = memory_fs_unmount_in(volumes, err);
    }
    if (r == TT_OK) {
        r = tt_dir_remove_tree(path, err);
    }
    return r == TT_OK ? remove_logs(root, uid, err) : r;
}

/* Entries are keyed "s/NAMESPACE/NAME" or "c/…". An entry that is swept closes its watch and frees
 * itself when that is closed; a new one of the same name may live beside it meanwhile. */
#include "agent/refs.h"

#include "api/client/informer.h"
#include "base/log.h"
#include "base/map.h"

enum { ARENA_CHUNK = 8 << 10, ARENA_MAX = 32 << 20, KEY_MAX = 600 };

struct refs {
    struct tt_loop *loop;         /* kept */
    struct tt_api_client *client; /* kept; of the watches */
    struct tt_map *entries;       /* struct entry, owned by itself */
    void (*changed)(void *ctx);   /* tells: an object was heard of, changed or went */
    void *ctx;                    /* of changed */
    uint64_t round;               /* of the newest begin; an older entry is swept */
    size_t open;                  /* entries that still live, also swept ones */
    bool closing;                 /* frees itself when open is 0 */
    void (*closed)(void *ctx);    /* of close; called after the last entry is gone */
    void *closed_ctx;             /* passed to closed */
};
struct entry {
    struct refs *refs;            /* kept: freed after its last entry */
    struct tt_informer *informer; /* owned; watches this one object */
    struct tt_arena *arena;       /* of the object; NULL: absent */
    yyjson_val *object;           /* root, in the arena; NULL: absent */
    uint64_t round;               /* that wanted it last */
    bool is_synced;               /* its first list came: before it, nothing is known */
};

struct refs *refs_new(struct tt_loop *loop, struct tt_api_client *client,
                      void (*changed)(void *ctx), void *ctx)
{
    struct refs *refs = TT_NEW(struct refs);
    refs->loop = loop;
    refs->client = client;
    refs->changed = changed;
    refs->ctx = ctx;
    refs->entries = tt_map_new(REFS_MAX, NULL);
    return refs;
}

static void entry_clear(struct entry *entry)
{
    tt_arena_free(entry->arena);
    entry->arena = NULL;
    entry->object = NULL;
}

static void entry_changed(void *ctx, enum tt_informer_change change,
                          const struct tt_informer_object *object)
{
    struct entry *entry = ctx;
    entry_clear(entry);
    if (change != TT_INFORMER_DELETED) {
        yyjson_doc *doc = NULL;
        entry->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
        if (tt_json_read(entry->arena, object->json, &doc, NULL) == TT_OK) {
            entry->object = yyjson_doc_get_root(doc);
        } else {
            entry_clear(entry);
        }
    }
    if (entry->is_synced) {
        entry->refs->changed(entry->refs->ctx);
    }
}

static void entry_synced(void *ctx)
{
    struct entry *entry = ctx;
    entry->is_synced = true;
    entry->refs->changed(entry->refs->ctx);
}

static void refs_free_when_done(struct refs *refs)
{
    if (refs->closing && refs->open == 0) {
        void (*closed)(void *) = refs->closed;
        void *closed_ctx = refs->closed_ctx;
        tt_map_free(refs->entries);
        tt_free(refs);
        closed(closed_ctx);
    }
}

static void entry_closed(void *ctx)
{
    struct entry *entry = ctx;
    struct refs *refs = entry->refs;
    entry_clear(entry);
    tt_free(entry);
    refs->open--;
    refs_free_when_done(refs);
}

static struct tt_str key_of(struct tt_buf *buf, bool is_secret, struct tt_str ns,
                            struct tt_str name)
{
    tt_buf_reset(buf);
    tt_buf_printf(buf, "%c/%.*s/%.*s", is_secret ? 's' : 'c', TT_STR_ARG(ns), TT_STR_ARG(name));
    return tt_buf_view(buf);
}

static int entry_new(struct refs *refs, bool is_secret, struct tt_str ns, struct tt_str name,
                     struct entry **ret_entry, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf selector;
    tt_buf_init(&selector, KEY_MAX);
    tt_buf_printf(&selector, "metadata.name=%.*s", TT_STR_ARG(name));
    struct entry *entry = TT_NEW(struct entry);
    entry->refs = refs;
    const struct tt_informer_config config = {
        .loop = refs->loop,
        .client = refs->client,
        .resource = is_secret ? (struct tt_api_resource){"", "v1", "secrets"}
                              : (struct tt_api_resource){"", "v1", "configmaps"},
        .namespace = ns,
        .field_selector = tt_buf_view(&selector),
        .changed = entry_changed,
        .synced = entry_synced,
        .ctx = entry};
    int r = tt_informer_new(&config, &entry->informer, err);
    if (r != TT_OK) {
        tt_free(entry);
        return r;
    }
    refs->open++;
    *ret_entry = entry;
    return TT_OK;
}

struct want {
    struct refs *refs;     /* borrowed; where entries are marked */
    const struct pod *pod; /* borrowed; whose references are marked */
};

static void want_one(void *ctx, bool is_secret, struct tt_str name)
{
    struct want *want = ctx;
    struct refs *refs = want->refs;
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, KEY_MAX);
    struct tt_str ns = tt_str_c(want->pod->namespace);
    struct tt_str key = key_of(&buf, is_secret, ns, name);
    struct entry *entry = tt_buf_ok(&buf) ? tt_map_get(refs->entries, key) : NULL;
    struct tt_err err;
    tt_err_init(&err);
    bool is_new = entry == NULL;
    if (is_new && (!tt_buf_ok(&buf) || tt_map_count(refs->entries) >= REFS_MAX ||
                   entry_new(refs, is_secret, ns, name, &entry, &err) != TT_OK)) {
        TT_LOG(TT_LOG_WARN, "refs", "an object that a pod names cannot be watched",
               TT_F_STR("namespace", ns), TT_F_STR("name", name));
        return;
    }
    if (is_new) {
        int r = tt_map_set(refs->entries, key, entry, &err);
        TT_ASSERT(r == TT_OK);
    }
    entry->round = refs->round;
}

void refs_begin(struct refs *refs)
{
    refs->round++;
}

void refs_want(struct refs *refs, const struct pod *pod)
{
    struct want want = {refs, pod};
    refs_of_pod(pod, want_one, &want);
}

static void sweep(struct refs *refs)
{
    size_t cursor = 0;
    struct tt_str key;
    void *value;
    while (tt_map_next(refs->entries, &cursor, &key, &value)) {
        struct entry *entry = value;
        if (entry->round != refs->round) {
            (void)tt_map_remove(refs->entries, key);
            tt_informer_close(entry->informer, entry_closed, entry);
        }
    }
}

void refs_end(struct refs *refs)
{
    sweep(refs);
}

void refs_close(struct refs *refs, void (*closed)(void *ctx), void *ctx)
{
    refs->closed = closed;
    refs->closed_ctx = ctx;
    refs->round++;
    refs->open++; /* until all sweeping began */
    sweep(refs);
    refs->closing = true;
    refs->open--;
    refs_free_when_done(refs);
}

static enum ref_state get(void *ctx, bool is_secret, struct tt_str ns, struct tt_str name,
                          yyjson_val **ret_object)
{
    struct refs *refs = ctx;
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, KEY_MAX);
    struct tt_str key = key_of(&buf, is_secret, ns, name);
    const struct entry *entry = tt_buf_ok(&buf) ? tt_map_get(refs->entries, key) : NULL;
    if (entry == NULL || !entry->is_synced) {
        return REF_UNKNOWN;
    }
    if (entry->object == NULL) {
        return REF_ABSENT;
    }
    *ret_object = entry->object;
    return REF_PRESENT;
}

struct ref_source refs_source(struct refs *refs)
{
    return (struct ref_source){.get = get, .ctx = refs};
}

/* ---- what a pod names ---- */

struct finder {
    void (*found)(void *ctx, bool is_secret, struct tt_str name); /* once per reference */
    void *ctx;                                                    /* of found */
};

static void find(const struct finder *finder, yyjson_val *object, const char *path, bool is_secret)
{
    struct tt_str name = tt_json_iget_str(object, path);
    if (name.len > 0) {
        finder->found(finder->ctx, is_secret, name);
    }
}

static void find_in_volume(const struct finder *finder, yyjson_val *volume)
{
    size_t index;
    size_t count;
    yyjson_val *source;
    find(finder, volume, "configMap.name", false);
    find(finder, volume, "secret.secretName", true);
    yyjson_arr_foreach(tt_json_iget(volume, "projected.sources"), index, count, source)
    {
        find(finder, source, "configMap.name", false);
        find(finder, source, "secret.name", true);
    }
}

static void find_in_container(const struct finder *finder, yyjson_val *container)
{
    size_t index;
    size_t count;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(container, "env"), index, count, item)
    {
        find(finder, item, "valueFrom.configMapKeyRef.name", false);
        find(finder, item, "valueFrom.secretKeyRef.name", true);
    }
    yyjson_arr_foreach(yyjson_obj_get(container, "envFrom"), index, count, item)
    {
        find(finder, item, "configMapRef.name", false);
        find(finder, item, "secretRef.name", true);
    }
}

void refs_of_pod(const struct pod *pod,
                 void (*found)(void *ctx, bool is_secret, struct tt_str name), void *ctx)
{
    const struct finder finder = {found, ctx};
    size_t index;
    size_t count;
    yyjson_val *volume;
    yyjson_arr_foreach(yyjson_obj_get(pod->spec, "volumes"), index, count, volume)
    {
        find_in_volume(&finder, volume);
    }
    for (size_t i = 0; i < pod->container_count; i++) {
        find_in_container(&finder, pod->containers[i].spec);
    }
}

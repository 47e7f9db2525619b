/* States: LISTING (pages until the last) → WATCHING → (ended: watching again; 410: LISTING again)
 *         and PAUSED between failed tries; CLOSING waits for the running call.
 *
 * A list marks what it sees with its generation; what an earlier generation left is reported as
 * deleted. Objects of a page and events are parsed one at a time, each in a reset arena. A watch
 * line is at most LINE_MAX bytes. Failure modes: transport and Status errors (trouble, back-off),
 * 410 at any point (list again from the start), a line that is no event (trouble, list again). */
#include "api/client/informer.h"

#include "api/http/uri.h"
#include "api/json/json.h"
#include "base/intmath.h"
#include "base/map.h"

enum {
    PAGE_COUNT = 500,
    LINE_BYTES_MAX = 4 << 20,
    ARENA_CHUNK = 64 << 10,
    ARENA_MAX = 256 << 20,
    OBJECTS_DEFAULT = 100000,
    BACKOFF_MS_MIN = 100,
    BACKOFF_MS_MAX = 5000,
    JSON_PADDING = 64
};

enum state { LISTING, WATCHING, PAUSED, CLOSING };

struct item {
    uint64_t generation;       /* of the list that saw it, or the current one for events */
    uint64_t resource_version; /* of the copy; seen again: no change */
    uint32_t namespace_len;    /* bytes; 0: cluster object */
    uint32_t name_len;         /* bytes; never 0 */
    uint32_t uid_len;          /* bytes; 0: had none */
    size_t json_len;           /* bytes, without padding; 0 unless keep_json */
    char bytes[];              /* namespace, name, uid, json, padding */
};

struct tt_informer {
    struct tt_informer_config config; /* namespace and selectors of it are not used after new */
    char *namespace;                  /* owned; "": all */
    char *selectors;                  /* "fieldSelector=…&labelSelector=…", encoded; "" */
    struct tt_map *items;             /* "namespace/name" → struct item, owned */
    struct tt_arena *arena;           /* of the page or event being read; reset for each */
    struct tt_api_call call;          /* the page or the watch: one at a time */
    struct tt_buf path;               /* of the running call */
    struct tt_buf line;               /* the watch's unfinished line */
    struct tt_buf page_next;          /* continue token; empty: no more pages */
    struct tt_timer timer;            /* back-off */
    enum state state;                 /* PAUSED: timer runs */
    bool is_running;                  /* the call is */
    bool is_expired;                  /* the watch said 410 */
    bool is_broken;                   /* what the watch sent is no event */
    bool is_synced;                   /* one list was complete; stays true */
    uint64_t generation;              /* of the newest list, from 1 */
    uint64_t resource_version;        /* to watch from; 0: list first */
    uint64_t backoff_ms;              /* of the next pause */
    void (*closed)(void *ctx);        /* of close; may be NULL */
    void *closed_ctx;                 /* of closed */
};

static void start_list(struct tt_informer *informer);
static void start_watch(struct tt_informer *informer);

/* ---- objects ---- */

static void object_of(const struct item *item, struct tt_informer_object *ret_object)
{
    const char *at = item->bytes;
    ret_object->namespace = tt_str(at, item->namespace_len);
    at += item->namespace_len;
    ret_object->name = tt_str(at, item->name_len);
    at += item->name_len;
    ret_object->uid = tt_str(at, item->uid_len);
    at += item->uid_len;
    ret_object->json = tt_str(at, item->json_len);
    ret_object->resource_version = item->resource_version;
}

static struct item *item_new(const struct tt_informer_object *object, bool keep_json)
{
    size_t json_len = keep_json ? object->json.len : 0;
    size_t size = object->namespace.len + object->name.len + object->uid.len + json_len;
    struct item *item = tt_xcalloc(1, sizeof *item + size + JSON_PADDING);
    item->resource_version = object->resource_version;
    item->namespace_len = (uint32_t)object->namespace.len;
    item->name_len = (uint32_t)object->name.len;
    item->uid_len = (uint32_t)object->uid.len;
    item->json_len = json_len;
    char *at = item->bytes;
    const struct tt_str parts[] = {object->namespace, object->name, object->uid,
                                   tt_str(object->json.ptr, json_len)};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].len > 0) {
            memcpy(at, parts[i].ptr, parts[i].len);
            at += parts[i].len;
        }
    }
    return item;
}

/* Namespace and name, which cannot contain a slash. */
static void make_key(struct tt_buf *key, struct tt_str namespace, struct tt_str name)
{
    tt_buf_init(key, 1024);
    tt_buf_str(key, namespace);
    tt_buf_char(key, '/');
    tt_buf_str(key, name);
}

/* False: not an object with a name and a resourceVersion. */
static bool read_object(yyjson_val *value, struct tt_informer_object *ret_object)
{
    struct tt_str version = tt_json_iget_str(value, "metadata.resourceVersion");
    ret_object->namespace = tt_json_iget_str(value, "metadata.namespace");
    ret_object->name = tt_json_iget_str(value, "metadata.name");
    ret_object->uid = tt_json_iget_str(value, "metadata.uid");
    return ret_object->name.len > 0 && tt_str_to_u64(version, &ret_object->resource_version);
}

static void report_trouble(struct tt_informer *informer, const struct tt_err *err)
{
    if (informer->config.trouble && informer->state != CLOSING) {
        informer->config.trouble(informer->config.ctx, err);
    }
}

static void tell_changed(struct tt_informer *informer, enum tt_informer_change change,
                         const struct tt_informer_object *object)
{
    if (informer->state != CLOSING) {
        informer->config.changed(informer->config.ctx, change, object);
    }
}

static int upsert(struct tt_informer *informer, const struct tt_informer_object *object,
                  struct tt_err *err)
{
    struct tt_buf key;
    make_key(&key, object->namespace, object->name);
    struct item *old = tt_buf_ok(&key) ? tt_map_get(informer->items, tt_buf_view(&key)) : NULL;
    bool is_same = old && old->resource_version == object->resource_version;
    enum tt_informer_change change = old ? TT_INFORMER_MODIFIED : TT_INFORMER_ADDED;
    int r = 0;
    if (is_same) {
        old->generation = informer->generation;
    } else {
        struct item *item = item_new(object, informer->config.keep_json);
        item->generation = informer->generation;
        r = tt_buf_ok(&key) ? tt_map_set(informer->items, tt_buf_view(&key), item, err)
                            : TT_FAIL(err, TT_ETOOLARGE, "object name");
        if (r < 0) {
            tt_free(item);
        }
    }
    tt_buf_fini(&key);
    if (r == 0 && !is_same) {
        tell_changed(informer, change, object);
    }
    return r;
}

static void drop(struct tt_informer *informer, const struct tt_informer_object *object)
{
    struct tt_buf key;
    make_key(&key, object->namespace, object->name);
    bool was_known = tt_buf_ok(&key) && tt_map_remove(informer->items, tt_buf_view(&key));
    tt_buf_fini(&key);
    if (was_known) {
        tell_changed(informer, TT_INFORMER_DELETED, object);
    }
}

/* What the list just ended did not see is gone. */
static void drop_unseen(struct tt_informer *informer)
{
    size_t cursor = 0;
    struct tt_str key;
    void *value;
    while (informer->state != CLOSING && tt_map_next(informer->items, &cursor, &key, &value)) {
        const struct item *item = value;
        if (item->generation == informer->generation) {
            continue;
        }
        struct tt_informer_object object;
        object_of(item, &object);
        object.json = TT_STR_NONE;
        char *copy = tt_xmalloc(object.namespace.len + object.name.len + object.uid.len + 1);
        memcpy(copy, item->bytes, object.namespace.len + object.name.len + object.uid.len);
        object.namespace.ptr = copy;
        object.name.ptr = copy + object.namespace.len;
        object.uid.ptr = object.name.ptr + object.name.len;
        (void)tt_map_remove(informer->items, key); /* it is there: we iterate over it */
        tell_changed(informer, TT_INFORMER_DELETED, &object);
        tt_free(copy);
    }
}

/* ---- back-off ---- */

static void pause_then_retry(struct tt_informer *informer)
{
    informer->state = PAUSED;
    tt_timer_start(&informer->timer, informer->backoff_ms, 0);
    informer->backoff_ms = tt_u64_min(informer->backoff_ms * 2, BACKOFF_MS_MAX);
}

static void on_timer(struct tt_timer *timer)
{
    struct tt_informer *informer = TT_CONTAINER_OF(timer, struct tt_informer, timer);
    if (informer->state != PAUSED) {
        return;
    }
    if (informer->resource_version > 0) {
        start_watch(informer);
    } else {
        start_list(informer);
    }
}

static void fail(struct tt_informer *informer, const struct tt_err *err)
{
    report_trouble(informer, err);
    if (informer->state != CLOSING) {
        pause_then_retry(informer);
    }
}

static void on_timer_closed(struct tt_timer *timer)
{
    struct tt_informer *informer = TT_CONTAINER_OF(timer, struct tt_informer, timer);
    void (*closed)(void *ctx) = informer->closed;
    void *ctx = informer->closed_ctx;
    tt_map_free(informer->items);
    tt_arena_free(informer->arena);
    tt_buf_fini(&informer->path);
    tt_buf_fini(&informer->line);
    tt_buf_fini(&informer->page_next);
    tt_free(informer->namespace);
    tt_free(informer->selectors);
    tt_free(informer);
    if (closed) {
        closed(ctx);
    }
}

/* ---- calls ---- */

static void start_call(struct tt_informer *informer, struct tt_str query,
                       void (*data)(struct tt_api_call *call, struct tt_str bytes),
                       void (*done)(struct tt_api_call *call, const struct tt_err *err))
{
    tt_buf_reset(&informer->path);
    tt_api_path(&informer->path, &informer->config.resource, tt_str_c(informer->namespace),
                TT_STR_NONE, TT_STR_NONE, query);
    informer->call = (struct tt_api_call){.method = "GET",
                                          .path = tt_buf_view(&informer->path),
                                          .timeout_ms = data ? UINT64_MAX : 0,
                                          .data = data,
                                          .done = done,
                                          .ctx = informer};
    struct tt_err err;
    tt_err_init(&err);
    informer->is_running = true;
    if (tt_api_call_start(informer->config.client, &informer->call, &err) < 0) {
        informer->is_running = false;
        fail(informer, &err);
    }
}

/* The call is over: true when the informer is closing and nothing else may happen. */
static bool call_is_over(struct tt_informer *informer)
{
    informer->is_running = false;
    if (informer->state != CLOSING) {
        return false;
    }
    tt_timer_close(&informer->timer, on_timer_closed);
    return true;
}

static void list_again(struct tt_informer *informer)
{
    informer->resource_version = 0;
    tt_buf_reset(&informer->page_next);
}

/* A page may be larger than api/json's cap for one object, but no deeper than a list of objects. */
static bool depth_is_sane(struct tt_str text)
{
    enum { DEPTH_MAX = TT_JSON_DEPTH_MAX + 2 };
    unsigned depth = 0;
    bool is_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_string) {
            i += c == '\\' ? 1 : 0;
            is_string = c != '"';
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) {
                return false;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

/* Takes one page in; the list's resourceVersion into *ret_version. */
static int take_page(struct tt_informer *informer, struct tt_str text, uint64_t *ret_version,
                     struct tt_err *err)
{
    yyjson_doc *doc = NULL;
    tt_arena_reset(informer->arena);
    yyjson_alc alc;
    tt_json_alc(informer->arena, &alc);
    if (!depth_is_sane(text)) {
        return TT_FAIL(err, TT_EPROTO, "the list is nested too deeply");
    }
    doc = yyjson_read_opts((char *)(uintptr_t)text.ptr, text.len, YYJSON_READ_NUMBER_AS_RAW, &alc,
                           NULL); /* does not write to the text without the in-situ flag */
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *items = yyjson_obj_get(root, "items");
    if (!tt_str_to_u64(tt_json_iget_str(root, "metadata.resourceVersion"), ret_version)) {
        return TT_FAIL(err, TT_EPROTO, "the list is malformed");
    }
    struct tt_buf json;
    tt_buf_init(&json, LINE_BYTES_MAX);
    yyjson_arr_iter iter;
    yyjson_val *value;
    int r = 0;
    yyjson_arr_iter_init(items, &iter);
    while (r == 0 && (value = yyjson_arr_iter_next(&iter))) {
        struct tt_informer_object object;
        tt_buf_reset(&json);
        tt_json_iwrite(&json, value);
        static const char padding[JSON_PADDING];
        size_t len = json.len;
        tt_buf_append(&json, padding, sizeof padding);
        object.json = tt_str(json.ptr, len);
        if (!tt_buf_ok(&json) || !read_object(value, &object)) {
            r = TT_FAIL(err, TT_EPROTO, "the list has a malformed item");
        } else {
            r = upsert(informer, &object, err);
        }
    }
    tt_buf_fini(&json);
    tt_buf_reset(&informer->page_next);
    tt_buf_str(&informer->page_next, tt_json_iget_str(root, "metadata.continue"));
    if (r == 0 && !tt_buf_ok(&informer->page_next)) {
        r = TT_FAIL(err, TT_EPROTO,
                    "the list's continue token is too long"); /* not the last page */
    }
    return r;
}

static void on_page(struct tt_api_call *call, const struct tt_err *call_err)
{
    struct tt_informer *informer = call->ctx;
    struct tt_err err;
    tt_err_init(&err);
    uint64_t version = 0;
    if (call_is_over(informer)) {
        return;
    }
    if (call_err) {
        list_again(informer); /* also when a continue token expired */
        fail(informer, call_err);
        return;
    }
    if (take_page(informer, call->answer, &version, &err) < 0) {
        list_again(informer);
        fail(informer, &err);
        return;
    }
    if (informer->state == CLOSING) { /* closed inside a callback: is_running was false then */
        return;
    }
    if (informer->page_next.len > 0) {
        start_list(informer);
        return;
    }
    informer->resource_version = version;
    informer->backoff_ms = BACKOFF_MS_MIN;
    drop_unseen(informer);
    if (informer->state == CLOSING) {
        return;
    }
    informer->is_synced = true;
    if (informer->config.synced) {
        informer->config.synced(informer->config.ctx);
    }
    if (informer->state != CLOSING) {
        start_watch(informer);
    }
}

static void start_list(struct tt_informer *informer)
{
    informer->state = LISTING;
    if (informer->page_next.len == 0) {
        informer->generation++;
    }
    struct tt_buf query;
    tt_buf_init(&query, 64 << 10);
    tt_buf_printf(&query, "limit=%d%s%s", PAGE_COUNT, informer->selectors[0] ? "&" : "",
                  informer->selectors);
    if (informer->page_next.len > 0) {
        tt_buf_c(&query, "&continue=");
        tt_uri_encode(&query, tt_buf_view(&informer->page_next));
    }
    start_call(informer, tt_buf_view(&query), NULL, on_page);
    tt_buf_fini(&query);
}

/* ---- watch ---- */

static int take_error_event(struct tt_informer *informer, yyjson_val *object, struct tt_err *err)
{
    if (tt_json_iget_i64(object, "code", 0) == 410) {
        informer->is_expired = true;
        return TT_FAIL(err, TT_EEXPIRED, "the watch expired");
    }
    struct tt_str message = tt_json_iget_str(object, "message");
    return TT_FAIL(err, TT_EUNAVAILABLE, "watch: %.*s", TT_STR_ARG(message));
}

static int take_event(struct tt_informer *informer, struct tt_str line, struct tt_err *err)
{
    yyjson_doc *doc = NULL;
    tt_arena_reset(informer->arena);
    int r = tt_json_read(informer->arena, line, &doc, err);
    if (r < 0) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct tt_str type = tt_json_iget_str(root, "type");
    yyjson_val *value = yyjson_obj_get(root, "object");
    struct tt_informer_object object = {.json = TT_STR_NONE};
    if (tt_str_eq_c(type, "ERROR")) {
        return take_error_event(informer, value, err);
    }
    bool is_object = read_object(value, &object);
    if (tt_str_eq_c(type, "BOOKMARK")) {
        struct tt_str version = tt_json_iget_str(value, "metadata.resourceVersion");
        return tt_str_to_u64(version, &informer->resource_version)
                   ? 0
                   : TT_FAIL(err, TT_EPROTO, "malformed bookmark");
    }
    if (!is_object) {
        return TT_FAIL(err, TT_EPROTO, "malformed watch event");
    }
    struct tt_buf json;
    tt_buf_init(&json, LINE_BYTES_MAX);
    tt_json_iwrite(&json, value);
    size_t len = json.len;
    static const char padding[JSON_PADDING];
    tt_buf_append(&json, padding, sizeof padding);
    object.json = tt_str(json.ptr, len);
    if (!tt_buf_ok(&json)) {
        r = TT_FAIL(err, TT_ETOOLARGE, "watch event");
    } else if (tt_str_eq_c(type, "DELETED")) {
        drop(informer, &object);
    } else {
        r = upsert(informer, &object, err);
    }
    tt_buf_fini(&json);
    if (r == 0) {
        informer->resource_version = object.resource_version;
        informer->backoff_ms = BACKOFF_MS_MIN;
    }
    return r;
}

static void on_watch_data(struct tt_api_call *call, struct tt_str bytes)
{
    struct tt_informer *informer = call->ctx;
    struct tt_err err;
    tt_err_init(&err);
    while (bytes.len > 0 && informer->state == WATCHING && !informer->is_broken) {
        ptrdiff_t end = tt_str_find(bytes, '\n');
        struct tt_str part = end >= 0 ? tt_str_head(bytes, (size_t)end) : bytes;
        bytes = tt_str_skip(bytes, end >= 0 ? part.len + 1 : part.len);
        tt_buf_str(&informer->line, part);
        if (end < 0 && tt_buf_ok(&informer->line)) {
            return;
        }
        int r = tt_buf_ok(&informer->line)
                    ? take_event(informer, tt_buf_view(&informer->line), &err)
                    : TT_FAIL(&err, TT_ETOOLARGE, "a watch event is too large");
        tt_buf_reset(&informer->line);
        if (r < 0) {
            informer->is_broken = true;
            informer->is_expired = informer->is_expired || r == TT_EPROTO || r == TT_EINVAL;
            if (r != TT_EEXPIRED) {
                report_trouble(informer, &err);
            }
            tt_api_call_cancel(call);
        }
    }
}

static void on_watch_end(struct tt_api_call *call, const struct tt_err *err)
{
    struct tt_informer *informer = call->ctx;
    if (call_is_over(informer)) {
        return;
    }
    bool is_expired = informer->is_expired || (err && err->code == TT_EEXPIRED);
    if (is_expired) {
        list_again(informer);
        start_list(informer);
    } else if (err && !informer->is_broken) {
        fail(informer, err);
    } else {
        pause_then_retry(informer); /* ended as watches do, or trouble was told */
    }
}

static void start_watch(struct tt_informer *informer)
{
    informer->state = WATCHING;
    informer->is_broken = false;
    informer->is_expired = false;
    tt_buf_reset(&informer->line);
    struct tt_buf query;
    tt_buf_init(&query, 64 << 10);
    tt_buf_printf(&query, "watch=true&allowWatchBookmarks=true&resourceVersion=%llu%s%s",
                  (unsigned long long)informer->resource_version, informer->selectors[0] ? "&" : "",
                  informer->selectors);
    start_call(informer, tt_buf_view(&query), on_watch_data, on_watch_end);
    tt_buf_fini(&query);
}

/* ---- life ---- */

static void add_selector(struct tt_buf *buf, const char *name, struct tt_str selector)
{
    if (selector.len > 0) {
        tt_buf_c(buf, buf->len > 0 ? "&" : "");
        tt_buf_c(buf, name);
        tt_buf_char(buf, '=');
        tt_uri_encode(buf, selector);
    }
}

int tt_informer_new(const struct tt_informer_config *config, struct tt_informer **ret_informer,
                    struct tt_err *err)
{
    TT_ASSERT(config->changed && config->client && config->loop);
    struct tt_buf selectors;
    tt_buf_init(&selectors, 32 << 10);
    add_selector(&selectors, "fieldSelector", config->field_selector);
    add_selector(&selectors, "labelSelector", config->label_selector);
    if (!tt_buf_ok(&selectors)) {
        tt_buf_fini(&selectors);
        return TT_FAIL(err, TT_ETOOLARGE, "selectors");
    }
    struct tt_informer *informer = TT_NEW(struct tt_informer);
    informer->config = *config;
    informer->namespace =
        tt_xstrndup(config->namespace.len ? config->namespace.ptr : "", config->namespace.len);
    informer->selectors = tt_xstrndup(selectors.len ? selectors.ptr : "", selectors.len);
    tt_buf_fini(&selectors);
    size_t count_max = config->object_count_max ? config->object_count_max : OBJECTS_DEFAULT;
    informer->items = tt_map_new(count_max, tt_free);
    informer->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    tt_buf_init(&informer->path, 128 << 10);
    tt_buf_init(&informer->line, LINE_BYTES_MAX);
    tt_buf_init(&informer->page_next, 8 << 10);
    tt_timer_init(&informer->timer, config->loop, on_timer);
    informer->backoff_ms = BACKOFF_MS_MIN;
    start_list(informer);
    *ret_informer = informer;
    return 0;
}

void tt_informer_close(struct tt_informer *informer, void (*closed)(void *ctx), void *ctx)
{
    TT_ASSERT(informer->state != CLOSING);
    informer->state = CLOSING;
    informer->closed = closed;
    informer->closed_ctx = ctx;
    if (informer->is_running) {
        tt_api_call_cancel(&informer->call);
    } else {
        tt_timer_close(&informer->timer, on_timer_closed);
    }
}

bool tt_informer_is_synced(const struct tt_informer *informer)
{
    return informer->is_synced;
}

uint64_t tt_informer_resource_version(const struct tt_informer *informer)
{
    return informer->resource_version;
}

size_t tt_informer_count(const struct tt_informer *informer)
{
    return tt_map_count(informer->items);
}

bool tt_informer_get(const struct tt_informer *informer, struct tt_str namespace,
                     struct tt_str name, struct tt_informer_object *ret_object)
{
    struct tt_buf key;
    make_key(&key, namespace, name);
    const struct item *item =
        tt_buf_ok(&key) ? tt_map_get(informer->items, tt_buf_view(&key)) : NULL;
    tt_buf_fini(&key);
    if (item) {
        object_of(item, ret_object);
    }
    return item != NULL;
}

/* The hub: buckets of watches by scope, one scan of history per published version.
 *
 *   new ──run──▶ listing ──▶ catching ◀──▶ live ──▶ (freed)
 * Happy path: a live watch gets each change of its scope as one shared line. A full client
 * (TT_EBUSY) turns a watch back to catching, blocked until drained; what it missed is read again
 * from history. Listing and catching take bounded steps from a work list, so that a thousand
 * resuming clients do not stall the loop.
 * Failure: history gone → ERROR 410 and the end; blocked for STALL_MS → a last BOOKMARK and the
 * end. A watch that is cancelled while the hub walks its lists is freed after the walk. */
#include "api/watch/hub.h"

#include "api/kinds/keys.h"
#include "api/watch/event.h"
#include "base/intmath.h"
#include "base/map.h"

enum {
    BUCKETS_MAX = 1 << 20,
    CLIENTS_MAX = 1 << 20,
    WATCHES_PER_CLIENT = 1000,
    STEP_CHANGES = 4096, /* changes looked at, or objects listed, per step of one watch */
    STEPS_PER_WORK = 16,
    STALL_MS = 4500, /* with the tick: closed within 5 s */
    BOOKMARK_MS = 1000,
    SELECTOR_ARENA_CHUNK = 1024,
    SELECTOR_ARENA_MAX = 256 << 10,
};
enum watch_state { STATE_NEW, STATE_LISTING, STATE_CATCHING, STATE_LIVE, STATE_DEAD };

struct bucket {
    struct tt_list watches; /* by watch.in_bucket */
    size_t count;           /* in watches, dead ones too; freed at 0 */
    struct tt_str scope;    /* copied behind the struct: key of the map */
};
struct client {
    uint32_t count; /* watches open */
};
struct tt_watch {
    struct tt_list in_bucket;      /* bucket->watches */
    struct tt_list in_all;         /* hub->all, or hub->dead */
    struct tt_list in_work;        /* hub->work; self when not runnable */
    struct tt_watch_hub *hub;      /* owns it */
    struct bucket *bucket;         /* of its scope; set by join */
    enum watch_state state;        /* NEW until run; DEAD: waits to be freed */
    struct tt_kinds *kinds;        /* a reference; keeps kind alive */
    const struct tt_kind *kind;    /* borrowed from kinds */
    struct tt_arena *arena;        /* of the selectors; NULL without */
    struct watch_filter filter;    /* parsed selectors, in arena */
    struct watch_form form;        /* of its lines; columns until the first one */
    struct tt_watch_sink sink;     /* the caller's; not written to when DEAD */
    char *client;                  /* key in hub->clients */
    struct tt_scan *scan;          /* listing */
    const struct tt_item *pending; /* listing: refused by the sink, borrowed from scan */
    uint64_t list_revision;        /* listing: of the scanned version */
    uint64_t sent; /* every change up to this revision was delivered or is none of its business */
    uint64_t blocked_ms;  /* since when the sink takes nothing; valid when blocked */
    uint64_t deadline_ms; /* 0: none */
    uint64_t bookmark_ms; /* when the next one is due */
    /* since blocked_ms · wanted · owed when the listing ends */
    bool blocked, bookmarks, initial_end;
};
struct tt_watch_hub {
    struct tt_store *store;       /* kept; catching up reads its newest version */
    const struct tt_clock *clock; /* kept; monotonic time: stalls, bookmarks */
    struct tt_map *buckets;       /* scope → struct bucket */
    struct tt_map *clients;       /* identity → struct client */
    struct tt_list all;           /* by in_all; every watch that is not dead */
    struct tt_list work;          /* by in_work; listing or catching, not blocked */
    struct tt_list dead;          /* by in_all; sweep frees them */
    struct watch_context shared;  /* of the change that is being published */
    struct watch_context private; /* of listing and catching watches */
    uint64_t revision;            /* live watches have seen everything up to here */
    uint64_t events;              /* lines that sinks took, bookmarks too; since the start */
    size_t count;                 /* in all */
    uint32_t per_client_max;      /* watches; never 0 */
    unsigned walking;             /* > 0: lists are being walked, freeing waits */
};

static void free_client(void *value)
{
    tt_free(value);
}

struct tt_watch_hub *tt_watch_hub_new(struct tt_store *store, const struct tt_sealer *sealer,
                                      const struct tt_clock *clock, uint32_t watches_per_client_max)
{
    struct tt_watch_hub *hub = TT_NEW(struct tt_watch_hub);
    hub->store = store;
    hub->clock = clock;
    hub->buckets = tt_map_new(BUCKETS_MAX, NULL);
    hub->clients = tt_map_new(CLIENTS_MAX, free_client);
    tt_list_init(&hub->all);
    tt_list_init(&hub->work);
    tt_list_init(&hub->dead);
    watch_context_init(&hub->shared, sealer, clock);
    watch_context_init(&hub->private, sealer, clock);
    hub->per_client_max = watches_per_client_max ? watches_per_client_max : WATCHES_PER_CLIENT;
    struct tt_version *version = tt_store_version(store);
    hub->revision = tt_version_revision(version);
    tt_version_unref(version);
    return hub;
}

static void bucket_leave(struct tt_watch *watch)
{
    struct bucket *bucket = watch->bucket;
    tt_list_remove(&watch->in_bucket);
    if (--bucket->count == 0) {
        (void)tt_map_remove(watch->hub->buckets, bucket->scope); /* it is there */
        tt_free(bucket);
    }
    watch->bucket = NULL;
}

static void client_leave(struct tt_watch *watch)
{
    struct tt_str name = tt_str_c(watch->client);
    struct client *client = tt_map_get(watch->hub->clients, name);
    TT_ASSERT(client != NULL && client->count > 0);
    if (--client->count == 0) {
        (void)tt_map_remove(watch->hub->clients, name); /* it is there */
    }
}

static void watch_free(struct tt_watch *watch)
{
    tt_list_remove(&watch->in_all);
    tt_list_remove(&watch->in_work);
    client_leave(watch);
    bucket_leave(watch);
    tt_scan_free(watch->scan);
    tt_arena_free(watch->arena);
    tt_kinds_unref(watch->kinds);
    tt_free(watch->client);
    tt_free(watch);
}

static void watch_kill(struct tt_watch *watch)
{
    struct tt_watch_hub *hub = watch->hub;
    TT_ASSERT(watch->state != STATE_DEAD);
    watch->state = STATE_DEAD;
    tt_list_remove(&watch->in_all);
    tt_list_remove(&watch->in_work);
    tt_list_push_back(&hub->dead, &watch->in_all);
    hub->count--;
}

static void sweep(struct tt_watch_hub *hub)
{
    while (hub->walking == 0 && !tt_list_empty(&hub->dead)) {
        watch_free(TT_CONTAINER_OF(hub->dead.next, struct tt_watch, in_all));
    }
}

static void watch_end(struct tt_watch *watch)
{
    void (*ended)(void *ctx) = watch->sink.ended;
    void *ctx = watch->sink.ctx;
    watch_kill(watch);
    ended(ctx);
}

void tt_watch_hub_close(struct tt_watch_hub *hub)
{
    while (!tt_list_empty(&hub->all)) {
        watch_end(TT_CONTAINER_OF(hub->all.next, struct tt_watch, in_all));
    }
    sweep(hub);
}

void tt_watch_hub_free(struct tt_watch_hub *hub)
{
    if (!hub) {
        return;
    }
    TT_ASSERT(hub->walking == 0);
    while (!tt_list_empty(&hub->all)) {
        watch_kill(TT_CONTAINER_OF(hub->all.next, struct tt_watch, in_all));
    }
    sweep(hub);
    watch_context_fini(&hub->shared);
    watch_context_fini(&hub->private);
    tt_map_free(hub->buckets);
    tt_map_free(hub->clients);
    tt_free(hub);
}

size_t tt_watch_hub_count(const struct tt_watch_hub *hub)
{
    return hub->count;
}

uint64_t tt_watch_hub_events(const struct tt_watch_hub *hub)
{
    return hub->events;
}

/* ---- sending ---- */

static void release_bytes(const void *owner)
{
    tt_bytes_unref((struct tt_bytes *)(uintptr_t)owner);
}

/* Takes the reference to line. */
static int send_line(struct tt_watch *watch, struct tt_bytes *line, bool last)
{
    struct tt_http_part part = {.bytes = tt_str((const char *)line->ptr, line->size),
                                .owner = line,
                                .release = release_bytes};
    int r = watch->sink.write(watch->sink.ctx, &part, last);
    if (r) {
        tt_bytes_unref(line); /* nothing was taken */
    } else {
        watch->hub->events++;
    }
    return r;
}

static void block(struct tt_watch *watch)
{
    if (!watch->blocked) {
        watch->blocked = true;
        watch->blocked_ms = tt_clock_ms(watch->hub->clock);
    }
    tt_list_remove(&watch->in_work);
}

/* 0: the change is behind the watch (sent, or none of its business). */
static int show_change(struct tt_watch *watch, struct watch_context *context)
{
    enum watch_event event = watch_context_event(context, &watch->filter);
    if (event == WATCH_NONE) {
        return TT_OK;
    }
    struct tt_bytes *line = watch_context_line(context, event, &watch->form);
    if (!line) {
        return TT_OK;
    }
    int r = send_line(watch, line, false);
    if (r == TT_OK) {
        watch->form.columns = false;
    }
    return r;
}

static void make_runnable(struct tt_watch *watch)
{
    if (watch->in_work.next == &watch->in_work) {
        tt_list_push_back(&watch->hub->work, &watch->in_work);
    }
}

/* History takes 0 for "whatever is kept"; to a watch it is a revision like any other. */
static int seek_after(const struct tt_version *version, uint64_t revision,
                      struct tt_history_cursor *ret_cursor, struct tt_err *err)
{
    if (revision < tt_version_compacted(version)) {
        return TT_FAIL(err, TT_EEXPIRED, "revision %llu was compacted",
                       (unsigned long long)revision);
    }
    return tt_history_seek(version, revision, ret_cursor, err);
}

/* ---- live ---- */

static void feed_bucket(struct tt_watch_hub *hub, struct tt_str scope)
{
    struct bucket *bucket = tt_map_get(hub->buckets, scope);
    if (!bucket) {
        return;
    }
    uint64_t revision = hub->shared.revision;
    struct tt_list *next;
    for (struct tt_list *node = bucket->watches.next; node != &bucket->watches; node = next) {
        next = node->next;
        struct tt_watch *watch = TT_CONTAINER_OF(node, struct tt_watch, in_bucket);
        if (watch->state != STATE_LIVE || revision <= watch->sent) {
            continue;
        }
        if (show_change(watch, &hub->shared)) {
            watch->state = STATE_CATCHING;
            watch->sent = revision - 1;
            block(watch);
        } else {
            watch->sent = revision;
        }
    }
}

static void feed(struct tt_watch_hub *hub, const struct tt_change *change)
{
    struct tt_str key = change->item ? change->item->key : change->prev->key;
    struct tt_object_ref ref;
    if (!tt_key_parse(key, &ref)) {
        return;
    }
    watch_context_set(&hub->shared, change);
    size_t name_at = key.len - ref.name.len;
    size_t resource_end = name_at - ref.ns.len - 1;
    feed_bucket(hub, tt_str_head(key, resource_end));
    if (ref.ns.len > 0) {
        feed_bucket(hub, tt_str_head(key, name_at));
    }
    feed_bucket(hub, key);
}

/* History was cut behind the hub (a snapshot was installed): every watch looks for itself. */
static void all_catch_up(struct tt_watch_hub *hub)
{
    for (struct tt_list *node = hub->all.next; node != &hub->all; node = node->next) {
        struct tt_watch *watch = TT_CONTAINER_OF(node, struct tt_watch, in_all);
        if (watch->state == STATE_LIVE) {
            watch->state = STATE_CATCHING;
            watch->sent = watch->sent > hub->revision ? watch->sent : hub->revision;
            make_runnable(watch);
        }
    }
}

void tt_watch_hub_publish(struct tt_watch_hub *hub, struct tt_version *version)
{
    uint64_t revision = tt_version_revision(version);
    if (revision <= hub->revision) {
        return;
    }
    hub->walking++;
    struct tt_history_cursor cursor;
    if (hub->count == 0) {
        /* nobody watches */
    } else if (seek_after(version, hub->revision, &cursor, NULL)) {
        all_catch_up(hub);
    } else {
        struct tt_change change;
        while (tt_history_next(version, &cursor, &change)) {
            feed(hub, &change);
        }
    }
    hub->revision = revision;
    hub->walking--;
    sweep(hub);
}

/* ---- catching up ---- */

static void expire(struct tt_watch *watch, uint64_t compacted)
{
    struct tt_bytes *line = watch_line_expired(watch->sent, compacted);
    (void)send_line(watch, line, true); /* the end says it as well: the client lists again */
    watch_end(watch);
}

static void go_live(struct tt_watch *watch)
{
    watch->state = STATE_LIVE;
    tt_list_remove(&watch->in_work);
}

/* One bounded step; the watch stays on the work list while there is more. */
static void step_catching(struct tt_watch *watch, struct tt_version *version)
{
    struct tt_watch_hub *hub = watch->hub;
    struct tt_str scope = watch->bucket->scope;
    bool exact = !tt_str_ends(scope, TT_STR("/"));
    struct tt_history_cursor cursor;
    if (seek_after(version, watch->sent, &cursor, NULL)) {
        expire(watch, tt_version_compacted(version));
        return;
    }
    struct tt_change change;
    for (unsigned i = 0; i < STEP_CHANGES; i++) {
        if (!tt_history_next(version, &cursor, &change)) {
            /* An emptied store (a snapshot is being installed) has nothing to say. */
            watch->sent = tt_u64_max(watch->sent, tt_version_revision(version));
            if (watch->sent >= hub->revision) {
                go_live(watch);
            }
            return;
        }
        struct tt_str key = change.item ? change.item->key : change.prev->key;
        if (!tt_str_starts(key, scope) || (exact && key.len != scope.len)) {
            continue;
        }
        watch_context_set(&hub->private, &change);
        if (show_change(watch, &hub->private)) {
            watch->sent = change.revision - 1;
            block(watch);
            return;
        }
    }
    watch->sent = change.revision;
}

/* ---- listing ---- */

static void finish_listing(struct tt_watch *watch)
{
    if (watch->initial_end) {
        struct tt_bytes *line =
            watch_line_bookmark(watch->kind, watch->form.form, watch->list_revision, true);
        if (send_line(watch, line, false)) {
            block(watch);
            return;
        }
        watch->initial_end = false;
    }
    tt_scan_free(watch->scan);
    watch->scan = NULL;
    watch->sent = watch->list_revision;
    watch->state = STATE_CATCHING;
}

static void step_listing(struct tt_watch *watch)
{
    struct tt_watch_hub *hub = watch->hub;
    for (unsigned i = 0; i < STEP_CHANGES / 16; i++) {
        const struct tt_item *item = watch->pending ? watch->pending : tt_scan_next(watch->scan);
        watch->pending = NULL;
        if (!item) {
            finish_listing(watch);
            return;
        }
        struct tt_change change = {.revision = item->mod_revision, .item = item};
        watch_context_set(&hub->private, &change);
        if (show_change(watch, &hub->private)) {
            watch->pending = item;
            block(watch);
            return;
        }
    }
}

static void step(struct tt_watch *watch, struct tt_version *version)
{
    if (watch->state == STATE_LISTING) {
        step_listing(watch);
    }
    if (watch->state == STATE_CATCHING && !watch->blocked) {
        step_catching(watch, version);
    }
}

bool tt_watch_hub_has_work(const struct tt_watch_hub *hub)
{
    return !tt_list_empty(&hub->work);
}

bool tt_watch_hub_work(struct tt_watch_hub *hub)
{
    if (tt_list_empty(&hub->work)) {
        return false;
    }
    struct tt_version *version = tt_store_version(hub->store);
    hub->walking++;
    for (unsigned i = 0; i < STEPS_PER_WORK && !tt_list_empty(&hub->work); i++) {
        struct tt_list *node = tt_list_pop_front(&hub->work);
        tt_list_push_back(&hub->work, node); /* the next one's turn comes first */
        step(TT_CONTAINER_OF(node, struct tt_watch, in_work), version);
    }
    hub->walking--;
    tt_version_unref(version);
    sweep(hub);
    return tt_watch_hub_has_work(hub);
}

/* ---- the life of a watch ---- */

static int parse_selectors(struct tt_watch *watch, const struct tt_watch_config *config,
                           struct tt_err *err)
{
    if (config->label_selector.len == 0 && config->field_selector.len == 0) {
        return TT_OK;
    }
    watch->arena = tt_arena_new(SELECTOR_ARENA_CHUNK, SELECTOR_ARENA_MAX);
    const char *labels =
        tt_arena_strndup(watch->arena, config->label_selector.ptr, config->label_selector.len);
    const char *fields =
        tt_arena_strndup(watch->arena, config->field_selector.ptr, config->field_selector.len);
    if (!labels || !fields) {
        return TT_FAIL(err, TT_ETOOLARGE, "the selector is too large");
    }
    int r = tt_label_selector_parse(watch->arena, tt_str(labels, config->label_selector.len),
                                    &watch->filter.labels, err);
    if (r == TT_OK) {
        r = tt_field_selector_parse(watch->arena, watch->kind,
                                    tt_str(fields, config->field_selector.len),
                                    &watch->filter.fields, err);
    }
    if (r) {
        return r;
    }
    if (tt_label_selector_empty(watch->filter.labels)) {
        watch->filter.labels = NULL;
    }
    if (tt_field_selector_empty(watch->filter.fields)) {
        watch->filter.fields = NULL;
    }
    return TT_OK;
}

/* The smallest scope that holds everything the watch may see. */
static int make_scope(const struct tt_watch *watch, struct tt_str ns, struct tt_buf *scope,
                      struct tt_err *err)
{
    struct tt_object_ref ref = {watch->kind->group, watch->kind->plural, ns, TT_STR("")};
    struct tt_str name;
    bool one_name = watch->filter.fields &&
                    tt_field_selector_exact(watch->filter.fields, "metadata.name", &name) &&
                    name.len > 0 && (ns.len > 0 || !watch->kind->namespaced);
    if (one_name) {
        ref.name = name;
        return tt_key_object(scope, &ref, err);
    }
    return tt_key_list_prefix(scope, &ref, err);
}

static int bucket_join(struct tt_watch *watch, struct tt_str scope, struct tt_err *err)
{
    struct tt_watch_hub *hub = watch->hub;
    struct bucket *bucket = tt_map_get(hub->buckets, scope);
    if (!bucket) {
        bucket = tt_xmalloc(sizeof *bucket + scope.len);
        char *text = (char *)(bucket + 1);
        memcpy(text, scope.ptr, scope.len);
        bucket->scope = tt_str(text, scope.len);
        bucket->count = 0;
        tt_list_init(&bucket->watches);
        int r = tt_map_set(hub->buckets, bucket->scope, bucket, err);
        if (r) {
            tt_free(bucket);
            return r;
        }
    }
    bucket->count++;
    tt_list_push_back(&bucket->watches, &watch->in_bucket);
    watch->bucket = bucket;
    return TT_OK;
}

static int client_join(struct tt_watch *watch, struct tt_str name, struct tt_err *err)
{
    struct tt_watch_hub *hub = watch->hub;
    struct client *client = tt_map_get(hub->clients, name);
    if (client && client->count >= hub->per_client_max) {
        return TT_FAIL(err, TT_EBUSY, "this client has %u watches open already", client->count);
    }
    if (!client) {
        client = TT_NEW(struct client);
        int r = tt_map_set(hub->clients, name, client, err);
        if (r) {
            tt_free(client);
            return r;
        }
    }
    client->count++;
    watch->client = tt_xstrndup(name.ptr ? name.ptr : "", name.len);
    return TT_OK;
}

static int position(struct tt_watch *watch, const struct tt_watch_config *config,
                    struct tt_err *err)
{
    if (config->start == TT_WATCH_RESUME) {
        struct tt_version *version = tt_store_version(watch->hub->store);
        struct tt_history_cursor cursor;
        watch->sent = config->revision;
        int r = seek_after(version, config->revision, &cursor, err);
        tt_version_unref(version);
        return r;
    }
    TT_AUTO_BUF struct tt_buf to;
    tt_buf_init(&to, TT_OBJECT_KEY_SIZE_MAX + 1);
    struct tt_str from = watch->bucket->scope;
    if (tt_str_ends(from, TT_STR("/"))) {
        tt_key_prefix_end(from, &to);
    } else {
        tt_buf_str(&to, from);
        tt_buf_char(&to, '\0');
    }
    watch->list_revision = tt_version_revision(config->version);
    return tt_scan_new(config->version, from, tt_buf_view(&to), 0, &watch->scan, err);
}

static void watch_discard(struct tt_watch *watch)
{
    tt_scan_free(watch->scan);
    if (watch->bucket) {
        bucket_leave(watch);
    }
    if (watch->client) {
        client_leave(watch);
    }
    tt_arena_free(watch->arena);
    tt_kinds_unref(watch->kinds);
    tt_free(watch->client);
    tt_free(watch);
}

static int join(struct tt_watch *watch, const struct tt_watch_config *config, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf scope;
    tt_buf_init(&scope, TT_OBJECT_KEY_SIZE_MAX);
    int r = parse_selectors(watch, config, err);
    if (r == TT_OK) {
        r = make_scope(watch, config->ns, &scope, err);
    }
    if (r == TT_OK) {
        r = client_join(watch, config->client, err);
    }
    if (r == TT_OK) {
        r = bucket_join(watch, tt_buf_view(&scope), err);
    }
    return r ? r : position(watch, config, err);
}

int tt_watch_start(struct tt_watch_hub *hub, const struct tt_watch_config *config,
                   struct tt_watch **ret_watch, struct tt_err *err)
{
    TT_ASSERT(config->sink.write && config->sink.ended);
    TT_ASSERT(config->start == TT_WATCH_RESUME || config->version);
    struct tt_watch *watch = TT_NEW(struct tt_watch);
    watch->hub = hub;
    watch->kinds = tt_kinds_ref(config->kinds);
    watch->kind = config->kind;
    watch->form = (struct watch_form){.kind = config->kind,
                                      .form = config->form,
                                      .include = config->include,
                                      .columns = config->form == TT_WATCH_TABLE};
    watch->sink = config->sink;
    watch->bookmarks = config->bookmarks;
    watch->initial_end = config->initial_end_bookmark;
    watch->deadline_ms = config->deadline_ms;
    watch->bookmark_ms = tt_clock_ms(hub->clock) + BOOKMARK_MS;
    tt_list_init(&watch->in_all);
    tt_list_init(&watch->in_work);
    tt_list_init(&watch->in_bucket);
    int r = join(watch, config, err);
    if (r) {
        watch_discard(watch);
        return r;
    }
    tt_list_push_back(&hub->all, &watch->in_all);
    hub->count++;
    *ret_watch = watch;
    return TT_OK;
}

void tt_watch_run(struct tt_watch *watch)
{
    TT_ASSERT(watch->state == STATE_NEW);
    watch->state = watch->scan ? STATE_LISTING : STATE_CATCHING;
    make_runnable(watch);
}

void tt_watch_drained(struct tt_watch *watch)
{
    if (!watch->blocked || watch->state == STATE_DEAD) {
        return;
    }
    watch->blocked = false;
    make_runnable(watch);
}

void tt_watch_cancel(struct tt_watch *watch)
{
    struct tt_watch_hub *hub = watch->hub;
    if (watch->state != STATE_DEAD) {
        watch_kill(watch);
    }
    sweep(hub);
}

/* ---- time ---- */

static uint64_t seen(const struct tt_watch *watch)
{
    uint64_t hub = watch->hub->revision;
    return watch->state == STATE_LIVE && hub > watch->sent ? hub : watch->sent;
}

static void send_bookmark(struct tt_watch *watch, bool last)
{
    struct tt_bytes *line = watch_line_bookmark(watch->kind, watch->form.form, seen(watch), false);
    (void)send_line(watch, line, last); /* refused: the next one says more */
}

static void tick_watch(struct tt_watch *watch, uint64_t now_ms)
{
    if (watch->blocked && now_ms - watch->blocked_ms >= STALL_MS) {
        if (watch->state == STATE_CATCHING) {
            send_bookmark(watch, true);
        }
        watch_end(watch);
        return;
    }
    if (watch->deadline_ms > 0 && now_ms >= watch->deadline_ms) {
        watch_end(watch);
        return;
    }
    if (watch->bookmarks && watch->state == STATE_LIVE && now_ms >= watch->bookmark_ms) {
        watch->bookmark_ms = now_ms + BOOKMARK_MS;
        send_bookmark(watch, false);
    }
}

void tt_watch_hub_tick(struct tt_watch_hub *hub, uint64_t now_ms)
{
    hub->walking++;
    struct tt_list *next;
    for (struct tt_list *node = hub->all.next; node != &hub->all; node = next) {
        next = node->next;
        tick_watch(TT_CONTAINER_OF(node, struct tt_watch, in_all), now_ms);
    }
    hub->walking--;
    sweep(hub);
}

/* Two maps: Events by all that makes them equal, and allowances by object.
 *
 * Events lie in a list by age, so that the quiet one that was noted longest ago makes room; those
 * that wait or are taken stay. A note of an Event that is taken makes it wait again once it is
 * settled. Each object may cause BURST writes at once and then one per REFILL_MS. */
#include "api/kinds/event_book.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/queue.h"

enum {
    EVENTS_MAX = 1024,
    WAITING_MAX = 512,
    OBJECTS_MAX = 4096,
    BURST = 25,
    REFILL_MS = 60000,
    TRIES_MAX = 5,
    LOOK_FOR_ROOM = 64,
    KEY_SIZE_MAX = 8192,
    NAME_PREFIX_MAX = 236, /* of the Event's name: a dot and 16 digits follow */
};

struct entry {
    struct tt_event event; /* given out by take */
    struct tt_list age;    /* in book->by_age */
    struct tt_list wait;   /* in book->waiting, or by itself */
    bool is_waiting;       /* in book->waiting; never while taken */
    bool is_taken;         /* by the recorder, until it is settled */
    bool is_noted;         /* while it was taken */
    unsigned tries;        /* LATER and GONE in a row; < TRIES_MAX between calls */
    size_t key_size;       /* bytes of key without its NUL */
    char key[];            /* NUL-terminated; the event's parts lie in it */
};
struct allowance {
    struct tt_list age;   /* in book->objects_by_age */
    uint64_t refilled_ms; /* wall clock: whole refills are counted up to here */
    unsigned left;        /* writes; <= BURST */
    size_t key_size;      /* bytes of key without its NUL */
    char key[];           /* the object: that part of an entry's key */
};
struct tt_event_book {
    char *host;                    /* owned; "" when it does not matter */
    uint64_t seed;                 /* mixed into the names of Events */
    struct tt_map *events;         /* key → entry, owned */
    struct tt_map *objects;        /* key → allowance, owned */
    struct tt_list by_age;         /* entries, the one noted longest ago first */
    struct tt_list waiting;        /* entries, the one to take next first */
    struct tt_list objects_by_age; /* allowances, the one asked longest ago first */
    size_t waiting_count;          /* of waiting */
    struct tt_event_stats stats;   /* since new */
};

static uint64_t hash_add(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* ---- allowances ---- */

static struct allowance *allowance_new(struct tt_event_book *book, struct tt_str key,
                                       uint64_t now_ms)
{
    if (tt_map_count(book->objects) == OBJECTS_MAX) {
        struct tt_list *oldest = tt_list_pop_front(&book->objects_by_age);
        TT_ASSERT(oldest != NULL); /* each counted one is in it */
        struct allowance *gone = TT_CONTAINER_OF(oldest, struct allowance, age);
        (void)tt_map_remove(book->objects, tt_str(gone->key, gone->key_size));
    }
    struct allowance *allowance = tt_xcalloc(1, sizeof *allowance + key.len + 1);
    allowance->key_size = key.len;
    memcpy(allowance->key, key.ptr, key.len);
    allowance->left = BURST;
    allowance->refilled_ms = now_ms;
    tt_list_push_back(&book->objects_by_age, &allowance->age);
    int r = tt_map_set(book->objects, key, allowance, NULL);
    TT_ASSERT(r == TT_OK); /* room was made */
    return allowance;
}

/* Takes one write of the object's, if it has one left. */
static bool allow(struct tt_event_book *book, struct tt_str object, uint64_t now_ms)
{
    struct allowance *allowance = tt_map_get(book->objects, object);
    if (allowance == NULL) {
        allowance = allowance_new(book, object, now_ms);
    }
    tt_list_remove(&allowance->age);
    tt_list_push_back(&book->objects_by_age, &allowance->age);
    uint64_t passed_ms = now_ms > allowance->refilled_ms ? now_ms - allowance->refilled_ms : 0;
    uint64_t more = passed_ms / REFILL_MS;
    if (more > 0) {
        allowance->refilled_ms += more * REFILL_MS;
        allowance->left = more > BURST - allowance->left ? BURST : allowance->left + (unsigned)more;
    }
    if (allowance->left == 0) {
        return false;
    }
    allowance->left--;
    return true;
}

/* ---- entries ---- */

/* What makes two notes equal; the part before *ret_object_size is the object. */
static void write_key(struct tt_buf *buf, const struct tt_event_note *note, size_t *ret_object_size)
{
    struct tt_str message = note->message;
    if (message.len > TT_EVENT_MESSAGE_MAX) {
        message.len = TT_EVENT_MESSAGE_MAX;
        while (message.len > 0 && ((uint8_t)note->message.ptr[message.len] & 0xc0u) == 0x80u) {
            message.len--; /* not within a character */
        }
    }
    tt_buf_printf(buf, "%.*s\n%.*s\n%.*s\n%.*s\n%.*s\n", TT_STR_ARG(note->api_version),
                  TT_STR_ARG(note->kind), TT_STR_ARG(note->ns), TT_STR_ARG(note->name),
                  TT_STR_ARG(note->uid));
    *ret_object_size = buf->len;
    tt_buf_printf(buf, "%.*s\n%s\n%s\n%s\n", TT_STR_ARG(note->field_path), note->component,
                  note->warning ? "Warning" : "Normal", note->reason);
    tt_buf_str(buf, message);
}

static void cut_parts(struct entry *entry)
{
    struct tt_str rest = tt_str(entry->key, entry->key_size);
    struct tt_event *event = &entry->event;
    struct tt_str *const parts[] = {&event->api_version, &event->kind, &event->object_ns,
                                    &event->object_name, &event->uid,  &event->field_path,
                                    &event->component,   &event->type, &event->reason};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        bool there = tt_str_cut(&rest, '\n', parts[i]);
        TT_ASSERT(there);
    }
    event->message = rest;
}

/* A first time: a name of its own. */
static void begin(struct tt_event_book *book, struct entry *entry, uint64_t now_ms)
{
    struct tt_event *event = &entry->event;
    uint64_t hash = hash_add(UINT64_C(0xcbf29ce484222325), entry->key, entry->key_size);
    hash = hash_add(hash, &book->seed, sizeof book->seed);
    hash = hash_add(hash, &now_ms, sizeof now_ms);
    struct tt_str prefix = tt_str_head(event->object_name, NAME_PREFIX_MAX);
    (void)snprintf(event->name, sizeof event->name, "%.*s.%016llx", TT_STR_ARG(prefix),
                   (unsigned long long)hash);
    event->count = 0;
    event->first_ms = now_ms;
    event->exists = false;
}

static struct entry *entry_new(struct tt_event_book *book, struct tt_str key)
{
    struct entry *entry = tt_xcalloc(1, sizeof *entry + key.len + 1);
    entry->key_size = key.len;
    memcpy(entry->key, key.ptr, key.len);
    cut_parts(entry);
    entry->event.ns = entry->event.object_ns.len > 0 ? entry->event.object_ns : TT_STR("default");
    tt_list_init(&entry->wait);
    tt_list_push_back(&book->by_age, &entry->age);
    int r = tt_map_set(book->events, key, entry, NULL);
    TT_ASSERT(r == TT_OK); /* room was made */
    return entry;
}

static bool make_room(struct tt_event_book *book)
{
    struct tt_list *node = book->by_age.next;
    if (tt_map_count(book->events) < EVENTS_MAX) {
        return true;
    }
    for (size_t i = 0; i < LOOK_FOR_ROOM && node != &book->by_age; i++, node = node->next) {
        struct entry *entry = TT_CONTAINER_OF(node, struct entry, age);
        if (!entry->is_waiting && !entry->is_taken) {
            tt_list_remove(&entry->age);
            return tt_map_remove(book->events, tt_str(entry->key, entry->key_size));
        }
    }
    return false;
}

static void queue(struct tt_event_book *book, struct entry *entry)
{
    entry->is_waiting = true;
    tt_list_push_back(&book->waiting, &entry->wait);
    book->waiting_count++;
}

static struct entry *entry_of(struct tt_event_book *book, struct tt_str key, uint64_t now_ms)
{
    struct entry *entry = tt_map_get(book->events, key);
    if (entry == NULL && make_room(book)) {
        entry = entry_new(book, key);
        begin(book, entry, now_ms);
    } else if (entry != NULL && !entry->is_taken && now_ms > entry->event.last_ms &&
               now_ms - entry->event.last_ms >= TT_EVENT_TTL_MS) {
        begin(book, entry, now_ms); /* the written one is removed about now */
    }
    return entry;
}

void tt_event_book_note(struct tt_event_book *book, const struct tt_event_note *note,
                        uint64_t now_ms)
{
    TT_AUTO_BUF struct tt_buf key;
    size_t object_size = 0;
    tt_buf_init(&key, KEY_SIZE_MAX);
    write_key(&key, note, &object_size);
    struct entry *entry = tt_buf_ok(&key) ? entry_of(book, tt_buf_view(&key), now_ms) : NULL;
    if (entry == NULL) {
        book->stats.dropped++;
        return;
    }
    tt_list_remove(&entry->age);
    tt_list_push_back(&book->by_age, &entry->age);
    entry->event.count++;
    entry->event.last_ms = now_ms;
    if (entry->is_waiting || entry->is_noted) {
        return;
    }
    if (!allow(book, tt_str(key.ptr, object_size), now_ms)) {
        book->stats.quieted++;
    } else if (entry->is_taken) {
        entry->is_noted = true;
    } else if (book->waiting_count == WAITING_MAX) {
        book->stats.dropped++;
    } else {
        queue(book, entry);
    }
}

/* ---- writing ---- */

bool tt_event_book_waits(const struct tt_event_book *book)
{
    return book->waiting_count > 0;
}

const struct tt_event *tt_event_book_take(struct tt_event_book *book)
{
    struct tt_list *node = tt_list_pop_front(&book->waiting);
    if (node == NULL) {
        return NULL;
    }
    struct entry *entry = TT_CONTAINER_OF(node, struct entry, wait);
    TT_ASSERT(entry->is_waiting && !entry->is_taken);
    entry->is_waiting = false;
    entry->is_taken = true;
    book->waiting_count--;
    return &entry->event;
}

void tt_event_book_settle(struct tt_event_book *book, const struct tt_event *event,
                          enum tt_event_outcome outcome)
{
    struct entry *entry = TT_CONTAINER_OF(event, struct entry, event);
    TT_ASSERT(entry->is_taken && !entry->is_waiting);
    bool again = entry->is_noted;
    entry->is_taken = false;
    entry->is_noted = false;
    switch (outcome) {
    case TT_EVENT_WRITTEN:
        book->stats.written++;
        entry->event.exists = true;
        entry->tries = 0;
        break;
    case TT_EVENT_GONE:
        entry->event.exists = false;
        again = ++entry->tries < TRIES_MAX || again; /* a note since is a reason of its own */
        break;
    case TT_EVENT_LATER:
        again = ++entry->tries < TRIES_MAX || again;
        break;
    case TT_EVENT_DROPPED:
        book->stats.dropped++;
        entry->tries = 0;
        break;
    }
    if (entry->tries == TRIES_MAX) {
        book->stats.dropped++;
        entry->tries = 0;
    }
    if (again) {
        queue(book, entry);
    }
}

struct tt_event_stats tt_event_book_stats(const struct tt_event_book *book)
{
    return book->stats;
}

static void write_time(struct tt_json_writer *json, const char *key, uint64_t wall_ms)
{
    char text[TT_TIME_TEXT_SIZE];
    (void)tt_time_format(wall_ms, text);
    tt_json_c(json, key, text);
}

static void write_object(struct tt_json_writer *json, const struct tt_event *event)
{
    tt_json_object(json, "involvedObject");
    tt_json_str(json, "kind", event->kind);
    if (event->object_ns.len > 0) {
        tt_json_str(json, "namespace", event->object_ns);
    }
    tt_json_str(json, "name", event->object_name);
    if (event->uid.len > 0) {
        tt_json_str(json, "uid", event->uid);
    }
    tt_json_str(json, "apiVersion", event->api_version);
    if (event->field_path.len > 0) {
        tt_json_str(json, "fieldPath", event->field_path);
    }
    tt_json_object_end(json);
}

void tt_event_write(const struct tt_event_book *book, const struct tt_event *event,
                    struct tt_buf *buf)
{
    struct tt_json_writer json;
    tt_json_begin(&json, buf);
    tt_json_object(&json, NULL);
    tt_json_c(&json, "apiVersion", "v1");
    tt_json_c(&json, "kind", "Event");
    tt_json_object(&json, "metadata");
    tt_json_c(&json, "name", event->name);
    tt_json_str(&json, "namespace", event->ns);
    tt_json_object_end(&json);
    write_object(&json, event);
    tt_json_str(&json, "reason", event->reason);
    tt_json_str(&json, "message", event->message);
    tt_json_object(&json, "source");
    tt_json_str(&json, "component", event->component);
    if (book->host[0] != '\0') {
        tt_json_c(&json, "host", book->host);
    }
    tt_json_object_end(&json);
    write_time(&json, "firstTimestamp", event->first_ms);
    write_time(&json, "lastTimestamp", event->last_ms);
    tt_json_u64(&json, "count", event->count);
    tt_json_str(&json, "type", event->type);
    tt_json_str(&json, "reportingComponent", event->component);
    tt_json_c(&json, "reportingInstance", book->host);
    tt_json_object_end(&json);
}

void tt_event_write_patch(const struct tt_event *event, struct tt_buf *buf)
{
    struct tt_json_writer json;
    tt_json_begin(&json, buf);
    tt_json_object(&json, NULL);
    write_time(&json, "lastTimestamp", event->last_ms);
    tt_json_u64(&json, "count", event->count);
    tt_json_object_end(&json);
}

/* ---- life ---- */

struct tt_event_book *tt_event_book_new(struct tt_str host, uint64_t seed)
{
    struct tt_event_book *book = TT_NEW(struct tt_event_book);
    book->host = tt_str_xdup(host);
    book->seed = seed;
    book->events = tt_map_new(EVENTS_MAX, tt_free);
    book->objects = tt_map_new(OBJECTS_MAX, tt_free);
    tt_list_init(&book->by_age);
    tt_list_init(&book->waiting);
    tt_list_init(&book->objects_by_age);
    return book;
}

void tt_event_book_free(struct tt_event_book *book)
{
    if (book == NULL) {
        return;
    }
    tt_map_free(book->events);
    tt_map_free(book->objects);
    tt_free(book->host);
    tt_free(book);
}

/* A world for plans: a store, the built-in kinds, a virtual clock and the reconcilers, stepped by
 * hand until nothing more is planned. Every plan sees the newest version and its writes are applied
 * at once, so a test reads like a story: put objects, settle, look.
 *
 * Ownership: world_free frees everything. Thread: the test's. Errors: assertions of cmocka. */
#ifndef TESTS_UNIT_RECONCILER_WORLD_H
#define TESTS_UNIT_RECONCILER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reconciler/engine/engine.h"
#include "reconciler/engine/observer.h"

enum { WORLD_CONTROLLERS_MAX = 8, WORLD_PASSES_MAX = 5000 };

struct world {
    struct tt_store *store;
    struct tt_registry *registry;
    struct tt_clock clock;
    uint64_t now_ms;                 /* both clocks */
    const struct tt_pass_seal *seal; /* NULL: what is sealed is opaque */
    uint64_t index;
    uint64_t seed;
    struct tt_controller *controllers[WORLD_CONTROLLERS_MAX];
    struct tt_key_queue *queues[WORLD_CONTROLLERS_MAX];
    size_t controller_count;
    struct tt_history_cursor cursor;
    struct tt_arena *scratch;
    size_t passes;       /* since the last settle began */
    struct tt_buf notes; /* of all passes, "Kind/name Type Reason message\n" each */
};

static inline uint64_t world_ns(void *ctx)
{
    return ((struct world *)ctx)->now_ms * 1000000u;
}

static inline uint64_t world_wall(void *ctx)
{
    return ((struct world *)ctx)->now_ms;
}

static inline struct world *world_new(void)
{
    struct world *world = TT_NEW(struct world);
    world->store = tt_store_new();
    world->now_ms = UINT64_C(1700000000000);
    world->clock = (struct tt_clock){world_ns, world_wall, world};
    world->scratch = tt_arena_new(64 << 10, 16 << 20);
    world->cursor.next_revision = 1;
    tt_buf_init(&world->notes, 1 << 20);
    assert_int_equal(tt_registry_new(&world->registry, NULL), 0);
    return world;
}

static inline void world_add(struct world *world, struct tt_controller *controller)
{
    const struct tt_key_queue_limits limits = {
        .key_count_max = 4096, .backoff_ms_min = 10, .backoff_ms_max = 1000};
    world->controllers[world->controller_count] = controller;
    world->queues[world->controller_count] = tt_key_queue_new(&limits);
    if (controller->always_key != NULL) {
        assert_true(tt_key_queue_add(world->queues[world->controller_count],
                                     tt_str_c(controller->always_key), world->now_ms));
    }
    world->controller_count++;
}

static inline void world_free(struct world *world)
{
    for (size_t i = 0; i < world->controller_count; i++) {
        tt_controller_free(world->controllers[i]);
        tt_key_queue_free(world->queues[i]);
    }
    tt_arena_free(world->scratch);
    tt_buf_fini(&world->notes);
    tt_registry_free(world->registry);
    tt_store_free(world->store);
    tt_free(world);
}

static inline struct tt_pass *world_pass(struct world *world)
{
    struct tt_version *version = tt_store_version(world->store);
    struct tt_kinds *kinds = tt_registry_get(world->registry);
    struct tt_pass *pass = tt_pass_new(version, kinds, &world->clock, ++world->seed);
    pass->seal = world->seal;
    tt_version_unref(version);
    tt_kinds_unref(kinds);
    return pass;
}

static inline bool world_noted(const struct world *world, const char *line)
{
    return tt_str_find_str(tt_buf_view(&world->notes), tt_str_c(line)) >= 0;
}

/* Applies what a pass planned; frees the pass. */
static inline void world_commit(struct world *world, struct tt_pass *pass)
{
    for (size_t i = 0; i < pass->note_count; i++) {
        const struct tt_event_note *note = &pass->notes[i];
        tt_buf_printf(&world->notes, "%.*s/%.*s %s %s %.*s\n", TT_STR_ARG(note->kind),
                      TT_STR_ARG(note->name), note->warning ? "Warning" : "Normal", note->reason,
                      TT_STR_ARG(note->message));
    }
    if (pass->write_count > 0) {
        struct tt_bytes *command = NULL;
        struct tt_apply_result result;
        assert_int_equal(tt_pass_encode(pass, TT_STR("test"), &command, NULL), 0);
        assert_int_equal(tt_store_apply(world->store, ++world->index,
                                        tt_str((const char *)command->ptr, command->size), &result,
                                        NULL),
                         0);
        assert_int_equal(result.code, 0);
        tt_bytes_unref(command);
        tt_store_publish(world->store);
    }
    tt_pass_free(pass);
}

/* Creates an object from JSON text, as an API request would. */
static inline void world_create(struct world *world, const char *api_version, const char *kind,
                                const char *ns, const char *json)
{
    struct tt_pass *pass = world_pass(world);
    struct tt_err err;
    tt_err_init(&err);
    yyjson_mut_doc *doc;
    assert_int_equal(
        tt_json_parse(pass->arena, tt_str_c(json), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &err), 0);
    const struct tt_kind *type = tt_kinds_kind(pass->kinds, tt_str_c(api_version), tt_str_c(kind));
    assert_non_null(type);
    int r = tt_pass_create(pass, type, tt_str_c(ns), doc, &err);
    if (r != 0) {
        fail_msg("create %s: %s", kind, tt_err_cause(&err));
    }
    world_commit(world, pass);
}

static inline struct tt_object_ref world_ref(const char *group, const char *resource,
                                             const char *ns, const char *name)
{
    return (struct tt_object_ref){tt_str_c(group), tt_str_c(resource), tt_str_c(ns),
                                  tt_str_c(name)};
}

/* Lets a test change one object: edit(object) on a copy, written back whole. */
static inline void world_edit(struct world *world, struct tt_object_ref ref,
                              void (*edit)(struct tt_object *object))
{
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    struct tt_object object;
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    assert_non_null(view.item);
    assert_int_equal(tt_pass_edit(pass, &view, &object, NULL), 0);
    edit(&object);
    assert_int_equal(tt_pass_replace(pass, &view, &object, NULL), 0);
    world_commit(world, pass);
}

static inline void world_delete(struct world *world, struct tt_object_ref ref)
{
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    assert_non_null(view.item);
    assert_int_equal(tt_pass_delete(pass, &view, -1, NULL), 0);
    world_commit(world, pass);
}

static inline void world_observe(struct world *world)
{
    struct tt_version *version = tt_store_version(world->store);
    struct tt_history_cursor cursor;
    struct tt_change change;
    assert_int_equal(tt_history_seek(version, world->cursor.next_revision - 1, &cursor, NULL), 0);
    while (tt_history_next(version, &cursor, &change)) {
        struct tt_object_ref ref;
        struct tt_str key = change.item != NULL ? change.item->key : change.prev->key;
        assert_true(tt_key_parse(key, &ref));
        for (size_t i = 0; i < world->controller_count; i++) {
            struct tt_observer observer = {.queue = world->queues[i],
                                           .arena = world->scratch,
                                           .seal = world->seal,
                                           .now_ms = world->now_ms};
            struct tt_controller *controller = world->controllers[i];
            controller->observe(controller, &change, &ref, &observer);
            assert_false(observer.overflow);
        }
    }
    world->cursor = cursor;
    tt_version_unref(version);
}

static inline bool world_step(struct world *world, size_t i)
{
    struct tt_str key;
    struct tt_err err;
    tt_err_init(&err);
    if (!tt_key_queue_take(world->queues[i], world->now_ms, &key)) {
        return false;
    }
    struct tt_pass *pass = world_pass(world);
    int r = world->controllers[i]->plan(world->controllers[i], pass, key, &err);
    if (r != 0 && r != TT_EBUSY) {
        fail_msg("%s plans %.*s: %s", world->controllers[i]->name, TT_STR_ARG(key),
                 tt_err_cause(&err));
    }
    if (r == TT_EBUSY) {
        assert_true(tt_key_queue_add(world->queues[i], key, world->now_ms));
    } else if (pass->recheck_ms > 0) {
        assert_true(tt_key_queue_add_at(world->queues[i], key, world->now_ms + pass->recheck_ms));
    }
    tt_key_queue_done(world->queues[i], key, TT_KEY_DONE, world->now_ms);
    world_commit(world, pass);
    assert_true(++world->passes < WORLD_PASSES_MAX); /* plans must come to rest */
    return true;
}

/* Until no controller has a ready key; time stands still. */
static inline void world_settle(struct world *world)
{
    bool busy = true;
    world->passes = 0;
    while (busy) {
        busy = false;
        world_observe(world);
        for (size_t i = 0; i < world->controller_count; i++) {
            busy |= world_step(world, i);
        }
    }
}

#endif

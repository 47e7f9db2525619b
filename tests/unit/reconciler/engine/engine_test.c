/* The engine on its own thread over the direct proposer: it works only while leading, misses
 * nothing, and keeps trying what fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"
#include "reconciler/engine/engine.h"
#include "server/store/direct.h"

enum { WAIT_MS_MAX = 60000 }; /* only what never comes takes so long */

/* A controller that copies the label "want" of a ConfigMap into its data, and notes each copy. */
static void observe(struct tt_controller *self, const struct tt_change *change,
                    const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)self;
    if (change->item != NULL && tt_str_eq(ref->resource, TT_STR("configmaps"))) {
        tt_observe_object(observer, ref->ns, ref->name);
    }
}

static int plan(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                struct tt_err *err)
{
    (void)self;
    struct tt_object_ref ref = {.resource = TT_STR("configmaps")};
    struct tt_view view;
    struct tt_object object;
    assert_true(tt_object_key_split(key, &ref.ns, &ref.name));
    int r = tt_pass_get(pass, &ref, &view, err);
    if (r != 0 || view.item == NULL) {
        return r;
    }
    struct tt_str want = tt_view_str(&view, "metadata.labels.want");
    if (tt_str_eq(want, tt_view_str(&view, "data.have"))) {
        return 0; /* our own change, seen again: how often that happens is a matter of time */
    }
    r = tt_pass_edit(pass, &view, &object, err);
    if (r != 0) {
        return r;
    }
    assert_true(tt_json_set_str(object.doc, object.root, "data.have", want));
    tt_pass_note(pass, &view, TT_NOTE_NORMAL, "Copied", "Copied the value %.*s", TT_STR_ARG(want));
    return tt_pass_update(pass, &view, &object, TT_PART_MAIN, err);
}

struct fixture {
    struct tt_store *store;
    struct tt_direct *direct;
    struct tt_registry *registry;
    struct tt_controller controller;
    struct tt_engine *engine;
    struct tt_loop *loop; /* of the test's own proposals; never run: answers are not awaited */
    struct tt_propose_op ops[16];
    size_t op_count;
};

static void ignore(struct tt_propose_op *op)
{
    (void)op;
}

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    f->store = tt_store_new();
    f->direct = tt_direct_new(f->store, tt_clock_real());
    assert_int_equal(tt_registry_new(&f->registry, NULL), 0);
    f->controller = (struct tt_controller){.name = "copy", .observe = observe, .plan = plan};
    const struct tt_loop_config loop = {.name = "test", .mailbox_max = 64};
    f->loop = tt_loop_new(&loop, NULL);
    *state = f;
    return 0;
}

static void start(struct fixture *f)
{
    const struct tt_engine_config config = {.store = f->store,
                                            .proposer = tt_direct_proposer(f->direct),
                                            .cluster = tt_direct_cluster(f->direct),
                                            .registry = f->registry,
                                            .clock = tt_clock_real(),
                                            .actor = TT_STR("test"),
                                            .controllers = {&f->controller},
                                            .controller_count = 1};
    assert_int_equal(tt_engine_new(&config, &f->engine, NULL), 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tt_engine_free(f->engine);
    tt_direct_free(f->direct);
    tt_loop_free(f->loop);
    tt_registry_free(f->registry);
    tt_store_free(f->store);
    tt_free(f);
    return 0;
}

static void put_json(struct fixture *f, const char *key, const char *json)
{
    const char *at = strstr(json, "\"metadata\":{") + strlen("\"metadata\":{");
    const struct tt_txn_op op = {.kind = TT_OP_PUT,
                                 .key = tt_str_c(key),
                                 .value = {.codec = TT_CODEC_JSON,
                                           .splice = (uint32_t)(at - json),
                                           .bytes = tt_str_c(json)}};
    const struct tt_txn txn = {.ops = &op, .op_count = 1, .actor = TT_STR("test")};
    struct tt_propose_op *propose = &f->ops[f->op_count++];
    *propose = (struct tt_propose_op){.reply = tt_loop_mailbox(f->loop), .done = ignore};
    assert_int_equal(tt_txn_encode(&txn, &propose->command, NULL), 0);
    struct tt_proposer *proposer = tt_direct_proposer(f->direct);
    assert_int_equal(proposer->propose(proposer, propose), 0);
}

static void put(struct fixture *f, const char *name, const char *want)
{
    char key[128];
    char json[512];
    (void)snprintf(key, sizeof key, "o/core/configmaps/default/%s", name);
    (void)snprintf(json, sizeof json,
                   "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\","
                   "\"namespace\":\"default\",\"uid\":\"u\",\"labels\":{\"want\":\"%s\"}}}",
                   name, want);
    put_json(f, key, json);
}

static bool has(struct fixture *f, const char *name, const char *want)
{
    char key[128];
    char text[64];
    (void)snprintf(key, sizeof key, "o/core/configmaps/default/%s", name);
    (void)snprintf(text, sizeof text, "\"have\":\"%s\"", want);
    TT_AUTO(tt_version) version = tt_store_version(f->store);
    const struct tt_item *item = tt_version_get(version, tt_str_c(key));
    return item != NULL && tt_str_find_str(item->value.bytes, tt_str_c(text)) >= 0;
}

/* Waits for the condition, yielding to the engine's thread. */
static bool comes(struct fixture *f, const char *name, const char *want)
{
    uint64_t until = tt_clock_ms(tt_clock_real()) + WAIT_MS_MAX;
    while (!has(f, name, want)) {
        if (tt_clock_ms(tt_clock_real()) > until) {
            return false;
        }
        (void)sched_yield();
    }
    return true;
}

static void what_was_there_before_leadership_is_reconciled(void **state)
{
    struct fixture *f = *state;
    put(f, "early", "x");
    start(f);
    assert_true(comes(f, "early", "x"));
}

static void changes_are_followed(void **state)
{
    struct fixture *f = *state;
    start(f);
    put(f, "a", "1");
    assert_true(comes(f, "a", "1"));
    put(f, "a", "2");
    assert_true(comes(f, "a", "2"));
}

static void a_new_term_takes_up_the_work_again(void **state)
{
    struct fixture *f = *state;
    start(f);
    put(f, "sync", "1");
    assert_true(comes(f, "sync", "1"));
    tt_direct_lead(f->direct, false);
    tt_direct_lead(f->direct, true); /* a new term lists everything again */
    put(f, "b", "1");
    assert_true(comes(f, "b", "1"));
}

static void a_failed_commit_is_tried_again(void **state)
{
    struct fixture *f = *state;
    put(f, "c", "1");
    tt_direct_fail_next(f->direct, 3, TT_EUNAVAILABLE);
    start(f);
    assert_true(comes(f, "c", "1"));
}

/* Is there an Event about a ConfigMap of this name that has both texts, as it is stored? */
static bool is_told(struct tt_version *version, const char *name, const char *message,
                    const char *more)
{
    char text[64];
    (void)snprintf(text, sizeof text, "o/core/events/default/%s.", name);
    TT_AUTO(tt_scan) scan = NULL;
    assert_int_equal(
        tt_scan_new(version, tt_str_c(text), TT_STR("o/core/events/default0"), 0, &scan, NULL), 0);
    const struct tt_item *item;
    while ((item = tt_scan_next(scan)) != NULL && tt_str_starts(item->key, tt_str_c(text))) {
        if (tt_str_find_str(item->value.bytes, tt_str_c(message)) >= 0 &&
            tt_str_find_str(item->value.bytes, tt_str_c(more)) >= 0) {
            return true;
        }
    }
    return false;
}

static bool event_says(struct fixture *f, const char *name, const char *message, const char *more)
{
    uint64_t until = tt_clock_ms(tt_clock_real()) + WAIT_MS_MAX;
    bool says = false;
    while (!says && tt_clock_ms(tt_clock_real()) < until) {
        TT_AUTO(tt_version) version = tt_store_version(f->store);
        says = is_told(version, name, message, more);
        (void)sched_yield();
    }
    return says;
}

static void what_a_committed_plan_notes_becomes_an_event(void **state)
{
    struct fixture *f = *state;
    f->controller.component = "copier";
    start(f);
    put(f, "nowhere", "x"); /* its namespace is not there: the Event is dropped */
    assert_true(comes(f, "nowhere", "x"));
    uint64_t until = tt_clock_ms(tt_clock_real()) + WAIT_MS_MAX;
    while (tt_engine_event_stats(f->engine).dropped == 0 && tt_clock_ms(tt_clock_real()) < until) {
        (void)sched_yield();
    }
    assert_true(tt_engine_event_stats(f->engine).dropped > 0);
    put_json(f, "o/core/namespaces//default",
             "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"default\","
             "\"uid\":\"u\"}}");
    put(f, "a", "1");
    static const char message[] = "\"message\":\"Copied the value 1\"";
    assert_true(event_says(f, "a", message, "\"source\":{\"component\":\"copier\"}"));
    assert_true(event_says(f, "a", message, "\"count\":1,"));
    put(f, "a", "2"); /* to another value and back: the first Event counts on */
    assert_true(comes(f, "a", "2"));
    put(f, "a", "1");
    assert_true(event_says(f, "a", message, "\"count\":2,"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_there_before_leadership_is_reconciled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(changes_are_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_term_takes_up_the_work_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_commit_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_committed_plan_notes_becomes_an_event, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Volumes of a pod that runs, as the sync loop keeps them up to date: the simulated runtime shows
 * one container for ever, the agent adopts it, and its ConfigMap changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/sync.h"
#include "base/file.h"

enum {
    WATCHDOG_MS = 20000,
    POLL_MS = 5,
    HASTE = 20, /* how much faster than the real one sync's clock is */
};

struct test {
    struct rt_driver driver;  /* its only verb is RT_RECOVER */
    struct tt_loop *loop;     /* owned */
    struct tt_timer answer;   /* gives the picture that was asked for */
    struct tt_timer poll;     /* looks, acts, moves on to the next phase */
    struct tt_timer watchdog; /* ends a test that hangs */
    struct rt_call *asked;    /* NULL: nothing is */
    struct sync *sync;        /* under test */
    struct tt_arena *arena;   /* owned; of the ConfigMap */
    char root[64];            /* the data directory */
    const char *word;         /* what the ConfigMap holds */
    unsigned lookups;         /* of the ConfigMap: one for each attempt */
    uint64_t began_ms;        /* by sync's clock: when the ConfigMap changed */
    int phase;                /* of poll_fired */
    bool failed;              /* the watchdog ended it */
};

static uint64_t hasty_ns(void *ctx)
{
    (void)ctx;
    return tt_clock_ns(tt_clock_real()) * HASTE;
}

static uint64_t plain_wall_ms(void *ctx)
{
    (void)ctx;
    return tt_clock_wall_ms(tt_clock_real());
}

static const struct tt_clock hasty = {.monotonic_ns = hasty_ns, .wall_ms = plain_wall_ms};

/* ---- the world ---- */

static void answer_fired(struct tt_timer *timer)
{
    struct test *test = TT_CONTAINER_OF(timer, struct test, answer);
    struct rt_call *call = test->asked;
    struct rt_snapshot *snapshot = rt_snapshot_new(1, 1, NULL);
    snapshot->sandboxes[snapshot->sandbox_count++] =
        (struct rt_sandbox){.id = "s", .pod_uid = "u1", .ready = true, .ip = ""};
    snapshot->containers[snapshot->container_count++] = (struct rt_container){.id = "c",
                                                                              .sandbox_id = "s",
                                                                              .pod_uid = "u1",
                                                                              .name = "c",
                                                                              .state = RT_RUNNING,
                                                                              .started_ms = 1,
                                                                              .reason = "",
                                                                              .message = "",
                                                                              .image_ref = ""};
    rt_snapshot_seal(snapshot);
    test->asked = NULL;
    call->snapshot = snapshot;
    call->done(call, NULL);
}

static int driver_start(struct rt_driver *driver, struct rt_call *call, struct tt_err *err)
{
    struct test *test = TT_CONTAINER_OF(driver, struct test, driver);
    (void)err;
    assert_int_equal(call->verb, RT_RECOVER);
    assert_null(test->asked);
    test->asked = call;
    tt_timer_start(&test->answer, 1, 0);
    return TT_OK;
}

static const struct rt_driver_ops driver_ops = {.start = driver_start};

static enum ref_state look_up(void *ctx, bool is_secret, struct tt_str ns, struct tt_str name,
                              yyjson_val **ret_object)
{
    struct test *test = ctx;
    yyjson_doc *doc = NULL;
    const char *json = tt_arena_printf(test->arena, "{\"data\":{\"word\":\"%s\"}}", test->word);
    (void)ns;
    (void)name;
    assert_false(is_secret);
    assert_non_null(json);
    assert_int_equal(tt_json_read(test->arena, tt_str_c(json), &doc, NULL), TT_OK);
    test->lookups++;
    *ret_object = yyjson_doc_get_root(doc);
    return REF_PRESENT;
}

/* ---- the test ---- */

static const char pod_json[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u1\"},\"spec\":{\"containers\":["
    "{\"name\":\"c\",\"image\":\"i:1\"}],\"volumes\":[{\"name\":\"v\",\"configMap\":{"
    "\"name\":\"m\"}}]}}";

static void volume_path(const struct test *test, char out[128])
{
    (void)snprintf(out, 128, "%s/pods/u1/volumes/v", test->root);
}

static bool volume_says(const struct test *test, const char *word)
{
    char path[160];
    char volume[128];
    struct tt_buf buf;
    volume_path(test, volume);
    (void)snprintf(path, sizeof path, "%s/word", volume);
    int r = tt_file_read(path, 64, &buf, NULL);
    bool is_same = r == TT_OK && tt_str_eq_c(tt_buf_view(&buf), word);
    if (r == TT_OK) {
        tt_buf_fini(&buf);
    }
    return is_same;
}

/* A file stands where the volume's directory was, until the second attempt was seen. */
static void poll_fired(struct tt_timer *timer)
{
    struct test *test = TT_CONTAINER_OF(timer, struct test, poll);
    char volume[128];
    char aside[128];
    volume_path(test, volume);
    (void)snprintf(aside, sizeof aside, "%s/aside", test->root);
    if (test->phase == 0) {
        sync_refs_changed(test->sync);
        test->phase = 1;
    } else if (test->phase == 1 && volume_says(test, "one")) {
        assert_int_equal(rename(volume, aside), 0);
        assert_int_equal(tt_file_write_atomic(volume, TT_STR(""), 0600, NULL), TT_OK);
        test->word = "two";
        test->lookups = 0;
        test->began_ms = tt_clock_ms(&hasty);
        sync_refs_changed(test->sync);
        test->phase = 2;
    } else if (test->phase == 2 && test->lookups >= 2) {
        assert_true(tt_clock_ms(&hasty) >= test->began_ms + 10000); /* a pause, no busy loop */
        assert_int_equal(unlink(volume), 0);
        test->phase = 3;
    } else if (test->phase == 3 && volume_says(test, "two")) {
        tt_loop_stop(test->loop);
    }
    sync_runtime_changed(test->sync); /* more passes than usual: none may hurry a retry */
}

static void watchdog_fired(struct tt_timer *timer)
{
    struct test *test = TT_CONTAINER_OF(timer, struct test, watchdog);
    test->failed = true;
    tt_loop_stop(test->loop);
}

static void on_start(void *ctx)
{
    struct test *test = ctx;
    const struct sync_config config = {.loop = test->loop,
                                       .driver = &test->driver,
                                       .source = {.get = look_up, .ctx = test},
                                       .clock = &hasty,
                                       .root = test->root,
                                       .node_name = "n1",
                                       .host_ip = "127.0.0.1",
                                       .limits = {4000, INT64_C(1) << 30, 16}};
    tt_timer_init(&test->answer, test->loop, answer_fired);
    tt_timer_init(&test->poll, test->loop, poll_fired);
    tt_timer_init(&test->watchdog, test->loop, watchdog_fired);
    tt_timer_start(&test->poll, POLL_MS, POLL_MS);
    tt_timer_start(&test->watchdog, WATCHDOG_MS, 0);
    test->sync = sync_new(&config);
    sync_pod_changed(test->sync, tt_str_c(pod_json));
    sync_pods_complete(test->sync);
}

static void sync_closed(void *ctx)
{
    struct test *test = ctx;
    tt_timer_close(&test->answer, NULL);
}

static void on_stop(void *ctx)
{
    struct test *test = ctx;
    tt_timer_close(&test->poll, NULL);
    tt_timer_close(&test->watchdog, NULL);
    sync_close(test->sync, sync_closed, test); /* the picture is still answered */
}

static void a_change_that_cannot_be_written_is_tried_again_after_a_while(void **state)
{
    struct test *test = TT_NEW(struct test);
    char path[128];
    (void)state;
    test->driver.ops = &driver_ops;
    test->arena = tt_arena_new(1 << 12, 1 << 20);
    test->word = "one";
    (void)snprintf(test->root, sizeof test->root, "/tmp/tutti-sync-XXXXXX");
    assert_non_null(mkdtemp(test->root));
    (void)snprintf(path, sizeof path, "%s/pods/u1", test->root); /* as an earlier run left it */
    assert_int_equal(tt_dir_make(path, 0700, NULL), TT_OK);
    const struct tt_loop_config config = {
        .name = "test", .mailbox_max = 8, .on_start = on_start, .on_stop = on_stop, .ctx = test};
    test->loop = tt_loop_new(&config, NULL);
    assert_non_null(test->loop);
    tt_loop_run_here(test->loop);
    bool failed = test->failed;
    int phase = test->phase;
    unsigned lookups = test->lookups;
    tt_loop_free(test->loop);
    assert_int_equal(tt_dir_remove_tree(test->root, NULL), TT_OK);
    tt_arena_free(test->arena);
    tt_free(test);
    if (failed) {
        fail_msg("still in phase %d after %d ms, %u lookups", phase, WATCHDOG_MS, lookups);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_that_cannot_be_written_is_tried_again_after_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

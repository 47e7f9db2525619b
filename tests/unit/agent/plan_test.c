/* Plans against tests/golden/agent/plans.json: what is wanted and what is seen → what to do. The
 * time is always 1,000,000 ms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "agent/plan.h"
#include "base/clock.h"
#include "base/file.h"

enum { NOW_MS = 1000000, FILE_MAX = 1 << 20, ARENA_MAX = 16 << 20 };

static const char *text_of(struct tt_arena *arena, yyjson_val *object, const char *path,
                           const char *fallback)
{
    struct tt_str text = tt_json_iget_str(object, path);
    return text.len > 0 ? tt_arena_strndup(arena, text.ptr, text.len) : fallback;
}

static void write_containers(struct tt_buf *out, const char *key, yyjson_val *names,
                             const char *fallback)
{
    size_t i;
    size_t n;
    yyjson_val *name;
    tt_buf_printf(out, ",\"%s\":[", key);
    yyjson_arr_foreach(names, i, n, name)
    {
        tt_buf_printf(out, "%s{\"name\":\"%s\",\"image\":\"x\"}", i > 0 ? "," : "",
                      yyjson_get_str(name));
    }
    if (names == NULL && fallback != NULL) {
        tt_buf_printf(out, "{\"name\":\"%s\",\"image\":\"x\"}", fallback);
    }
    tt_buf_c(out, "]");
}

static struct pod *make_pod(struct tt_arena *arena, yyjson_val *spec)
{
    TT_AUTO_BUF struct tt_buf out;
    struct pod *pod = NULL;
    char time[TT_TIME_TEXT_SIZE];
    tt_buf_init(&out, FILE_MAX);
    int64_t deletion = tt_json_iget_i64(spec, "deletion", 0);
    tt_buf_c(&out, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\"");
    if (deletion > 0) {
        (void)tt_time_format_ms((uint64_t)deletion, time);
        tt_buf_printf(&out, ",\"deletionTimestamp\":\"%s\",\"deletionGracePeriodSeconds\":%d", time,
                      (int)tt_json_iget_i64(spec, "deletionGrace", 30));
    }
    tt_buf_printf(&out,
                  "},\"status\":{\"phase\":\"%s\"},\"spec\":{\"restartPolicy\":\"%s\","
                  "\"terminationGracePeriodSeconds\":%d",
                  text_of(arena, spec, "phase", "Pending"),
                  text_of(arena, spec, "restart", "Always"),
                  (int)tt_json_iget_i64(spec, "grace", 30));
    write_containers(&out, "initContainers", yyjson_obj_get(spec, "init"), NULL);
    write_containers(&out, "containers", yyjson_obj_get(spec, "containers"), "a");
    tt_buf_c(&out, "}}");
    assert_int_equal(pod_new(tt_buf_view(&out), &pod, NULL), TT_OK);
    return pod;
}

static enum rt_state state_of(struct tt_str text)
{
    return tt_str_eq_c(text, "running")   ? RT_RUNNING
           : tt_str_eq_c(text, "exited")  ? RT_EXITED
           : tt_str_eq_c(text, "created") ? RT_CREATED
                                          : RT_UNKNOWN;
}

static struct rt_snapshot *make_snapshot(yyjson_val *item)
{
    size_t i;
    size_t n;
    yyjson_val *one;
    struct rt_snapshot *snapshot = rt_snapshot_new(16, 16, NULL);
    struct tt_arena *arena = snapshot->arena;
    yyjson_arr_foreach(yyjson_obj_get(item, "sandboxes"), i, n, one)
    {
        snapshot->sandboxes[snapshot->sandbox_count++] =
            (struct rt_sandbox){.id = text_of(arena, one, "id", ""),
                                .pod_uid = "u",
                                .attempt = (uint32_t)tt_json_iget_i64(one, "attempt", 0),
                                .ready = yyjson_is_true(yyjson_obj_get(one, "ready")),
                                .grace_s = (uint64_t)tt_json_iget_i64(one, "grace", 30),
                                .ip = ""};
    }
    yyjson_arr_foreach(yyjson_obj_get(item, "containers"), i, n, one)
    {
        snapshot->containers[snapshot->container_count++] =
            (struct rt_container){.id = text_of(arena, one, "id", ""),
                                  .sandbox_id = text_of(arena, one, "sandbox", "s0"),
                                  .pod_uid = "u",
                                  .name = text_of(arena, one, "name", ""),
                                  .attempt = (uint32_t)tt_json_iget_i64(one, "attempt", 0),
                                  .state = state_of(tt_json_iget_str(one, "state")),
                                  .started_ms = tt_json_iget_i64(one, "started", 900000),
                                  .finished_ms = tt_json_iget_i64(one, "finished", 950000),
                                  .backoff_ms = (uint64_t)tt_json_iget_i64(one, "backoff", 0),
                                  .exit_code = (int32_t)tt_json_iget_i64(one, "exit", 0),
                                  .reason = "",
                                  .message = "",
                                  .image_ref = ""};
    }
    rt_snapshot_seal(snapshot);
    return snapshot;
}

static void fill_records(struct tt_arena *arena, yyjson_val *item, const struct pod *pod,
                         struct plan_record *records)
{
    size_t i;
    size_t n;
    yyjson_val *name;
    for (size_t c = 0; pod != NULL && c < pod->container_count; c++) {
        const char *own = pod->containers[c].name;
        records[c] = (struct plan_record){.unhealthy_grace_s = pod->grace_s};
        yyjson_arr_foreach(yyjson_obj_get(item, "busy"), i, n, name)
        {
            records[c].busy = records[c].busy || strcmp(yyjson_get_str(name), own) == 0;
        }
        records[c].retry_ms = (uint64_t)tt_json_iget_i64(yyjson_obj_get(item, "retry"), own, 0);
        records[c].unhealthy = text_of(arena, yyjson_obj_get(item, "unhealthy"), own, NULL);
    }
}

static void describe(const struct pod *pod, const struct plan_action *action, char out[128])
{
    const char *verb = plan_verb_name(action->verb);
    switch (action->verb) {
    case PLAN_PREPARE:
        (void)snprintf(out, 128, "%s attempt=%u", verb, action->attempt);
        break;
    case PLAN_START:
        (void)snprintf(out, 128, "%s %s in %s attempt=%u backoff=%u", verb,
                       pod->containers[action->index].name, action->id, action->attempt,
                       (unsigned)action->backoff_ms);
        break;
    case PLAN_STOP:
        (void)snprintf(out, 128, "%s %s grace=%u", verb, action->id, (unsigned)action->grace_s);
        break;
    case PLAN_REMOVE_CONTAINER:
    case PLAN_STOP_SANDBOX:
    case PLAN_REMOVE_SANDBOX:
        (void)snprintf(out, 128, "%s %s", verb, action->id);
        break;
    case PLAN_CLEAN:
    case PLAN_DELETE:
        (void)snprintf(out, 128, "%s", verb);
        break;
    }
}

static void check_case(struct tt_arena *arena, yyjson_val *item)
{
    struct plan_record records[POD_CONTAINERS_MAX];
    yyjson_val *spec = yyjson_obj_get(item, "pod");
    struct pod *pod = spec != NULL ? make_pod(arena, spec) : NULL;
    struct rt_snapshot *snapshot = make_snapshot(item);
    fill_records(arena, item, pod, records);
    const struct plan_input input = {.pod = pod,
                                     .seen = rt_snapshot_pod(snapshot, TT_STR("u")),
                                     .records = records,
                                     .sandbox_busy =
                                         yyjson_is_true(yyjson_obj_get(item, "sandboxBusy")),
                                     .refused = yyjson_is_true(yyjson_obj_get(item, "refused")),
                                     .has_files = yyjson_is_true(yyjson_obj_get(item, "files")),
                                     .now_ms = NOW_MS};
    struct plan *plan = tt_xcalloc(1, sizeof *plan);
    plan_pod(&input, plan);
    yyjson_val *want = yyjson_obj_get(item, "want");
    size_t lines = plan->count + (plan->wake_ms > 0 ? 1 : 0);
    for (size_t i = 0; i < lines; i++) {
        char line[128];
        if (i < plan->count) {
            describe(pod, &plan->actions[i], line);
        } else {
            (void)snprintf(line, sizeof line, "wake %u", (unsigned)plan->wake_ms);
        }
        const char *wanted = yyjson_get_str(yyjson_arr_get(want, i));
        if (wanted == NULL || strcmp(line, wanted) != 0) {
            fail_msg("%s: planned \"%s\", wanted \"%s\"",
                     yyjson_get_str(yyjson_obj_get(item, "name")), line,
                     wanted ? wanted : "nothing");
        }
    }
    if (lines != yyjson_arr_size(want)) {
        fail_msg("%s: %zu steps, wanted %zu", yyjson_get_str(yyjson_obj_get(item, "name")), lines,
                 yyjson_arr_size(want));
    }
    tt_free(plan);
    rt_snapshot_free(snapshot);
    pod_unref(pod);
}

static void plans_are_as_written_down(void **state)
{
    (void)state;
    struct tt_buf text;
    yyjson_doc *doc = NULL;
    struct tt_arena *arena = tt_arena_new(64 << 10, ARENA_MAX);
    size_t i;
    size_t n;
    yyjson_val *item;
    assert_int_equal(tt_file_read("tests/golden/agent/plans.json", FILE_MAX, &text, NULL), TT_OK);
    assert_int_equal(tt_json_read(arena, tt_buf_view(&text), &doc, NULL), TT_OK);
    assert_true(yyjson_arr_size(yyjson_doc_get_root(doc)) > 30);
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, item)
    {
        check_case(arena, item);
    }
    tt_buf_fini(&text);
    tt_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plans_are_as_written_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

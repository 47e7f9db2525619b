/* Events are counted, told once, limited and bounded: the cases of tests/golden/kinds/events.json,
 * and what is written. A note is "OBJECT [!]REASON MESSAGE", ! for a warning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "api/json/json.h"
#include "api/kinds/event_book.h"
#include "base/file.h"

enum { FILE_MAX = 1 << 20, SEED = 7 };

struct fixture {
    struct tt_event_book *book;
    const struct tt_event *taken;
};

static void note(struct fixture *f, struct tt_str text, uint64_t at_ms)
{
    struct tt_str object;
    struct tt_str reason;
    char name[64];
    assert_true(tt_str_cut(&text, ' ', &object));
    assert_true(tt_str_cut(&text, ' ', &reason));
    bool warning = tt_str_starts(reason, TT_STR("!"));
    reason = tt_str_skip(reason, warning ? 1 : 0);
    (void)snprintf(name, sizeof name, "%.*s", TT_STR_ARG(reason));
    const struct tt_event_note what = {.api_version = TT_STR("v1"),
                                       .kind = TT_STR("Pod"),
                                       .ns = TT_STR("shop"),
                                       .name = object,
                                       .uid = TT_STR("u"),
                                       .component = "tester",
                                       .warning = warning,
                                       .reason = name,
                                       .message = text};
    tt_event_book_note(f->book, &what, at_ms);
}

static void take(struct fixture *f, struct tt_str expected)
{
    char text[256] = "";
    const struct tt_event *event = tt_event_book_take(f->book);
    if (event != NULL) {
        (void)snprintf(text, sizeof text, "%s %.*s %.*s %.*s %llu %llu-%llu %.*s",
                       event->exists ? "old" : "new", TT_STR_ARG(event->object_name),
                       TT_STR_ARG(event->type), TT_STR_ARG(event->reason),
                       (unsigned long long)event->count, (unsigned long long)event->first_ms,
                       (unsigned long long)event->last_ms, TT_STR_ARG(event->message));
        f->taken = event;
    }
    TT_AUTO_FREE char *wanted = tt_str_xdup(expected);
    assert_string_equal(text, wanted);
}

static void settle(struct fixture *f, struct tt_str outcome)
{
    assert_non_null(f->taken);
    tt_event_book_settle(f->book, f->taken,
                         tt_str_eq_c(outcome, "written") ? TT_EVENT_WRITTEN
                         : tt_str_eq_c(outcome, "gone")  ? TT_EVENT_GONE
                         : tt_str_eq_c(outcome, "later") ? TT_EVENT_LATER
                                                         : TT_EVENT_DROPPED);
    f->taken = NULL;
}

static int64_t drain(struct fixture *f)
{
    int64_t count = 0;
    const struct tt_event *event;
    while ((event = tt_event_book_take(f->book)) != NULL) {
        tt_event_book_settle(f->book, event, TT_EVENT_WRITTEN);
        count++;
    }
    return count;
}

static void many_objects(struct fixture *f, yyjson_val *step, uint64_t at_ms)
{
    int64_t first = tt_json_iget_i64(step, "first", 0);
    for (int64_t i = 0; i < tt_json_iget_i64(step, "objects", 0); i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "object-%lld Created it", (long long)(first + i));
        note(f, tt_str(text, (size_t)size), at_ms);
        if (yyjson_is_true(yyjson_obj_get(step, "drained"))) {
            assert_int_equal(drain(f), 1);
        }
    }
}

static void run_step(struct fixture *f, yyjson_val *step)
{
    uint64_t at_ms = (uint64_t)tt_json_iget_i64(step, "at", 0);
    int64_t times = tt_json_iget_i64(step, "times", 1);
    if (yyjson_obj_get(step, "note") != NULL) {
        for (int64_t i = 0; i < times; i++) {
            note(f, tt_json_iget_str(step, "note"), at_ms);
        }
    } else if (yyjson_obj_get(step, "chatter") != NULL) { /* each one is written */
        for (int64_t i = 0; i < times; i++) {
            note(f, tt_json_iget_str(step, "chatter"), at_ms);
            assert_int_equal(drain(f), 1);
        }
    } else if (yyjson_obj_get(step, "take") != NULL) {
        take(f, tt_json_iget_str(step, "take"));
    } else if (yyjson_obj_get(step, "settle") != NULL) {
        settle(f, tt_json_iget_str(step, "settle"));
    } else if (yyjson_obj_get(step, "objects") != NULL) {
        many_objects(f, step, at_ms);
    } else {
        assert_int_equal(drain(f), tt_json_iget_i64(step, "drain", -1));
    }
}

static void run_case(yyjson_val *golden)
{
    TT_AUTO(tt_event_book) book = tt_event_book_new(TT_STR("n1"), SEED);
    struct fixture f = {.book = book};
    size_t i;
    size_t n;
    yyjson_val *step;
    print_message("  %.*s\n", TT_STR_ARG(tt_json_iget_str(golden, "name")));
    yyjson_arr_foreach(yyjson_obj_get(golden, "steps"), i, n, step)
    {
        run_step(&f, step);
    }
    char text[128];
    struct tt_event_stats stats = tt_event_book_stats(book);
    (void)snprintf(text, sizeof text, "written %llu dropped %llu quieted %llu",
                   (unsigned long long)stats.written, (unsigned long long)stats.dropped,
                   (unsigned long long)stats.quieted);
    assert_string_equal(text, yyjson_get_str(yyjson_obj_get(golden, "stats")));
}

static void golden_cases(void **state)
{
    (void)state;
    struct tt_buf text;
    yyjson_doc *doc = NULL;
    assert_int_equal(tt_file_read("tests/golden/kinds/events.json", FILE_MAX, &text, NULL), TT_OK);
    TT_AUTO(tt_arena) arena = tt_arena_new(1 << 16, FILE_MAX * 4);
    assert_int_equal(tt_json_read(arena, tt_buf_view(&text), &doc, NULL), TT_OK);
    size_t i;
    size_t n;
    yyjson_val *golden;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, golden)
    {
        run_case(golden);
    }
    tt_buf_fini(&text);
}

static void an_event_is_written_as_kubernetes_has_it(void **state)
{
    (void)state;
    TT_AUTO(tt_event_book) book = tt_event_book_new(TT_STR("n1"), SEED);
    const struct tt_event_note what = {.api_version = TT_STR("v1"),
                                       .kind = TT_STR("Pod"),
                                       .ns = TT_STR("shop"),
                                       .name = TT_STR("web-1"),
                                       .uid = TT_STR("u1"),
                                       .field_path = TT_STR("spec.containers{c}"),
                                       .component = "tutti-agent",
                                       .reason = "Started",
                                       .message = TT_STR("line 1\nline \"2\"")};
    tt_event_book_note(book, &what, 1700000000000);
    const struct tt_event *event = tt_event_book_take(book);
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 4096);
    tt_event_write(book, event, &text);
    char expected[1024];
    (void)snprintf(
        expected, sizeof expected,
        "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
        "\"shop\"},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"shop\",\"name\":\"web-1\","
        "\"uid\":\"u1\",\"apiVersion\":\"v1\",\"fieldPath\":\"spec.containers{c}\"},\"reason\":"
        "\"Started\",\"message\":\"line 1\\nline \\\"2\\\"\",\"source\":{\"component\":"
        "\"tutti-agent\",\"host\":\"n1\"},\"firstTimestamp\":\"2023-11-14T22:13:20Z\","
        "\"lastTimestamp\":\"2023-11-14T22:13:20Z\",\"count\":1,\"type\":\"Normal\","
        "\"reportingComponent\":\"tutti-agent\",\"reportingInstance\":\"n1\"}",
        event->name);
    assert_string_equal(text.ptr, expected);
    assert_true(tt_str_starts(tt_str_c(event->name), TT_STR("web-1.")));
    tt_buf_reset(&text);
    tt_event_write_patch(event, &text);
    assert_string_equal(text.ptr, "{\"lastTimestamp\":\"2023-11-14T22:13:20Z\",\"count\":1}");
    tt_event_book_settle(book, event, TT_EVENT_WRITTEN);
}

static void long_names_and_messages_are_cut(void **state)
{
    (void)state;
    TT_AUTO(tt_event_book) book = tt_event_book_new(TT_STR(""), SEED);
    char name[254];
    char message[3000];
    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = i % 2 == 0 ? '\xc3' : '\xa9'; /* two bytes each */
    }
    const struct tt_event_note what = {.api_version = TT_STR("v1"),
                                       .kind = TT_STR("Node"),
                                       .name = tt_str(name, 253),
                                       .component = "tester",
                                       .reason = "Long",
                                       .message = tt_str(message + 1, sizeof message - 1)};
    tt_event_book_note(book, &what, 1);
    const struct tt_event *event = tt_event_book_take(book);
    assert_int_equal(strlen(event->name), TT_EVENT_NAME_SIZE - 1);
    assert_int_equal(event->message.len, TT_EVENT_MESSAGE_MAX - 1); /* no half character */
    assert_true(tt_str_eq_c(event->ns, "default"));
    tt_event_book_settle(book, event, TT_EVENT_DROPPED);
    assert_int_equal(tt_event_book_stats(book).dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_cases),
        cmocka_unit_test(an_event_is_written_as_kubernetes_has_it),
        cmocka_unit_test(long_names_and_messages_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

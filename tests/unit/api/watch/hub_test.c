#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "api/watch/hub.h"
#include "tests/support/store_fixture.h"

enum { LINES_MAX = 256, LINE_SIZE = 4096 };

/* A client: keeps the lines it got, can refuse them. */
struct client {
    char line[LINES_MAX][LINE_SIZE];
    size_t count;
    bool full; /* refuse with TT_EBUSY, but for the last word */
    bool ended;
    struct tt_watch *watch;
};
struct bench {
    struct store_fixture fixture;
    struct tt_registry *registry;
    struct tt_kinds *kinds;
    const struct tt_kind *configmaps;
    struct tt_watch_hub *hub;
    struct tt_clock clock;
    uint64_t now_ms;
    struct client client[3];
};

static uint64_t bench_ns(void *ctx)
{
    return ((struct bench *)ctx)->now_ms * 1000000;
}

static uint64_t bench_wall(void *ctx)
{
    return ((struct bench *)ctx)->now_ms;
}

static int client_write(void *ctx, const struct tt_http_part *part, bool last)
{
    struct client *client = ctx;
    if (client->full && !last) {
        return TT_EBUSY;
    }
    assert_true(client->count < LINES_MAX && part->bytes.len < LINE_SIZE);
    memcpy(client->line[client->count], part->bytes.ptr, part->bytes.len);
    client->line[client->count++][part->bytes.len] = '\0';
    part->release(part->owner);
    return 0;
}

static void client_ended(void *ctx)
{
    struct client *client = ctx;
    client->ended = true;
    client->watch = NULL;
}

static int setup(void **state)
{
    struct bench *bench = TT_NEW(struct bench);
    store_fixture_init(&bench->fixture);
    assert_int_equal(tt_registry_new(&bench->registry, NULL), TT_OK);
    bench->kinds = tt_registry_get(bench->registry);
    bench->configmaps =
        tt_kinds_resource(bench->kinds, TT_STR(""), TT_STR("v1"), TT_STR("configmaps"));
    bench->now_ms = 1000000;
    bench->clock = (struct tt_clock){bench_ns, bench_wall, bench};
    bench->hub = tt_watch_hub_new(bench->fixture.store, NULL, &bench->clock, 3);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    tt_watch_hub_close(bench->hub);
    tt_watch_hub_free(bench->hub);
    tt_kinds_unref(bench->kinds);
    tt_registry_free(bench->registry);
    store_fixture_fini(&bench->fixture);
    tt_free(bench);
    return 0;
}

static void work(struct bench *bench)
{
    for (unsigned i = 0; i < 1000 && tt_watch_hub_work(bench->hub); i++) {
    }
}

static void publish(struct bench *bench)
{
    struct tt_version *version = tt_store_version(bench->fixture.store);
    tt_watch_hub_publish(bench->hub, version);
    tt_version_unref(version);
    work(bench);
}

static uint64_t put(struct bench *bench, const char *ns, const char *name, const char *label)
{
    char key[128];
    char json[256];
    (void)snprintf(key, sizeof key, "o/core/configmaps/%s/%s", ns, name);
    (void)snprintf(json, sizeof json,
                   "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\","
                   "\"namespace\":\"%s\",\"labels\":{\"app\":\"%s\"}}}",
                   name, ns, label);
    return store_fixture_put(&bench->fixture, key, json);
}

static struct tt_watch_config config_for(struct bench *bench, unsigned index)
{
    return (struct tt_watch_config){
        .kinds = bench->kinds,
        .kind = bench->configmaps,
        .ns = TT_STR(""),
        .label_selector = TT_STR(""),
        .field_selector = TT_STR(""),
        .client = TT_STR("spiffe://c/user/u"),
        .sink = {client_write, client_ended, &bench->client[index]},
    };
}

static int start(struct bench *bench, unsigned index, const struct tt_watch_config *config)
{
    int r = tt_watch_start(bench->hub, config, &bench->client[index].watch, NULL);
    if (r == TT_OK) {
        tt_watch_run(bench->client[index].watch);
        work(bench);
    }
    return r;
}

static void start_list(struct bench *bench, unsigned index, struct tt_watch_config *config)
{
    config->start = TT_WATCH_LIST_FIRST;
    config->version = tt_store_version(bench->fixture.store);
    assert_int_equal(start(bench, index, config), TT_OK);
    tt_version_unref(config->version);
}

static void assert_line(const struct client *client, size_t index, const char *type,
                        const char *text)
{
    assert_true(index < client->count);
    char head[64];
    (void)snprintf(head, sizeof head, "{\"type\":\"%s\",", type);
    assert_true(tt_str_starts(tt_str_c(client->line[index]), tt_str_c(head)));
    assert_true(strstr(client->line[index], text) != NULL);
    assert_true(tt_str_ends(tt_str_c(client->line[index]), TT_STR("}\n")));
}

static void changes_come_once_and_in_order(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    assert_int_equal(start(bench, 0, &config), TT_OK);
    uint64_t first = put(bench, "a", "x", "1");
    (void)put(bench, "a", "x", "2");
    (void)store_fixture_delete(&bench->fixture, "o/core/configmaps/a/x");
    publish(bench);
    publish(bench);
    struct client *client = &bench->client[0];
    assert_int_equal(client->count, 3);
    char revision[64];
    (void)snprintf(revision, sizeof revision, "\"metadata\":{\"resourceVersion\":\"%llu\",",
                   (unsigned long long)first);
    assert_line(client, 0, "ADDED", revision);
    assert_line(client, 1, "MODIFIED", "\"app\":\"2\"");
    assert_line(client, 2, "DELETED", "\"app\":\"2\"");
    (void)snprintf(revision, sizeof revision, "\"resourceVersion\":\"%llu\",",
                   (unsigned long long)first + 2);
    assert_line(client, 2, "DELETED", revision);
}

static void scopes_do_not_leak(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config all = config_for(bench, 0);
    struct tt_watch_config ns = config_for(bench, 1);
    struct tt_watch_config name = config_for(bench, 2);
    ns.ns = TT_STR("a");
    name.ns = TT_STR("a");
    name.field_selector = TT_STR("metadata.name=x");
    assert_int_equal(start(bench, 0, &all), TT_OK);
    assert_int_equal(start(bench, 1, &ns), TT_OK);
    assert_int_equal(start(bench, 2, &name), TT_OK);
    (void)put(bench, "a", "x", "1");
    (void)put(bench, "a", "x2", "1");
    (void)put(bench, "ab", "x", "1");
    (void)store_fixture_put(&bench->fixture, "o/core/secrets/a/x",
                            "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"x\"}}");
    publish(bench);
    assert_int_equal(bench->client[0].count, 3);
    assert_int_equal(bench->client[1].count, 2);
    assert_int_equal(bench->client[2].count, 1);
}

static void leaving_the_selector_is_a_deletion(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    config.label_selector = TT_STR("app=web");
    assert_int_equal(start(bench, 0, &config), TT_OK);
    (void)put(bench, "a", "x", "db");
    (void)put(bench, "a", "x", "web");
    (void)put(bench, "a", "x", "web");
    (void)put(bench, "a", "x", "db");
    (void)put(bench, "a", "x", "db");
    publish(bench);
    struct client *client = &bench->client[0];
    assert_int_equal(client->count, 3);
    assert_line(client, 0, "ADDED", "\"app\":\"web\"");
    assert_line(client, 1, "MODIFIED", "\"app\":\"web\"");
    assert_line(client, 2, "DELETED", "\"app\":\"web\"");
}

static void resuming_gives_exactly_what_was_missed(void **state)
{
    struct bench *bench = *state;
    uint64_t first = put(bench, "a", "x", "1");
    (void)put(bench, "a", "y", "1");
    (void)put(bench, "a", "z", "1");
    publish(bench);
    struct tt_watch_config config = config_for(bench, 0);
    config.revision = first;
    assert_int_equal(start(bench, 0, &config), TT_OK);
    assert_int_equal(bench->client[0].count, 2);
    (void)put(bench, "a", "w", "1");
    publish(bench);
    assert_int_equal(bench->client[0].count, 3);
    assert_line(&bench->client[0], 2, "ADDED", "\"name\":\"w\"");
}

static void listing_first_shows_what_is_there_then_what_comes(void **state)
{
    struct bench *bench = *state;
    (void)put(bench, "a", "x", "1");
    (void)put(bench, "a", "y", "1");
    struct tt_watch_config config = config_for(bench, 0);
    config.initial_end_bookmark = true;
    start_list(bench, 0, &config);
    (void)put(bench, "a", "x", "2");
    publish(bench); /* the hub had not seen the first two either */
    struct client *client = &bench->client[0];
    assert_int_equal(client->count, 4);
    assert_line(client, 0, "ADDED", "\"name\":\"x\"");
    assert_line(client, 1, "ADDED", "\"name\":\"y\"");
    assert_line(client, 2, "BOOKMARK", "\"k8s.io/initial-events-end\":\"true\"");
    assert_line(client, 3, "MODIFIED", "\"app\":\"2\"");
}

static void a_slow_client_misses_nothing(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    struct client *client = &bench->client[0];
    assert_int_equal(start(bench, 0, &config), TT_OK);
    (void)put(bench, "a", "x", "1");
    publish(bench);
    client->full = true;
    (void)put(bench, "a", "x", "2");
    publish(bench);
    (void)put(bench, "a", "x", "3");
    publish(bench);
    assert_int_equal(client->count, 1);
    client->full = false;
    tt_watch_drained(client->watch);
    work(bench);
    (void)put(bench, "a", "x", "4");
    publish(bench);
    assert_int_equal(client->count, 4);
    assert_line(client, 1, "MODIFIED", "\"app\":\"2\"");
    assert_line(client, 2, "MODIFIED", "\"app\":\"3\"");
    assert_line(client, 3, "MODIFIED", "\"app\":\"4\"");
}

static void an_emptied_store_repeats_nothing(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    struct client *client = &bench->client[0];
    assert_int_equal(start(bench, 0, &config), TT_OK);
    (void)put(bench, "a", "x", "1");
    (void)put(bench, "a", "x", "2");
    publish(bench);
    client->full = true;
    (void)put(bench, "a", "x", "3");
    publish(bench);
    tt_store_clear(bench->fixture.store); /* a snapshot is about to be installed */
    client->full = false;
    tt_watch_drained(client->watch);
    work(bench);
    bench->fixture.index = 100;
    for (char label[] = "1"; label[0] <= '4'; label[0]++) {
        (void)put(bench, "a", "x", label); /* what the snapshot holds, with all its history */
    }
    publish(bench);
    assert_int_equal(client->count, 4);
    assert_line(client, 2, "MODIFIED", "\"app\":\"3\"");
    assert_line(client, 3, "MODIFIED", "\"app\":\"4\"");
}

static void a_stalled_client_is_told_where_to_resume(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    struct client *client = &bench->client[0];
    assert_int_equal(start(bench, 0, &config), TT_OK);
    uint64_t first = put(bench, "a", "x", "1");
    publish(bench);
    client->full = true;
    (void)put(bench, "a", "x", "2");
    publish(bench);
    bench->now_ms += 4000;
    tt_watch_hub_tick(bench->hub, bench->now_ms);
    assert_false(client->ended);
    bench->now_ms += 1000;
    tt_watch_hub_tick(bench->hub, bench->now_ms);
    assert_true(client->ended);
    char revision[64];
    (void)snprintf(revision, sizeof revision, "\"resourceVersion\":\"%llu\"",
                   (unsigned long long)first);
    assert_line(client, 1, "BOOKMARK", revision);
}

static void bookmarks_carry_the_newest_revision(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    struct tt_watch_config silent = config_for(bench, 1);
    config.bookmarks = true;
    config.ns = TT_STR("quiet");
    silent.ns = TT_STR("quiet");
    assert_int_equal(start(bench, 0, &config), TT_OK);
    assert_int_equal(start(bench, 1, &silent), TT_OK);
    uint64_t newest = put(bench, "a", "x", "1");
    publish(bench);
    bench->now_ms += 1000;
    tt_watch_hub_tick(bench->hub, bench->now_ms);
    char revision[64];
    (void)snprintf(revision, sizeof revision, "\"resourceVersion\":\"%llu\"",
                   (unsigned long long)newest);
    assert_int_equal(bench->client[0].count, 1);
    assert_line(&bench->client[0], 0, "BOOKMARK", revision);
    assert_int_equal(bench->client[1].count, 0);
}

static void compact(struct bench *bench, uint64_t revision)
{
    (void)store_fixture_apply(&bench->fixture, tt_command_compact(revision));
}

static void a_compacted_revision_is_refused(void **state)
{
    struct bench *bench = *state;
    uint64_t first = put(bench, "a", "x", "1");
    (void)put(bench, "a", "x", "2");
    uint64_t newest = put(bench, "a", "x", "3");
    compact(bench, newest - 1);
    struct tt_watch_config config = config_for(bench, 0);
    config.revision = first;
    assert_int_equal(start(bench, 0, &config), TT_EEXPIRED);
    assert_int_equal(tt_watch_hub_count(bench->hub), 0);
}

static void compaction_under_a_blocked_watch_is_an_error_event(void **state)
{
    struct bench *bench = *state;
    struct client *client = &bench->client[0];
    struct tt_watch_config config = config_for(bench, 0);
    assert_int_equal(start(bench, 0, &config), TT_OK);
    client->full = true;
    (void)put(bench, "a", "x", "1");
    publish(bench);
    (void)put(bench, "a", "x", "2");
    uint64_t newest = put(bench, "a", "x", "3");
    compact(bench, newest);
    publish(bench);
    client->full = false;
    tt_watch_drained(client->watch);
    work(bench);
    assert_true(client->ended);
    assert_int_equal(client->count, 1);
    assert_line(client, 0, "ERROR", "\"code\":410");
}

static void the_number_of_watches_is_bounded_per_client(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    for (unsigned i = 0; i < 3; i++) {
        config.sink.ctx = &bench->client[i];
        assert_int_equal(start(bench, i, &config), TT_OK);
    }
    struct tt_watch *more = NULL;
    assert_int_equal(tt_watch_start(bench->hub, &config, &more, NULL), TT_EBUSY);
    tt_watch_cancel(bench->client[0].watch);
    bench->client[0].watch = NULL;
    assert_int_equal(start(bench, 0, &config), TT_OK);
}

static void a_watch_ends_at_its_deadline(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    config.deadline_ms = bench->now_ms + 10000;
    assert_int_equal(start(bench, 0, &config), TT_OK);
    tt_watch_hub_tick(bench->hub, bench->now_ms + 9999);
    assert_false(bench->client[0].ended);
    tt_watch_hub_tick(bench->hub, bench->now_ms + 10000);
    assert_true(bench->client[0].ended);
}

static void tables_define_their_columns_once(void **state)
{
    struct bench *bench = *state;
    struct tt_watch_config config = config_for(bench, 0);
    config.form = TT_WATCH_TABLE;
    assert_int_equal(start(bench, 0, &config), TT_OK);
    (void)put(bench, "a", "x", "1");
    (void)put(bench, "a", "y", "1");
    publish(bench);
    struct client *client = &bench->client[0];
    assert_int_equal(client->count, 2);
    assert_true(strstr(client->line[0], "\"columnDefinitions\":[{") != NULL);
    assert_true(strstr(client->line[1], "\"columnDefinitions\":[{") == NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changes_come_once_and_in_order),
        TEST(scopes_do_not_leak),
        TEST(leaving_the_selector_is_a_deletion),
        TEST(resuming_gives_exactly_what_was_missed),
        TEST(listing_first_shows_what_is_there_then_what_comes),
        TEST(a_slow_client_misses_nothing),
        TEST(an_emptied_store_repeats_nothing),
        TEST(a_stalled_client_is_told_where_to_resume),
        TEST(bookmarks_carry_the_newest_revision),
        TEST(a_compacted_revision_is_refused),
        TEST(compaction_under_a_blocked_watch_is_an_error_event),
        TEST(the_number_of_watches_is_bounded_per_client),
        TEST(a_watch_ends_at_its_deadline),
        TEST(tables_define_their_columns_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

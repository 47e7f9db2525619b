/* The library as the node relies on it: who frees what, and the behaviours behind the rules. A
 * library that changed its mind fails here before it corrupts anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <raft.h>
#include <stdio.h>
#include <string.h>

/* Counts what the library holds; never fails. */
struct heap {
    size_t out;  /* blocks not given back */
    void *watch; /* a block whose release is of interest */
    size_t watched_free_count;
};

static void *heap_malloc(void *data, size_t size)
{
    ((struct heap *)data)->out++;
    return test_malloc(size);
}
static void heap_free(void *data, void *p)
{
    struct heap *heap = data;
    if (p) {
        heap->out--;
        heap->watched_free_count += p == heap->watch;
        test_free(p);
    }
}
static void *heap_calloc(void *data, size_t count, size_t size)
{
    ((struct heap *)data)->out++;
    return test_calloc(count, size);
}
static void *heap_realloc(void *data, void *p, size_t size)
{
    ((struct heap *)data)->out += p == NULL;
    return test_realloc(p, size);
}
static void *heap_aligned(void *data, size_t alignment, size_t size)
{
    (void)alignment;
    return heap_malloc(data, size);
}
static void heap_aligned_free(void *data, size_t alignment, void *p)
{
    (void)alignment;
    heap_free(data, p);
}

struct fixture {
    struct heap heap;
    struct raft_heap hooks;
    struct raft raft;
    struct raft_update update;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->hooks = (struct raft_heap){&f->heap,     heap_malloc,  heap_free,        heap_calloc,
                                  heap_realloc, heap_aligned, heap_aligned_free};
    raft_heap_set(&f->hooks);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    raft_heap_set_default();
    test_free(*state);
    return 0;
}

static int step(struct fixture *f, struct raft_event *event, raft_time now)
{
    memset(&f->update, 0, sizeof f->update);
    event->time = now;
    return raft_step(&f->raft, event, &f->update);
}

/* Server 2 of `voters`, started with the bootstrap entry at term 1. */
static void start(struct fixture *f, raft_id id, unsigned voters)
{
    struct raft_configuration configuration;
    raft_configuration_init(&configuration);
    for (unsigned i = 1; i <= voters; i++) {
        char address[16];
        (void)snprintf(address, sizeof address, "s%u", i);
        assert_int_equal(raft_configuration_add(&configuration, i, address, RAFT_VOTER), 0);
    }
    struct raft_entry entry = {.term = 1, .type = RAFT_CHANGE};
    assert_int_equal(raft_configuration_encode(&configuration, &entry.buf), 0);
    raft_configuration_close(&configuration);
    assert_int_equal(raft_init(&f->raft, NULL, NULL, id, "self"), 0);
    f->raft.tracer = NULL;
    raft_seed(&f->raft, 7);
    struct raft_event event = {.type = RAFT_START};
    event.start.term = 1;
    event.start.start_index = 1;
    event.start.entries = &entry;
    event.start.n_entries = 1;
    assert_int_equal(step(f, &event, 0), 0);
    raft_free(entry.buf.base); /* START keeps nothing of the entries */
}

static int append(struct fixture *f, raft_term term, raft_index prev, struct raft_entry *entries,
                  unsigned count)
{
    struct raft_message message = {
        .type = RAFT_APPEND_ENTRIES, .server_id = 1, .server_address = "s1"};
    message.append_entries.term = term;
    message.append_entries.prev_log_index = prev;
    message.append_entries.prev_log_term = 1;
    message.append_entries.entries = entries;
    message.append_entries.n_entries = count;
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = &message;
    return step(f, &event, 10);
}

static void the_version_is_the_one_whose_ownership_we_know(void **state)
{
    (void)state;
    /* The library does not export its own number: the header's, and the behaviour below. */
    assert_in_range(RAFT_VERSION_NUMBER, 2201, 2299);
}

static void a_closed_server_has_given_everything_back(void **state)
{
    struct fixture *f = *state;
    start(f, 2, 3);
    raft_close(&f->raft, NULL);
    assert_int_equal(f->heap.out, 0);
}

static void received_entries_are_ours_exactly_when_the_update_has_them(void **state)
{
    struct fixture *f = *state;
    start(f, 2, 3);
    char payload[8] = "payload";
    struct raft_entry entry = {.term = 1, .type = RAFT_COMMAND, .buf = {payload, sizeof payload}};
    entry.batch = f->heap.watch = raft_malloc(1);
    assert_int_equal(append(f, 1, 1, &entry, 1), 0);
    assert_true(f->update.flags & (RAFT_UPDATE_ENTRIES));
    assert_ptr_equal(f->update.entries.batch, &entry); /* our own array */
    assert_int_equal(f->heap.watched_free_count, 0);
    raft_free(entry.batch);

    f->heap.watched_free_count = 0;
    entry.batch = f->heap.watch = raft_malloc(1);
    assert_int_equal(append(f, 1, 1, &entry, 1), 0); /* the same again: it has them */
    assert_false(f->update.flags & (RAFT_UPDATE_ENTRIES));
    assert_int_equal(f->heap.watched_free_count, 1);

    f->heap.watched_free_count = 0;
    entry.batch = f->heap.watch = raft_malloc(1);
    assert_int_equal(append(f, 1, 7, &entry, 1), 0); /* a gap: rejected */
    assert_int_equal(f->heap.watched_free_count, 1);
    raft_close(&f->raft, NULL);
    assert_int_equal(f->heap.out, 0);
}

static void submit_keeps_nothing_of_ours(void **state)
{
    struct fixture *f = *state;
    start(f, 1, 1);
    assert_int_equal(raft_state(&f->raft), RAFT_LEADER);
    size_t before = f->heap.out;
    char payload[8] = "payload";
    struct raft_entry entry = {
        .term = 1, .type = RAFT_COMMAND, .buf = {payload, sizeof payload}, .batch = payload};
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = &entry;
    event.submit.n = 1;
    assert_int_equal(step(f, &event, 10), 0);
    assert_ptr_equal(f->update.entries.batch, &entry);
    assert_int_equal(f->heap.out, before);
    raft_close(&f->raft, NULL);
    assert_int_equal(f->heap.out, 0);
}

/* Rule 3, and why the node takes the next term first. */
static void a_sole_voter_leads_in_the_term_it_is_given(void **state)
{
    struct fixture *f = *state;
    start(f, 1, 1);
    assert_int_equal(raft_state(&f->raft), RAFT_LEADER);
    assert_int_equal(raft_current_term(&f->raft), 1);
    assert_int_equal(raft_voted_for(&f->raft), 0);
    raft_close(&f->raft, NULL);
}

/* Rule 1, and why the node splits messages. */
static void a_configuration_behind_a_command_gets_the_wrong_index(void **state)
{
    struct fixture *f = *state;
    start(f, 2, 3);
    struct raft_configuration configuration;
    raft_configuration_init(&configuration);
    assert_int_equal(raft_configuration_add(&configuration, 2, "s2", RAFT_VOTER), 0);
    char payload[8] = "payload";
    struct raft_entry entries[2] = {
        {.term = 1, .type = RAFT_COMMAND, .buf = {payload, sizeof payload}},
        {.term = 1, .type = RAFT_CHANGE},
    };
    assert_int_equal(raft_configuration_encode(&configuration, &entries[1].buf), 0);
    raft_configuration_close(&configuration);
    void *token = raft_malloc(1);
    entries[0].batch = entries[1].batch = token;
    assert_int_equal(append(f, 1, 1, entries, 2), 0);
    assert_int_equal(f->raft.configuration_uncommitted_index, 2); /* it is at 3 */
    raft_free(token);
    raft_free(entries[1].buf.base);
    raft_close(&f->raft, NULL);
    assert_int_equal(f->heap.out, 0);
}

#define WITH_LIBRARY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_is_the_one_whose_ownership_we_know),
        WITH_LIBRARY(a_closed_server_has_given_everything_back),
        WITH_LIBRARY(received_entries_are_ours_exactly_when_the_update_has_them),
        WITH_LIBRARY(submit_keeps_nothing_of_ours),
        WITH_LIBRARY(a_sole_voter_leads_in_the_term_it_is_given),
        WITH_LIBRARY(a_configuration_behind_a_command_gets_the_wrong_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

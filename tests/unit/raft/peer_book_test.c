/* The peer book: first met, first known, whatever happens to the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "raft/disk_memory.h"
#include "raft/peer_book.h"

#define CLUSTER "00000000-0000-4000-8000-000000000001"
#define OTHER   "00000000-0000-4000-8000-000000000002"

struct world {
    struct tt_disk_memory *memory;
    const struct tt_disk *disk;
};

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    world->memory = tt_disk_memory_new();
    world->disk = tt_disk_memory_disk(world->memory);
    assert_int_equal(tt_disk_mkdir(world->disk, "m", NULL), TT_OK);
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    tt_disk_memory_free(world->memory);
    test_free(world);
    return 0;
}

static struct tt_peer_book *book_of(const struct world *world, const char *cluster_id)
{
    struct tt_peer_book *book = NULL;
    assert_int_equal(tt_peer_book_open(world->disk, "m", cluster_id, &book, NULL), TT_OK);
    return book;
}

static void the_first_directory_of_a_member_is_the_one(void **state)
{
    struct tt_peer_book *book = book_of(*state, CLUSTER);
    assert_int_equal(tt_peer_book_known(book, 3), 0);
    assert_int_equal(tt_peer_book_meet(book, 3, 77, NULL), TT_OK);
    assert_int_equal(tt_peer_book_meet(book, 3, 77, NULL), TT_OK);
    assert_int_equal(tt_peer_book_meet(book, 3, 78, NULL), TT_ECONFLICT);
    assert_int_equal(tt_peer_book_meet(book, 2, 78, NULL), TT_OK);
    assert_int_equal(tt_peer_book_known(book, 3), 77);
    tt_peer_book_free(book);
    book = book_of(*state, CLUSTER);
    assert_int_equal(tt_peer_book_known(book, 3), 77);
    assert_int_equal(tt_peer_book_meet(book, 3, 78, NULL), TT_ECONFLICT);
    tt_peer_book_free(book);
}

static void a_peer_without_an_incarnation_is_refused(void **state)
{
    struct tt_peer_book *book = book_of(*state, CLUSTER);
    assert_int_equal(tt_peer_book_meet(book, 3, 0, NULL), TT_EPROTO);
    tt_peer_book_free(book);
}

static void a_recovered_cluster_begins_with_an_empty_book(void **state)
{
    struct tt_peer_book *book = book_of(*state, CLUSTER);
    assert_int_equal(tt_peer_book_meet(book, 3, 77, NULL), TT_OK);
    tt_peer_book_free(book);
    book = book_of(*state, OTHER);
    assert_int_equal(tt_peer_book_known(book, 3), 0);
    assert_int_equal(tt_peer_book_meet(book, 3, 78, NULL), TT_OK);
    tt_peer_book_free(book);
}

/* What could not be written down was not met; what was met survives a crash. */
static void nobody_is_met_before_it_is_durable(void **state)
{
    struct world *world = *state;
    for (uint64_t nth = 1;; nth++) {
        struct tt_peer_book *book = book_of(world, CLUSTER);
        struct tt_rng rng;
        tt_rng_seed(&rng, nth);
        tt_disk_memory_fail_at(world->memory, nth, TT_ENOSPACE);
        int r = tt_peer_book_meet(book, nth, 500 + nth, NULL);
        assert_int_equal(tt_peer_book_known(book, nth), r == TT_OK ? 500 + nth : 0);
        tt_peer_book_free(book);
        tt_disk_memory_crash(world->memory, &rng);
        if (r == TT_OK) {
            book = book_of(world, CLUSTER);
            assert_int_equal(tt_peer_book_known(book, nth), 500 + nth);
            tt_peer_book_free(book);
            assert_true(nth > 2);
            return;
        }
    }
}

static void a_full_book_forgets_the_smallest_id(void **state)
{
    struct tt_peer_book *book = book_of(*state, CLUSTER);
    for (uint64_t id = 1; id <= TT_PEER_BOOK_ENTRIES_MAX + 1; id++) {
        assert_int_equal(tt_peer_book_meet(book, id, 1000 + id, NULL), TT_OK);
    }
    assert_int_equal(tt_peer_book_known(book, 1), 0);
    assert_int_equal(tt_peer_book_known(book, 2), 1002);
    assert_int_equal(tt_peer_book_known(book, TT_PEER_BOOK_ENTRIES_MAX + 1),
                     1001 + TT_PEER_BOOK_ENTRIES_MAX);
    tt_peer_book_free(book);
}

static void a_damaged_book_is_corruption(void **state)
{
    struct world *world = *state;
    struct tt_peer_book *book = book_of(world, CLUSTER);
    assert_int_equal(tt_peer_book_meet(book, 3, 77, NULL), TT_OK);
    tt_peer_book_free(book);
    struct tt_buf bytes;
    assert_int_equal(tt_disk_load(world->disk, "m/peers", 4096, &bytes, NULL), TT_OK);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 1;
        assert_int_equal(tt_disk_replace(world->disk, "m", "peers", tt_buf_view(&bytes), NULL),
                         TT_OK);
        book = NULL;
        assert_int_equal(tt_peer_book_open(world->disk, "m", CLUSTER, &book, NULL), TT_ECORRUPT);
        bytes.ptr[i] ^= 1;
    }
    assert_int_equal(tt_disk_replace(world->disk, "m", "peers",
                                     tt_str_head(tt_buf_view(&bytes), bytes.len - 1), NULL),
                     TT_OK);
    assert_int_equal(tt_peer_book_open(world->disk, "m", CLUSTER, &book, NULL), TT_ECORRUPT);
    tt_buf_fini(&bytes);
}

#define BOOK_TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOOK_TEST(the_first_directory_of_a_member_is_the_one),
        BOOK_TEST(a_peer_without_an_incarnation_is_refused),
        BOOK_TEST(a_recovered_cluster_begins_with_an_empty_book),
        BOOK_TEST(nobody_is_met_before_it_is_durable),
        BOOK_TEST(a_full_book_forgets_the_smallest_id),
        BOOK_TEST(a_damaged_book_is_corruption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

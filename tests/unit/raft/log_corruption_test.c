/* The corruption matrix of the log: every file × {flip, zero, cut, swap, stale copy, removal} ×
 * every place, below the watermark. The verdict is intact or refused; never fewer entries, another
 * term or a crash. */
#include "tests/unit/raft/log_support.h"

#include <stdio.h>

enum { LAST = 330, KEEP = 90, SNAPSHOT = 100 };

/* A log over several segments, an old one already removed, cleanly stopped. Copies of all files
 * from its earlier life are in `stale`. */
struct matrix {
    struct tt_disk_memory *memory;
    struct tt_disk_memory *stale[3];
    size_t intact; /* verdicts */
    size_t refused;
};

static void build(struct matrix *m)
{
    m->memory = log_disk_new();
    struct tt_wal *wal = log_make(m->memory);
    assert_int_equal(tt_wal_stage_hard_state(wal, 2, 3, NULL), 0);
    assert_int_equal(log_append(wal, 1, 200, 2, NULL), 0);
    assert_int_equal(tt_wal_watermark(wal, NULL), 0);
    m->stale[0] = tt_disk_memory_clone(m->memory);
    struct tt_wal_snapshot snapshot = {.index = SNAPSHOT, .term = 2};
    assert_int_equal(tt_wal_stage_snapshot(wal, &snapshot, KEEP, NULL), 0);
    assert_int_equal(log_append(wal, 201, 300, 2, NULL), 0);
    assert_int_equal(tt_wal_watermark(wal, NULL), 0);
    m->stale[1] = tt_disk_memory_clone(m->memory);
    assert_int_equal(log_append(wal, 301, LAST - 1, 2, NULL), 0);
    assert_int_equal(tt_wal_watermark(wal, NULL), 0);
    m->stale[2] = tt_disk_memory_clone(m->memory);
    assert_int_equal(log_append(wal, LAST, LAST, 2, NULL), 0);
    assert_int_equal(tt_wal_stop(wal, NULL), 0);
    tt_wal_free(wal);
}

static int setup(void **state)
{
    struct matrix *m = TT_NEW(struct matrix);
    build(m);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct matrix *m = *state;
    tt_disk_memory_free(m->memory);
    for (size_t i = 0; i < 3; i++) {
        tt_disk_memory_free(m->stale[i]);
    }
    tt_free(m);
    return 0;
}

/* `damaged` is freed. */
static void expect_intact_or_refused(struct matrix *m, struct tt_disk_memory *damaged,
                                     const char *path, const char *how, size_t at)
{
    const struct tt_wal_config config = log_config(damaged);
    struct tt_wal *wal = NULL;
    struct tt_wal_recovered found;
    int r = tt_wal_open(&config, &wal, &found, NULL);
    if (r == 0) {
        m->intact++;
        if (found.term != 2 || found.voted_for != 3 || found.first_index != KEEP ||
            found.last_index != LAST || found.snapshot.index != SNAPSHOT) {
            fail_msg("%s %s at %zu: accepted with entries %llu to %llu", path, how, at,
                     (unsigned long long)found.first_index, (unsigned long long)found.last_index);
        }
        log_expect(wal, KEEP, LAST, 2);
    } else {
        m->refused++;
        if (r != TT_ECORRUPT || found.verdict != TT_WAL_CORRUPT || found.reason[0] == 0) {
            fail_msg("%s %s at %zu: %s, not a verdict", path, how, at, tt_err_name(r));
        }
    }
    tt_wal_free(wal);
    tt_disk_memory_free(damaged);
}

static void report(struct matrix *m, const char *what)
{
    print_message("%s: %zu intact, %zu refused\n", what, m->intact, m->refused);
    assert_true(m->refused > 0);
}

static void a_flipped_bit_is_never_accepted(void **state)
{
    struct matrix *m = *state;
    /* Within a sector: CRC, index, count, batch number, batch header, record, payload, the end. */
    static const size_t places[] = {0, 4, 6, 8, 16, 24, 28, 32, 40, 64, 300, 511};
    const char *path = NULL;
    for (size_t i = 0; (path = tt_disk_memory_path(m->memory, i)) != NULL; i++) {
        size_t size = 0;
        (void)tt_disk_memory_bytes(m->memory, path, &size);
        for (size_t sector = 0; sector < size; sector += 512) {
            /* All places in turn rather than all of each: 12 sectors cover the matrix once. */
            size_t at = sector + places[sector / 512 % (sizeof places / sizeof *places)];
            struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
            tt_disk_memory_bytes(damaged, path, &size)[at] ^= (uint8_t)(1u << (at % 8));
            size_t intact = m->intact;
            expect_intact_or_refused(m, damaged, path, "flip", at);
            bool segment = strstr(path, "segment") != NULL;
            if (segment && m->intact != intact) {
                fail_msg("%s: a flip at %zu went unnoticed", path, at);
            }
        }
    }
    report(m, "flip");
}

static void zeroed_sectors_are_never_accepted_as_the_end(void **state)
{
    struct matrix *m = *state;
    static const size_t lengths[] = {512, 4096, 20 << 10};
    const char *path = NULL;
    for (size_t i = 0; (path = tt_disk_memory_path(m->memory, i)) != NULL; i++) {
        size_t size = 0;
        (void)tt_disk_memory_bytes(m->memory, path, &size);
        for (size_t at = 0; at < size; at += 512) {
            struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
            size_t length = lengths[at / 512 % 3];
            length = length < size - at ? length : size - at;
            memset(tt_disk_memory_bytes(damaged, path, &size) + at, 0, length);
            expect_intact_or_refused(m, damaged, path, "zero", at);
        }
        struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
        memset(tt_disk_memory_bytes(damaged, path, &size), 0, size);
        expect_intact_or_refused(m, damaged, path, "zero all", 0);
    }
    report(m, "zero");
}

static void cut_and_removed_files_are_refused(void **state)
{
    struct matrix *m = *state;
    const char *path = NULL;
    for (size_t i = 0; (path = tt_disk_memory_path(m->memory, i)) != NULL; i++) {
        size_t size = 0;
        const uint8_t *bytes = tt_disk_memory_bytes(m->memory, path, &size);
        for (size_t cut = 0; cut < size; cut += 1021) {
            struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
            tt_disk_memory_put(damaged, path, bytes, cut);
            expect_intact_or_refused(m, damaged, path, "cut", cut);
        }
        struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
        assert_int_equal(tt_disk_unlink(tt_disk_memory_disk(damaged), path, NULL), 0);
        expect_intact_or_refused(m, damaged, path, "removed", 0);
    }
    assert_int_equal(m->intact, 0);
    report(m, "cut");
}

static void swapped_files_are_refused(void **state)
{
    struct matrix *m = *state;
    const char *a = NULL;
    const char *b = NULL;
    for (size_t i = 0; (a = tt_disk_memory_path(m->memory, i)) != NULL; i++) {
        for (size_t j = i + 1; (b = tt_disk_memory_path(m->memory, j)) != NULL; j++) {
            size_t a_size = 0;
            size_t b_size = 0;
            const uint8_t *a_bytes = tt_disk_memory_bytes(m->memory, a, &a_size);
            const uint8_t *b_bytes = tt_disk_memory_bytes(m->memory, b, &b_size);
            struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
            tt_disk_memory_put(damaged, a, b_bytes, b_size);
            tt_disk_memory_put(damaged, b, a_bytes, a_size);
            expect_intact_or_refused(m, damaged, a, "swap", j);
            damaged = tt_disk_memory_clone(m->memory);
            tt_disk_memory_put(damaged, a, b_bytes, b_size);
            expect_intact_or_refused(m, damaged, a, "copy", j);
        }
    }
    assert_int_equal(m->intact, 0);
    report(m, "swap");
}

static void stale_copies_never_shorten_the_log(void **state)
{
    struct matrix *m = *state;
    for (size_t s = 0; s < 3; s++) {
        const char *path = NULL;
        for (size_t i = 0; (path = tt_disk_memory_path(m->stale[s], i)) != NULL; i++) {
            size_t size = 0;
            const uint8_t *bytes = tt_disk_memory_bytes(m->stale[s], path, &size);
            struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
            tt_disk_memory_put(damaged, path, bytes, size);
            expect_intact_or_refused(m, damaged, path, "stale", s);
            /* One stale sector at a time, too. */
            size_t now_size = 0;
            const uint8_t *now = tt_disk_memory_bytes(m->memory, path, &now_size);
            for (size_t at = 0; now && at + 512 <= size; at += 512) {
                if (memcmp(bytes + at, now + at, 512) != 0) {
                    damaged = tt_disk_memory_clone(m->memory);
                    memcpy(tt_disk_memory_bytes(damaged, path, &now_size) + at, bytes + at, 512);
                    expect_intact_or_refused(m, damaged, path, "stale sector", at);
                }
            }
        }
    }
    report(m, "stale");
}

static void damage_in_several_places_is_never_accepted(void **state)
{
    struct matrix *m = *state;
    struct tt_rng rng;
    uint64_t seed = tt_random_u64() % 1000000;
    print_message("seed %llu\n", (unsigned long long)seed);
    tt_rng_seed(&rng, seed);
    size_t files = 0;
    while (tt_disk_memory_path(m->memory, files)) {
        files++;
    }
    for (int round = 0; round < 500; round++) {
        struct tt_disk_memory *damaged = tt_disk_memory_clone(m->memory);
        for (uint64_t n = tt_rng_range(&rng, 1, 4); n > 0; n--) {
            const char *path = tt_disk_memory_path(damaged, tt_rng_below(&rng, files));
            size_t size = 0;
            uint8_t *bytes = tt_disk_memory_bytes(damaged, path, &size);
            size_t at = (size_t)tt_rng_below(&rng, size);
            size_t from = (size_t)tt_rng_below(&rng, size);
            size_t length = (size_t)tt_rng_range(&rng, 1, 4096);
            length = length < size - at ? length : size - at;
            length = length < size - from ? length : size - from;
            if (tt_rng_chance(&rng, 0.5)) {
                memmove(bytes + at, bytes + from, length);
            } else {
                memset(bytes + at, (int)tt_rng_below(&rng, 2), length);
            }
        }
        expect_intact_or_refused(m, damaged, "random", "damage", (size_t)round);
    }
    report(m, "random");
}

/* Two lives of one log that diverged (a disk image restored and used again): every sector of both
 * is valid in its place, only the chain tells that they do not belong together. */
static void segments_of_two_histories_are_refused(void **state)
{
    (void)state;
    struct tt_disk_memory *lives[2] = {log_disk_new(), NULL};
    struct tt_wal *wal = log_make(lives[0]);
    assert_int_equal(log_append(wal, 1, 3, 1, NULL), 0);
    assert_int_equal(tt_wal_stop(wal, NULL), 0);
    tt_wal_free(wal);
    lives[1] = tt_disk_memory_clone(lives[0]);
    for (size_t i = 0; i < 2; i++) {
        struct tt_wal_recovered found;
        const char *text = i == 0 ? "one" : "two";
        struct tt_bytes *payload = tt_bytes_new(text, 3);
        struct tt_wal_entry entry = {.index = 4, .term = 1, .type = 1, .payload = payload};
        wal = log_reopen(lives[i], NULL, &found);
        assert_int_equal(tt_wal_stage_entry(wal, &entry, NULL), 0);
        assert_int_equal(log_flush(wal, NULL), 0);
        assert_int_equal(log_append(wal, 5, 120, 1, NULL), 0);
        assert_int_equal(tt_wal_stop(wal, NULL), 0);
        tt_wal_free(wal);
        tt_bytes_unref(payload);
    }
    TT_AUTO_FREE char *path = tt_xasprintf("%s/segment-0000000000000001", LOG_DIR);
    size_t size = 0;
    const uint8_t *other = tt_disk_memory_bytes(lives[1], path, &size);
    tt_disk_memory_put(lives[0], path, other, size);
    const struct tt_wal_config config = log_config(lives[0]);
    struct tt_wal_recovered found;
    assert_int_equal(tt_wal_open(&config, &wal, &found, NULL), TT_ECORRUPT);
    assert_string_equal(found.reason, "a batch does not continue the chain");
    assert_int_equal(found.segment, 2);
    tt_disk_memory_free(lives[0]);
    tt_disk_memory_free(lives[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_never_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroed_sectors_are_never_accepted_as_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(cut_and_removed_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(swapped_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_copies_never_shorten_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_in_several_places_is_never_accepted, setup,
                                        teardown),
        cmocka_unit_test(segments_of_two_histories_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

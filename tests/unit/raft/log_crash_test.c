/* The crash-point sweep of the log: power fails at every single disk operation of a workload with
 * appends, truncations, votes, snapshots, installs, roll-overs and watermarks, and again during
 * some recoveries. What was synced must be there, and at most the one batch under way besides. */
#include "tests/support/effort.h"
#include "tests/unit/raft/log_support.h"

#include <stdio.h>

enum { STEPS = 220, INDEX_MAX = 4096 };

/* What the log must hold. */
struct model {
    uint64_t term;
    uint64_t vote;
    uint64_t first;
    uint64_t last;
    uint64_t snapshot;
    uint64_t terms[INDEX_MAX]; /* of the entries first..last */
};

struct run {
    struct tt_disk_memory *memory;
    struct tt_wal *wal;
    struct tt_rng rng;
    struct model acked;  /* synced */
    struct model staged; /* after the batch under way */
};

static int step_append(struct run *run)
{
    uint64_t count = tt_rng_range(&run->rng, 1, 6);
    struct model *model = &run->staged;
    if (tt_rng_chance(&run->rng, 0.2) && model->last > model->snapshot &&
        model->last >= model->first) {
        uint64_t low = model->snapshot + 1 > model->first ? model->snapshot + 1 : model->first;
        uint64_t from = tt_rng_range(&run->rng, low, model->last);
        int r = tt_wal_stage_truncate(run->wal, from, NULL);
        if (r != 0) {
            return r;
        }
        model->last = from - 1;
        model->term++;
        r = tt_wal_stage_hard_state(run->wal, model->term, 0, NULL);
        model->vote = 0;
        if (r != 0) {
            return r;
        }
    }
    for (uint64_t i = 0; i < count && model->last + 1 < INDEX_MAX; i++) {
        int r = entry_stage(run->wal, model->last + 1, model->term, NULL);
        if (r != 0) {
            return r;
        }
        model->last++;
        model->terms[model->last] = model->term;
    }
    return 0;
}

static int step_snapshot(struct run *run)
{
    struct model *model = &run->staged;
    if (model->last < model->first || model->last <= model->snapshot) {
        return 0;
    }
    struct tt_wal_snapshot snapshot = {.term = model->term};
    snapshot.index = tt_rng_range(&run->rng, model->snapshot + 1, model->last);
    uint64_t keep = snapshot.index > 10 ? snapshot.index - 10 : 1;
    model->snapshot = snapshot.index;
    model->first = keep > model->first ? keep : model->first;
    return tt_wal_stage_snapshot(run->wal, &snapshot, keep, NULL);
}

static int step_install(struct run *run)
{
    struct model *model = &run->staged;
    uint64_t index = model->last + tt_rng_range(&run->rng, 1, 20);
    if (index + 50 > INDEX_MAX) {
        return 0;
    }
    const struct tt_wal_snapshot snapshot = {.index = index, .term = model->term};
    model->snapshot = index;
    model->first = index + 1;
    model->last = index;
    return tt_wal_stage_install(run->wal, &snapshot, NULL);
}

static int step_prepare(struct run *run)
{
    struct tt_wal_prepare job;
    if (!tt_wal_prepare_want(run->wal, &job)) {
        return 0;
    }
    int r = tt_wal_prepare_run(&job, NULL);
    tt_wal_prepare_done(run->wal, &job, r);
    return r;
}

static int step(struct run *run)
{
    uint64_t kind = tt_rng_below(&run->rng, 20);
    int r = 0;
    if (kind < 12) {
        r = step_append(run);
    } else if (kind < 15) {
        run->staged.term++;
        run->staged.vote = 1 + kind % 3;
        r = tt_wal_stage_hard_state(run->wal, run->staged.term, run->staged.vote, NULL);
    } else if (kind == 15) {
        r = step_snapshot(run);
    } else if (kind == 16 && tt_rng_chance(&run->rng, 0.3)) {
        r = step_install(run);
    } else if (kind < 19) {
        return tt_wal_watermark(run->wal, NULL);
    } else {
        return step_prepare(run);
    }
    if (r == 0) {
        r = log_flush(run->wal, NULL);
    }
    if (r == 0) {
        run->acked = run->staged;
    }
    return r;
}

static bool matches(const struct tt_wal_recovered *found, const struct tt_wal *wal,
                    const struct model *model)
{
    if (found->term != model->term || found->voted_for != model->vote ||
        found->first_index != model->first || found->last_index != model->last ||
        found->snapshot.index != model->snapshot) {
        return false;
    }
    for (uint64_t i = model->first; i <= model->last; i++) {
        uint64_t term = 0;
        uint8_t type = 0;
        if (!tt_wal_entry_info(wal, i, &term, &type) || term != model->terms[i]) {
            return false;
        }
    }
    return true;
}

static void check_contents(struct run *run)
{
    for (uint64_t i = run->acked.first; i <= run->acked.last; i++) {
        log_expect(run->wal, i, i, run->acked.terms[i]);
    }
}

/* Power fails, sometimes once more during recovery; then the log must be as acknowledged. */
static void crash_and_recover(struct run *run, uint64_t nth)
{
    tt_wal_free(run->wal);
    run->wal = NULL;
    tt_disk_memory_crash(run->memory, &run->rng);
    const struct tt_wal_config config = log_config(run->memory);
    struct tt_wal_recovered found;
    if (tt_rng_chance(&run->rng, 0.3)) {
        tt_disk_memory_fail_at(run->memory, tt_rng_range(&run->rng, 1, 4), TT_EIO);
        if (tt_wal_open(&config, &run->wal, &found, NULL) == 0) {
            tt_wal_free(run->wal);
            run->wal = NULL;
        }
        assert_int_not_equal(found.verdict, TT_WAL_CORRUPT);
        tt_disk_memory_crash(run->memory, &run->rng);
    }
    int r = tt_wal_open(&config, &run->wal, &found, NULL);
    if (r != 0) {
        fail_msg("crash at operation %llu: %s (segment %llu offset %llu)", (unsigned long long)nth,
                 found.reason, (unsigned long long)found.segment, (unsigned long long)found.offset);
    }
    if (matches(&found, run->wal, &run->staged)) {
        run->acked = run->staged;
    } else if (!matches(&found, run->wal, &run->acked)) {
        fail_msg("crash at operation %llu: the log is not what was acknowledged",
                 (unsigned long long)nth);
    }
    run->staged = run->acked;
    check_contents(run);
}

/* Returns false when the workload ended before the crash. */
static bool sweep_one(uint64_t nth, uint64_t seed)
{
    struct run *run = TT_NEW(struct run);
    tt_rng_seed(&run->rng, seed);
    run->memory = log_disk_new();
    run->wal = log_make(run->memory);
    assert_int_equal(tt_disk_sync_dir(tt_disk_memory_disk(run->memory), ".", NULL), 0);
    run->acked.first = 1;
    run->acked.term = 1;
    assert_int_equal(tt_wal_stage_hard_state(run->wal, 1, 0, NULL), 0);
    assert_int_equal(log_flush(run->wal, NULL), 0);
    run->staged = run->acked;
    tt_disk_memory_fail_at(run->memory, nth, TT_EIO);
    int r = 0;
    for (int i = 0; r == 0 && i < STEPS; i++) {
        r = step(run);
    }
    bool crashed = r != 0;
    if (crashed) {
        crash_and_recover(run, nth);
        for (int i = 0; i < 10; i++) { /* it goes on from there */
            assert_int_equal(step(run), 0);
        }
        crash_and_recover(run, nth);
    }
    tt_wal_free(run->wal);
    tt_disk_memory_free(run->memory);
    tt_free(run);
    return crashed;
}

static void power_may_fail_at_every_operation(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        uint64_t nth = 1;
        while (sweep_one(nth, seed)) {
            nth += TEST_EFFORT(1, 29);
        }
        print_message("seed %llu: crash points up to %llu\n", (unsigned long long)seed,
                      (unsigned long long)nth - 1);
        assert_true(nth > 300);
    }
}

/* A torn write: any subset of the sectors of the last batch. */
static void any_part_of_the_last_batch_may_be_missing(void **state)
{
    (void)state;
    struct tt_rng rng;
    tt_rng_seed(&rng, 1);
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    assert_int_equal(log_append(wal, 1, 5, 1, NULL), 0);
    assert_int_equal(tt_wal_stop(wal, NULL), 0);
    for (uint64_t i = 6; i <= 12; i++) {
        assert_int_equal(entry_stage(wal, i, 1, NULL), 0);
    }
    size_t size = 0;
    TT_AUTO_FREE char *path = tt_xasprintf("%s/segment-0000000000000001", LOG_DIR);
    TT_AUTO_FREE uint8_t *before =
        tt_xmemdup(tt_disk_memory_bytes(memory, path, &size), LOG_SEGMENT);
    assert_int_equal(log_flush(wal, NULL), 0);
    tt_wal_free(wal);
    TT_AUTO_FREE uint8_t *after =
        tt_xmemdup(tt_disk_memory_bytes(memory, path, &size), LOG_SEGMENT);
    size_t torn = 0;
    for (int round = 0; round < 500; round++) {
        struct tt_disk_memory *copy = tt_disk_memory_clone(memory);
        uint8_t *bytes = tt_disk_memory_bytes(copy, path, &size);
        bool missing = false;
        for (size_t at = 0; at < size; at += 512) {
            if (memcmp(before + at, after + at, 512) != 0 && tt_rng_chance(&rng, 0.3)) {
                memcpy(bytes + at, before + at, 512);
                missing = true;
            }
        }
        struct tt_wal_recovered found;
        wal = log_reopen(copy, NULL, &found);
        assert_int_equal(found.last_index, missing ? 5 : 12);
        assert_int_equal(found.verdict, missing ? TT_WAL_TORN_TAIL : TT_WAL_CLEAN);
        torn += missing;
        assert_int_equal(log_append(wal, found.last_index + 1, 40, 1, NULL), 0);
        wal = log_reopen(copy, wal, &found);
        assert_int_equal(found.verdict, TT_WAL_CLEAN);
        assert_int_equal(found.last_index, 40);
        tt_wal_free(wal);
        tt_disk_memory_free(copy);
    }
    assert_true(torn > 400);
    tt_disk_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_may_fail_at_every_operation),
        cmocka_unit_test(any_part_of_the_last_batch_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

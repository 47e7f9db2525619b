/* The log engine by its behaviour: what was synced is found again, in order, nothing else. */
#include "tests/unit/raft/log_support.h"

static void finds_entries_term_and_vote_after_reopening(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    assert_int_equal(tt_wal_stage_hard_state(wal, 3, 2, NULL), 0);
    assert_int_equal(log_append(wal, 1, 20, 3, NULL), 0);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.verdict, TT_WAL_CLEAN);
    assert_int_equal(found.term, 3);
    assert_int_equal(found.voted_for, 2);
    assert_int_equal(found.first_index, 1);
    assert_int_equal(found.last_index, 20);
    log_expect(wal, 1, 20, 3);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void rolls_over_many_segments_and_reads_across_them(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    assert_int_equal(log_append(wal, 1, 600, 1, NULL), 0);
    assert_true(tt_wal_disk_bytes(wal) > 5 * LOG_SEGMENT);
    log_expect(wal, 1, 600, 1);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.last_index, 600);
    log_expect(wal, 1, 600, 1);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void fills_segments_exactly_to_their_end(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    uint64_t index = 1;
    /* One hard state is one sector: the 127 behind the header fill the segment to the byte. */
    for (uint64_t i = 0; i < 4 * (LOG_SEGMENT / 512); i++) {
        assert_int_equal(tt_wal_stage_hard_state(wal, i + 1, 1, NULL), 0);
        assert_int_equal(log_flush(wal, NULL), 0);
        if (i % 100 == 0) {
            wal = log_reopen(memory, wal, &found);
            assert_int_equal(found.term, i + 1);
        }
    }
    assert_int_equal(log_append(wal, index, index, 1, NULL), 0);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.last_index, 1);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void truncation_replaces_the_end(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    assert_int_equal(log_append(wal, 1, 30, 1, NULL), 0);
    assert_int_equal(tt_wal_stage_truncate(wal, 11, NULL), 0);
    assert_int_equal(entry_stage(wal, 11, 2, NULL), 0);
    assert_int_equal(entry_stage(wal, 12, 2, NULL), 0);
    assert_int_equal(log_flush(wal, NULL), 0);
    log_expect(wal, 1, 10, 1);
    log_expect(wal, 11, 12, 2);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.last_index, 12);
    log_expect(wal, 1, 10, 1);
    log_expect(wal, 11, 12, 2);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void entries_truncated_within_their_batch_are_gone(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    assert_int_equal(entry_stage(wal, 1, 1, NULL), 0);
    assert_int_equal(entry_stage(wal, 2, 1, NULL), 0);
    assert_int_equal(tt_wal_stage_truncate(wal, 2, NULL), 0);
    assert_int_equal(entry_stage(wal, 2, 5, NULL), 0);
    assert_int_equal(log_flush(wal, NULL), 0);
    log_expect(wal, 1, 1, 1);
    log_expect(wal, 2, 2, 5);
    wal = log_reopen(memory, wal, &found);
    log_expect(wal, 2, 2, 5);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static struct tt_wal_snapshot snapshot_at(uint64_t index, uint64_t term)
{
    struct tt_wal_snapshot snapshot = {.index = index, .term = term, .handle_size = 4};
    memcpy(snapshot.handle, "hand", 4);
    return snapshot;
}

static size_t file_count(struct tt_disk_memory *memory)
{
    size_t count = 0;
    while (tt_disk_memory_path(memory, count)) {
        count++;
    }
    return count;
}

static void a_synced_snapshot_removes_old_segments(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    assert_int_equal(log_append(wal, 1, 600, 1, NULL), 0);
    size_t before = file_count(memory);
    struct tt_wal_snapshot snapshot = snapshot_at(580, 1);
    assert_int_equal(tt_wal_stage_snapshot(wal, &snapshot, 561, NULL), 0);
    assert_int_equal(tt_wal_watermark(wal, NULL), 0);
    assert_int_equal(file_count(memory), before); /* only staged: nothing goes */
    assert_int_equal(log_flush(wal, NULL), 0);
    for (size_t left = before; tt_wal_watermark_due(wal); left--) {
        assert_int_equal(tt_wal_watermark(wal, NULL), 0);
        assert_int_equal(file_count(memory), left - 1); /* one at a time */
    }
    assert_true(file_count(memory) < 5);
    assert_true(tt_wal_bytes_since_snapshot(wal) < 4096);
    assert_int_equal(tt_wal_plan(wal, 560, 1, &(struct tt_wal_plan){0}, NULL), TT_ENOTFOUND);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.snapshot.index, 580);
    assert_int_equal(found.snapshot.handle_size, 4);
    assert_memory_equal(found.snapshot.handle, "hand", 4);
    assert_int_equal(found.first_index, 561);
    assert_int_equal(found.last_index, 600);
    log_expect(wal, 561, 600, 1);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void an_installed_snapshot_drops_everything_before_it(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_recovered found;
    assert_int_equal(log_append(wal, 1, 300, 1, NULL), 0);
    struct tt_wal_snapshot snapshot = snapshot_at(1000, 4);
    assert_int_equal(tt_wal_stage_install(wal, &snapshot, NULL), 0);
    assert_int_equal(log_flush(wal, NULL), 0);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.first_index, 1001);
    assert_int_equal(found.last_index, 1000);
    assert_int_equal(log_append(wal, 1001, 1100, 4, NULL), 0);
    assert_int_equal(tt_wal_watermark(wal, NULL), 0);
    wal = log_reopen(memory, wal, &found);
    assert_int_equal(found.first_index, 1001);
    assert_int_equal(found.last_index, 1100);
    log_expect(wal, 1001, 1100, 4);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void records_that_cannot_follow_are_refused(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    assert_int_equal(log_append(wal, 1, 5, 2, NULL), 0);
    assert_int_equal(entry_stage(wal, 7, 2, NULL), TT_EINVAL);
    assert_int_equal(entry_stage(wal, 6, 1, NULL), TT_EINVAL);
    assert_int_equal(tt_wal_stage_truncate(wal, 6, NULL), TT_EINVAL);
    assert_int_equal(tt_wal_stage_truncate(wal, 0, NULL), TT_EINVAL);
    assert_int_equal(tt_wal_stage_hard_state(wal, 9, 1, NULL), 0);
    assert_int_equal(tt_wal_stage_hard_state(wal, 8, 1, NULL), TT_EINVAL);
    struct tt_wal_snapshot snapshot = snapshot_at(6, 2);
    assert_int_equal(tt_wal_stage_snapshot(wal, &snapshot, 1, NULL), TT_EINVAL);
    snapshot = snapshot_at(4, 2);
    assert_int_equal(tt_wal_stage_snapshot(wal, &snapshot, 6, NULL), TT_EINVAL);
    assert_int_equal(tt_wal_stage_snapshot(wal, &snapshot, 5, NULL), 0);
    assert_int_equal(tt_wal_stage_truncate(wal, 4, NULL), TT_EINVAL);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void a_full_batch_says_so_and_a_too_large_entry_is_invalid(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    uint64_t index = 1;
    int r = 0;
    while ((r = entry_stage(wal, index, 1, NULL)) == 0) {
        index++;
    }
    assert_int_equal(r, TT_ETOOLARGE);
    assert_true(index > 40);
    assert_int_equal(log_flush(wal, NULL), 0);
    assert_int_equal(entry_stage(wal, index, 1, NULL), 0);
    assert_int_equal(log_flush(wal, NULL), 0);
    log_expect(wal, 1, index, 1);
    uint8_t *data = NULL;
    struct tt_bytes *large = tt_bytes_new_uninit(LOG_SEGMENT, &data);
    memset(data, 1, LOG_SEGMENT);
    struct tt_wal_entry entry = {.index = index + 1, .term = 1, .type = 1, .payload = large};
    assert_int_equal(tt_wal_stage_entry(wal, &entry, NULL), TT_EINVAL);
    tt_bytes_unref(large);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void unsynced_entries_cannot_be_read(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_plan plan;
    assert_int_equal(entry_stage(wal, 1, 1, NULL), 0);
    assert_int_equal(tt_wal_plan(wal, 1, 1, &plan, NULL), TT_ENOTFOUND);
    assert_int_equal(tt_wal_write(wal, NULL), 0);
    assert_int_equal(tt_wal_plan(wal, 1, 1, &plan, NULL), TT_ENOTFOUND);
    assert_int_equal(tt_wal_sync(wal, NULL), 0);
    log_expect(wal, 1, 1, 1);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void a_failed_sync_kills_the_log(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    assert_int_equal(log_append(wal, 1, 3, 1, NULL), 0);
    assert_int_equal(entry_stage(wal, 4, 1, NULL), 0);
    tt_disk_memory_fail_at(memory, 2, TT_EIO);
    assert_int_equal(tt_wal_write(wal, NULL), 0);
    assert_int_equal(tt_wal_sync(wal, NULL), TT_EIO);
    assert_int_equal(tt_wal_sync(wal, NULL), TT_EIO);
    assert_int_equal(entry_stage(wal, 5, 1, NULL), TT_EIO);
    assert_int_equal(tt_wal_stop(wal, NULL), TT_EIO);
    assert_false(tt_wal_watermark_due(wal));
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void prepared_segments_are_used_without_filling_them_again(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    struct tt_wal *wal = log_make(memory);
    struct tt_wal_prepare job;
    for (uint64_t number = 2; number <= 3; number++) {
        assert_true(tt_wal_prepare_want(wal, &job));
        assert_int_equal(job.number, number);
        assert_false(tt_wal_prepare_want(wal, &(struct tt_wal_prepare){0}));
        assert_int_equal(tt_wal_prepare_run(&job, NULL), 0);
        tt_wal_prepare_done(wal, &job, 0);
    }
    assert_false(tt_wal_prepare_want(wal, &job));
    uint64_t bytes = tt_wal_disk_bytes(wal);
    assert_int_equal(bytes, 3 * LOG_SEGMENT);
    assert_int_equal(log_append(wal, 1, 100, 1, NULL), 0);
    assert_int_equal(tt_wal_disk_bytes(wal), bytes);
    assert_true(tt_wal_prepare_want(wal, &job));
    assert_int_equal(job.number, 4);
    tt_wal_prepare_done(wal, &job, TT_ENOSPACE);
    log_expect(wal, 1, 100, 1);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

static void bootstrap_entries_are_there(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = log_disk_new();
    const struct tt_wal_config config = log_config(memory);
    struct tt_wal_entry first = entry_make(1, 1);
    assert_int_equal(tt_wal_bootstrap(&config, &first, 1, NULL), 0);
    tt_bytes_unref(first.payload);
    struct tt_wal_recovered found;
    struct tt_wal *wal = log_reopen(memory, NULL, &found);
    assert_int_equal(found.term, 0);
    assert_int_equal(found.last_index, 1);
    log_expect(wal, 1, 1, 1);
    tt_wal_free(wal);
    tt_disk_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_entries_term_and_vote_after_reopening),
        cmocka_unit_test(rolls_over_many_segments_and_reads_across_them),
        cmocka_unit_test(fills_segments_exactly_to_their_end),
        cmocka_unit_test(truncation_replaces_the_end),
        cmocka_unit_test(entries_truncated_within_their_batch_are_gone),
        cmocka_unit_test(a_synced_snapshot_removes_old_segments),
        cmocka_unit_test(an_installed_snapshot_drops_everything_before_it),
        cmocka_unit_test(records_that_cannot_follow_are_refused),
        cmocka_unit_test(a_full_batch_says_so_and_a_too_large_entry_is_invalid),
        cmocka_unit_test(unsynced_entries_cannot_be_read),
        cmocka_unit_test(a_failed_sync_kills_the_log),
        cmocka_unit_test(prepared_segments_are_used_without_filling_them_again),
        cmocka_unit_test(bootstrap_entries_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

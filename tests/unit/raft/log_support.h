/* What the log tests share: a log in memory with small segments, and entries whose contents follow
 * from index and term, so that reading them back proves them.
 *
 * Ownership: the caller frees what the functions return. Thread: one. Errors: cmocka assertions. */
#ifndef TESTS_UNIT_RAFT_LOG_SUPPORT_H
#define TESTS_UNIT_RAFT_LOG_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "raft/disk_memory.h"
#include "raft/log.h"

#define LOG_DIR "log"
enum { LOG_SEGMENT = TT_WAL_SEGMENT_SIZE_MIN };

static inline struct tt_wal_config log_config(struct tt_disk_memory *memory)
{
    return (struct tt_wal_config){.disk = tt_disk_memory_disk(memory),
                                  .dir = LOG_DIR,
                                  .segment_size = LOG_SEGMENT,
                                  .log_id = 77};
}

static inline size_t entry_size(uint64_t index, uint64_t term)
{
    return (size_t)(index * 7919 + term * 104729) % 1500;
}

static inline struct tt_wal_entry entry_make(uint64_t index, uint64_t term)
{
    size_t size = entry_size(index, term);
    uint8_t *data = NULL;
    struct tt_bytes *payload = tt_bytes_new_uninit(size, &data);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(index * 31 + term * 17 + i);
    }
    return (struct tt_wal_entry){.index = index, .term = term, .type = 1, .payload = payload};
}

static inline int entry_stage(struct tt_wal *wal, uint64_t index, uint64_t term, struct tt_err *err)
{
    struct tt_wal_entry entry = entry_make(index, term);
    int r = tt_wal_stage_entry(wal, &entry, err);
    tt_bytes_unref(entry.payload);
    return r;
}

static inline int log_flush(struct tt_wal *wal, struct tt_err *err)
{
    int r = tt_wal_write(wal, err);
    return r != 0 ? r : tt_wal_sync(wal, err);
}

/* One entry per batch from..to. */
static inline int log_append(struct tt_wal *wal, uint64_t from, uint64_t to, uint64_t term,
                             struct tt_err *err)
{
    int r = 0;
    for (uint64_t index = from; r == 0 && index <= to; index++) {
        r = entry_stage(wal, index, term, err);
        if (r == 0) {
            r = log_flush(wal, err);
        }
    }
    return r;
}

static inline struct tt_disk_memory *log_disk_new(void)
{
    struct tt_disk_memory *memory = tt_disk_memory_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    assert_int_equal(tt_disk_mkdir(disk, LOG_DIR, NULL), 0);
    return memory;
}

/* A fresh log, opened. */
static inline struct tt_wal *log_make(struct tt_disk_memory *memory)
{
    const struct tt_wal_config config = log_config(memory);
    struct tt_wal *wal = NULL;
    struct tt_wal_recovered found;
    assert_int_equal(tt_wal_bootstrap(&config, NULL, 0, NULL), 0);
    assert_int_equal(tt_wal_open(&config, &wal, &found, NULL), 0);
    assert_int_equal(found.verdict, TT_WAL_CLEAN);
    return wal;
}

static inline struct tt_wal *log_reopen(struct tt_disk_memory *memory, struct tt_wal *wal,
                                        struct tt_wal_recovered *ret)
{
    const struct tt_wal_config config = log_config(memory);
    tt_wal_free(wal);
    wal = NULL;
    struct tt_err err;
    tt_err_init(&err);
    if (tt_wal_open(&config, &wal, ret, &err) != 0) {
        fail_msg("open: %s", tt_err_cause(&err));
    }
    return wal;
}

/* Reads from..to back from the disk and compares; all of one term. */
static inline void log_expect(struct tt_wal *wal, uint64_t from, uint64_t to, uint64_t term)
{
    static struct tt_wal_entry entries[TT_WAL_READ_COUNT_MAX];
    while (from <= to) {
        struct tt_wal_plan plan;
        assert_int_equal(tt_wal_plan(wal, from, 64 << 10, &plan, NULL), 0);
        assert_int_equal(tt_wal_read(&plan, entries, NULL), 0);
        for (size_t i = 0; i < plan.count; i++, from++) {
            if (from <= to) {
                struct tt_wal_entry expected = entry_make(from, term);
                size_t size = entries[i].payload ? entries[i].payload->size : 0;
                assert_int_equal(entries[i].index, from);
                assert_int_equal(entries[i].term, term);
                assert_int_equal(entries[i].type, 1);
                assert_int_equal(size, expected.payload->size);
                if (size > 0) {
                    assert_memory_equal(entries[i].payload->ptr, expected.payload->ptr, size);
                }
                tt_bytes_unref(expected.payload);
            }
            tt_bytes_unref(entries[i].payload);
        }
        tt_wal_plan_fini(&plan);
    }
}

#endif

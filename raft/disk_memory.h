/* A disk in memory that crashes like a real one, for simulation, sweeps and fuzzing.
 *
 * It keeps what is durable apart from what was only written: a crash keeps a random subset of the
 * unsynced 512-byte sectors, either the old or the new size of a file, and a random prefix of the
 * names that were not synced (file systems journal names in order; sync_dir makes durable all names
 * up to the last change in that directory).
 *
 * Ownership: owns everything; opened files end with close or with the disk. Thread: one.
 * Errors: as ordered by fail_at; TT_ENOTFOUND, TT_EEXISTS. */
#ifndef RAFT_DISK_MEMORY_H
#define RAFT_DISK_MEMORY_H

#include "base/mem.h"
#include "base/rng.h"
#include "raft/disk.h"

struct tt_disk_memory;
struct tt_disk_memory *tt_disk_memory_new(void);
void tt_disk_memory_free(struct tt_disk_memory *memory); /* no file may be open */
TT_DEFINE_AUTO(tt_disk_memory)
const struct tt_disk *tt_disk_memory_disk(struct tt_disk_memory *memory);

/* Operations that change something (write, sync, create, rename, unlink, mkdir, sync_dir). */
uint64_t tt_disk_memory_op_count(const struct tt_disk_memory *memory);
/* The nth (1-based) such operation from now on fails with `code`: it may or may not have happened.
 * From then on every operation fails, until crash. 0 = never. */
void tt_disk_memory_fail_at(struct tt_disk_memory *memory, uint64_t nth, int code);
/* The machine loses power and comes back. Files that were open may only be closed. */
void tt_disk_memory_crash(struct tt_disk_memory *memory, struct tt_rng *rng);
void tt_disk_memory_set_free_space(struct tt_disk_memory *memory, uint64_t bytes);

/* For tests that damage files. Copies everything as it is seen now, all of it durable. */
struct tt_disk_memory *tt_disk_memory_clone(const struct tt_disk_memory *memory);
/* Borrowed until the file changes size; NULL when there is none. */
uint8_t *tt_disk_memory_bytes(struct tt_disk_memory *memory, const char *path, size_t *ret_size);
/* Bits that turned over by themselves: those of `mask`, in what is seen and in what is durable. */
void tt_disk_memory_rot(struct tt_disk_memory *memory, const char *path, size_t offset,
                        uint8_t mask);
/* Makes or replaces a file, durable at once. */
void tt_disk_memory_put(struct tt_disk_memory *memory, const char *path, const void *bytes,
                        size_t size);
/* Full paths of all files, in order of creation; NULL behind the last. Borrowed. */
const char *tt_disk_memory_path(const struct tt_disk_memory *memory, size_t i);

#endif

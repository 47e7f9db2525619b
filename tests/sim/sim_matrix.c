/* The corruption matrix of three members: every kind of file × every kind of damage × every class
 * of place, on one member of a running cluster that has logs of several segments and snapshots.
 *
 * The damaged member was stopped cleanly, so that all of its log lies below the watermark: what is
 * cut off or zeroed there is lost data, not a torn write. The verdict: it refuses to start (then it
 * is replaced), or it starts with every term, vote and entry that was durable (sim_check_restart).
 * Either way the three must be able to write again. A file that the member does not have now, or
 * damage that leaves it as it was, is counted as nothing done. */
#include "tests/sim/sim_matrix.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_client.h"
#include "tests/sim/sim_nemesis.h"
#include "tests/sim/sim_run.h"

enum { FILL_STEPS = 24, FILL_STEP_MS = 400, WHOLE_STEPS = 40, FILES_MAX = 64, SEEDS_PER_CELL = 6 };

enum file_kind {
    FILE_SEGMENT_FIRST,
    FILE_SEGMENT_MIDDLE,
    FILE_SEGMENT_LAST,
    FILE_WATERMARK,
    FILE_SNAPSHOT_NEWEST,
    FILE_SNAPSHOT_OLDER,
    FILE_IDENTITY,
    FILE_KINDS
};
enum damage_kind { DAMAGE_FLIP, DAMAGE_ZERO, DAMAGE_CUT, DAMAGE_SWAP, DAMAGE_STALE, DAMAGE_KINDS };
enum place { PLACE_BEGIN, PLACE_SECOND_SECTOR, PLACE_MIDDLE, PLACE_END_OF_USED, PLACE_END, PLACES };

struct cell {
    enum file_kind file;
    enum damage_kind damage;
    enum place place;
};

static const char *const FILE_NAMES[FILE_KINDS] = {
    "first segment",   "middle segment", "last segment", "watermark",
    "newest snapshot", "older snapshot", "identity"};
static const char *const DAMAGE_NAMES[DAMAGE_KINDS] = {"flip", "zero", "cut", "swap", "stale copy"};
static const char *const PLACE_NAMES[PLACES] = {"begin", "second sector", "middle", "end of used",
                                                "end"};

struct paths {
    const char *list[FILES_MAX];
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Files whose path has `part`, in order of their names. */
static struct paths paths_with(struct tt_disk_memory *disk, const char *part)
{
    struct paths paths = {.count = 0};
    const char *path = NULL;
    for (size_t i = 0; (path = tt_disk_memory_path(disk, i)) != NULL; i++) {
        if (strstr(path, part) && paths.count < FILES_MAX) {
            paths.list[paths.count++] = path;
        }
    }
    qsort(paths.list, paths.count, sizeof paths.list[0], by_name);
    return paths;
}

/* The file of this kind and, to swap it with, another one like it; NULL when there is none. */
static const char *find_file(struct tt_disk_memory *disk, enum file_kind kind,
                             const char **ret_other)
{
    static const char *const parts[FILE_KINDS] = {"/segment-",  "/segment-",  "/segment-",
                                                  "/watermark", "/snapshot-", "/snapshot-",
                                                  "/identity"};
    struct paths paths = paths_with(disk, parts[kind]);
    size_t last = paths.count - 1;
    size_t i = 0;
    *ret_other = NULL;
    if (paths.count == 0) {
        return NULL;
    }
    if (kind == FILE_SEGMENT_LAST || kind == FILE_SNAPSHOT_NEWEST) {
        i = last;
    } else if (kind == FILE_SEGMENT_MIDDLE) {
        i = paths.count / 2;
    }
    if (paths.count > 1) {
        *ret_other = paths.list[i == last ? i - 1 : i + 1];
    }
    return paths.list[i];
}

static size_t used_size(const uint8_t *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    return size;
}

static size_t offset_of(enum place place, size_t used, size_t size)
{
    switch (place) {
    case PLACE_BEGIN:
        return 0;
    case PLACE_SECOND_SECTOR:
        return tt_size_min(TT_DISK_SECTOR_SIZE, used - 1);
    case PLACE_MIDDLE:
        return used / 2;
    case PLACE_END_OF_USED:
        return used - 1;
    case PLACE_END:
    case PLACES:
        break;
    }
    return size - 1;
}

static void swap_files(struct tt_disk_memory *disk, const char *a, const char *b)
{
    size_t size_a = 0;
    size_t size_b = 0;
    const uint8_t *bytes = tt_disk_memory_bytes(disk, a, &size_a);
    void *copy_a = tt_xmemdup(bytes, size_a);
    bytes = tt_disk_memory_bytes(disk, b, &size_b);
    void *copy_b = tt_xmemdup(bytes, size_b);
    TT_AUTO_FREE char *path_a = tt_xstrdup(a); /* the disk's own names go away in between */
    TT_AUTO_FREE char *path_b = tt_xstrdup(b);
    tt_disk_memory_put(disk, path_a, copy_b, size_b);
    tt_disk_memory_put(disk, path_b, copy_a, size_a);
    tt_free(copy_a);
    tt_free(copy_b);
}

static bool put_stale(struct tt_disk_memory *disk, struct tt_disk_memory *old, const char *path)
{
    size_t size = 0;
    const uint8_t *bytes = tt_disk_memory_bytes(old, path, &size);
    TT_AUTO_FREE char *name = tt_xstrdup(path);
    if (bytes) {
        tt_disk_memory_put(disk, name, bytes, size);
    }
    return bytes != NULL;
}

/* False: there was nothing to damage. */
static bool apply_damage(struct tt_disk_memory *disk, struct tt_disk_memory *old,
                         const struct cell *cell)
{
    const char *other = NULL;
    const char *path = find_file(disk, cell->file, &other);
    size_t size = 0;
    uint8_t *bytes = path ? tt_disk_memory_bytes(disk, path, &size) : NULL;
    size_t used = bytes ? used_size(bytes, size) : 0;
    if (used == 0) {
        return false;
    }
    size_t at = offset_of(cell->place, used, size);
    if (cell->damage == DAMAGE_SWAP) {
        if (other) {
            swap_files(disk, path, other);
        }
        return other != NULL;
    }
    if (cell->damage == DAMAGE_STALE) {
        return put_stale(disk, old, path);
    }
    TT_AUTO_FREE char *name = tt_xstrdup(path);
    if (cell->damage == DAMAGE_FLIP) {
        tt_disk_memory_rot(disk, name, at, 0x10);
        return true;
    }
    uint8_t *copy = tt_xmemdup(bytes, size);
    if (cell->damage == DAMAGE_ZERO) {
        memset(copy + at, 0, tt_size_min(TT_DISK_SECTOR_SIZE, size - at));
    }
    tt_disk_memory_put(disk, name, copy, cell->damage == DAMAGE_CUT ? at : size);
    tt_free(copy);
    return true;
}

/* Several segments and snapshots on all three. */
static struct tt_disk_memory *fill(struct sim *sim, struct sim_server *victim)
{
    struct tt_disk_memory *old = NULL;
    for (int i = 0; i < FILL_STEPS && !sim->failed; i++) {
        struct sim_server *leader = sim_leader(sim);
        if (leader) {
            sim_client_burst(sim, leader);
        }
        sim_run(sim, sim->now_us + FILL_STEP_MS * SIM_MS);
        if (i == (sim->options.seed % 2 != 0 ? FILL_STEPS - 2 : FILL_STEPS / 2)) {
            old = tt_disk_memory_clone(victim->memory);
        }
    }
    for (int i = 0; i < WHOLE_STEPS && !sim->failed && !sim_rot_whole(sim); i++) {
        sim_run(sim, sim->now_us + FILL_STEP_MS * SIM_MS);
    }
    return old;
}

/* ret_done: the damage was done. */
static void run_cell(const struct cell *cell, uint64_t seed, struct sim_report *ret, bool *ret_done)
{
    const struct sim_options options = {.seed = seed, .voter_count = 3};
    struct sim *sim = sim_begin(&options);
    struct sim_server *victim = &sim->servers[seed % 3];
    sim->rots = true;
    struct tt_disk_memory *old = fill(sim, victim);
    *ret_done = false;
    if (!sim->failed && victim->running) {
        int r = tt_wal_stop(victim->wal, NULL);
        TT_ASSERT(r == 0);
        sim_server_stop(victim, UINT32_MAX);
        *ret_done = apply_damage(victim->memory, old, cell);
        victim->rotten = true;
        victim->fault_expected = true;
        sim_server_start(victim);
        sim_run(sim, sim->now_us + 2000 * SIM_MS);
        sim_nemesis_heal(sim);
    }
    tt_disk_memory_free(old);
    sim_end(sim, ret);
}

struct sums {
    uint64_t cells;
    uint64_t failed;
    uint64_t refused[FILE_KINDS][DAMAGE_KINDS];
    uint64_t intact[FILE_KINDS][DAMAGE_KINDS];
    uint64_t nothing[FILE_KINDS][DAMAGE_KINDS];
};

static void try_cell(const struct cell *cell, uint64_t seed, struct sums *sums)
{
    struct sim_report report;
    bool done = false;
    run_cell(cell, seed, &report, &done);
    sums->cells++;
    uint64_t(*sum)[DAMAGE_KINDS] = sums->nothing;
    if (done) {
        sum = report.refused_count > 0 ? sums->refused : sums->intact;
    }
    sum[cell->file][cell->damage]++;
    if (report.failed) {
        sums->failed++;
        printf("%s, %s, %s, seed %llu: VIOLATION %s\n", FILE_NAMES[cell->file],
               DAMAGE_NAMES[cell->damage], PLACE_NAMES[cell->place], (unsigned long long)seed,
               report.text);
    }
}

/* What must be noticed whatever the place: a test that never sees a refusal proves nothing. */
static bool must_refuse(enum file_kind file, enum damage_kind damage)
{
    bool log = file == FILE_SEGMENT_FIRST || file == FILE_SEGMENT_MIDDLE;
    return damage != DAMAGE_STALE && (log || file == FILE_SEGMENT_LAST || file == FILE_IDENTITY) &&
           (damage != DAMAGE_SWAP || log);
}

int sim_matrix(void)
{
    struct sums sums = {.cells = 0};
    for (unsigned i = 0; i < FILE_KINDS * DAMAGE_KINDS * PLACES * SEEDS_PER_CELL; i++) {
        unsigned n = i / SEEDS_PER_CELL;
        const struct cell cell = {.file = n / PLACES / DAMAGE_KINDS,
                                  .damage = n / PLACES % DAMAGE_KINDS,
                                  .place = n % PLACES};
        try_cell(&cell, i + 1, &sums);
    }
    for (unsigned file = 0; file < FILE_KINDS; file++) {
        for (unsigned damage = 0; damage < DAMAGE_KINDS; damage++) {
            printf("%-16s %-10s refused %llu, intact %llu, nothing there %llu\n", FILE_NAMES[file],
                   DAMAGE_NAMES[damage], (unsigned long long)sums.refused[file][damage],
                   (unsigned long long)sums.intact[file][damage],
                   (unsigned long long)sums.nothing[file][damage]);
            if (must_refuse(file, damage) && sums.refused[file][damage] == 0) {
                printf("VIOLATION this was never noticed\n");
                sums.failed++;
            }
        }
    }
    printf("%llu cells, %llu violations\n", (unsigned long long)sums.cells,
           (unsigned long long)sums.failed);
    return sums.failed > 0 ? 1 : 0;
}

/* See history.h. Compaction drops whole chunks; the changes of a chunk that is cut in the middle
 * stay in memory until the rest of it goes, but no version with the new mark shows them.
 */
#include "server/store/history.h"

#include "base/intmath.h"

static uint64_t number_of(uint64_t revision)
{
    return revision / STORE_CHUNK_CHANGES;
}

static struct store_chunk *chunk_new(struct store_tree_writer *writer, uint64_t revision)
{
    struct store_chunk *chunk = tt_xmalloc(sizeof *chunk);
    chunk->garbage = (struct store_garbage){.kind = STORE_GARBAGE_CHUNK};
    chunk->garbage.birth = writer->batch & ((UINT64_C(1) << 56) - 1);
    chunk->number = number_of(revision);
    chunk->first = (uint32_t)(revision % STORE_CHUNK_CHANGES);
    chunk->end = chunk->first;
    chunk->time_ms = 0;
    chunk->bytes = 0;
    return chunk;
}

static struct store_directory *directory_new(struct store_tree_writer *writer,
                                             uint64_t first_number, size_t capacity)
{
    struct store_directory *directory =
        tt_xcalloc(1, sizeof *directory + capacity * sizeof directory->chunks[0]);
    directory->garbage = (struct store_garbage){.kind = STORE_GARBAGE_DIRECTORY};
    directory->garbage.birth = writer->batch & ((UINT64_C(1) << 56) - 1);
    directory->first_number = first_number;
    directory->capacity = capacity;
    return directory;
}

/* A new directory with room behind the chunks that are kept. */
static void directory_renew(struct store_history *history, struct store_tree_writer *writer)
{
    struct store_directory *old = history->directory;
    uint64_t next = history->revision + 1;
    if (!old || history->compacted == history->revision) {
        history->directory = directory_new(writer, number_of(next), 64);
        if (old && next % STORE_CHUNK_CHANGES != 0 && number_of(next) >= old->first_number &&
            number_of(next) - old->first_number < old->capacity) {
            history->directory->chunks[0] = old->chunks[number_of(next) - old->first_number];
        }
    } else {
        uint64_t first = number_of(history->compacted + 1);
        size_t used = (size_t)(number_of(history->revision) - first + 1);
        history->directory = directory_new(writer, first, 2 * used + 64);
        memcpy(history->directory->chunks, old->chunks + (first - old->first_number),
               used * sizeof old->chunks[0]);
    }
    if (old) {
        store_tree_retire(writer, &old->garbage);
    }
}

void store_history_append(struct store_history *history, struct store_tree_writer *writer,
                          const struct tt_item *item, struct store_item *prev, uint64_t time_ms)
{
    TT_ASSERT(item || prev);
    uint64_t revision = history->revision + 1;
    uint64_t number = number_of(revision);
    if (!history->directory ||
        number - history->directory->first_number >= history->directory->capacity) {
        directory_renew(history, writer);
    }
    struct store_directory *directory = history->directory;
    TT_ASSERT(number >= directory->first_number);
    struct store_chunk **slot = &directory->chunks[number - directory->first_number];
    if (!*slot) {
        *slot = chunk_new(writer, revision);
    }
    struct store_chunk *chunk = *slot;
    TT_ASSERT(chunk->end == revision % STORE_CHUNK_CHANGES && chunk->number == number);
    chunk->changes[chunk->end] = (struct store_change){.item = item, .prev = prev};
    chunk->end++;
    chunk->time_ms = time_ms;
    chunk->bytes += store_history_bytes(prev);
    history->revision = revision;
}

uint64_t store_history_bytes(const struct store_item *prev)
{
    return STORE_HISTORY_OVERHEAD + (prev ? store_item_bytes(&prev->item) : 0);
}

struct store_chunk *store_history_chunk(const struct store_history *history, uint64_t revision)
{
    TT_ASSERT(revision > history->compacted && revision <= history->revision);
    const struct store_directory *directory = history->directory;
    return directory->chunks[number_of(revision) - directory->first_number];
}

const struct store_change *store_history_get(const struct store_history *history, uint64_t revision)
{
    return &store_history_chunk(history, revision)->changes[revision % STORE_CHUNK_CHANGES];
}

uint64_t store_history_compact(struct store_history *history, struct store_tree_writer *writer,
                               uint64_t revision)
{
    TT_ASSERT(revision > history->compacted && revision <= history->revision);
    uint64_t dropped = 0;
    for (uint64_t at = history->compacted + 1; at <= revision;) {
        struct store_chunk *chunk = store_history_chunk(history, at);
        uint64_t next = (chunk->number + 1) * STORE_CHUNK_CHANGES;
        uint64_t last = tt_u64_min(revision, next - 1);
        for (; at <= last; at++) {
            dropped += store_history_bytes(store_history_get(history, at)->prev);
        }
        if (at == next) { /* a chunk that is still appended to never gets here */
            store_tree_retire(writer, &chunk->garbage);
        }
    }
    history->compacted = revision;
    return dropped;
}

/* The chunk numbers in use are [first, last]: false when there are none. The tail chunk counts even
 * when all its changes are compacted, for more will be appended to it. */
static bool chunk_range(const struct store_history *history, uint64_t *ret_first,
                        uint64_t *ret_last)
{
    if (!history->directory) {
        return false;
    }
    *ret_first = number_of(history->compacted + 1);
    *ret_last = number_of(history->revision);
    return *ret_first <= *ret_last;
}

void store_history_collect(const struct store_history *history, struct store_garbage_list *list)
{
    struct store_directory *directory = history->directory;
    uint64_t first;
    uint64_t last;
    if (chunk_range(history, &first, &last)) {
        for (uint64_t i = first; i <= last; i++) {
            if (i >= directory->first_number && directory->chunks[i - directory->first_number]) {
                store_garbage_push(list, &directory->chunks[i - directory->first_number]->garbage);
            }
        }
    }
    if (directory) {
        store_garbage_push(list, &directory->garbage);
    }
}

uint64_t store_history_due(const struct store_history *history, uint64_t bytes_over,
                           uint64_t time_ms_min)
{
    uint64_t due = history->compacted;
    uint64_t freed = 0;
    while (due < history->revision) {
        const struct store_chunk *chunk = store_history_chunk(history, due + 1);
        if (freed >= bytes_over && chunk->time_ms >= time_ms_min) {
            break;
        }
        freed += chunk->bytes;
        due = tt_u64_min(history->revision, (chunk->number + 1) * STORE_CHUNK_CHANGES - 1);
    }
    return due;
}

/* What the store costs: puts, gets and scans per second, memory per million objects, seconds to
 * encode and restore a snapshot. Usage: store_bench [objects [value_size [batch]]]. Prints one JSON
 * object; everything on one thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "server/store/store.h"

struct bench {
    struct tt_store *store;
    struct tt_rng rng;
    uint64_t index;
    uint64_t objects;
    size_t value_size;
    uint64_t batch;
    char *text; /* value_size bytes */
};

/* Processor time, not wall time: the work is one thread's and never waits, and so the figures hold
 * on a busy machine too. */
static double now_s(void)
{
    struct rusage usage;
    int r = getrusage(RUSAGE_SELF, &usage);
    TT_ASSERT(r == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double rss_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0;
    unsigned long resident = 0;
    if (!file) {
        return 0;
    }
    int fields = fscanf(file, "%lu %lu", &total, &resident);
    (void)fclose(file);
    return fields == 2 ? (double)resident * 4096 / 1e6 : 0;
}

static struct tt_str key_of(uint64_t number, char out[80])
{
    /* Spread, as names of objects are. */
    uint64_t spread = number * UINT64_C(0x9e3779b97f4a7c15);
    int n = snprintf(out, 80, "/api/v1/pods/team-%" PRIu64 "/web-%016" PRIx64, number % 50, spread);
    return tt_str(out, (size_t)n);
}

static void put(struct bench *b, uint64_t number, size_t value_size)
{
    char key[80];
    struct tt_txn_op op = {.kind = TT_OP_PUT, .key = key_of(number, key)};
    op.value.codec = TT_CODEC_JSON;
    op.value.bytes = tt_str(b->text, value_size);
    struct tt_txn txn = {.ops = &op, .op_count = 1, .actor = TT_STR("spiffe://bench/user")};
    struct tt_bytes *command = NULL;
    struct tt_apply_result result;
    int r = tt_txn_encode(&txn, &command, NULL);
    TT_ASSERT(r == 0);
    r = tt_store_apply(b->store, ++b->index, tt_str((const char *)command->ptr, command->size),
                       &result, NULL);
    TT_ASSERT(r == 0 && result.code == 0);
    tt_bytes_unref(command);
    if (b->index % b->batch == 0) {
        tt_store_publish(b->store);
        uint64_t due = b->index % 1024 == 0 ? tt_store_compaction_due(b->store) : 0;
        if (due > 0) {
            command = tt_command_compact(due);
            r = tt_store_apply(b->store, ++b->index,
                               tt_str((const char *)command->ptr, command->size), &result, NULL);
            TT_ASSERT(r == 0);
            tt_bytes_unref(command);
        }
    }
}

/* Encoding included, as one thread does both here. */
static double put_rate(struct bench *b, uint64_t count, size_t value_size, bool existing)
{
    double start = now_s();
    for (uint64_t i = 0; i < count; i++) {
        put(b, existing ? tt_rng_below(&b->rng, b->objects) : i, value_size);
    }
    tt_store_publish(b->store);
    return (double)count / (now_s() - start);
}

/* An update as the API makes it: the key is compared and put. No key twice in a window. */
static struct tt_bytes *update_command(struct bench *b, uint64_t number, size_t value_size)
{
    char key[80];
    struct tt_txn_op op = {.kind = TT_OP_PUT, .key = key_of(number % b->objects, key)};
    op.value.codec = TT_CODEC_JSON;
    op.value.bytes = tt_str(b->text, value_size);
    struct tt_version *version = tt_store_version(b->store);
    struct tt_compare compare = {op.key, tt_version_get(version, op.key)->mod_revision};
    tt_version_unref(version);
    struct tt_txn txn = {.compares = &compare,
                         .compare_count = 1,
                         .ops = &op,
                         .op_count = 1,
                         .actor = TT_STR("spiffe://b/user")};
    struct tt_bytes *command = NULL;
    int r = tt_txn_encode(&txn, &command, NULL);
    TT_ASSERT(r == 0);
    return command;
}

/* Applying alone: commands encoded beforehand, `window` at a time. */
static double apply_rate(struct bench *b, uint64_t count, size_t value_size)
{
    enum { WINDOW = 4096, STRIDE = 7919 };
    TT_ASSERT(b->objects > WINDOW);
    struct tt_bytes **commands = tt_xcalloc(WINDOW, sizeof(struct tt_bytes *));
    double spent = 0;
    for (uint64_t done = 0; done < count; done += WINDOW) {
        for (size_t i = 0; i < WINDOW; i++) {
            commands[i] = update_command(b, (done + i) * STRIDE, value_size);
        }
        double start = now_s();
        for (size_t i = 0; i < WINDOW; i++) {
            struct tt_apply_result result;
            int r = tt_store_apply(b->store, ++b->index,
                                   tt_str((const char *)commands[i]->ptr, commands[i]->size),
                                   &result, NULL);
            TT_ASSERT(r == 0 && result.code == 0);
            if (b->index % b->batch == 0) {
                tt_store_publish(b->store);
            }
        }
        tt_store_publish(b->store);
        spent += now_s() - start;
        for (size_t i = 0; i < WINDOW; i++) {
            tt_bytes_unref(commands[i]);
        }
        uint64_t due = tt_store_compaction_due(b->store);
        if (due > 0) {
            struct tt_bytes *command = tt_command_compact(due);
            struct tt_apply_result result;
            start = now_s();
            int r =
                tt_store_apply(b->store, ++b->index,
                               tt_str((const char *)command->ptr, command->size), &result, NULL);
            TT_ASSERT(r == 0);
            spent += now_s() - start;
            tt_bytes_unref(command);
        }
    }
    tt_free(commands);
    tt_store_publish(b->store);
    return (double)count / spent;
}

static double get_rate(struct bench *b, uint64_t count)
{
    char key[80];
    double start = now_s();
    for (uint64_t i = 0; i < count; i++) {
        struct tt_version *version = tt_store_version(b->store);
        const struct tt_item *item =
            tt_version_get(version, key_of(tt_rng_below(&b->rng, b->objects), key));
        TT_ASSERT(item);
        tt_version_unref(version);
    }
    return (double)count / (now_s() - start);
}

static double scan_rate(struct bench *b)
{
    struct tt_version *version = tt_store_version(b->store);
    struct tt_scan *scan = NULL;
    uint64_t count = 0;
    uint64_t bytes = 0;
    double start = now_s();
    int r = tt_scan_new(version, TT_STR_NONE, TT_STR_NONE, 0, &scan, NULL);
    TT_ASSERT(r == 0);
    for (const struct tt_item *item; (item = tt_scan_next(scan));) {
        count++;
        bytes += item->value.bytes.len;
    }
    TT_ASSERT(count == b->objects && bytes > 0);
    tt_scan_free(scan);
    tt_version_unref(version);
    return (double)count / (now_s() - start);
}

static void snapshot(struct bench *b, double *ret_encode_s, double *ret_restore_s, double *ret_mb)
{
    struct tt_version *version = tt_store_version(b->store);
    struct tt_snapshot_writer *writer = tt_snapshot_writer_new(version);
    struct tt_store *copy = tt_store_new();
    struct tt_snapshot_reader *reader = tt_snapshot_reader_new(copy);
    struct tt_buf buf;
    tt_buf_init(&buf, 8 << 20);
    double encode_s = 0;
    double restore_s = 0;
    double mb = 0;
    for (bool done = false; !done;) {
        tt_buf_reset(&buf);
        double start = now_s();
        int r = tt_snapshot_writer_next(writer, 1 << 20, &buf, &done, NULL);
        TT_ASSERT(r == 0);
        double middle = now_s();
        r = tt_snapshot_reader_feed(reader, tt_buf_view(&buf), NULL);
        TT_ASSERT(r == 0);
        restore_s += now_s() - middle;
        encode_s += middle - start;
        mb += (double)buf.len / 1e6;
    }
    int r = tt_snapshot_reader_finish(reader, NULL);
    TT_ASSERT(r == 0 && tt_store_hash(copy) == tt_store_hash(b->store));
    tt_buf_fini(&buf);
    tt_snapshot_reader_free(reader);
    tt_snapshot_writer_free(writer);
    tt_version_unref(version);
    tt_store_free(copy);
    *ret_encode_s = encode_s;
    *ret_restore_s = restore_s;
    *ret_mb = mb;
}

int main(int argc, char **argv)
{
    struct bench b = {
        .store = tt_store_new(),
        .objects = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
        .value_size = argc > 2 ? strtoull(argv[2], NULL, 10) : 1024,
        .batch = argc > 3 ? strtoull(argv[3], NULL, 10) : 64,
    };
    tt_rng_seed(&b.rng, 1);
    b.text = tt_xmalloc(b.value_size + 64);
    memset(b.text, 'x', b.value_size + 64);
    uint64_t count = b.objects < 1000000 ? b.objects : 1000000;
    double create = put_rate(&b, b.objects, b.value_size, false);
    double rss = rss_mb();
    double update = put_rate(&b, count, b.value_size, true);
    double apply_small = apply_rate(&b, count, 64);
    double apply_full = apply_rate(&b, count, b.value_size);
    double rss_after = rss_mb();
    double gets = get_rate(&b, count);
    double scans = scan_rate(&b);
    double encode_s;
    double restore_s;
    double mb;
    snapshot(&b, &encode_s, &restore_s, &mb);
    printf("{\"objects\": %" PRIu64 ", \"value_size\": %zu, \"batch\": %" PRIu64
           ", \"creates_per_s\": %.0f, \"updates_per_s\": %.0f, \"small_applies_per_s\": %.0f, "
           "\"applies_per_s\": %.0f, "
           "\"gets_per_s\": %.0f, \"scan_items_per_s\": %.0f, \"rss_after_create_mb\": %.0f, "
           "\"rss_after_updates_mb\": %.0f, \"snapshot_mb\": %.0f, \"snapshot_encode_s\": %.2f, "
           "\"snapshot_restore_s\": %.2f}\n",
           b.objects, b.value_size, b.batch, create, update, apply_small, apply_full, gets, scans,
           rss, rss_after, mb, encode_s, restore_s);
    tt_free(b.text);
    double start = now_s();
    tt_store_free(b.store);
    fprintf(stderr, "free: %.2f s\n", now_s() - start);
    return 0;
}

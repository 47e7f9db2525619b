/* Snapshot files of a simulated server: what production's worker does, each step an event.
 *
 * Taking pins a version at once and writes it at some later time; reading, staging and installing
 * take a moment each. A crash in between leaves what the simulated disk kept. */
#include <inttypes.h>

#include "tests/sim/sim.h"

#define SNAPSHOT_DIR "snapshots"

static void meta_to_node(const struct tt_snapshot_meta *meta,
                         const struct tt_snapshot_handle *handle, struct tt_node_snapshot *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->index = meta->index;
    ret->term = meta->term;
    ret->config_index = meta->configuration_index;
    TT_ASSERT(meta->configuration.len <= sizeof ret->config);
    ret->config_size = (uint32_t)meta->configuration.len;
    memcpy(ret->config, meta->configuration.ptr, meta->configuration.len);
    ret->file_size = handle->size;
    memcpy(ret->sha256, handle->hash, sizeof ret->sha256);
}

static int write_stream(struct tt_snapshot_file_writer *file, struct tt_version *version,
                        struct tt_err *err)
{
    TT_AUTO(tt_snapshot_writer) writer = tt_snapshot_writer_new(version);
    struct tt_buf out;
    tt_buf_init(&out, 1 << 20);
    bool done = false;
    int r = 0;
    while (r == 0 && !done) {
        tt_buf_reset(&out);
        r = tt_snapshot_writer_next(writer, 32 << 10, &out, &done, err);
        if (r == 0) {
            r = tt_snapshot_file_append(file, tt_buf_view(&out), err);
        }
    }
    tt_buf_fini(&out);
    return r;
}

static int write_file(struct sim_server *server, struct tt_node_snapshot *snapshot,
                      struct tt_err *err)
{
    struct tt_snapshot_meta meta = {
        .index = snapshot->index,
        .term = snapshot->term,
        .configuration_index = snapshot->config_index,
        .revision = tt_version_revision(server->pinned),
        .configuration = tt_str((const char *)snapshot->config, snapshot->config_size),
    };
    TT_AUTO(tt_snapshot_file_writer) file = NULL;
    int r = tt_snapshot_file_create(&server->disk, SNAPSHOT_DIR, &meta, &file, err);
    if (r == 0) {
        r = write_stream(file, server->pinned, err);
    }
    struct tt_snapshot_handle handle;
    if (r == 0) {
        r = tt_snapshot_file_commit(file, &handle, err);
    }
    if (r == 0) {
        snapshot->file_size = handle.size;
        memcpy(snapshot->sha256, handle.hash, sizeof snapshot->sha256);
    }
    return r;
}

static int retain(struct sim_server *server, struct tt_err *err)
{
    struct tt_snapshot_retention retention = {.keep = 2,
                                              .pinned_index = server->durable.snapshot_index};
    return tt_snapshot_file_retain(&server->disk, SNAPSHOT_DIR, &retention, err);
}

static void taken(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    struct tt_err err;
    tt_err_init(&err);
    int r = write_file(server, &server->taking, &err);
    tt_version_unref(TT_TAKE(server->pinned));
    if (r == 0) {
        r = retain(server, &err);
    }
    sim_trace(sim, "%s snapshot %" PRIu64 " taken: %d", server->name, server->taking.index, r);
    server->dirty = true;
    tt_node_snapshot_taken(server->node, &server->taking, r);
}

static void take(void *ctx, const struct tt_node_snapshot *meta)
{
    struct sim_server *server = ctx;
    struct sim *sim = server->sim;
    TT_ASSERT(!server->pinned);
    if (meta->index > server->durable.last_index) {
        sim_fail(sim, "%s takes a snapshot at %" PRIu64 ", its log is durable up to %" PRIu64,
                 server->name, meta->index, server->durable.last_index);
    }
    server->pinned = tt_store_version(server->store.store);
    server->taking = *meta;
    struct tt_node_view view;
    tt_node_view(server->node, &view);
    server->recorded = view.snapshot_index; /* as production does */
    struct sim_event event = {.run = taken, .server = server->slot};
    sim_schedule(sim, sim_between(sim, 1, 500) * SIM_MS, event);
}

static void piece_read(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    struct tt_snapshot_name names[TT_SNAPSHOT_LIST_MAX];
    size_t count = 0;
    uint64_t index = event->a;
    uint64_t offset = event->b;
    uint64_t peer_id = tt_le64_get(event->bytes->ptr);
    TT_AUTO(tt_snapshot_file) file = NULL;
    struct tt_buf out;
    tt_buf_init(&out, TT_SNAPSHOT_PIECE_SIZE_MAX);
    int r = tt_snapshot_file_list(&server->disk, SNAPSHOT_DIR, names, &count, NULL);
    size_t i = 0;
    while (r == 0 && i < count && names[i].index != index) {
        i++;
    }
    if (r == 0) {
        r = i == count ? TT_ENOTFOUND
                       : tt_snapshot_file_open(&server->disk, SNAPSHOT_DIR, index, names[i].term,
                                               &file, NULL);
    }
    if (r == 0) {
        r = tt_snapshot_file_piece(file, offset, 2048, &out, NULL);
    }
    server->dirty = true;
    tt_node_snapshot_piece(server->node, peer_id, index, offset,
                           r == 0 ? tt_bytes_new(out.ptr, out.len) : NULL);
    tt_buf_fini(&out);
}

static void read_piece(void *ctx, uint64_t peer_id, uint64_t index, uint64_t offset)
{
    struct sim_server *server = ctx;
    uint8_t peer[8];
    tt_le64_put(peer, peer_id);
    struct sim_event event = {.run = piece_read,
                              .server = server->slot,
                              .a = index,
                              .b = offset,
                              .bytes = tt_bytes_new(peer, sizeof peer)};
    sim_schedule(server->sim, sim_between(server->sim, 50, 2000), event);
}

static int stage_piece(struct sim_server *server, uint64_t offset, const struct tt_bytes *piece)
{
    const struct tt_node_snapshot *meta = &server->staging;
    struct tt_snapshot_handle handle = {
        .index = meta->index, .term = meta->term, .size = meta->file_size};
    memcpy(handle.hash, meta->sha256, sizeof handle.hash);
    int r = 0;
    if (offset == 0) {
        tt_snapshot_file_receiver_free(TT_TAKE(server->receiver));
        r = tt_snapshot_file_receive(&server->disk, SNAPSHOT_DIR, &handle, &server->receiver, NULL);
    }
    if (r == 0 && !server->receiver) {
        return TT_EINVAL;
    }
    if (r == 0) {
        r = tt_snapshot_file_receiver_append(server->receiver,
                                             tt_str((const char *)piece->ptr, piece->size), NULL);
    }
    if (r == 0 && offset + piece->size == meta->file_size) {
        r = tt_snapshot_file_receiver_commit(server->receiver, NULL);
        tt_snapshot_file_receiver_free(TT_TAKE(server->receiver));
    }
    return r;
}

static void staged(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    int r = stage_piece(server, event->b, event->bytes);
    server->dirty = true;
    tt_node_snapshot_staged(server->node, event->a, event->b + event->bytes->size, r);
}

static void stage(void *ctx, const struct tt_node_snapshot *meta, uint64_t offset,
                  struct tt_bytes *piece)
{
    struct sim_server *server = ctx;
    server->staging = *meta;
    struct sim_event event = {
        .run = staged, .server = server->slot, .a = meta->index, .b = offset, .bytes = piece};
    sim_schedule(server->sim, sim_between(server->sim, 50, 5000), event);
}

/* The newest stream of a file into a fresh store. */
static int restore(struct sim_server *server, struct tt_snapshot_file *file, struct tt_err *err)
{
    struct tt_store *store = tt_store_new();
    struct tt_snapshot_reader *reader = tt_snapshot_reader_new(store);
    struct tt_str chunk = {NULL, 0};
    int r = 0;
    do {
        r = tt_snapshot_file_next(file, &chunk, err);
        if (r == 0 && chunk.len > 0) {
            r = tt_snapshot_reader_feed(reader, chunk, err);
        }
    } while (r == 0 && chunk.len > 0);
    if (r == 0) {
        r = tt_snapshot_reader_finish(reader, err);
    }
    tt_snapshot_reader_free(reader);
    if (r == 0) {
        tt_store_free(server->store.store);
        server->store.store = store;
    } else {
        tt_store_free(store);
    }
    return r;
}

static void installed(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    struct tt_err err;
    tt_err_init(&err);
    TT_AUTO(tt_snapshot_file) file = NULL;
    int r = tt_snapshot_file_open(&server->disk, SNAPSHOT_DIR, event->a, event->b, &file, &err);
    if (r == 0) {
        r = restore(server, file, &err);
    }
    sim_trace(sim, "%s snapshot %" PRIu64 " installed: %d", server->name, event->a, r);
    if (r == 0) {
        sim_check_restored(server, event->a);
    }
    server->dirty = true;
    tt_node_snapshot_installed(server->node, event->a, r);
}

static void install(void *ctx, const struct tt_node_snapshot *meta)
{
    struct sim_server *server = ctx;
    struct sim_event event = {
        .run = installed, .server = server->slot, .a = meta->index, .b = meta->term};
    sim_schedule(server->sim, sim_between(server->sim, 1, 300) * SIM_MS, event);
}

struct tt_node_snapshots sim_snapshots(struct sim_server *server)
{
    return (struct tt_node_snapshots){
        .take = take, .read = read_piece, .stage = stage, .install = install, .ctx = server};
}

bool sim_snapshot_load(struct sim_server *server, const struct tt_wal_snapshot *named,
                       struct tt_node_snapshot *ret)
{
    struct tt_err err;
    tt_err_init(&err);
    TT_AUTO(tt_snapshot_file) file = NULL;
    struct tt_snapshot_name recorded = {.index = named->index, .term = named->term};
    int r = tt_snapshot_file_settle(&server->disk, SNAPSHOT_DIR, &recorded, &err);
    if (r == 0 && named->index > 0) {
        r = tt_snapshot_file_open(&server->disk, SNAPSHOT_DIR, named->index, named->term, &file,
                                  &err);
    }
    if (r == 0 && named->index > 0) {
        struct tt_snapshot_handle handle = tt_snapshot_file_handle(file);
        meta_to_node(tt_snapshot_file_meta(file), &handle, ret);
        r = restore(server, file, &err);
    }
    if (r != 0) {
        char text[256];
        (void)tt_err_format(&err, text, sizeof text);
        sim_fail(server->sim, "server %s: snapshot: %s", server->name, text);
    }
    return r == 0;
}

void sim_snapshot_close(struct sim_server *server)
{
    tt_version_unref(TT_TAKE(server->pinned));
    tt_snapshot_file_receiver_free(TT_TAKE(server->receiver));
}

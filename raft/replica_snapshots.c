/* Snapshots of the production member: files written, read and restored on pool threads, results fed
 * to the node on the core thread.
 *
 *   take:    pin a version (core) → encode into a file (slow pool) → taken
 *   read:    a piece of a file for a peer (pool) → piece
 *   stage:   append a piece to the received file (pool); the last one verifies and commits → staged
 *   install: clear the store (core) → read a chunk (pool) → feed it (core) → … → installed
 * An install is cut into chunks so that the core thread goes on answering peers meanwhile.
 *
 * Each job is one allocation that holds all it needs; while the replica stops, completions still
 * arrive and are only freed. */
#include "base/intmath.h"
#include "base/log.h"
#include "raft/replica_core.h"

enum { ENCODE_PIECE = 64 << 10, KEEP_SNAPSHOTS = 2 };

struct job {
    struct tt_work work;               /* on a pool; its done on the core thread */
    struct tt_list link;               /* core.jobs, while it is out */
    struct replica_core *replica;      /* kept: jobs are waited for */
    struct tt_node_snapshot meta;      /* of the snapshot that it is about */
    struct tt_version *version;        /* take: pinned */
    uint64_t recorded_index;           /* take: the snapshot that the log names meanwhile */
    struct tt_snapshot_file *file;     /* install: open between chunks */
    struct tt_snapshot_reader *reader; /* install: on the core thread only */
    struct tt_str chunk;               /* install: borrowed from file until the next one */
    uint64_t peer_id;                  /* read */
    uint64_t offset;                   /* read, stage */
    struct tt_bytes *piece;            /* read: result; stage: input */
    int code;                          /* what the work came to: 0 or TT_E… */
    struct tt_err err;                 /* says why code is not 0 */
};

static uint32_t piece_size(const struct job *job, uint32_t usual)
{
    uint32_t size = job->replica->env.snapshot_piece_size;
    return size != 0 ? size : usual;
}

static const char *snapshot_dir(const struct job *job)
{
    return tt_datadir_snapshot_dir(job->replica->datadir);
}

static struct job *job_new(struct replica_core *replica, const struct tt_node_snapshot *meta)
{
    struct job *job = TT_NEW(struct job);
    job->replica = replica;
    if (meta != NULL) {
        job->meta = *meta;
    }
    job->work.reply = replica->env.box;
    tt_list_init(&job->link);
    tt_err_init(&job->err);
    return job;
}

static void job_free(struct job *job)
{
    tt_version_unref(job->version);
    tt_snapshot_reader_free(job->reader);
    tt_snapshot_file_free(job->file);
    tt_bytes_unref(job->piece);
    tt_free(job);
}

/* The completion arrived: true when the node still wants it. */
static bool job_back(struct job *job)
{
    TT_ASSERT(!tt_list_empty(&job->link));
    tt_list_remove(&job->link);
    if (job->code != TT_OK && job->code != TT_ECANCELED) {
        TT_LOG(TT_LOG_WARN, "raft", "a snapshot job failed", TT_F_U64("index", job->meta.index),
               TT_F_ERR(&job->err));
    }
    if (job->replica->stopping) {
        job->replica->env.idle(job->replica->env.ctx);
    }
    return !job->replica->stopping;
}

static void job_refused(struct tt_msg *msg)
{
    struct tt_work *work = TT_CONTAINER_OF(msg, struct tt_work, msg);
    work->done(work);
}

/* A pool that is full: an install cannot be given up (rule 5), so it waits; the node asks again for
 * all else. */
static void job_not_taken(struct job *job, int code)
{
    tt_list_remove(&job->link);
    if (job->reader != NULL) {
        tt_list_push_back(&job->replica->parked, &job->link);
        return;
    }
    tt_list_push_back(&job->replica->jobs, &job->link);
    job->code = TT_FAIL(&job->err, code, "the pool is full");
    job->work.msg.run = job_refused; /* later: the node must not be called back from here */
    int r = tt_mailbox_post_answer(job->work.reply, &job->work.msg);
    TT_ASSERT(r == TT_OK); /* the core mailbox is open while the node runs */
}

static void job_submit(struct job *job, bool slow, void (*work)(struct tt_work *),
                       void (*done)(struct tt_work *))
{
    struct replica_core *replica = job->replica;
    job->work.work = work;
    job->work.done = done;
    tt_list_push_back(&replica->jobs, &job->link);
    int r = replica->env.run(replica->env.ctx, &job->work, slow);
    if (r != TT_OK) {
        job_not_taken(job, r);
    }
}

/* take */

/* Percent of a core for the encoder. A snapshot is no hurry while the log has room: it takes a
 * small share and leaves the rest to clients. The log must not grow without bounds either: from
 * SHARE_LATE to SHARE_FULL times what makes a snapshot due, the share rises to a whole core. */
unsigned tt_replica_snapshot_share(uint64_t log_size, uint64_t due_size)
{
    enum { SHARE_CALM = 15, SHARE_LATE = 2, SHARE_FULL = 6 };
    uint64_t late = SHARE_LATE * due_size;
    uint64_t full = SHARE_FULL * due_size;
    if (log_size <= late) {
        return SHARE_CALM;
    }
    if (log_size >= full) {
        return 100;
    }
    return SHARE_CALM + (unsigned)((100 - SHARE_CALM) * (log_size - late) / (full - late));
}

static int write_file(struct job *job)
{
    const struct tt_snapshot_meta meta = {
        .index = job->meta.index,
        .term = job->meta.term,
        .configuration_index = job->meta.config_index,
        .revision = tt_version_revision(job->version),
        .configuration = tt_str((const char *)job->meta.config, job->meta.config_size)};
    TT_AUTO(tt_snapshot_file_writer) file = NULL;
    int r =
        tt_snapshot_file_create(job->replica->env.disk, snapshot_dir(job), &meta, &file, &job->err);
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO(tt_snapshot_writer) writer = tt_snapshot_writer_new(job->version);
    TT_AUTO_BUF struct tt_buf piece;
    tt_buf_init(&piece, TT_VALUE_SIZE_MAX + 2 * ENCODE_PIECE);
    struct tt_pace *pace = job->replica->env.pace;
    bool done = false;
    while (r == TT_OK && !done) {
        uint64_t begin_ns = tt_clock_thread_ns();
        tt_buf_reset(&piece);
        r = tt_snapshot_writer_next(writer, piece_size(job, ENCODE_PIECE), &piece, &done,
                                    &job->err);
        if (r == TT_OK) {
            r = tt_snapshot_file_append(file, tt_buf_view(&piece), &job->err);
        }
        if (r == TT_OK && pace != NULL && !tt_pace_rest(pace, tt_clock_thread_ns() - begin_ns)) {
            r = TT_FAIL(&job->err, TT_ECANCELED, "the server stops");
        }
    }
    struct tt_snapshot_handle handle;
    if (r == TT_OK) {
        r = tt_snapshot_file_commit(file, &handle, &job->err);
    }
    if (r == TT_OK) {
        job->meta.file_size = handle.size;
        memcpy(job->meta.sha256, handle.hash, sizeof job->meta.sha256);
        /* The new one is not in the log yet: after a crash the log asks for the one before. */
        const struct tt_snapshot_retention retention = {
            .keep = KEEP_SNAPSHOTS, .pinned_index = job->recorded_index, .pace = pace};
        r = tt_snapshot_file_retain(job->replica->env.disk, snapshot_dir(job), &retention,
                                    &job->err);
    }
    return r;
}

static void take_work(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    if (REPLICA_FAULT(job->replica, pin_late)) {
        tt_version_unref(job->version);
        job->version = tt_store_version(job->replica->store);
    }
    job->code = write_file(job);
}

static void take_done(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    if (job_back(job)) {
        tt_node_snapshot_taken(job->replica->node, &job->meta, job->code);
    }
    job_free(job);
}

static void snapshot_take(void *ctx, const struct tt_node_snapshot *meta)
{
    struct replica_core *replica = ctx;
    struct job *job = job_new(replica, meta);
    struct tt_node_view view;
    tt_node_view(replica->node, &view);
    job->recorded_index = view.snapshot_index;
    job->version = tt_store_version(replica->store);
    TT_ASSERT(tt_node_store_index(tt_version_index(job->version)) <= meta->index);
    job_submit(job, true, take_work, take_done);
}

/* read */

static int read_piece(struct job *job)
{
    struct tt_snapshot_name names[TT_SNAPSHOT_LIST_MAX];
    size_t count;
    int r =
        tt_snapshot_file_list(job->replica->env.disk, snapshot_dir(job), names, &count, &job->err);
    if (r != TT_OK) {
        return r;
    }
    size_t i = 0;
    while (i < count && names[i].index != job->meta.index) {
        i++;
    }
    if (i == count) {
        return TT_FAIL(&job->err, TT_ENOTFOUND, "snapshot %llu is gone",
                       (unsigned long long)job->meta.index);
    }
    TT_AUTO(tt_snapshot_file) file = NULL;
    r = tt_snapshot_file_open(job->replica->env.disk, snapshot_dir(job), names[i].index,
                              names[i].term, &file, &job->err);
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, TT_SNAPSHOT_PIECE_SIZE_MAX);
    r = tt_snapshot_file_piece(file, job->offset, piece_size(job, TT_NODE_SNAPSHOT_PIECE_SIZE),
                               &buf, &job->err);
    if (r == TT_OK) {
        job->piece = tt_bytes_new(buf.ptr, buf.len);
    }
    return r;
}

static void read_work(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    job->code = read_piece(job);
}

static void read_done(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    if (job_back(job)) {
        tt_node_snapshot_piece(job->replica->node, job->peer_id, job->meta.index, job->offset,
                               TT_TAKE(job->piece));
    }
    job_free(job);
}

static void snapshot_read(void *ctx, uint64_t peer_id, uint64_t index, uint64_t offset)
{
    struct replica_core *replica = ctx;
    struct job *job = job_new(replica, NULL);
    job->meta.index = index;
    job->peer_id = peer_id;
    job->offset = offset;
    job_submit(job, false, read_work, read_done);
}

/* stage */

static int stage_piece(struct job *job)
{
    struct snapshot_stage *stage = &job->replica->stage;
    if (job->offset == 0) {
        struct tt_snapshot_handle handle = {
            .index = job->meta.index, .term = job->meta.term, .size = job->meta.file_size};
        memcpy(handle.hash, job->meta.sha256, sizeof handle.hash);
        tt_snapshot_file_receiver_free(TT_TAKE(stage->receiver));
        int r = tt_snapshot_file_receive(job->replica->env.disk, snapshot_dir(job), &handle,
                                         &stage->receiver, &job->err);
        if (r != TT_OK) {
            return r;
        }
    }
    if (stage->receiver == NULL ||
        tt_snapshot_file_receiver_offset(stage->receiver) != job->offset) {
        return TT_FAIL(&job->err, TT_EPROTO, "a snapshot piece came out of order");
    }
    int r = tt_snapshot_file_receiver_append(
        stage->receiver, tt_str((const char *)job->piece->ptr, job->piece->size), &job->err);
    if (r == TT_OK && job->offset + job->piece->size == job->meta.file_size) {
        r = tt_snapshot_file_receiver_commit(stage->receiver, &job->err);
        tt_snapshot_file_receiver_free(TT_TAKE(stage->receiver));
    }
    return r;
}

static void stage_work(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    job->code = stage_piece(job);
}

static void stage_done(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    uint64_t end = job->offset + job->piece->size;
    if (REPLICA_FAULT(job->replica, staged_begin)) {
        end = job->offset;
    }
    if (job_back(job)) {
        tt_node_snapshot_staged(job->replica->node, job->meta.index, end, job->code);
    }
    job_free(job);
}

static void snapshot_stage(void *ctx, const struct tt_node_snapshot *meta, uint64_t offset,
                           struct tt_bytes *piece)
{
    struct replica_core *replica = ctx;
    struct job *job = job_new(replica, meta);
    job->offset = offset;
    job->piece = piece;
    job_submit(job, false, stage_work, stage_done);
}

/* install */

static void install_work(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    job->code = TT_OK;
    if (job->file == NULL) {
        job->code = tt_snapshot_file_open(job->replica->env.disk, snapshot_dir(job),
                                          job->meta.index, job->meta.term, &job->file, &job->err);
    }
    if (job->code == TT_OK) {
        job->code = tt_snapshot_file_next(job->file, &job->chunk, &job->err);
    }
}

static void install_finish(struct job *job)
{
    struct replica_core *replica = job->replica;
    uint64_t index = job->meta.index;
    int code = job->code;
    if (code != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "raft", "a received snapshot could not be restored",
               TT_F_U64("index", index), TT_F_ERR(&job->err));
    }
    job_free(job);
    tt_node_snapshot_installed(replica->node, index, code);
}

static void install_next_done(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    if (!job_back(job)) {
        job_free(job);
        return;
    }
    bool last = job->code == TT_OK && job->chunk.len == 0;
    if (last) {
        job->code = tt_snapshot_reader_finish(job->reader, &job->err);
        tt_store_publish(job->replica->store);
    } else if (job->code == TT_OK) {
        job->code = tt_snapshot_reader_feed(job->reader, job->chunk, &job->err);
    }
    if (last || job->code != TT_OK) {
        install_finish(job);
        return;
    }
    job_submit(job, false, install_work, install_next_done);
}

static void snapshot_install(void *ctx, const struct tt_node_snapshot *meta)
{
    struct replica_core *replica = ctx;
    struct job *job = job_new(replica, meta);
    struct tt_version *version = tt_store_version(replica->store);
    replica->revision_floor = tt_u64_max(replica->revision_floor, tt_version_revision(version));
    tt_version_unref(version);
    tt_store_clear(replica->store);
    job->reader = tt_snapshot_reader_new(replica->store);
    job_submit(job, false, install_work, install_next_done);
}

struct tt_node_snapshots replica_snapshots(struct replica_core *replica)
{
    return (struct tt_node_snapshots){.take = snapshot_take,
                                      .read = snapshot_read,
                                      .stage = snapshot_stage,
                                      .install = snapshot_install,
                                      .ctx = replica};
}

void replica_snapshots_pace(struct replica_core *replica)
{
    struct tt_node_view view;
    tt_node_view(replica->node, &view);
    if (view.snapshot_due_size > 0 && replica->env.pace != NULL) {
        tt_pace_set_share(replica->env.pace,
                          tt_replica_snapshot_share(view.log_size, view.snapshot_due_size));
    }
}

void replica_snapshots_resume(struct replica_core *replica)
{
    struct tt_list parked;
    tt_list_init(&parked);
    struct tt_list *link;
    while ((link = tt_list_pop_front(&replica->parked)) != NULL) {
        tt_list_push_back(&parked, link); /* may be parked again */
    }
    while ((link = tt_list_pop_front(&parked)) != NULL) {
        struct job *job = TT_CONTAINER_OF(link, struct job, link);
        job_submit(job, false, job->work.work, job->work.done);
    }
}

static void jobs_free(struct tt_list *jobs)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(jobs)) != NULL) {
        job_free(TT_CONTAINER_OF(link, struct job, link));
    }
}

void replica_snapshots_fini(struct replica_core *replica)
{
    jobs_free(&replica->jobs); /* only after a crash */
    jobs_free(&replica->parked);
    tt_snapshot_file_receiver_free(TT_TAKE(replica->stage.receiver));
}

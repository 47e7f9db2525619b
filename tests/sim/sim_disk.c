/* The log's executor in virtual time, like the log thread: all that has queued is staged and
 * written as one batch, the sync takes a while, then everything completes in order. Between write
 * and sync a crash tears what was written.
 *
 * The shadow records what a completed sync made durable, independently of the code under test: what
 * commits must be there on a majority, and terms and votes must be there after a restart.
 *
 * Planted bugs that live here: hard states that are acknowledged but not written, or without the
 * vote; a batch that is acknowledged before its sync. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/sim_conduct.h"

static void shadow_truncate(struct sim_shadow *shadow, uint64_t from)
{
    if (shadow->last_index >= from) {
        shadow->last_index = from - 1;
    }
}

static void shadow_put(struct sim_shadow *shadow, uint64_t index, uint64_t term)
{
    if (index >= shadow->cap) {
        uint64_t cap = 2 * index + 256;
        shadow->terms = tt_xrealloc(shadow->terms, cap * sizeof *shadow->terms);
        memset(shadow->terms + shadow->cap, 0, (cap - shadow->cap) * sizeof *shadow->terms);
        shadow->cap = cap;
    }
    shadow->terms[index] = term;
    shadow->last_index = index;
}

static void shadow_apply(struct sim_shadow *shadow, const struct tt_wal_req *req)
{
    switch (req->op) {
    case TT_WAL_OP_APPEND:
        if (req->truncate_from != 0) {
            shadow_truncate(shadow, req->truncate_from);
        }
        for (size_t i = 0; i < req->count; i++) {
            shadow_put(shadow, req->entries[i].index, req->entries[i].term);
        }
        break;
    case TT_WAL_OP_HARD_STATE:
        shadow->term = req->term;
        shadow->vote = req->voted_for;
        break;
    case TT_WAL_OP_TRUNCATE:
        shadow_truncate(shadow, req->truncate_from);
        break;
    case TT_WAL_OP_INSTALL:
        shadow->snapshot_index = req->snapshot->index;
        shadow->last_index = req->snapshot->index;
        break;
    case TT_WAL_OP_SNAPSHOT:
        shadow->snapshot_index = tt_u64_max(shadow->snapshot_index, req->snapshot->index);
        break;
    case TT_WAL_OP_READ:
    case TT_WAL_OP_STOP:
        break;
    }
}

void sim_shadow_load(struct sim_shadow *shadow, const struct tt_node_disk *disk)
{
    shadow->term = disk->term;
    shadow->vote = disk->voted_for;
    shadow->snapshot_index = disk->snapshot.index;
    shadow->last_index = disk->snapshot.index;
    for (size_t i = 0; i < disk->entry_count; i++) {
        shadow_put(shadow, disk->entries[i].index, disk->entries[i].term);
    }
}

bool sim_disk_has_shadow(const struct sim_shadow *shadow, uint64_t index, uint64_t term)
{
    if (index <= shadow->snapshot_index) {
        return true;
    }
    return index <= shadow->last_index && shadow->terms[index] == term;
}

static void begin(struct sim *sim, struct sim_event *event);

static void log_step(struct sim_server *server, uint64_t delay_us)
{
    struct sim_event event = {.run = begin, .server = server->slot};
    server->log_busy = true;
    sim_schedule(server->sim, delay_us, event);
}

static void complete(struct sim_server *server, struct tt_wal_req *req)
{
    server->dirty = true;
    req->bytes_since_snapshot = tt_wal_bytes_since_snapshot(server->wal);
    if (req->result == 0) {
        shadow_apply(&server->durable, req);
    }
    req->done(req);
}

static void finish_batch(struct sim_server *server, int result)
{
    struct tt_msg *first = server->sync_first;
    server->sync_first = NULL;
    server->sync_last = &server->sync_first;
    while (first) {
        struct tt_wal_req *req = TT_CONTAINER_OF(first, struct tt_wal_req, msg);
        first = first->next;
        if (result != 0 && req->result == 0) {
            req->result = result;
        }
        complete(server, req);
    }
}

static void synced(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    int r = tt_wal_sync(server->wal, NULL);
    if (r == 0 && tt_wal_watermark_due(server->wal) && tt_rng_chance(&sim->rng, 0.05)) {
        r = tt_wal_watermark(server->wal, NULL);
    }
    finish_batch(server, r);
    server->log_busy = false;
    if (server->log_first) {
        log_step(server, 10);
    }
}

static void to_batch(struct sim_server *server, struct tt_wal_req *req)
{
    server->log_first = req->msg.next;
    if (!server->log_first) {
        server->log_last = &server->log_first;
    }
    req->msg.next = NULL;
    *server->sync_last = &req->msg;
    server->sync_last = &req->msg.next;
}

static bool lost_vote(const struct sim_server *server, const struct tt_wal_req *req)
{
    const struct sim_bug *bug = server->sim->options.bug;
    return bug && bug->lose_vote && req->op == TT_WAL_OP_HARD_STATE;
}

static bool to_wal(struct sim_server *server, struct tt_wal_req *req)
{
    const struct sim_bug *bug = server->sim->options.bug;
    if (!bug || !bug->forget_vote || req->op != TT_WAL_OP_HARD_STATE) {
        return tt_wal_req_stage(server->wal, req);
    }
    uint64_t vote = req->voted_for;
    req->voted_for = 0;
    bool fits = tt_wal_req_stage(server->wal, req);
    req->voted_for = vote;
    return fits;
}

/* Stages what there is, up to a full batch or a read. True: there is something to sync. */
static bool stage(struct sim_server *server)
{
    bool staged = false;
    while (server->log_first) {
        struct tt_wal_req *req = TT_CONTAINER_OF(server->log_first, struct tt_wal_req, msg);
        if (req->op == TT_WAL_OP_READ) {
            if (!staged) {
                tt_wal_req_read(server->wal, req);
                to_batch(server, req);
            }
            return true;
        }
        if (!lost_vote(server, req) && !to_wal(server, req)) {
            return true; /* the batch is full */
        }
        staged = true;
        to_batch(server, req);
    }
    return staged;
}

/* Entries only: a vote that is lost is another bug. */
static bool early_ack(const struct sim_server *server)
{
    const struct sim_bug *bug = server->sim->options.bug;
    bool early = bug && bug->early_ack;
    for (struct tt_msg *msg = server->sync_first; early && msg; msg = msg->next) {
        early = TT_CONTAINER_OF(msg, struct tt_wal_req, msg)->op == TT_WAL_OP_APPEND;
    }
    return early;
}

static void begin(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    if (!stage(server)) {
        server->log_busy = false;
        return;
    }
    int r = tt_wal_write(server->wal, NULL);
    if (r != 0 || early_ack(server)) {
        finish_batch(server, r);
    }
    struct sim_event next = {.run = synced, .server = server->slot};
    sim_schedule(sim, sim_between(sim, server->sync_us / 4 + 1, server->sync_us), next);
}

static void submit(void *ctx, struct tt_wal_req *req)
{
    struct sim_server *server = ctx;
    req->msg.next = NULL;
    req->truncated = false;
    *server->log_last = &req->msg;
    server->log_last = &req->msg.next;
    if (req->op == TT_WAL_OP_HARD_STATE) {
        sim_conduct_hard_state(server, req);
    }
    shadow_apply(&server->memory_log, req);
    if (req->op == TT_WAL_OP_APPEND) {
        sim_check_append(server, req);
    }
    if (!server->log_busy) {
        log_step(server, 10);
    }
}

struct tt_wal_queue sim_disk_queue(struct sim_server *server)
{
    server->log_first = NULL;
    server->log_last = &server->log_first;
    server->sync_first = NULL;
    server->sync_last = &server->sync_first;
    server->log_busy = false;
    return (struct tt_wal_queue){.submit = submit, .ctx = server};
}

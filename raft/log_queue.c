/* Requests to engine calls: the part that production and simulation share.
 *
 * Happy path: each request stages its records; an append too large for the rest of the batch
 * remembers its progress and goes on in the next one. Failure modes: an illegal request (TT_EINVAL)
 * is the node's bug or a dead log; it is answered, and the caller treats it as fatal. */
#include "raft/log_queue.h"

/* True when done with the request (staged or failed). */
static bool settled(struct tt_wal_req *req, int r)
{
    if (r == TT_ETOOLARGE) {
        return false;
    }
    req->result = r;
    return true;
}

static bool stage_append(struct tt_wal *wal, struct tt_wal_req *req)
{
    int r = TT_OK;
    if (req->truncate_from != 0 && !req->truncated) {
        r = tt_wal_stage_truncate(wal, req->truncate_from, req->err);
        if (r != 0) {
            return settled(req, r);
        }
        req->truncated = true;
    }
    while (req->progress < req->count) {
        r = tt_wal_stage_entry(wal, &req->entries[req->progress], req->err);
        if (r != 0) {
            return settled(req, r);
        }
        req->progress++;
    }
    return settled(req, TT_OK);
}

bool tt_wal_req_stage(struct tt_wal *wal, struct tt_wal_req *req)
{
    int r = TT_EINTERNAL;
    switch (req->op) {
    case TT_WAL_OP_APPEND:
        return stage_append(wal, req);
    case TT_WAL_OP_HARD_STATE:
        r = tt_wal_stage_hard_state(wal, req->term, req->voted_for, req->err);
        break;
    case TT_WAL_OP_TRUNCATE:
        r = tt_wal_stage_truncate(wal, req->truncate_from, req->err);
        break;
    case TT_WAL_OP_SNAPSHOT:
        r = tt_wal_stage_snapshot(wal, req->snapshot, req->keep_from, req->err);
        break;
    case TT_WAL_OP_INSTALL:
        r = tt_wal_stage_install(wal, req->snapshot, req->err);
        break;
    case TT_WAL_OP_READ:
    case TT_WAL_OP_STOP:
        TT_ASSERT(!"not a request to stage");
        break;
    }
    return settled(req, r);
}

void tt_wal_req_read(struct tt_wal *wal, struct tt_wal_req *req)
{
    struct tt_wal_plan plan;
    req->read_count = 0;
    req->result = tt_wal_plan(wal, req->first_index, req->size_max, &plan, req->err);
    if (req->result != 0) {
        return;
    }
    req->result = tt_wal_read(&plan, req->read_entries, req->err);
    if (req->result == 0) {
        req->read_count = plan.count;
    }
    tt_wal_plan_fini(&plan);
}

/* A cluster of nodes for the unit tests; node_cluster.h says what it is for.
 *
 * Happy path: cluster_run advances the virtual clock by single milliseconds, ticks the nodes whose
 * timer is due, and after each delivers frames and completes log requests until nothing moves.
 * Failure modes: only those a test sets: `cut` loses frames, `log_held` holds completions back,
 * server_crash forgets all but the durable entries. */
#include "tests/unit/raft/node_cluster.h"

#include <stdio.h>
#include <string.h>

static uint64_t cluster_clock_ns(void *ctx)
{
    return ((struct cluster *)ctx)->now_ms * 1000000u;
}

static uint64_t cluster_clock_wall(void *ctx)
{
    return ((struct cluster *)ctx)->now_ms + 1700000000000u;
}

static void server_send(void *ctx, uint64_t peer_id, struct tt_bytes *const *parts,
                        size_t part_count, bool bulk)
{
    (void)bulk;
    struct server *server = ctx;
    struct frame *frame = TT_NEW(struct frame);
    frame->from = server->id;
    frame->to = peer_id;
    frame->bytes = tt_bytes_join(parts, part_count);
    tt_list_push_back(&server->cluster->frames, &frame->link);
}

static void server_set_timer(void *ctx, uint64_t at_ms)
{
    ((struct server *)ctx)->timer_ms = at_ms;
}

static void server_removed(void *ctx, uint64_t index)
{
    ((struct server *)ctx)->removed_index = index;
}

static void server_peers(void *ctx, const struct tt_member *members, size_t count)
{
    (void)ctx, (void)members, (void)count;
}

static void server_propose_done(void *ctx, struct tt_propose_op *op)
{
    ((struct server *)ctx)->cluster->answered++;
    op->ctx = ctx;
}

static void server_read_done(void *ctx, struct tt_read_op *op)
{
    ((struct server *)ctx)->cluster->answered++;
    op->ctx = ctx;
}

static void server_change_done(void *ctx, struct tt_change_op *op)
{
    ((struct server *)ctx)->cluster->answered++;
    op->ctx = ctx;
}

static void server_leading(void *ctx, uint64_t term)
{
    ((struct server *)ctx)->leading = term;
}

static void server_fault(void *ctx, const struct tt_err *err)
{
    ((struct server *)ctx)->fault = err->code;
}

static int server_stamp(void *ctx, uint8_t *command, size_t size, uint64_t wall_ms,
                        struct tt_err *err)
{
    (void)ctx, (void)size, (void)wall_ms;
    if (command[0] == '!') {
        return TT_FAIL(err, TT_ECORRUPT, "no place for a stamp");
    }
    if (command[0] == '@') {
        command[0] = 'T';
    }
    return 0;
}

static bool server_grows(void *ctx, struct tt_str command)
{
    (void)ctx;
    return command.ptr[0] != '-';
}

static int server_apply(void *ctx, uint64_t index, uint32_t position, struct tt_str command,
                        struct tt_apply_result *ret, struct tt_err *err)
{
    struct server *server = ctx;
    (void)index, (void)position, (void)err;
    assert_true(server->applied_count < APPLIED_MAX);
    server->applied[server->applied_count++] = tt_str_xdup(command);
    ret->revision_first = ret->revision_last = server->applied_count;
    return 0;
}

static void server_publish(void *ctx, uint64_t index)
{
    struct server *server = ctx;
    (void)index;
    server->published_count = server->applied_count;
}

static uint64_t server_hash(void *ctx)
{
    struct server *server = ctx;
    return server->applied_count + server->skew;
}

static void server_snapshot_take(void *ctx, const struct tt_node_snapshot *meta)
{
    struct server *server = ctx;
    assert_true(meta->config_index > 0 && meta->config_index <= meta->index);
    server->snapshot_takes++;
    tt_free(server->snapshot_taking);
    server->snapshot_taking = tt_xmemdup(meta, sizeof *meta);
}

static void server_snapshot_read(void *ctx, uint64_t peer_id, uint64_t index, uint64_t offset)
{
    struct server *server = ctx;
    (void)peer_id, (void)index, (void)offset;
    server->snapshot_reads++;
}

static void server_log_submit(void *ctx, struct tt_wal_req *req)
{
    struct server *server = ctx;
    req->msg.next = NULL;
    *server->log_last = &req->msg;
    server->log_last = &req->msg.next;
}

/* Makes one request durable in `entries`. */
static void server_log_apply(struct server *server, struct tt_wal_req *req)
{
    uint64_t from = req->truncate_from;
    if (req->op == TT_WAL_OP_HARD_STATE) {
        server->disk.term = req->term;
        server->disk.voted_for = req->voted_for;
    }
    if (req->op == TT_WAL_OP_SNAPSHOT) {
        server->log_kept_from = req->keep_from;
    }
    if (req->op == TT_WAL_OP_INSTALL) {
        from = server->entry_base + 1;
    }
    while (from != 0 && server->entry_base + server->entry_count >= from) {
        tt_bytes_unref(server->entries[--server->entry_count].payload);
    }
    if (req->op == TT_WAL_OP_INSTALL) {
        server->entry_base = req->snapshot->index;
    }
    for (size_t i = 0; req->op == TT_WAL_OP_APPEND && i < req->count; i++) {
        assert_int_equal(req->entries[i].index, server->entry_base + server->entry_count + 1);
        server->entries[server->entry_count] = req->entries[i];
        (void)tt_bytes_ref(req->entries[i].payload);
        server->entry_count++;
    }
    for (uint64_t i = req->first_index - server->entry_base;
         req->op == TT_WAL_OP_READ && i <= server->entry_count; i++) {
        if (req->read_count < TT_WAL_READ_COUNT_MAX) {
            req->read_entries[req->read_count] = server->entries[i - 1];
            (void)tt_bytes_ref(server->entries[i - 1].payload);
            req->read_count++;
        }
    }
}

static bool server_log_run(struct server *server)
{
    bool any = false;
    while (server->log_first && !server->log_held) {
        struct tt_wal_req *req = TT_CONTAINER_OF(server->log_first, struct tt_wal_req, msg);
        server->log_first = req->msg.next;
        if (!server->log_first) {
            server->log_last = &server->log_first;
        }
        server_log_apply(server, req);
        req->done(req);
        any = true;
    }
    return any;
}

void server_start(struct server *server)
{
    char name[8];
    (void)snprintf(name, sizeof name, "s%d", (int)server->id);
    struct tt_node_config config = {
        .id = server->id,
        .name = name,
        .api_address = "127.0.0.1:1",
        .cluster_id = "test",
        .snapshot_trailing_size = TRAILING_SIZE,
        .seed = server->id * 7 + server->cluster->now_ms,
        .clock = &server->clock,
        .log = {server_log_submit, server},
        .io = {server_send, server_set_timer, server_peers, NULL, server_removed,
               server_propose_done, server_read_done, server_change_done, server_leading,
               server_fault, server},
        .snapshots = {.take = server_snapshot_take, .read = server_snapshot_read, .ctx = server},
        .fsm = {server_stamp, server_grows, server_apply, server_publish, server_hash, server},
    };
    server->clock = (struct tt_clock){cluster_clock_ns, cluster_clock_wall, server->cluster};
    server->log_first = NULL;
    server->log_last = &server->log_first;
    server->fault = 0;
    server->node = tt_node_new(&config);
    server->disk.first_index = server->entry_base + 1;
    server->disk.entries = server->entries;
    server->disk.entry_count = server->entry_count;
    while (server->applied_count > 0) {
        tt_free(server->applied[--server->applied_count]);
    }
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(tt_node_start(server->node, &server->disk, &err), 0);
    tt_node_turn(server->node);
}

/* `voters` of `count` servers form the cluster; the others are fresh. */
struct cluster *cluster_new(size_t count, size_t voters)
{
    struct cluster *cluster = TT_NEW(struct cluster);
    tt_list_init(&cluster->frames);
    cluster->count = count;
    cluster->now_ms = 1000;
    struct tt_membership membership = {.count = voters};
    for (size_t i = 0; i < voters; i++) {
        struct tt_member *member = &membership.members[i];
        member->id = i + 1;
        member->role = TT_ROLE_VOTER;
        (void)snprintf(member->name, sizeof member->name, "s%zu", i + 1);
        (void)snprintf(member->peer_address, sizeof member->peer_address, "127.0.0.1:%zu", i + 1);
    }
    for (size_t i = 0; i < count; i++) {
        struct server *server = &cluster->servers[i];
        server->cluster = cluster;
        server->id = i + 1;
        server->entries = tt_xcalloc(APPLIED_MAX, sizeof *server->entries);
        if (i < voters) {
            struct tt_bytes *config;
            assert_int_equal(tt_membership_encode(&membership, &config, NULL), 0);
            server->entries[0] = (struct tt_wal_entry){1, 1, RAFT_CHANGE, config};
            server->entry_count = 1;
            server->disk.term = 1;
        }
        server_start(server);
    }
    return cluster;
}

void server_compact(struct server *server)
{
    const struct tt_wal_entry *last = &server->entries[server->entry_count - 1];
    const struct tt_bytes *config = server->entries[0].payload;
    struct tt_node_snapshot *snapshot = &server->disk.snapshot;
    assert_null(server->node);
    assert_true(server->entry_base == 0 && config->size <= sizeof snapshot->config);
    *snapshot = (struct tt_node_snapshot){.index = last->index,
                                          .term = last->term,
                                          .config_index = 1,
                                          .config_size = (uint32_t)config->size,
                                          .file_size = 1};
    memcpy(snapshot->config, config->ptr, config->size);
    server->entry_base = last->index;
    while (server->entry_count > 0) {
        tt_bytes_unref(server->entries[--server->entry_count].payload);
    }
}

void server_crash(struct server *server)
{
    tt_node_free(TT_TAKE(server->node));
    server->log_first = NULL;
    server->leading = 0;
}

void cluster_free(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++) {
        struct server *server = &cluster->servers[i];
        tt_node_free(server->node);
        for (size_t e = 0; e < server->entry_count; e++) {
            tt_bytes_unref(server->entries[e].payload);
        }
        tt_free(server->entries);
        tt_free(server->snapshot_taking);
        while (server->applied_count > 0) {
            tt_free(server->applied[--server->applied_count]);
        }
    }
    struct tt_list *link;
    while ((link = tt_list_pop_front(&cluster->frames)) != NULL) {
        tt_bytes_unref(TT_CONTAINER_OF(link, struct frame, link)->bytes);
        tt_free(TT_CONTAINER_OF(link, struct frame, link));
    }
    tt_free(cluster);
}

static bool cluster_deliver(struct cluster *cluster)
{
    struct tt_list *link = tt_list_pop_front(&cluster->frames);
    if (!link) {
        return false;
    }
    struct frame *frame = TT_CONTAINER_OF(link, struct frame, link);
    struct server *from = &cluster->servers[frame->from - 1];
    struct server *to = frame->to <= cluster->count ? &cluster->servers[frame->to - 1] : NULL;
    if (to && to->node && !to->cut && !from->cut) {
        tt_node_receive(to->node, frame->from, frame->bytes);
        tt_node_turn(to->node);
    }
    tt_bytes_unref(frame->bytes);
    tt_free(frame);
    return true;
}

/* Everything that can happen without time passing. */
static void cluster_settle(struct cluster *cluster)
{
    bool any = true;
    for (size_t round = 0; any && round < 100000; round++) {
        any = cluster_deliver(cluster);
        for (size_t i = 0; i < cluster->count; i++) {
            struct server *server = &cluster->servers[i];
            if (server->node && server_log_run(server)) {
                tt_node_turn(server->node);
                any = true;
            }
        }
    }
}

void cluster_run(struct cluster *cluster, uint64_t ms)
{
    for (uint64_t end = cluster->now_ms + ms; cluster->now_ms < end; cluster->now_ms++) {
        for (size_t i = 0; i < cluster->count; i++) {
            struct server *server = &cluster->servers[i];
            if (server->node && server->timer_ms <= cluster->now_ms) {
                tt_node_tick(server->node);
                tt_node_turn(server->node);
            }
        }
        cluster_settle(cluster);
    }
}

struct server *cluster_leader(struct cluster *cluster)
{
    struct server *leader = NULL;
    for (size_t i = 0; i < cluster->count; i++) {
        struct server *server = &cluster->servers[i];
        if (server->node && server->leading && !server->cut) {
            leader = server;
        }
    }
    return leader;
}

struct server *cluster_elect(struct cluster *cluster)
{
    for (int i = 0; i < 200 && !cluster_leader(cluster); i++) {
        cluster_run(cluster, 50);
    }
    assert_non_null(cluster_leader(cluster));
    return cluster_leader(cluster);
}

size_t cluster_frames(const struct cluster *cluster)
{
    size_t count = 0;
    const struct tt_list *head = &cluster->frames;
    for (const struct tt_list *link = head->next; link != head; link = link->next) {
        count++;
    }
    return count;
}

void propose(struct server *server, struct tt_propose_op *op, const char *text)
{
    memset(op, 0, sizeof *op);
    op->code = 1;
    op->command = tt_bytes_new(text, strlen(text));
    tt_node_propose(server->node, op);
    tt_node_turn(server->node);
}

#include "raft/transport.h"

#include <stdio.h>

#include "base/intmath.h"
#include "base/log.h"
#include "raft/transport_internal.h"

/* Life: new (binds, on the caller's thread) → start (the net loop's thread) → … → stop: everything
 * is closed, and when the last handle is gone `stopped` travels to the core behind every delivery →
 * free joins the thread.
 *
 * Between the threads go only messages. From the core: frames (counted against the mailbox: when it
 * is full they are lost, like on a bad network), peer tables, rechecks. To the core: deliveries,
 * reachability, statistics, `stopped`, all as answers: their number is bounded by receive windows
 * and by the number of peers.
 *
 * Frames sent within one turn of the core wake the net loop once and leave in one write per peer:
 * draining the mailbox only queues them, the loop's turn hook flushes. */

enum {
    NET_MAILBOX_MAX = 16384,
    SWEEP_MS = 1000,
    HELLO_MS = 5000,
    QUEUE_SIZE_DEFAULT = 16 << 20,
    WINDOW_SIZE_DEFAULT = 4 << 20,
    USER_TIMEOUT_MS_DEFAULT = 5000,
    BACKOFF_MS_MIN_DEFAULT = 50,
    BACKOFF_MS_MAX_DEFAULT = 2000
};

/* ---- messages to the core ------------------------------------------------------------------ */

struct reach_msg {
    struct tt_msg msg;              /* to the core */
    struct tt_transport *transport; /* alive until `stopped`, which comes after us */
    uint64_t peer_id;               /* member id */
    enum tt_transport_reach reach;  /* for reach_run only */
};

static void reach_run(struct tt_msg *msg)
{
    struct reach_msg *told = TT_CONTAINER_OF(msg, struct reach_msg, msg);
    const struct tt_transport_config *config = &told->transport->config;
    config->reach(config->ctx, told->peer_id, told->reach);
    tt_free(told);
}

void tt_transport_tell_reach(struct tt_transport *transport, uint64_t peer_id,
                             enum tt_transport_reach reach)
{
    if (transport->config.reach == NULL) {
        return;
    }
    struct reach_msg *told = TT_NEW(struct reach_msg);
    told->msg.run = reach_run;
    told->transport = transport;
    told->peer_id = peer_id;
    told->reach = reach;
    if (tt_mailbox_post_answer(transport->config.deliver_to, &told->msg) != 0) {
        tt_free(told); /* the core is going down */
    }
}

static void disowned_run(struct tt_msg *msg)
{
    struct reach_msg *told = TT_CONTAINER_OF(msg, struct reach_msg, msg);
    const struct tt_transport_config *config = &told->transport->config;
    config->disowned(config->ctx, told->peer_id);
    tt_free(told);
}

void tt_transport_tell_disowned(struct tt_transport *transport, uint64_t peer_id)
{
    struct reach_msg *told = TT_NEW(struct reach_msg);
    told->msg.run = disowned_run;
    told->transport = transport;
    told->peer_id = peer_id;
    if (tt_mailbox_post_answer(transport->config.deliver_to, &told->msg) != 0) {
        tt_free(told); /* the core is going down */
    }
}

struct removed_msg {
    struct tt_msg msg;              /* to the core */
    struct tt_transport *transport; /* alive until `stopped`, which comes after us */
    uint64_t peer_id;               /* who says so */
    uint64_t index;                 /* of its committed configuration, which is without us */
};

static void removed_run(struct tt_msg *msg)
{
    struct removed_msg *told = TT_CONTAINER_OF(msg, struct removed_msg, msg);
    const struct tt_transport_config *config = &told->transport->config;
    config->removed(config->ctx, told->peer_id, told->index);
    tt_free(told);
}

void tt_transport_tell_removed(struct tt_transport *transport, uint64_t peer_id, uint64_t index)
{
    if (transport->config.removed == NULL) {
        return;
    }
    struct removed_msg *told = TT_NEW(struct removed_msg);
    told->msg.run = removed_run;
    told->transport = transport;
    told->peer_id = peer_id;
    told->index = index;
    if (tt_mailbox_post_answer(transport->config.deliver_to, &told->msg) != 0) {
        tt_free(told); /* the core is going down */
    }
}

struct stats_msg {
    struct tt_msg msg;               /* to the core */
    struct tt_transport *transport;  /* alive until `stopped`, which comes after us */
    struct tt_transport_stats stats; /* as of the sending; refused_posts is added on the core */
};

static void stats_run(struct tt_msg *msg)
{
    struct stats_msg *told = TT_CONTAINER_OF(msg, struct stats_msg, msg);
    const struct tt_transport_config *config = &told->transport->config;
    told->stats.dropped_count += told->transport->refused_posts;
    config->stats(config->ctx, &told->stats);
    tt_free(told);
}

static void tell_stats(struct tt_transport *transport)
{
    struct tt_transport_stats *stats = &transport->stats;
    struct tt_list *head = &transport->peers;
    stats->waiting_size = 0;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        const struct intake *intakes = TT_CONTAINER_OF(node, struct peer, node)->intakes;
        for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
            stats->waiting_size += intakes[i].delivered_size - intakes[i].confirmed_size;
        }
    }
    if (transport->config.stats == NULL ||
        memcmp(stats, &transport->stats_told, sizeof *stats) == 0) {
        return;
    }
    struct stats_msg *told = TT_NEW(struct stats_msg);
    told->msg.run = stats_run;
    told->transport = transport;
    told->stats = *stats;
    transport->stats_told = *stats;
    if (tt_mailbox_post_answer(transport->config.deliver_to, &told->msg) != 0) {
        tt_free(told); /* the core is going down */
    }
}

static void confirm_run(struct tt_msg *msg)
{
    struct delivery *delivery = TT_CONTAINER_OF(msg, struct delivery, msg);
    tt_transport_intake_confirm(delivery->transport, delivery->intake_serial,
                                delivery->confirm_size);
    tt_free(delivery);
}

/* On the core. A wanted confirmation travels back in the same message. */
void tt_transport_delivery_run(struct tt_msg *msg)
{
    struct delivery *delivery = TT_CONTAINER_OF(msg, struct delivery, msg);
    struct tt_transport *transport = delivery->transport;
    transport->config.received(transport->config.ctx, delivery->peer_id, delivery->type,
                               delivery->payload);
    delivery->payload = NULL;
    delivery->msg.run = confirm_run;
    if (delivery->confirm_size == 0 ||
        tt_mailbox_post_answer(tt_loop_mailbox(transport->loop), &delivery->msg) != 0) {
        tt_free(delivery);
    }
}

struct stopped_msg {
    struct tt_msg msg;              /* to the core; the last of all */
    struct tt_transport *transport; /* may be freed by `stopped` */
};

static void stopped_run(struct tt_msg *msg)
{
    struct stopped_msg *told = TT_CONTAINER_OF(msg, struct stopped_msg, msg);
    struct tt_transport *transport = told->transport;
    tt_free(told);
    transport->stopped(transport->stopped_ctx); /* may free the transport */
}

void tt_transport_release(struct tt_transport *transport)
{
    TT_ASSERT(transport->pending > 0);
    if (--transport->pending > 0 || transport->stopped == NULL) {
        return;
    }
    TT_ASSERT(transport->stopping && tt_list_empty(&transport->inbounds));
    struct stopped_msg *told = TT_NEW(struct stopped_msg);
    told->msg.run = stopped_run;
    told->transport = transport;
    int r = tt_mailbox_post_answer(transport->config.deliver_to, &told->msg);
    TT_ASSERT(r == 0); /* the header demands that it is open until then */
}

/* ---- messages from the core ---------------------------------------------------------------- */

struct peer *tt_transport_peer_find(struct tt_transport *transport, uint64_t id)
{
    struct tt_list *head = &transport->peers;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct peer *peer = TT_CONTAINER_OF(node, struct peer, node);
        if (peer->id == id) {
            return peer;
        }
    }
    return NULL;
}

static void send_run(struct tt_msg *msg)
{
    struct out_frame *frame = TT_CONTAINER_OF(msg, struct out_frame, msg);
    struct tt_transport *transport = frame->transport;
    struct peer *peer = tt_transport_peer_find(transport, frame->peer_id);
    if (peer == NULL || transport->stopping) {
        transport->stats.dropped_count++;
        tt_transport_frame_free(frame);
        return;
    }
    tt_transport_link_enqueue(&peer->links[frame->channel], frame);
}

void tt_transport_send(struct tt_transport *transport, uint64_t peer_id,
                       enum tt_transport_channel channel, uint8_t type,
                       struct tt_bytes *const *parts, size_t part_count)
{
    TT_ASSERT(type >= TT_TRANSPORT_TYPE_MIN && part_count <= TT_TRANSPORT_PARTS_MAX);
    struct out_frame *frame = tt_xcalloc(1, sizeof *frame + part_count * sizeof frame->parts[0]);
    frame->msg.run = send_run;
    frame->transport = transport;
    frame->peer_id = peer_id;
    frame->channel = channel;
    frame->type = type;
    frame->part_count = part_count;
    frame->size = TT_FRAME_HEADER_SIZE;
    for (size_t i = 0; i < part_count; i++) {
        frame->parts[i] = tt_bytes_ref(parts[i]);
        frame->size += parts[i]->size;
    }
    TT_ASSERT(frame->size - TT_FRAME_HEADER_SIZE <= TT_TRANSPORT_FRAME_SIZE_MAX);
    if (tt_loop_post(transport->loop, &frame->msg) != 0) {
        transport->refused_posts++;
        tt_transport_frame_free(frame);
    }
}

struct peers_msg {
    struct tt_msg msg;              /* to the net loop */
    struct tt_transport *transport; /* its loop runs us */
    bool hint;                      /* adds, replaces nothing */
    uint64_t id_max;                /* of all members, with us; 0 for a hint */
    char address[TT_ADDRESS_SIZE];  /* ours; "" = not in the table */
    size_t count;                   /* of members */
    struct tt_member members[];     /* those with an address, without us */
};

static const struct tt_member *member_find(const struct peers_msg *table, uint64_t id)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->members[i].id == id) {
            return &table->members[i];
        }
    }
    return NULL;
}

/* Servers newer than every member we know of came by themselves (hello_check) and stay. */
static void remove_absent(struct tt_transport *transport, const struct peers_msg *table)
{
    struct tt_list *head = &transport->peers;
    for (struct tt_list *node = head->next; node != head;) {
        struct peer *peer = TT_CONTAINER_OF(node, struct peer, node);
        const struct tt_member *member = member_find(table, peer->id);
        node = node->next;
        bool changed = member != NULL && (strcmp(member->name, peer->name) != 0 ||
                                          strcmp(member->peer_address, peer->address) != 0);
        if (changed || (member == NULL && peer->id <= transport->known_id_max)) {
            tt_transport_peer_remove(peer);
        }
    }
}

/* Who was accepted under an entry that is no more must come again. */
static void abort_strangers(struct tt_transport *transport)
{
    struct tt_list *head = &transport->inbounds;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct inbound *inbound = TT_CONTAINER_OF(node, struct inbound, node);
        struct peer *peer = tt_transport_peer_find(transport, inbound->peer_id);
        const struct tt_peer_identity *identity = tt_tls_stream_peer(inbound->stream);
        if (inbound->peer_id != 0 &&
            (peer == NULL || identity == NULL || strcmp(identity->name, peer->name) != 0)) {
            tt_transport_inbound_abort(inbound);
        }
    }
}

static void peers_run(struct tt_msg *msg)
{
    struct peers_msg *table = TT_CONTAINER_OF(msg, struct peers_msg, msg);
    struct tt_transport *transport = table->transport;
    if (!transport->stopping) {
        transport->known_id_max = tt_u64_max(transport->known_id_max, table->id_max);
        if (!table->hint) {
            memcpy(transport->address, table->address, sizeof transport->address);
            remove_absent(transport, table);
        }
        for (size_t i = 0; i < table->count; i++) {
            const struct tt_member *member = &table->members[i];
            if (tt_transport_peer_find(transport, member->id) == NULL) {
                tt_transport_peer_add(transport, member);
            }
        }
        abort_strangers(transport);
    }
    tt_free(table);
}

static void post_peers(struct tt_transport *transport, const struct tt_member *members,
                       size_t count, bool hint)
{
    TT_ASSERT(count <= TT_MEMBERS_MAX);
    struct peers_msg *table = tt_xcalloc(1, sizeof *table + count * sizeof table->members[0]);
    table->msg.run = peers_run;
    table->transport = transport;
    table->hint = hint;
    for (size_t i = 0; i < count; i++) {
        table->id_max = hint ? 0 : tt_u64_max(table->id_max, members[i].id);
        if (members[i].id == transport->config.self_id) {
            memcpy(table->address, members[i].peer_address, sizeof table->address);
        } else if (members[i].peer_address[0] != '\0') {
            table->members[table->count++] = members[i];
        }
    }
    if (tt_mailbox_post_answer(tt_loop_mailbox(transport->loop), &table->msg) != 0) {
        tt_free(table); /* stopped: there are no connections to change */
    }
}

void tt_transport_set_peers(struct tt_transport *transport, const struct tt_member *members,
                            size_t count)
{
    post_peers(transport, members, count, false);
}

void tt_transport_hint_peers(struct tt_transport *transport, const struct tt_member *members,
                             size_t count)
{
    post_peers(transport, members, count, true);
}

struct committed_msg {
    struct tt_msg msg;               /* to the net loop */
    struct tt_transport *transport;  /* its loop runs us */
    uint64_t index;                  /* of membership */
    struct tt_membership membership; /* the newest that is committed */
};

/* A removed server may have been taken in as a newer one, before this was known here. */
static void committed_run(struct tt_msg *msg)
{
    struct committed_msg *told = TT_CONTAINER_OF(msg, struct committed_msg, msg);
    struct tt_transport *transport = told->transport;
    struct tt_list *head = &transport->peers;
    transport->committed = told->membership;
    transport->committed_index = told->index;
    for (struct tt_list *node = head->next; node != head && !transport->stopping;) {
        struct peer *peer = TT_CONTAINER_OF(node, struct peer, node);
        node = node->next;
        if (tt_membership_proves_removed(&told->membership, told->index, peer->id)) {
            tt_transport_peer_remove(peer);
        }
    }
    abort_strangers(transport);
    tt_free(told);
}

void tt_transport_set_committed(struct tt_transport *transport, uint64_t index,
                                const struct tt_membership *membership)
{
    struct committed_msg *told = TT_NEW(struct committed_msg);
    told->msg.run = committed_run;
    told->transport = transport;
    told->index = index;
    told->membership = *membership;
    if (tt_mailbox_post_answer(tt_loop_mailbox(transport->loop), &told->msg) != 0) {
        tt_free(told); /* stopped: nobody dials us any more */
    }
}

struct recheck_msg {
    struct tt_msg msg;              /* to the net loop */
    struct tt_transport *transport; /* its loop runs us */
};

static bool is_revoked(struct tt_tls_context *tls, const struct tt_tls_stream *stream)
{
    const struct tt_peer_identity *identity = tt_tls_stream_peer(stream);
    return identity != NULL && tt_tls_context_is_revoked(tls, identity);
}

static void recheck_peer(struct peer *peer)
{
    struct tt_transport *transport = peer->transport;
    for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
        struct link *link = &peer->links[i];
        if (link->stream != NULL && is_revoked(transport->config.client_tls, link->stream)) {
            transport->stats.cut_count++;
            tt_transport_link_cut(link);
        }
    }
}

static void recheck_run(struct tt_msg *msg)
{
    struct recheck_msg *recheck = TT_CONTAINER_OF(msg, struct recheck_msg, msg);
    struct tt_transport *transport = recheck->transport;
    struct tt_list *head = &transport->peers;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        recheck_peer(TT_CONTAINER_OF(node, struct peer, node));
    }
    head = &transport->inbounds;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct inbound *inbound = TT_CONTAINER_OF(node, struct inbound, node);
        if (!inbound->doomed && is_revoked(transport->config.server_tls, inbound->stream)) {
            transport->stats.cut_count++;
            tt_transport_inbound_abort(inbound);
        }
    }
    tt_free(recheck);
}

void tt_transport_recheck(struct tt_transport *transport)
{
    struct recheck_msg *recheck = TT_NEW(struct recheck_msg);
    recheck->msg.run = recheck_run;
    recheck->transport = transport;
    if (tt_mailbox_post_answer(tt_loop_mailbox(transport->loop), &recheck->msg) != 0) {
        tt_free(recheck); /* stopped: nothing to cut */
    }
}

/* ---- the net loop -------------------------------------------------------------------------- */

static void on_turn(void *ctx)
{
    struct tt_transport *transport = ctx;
    while (!tt_list_empty(&transport->dirty)) {
        tt_transport_link_flush(TT_CONTAINER_OF(transport->dirty.next, struct link, dirty_node));
    }
}

static void on_sweep(struct tt_timer *timer)
{
    struct tt_transport *transport = TT_CONTAINER_OF(timer, struct tt_transport, sweep);
    uint64_t now_ms = tt_loop_now_ms(transport->loop);
    struct tt_list *head = &transport->inbounds;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct inbound *inbound = TT_CONTAINER_OF(node, struct inbound, node);
        if (inbound->peer_id == 0 && now_ms - inbound->opened_ms > HELLO_MS) {
            tt_transport_inbound_abort(inbound);
        }
    }
    tell_stats(transport);
}

static void on_sweep_closed(struct tt_timer *timer)
{
    tt_transport_release(TT_CONTAINER_OF(timer, struct tt_transport, sweep));
}

static void on_listener_closed(void *ctx)
{
    tt_transport_release(ctx);
}

static void close_all(void *ctx)
{
    struct tt_transport *transport = ctx;
    transport->stopping = true;
    tell_stats(transport);
    tt_tls_listener_close(transport->listener, on_listener_closed, transport);
    transport->listener = NULL;
    tt_timer_close(&transport->sweep, on_sweep_closed);
    while (!tt_list_empty(&transport->peers)) {
        tt_transport_peer_remove(TT_CONTAINER_OF(transport->peers.next, struct peer, node));
    }
    struct tt_list *head = &transport->inbounds;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        tt_transport_inbound_abort(TT_CONTAINER_OF(node, struct inbound, node));
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static uint32_t u32_or(uint32_t value, uint32_t fallback)
{
    return value > 0 ? value : fallback;
}

static int config_copy(struct tt_transport *transport, const struct tt_transport_config *config,
                       struct tt_err *err)
{
    int cluster = snprintf(transport->cluster, sizeof transport->cluster, "%s", config->cluster);
    int id =
        snprintf(transport->cluster_id, sizeof transport->cluster_id, "%s", config->cluster_id);
    if (cluster < 0 || (size_t)cluster >= sizeof transport->cluster || id < 0 ||
        (size_t)id >= sizeof transport->cluster_id) {
        return TT_FAIL(err, TT_EINVAL, "cluster name or id is too long");
    }
    struct tt_transport_config *own = &transport->config;
    *own = *config;
    own->cluster = transport->cluster;
    own->cluster_id = transport->cluster_id;
    own->host = NULL; /* only needed to bind */
    own->queue_size_max = config->queue_size_max > 0 ? config->queue_size_max : QUEUE_SIZE_DEFAULT;
    own->receive_window_size =
        config->receive_window_size > 0 ? config->receive_window_size : WINDOW_SIZE_DEFAULT;
    own->user_timeout_ms = u32_or(config->user_timeout_ms, USER_TIMEOUT_MS_DEFAULT);
    own->backoff_ms_min = u32_or(config->backoff_ms_min, BACKOFF_MS_MIN_DEFAULT);
    own->backoff_ms_max = u32_or(config->backoff_ms_max, BACKOFF_MS_MAX_DEFAULT);
    return 0;
}

static int transport_setup(struct tt_transport *transport, const struct tt_transport_config *config,
                           struct tt_err *err)
{
    struct tt_loop_config loop = {.name = "net",
                                  .mailbox_max = NET_MAILBOX_MAX,
                                  .on_stop = close_all,
                                  .on_turn = on_turn,
                                  .ctx = transport};
    int r = config_copy(transport, config, err);
    if (r != 0) {
        return r;
    }
    transport->loop = tt_loop_new(&loop, err);
    if (transport->loop == NULL) {
        return TT_WRAP(err, TT_EINTERNAL, "create the net loop");
    }
    struct tt_tls_listener_config listener = {.loop = transport->loop,
                                              .host = config->host,
                                              .port = config->port,
                                              .accepted = tt_transport_accept,
                                              .ctx = transport};
    r = tt_tls_listener_new(&listener, &transport->listener, err);
    if (r != 0) {
        tt_loop_free(transport->loop);
        return r;
    }
    transport->port = tt_tls_listener_port(transport->listener);
    tt_timer_init(&transport->sweep, transport->loop, on_sweep);
    tt_timer_start(&transport->sweep, SWEEP_MS, SWEEP_MS);
    transport->pending = 2;
    return 0;
}

int tt_transport_new(const struct tt_transport_config *config, struct tt_transport **ret_transport,
                     struct tt_err *err)
{
    TT_ASSERT(config->self_id > 0 && config->received != NULL && config->deliver_to != NULL);
    TT_ASSERT(config->incarnation != 0 && config->book != NULL && config->disowned != NULL);
    struct tt_transport *transport = TT_NEW(struct tt_transport);
    tt_list_init(&transport->peers);
    tt_list_init(&transport->inbounds);
    tt_list_init(&transport->dirty);
    tt_rng_seed(&transport->rng, tt_random_u64());
    int r = transport_setup(transport, config, err);
    if (r != 0) {
        tt_free(transport);
        return TT_WRAP(err, r, "set up the peer transport");
    }
    (void)tt_tls_context_ref(config->server_tls); /* the same pointers, kept by the copy */
    (void)tt_tls_context_ref(config->client_tls);
    *ret_transport = transport;
    return 0;
}

uint16_t tt_transport_port(const struct tt_transport *transport)
{
    return transport->port;
}

int tt_transport_start(struct tt_transport *transport, struct tt_err *err)
{
    int r = tt_loop_start(transport->loop, err);
    transport->started = r == 0;
    return r;
}

void tt_transport_stop(struct tt_transport *transport, void (*stopped)(void *ctx), void *ctx)
{
    TT_ASSERT(transport->started && transport->stopped == NULL && stopped != NULL);
    transport->stopped = stopped;
    transport->stopped_ctx = ctx;
    tt_loop_stop(transport->loop);
}

void tt_transport_free(struct tt_transport *transport)
{
    if (transport == NULL) {
        return;
    }
    if (!transport->started) {
        close_all(transport);
    }
    tt_loop_free(transport->loop);
    TT_ASSERT(transport->pending == 0);
    tt_tls_context_unref(transport->config.server_tls);
    tt_tls_context_unref(transport->config.client_tls);
    tt_free(transport);
}

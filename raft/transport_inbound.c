#include "base/intmath.h"
#include "base/log.h"
#include "raft/transport_internal.h"

/* An accepted connection.
 *
 * Happy path: handshake → hello: the certificate is a server of our cluster, the claimed member id
 * is in the peer table under that very name, and it wants us → accept frame → every further frame
 * is delivered to the core, those of one read as one chain (one lock, one wake).
 *
 * Newer members: who joins knows nobody yet, and who was away for long does not know who joined
 * meanwhile, perhaps not even the leader that would tell. Ids only grow, so a server of the cluster
 * with an id above all we know of is taken in, at the address it names; a smaller one that is not
 * in the table was removed and is refused.
 *
 * Removed ones: who is provably removed (membership.h) is told so, with the index of the
 * configuration that proves it, and the connection ends.
 *
 * Lost memories: an id that comes with another data directory than before is refused, too.
 *
 * Back-pressure: the core confirms, by sending a delivery back, what it has taken; every quarter of
 * the window asks for one. With a full window outstanding we stop reading, so TCP stops the peer,
 * and the peer's queue bound does the rest. The core's mailbox is never "full" for us: what is in
 * it is bounded by windows.
 *
 * Failure modes: anything invalid aborts the connection and is counted; a second connection of the
 * same peer and channel replaces the first (the peer came back before TCP noticed). */

void tt_transport_inbound_abort(struct inbound *inbound)
{
    if (!inbound->doomed) {
        inbound->doomed = true;
        tt_tls_stream_abort(inbound->stream);
    }
}

/* A server we cannot know yet, as a peer; NULL when it is none. */
static struct peer *newer_peer(struct tt_transport *transport, const struct tt_hello *hello,
                               const struct tt_peer_identity *identity)
{
    size_t count = 0;
    for (struct tt_list *node = transport->peers.next; node != &transport->peers;
         node = node->next) {
        count++;
    }
    if (hello->from <= transport->known_id_max || hello->from == transport->config.self_id ||
        hello->address[0] == '\0' || strlen(identity->name) >= TT_NAME_SIZE ||
        count >= 2 * TT_MEMBERS_MAX || transport->stopping) {
        return NULL;
    }
    struct tt_member member = {.id = hello->from};
    memcpy(member.name, identity->name, strlen(identity->name) + 1);
    memcpy(member.peer_address, hello->address, strlen(hello->address) + 1);
    tt_transport_peer_add(transport, &member);
    return tt_transport_peer_find(transport, hello->from);
}

/* Neither side may have lost its memory. A peer that has lost its own is called at once: our hello
 * tells it so, and it ends itself with a message. */
static int incarnation_check(struct tt_transport *transport, struct peer *peer,
                             const struct tt_hello *hello, struct tt_err *err)
{
    const struct tt_transport_config *config = &transport->config;
    if (hello->to_incarnation != 0 && hello->to_incarnation != config->incarnation) {
        tt_transport_tell_disowned(transport, peer->id);
        return TT_FAIL(err, TT_EFORBIDDEN, "%s knows this member by another data directory",
                       peer->name);
    }
    int r = tt_peer_book_meet(config->book, hello->from, hello->from_incarnation, err);
    if (r == TT_ECONFLICT) {
        tt_transport_link_hasten(&peer->links[TT_TRANSPORT_FAST]);
    }
    return r != TT_OK ? TT_WRAP(err, TT_EFORBIDDEN, "%s", peer->name) : TT_OK;
}

/* Says so; the connection then ends by itself. */
static void tell_removed(struct inbound *inbound)
{
    uint8_t *index;
    uint8_t header[TT_FRAME_HEADER_SIZE];
    struct tt_bytes *payload = tt_bytes_new_uninit(TT_FRAME_REMOVED_SIZE, &index);
    tt_le64_put(index, inbound->transport->committed_index);
    tt_frame_header(header, TT_FRAME_REMOVED, &payload, 1);
    int r = tt_tls_stream_write(inbound->stream, tt_str((const char *)header, sizeof header));
    if (r == 0) {
        r = tt_tls_stream_write(inbound->stream, tt_bytes_view(payload));
    }
    TT_ASSERT(r == 0); /* the only bytes we ever write */
    tt_bytes_unref(payload);
    inbound->doomed = true;
    tt_tls_stream_close(inbound->stream);
}

static int hello_check(struct inbound *inbound, const struct tt_hello *hello,
                       const struct tt_peer_identity *identity, struct tt_err *err)
{
    struct tt_transport *transport = inbound->transport;
    struct peer *peer = tt_transport_peer_find(transport, hello->from);
    if (identity == NULL || identity->role != TT_IDENTITY_SERVER ||
        strcmp(identity->cluster, transport->cluster) != 0) {
        return TT_FAIL(err, TT_EFORBIDDEN, "%s is not a server of this cluster",
                       identity != NULL ? identity->uri : "an unknown peer");
    }
    if (hello->to != transport->config.self_id ||
        strcmp(hello->cluster_id, transport->cluster_id) != 0) {
        return TT_FAIL(err, TT_EFORBIDDEN, "%s looks for member %llu of cluster %s", identity->uri,
                       (unsigned long long)hello->to, hello->cluster_id);
    }
    if (tt_membership_proves_removed(&transport->committed, transport->committed_index,
                                     hello->from)) {
        tell_removed(inbound);
        return TT_FAIL(err, TT_EFORBIDDEN, "%s comes as member %llu, which was removed",
                       identity->uri, (unsigned long long)hello->from);
    }
    if (peer == NULL) {
        peer = newer_peer(transport, hello, identity);
    }
    if (peer == NULL) {
        return TT_FAIL(err, TT_EFORBIDDEN,
                       "%s comes as member %llu, which is none here: removed, or not added yet",
                       identity->uri, (unsigned long long)hello->from);
    }
    if (strcmp(peer->name, identity->name) != 0) {
        return TT_FAIL(err, TT_EFORBIDDEN, "%s claims to be member %llu", identity->uri,
                       (unsigned long long)hello->from);
    }
    return incarnation_check(transport, peer, hello, err);
}

static void replace_older(struct inbound *fresh)
{
    struct tt_list *head = &fresh->transport->inbounds;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct inbound *other = TT_CONTAINER_OF(node, struct inbound, node);
        if (other != fresh && other->peer_id == fresh->peer_id &&
            other->channel == fresh->channel) {
            tt_transport_inbound_abort(other);
        }
    }
}

static int accept_peer(struct inbound *inbound, const struct tt_frame *frame, struct tt_err *err)
{
    struct tt_hello hello;
    uint8_t header[TT_FRAME_HEADER_SIZE];
    if (frame->type != TT_FRAME_HELLO) {
        return TT_FAIL(err, TT_EPROTO, "a frame before the hello");
    }
    struct tt_str payload = tt_str((const char *)frame->payload->ptr, frame->payload->size);
    int r = tt_hello_decode(payload, &hello, err);
    if (r == 0) {
        r = hello_check(inbound, &hello, tt_tls_stream_peer(inbound->stream), err);
    }
    if (r != 0) {
        return r;
    }
    inbound->peer_id = hello.from;
    inbound->channel = hello.channel;
    inbound->reader.size_max = TT_TRANSPORT_FRAME_SIZE_MAX;
    replace_older(inbound);
    struct peer *peer = tt_transport_peer_find(inbound->transport, hello.from);
    tt_transport_link_hasten(&peer->links[TT_TRANSPORT_FAST]);
    tt_frame_header(header, TT_FRAME_ACCEPT, NULL, 0);
    r = tt_tls_stream_write(inbound->stream, tt_str((const char *)header, sizeof header));
    TT_ASSERT(r == 0); /* the only bytes we ever write */
    tt_tls_stream_flush(inbound->stream);
    return 0;
}

/* Where the frames of an accepted connection are accounted. Its peer is in the table, or the
 * connection would have been aborted with it. */
static struct intake *intake_of(const struct inbound *inbound)
{
    struct peer *peer = tt_transport_peer_find(inbound->transport, inbound->peer_id);
    TT_ASSERT(peer != NULL);
    return &peer->intakes[inbound->channel];
}

/* Takes the payload. */
static struct delivery *delivery_new(struct inbound *inbound, const struct tt_frame *frame)
{
    struct tt_transport *transport = inbound->transport;
    struct intake *intake = intake_of(inbound);
    struct delivery *delivery = TT_NEW(struct delivery);
    delivery->msg.run = tt_transport_delivery_run;
    delivery->transport = transport;
    delivery->peer_id = inbound->peer_id;
    delivery->intake_serial = intake->serial;
    delivery->type = frame->type;
    delivery->payload = frame->payload;
    intake->delivered_size += frame->payload->size + FRAME_COST;
    if (intake->delivered_size - intake->requested_size >=
        transport->config.receive_window_size / 4) {
        intake->requested_size = intake->delivered_size;
        delivery->confirm_size = intake->delivered_size;
    }
    transport->stats.received_count++;
    return delivery;
}

static bool window_is_full(const struct tt_transport *transport, const struct intake *intake)
{
    return intake->delivered_size - intake->confirmed_size >= transport->config.receive_window_size;
}

static void chain_free(struct tt_msg *first)
{
    while (first != NULL) {
        struct delivery *delivery = TT_CONTAINER_OF(first, struct delivery, msg);
        first = first->next;
        tt_bytes_unref(delivery->payload);
        tt_free(delivery);
    }
}

static void chain_post(struct inbound *inbound, struct tt_msg *first, struct tt_msg *last)
{
    struct tt_transport *transport = inbound->transport;
    if (first != NULL && tt_mailbox_post_answers(transport->config.deliver_to, first, last) != 0) {
        chain_free(first); /* the core has closed its mailbox: it is going down */
    }
    if (!inbound->paused && !inbound->doomed && inbound->peer_id != 0 &&
        window_is_full(transport, intake_of(inbound))) {
        inbound->paused = true;
        tt_tls_stream_pause(inbound->stream, true);
    }
}

/* All complete frames of one read; a negative code when the peer must go. */
static int take_frames(struct inbound *inbound, struct tt_str bytes, struct tt_err *err)
{
    struct tt_msg *first = NULL;
    struct tt_msg *last = NULL;
    struct tt_frame frame = {0};
    int r = 0;
    while ((r = tt_frame_read(&inbound->reader, &bytes, &frame, err)) == 1) {
        if (inbound->peer_id == 0) {
            r = accept_peer(inbound, &frame, err);
            tt_bytes_unref(frame.payload);
        } else if (frame.type < TT_TRANSPORT_TYPE_MIN) {
            r = TT_FAIL(err, TT_EPROTO, "a frame of the reserved type %u", (unsigned)frame.type);
            tt_bytes_unref(frame.payload);
        } else {
            struct delivery *delivery = delivery_new(inbound, &frame);
            if (last != NULL) {
                last->next = &delivery->msg;
            } else {
                first = &delivery->msg;
            }
            last = &delivery->msg;
        }
        if (r < 0) {
            break;
        }
    }
    chain_post(inbound, first, last);
    return r;
}

static void on_data(void *ctx, struct tt_tls_stream *stream, struct tt_str bytes)
{
    struct inbound *inbound = ctx;
    struct tt_err err;
    if (inbound->doomed) {
        return;
    }
    tt_err_init(&err);
    int r = take_frames(inbound, bytes, &err);
    if (r < 0) {
        struct tt_transport_stats *stats = &inbound->transport->stats;
        stats->invalid_count++;
        stats->refused_count += r == TT_EFORBIDDEN;
        TT_LOG(TT_LOG_WARN, "transport", "incoming connection closed",
               TT_F_C("remote", tt_tls_stream_remote(stream)), TT_F_ERR(&err));
        tt_transport_inbound_abort(inbound);
    }
}

static void on_opened(void *ctx, struct tt_tls_stream *stream)
{
    struct inbound *inbound = ctx;
    if (!tt_str_eq_c(tt_tls_stream_alpn(stream), TT_TRANSPORT_ALPN)) {
        inbound->transport->stats.invalid_count++;
        tt_transport_inbound_abort(inbound);
    }
}

static void on_closed(void *ctx, struct tt_tls_stream *stream, const struct tt_err *err)
{
    struct inbound *inbound = ctx;
    struct tt_transport *transport = inbound->transport;
    if (err != NULL && !inbound->doomed) {
        TT_LOG(TT_LOG_DEBUG, "transport", "incoming connection ended",
               TT_F_C("remote", tt_tls_stream_remote(stream)), TT_F_ERR(err));
    }
    tt_list_remove(&inbound->node);
    tt_frame_reader_fini(&inbound->reader);
    tt_free(inbound);
    transport->inbound_count--;
    tt_transport_release(transport);
}

void tt_transport_accept(void *ctx, int fd, const char *remote)
{
    struct tt_transport *transport = ctx;
    struct tt_err err;
    tt_err_init(&err);
    struct inbound *inbound = TT_NEW(struct inbound);
    struct tt_tls_stream_config config = {
        .loop = transport->loop,
        .tls = transport->config.server_tls,
        .write_queue_max = 4 * TT_FRAME_HEADER_SIZE,
        .handshake_timeout_ms = transport->config.user_timeout_ms,
        .user_timeout_ms = transport->config.user_timeout_ms,
        .events = {on_opened, on_data, NULL, on_closed},
        .ctx = inbound,
    };
    inbound->transport = transport;
    inbound->opened_ms = tt_loop_now_ms(transport->loop);
    tt_frame_reader_init(&inbound->reader, TT_HELLO_SIZE_MAX);
    if (tt_tls_stream_accept(&config, fd, &inbound->stream, &err) != 0) {
        TT_LOG(TT_LOG_DEBUG, "transport", "cannot accept", TT_F_C("remote", remote),
               TT_F_ERR(&err));
        tt_free(inbound);
        return;
    }
    tt_list_push_back(&transport->inbounds, &inbound->node);
    transport->inbound_count++;
    transport->pending++;
    if (transport->inbound_count > INBOUND_MAX) {
        transport->stats.invalid_count++;
        tt_transport_inbound_abort(inbound);
    }
}

static struct peer *peer_of_intake(struct tt_transport *transport, uint64_t serial,
                                   unsigned *ret_channel)
{
    struct tt_list *head = &transport->peers;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct peer *peer = TT_CONTAINER_OF(node, struct peer, node);
        for (unsigned channel = 0; channel < CHANNEL_COUNT; channel++) {
            if (peer->intakes[channel].serial == serial) {
                *ret_channel = channel;
                return peer;
            }
        }
    }
    return NULL;
}

void tt_transport_intake_confirm(struct tt_transport *transport, uint64_t serial, uint64_t size)
{
    unsigned channel = 0;
    struct peer *peer = peer_of_intake(transport, serial, &channel);
    if (peer == NULL) {
        return; /* the member left */
    }
    struct intake *intake = &peer->intakes[channel];
    TT_ASSERT(size <= intake->delivered_size && size >= intake->confirmed_size);
    intake->confirmed_size = size;
    if (window_is_full(transport, intake)) {
        return;
    }
    struct tt_list *head = &transport->inbounds;
    for (struct tt_list *node = head->next; node != head; node = node->next) {
        struct inbound *inbound = TT_CONTAINER_OF(node, struct inbound, node);
        if (inbound->peer_id == peer->id && inbound->channel == channel && inbound->paused &&
            !inbound->doomed) {
            inbound->paused = false;
            tt_tls_stream_pause(inbound->stream, false);
        }
    }
}

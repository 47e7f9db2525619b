#include <stdio.h>

#include "base/intmath.h"
#include "base/log.h"
#include "raft/transport_internal.h"

/* The outgoing connection to one peer on one channel.
 *
 *   IDLE → DIALING → READY
 *     ↑       ↓        ↓
 *     └──── BACKOFF ←──┘        (FAST dials again by itself, BULK when a frame comes)
 *
 * Happy path: dial, expecting the peer's SPIFFE id; send the hello and whatever has queued; the
 * peer accepts; frames flow. A frame's bytes are copied once, into the stream's ring, as far as
 * that has room; the rest stays in our queue as references.
 *
 * Failure modes: no connection → frames are dropped while we wait to dial again (raft sends anew,
 * stale frames help nobody), or until the peer reaches us and so is up again; the queue passes its
 * maximum → the connection is aborted and the queue dropped; the peer refuses or goes away →
 * back-off, doubling with jitter, reset once accepted. */

static void link_dial(struct link *link);

void tt_transport_frame_free(struct out_frame *frame)
{
    for (size_t i = 0; i < frame->part_count; i++) {
        tt_bytes_unref(frame->parts[i]);
    }
    tt_free(frame);
}

static struct tt_transport *transport_of(const struct link *link)
{
    return link->peer->transport;
}

static size_t cost_of(const struct out_frame *frame)
{
    return frame->size + FRAME_COST;
}

static void queue_remove(struct link *link, struct out_frame *frame)
{
    TT_ASSERT(link->queue_size >= cost_of(frame));
    link->queue_size -= cost_of(frame);
    transport_of(link)->stats.queued_size -= cost_of(frame);
    tt_list_remove(&frame->node);
    tt_transport_frame_free(frame);
    link->started = false;
    link->part_at = 0;
    link->offset = 0;
}

static void queue_drop(struct link *link)
{
    while (!tt_list_empty(&link->queue)) {
        transport_of(link)->stats.dropped_count++;
        queue_remove(link, TT_CONTAINER_OF(link->queue.next, struct out_frame, node));
    }
    TT_ASSERT(link->queue_size == 0);
}

/* One of the peer's handles or streams is gone. */
static void peer_release(struct peer *peer)
{
    TT_ASSERT(peer->pending > 0);
    if (--peer->pending > 0 || !peer->removed) {
        return;
    }
    struct tt_transport *transport = peer->transport;
    tt_free(peer);
    tt_transport_release(transport);
}

static void mark_dirty(struct link *link)
{
    if (tt_list_empty(&link->dirty_node)) {
        tt_list_push_back(&transport_of(link)->dirty, &link->dirty_node);
    }
}

/* The bytes to write next of the oldest frame: its header, then its parts. */
static struct tt_str piece_of(struct link *link, struct out_frame *frame)
{
    if (!link->started) {
        tt_frame_header(frame->header, frame->type, frame->parts, frame->part_count);
        link->started = true;
    }
    struct tt_str piece = tt_str((const char *)frame->header, TT_FRAME_HEADER_SIZE);
    if (link->part_at > 0) {
        const struct tt_bytes *part = frame->parts[link->part_at - 1];
        piece = tt_str((const char *)part->ptr, part->size);
    }
    return tt_str_skip(piece, link->offset);
}

/* Moves as much as fits from the queue into the stream. */
static void pump(struct link *link)
{
    while (link->stream != NULL && !tt_list_empty(&link->queue)) {
        struct out_frame *frame = TT_CONTAINER_OF(link->queue.next, struct out_frame, node);
        struct tt_str piece = piece_of(link, frame);
        size_t room = STREAM_QUEUE_SIZE - tt_tls_stream_queued(link->stream);
        size_t size = tt_size_min(piece.len, room);
        if (tt_tls_stream_write(link->stream, tt_str_head(piece, size)) != 0 ||
            (size == 0 && piece.len > 0)) {
            return; /* full or closing: `writable` or `closed` comes */
        }
        link->offset += size;
        if (size < piece.len) {
            continue;
        }
        link->offset = 0;
        if (link->part_at++ == frame->part_count) {
            transport_of(link)->stats.sent_count++;
            queue_remove(link, frame);
        }
    }
}

void tt_transport_link_flush(struct link *link)
{
    tt_list_remove(&link->dirty_node);
    if (link->state == LINK_READY) {
        pump(link);
    }
    if (link->stream != NULL) {
        tt_tls_stream_flush(link->stream);
    }
}

/* Nothing more can be sent on the connection: forget what waited for it. */
static void link_down(struct link *link)
{
    struct tt_transport *transport = transport_of(link);
    bool was_ready = link->state == LINK_READY;
    queue_drop(link);
    tt_list_remove(&link->dirty_node);
    tt_frame_reader_fini(&link->reader);
    if (was_ready && link->channel == TT_TRANSPORT_FAST) {
        tt_transport_tell_reach(transport, link->peer->id, TT_TRANSPORT_LOST);
    }
    if (link->state == LINK_GONE) {
        return;
    }
    link->state = LINK_BACKOFF;
    if (was_ready) {
        /* Soon: whether the peer's process is gone is what the core wants to know first. */
        link->backoff_ms = transport->config.backoff_ms_min;
        tt_timer_start(&link->backoff, REDIAL_MS, 0);
        return;
    }
    uint64_t wait_ms = link->backoff_ms / 2 + tt_rng_below(&transport->rng, link->backoff_ms);
    tt_timer_start(&link->backoff, wait_ms, 0);
    link->backoff_ms =
        (uint32_t)tt_u64_min((uint64_t)link->backoff_ms * 2, transport->config.backoff_ms_max);
}

void tt_transport_link_cut(struct link *link)
{
    struct tt_tls_stream *stream = link->stream;
    if (stream != NULL) {
        link->stream = NULL; /* its `closed` then only releases */
        link_down(link);
        tt_tls_stream_abort(stream);
    }
}

static void on_backoff(struct tt_timer *timer)
{
    struct link *link = TT_CONTAINER_OF(timer, struct link, backoff);
    TT_ASSERT(link->state == LINK_BACKOFF && link->stream == NULL);
    if (link->channel == TT_TRANSPORT_FAST) {
        link_dial(link);
    } else {
        link->state = LINK_IDLE;
    }
}

void tt_transport_link_hasten(struct link *link)
{
    if (link->state == LINK_BACKOFF) {
        link->backoff_ms = transport_of(link)->config.backoff_ms_min;
        tt_timer_start(&link->backoff, 0, 0);
    }
}

static void on_opened(void *ctx, struct tt_tls_stream *stream)
{
    struct link *link = ctx;
    if (link->stream != stream) {
        return; /* cut already */
    }
    struct tt_transport *transport = transport_of(link);
    if (!tt_str_eq_c(tt_tls_stream_alpn(stream), TT_TRANSPORT_ALPN)) {
        TT_LOG(TT_LOG_WARN, "transport", "peer speaks another protocol",
               TT_F_C("name", link->peer->name));
        tt_transport_link_cut(link);
        return;
    }
    struct tt_hello hello = {.from = transport->config.self_id,
                             .to = link->peer->id,
                             .from_incarnation = transport->config.incarnation,
                             .to_incarnation =
                                 tt_peer_book_known(transport->config.book, link->peer->id),
                             .channel = (uint8_t)link->channel};
    memcpy(hello.cluster_id, transport->cluster_id, sizeof hello.cluster_id);
    _Static_assert(sizeof hello.address == sizeof transport->address, "copied whole");
    memcpy(hello.address, transport->address, sizeof hello.address);
    struct tt_bytes *payload = tt_hello_encode(&hello);
    uint8_t header[TT_FRAME_HEADER_SIZE];
    tt_frame_header(header, TT_FRAME_HELLO, &payload, 1);
    int r = tt_tls_stream_write(stream, tt_str((const char *)header, sizeof header));
    if (r == 0) {
        r = tt_tls_stream_write(stream, tt_str((const char *)payload->ptr, payload->size));
    }
    TT_ASSERT(r == 0); /* an open stream with an empty queue has room */
    tt_bytes_unref(payload);
    mark_dirty(link);
}

/* What a peer's word that we are no member any more is worth, the core decides. */
static bool is_removal(const struct link *link, const struct tt_frame *frame)
{
    return frame->type == TT_FRAME_REMOVED && frame->payload->size == TT_FRAME_REMOVED_SIZE &&
           link->state == LINK_DIALING;
}

/* The peer only ever says that it accepts us, or that we were removed. */
static void on_data(void *ctx, struct tt_tls_stream *stream, struct tt_str bytes)
{
    struct link *link = ctx;
    struct tt_frame frame = {0};
    struct tt_err err;
    if (link->stream != stream) {
        return;
    }
    tt_err_init(&err);
    int r = tt_frame_read(&link->reader, &bytes, &frame, &err);
    if (r == 0) {
        return;
    }
    bool valid = r == 1 && frame.type == TT_FRAME_ACCEPT && frame.payload->size == 0 &&
                 bytes.len == 0 && link->state == LINK_DIALING;
    bool removed = r == 1 && is_removal(link, &frame);
    if (removed) {
        tt_transport_tell_removed(transport_of(link), link->peer->id,
                                  tt_le64_get(frame.payload->ptr));
    }
    tt_bytes_unref(frame.payload);
    if (removed) {
        tt_transport_link_cut(link);
        return;
    }
    if (!valid) {
        transport_of(link)->stats.invalid_count++;
        TT_LOG(TT_LOG_WARN, "transport", "invalid answer of a peer",
               TT_F_C("name", link->peer->name));
        tt_transport_link_cut(link);
        return;
    }
    link->state = LINK_READY;
    link->backoff_ms = transport_of(link)->config.backoff_ms_min;
    transport_of(link)->stats.connect_count++;
    mark_dirty(link);
    if (link->channel == TT_TRANSPORT_FAST) {
        tt_transport_tell_reach(transport_of(link), link->peer->id, TT_TRANSPORT_CONNECTED);
    }
}

static void on_writable(void *ctx, struct tt_tls_stream *stream)
{
    struct link *link = ctx;
    if (link->stream == stream) {
        mark_dirty(link);
    }
}

static void log_failure(const struct link *link, const struct tt_err *err)
{
    if (err != NULL) {
        TT_LOG(TT_LOG_DEBUG, "transport", "connection to a peer failed",
               TT_F_C("name", link->peer->name), TT_F_ERR(err));
    }
}

static void on_closed(void *ctx, struct tt_tls_stream *stream, const struct tt_err *err)
{
    struct link *link = ctx;
    if (link->stream == stream) {
        link->stream = NULL;
        log_failure(link, err);
        if (link->channel == TT_TRANSPORT_FAST && tt_tls_stream_refused(stream)) {
            tt_transport_tell_reach(transport_of(link), link->peer->id, TT_TRANSPORT_ABSENT);
        }
        link_down(link);
    }
    peer_release(link->peer);
}

static void link_dial(struct link *link)
{
    struct peer *peer = link->peer;
    struct tt_transport *transport = peer->transport;
    char expected[sizeof((struct tt_peer_identity *)NULL)->uri];
    struct tt_err err;
    tt_err_init(&err);
    TT_ASSERT(link->stream == NULL && link->state != LINK_GONE);
    tt_frame_reader_init(&link->reader, TT_FRAME_REMOVED_SIZE); /* the larger answer */
    struct tt_tls_stream_config config = {
        .loop = transport->loop,
        .tls = transport->config.client_tls,
        .server_name = expected,
        .write_queue_max = STREAM_QUEUE_SIZE,
        .handshake_timeout_ms = transport->config.user_timeout_ms,
        .user_timeout_ms = transport->config.user_timeout_ms,
        .events = {on_opened, on_data, on_writable, on_closed},
        .ctx = link,
    };
    link->state = LINK_DIALING;
    int r = tt_identity_format(transport->cluster, TT_IDENTITY_SERVER, tt_str_c(peer->name),
                               expected, sizeof expected, &err);
    if (r == 0) {
        r = tt_tls_stream_connect(&config, peer->host, peer->port, &link->stream, &err);
    }
    if (r != 0) {
        link->stream = NULL;
        TT_LOG(TT_LOG_WARN, "transport", "cannot dial a peer", TT_F_C("name", peer->name),
               TT_F_ERR(&err));
        link_down(link);
        return;
    }
    peer->pending++;
}

void tt_transport_link_enqueue(struct link *link, struct out_frame *frame)
{
    struct tt_transport *transport = transport_of(link);
    if (link->state == LINK_IDLE) {
        link_dial(link);
    }
    if (link->state != LINK_READY && link->state != LINK_DIALING) {
        transport->stats.dropped_count++;
        tt_transport_frame_free(frame);
        return;
    }
    size_t size_max = transport->config.queue_size_max;
    if (cost_of(frame) > size_max || link->queue_size > size_max - cost_of(frame)) {
        TT_LOG(TT_LOG_WARN, "transport", "a peer does not keep up: connection dropped",
               TT_F_C("name", link->peer->name), TT_F_U64("queued_size", link->queue_size));
        transport->stats.overflow_count++;
        transport->stats.dropped_count++;
        tt_transport_frame_free(frame);
        tt_transport_link_cut(link);
        return;
    }
    tt_list_push_back(&link->queue, &frame->node);
    link->queue_size += cost_of(frame);
    transport->stats.queued_size += cost_of(frame);
    transport->stats.queued_size_peak =
        tt_u64_max(transport->stats.queued_size_peak, transport->stats.queued_size);
    if (link->state == LINK_READY) {
        mark_dirty(link);
    }
}

/* "host:port" or "[v6]:port". */
static bool address_split(struct peer *peer)
{
    struct tt_str text = tt_str_c(peer->address);
    const char *colon = strrchr(peer->address, ':');
    uint64_t port = 0;
    if (colon == NULL || !tt_str_to_u64(tt_str_c(colon + 1), &port) || port == 0 ||
        port > UINT16_MAX) {
        return false;
    }
    struct tt_str host = tt_str_head(text, (size_t)(colon - peer->address));
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = tt_str_head(tt_str_skip(host, 1), host.len - 2);
    }
    if (host.len == 0) {
        return false;
    }
    memcpy(peer->host, host.ptr, host.len); /* shorter than address, which has the same room */
    peer->host[host.len] = '\0';
    peer->port = (uint16_t)port;
    return true;
}

void tt_transport_peer_add(struct tt_transport *transport, const struct tt_member *member)
{
    struct peer *peer = TT_NEW(struct peer);
    peer->transport = transport;
    peer->id = member->id;
    (void)snprintf(peer->name, sizeof peer->name, "%s", member->name); /* same sizes */
    (void)snprintf(peer->address, sizeof peer->address, "%s", member->peer_address);
    if (!address_split(peer)) {
        TT_LOG(TT_LOG_ERROR, "transport", "a member's address is not host:port",
               TT_F_C("name", peer->name), TT_F_C("address", peer->address));
        tt_free(peer);
        return;
    }
    tt_list_push_back(&transport->peers, &peer->node);
    transport->pending++;
    for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
        struct link *link = &peer->links[i];
        link->peer = peer;
        link->channel = (enum tt_transport_channel)i;
        peer->intakes[i].serial = ++transport->intake_serial;
        link->backoff_ms = transport->config.backoff_ms_min;
        tt_list_init(&link->queue);
        tt_list_init(&link->dirty_node);
        tt_timer_init(&link->backoff, transport->loop, on_backoff);
        peer->pending++;
    }
    link_dial(&peer->links[TT_TRANSPORT_FAST]);
}

static void on_backoff_closed(struct tt_timer *timer)
{
    peer_release(TT_CONTAINER_OF(timer, struct link, backoff)->peer);
}

void tt_transport_peer_remove(struct peer *peer)
{
    TT_ASSERT(!peer->removed);
    peer->removed = true;
    tt_list_remove(&peer->node);
    for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
        struct link *link = &peer->links[i];
        bool was_ready = link->state == LINK_READY;
        struct tt_tls_stream *stream = link->stream;
        link->state = LINK_GONE;
        link->stream = NULL;
        link_down(link);
        if (was_ready && i == TT_TRANSPORT_FAST) {
            tt_transport_tell_reach(peer->transport, peer->id, TT_TRANSPORT_LOST);
        }
        if (stream != NULL) {
            tt_tls_stream_abort(stream);
        }
        tt_timer_close(&link->backoff, on_backoff_closed);
    }
}

/* The network between servers: mutually authenticated connections, framed, bounded, on a loop
 * thread of its own.
 *
 * Each server dials every peer and sends on what it dialled; what it accepted it only receives
 * from. Two channels per peer, each its own connection: FAST for raft and requests, BULK (dialled
 * when first used) for snapshot pieces, which must never delay a heartbeat. A frame is u32 payload
 * size | u8 type | 3 zero bytes | u32 CRC-32C of the first 8 bytes and the payload (little-endian),
 * then the payload. The first frame is a hello (transport_frame.h): the peer's certificate must
 * have the role server and the very name that the peer table gives the claimed id; both sides
 * check. It must also come from the data directory that the id is known by (peer_book.h). Anything
 * invalid closes the connection.
 *
 * Delivery may fail at any time and is not reported (raft retries): not connected, or over
 * queue_size_max bytes for a peer and channel, which also closes that connection, so that a hung
 * follower costs a fixed amount of memory. Order holds within a channel while it stays connected.
 *
 * Back-pressure: about receive_window_size bytes of a peer and channel wait for the core (beyond it
 * at most one frame and one read); then it is not read from until the core has caught up.
 *
 * Ownership: see each call. Thread: new/start/stop/free, set_peers, send and recheck from one
 * thread (core) or any one at a time; the callbacks of the config run on the thread that drains
 * `deliver_to`. Errors: new fails when the address cannot be bound. */
#ifndef RAFT_TRANSPORT_H
#define RAFT_TRANSPORT_H

#include "base/buf.h"
#include "base/queue.h"
#include "raft/membership.h"
#include "raft/peer_book.h"
#include "server/store/proposer.h"
#include "server/tls/context.h"

enum {
    TT_TRANSPORT_FRAME_SIZE_MAX = 8 << 20, /* payload bytes */
    TT_TRANSPORT_PARTS_MAX = 256,          /* of one frame */
    TT_TRANSPORT_TYPE_MIN = 8              /* smaller ones are the transport's own */
};
#define TT_TRANSPORT_ALPN "tutti-raft/1"

enum tt_transport_channel { TT_TRANSPORT_FAST, TT_TRANSPORT_BULK };

/* What the FAST connection to a peer says about it. */
enum tt_transport_reach {
    TT_TRANSPORT_LOST,      /* it ended */
    TT_TRANSPORT_CONNECTED, /* the peer accepted it */
    TT_TRANSPORT_ABSENT,    /* its host answers that nobody listens at the peer's address */
};

struct tt_transport_stats {
    uint64_t sent_count;       /* frames given to a connection */
    uint64_t received_count;   /* frames delivered to the core */
    uint64_t dropped_count;    /* frames not sent: no connection, or dropped with an overflow */
    uint64_t overflow_count;   /* connections closed because their queue was full */
    uint64_t invalid_count;    /* connections closed for a bad frame or hello */
    uint64_t refused_count;    /* of them: identity and member id do not belong together */
    uint64_t connect_count;    /* outgoing connections that were accepted by the peer */
    uint64_t queued_size;      /* bytes waiting for sockets now, all peers */
    uint64_t queued_size_peak; /* the largest that ever was */
    uint64_t waiting_size;     /* bytes received that the core has not confirmed, at most */
    uint64_t cut_count;        /* connections closed by a revocation */
};

struct tt_transport_config {
    uint64_t self_id;          /* our member id, never 0 */
    uint64_t incarnation;      /* of our data directory, never 0 */
    struct tt_peer_book *book; /* keeps, alone: by which directories the peers are known */
    const char *cluster;       /* SPIFFE trust domain; copied, like all strings */
    const char *cluster_id;    /* of raft: peers of another one are refused; at most 63 bytes */
    const char *host;          /* numeric address to listen on */
    uint16_t port;             /* 0 = any free one */
    struct tt_tls_context *server_tls; /* refs; both with ALPN TT_TRANSPORT_ALPN */
    struct tt_tls_context *client_tls; /* refs */
    struct tt_mailbox *deliver_to;     /* keeps; open until `stopped` ran */
    /* A frame of a peer. Takes the reference on payload. */
    void (*received)(void *ctx, uint64_t peer_id, uint8_t type, struct tt_bytes *payload);
    void (*reach)(void *ctx, uint64_t peer_id, enum tt_transport_reach reach); /* may be NULL */
    /* The peer knows our member id by another data directory: this one must not go on. */
    void (*disowned)(void *ctx, uint64_t peer_id);
    /* The peer, whom we know and dialled, says that the committed configuration of this index is
     * without us (membership.h). May be NULL. */
    void (*removed)(void *ctx, uint64_t peer_id, uint64_t index);
    /* About once a second when something changed. May be NULL. */
    void (*stats)(void *ctx, const struct tt_transport_stats *stats);
    void *ctx;                  /* keeps */
    size_t queue_size_max;      /* bytes per peer and channel; 0 = 16 MiB */
    size_t receive_window_size; /* bytes per peer and channel; 0 = 4 MiB */
    uint32_t user_timeout_ms;   /* unacknowledged data; 0 = 5 s */
    uint32_t backoff_ms_min;    /* before dialling again, doubling, with jitter; 0 = 50 */
    uint32_t backoff_ms_max;    /* 0 = 2000 */
};

struct tt_transport;
int tt_transport_new(const struct tt_transport_config *config, struct tt_transport **ret_transport,
                     struct tt_err *err) TT_MUST_USE;
uint16_t tt_transport_port(const struct tt_transport *transport);
int tt_transport_start(struct tt_transport *transport, struct tt_err *err) TT_MUST_USE;
/* Replaces the peer table (self and members without an address are skipped). Copies. Connections to
 * and from members that left, or whose name or address changed, are closed. Servers
 * with ids above all that were ever in a table are taken in by themselves, until a table says more.
 */
void tt_transport_set_peers(struct tt_transport *transport, const struct tt_member *members,
                            size_t count);
/* The newest committed configuration: who was removed by it is cut off, and told when it dials.
 * Copies. */
void tt_transport_set_committed(struct tt_transport *transport, uint64_t index,
                                const struct tt_membership *membership);
/* Peers to try before a first table is known: adds them, replaces nothing. Copies. */
void tt_transport_hint_peers(struct tt_transport *transport, const struct tt_member *members,
                             size_t count);
/* One frame: the parts in order. Refs each part; never blocks; wake-ups are coalesced. May lose it.
 */
void tt_transport_send(struct tt_transport *transport, uint64_t peer_id,
                       enum tt_transport_channel channel, uint8_t type,
                       struct tt_bytes *const *parts, size_t part_count);
/* After tt_tls_context_revoke on both contexts: cuts the connections of revoked peers at once. */
void tt_transport_recheck(struct tt_transport *transport);
/* Closes everything; then `stopped` runs through deliver_to as the last message. Call once, after
 * start succeeded. */
void tt_transport_stop(struct tt_transport *transport, void (*stopped)(void *ctx), void *ctx);
/* After `stopped`, or when start was never called. NULL is fine. */
void tt_transport_free(struct tt_transport *transport);
TT_DEFINE_AUTO(tt_transport)

#endif

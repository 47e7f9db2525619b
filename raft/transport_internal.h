/* What the files of the transport share: transport.c (life, messages to and from the core),
 * transport_link.c (outgoing connections), transport_inbound.c (incoming ones).
 *
 * Ownership: as noted. Thread: the net loop, except where a member says core. Errors:
 * end the connection that they are of. */
#ifndef RAFT_TRANSPORT_INTERNAL_H
#define RAFT_TRANSPORT_INTERNAL_H

#include "base/loop.h"
#include "base/rng.h"
#include "raft/transport.h"
#include "raft/transport_frame.h"
#include "server/tls/stream.h"

enum {
    CHANNEL_COUNT = 2,
    INBOUND_MAX = 128,             /* connections, accepted or not yet */
    STREAM_QUEUE_SIZE = 512 << 10, /* what a stream may hold of a peer's queue */
    REDIAL_MS = 10,                /* after an accepted connection ended */
    FRAME_COST = 64                /* bytes a frame counts beyond its payload */
};

/* A frame on its way out. Core makes it, net sends and frees it. */
struct out_frame {
    struct tt_msg msg;                    /* to the net loop */
    struct tt_list node;                  /* in link.queue */
    struct tt_transport *transport;       /* borrowed */
    uint64_t peer_id;                     /* member id; gone from the table: the frame is dropped */
    enum tt_transport_channel channel;    /* whose queue it goes to */
    uint8_t type;                         /* as in the header */
    uint8_t header[TT_FRAME_HEADER_SIZE]; /* filled when sending begins */
    size_t size;                          /* header and payload */
    size_t part_count;                    /* of parts; the payload is their sum */
    struct tt_bytes *parts[];             /* references */
};

enum link_state {
    LINK_IDLE,    /* BULK, not needed yet */
    LINK_BACKOFF, /* the timer runs */
    LINK_DIALING, /* until the peer accepted our hello */
    LINK_READY,
    LINK_GONE /* closing for good */
};

struct peer;
/* The outgoing connection to a peer on one channel. */
struct link {
    struct peer *peer;                 /* borrowed: it contains us */
    enum tt_transport_channel channel; /* FAST is always dialled, BULK when first used */
    enum link_state state;             /* LINK_READY: frames may go out */
    struct tt_tls_stream *stream;      /* NULL: none; belongs to itself */
    struct tt_timer backoff;           /* dials again */
    uint32_t backoff_ms;               /* the next wait, before jitter */
    struct tt_list queue;              /* out_frame, oldest first */
    size_t queue_size;                 /* their bytes, as counted at enqueueing */
    size_t part_at;                    /* of the oldest: part being written; header = part_count */
    size_t offset;                     /* bytes of that part already written */
    bool started;                      /* the oldest frame's header is computed */
    struct tt_list dirty_node;         /* in transport.dirty while a flush is due */
    struct tt_frame_reader reader;     /* of the answer to our hello */
};

/* What came from a peer on one channel and where the core is with it. It outlives connections: a
 * peer that keeps coming back to a core that hangs gets no new window each time. */
struct intake {
    uint64_t serial;         /* names it in confirmations of the core */
    uint64_t delivered_size; /* bytes ever delivered */
    uint64_t requested_size; /* delivered_size when a confirmation was last asked for */
    uint64_t confirmed_size; /* delivered_size the core has caught up with */
};

struct peer {
    struct tt_list node;                  /* in transport.peers or, when removed, nowhere */
    struct tt_transport *transport;       /* borrowed */
    uint64_t id;                          /* member id, never 0, never ours */
    char name[TT_NAME_SIZE];              /* what the certificate must say */
    char address[TT_ADDRESS_SIZE];        /* as given */
    char host[TT_ADDRESS_SIZE];           /* of address */
    uint16_t port;                        /* of address */
    struct link links[CHANNEL_COUNT];     /* indexed by channel */
    struct intake intakes[CHANNEL_COUNT]; /* likewise */
    uint32_t pending;                     /* open streams and timers; freed at 0 once removed */
    bool removed;                         /* closing for good: in no list any more */
};

/* An accepted connection: it only brings frames. */
struct inbound {
    struct tt_list node;            /* in transport.inbounds */
    struct tt_transport *transport; /* borrowed */
    struct tt_tls_stream *stream;   /* belongs to itself; frees us through `closed` */
    struct tt_frame_reader reader;  /* of hello and frames */
    uint64_t peer_id;               /* 0 until a valid hello */
    uint8_t channel;                /* of its hello; enum tt_transport_channel */
    uint64_t opened_ms;             /* for the deadline of the hello */
    bool paused;                    /* not read from until the core has caught up */
    bool doomed;                    /* aborted: deliver nothing more */
};

struct tt_transport {
    struct tt_transport_config config;   /* strings point into the members below */
    char cluster[64];                    /* SPIFFE trust domain */
    char cluster_id[TT_CLUSTER_ID_SIZE]; /* of raft; in every hello */
    char address[TT_ADDRESS_SIZE];       /* ours, as the peer table says; "" = not in it yet */
    uint64_t known_id_max;            /* of all members of all peer tables so far; 0 = none yet */
    struct tt_membership committed;   /* the newest configuration that is; empty: not known */
    uint64_t committed_index;         /* of it */
    struct tt_loop *loop;             /* owned */
    struct tt_tls_listener *listener; /* NULL once closed */
    uint16_t port;                    /* what listener is bound to */
    struct tt_timer sweep;            /* hello deadlines, statistics */
    struct tt_rng rng;                /* jitter */
    struct tt_list peers;             /* struct peer */
    struct tt_list inbounds;          /* struct inbound */
    struct tt_list dirty;             /* struct link */
    size_t inbound_count;             /* of inbounds; a new one beyond INBOUND_MAX is aborted */
    uint64_t intake_serial;           /* last given */
    uint32_t pending;                 /* handles, streams and peers alive; stopped at 0 */
    bool stopping;                    /* nothing is dialled or accepted any more */
    bool started;                     /* core's */
    struct tt_transport_stats stats;  /* net's */
    struct tt_transport_stats stats_told; /* what the core heard last */
    uint64_t refused_posts;               /* core's: frames the net mailbox had no room for */
    void (*stopped)(void *ctx);           /* set before the loop is asked to stop */
    void *stopped_ctx;                    /* of stopped */
};

/* Outgoing side. */
void tt_transport_peer_add(struct tt_transport *transport, const struct tt_member *member);
void tt_transport_peer_remove(struct peer *peer);
void tt_transport_link_enqueue(struct link *link, struct out_frame *frame); /* takes */
void tt_transport_link_flush(struct link *link);
void tt_transport_link_hasten(struct link *link); /* the peer is up: no longer waits to dial */
void tt_transport_link_cut(struct link *link); /* closes the connection; it will be dialled again */
void tt_transport_frame_free(struct out_frame *frame);

/* Incoming side. */
void tt_transport_accept(void *transport, int fd, const char *remote);
void tt_transport_inbound_abort(struct inbound *inbound);
void tt_transport_intake_confirm(struct tt_transport *transport, uint64_t serial, uint64_t size);

/* Shared. */
struct peer *tt_transport_peer_find(struct tt_transport *transport, uint64_t id);
void tt_transport_release(struct tt_transport *transport); /* one less pending */
void tt_transport_tell_disowned(struct tt_transport *transport, uint64_t peer_id);
void tt_transport_tell_removed(struct tt_transport *transport, uint64_t peer_id, uint64_t index);
void tt_transport_tell_reach(struct tt_transport *transport, uint64_t peer_id,
                             enum tt_transport_reach reach);

/* A frame on its way to the core, and back as a confirmation. */
struct delivery {
    struct tt_msg msg;              /* to the core, then back to the net loop */
    struct tt_transport *transport; /* alive until `stopped`, which comes after us */
    uint64_t peer_id;               /* member id; proven by the hello */
    uint64_t intake_serial;         /* whose window it counts in */
    uint64_t confirm_size;          /* delivered_size including us; 0: no confirmation wanted */
    uint8_t type;                   /* as in the frame's header */
    struct tt_bytes *payload;       /* reference, the receiver's */
};
void tt_transport_delivery_run(struct tt_msg *msg); /* core */

#endif

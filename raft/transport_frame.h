/* The wire format between servers, pure: frame header, incremental reader, hello.
 *
 * Ownership: a reader owns the frame it is assembling. Thread: one at a time.
 * Errors: TT_EPROTO for anything invalid: the connection must be closed. */
#ifndef RAFT_TRANSPORT_FRAME_H
#define RAFT_TRANSPORT_FRAME_H

#include "base/buf.h"

enum {
    TT_FRAME_HEADER_SIZE = 12,
    TT_FRAME_HELLO = 0,   /* the first frame of a connection, by the dialling side */
    TT_FRAME_ACCEPT = 1,  /* the answer: the other side takes this member's frames */
    TT_FRAME_REMOVED = 2, /* the other answer: it is no member any more; u64 index, little-endian */
    TT_FRAME_REMOVED_SIZE = 8, /* its payload */
    TT_HELLO_VERSION = 4,
    TT_HELLO_SIZE_MAX = 256,
    TT_CLUSTER_ID_SIZE = 64,    /* with the NUL */
    TT_HELLO_ADDRESS_SIZE = 128 /* with the NUL */
};

void tt_frame_header(uint8_t out[TT_FRAME_HEADER_SIZE], uint8_t type, struct tt_bytes *const *parts,
                     size_t part_count);

struct tt_frame_reader {
    uint8_t header[TT_FRAME_HEADER_SIZE]; /* of the frame being read */
    size_t header_size;                   /* bytes of it present */
    struct tt_bytes *payload;             /* owned; NULL until the header is complete */
    uint8_t *fill;                        /* where payload's bytes go */
    size_t filled;                        /* bytes present */
    size_t size_max; /* payloads above it are invalid; may be changed between frames */
};
struct tt_frame {
    uint8_t type;             /* as in the header; the core's from TT_TRANSPORT_TYPE_MIN */
    struct tt_bytes *payload; /* the receiver's reference; never NULL */
};
void tt_frame_reader_init(struct tt_frame_reader *reader, size_t size_max);
void tt_frame_reader_fini(struct tt_frame_reader *reader);
/* Takes bytes off the front of *bytes. 1: *ret_frame is complete (call again with what is left),
 * 0: more bytes are needed, else an error. */
int tt_frame_read(struct tt_frame_reader *reader, struct tt_str *bytes, struct tt_frame *ret_frame,
                  struct tt_err *err) TT_MUST_USE;

struct tt_hello {
    uint64_t from;             /* member id the dialling side claims; its certificate must agree */
    uint64_t to;               /* whom it wants */
    uint64_t from_incarnation; /* of the dialling side's data directory */
    uint64_t to_incarnation;   /* by which it knows the other side; 0: not met yet */
    uint8_t channel;           /* enum tt_transport_channel */
    char cluster_id[TT_CLUSTER_ID_SIZE]; /* of raft, NUL-terminated; another one is refused */
    char address[TT_HELLO_ADDRESS_SIZE]; /* host:port where it is reached; "" = it does not know */
};
struct tt_bytes *tt_hello_encode(const struct tt_hello *hello);
int tt_hello_decode(struct tt_str payload, struct tt_hello *ret_hello,
                    struct tt_err *err) TT_MUST_USE;

#endif

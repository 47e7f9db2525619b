/* The store's main command: compares, then puts and deletes, all or nothing. Build it as this
 * struct, send it encoded.
 *
 * Ownership: everything is borrowed until tt_txn_encode returns. Thread: any.
 * Errors: TT_ETOOLARGE over the limits below. Encoding: proto/store.proto, message Command. */
#ifndef SERVER_STORE_TXN_H
#define SERVER_STORE_TXN_H

#include "server/store/version.h"

enum {
    TT_TXN_OPS_MAX = 128, /* puts and deletes */
    TT_TXN_COMPARES_MAX = 256,
    TT_KEY_SIZE_MAX = 1024,                     /* bytes */
    TT_VALUE_SIZE_MAX = (1 << 20) + (64 << 10), /* an object of 1 MiB and its envelope */
    TT_TXN_SIZE_MAX = 2 << 20,                  /* encoded */
};

struct tt_compare {
    struct tt_str key;     /* any, also one that ops do not touch */
    uint64_t mod_revision; /* must be exactly this; 0 = the key must be absent */
};
enum tt_txn_op_kind { TT_OP_PUT = 1, TT_OP_DELETE = 2 };
struct tt_txn_op {
    enum tt_txn_op_kind kind; /* TT_OP_DELETE of an absent key does nothing */
    struct tt_str key;        /* not empty */
    struct tt_value value;    /* for puts */
};
struct tt_txn {
    const struct tt_compare *compares; /* all must hold, else nothing is done */
    size_t compare_count;              /* at most TT_TXN_COMPARES_MAX */
    const struct tt_txn_op *ops; /* done in order; each that changes something takes a revision */
    size_t op_count;             /* at most TT_TXN_OPS_MAX */
    struct tt_str actor;         /* SPIFFE identity of the caller */
    struct tt_str impersonator;  /* empty unless impersonating */
    struct tt_str verb;          /* create, update, patch, delete, … for audit */
    struct tt_str request_id;    /* empty: not retried exactly-once. Otherwise unique per actor. */
};
/* Ops are applied in order and each takes the next revision, but for a delete of an absent key,
 * which changes nothing and takes none (compare the key where that matters). → bytes of a Command,
 * ready for the proposer. */
int tt_txn_encode(const struct tt_txn *txn, struct tt_bytes **ret_command,
                  struct tt_err *err) TT_MUST_USE;

#endif

/* Join tokens: how a new server or agent gets its first certificate, once.
 *
 * Text form, given to the operator: tutti1.<role>.<id>.<secret>.<ca-sha256>, all lower-case hex but
 * the role; the last part lets the joining machine recognise the cluster before it has any trust.
 * Stored form, replicated: tutti1.<role>.<id>.<hash>.<expires_ms>[.<name>]; the secret (256 random
 * bits, so a plain SHA-256 suffices) is not in it. Single use is the caller's transaction: delete
 * the stored row, comparing its revision, in the same commit that records the new identity.
 * Ownership: plain structs; tt_join_token_wipe those that hold a secret. Thread: pure.
 * Errors: TT_EUNAUTHORIZED for a token that does not count; the message never quotes it. */
#ifndef SERVER_TLS_JOIN_TOKEN_H
#define SERVER_TLS_JOIN_TOKEN_H

#include "server/tls/identity.h"

enum {
    TT_JOIN_ID_SIZE = 17,     /* 16 hex digits and the NUL */
    TT_JOIN_SECRET_SIZE = 32, /* bytes */
    TT_JOIN_HASH_SIZE = 65,   /* 64 hex digits and the NUL */
    TT_JOIN_TEXT_SIZE = 192,  /* of the text form, with the NUL */
    TT_JOIN_STORED_SIZE = 320 /* of the stored form, with the NUL */
};

struct tt_join_token {
    enum tt_role role;                   /* server or agent */
    char id[TT_JOIN_ID_SIZE];            /* names the stored row; not secret */
    uint8_t secret[TT_JOIN_SECRET_SIZE]; /* random bytes, not text; wiped by tt_join_token_wipe */
    char ca_sha256[TT_JOIN_HASH_SIZE];   /* tt_pki_ca_fingerprint */
};
struct tt_join_token_stored {
    enum tt_role role;                   /* of the certificate it is good for */
    char id[TT_JOIN_ID_SIZE];            /* of the token: names the row */
    char secret_hash[TT_JOIN_HASH_SIZE]; /* SHA-256 of the secret, hex */
    uint64_t expires_ms;                 /* Unix time */
    char name[128];                      /* the only name it may be used for; "" = any */
};

int tt_join_token_new(enum tt_role role, const char *ca_sha256, struct tt_join_token *ret_token,
                      struct tt_err *err) TT_MUST_USE;
void tt_join_token_format(const struct tt_join_token *token, char out[TT_JOIN_TEXT_SIZE]);
int tt_join_token_parse(struct tt_str text, struct tt_join_token *ret_token,
                        struct tt_err *err) TT_MUST_USE;
void tt_join_token_wipe(struct tt_join_token *token);

/* name: "" or NULL for any; else [A-Za-z0-9._-]. */
int tt_join_token_store(const struct tt_join_token *token, uint64_t expires_ms, const char *name,
                        struct tt_join_token_stored *ret_stored, struct tt_err *err) TT_MUST_USE;
void tt_join_stored_format(const struct tt_join_token_stored *stored,
                           char out[TT_JOIN_STORED_SIZE]);
int tt_join_stored_parse(struct tt_str text, struct tt_join_token_stored *ret_stored,
                         struct tt_err *err) TT_MUST_USE;
/* Does the token open this row now, for this name? Constant time in the secret. */
int tt_join_token_verify(const struct tt_join_token *token,
                         const struct tt_join_token_stored *stored, struct tt_str name,
                         uint64_t wall_ms, struct tt_err *err) TT_MUST_USE;

#endif

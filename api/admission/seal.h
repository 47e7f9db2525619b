/* The seal as admission sees it: a small vtable, so that what seals (a key ring, or a test's own)
 * is one call of the composition root.
 *
 * Ownership: the vtable is kept by whoever holds it; texts are borrowed, results appended to the
 * caller's buffer. Thread: any number at once. Errors: seal: TT_EUNAVAILABLE without a key; unseal:
 * TT_ECORRUPT when the bytes were not sealed under this key and name. */
#ifndef API_ADMISSION_SEAL_H
#define API_ADMISSION_SEAL_H

#include "server/store/version.h"

enum { TT_SEAL_KEY_ID_SIZE = 64 };
struct tt_sealer {
    /* aad is the object's key in the store: a sealed value moved to another key does not open. */
    int (*seal)(const struct tt_sealer *sealer, struct tt_str aad, struct tt_str plain,
                struct tt_buf *sealed, char ret_key_id[TT_SEAL_KEY_ID_SIZE],
                struct tt_err *err) TT_MUST_USE;
    /* The reverse, appended to plain; TT_ECORRUPT for another aad. */
    int (*unseal)(const struct tt_sealer *sealer, struct tt_str aad, const struct tt_value *value,
                  struct tt_buf *plain, struct tt_err *err) TT_MUST_USE;
    void *ctx; /* the key ring, or a test's own */
};

/* The sealer over a key ring (server/tls/seal.h); keeps the ring, which must be set up by now. */
struct tt_seal_ring;
void tt_sealer_over_ring(struct tt_sealer *ret_sealer, struct tt_seal_ring *ring);

/* The JSON text of a stored object: the item's own bytes, or unsealed ones in the arena, which is
 * then told that it holds a secret. sealer may be NULL: sealed values are then TT_EUNAVAILABLE. */
int tt_item_text(const struct tt_item *item, const struct tt_sealer *sealer, struct tt_arena *arena,
                 struct tt_str *ret_text, struct tt_err *err) TT_MUST_USE;
/* Seals a put's plain JSON value in place (bytes in the arena, which is told that it holds a
 * secret) when the key is one whose values are secret; leaves others alone. */
int tt_value_seal(const struct tt_sealer *sealer, struct tt_arena *arena, struct tt_str key,
                  struct tt_value *value, struct tt_err *err) TT_MUST_USE;
/* True for keys whose values are sealed: core Secrets. */
bool tt_key_is_sealed(struct tt_str key);
struct tt_kind;
bool tt_kind_is_sealed(const struct tt_kind *kind); /* the kind of those keys */

#endif

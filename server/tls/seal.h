/* Sealing of secret values before they are proposed, so that log, snapshots and backups hold
 * ciphertext only.
 *
 * Envelope: AES-256-GCM with a fresh data key per value; the data key is wrapped (AES-256-GCM) by a
 * root key of the ring. The value is bound to its name (the store key, as associated data), the
 * wrapped key to name and root key id: a sealed value cannot be moved to another name. Rotation:
 * add the new root key as active, rewrap every value (only the wrapped key changes), drop the old
 * one. A root key is 32 bytes, from a file (64 hex digits, mode 0600) or from a passphrase by
 * scrypt with a salt file; its id is derived from it. All servers of a cluster need the same root
 * keys. Random nonces: rotate a root key before 2^32 seals. Ownership: as said. Thread: a ring is
 * immutable once set up, then any; a secret as its owner says. Errors: TT_ECORRUPT for anything
 * that does not unseal, TT_EUNAVAILABLE for a root key that is not on the ring (it may be on
 * another server's); no message ever holds key, plaintext or the bytes given. */
#ifndef SERVER_TLS_SEAL_H
#define SERVER_TLS_SEAL_H

#include "base/buf.h"
#include "base/mem.h"

enum {
    TT_SEAL_OVERHEAD = 104,     /* bytes a sealed value is longer than the plain one */
    TT_SEAL_SIZE_MAX = 2 << 20, /* of a plain value */
    TT_SEAL_KEY_SIZE = 32,
    TT_SEAL_NAME_SIZE_MAX = 4096,
    TT_SEAL_RING_KEYS_MAX = 8
};

/* A secret in memory: kept out of core dumps and swap where the system allows it, cleansed when
 * freed, and accepted by no format function. */
struct tt_secret;
struct tt_secret *tt_secret_new(struct tt_str bytes); /* copies */
/* Overwrites its source: for text that was read from a file or a terminal. */
struct tt_secret *tt_secret_take(char *bytes, size_t size);
void tt_secret_free(struct tt_secret *secret);
TT_DEFINE_AUTO(tt_secret)
/* The one way to the bytes; borrowed. Never log, never copy into an error. */
struct tt_str tt_secret_reveal(const struct tt_secret *secret);
bool tt_secret_equal(const struct tt_secret *a, const struct tt_secret *b); /* constant time */

struct tt_seal_ring;
struct tt_seal_ring *tt_seal_ring_new(void);
void tt_seal_ring_free(struct tt_seal_ring *ring);
TT_DEFINE_AUTO(tt_seal_ring)
/* Each adds a root key and makes it the active one (used for sealing). The same key twice is fine.
 */
int tt_seal_ring_add_file(struct tt_seal_ring *ring, const char *path,
                          struct tt_err *err) TT_MUST_USE;
/* The salt file must be there, the same on every server: another salt is another key. Takes about
 * 0.1 s. */
int tt_seal_ring_add_passphrase(struct tt_seal_ring *ring, const struct tt_secret *passphrase,
                                const char *salt_path, struct tt_err *err) TT_MUST_USE;
/* A new random root key file, or salt file; TT_EEXISTS when there is one. */
int tt_seal_root_create(const char *path, struct tt_err *err) TT_MUST_USE;
int tt_seal_salt_create(const char *path, struct tt_err *err) TT_MUST_USE;
uint64_t tt_seal_ring_active_id(const struct tt_seal_ring *ring); /* 0 = no key yet */
bool tt_seal_ring_has(const struct tt_seal_ring *ring, uint64_t key_id);

/* ret_sealed is initialised here (fini it). */
int tt_seal(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str plain,
            struct tt_buf *ret_sealed, struct tt_err *err) TT_MUST_USE;
int tt_unseal(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str sealed,
              struct tt_secret **ret_plain, struct tt_err *err) TT_MUST_USE;
/* The same value under the active root key. */
int tt_seal_rewrap(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str sealed,
                   struct tt_buf *ret_sealed, struct tt_err *err) TT_MUST_USE;
/* Which root key a sealed value needs; false when it is not one. */
bool tt_seal_key_id(struct tt_str sealed, uint64_t *ret_key_id);

/* Before any secret is read: not dumpable, no core files, secure memory for OpenSSL. Idempotent. */
int tt_process_harden(struct tt_err *err) TT_MUST_USE;

#endif

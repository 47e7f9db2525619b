/* What writing and reading snapshot files share. Internal to raft/snapshot_file*.c; the format is
 * drawn in snapshot_file.c.
 *
 * Ownership: everything is borrowed, but for what `new` and `path` return. Thread: any. Errors:
 * false for bytes that are not what they should be. */
#ifndef RAFT_SNAPSHOT_FILE_FORMAT_H
#define RAFT_SNAPSHOT_FILE_FORMAT_H

#include <openssl/evp.h>

#include "raft/snapshot_file.h"

enum {
    SNAPSHOT_HEADER_SIZE = 56,
    SNAPSHOT_CHUNK_HEADER_SIZE = 12,
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_LEVEL = 1, /* of zstd: the snapshot worker shares two cores with the server */
    SNAPSHOT_DRAIN_EVERY = 1 << 20, /* bytes received */
    SNAPSHOT_BLOCK = 1 << 20,       /* bytes of one write */
    SNAPSHOT_SHRINK = 8 << 20,      /* bytes of a superfluous file that are given back at a time */
    SNAPSHOT_SHRINK_WEIGHT = 3,     /* rests per time of it: every write waits for the device */
    SNAPSHOT_SIZE_MIN = SNAPSHOT_HEADER_SIZE + SNAPSHOT_CHUNK_HEADER_SIZE + TT_SNAPSHOT_HASH_SIZE,
};
#define SNAPSHOT_MAGIC UINT64_C(0x746f68732d747574) /* "tut-shot" */

char *snapshot_path(const char *dir, uint64_t index, uint64_t term,
                    const char *suffix); /* free with tt_free */
/* Everything but the configuration's bytes; false: malformed. */
bool snapshot_header_decode(const uint8_t in[SNAPSHOT_HEADER_SIZE], struct tt_snapshot_meta *ret,
                            uint32_t *ret_configuration_size);
bool snapshot_header_check(const uint8_t in[SNAPSHOT_HEADER_SIZE], struct tt_str configuration);
EVP_MD_CTX *snapshot_hash_new(void); /* SHA-256 */
void snapshot_hash_add(EVP_MD_CTX *hash, const void *bytes, size_t size);
void snapshot_hash_end(EVP_MD_CTX *hash, uint8_t out[TT_SNAPSHOT_HASH_SIZE]);

#endif

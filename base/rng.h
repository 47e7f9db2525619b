/* Randomness. Seeded generators for everything that must replay; system randomness for keys, tokens
 * and uids.
 *
 * Ownership: plain structs. Thread: one per generator; tt_random_bytes from any. Errors: no entropy
 * aborts the process. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct tt_rng {
    uint64_t s[4]; /* xoshiro256** state */
};
void tt_rng_seed(struct tt_rng *rng,
                 uint64_t seed); /* splitmix64 expansion: near seeds give unrelated streams */
uint64_t tt_rng_u64(struct tt_rng *rng);
uint64_t tt_rng_below(struct tt_rng *rng, uint64_t bound); /* uniform in [0, bound); bound > 0 */
uint64_t tt_rng_range(struct tt_rng *rng, uint64_t low, uint64_t high); /* uniform in [low, high] */
double tt_rng_unit(struct tt_rng *rng);                                 /* [0, 1) */
_Bool tt_rng_chance(struct tt_rng *rng, double probability);
void tt_rng_fill(struct tt_rng *rng, void *out, size_t size); /* the stream of u64s, as bytes */

void tt_random_bytes(void *out, size_t size); /* getrandom(2) */
uint64_t tt_random_u64(void);
enum { TT_UUID_TEXT_SIZE = 37 };
void tt_uuid_v4(char out[TT_UUID_TEXT_SIZE]); /* lower case, NUL-terminated */

#endif

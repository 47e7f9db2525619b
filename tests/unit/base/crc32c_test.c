/* Behaviour of base/crc32c: known values, both ways alike, chaining. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static void the_rfc_vectors_agree(void **state)
{
    (void)state; /* no fixture */
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(tt_crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(tt_crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(tt_crc32c(0, bytes, sizeof bytes), 0x46dd794e);
    assert_int_equal(tt_crc32c(0, "123456789", 9), 0xe3069283);
}

enum { BLOCK = 4200, ALIGNMENTS = 16 }; /* a long block, two short ones and more */

static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct tt_rng rng;
    tt_rng_seed(&rng, seed);
    tt_rng_fill(&rng, bytes, size);
}

static void both_ways_agree_at_every_length(void **state)
{
    (void)state; /* no fixture */
    static uint8_t bytes[BLOCK];
    fill(bytes, sizeof bytes, 1);
    uint32_t by_table = 0; /* one byte more at a time */
    for (size_t size = 0; size <= sizeof bytes; size++) {
        assert_int_equal(tt_crc32c(0, bytes, size), by_table);
        if (size < sizeof bytes) {
            by_table = tt_crc32c_portable(by_table, bytes + size, 1);
        }
    }
}

static void both_ways_agree_at_every_alignment(void **state)
{
    (void)state; /* no fixture */
    static const size_t sizes[] = {7, 100, 503, 504, 505, 508, 1024, 3071, 3072, 3080, 3576, BLOCK};
    static uint8_t bytes[ALIGNMENTS + BLOCK];
    fill(bytes, sizeof bytes, 2);
    for (size_t at = 0; at < ALIGNMENTS; at++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            assert_int_equal(tt_crc32c(0, bytes + at, sizes[i]),
                             tt_crc32c_portable(0, bytes + at, sizes[i]));
        }
    }
}

static void a_sum_in_pieces_is_the_sum_of_the_whole(void **state)
{
    (void)state; /* no fixture */
    static uint8_t bytes[BLOCK];
    fill(bytes, sizeof bytes, 3);
    uint32_t whole = tt_crc32c_portable(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint32_t crc = tt_crc32c(0, bytes, cut);
        assert_int_equal(tt_crc32c(crc, bytes + cut, sizeof bytes - cut), whole);
    }
}

static void many_blocks_agree(void **state)
{
    (void)state; /* no fixture */
    static uint8_t bytes[(128 << 10) + 5];
    fill(bytes, sizeof bytes, 4);
    assert_int_equal(tt_crc32c(0x12345678, bytes, sizeof bytes),
                     tt_crc32c_portable(0x12345678, bytes, sizeof bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_vectors_agree),
        cmocka_unit_test(both_ways_agree_at_every_length),
        cmocka_unit_test(both_ways_agree_at_every_alignment),
        cmocka_unit_test(a_sum_in_pieces_is_the_sum_of_the_whole),
        cmocka_unit_test(many_blocks_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

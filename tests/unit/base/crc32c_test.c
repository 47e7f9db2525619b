/* Behaviour of base/crc32c: known values, both ways alike, chaining. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

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

static void the_table_and_the_cpu_agree_at_every_length_and_cut(void **state)
{
    (void)state; /* no fixture */
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t len = 0; len <= sizeof bytes; len++) {
        uint32_t whole = tt_crc32c(0, bytes, len);
        assert_int_equal(whole, tt_crc32c_portable(0, bytes, len));
        assert_int_equal(whole,
                         tt_crc32c(tt_crc32c(0, bytes, len / 3), bytes + len / 3, len - len / 3));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_vectors_agree),
        cmocka_unit_test(the_table_and_the_cpu_agree_at_every_length_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

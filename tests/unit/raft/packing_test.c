/* The commands in an entry's payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "raft/packing.h"

static const struct packed_command COMMANDS[] = {
    {.command = {"local", 5}},
    {.command = {"from three", 10}, .member = 3, .request = UINT64_MAX},
    {.command = {"x", 1}, .member = UINT64_MAX, .request = 1},
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0] };

static void pack_all(struct tt_buf *payload)
{
    tt_buf_init(payload, 1000);
    uint8_t *to = (uint8_t *)tt_buf_reserve(payload, 1000);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        uint8_t *command = packing_put(to, &COMMANDS[i]);
        assert_memory_equal(command, COMMANDS[i].command.ptr, COMMANDS[i].command.len);
        uint8_t *end = command + COMMANDS[i].command.len;
        assert_int_equal((size_t)(end - to), packing_size(&COMMANDS[i]));
        payload->len += (size_t)(end - to);
        to = end;
    }
}

static void commands_come_back_in_order_with_their_origin(void **state)
{
    (void)state;
    struct tt_buf payload;
    pack_all(&payload);
    struct tt_str rest = tt_str((const char *)payload.ptr, payload.len);
    struct packed_command packed;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        assert_int_equal(packing_next(&rest, &packed), 1);
        assert_true(tt_str_eq(packed.command, COMMANDS[i].command));
        assert_int_equal(packed.member, COMMANDS[i].member);
        assert_int_equal(packed.request, COMMANDS[i].request);
    }
    assert_int_equal(packing_next(&rest, &packed), 0);
    tt_buf_fini(&payload);
}

/* Wherever it is cut: whole commands, then corruption, unless the cut is between two. */
static void a_payload_that_is_cut_is_corrupt(void **state)
{
    (void)state;
    struct tt_buf payload;
    pack_all(&payload);
    size_t between = 0;
    for (size_t size = 1; size < payload.len; size++) {
        struct tt_str rest = tt_str((const char *)payload.ptr, size);
        struct packed_command packed;
        int r = 1;
        while (r == 1) {
            r = packing_next(&rest, &packed);
        }
        assert_true(r == 0 || r == TT_ECORRUPT);
        between += r == 0;
    }
    assert_int_equal(between, COMMAND_COUNT - 1);
    tt_buf_fini(&payload);
}

static void an_empty_command_is_corrupt(void **state)
{
    (void)state;
    struct packed_command packed;
    struct tt_str rest = TT_STR("\0\0\0\0");
    assert_int_equal(packing_next(&rest, &packed), TT_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_come_back_in_order_with_their_origin),
        cmocka_unit_test(a_payload_that_is_cut_is_corrupt),
        cmocka_unit_test(an_empty_command_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

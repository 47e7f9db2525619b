/* Behaviour of base/json: commas, nesting, escapes. */
#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void nested_containers_get_their_commas(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    struct tt_json_writer w;
    tt_buf_init(&buf, 1024);
    tt_json_begin(&w, &buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "a", "x");
    tt_json_array(&w, "b");
    tt_json_u64(&w, NULL, 1);
    tt_json_i64(&w, NULL, -2);
    tt_json_object(&w, NULL);
    tt_json_object_end(&w);
    tt_json_array_end(&w);
    tt_json_bool(&w, "c", true);
    tt_json_c(&w, "d", NULL);
    tt_json_raw(&w, "e", TT_STR("[]"));
    tt_json_double(&w, "f", 0.5);
    tt_json_double(&w, "g", INFINITY);
    tt_json_object_end(&w);
    assert_string_equal(buf.ptr, "{\"a\":\"x\",\"b\":[1,-2,{}],\"c\":true,\"d\":null,\"e\":[],"
                                 "\"f\":0.5,\"g\":null}");
}

static void control_characters_are_escaped(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 1024);
    tt_json_quote(&buf, TT_STR("a\"\\\n\r\t\x01\x7f\0z"));
    assert_string_equal(buf.ptr, "\"a\\\"\\\\\\n\\r\\t\\u0001\\u007f\\u0000z\"");
}

static void invalid_utf8_is_replaced_and_valid_kept(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 1024);
    tt_json_quote(&buf, TT_STR("\xc3\xa4\xff\xe2\x82"));
    assert_string_equal(buf.ptr, "\"\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_containers_get_their_commas),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(invalid_utf8_is_replaced_and_valid_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

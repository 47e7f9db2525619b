/* Join tokens: what opens, and what does not. */
#include "server/tls/join_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char PIN[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
enum { NOW = 1000000, LATER = NOW + 3600000 };

static void make(struct tt_join_token *token, struct tt_join_token_stored *stored, const char *name)
{
    assert_int_equal(tt_join_token_new(TT_IDENTITY_AGENT, PIN, token, NULL), 0);
    assert_int_equal(tt_join_token_store(token, LATER, name, stored, NULL), 0);
}

static void a_token_survives_its_text_form(void **state)
{
    (void)state;
    struct tt_join_token token;
    struct tt_join_token back;
    struct tt_join_token_stored stored;
    struct tt_join_token_stored stored_back;
    char text[TT_JOIN_TEXT_SIZE];
    char stored_text[TT_JOIN_STORED_SIZE];
    make(&token, &stored, "node-1");
    tt_join_token_format(&token, text);
    tt_join_stored_format(&stored, stored_text);
    assert_memory_equal(text, "tutti1.agent.", 13);
    assert_int_equal(tt_join_token_parse(tt_str_c(text), &back, NULL), 0);
    assert_int_equal(tt_join_stored_parse(tt_str_c(stored_text), &stored_back, NULL), 0);
    assert_string_equal(back.ca_sha256, PIN);
    assert_string_equal(stored_back.name, "node-1");
    assert_int_equal(stored_back.expires_ms, LATER);
    assert_int_equal(tt_join_token_verify(&back, &stored_back, TT_STR("node-1"), NOW, NULL), 0);
    tt_join_token_wipe(&token);
    assert_int_equal(token.secret[0] | token.secret[31], 0);
}

static void the_stored_form_does_not_hold_the_secret(void **state)
{
    (void)state;
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    char text[TT_JOIN_TEXT_SIZE];
    char stored_text[TT_JOIN_STORED_SIZE];
    char secret[2 * TT_JOIN_SECRET_SIZE + 1];
    make(&token, &stored, NULL);
    tt_join_token_format(&token, text);
    tt_join_stored_format(&stored, stored_text);
    (void)tt_hex_encode(token.secret, sizeof token.secret, secret);
    assert_non_null(strstr(text, secret));
    assert_null(strstr(stored_text, secret));
}

static void a_wrong_secret_role_or_id_opens_nothing(void **state)
{
    (void)state;
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    make(&token, &stored, NULL);
    struct tt_join_token wrong = token;
    wrong.secret[31] ^= 1;
    assert_int_equal(tt_join_token_verify(&wrong, &stored, TT_STR("n"), NOW, NULL),
                     TT_EUNAUTHORIZED);
    wrong = token;
    wrong.role = TT_IDENTITY_SERVER;
    assert_int_equal(tt_join_token_verify(&wrong, &stored, TT_STR("n"), NOW, NULL),
                     TT_EUNAUTHORIZED);
    wrong = token;
    wrong.id[0] = wrong.id[0] == '0' ? '1' : '0';
    assert_int_equal(tt_join_token_verify(&wrong, &stored, TT_STR("n"), NOW, NULL),
                     TT_EUNAUTHORIZED);
    assert_int_equal(tt_join_token_verify(&token, &stored, TT_STR("n"), NOW, NULL), 0);
}

static void an_expired_token_opens_nothing(void **state)
{
    (void)state;
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    make(&token, &stored, NULL);
    assert_int_equal(tt_join_token_verify(&token, &stored, TT_STR("n"), LATER - 1, NULL), 0);
    assert_int_equal(tt_join_token_verify(&token, &stored, TT_STR("n"), LATER, NULL),
                     TT_EUNAUTHORIZED);
}

static void a_bound_token_is_for_its_name_only(void **state)
{
    (void)state;
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    make(&token, &stored, "node-1");
    assert_int_equal(tt_join_token_verify(&token, &stored, TT_STR("node-2"), NOW, NULL),
                     TT_EUNAUTHORIZED);
    make(&token, &stored, NULL);
    assert_int_equal(tt_join_token_verify(&token, &stored, TT_STR("no/de"), NOW, NULL),
                     TT_EUNAUTHORIZED);
}

static void malformed_texts_are_refused_and_never_quoted(void **state)
{
    (void)state;
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    char text[TT_JOIN_TEXT_SIZE];
    make(&token, &stored, NULL);
    tt_join_token_format(&token, text);
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len; cut++) { /* every prefix */
        struct tt_join_token back;
        struct tt_err err;
        char told[512];
        tt_err_init(&err);
        assert_int_equal(tt_join_token_parse(tt_str(text, cut), &back, &err), TT_EUNAUTHORIZED);
        (void)tt_err_format(&err, told, sizeof told);
        assert_null(strstr(told, token.id));
    }
    static const char *const bad[] = {"", "tutti2.agent.x.y.z", "tutti1.user.0011223344556677.a.b",
                                      "tutti1.agent", "....."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tt_join_token_parse(tt_str_c(bad[i]), &token, NULL), TT_EUNAUTHORIZED);
        assert_int_equal(tt_join_stored_parse(tt_str_c(bad[i]), &stored, NULL), TT_ECORRUPT);
    }
}

static void users_cannot_join(void **state)
{
    (void)state;
    struct tt_join_token token;
    assert_int_equal(tt_join_token_new(TT_IDENTITY_USER, PIN, &token, NULL), TT_EINVALID);
    assert_int_equal(tt_join_token_new(TT_IDENTITY_AGENT, "abc", &token, NULL), TT_EINVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_survives_its_text_form),
        cmocka_unit_test(the_stored_form_does_not_hold_the_secret),
        cmocka_unit_test(a_wrong_secret_role_or_id_opens_nothing),
        cmocka_unit_test(an_expired_token_opens_nothing),
        cmocka_unit_test(a_bound_token_is_for_its_name_only),
        cmocka_unit_test(malformed_texts_are_refused_and_never_quoted),
        cmocka_unit_test(users_cannot_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

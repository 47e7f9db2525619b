/* Command lines: every accepted form, and what is refused. */
#include "base/options.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct line {
    const char *name;
    uint64_t count;
    bool flag;
    struct tt_option_values files;
    const char *words[8];
    size_t word_count;
};

static int parse(struct line *line, int argc, const char **argv)
{
    const struct tt_option options[] = {
        {"name", 'n', TT_OPTION_STRING, &line->name, "NAME", "a name"},
        {"count", 'c', TT_OPTION_U64, &line->count, "N", "a number"},
        {"flag", 'x', TT_OPTION_FLAG, &line->flag, NULL, "a flag"},
        {"file", 'f', TT_OPTION_LIST, &line->files, "FILE", "files"},
    };
    char *copy[8];
    memcpy(copy, argv, (size_t)argc * sizeof copy[0]);
    const struct tt_option_set set = {options, 4};
    return tt_options_parse(&set, argc, copy, line->words, &line->word_count, NULL);
}

static void every_form_of_an_option_is_understood(void **state)
{
    (void)state;
    struct line line = {.name = NULL};
    const char *argv[] = {"--name=a", "word", "-c=5", "-x", "-f", "-", "-fb", "--"};
    assert_int_equal(parse(&line, 8, argv), TT_OK);
    assert_string_equal(line.name, "a");
    assert_int_equal(line.count, 5);
    assert_true(line.flag);
    assert_int_equal(line.files.count, 2);
    assert_string_equal(line.files.items[0], "-");
    assert_string_equal(line.files.items[1], "b");
    assert_int_equal(line.word_count, 1);
    assert_string_equal(line.words[0], "word");
    const char *attached[] = {"-c7", "-n=", "-nb=c"};
    assert_int_equal(parse(&line, 1, attached), TT_OK);
    assert_int_equal(line.count, 7);
    assert_int_equal(parse(&line, 1, attached + 1), TT_OK);
    assert_string_equal(line.name, "");
    assert_int_equal(parse(&line, 1, attached + 2), TT_OK);
    assert_string_equal(line.name, "b=c");
}

static void a_flag_can_be_switched_off(void **state)
{
    (void)state;
    struct line line = {.flag = true};
    const char *off[] = {"--flag=false"};
    assert_int_equal(parse(&line, 1, off), TT_OK);
    assert_false(line.flag);
    const char *odd[] = {"--flag=maybe"};
    assert_int_equal(parse(&line, 1, odd), TT_EINVAL);
}

static void what_is_not_understood_is_refused(void **state)
{
    (void)state;
    const char *lines[][1] = {{"--nam"}, {"-z"}, {"-xy"}, {"--name"}, {"-cfive"}, {"--count=-1"}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct line line = {.name = NULL};
        assert_int_equal(parse(&line, 1, lines[i]), TT_EINVAL);
    }
}

static void a_list_is_bounded(void **state)
{
    (void)state;
    struct line line = {.files = {.count = TT_OPTION_VALUES_MAX}};
    const char *argv[] = {"-fone"};
    assert_int_equal(parse(&line, 1, argv), TT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_an_option_is_understood),
        cmocka_unit_test(a_flag_can_be_switched_off),
        cmocka_unit_test(what_is_not_understood_is_refused),
        cmocka_unit_test(a_list_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The agent's command line: what is refused before anything starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "agent/agent_options.h"
#include "base/file.h"

enum { ADDRESS_MAX = 127 };

static int parse(const char *advertise, struct agent_options *ret)
{
    char root[] = "/tmp/tutti-options-XXXXXX";
    assert_non_null(mkdtemp(root));
    const char *argv[] = {"--name",     "n1", "--server",    "https://127.0.0.1:1",
                          "--data-dir", root, "--advertise", advertise};
    int r = agent_options_parse(sizeof argv / sizeof argv[0], (char **)(uintptr_t)argv, ret, NULL);
    assert_int_equal(tt_dir_remove_tree(root, NULL), TT_OK);
    return r;
}

static void an_address_is_held_whole_or_refused(void **state)
{
    struct agent_options options;
    char address[ADDRESS_MAX + 2];
    (void)state;
    memset(address, 'a', sizeof address);
    address[ADDRESS_MAX + 1] = '\0';
    assert_int_equal(parse(address, &options), TT_EINVAL);
    address[ADDRESS_MAX] = '\0';
    assert_int_equal(parse(address, &options), TT_OK);
    assert_string_equal(options.address, address);
    assert_int_equal(parse("", &options), TT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_held_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

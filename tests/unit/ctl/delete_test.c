/* tuttictl delete refuses what it cannot do before it looks for a server. */
#include "ctl/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_refused(const char *format)
{
    char copy[16];
    (void)snprintf(copy, sizeof copy, "%s", format);
    char *argv[] = {(char[]){"pod"}, (char[]){"p"}, (char[]){"-o"}, copy, NULL};
    const struct ctl_command *command = &ctl_delete_commands[0];
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(command->run(command, 4, argv, &err), TT_EINVAL);
    assert_non_null(strstr(tt_err_cause(&err), "give name"));
}

static void formats_other_than_name_are_refused(void **state)
{
    (void)state;
    assert_refused("json");
    assert_refused("yaml");
    assert_refused("wide");
    assert_refused("odd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_other_than_name_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

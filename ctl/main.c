/* tuttictl: finds the command in the tables, runs it, reports its error once. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/command.h"
#include "ctl/output.h"

/* In the order of the help. */
static const struct {
    const char *title; /* NULL: goes on with the group above */
    const struct ctl_command *commands;
} groups[] = {
    {"Looking at objects", ctl_get_commands},
    {NULL, ctl_describe_commands},
    {NULL, ctl_wait_commands},
    {"Changing objects", ctl_apply_commands},
    {NULL, ctl_delete_commands},
    {"The cluster", ctl_cluster_commands},
    {NULL, ctl_member_commands},
    {NULL, ctl_backup_commands},
    {"Identities", ctl_pki_commands},
    {NULL, ctl_identity_commands},
    {NULL, ctl_join_commands},
    {"This tool", ctl_kubeconfig_commands},
};
enum { GROUP_COUNT = sizeof groups / sizeof groups[0] };

static void usage(FILE *out)
{
    (void)fprintf(out, "tuttictl looks at and changes a tutti cluster.\n");
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        if (groups[g].title != NULL) {
            (void)fprintf(out, "\n%s:\n", groups[g].title);
        }
        for (const struct ctl_command *c = groups[g].commands; c->name != NULL; c++) {
            (void)fprintf(out, "  %-18s %s\n", c->name, c->summary);
        }
    }
    (void)fprintf(out, "\nEach takes --help, with its options and examples. "
                       "Exit codes: docs/ctl.md.\n");
}

/* A command of one or two words; *ret_used tells how many. */
static const struct ctl_command *find(int argc, char **argv, int *ret_used)
{
    char two[80];
    (void)snprintf(two, sizeof two, "%s %s", argc > 0 ? argv[0] : "", argc > 1 ? argv[1] : "");
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        for (const struct ctl_command *c = groups[g].commands; c->name != NULL; c++) {
            bool one = argc > 0 && strcmp(c->name, argv[0]) == 0;
            if (one || strcmp(c->name, two) == 0) {
                *ret_used = one ? 1 : 2;
                return c;
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    tt_log_setup(STDERR_FILENO, TT_LOG_ERROR, "tuttictl");
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    int used = 0;
    const struct ctl_command *command = find(argc - 1, argv + 1, &used);
    struct tt_err err;
    tt_err_init(&err);
    if (command == NULL) {
        (void)fprintf(stderr, "tuttictl: unknown command \"%s\"; tuttictl --help lists all\n",
                      argv[1]);
        return tt_err_exit_code(TT_EINVAL);
    }
    int r = command->run(command, argc - 1 - used, argv + 1 + used, &err);
    if (r == TT_OK) {
        r = ctl_output_end(&err);
    }
    if (r != TT_OK) {
        char text[2048];
        (void)tt_err_format(&err, text, sizeof text);
        (void)fprintf(stderr, "tuttictl %s: %s\n", command->name, text);
    }
    return tt_err_exit_code(r);
}

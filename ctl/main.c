/* tuttictl: finds the command in the tables, runs it, reports its error once. */
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"

static const struct ctl_command *const tables[] = {ctl_pki_commands};

static void usage(FILE *out)
{
    (void)fprintf(out, "tuttictl looks at and changes a tutti cluster.\n\n");
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct ctl_command *c = tables[t]; c->name != NULL; c++) {
            (void)fprintf(out, "  %-18s %s\n", c->name, c->summary);
        }
    }
    (void)fprintf(out, "\nEach takes --help.\n");
}

/* A command of one or two words; *ret_used tells how many. */
static const struct ctl_command *find(int argc, char **argv, int *ret_used)
{
    char two[80];
    (void)snprintf(two, sizeof two, "%s %s", argc > 0 ? argv[0] : "", argc > 1 ? argv[1] : "");
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct ctl_command *c = tables[t]; c->name != NULL; c++) {
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
    if (r != TT_OK) {
        char text[2048];
        (void)tt_err_format(&err, text, sizeof text);
        (void)fprintf(stderr, "tuttictl %s: %s\n", command->name, text);
    }
    return tt_err_exit_code(r);
}

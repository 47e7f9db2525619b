/* tuttictl: finds the command in the tables, runs it, reports its error once.
 *
 * Options of the connection (which cluster, which namespace) may also stand before the command. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/output.h"

/* In the order of the help. */
static const struct {
    const char *title;                  /* NULL: goes on with the group above */
    const struct ctl_command *commands; /* a file's table, ended by a NULL name */
} groups[] = {
    {"Looking at objects", ctl_get_commands},
    {NULL, ctl_describe_commands},
    {NULL, ctl_logs_commands},
    {NULL, ctl_wait_commands},
    {"Changing objects", ctl_apply_commands},
    {NULL, ctl_delete_commands},
    {NULL, ctl_rollout_commands},
    {NULL, ctl_revision_commands},
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

/* Commands of two words whose first is this one; prints them when asked to. */
static size_t family(const char *word, FILE *out)
{
    size_t size = strlen(word);
    size_t count = 0;
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        for (const struct ctl_command *c = groups[g].commands; c->name != NULL; c++) {
            bool belongs = strncmp(c->name, word, size) == 0 && c->name[size] == ' ';
            count += belongs;
            if (belongs && out != NULL) {
                (void)fprintf(out, "  %-18s %s\n", c->name, c->summary);
            }
        }
    }
    return count;
}

/* "pki", "pki --help", "pki nonsense". */
static int run_family(int argc, char **argv, struct tt_err *err)
{
    bool is_help = argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
    if (!is_help) {
        return TT_FAIL(err, TT_EINVAL, "unknown command \"%s %s\"; tuttictl %s --help lists them",
                       argv[0], argv[1], argv[0]);
    }
    ctl_print("Usage: tuttictl %s COMMAND …\n\n", argv[0]);
    (void)family(argv[0], stdout);
    ctl_print("\nEach takes --help, with its options and examples.\n");
    return ctl_output_end(err);
}

/* Words that the options before the command take: "-n shop --context=a get pods" has three. */
static int leading(int argc, char **argv, struct tt_err *err)
{
    static const char *const names[] = {"--kubeconfig", "--context", "--namespace",
                                        "--request-timeout", "-n"};
    int count = 0;
    while (count < argc && argv[count][0] == '-') {
        size_t size = 0;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (strncmp(argv[count], names[i], strlen(names[i])) == 0) {
                size = strlen(names[i]);
                break;
            }
        }
        char next = argv[count][size];
        bool is_attached = next == '=' || (size == 2 && next != '\0');
        if (size == 0 || (next != '\0' && !is_attached)) {
            return TT_FAIL(err, TT_EINVAL,
                           "unknown option \"%s\" before the command: only those of the "
                           "connection may stand there",
                           argv[count]);
        }
        count += is_attached ? 1 : 2;
    }
    return count;
}

static int run_command(const struct ctl_command *command, int argc, char **argv, struct tt_err *err)
{
    int r = command->run(command, argc, argv, err);
    return r == TT_OK ? ctl_output_end(err) : r;
}

/* argv: all behind the program's name; leading_count of them stand before the command. */
static int run(int argc, char **argv, int leading_count, struct tt_err *err)
{
    int used = 0;
    const struct ctl_command *command = find(argc - leading_count, argv + leading_count, &used);
    if (command == NULL && leading_count < argc && family(argv[leading_count], NULL) > 0) {
        return run_family(argc - leading_count, argv + leading_count, err);
    }
    if (command == NULL) {
        bool is_missing = leading_count >= argc;
        return TT_FAIL(err, TT_EINVAL, "%s \"%s\"; tuttictl --help lists all",
                       is_missing ? "no command behind" : "unknown command",
                       is_missing ? argv[argc - 1] : argv[leading_count]);
    }
    /* The same as if they stood behind the command. */
    char **words = tt_xcalloc((size_t)argc, sizeof words[0]);
    int rest = argc - leading_count - used;
    memcpy(words, argv, (size_t)leading_count * sizeof words[0]);
    memcpy(words + leading_count, argv + leading_count + used, (size_t)rest * sizeof words[0]);
    int r = run_command(command, leading_count + rest, words, err);
    tt_free(words);
    if (r != TT_OK) {
        char text[2048];
        (void)tt_err_format(err, text, sizeof text);
        (void)fprintf(stderr, "tuttictl %s: %s\n", command->name, text);
        err->code = TT_OK; /* told */
    }
    return r;
}

int main(int argc, char **argv)
{
    tt_log_setup(STDERR_FILENO, TT_LOG_ERROR, "tuttictl");
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    struct tt_err err;
    tt_err_init(&err);
    int r = leading(argc - 1, argv + 1, &err);
    if (r >= 0) {
        r = run(argc - 1, argv + 1, r, &err);
    }
    if (r != TT_OK && err.code != TT_OK) {
        (void)fprintf(stderr, "tuttictl: %s\n", tt_err_cause(&err));
    }
    return tt_err_exit_code(r);
}

/* How the parts of tuttictl fit together: a table of commands, each with its own options.
 *
 * Exit codes (docs/ctl.md): 0 done; 1 internal error; 2 usage or bad input; 4 not allowed; 5 not
 * found; 6 conflict; 7 not available now, try again; 8 storage; 9 damaged data (base/err_codes.h).
 * Ownership: arguments are borrowed from argv. Thread: one. Errors: reported once, by main. */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "base/options.h"

enum { CTL_WORDS_MAX = 256 };

struct ctl_command {
    const char *name;    /* "apply", or two words: "pki init" */
    const char *usage;   /* what follows the name: "-f FILE [OPTIONS]" */
    const char *summary; /* one line */
    const char *help;    /* a paragraph and examples; NULL: none */
    /* Parses what follows the name and does it; its error is told by main. */
    int (*run)(const struct ctl_command *self, int argc, char **argv, struct tt_err *err);
};
/* A command line on its way through a command. */
struct ctl_args {
    const struct ctl_command *command; /* borrowed; for its help */
    const struct tt_option *options;   /* of the command, without --help */
    size_t option_count;               /* at most 31 */
    int argc;                          /* of what follows the name */
    char **argv;                       /* what follows the name; borrowed */
    /* Result: */
    const char *words[CTL_WORDS_MAX]; /* what is no option */
    size_t word_count;                /* of words in use */
    bool help;                        /* --help was given and printed: there is nothing to do */
};
int ctl_parse(struct ctl_args *args, struct tt_err *err) TT_MUST_USE;
void ctl_print(const char *fmt, ...) TT_PRINTF(1, 2); /* to standard output */

/* One per file; NULL-terminated by name. */
extern const struct ctl_command ctl_pki_commands[];
extern const struct ctl_command ctl_apply_commands[];
extern const struct ctl_command ctl_delete_commands[];
extern const struct ctl_command ctl_describe_commands[];
extern const struct ctl_command ctl_logs_commands[];
extern const struct ctl_command ctl_rollout_commands[];
extern const struct ctl_command ctl_revision_commands[];
extern const struct ctl_command ctl_wait_commands[];
extern const struct ctl_command ctl_get_commands[];
extern const struct ctl_command ctl_identity_commands[];
extern const struct ctl_command ctl_join_commands[];
extern const struct ctl_command ctl_kubeconfig_commands[];
extern const struct ctl_command ctl_backup_commands[];
extern const struct ctl_command ctl_member_commands[];
extern const struct ctl_command ctl_cluster_commands[];

#endif

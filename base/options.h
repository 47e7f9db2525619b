/* Command lines: a table of long options, parsed and printed as help by the same code.
 *
 * Accepted: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, -x=VALUE, flags without a value (or
 * --flag=true, --flag=false, -x=false), and "--" which ends them. A list takes its option again and
 * again. Words that are no option are kept in order (also between options).
 * Ownership: values point into argv. Thread: any. Errors: TT_EINVAL naming the option and --help.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/buf.h"

enum tt_option_kind { TT_OPTION_STRING, TT_OPTION_U64, TT_OPTION_FLAG, TT_OPTION_LIST };
enum { TT_OPTION_VALUES_MAX = 64 };
struct tt_option_values {
    const char *items[TT_OPTION_VALUES_MAX]; /* in the order given */
    size_t count;                            /* given so far; of items */
};
struct tt_option {
    const char *name;         /* without the dashes */
    char letter;              /* 0: no short form */
    enum tt_option_kind kind; /* what target points to */
    void *target; /* const char **, uint64_t *, bool * or struct tt_option_values *: untouched
                     when not given */
    const char *metavar; /* "HOST:PORT"; NULL for flags */
    const char *help;    /* one sentence; says the default */
};
struct tt_option_set {
    const struct tt_option *options; /* borrowed while it is parsed and printed */
    size_t count;                    /* of options */
};
/* words[0 … *ret_word_count) get what is no option; words has room for argc. argv[0] is the first
 * argument (not the program). */
int tt_options_parse(const struct tt_option_set *set, int argc, char **argv, const char **words,
                     size_t *ret_word_count, struct tt_err *err) TT_MUST_USE;
/* Two columns, one option a line, wrapped at 100 columns. */
void tt_options_help(const struct tt_option_set *set, struct tt_buf *buf);
/* "host:port" or "[v6]:port": host is written to out (without brackets). */
int tt_host_port(const char *text, char *ret_host, size_t host_size, uint16_t *ret_port,
                 struct tt_err *err) TT_MUST_USE;

#endif

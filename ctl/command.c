/* Option parsing and help shared by all commands. */
#include "ctl/command.h"

#include <stdarg.h>
#include <stdio.h>

enum { OPTIONS_MAX = 31 };

void ctl_print(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vprintf(fmt, args); /* a closed pipe ends the process by SIGPIPE */
    va_end(args);
}

static void print_help(const struct ctl_args *args)
{
    const struct ctl_command *command = args->command;
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 64 << 10);
    tt_buf_printf(&text, "Usage: tuttictl %s %s\n\n%s\n", command->name, command->usage,
                  command->summary);
    if (args->option_count > 0) {
        tt_buf_c(&text, "\nOptions:\n");
        const struct tt_option_set set = {args->options, args->option_count};
        tt_options_help(&set, &text);
    }
    if (command->help != NULL) {
        tt_buf_printf(&text, "\n%s\n", command->help);
    }
    ctl_print("%s", text.ptr);
}

int ctl_parse(struct ctl_args *args, struct tt_err *err)
{
    TT_ASSERT(args->option_count <= OPTIONS_MAX);
    struct tt_option options[OPTIONS_MAX + 1];
    if (args->option_count > 0) {
        memcpy(options, args->options, args->option_count * sizeof options[0]);
    }
    args->help = false;
    options[args->option_count] = (struct tt_option){
        .name = "help", .letter = 'h', .kind = TT_OPTION_FLAG, .target = &args->help};
    if (args->argc > CTL_WORDS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "more than %d arguments", CTL_WORDS_MAX);
    }
    const struct tt_option_set set = {options, args->option_count + 1};
    int r = tt_options_parse(&set, args->argc, args->argv, args->words, &args->word_count, err);
    if (args->help) {
        print_help(args);
        return TT_OK;
    }
    return r;
}

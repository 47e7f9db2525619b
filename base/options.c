/* Option tables; see the header for the accepted forms. */
#include "base/options.h"

#include <stdio.h>

static const struct tt_option *find_long(const struct tt_option *options, size_t count,
                                         struct tt_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (tt_str_eq_c(name, options[i].name)) {
            return &options[i];
        }
    }
    return NULL;
}

static const struct tt_option *find_short(const struct tt_option *options, size_t count, char c)
{
    for (size_t i = 0; i < count; i++) {
        if (c != 0 && options[i].letter == c) {
            return &options[i];
        }
    }
    return NULL;
}

static int set_value(const struct tt_option *option, const char *value, struct tt_err *err)
{
    if (option->kind == TT_OPTION_STRING) {
        *(const char **)option->target = value;
        return TT_OK;
    }
    if (option->kind == TT_OPTION_LIST) {
        struct tt_option_values *values = option->target;
        if (values->count == TT_OPTION_VALUES_MAX) {
            return TT_FAIL(err, TT_EINVAL, "--%s: at most %d times", option->name,
                           TT_OPTION_VALUES_MAX);
        }
        values->items[values->count++] = value;
        return TT_OK;
    }
    TT_ASSERT(option->kind == TT_OPTION_U64);
    if (!tt_str_to_u64(tt_str_c(value), (uint64_t *)option->target)) {
        return TT_FAIL(err, TT_EINVAL, "--%s: \"%s\" is not a whole number", option->name, value);
    }
    return TT_OK;
}

/* The option named by arg, and its value when it is part of arg (after '='). */
static int look_up(const struct tt_option *options, size_t count, const char *arg,
                   const struct tt_option **ret_option, const char **ret_value, struct tt_err *err)
{
    struct tt_str rest = tt_str_c(arg);
    const struct tt_option *option = NULL;
    *ret_value = NULL;
    if (tt_str_starts(rest, TT_STR("--"))) {
        rest = tt_str_skip(rest, 2);
        ptrdiff_t equals = tt_str_find(rest, '=');
        if (equals >= 0) {
            *ret_value = rest.ptr + equals + 1;
            rest = tt_str_head(rest, (size_t)equals);
        }
        option = find_long(options, count, rest);
    } else if (rest.len >= 2) {
        option = find_short(options, count, rest.ptr[1]);
        bool attached = rest.len > 2 && option != NULL &&
                        (option->kind != TT_OPTION_FLAG || rest.ptr[2] == '=');
        *ret_value = attached ? rest.ptr + (rest.ptr[2] == '=' ? 3 : 2) : NULL;
        option = rest.len == 2 || attached ? option : NULL;
    }
    if (option == NULL) {
        return TT_FAIL(err, TT_EINVAL, "unknown option \"%s\": --help lists all", arg);
    }
    *ret_option = option;
    return TT_OK;
}

static int set_flag(const struct tt_option *option, const char *value, struct tt_err *err)
{
    bool is_true = value == NULL || strcmp(value, "true") == 0;
    if (!is_true && strcmp(value, "false") != 0) {
        return TT_FAIL(err, TT_EINVAL, "--%s takes no value but true or false", option->name);
    }
    *(bool *)option->target = is_true;
    return TT_OK;
}

int tt_options_parse(const struct tt_option_set *set, int argc, char **argv, const char **words,
                     size_t *ret_word_count, struct tt_err *err)
{
    size_t word_count = 0;
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || argv[i][1] == 0) {
            words[word_count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        const struct tt_option *option = NULL;
        const char *value = NULL;
        int r = look_up(set->options, set->count, argv[i], &option, &value, err);
        if (r != TT_OK) {
            return r;
        }
        TT_ASSERT(option != NULL);
        if (option->kind == TT_OPTION_FLAG) {
            r = set_flag(option, value, err);
            if (r != TT_OK) {
                return r;
            }
            continue;
        }
        if (value == NULL && i + 1 == argc) {
            return TT_FAIL(err, TT_EINVAL, "--%s needs a value (%s)", option->name,
                           option->metavar);
        }
        r = set_value(option, value != NULL ? value : argv[++i], err);
        if (r != TT_OK) {
            return r;
        }
    }
    *ret_word_count = word_count;
    return TT_OK;
}

void tt_options_help(const struct tt_option_set *set, struct tt_buf *buf)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct tt_option *option = &set->options[i];
        char head[80];
        (void)snprintf(head, sizeof head, "--%s%s%s", option->name,
                       option->metavar != NULL ? " " : "",
                       option->metavar != NULL ? option->metavar : "");
        if (option->letter != 0) {
            tt_buf_printf(buf, "  -%c, %-30s %s\n", option->letter, head, option->help);
        } else {
            tt_buf_printf(buf, "      %-30s %s\n", head, option->help);
        }
    }
}

int tt_host_port(const char *text, char *ret_host, size_t host_size, uint16_t *ret_port,
                 struct tt_err *err)
{
    struct tt_str s = tt_str_c(text);
    size_t colon = s.len;
    while (colon > 0 && s.ptr[colon - 1] != ':') {
        colon--;
    }
    uint64_t port;
    if (colon == 0 || !tt_str_to_u64(tt_str_skip(s, colon), &port) || port > UINT16_MAX) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\" is not HOST:PORT", text);
    }
    struct tt_str host = tt_str_head(s, colon - 1);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = tt_str(host.ptr + 1, host.len - 2);
    }
    if (host.len == 0 || host.len >= host_size) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\" is not HOST:PORT", text);
    }
    memcpy(ret_host, host.ptr, host.len);
    ret_host[host.len] = 0;
    *ret_port = (uint16_t)port;
    return TT_OK;
}

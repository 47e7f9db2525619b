/* Go's durations ("1h30m", "1.5s", "-2ms") and the short ages that kubectl prints. */
#include <stdio.h>

#include "api/kinds/quantity.h"
#include "base/intmath.h"

#define SECOND_NS ((int64_t)1000000000)

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, YEAR_S = 365 * DAY_S };

static const struct {
    const char *text; /* all that stands behind the number */
    int64_t ns;       /* of one unit */
} units[] = {
    {"ns", 1},         {"us", 1000},          {"\xc2\xb5s", 1000},     {"ms", 1000000},
    {"s", 1000000000}, {"m", 60 * SECOND_NS}, {"h", 3600 * SECOND_NS},
};

static size_t unit_length(struct tt_str text)
{
    size_t len = 0;
    while (len < text.len && text.ptr[len] != '.' && (text.ptr[len] < '0' || text.ptr[len] > '9')) {
        len++;
    }
    return len;
}

/* One "<number><unit>" off the front of *text, added to *total. */
static bool parse_part(struct tt_str *text, tt_i128 *total)
{
    tt_i128 number = 0, divisor = 1;
    size_t i = 0, digits = 0;
    bool dot = false;
    for (; i < text->len; i++) {
        char c = text->ptr[i];
        if (c == '.' && !dot) {
            dot = true;
        } else if (c >= '0' && c <= '9' && digits < 20) {
            number = number * 10 + (c - '0');
            divisor *= dot ? 10 : 1;
            digits++;
        } else {
            break;
        }
    }
    *text = tt_str_skip(*text, i);
    size_t len = unit_length(*text);
    for (size_t k = 0; digits > 0 && k < sizeof units / sizeof units[0]; k++) {
        if (tt_str_eq_c(tt_str_head(*text, len), units[k].text)) {
            *text = tt_str_skip(*text, len);
            *total += number * units[k].ns / divisor;
            return *total <= INT64_MAX;
        }
    }
    return false;
}

bool tt_duration_parse(struct tt_str text, int64_t *ret_ns)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (text.len > 0 && (negative || text.ptr[0] == '+')) {
        text = tt_str_skip(text, 1);
    }
    tt_i128 total = 0;
    if (tt_str_eq(text, TT_STR("0"))) {
        *ret_ns = 0;
        return true;
    }
    if (text.len == 0) {
        return false;
    }
    while (text.len > 0) {
        if (!parse_part(&text, &total)) {
            return false;
        }
    }
    *ret_ns = (int64_t)(negative ? -total : total);
    return true;
}

static size_t clamp(int written)
{
    return written < 0 ? 0 : tt_size_min((size_t)written, TT_DURATION_TEXT_SIZE - 1);
}

size_t tt_duration_format(int64_t ns, char out[TT_DURATION_TEXT_SIZE])
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    uint64_t seconds = size / 1000000000u, rest = size % 1000000000u;
    char fraction[16] = "";
    if (rest > 0) {
        (void)snprintf(fraction, sizeof fraction, ".%09u", (unsigned)rest); /* fits: 10 chars */
        for (size_t i = strlen(fraction); fraction[i - 1] == '0'; i--) {
            fraction[i - 1] = '\0';
        }
    }
    unsigned long long h = seconds / HOUR_S, m = seconds / MINUTE_S % 60, s = seconds % 60;
    if (h > 0) {
        return clamp(
            snprintf(out, TT_DURATION_TEXT_SIZE, "%s%lluh%llum%llu%ss", sign, h, m, s, fraction));
    }
    if (m > 0) {
        return clamp(snprintf(out, TT_DURATION_TEXT_SIZE, "%s%llum%llu%ss", sign, m, s, fraction));
    }
    return clamp(snprintf(out, TT_DURATION_TEXT_SIZE, "%s%llu%ss", sign, s, fraction));
}

/* "3m12s", or "3m" when the smaller part is zero or not asked for. */
static size_t two_parts(char *out, int64_t big, char big_unit, int64_t small, char small_unit)
{
    if (small == 0) {
        return clamp(snprintf(out, TT_DURATION_TEXT_SIZE, "%lld%c", (long long)big, big_unit));
    }
    return clamp(snprintf(out, TT_DURATION_TEXT_SIZE, "%lld%c%lld%c", (long long)big, big_unit,
                          (long long)small, small_unit));
}

size_t tt_duration_human(int64_t seconds, char out[TT_DURATION_TEXT_SIZE])
{
    int64_t s = seconds < 0 ? 0 : seconds;
    if (s < 2 * MINUTE_S) {
        return two_parts(out, s, 's', 0, 's');
    }
    if (s < 10 * MINUTE_S) {
        return two_parts(out, s / MINUTE_S, 'm', s % MINUTE_S, 's');
    }
    if (s < 3 * HOUR_S) {
        return two_parts(out, s / MINUTE_S, 'm', 0, 's');
    }
    if (s < 8 * HOUR_S) {
        return two_parts(out, s / HOUR_S, 'h', s % HOUR_S / MINUTE_S, 'm');
    }
    if (s < 2 * DAY_S) {
        return two_parts(out, s / HOUR_S, 'h', 0, 'm');
    }
    if (s < 8 * DAY_S) {
        return two_parts(out, s / DAY_S, 'd', s % DAY_S / HOUR_S, 'h');
    }
    if (s < 2 * (int64_t)YEAR_S) {
        return two_parts(out, s / DAY_S, 'd', 0, 'h');
    }
    if (s < 8 * (int64_t)YEAR_S) {
        return two_parts(out, s / YEAR_S, 'y', s % YEAR_S / DAY_S, 'd');
    }
    return two_parts(out, s / YEAR_S, 'y', 0, 'd');
}

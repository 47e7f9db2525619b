/* Quantities and durations.
 *
 * A quantity is <sign><digits>[.<digits>]<suffix>, suffix one of n u m "" k M G T P E, Ki … Ei, or
 * e/E and a decimal exponent. The number is gathered as an integer and a count of fraction digits,
 * then scaled to nano units in 128 bits, rounding away from zero below nano. Values beyond
 * ±2^96 nano-units are refused rather than saturated. */
#include "api/kinds/quantity.h"

#include <stdio.h>

#define NANO      ((tt_i128)1000000000)
#define NANO_MAX  ((tt_i128)1 << 96)
#define DIGIT_CAP (((tt_i128)1 << 120) / 10)

enum { EXPONENT_MAX = 30, FRACTION_MAX = 30 };

static const struct {
    char text[3];                   /* NUL-terminated; "" for plain numbers */
    enum tt_quantity_format format; /* the family it is written back in */
    int power;                      /* of 10, or of 2 for the binary family */
} suffixes[] = {
    {"n", TT_QUANTITY_DECIMAL, -9}, {"u", TT_QUANTITY_DECIMAL, -6}, {"m", TT_QUANTITY_DECIMAL, -3},
    {"", TT_QUANTITY_DECIMAL, 0},   {"k", TT_QUANTITY_DECIMAL, 3},  {"M", TT_QUANTITY_DECIMAL, 6},
    {"G", TT_QUANTITY_DECIMAL, 9},  {"T", TT_QUANTITY_DECIMAL, 12}, {"P", TT_QUANTITY_DECIMAL, 15},
    {"E", TT_QUANTITY_DECIMAL, 18}, {"Ki", TT_QUANTITY_BINARY, 10}, {"Mi", TT_QUANTITY_BINARY, 20},
    {"Gi", TT_QUANTITY_BINARY, 30}, {"Ti", TT_QUANTITY_BINARY, 40}, {"Pi", TT_QUANTITY_BINARY, 50},
    {"Ei", TT_QUANTITY_BINARY, 60},
};

/* Multiplies within bounds; false on overflow. */
static bool mul(tt_i128 *value, tt_i128 by)
{
    return !__builtin_mul_overflow(*value, by, value);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The suffix at the end of text: its family and power. */
static bool parse_suffix(struct tt_str text, enum tt_quantity_format *format, int *power)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (tt_str_eq_c(text, suffixes[i].text)) {
            *format = suffixes[i].format;
            *power = suffixes[i].power;
            return true;
        }
    }
    int64_t exponent;
    struct tt_str digits = tt_str_skip(text, 1);
    if (digits.len > 1 && digits.ptr[0] == '+' && is_digit(digits.ptr[1])) {
        digits = tt_str_skip(digits, 1);
    }
    if (text.len < 2 || (text.ptr[0] != 'e' && text.ptr[0] != 'E') ||
        !tt_str_to_i64(digits, &exponent) || exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX) {
        return false;
    }
    *format = TT_QUANTITY_EXPONENT;
    *power = (int)exponent;
    return true;
}

/* digits × 10^power10 × 2^power2 in nano units, rounded up when there is a rest. */
static bool scale(tt_i128 digits, int power10, int power2, tt_i128 *ret)
{
    power10 += 9;
    for (; power2 > 0; power2--) {
        if (!mul(&digits, 2)) {
            return false;
        }
    }
    for (; power10 > 0; power10--) {
        if (!mul(&digits, 10)) {
            return false;
        }
    }
    bool rest = false;
    for (; power10 < 0; power10++) {
        rest |= digits % 10 != 0;
        digits /= 10;
    }
    *ret = digits + (rest ? 1 : 0);
    return *ret <= NANO_MAX;
}

/* "12.5": all digits as one integer, how many of them are behind the point, and the length of the
 * number. False when there are no digits or too many. */
static bool parse_digits(struct tt_str text, tt_i128 *ret_digits, int *ret_fraction,
                         size_t *ret_length)
{
    tt_i128 digits = 0;
    size_t i = 0, count = 0;
    int fraction = 0;
    bool dot = false;
    for (; i < text.len && (is_digit(text.ptr[i]) || (text.ptr[i] == '.' && !dot)); i++) {
        if (text.ptr[i] == '.') {
            dot = true;
            continue;
        }
        if (digits > DIGIT_CAP || fraction == FRACTION_MAX) {
            return false;
        }
        digits = digits * 10 + (text.ptr[i] - '0');
        fraction += dot;
        count++;
    }
    *ret_digits = digits;
    *ret_fraction = fraction;
    *ret_length = i;
    return count > 0;
}

bool tt_quantity_parse(struct tt_str text, struct tt_quantity *ret)
{
    bool negative = tt_str_starts(text, TT_STR("-"));
    if (negative || tt_str_starts(text, TT_STR("+"))) {
        text = tt_str_skip(text, 1);
    }
    enum tt_quantity_format format = TT_QUANTITY_DECIMAL;
    tt_i128 digits, nano;
    int fraction, power = 0;
    size_t length;
    if (!parse_digits(text, &digits, &fraction, &length) ||
        !parse_suffix(tt_str_skip(text, length), &format, &power)) {
        return false;
    }
    bool binary = format == TT_QUANTITY_BINARY;
    if (!scale(digits, (binary ? 0 : power) - fraction, binary ? power : 0, &nano)) {
        return false;
    }
    *ret = (struct tt_quantity){negative ? -nano : nano, format};
    return true;
}

static size_t put_i128(tt_i128 value, char *out)
{
    char digits[48];
    size_t count = 0, len = 0;
    bool negative = value < 0;
    tt_u128 rest = (tt_u128)(negative ? -value : value);
    do {
        digits[count++] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    if (negative) {
        out[len++] = '-';
    }
    while (count > 0) {
        out[len++] = digits[--count];
    }
    return len;
}

static size_t finish(tt_i128 value, const char *suffix, char *out)
{
    size_t len = put_i128(value, out), size = strlen(suffix);
    memcpy(out + len, suffix, size + 1);
    return len + size;
}

static tt_i128 decimal_unit(int power)
{
    tt_i128 unit = 1;
    for (int p = -9; p < power; p++) {
        unit *= 10;
    }
    return unit;
}

static size_t format_exponent(tt_i128 nano, char out[TT_QUANTITY_TEXT_SIZE])
{
    int power = -9;
    while (power < 18 && nano % 1000 == 0) {
        nano /= 1000;
        power += 3;
    }
    char suffix[16] = "";
    if (power != 0) {
        (void)snprintf(suffix, sizeof suffix, "e%d", power); /* fits: two digits */
    }
    return finish(nano, suffix, out);
}

size_t tt_quantity_format(const struct tt_quantity *quantity, char out[TT_QUANTITY_TEXT_SIZE])
{
    tt_i128 nano = quantity->nano;
    if (nano == 0) {
        return finish(0, "", out);
    }
    if (quantity->format == TT_QUANTITY_EXPONENT) {
        return format_exponent(nano, out);
    }
    size_t count = sizeof suffixes / sizeof suffixes[0];
    tt_i128 size = nano < 0 ? -nano : nano;
    /* Binary suffixes only from 1024 up and for whole numbers, as Kubernetes writes them. */
    bool binary = quantity->format == TT_QUANTITY_BINARY && nano % NANO == 0 && size >= 1024 * NANO;
    for (size_t i = count; i-- > 0;) {
        bool is_binary = suffixes[i].format == TT_QUANTITY_BINARY;
        if (is_binary != binary && suffixes[i].power != 0) {
            continue;
        }
        tt_i128 unit =
            is_binary ? ((tt_i128)1 << suffixes[i].power) * NANO : decimal_unit(suffixes[i].power);
        if (nano % unit == 0) {
            return finish(nano / unit, suffixes[i].text, out);
        }
    }
    return finish(nano, "n", out);
}

int tt_quantity_cmp(const struct tt_quantity *a, const struct tt_quantity *b)
{
    return (a->nano > b->nano) - (a->nano < b->nano);
}

bool tt_quantity_add(struct tt_quantity *a, const struct tt_quantity *b)
{
    tt_i128 sum;
    if (__builtin_add_overflow(a->nano, b->nano, &sum) || sum > NANO_MAX || sum < -NANO_MAX) {
        return false;
    }
    a->nano = sum;
    return true;
}

bool tt_quantity_sub(struct tt_quantity *a, const struct tt_quantity *b)
{
    struct tt_quantity negated = {-b->nano, b->format};
    return tt_quantity_add(a, &negated);
}

static bool in_units(tt_i128 nano, tt_i128 unit, int64_t *ret)
{
    tt_i128 whole = nano / unit + (nano > 0 && nano % unit != 0);
    if (whole > INT64_MAX || whole < INT64_MIN) {
        return false;
    }
    *ret = (int64_t)whole;
    return true;
}

bool tt_quantity_milli(const struct tt_quantity *quantity, int64_t *ret_milli)
{
    return in_units(quantity->nano, 1000000, ret_milli);
}

bool tt_quantity_value(const struct tt_quantity *quantity, int64_t *ret_value)
{
    return in_units(quantity->nano, NANO, ret_value);
}

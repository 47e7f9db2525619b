#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/* Calendar arithmetic is done here (proleptic Gregorian, days since 1970-01-01) because libc's
 * depends on the time zone and its inverse is not portable. Failure modes: the kernel's clocks
 * cannot fail with these ids (asserted); a text that is not RFC 3339 is refused. */

static const uint64_t ms_per_day = UINT64_C(86400000);

static uint64_t real_monotonic_ns(void *ctx)
{
    (void)ctx; /* the real clock has no state */
    struct timespec now;
    int r = clock_gettime(CLOCK_MONOTONIC, &now);
    TT_ASSERT(r == 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t tt_clock_thread_ns(void)
{
    struct timespec used;
    int r = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    TT_ASSERT(r == 0);
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

static uint64_t real_wall_ms(void *ctx)
{
    (void)ctx; /* the real clock has no state */
    struct timespec now;
    int r = clock_gettime(CLOCK_REALTIME, &now);
    TT_ASSERT(r == 0);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

const struct tt_clock *tt_clock_real(void)
{
    static const struct tt_clock real = {real_monotonic_ns, real_wall_ms, NULL};
    return &real;
}

struct civil {
    uint64_t year;  /* four digits where it came from text */
    unsigned month; /* 1 to 12 */
    unsigned day;   /* 1 to 31 */
};

/* Years run from March here, so that the leap day is the last of its year. */
static struct civil civil_of_days(uint64_t days)
{
    uint64_t z = days + 719468; /* since 0000-03-01 */
    uint64_t era = z / 146097;
    uint64_t day_of_era = z % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t march_month = (5 * day_of_year + 2) / 153;
    struct civil civil;
    civil.day = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1);
    civil.month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    civil.year = year_of_era + era * 400 + (civil.month <= 2 ? 1 : 0);
    return civil;
}

static int64_t days_of_civil(struct civil civil)
{
    uint64_t year = civil.month <= 2 ? civil.year - 1 : civil.year;
    uint64_t era = year / 400;
    uint64_t year_of_era = year % 400;
    uint64_t march_month = civil.month > 2 ? civil.month - 3 : civil.month + 9;
    uint64_t day_of_year = (153 * march_month + 2) / 5 + civil.day - 1;
    uint64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)(era * 146097 + day_of_era) - 719468;
}

/* "2026-01-02T03:04:05", no zone. */
static size_t format_seconds(uint64_t wall_s, char out[TT_TIME_TEXT_SIZE])
{
    struct civil civil = civil_of_days(wall_s / 86400);
    unsigned second = (unsigned)(wall_s % 86400);
    int len = snprintf(out, TT_TIME_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u",
                       (unsigned)(civil.year % 10000), civil.month, civil.day, second / 3600,
                       second / 60 % 60, second % 60);
    TT_ASSERT(len > 0 && len < TT_TIME_TEXT_SIZE);
    return (size_t)len;
}

static size_t format_tail(char out[TT_TIME_TEXT_SIZE], size_t at, int digits, unsigned fraction)
{
    int len = digits > 0 ? snprintf(out + at, TT_TIME_TEXT_SIZE - at, ".%0*uZ", digits, fraction)
                         : snprintf(out + at, TT_TIME_TEXT_SIZE - at, "Z");
    TT_ASSERT(len > 0 && at + (size_t)len < TT_TIME_TEXT_SIZE);
    return at + (size_t)len;
}

size_t tt_time_format(uint64_t wall_ms, char out[TT_TIME_TEXT_SIZE])
{
    return format_tail(out, format_seconds(wall_ms / 1000, out), 0, 0);
}

size_t tt_time_format_micro(uint64_t wall_us, char out[TT_TIME_TEXT_SIZE])
{
    return format_tail(out, format_seconds(wall_us / 1000000, out), 6,
                       (unsigned)(wall_us % 1000000));
}

size_t tt_time_format_ms(uint64_t wall_ms, char out[TT_TIME_TEXT_SIZE])
{
    return format_tail(out, format_seconds(wall_ms / 1000, out), 3, (unsigned)(wall_ms % 1000));
}

/* Takes exactly `digits` digits and, unless after is 0, the character that must follow. */
static bool take_number(struct tt_str *s, size_t digits, char after, unsigned max, unsigned *ret)
{
    uint64_t value;
    if (s->len < digits || !tt_str_to_u64(tt_str_head(*s, digits), &value) || value > max) {
        return false;
    }
    *s = tt_str_skip(*s, digits);
    if (after != 0) {
        if (s->len == 0 || (s->ptr[0] | (after == 't' ? 0x20 : 0)) != after) {
            return false;
        }
        *s = tt_str_skip(*s, 1);
    }
    *ret = (unsigned)value;
    return true;
}

/* ".123456789": milliseconds, the rest cut. */
static bool take_fraction(struct tt_str *s, unsigned *ret_ms)
{
    unsigned ms = 0;
    unsigned scale = 100;
    size_t digits = 0;
    if (s->len == 0 || s->ptr[0] != '.') {
        *ret_ms = 0;
        return true;
    }
    *s = tt_str_skip(*s, 1);
    for (; s->len > 0 && s->ptr[0] >= '0' && s->ptr[0] <= '9'; digits++) {
        ms += scale * (unsigned)(s->ptr[0] - '0');
        scale /= 10;
        *s = tt_str_skip(*s, 1);
    }
    *ret_ms = ms;
    return digits > 0;
}

/* "Z" or "+hh:mm": how far local time is ahead of UTC. */
static bool take_offset(struct tt_str *s, int64_t *ret_ms)
{
    if (tt_str_eq_nocase(*s, TT_STR("Z"))) {
        *ret_ms = 0;
        return true;
    }
    if (s->len == 0 || (s->ptr[0] != '+' && s->ptr[0] != '-')) {
        return false;
    }
    int64_t sign = s->ptr[0] == '-' ? -1 : 1;
    unsigned hours;
    unsigned minutes;
    *s = tt_str_skip(*s, 1);
    if (!take_number(s, 2, ':', 23, &hours) || !take_number(s, 2, 0, 59, &minutes) || s->len > 0) {
        return false;
    }
    *ret_ms = sign * (int64_t)(hours * 60 + minutes) * 60000;
    return true;
}

static bool take_date(struct tt_str *s, struct civil *ret)
{
    static const uint8_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year;
    struct civil civil = {0};
    if (!take_number(s, 4, '-', 9999, &year) || !take_number(s, 2, '-', 12, &civil.month) ||
        !take_number(s, 2, 't', 31, &civil.day)) {
        return false;
    }
    if (year < 1 || civil.month < 1 || civil.day < 1 || civil.day > month_days[civil.month - 1]) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (civil.month == 2 && civil.day == 29 && !leap) {
        return false;
    }
    civil.year = year;
    *ret = civil;
    return true;
}

bool tt_time_parse(struct tt_str rfc3339, uint64_t *ret_wall_ms)
{
    struct civil civil;
    unsigned hour;
    unsigned minute;
    unsigned second;
    unsigned ms;
    int64_t offset_ms;
    if (!take_date(&rfc3339, &civil) || !take_number(&rfc3339, 2, ':', 23, &hour) ||
        !take_number(&rfc3339, 2, ':', 59, &minute) || !take_number(&rfc3339, 2, 0, 60, &second) ||
        !take_fraction(&rfc3339, &ms) || !take_offset(&rfc3339, &offset_ms)) {
        return false;
    }
    int64_t total = days_of_civil(civil) * (int64_t)ms_per_day;
    total += (int64_t)((hour * 60 + minute) * 60 + second) * 1000 + (int64_t)ms - offset_ms;
    if (total < 0) {
        return false; /* before 1970: nothing of ours is */
    }
    *ret_wall_ms = (uint64_t)total;
    return true;
}

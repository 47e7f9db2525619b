/* Happy path: cut at '&', cut at '=', find the name in a table that says where the value goes and
 * how it is read. Failure: a value that cannot be read names its parameter. */
#include "api/routes/query.h"

#include "api/http/uri.h"

enum param_type { PARAM_STR, PARAM_U64, PARAM_BOOL, PARAM_DURATION };
enum { QUERY_PARAMS_MAX = 64, NO_MEMBER = UINT16_MAX };

struct param {
    struct tt_str name;   /* as in the URL; static */
    enum param_type type; /* how it is read, and the type of the member */
    uint16_t offset;      /* of the value in struct api_query; NO_MEMBER: only checked */
    uint16_t flag_offset; /* of the bool that says it was given; NO_MEMBER: none */
};
#define PARAM(text, kind, member)                                                                  \
    {                                                                                              \
        {(text), sizeof(text) - 1}, kind, (uint16_t)offsetof(struct api_query, member), NO_MEMBER  \
    }
/* Without effect here, but refused when it cannot be read. */
#define PARAM_CHECKED(text, kind)                                                                  \
    {                                                                                              \
        {(text), sizeof(text) - 1}, kind, NO_MEMBER, NO_MEMBER                                     \
    }
#define PARAM_FLAG(text, kind, member, flag)                                                       \
    {                                                                                              \
        {(text), sizeof(text) - 1}, kind, (uint16_t)offsetof(struct api_query, member),            \
            (uint16_t)offsetof(struct api_query, flag)                                             \
    }

static const struct param params[] = {
    PARAM("labelSelector", PARAM_STR, label_selector),
    PARAM("fieldSelector", PARAM_STR, field_selector),
    PARAM("resourceVersion", PARAM_STR, resource_version),
    PARAM("resourceVersionMatch", PARAM_STR, resource_version_match),
    PARAM("continue", PARAM_STR, continue_token),
    PARAM("dryRun", PARAM_STR, dry_run),
    PARAM_CHECKED("fieldManager", PARAM_STR),
    PARAM("fieldValidation", PARAM_STR, field_validation),
    PARAM("propagationPolicy", PARAM_STR, propagation_policy),
    PARAM("includeObject", PARAM_STR, include_object),
    PARAM("container", PARAM_STR, container),
    PARAM("sinceTime", PARAM_STR, since_time),
    PARAM("hash", PARAM_STR, hash),
    PARAM("limit", PARAM_U64, limit),
    PARAM("timeoutSeconds", PARAM_U64, timeout_s),
    PARAM("timeout", PARAM_DURATION, timeout_ms),
    PARAM_FLAG("gracePeriodSeconds", PARAM_U64, grace_period_s, has_grace_period),
    PARAM("tailLines", PARAM_U64, tail_lines),
    PARAM("sinceSeconds", PARAM_U64, since_seconds),
    PARAM("limitBytes", PARAM_U64, limit_bytes),
    PARAM("watch", PARAM_BOOL, watch),
    PARAM("allowWatchBookmarks", PARAM_BOOL, bookmarks),
    PARAM("follow", PARAM_BOOL, follow),
    PARAM("timestamps", PARAM_BOOL, timestamps),
    PARAM("previous", PARAM_BOOL, previous),
    PARAM("verbose", PARAM_BOOL, verbose),
    PARAM_CHECKED("force", PARAM_BOOL),
    PARAM_FLAG("sendInitialEvents", PARAM_BOOL, send_initial_events, has_send_initial_events),
    PARAM("orphanDependents", PARAM_BOOL, orphan_dependents),
};
enum { PARAM_COUNT = sizeof params / sizeof params[0] };

int api_percent_decode(struct tt_arena *arena, struct tt_str text, bool is_query,
                       struct tt_str *ret_text, struct tt_err *err)
{
    if (!memchr(text.ptr ? text.ptr : "", '%', text.len) &&
        !(is_query && memchr(text.ptr ? text.ptr : "", '+', text.len))) {
        *ret_text = text;
        return TT_OK;
    }
    char *out = tt_arena_alloc(arena, text.len);
    if (!out) {
        return TT_FAIL(err, TT_ETOOLARGE, "the request URL is too large");
    }
    ptrdiff_t size = tt_uri_decode(text, is_query, out, text.len);
    struct tt_str decoded = tt_str(out, size < 0 ? 0 : (size_t)size);
    if (size < 0 || !tt_utf8_valid(decoded)) {
        return TT_FAIL(err, TT_EINVAL, "the request URL has an invalid escape");
    }
    *ret_text = decoded;
    return TT_OK;
}

/* Go's durations, as far as clients send them: "32s", "1m30s", "500ms", "0". */
static bool parse_duration(struct tt_str text, uint64_t *ret_ms)
{
    uint64_t total = 0;
    if (tt_str_eq_c(text, "0")) {
        *ret_ms = 0;
        return true;
    }
    while (text.len > 0) {
        size_t digits = 0;
        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
            digits++;
        }
        uint64_t value;
        if (digits > 9 || !tt_str_to_u64(tt_str_head(text, digits), &value)) {
            return false;
        }
        text = tt_str_skip(text, digits);
        uint64_t unit = 0;
        size_t unit_size = 1;
        if (tt_str_starts(text, TT_STR("ms"))) {
            unit = 1;
            unit_size = 2;
        } else if (tt_str_starts(text, TT_STR("s"))) {
            unit = 1000;
        } else if (tt_str_starts(text, TT_STR("m"))) {
            unit = 60000;
        } else if (tt_str_starts(text, TT_STR("h"))) {
            unit = 3600000;
        } else {
            return false;
        }
        total += value * unit;
        text = tt_str_skip(text, unit_size);
    }
    *ret_ms = total;
    return true;
}

static bool parse_bool(struct tt_str text, bool *ret)
{
    if (tt_str_eq_c(text, "true") || tt_str_eq_c(text, "1") || text.len == 0) {
        *ret = true;
        return true;
    }
    *ret = false;
    return tt_str_eq_c(text, "false") || tt_str_eq_c(text, "0");
}

static int store(const struct param *param, struct tt_str value, struct api_query *query,
                 struct tt_err *err)
{
    char unused[sizeof value];
    char *target = param->offset == NO_MEMBER ? unused : (char *)query + param->offset;
    uint64_t number = 0;
    bool truth = false;
    bool good = true;
    switch (param->type) {
    case PARAM_STR:
        memcpy(target, &value, sizeof value);
        break;
    case PARAM_U64:
        good = tt_str_to_u64(value, &number) && number <= INT64_MAX;
        memcpy(target, &number, sizeof number);
        break;
    case PARAM_DURATION:
        good = parse_duration(value, &number);
        memcpy(target, &number, sizeof number);
        break;
    case PARAM_BOOL:
        good = parse_bool(value, &truth);
        memcpy(target, &truth, sizeof truth);
        break;
    default:
        break;
    }
    if (!good) {
        return TT_FAIL(err, TT_EINVAL, "invalid value \"%.*s\" of query parameter %.*s",
                       TT_STR_ARG(value), TT_STR_ARG(param->name));
    }
    if (param->flag_offset != NO_MEMBER) {
        bool given = true;
        memcpy((char *)query + param->flag_offset, &given, sizeof given);
    }
    return TT_OK;
}

static int parse_one(struct tt_arena *arena, struct tt_str pair, struct api_query *query,
                     uint64_t *seen, struct tt_err *err)
{
    struct tt_str name = TT_STR_NONE;
    struct tt_str value = pair;
    if (!tt_str_cut(&value, '=', &name)) {
        return TT_OK;
    }
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        if (!tt_str_eq(params[i].name, name)) {
            continue;
        }
        if (*seen & (UINT64_C(1) << i)) {
            return TT_OK;
        }
        *seen |= UINT64_C(1) << i;
        struct tt_str decoded = TT_STR_NONE;
        int r = api_percent_decode(arena, value, true, &decoded, err);
        return r ? r : store(&params[i], decoded, query, err);
    }
    return TT_OK;
}

int api_query_parse(struct tt_arena *arena, struct tt_str query, struct api_query *ret_query,
                    struct tt_err *err)
{
    _Static_assert(PARAM_COUNT <= 64, "one bit per parameter");
    struct api_query result = {
        .tail_lines = UINT64_MAX, .since_seconds = UINT64_MAX, .limit_bytes = UINT64_MAX};
    uint64_t seen = 0;
    struct tt_str pair = TT_STR_NONE;
    unsigned count = 0;
    while (query.len > 0 && tt_str_cut(&query, '&', &pair)) {
        if (++count > QUERY_PARAMS_MAX) {
            return TT_FAIL(err, TT_EINVAL, "more than %d query parameters", QUERY_PARAMS_MAX);
        }
        int r = parse_one(arena, pair, &result, &seen, err);
        if (r) {
            return r;
        }
    }
    if (result.resource_version.len > 0 &&
        !tt_str_to_u64(result.resource_version, &result.revision)) {
        return TT_FAIL(err, TT_EINVAL, "Invalid value: \"%.*s\": resourceVersion must be a number",
                       TT_STR_ARG(result.resource_version));
    }
    *ret_query = result;
    return TT_OK;
}

/* Happy path: resource paths (nearly all requests) are recognised by their first segment and cut at
 * '/'; anything else is looked up in the table of fixed routes. Failure: TT_ENOTFOUND, or
 * TT_EMETHOD when the table knows the path under another method. */
#include "api/routes/path.h"

#include "api/routes/query.h"

enum { SEGMENTS_MAX = 8 };

static const struct api_fixed_route fixed_routes[] = {
    {"/version", TT_HTTP_GET, API_ROUTE_VERSION, TT_ACCESS_AUTHENTICATED},
    {"/healthz", TT_HTTP_GET, API_ROUTE_HEALTHZ, TT_ACCESS_PUBLIC},
    {"/livez", TT_HTTP_GET, API_ROUTE_LIVEZ, TT_ACCESS_PUBLIC},
    {"/readyz", TT_HTTP_GET, API_ROUTE_READYZ, TT_ACCESS_PUBLIC},
    {"/metrics", TT_HTTP_GET, API_ROUTE_METRICS, TT_ACCESS_OPERATIONS},
    {"/api", TT_HTTP_GET, API_ROUTE_CORE_VERSIONS, TT_ACCESS_AUTHENTICATED},
    {"/apis", TT_HTTP_GET, API_ROUTE_GROUPS, TT_ACCESS_AUTHENTICATED},
    {"/openapi/v2", TT_HTTP_GET, API_ROUTE_OPENAPI_V2, TT_ACCESS_AUTHENTICATED},
    {"/openapi/v3", TT_HTTP_GET, API_ROUTE_OPENAPI_INDEX, TT_ACCESS_AUTHENTICATED},
    {"/openapi/v3/*", TT_HTTP_GET, API_ROUTE_OPENAPI_DOCUMENT, TT_ACCESS_AUTHENTICATED},
    {"/tutti/v1/join", TT_HTTP_POST, API_ROUTE_JOIN, TT_ACCESS_PUBLIC},
    {"/tutti/v1/tokens", TT_HTTP_POST, API_ROUTE_TOKENS, TT_ACCESS_ADMIN},
    {"/tutti/v1/certificates/renew", TT_HTTP_POST, API_ROUTE_RENEW, TT_ACCESS_AUTHENTICATED},
    {"/tutti/v1/certificates/revoked", TT_HTTP_GET, API_ROUTE_REVOCATIONS, TT_ACCESS_OPERATIONS},
    {"/tutti/v1/certificates/revoked", TT_HTTP_POST, API_ROUTE_REVOCATIONS, TT_ACCESS_ADMIN},
    {"/tutti/v1/cluster", TT_HTTP_GET, API_ROUTE_CLUSTER, TT_ACCESS_OPERATIONS},
    {"/tutti/v1/cluster/members", TT_HTTP_POST, API_ROUTE_MEMBER_ADD, TT_ACCESS_ADMIN},
    {"/tutti/v1/cluster/promote", TT_HTTP_POST, API_ROUTE_MEMBER_PROMOTE, TT_ACCESS_ADMIN},
    {"/tutti/v1/cluster/remove", TT_HTTP_POST, API_ROUTE_MEMBER_REMOVE, TT_ACCESS_ADMIN},
    {"/tutti/v1/cluster/transfer", TT_HTTP_POST, API_ROUTE_TRANSFER, TT_ACCESS_ADMIN},
    {"/tutti/v1/cluster/snapshot", TT_HTTP_POST, API_ROUTE_SNAPSHOT, TT_ACCESS_ADMIN},
    {"/tutti/v1/cluster/backup", TT_HTTP_GET, API_ROUTE_BACKUP, TT_ACCESS_ADMIN},
};
enum { FIXED_ROUTE_COUNT = sizeof fixed_routes / sizeof fixed_routes[0] };

const struct api_fixed_route *api_fixed_routes(size_t *ret_count)
{
    *ret_count = FIXED_ROUTE_COUNT;
    return fixed_routes;
}

static int not_found(struct tt_err *err)
{
    return TT_FAIL(err, TT_ENOTFOUND, "the server could not find the requested resource");
}

static int not_allowed(struct tt_err *err)
{
    return TT_FAIL(err, TT_EMETHOD,
                   "the server does not allow this method on the requested resource");
}

static bool fixed_matches(const struct api_fixed_route *row, struct tt_str path,
                          struct tt_str *ret_rest)
{
    struct tt_str pattern = tt_str_c(row->path);
    if (!tt_str_ends(pattern, TT_STR("*"))) {
        *ret_rest = TT_STR("");
        return tt_str_eq(pattern, path);
    }
    struct tt_str prefix = tt_str_head(pattern, pattern.len - 1);
    *ret_rest = tt_str_skip(path, prefix.len);
    return tt_str_starts(path, prefix) && ret_rest->len > 0;
}

static int parse_fixed(enum tt_http_method method, struct tt_str path, struct api_path *ret_path,
                       struct tt_err *err)
{
    bool known = false;
    if (path.len > 1 && tt_str_ends(path, TT_STR("/"))) {
        path = tt_str_head(path, path.len - 1);
    }
    for (size_t i = 0; i < FIXED_ROUTE_COUNT; i++) {
        struct tt_str rest;
        if (!fixed_matches(&fixed_routes[i], path, &rest)) {
            continue;
        }
        known = true;
        if (fixed_routes[i].method == method) {
            *ret_path = (struct api_path){
                .route = fixed_routes[i].route, .access = fixed_routes[i].access, .rest = rest};
            return TT_OK;
        }
    }
    return known ? not_allowed(err) : not_found(err);
}

static bool is_namespace_subresource(struct tt_str segment)
{
    return tt_str_eq_c(segment, "status") || tt_str_eq_c(segment, "finalize");
}

/* segments: behind the group and version. */
static int parse_resource(const struct tt_str *segments, size_t count, struct api_path *path,
                          struct tt_err *err)
{
    size_t at = 0;
    if (count >= 3 && tt_str_eq_c(segments[0], "namespaces") &&
        !(path->group.len == 0 && count == 3 && is_namespace_subresource(segments[2]))) {
        path->ns = segments[1];
        at = 2;
    }
    if (count - at > 3) {
        return not_found(err);
    }
    path->route = API_ROUTE_RESOURCE;
    path->access = TT_ACCESS_RESOURCE;
    path->resource = segments[at];
    path->name = count - at > 1 ? segments[at + 1] : TT_STR("");
    path->subresource = count - at > 2 ? segments[at + 2] : TT_STR("");
    return TT_OK;
}

static int cut_segments(struct tt_arena *arena, struct tt_str path, struct tt_str *segments,
                        size_t *ret_count, struct tt_err *err)
{
    size_t count = 0;
    struct tt_str rest = tt_str_skip(path, 1);
    struct tt_str segment;
    if (tt_str_ends(rest, TT_STR("/"))) {
        rest = tt_str_head(rest, rest.len - 1);
    }
    while (tt_str_cut(&rest, '/', &segment)) {
        if (segment.len == 0 || count == SEGMENTS_MAX) {
            return not_found(err);
        }
        int r = api_percent_decode(arena, segment, false, &segments[count], err);
        if (r) {
            return r;
        }
        if (memchr(segments[count].ptr, '/', segments[count].len)) {
            return TT_FAIL(err, TT_EINVAL, "a path segment may not contain '/'");
        }
        count++;
        if (rest.len == 0) {
            break;
        }
    }
    *ret_count = count;
    return TT_OK;
}

static int parse_discovery(enum tt_http_method method, enum api_route route,
                           struct api_path *ret_path, struct tt_err *err)
{
    if (method != TT_HTTP_GET) {
        return not_allowed(err);
    }
    ret_path->route = route;
    ret_path->access = TT_ACCESS_AUTHENTICATED;
    return TT_OK;
}

int api_path_parse(struct tt_arena *arena, enum tt_http_method method, struct tt_str path,
                   struct api_path *ret_path, struct tt_err *err)
{
    bool core = tt_str_starts(path, TT_STR("/api/")) && path.len > 5;
    bool named = tt_str_starts(path, TT_STR("/apis/")) && path.len > 6;
    if (!core && !named) {
        return parse_fixed(method, path, ret_path, err);
    }
    struct tt_str segments[SEGMENTS_MAX];
    size_t count = 0;
    int r = cut_segments(arena, path, segments, &count, err);
    if (r) {
        return r;
    }
    if (count < 2) {
        return not_found(err);
    }
    struct api_path result = {0};
    size_t head = core ? 2 : 3; /* api/VERSION or apis/GROUP/VERSION */
    result.group = core ? TT_STR("") : segments[1];
    if (named && count == 2) {
        r = parse_discovery(method, API_ROUTE_GROUP, &result, err);
    } else {
        TT_ASSERT(count >= head);
        result.version = segments[head - 1];
        r = count == head ? parse_discovery(method, API_ROUTE_RESOURCES, &result, err)
                          : parse_resource(segments + head, count - head, &result, err);
    }
    if (r) {
        return r;
    }
    *ret_path = result;
    return TT_OK;
}

static enum tt_verb read_verb(const struct api_path *path, bool watch)
{
    bool collection = path->name.len == 0;
    if (watch && path->subresource.len == 0) {
        return TT_VERB_WATCH;
    }
    return collection ? TT_VERB_LIST : TT_VERB_GET;
}

/* The verb of a method that changes something; false for methods that mean nothing here. */
static bool write_verb(const struct api_path *path, enum tt_http_method method,
                       enum tt_verb *ret_verb)
{
    bool collection = path->name.len == 0;
    bool sub = path->subresource.len > 0;
    switch (method) {
    case TT_HTTP_POST: /* under a name only with subresources such as binding */
        *ret_verb = TT_VERB_CREATE;
        return collection || sub;
    case TT_HTTP_PUT:
        *ret_verb = TT_VERB_UPDATE;
        return !collection;
    case TT_HTTP_PATCH:
        *ret_verb = TT_VERB_PATCH;
        return !collection;
    case TT_HTTP_DELETE:
        *ret_verb = collection ? TT_VERB_DELETECOLLECTION : TT_VERB_DELETE;
        return !sub;
    case TT_HTTP_GET:
    case TT_HTTP_HEAD:
    case TT_HTTP_OPTIONS:
    case TT_HTTP_OTHER:
    default:
        return false;
    }
}

int api_path_verb(const struct api_path *path, enum tt_http_method method, bool watch,
                  enum tt_verb *ret_verb, struct tt_err *err)
{
    if (method == TT_HTTP_GET) {
        *ret_verb = read_verb(path, watch);
        return TT_OK;
    }
    return write_verb(path, method, ret_verb) ? TT_OK : not_allowed(err);
}

/* Which route a path is: fixed ones from a table, resource paths by their shape.
 *
 *   /api/v1/…  and  /apis/GROUP/VERSION/…  then one of
 *   RESOURCE [/NAME [/SUBRESOURCE]]              cluster scope, or all namespaces
 *   namespaces/NS/RESOURCE [/NAME [/SUBRESOURCE]]
 * /api/v1/namespaces/NAME/{status,finalize} are subresources of a Namespace, not resources in it.
 * Ownership: parts live in the arena or borrow from the path. Thread: any.
 * Errors: TT_ENOTFOUND for an unknown path, TT_EINVAL for bad escapes. */
#ifndef API_ROUTES_PATH_H
#define API_ROUTES_PATH_H

#include "api/auth/auth.h"
#include "api/http/server.h"

enum api_route {
    API_ROUTE_VERSION,
    API_ROUTE_HEALTHZ,
    API_ROUTE_LIVEZ,
    API_ROUTE_READYZ,
    API_ROUTE_METRICS,
    API_ROUTE_CORE_VERSIONS, /* /api */
    API_ROUTE_GROUPS,        /* /apis */
    API_ROUTE_GROUP,         /* /apis/GROUP */
    API_ROUTE_RESOURCES,     /* /api/v1, /apis/GROUP/VERSION */
    API_ROUTE_OPENAPI_INDEX,
    API_ROUTE_OPENAPI_DOCUMENT,
    API_ROUTE_OPENAPI_V2,
    API_ROUTE_JOIN,
    API_ROUTE_TOKENS,
    API_ROUTE_RENEW,
    API_ROUTE_REVOCATIONS,
    API_ROUTE_CLUSTER,
    API_ROUTE_MEMBER_ADD,
    API_ROUTE_MEMBER_PROMOTE,
    API_ROUTE_MEMBER_REMOVE,
    API_ROUTE_TRANSFER,
    API_ROUTE_SNAPSHOT,
    API_ROUTE_BACKUP,
    API_ROUTE_RESOURCE, /* a collection, an object or a subresource */
    API_ROUTE_COUNT
};
struct api_path {
    enum api_route route;         /* what answers */
    enum tt_access access;        /* RESOURCE exactly when route is */
    struct tt_str group, version; /* group: "" for core; "" where the path has none */
    struct tt_str ns;             /* "": cluster-scoped, or all namespaces */
    struct tt_str resource;       /* plural; "" unless a resource path */
    struct tt_str name;           /* "" for a collection */
    struct tt_str subresource;    /* "" for none */
    struct tt_str rest;           /* OpenAPI documents: "api/v1", "apis/apps/v1" */
};
/* TT_EMETHOD when the path exists but not with this method (fixed routes only). */
int api_path_parse(struct tt_arena *arena, enum tt_http_method method, struct tt_str path,
                   struct api_path *ret_path, struct tt_err *err) TT_MUST_USE;
/* The verb of a resource request; TT_EMETHOD for methods that mean nothing there. */
int api_path_verb(const struct api_path *path, enum tt_http_method method, bool watch,
                  enum tt_verb *ret_verb, struct tt_err *err) TT_MUST_USE;

/* One row per fixed route and method: what the authorisation matrix is generated from. */
struct api_fixed_route {
    const char *path;           /* "*" at the end: anything behind */
    enum tt_http_method method; /* one row for each */
    enum api_route route;       /* rows may share one */
    enum tt_access access;      /* never RESOURCE */
};
const struct api_fixed_route *api_fixed_routes(size_t *ret_count);

#endif

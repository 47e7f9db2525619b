/* Deny by default: every rule below adds a right, nothing takes one away.
 *
 * Happy path: the subject's kind picks one rule function, which looks only at the request (and, for
 * agents, at stored pods) and says yes. Failure: no rule said yes; the message names the user, the
 * verb and the resource the way Kubernetes' clients print it. */
#include "api/auth/auth.h"

#include <stdio.h>

#include "api/auth/agent.h"

static const char *const verb_names[TT_VERB_COUNT] = {
    [TT_VERB_GET] = "get",       [TT_VERB_LIST] = "list",
    [TT_VERB_WATCH] = "watch",   [TT_VERB_CREATE] = "create",
    [TT_VERB_UPDATE] = "update", [TT_VERB_PATCH] = "patch",
    [TT_VERB_DELETE] = "delete", [TT_VERB_DELETECOLLECTION] = "deletecollection",
};

const char *tt_verb_name(enum tt_verb verb)
{
    TT_ASSERT(verb < TT_VERB_COUNT);
    return verb_names[verb];
}

bool tt_verb_parse(struct tt_str name, enum tt_verb *ret_verb)
{
    for (unsigned i = 0; i < TT_VERB_COUNT; i++) {
        if (tt_str_eq_c(name, verb_names[i])) {
            *ret_verb = (enum tt_verb)i;
            return true;
        }
    }
    return false;
}

static bool has_group(const struct tt_peer_identity *peer, const char *group)
{
    for (uint32_t i = 0; i < peer->group_count && i < TT_GROUPS_MAX; i++) {
        if (strcmp(peer->groups[i], group) == 0) {
            return true;
        }
    }
    return false;
}

static enum tt_subject_kind kind_of_peer(const struct tt_peer_identity *peer)
{
    switch (peer->role) {
    case TT_IDENTITY_SERVER:
        return TT_SUBJECT_SERVER;
    case TT_IDENTITY_AGENT:
        return TT_SUBJECT_AGENT;
    case TT_IDENTITY_USER:
        if (has_group(peer, TT_GROUP_ADMINS)) {
            return TT_SUBJECT_ADMIN;
        }
        return has_group(peer, TT_GROUP_READERS) ? TT_SUBJECT_READER : TT_SUBJECT_NOBODY;
    case TT_IDENTITY_NONE:
    default:
        return TT_SUBJECT_ANONYMOUS;
    }
}

void tt_subject_from_peer(const struct tt_peer_identity *peer, struct tt_subject *ret_subject)
{
    struct tt_subject subject = {.kind = TT_SUBJECT_ANONYMOUS};
    if (peer) {
        subject.kind = kind_of_peer(peer);
        if (subject.kind != TT_SUBJECT_ANONYMOUS) {
            subject.name = tt_str_c(peer->name);
            subject.uri = tt_str_c(peer->uri);
            subject.peer = peer;
        }
    }
    *ret_subject = subject;
}

size_t tt_subject_user(const struct tt_subject *subject, char *out, size_t out_size)
{
    const char *prefix = "";
    struct tt_str name = subject->name;
    switch (subject->kind) {
    case TT_SUBJECT_ANONYMOUS:
        name = TT_STR("system:anonymous");
        break;
    case TT_SUBJECT_AGENT:
        prefix = "system:node:";
        break;
    case TT_SUBJECT_SERVER:
        prefix = "system:server:";
        break;
    case TT_SUBJECT_NOBODY:
    case TT_SUBJECT_READER:
    case TT_SUBJECT_ADMIN:
    case TT_SUBJECT_KIND_COUNT:
    default:
        break;
    }
    int length = snprintf(out, out_size, "%s%.*s", prefix, TT_STR_ARG(name));
    TT_ASSERT(length >= 0 && (size_t)length < out_size);
    return (size_t)length;
}

struct tt_str tt_subject_group(const struct tt_subject *subject, uint32_t index)
{
    if (subject->kind == TT_SUBJECT_ANONYMOUS) {
        return index == 0 ? TT_STR("system:unauthenticated") : TT_STR("");
    }
    uint32_t own = subject->peer ? subject->peer->group_count : 0;
    if (subject->kind == TT_SUBJECT_AGENT || subject->kind == TT_SUBJECT_SERVER) {
        own = 1;
        if (index == 0) {
            return subject->kind == TT_SUBJECT_AGENT ? TT_STR("system:nodes")
                                                     : TT_STR("system:servers");
        }
    } else if (index < own && index < TT_GROUPS_MAX) {
        return tt_str_c(subject->peer->groups[index]);
    }
    return index == own ? TT_STR("system:authenticated") : TT_STR("");
}

static bool is_read(enum tt_verb verb)
{
    return verb == TT_VERB_GET || verb == TT_VERB_LIST || verb == TT_VERB_WATCH;
}

/* exec, attach, port-forward and proxy begin with a GET too: only what merely shows something may
 * be read by those who only read. */
static bool shows_only(struct tt_str subresource)
{
    return subresource.len == 0 || tt_str_eq_c(subresource, "status") ||
           tt_str_eq_c(subresource, "scale") || tt_str_eq_c(subresource, "log");
}

static bool is_secret(const struct tt_auth_request *request)
{
    return request->group.len == 0 && tt_str_eq_c(request->resource, "secrets");
}

/* Reviews of oneself tell the caller what he already could find out by trying. */
static bool is_self_review(const struct tt_auth_request *request)
{
    if (request->verb != TT_VERB_CREATE) {
        return false;
    }
    if (tt_str_eq_c(request->group, "authorization.k8s.io")) {
        return tt_str_eq_c(request->resource, "selfsubjectaccessreviews") ||
               tt_str_eq_c(request->resource, "selfsubjectrulesreviews");
    }
    return tt_str_eq_c(request->group, "authentication.k8s.io") &&
           tt_str_eq_c(request->resource, "selfsubjectreviews");
}

static bool resource_allowed(const struct tt_subject *subject,
                             const struct tt_auth_request *request, struct tt_version *version,
                             struct tt_auth_grant *grant)
{
    if (subject->kind == TT_SUBJECT_ANONYMOUS) {
        return false;
    }
    if (is_self_review(request)) {
        return true;
    }
    switch (subject->kind) {
    case TT_SUBJECT_ADMIN:
        return true;
    case TT_SUBJECT_READER:
    case TT_SUBJECT_SERVER:
        return is_read(request->verb) && shows_only(request->subresource) && !is_secret(request);
    case TT_SUBJECT_AGENT:
        return auth_agent_allowed(subject->name, request, version, grant);
    case TT_SUBJECT_ANONYMOUS:
    case TT_SUBJECT_NOBODY:
    case TT_SUBJECT_KIND_COUNT:
    default:
        return false;
    }
}

static bool allowed(const struct tt_subject *subject, const struct tt_auth_request *request,
                    struct tt_version *version, struct tt_auth_grant *grant)
{
    switch (request->access) {
    case TT_ACCESS_RESOURCE:
        return resource_allowed(subject, request, version, grant);
    case TT_ACCESS_PUBLIC:
        return true;
    case TT_ACCESS_AUTHENTICATED:
        return subject->kind != TT_SUBJECT_ANONYMOUS;
    case TT_ACCESS_OPERATIONS:
        return subject->kind == TT_SUBJECT_ADMIN || subject->kind == TT_SUBJECT_READER ||
               subject->kind == TT_SUBJECT_SERVER;
    case TT_ACCESS_ADMIN:
        return subject->kind == TT_SUBJECT_ADMIN;
    default:
        return false;
    }
}

static int forbid(const struct tt_subject *subject, const struct tt_auth_request *request,
                  struct tt_err *err)
{
    char user[192];
    (void)tt_subject_user(subject, user,
                          sizeof user); /* the text is what matters, not its length */
    if (subject->kind == TT_SUBJECT_ANONYMOUS) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "Unauthorized");
    }
    if (request->access != TT_ACCESS_RESOURCE) {
        return TT_FAIL(err, TT_EFORBIDDEN, "forbidden: User \"%s\" cannot %s path \"%.*s\"", user,
                       tt_verb_name(request->verb), TT_STR_ARG(request->path));
    }
    const char *dot = request->group.len > 0 ? "." : "";
    const char *slash = request->subresource.len > 0 ? "/" : "";
    char scope[96] = "at the cluster scope";
    if (request->ns.len > 0) {
        (void)snprintf(scope, sizeof scope, "in the namespace \"%.*s\"", /* cut is fine: a text */
                       TT_STR_ARG(request->ns));
    }
    char name[264] = "";
    if (request->name.len > 0) {
        (void)snprintf(name, sizeof name, " \"%.*s\"", TT_STR_ARG(request->name)); /* as above */
    }
    return TT_FAIL(err, TT_EFORBIDDEN,
                   "%.*s%s%.*s%s is forbidden: User \"%s\" cannot %s resource \"%.*s%s%.*s\" in "
                   "API group \"%.*s\" %s",
                   TT_STR_ARG(request->resource), dot, TT_STR_ARG(request->group), name, user,
                   tt_verb_name(request->verb), TT_STR_ARG(request->resource), slash,
                   TT_STR_ARG(request->subresource), TT_STR_ARG(request->group), scope);
}

int tt_authorise(const struct tt_subject *subject, const struct tt_auth_request *request,
                 struct tt_version *version, struct tt_auth_grant *ret_grant, struct tt_err *err)
{
    TT_ASSERT(subject->kind < TT_SUBJECT_KIND_COUNT);
    TT_ASSERT(request->verb < TT_VERB_COUNT);
    struct tt_auth_grant grant = {0};
    if (!allowed(subject, request, version, &grant)) {
        return forbid(subject, request, err);
    }
    if (ret_grant) {
        *ret_grant = grant;
    }
    return TT_OK;
}

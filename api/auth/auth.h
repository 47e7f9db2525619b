/* Who calls, and what the caller may do: deny by default, one decision function for every route.
 *
 * The subject comes from the verified certificate alone (server/tls/identity.h). Built-in roles:
 * administrator (user of group tutti:admins), reader (user of group tutti:readers: everything but
 * Secrets, read only), server, agent (its node, its lease, its pods and what those name), anybody
 * authenticated (discovery, reviews of himself, renewal of his certificate), anonymous (health,
 * joining). An agent's rights depend on stored objects: they are read from the version that is
 * passed, so that a write can be decided on the very version it is admitted against.
 * Ownership: views borrow from the request and from the peer's identity. Thread: any.
 * Errors: TT_EFORBIDDEN or TT_EUNAUTHORIZED with the message Kubernetes clients expect. */
#ifndef API_AUTH_AUTH_H
#define API_AUTH_AUTH_H

#include "server/store/version.h"
#include "server/tls/identity.h"

#define TT_GROUP_ADMINS  "tutti:admins"
#define TT_GROUP_READERS "tutti:readers"

enum tt_subject_kind {
    TT_SUBJECT_ANONYMOUS, /* no client certificate */
    TT_SUBJECT_NOBODY,    /* a user without a group that gives rights */
    TT_SUBJECT_READER,
    TT_SUBJECT_ADMIN,
    TT_SUBJECT_SERVER,
    TT_SUBJECT_AGENT,
    TT_SUBJECT_KIND_COUNT
};
struct tt_subject {
    enum tt_subject_kind kind; /* from role and groups of the certificate; picks the rule */
    struct tt_str name; /* of the certificate: user, server or node name; "" when anonymous */
    struct tt_str uri;  /* the SPIFFE URI: actor of transactions; "" when anonymous */
    const struct tt_peer_identity *peer; /* NULL when anonymous */
};
/* peer may be NULL. */
void tt_subject_from_peer(const struct tt_peer_identity *peer, struct tt_subject *ret_subject);
/* "system:node:n1", "system:anonymous", "alice": how messages and reviews name the subject. Returns
 * the length without the NUL. */
size_t tt_subject_user(const struct tt_subject *subject, char *out, size_t out_size);
/* Group `index` of the subject as reviews show it (system:authenticated last); "" behind the end.
 */
struct tt_str tt_subject_group(const struct tt_subject *subject, uint32_t index);

enum tt_verb {
    TT_VERB_GET,
    TT_VERB_LIST,
    TT_VERB_WATCH,
    TT_VERB_CREATE,
    TT_VERB_UPDATE,
    TT_VERB_PATCH,
    TT_VERB_DELETE,
    TT_VERB_DELETECOLLECTION,
    TT_VERB_COUNT
};
const char *tt_verb_name(enum tt_verb verb);
/* False for a name that is no verb. */
bool tt_verb_parse(struct tt_str name, enum tt_verb *ret_verb);

/* How much a non-resource route is open; resource routes are TT_ACCESS_RESOURCE. */
enum tt_access {
    TT_ACCESS_RESOURCE,      /* decided by verb, resource and name */
    TT_ACCESS_PUBLIC,        /* no certificate needed: health, joining */
    TT_ACCESS_AUTHENTICATED, /* discovery, OpenAPI, reviews of oneself, renewal */
    TT_ACCESS_OPERATIONS,    /* metrics, cluster status, revocations: admin, reader, server */
    TT_ACCESS_ADMIN          /* tokens, members, backup, revoking */
};
struct tt_auth_request {
    enum tt_access access;       /* of the route; RESOURCE: group and the rest count */
    enum tt_verb verb;           /* of other routes too: for the message */
    struct tt_str path;          /* of non-resource routes, for the message */
    struct tt_str group;         /* "" for the core group */
    struct tt_str resource;      /* plural: "pods" */
    struct tt_str subresource;   /* "status", "log" …; "" for the object itself */
    struct tt_str ns;            /* "" for cluster-scoped kinds and all namespaces */
    struct tt_str name;          /* "" for collections */
    struct tt_str selector_name; /* value of fieldSelector metadata.name=, else "" */
    struct tt_str selector_node; /* value of fieldSelector spec.nodeName=, else "" */
};
/* What must hold for the body of an allowed write; admission enforces it. */
struct tt_auth_grant {
    struct tt_str only_name;  /* not "": the object must have this name */
    struct tt_str event_node; /* not "": an Event about this node or a pod bound to it */
};
/* version may be NULL for subjects other than agents (then agents get nothing that depends on
 * stored objects). */
int tt_authorise(const struct tt_subject *subject, const struct tt_auth_request *request,
                 struct tt_version *version, struct tt_auth_grant *ret_grant,
                 struct tt_err *err) TT_MUST_USE;

/* True when the stored pod is bound to the node. */
bool tt_auth_pod_on_node(struct tt_version *version, struct tt_str ns, struct tt_str name,
                         struct tt_str node);
/* True when a pod of the namespace that is bound to the node names the Secret or ConfigMap. */
bool tt_auth_node_needs(struct tt_version *version, struct tt_str node, struct tt_str resource,
                        struct tt_str ns, struct tt_str name);

#endif

/* The rights of a node agent: its own node, its own lease, the pods bound to its node, and of
 * Secrets and ConfigMaps only those that such a pod names.
 *
 * Ownership: borrows. Thread: any. Errors: none; false is "no right". */
#ifndef API_AUTH_AGENT_H
#define API_AUTH_AGENT_H

#include "api/auth/auth.h"

/* The agent's name is that of its node. version may be NULL: rights that depend on objects fall. */
bool auth_agent_allowed(struct tt_str node, const struct tt_auth_request *request,
                        struct tt_version *version, struct tt_auth_grant *ret_grant);

#endif

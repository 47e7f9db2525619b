/* A container's environment, command and arguments, resolved to the last value.
 *
 * Ownership: results live in the arena. Thread: any. Errors: TT_EBUSY an object is not known yet
 * (ask again later) · TT_ENOTFOUND an object or key is missing · TT_EINVAL a source the agent does
 * not know. Source of the rules: Kubernetes API, EnvVar and Container. */
#ifndef AGENT_ENV_H
#define AGENT_ENV_H

#include "agent/refs.h"
#include "agent/runtime.h"

struct env_context {
    const struct pod *pod;  /* borrowed; its fields, and its namespace for refs */
    struct ref_source refs; /* where ConfigMaps and Secrets are looked up */
    const char *node_name;  /* spec.nodeName; borrowed */
    const char *host_ip;    /* status.hostIP, podIP in the host's network; borrowed */
    const char *pod_ip;     /* "" while unknown */
};
/* Fills env, command and args of config (config->index says which container). */
int env_resolve(const struct env_context *context, struct tt_arena *arena,
                struct rt_container_config *config, struct tt_err *err) TT_MUST_USE;
/* A value of the pod that fieldRef can name; in the arena. */
int env_field(const struct env_context *context, struct tt_str path, struct tt_arena *arena,
              const char **ret_value, struct tt_err *err) TT_MUST_USE;
/* "$(NAME)" of known variables is replaced, "$$" is "$"; in the arena, NULL when it is full. */
const char *env_expand(struct tt_str text, const struct rt_env *env, size_t count,
                       struct tt_arena *arena);

#endif

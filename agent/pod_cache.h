/* The pods of this node as they were last told, on disk: so that an agent that starts while the
 * servers are away goes on keeping them alive.
 *
 * One file per pod, ROOT/specs/UID.json, mode 0600. What is read is only a start: the first list of
 * the servers replaces it. Ownership: borrows. Thread: that of the loop (small files, renamed into
 * place without fsync: a lost one costs a wait for the servers). Errors: logged. */
#ifndef AGENT_POD_CACHE_H
#define AGENT_POD_CACHE_H

#include "base/str.h"

void pod_cache_put(const char *root, struct tt_str uid, struct tt_str json);
void pod_cache_drop(const char *root, struct tt_str uid);
/* Calls found for each; json and uid are borrowed. */
void pod_cache_load(const char *root,
                    void (*found)(void *ctx, struct tt_str uid, struct tt_str json), void *ctx);

#endif

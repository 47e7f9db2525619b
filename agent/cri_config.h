/* Pods and containers of the API → what CRI's RunPodSandbox and CreateContainer are told.
 *
 * Ownership: messages live in the given arena and borrow the pod's strings. Thread: any. Errors:
 * none; the arena must have room for a pod (it is bounded by the API's object size). */
#ifndef AGENT_CRI_CONFIG_H
#define AGENT_CRI_CONFIG_H

#include "agent/pod.h"
#include "agent/runtime.h"
#include "proto/cri.pb-c.h"

#define CRI_LABEL_UID       "io.kubernetes.pod.uid"
#define CRI_LABEL_NAMESPACE "io.kubernetes.pod.namespace"
#define CRI_LABEL_POD       "io.kubernetes.pod.name"
#define CRI_LABEL_CONTAINER "io.kubernetes.container.name"
#define CRI_LABEL_OWNER     "tutti.io/managed" /* others' sandboxes are left alone */
#define CRI_NOTE_GRACE      "tutti.io/termination-grace-seconds"
#define CRI_NOTE_BACKOFF    "tutti.io/backoff-ms"

Tutti__Cri__PodSandboxConfig *cri_sandbox_config(struct tt_arena *arena, const struct pod *pod,
                                                 uint32_t attempt, const char *log_directory);
Tutti__Cri__ContainerConfig *cri_container_config(struct tt_arena *arena,
                                                  const struct rt_container_config *config);
/* Path of a container's log below its pod's log directory: "NAME/ATTEMPT.log". */
enum { CRI_LOG_PATH_SIZE = 96 };
void cri_log_path(const char *container, uint32_t attempt, char out[CRI_LOG_PATH_SIZE]);
/* protobuf-c's strings are not const, but it never writes to those of a message it packs. */
char *cri_text(const char *text);

#endif

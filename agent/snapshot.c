/* Sorted arrays: a pod's part is found by binary search, its newest instances come first. */
#include "agent/snapshot.h"

#include <stdlib.h>

enum { ARENA_CHUNK = 32 << 10, ARENA_MAX = 64 << 20 };

struct rt_snapshot *rt_snapshot_new(size_t sandbox_count, size_t container_count,
                                    struct tt_err *err)
{
    if (sandbox_count > RT_SNAPSHOT_COUNT_MAX || container_count > RT_SNAPSHOT_COUNT_MAX) {
        (void)TT_FAIL(err, TT_ETOOLARGE, "the runtime has %zu sandboxes and %zu containers",
                      sandbox_count, container_count);
        return NULL;
    }
    struct rt_snapshot *snapshot = TT_NEW(struct rt_snapshot);
    snapshot->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    snapshot->sandboxes = tt_xcalloc(sandbox_count + 1, sizeof *snapshot->sandboxes);
    snapshot->containers = tt_xcalloc(container_count + 1, sizeof *snapshot->containers);
    return snapshot;
}

void rt_snapshot_free(struct rt_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    tt_free(snapshot->sandboxes);
    tt_free(snapshot->containers);
    tt_arena_free(snapshot->arena);
    tt_free(snapshot);
}

static int newest_first(uint32_t a, uint32_t b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int compare_sandboxes(const void *a, const void *b)
{
    const struct rt_sandbox *x = a;
    const struct rt_sandbox *y = b;
    int order = strcmp(x->pod_uid, y->pod_uid);
    return order != 0 ? order : newest_first(x->attempt, y->attempt);
}

static int compare_containers(const void *a, const void *b)
{
    const struct rt_container *x = a;
    const struct rt_container *y = b;
    int order = strcmp(x->pod_uid, y->pod_uid);
    if (order == 0) {
        order = strcmp(x->name, y->name);
    }
    return order != 0 ? order : newest_first(x->attempt, y->attempt);
}

void rt_snapshot_seal(struct rt_snapshot *snapshot)
{
    qsort(snapshot->sandboxes, snapshot->sandbox_count, sizeof *snapshot->sandboxes,
          compare_sandboxes);
    qsort(snapshot->containers, snapshot->container_count, sizeof *snapshot->containers,
          compare_containers);
}

/* Index of the first element whose uid is not below `uid`. */
static size_t lower_bound(const char *base, size_t count, size_t size, size_t uid_offset,
                          struct tt_str uid)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *text;
        memcpy(&text, base + middle * size + uid_offset, sizeof text);
        if (tt_str_cmp(tt_str_c(text), uid) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct rt_pod rt_snapshot_pod(const struct rt_snapshot *snapshot, struct tt_str uid)
{
    struct rt_pod pod = {.sandbox_count = 0};
    if (snapshot == NULL) {
        return pod;
    }
    size_t i = lower_bound((const char *)snapshot->sandboxes, snapshot->sandbox_count,
                           sizeof(struct rt_sandbox), offsetof(struct rt_sandbox, pod_uid), uid);
    pod.sandboxes = snapshot->sandboxes + i;
    while (i + pod.sandbox_count < snapshot->sandbox_count &&
           tt_str_eq_c(uid, pod.sandboxes[pod.sandbox_count].pod_uid)) {
        pod.sandbox_count++;
    }
    i = lower_bound((const char *)snapshot->containers, snapshot->container_count,
                    sizeof(struct rt_container), offsetof(struct rt_container, pod_uid), uid);
    pod.containers = snapshot->containers + i;
    while (i + pod.container_count < snapshot->container_count &&
           tt_str_eq_c(uid, pod.containers[pod.container_count].pod_uid)) {
        pod.container_count++;
    }
    return pod;
}

const struct rt_container *rt_pod_container(const struct rt_pod *pod, struct tt_str name,
                                            size_t age)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        if (tt_str_eq_c(name, pod->containers[i].name) && age-- == 0) {
            return &pod->containers[i];
        }
    }
    return NULL;
}

/* The configurations in the node's log: the newest one counts, the committed ones are told to the
 * core (rule 9), the uncommitted ones can be rolled back by a truncation.
 *
 * Why before anything else is fed: the core forgets a committed configuration when a newer one
 * arrives before it has been told that the older one is committed. */
#include "raft/node_parts.h"

static struct tt_str view(const struct tt_bytes *bytes)
{
    return tt_str((const char *)bytes->ptr, bytes->size);
}

/* `membership` follows the newest configuration there is. */
static void refresh(struct tt_node *node)
{
    const struct node_config_entry *newest =
        node->config_count > 0 ? &node->configs[node->config_count - 1] : &node->config_committed;
    node->config_index = newest->index;
    node->membership.count = 0;
    if (newest->bytes) {
        int r = tt_membership_decode(view(newest->bytes), &node->membership, NULL);
        TT_ASSERT(r == 0); /* checked when it was received or loaded */
    }
    for (size_t i = 0; i < node->membership.count; i++) {
        (void)node_peer(node, node->membership.members[i].id);
    }
    node->config.io.peers_changed(node->config.io.ctx, node->membership.members,
                                  node->membership.count);
}

static void tell_committed(struct tt_node *node)
{
    struct tt_membership membership = {.count = 0};
    const struct node_config_entry *committed = &node->config_committed;
    if (committed->bytes != NULL && node->config.io.committed != NULL) {
        int r = tt_membership_decode(view(committed->bytes), &membership, NULL);
        TT_ASSERT(r == 0); /* as above */
        node->config.io.committed(node->config.io.ctx, committed->index, &membership);
    }
}

void tt_node_hear_removed(struct tt_node *node, uint64_t index)
{
    struct tt_membership membership = {.count = 0};
    const struct node_config_entry *committed = &node->config_committed;
    if (committed->bytes != NULL) {
        int r = tt_membership_decode(view(committed->bytes), &membership, NULL);
        TT_ASSERT(r == 0); /* as above */
    }
    bool is_known_better =
        index <= committed->index && tt_membership_get(&membership, node->config.id) != NULL;
    if (node->removed_index != 0 || index == 0 || is_known_better) {
        return;
    }
    node->removed_index = index;
    if (node->config.io.removed != NULL) {
        node->config.io.removed(node->config.io.ctx, index);
    }
}

void node_config_push(struct tt_node *node, uint64_t index, struct tt_bytes *bytes)
{
    /* At most one is uncommitted at a time, so few are not known to be committed. */
    if (node->config_count == NODE_CONFIGS_MAX) {
        tt_bytes_unref(node->config_committed.bytes);
        node->config_committed = node->configs[0];
        memmove(&node->configs[0], &node->configs[1],
                (NODE_CONFIGS_MAX - 1) * sizeof node->configs[0]);
        node->config_count--;
        tell_committed(node);
    }
    node->configs[node->config_count++] =
        (struct node_config_entry){.index = index, .bytes = tt_bytes_ref(bytes)};
    refresh(node);
}

void node_config_truncate(struct tt_node *node, uint64_t from_index)
{
    bool changed = false;
    while (node->config_count > 0 && node->configs[node->config_count - 1].index >= from_index) {
        tt_bytes_unref(node->configs[--node->config_count].bytes);
        changed = true;
    }
    if (changed) {
        refresh(node);
    }
}

void node_config_set(struct tt_node *node, uint64_t index, struct tt_bytes *bytes)
{
    for (size_t i = 0; i < node->config_count; i++) {
        tt_bytes_unref(node->configs[i].bytes);
    }
    node->config_count = 0;
    tt_bytes_unref(node->config_committed.bytes);
    node->config_committed =
        (struct node_config_entry){.index = index, .bytes = bytes ? tt_bytes_ref(bytes) : NULL};
    refresh(node);
    tell_committed(node);
}

void node_config_fini(struct tt_node *node)
{
    for (size_t i = 0; i < node->config_count; i++) {
        tt_bytes_unref(node->configs[i].bytes);
    }
    node->config_count = 0;
    tt_bytes_unref(node->config_committed.bytes);
    node->config_committed.bytes = NULL;
}

void node_config_commit(struct tt_node *node, uint64_t index)
{
    while (node->config_count > 0 && node->configs[0].index <= index) {
        tt_bytes_unref(node->config_committed.bytes);
        node->config_committed = node->configs[0];
        node->config_count--;
        memmove(&node->configs[0], &node->configs[1], node->config_count * sizeof node->configs[0]);
        tell_committed(node);
        if (NODE_FAULT(node, config_not_fed)) {
            continue;
        }
        struct raft_event event = {.type = RAFT_CONFIGURATION};
        event.configuration.index = node->config_committed.index;
        int r = tt_membership_to_raft(view(node->config_committed.bytes), &event.configuration.conf,
                                      NULL);
        TT_ASSERT(r == 0);
        if (!node_step(node, &event, NULL)) {
            return;
        }
    }
}

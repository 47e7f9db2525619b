/* What the node's source files ask of each other; nobody else includes it.
 *
 * Ownership, thread, errors: as node.h. */
#ifndef RAFT_NODE_PARTS_H
#define RAFT_NODE_PARTS_H

#include "raft/node_internal.h"

/* node.c */
bool node_alive(const struct tt_node *node); /* running or installing */
bool node_live(const struct tt_node *node);  /* or electing */
uint64_t node_now(struct tt_node *node);
void node_fault(struct tt_node *node, const struct tt_err *err);
struct node_peer *node_peer(struct tt_node *node, uint64_t id); /* makes one; NULL when full */
struct node_peer *node_peer_find(struct tt_node *node, uint64_t id);
bool node_peer_recent(const struct tt_node *node, uint64_t id);
uint64_t node_leader(struct tt_node *node);          /* 0 = not known */
uint64_t node_core_time(const struct tt_node *node); /* ms, as libraft sees it */
/* node_hasten.c: true when the core's timer is to fire now. */
bool node_hasten_tick(struct tt_node *node);
void node_hasten_start(struct tt_node *node); /* the core has just been opened */
/* node_start.c */
void node_open_core(struct tt_node *node); /* RAFT_START */
void node_start_fini(struct tt_node *node);
/* node_step.c. Only SUBMIT and TRANSFER may be refused; a false otherwise means faulted. */
bool node_step(struct tt_node *node, struct raft_event *event, int *ret_refusal);
bool node_submit(struct tt_node *node, enum raft_entry_type type, struct tt_bytes *payload,
                 uint64_t *ret_index);
void node_settle_leadership(struct tt_node *node);
void node_hard_state(struct tt_node *node, uint64_t term, uint64_t vote);
/* node_log.c */
void node_append(struct tt_node *node, const struct raft_update *update);
void node_log_truncated(struct tt_node *node, uint64_t from);
void node_log_read(struct tt_node *node, uint64_t peer_id, uint64_t first, uint64_t count,
                   uint64_t prev_term);
void node_log_snapshot(struct tt_node *node, const struct tt_node_snapshot *snapshot,
                       uint64_t keep_from, bool install);
void node_log_hard_state(struct tt_node *node, uint64_t term, uint64_t vote);
void node_log_fini(struct tt_node *node);
/* node_config.c */
void node_config_push(struct tt_node *node, uint64_t index, struct tt_bytes *bytes);
void node_config_truncate(struct tt_node *node, uint64_t from_index);
void node_config_set(struct tt_node *node, uint64_t index, struct tt_bytes *bytes);
/* Those up to `index` are committed: feeds RAFT_CONFIGURATION. */
void node_config_commit(struct tt_node *node, uint64_t index);
void node_config_fini(struct tt_node *node);
/* node_send.c */
void node_send(struct tt_node *node, uint64_t peer_id, Tt__Peer__Message *message);
/* With the attachment that the message names the sizes of. Refs the pieces. */
void node_send_with(struct tt_node *node, uint64_t peer_id, Tt__Peer__Message *message,
                    struct tt_bytes *const *pieces, size_t count);
void node_send_raft(struct tt_node *node, const struct raft_message *message);
void node_send_entries(struct tt_node *node, uint64_t peer_id, uint64_t first, uint64_t prev_term,
                       const struct tt_wal_entry *const *entries, size_t count);
void node_out_propose(struct tt_node *node, struct tt_propose_op *op, int code);
void node_out_read(struct tt_node *node, struct tt_read_op *op, int code);
void node_out_change(struct tt_node *node, struct tt_change_op *op, int code);
void node_out_flush(struct tt_node *node, bool all);
void node_out_drop(struct tt_node *node);
/* node_announce.c */
void node_announce_sent(struct tt_node *node, uint64_t peer_id, uint64_t commit);
void node_announce_matched(struct tt_node *node, struct node_peer *peer, uint64_t term,
                           uint64_t last_index);
void node_announce_turn(struct tt_node *node);
/* node_recv.c */
void node_receive(struct tt_node *node, struct node_peer *peer, const Tt__Peer__Message *message,
                  struct peer_attachment *attachment);
void node_send_info(struct tt_node *node, uint64_t peer_id, bool reply_wanted);
/* node_apply.c */
void node_apply(struct tt_node *node);
void node_apply_read_done(struct tt_node *node, const struct tt_wal_entry *entries, size_t count);
void node_hash_received(struct tt_node *node, struct node_peer *peer, uint64_t index,
                        uint64_t hash);
void node_hash_turn(struct tt_node *node);
/* node_snapshot.c, node_stream.c */
void node_snapshot_turn(struct tt_node *node);
bool node_snapshot_busy(const struct tt_node *node);
uint64_t node_snapshot_due_size(const struct tt_node *node); /* bytes of log */
void node_snapshot_update(struct tt_node *node, const struct raft_update *update);
void node_snapshot_logged(struct tt_node *node); /* the install is in the log */
void node_snapshot_fini(struct tt_node *node);
void node_snapshot_staged(struct tt_node *node);                 /* whole and durable: feed it */
void node_snapshot_send(struct tt_node *node, uint64_t peer_id); /* the core wants it */
void node_snapshot_receive(struct tt_node *node, struct node_peer *peer,
                           const Tt__Peer__Message *message, struct peer_attachment *attachment);
void node_stream_turn(struct tt_node *node);
void node_stream_want(struct tt_node *node, uint64_t peer_id, uint64_t index, uint64_t offset,
                      bool done);
void node_stream_reset(struct node_peer *peer);

#endif

/* Rounds of the leader and questions of a follower; see read_index.h for why they are safe.
 *
 * A round is counted in one configuration: when that changes it starts over. Probes and questions
 * that go unanswered are repeated; a read that is overdue ends with TT_EUNAVAILABLE (nothing was
 * done, so it may be repeated by whoever asked). */
#include "raft/node_parts.h"

static struct read_wait *wait_of(struct tt_list *link)
{
    return TT_CONTAINER_OF(link, struct read_wait, link);
}

void read_index_init(struct read_index *reads)
{
    memset(reads, 0, sizeof *reads);
    tt_list_init(&reads->joining);
    tt_list_init(&reads->round);
    tt_list_init(&reads->asked);
    tt_list_init(&reads->applying);
}

static void move_all(struct tt_list *from, struct tt_list *to)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(from)) != NULL) {
        tt_list_push_back(to, link);
    }
}

void read_index_fini(struct read_index *reads)
{
    move_all(&reads->round, &reads->joining);
    move_all(&reads->asked, &reads->joining);
    move_all(&reads->applying, &reads->joining);
    struct tt_list *link;
    while ((link = tt_list_pop_front(&reads->joining)) != NULL) {
        tt_free(wait_of(link));
    }
}

static void send_reply(struct tt_node *node, const struct read_wait *wait, int code)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ReadIndexReply reply = TT__PEER__READ_INDEX_REPLY__INIT;
    reply.request = wait->request;
    reply.code = code;
    reply.index = wait->index;
    message.body_case = TT__PEER__MESSAGE__BODY_READ_INDEX_REPLY;
    message.read_index_reply = &reply;
    node_send(node, wait->peer_id, &message);
}

/* `wait` is unlinked and gone after this. */
static void finish(struct tt_node *node, struct read_wait *wait, int code)
{
    node->reads.count--;
    if (wait->op) {
        node_out_read(node, wait->op, code);
    } else {
        send_reply(node, wait, code);
    }
    tt_free(wait);
}

void read_index_add(struct tt_node *node, struct tt_read_op *op)
{
    if (!node_live(node)) {
        node_out_read(node, op, TT_ECLOSED);
        return;
    }
    if (node->removed_index != 0 || node->reads.count >= TT_NODE_READS_MAX) {
        node_out_read(node, op, node->removed_index != 0 ? TT_EUNAVAILABLE : TT_EBUSY);
        return;
    }
    struct read_wait *wait = TT_NEW(struct read_wait);
    wait->op = op;
    wait->deadline_ms =
        op->deadline_ms != 0 ? op->deadline_ms : node->now_ms + READ_DEADLINE_MS_DEFAULT;
    node->reads.count++;
    tt_list_push_back(&node->reads.joining, &wait->link);
}

/* These voters and we: a majority of the latest configuration. */
static bool is_majority(const struct tt_node *node, const uint64_t *ids, size_t count)
{
    size_t votes = tt_membership_is_voter(&node->membership, node->config.id);
    for (size_t i = 0; i < count; i++) {
        votes += tt_membership_is_voter(&node->membership, ids[i]);
    }
    return votes > tt_membership_voter_count(&node->membership) / 2;
}

void read_index_question(struct tt_node *node, uint64_t peer_id, const Tt__Peer__ReadIndex *ask)
{
    struct read_wait *wait = TT_NEW(struct read_wait);
    wait->peer_id = peer_id;
    wait->request = ask->request;
    wait->deadline_ms = node->now_ms + READ_DEADLINE_MS_DEFAULT;
    node->reads.count++;
    if (node->lead_term == 0 || node->reads.count > TT_NODE_READS_MAX) {
        finish(node, wait, TT_ENOTLEADER);
        return;
    }
    bool same_term = ask->term == node->lead_term || NODE_FAULT(node, probe_ignores_term);
    if (node->ready && same_term && is_majority(node, &peer_id, 1)) {
        wait->index = node->commit_index;
        node->stats.read_count++;
        finish(node, wait, 0);
        return;
    }
    tt_list_push_back(&node->reads.joining, &wait->link);
}

static void probe_voters(struct tt_node *node)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ReadProbe probe = TT__PEER__READ_PROBE__INIT;
    probe.term = node->lead_term;
    probe.round = node->reads.round_number;
    message.body_case = TT__PEER__MESSAGE__BODY_READ_PROBE;
    message.read_probe = &probe;
    for (size_t i = 0; i < node->membership.count; i++) {
        const struct tt_member *member = &node->membership.members[i];
        if (member->role == TT_ROLE_VOTER && member->id != node->config.id) {
            node_send(node, member->id, &message);
        }
    }
    node->reads.sent_ms = node->now_ms;
    node->stats.read_round_count++;
}

static bool round_won(const struct tt_node *node)
{
    return is_majority(node, node->reads.acks, node->reads.ack_count) ||
           NODE_FAULT(node, read_without_probe);
}

static void round_close(struct tt_node *node)
{
    struct read_index *reads = &node->reads;
    struct tt_list *link;
    while ((link = tt_list_pop_front(&reads->round)) != NULL) {
        struct read_wait *wait = wait_of(link);
        wait->index = reads->round_index;
        node->stats.read_count++;
        if (wait->op) {
            tt_list_push_back(&reads->applying, &wait->link);
        } else {
            finish(node, wait, 0); /* the follower waits for the index itself */
        }
    }
    read_index_published(node);
}

static void round_turn(struct tt_node *node)
{
    struct read_index *reads = &node->reads;
    if (!node->ready) {
        return; /* what is committed is not known before our own barrier is */
    }
    if (!tt_list_empty(&reads->round) && reads->round_config != node->config_index) {
        move_all(&reads->joining, &reads->round); /* keeps the order of arrival */
        move_all(&reads->round, &reads->joining);
    }
    if (tt_list_empty(&reads->round) && !tt_list_empty(&reads->joining)) {
        move_all(&reads->joining, &reads->round);
        reads->round_number++;
        reads->round_index = node->commit_index;
        reads->round_config = node->config_index;
        reads->ack_count = 0;
        probe_voters(node);
    }
    if (!tt_list_empty(&reads->round)) {
        if (round_won(node)) {
            round_close(node);
        } else if (node->now_ms - reads->sent_ms >= READ_RETRY_MS) {
            probe_voters(node);
        }
    }
}

void read_index_probe(struct tt_node *node, uint64_t peer_id, const Tt__Peer__ReadProbe *probe)
{
    /* From the core itself, never from a copy: a vote for another term has moved it already. */
    uint64_t term = raft_current_term(&node->raft);
    bool left = NODE_FAULT(node, probe_ignores_term) && probe->term < term;
    if (probe->term != term && !left) {
        return;
    }
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ReadProbeReply reply = TT__PEER__READ_PROBE_REPLY__INIT;
    reply.term = probe->term;
    reply.round = probe->round;
    message.body_case = TT__PEER__MESSAGE__BODY_READ_PROBE_REPLY;
    message.read_probe_reply = &reply;
    node_send(node, peer_id, &message);
}

void read_index_ack(struct tt_node *node, uint64_t peer_id, const Tt__Peer__ReadProbeReply *ack)
{
    struct read_index *reads = &node->reads;
    if (node->lead_term == 0 || ack->term != node->lead_term || ack->round != reads->round_number ||
        tt_list_empty(&reads->round)) {
        return;
    }
    for (size_t i = 0; i < reads->ack_count; i++) {
        if (reads->acks[i] == peer_id) {
            return;
        }
    }
    if (reads->ack_count < TT_MEMBERS_MAX) {
        reads->acks[reads->ack_count++] = peer_id;
    }
}

/* Follower: one question at a time; asked again when unanswered or when the leader has changed. */
static void question_turn(struct tt_node *node)
{
    struct read_index *reads = &node->reads;
    uint64_t leader = node_leader(node);
    if (reads->request != 0 && reads->asked_leader == leader &&
        node->now_ms - reads->sent_ms < 5 * READ_RETRY_MS) {
        return;
    }
    if (reads->request != 0) {
        reads->request = 0;
        move_all(&reads->joining, &reads->asked);
        move_all(&reads->asked, &reads->joining);
    }
    if (leader == 0 || leader == node->config.id || tt_list_empty(&reads->joining)) {
        return;
    }
    move_all(&reads->joining, &reads->asked);
    reads->request = ++node->next_request;
    reads->asked_leader = leader;
    reads->sent_ms = node->now_ms;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ReadIndex question = TT__PEER__READ_INDEX__INIT;
    question.request = reads->request;
    question.term = raft_current_term(&node->raft); /* from the core, as for a probe */
    message.body_case = TT__PEER__MESSAGE__BODY_READ_INDEX;
    message.read_index = &question;
    node_send(node, leader, &message);
}

void read_index_answer(struct tt_node *node, const Tt__Peer__ReadIndexReply *reply)
{
    struct read_index *reads = &node->reads;
    if (reads->request == 0 || reply->request != reads->request) {
        return;
    }
    if (reply->code != 0) {
        return; /* not the leader (yet): asked again after the retry time */
    }
    reads->request = 0;
    struct tt_list *link;
    while ((link = tt_list_pop_front(&reads->asked)) != NULL) {
        wait_of(link)->index = reply->index;
        tt_list_push_back(&reads->applying, link);
    }
    read_index_published(node);
}

void read_index_published(struct tt_node *node)
{
    if (tt_sm_state(&node->sm) == NODE_INSTALLING) {
        return; /* what was published is gone, the snapshot is not there yet */
    }
    struct tt_list *applying = &node->reads.applying;
    for (struct tt_list *link = applying->next, *next; link != applying; link = next) {
        next = link->next;
        struct read_wait *wait = wait_of(link);
        if (wait->index <= node->published_index || NODE_FAULT(node, read_before_applied)) {
            tt_list_remove(link);
            finish(node, wait, 0);
        }
    }
}

static void expire(struct tt_node *node, struct tt_list *list)
{
    for (struct tt_list *link = list->next, *next; link != list; link = next) {
        next = link->next;
        struct read_wait *wait = wait_of(link);
        if (wait->deadline_ms <= node->now_ms) {
            tt_list_remove(link);
            finish(node, wait, TT_EUNAVAILABLE);
        }
    }
}

void read_index_turn(struct tt_node *node)
{
    struct read_index *reads = &node->reads;
    if (reads->count == 0) {
        return;
    }
    if (node->lead_term != 0) {
        round_turn(node);
    } else {
        question_turn(node);
    }
    expire(node, &reads->joining);
    expire(node, &reads->round);
    expire(node, &reads->asked);
    expire(node, &reads->applying);
}

void read_index_leadership_lost(struct tt_node *node)
{
    struct read_index *reads = &node->reads;
    move_all(&reads->joining, &reads->round);
    for (struct tt_list *link = reads->round.next, *next; link != &reads->round; link = next) {
        next = link->next;
        if (!wait_of(link)->op) {
            tt_list_remove(link);
            finish(node, wait_of(link), TT_ENOTLEADER);
        }
    }
    move_all(&reads->round, &reads->joining);
}

void read_index_stop(struct tt_node *node)
{
    struct read_index *reads = &node->reads;
    move_all(&reads->round, &reads->joining);
    move_all(&reads->asked, &reads->joining);
    move_all(&reads->applying, &reads->joining);
    struct tt_list *link;
    while ((link = tt_list_pop_front(&reads->joining)) != NULL) {
        finish(node, wait_of(link), TT_ECLOSED);
    }
}

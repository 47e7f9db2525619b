/* See direct.h. One lock makes every submitter the store's writer in turn; answers go through the
 * mailbox of the op, so callers see the same order of events as with the replicated proposer. */
#include "server/store/direct.h"

#include <pthread.h>
#include <stdio.h>

struct tt_direct {
    struct tt_proposer proposer;  /* what callers hold */
    struct tt_cluster cluster;    /* what callers hold */
    struct tt_store *store;       /* kept */
    const struct tt_clock *clock; /* kept; may be NULL */
    pthread_mutex_t lock;         /* guards the store as writer and what follows */
    struct tt_list listeners;     /* struct tt_leadership_listener */
    uint64_t index;               /* applied last */
    uint64_t term;                /* 1 at first; one more at each gain */
    bool leading;                 /* else proposals and reads are answered TT_EUNAVAILABLE */
    unsigned fail_count;          /* proposals still to be answered fail_code */
    int fail_code;                /* negative; valid while fail_count > 0 */
};

static void run_propose(struct tt_msg *msg)
{
    struct tt_propose_op *op = TT_CONTAINER_OF(msg, struct tt_propose_op, msg);
    op->done(op);
}

static void run_read(struct tt_msg *msg)
{
    struct tt_read_op *op = TT_CONTAINER_OF(msg, struct tt_read_op, msg);
    op->done(op);
}

static void run_change(struct tt_msg *msg)
{
    struct tt_change_op *op = TT_CONTAINER_OF(msg, struct tt_change_op, msg);
    op->done(op);
}

static void apply_op(struct tt_direct *direct, struct tt_propose_op *op)
{
    struct tt_apply_result result = {.failed_compare = -1};
    uint64_t now = direct->clock ? tt_clock_wall_ms(direct->clock) : 0;
    struct tt_str bytes = tt_bytes_view(op->command);
    int r = tt_command_stamp((uint8_t *)(uintptr_t)bytes.ptr, bytes.len, now, NULL);
    if (r == 0) {
        r = tt_store_apply(direct->store, direct->index + 1, bytes, &result, NULL);
    }
    if (r == 0) {
        direct->index++;
        tt_store_publish(direct->store);
    }
    op->code = r != 0 ? r : result.code;
    op->revision_first = result.revision_first;
    op->revision_last = result.revision_last;
    op->failed_compare = result.failed_compare;
}

static int direct_propose(struct tt_proposer *proposer, struct tt_propose_op *op)
{
    struct tt_direct *direct = TT_CONTAINER_OF(proposer, struct tt_direct, proposer);
    op->code = 0;
    op->revision_first = 0;
    op->revision_last = 0;
    op->failed_compare = -1;
    (void)pthread_mutex_lock(&direct->lock); /* fails only for a lock that is not one */
    int fail = 0;
    if (!direct->leading) {
        fail = TT_EUNAVAILABLE;
    } else if (direct->fail_count > 0) {
        direct->fail_count--;
        fail = direct->fail_code;
    }
    if (fail == 0 || fail == TT_ETIMEOUT) {
        apply_op(direct, op);
    }
    if (fail != 0) {
        op->code = fail;
        op->revision_first = 0;
        op->revision_last = 0;
        op->failed_compare = -1;
    }
    (void)pthread_mutex_unlock(&direct->lock);
    tt_bytes_unref(TT_TAKE(op->command));
    op->msg.run = run_propose;
    return tt_mailbox_post_answer(op->reply, &op->msg);
}

static int direct_read_index(struct tt_cluster *cluster, struct tt_read_op *op)
{
    struct tt_direct *direct = TT_CONTAINER_OF(cluster, struct tt_direct, cluster);
    (void)pthread_mutex_lock(&direct->lock);
    op->code = direct->leading ? 0 : TT_EUNAVAILABLE;
    (void)pthread_mutex_unlock(&direct->lock);
    op->msg.run = run_read;
    return tt_mailbox_post_answer(op->reply, &op->msg);
}

static int direct_change(struct tt_cluster *cluster, struct tt_change_op *op)
{
    (void)cluster;
    tt_err_init(&op->err);
    op->code = 0;
    if (op->kind != TT_CHANGE_TRANSFER && op->kind != TT_CHANGE_SNAPSHOT) {
        op->code =
            TT_FAIL(&op->err, TT_EINVALID, "a server without peers has no members to change");
    }
    op->msg.run = run_change;
    return tt_mailbox_post_answer(op->reply, &op->msg);
}

static void direct_status(struct tt_cluster *cluster, struct tt_cluster_status *ret_status)
{
    struct tt_direct *direct = TT_CONTAINER_OF(cluster, struct tt_direct, cluster);
    struct tt_cluster_status status = {.self_id = 1, .member_count = 1};
    (void)pthread_mutex_lock(&direct->lock);
    status.state = direct->leading ? TT_STATE_LEADER : TT_STATE_FOLLOWER;
    status.leader_id = direct->leading ? 1 : 0;
    status.term = direct->term;
    status.commit_index = direct->index;
    status.applied_index = direct->index;
    status.last_index = direct->index;
    TT_AUTO(tt_version) version = tt_store_version(direct->store);
    status.revision = tt_version_revision(version);
    status.state_hash = tt_store_hash(direct->store);
    status.feature_level = tt_store_feature_level(direct->store);
    (void)pthread_mutex_unlock(&direct->lock);
    (void)snprintf(status.cluster_id, sizeof status.cluster_id, "direct");
    struct tt_member *self = &status.members[0];
    self->id = 1;
    self->role = TT_ROLE_VOTER;
    self->reachable = true;
    self->last_index = status.last_index;
    (void)snprintf(self->name, sizeof self->name, "direct");
    *ret_status = status;
}

static void direct_listen(struct tt_cluster *cluster, struct tt_leadership_listener *listener)
{
    struct tt_direct *direct = TT_CONTAINER_OF(cluster, struct tt_direct, cluster);
    (void)pthread_mutex_lock(&direct->lock);
    tt_list_push_back(&direct->listeners, &listener->link);
    if (direct->leading) {
        listener->gained(listener, direct->term);
    }
    (void)pthread_mutex_unlock(&direct->lock);
}

struct tt_direct *tt_direct_new(struct tt_store *store, const struct tt_clock *clock)
{
    struct tt_direct *direct = TT_NEW(struct tt_direct);
    direct->proposer.propose = direct_propose;
    direct->cluster =
        (struct tt_cluster){direct_read_index, direct_change, direct_status, direct_listen};
    direct->store = store;
    direct->clock = clock;
    int failed = pthread_mutex_init(&direct->lock, NULL);
    TT_ASSERT(failed == 0);
    tt_list_init(&direct->listeners);
    TT_AUTO(tt_version) version = tt_store_version(store);
    direct->index = tt_version_index(version);
    direct->term = 1;
    direct->leading = true;
    return direct;
}

void tt_direct_free(struct tt_direct *direct)
{
    if (direct) {
        (void)pthread_mutex_destroy(&direct->lock);
        tt_free(direct);
    }
}

struct tt_proposer *tt_direct_proposer(struct tt_direct *direct)
{
    return &direct->proposer;
}

struct tt_cluster *tt_direct_cluster(struct tt_direct *direct)
{
    return &direct->cluster;
}

void tt_direct_lead(struct tt_direct *direct, bool leading)
{
    (void)pthread_mutex_lock(&direct->lock);
    bool changes = direct->leading != leading;
    direct->leading = leading;
    direct->term += changes && leading ? 1 : 0;
    uint64_t term = direct->term;
    /* Under the lock that publications take too: listeners are told of both on one thread's terms.
     */
    for (struct tt_list *at = direct->listeners.next; changes && at != &direct->listeners;
         at = at->next) {
        struct tt_leadership_listener *listener =
            TT_CONTAINER_OF(at, struct tt_leadership_listener, link);
        if (leading) {
            listener->gained(listener, term);
        } else {
            listener->lost(listener);
        }
    }
    (void)pthread_mutex_unlock(&direct->lock);
}

void tt_direct_fail_next(struct tt_direct *direct, unsigned count, int code)
{
    (void)pthread_mutex_lock(&direct->lock);
    direct->fail_count = count;
    direct->fail_code = code;
    (void)pthread_mutex_unlock(&direct->lock);
}

/* Whole members in one process: real disk, real transport, real threads. What only shows when all
 * of it is wired together: a snapshot that travels, and an end in the middle of work. */
#include "raft/replica.h"

#include <pthread.h>
#include <semaphore.h>

#include "base/rng.h"
#include "tests/support/effort.h"
#include "tests/support/kept_port.h"
#include "tests/unit/server/tls/ends.h"

/* What is asked of a member is answered by its deadline. Both times are only there so that a test
 * can fail: a machine with much to do takes seconds for what takes milliseconds elsewhere. */
enum { DEADLINE_MS = 60000, WAIT_MS = DEADLINE_MS + 20000 };
enum { MEMBERS = 2, POSTERS_OPS = 2000, TRAILING = 8 };

struct world {
    struct fixture fixture;
    struct tt_pool *pool;
    struct tt_tls_context *tls[MEMBERS][2]; /* client, server */
    struct tt_replica *replicas[MEMBERS];
    char addresses[MEMBERS][32];
    uint16_t ports[MEMBERS];
    int port_fds[MEMBERS];  /* keep the ports */
    struct tt_mailbox *box; /* answers to the test */
    sem_t wake;
    struct tt_err fault;
};

static void on_wake(void *ctx)
{
    (void)sem_post(ctx); /* cannot overflow: one per drain */
}

static void on_fatal(void *ctx, const struct tt_err *err)
{
    ((struct world *)ctx)->fault = *err;
}

/* Waits for answers; false after WAIT_MS. */
static bool wait_for(struct world *world, const bool *done)
{
    uint64_t end_ns = tt_clock_ns(tt_clock_real()) + (uint64_t)WAIT_MS * 1000000u;
    const struct timespec until = {.tv_sec = (time_t)(end_ns / 1000000000u),
                                   .tv_nsec = (long)(end_ns % 1000000000u)};
    while (!*done && sem_clockwait(&world->wake, CLOCK_MONOTONIC, &until) == 0) {
        (void)tt_mailbox_drain(world->box);
    }
    return *done;
}

static void issue(struct world *world, size_t i)
{
    char name[8];
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_err err;
    tt_err_init(&err);
    (void)snprintf(name, sizeof name, "s%zu", i + 1);
    fixture_issue(&world->fixture, world->fixture.ca,
                  &(struct tt_pki_subject){.role = TT_IDENTITY_SERVER, .name = name}, name);
    for (int server = 0; server < 2; server++) {
        struct tt_tls_config config = fixture_config(server == 1, paths, &world->fixture, name);
        config.alpn = TT_TRANSPORT_ALPN;
        fixture_must(tt_tls_context_new(&config, &world->tls[i][server], &err), &err);
    }
}

/* Member `i`, opened: the first forms the cluster alone, the others join it. */
static int make_member(struct world *world, size_t i)
{
    char dir[FIXTURE_PATH_SIZE];
    char name[8];
    struct tt_member self = {.id = i + 1, .role = TT_ROLE_VOTER};
    struct tt_err err;
    tt_err_init(&err);
    (void)snprintf(name, sizeof name, "s%zu", i + 1);
    (void)snprintf(self.name, sizeof self.name, "%s", name);
    (void)snprintf(self.peer_address, sizeof self.peer_address, "%s", world->addresses[i]);
    const struct tt_replica_config config = {
        .data_dir = fixture_path(&world->fixture, name, dir),
        .name = name,
        .cluster = "test",
        .api_address = "127.0.0.1:1",
        .peer_host = "127.0.0.1",
        .peer_port = world->ports[i],
        .server_tls = world->tls[i][1],
        .client_tls = world->tls[i][0],
        .pool = world->pool,
        .slow_pool = world->pool,
        .clock = tt_clock_real(),
        .snapshot_trailing = TRAILING,
        .cluster_id = "11111111-2222-3333-4444-555555555555",
        .member_id = i + 1,
        .initial = &self,
        .initial_count = i == 0 ? 1 : 0,
        .fatal = on_fatal,
        .ctx = world,
    };
    return tt_replica_new(&config, &world->replicas[i], &err);
}

static void open_member(struct world *world, size_t i)
{
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(make_member(world, i), TT_OK);
    fixture_must(tt_replica_start(world->replicas[i], &err), &err);
}

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    fixture_up(&world->fixture);
    tt_err_init(&world->fault);
    world->pool = tt_pool_new(2, 0, 1024);
    assert_int_equal(sem_init(&world->wake, 0, 0), 0);
    world->box = tt_mailbox_new(65536, on_wake, &world->wake);
    for (size_t i = 0; i < MEMBERS; i++) {
        world->port_fds[i] = kept_port(&world->ports[i]);
        (void)snprintf(world->addresses[i], sizeof world->addresses[i], "127.0.0.1:%u",
                       world->ports[i]);
        issue(world, i);
    }
    *state = world;
    return 0;
}

static void close_member(struct world *world, size_t i)
{
    if (world->replicas[i] != NULL) {
        tt_replica_stop(world->replicas[i]);
        tt_replica_free(TT_TAKE(world->replicas[i]));
    }
}

static int world_down(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < MEMBERS; i++) {
        close_member(world, i);
        tt_tls_context_unref(world->tls[i][0]);
        tt_tls_context_unref(world->tls[i][1]);
        (void)close(world->port_fds[i]);
    }
    tt_pool_free(world->pool);
    tt_mailbox_close(world->box);
    (void)tt_mailbox_drain(world->box);
    tt_mailbox_free(world->box);
    (void)sem_destroy(&world->wake);
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

/* Ops of the test. */

static void propose_done(struct tt_propose_op *op)
{
    *(bool *)op->ctx = true;
}

static void change_done(struct tt_change_op *op)
{
    *(bool *)op->ctx = true;
}

static void read_done(struct tt_read_op *op)
{
    *(bool *)op->ctx = true;
}

static struct tt_bytes *put_command(unsigned number, size_t size)
{
    char key[32];
    char *value = tt_xmalloc(size);
    tt_random_bytes((uint8_t *)value, size); /* must not shrink in a snapshot */
    int length = snprintf(key, sizeof key, "o/core/configmaps/n/c%06u", number);
    struct tt_txn_op op = {TT_OP_PUT,
                           tt_str(key, (size_t)length),
                           {.codec = TT_CODEC_RECORD, .bytes = tt_str(value, size)}};
    struct tt_txn txn = {.ops = &op, .op_count = 1};
    struct tt_bytes *command = NULL;
    int r = tt_txn_encode(&txn, &command, NULL);
    TT_ASSERT(r == TT_OK);
    tt_free(value);
    return command;
}

static uint64_t deadline_ms(void)
{
    return tt_clock_ms(tt_clock_real()) + DEADLINE_MS;
}

/* A member that got no time for half a second may have lost its leader: nothing was done then, and
 * it is asked again. */
static bool ask_again(int code, uint64_t until_ms)
{
    return code == TT_EUNAVAILABLE && tt_clock_ms(tt_clock_real()) < until_ms;
}

static void put(struct world *world, size_t member, unsigned number, size_t size)
{
    struct tt_proposer *proposer = tt_replica_proposer(world->replicas[member]);
    uint64_t until_ms = deadline_ms();
    struct tt_propose_op op;
    do {
        bool done = false;
        op = (struct tt_propose_op){.command = put_command(number, size),
                                    .deadline_ms = until_ms,
                                    .reply = world->box,
                                    .done = propose_done,
                                    .ctx = &done};
        assert_int_equal(proposer->propose(proposer, &op), TT_OK);
        assert_true(wait_for(world, &done));
    } while (ask_again(op.code, until_ms));
    assert_int_equal(op.code, TT_OK);
}

static int change(struct world *world, enum tt_change_kind kind, size_t member)
{
    struct tt_cluster *cluster = tt_replica_cluster(world->replicas[0]);
    uint64_t until_ms = deadline_ms();
    struct tt_change_op op;
    do {
        bool done = false;
        op = (struct tt_change_op){.kind = kind,
                                   .deadline_ms = until_ms,
                                   .reply = world->box,
                                   .done = change_done,
                                   .ctx = &done};
        op.member.id = member + 1;
        (void)snprintf(op.member.name, sizeof op.member.name, "s%zu", member + 1);
        (void)snprintf(op.member.peer_address, sizeof op.member.peer_address, "%s",
                       world->addresses[member]);
        assert_int_equal(cluster->change(cluster, &op), TT_OK);
        assert_true(wait_for(world, &done));
    } while (ask_again(op.code, until_ms));
    return op.code;
}

static void read_barrier(struct world *world, size_t member)
{
    struct tt_cluster *cluster = tt_replica_cluster(world->replicas[member]);
    uint64_t until_ms = deadline_ms();
    struct tt_read_op op;
    do {
        bool done = false;
        op = (struct tt_read_op){
            .deadline_ms = until_ms, .reply = world->box, .done = read_done, .ctx = &done};
        assert_int_equal(cluster->read_index(cluster, &op), TT_OK);
        assert_true(wait_for(world, &done));
    } while (ask_again(op.code, until_ms));
    assert_int_equal(op.code, TT_OK);
}

static void a_member_that_joins_late_gets_a_snapshot_of_many_pieces(void **state)
{
    enum { COUNT = 40, SIZE = 60 << 10 };
    struct world *world = *state;
    open_member(world, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        put(world, 0, i, SIZE);
    }
    assert_int_equal(change(world, TT_CHANGE_SNAPSHOT, 0), TT_OK);
    open_member(world, 1);
    assert_int_equal(change(world, TT_CHANGE_ADD, 1), TT_OK);
    assert_int_equal(change(world, TT_CHANGE_PROMOTE, 1), TT_OK);
    put(world, 1, COUNT, 16);
    read_barrier(world, 0);
    read_barrier(world, 1);
    struct tt_version *first = tt_store_version(tt_replica_store(world->replicas[0]));
    struct tt_version *second = tt_store_version(tt_replica_store(world->replicas[1]));
    assert_int_equal(tt_version_count(second), COUNT + 1);
    assert_true(tt_version_hash(first) == tt_version_hash(second));
    tt_version_unref(first);
    tt_version_unref(second);
    assert_int_equal(world->fault.code, TT_OK);
}

static void a_member_stops_while_its_snapshot_is_written(void **state)
{
    enum { COUNT = TEST_EFFORT(40, 10), SIZE = 900 << 10 };
    struct world *world = *state;
    open_member(world, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        put(world, 0, i, SIZE);
    }
    struct tt_cluster *cluster = tt_replica_cluster(world->replicas[0]);
    bool done = false;
    struct tt_change_op op = {.kind = TT_CHANGE_SNAPSHOT,
                              .deadline_ms = deadline_ms(),
                              .reply = world->box,
                              .done = change_done,
                              .ctx = &done};
    assert_int_equal(cluster->change(cluster, &op), TT_OK);
    read_barrier(world, 0); /* behind it in the same queue: the snapshot has begun */
    tt_replica_stop(world->replicas[0]);
    assert_true(wait_for(world, &done));
    close_member(world, 0);
}

/* Posts until it is refused; every accepted op must be answered. */
struct poster {
    struct world *world;
    struct tt_propose_op ops[POSTERS_OPS];
    bool answered[POSTERS_OPS];
    size_t accepted;
    int refusal; /* of the first that was not accepted; 0: all were */
    sem_t begun;
};

static void *post_all(void *ctx)
{
    struct poster *poster = ctx;
    struct tt_proposer *proposer = tt_replica_proposer(poster->world->replicas[0]);
    for (size_t i = 0; i < POSTERS_OPS; i++) {
        struct tt_propose_op *op = &poster->ops[i];
        *op = (struct tt_propose_op){.command = put_command((unsigned)i, 16),
                                     .reply = poster->world->box,
                                     .done = propose_done,
                                     .ctx = &poster->answered[i]};
        poster->refusal = proposer->propose(proposer, op);
        if (poster->refusal != TT_OK) {
            break;
        }
        poster->accepted++;
        if (i == POSTERS_OPS / 8) {
            (void)sem_post(&poster->begun);
        }
    }
    (void)sem_post(&poster->begun); /* it waits for one only */
    return NULL;
}

static void every_accepted_write_is_answered_when_a_member_stops(void **state)
{
    struct world *world = *state;
    open_member(world, 0);
    put(world, 0, 0, 16);
    struct poster *poster = test_calloc(1, sizeof *poster);
    poster->world = world;
    assert_int_equal(sem_init(&poster->begun, 0, 0), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_all, poster), 0);
    assert_int_equal(sem_wait(&poster->begun), 0);
    tt_replica_stop(world->replicas[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)tt_mailbox_drain(world->box);
    assert_true(poster->refusal == TT_OK || poster->refusal == TT_ECLOSED);
    for (size_t i = 0; i < poster->accepted; i++) {
        assert_true(poster->answered[i]);
    }
    (void)sem_destroy(&poster->begun);
    test_free(poster);
}

static void a_member_that_cannot_start_leaves_nothing_behind(void **state)
{
    struct world *world = *state;
    assert_int_equal(make_member(world, 0), TT_OK); /* it listens */
    world->ports[1] = world->ports[0];
    assert_int_not_equal(make_member(world, 1), TT_OK);
    assert_null(world->replicas[1]);
    tt_replica_free(TT_TAKE(world->replicas[0])); /* never started */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_member_that_joins_late_gets_a_snapshot_of_many_pieces,
                                        world_up, world_down),
        cmocka_unit_test_setup_teardown(a_member_stops_while_its_snapshot_is_written, world_up,
                                        world_down),
        cmocka_unit_test_setup_teardown(a_member_that_cannot_start_leaves_nothing_behind, world_up,
                                        world_down),
        cmocka_unit_test_setup_teardown(every_accepted_write_is_answered_when_a_member_stops,
                                        world_up, world_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

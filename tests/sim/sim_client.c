/* Writers and readers.
 *
 * Each client has one op out at a time; a burst adds many at once. Values are unique, so a change
 * in the history belongs to one write. Some writes carry a request id and are repeated when their
 * outcome is unknown: the store must do them once. */
#include "tests/sim/sim_client.h"

#include <inttypes.h>
#include <stdio.h>

enum { OPS_PER_BURST = 64, TRIES_MAX = 4, TIMEOUT_MS = 3000, TIMEOUT_MS_LONG = 40000 };
enum { ANSWER_CHECK_MS = 5000, ANSWER_MS_MAX = 60000 };

enum op_use { USE_FREE, USE_WRITE, USE_READ, USE_COMPACT };

struct sim_op {
    struct sim *sim;
    struct tt_propose_op propose;
    struct tt_read_op read;
    enum op_use use;
    int server;              /* slot it was given to; -1: to none at present */
    uint64_t given_us;       /* when */
    int client;              /* -1: of a burst */
    uint64_t floor_revision; /* confirmed before it began */
    uint64_t value;          /* number of the unique value */
    uint64_t key;
    bool deletes;
    bool identified; /* carries a request id: may be repeated */
    unsigned tries;
};

enum { OPS_MAX = SIM_CLIENTS_MAX + 4 * OPS_PER_BURST };

struct sim_client {
    struct sim_op ops[OPS_MAX];
    uint64_t think_ms; /* at most, between two ops of a client */
    bool calm;
    bool proven[SIM_SERVERS_MAX]; /* a write went through this server since the healing */
};

static void client_step(struct sim *sim, struct sim_event *event);

static void next_step(struct sim *sim, int client, uint64_t delay_us)
{
    struct sim_event event = {.run = client_step, .server = -1, .a = (uint64_t)client};
    sim_schedule(sim, delay_us, event);
}

static uint64_t think_us(struct sim *sim)
{
    return sim->clients->calm ? sim_between(sim, 100, 400) * SIM_MS
                              : sim_between(sim, 0, sim->clients->think_ms) * SIM_MS;
}

static struct tt_bytes *encode(struct sim *sim, const struct sim_op *op)
{
    char key[16], value[160], request[32];
    int key_size = snprintf(key, sizeof key, "key-%02" PRIu64, op->key);
    int value_size = snprintf(value, sizeof value, "%" PRIu64 "/%" PRIu64 "/%*s", sim->options.seed,
                              op->value, (int)(op->value % 120), "");
    int request_size = snprintf(request, sizeof request, "r%" PRIu64, op->value);
    struct tt_txn_op change = {
        .kind = op->deletes ? TT_OP_DELETE : TT_OP_PUT,
        .key = tt_str(key, (size_t)key_size),
        .value = {.codec = TT_CODEC_RECORD, .bytes = tt_str(value, (size_t)value_size)},
    };
    if (op->deletes) {
        memset(&change.value, 0, sizeof change.value);
    }
    struct tt_txn txn = {
        .ops = &change,
        .op_count = 1,
        .actor = TT_STR("spiffe://simulated/user/client"),
        .verb = TT_STR("update"),
        .request_id = op->identified ? tt_str(request, (size_t)request_size) : TT_STR_NONE,
    };
    struct tt_bytes *command = NULL;
    int r = tt_txn_encode(&txn, &command, NULL);
    TT_ASSERT(r == 0);
    return command;
}

static uint64_t local_deadline_ms(const struct sim_server *server, uint64_t timeout_ms)
{
    return server->sim->now_us / SIM_MS + server->clock_offset_ms + timeout_ms;
}

/* Some wait long: until their server has fallen behind, and is there again. */
static uint64_t write_timeout_ms(struct sim *sim)
{
    return tt_rng_chance(&sim->rng, 0.8) ? TIMEOUT_MS
                                         : sim_between(sim, TIMEOUT_MS, TIMEOUT_MS_LONG);
}

static void propose_done(struct tt_propose_op *propose);

/* By the door that production's API threads use. */
static void propose(struct sim_server *server, struct sim_op *op)
{
    struct tt_proposer *door = &server->core.proposer;
    op->propose.deadline_ms = local_deadline_ms(server, write_timeout_ms(server->sim));
    op->propose.reply = server->api_box;
    op->propose.done = propose_done;
    op->propose.ctx = op;
    int r = door->propose(door, &op->propose);
    TT_ASSERT(r == 0); /* the mailbox takes more than there are ops */
}

static void write_arrives(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    struct sim_op *op = &sim->clients->ops[event->a];
    memset(&op->propose, 0, sizeof op->propose);
    op->propose.command = encode(sim, op);
    propose(server, op);
}

/* Requests travel: a server that is paused finds them when it goes on. */
static void send_to(struct sim *sim, struct sim_op *op, struct sim_server *server,
                    void (*arrives)(struct sim *sim, struct sim_event *event))
{
    op->server = server->slot;
    op->given_us = sim->now_us;
    struct sim_event event = {
        .run = arrives, .server = server->slot, .a = (uint64_t)(op - sim->clients->ops)};
    sim_schedule(sim, sim_between(sim, 20, 500), event);
}

static void begin_write(struct sim *sim, struct sim_op *op, struct sim_server *server)
{
    op->use = USE_WRITE;
    op->floor_revision = sim->completed_revision;
    op->value = ++sim->value_count;
    op->key = tt_rng_below(&sim->rng, SIM_KEYS);
    op->deletes = tt_rng_chance(&sim->rng, 0.1);
    op->identified = tt_rng_chance(&sim->rng, 0.3);
    op->tries = 1;
    send_to(sim, op, server, write_arrives);
}

static void read_done(struct tt_read_op *read);

static void read_arrives(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    struct sim_op *op = &sim->clients->ops[event->a];
    memset(&op->read, 0, sizeof op->read);
    op->read.deadline_ms = local_deadline_ms(server, TIMEOUT_MS);
    op->read.reply = server->api_box;
    op->read.done = read_done;
    op->read.ctx = op;
    struct tt_cluster *door = &server->core.cluster;
    int r = door->read_index(door, &op->read);
    TT_ASSERT(r == 0); /* the mailbox takes more than there are ops */
}

static void begin_read(struct sim *sim, struct sim_op *op, struct sim_server *server)
{
    op->use = USE_READ;
    op->floor_revision = sim->completed_revision;
    send_to(sim, op, server, read_arrives);
}

static void client_step(struct sim *sim, struct sim_event *event)
{
    struct sim_op *op = &sim->clients->ops[event->a];
    struct sim_server *server = sim_pick(sim);
    if (op->use != USE_FREE || !server) {
        next_step(sim, (int)event->a, 20 * SIM_MS);
        return;
    }
    op->client = (int)event->a;
    if (tt_rng_chance(&sim->rng, 0.5)) {
        begin_write(sim, op, server);
    } else {
        begin_read(sim, op, server);
    }
}

static void op_free(struct sim *sim, struct sim_op *op)
{
    op->use = USE_FREE;
    if (op->client >= 0) {
        next_step(sim, op->client, think_us(sim));
    }
}

static void complete(struct sim *sim, uint64_t revision)
{
    sim->completed_revision = tt_u64_max(sim->completed_revision, revision);
}

static void check_written(struct sim *sim, const struct sim_op *op)
{
    const struct tt_propose_op *propose = &op->propose;
    bool nothing = op->deletes && propose->revision_last == 0; /* the key was not there */
    if (nothing) {
        return;
    }
    if (propose->revision_first == 0 || propose->revision_last > sim->change_count) {
        sim_fail(sim, SIM_CONFIRMED,
                 "a write was confirmed at revision %" PRIu64 " that nobody has",
                 propose->revision_last);
    } else if (propose->revision_first <= op->floor_revision && op->tries == 1) {
        sim_fail(sim, SIM_REAL_TIME,
                 "a write got revision %" PRIu64 ", but %" PRIu64 " was confirmed before it began",
                 propose->revision_first, op->floor_revision);
    }
    if (!op->deletes) {
        sim_once_confirmed(sim, op->value, propose->revision_first);
    }
    complete(sim, propose->revision_last);
    sim->acked_count++;
}

static void retry_event(struct sim *sim, struct sim_event *event)
{
    struct sim_op *op = &sim->clients->ops[event->a];
    struct sim_server *server = sim_pick(sim);
    if (!server) {
        sim_schedule(sim, 100 * SIM_MS, *event);
        return;
    }
    send_to(sim, op, server, write_arrives);
}

/* The outcome is unknown: once more with the same request id, or leave it. */
static void unknown(struct sim *sim, struct sim_op *op)
{
    if (op->use == USE_WRITE && op->identified && op->tries < TRIES_MAX) {
        op->tries++;
        op->server = -1;
        struct sim_event event = {
            .run = retry_event, .server = -1, .a = (uint64_t)(op - sim->clients->ops)};
        sim_schedule(sim, sim_between(sim, 1, 500) * SIM_MS, event);
        return;
    }
    op_free(sim, op);
}

static void propose_done(struct tt_propose_op *propose)
{
    struct sim_op *op = propose->ctx;
    struct sim *sim = op->sim;
    struct sim_server *server = &sim->servers[op->server];
    if (!server->running) {
        return; /* its process ended with the answer */
    }
    TT_ASSERT(op->use == USE_WRITE || op->use == USE_COMPACT);
    if (propose->code == 0 && op->use == USE_WRITE) {
        check_written(sim, op);
        sim->clients->proven[server->slot] = true;
    } else if (propose->code == TT_EINVAL || propose->code == TT_EINTERNAL) {
        sim_fail(sim, SIM_NO_BUG_TOLD, "a write failed with %s", tt_err_name(propose->code));
    } else if (propose->code == TT_ETIMEOUT) {
        sim->unknown_count += op->use == USE_WRITE;
        unknown(sim, op);
        return;
    } else if (op->use == USE_WRITE && op->tries == 1) {
        sim_once_refused(sim, op->value);
    }
    op_free(sim, op);
}

/* What the API does with the answer: it looks into the newest version there is now. */
static void read_done(struct tt_read_op *read)
{
    struct sim_op *op = read->ctx;
    struct sim *sim = op->sim;
    struct sim_server *server = &sim->servers[op->server];
    if (!server->running) {
        return; /* its process ended with the answer */
    }
    TT_ASSERT(op->use == USE_READ);
    if (read->code != 0) {
        op_free(sim, op);
        return;
    }
    struct tt_version *version = tt_store_version(server->core.store);
    uint64_t revision = tt_version_revision(version);
    tt_version_unref(version);
    if (revision < read->revision) {
        send_to(sim, op, server, read_arrives); /* a snapshot is being installed: again */
        return;
    }
    if (revision < op->floor_revision) {
        sim_fail(sim, SIM_FRESH,
                 "%s gave a stale read: revision %" PRIu64 ", but %" PRIu64
                 " was confirmed before it began",
                 server->name, revision, op->floor_revision);
    }
    complete(sim, revision);
    sim->read_count++;
    op_free(sim, op);
}

/* Whatever happens, whoever asked is answered: at the deadline at the latest, or as soon as a
 * paused server goes on. */
static void check_answered(struct sim *sim, struct sim_event *event)
{
    for (size_t i = 0; i < OPS_MAX; i++) {
        const struct sim_op *op = &sim->clients->ops[i];
        if (op->use != USE_FREE && op->server >= 0 &&
            sim->now_us - op->given_us > ANSWER_MS_MAX * SIM_MS) {
            sim_fail(sim, SIM_ANSWERED, "%s does not answer a %s for %" PRIu64 " s",
                     sim->servers[op->server].name, op->use == USE_READ ? "read" : "write",
                     (sim->now_us - op->given_us) / 1000000);
        }
    }
    sim_schedule(sim, ANSWER_CHECK_MS * SIM_MS, *event);
}

void sim_client_server_gone(struct sim_server *server)
{
    struct sim *sim = server->sim;
    for (size_t i = 0; sim->clients && i < OPS_MAX; i++) {
        struct sim_op *op = &sim->clients->ops[i];
        if (op->use != USE_FREE && op->server == server->slot) {
            unknown(sim, op);
        }
    }
    sim_admin_server_gone(server);
}

void sim_client_burst(struct sim *sim, struct sim_server *server)
{
    size_t count = 0;
    for (size_t i = SIM_CLIENTS_MAX; i < OPS_MAX && count < OPS_PER_BURST; i++) {
        struct sim_op *op = &sim->clients->ops[i];
        if (op->use == USE_FREE) {
            op->client = -1;
            begin_write(sim, op, server);
            count++;
        }
    }
}

void sim_client_compact(struct sim *sim, struct sim_server *server)
{
    for (size_t i = SIM_CLIENTS_MAX; i < OPS_MAX; i++) {
        struct sim_op *op = &sim->clients->ops[i];
        if (op->use != USE_FREE || sim->completed_revision < 10) {
            continue;
        }
        memset(&op->propose, 0, sizeof op->propose);
        op->use = USE_COMPACT;
        op->client = -1;
        op->server = server->slot;
        op->propose.command =
            tt_command_compact(sim->completed_revision - tt_rng_below(&sim->rng, 10));
        op->given_us = sim->now_us;
        propose(server, op);
        return;
    }
}

bool sim_client_write_through(struct sim *sim, struct sim_server *server)
{
    for (size_t i = SIM_CLIENTS_MAX; i < OPS_MAX; i++) {
        struct sim_op *op = &sim->clients->ops[i];
        if (op->use == USE_FREE) {
            op->client = -1;
            begin_write(sim, op, server);
            return true;
        }
    }
    return false;
}

bool sim_client_write_through_ok(const struct sim *sim, const struct sim_server *server)
{
    return sim->clients->proven[server->slot];
}

void sim_clients_calm(struct sim *sim)
{
    sim->clients->calm = true;
    memset(sim->clients->proven, 0, sizeof sim->clients->proven);
}

void sim_clients_init(struct sim *sim)
{
    sim->clients = TT_NEW(struct sim_client);
    size_t count = (size_t)sim_between(sim, 2, SIM_CLIENTS_MAX);
    sim->clients->think_ms = sim_between(sim, 10, 1000);
    for (size_t i = 0; i < OPS_MAX; i++) {
        sim->clients->ops[i].sim = sim;
    }
    struct sim_event event = {.run = check_answered, .server = -1};
    sim_schedule(sim, ANSWER_CHECK_MS * SIM_MS, event);
    for (size_t i = 0; i < count; i++) {
        next_step(sim, (int)i, think_us(sim));
    }
}

void sim_clients_fini(struct sim *sim)
{
    tt_free(TT_TAKE(sim->clients));
}

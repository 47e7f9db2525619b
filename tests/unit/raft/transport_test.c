/* The peer transport with real certificates on loopback: delivery, refusals, bounds. */
#include "raft/transport.h"

#include "base/intmath.h"
#include "base/rng.h"
#include "raft/disk_memory.h"
#include "raft/transport_frame.h"
#include "tests/support/kept_port.h"
#include "tests/unit/server/tls/ends.h"

#define CLUSTER_ID "11111111-2222-3333-4444-555555555555"
/* WAIT_MS is only there so that a test can fail. */
enum { NODES = 3, PART_SIZE = 65536, WAIT_MS = 30000, TEXT = 8, BLOB = 9 };

struct node {
    struct tt_transport *transport; /* NULL: stopped */
    struct tt_mailbox *box;         /* what the core drains: here, the test */
    uint64_t id;
    uint16_t port;
    bool reachable[NODES + 1]; /* by id */
    bool absent[NODES + 1];    /* by id: nobody listens there */
    bool stopped;
    struct tt_peer_book *book;
    uint64_t disowned_by;       /* a peer that knows another directory under our id */
    uint64_t removed_index;     /* what it says of the index */
    uint64_t text_count;        /* frames of type TEXT */
    uint64_t blob_count;        /* frames of type BLOB */
    uint64_t blob_size;         /* their bytes */
    uint64_t last_value;        /* the number in the newest TEXT frame */
    bool in_order;              /* TEXT numbers only grew */
    uint64_t blobs_before_text; /* blob_count when the newest TEXT frame came */
    struct tt_transport_stats stats;
};

struct world {
    struct fixture fixture;
    struct tt_tls_context *server_tls[NODES + 1]; /* by id */
    struct tt_tls_context *client_tls[NODES + 1];
    struct node nodes[NODES + 1];
    struct tt_disk_memory *disks[NODES + 1]; /* of the peer books */
    uint16_t ports[NODES + 1];               /* by id; kept while a node is down */
    int port_fds[NODES + 1];                 /* keep them */
    struct tt_transport_config tweak;        /* limits for the next node_up */
};

static void on_received(void *ctx, uint64_t peer_id, uint8_t type, struct tt_bytes *payload)
{
    struct node *node = ctx;
    assert_true(peer_id >= 1 && peer_id <= NODES && peer_id != node->id);
    if (type == TEXT) {
        assert_true(payload->size >= 8);
        uint64_t value = tt_le64_get(payload->ptr);
        node->in_order = node->in_order && value > node->last_value;
        node->last_value = value;
        node->text_count++;
        node->blobs_before_text = node->blob_count;
    } else {
        node->blob_count++;
        node->blob_size += payload->size;
    }
    tt_bytes_unref(payload);
}

static void on_reach(void *ctx, uint64_t peer_id, enum tt_transport_reach reach)
{
    struct node *node = ctx;
    node->reachable[peer_id] = reach == TT_TRANSPORT_CONNECTED;
    node->absent[peer_id] = reach == TT_TRANSPORT_ABSENT;
}

static void on_removed(void *ctx, uint64_t peer_id, uint64_t index)
{
    (void)peer_id;
    ((struct node *)ctx)->removed_index = index;
}

static void on_disowned(void *ctx, uint64_t peer_id)
{
    ((struct node *)ctx)->disowned_by = peer_id;
}

static void on_stats(void *ctx, const struct tt_transport_stats *stats)
{
    ((struct node *)ctx)->stats = *stats;
}

static void on_stopped(void *ctx)
{
    struct node *node = ctx;
    tt_transport_free(node->transport);
    tt_peer_book_free(node->book);
    node->transport = NULL;
    node->stopped = true;
}

static struct tt_member member_of(const struct world *world, uint64_t id)
{
    struct tt_member member = {.id = id};
    (void)snprintf(member.name, sizeof member.name, "s%u", (unsigned)id);
    (void)snprintf(member.peer_address, sizeof member.peer_address, "127.0.0.1:%u",
                   (unsigned)world->nodes[id].port);
    return member;
}

static void node_up_as(struct world *world, uint64_t id, uint64_t claimed_id)
{
    struct node *node = &world->nodes[id];
    struct tt_err err;
    tt_err_init(&err);
    struct tt_mailbox *box = node->box;
    *node = (struct node){.id = id, .box = box, .in_order = true};
    if (node->box == NULL) {
        node->box = tt_mailbox_new(1024, NULL, NULL);
    }
    struct tt_transport_config config = world->tweak;
    config.self_id = claimed_id;
    config.cluster = "test";
    config.cluster_id = CLUSTER_ID;
    config.incarnation = config.incarnation != 0 ? config.incarnation : 100 + id;
    fixture_must(tt_peer_book_open(tt_disk_memory_disk(world->disks[id]), "member", CLUSTER_ID,
                                   &node->book, &err),
                 &err);
    config.book = node->book;
    config.disowned = on_disowned;
    config.removed = on_removed;
    config.host = "127.0.0.1";
    config.port = world->ports[id];
    config.server_tls = world->server_tls[id];
    config.client_tls = world->client_tls[id];
    config.deliver_to = node->box;
    config.received = on_received;
    config.reach = on_reach;
    config.stats = on_stats;
    config.ctx = node;
    config.backoff_ms_min = config.backoff_ms_min != 0 ? config.backoff_ms_min : 10;
    config.backoff_ms_max = config.backoff_ms_max != 0 ? config.backoff_ms_max : 100;
    fixture_must(tt_transport_new(&config, &node->transport, &err), &err);
    node->port = tt_transport_port(node->transport);
    fixture_must(tt_transport_start(node->transport, &err), &err);
}

static void node_up(struct world *world, uint64_t id)
{
    node_up_as(world, id, id);
}

static void node_knows(struct world *world, uint64_t id, size_t count)
{
    struct tt_member members[NODES];
    for (size_t i = 0; i < count; i++) {
        members[i] = member_of(world, i + 1);
    }
    tt_transport_set_peers(world->nodes[id].transport, members, count);
}

static void drain(struct world *world)
{
    for (uint64_t id = 1; id <= NODES; id++) {
        if (world->nodes[id].box != NULL) {
            (void)tt_mailbox_drain(world->nodes[id].box);
        }
    }
}

#define WAIT_UNTIL(world, condition)                                                               \
    do {                                                                                           \
        uint64_t end_ms_ = tt_clock_ms(tt_clock_real()) + WAIT_MS;                                 \
        while (!(condition) && tt_clock_ms(tt_clock_real()) < end_ms_) {                           \
            drain(world);                                                                          \
            uv_sleep(1);                                                                           \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void node_down(struct world *world, uint64_t id)
{
    struct node *node = &world->nodes[id];
    if (node->transport != NULL) {
        tt_transport_stop(node->transport, on_stopped, node);
        WAIT_UNTIL(world, node->stopped);
    }
}

static void send_text(struct world *world, uint64_t from, uint64_t to, uint64_t value)
{
    uint8_t text[16];
    tt_le64_put(text, value);
    tt_le64_put(text + 8, ~value);
    struct tt_bytes *parts[2] = {tt_bytes_new(text, 8), tt_bytes_new(text + 8, 8)};
    tt_transport_send(world->nodes[from].transport, to, TT_TRANSPORT_FAST, TEXT, parts, 2);
    tt_bytes_unref(parts[0]);
    tt_bytes_unref(parts[1]);
}

static void send_blob(struct world *world, uint64_t from, uint64_t to,
                      enum tt_transport_channel channel, size_t size)
{
    uint8_t *data = NULL;
    struct tt_bytes *part = tt_bytes_new_uninit(size, &data);
    memset(data, 'b', size);
    tt_transport_send(world->nodes[from].transport, to, channel, BLOB, &part, 1);
    tt_bytes_unref(part);
}

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    fixture_up(&world->fixture);
    for (unsigned id = 1; id <= NODES; id++) {
        char name[16];
        char paths[3][FIXTURE_PATH_SIZE];
        struct tt_err err;
        (void)snprintf(name, sizeof name, "s%u", id);
        world->port_fds[id] = kept_port(&world->ports[id]);
        world->disks[id] = tt_disk_memory_new();
        assert_int_equal(tt_disk_mkdir(tt_disk_memory_disk(world->disks[id]), "member", NULL), 0);
        fixture_issue(&world->fixture, world->fixture.ca,
                      &(struct tt_pki_subject){.role = TT_IDENTITY_SERVER, .name = name}, name);
        for (int server = 0; server < 2; server++) {
            struct tt_tls_config config = fixture_config(server == 1, paths, &world->fixture, name);
            config.alpn = TT_TRANSPORT_ALPN;
            tt_err_init(&err);
            fixture_must(
                tt_tls_context_new(
                    &config, server == 1 ? &world->server_tls[id] : &world->client_tls[id], &err),
                &err);
        }
    }
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    for (uint64_t id = 1; id <= NODES; id++) {
        node_down(world, id);
        if (world->nodes[id].box != NULL) {
            tt_mailbox_close(world->nodes[id].box);
            (void)tt_mailbox_drain(world->nodes[id].box);
            tt_mailbox_free(world->nodes[id].box);
            world->nodes[id].box = NULL;
        }
        tt_tls_context_unref(world->server_tls[id]);
        tt_tls_context_unref(world->client_tls[id]);
        tt_disk_memory_free(world->disks[id]);
        (void)close(world->port_fds[id]);
    }
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

static bool all_reachable(const struct world *world, size_t count)
{
    bool all = true;
    for (uint64_t id = 1; id <= count; id++) {
        for (uint64_t peer = 1; peer <= count; peer++) {
            all = all && (peer == id || world->nodes[id].reachable[peer]);
        }
    }
    return all;
}

/* All of 1..count up, knowing and reaching each other. */
static void cluster_up(struct world *world, size_t count)
{
    for (uint64_t id = 1; id <= count; id++) {
        node_up(world, id);
    }
    for (uint64_t id = 1; id <= count; id++) {
        node_knows(world, id, count);
    }
    WAIT_UNTIL(world, all_reachable(world, count));
}

static void three_servers_reach_each_other_in_order(void **state)
{
    enum { COUNT = 2000 };
    struct world *world = *state;
    cluster_up(world, 3);
    for (uint64_t value = 1; value <= COUNT; value++) {
        send_text(world, 1, 2, value);
        send_text(world, 2, 3, value);
        send_text(world, 3, 1, value);
    }
    for (uint64_t id = 1; id <= 3; id++) {
        WAIT_UNTIL(world, world->nodes[id].text_count == COUNT);
        assert_true(world->nodes[id].in_order);
    }
}

static void the_largest_frame_arrives_whole(void **state)
{
    struct world *world = *state;
    cluster_up(world, 2);
    send_blob(world, 1, 2, TT_TRANSPORT_FAST, TT_TRANSPORT_FRAME_SIZE_MAX);
    send_blob(world, 1, 2, TT_TRANSPORT_BULK, TT_TRANSPORT_FRAME_SIZE_MAX);
    send_blob(world, 1, 2, TT_TRANSPORT_FAST, 0);
    WAIT_UNTIL(world, world->nodes[2].blob_count == 3);
    assert_int_equal(world->nodes[2].blob_size, 2 * TT_TRANSPORT_FRAME_SIZE_MAX);
}

static void snapshot_pieces_do_not_delay_a_heartbeat(void **state)
{
    enum { PIECES = 24, PIECE_SIZE = 512 << 10 };
    struct world *world = *state;
    world->tweak.receive_window_size = 256 << 10; /* each piece waits for the core's confirmation */
    cluster_up(world, 2);
    for (int i = 0; i < PIECES; i++) {
        send_blob(world, 1, 2, TT_TRANSPORT_BULK, PIECE_SIZE);
    }
    send_text(world, 1, 2, 1);
    WAIT_UNTIL(world, world->nodes[2].text_count == 1);
    assert_true(world->nodes[2].blobs_before_text < PIECES / 2);
    WAIT_UNTIL(world, world->nodes[2].blob_count == PIECES);
}

/* Node 2's core stops draining: node 1 must neither block nor grow. */
static void a_hung_peer_costs_a_bounded_queue(void **state)
{
    enum { QUEUE_SIZE = 2 << 20, WINDOW_SIZE = 1 << 20 };
    struct world *world = *state;
    world->tweak.queue_size_max = QUEUE_SIZE;
    world->tweak.receive_window_size = WINDOW_SIZE;
    cluster_up(world, 2);
    struct node *sender = &world->nodes[1];
    uint64_t end_ms = tt_clock_ms(tt_clock_real()) + WAIT_MS;
    /* Until a second report tells of more: the queue may overflow before the window is full, but
     * not a report's second long. */
    uint64_t first_count = 0;
    while ((first_count == 0 || sender->stats.overflow_count == first_count) &&
           tt_clock_ms(tt_clock_real()) < end_ms) {
        first_count = first_count == 0 ? sender->stats.overflow_count : first_count;
        send_blob(world, 1, 2, TT_TRANSPORT_FAST, PART_SIZE);
        (void)tt_mailbox_drain(sender->box);
        uv_sleep(1);
    }
    assert_true(sender->stats.overflow_count > 1);
    assert_true(sender->stats.queued_size_peak <= QUEUE_SIZE);
    assert_true(sender->stats.dropped_count >= 1);
    assert_int_equal(world->nodes[2].blob_count, 0);
    (void)tt_mailbox_drain(world->nodes[2].box); /* all that its memory had to hold */
    assert_true(world->nodes[2].blob_size >= WINDOW_SIZE - PART_SIZE);
    assert_true(world->nodes[2].blob_size <= WINDOW_SIZE + PART_SIZE);
    /* Awake again: it recovers. What is sent before that may be lost. */
    end_ms = tt_clock_ms(tt_clock_real()) + WAIT_MS;
    while (world->nodes[2].text_count == 0 && tt_clock_ms(tt_clock_real()) < end_ms) {
        send_text(world, 1, 2, 1);
        drain(world);
        uv_sleep(1);
    }
    assert_true(world->nodes[2].text_count >= 1);
}

static void send_pieces(struct world *world, struct tt_bytes *piece, size_t count)
{
    struct tt_bytes *parts[TT_TRANSPORT_PARTS_MAX];
    for (size_t i = 0; i < count; i++) {
        parts[i] = piece;
    }
    tt_transport_send(world->nodes[1].transport, 2, TT_TRANSPORT_FAST, BLOB, parts, count);
}

/* Shared or not: what a peer may make us keep is counted by what is to be sent to it. */
static void every_piece_counts_in_the_queue(void **state)
{
    enum { QUEUE_SIZE = 1 << 20, MOST = QUEUE_SIZE / PART_SIZE };
    struct world *world = *state;
    uint8_t *data = NULL;
    struct tt_bytes *piece = tt_bytes_new_uninit(PART_SIZE, &data);
    memset(data, 'p', PART_SIZE);
    world->tweak.queue_size_max = QUEUE_SIZE;
    cluster_up(world, 2);
    send_pieces(world, piece, MOST - 1);
    WAIT_UNTIL(world, world->nodes[2].blob_count == 1);
    assert_int_equal(world->nodes[2].blob_size, (MOST - 1) * PART_SIZE);
    send_pieces(world, piece, MOST);
    WAIT_UNTIL(world, world->nodes[1].stats.overflow_count == 1);
    assert_int_equal(world->nodes[2].blob_count, 1);
    tt_bytes_unref(piece);
}

static void a_restarted_peer_is_dialled_again(void **state)
{
    struct world *world = *state;
    cluster_up(world, 2);
    node_down(world, 2);
    WAIT_UNTIL(world, !world->nodes[1].reachable[2]);
    WAIT_UNTIL(world, world->nodes[1].absent[2]); /* and it is seen that nobody listens */
    node_up(world, 2);
    node_knows(world, 2, 2);
    WAIT_UNTIL(world, world->nodes[1].reachable[2] && world->nodes[2].reachable[1]);
    assert_false(world->nodes[1].absent[2]);
    send_text(world, 1, 2, 7);
    WAIT_UNTIL(world, world->nodes[2].last_value == 7);
}

/* Node 1 would wait for half a minute at least; node 2 reaches it and so is up. */
static void a_peer_that_reaches_us_is_dialled_at_once(void **state)
{
    struct world *world = *state;
    world->tweak.backoff_ms_min = 60000;
    world->tweak.backoff_ms_max = 60000;
    cluster_up(world, 2);
    node_down(world, 2);
    WAIT_UNTIL(world, !world->nodes[1].reachable[2]);
    node_up(world, 2);
    node_knows(world, 2, 2);
    WAIT_UNTIL(world, world->nodes[1].reachable[2]);
}

/* Node 1 says it is member 3, but its certificate names s1. */
static void a_member_id_that_is_not_in_the_certificate_is_refused(void **state)
{
    struct world *world = *state;
    node_up_as(world, 1, 3);
    node_up(world, 2);
    world->nodes[3].port = world->nodes[1].port;
    struct tt_member member = member_of(world, 2);
    tt_transport_set_peers(world->nodes[1].transport, &member, 1);
    node_knows(world, 2, 3);
    send_text(world, 1, 2, 1);
    WAIT_UNTIL(world, world->nodes[2].stats.refused_count >= 1);
    assert_int_equal(world->nodes[2].text_count, 0);
    assert_false(world->nodes[1].reachable[2]);
    world->nodes[3].port = 0;
}

/* The table says that member 2 is s2, but at its address answers s3. */
static void a_peer_of_another_name_is_not_talked_to(void **state)
{
    struct world *world = *state;
    node_up(world, 1);
    node_up(world, 3);
    world->nodes[2].port = world->nodes[3].port;
    struct tt_member member = member_of(world, 2);
    tt_transport_set_peers(world->nodes[1].transport, &member, 1);
    struct tt_member first = member_of(world, 1);
    tt_transport_set_peers(world->nodes[3].transport, &first, 1);
    /* 3 reaches 1 only if 1 knew it: it does not, so that is refused as well. */
    WAIT_UNTIL(world, world->nodes[1].stats.refused_count >= 1);
    assert_false(world->nodes[1].reachable[2]);
    assert_false(world->nodes[3].reachable[1]);
    assert_int_equal(world->nodes[1].stats.connect_count, 0);
    world->nodes[2].port = 0;
}

/* By server 1: a configuration of the first servers. */
static void commit(struct world *world, uint64_t index, size_t count)
{
    struct tt_membership membership = {.count = count};
    for (size_t i = 0; i < count; i++) {
        membership.members[i] = member_of(world, i + 1);
    }
    tt_transport_set_committed(world->nodes[1].transport, index, &membership);
}

static void a_removed_member_is_cut_off_and_told_once_that_is_committed(void **state)
{
    struct world *world = *state;
    cluster_up(world, 3);
    commit(world, 1, 3);
    node_knows(world, 1, 2); /* its newest configuration is without 3, but not committed */
    WAIT_UNTIL(world, !world->nodes[3].reachable[1] && !world->nodes[1].reachable[3]);
    WAIT_UNTIL(world, world->nodes[1].stats.refused_count > 1);
    assert_int_equal(world->nodes[3].removed_index, 0);
    commit(world, 77, 2);
    WAIT_UNTIL(world, world->nodes[3].removed_index == 77);
    send_text(world, 1, 2, 5);
    WAIT_UNTIL(world, world->nodes[2].last_value == 5);
    assert_true(world->nodes[1].reachable[2] && world->nodes[2].removed_index == 0);
}

/* After a restart the removed one seems to be newer, and is taken in until more is committed. */
static void a_removed_member_is_told_after_a_restart_too(void **state)
{
    struct world *world = *state;
    node_up(world, 1);
    node_up(world, 3);
    node_knows(world, 1, 2);
    node_knows(world, 3, 3);
    WAIT_UNTIL(world, world->nodes[3].reachable[1]);
    commit(world, 77, 2);
    WAIT_UNTIL(world, world->nodes[3].removed_index == 77);
    assert_false(world->nodes[1].reachable[3]);
}

static void a_revoked_peer_is_cut_off_at_once(void **state)
{
    struct world *world = *state;
    char path[FIXTURE_PATH_SIZE];
    struct tt_pki_info info;
    struct tt_err err;
    TT_AUTO_BUF struct tt_buf pem = {0};
    tt_err_init(&err);
    cluster_up(world, 3);
    fixture_must(tt_file_read(fixture_path(&world->fixture, "s3.crt", path), TT_PKI_PEM_SIZE_MAX,
                              &pem, &err),
                 &err);
    fixture_must(tt_pki_cert_info(tt_buf_view(&pem), &info, &err), &err);
    const struct tt_revocation revoked = {.id = tt_str_c(info.identity.serial)};
    tt_tls_context_revoke(world->server_tls[1], "", &revoked, 1);
    tt_tls_context_revoke(world->client_tls[1], "", &revoked, 1);
    tt_transport_recheck(world->nodes[1].transport);
    WAIT_UNTIL(world, !world->nodes[1].reachable[3] && !world->nodes[3].reachable[1]);
    WAIT_UNTIL(world, world->nodes[1].stats.cut_count >= 2);
    assert_true(world->nodes[1].reachable[2]);
    tt_tls_context_revoke(world->server_tls[1], "", NULL, 0);
    tt_tls_context_revoke(world->client_tls[1], "", NULL, 0);
    WAIT_UNTIL(world, world->nodes[1].reachable[3] && world->nodes[3].reachable[1]);
}

/* The id, name and certificate are right, the directory is not the one the others know. */
static void a_member_that_lost_its_memory_is_refused_and_told(void **state)
{
    struct world *world = *state;
    cluster_up(world, 3);
    node_down(world, 3);
    WAIT_UNTIL(world, !world->nodes[1].reachable[3] && !world->nodes[2].reachable[3]);
    tt_disk_memory_free(world->disks[3]);
    world->disks[3] = tt_disk_memory_new();
    assert_int_equal(tt_disk_mkdir(tt_disk_memory_disk(world->disks[3]), "member", NULL), 0);
    world->tweak.incarnation = 999;
    node_up(world, 3);
    node_knows(world, 3, 3);
    WAIT_UNTIL(world, world->nodes[3].disowned_by != 0);
    WAIT_UNTIL(world,
               world->nodes[1].stats.refused_count + world->nodes[2].stats.refused_count > 0);
    send_text(world, 3, 1, 1);
    send_text(world, 1, 3, 1);
    send_text(world, 1, 2, 1);
    WAIT_UNTIL(world, world->nodes[2].text_count == 1);
    assert_false(world->nodes[1].reachable[3] || world->nodes[3].reachable[1]);
    assert_int_equal(world->nodes[1].text_count + world->nodes[3].text_count, 0);
    /* The true one is taken back. */
    node_down(world, 3);
    world->tweak.incarnation = 0;
    node_up(world, 3);
    node_knows(world, 3, 3);
    WAIT_UNTIL(world, all_reachable(world, 3));
    assert_int_equal(world->nodes[3].disowned_by, 0);
}

/* Both sides remember across a restart of either. */
static void who_a_member_is_outlives_a_restart_of_those_who_met_it(void **state)
{
    struct world *world = *state;
    cluster_up(world, 2);
    node_down(world, 1);
    node_down(world, 2);
    node_up(world, 1);
    node_knows(world, 1, 2);
    world->tweak.incarnation = 999;
    node_up(world, 2);
    node_knows(world, 2, 2);
    WAIT_UNTIL(world, world->nodes[2].disowned_by == 1);
    assert_false(world->nodes[1].reachable[2]);
}

/* ---- a hand-made peer ---------------------------------------------------------------------- */

static void raw_connect(struct world *world, struct end *end, uint64_t id)
{
    struct tt_err err;
    tt_err_init(&err);
    *end = (struct end){.fixture = &world->fixture};
    struct tt_tls_stream_config config = end_config(end, world->client_tls[id]);
    fixture_must(
        tt_tls_stream_connect(&config, "127.0.0.1", world->nodes[1].port, &end->stream, &err),
        &err);
}

static void raw_frame(struct end *end, uint8_t type, struct tt_bytes *payload, bool corrupt)
{
    uint8_t header[TT_FRAME_HEADER_SIZE];
    tt_frame_header(header, type, &payload, 1);
    header[11] ^= corrupt ? 1 : 0;
    assert_int_equal(tt_tls_stream_write(end->stream, tt_str((char *)header, sizeof header)), 0);
    assert_int_equal(
        tt_tls_stream_write(end->stream, tt_str((const char *)payload->ptr, payload->size)), 0);
    tt_tls_stream_flush(end->stream);
    tt_bytes_unref(payload);
}

static struct tt_bytes *raw_hello(uint64_t from, uint64_t to)
{
    struct tt_hello hello = {.from = from, .to = to, .channel = TT_TRANSPORT_FAST};
    hello.from_incarnation = 100 + from;
    (void)snprintf(hello.cluster_id, sizeof hello.cluster_id, "%s", CLUSTER_ID);
    return tt_hello_encode(&hello);
}

static bool end_is_closed(void *ctx)
{
    return ((struct end *)ctx)->closed;
}

static bool end_has_data(void *ctx)
{
    return ((struct end *)ctx)->received_size > 0 || ((struct end *)ctx)->closed;
}

static void raw_world(struct world *world)
{
    node_up(world, 1);
    world->nodes[2].port = 1; /* nobody listens there: only incoming connections matter */
    node_knows(world, 1, 2);
    world->nodes[2].port = 0;
}

static void a_corrupt_frame_closes_the_connection(void **state)
{
    struct world *world = *state;
    struct end end;
    uint8_t eight[8] = {1};
    raw_world(world);
    raw_connect(world, &end, 2);
    raw_frame(&end, TT_FRAME_HELLO, raw_hello(2, 1), false);
    assert_true(fixture_turn_until(&world->fixture, end_has_data, &end)); /* accepted */
    assert_false(end.closed);
    raw_frame(&end, TEXT, tt_bytes_new(eight, sizeof eight), false);
    WAIT_UNTIL(world, world->nodes[1].text_count == 1);
    raw_frame(&end, TEXT, tt_bytes_new(eight, sizeof eight), true);
    assert_true(fixture_turn_until(&world->fixture, end_is_closed, &end));
    drain(world);
    assert_int_equal(world->nodes[1].text_count, 1);
    WAIT_UNTIL(world, world->nodes[1].stats.invalid_count == 1);
}

static void an_oversized_frame_closes_the_connection(void **state)
{
    struct world *world = *state;
    struct end end;
    uint8_t header[TT_FRAME_HEADER_SIZE] = {0};
    raw_world(world);
    raw_connect(world, &end, 2);
    raw_frame(&end, TT_FRAME_HELLO, raw_hello(2, 1), false);
    assert_true(fixture_turn_until(&world->fixture, end_has_data, &end));
    tt_le32_put(header, TT_TRANSPORT_FRAME_SIZE_MAX + 1);
    header[4] = TEXT;
    assert_int_equal(tt_tls_stream_write(end.stream, tt_str((char *)header, sizeof header)), 0);
    tt_tls_stream_flush(end.stream);
    assert_true(fixture_turn_until(&world->fixture, end_is_closed, &end));
}

static void newer_servers_are_taken_in_and_removed_ones_are_not(void **state)
{
    struct world *world = *state;
    node_up(world, 1);
    node_up(world, 2);
    node_knows(world, 1, 1); /* itself: 2 joined while it was away */
    node_knows(world, 2, 2);
    WAIT_UNTIL(world, all_reachable(world, 2));
    send_text(world, 1, 2, 1);
    send_text(world, 2, 1, 1);
    WAIT_UNTIL(world, world->nodes[1].text_count == 1 && world->nodes[2].text_count == 1);
    struct tt_member without[] = {member_of(world, 1), {.id = 3, .name = "s3"}};
    tt_transport_set_peers(world->nodes[1].transport, without, 2);
    WAIT_UNTIL(world, !world->nodes[1].reachable[2] && !world->nodes[2].reachable[1]);
    WAIT_UNTIL(world, world->nodes[1].stats.refused_count > 0);
}

static void bad_hellos_are_refused(void **state)
{
    struct world *world = *state;
    struct {
        uint64_t from;
        uint64_t to;
        uint8_t type;
    } const cases[] = {
        {2, 9, TT_FRAME_HELLO}, /* meant for someone else */
        {1, 1, TT_FRAME_HELLO}, /* claims to be the server itself */
        {0, 1, TT_FRAME_HELLO}, /* no member */
        {2, 1, TEXT},           /* not a hello */
    };
    raw_world(world);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct end end;
        raw_connect(world, &end, 2);
        raw_frame(&end, cases[i].type, raw_hello(cases[i].from, cases[i].to), false);
        assert_true(fixture_turn_until(&world->fixture, end_is_closed, &end));
        assert_int_equal(end.received_size, 0);
    }
}

static void a_user_certificate_is_no_peer(void **state)
{
    struct world *world = *state;
    struct end end;
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_err err;
    tt_err_init(&err);
    raw_world(world);
    struct tt_tls_config config = fixture_config(false, paths, &world->fixture, "user");
    struct tt_tls_context *user = NULL;
    config.alpn = TT_TRANSPORT_ALPN;
    fixture_must(tt_tls_context_new(&config, &user, &err), &err);
    struct tt_tls_context *kept = world->client_tls[2];
    world->client_tls[2] = user;
    raw_connect(world, &end, 2);
    world->client_tls[2] = kept;
    raw_frame(&end, TT_FRAME_HELLO, raw_hello(2, 1), false);
    assert_true(fixture_turn_until(&world->fixture, end_is_closed, &end));
    assert_int_equal(end.received_size, 0);
    WAIT_UNTIL(world, world->nodes[1].stats.refused_count == 1);
    tt_tls_context_unref(user);
}

/* ---- the wire format ----------------------------------------------------------------------- */

static void frames_survive_any_split(void **state)
{
    (void)state;
    enum { FRAMES = 200, PAYLOAD_SIZE_MAX = 300 };
    uint64_t seed = tt_random_u64();
    struct tt_rng rng;
    struct tt_frame_reader reader;
    static uint8_t wire[FRAMES * (PAYLOAD_SIZE_MAX + TT_FRAME_HEADER_SIZE)];
    size_t sizes[FRAMES];
    size_t size = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    tt_rng_seed(&rng, seed);
    for (size_t i = 0; i < FRAMES; i++) {
        uint8_t *data = NULL;
        sizes[i] = tt_rng_below(&rng, PAYLOAD_SIZE_MAX);
        struct tt_bytes *part = tt_bytes_new_uninit(sizes[i], &data);
        memset(data, (int)(i & 0xff), sizes[i]);
        tt_frame_header(wire + size, TEXT, &part, 1);
        memcpy(wire + size + TT_FRAME_HEADER_SIZE, data, sizes[i]);
        size += TT_FRAME_HEADER_SIZE + sizes[i];
        tt_bytes_unref(part);
    }
    tt_frame_reader_init(&reader, PAYLOAD_SIZE_MAX);
    size_t at = 0;
    size_t seen = 0;
    while (at < size) {
        size_t step = 1 + tt_rng_below(&rng, 40);
        struct tt_str chunk = tt_str((char *)wire + at, step < size - at ? step : size - at);
        struct tt_frame frame = {0};
        at += chunk.len;
        while (tt_frame_read(&reader, &chunk, &frame, NULL) == 1) {
            assert_int_equal(frame.payload->size, sizes[seen]);
            assert_true(sizes[seen] == 0 || frame.payload->ptr[0] == (seen & 0xff));
            seen++;
            tt_bytes_unref(frame.payload);
        }
    }
    assert_int_equal(seen, FRAMES);
    tt_frame_reader_fini(&reader);
}

static void a_hello_of_another_version_is_refused(void **state)
{
    (void)state;
    struct tt_hello hello;
    struct tt_err err;
    tt_err_init(&err);
    struct tt_bytes *bytes = raw_hello(2, 1);
    assert_int_equal(tt_hello_decode(tt_bytes_view(bytes), &hello, &err), 0);
    tt_le32_put((uint8_t *)(uintptr_t)bytes->ptr, TT_HELLO_VERSION - 1);
    assert_int_equal(tt_hello_decode(tt_bytes_view(bytes), &hello, &err), TT_EPROTO);
    assert_string_equal(tt_err_cause(&err), "a hello of version 3");
    tt_bytes_unref(bytes);
}

#define TRANSPORT_TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRANSPORT_TEST(three_servers_reach_each_other_in_order),
        TRANSPORT_TEST(the_largest_frame_arrives_whole),
        TRANSPORT_TEST(snapshot_pieces_do_not_delay_a_heartbeat),
        TRANSPORT_TEST(a_hung_peer_costs_a_bounded_queue),
        TRANSPORT_TEST(every_piece_counts_in_the_queue),
        TRANSPORT_TEST(a_restarted_peer_is_dialled_again),
        TRANSPORT_TEST(a_peer_that_reaches_us_is_dialled_at_once),
        TRANSPORT_TEST(a_member_id_that_is_not_in_the_certificate_is_refused),
        TRANSPORT_TEST(a_peer_of_another_name_is_not_talked_to),
        TRANSPORT_TEST(a_removed_member_is_cut_off_and_told_once_that_is_committed),
        TRANSPORT_TEST(a_removed_member_is_told_after_a_restart_too),
        TRANSPORT_TEST(a_revoked_peer_is_cut_off_at_once),
        TRANSPORT_TEST(a_member_that_lost_its_memory_is_refused_and_told),
        TRANSPORT_TEST(who_a_member_is_outlives_a_restart_of_those_who_met_it),
        TRANSPORT_TEST(a_corrupt_frame_closes_the_connection),
        TRANSPORT_TEST(an_oversized_frame_closes_the_connection),
        TRANSPORT_TEST(newer_servers_are_taken_in_and_removed_ones_are_not),
        TRANSPORT_TEST(bad_hellos_are_refused),
        TRANSPORT_TEST(a_user_certificate_is_no_peer),
        cmocka_unit_test(a_hello_of_another_version_is_refused),
        cmocka_unit_test(frames_survive_any_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

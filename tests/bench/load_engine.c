/* Phases: prepare (write the objects, open the watches) → warm-up → measure → drain.
 *
 * Closed loop: as many operations as asked for are kept in flight, topped up once per turn. Open
 * loop: operations start when they are due, whatever is in flight, and their latency counts from
 * then, so that a stalled server is not flattered. With watches, the latencies are those from the
 * start of a write to its event at a watcher.
 *
 * What is measured is one window, or several without a gap between them (--windows). A window is
 * made of seconds, each with a percentile of its own, so that a short bad time can be seen.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/bench/load.h"

enum {
    EVENTS_MAX = 256,
    PREPARE_IN_FLIGHT = 64,
    IN_FLIGHT_MAX = 20000,
    BODY_MAX = 4 << 20,
    PATH_MAX_SIZE = 256,
    TURN_NS_MAX = 20 * 1000 * 1000,
    SET_UP_S_MAX = 300,
    DRAIN_S_MAX = 5,
    ERRORS_MAX = 100000
};
#define NS_PER_S UINT64_C(1000000000)

uint64_t load_now(void)
{
    return tt_clock_ns(tt_clock_real());
}

void load_number(struct tt_buf *out, uint64_t number)
{
    char digits[LOAD_NUMBER_DIGITS];
    for (size_t i = LOAD_NUMBER_DIGITS; i-- > 0; number /= 10) {
        digits[i] = (char)('0' + number % 10);
    }
    TT_ASSERT(number == 0);
    tt_buf_append(out, digits, sizeof digits);
}

void load_mark(struct tt_buf *out, uint64_t ns)
{
    char mark[LOAD_MARK_SIZE] = "@t=";
    char digits[LOAD_MARK_DIGITS + 1];
    uint64_t big_endian = htobe64(ns);
    (void)tt_hex_encode(&big_endian, sizeof big_endian, digits);
    memcpy(mark + LOAD_MARK_AT, digits, LOAD_MARK_DIGITS);
    mark[LOAD_MARK_SIZE - 1] = '@';
    tt_buf_append(out, mark, sizeof mark);
}

/* Sixteen bytes that are worked on at once; a comparison gives 0xff or 0 in each. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Six bits of each random byte choose one of the 64 characters, by sums and comparisons: a table
 * would be asked for one byte at a time. */
static bytes16 to_base64(bytes16 random)
{
    bytes16 six = random & 63;
    bytes16 c = six + 'A';
    c += (bytes16)(six > 25) & ('a' - 'Z' - 1);
    c -= (bytes16)(six > 51) & ('z' + 1 - '0');
    c -= (bytes16)(six > 61) & ('9' + 1 - '+');
    c += (bytes16)(six > 62) & ('/' - '+' - 1);
    return c;
}

void load_pad(struct load *load, char *out, size_t size)
{
    enum { BLOCKS = 16 };
    bytes16 block[BLOCKS];
    for (size_t done = 0; done < size; done += sizeof block) {
        tt_rng_fill(&load->rng, block, sizeof block);
        for (size_t i = 0; i < BLOCKS; i++) {
            block[i] = to_base64(block[i]);
        }
        memcpy(out + done, block, size - done < sizeof block ? size - done : sizeof block);
    }
}

size_t load_body_size(const struct load_op *op)
{
    return op->body.len + op->pad_size + op->end.len;
}

void load_body_take(struct load *load, struct load_op *op, char *out, size_t size)
{
    TT_ASSERT(size <= load_body_size(op) - op->body_sent);
    struct tt_str head = tt_str_head(tt_str_skip(tt_buf_view(&op->body), op->body_sent), size);
    size_t skipped = op->body.len + op->pad_size; /* before the end */
    size_t to = op->body_sent + size;
    size_t tail_from = op->body_sent > skipped ? op->body_sent - skipped : 0;
    size_t tail = to > skipped ? to - skipped - tail_from : 0;
    size_t pad = size - head.len - tail;
    if (head.len > 0) {
        memcpy(out, head.ptr, head.len);
    }
    load_pad(load, out + head.len, pad);
    if (tail > 0) {
        memcpy(out + head.len + pad, op->end.ptr + tail_from, tail);
    }
    op->body_sent = to;
}

static struct load_op *op_new(struct load *load, enum load_kind kind)
{
    struct load_op *op = load->free_ops;
    if (op) {
        load->free_ops = op->next_free;
    } else {
        op = TT_NEW(struct load_op);
        tt_buf_init(&op->body, BODY_MAX);
        tt_buf_init(&op->path, PATH_MAX_SIZE);
    }
    tt_buf_reset(&op->body);
    tt_buf_reset(&op->path);
    op->kind = kind;
    op->pad_size = 0;
    op->end = TT_STR_NONE;
    op->body_sent = 0;
    op->status = 0;
    op->grpc_status = -1;
    op->answer_size = 0;
    op->tail_size = 0;
    return op;
}

static void op_free(struct load *load, struct load_op *op)
{
    op->next_free = load->free_ops;
    load->free_ops = op;
}

/* The next living connection of [first, first + count); NULL: none. */
static struct load_conn *pick(struct load *load, size_t first, size_t count, uint32_t *cursor)
{
    for (size_t i = 0; i < count; i++) {
        struct load_conn *conn = &load->conns[first + (*cursor)++ % count];
        if (conn->fd >= 0) {
            return conn;
        }
    }
    return NULL;
}

static bool start_op(struct load *load, uint64_t start_ns)
{
    struct load_conn *conn = pick(load, 0, load->options.connections, &load->next_conn);
    if (!conn) {
        return false;
    }
    struct load_op *op = op_new(load, LOAD_OP);
    op->start_ns = start_ns;
    op->sequence = load->sequence++;
    if (load->phase == LOAD_PREPARE) {
        load->options.mode->build_prepare(load, op);
    } else {
        load->options.mode->build(load, op);
    }
    load->in_flight++;
    load_conn_submit(conn, op);
    return true;
}

static bool start_watch(struct load *load)
{
    size_t first = load->options.connections;
    struct load_conn *conn = pick(load, first, load->conn_count - first, &load->next_watch_conn);
    if (!conn) {
        return false;
    }
    struct load_op *op = op_new(load, LOAD_WATCH);
    load->options.mode->build_watch(load, op);
    load->watches_open++;
    load_conn_submit(conn, op);
    return true;
}

static void count_failure(struct load *load, const struct load_op *op, bool was_cut)
{
    load->errors++;
    if (load->first_error[0] == '\0') {
        (void)snprintf(load->first_error, sizeof load->first_error, "%.100s: status %d grpc %d%s",
                       op->path.ptr, op->status, op->grpc_status, was_cut ? " (cut)" : "");
    }
}

static void watch_done(struct load *load, const struct load_op *op)
{
    load->watches_open--;
    if (load->phase != LOAD_DRAIN) {
        load->watches_lost++;
        if (op->status != 200) {
            count_failure(load, op, true);
        }
    }
}

static void add_latency(struct load *load, uint64_t ns)
{
    load_hist_add(&load->hist, ns);
    load_hist_add(&load->second, ns);
}

static void op_succeeded(struct load *load, const struct load_op *op, uint64_t now)
{
    load->answer_bytes = op->answer_size;
    if (load->phase == LOAD_PREPARE) {
        load->prepared++;
        return;
    }
    if (load->phase != LOAD_MEASURE) {
        return;
    }
    load->done++;
    if (!load->options.mode->is_watch) {
        add_latency(load, now > op->start_ns ? now - op->start_ns : 0);
    }
    uint64_t gap = now - load->last_ok_ns;
    load->gap_ns_max = gap > load->gap_ns_max ? gap : load->gap_ns_max;
    load->last_ok_ns = now;
}

void load_op_done(struct load_op *op, bool was_cut)
{
    struct load *load = op->conn->load;
    if (op->kind == LOAD_WATCH) {
        watch_done(load, op);
    } else {
        load->in_flight--;
        bool exists = load->phase == LOAD_PREPARE && op->status == 409;
        if (!was_cut && (exists || load->options.mode->is_ok(op))) {
            op_succeeded(load, op, load_now());
        } else if (load->phase != LOAD_DRAIN) {
            count_failure(load, op, was_cut);
        }
    }
    op_free(load, op);
}

/* ---- watch events ---- */

static void take_mark(struct load *load, const char *mark)
{
    uint64_t began = 0;
    for (size_t i = LOAD_MARK_AT; i < LOAD_MARK_AT + LOAD_MARK_DIGITS; i++) {
        char c = mark[i];
        began = began << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    bool counts = load->phase == LOAD_MEASURE || load->phase == LOAD_DRAIN; /* late ones, too */
    if (counts && began >= load->measure_ns) {
        load->events++;
        add_latency(load, load_now() - began);
    }
}

static void scan(struct load *load, struct tt_str bytes)
{
    ptrdiff_t at;
    while ((at = tt_str_find_str(bytes, TT_STR("@t="))) >= 0) {
        bytes = tt_str_skip(bytes, (size_t)at);
        if (bytes.len < LOAD_MARK_SIZE) {
            return;
        }
        if (bytes.ptr[LOAD_MARK_SIZE - 1] == '@') {
            take_mark(load, bytes.ptr);
        }
        bytes = tt_str_skip(bytes, LOAD_MARK_SIZE);
    }
}

/* A mark may lie across two pieces: the end of the last piece is kept, one byte short of a mark. */
void load_watch_data(struct load_op *op, struct tt_str bytes)
{
    struct load *load = op->conn->load;
    if (op->tail_size > 0) {
        char joint[2 * LOAD_MARK_SIZE];
        struct tt_str head = tt_str_head(bytes, LOAD_MARK_SIZE - 1);
        memcpy(joint, op->tail, op->tail_size);
        memcpy(joint + op->tail_size, head.ptr, head.len);
        scan(load, tt_str(joint, op->tail_size + head.len));
    }
    scan(load, bytes);
    op->tail_size = bytes.len < LOAD_MARK_SIZE - 1 ? bytes.len : LOAD_MARK_SIZE - 1;
    memcpy(op->tail, bytes.ptr + bytes.len - op->tail_size, op->tail_size);
}

/* ---- the loop ---- */

static void top_up(struct load *load, uint64_t now)
{
    const struct load_options *options = &load->options;
    if (load->phase == LOAD_PREPARE) {
        while (load->in_flight < PREPARE_IN_FLIGHT && load->sequence < options->objects &&
               start_op(load, now)) {
        }
        return;
    }
    if (load->phase == LOAD_DRAIN) {
        return;
    }
    if (options->rate <= 0) {
        while (load->in_flight < options->outstanding && start_op(load, now)) {
        }
        return;
    }
    while (load->due_ns <= now) {
        if (load->in_flight >= IN_FLIGHT_MAX || !start_op(load, load->due_ns)) {
            load->skipped++;
        }
        load->due_ns += (uint64_t)((double)NS_PER_S / options->rate);
    }
}

static void keep_watches(struct load *load)
{
    while (load->phase != LOAD_DRAIN && load->watches_open < load->options.watchers &&
           load->errors < ERRORS_MAX && start_watch(load)) {
    }
}

static void reopen(struct load *load, uint64_t now)
{
    for (size_t i = 0; i < load->conn_count; i++) {
        struct load_conn *conn = &load->conns[i];
        if (conn->fd < 0 && now >= conn->retry_ns) {
            if (load_conn_open(conn, NULL) < 0) {
                conn->retry_ns = now + NS_PER_S / 10;
            }
        }
    }
}

/* Whatever comes asks for the end of the window. */
static void take_input(struct load *load)
{
    char bytes[64];
    if (read(STDIN_FILENO, bytes, sizeof bytes) > 0) {
        load->window_asked = true;
        return;
    }
    load->input_ended = true;
    (void)epoll_ctl(load->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL); /* it is registered */
}

static void turn(struct load *load, bool with_watches)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = load_now();
    reopen(load, now);
    if (with_watches) {
        keep_watches(load);
    }
    top_up(load, now);
    for (size_t i = 0; i < load->conn_count; i++) {
        if (load->conns[i].is_dirty) {
            load_conn_flush(&load->conns[i]);
        }
    }
    bool is_paced =
        load->options.rate > 0 && load->phase != LOAD_PREPARE && load->phase != LOAD_DRAIN;
    uint64_t wait = TURN_NS_MAX;
    if (is_paced && load->due_ns < now + TURN_NS_MAX) {
        wait = load->due_ns > now ? load->due_ns - now : 0;
    }
    struct timespec timeout = {.tv_nsec = (long)wait};
    int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        struct load_conn *conn = events[i].data.ptr;
        if (!conn) {
            take_input(load);
            continue;
        }
        if (events[i].events & EPOLLOUT) {
            conn->is_dirty = true;
        }
        if (events[i].events & ~(uint32_t)EPOLLOUT) {
            load_conn_read(conn);
        }
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void second_begin(struct load *load, uint64_t now)
{
    memset(&load->second, 0, sizeof load->second);
    load->second_ns = now;
}

static void second_end(struct load *load)
{
    if (load->second_count < LOAD_SECONDS_MAX) {
        load->second_p99_ns[load->second_count++] = load_hist_quantile(&load->second, 0.99);
    }
    second_begin(load, load->second_ns + NS_PER_S);
}

static void window_begin(struct load *load, uint64_t now)
{
    load->measure_ns = now;
    load->cpu_begin_s = cpu_seconds();
    load->done = 0;
    load->errors = 0;
    load->skipped = 0;
    load->gap_ns_max = 0;
    load->first_error[0] = '\0';
    memset(&load->hist, 0, sizeof load->hist);
    load->second_count = 0;
    second_begin(load, now);
}

static void window_end(struct load *load, uint64_t now)
{
    uint64_t gap = now - load->last_ok_ns;
    load->gap_ns_max = gap > load->gap_ns_max ? gap : load->gap_ns_max;
    load->cpu_s = cpu_seconds() - load->cpu_begin_s;
    load->measured_s = (double)(now - load->measure_ns) / (double)NS_PER_S;
}

static bool is_over(const struct load *load, uint64_t end)
{
    return load_now() >= end || load->errors >= ERRORS_MAX || load->input_ended;
}

static void warm_up(struct load *load)
{
    uint64_t end = load_now() + (uint64_t)(load->options.warmup_s * (double)NS_PER_S);
    load->phase = LOAD_WARMUP;
    while (!is_over(load, end)) {
        turn(load, load->options.mode->is_watch);
    }
}

static void measure(struct load *load)
{
    uint64_t now = load_now();
    uint64_t end = now + (uint64_t)(load->options.seconds * (double)NS_PER_S);
    load->phase = LOAD_MEASURE;
    load->last_ok_ns = now;
    window_begin(load, now);
    while (!is_over(load, end)) {
        turn(load, load->options.mode->is_watch);
        now = load_now();
        if (now < load->second_ns + NS_PER_S) {
            continue;
        }
        second_end(load);
        if (load->window_asked) {
            load->window_asked = false;
            window_end(load, now);
            load_report(load);
            window_begin(load, now);
        }
    }
    now = load_now();
    if (now >= load->second_ns + NS_PER_S / 2) {
        second_end(load); /* a good part of one */
    }
    window_end(load, now);
}

static bool watches_are_ready(const struct load *load)
{
    uint32_t ready = 0;
    for (size_t i = load->options.connections; i < load->conn_count; i++) {
        const struct load_conn *conn = &load->conns[i];
        for (const struct load_op *op = conn->ops.next; op != &conn->ops; op = op->next) {
            ready += op->status == 200 ? 1 : 0;
        }
    }
    return ready == load->options.watchers;
}

static int prepare(struct load *load, struct tt_err *err)
{
    uint64_t end = load_now() + SET_UP_S_MAX * NS_PER_S;
    load->phase = LOAD_PREPARE;
    load->prepared = load->options.prepared;
    load->sequence = load->options.prepared;
    uint64_t wanted = load->options.mode->needs_objects ? load->options.objects : 0;
    while (load->prepared < wanted) {
        bool is_stuck = load->sequence == load->options.objects && load->in_flight == 0;
        if (load_now() > end || load->errors > 0 || is_stuck) {
            return TT_FAIL(err, TT_EUNAVAILABLE, "preparation failed: %s", load->first_error);
        }
        turn(load, false);
    }
    load->sequence = 0;
    if (!load->options.mode->is_watch) {
        return 0;
    }
    load->options.objects = load->options.objects ? load->options.objects : 1;
    while (!watches_are_ready(load)) {
        if (load_now() > end || load->errors > 0) {
            return TT_FAIL(err, TT_EUNAVAILABLE, "watches failed: %s", load->first_error);
        }
        turn(load, true);
    }
    return 0;
}

static int open_all(struct load *load, struct tt_err *err)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0) {
        return TT_FAIL_ERRNO(err, errno, "epoll");
    }
    for (size_t i = 0; i < load->conn_count; i++) {
        struct load_conn *conn = &load->conns[i];
        conn->load = load;
        conn->index = i;
        conn->fd = -1;
        conn->endpoint = load->options.endpoint[i % load->options.endpoint_count];
        conn->ops.next = &conn->ops;
        conn->ops.prev = &conn->ops;
    }
    for (size_t i = 0; i < load->conn_count; i++) {
        int r = load_conn_open(&load->conns[i], err);
        if (r < 0) {
            return r;
        }
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (load->options.windows && epoll_ctl(load->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0) {
        return TT_FAIL_ERRNO(err, errno, "watch the standard input");
    }
    return 0;
}

static bool is_draining(const struct load *load)
{
    bool wants_events = load->options.mode->is_watch && load->watches_lost == 0 &&
                        load->events < load->done * load->options.watchers;
    return load->in_flight > 0 || wants_events;
}

int load_run(struct load *load, struct tt_err *err)
{
    int r = open_all(load, err);
    if (r == 0) {
        r = prepare(load, err);
    }
    if (r < 0) {
        return r;
    }
    load->due_ns = load_now();
    warm_up(load);
    measure(load);
    load->phase = LOAD_DRAIN;
    uint64_t end = load_now() + DRAIN_S_MAX * NS_PER_S;
    while (is_draining(load) && load_now() < end) {
        turn(load, false);
    }
    return 0;
}

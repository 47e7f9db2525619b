/* The load client: closed or open loop over HTTP/2 and TLS against tutti's API or etcd's gRPC.
 *
 * One thread, one epoll loop, few system calls: what it costs must not hide what is measured.
 * load.c options and report · load_engine.c phases and operations · load_conn.c TLS and HTTP/2 ·
 * load_k8s.c, load_etcd.c requests · load_hist.c latencies.
 * Ownership: struct load owns everything. Thread: one. Errors: set-up errors end the program;
 * failed operations are counted, a lost connection is opened again. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"

enum {
    LOAD_ENDPOINTS_MAX = 16,
    LOAD_CONNECTIONS_MAX = 512,
    LOAD_HEADERS_MAX = 10,
    LOAD_READ_MAX = 128 << 10,
    LOAD_MARK_SIZE = 20, /* "@t=0123456789abcdef@": when a watched write began */
    LOAD_MARK_AT = 3,    /* where its digits begin */
    LOAD_MARK_DIGITS = 16,
    LOAD_NUMBER_DIGITS = 8,  /* of an object, in names, keys and paths */
    LOAD_SECONDS_MAX = 1024, /* of a window that are told one by one */
    LOAD_HIST_SUB_BITS = 6,
    LOAD_HIST_SIZE = 64 << LOAD_HIST_SUB_BITS
};

/* Log-linear histogram of nanoseconds: 64 steps per power of two, so within 1.6 %. */
struct load_hist {
    uint64_t count[LOAD_HIST_SIZE];
    uint64_t total;
    uint64_t max_ns;
};
void load_hist_add(struct load_hist *hist, uint64_t ns);
uint64_t load_hist_quantile(const struct load_hist *hist, double quantile);

struct load;
struct load_conn;

enum load_kind { LOAD_OP, LOAD_WATCH };
/* One request in flight, or one watch stream. */
struct load_op {
    struct load_op *next_free;
    struct load_conn *conn;
    enum load_kind kind;
    uint64_t start_ns;  /* closed loop: when sent; open loop: when it was due */
    uint64_t sequence;  /* number of the operation */
    struct tt_buf body; /* what is fixed of it; random characters and `end` follow */
    size_t pad_size;    /* of the random characters, drawn when they are sent */
    struct tt_str end;  /* of the body; a literal */
    size_t body_sent;   /* of all three parts */
    struct tt_buf path;
    int status;         /* HTTP */
    int grpc_status;    /* -1: none */
    size_t answer_size; /* bytes of DATA */
    int32_t stream_id;
    char tail[LOAD_MARK_SIZE]; /* watch: end of the last piece */
    size_t tail_size;
    struct load_op *prev; /* of the connection's list */
    struct load_op *next;
};

/* What one mode asks of a server. */
struct load_mode {
    const char *name;
    const char *method;
    bool is_grpc;
    bool needs_objects; /* preparation writes `objects` keys first */
    bool is_watch;
    /* Fills path and body of an operation. */
    void (*build)(struct load *load, struct load_op *op);
    void (*build_prepare)(struct load *load, struct load_op *op);
    void (*build_watch)(struct load *load, struct load_op *op);
    bool (*is_ok)(const struct load_op *op);
};
extern const struct load_mode load_modes[];
extern const size_t load_mode_count;
/* load_k8s.c, load_etcd.c */
void load_k8s_create(struct load *load, struct load_op *op);
void load_k8s_prepare(struct load *load, struct load_op *op);
void load_k8s_update(struct load *load, struct load_op *op);
void load_k8s_get(struct load *load, struct load_op *op);
void load_k8s_list(struct load *load, struct load_op *op);
void load_k8s_watch(struct load *load, struct load_op *op);
bool load_k8s_is_ok(const struct load_op *op);
void load_etcd_put(struct load *load, struct load_op *op);
void load_etcd_prepare(struct load *load, struct load_op *op);
void load_etcd_update(struct load *load, struct load_op *op);
void load_etcd_range(struct load *load, struct load_op *op);
void load_etcd_watch(struct load *load, struct load_op *op);
bool load_etcd_is_ok(const struct load_op *op);
/* `size` characters that compress like base64 of random bytes, not like one letter. */
void load_pad(struct load *load, char *out, size_t size);
size_t load_body_size(const struct load_op *op);
/* The next `size` bytes of the body, which has as many left. */
void load_body_take(struct load *load, struct load_op *op, char *out, size_t size);
void load_mark(struct tt_buf *out, uint64_t ns);       /* LOAD_MARK_SIZE characters */
void load_number(struct tt_buf *out, uint64_t number); /* LOAD_NUMBER_DIGITS, leading zeros */

struct load_options {
    const struct load_mode *mode;
    const char *endpoint[LOAD_ENDPOINTS_MAX]; /* "127.0.0.1:6443" */
    size_t endpoint_count;
    const char *ca_path;
    const char *cert_path;
    const char *key_path;
    const char *namespace;
    const char *prefix; /* of names; default: random per run */
    uint32_t outstanding;
    uint32_t connections;
    uint32_t size;     /* bytes of a value or of the stored JSON */
    uint32_t objects;  /* prepared for update, get, list, range, watch */
    uint32_t prepared; /* of them are there already, from an earlier run */
    uint32_t watchers;
    uint32_t watch_streams; /* per connection */
    double rate;            /* operations per second; 0: closed loop */
    double warmup_s;
    double seconds;
    bool windows; /* standard input says where one window ends and the next begins */
};

struct load_conn {
    struct load *load;
    size_t index;
    const char *endpoint;
    int fd; /* -1: lost */
    SSL *ssl;
    nghttp2_session *session;
    char *out; /* OUT_MAX bytes */
    size_t out_size;
    size_t out_sent;
    bool is_dirty;
    bool wants_write;
    uint64_t retry_ns;  /* lost: when to connect again */
    struct load_op ops; /* list head of what is in flight */
};

enum load_phase { LOAD_PREPARE, LOAD_WARMUP, LOAD_MEASURE, LOAD_DRAIN };
struct load {
    struct load_options options;
    SSL_CTX *tls;
    nghttp2_session_callbacks *callbacks;
    int epoll;
    uint8_t *in; /* LOAD_READ_MAX bytes: what is being read */
    struct load_conn *conns;
    size_t conn_count; /* writers first, then those of watchers */
    struct load_op *free_ops;
    struct tt_buf scratch; /* a key or a number on its way into a request */
    struct tt_rng rng;
    enum load_phase phase;
    uint64_t measure_ns; /* when measuring, or this window, began */
    uint64_t sequence;   /* operations started in this phase */
    uint64_t prepared;   /* objects written */
    uint32_t in_flight;  /* operations, not watches */
    uint32_t watches_open;
    uint32_t next_conn;
    uint32_t next_watch_conn;
    uint64_t due_ns; /* open loop: the next operation */
    uint64_t done;   /* in this window */
    uint64_t errors;
    uint64_t events;       /* watch events measured */
    uint64_t watches_lost; /* opened again */
    uint64_t skipped;      /* open loop: too many in flight */
    uint64_t answer_bytes;
    uint64_t last_ok_ns;
    uint64_t gap_ns_max; /* longest time without a success while measuring */
    char first_error[160];
    struct load_hist hist;
    double measured_s;
    double cpu_s;
    double cpu_begin_s;      /* at measure_ns */
    struct load_hist second; /* the part of hist that belongs to the second under way */
    uint64_t second_ns;      /* when it began */
    uint64_t second_p99_ns[LOAD_SECONDS_MAX]; /* of the whole seconds before it */
    size_t second_count;                      /* of them */
    bool window_asked;                        /* the window ends with this second */
    bool input_ended;                         /* standard input ended: so does the run */
};

/* load.c: one line about what was measured. */
void load_report(const struct load *load);

/* load_conn.c */
int load_conn_open(struct load_conn *conn, struct tt_err *err) TT_MUST_USE;
void load_conn_lose(struct load_conn *conn, const char *why); /* fails what is in flight */
void load_conn_submit(struct load_conn *conn, struct load_op *op);
void load_conn_flush(struct load_conn *conn);
void load_conn_read(struct load_conn *conn);
int load_tls_new(struct load *load, struct tt_err *err) TT_MUST_USE;
nghttp2_session_callbacks *load_callbacks(void);

/* load_engine.c */
int load_run(struct load *load, struct tt_err *err) TT_MUST_USE;
void load_op_done(struct load_op *op, bool was_cut);
void load_watch_data(struct load_op *op, struct tt_str bytes);
uint64_t load_now(void);

#endif

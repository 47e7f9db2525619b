/* Requests to etcd: gRPC messages written by hand, for three small requests of its public protocol
 * (etcdserverpb KV and Watch; field numbers in the comments). */
#include "tests/bench/load.h"

enum { GRPC_PREFIX = 5, PREFIX_MAX = 30 };

static void put_varint(struct tt_buf *buf, uint64_t value)
{
    while (value > 127) {
        tt_buf_char(buf, (char)(value | 128));
        value >>= 7;
    }
    tt_buf_char(buf, (char)value);
}

/* A length-delimited field. */
static void put_bytes(struct tt_buf *buf, unsigned field, struct tt_str bytes)
{
    put_varint(buf, (uint64_t)field << 3 | 2);
    put_varint(buf, bytes.len);
    tt_buf_str(buf, bytes);
}

static void begin(struct load_op *op, const char *path)
{
    static const char prefix[GRPC_PREFIX];
    tt_buf_c(&op->path, path);
    tt_buf_append(&op->body, prefix, sizeof prefix);
}

static void end(struct load_op *op)
{
    size_t size = load_body_size(op) - GRPC_PREFIX;
    for (unsigned i = 0; i < 4; i++) {
        op->body.ptr[1 + i] = (char)(size >> (24 - 8 * i));
    }
}

/* Valid until the next one is made. */
static struct tt_str key_of(struct load *load, const char *kind, uint64_t number)
{
    struct tt_buf *key = &load->scratch;
    tt_buf_reset(key);
    tt_buf_str(key, TT_STR("/load/"));
    tt_buf_str(key, tt_str_head(tt_str_c(load->options.prefix), PREFIX_MAX));
    tt_buf_char(key, '/');
    tt_buf_c(key, kind);
    load_number(key, number);
    return tt_buf_view(key);
}

static void build_put(struct load *load, struct load_op *op, struct tt_str key)
{
    begin(op, "/etcdserverpb.KV/Put");
    put_bytes(&op->body, 1, key);      /* PutRequest.key */
    put_varint(&op->body, 2 << 3 | 2); /* PutRequest.value */
    put_varint(&op->body, load->options.size);
    size_t mark_size = load->options.size < LOAD_MARK_SIZE ? 0 : LOAD_MARK_SIZE;
    if (mark_size > 0) {
        load_mark(&op->body, op->start_ns);
    }
    op->pad_size = load->options.size - mark_size;
    end(op);
}

void load_etcd_put(struct load *load, struct load_op *op)
{
    build_put(load, op, key_of(load, load->phase == LOAD_WARMUP ? "w" : "c", op->sequence));
}

void load_etcd_prepare(struct load *load, struct load_op *op)
{
    build_put(load, op, key_of(load, "k", op->sequence));
}

void load_etcd_update(struct load *load, struct load_op *op)
{
    build_put(load, op, key_of(load, "k", tt_rng_below(&load->rng, load->options.objects)));
}

void load_etcd_range(struct load *load, struct load_op *op)
{
    uint64_t number = tt_rng_below(&load->rng, load->options.objects);
    begin(op, "/etcdserverpb.KV/Range");
    put_bytes(&op->body, 1, key_of(load, "k", number)); /* RangeRequest.key */
    end(op);
}

void load_etcd_watch(struct load *load, struct load_op *op)
{
    struct tt_buf create;
    tt_buf_init(&create, 512);
    struct tt_str key = key_of(load, "k", 0);
    TT_ASSERT(key.len > LOAD_NUMBER_DIGITS);
    key.len -= LOAD_NUMBER_DIGITS; /* all prepared keys */
    put_bytes(&create, 1, key);    /* WatchCreateRequest.key */
    load->scratch.ptr[key.len - 1]++;
    put_bytes(&create, 2, key); /* WatchCreateRequest.range_end */
    begin(op, "/etcdserverpb.Watch/Watch");
    put_bytes(&op->body, 1, tt_buf_view(&create)); /* WatchRequest.create_request */
    end(op);
    tt_buf_fini(&create);
}

bool load_etcd_is_ok(const struct load_op *op)
{
    return op->status == 200 && op->grpc_status == 0;
}

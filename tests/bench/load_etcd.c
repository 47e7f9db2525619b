/* Requests to etcd: gRPC messages written by hand, for three small requests of its public protocol
 * (etcdserverpb KV and Watch; field numbers in the comments). */
#include <stdio.h>

#include "tests/bench/load.h"

enum { GRPC_PREFIX = 5, KEY_SIZE = 64 };

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
    (void)snprintf(op->path, sizeof op->path, "%s", path);
    tt_buf_append(&op->body, prefix, sizeof prefix);
}

static void end(struct load_op *op)
{
    size_t size = op->body.len - GRPC_PREFIX;
    for (unsigned i = 0; i < 4; i++) {
        op->body.ptr[1 + i] = (char)(size >> (24 - 8 * i));
    }
}

static struct tt_str key_of(const struct load *load, char key[KEY_SIZE], const char *kind,
                            uint64_t number)
{
    int len = snprintf(key, KEY_SIZE, "/load/%.30s/%s%08llu", load->options.prefix, kind,
                       (unsigned long long)number);
    return tt_str(key, (size_t)len);
}

static void build_put(struct load *load, struct load_op *op, struct tt_str key)
{
    begin(op, "/etcdserverpb.KV/Put");
    put_bytes(&op->body, 1, key);      /* PutRequest.key */
    put_varint(&op->body, 2 << 3 | 2); /* PutRequest.value */
    put_varint(&op->body, load->options.size);
    size_t mark_size = load->options.size < LOAD_MARK_SIZE ? 0 : LOAD_MARK_SIZE;
    char mark[LOAD_MARK_SIZE + 1];
    load_mark(mark, op->start_ns);
    tt_buf_append(&op->body, mark, mark_size);
    load_pad(load, &op->body, load->options.size - mark_size);
    end(op);
}

void load_etcd_put(struct load *load, struct load_op *op)
{
    char key[KEY_SIZE];
    build_put(load, op, key_of(load, key, load->phase == LOAD_WARMUP ? "w" : "c", op->sequence));
}

void load_etcd_prepare(struct load *load, struct load_op *op)
{
    char key[KEY_SIZE];
    build_put(load, op, key_of(load, key, "k", op->sequence));
}

void load_etcd_update(struct load *load, struct load_op *op)
{
    char key[KEY_SIZE];
    build_put(load, op, key_of(load, key, "k", tt_rng_below(&load->rng, load->options.objects)));
}

void load_etcd_range(struct load *load, struct load_op *op)
{
    char key[KEY_SIZE];
    uint64_t number = tt_rng_below(&load->rng, load->options.objects);
    begin(op, "/etcdserverpb.KV/Range");
    put_bytes(&op->body, 1, key_of(load, key, "k", number)); /* RangeRequest.key */
    end(op);
}

void load_etcd_watch(struct load *load, struct load_op *op)
{
    char text[KEY_SIZE];
    struct tt_buf create;
    tt_buf_init(&create, 512);
    struct tt_str key = key_of(load, text, "k", 0);
    TT_ASSERT(key.len > 8 && key.len < sizeof text);
    key.len -= 8;               /* all prepared keys */
    put_bytes(&create, 1, key); /* WatchCreateRequest.key */
    text[key.len - 1]++;
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

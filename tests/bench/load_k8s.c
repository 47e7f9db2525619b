/* Requests to tutti's Kubernetes API: ConfigMaps whose stored JSON has the wanted size. */
#include <stdio.h>

#include "tests/bench/load.h"

enum {
    /* What the server adds to what is sent: uid and creationTimestamp with their names. */
    SERVER_ADDS = 91,
    LIST_LIMIT = 100
};

static void collection_path(const struct load *load, struct load_op *op, const char *query)
{
    tt_buf_str(&op->path, TT_STR("/api/v1/namespaces/"));
    tt_buf_c(&op->path, load->options.namespace);
    tt_buf_str(&op->path, TT_STR("/configmaps"));
    tt_buf_c(&op->path, query);
}

static void object_path(const struct load *load, struct load_op *op, uint64_t number)
{
    collection_path(load, op, "/");
    tt_buf_c(&op->path, load->options.prefix);
    tt_buf_char(&op->path, '-');
    load_number(&op->path, number);
}

/* `mark` is between prefix and number: it tells the created objects from the prepared ones. */
static void object_body(struct load *load, struct load_op *op, const char *mark, uint64_t number)
{
    struct tt_buf *body = &op->body;
    tt_buf_str(body, TT_STR("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                            "\"metadata\":{\"name\":\""));
    tt_buf_c(body, load->options.prefix);
    tt_buf_c(body, mark);
    load_number(body, number);
    tt_buf_str(body, TT_STR("\",\"namespace\":\""));
    tt_buf_c(body, load->options.namespace);
    tt_buf_str(body, TT_STR("\"},\"data\":{\"v\":\""));
    load_mark(body, op->start_ns);
    op->end = TT_STR("\"}}");
    size_t fixed = body->len + op->end.len + SERVER_ADDS;
    op->pad_size = load->options.size > fixed ? load->options.size - fixed : 0;
}

static uint64_t any_object(struct load *load)
{
    return tt_rng_below(&load->rng, load->options.objects);
}

void load_k8s_create(struct load *load, struct load_op *op)
{
    collection_path(load, op, "");
    object_body(load, op, load->phase == LOAD_WARMUP ? "-c0-" : "-c1-", op->sequence);
}

void load_k8s_prepare(struct load *load, struct load_op *op)
{
    collection_path(load, op, "");
    object_body(load, op, "-", op->sequence);
}

void load_k8s_update(struct load *load, struct load_op *op)
{
    uint64_t number = any_object(load);
    object_path(load, op, number);
    object_body(load, op, "-", number);
}

void load_k8s_get(struct load *load, struct load_op *op)
{
    object_path(load, op, any_object(load));
}

void load_k8s_list(struct load *load, struct load_op *op)
{
    char query[32];
    (void)snprintf(query, sizeof query, "?limit=%d", LIST_LIMIT);
    collection_path(load, op, query);
}

void load_k8s_watch(struct load *load, struct load_op *op)
{
    collection_path(load, op, "?watch=true&resourceVersion=0");
}

bool load_k8s_is_ok(const struct load_op *op)
{
    return op->status >= 200 && op->status < 300;
}

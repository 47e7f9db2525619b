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
    (void)snprintf(op->path, sizeof op->path, "/api/v1/namespaces/%s/configmaps%s",
                   load->options.namespace, query);
}

static void object_path(const struct load *load, struct load_op *op, uint64_t number)
{
    (void)snprintf(op->path, sizeof op->path, "/api/v1/namespaces/%s/configmaps/%s-%08llu",
                   load->options.namespace, load->options.prefix, (unsigned long long)number);
}

/* kind: 'k' for the prepared objects, 'c' for created ones. */
static void object_body(struct load *load, struct load_op *op, const char *prefix, uint64_t number)
{
    char mark[LOAD_MARK_SIZE + 1];
    load_mark(mark, op->start_ns);
    tt_buf_printf(
        &op->body,
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s-%08llu\","
        "\"namespace\":\"%s\"},\"data\":{\"v\":\"%s",
        prefix, (unsigned long long)number, load->options.namespace, mark);
    static const char end[] = "\"}}";
    size_t fixed = op->body.len + sizeof end - 1 + SERVER_ADDS;
    size_t pad = load->options.size > fixed ? load->options.size - fixed : 0;
    load_pad(load, &op->body, pad);
    tt_buf_append(&op->body, end, sizeof end - 1);
}

static uint64_t any_object(struct load *load)
{
    return tt_rng_below(&load->rng, load->options.objects);
}

void load_k8s_create(struct load *load, struct load_op *op)
{
    char prefix[64];
    (void)snprintf(prefix, sizeof prefix, "%.40s-c%d", load->options.prefix,
                   load->phase == LOAD_WARMUP ? 0 : 1);
    collection_path(load, op, "");
    object_body(load, op, prefix, op->sequence);
}

void load_k8s_prepare(struct load *load, struct load_op *op)
{
    collection_path(load, op, "");
    object_body(load, op, load->options.prefix, op->sequence);
}

void load_k8s_update(struct load *load, struct load_op *op)
{
    uint64_t number = any_object(load);
    object_path(load, op, number);
    object_body(load, op, load->options.prefix, number);
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

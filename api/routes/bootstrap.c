/* The objects every cluster has. Whoever leads proposes them once; the compares make a second try
 * harmless. */
#include "api/admission/object.h"
#include "api/routes/worker.h"
#include "base/rng.h"

static const char *const namespaces[] = {"default", "kube-system", "kube-public",
                                         "kube-node-lease"};
enum { NAMESPACE_COUNT = sizeof namespaces / sizeof namespaces[0] };

struct bootstrap {
    const struct tt_api *api;                    /* borrowed */
    struct tt_arena *arena;                      /* keys and texts of the ops */
    const struct tt_kind *kind;                  /* Namespace */
    struct tt_compare compares[NAMESPACE_COUNT]; /* each row is absent */
    struct tt_txn_op ops[NAMESPACE_COUNT];       /* the put of the same index */
    size_t count;                                /* of both: Namespaces that are absent */
};

static int make_namespace(struct bootstrap *b, const char *name, struct tt_object *ret_object,
                          struct tt_err *err)
{
    char *json = tt_arena_printf(b->arena,
                                 "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
                                 "\"metadata\":{\"name\":\"%s\"}}",
                                 name);
    if (!json) {
        return TT_FAIL(err, TT_ETOOLARGE, "the arena is full");
    }
    struct tt_issues issues;
    tt_issues_init(&issues, b->arena);
    int r = tt_object_decode(b->kind, tt_str_c(json), TT_FIELDS_STRICT, &issues, ret_object, err);
    if (r) {
        return r;
    }
    char uid[TT_UUID_TEXT_SIZE];
    tt_uuid_v4(uid);
    struct tt_object_create params = {
        .now_ms = tt_clock_wall_ms(b->api->config.clock), .uid = uid, .name_suffix = ""};
    r = tt_object_prepare_create(ret_object, &params, err);
    struct tt_admission admission = {.arena = b->arena};
    return r ? r : tt_admit_create(&admission, ret_object, err);
}

static int add_namespace(struct bootstrap *b, const struct tt_version *version, const char *name,
                         struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, TT_OBJECT_SIZE_MAX);
    struct tt_object_ref ref = {TT_STR(""), TT_STR("namespaces"), TT_STR(""), tt_str_c(name)};
    int r = tt_key_object(&buf, &ref, err);
    if (r || tt_version_get(version, tt_buf_view(&buf))) {
        return r;
    }
    struct tt_str key = tt_str(tt_arena_strndup(b->arena, buf.ptr, buf.len), buf.len);
    struct tt_object object;
    uint32_t splice = 0;
    r = make_namespace(b, name, &object, err);
    tt_buf_reset(&buf);
    if (r == TT_OK) {
        r = tt_object_encode(&object, &buf, &splice, err);
    }
    if (r) {
        return r;
    }
    struct tt_str text = tt_str(tt_arena_strndup(b->arena, buf.ptr, buf.len), buf.len);
    if (!key.ptr || !text.ptr) {
        return TT_FAIL(err, TT_ETOOLARGE, "the arena is full");
    }
    b->compares[b->count] = (struct tt_compare){key, 0};
    b->ops[b->count++] = (struct tt_txn_op){
        TT_OP_PUT, key, {.codec = TT_CODEC_JSON, .splice = splice, .bytes = text}};
    return TT_OK;
}

int tt_api_bootstrap_command(const struct tt_api *api, struct tt_version *version,
                             struct tt_bytes **ret_command, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(64 << 10, 1 << 20);
    TT_AUTO(tt_kinds) kinds = tt_registry_get(api->config.registry);
    struct bootstrap b = {.api = api, .arena = arena};
    b.kind = tt_kinds_resource(kinds, TT_STR(""), TT_STR("v1"), TT_STR("namespaces"));
    TT_ASSERT(b.kind != NULL);
    for (size_t i = 0; i < NAMESPACE_COUNT; i++) {
        int r = add_namespace(&b, version, namespaces[i], err);
        if (r) {
            return TT_WRAP(err, r, "create namespace %s", namespaces[i]);
        }
    }
    *ret_command = NULL;
    if (b.count == 0) {
        return TT_OK;
    }
    struct tt_txn txn = {.compares = b.compares,
                         .compare_count = b.count,
                         .ops = b.ops,
                         .op_count = b.count,
                         .actor = TT_STR("tutti:bootstrap"),
                         .verb = TT_STR("create")};
    return tt_txn_encode(&txn, ret_command, err);
}

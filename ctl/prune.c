/* Pruning: list by labels, keep what the manifests name, delete the rest by uid.
 *
 * Happy path: one list per type and namespace, page by page; what was applied once and is not kept
 * is remembered; then each is deleted with its uid as a precondition, so that an object that was
 * made anew meanwhile stays. Failure: what is gone already is no failure; the first other one ends
 * it, and the next apply goes on. */
#include "ctl/prune.h"

#include "api/http/uri.h"
#include "api/kinds/selector.h"
#include "base/json.h"
#include "base/map.h"
#include "ctl/targets.h"

enum {
    ARENA_CHUNK = 16 << 10,
    ARENA_MAX = 64 << 20,
    PAGE_SIZE = 500,
    DOOMED_MAX = 20000,
    KEY_SIZE_MAX = 1024,
    BODY_SIZE_MAX = 512,
};
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct doomed {
    const struct ctl_resource *resource; /* its type; borrowed */
    const char *ns;                      /* all three in the arena */
    const char *name;                    /* for the path of the request */
    const char *uid;                     /* the precondition of its removal */
};
struct ctl_prune {
    struct tt_arena *arena; /* owned; holds the selector, and the texts of doomed */
    const char *labels;     /* the selector as text; kept */
    const struct tt_label_selector *selector; /* labels parsed; never empty */
    struct tt_map *kept;                      /* "group/plural/ns/name" */
    struct tt_map *namespaces;                /* those of the manifests */
    struct doomed *doomed;                    /* owned; filled before the first is removed */
    size_t count;                             /* of doomed; at most DOOMED_MAX */
};

int ctl_prune_new(const char *labels, struct ctl_prune **ret, struct tt_err *err)
{
    struct ctl_prune *prune = TT_NEW(struct ctl_prune);
    prune->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    prune->labels = labels;
    prune->kept = tt_map_new(CTL_MANIFEST_OBJECTS_MAX, NULL);
    prune->namespaces = tt_map_new(CTL_MANIFEST_OBJECTS_MAX, NULL);
    int r = tt_label_selector_parse(prune->arena, tt_str_c(labels), &prune->selector, err);
    if (r == TT_OK && tt_label_selector_empty(prune->selector)) {
        r = TT_FAIL(err, TT_EINVAL, "--prune needs labels that select something: -l app=web");
    }
    if (r != TT_OK) {
        ctl_prune_free(prune);
        return r;
    }
    *ret = prune;
    return TT_OK;
}

void ctl_prune_free(struct ctl_prune *prune)
{
    if (prune != NULL) {
        tt_map_free(prune->kept);
        tt_map_free(prune->namespaces);
        tt_arena_free(prune->arena);
        tt_free(prune->doomed);
        tt_free(prune);
    }
}

int ctl_prune_check(const struct ctl_prune *prune, const struct ctl_manifest *manifest,
                    struct tt_err *err)
{
    for (size_t i = 0; i < manifest->count; i++) {
        const struct ctl_object *object = &manifest->items[i];
        if (!tt_label_selector_match(prune->selector,
                                     tt_json_get(object->root, "metadata.labels"))) {
            return TT_FAIL(err, TT_EINVAL,
                           "%s:%u: its labels do not match -l %s: a later --prune would not find "
                           "it (add the labels, or apply it by itself)",
                           object->source, object->line, prune->labels);
        }
    }
    return TT_OK;
}

static void key_of(const struct ctl_resource *resource, struct tt_str ns, struct tt_str name,
                   struct tt_buf *key)
{
    tt_buf_init(key, KEY_SIZE_MAX);
    tt_buf_printf(key, "%.*s/%.*s/%.*s/%.*s", TT_STR_ARG(resource->group),
                  TT_STR_ARG(resource->plural), TT_STR_ARG(ns), TT_STR_ARG(name));
}

int ctl_prune_keep(struct ctl_prune *prune, const struct ctl_resource *resource, struct tt_str ns,
                   struct tt_str name, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf key;
    key_of(resource, ns, name, &key);
    int r = tt_map_set(prune->kept, tt_buf_view(&key), prune, err);
    if (r == TT_OK && ns.len > 0) {
        r = tt_map_set(prune->namespaces, ns, prune, err);
    }
    return r;
}

/* ---- what is left ---- */

static int consider(struct ctl_prune *prune, const struct ctl_resource *resource, yyjson_val *item,
                    struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf key;
    struct tt_str ns = tt_json_iget_str(item, "metadata.namespace");
    struct tt_str name = tt_json_iget_str(item, "metadata.name");
    struct tt_str uid = tt_json_iget_str(item, "metadata.uid");
    key_of(resource, ns, name, &key);
    if (tt_map_get(prune->kept, tt_buf_view(&key)) != NULL ||
        tt_json_iget(item, "metadata.deletionTimestamp") != NULL ||
        yyjson_obj_get(tt_json_iget(item, "metadata.annotations"), LAST_APPLIED) == NULL) {
        return TT_OK;
    }
    struct doomed doomed = {resource, tt_arena_strndup(prune->arena, ns.ptr, ns.len),
                            tt_arena_strndup(prune->arena, name.ptr, name.len),
                            tt_arena_strndup(prune->arena, uid.ptr, uid.len)};
    if (prune->count == DOOMED_MAX || doomed.ns == NULL || doomed.name == NULL ||
        doomed.uid == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "more than %d objects would be pruned", DOOMED_MAX);
    }
    prune->doomed = tt_xrealloc(prune->doomed, (prune->count + 1) * sizeof prune->doomed[0]);
    prune->doomed[prune->count++] = doomed;
    return TT_OK;
}

/* One page; the next one's token goes to *token. */
static int list_page(struct ctl_prune *prune, const struct ctl_prune_run *run,
                     const struct ctl_resource *resource, struct tt_str base, struct tt_buf *token,
                     struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, 2 * CTL_PATH_SIZE_MAX);
    tt_buf_printf(&path, "%.*s&limit=%d&continue=%.*s", TT_STR_ARG(base), PAGE_SIZE,
                  TT_STR_ARG(tt_buf_view(token)));
    int r = ctl_get(run->session, tt_buf_view(&path), &answer, err);
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "items"));
    yyjson_val *item;
    while (r == TT_OK && (item = yyjson_arr_iter_next(&iter)) != NULL) {
        r = consider(prune, resource, item, err);
    }
    tt_buf_reset(token);
    if (r == TT_OK) {
        tt_uri_encode(token, tt_json_iget_str(root, "metadata.continue"));
    }
    return r;
}

static int list_one(struct ctl_prune *prune, const struct ctl_prune_run *run,
                    const struct ctl_resource *resource, struct tt_str ns, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf base;
    TT_AUTO_BUF struct tt_buf token;
    int r = TT_OK;
    tt_buf_init(&base, CTL_PATH_SIZE_MAX);
    tt_buf_init(&token, CTL_PATH_SIZE_MAX);
    ctl_resource_path(resource, ns, TT_STR(""), &base);
    tt_buf_c(&base, "?labelSelector=");
    tt_uri_encode(&base, tt_str_c(prune->labels));
    do {
        r = list_page(prune, run, resource, tt_buf_view(&base), &token, err);
    } while (r == TT_OK && token.len > 0);
    return r;
}

static int list_all(struct ctl_prune *prune, const struct ctl_prune_run *run, struct tt_err *err)
{
    int r = TT_OK;
    struct tt_str ns;
    void *value;
    for (size_t n = 0; r == TT_OK && tt_map_next(prune->namespaces, &n, &ns, &value);) {
        for (size_t i = 0; r == TT_OK && i < ctl_resources_count(run->resources); i++) {
            const struct ctl_resource *resource = ctl_resources_at(run->resources, i);
            if (resource->namespaced) {
                r = list_one(prune, run, resource, ns, err);
            }
        }
    }
    return r;
}

/* ---- removing ---- */

static int remove_one(const struct ctl_prune_run *run, const struct doomed *doomed,
                      struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf body;
    struct tt_json_writer w;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    tt_buf_init(&body, BODY_SIZE_MAX);
    ctl_resource_path(doomed->resource, tt_str_c(doomed->ns), tt_str_c(doomed->name), &path);
    tt_json_begin(&w, &body);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "propagationPolicy", "Background");
    tt_json_object(&w, "preconditions");
    tt_json_c(&w, "uid", doomed->uid);
    tt_json_object_end(&w);
    if (run->server_only) {
        tt_json_array(&w, "dryRun");
        tt_json_c(&w, NULL, "All");
        tt_json_array_end(&w);
    }
    tt_json_object_end(&w);
    const struct ctl_request request = {
        .method = "DELETE", .path = tt_buf_view(&path), .body = tt_buf_view(&body)};
    struct tt_err own;
    tt_err_init(&own);
    int r = ctl_ask(run->session, &request, &answer, &own);
    if (r == TT_ENOTFOUND) {
        return TT_OK;
    }
    if (r != TT_OK) {
        *err = own;
        return TT_WRAP(err, r, "prune %s", doomed->name);
    }
    return TT_OK;
}

int ctl_prune_run(struct ctl_prune *prune, const struct ctl_prune_run *run, struct tt_err *err)
{
    int r = list_all(prune, run, err);
    for (size_t i = 0; r == TT_OK && i < prune->count; i++) {
        const struct doomed *doomed = &prune->doomed[i];
        TT_AUTO_BUF struct tt_buf label;
        tt_buf_init(&label, KEY_SIZE_MAX);
        ctl_resource_label(doomed->resource, tt_str_c(doomed->name), &label);
        r = run->look ? TT_OK : remove_one(run, doomed, err);
        if (r == TT_OK) {
            run->gone(run->ctx, tt_buf_view(&label));
        }
    }
    return r;
}

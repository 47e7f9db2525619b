/* Which page a kind has, and the page of those that have none of their own: its fields as YAML. */
#include "ctl/describe.h"

#include "api/http/uri.h"
#include "ctl/describe_parts.h"
#include "ctl/output.h"
#include "ctl/selector.h"

enum { TEXT_SIZE_MAX = 64 << 20, SELECTOR_SIZE_MAX = 8192 };

enum beside { BESIDE_NOTHING, BESIDE_SETS, BESIDE_PODS, BESIDE_PODS_OF_NODE };
struct page_kind {
    const char *api_version;                          /* of the kind */
    const char *kind;                                 /* its name */
    void (*describe)(const struct ctl_description *); /* its page */
    enum beside beside;                               /* what else is read for it */
};
static const struct page_kind page_kinds[] = {
    {"apps/v1", "Deployment", describe_deployment, BESIDE_SETS},
    {"apps/v1", "ReplicaSet", describe_replicaset, BESIDE_PODS},
    {"v1", "Pod", describe_pod, BESIDE_NOTHING},
    {"v1", "Node", describe_node, BESIDE_PODS_OF_NODE},
};

static const struct page_kind *find_kind(yyjson_val *object)
{
    for (size_t i = 0; i < sizeof page_kinds / sizeof page_kinds[0]; i++) {
        if (tt_str_eq_c(tt_json_iget_str(object, "kind"), page_kinds[i].kind) &&
            tt_str_eq_c(tt_json_iget_str(object, "apiVersion"), page_kinds[i].api_version)) {
            return &page_kinds[i];
        }
    }
    return NULL;
}

void ctl_describe_related(yyjson_val *object, struct tt_buf *path)
{
    const struct page_kind *kind = find_kind(object);
    enum beside beside = kind != NULL ? kind->beside : BESIDE_NOTHING;
    TT_AUTO_BUF struct tt_buf selector;
    tt_buf_init(&selector, SELECTOR_SIZE_MAX);
    if (beside == BESIDE_PODS_OF_NODE) {
        tt_buf_c(path, "/api/v1/pods?fieldSelector=");
        tt_buf_printf(&selector, "spec.nodeName=%.*s,status.phase!=Succeeded,status.phase!=Failed",
                      TT_STR_ARG(tt_json_iget_str(object, "metadata.name")));
    } else if (beside != BESIDE_NOTHING) {
        tt_buf_c(path, beside == BESIDE_SETS ? "/apis/apps/v1/namespaces/" : "/api/v1/namespaces/");
        tt_uri_encode(path, tt_json_iget_str(object, "metadata.namespace"));
        tt_buf_c(path,
                 beside == BESIDE_SETS ? "/replicasets?labelSelector=" : "/pods?labelSelector=");
        ctl_selector_write(&selector, tt_json_iget(object, "spec.selector"));
    }
    if (selector.len > 0) {
        tt_uri_encode(path, tt_buf_view(&selector));
    }
}

/* ---- any other kind ---- */

/* Sizes instead of values. */
static void describe_secret(const struct ctl_description *d, yyjson_val *data)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 64);
    yyjson_obj_iter iter = yyjson_obj_iter_with(data);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str value = tt_json_istr_of(yyjson_obj_iter_get_val(key));
        size_t padding = tt_str_ends(value, TT_STR("==")) ? 2 : tt_str_ends(value, TT_STR("="));
        tt_buf_reset(&text);
        tt_buf_printf(&text, "%zu bytes", value.len / 4 * 3 - padding);
        ctl_page_entry(d->page, tt_json_istr_of(key), tt_buf_view(&text));
    }
}

static void describe_member(const struct ctl_description *d, struct tt_str name, yyjson_val *val,
                            bool is_secret)
{
    TT_AUTO_BUF struct tt_buf label;
    TT_AUTO_BUF struct tt_buf yaml;
    tt_buf_init(&label, 4096);
    tt_buf_init(&yaml, TEXT_SIZE_MAX);
    char first = name.len > 0 ? name.ptr[0] : '?';
    tt_buf_char(&label, first >= 'a' && first <= 'z' ? (char)(first - 'a' + 'A') : first);
    tt_buf_str(&label, tt_str_skip(name, 1));
    if (!yyjson_is_ctn(val)) {
        describe_if_any(d, label.ptr, val);
        return;
    }
    if (yyjson_get_len(val) == 0) {
        return;
    }
    ctl_page_open(d->page, tt_buf_view(&label), TT_STR(""));
    if (is_secret) {
        describe_secret(d, val);
    } else {
        ctl_write_yaml(&yaml, val);
        ctl_page_lines(d->page, tt_str_trim(tt_buf_view(&yaml)));
    }
    ctl_page_close(d->page);
}

static void describe_any(const struct ctl_description *d)
{
    static const struct describe_field head[] = {
        {"Name", "metadata.name", describe_text},
        {"Namespace", "metadata.namespace", describe_if_any},
        {"Kind", "kind", describe_text},
        {"CreationTimestamp", "metadata.creationTimestamp", describe_time},
        {"DeletionTimestamp", "metadata.deletionTimestamp", describe_time},
        {"Labels", "metadata.labels", describe_pairs},
        {"Annotations", "metadata.annotations", describe_notes},
        {"Controlled By", "metadata.ownerReferences", describe_owner},
    };
    describe_fields(d, d->object, head, DESCRIBE_COUNT(head));
    bool is_secret = tt_str_eq_c(tt_json_iget_str(d->object, "kind"), "Secret");
    yyjson_obj_iter iter = yyjson_obj_iter_with(d->object);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        if (!tt_str_eq_c(name, "kind") && !tt_str_eq_c(name, "apiVersion") &&
            !tt_str_eq_c(name, "metadata")) {
            describe_member(d, name, yyjson_obj_iter_get_val(key),
                            is_secret && tt_str_eq_c(name, "data"));
        }
    }
}

void ctl_describe(const struct ctl_description *d)
{
    const struct page_kind *kind = find_kind(d->object);
    if (kind != NULL) {
        kind->describe(d);
    } else {
        describe_any(d);
    }
}

/* Two requests (/api and /apis, aggregated discovery) tell everything; strings stay in the answers'
 * documents. */
#include "ctl/resources.h"

#include "api/http/uri.h"
#include "api/json/json.h"

#define DISCOVERY "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
enum { RESOURCES_MAX = 4096, NAME_SIZE_MAX = 128, DISTANCE_MAX = 2 };

struct ctl_resources {
    struct ctl_answer answers[2]; /* hold the strings */
    struct ctl_resource *items;   /* owned; room for RESOURCES_MAX */
    size_t count;                 /* of items in use; further ones are dropped */
};

static struct tt_str str_of(yyjson_val *obj, const char *name)
{
    return tt_json_istr_of(yyjson_obj_get(obj, name));
}

static void read_resource(struct ctl_resources *resources, struct tt_str group,
                          struct tt_str version, yyjson_val *from)
{
    if (resources->count == RESOURCES_MAX) {
        return;
    }
    struct ctl_resource *resource = &resources->items[resources->count];
    *resource = (struct ctl_resource){
        .group = group,
        .version = version,
        .plural = str_of(from, "resource"),
        .singular = str_of(from, "singularResource"),
        .kind = tt_json_iget_str(from, "responseKind.kind"),
        .namespaced = tt_str_eq_c(str_of(from, "scope"), "Namespaced"),
    };
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(from, "shortNames"));
    yyjson_val *name;
    while (resource->short_name_count < CTL_SHORT_NAMES_MAX &&
           (name = yyjson_arr_iter_next(&iter)) != NULL) {
        resource->short_names[resource->short_name_count++] = tt_json_istr_of(name);
    }
    iter = yyjson_arr_iter_with(yyjson_obj_get(from, "categories"));
    while ((name = yyjson_arr_iter_next(&iter)) != NULL) {
        resource->in_all = resource->in_all || tt_str_eq_c(tt_json_istr_of(name), "all");
    }
    resources->count += resource->plural.len > 0 && resource->kind.len > 0;
}

static void read_groups(struct ctl_resources *resources, yyjson_val *root)
{
    yyjson_arr_iter groups = yyjson_arr_iter_with(yyjson_obj_get(root, "items"));
    yyjson_val *group;
    while ((group = yyjson_arr_iter_next(&groups)) != NULL) {
        struct tt_str name = tt_json_iget_str(group, "metadata.name");
        yyjson_arr_iter versions = yyjson_arr_iter_with(yyjson_obj_get(group, "versions"));
        yyjson_val *version;
        while ((version = yyjson_arr_iter_next(&versions)) != NULL) {
            yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(version, "resources"));
            yyjson_val *resource;
            while ((resource = yyjson_arr_iter_next(&iter)) != NULL) {
                read_resource(resources, name.len > 0 ? name : TT_STR(""),
                              str_of(version, "version"), resource);
            }
        }
    }
}

int ctl_resources_load(struct ctl_session *session, struct ctl_resources **ret, struct tt_err *err)
{
    static const char *const paths[] = {"/api", "/apis"};
    TT_AUTO(ctl_resources) resources = TT_NEW(struct ctl_resources);
    resources->items = tt_xcalloc(RESOURCES_MAX, sizeof resources->items[0]);
    for (size_t i = 0; i < 2; i++) {
        const struct ctl_request request = {
            .method = "GET", .path = tt_str_c(paths[i]), .accept = DISCOVERY};
        int r = ctl_ask(session, &request, &resources->answers[i], err);
        if (r != TT_OK) {
            return r;
        }
        read_groups(resources, yyjson_doc_get_root(resources->answers[i].doc));
    }
    *ret = TT_TAKE(resources);
    return TT_OK;
}

void ctl_resources_free(struct ctl_resources *resources)
{
    if (resources != NULL) {
        ctl_answer_fini(&resources->answers[0]);
        ctl_answer_fini(&resources->answers[1]);
        tt_free(resources->items);
        tt_free(resources);
    }
}

size_t ctl_resources_count(const struct ctl_resources *resources)
{
    return resources->count;
}

const struct ctl_resource *ctl_resources_at(const struct ctl_resources *resources, size_t index)
{
    TT_ASSERT(index < resources->count);
    return &resources->items[index];
}

/* ---- looking up ---- */

static bool has_name(const struct ctl_resource *resource, struct tt_str name)
{
    if (tt_str_eq_nocase(name, resource->plural) || tt_str_eq_nocase(name, resource->singular) ||
        tt_str_eq_nocase(name, resource->kind)) {
        return true;
    }
    for (size_t i = 0; i < resource->short_name_count; i++) {
        if (tt_str_eq_nocase(name, resource->short_names[i])) {
            return true;
        }
    }
    return false;
}

/* rest: "" or what stood behind the first dot: GROUP or VERSION.GROUP. */
static bool has_group(const struct ctl_resource *resource, struct tt_str rest)
{
    struct tt_str group = rest;
    struct tt_str version;
    return rest.len == 0 || tt_str_eq(rest, resource->group) ||
           (tt_str_cut(&group, '.', &version) && tt_str_eq(version, resource->version) &&
            tt_str_eq(group, resource->group));
}

/* Edits (insert, drop, change) between two names, with the rows of the usual table. */
static size_t distance(struct tt_str a, struct tt_str b)
{
    size_t row[NAME_SIZE_MAX + 1];
    if (a.len > NAME_SIZE_MAX || b.len > NAME_SIZE_MAX) {
        return NAME_SIZE_MAX;
    }
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[b.len];
}

static int unknown(const struct ctl_resources *resources, struct tt_str name, struct tt_err *err)
{
    const struct ctl_resource *nearest = NULL;
    size_t best = DISTANCE_MAX + 1;
    for (size_t i = 0; i < resources->count; i++) {
        size_t far = distance(name, resources->items[i].plural);
        if (far < best) {
            best = far;
            nearest = &resources->items[i];
        }
    }
    if (nearest != NULL) {
        return TT_FAIL(err, TT_ENOTFOUND, "no resource is called \"%.*s\": %.*s?", TT_STR_ARG(name),
                       TT_STR_ARG(nearest->plural));
    }
    return TT_FAIL(err, TT_ENOTFOUND,
                   "no resource is called \"%.*s\": tuttictl resources lists all",
                   TT_STR_ARG(name));
}

int ctl_resources_find(const struct ctl_resources *resources, struct tt_str name,
                       const struct ctl_resource **ret, struct tt_err *err)
{
    struct tt_str rest = name;
    struct tt_str first = name;
    (void)tt_str_cut(&rest, '.', &first); /* without a dot: all of it */
    for (size_t i = 0; i < resources->count; i++) {
        if (has_name(&resources->items[i], first) && has_group(&resources->items[i], rest)) {
            *ret = &resources->items[i];
            return TT_OK;
        }
    }
    return unknown(resources, name, err);
}

int ctl_resources_kind(const struct ctl_resources *resources, struct tt_str api_version,
                       struct tt_str kind, const struct ctl_resource **ret, struct tt_err *err)
{
    struct tt_str version = api_version;
    struct tt_str group = TT_STR("");
    if (tt_str_find(api_version, '/') >= 0) {
        (void)tt_str_cut(&version, '/', &group); /* the slash is there */
    }
    for (size_t i = 0; i < resources->count; i++) {
        const struct ctl_resource *resource = &resources->items[i];
        if (tt_str_eq(kind, resource->kind) && tt_str_eq(version, resource->version) &&
            tt_str_eq(group, resource->group)) {
            *ret = resource;
            return TT_OK;
        }
    }
    return TT_FAIL(err, TT_ENOTFOUND,
                   "the cluster serves no %.*s of %.*s: tuttictl resources lists what it does",
                   TT_STR_ARG(kind), TT_STR_ARG(api_version));
}

void ctl_resource_path(const struct ctl_resource *resource, struct tt_str ns, struct tt_str name,
                       struct tt_buf *buf)
{
    tt_buf_c(buf, resource->group.len > 0 ? "/apis/" : "/api");
    tt_uri_encode(buf, resource->group);
    tt_buf_char(buf, '/');
    tt_uri_encode(buf, resource->version);
    if (resource->namespaced && ns.len > 0) {
        tt_buf_c(buf, "/namespaces/");
        tt_uri_encode(buf, ns);
    }
    tt_buf_char(buf, '/');
    tt_uri_encode(buf, resource->plural);
    if (name.len > 0) {
        tt_buf_char(buf, '/');
        tt_uri_encode(buf, name);
    }
}

void ctl_resource_label(const struct ctl_resource *resource, struct tt_str name, struct tt_buf *buf)
{
    for (size_t i = 0; i < resource->kind.len; i++) {
        char c = resource->kind.ptr[i];
        tt_buf_char(buf, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    if (resource->group.len > 0) {
        tt_buf_printf(buf, ".%.*s", TT_STR_ARG(resource->group));
    }
    tt_buf_printf(buf, "/%.*s", TT_STR_ARG(name));
}

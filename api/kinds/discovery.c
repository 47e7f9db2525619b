/* Discovery: which groups, versions and resources there are, in the aggregated and the older form.
 * Kinds come sorted by group, version and plural, so each document is one walk. Every group has its
 * highest-sorted version as the preferred one. */
#include "api/kinds/discovery.h"

#include "base/json.h"

static void names(struct tt_json_writer *w, const char *key, const struct tt_str *list,
                  size_t count)
{
    if (count == 0) {
        return;
    }
    tt_json_array(w, key);
    for (size_t i = 0; i < count; i++) {
        tt_json_str(w, NULL, list[i]);
    }
    tt_json_array_end(w);
}

static void verbs(struct tt_json_writer *w, struct tt_str list)
{
    struct tt_str part;
    tt_json_array(w, "verbs");
    while (tt_str_cut(&list, ',', &part)) {
        tt_json_str(w, NULL, part);
    }
    tt_json_array_end(w);
}

static void group_version_kind(struct tt_json_writer *w, const char *key, struct tt_str group,
                               struct tt_str version, struct tt_str kind)
{
    tt_json_object(w, key);
    tt_json_str(w, "group", group);
    tt_json_str(w, "version", version);
    tt_json_str(w, "kind", kind);
    tt_json_object_end(w);
}

static void aggregated_resource(struct tt_json_writer *w, const struct tt_kind *kind)
{
    tt_json_object(w, NULL);
    tt_json_str(w, "resource", kind->plural);
    group_version_kind(w, "responseKind", kind->group, kind->version, kind->kind);
    tt_json_c(w, "scope", kind->namespaced ? "Namespaced" : "Cluster");
    tt_json_str(w, "singularResource", kind->singular);
    verbs(w, kind->verbs);
    names(w, "shortNames", kind->short_names, kind->short_name_count);
    names(w, "categories", kind->categories, kind->category_count);
    if (kind->subresource_count > 0) {
        tt_json_array(w, "subresources");
        for (size_t i = 0; i < kind->subresource_count; i++) {
            const struct tt_subresource *sub = &kind->subresources[i];
            bool own = sub->version.len == 0;
            tt_json_object(w, NULL);
            tt_json_str(w, "subresource", sub->name);
            group_version_kind(w, "responseKind", own ? kind->group : sub->group,
                               own ? kind->version : sub->version,
                               sub->kind.len > 0 ? sub->kind : kind->kind);
            verbs(w, sub->verbs);
            tt_json_object_end(w);
        }
        tt_json_array_end(w);
    }
    tt_json_object_end(w);
}

/* True when kind `index` starts a new group (or, with versions, a new group-version). */
static bool starts(const struct tt_kinds *kinds, size_t index, bool versions)
{
    if (index == 0) {
        return true;
    }
    const struct tt_kind *is = tt_kinds_at(kinds, index), *was = tt_kinds_at(kinds, index - 1);
    return !tt_str_eq(is->group, was->group) || (versions && !tt_str_eq(is->version, was->version));
}

/* Closes the version that is open, and its group when another one begins. */
static void close_version(struct tt_json_writer *w, bool group_too)
{
    tt_json_array_end(w); /* resources */
    tt_json_object_end(w);
    if (group_too) {
        tt_json_array_end(w); /* versions */
        tt_json_object_end(w);
    }
}

static void open_version(struct tt_json_writer *w, const struct tt_kind *kind, bool new_group)
{
    if (new_group) {
        tt_json_object(w, NULL);
        tt_json_object(w, "metadata");
        if (kind->group.len > 0) {
            tt_json_str(w, "name", kind->group);
        }
        tt_json_c(w, "creationTimestamp", NULL);
        tt_json_object_end(w);
        tt_json_array(w, "versions");
    }
    tt_json_object(w, NULL);
    tt_json_str(w, "version", kind->version);
    tt_json_c(w, "freshness", "Current");
    tt_json_array(w, "resources");
}

void tt_discovery_aggregated(struct tt_buf *buf, const struct tt_kinds *kinds, bool core,
                             const char *version)
{
    struct tt_json_writer w;
    bool open = false;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "APIGroupDiscoveryList");
    tt_json_c(&w, "apiVersion",
              strcmp(version, "v2") == 0 ? "apidiscovery.k8s.io/v2"
                                         : "apidiscovery.k8s.io/v2beta1");
    tt_json_object(&w, "metadata");
    tt_json_object_end(&w);
    tt_json_array(&w, "items");
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(kinds, i);
        if ((kind->group.len == 0) != core) {
            continue;
        }
        if (starts(kinds, i, true)) {
            bool new_group = starts(kinds, i, false);
            if (open) {
                close_version(&w, new_group);
            }
            open_version(&w, kind, new_group);
            open = true;
        }
        aggregated_resource(&w, kind);
    }
    if (open) {
        close_version(&w, true);
    }
    tt_json_array_end(&w);
    tt_json_object_end(&w);
}

void tt_discovery_api_versions(struct tt_buf *buf, struct tt_str server_address)
{
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "APIVersions");
    tt_json_array(&w, "versions");
    tt_json_c(&w, NULL, "v1");
    tt_json_array_end(&w);
    tt_json_array(&w, "serverAddressByClientCIDRs");
    tt_json_object(&w, NULL);
    tt_json_c(&w, "clientCIDR", "0.0.0.0/0");
    tt_json_str(&w, "serverAddress", server_address);
    tt_json_object_end(&w);
    tt_json_array_end(&w);
    tt_json_object_end(&w);
}

static void group_version(struct tt_json_writer *w, const char *key, const struct tt_kind *kind)
{
    tt_json_object(w, key);
    tt_json_str(w, "groupVersion", kind->api_version);
    tt_json_str(w, "version", kind->version);
    tt_json_object_end(w);
}

/* One APIGroup; `with_kind` when it is a document of its own. */
static void group(struct tt_json_writer *w, const struct tt_kinds *kinds, struct tt_str name,
                  bool with_kind)
{
    const struct tt_kind *preferred = NULL;
    tt_json_object(w, NULL);
    if (with_kind) {
        tt_json_c(w, "kind", "APIGroup");
        tt_json_c(w, "apiVersion", "v1");
    }
    tt_json_str(w, "name", name);
    tt_json_array(w, "versions");
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(kinds, i);
        if (tt_str_eq(kind->group, name) && starts(kinds, i, true)) {
            group_version(w, NULL, kind);
            preferred = kind;
        }
    }
    tt_json_array_end(w);
    if (preferred != NULL) { /* callers ask for groups that exist */
        group_version(w, "preferredVersion", preferred);
    }
    tt_json_object_end(w);
}

void tt_discovery_group_list(struct tt_buf *buf, const struct tt_kinds *kinds)
{
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "APIGroupList");
    tt_json_c(&w, "apiVersion", "v1");
    tt_json_array(&w, "groups");
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(kinds, i);
        if (kind->group.len > 0 && starts(kinds, i, false)) {
            group(&w, kinds, kind->group, false);
        }
    }
    tt_json_array_end(&w);
    tt_json_object_end(&w);
}

bool tt_discovery_group(struct tt_buf *buf, const struct tt_kinds *kinds, struct tt_str name)
{
    struct tt_json_writer w;
    bool known = false;
    for (size_t i = 0; name.len > 0 && i < tt_kinds_count(kinds); i++) {
        known |= tt_str_eq(tt_kinds_at(kinds, i)->group, name);
    }
    if (known) {
        tt_json_begin(&w, buf);
        group(&w, kinds, name, true);
    }
    return known;
}

static void plain_resource(struct tt_json_writer *w, const struct tt_kind *kind)
{
    tt_json_object(w, NULL);
    tt_json_str(w, "name", kind->plural);
    tt_json_str(w, "singularName", kind->singular);
    tt_json_bool(w, "namespaced", kind->namespaced);
    tt_json_str(w, "kind", kind->kind);
    verbs(w, kind->verbs);
    names(w, "shortNames", kind->short_names, kind->short_name_count);
    names(w, "categories", kind->categories, kind->category_count);
    tt_json_object_end(w);
    for (size_t i = 0; i < kind->subresource_count; i++) {
        const struct tt_subresource *sub = &kind->subresources[i];
        tt_json_object(w, NULL);
        TT_AUTO_BUF struct tt_buf name;
        tt_buf_init(&name, 512);
        tt_buf_printf(&name, "%.*s/%.*s", TT_STR_ARG(kind->plural), TT_STR_ARG(sub->name));
        tt_json_str(w, "name", tt_buf_view(&name));
        tt_json_c(w, "singularName", "");
        tt_json_bool(w, "namespaced", kind->namespaced);
        if (sub->version.len > 0) {
            tt_json_str(w, "group", sub->group);
            tt_json_str(w, "version", sub->version);
        }
        tt_json_str(w, "kind", sub->kind.len > 0 ? sub->kind : kind->kind);
        verbs(w, sub->verbs);
        tt_json_object_end(w);
    }
}

bool tt_discovery_resource_list(struct tt_buf *buf, const struct tt_kinds *kinds,
                                struct tt_str group_name, struct tt_str version)
{
    struct tt_json_writer w;
    bool first = true;
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(kinds, i);
        if (!tt_str_eq(kind->group, group_name) || !tt_str_eq(kind->version, version)) {
            continue;
        }
        if (first) {
            first = false;
            tt_json_begin(&w, buf);
            tt_json_object(&w, NULL);
            tt_json_c(&w, "kind", "APIResourceList");
            tt_json_c(&w, "apiVersion", "v1");
            tt_json_str(&w, "groupVersion", kind->api_version);
            tt_json_array(&w, "resources");
        }
        plain_resource(&w, kind);
    }
    if (!first) {
        tt_json_array_end(&w);
        tt_json_object_end(&w);
    }
    return !first;
}

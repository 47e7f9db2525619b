/* Words are either all TYPE/NAME, or TYPE[,TYPE…] followed by names. */
#include "ctl/targets.h"

#include "api/http/uri.h"

static int add(struct ctl_targets *targets, const struct ctl_resource *resource, struct tt_str name,
               struct tt_err *err)
{
    if (targets->count == CTL_TARGETS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "more than %d objects", CTL_TARGETS_MAX);
    }
    targets->items[targets->count++] = (struct ctl_target){resource, name};
    return TT_OK;
}

static int add_slashed(const struct ctl_resources *resources, const char *word,
                       struct ctl_targets *targets, struct tt_err *err)
{
    struct tt_str name = tt_str_c(word);
    struct tt_str type;
    const struct ctl_resource *resource = NULL;
    bool has_slash = tt_str_find(name, '/') >= 0;
    if (!has_slash || !tt_str_cut(&name, '/', &type) || type.len == 0 || name.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\": give TYPE/NAME, as the other words do", word);
    }
    int r = ctl_resources_find(resources, type, &resource, err);
    return r != TT_OK ? r : add(targets, resource, name, err);
}

static int add_all(const struct ctl_resources *resources, struct ctl_targets *targets,
                   struct tt_err *err)
{
    int r = TT_OK;
    for (size_t i = 0; r == TT_OK && i < ctl_resources_count(resources); i++) {
        const struct ctl_resource *resource = ctl_resources_at(resources, i);
        if (resource->in_all) {
            r = add(targets, resource, TT_STR(""), err);
        }
    }
    return r;
}

static int add_type(const struct ctl_resources *resources, struct tt_str type,
                    const char *const *names, size_t name_count, struct ctl_targets *targets,
                    struct tt_err *err)
{
    const struct ctl_resource *resource = NULL;
    if (tt_str_eq_c(type, "all") && name_count == 0) {
        return add_all(resources, targets, err);
    }
    int r = ctl_resources_find(resources, type, &resource, err);
    if (r == TT_OK && name_count == 0) {
        r = add(targets, resource, TT_STR(""), err);
    }
    for (size_t i = 0; r == TT_OK && i < name_count; i++) {
        struct tt_str name = tt_str_c(names[i]);
        r = name.len > 0 && tt_str_find(name, '/') < 0
                ? add(targets, resource, name, err)
                : TT_FAIL(err, TT_EINVAL, "\"%s\" is not a name", names[i]);
    }
    return r;
}

int ctl_targets_parse(const struct ctl_resources *resources, const char *const *words,
                      size_t word_count, struct ctl_targets *ret, struct tt_err *err)
{
    ret->count = 0;
    if (word_count == 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "say what: TYPE, TYPE NAME or TYPE/NAME (tuttictl resources lists types)");
    }
    int r = TT_OK;
    if (strchr(words[0], '/') != NULL) {
        for (size_t i = 0; r == TT_OK && i < word_count; i++) {
            r = add_slashed(resources, words[i], ret, err);
        }
        return r;
    }
    struct tt_str rest = tt_str_c(words[0]);
    struct tt_str type;
    while (r == TT_OK && tt_str_cut(&rest, ',', &type)) {
        r = add_type(resources, type, words + 1, word_count - 1, ret, err);
    }
    return r;
}

struct tt_str ctl_target_namespace(const struct ctl_session *session,
                                   const struct ctl_selection *selection,
                                   const struct ctl_resource *resource)
{
    bool none = !resource->namespaced || selection->all_namespaces;
    return none ? TT_STR("") : ctl_session_namespace(session);
}

void ctl_collection_path(const struct ctl_session *session, const struct ctl_selection *selection,
                         const struct ctl_target *target, struct tt_buf *path)
{
    ctl_resource_path(target->resource, ctl_target_namespace(session, selection, target->resource),
                      TT_STR(""), path);
    tt_buf_char(path, '?');
    if (target->name.len > 0) {
        tt_buf_c(path, "fieldSelector=metadata.name%3D");
        tt_uri_encode(path, target->name);
        tt_buf_char(path, '&');
        return;
    }
    if (selection->fields != NULL) {
        tt_buf_c(path, "fieldSelector=");
        tt_uri_encode(path, tt_str_c(selection->fields));
        tt_buf_char(path, '&');
    }
    if (selection->labels != NULL) {
        tt_buf_c(path, "labelSelector=");
        tt_uri_encode(path, tt_str_c(selection->labels));
        tt_buf_char(path, '&');
    }
}

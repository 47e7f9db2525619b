/* word → a pod, or an object with a selector → its pods → containers.
 *
 * Of several pods of a workload the first that runs is taken, of several containers the one that
 * the pod's annotation names or the first, as kubectl does; both choices are said. */
#include "ctl/log_sources.h"

#include <stdio.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "ctl/selector.h"

enum { SELECTOR_SIZE_MAX = 8192 };
#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

struct search {
    struct ctl_session *session;     /* borrowed */
    const struct ctl_log_wish *wish; /* borrowed; all that is asked for */
    struct ctl_log_sources *sources; /* borrowed; filled */
};

/* ---- containers of a pod ---- */

static int add_source(struct search *search, yyjson_val *pod, struct tt_str container,
                      struct tt_err *err)
{
    struct ctl_log_sources *sources = search->sources;
    struct tt_str name = tt_json_iget_str(pod, "metadata.name");
    if (sources->count == CTL_LOG_SOURCES_MAX) {
        return TT_FAIL(err, TT_EINVAL, "more than %d containers: name a pod, or more labels",
                       CTL_LOG_SOURCES_MAX);
    }
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, 2 * CTL_PATH_SIZE_MAX);
    tt_buf_c(&path, "/api/v1/namespaces/");
    tt_uri_encode(&path, tt_json_iget_str(pod, "metadata.namespace"));
    tt_buf_c(&path, "/pods/");
    tt_uri_encode(&path, name);
    tt_buf_c(&path, "/log?container=");
    tt_uri_encode(&path, container);
    tt_buf_printf(&path, "&%.*s", TT_STR_ARG(search->wish->query));
    sources->items = tt_xrealloc(sources->items, (sources->count + 1) * sizeof sources->items[0]);
    sources->items[sources->count++] = (struct ctl_log_source){
        .path = tt_str_xdup(tt_buf_view(&path)),
        .prefix = tt_xasprintf("[pod/%.*s/%.*s] ", TT_STR_ARG(name), TT_STR_ARG(container)),
        .label = tt_xasprintf("pod/%.*s, container %.*s", TT_STR_ARG(name), TT_STR_ARG(container)),
    };
    return TT_OK;
}

static int add_all(struct search *search, yyjson_val *pod, const char *list, struct tt_err *err)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(pod, list));
    yyjson_val *container;
    int r = TT_OK;
    while (r == TT_OK && (container = yyjson_arr_iter_next(&iter)) != NULL) {
        r = add_source(search, pod, tt_json_iget_str(container, "name"), err);
    }
    return r;
}

static void say_choice(yyjson_val *containers, struct tt_str chosen)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(containers);
    yyjson_val *container;
    (void)fprintf(stderr, "showing container %.*s of:", TT_STR_ARG(chosen));
    while ((container = yyjson_arr_iter_next(&iter)) != NULL) {
        (void)fprintf(stderr, " %.*s", TT_STR_ARG(tt_json_iget_str(container, "name")));
    }
    (void)fprintf(stderr, " (-c NAME or --all-containers for others)\n");
}

static int add_pod(struct search *search, yyjson_val *pod, struct tt_err *err)
{
    const struct ctl_log_wish *wish = search->wish;
    yyjson_val *containers = tt_json_iget(pod, "spec.containers");
    if (wish->all_containers) {
        int r = add_all(search, pod, "spec.initContainers", err);
        return r == TT_OK ? add_all(search, pod, "spec.containers", err) : r;
    }
    if (wish->container != NULL) {
        return add_source(search, pod, tt_str_c(wish->container), err);
    }
    struct tt_str chosen = tt_json_istr_of(
        yyjson_obj_get(tt_json_iget(pod, "metadata.annotations"), DEFAULT_CONTAINER));
    if (chosen.len == 0) {
        chosen = tt_json_iget_str(yyjson_arr_get_first(containers), "name");
        if (yyjson_arr_size(containers) > 1) {
            say_choice(containers, chosen);
        }
    }
    return add_source(search, pod, chosen, err);
}

/* ---- pods ---- */

static void pods_path(const struct search *search, struct tt_str ns, struct tt_buf *path)
{
    tt_buf_c(path, "/api/v1/namespaces/");
    tt_uri_encode(path, ns.len > 0 ? ns : ctl_session_namespace(search->session));
    tt_buf_c(path, "/pods");
}

static int add_named(struct search *search, struct tt_str name, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    pods_path(search, TT_STR(""), &path);
    tt_buf_char(&path, '/');
    tt_uri_encode(&path, name);
    int r = ctl_get(search->session, tt_buf_view(&path), &answer, err);
    return r == TT_OK ? add_pod(search, yyjson_doc_get_root(answer.doc), err) : r;
}

static yyjson_val *first_running(yyjson_val *pods)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(pods);
    yyjson_val *pod;
    while ((pod = yyjson_arr_iter_next(&iter)) != NULL) {
        if (tt_str_eq_c(tt_json_iget_str(pod, "status.phase"), "Running") &&
            tt_json_iget(pod, "metadata.deletionTimestamp") == NULL) {
            return pod;
        }
    }
    return yyjson_arr_get_first(pods);
}

/* owner: who they belong to, for people; NULL: all of them are wanted. */
static int add_selected(struct search *search, struct tt_str selector, const char *owner,
                        struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, 2 * CTL_PATH_SIZE_MAX);
    pods_path(search, TT_STR(""), &path);
    tt_buf_c(&path, "?labelSelector=");
    tt_uri_encode(&path, selector);
    int r = ctl_get(search->session, tt_buf_view(&path), &answer, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *pods = yyjson_obj_get(yyjson_doc_get_root(answer.doc), "items");
    size_t count = yyjson_arr_size(pods);
    if (count == 0) {
        return TT_FAIL(err, TT_ENOTFOUND,
                       "no pods with %.*s in namespace %.*s (next: tuttictl get pods "
                       "--show-labels)",
                       TT_STR_ARG(selector), TT_STR_ARG(ctl_session_namespace(search->session)));
    }
    if (owner != NULL && !search->wish->all_pods) {
        yyjson_val *pod = first_running(pods);
        if (count > 1) {
            (void)fprintf(stderr, "showing pod/%.*s of the %zu of %s (--all-pods shows all)\n",
                          TT_STR_ARG(tt_json_iget_str(pod, "metadata.name")), count, owner);
        }
        return add_pod(search, pod, err);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(pods);
    yyjson_val *pod;
    while (r == TT_OK && (pod = yyjson_arr_iter_next(&iter)) != NULL) {
        r = add_pod(search, pod, err);
    }
    return r;
}

/* ---- pods of workloads ---- */

static int add_owned(struct search *search, const struct ctl_target *target, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf selector;
    TT_AUTO_BUF struct tt_buf label;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    tt_buf_init(&selector, SELECTOR_SIZE_MAX);
    tt_buf_init(&label, CTL_PATH_SIZE_MAX);
    ctl_resource_path(target->resource, ctl_session_namespace(search->session), target->name,
                      &path);
    ctl_resource_label(target->resource, target->name, &label);
    int r = ctl_get(search->session, tt_buf_view(&path), &answer, err);
    if (r != TT_OK) {
        return r;
    }
    ctl_selector_write(&selector, tt_json_iget(yyjson_doc_get_root(answer.doc), "spec.selector"));
    if (selector.len == 0 || !tt_buf_ok(&selector)) {
        return TT_FAIL(err, TT_EINVAL, "%s selects no pods: name a pod, or give -l LABELS",
                       label.ptr);
    }
    return add_selected(search, tt_buf_view(&selector), label.ptr, err);
}

static int add_word(struct search *search, const char *word, struct tt_err *err)
{
    TT_AUTO(ctl_resources) resources = NULL;
    TT_AUTO_FREE struct ctl_targets *targets = NULL;
    if (strchr(word, '/') == NULL) {
        return add_named(search, tt_str_c(word), err);
    }
    targets = TT_NEW(struct ctl_targets);
    int r = ctl_resources_load(search->session, &resources, err);
    if (r == TT_OK) {
        r = ctl_targets_parse(resources, &word, 1, targets, err);
    }
    if (r != TT_OK) {
        return r;
    }
    const struct ctl_target *target = &targets->items[0];
    bool is_pod = target->resource->group.len == 0 && tt_str_eq_c(target->resource->plural, "pods");
    return is_pod ? add_named(search, target->name, err) : add_owned(search, target, err);
}

int ctl_log_sources_find(struct ctl_session *session, const struct ctl_log_wish *wish,
                         struct ctl_log_sources *ret, struct tt_err *err)
{
    struct search search = {session, wish, ret};
    TT_ASSERT((wish->word != NULL) != (wish->labels != NULL));
    ret->items = NULL;
    ret->count = 0;
    int r = wish->word != NULL ? add_word(&search, wish->word, err)
                               : add_selected(&search, tt_str_c(wish->labels), NULL, err);
    if (r != TT_OK) {
        ctl_log_sources_fini(ret);
    }
    return r;
}

void ctl_log_sources_fini(struct ctl_log_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        tt_free(sources->items[i].path);
        tt_free(sources->items[i].prefix);
        tt_free(sources->items[i].label);
    }
    tt_free(sources->items);
    sources->items = NULL;
    sources->count = 0;
}

/* The first server that answers may be a follower (which does not know how far others are) or a new
 * member that knows nothing yet: go on to the leader it names, or ask the other servers of the
 * kubeconfig one by one. */
#include "ctl/leader.h"

#include "api/json/json.h"

#define CLUSTER_PATH TT_STR("/tutti/v1/cluster")
enum { QUICK_S = 2 };

struct best {
    struct ctl_session *session; /* owned; to the best server so far */
    struct ctl_answer status;    /* owned; what that server said of the cluster */
};

static struct tt_str leader_address(yyjson_val *root)
{
    struct tt_str leader = tt_json_iget_str(root, "leader");
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "members"));
    yyjson_val *member;
    while ((member = yyjson_arr_iter_next(&iter)) != NULL) {
        if (leader.len > 0 && tt_str_eq(tt_json_iget_str(member, "name"), leader)) {
            return tt_json_iget_str(member, "apiAddress");
        }
    }
    return TT_STR_NONE;
}

static bool is_leader(yyjson_val *root)
{
    struct tt_str leader = tt_json_iget_str(root, "leader");
    return leader.len > 0 && tt_str_eq(leader, tt_json_iget_str(root, "self"));
}

/* Takes over *best when that server answers and knows a leader. */
static bool ask_at(const struct ctl_common *common, struct tt_str address, struct best *best)
{
    TT_AUTO(ctl_session) session = NULL;
    struct ctl_answer status = {0};
    struct ctl_common quick = *common;
    quick.timeout_s = QUICK_S;
    bool knows = ctl_session_open_at(&quick, address, &session, NULL) == TT_OK &&
                 ctl_get(session, CLUSTER_PATH, &status, NULL) == TT_OK &&
                 tt_json_iget_str(yyjson_doc_get_root(status.doc), "leader").len > 0;
    ctl_session_free(TT_TAKE(session)); /* its time-out is too short for what follows */
    if (!knows || ctl_session_open_at(common, address, &session, NULL) != TT_OK) {
        ctl_answer_fini(&status);
        return false;
    }
    ctl_session_free(best->session);
    ctl_answer_fini(&best->status);
    best->session = TT_TAKE(session);
    best->status = status;
    return true;
}

static void ask_others(const struct ctl_common *common, struct best *best)
{
    const struct tt_kubeconfig *config = ctl_session_kubeconfig(best->session);
    char *addresses[TT_ENDPOINTS_MAX];
    uint32_t count = config->endpoint_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct tt_endpoint *endpoint = &config->endpoint[i];
        bool is_v6 = strchr(endpoint->host, ':') != NULL;
        addresses[i] = is_v6 ? tt_xasprintf("[%s]:%u", endpoint->host, endpoint->port)
                             : tt_xasprintf("%s:%u", endpoint->host, endpoint->port);
    }
    bool found = false;
    for (uint32_t i = 0; i < count; i++) {
        found = found || ask_at(common, tt_str_c(addresses[i]), best);
        tt_free(addresses[i]);
    }
}

int ctl_leader_open(const struct ctl_common *common, struct ctl_session **ret_session,
                    struct ctl_answer *ret_status, struct tt_err *err)
{
    struct best best = {.session = NULL};
    int r = ctl_session_open(common, &best.session, err);
    if (r == TT_OK) {
        r = ctl_get(best.session, CLUSTER_PATH, &best.status, err);
    }
    if (r != TT_OK) {
        ctl_session_free(best.session);
        ctl_answer_fini(&best.status);
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(best.status.doc);
    if (tt_json_iget_str(root, "leader").len == 0) {
        ask_others(common, &best);
        root = yyjson_doc_get_root(best.status.doc);
    }
    if (!is_leader(root)) {
        TT_AUTO_FREE char *address = tt_str_xdup(leader_address(root));
        if (address[0] != '\0') {
            (void)ask_at(common, tt_str_c(address), &best); /* else what is known must do */
        }
    }
    *ret_session = best.session;
    *ret_status = best.status;
    return TT_OK;
}

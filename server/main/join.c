/* One GET of /tutti/v1/cluster with this server's own certificate, and the members in its answer.
 */
#include "server/main/join.h"

#include <stdio.h>

#include "api/client/api_client.h"
#include "api/json/json.h"

enum { ANSWER_ARENA_MAX = 4 << 20, CONFIG_TEXT_MAX = 16 << 10 };

/* The client is configured by a kubeconfig, so one is written for it in memory. */
static int client_config(const struct server_options *options, struct tt_kubeconfig **ret_config,
                         struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, CONFIG_TEXT_MAX);
    struct tt_str urls = tt_str_c(options->join);
    struct tt_str first;
    if (!tt_str_cut(&urls, ',', &first)) {
        return TT_FAIL(err, TT_EINVAL, "--join: give https://HOST:PORT of a server");
    }
    tt_buf_printf(&text,
                  "{\"apiVersion\": \"v1\", \"kind\": \"Config\", \"current-context\": \"j\", "
                  "\"contexts\": [{\"name\": \"j\", \"context\": {\"cluster\": \"j\", \"user\": "
                  "\"j\"}}], \"users\": [{\"name\": \"j\", \"user\": {\"client-certificate\": "
                  "\"%s\", \"client-key\": \"%s\"}}], \"clusters\": [{\"name\": \"j\", "
                  "\"cluster\": {\"certificate-authority\": \"%s\", \"server\": \"%.*s\", "
                  "\"extensions\": [{\"name\": \"tutti\", \"extension\": {\"servers\": [",
                  options->cert, options->key, options->ca, TT_STR_ARG(first));
    struct tt_str url;
    for (bool more = false; urls.len > 0 && tt_str_cut(&urls, ',', &url); more = true) {
        tt_buf_printf(&text, "%s\"%.*s\"", more ? ", " : "", TT_STR_ARG(url));
    }
    tt_buf_c(&text, "]}}]}}]}");
    int r = tt_kubeconfig_parse(tt_buf_view(&text), NULL, NULL, ret_config, err);
    return r != TT_OK ? TT_WRAP(err, r, "--join %s", options->join) : TT_OK;
}

static void copy_text(char *out, size_t size, struct tt_str text)
{
    (void)snprintf(out, size, "%.*s", TT_STR_ARG(text));
}

static int read_answer(const struct server_options *options, yyjson_val *root,
                       struct join_answer *ret, struct tt_err *err)
{
    struct join_answer answer = {.member_count = 0};
    copy_text(answer.cluster_id, sizeof answer.cluster_id, tt_json_iget_str(root, "clusterId"));
    size_t index;
    size_t count;
    yyjson_val *value;
    yyjson_arr_foreach(yyjson_obj_get(root, "members"), index, count, value)
    {
        if (answer.member_count == TT_MEMBERS_MAX) {
            break;
        }
        struct tt_member *member = &answer.members[answer.member_count++];
        member->id = (uint64_t)tt_json_iget_i64(value, "id", 0);
        copy_text(member->name, sizeof member->name, tt_json_iget_str(value, "name"));
        copy_text(member->peer_address, sizeof member->peer_address,
                  tt_json_iget_str(value, "peerAddress"));
        if (strcmp(member->name, options->name) == 0) {
            answer.member_id = member->id;
        }
    }
    if (answer.cluster_id[0] == 0 || answer.member_count == 0) {
        return TT_FAIL(err, TT_EPROTO, "the answer names no cluster or no members");
    }
    if (answer.member_id == 0) {
        return TT_FAIL(err, TT_ENOTFOUND,
                       "the cluster has no member named %s yet: first run `tuttictl cluster add %s "
                       "--peer-address %s`",
                       options->name, options->name, options->peer_listen);
    }
    *ret = answer;
    return TT_OK;
}

static int ask(const struct server_options *options, const struct tt_kubeconfig *kubeconfig,
               struct tt_api_result *ret_result, struct tt_err *err)
{
    const struct tt_api_client_config config = {.kubeconfig = kubeconfig,
                                                .user_agent = "tuttid-join"};
    TT_AUTO(tt_api_blocking) client = NULL;
    int r = tt_api_blocking_new(&config, &client, err);
    if (r == TT_OK) {
        r = tt_api_blocking_call(client, "GET", TT_STR("/tutti/v1/cluster"), TT_STR_NONE,
                                 ret_result, err);
    }
    return r != TT_OK ? TT_WRAP(err, r, "ask %s for its members", options->join) : TT_OK;
}

int join_ask(const struct server_options *options, struct join_answer *ret_answer,
             struct tt_err *err)
{
    TT_AUTO(tt_kubeconfig) kubeconfig = NULL;
    struct tt_api_result result = {.status = 0};
    int r = client_config(options, &kubeconfig, err);
    if (r == TT_OK) {
        r = ask(options, kubeconfig, &result, err);
    }
    TT_AUTO(tt_arena) arena = tt_arena_new(64 << 10, ANSWER_ARENA_MAX);
    yyjson_doc *doc = NULL;
    if (r == TT_OK) {
        r = tt_json_read(arena, tt_buf_view(&result.body), &doc, err);
    }
    if (r == TT_OK) {
        r = read_answer(options, yyjson_doc_get_root(doc), ret_answer, err);
    }
    tt_buf_fini(&result.body);
    return r != TT_OK ? TT_WRAP(err, r, "--join") : TT_OK;
}

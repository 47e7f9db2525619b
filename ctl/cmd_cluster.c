/* tuttictl cluster status and members: who is there, who leads, how far each is.
 *
 * Only the leader knows how far the others are, so a follower's answer is replaced by the leader's
 * when that one can be reached; else the follower's is shown, which says what it knows. */
#include "ctl/leader.h"
#include "ctl/output.h"
#include "ctl/table.h"

static struct tt_str text_at(yyjson_val *obj, const char *name)
{
    yyjson_val *val = yyjson_obj_get(obj, name);
    return yyjson_is_raw(val) ? tt_str(yyjson_get_raw(val), yyjson_get_len(val))
                              : tt_str(yyjson_get_str(val), yyjson_get_len(val));
}

static void print_members(yyjson_val *root)
{
    static const char *const columns[] = {"NAME",      "ID",         "ROLE", "STATE",
                                          "REACHABLE", "LAST-INDEX", "PEER", "API"};
    static const char *const fields[] = {"name", "id",        "role",        "state",
                                         "",     "lastIndex", "peerAddress", "apiAddress"};
    enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };
    TT_AUTO(ctl_table) table = ctl_table_new(COLUMN_COUNT);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        ctl_table_c(table, columns[i]);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "members"));
    yyjson_val *member;
    while ((member = yyjson_arr_iter_next(&iter)) != NULL) {
        for (size_t i = 0; i < COLUMN_COUNT; i++) {
            bool reachable = yyjson_get_bool(yyjson_obj_get(member, "reachable"));
            struct tt_str text = text_at(member, fields[i]);
            if (fields[i][0] == '\0') {
                ctl_table_c(table, reachable ? "yes" : "no");
            } else {
                ctl_table_cell(table, text.len > 0 ? text : TT_STR("-"));
            }
        }
    }
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    ctl_table_write(table, &text);
    ctl_print_buf(&text);
}

static void print_head(yyjson_val *root)
{
    struct tt_str leader = text_at(root, "leader");
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 4096);
    tt_buf_printf(&text, "cluster %.*s: leader %.*s, term %.*s, revision %.*s\n",
                  TT_STR_ARG(text_at(root, "clusterId")),
                  TT_STR_ARG(leader.len > 0 ? leader : TT_STR("none")),
                  TT_STR_ARG(text_at(root, "term")), TT_STR_ARG(text_at(root, "revision")));
    struct tt_str removed = text_at(root, "removedIndex");
    if (removed.len > 0) {
        tt_buf_printf(&text,
                      "%.*s was removed from this cluster, whose configuration at index %.*s is "
                      "without it: stop it, or add it anew (docs/ops/joining.md); what follows is "
                      "what it knew last\n",
                      TT_STR_ARG(text_at(root, "self")), TT_STR_ARG(removed));
    } else if (leader.len == 0) {
        tt_buf_printf(&text,
                      "%.*s knows no leader: a majority of the voters must run and reach each "
                      "other (docs/ops/recovery.md)\n",
                      TT_STR_ARG(text_at(root, "self")));
    }
    ctl_print_buf(&text);
}

static int run_status(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_common common = {.kubeconfig = NULL};
    const char *output = NULL;
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&common),
        {"output", 'o', TT_OPTION_STRING, &output, "FORMAT", "json or yaml"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 1, argc, argv, {NULL},
                            0,    false};
    enum ctl_format format = CTL_FORMAT_TABLE;
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count > 0) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\": options only", args.words[0]);
    }
    r = ctl_format_parse(output, &format, err);
    TT_AUTO(ctl_session) session = NULL;
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    if (r == TT_OK) {
        r = ctl_leader_open(&common, &session, &answer, err);
    }
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    bool members_only = strcmp(self->name, "cluster members") == 0;
    if (format == CTL_FORMAT_JSON || format == CTL_FORMAT_YAML) {
        ctl_print_value(format, members_only ? yyjson_obj_get(root, "members") : root);
        return TT_OK;
    }
    if (!members_only) {
        print_head(root);
    }
    print_members(root);
    return TT_OK;
}

const struct ctl_command ctl_cluster_commands[] = {
    {"cluster status", "[-o json|yaml]", "Shows the leader, the revision and every member.",
     "Fields of -o json: leader (a server's name, empty when there is none), members (name, id,\n"
     "role, state, reachable, lastIndex, addresses), revision, term, clusterId and more.\n\n"
     "Examples:\n"
     "  tuttictl cluster status\n"
     "  tuttictl cluster status -o json",
     run_status},
    {"cluster members", "[-o json|yaml]", "Lists the members.",
     "Examples:\n"
     "  tuttictl cluster members",
     run_status},
    {NULL, NULL, NULL, NULL, NULL},
};

/* tuttictl cluster add, promote, remove, transfer, snapshot: changes of the membership.
 *
 * Happy path: the change is sent to the leader and answered when it is committed; then the members
 * are looked at again, to say what the cluster can lose now. A leader that is to be removed hands
 * over, and its successor is asked: a server does not hear the answer to its own removal.
 * A change whose answer is lost may have been made: the error says to look. */
#include <stdio.h>
#include <time.h>

#include "api/json/json.h"
#include "base/json.h"
#include "ctl/leader.h"
#include "ctl/output.h"

enum {
    WAIT_S_DEFAULT = 60,
    BODY_SIZE_MAX = 4096,
    PATH_SIZE_MAX = 256,
    LOOKS_MAX = 50, /* at the status, until it shows the change */
    LOOK_PAUSE_MS = 100,
    SETTLES_MAX = 20, /* looks for a leader that has just changed */
};

struct change {
    struct ctl_common common; /* options of the connection */
    const char *verb;         /* of the path: "members", "promote" … */
    const char *name;         /* of the member; NULL: none */
    const char *peer_address; /* add */
    uint64_t wait_s;          /* for the change, at the server; a few more to ask it */
    char leader[128];         /* before the change */
};

static void write_body(const struct change *change, struct tt_buf *buf)
{
    struct tt_json_writer w;
    uint64_t id = 0;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    if (change->name != NULL && tt_str_to_u64(tt_str_c(change->name), &id)) {
        tt_json_u64(&w, "id", id);
    } else if (change->name != NULL) {
        tt_json_c(&w, "name", change->name);
    }
    if (change->peer_address != NULL) {
        tt_json_c(&w, "peerAddress", change->peer_address);
    }
    tt_json_object_end(&w);
}

static int make_change(struct ctl_session *session, const struct change *change, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf body;
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&body, BODY_SIZE_MAX);
    tt_buf_init(&path, PATH_SIZE_MAX);
    write_body(change, &body);
    tt_buf_printf(&path, "/tutti/v1/cluster/%s?timeout=%llus", change->verb,
                  (unsigned long long)change->wait_s);
    const struct ctl_request request = {.method = "POST",
                                        .path = tt_buf_view(&path),
                                        .body = tt_buf_view(&body),
                                        .timeout_ms = (change->wait_s + 5) * 1000};
    int r = ctl_ask(session, &request, &answer, err);
    if (r == TT_ETIMEOUT || r == TT_ECLOSED) {
        return TT_WRAP(err, r, "the change may still be made (next: tuttictl cluster status)");
    }
    return r;
}

/* ---- afterwards ---- */

struct census {
    struct ctl_answer answer; /* holds the texts */
    size_t voters;            /* members that vote */
    struct tt_str leader;     /* its name, in answer; empty: none is known */
    yyjson_val *member;       /* the one that was changed; NULL: gone */
};

static int take_census(struct ctl_session *session, const char *name, struct census *ret,
                       struct tt_err *err)
{
    ret->voters = 0;
    ret->member = NULL;
    int r = ctl_get(session, TT_STR("/tutti/v1/cluster"), &ret->answer, err);
    yyjson_val *root = r == TT_OK ? yyjson_doc_get_root(ret->answer.doc) : NULL;
    ret->leader = tt_json_iget_str(root, "leader");
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "members"));
    yyjson_val *member;
    while ((member = yyjson_arr_iter_next(&iter)) != NULL) {
        uint64_t id = 0;
        ret->voters += tt_str_eq_c(tt_json_iget_str(member, "role"), "voter");
        bool by_id = name != NULL && tt_str_to_u64(tt_str_c(name), &id) &&
                     tt_json_iget_i64(member, "id", 0) == (int64_t)id;
        if (by_id || (name != NULL && tt_str_eq_c(tt_json_iget_str(member, "name"), name))) {
            ret->member = member;
        }
    }
    return r;
}

static void print_census(const struct census *census)
{
    size_t spare = census->voters > 0 ? (census->voters - 1) / 2 : 0;
    ctl_print("%zu voters; the cluster goes on after losing %zu\n", census->voters, spare);
}

/* Does the status show the change already? Each server refreshes its own ten times a second. */
static bool shows(const struct change *change, const struct census *census)
{
    struct tt_str role = tt_json_iget_str(census->member, "role");
    if (strcmp(change->verb, "members") == 0) {
        return census->member != NULL;
    }
    if (strcmp(change->verb, "remove") == 0) {
        return census->member == NULL;
    }
    if (strcmp(change->verb, "promote") == 0) {
        return tt_str_eq_c(role, "voter");
    }
    if (strcmp(change->verb, "transfer") == 0) {
        struct tt_str name = tt_json_iget_str(census->member, "name");
        return census->leader.len > 0 &&
               (change->name == NULL ? !tt_str_eq_c(census->leader, change->leader)
                                     : tt_str_eq(name, census->leader));
    }
    return true;
}

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = LOOK_PAUSE_MS * 1000000L};
    (void)nanosleep(&pause, NULL); /* an interruption only shortens it */
}

/* Is the member that is to be removed the one that the status calls so ("leader", "self")? */
static bool goes(const struct change *change, yyjson_val *status, const char *field,
                 const char *id_field)
{
    uint64_t id = 0;
    if (strcmp(change->verb, "remove") != 0) {
        return false;
    }
    return tt_str_eq_c(tt_json_iget_str(status, field), change->name) ||
           (tt_str_to_u64(tt_str_c(change->name), &id) && id > 0 &&
            tt_json_iget_i64(status, id_field, 0) == (int64_t)id);
}

/* Makes the change through the leader and hands over what the cluster looks like after it.
 * *ret_led: it was the leader that is to be removed; with `of_another` it was not asked. */
static int attempt(struct change *change, bool of_another, struct census *ret, bool *ret_led,
                   struct tt_err *err)
{
    TT_AUTO(ctl_session) session = NULL;
    int r = ctl_leader_open(&change->common, &session, &ret->answer, err);
    *ret_led = false;
    if (r == TT_OK) {
        yyjson_val *status = yyjson_doc_get_root(ret->answer.doc);
        struct tt_str leader = tt_json_iget_str(status, "leader");
        (void)snprintf(change->leader, sizeof change->leader, "%.*s", TT_STR_ARG(leader));
        *ret_led = goes(change, status, "leader", "leaderId");
        if (of_another && (*ret_led || goes(change, status, "self", "selfId"))) {
            return TT_FAIL(err, TT_ENOTLEADER, "no other server leads");
        }
        r = make_change(session, change, err);
    }
    for (int i = 0; r == TT_OK && i < LOOKS_MAX; i++) {
        r = take_census(session, change->name, ret, err);
        if (r != TT_OK || shows(change, ret)) {
            break;
        }
        pause_shortly();
    }
    return r;
}

/* A leader that is to be removed hands over when that is possible, and then refuses: its successor
 * is to be asked, which not everybody may know yet. */
static int carry_out(struct change *change, struct census *ret, struct tt_err *err)
{
    bool led = false;
    int r = attempt(change, false, ret, &led, err);
    if (!led || (r != TT_ECONFLICT && r != TT_ENOTLEADER)) {
        return r;
    }
    for (int i = 0; i < SETTLES_MAX; i++) {
        struct tt_err later;
        tt_err_init(&later);
        ctl_answer_fini(&ret->answer);
        int again = attempt(change, true, ret, &led, &later);
        if (again != TT_ENOTLEADER) {
            *err = later;
            return again;
        }
        pause_shortly();
    }
    return r; /* it leads on: why, it said itself */
}

/* ---- commands ---- */

/* What the commands differ in. */
struct recipe {
    const char *verb;                             /* of the path */
    enum { NAME_NONE, NAME_MAY, NAME_MUST } name; /* is a word NAME or ID allowed, needed */
    bool needs_address;                           /* --peer-address: needed, else unknown */
    uint64_t wait_s;                              /* 0: WAIT_S_DEFAULT */
    /* Tells what was done; the census was taken after the change. */
    void (*report)(const struct change *change, const struct census *census);
};

static int parse(struct change *change, const struct recipe *recipe, struct ctl_args *args,
                 struct tt_err *err)
{
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&change->common),
        {"timeout", 0, TT_OPTION_U64, &change->wait_s, "SECONDS",
         "of the change [60; of a snapshot 300]"},
        {"peer-address", 0, TT_OPTION_STRING, &change->peer_address, "HOST:PORT",
         "where the other servers reach it (its --peer-listen)"},
    };
    args->options = options;
    args->option_count = CTL_COMMON_OPTION_COUNT + (recipe->needs_address ? 2 : 1);
    int r = ctl_parse(args, err);
    args->options = NULL;
    if (r != TT_OK || args->help) {
        return r;
    }
    change->name = args->words[0];
    if (args->word_count > 1) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\": one member at a time", args->words[1]);
    }
    if (change->name != NULL && recipe->name == NAME_NONE) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\": the leader does it, without a name", change->name);
    }
    if (change->name == NULL && recipe->name == NAME_MUST) {
        return TT_FAIL(err, TT_EINVAL, "name the member (tuttictl cluster members)");
    }
    if (change->peer_address == NULL && recipe->needs_address) {
        return TT_FAIL(err, TT_EINVAL, "--peer-address HOST:PORT is needed");
    }
    return TT_OK;
}

static int run(const struct recipe *recipe, const struct ctl_command *self, int argc, char **argv,
               struct tt_err *err)
{
    struct ctl_args args = {.command = self, .argc = argc, .argv = argv};
    struct change change = {.verb = recipe->verb,
                            .wait_s = recipe->wait_s > 0 ? recipe->wait_s : WAIT_S_DEFAULT};
    struct census census = {.voters = 0};
    int r = parse(&change, recipe, &args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    r = carry_out(&change, &census, err);
    if (r == TT_OK) {
        recipe->report(&change, &census);
    }
    ctl_answer_fini(&census.answer);
    return r;
}

static void report_add(const struct change *change, const struct census *census)
{
    ctl_print("%s is a spare member now, id %lld\n"
              "next: on its machine, with an empty data directory\n"
              "  tuttid server --name %s --data-dir DIR --peer-listen %s \\\n"
              "    --join https://HOST:PORT --cert … --key … --ca …\n"
              "then: tuttictl cluster promote %s\n",
              change->name, (long long)tt_json_iget_i64(census->member, "id", 0), change->name,
              change->peer_address, change->name);
}

static int run_add(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    static const struct recipe recipe = {"members", NAME_MUST, true, 0, report_add};
    return run(&recipe, self, argc, argv, err);
}

static void report_promote(const struct change *change, const struct census *census)
{
    ctl_print("%s is a voter now\n", change->name);
    print_census(census);
}

static int run_promote(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    static const struct recipe recipe = {"promote", NAME_MUST, false, 0, report_promote};
    return run(&recipe, self, argc, argv, err);
}

static void report_remove(const struct change *change, const struct census *census)
{
    ctl_print("%s is no member any more; stop it and remove its data directory\n", change->name);
    print_census(census);
}

static int run_remove(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    static const struct recipe recipe = {"remove", NAME_MUST, false, 0, report_remove};
    return run(&recipe, self, argc, argv, err);
}

static void report_transfer(const struct change *change, const struct census *census)
{
    (void)change;
    if (census->leader.len > 0) {
        ctl_print("%.*s leads now\n", TT_STR_ARG(census->leader));
    } else {
        ctl_print("the leadership was handed over\n");
    }
}

static int run_transfer(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    static const struct recipe recipe = {"transfer", NAME_MAY, false, 0, report_transfer};
    return run(&recipe, self, argc, argv, err);
}

static void report_snapshot(const struct change *change, const struct census *census)
{
    (void)change;
    ctl_print("%.*s has a new snapshot\n",
              TT_STR_ARG(tt_json_iget_str(yyjson_doc_get_root(census->answer.doc), "self")));
}

static int run_snapshot(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    /* It takes a small share of a core: a minute for each gigabyte. */
    static const struct recipe recipe = {"snapshot", NAME_NONE, false, 300, report_snapshot};
    return run(&recipe, self, argc, argv, err);
}

const struct ctl_command ctl_member_commands[] = {
    {"cluster add", "NAME --peer-address HOST:PORT",
     "Adds a server: a spare that counts for nothing until it is promoted.",
     "Examples:\n"
     "  tuttictl cluster add s4 --peer-address 10.0.0.4:7443",
     run_add},
    {"cluster promote", "NAME|ID", "Makes a member a voter, once it has caught up.",
     "Examples:\n"
     "  tuttictl cluster promote s4",
     run_promote},
    {"cluster remove", "NAME|ID", "Removes a member; refused when the rest could not decide.",
     "Examples:\n"
     "  tuttictl cluster remove s2",
     run_remove},
    {"cluster transfer", "[NAME|ID]", "Hands the leadership over, before maintenance.",
     "Examples:\n"
     "  tuttictl cluster transfer\n"
     "  tuttictl cluster transfer s3",
     run_transfer},
    {"cluster snapshot", "", "Has the leader take a snapshot, so that its log shrinks.",
     "Examples:\n"
     "  tuttictl cluster snapshot",
     run_snapshot},
    {NULL, NULL, NULL, NULL, NULL},
};

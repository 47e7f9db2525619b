/* A watch answers lines of JSON; a line may come in pieces. Following lists the one object by its
 * name, checks it, then watches from the list's version; when the watch ends without an answer
 * (server restart, compaction, time slice) it starts over until the deadline. */
#include "ctl/watch.h"

#include <time.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "base/clock.h"

enum { LINE_SIZE_MAX = 8 << 20, PAUSE_MS = 500 };

struct watcher {
    const struct ctl_watch *watch; /* borrowed */
    struct tt_buf pending;         /* the beginning of a line */
    struct tt_err err;             /* an ERROR event, or a line that is none */
};

/* False: enough. */
static bool take_line(struct watcher *watcher, struct tt_str line)
{
    yyjson_doc *doc = yyjson_read(line.ptr, line.len, YYJSON_READ_NUMBER_AS_RAW);
    if (doc == NULL) {
        (void)TT_FAIL(&watcher->err, TT_EPROTO, "the watch sent a line that is not JSON");
        return false;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    const struct ctl_event event = {.type = tt_json_iget_str(root, "type"),
                                    .object = yyjson_obj_get(root, "object")};
    bool go_on;
    if (tt_str_eq_c(event.type, "ERROR")) {
        int64_t code = tt_json_iget_i64(event.object, "code", 500);
        size_t size = 0;
        char *text = yyjson_val_write(event.object, YYJSON_WRITE_NOFLAG, &size);
        (void)tt_api_status_error((int)code, tt_str(text, size), &watcher->err);
        tt_free(text);
        go_on = false;
    } else {
        go_on = watcher->watch->each(watcher->watch->ctx, &event);
    }
    yyjson_doc_free(doc);
    return go_on;
}

static bool take_bytes(void *ctx, struct tt_str bytes)
{
    struct watcher *watcher = ctx;
    while (bytes.len > 0) {
        ptrdiff_t end = tt_str_find(bytes, '\n');
        tt_buf_str(&watcher->pending, end < 0 ? bytes : tt_str_head(bytes, (size_t)end));
        if (!tt_buf_ok(&watcher->pending)) {
            (void)TT_FAIL(&watcher->err, TT_ETOOLARGE, "the watch sent a line over 8 MiB");
            return false;
        }
        if (end < 0) {
            return true;
        }
        bytes = tt_str_skip(bytes, (size_t)end + 1);
        bool go_on = tt_str_trim(tt_buf_view(&watcher->pending)).len == 0 ||
                     take_line(watcher, tt_buf_view(&watcher->pending));
        tt_buf_reset(&watcher->pending);
        if (!go_on) {
            return false;
        }
    }
    return true;
}

int ctl_watch(struct ctl_session *session, const struct ctl_watch *watch, struct tt_err *err)
{
    struct watcher watcher = {.watch = watch};
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    tt_buf_str(&path, watch->path);
    tt_buf_printf(&path, "watch=true&resourceVersion=%.*s", TT_STR_ARG(watch->resource_version));
    tt_buf_init(&watcher.pending, LINE_SIZE_MAX);
    tt_err_init(&watcher.err);
    const struct ctl_request request = {.method = "GET",
                                        .path = tt_buf_view(&path),
                                        .accept = watch->accept,
                                        .timeout_ms =
                                            watch->timeout_ms > 0 ? watch->timeout_ms : UINT64_MAX,
                                        .data = take_bytes,
                                        .ctx = &watcher};
    int r = ctl_send(session, &request, &answer, err);
    tt_buf_fini(&watcher.pending);
    if (watcher.err.code != TT_OK && err != NULL) {
        *err = watcher.err;
    }
    return watcher.err.code != TT_OK ? watcher.err.code : r;
}

/* ---- following ---- */

struct follower {
    const struct ctl_follow *follow; /* borrowed */
    bool satisfied;                  /* what check said of the newest state */
};

static bool on_event(void *ctx, const struct ctl_event *event)
{
    struct follower *follower = ctx;
    if (tt_str_eq_c(event->type, "BOOKMARK")) {
        return true;
    }
    bool is_gone = tt_str_eq_c(event->type, "DELETED");
    follower->satisfied =
        follower->follow->check(follower->follow->ctx, is_gone ? NULL : event->object);
    return !follower->satisfied;
}

static bool may_go_on(int code)
{
    return code == TT_OK || code == TT_EEXPIRED || code == TT_ETIMEOUT || code == TT_ECLOSED ||
           code == TT_EUNAVAILABLE;
}

static uint64_t left_ms(uint64_t deadline_ms)
{
    uint64_t now = tt_clock_ms(tt_clock_real());
    return now < deadline_ms ? deadline_ms - now : 0;
}

/* Waits a little, so that a watch which ends at once does not become a busy loop. */
static void pause_before(uint64_t deadline_ms)
{
    uint64_t ms = left_ms(deadline_ms);
    ms = ms < PAUSE_MS ? ms : PAUSE_MS;
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)ms * 1000000};
    (void)nanosleep(&pause, NULL); /* an interruption only shortens it */
}

static int follow_once(struct ctl_session *session, const struct ctl_target *target,
                       struct follower *follower, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_resource_path(target->resource, follower->follow->ns, TT_STR(""), &path);
    tt_buf_c(&path, "?fieldSelector=metadata.name%3D");
    tt_uri_encode(&path, target->name);
    tt_buf_char(&path, '&');
    int r = ctl_get(session, tt_buf_view(&path), &answer, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    yyjson_val *object = yyjson_arr_get_first(yyjson_obj_get(root, "items"));
    follower->satisfied = follower->follow->check(follower->follow->ctx, object);
    uint64_t left = left_ms(follower->follow->deadline_ms);
    if (follower->satisfied || left == 0) {
        return TT_OK;
    }
    const struct ctl_watch watch = {.path = tt_buf_view(&path),
                                    .resource_version =
                                        tt_json_iget_str(root, "metadata.resourceVersion"),
                                    .timeout_ms = left,
                                    .each = on_event,
                                    .ctx = follower};
    return ctl_watch(session, &watch, err);
}

int ctl_follow(struct ctl_session *session, const struct ctl_target *target,
               const struct ctl_follow *follow, struct tt_err *err)
{
    struct follower follower = {.follow = follow};
    for (;;) {
        struct tt_err cause;
        tt_err_init(&cause);
        int r = follow_once(session, target, &follower, &cause);
        if (follower.satisfied) {
            return TT_OK;
        }
        if (!may_go_on(r)) {
            *err = cause;
            return r;
        }
        if (left_ms(follow->deadline_ms) == 0) {
            return TT_FAIL(err, TT_ETIMEOUT, "timed out");
        }
        pause_before(follow->deadline_ms);
    }
}

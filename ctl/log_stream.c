/* One call per source on one loop and (by HTTP/2) one connection.
 *
 *   waiting → running → ended; the loop stops with the last one
 * Lines of several sources never mix: a piece without its end waits for the rest. When standard
 * output is gone, everything stops. */
#include "ctl/log_stream.h"

#include <stdio.h>

#include "base/loop.h"
#include "base/version.h"

enum { MAILBOX_MAX = 16, LINE_SIZE_MAX = 1 << 20 };

struct stream {
    struct tt_api_call call;             /* its request; ctx is the stream */
    struct showing *showing;             /* borrowed; NULL before start_one */
    const struct ctl_log_source *source; /* borrowed; NULL likewise */
    struct tt_buf line;                  /* the beginning of one */
};
struct showing {
    const struct ctl_log_show *show; /* borrowed */
    struct tt_loop *loop;            /* owned; runs on the caller's thread */
    struct tt_api_client *client;    /* closed when the loop stops */
    struct stream *streams;          /* one per source */
    size_t next;                     /* to start */
    size_t running;                  /* started and not done; at most at_once */
    size_t failed;                   /* streams that could not start or ended badly */
    bool is_over;                    /* standard output is gone */
    struct tt_err err;               /* of the first that failed; code TT_OK: none */
};

static void start_some(struct showing *showing);

static void write_out(struct showing *showing, struct tt_str bytes)
{
    bool ok = fwrite(bytes.ptr, 1, bytes.len, stdout) == bytes.len;
    if (!ok && !showing->is_over) {
        showing->is_over = true;
        tt_loop_stop(showing->loop);
    }
}

static void write_line(struct stream *stream)
{
    write_out(stream->showing, tt_str_c(stream->source->prefix));
    write_out(stream->showing, tt_buf_view(&stream->line));
    tt_buf_reset(&stream->line);
}

/* Whole lines with their prefix; what is longer than a line may be goes out in pieces. */
static void take_lines(struct stream *stream, struct tt_str bytes)
{
    while (bytes.len > 0) {
        ptrdiff_t end = tt_str_find(bytes, '\n');
        size_t size = end >= 0 ? (size_t)end + 1 : bytes.len;
        size_t room = LINE_SIZE_MAX - stream->line.len;
        size = size < room ? size : room;
        tt_buf_str(&stream->line, tt_str_head(bytes, size));
        TT_ASSERT(tt_buf_ok(&stream->line));
        bytes = tt_str_skip(bytes, size);
        if (stream->line.len == LINE_SIZE_MAX || stream->line.ptr[stream->line.len - 1] == '\n') {
            write_line(stream);
        }
    }
}

static void on_data(struct tt_api_call *call, struct tt_str bytes)
{
    struct stream *stream = call->ctx;
    if (stream->showing->show->prefix || stream->showing->show->at_once > 1) {
        take_lines(stream, bytes);
    } else {
        write_out(stream->showing, bytes);
    }
    if (fflush(stdout) != 0) {
        write_out(stream->showing, TT_STR("\n")); /* fails again and ends it all */
    }
}

/* One alone is told by whoever asked for it. */
static void failed(struct showing *showing, const struct ctl_log_source *source,
                   const struct tt_err *err)
{
    showing->failed++;
    if (showing->show->sources->count > 1) {
        (void)fprintf(stderr, "%s: %s\n", source->label, tt_err_cause(err));
    }
    if (showing->err.code == TT_OK) {
        showing->err = *err;
    }
}

static void on_done(struct tt_api_call *call, const struct tt_err *err)
{
    struct stream *stream = call->ctx;
    struct showing *showing = stream->showing;
    showing->running--;
    if (stream->line.len > 0 && !showing->is_over) {
        tt_buf_char(&stream->line, '\n');
        write_line(stream);
    }
    if (err != NULL && !showing->is_over) {
        failed(showing, stream->source, err);
    }
    start_some(showing);
}

static int start_one(struct showing *showing, struct tt_err *err)
{
    size_t index = showing->next++;
    struct stream *stream = &showing->streams[index];
    stream->showing = showing;
    stream->source = &showing->show->sources->items[index];
    tt_buf_init(&stream->line, LINE_SIZE_MAX + 1);
    stream->call = (struct tt_api_call){.method = "GET",
                                        .path = tt_str_c(stream->source->path),
                                        .accept = "text/plain, */*",
                                        .timeout_ms = showing->show->timeout_ms,
                                        .data = on_data,
                                        .done = on_done,
                                        .ctx = stream};
    return tt_api_call_start(showing->client, &stream->call, err);
}

static void start_some(struct showing *showing)
{
    while (!showing->is_over && showing->next < showing->show->sources->count &&
           showing->running < showing->show->at_once) {
        struct tt_err cause;
        tt_err_init(&cause);
        if (start_one(showing, &cause) == TT_OK) {
            showing->running++;
        } else {
            failed(showing, &showing->show->sources->items[showing->next - 1], &cause);
        }
    }
    if (showing->running == 0) {
        tt_loop_stop(showing->loop);
    }
}

static void on_start(void *ctx)
{
    start_some(ctx);
}

static void on_stop(void *ctx)
{
    struct showing *showing = ctx;
    showing->is_over = true;
    tt_api_client_close(showing->client, NULL, NULL);
}

static int run(struct showing *showing, struct tt_err *err)
{
    const struct tt_loop_config loop = {.name = "logs",
                                        .mailbox_max = MAILBOX_MAX,
                                        .on_start = on_start,
                                        .on_stop = on_stop,
                                        .ctx = showing};
    showing->loop = tt_loop_new(&loop, err);
    if (showing->loop == NULL) {
        return err->code;
    }
    const struct tt_api_client_config client = {.loop = showing->loop,
                                                .kubeconfig = showing->show->kubeconfig,
                                                .user_agent = "tuttictl/" TT_VERSION_TEXT};
    int r = tt_api_client_new(&client, &showing->client, err);
    if (r == TT_OK) {
        tt_loop_run_here(showing->loop);
        r = showing->err.code;
        *err = showing->err;
    }
    tt_loop_free(showing->loop);
    if (showing->failed > 0 && showing->show->sources->count > 1) {
        tt_err_init(err);
        return TT_FAIL(err, r, "%zu of %zu logs not shown", showing->failed,
                       showing->show->sources->count);
    }
    return r;
}

int ctl_log_show(const struct ctl_log_show *show, struct tt_err *err)
{
    TT_ASSERT(show->at_once > 0);
    struct showing showing = {.show = show};
    tt_err_init(&showing.err);
    showing.streams = tt_xcalloc(show->sources->count, sizeof showing.streams[0]);
    int r = run(&showing, err);
    for (size_t i = 0; i < show->sources->count; i++) {
        tt_buf_fini(&showing.streams[i].line);
    }
    tt_free(showing.streams);
    return r;
}

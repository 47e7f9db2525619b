/* One stream per request: read a block, filter it, hand it to the connection; stop when the
 * connection is full and go on when it has drained. At the end of the file a follower looks again
 * after a short while, until the container has ended and nothing more came.
 *
 * Files are opened below ROOT/logs with RESOLVE_BENEATH and without following links, so that
 * nothing a container does can lead out. When the file was rotated (its name has another inode),
 * the old one is read to its end, then the new one. */
#include "agent/log_server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cri_config.h"
#include "agent/log_line.h"
#include "api/http/uri.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/tls/identity.h"

enum {
    STREAMS_MAX = 128,
    BLOCK = 32 << 10,
    FOLLOW_MS = 200,
    DRAIN_MS = 500,
};

struct log_server {
    struct log_server_config config; /* copied; what it points to is kept */
    struct tt_http_server *http;     /* owned; listener and connections */
    struct tt_list streams;          /* struct stream by link, being answered */
    size_t stream_count;             /* at most STREAMS_MAX */
    struct tt_timer timer;           /* looks for more of what is followed */
    int logs_fd;                     /* ROOT/logs; -1 until it exists */
    bool timer_closed;               /* its close callback ran */
    bool http_closed;                /* it has stopped: no exchange is left */
    void (*closed)(void *ctx);       /* of close; called when timer and http are closed */
    void *closed_ctx;                /* passed to closed */
};
struct stream {
    struct tt_list link;         /* in server->streams */
    struct log_server *server;   /* kept: it ends its streams before it goes */
    struct tt_http_exchange *ex; /* being answered; its user pointer is this stream */
    struct sync_log_query query; /* in the exchange's arena */
    struct sync_log log;         /* as found when asked: directory, attempt */
    char path[320];              /* below ROOT/logs */
    struct log_filter filter;    /* the reader's wishes and how far it is */
    struct tt_buf in;            /* read, not yet filtered */
    struct tt_buf out;           /* filtered, not yet taken */
    uint64_t tail_lines;         /* UINT64_MAX: all */
    int fd;                      /* the log that is read; -1: none is open */
    bool follow;                 /* asked: more is awaited at the end */
    bool previous;               /* asked: the instance before the newest */
    bool is_blocked;             /* the connection is full */
    bool is_rotating; /* its file has another name now, and was read to its end once since then */
};

/* ---- files ---- */

static int open_beneath(struct log_server *server, const char *path)
{
    if (server->logs_fd < 0) {
        char logs[512];
        (void)snprintf(logs, sizeof logs, "%s/logs", server->config.root);
        server->logs_fd = open(logs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, server->logs_fd, path, &how, sizeof how);
}

/* Opens the newest file; false when there is none. */
static bool open_log(struct stream *stream)
{
    struct stat st;
    stream->fd = open_beneath(stream->server, stream->path);
    if (stream->fd >= 0 && (fstat(stream->fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        (void)close(stream->fd);
        stream->fd = -1;
    }
    return stream->fd >= 0;
}

/* The name leads to another file now. */
static bool is_rotated(const struct stream *stream)
{
    struct stat mine;
    struct stat named;
    return fstat(stream->fd, &mine) == 0 &&
           fstatat(stream->server->logs_fd, stream->path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           (mine.st_ino != named.st_ino || mine.st_dev != named.st_dev);
}

/* ---- streams ---- */

static void stream_free(struct stream *stream)
{
    tt_list_remove(&stream->link);
    stream->server->stream_count--;
    if (stream->fd >= 0) {
        (void)close(stream->fd);
    }
    tt_buf_fini(&stream->in);
    tt_buf_fini(&stream->out);
    tt_free(stream);
}

static void stream_end(struct stream *stream)
{
    struct tt_http_exchange *ex = stream->ex;
    tt_http_set_user(ex, NULL);
    stream_free(stream);
    tt_http_stream_end(ex);
}

/* False: the connection is full. */
static bool flush(struct stream *stream)
{
    if (stream->out.len > 0) {
        const struct tt_http_part part = {.bytes = tt_buf_view(&stream->out)};
        if (tt_http_stream_write(stream->ex, &part, 1) != TT_OK) {
            stream->is_blocked = true;
            return false;
        }
        tt_buf_reset(&stream->out);
    }
    return true;
}

/* Bytes read; 0 at the end (or on an error, which ends the log too). */
static size_t fill(struct stream *stream)
{
    char *at = tt_buf_reserve(&stream->in, BLOCK);
    ssize_t size = at != NULL ? read(stream->fd, at, BLOCK) : 0;
    if (size <= 0) {
        return 0;
    }
    stream->in.len += (size_t)size;
    return (size_t)size;
}

static void filter(struct stream *stream)
{
    struct tt_str rest = tt_buf_view(&stream->in);
    size_t before = rest.len;
    log_filter_run(&stream->filter, &rest, (size_t)2 * LOG_RECORD_MAX, &stream->out);
    tt_buf_consume(&stream->in, before - rest.len);
}

/* More may come to this file, or already came to a new one. */
static bool goes_on(struct stream *stream)
{
    struct sync_log now;
    return stream->follow &&
           sync_find_log(stream->server->config.sync, &stream->query, &now, NULL) == TT_OK &&
           now.attempt == stream->log.attempt && now.is_running;
}

enum at_end { AT_END_STOP, AT_END_WAIT, AT_END_READ };

/* What to do at the end of a file. A file that was rotated may get some more while the runtime
 * turns to the new one: it is left only when it still has its end there at the next look. */
static enum at_end at_end(struct stream *stream, bool more)
{
    if (!stream->follow || !is_rotated(stream)) {
        return more ? AT_END_WAIT : AT_END_STOP;
    }
    if (!stream->is_rotating) {
        stream->is_rotating = true;
        return AT_END_WAIT;
    }
    stream->is_rotating = false;
    (void)close(stream->fd);
    return open_log(stream) ? AT_END_READ : AT_END_STOP;
}

static void pump(struct stream *stream)
{
    if (!flush(stream)) {
        return;
    }
    while (!log_filter_is_full(&stream->filter)) { /* until the connection is full */
        /* Asked before the read: what an ending container wrote last is still found. */
        bool more = goes_on(stream);
        size_t size = fill(stream);
        filter(stream);
        if (!flush(stream)) {
            return;
        }
        enum at_end next = size > 0 ? AT_END_READ : at_end(stream, more);
        stream->is_rotating = stream->is_rotating && size == 0;
        if (next == AT_END_STOP) {
            break;
        }
        if (next == AT_END_WAIT) {
            return; /* the timer looks again */
        }
    }
    stream_end(stream);
}

static void drained(void *ctx, struct tt_http_exchange *ex)
{
    struct stream *stream = tt_http_user(ex);
    (void)ctx; /* the server's handler context: the stream knows its server */
    if (stream != NULL) {
        stream->is_blocked = false;
        pump(stream);
    }
}

static void timer_fired(struct tt_timer *timer)
{
    struct log_server *server = TT_CONTAINER_OF(timer, struct log_server, timer);
    struct tt_list *next;
    for (struct tt_list *node = server->streams.next; node != &server->streams; node = next) {
        next = node->next;
        struct stream *stream = TT_CONTAINER_OF(node, struct stream, link);
        if (!stream->is_blocked) {
            pump(stream);
        }
    }
}

/* ---- requests ---- */

static int read_query(struct stream *stream, const struct tt_http_request *request,
                      struct tt_err *err)
{
    struct tt_query query;
    uint64_t since_s = 0;
    int r = tt_query_parse(request->query, tt_http_arena(stream->ex), &query, err);
    stream->tail_lines = UINT64_MAX;
    stream->filter.bytes_max = UINT64_MAX;
    if (r == TT_OK) {
        r = tt_query_bool(&query, "follow", &stream->follow, err);
    }
    if (r == TT_OK) {
        r = tt_query_bool(&query, "previous", &stream->previous, err);
    }
    if (r == TT_OK) {
        r = tt_query_bool(&query, "timestamps", &stream->filter.timestamps, err);
    }
    if (r == TT_OK) {
        r = tt_query_u64(&query, "tailLines", &stream->tail_lines, err);
    }
    if (r == TT_OK) {
        r = tt_query_u64(&query, "limitBytes", &stream->filter.bytes_max, err);
    }
    if (r == TT_OK) {
        r = tt_query_u64(&query, "sinceSeconds", &since_s, err);
    }
    const struct tt_str *since = r == TT_OK ? tt_query_get(&query, "sinceTime") : NULL;
    if (since != NULL && !tt_time_parse(*since, &stream->filter.since_ms)) {
        r = TT_FAIL(err, TT_EINVAL, "sinceTime is no time");
    }
    uint64_t now_ms = tt_clock_wall_ms(stream->server->config.clock);
    if (since_s > 0 && since_s < now_ms / 1000) {
        stream->filter.since_ms = now_ms - since_s * 1000;
    }
    return r;
}

static int find(struct stream *stream, const struct tt_http_request *request, struct tt_err *err)
{
    struct tt_uri_path path;
    char file[CRI_LOG_PATH_SIZE];
    int r = tt_uri_path_split(request->path, tt_http_arena(stream->ex), &path, err);
    if (r == TT_OK && (path.count != 4 || !tt_str_eq_c(path.segment[0], "containerLogs"))) {
        r = TT_FAIL(err, TT_ENOTFOUND, "there is nothing here");
    }
    if (r != TT_OK) {
        return r;
    }
    stream->query = (struct sync_log_query){.namespace = path.segment[1],
                                            .pod = path.segment[2],
                                            .container = path.segment[3],
                                            .previous = stream->previous};
    r = sync_find_log(stream->server->config.sync, &stream->query, &stream->log, err);
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO_FREE char *container = tt_str_xdup(path.segment[3]);
    cri_log_path(container, stream->log.attempt, file);
    const char *directory = strrchr(stream->log.directory, '/');
    TT_ASSERT(directory != NULL);
    (void)snprintf(stream->path, sizeof stream->path, "%s/%s", directory + 1, file);
    return open_log(stream) ? TT_OK
                            : TT_FAIL_ERRNO(err, errno, "the log %s cannot be read", stream->path);
}

static bool may_ask(const struct tt_http_exchange *ex)
{
    const struct tt_peer_identity *peer = tt_http_peer(ex);
    return peer != NULL && peer->role == TT_IDENTITY_SERVER;
}

static void refuse(struct tt_http_exchange *ex, int status, const char *text)
{
    tt_http_respond_text(ex, status, "text/plain", tt_str_c(text));
}

static void begin(struct stream *stream)
{
    static const struct tt_http_header headers[] = {
        {{"content-type", 12}, {"text/plain", 10}},
    };
    if (stream->tail_lines != UINT64_MAX) {
        int64_t offset = log_tail_offset(stream->fd, stream->tail_lines);
        (void)lseek(stream->fd, offset > 0 ? offset : 0, SEEK_SET); /* a regular file */
    }
    tt_http_set_user(stream->ex, stream);
    tt_http_stream_begin(stream->ex, 200, headers, 1, drained);
    pump(stream);
}

static void on_request(void *ctx, struct tt_http_exchange *ex)
{
    struct log_server *server = ctx;
    const struct tt_http_request *request = tt_http_request(ex);
    struct tt_err err;
    tt_err_init(&err);
    if (!may_ask(ex)) {
        refuse(ex, 403, "only servers of the cluster may ask\n");
        return;
    }
    if (request->method != TT_HTTP_GET || server->stream_count >= STREAMS_MAX) {
        refuse(ex, request->method != TT_HTTP_GET ? 405 : 429, "not now\n");
        return;
    }
    struct stream *stream = TT_NEW(struct stream);
    stream->server = server;
    stream->ex = ex;
    stream->fd = -1;
    tt_buf_init(&stream->in, (size_t)2 * LOG_RECORD_MAX);
    tt_buf_init(&stream->out, (size_t)4 * LOG_RECORD_MAX);
    tt_list_push_back(&server->streams, &stream->link);
    server->stream_count++;
    int r = read_query(stream, request, &err);
    if (r == TT_OK) {
        r = find(stream, request, &err);
    }
    if (r != TT_OK) {
        stream_free(stream);
        refuse(ex, r == TT_ENOTFOUND ? 404 : r == TT_EINVAL ? 400 : 500, tt_err_cause(&err));
        return;
    }
    begin(stream);
}

static void on_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    struct stream *stream = tt_http_user(ex);
    (void)ctx; /* the stream knows its server */
    if (stream != NULL) {
        stream_free(stream);
    }
}

/* ---- life ---- */

int log_server_new(const struct log_server_config *config, struct log_server **ret_server,
                   struct tt_err *err)
{
    struct log_server *server = TT_NEW(struct log_server);
    server->config = *config;
    server->logs_fd = -1;
    tt_list_init(&server->streams);
    const struct tt_http_server_config http = {
        .loop = config->loop,
        .tls = config->tls,
        .host = config->host,
        .port = config->port,
        .handler = {.request = on_request, .cancelled = on_cancelled, .ctx = server}};
    int r = tt_http_server_new(&http, &server->http, err);
    if (r != TT_OK) {
        tt_free(server);
        return TT_WRAP(err, r, "--listen %s:%u", config->host, config->port);
    }
    tt_timer_init(&server->timer, config->loop, timer_fired);
    tt_timer_start(&server->timer, FOLLOW_MS, FOLLOW_MS);
    *ret_server = server;
    return TT_OK;
}

static void free_when_closed(struct log_server *server)
{
    if (!server->timer_closed || !server->http_closed) {
        return;
    }
    void (*closed)(void *) = server->closed;
    void *closed_ctx = server->closed_ctx;
    TT_ASSERT(tt_list_empty(&server->streams));
    if (server->logs_fd >= 0) {
        (void)close(server->logs_fd);
    }
    tt_http_server_free(server->http);
    tt_free(server);
    closed(closed_ctx);
}

static void timer_closed(struct tt_timer *timer)
{
    struct log_server *server = TT_CONTAINER_OF(timer, struct log_server, timer);
    server->timer_closed = true;
    free_when_closed(server);
}

static void http_closed(void *ctx)
{
    struct log_server *server = ctx;
    server->http_closed = true;
    free_when_closed(server);
}

void log_server_close(struct log_server *server, void (*closed)(void *ctx), void *ctx)
{
    server->closed = closed;
    server->closed_ctx = ctx;
    while (!tt_list_empty(&server->streams)) {
        stream_end(TT_CONTAINER_OF(server->streams.next, struct stream, link));
    }
    tt_timer_close(&server->timer, timer_closed);
    tt_http_server_stop(server->http, DRAIN_MS, http_closed, server);
}

/* connect → (write → read until the status line) → close. Whatever comes first decides; the rest is
 * closing. A redirect counts as success and is not followed. */
#include "agent/probe.h"

#include <stdio.h>

static void handle_closed(struct probe *probe)
{
    if (--probe->open == 0) {
        probe->done(probe, probe->ok, probe->message);
    }
}

static void tcp_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void timer_closed(struct tt_timer *timer)
{
    handle_closed(TT_CONTAINER_OF(timer, struct probe, timer));
}

static void end(struct probe *probe, bool ok, const char *message)
{
    if (probe->is_ending) {
        return;
    }
    probe->is_ending = true;
    probe->ok = ok;
    (void)snprintf(probe->message, sizeof probe->message, "%s", message);
    uv_close((uv_handle_t *)&probe->tcp, tcp_closed);
    tt_timer_close(&probe->timer, timer_closed);
}

unsigned probe_http_status(struct tt_str answer)
{
    struct tt_str rest = answer;
    struct tt_str version;
    uint64_t status;
    if (!tt_str_starts(answer, TT_STR("HTTP/")) || !tt_str_cut(&rest, ' ', &version) ||
        rest.len < 3 || !tt_str_to_u64(tt_str_head(rest, 3), &status)) {
        return 0;
    }
    return status >= 100 && status <= 599 ? (unsigned)status : 0;
}

static void judge(struct probe *probe)
{
    unsigned status = probe_http_status(tt_str(probe->answer, probe->answer_size));
    char text[64];
    (void)snprintf(text, sizeof text, "HTTP probe failed with statuscode: %u", status);
    end(probe, status >= 200 && status < 400, text);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct probe *probe = handle->data;
    (void)suggested;
    *buf = uv_buf_init(probe->answer + probe->answer_size,
                       (unsigned)(sizeof probe->answer - probe->answer_size));
}

static void on_read(uv_stream_t *tcp, ssize_t size, const uv_buf_t *buf)
{
    struct probe *probe = tcp->data;
    (void)buf;
    if (size > 0) {
        probe->answer_size += (size_t)size;
    }
    if (size < 0 || probe->answer_size == sizeof probe->answer ||
        memchr(probe->answer, '\n', probe->answer_size) != NULL) {
        judge(probe);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct probe *probe = write->data;
    if (status < 0) {
        end(probe, false, uv_strerror(status));
    }
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct probe *probe = connect->data;
    if (status < 0) {
        end(probe, false, uv_strerror(status));
        return;
    }
    if (probe->request == NULL) {
        end(probe, true, "");
        return;
    }
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)probe->request, (unsigned)probe->request_size);
    probe->write.data = probe;
    int r = uv_write(&probe->write, (uv_stream_t *)&probe->tcp, &buf, 1, on_written);
    if (r == 0) {
        r = uv_read_start((uv_stream_t *)&probe->tcp, on_alloc, on_read);
    }
    if (r < 0) {
        end(probe, false, uv_strerror(r));
    }
}

static void timed_out(struct tt_timer *timer)
{
    end(TT_CONTAINER_OF(timer, struct probe, timer), false, "timed out");
}

void probe_start(struct probe *probe, struct tt_loop *loop)
{
    struct sockaddr_storage address;
    int r = uv_tcp_init(tt_loop_uv(loop), &probe->tcp);
    TT_ASSERT(r == 0);
    probe->tcp.data = probe;
    probe->connect.data = probe;
    probe->open = 2;
    tt_timer_init(&probe->timer, loop, timed_out);
    tt_timer_start(&probe->timer, probe->timeout_ms, 0);
    r = uv_ip4_addr(probe->host, probe->port, (struct sockaddr_in *)&address);
    if (r < 0) {
        r = uv_ip6_addr(probe->host, probe->port, (struct sockaddr_in6 *)&address);
    }
    if (r == 0) {
        r = uv_tcp_connect(&probe->connect, &probe->tcp, (struct sockaddr *)&address, on_connected);
    }
    if (r < 0) {
        end(probe, false, uv_strerror(r));
    }
}

void probe_cancel(struct probe *probe)
{
    end(probe, false, "canceled");
}

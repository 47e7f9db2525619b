#include "base/loop.h"

/* Timers of base/loop.h and the conversion of libuv's errors. Failure modes: none of libuv's timer
 * calls can fail with an initialised handle and a callback (asserted). */

static void on_fire(uv_timer_t *uv)
{
    struct tt_timer *timer = uv->data;
    timer->fire(timer);
}

void tt_timer_init(struct tt_timer *timer, struct tt_loop *loop,
                   void (*fire)(struct tt_timer *timer))
{
    TT_ASSERT(fire != NULL);
    int r = uv_timer_init(tt_loop_uv(loop), &timer->uv);
    TT_ASSERT(r == 0);
    timer->uv.data = timer;
    timer->fire = fire;
    timer->closed = NULL;
}

void tt_timer_start(struct tt_timer *timer, uint64_t delay_ms, uint64_t repeat_ms)
{
    int r = uv_timer_start(&timer->uv, on_fire, delay_ms, repeat_ms);
    TT_ASSERT(r == 0);
}

void tt_timer_stop(struct tt_timer *timer)
{
    int r = uv_timer_stop(&timer->uv);
    TT_ASSERT(r == 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct tt_timer *timer = handle->data;
    if (timer->closed) {
        timer->closed(timer);
    }
}

void tt_timer_close(struct tt_timer *timer, void (*closed)(struct tt_timer *timer))
{
    timer->closed = closed;
    uv_close((uv_handle_t *)&timer->uv, on_closed);
}

/* Codes of libuv that are no errno of Linux. */
static int code_of_uv(int uv_code)
{
    switch (uv_code) {
    case UV_EOF:
        return TT_ECLOSED;
    case UV_ECHARSET:
        return TT_EINVAL;
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        return TT_ENOTFOUND;
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
        return TT_EUNAVAILABLE;
    case UV_EAI_CANCELED:
        return TT_ECANCELED;
    case UV_EAI_MEMORY:
        return TT_ENOMEM;
    default:
        return 0;
    }
}

int tt_err_uv(struct tt_err *err, const char *file, int line, int uv_code, const char *what)
{
    TT_ASSERT(uv_code < 0);
    int code = code_of_uv(uv_code);
    if (code == 0 && uv_code > -3000) {
        /* On Linux the rest are errno values with the sign turned. */
        return tt_err_errno(err, file, line, -uv_code, "%s", what);
    }
    char text[64];
    return tt_err_fail(err, file, line, code != 0 ? code : TT_EIO, "%s: %s", what,
                       uv_strerror_r(uv_code, text, sizeof text));
}

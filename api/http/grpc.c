/* A gRPC call is an HTTP/2 call with a 5-byte prefix before each message and its outcome in the
 * trailers (or, for errors without a message, in the first headers).
 *
 * Streaming: each message is handed over as soon as it is whole. Unary: the one message stays in
 * `in` until done. A broken stream (compressed or oversized message, bytes left over, two answers
 * to a unary call) cancels the call and is reported as TT_EPROTO or TT_ETOOLARGE. */
#include "api/http/grpc.h"

#include <stdio.h>

#include "api/http/uri.h"
#include "base/intmath.h"

enum {
    PREFIX = 5,
    MESSAGE_MAX = 16 << 20,
    REQUEST_MAX = 16 << 20,
    TEXT_MIN = 64, /* of a peer's text that is always told */
};
#define DOTS "... "

static const struct {
    const char *name; /* static; as gRPC spells it */
    int code;         /* TT_E… nearest to it */
} statuses[] = {
    [TT_GRPC_OK] = {"OK", TT_OK},
    [TT_GRPC_CANCELLED] = {"CANCELLED", TT_ECANCELED},
    [TT_GRPC_UNKNOWN] = {"UNKNOWN", TT_EINTERNAL},
    [TT_GRPC_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", TT_EINVAL},
    [TT_GRPC_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", TT_ETIMEOUT},
    [TT_GRPC_NOT_FOUND] = {"NOT_FOUND", TT_ENOTFOUND},
    [TT_GRPC_ALREADY_EXISTS] = {"ALREADY_EXISTS", TT_EEXISTS},
    [TT_GRPC_PERMISSION_DENIED] = {"PERMISSION_DENIED", TT_EFORBIDDEN},
    [TT_GRPC_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", TT_EBUSY},
    [TT_GRPC_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", TT_ECONFLICT},
    [TT_GRPC_ABORTED] = {"ABORTED", TT_ECONFLICT},
    [TT_GRPC_OUT_OF_RANGE] = {"OUT_OF_RANGE", TT_EINVAL},
    [TT_GRPC_UNIMPLEMENTED] = {"UNIMPLEMENTED", TT_EMETHOD},
    [TT_GRPC_INTERNAL] = {"INTERNAL", TT_EINTERNAL},
    [TT_GRPC_UNAVAILABLE] = {"UNAVAILABLE", TT_EUNAVAILABLE},
    [TT_GRPC_DATA_LOSS] = {"DATA_LOSS", TT_ECORRUPT},
    [TT_GRPC_UNAUTHENTICATED] = {"UNAUTHENTICATED", TT_EUNAUTHORIZED},
};

static bool status_is_known(int status)
{
    return status >= 0 && (size_t)status < sizeof statuses / sizeof *statuses;
}

const char *tt_grpc_status_name(int status)
{
    return status_is_known(status) ? statuses[status].name : "UNKNOWN";
}

static void put_prefix(uint8_t out[PREFIX], size_t size)
{
    TT_ASSERT(size <= UINT32_MAX);
    out[0] = 0; /* not compressed */
    for (unsigned i = 0; i < 4; i++) {
        out[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    }
}

static size_t prefix_size(const char *prefix)
{
    size_t size = 0;
    for (unsigned i = 0; i < 4; i++) {
        size = size << 8 | (uint8_t)prefix[1 + i];
    }
    return size;
}

static void take_header(struct tt_http_call *http, struct tt_str name, struct tt_str value,
                        bool trailer)
{
    (void)trailer; /* an error without a message has them in the first headers */
    struct tt_grpc_call *call = http->ctx;
    uint64_t status;
    if (tt_str_eq(name, TT_STR("grpc-status"))) {
        if (tt_str_to_u64(value, &status) && status < 1000) {
            call->status = (int)status;
        }
    } else if (tt_str_eq(name, TT_STR("grpc-message"))) {
        struct tt_str cut = tt_str_head(value, sizeof call->text - 1);
        ptrdiff_t size = tt_uri_decode(cut, false, call->text, sizeof call->text - 1);
        if (size < 0) { /* not valid escapes: show it as it came */
            memcpy(call->text, cut.ptr, cut.len);
            size = (ptrdiff_t)cut.len;
        }
        call->text[size] = '\0';
    }
}

/* What of the text fits into one frame of an error behind used bytes. The rest is cut from its
 * start: a chain of "this failed: that failed: …" has its cause at the end.
 */
static const char *end_of(const char *text, size_t used)
{
    size_t length = strlen(text);
    if (used + length < TT_ERR_MSG_SIZE) {
        return text;
    }
    used += sizeof DOTS - 1;
    size_t room = used + TEXT_MIN < TT_ERR_MSG_SIZE ? TT_ERR_MSG_SIZE - 1 - used : TEXT_MIN;
    const char *end = text + (length > room ? length - room : 0);
    while (((unsigned char)*end & 0xc0) == 0x80) {
        end++; /* never from the middle of a character */
    }
    return end;
}

static void break_call(struct tt_grpc_call *call, int code)
{
    call->broken = code;
    tt_http_call_cancel(&call->http);
}

/* The first whole message in bytes; its end in *ret_end. 0: incomplete; 1: found; else TT_E…. */
static int find_message(const struct tt_grpc_call *call, struct tt_str bytes,
                        struct tt_str *ret_message)
{
    if (bytes.len < PREFIX) {
        return 0;
    }
    if (bytes.ptr[0] != 0) {
        return TT_EPROTO;
    }
    size_t size = prefix_size(bytes.ptr);
    size_t size_max = call->message_size_max ? call->message_size_max : MESSAGE_MAX;
    if (size > size_max) {
        return TT_ETOOLARGE;
    }
    if (bytes.len - PREFIX < size) {
        return 0;
    }
    *ret_message = tt_str(bytes.ptr + PREFIX, size);
    return 1;
}

/* Hands over every whole message; returns the bytes used. */
static size_t deliver(struct tt_grpc_call *call, struct tt_str bytes)
{
    size_t used = 0;
    struct tt_str message = TT_STR_NONE;
    int found = 0;
    while ((found = find_message(call, tt_str_skip(bytes, used), &message)) == 1) {
        used += PREFIX + message.len;
        call->message(call, message);
        if (call->http.is_ended) {
            return bytes.len; /* cancelled inside */
        }
    }
    if (found < 0) {
        break_call(call, found);
        return bytes.len;
    }
    return used;
}

static void take_data(struct tt_http_call *http, struct tt_str bytes)
{
    struct tt_grpc_call *call = http->ctx;
    if (call->message && call->in.len == 0) { /* the common case: nothing left over */
        bytes = tt_str_skip(bytes, deliver(call, bytes));
    }
    if (bytes.len == 0) {
        return;
    }
    tt_buf_str(&call->in, bytes);
    if (!tt_buf_ok(&call->in)) {
        break_call(call, TT_ETOOLARGE);
    } else if (call->message) {
        tt_buf_consume(&call->in, deliver(call, tt_buf_view(&call->in)));
    }
}

static int status_of_http(int status)
{
    switch (status) {
    case 401:
        return TT_GRPC_UNAUTHENTICATED;
    case 403:
        return TT_GRPC_PERMISSION_DENIED;
    case 404:
        return TT_GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return TT_GRPC_UNAVAILABLE;
    default:
        return TT_GRPC_UNKNOWN;
    }
}

/* What the whole call comes to; fills err unless 0. */
static int outcome(struct tt_grpc_call *call, const struct tt_err *http_err, struct tt_err *err)
{
    if (call->broken != 0) {
        return TT_FAIL(err, call->broken, "%s: malformed or oversized gRPC message", call->path);
    }
    if (http_err && call->status < 0) {
        char text[256];
        tt_err_format(http_err, text, sizeof text);
        return TT_FAIL(err, http_err->code, "%s: %s", call->path, text);
    }
    if (call->http.status != 200 && call->status < 0) {
        call->status = status_of_http(call->http.status);
        return TT_FAIL(err, statuses[call->status].code, "%s: HTTP status %d", call->path,
                       call->http.status);
    }
    if (call->status < 0) {
        return TT_FAIL(err, TT_ECLOSED, "%s: the stream ended without a status", call->path);
    }
    if (call->status != TT_GRPC_OK) {
        int code = status_is_known(call->status) ? statuses[call->status].code : TT_EINTERNAL;
        const char *status = tt_grpc_status_name(call->status);
        const char *text = end_of(call->text, strlen(call->path) + strlen(status) + 4);
        return TT_FAIL(err, code, "%s: %s: %s%s", call->path, status,
                       text == call->text ? "" : DOTS, text);
    }
    if (call->message) {
        return call->in.len == 0
                   ? 0
                   : TT_FAIL(err, TT_EPROTO, "%s: the stream ended inside a message", call->path);
    }
    int found = find_message(call, tt_buf_view(&call->in), &call->reply);
    if (found != 1 || call->in.len != PREFIX + call->reply.len) {
        return TT_FAIL(err, found < 0 ? found : TT_EPROTO, "%s: not exactly one answer",
                       call->path);
    }
    return 0;
}

static void finished(struct tt_http_call *http, const struct tt_err *http_err)
{
    struct tt_grpc_call *call = http->ctx;
    struct tt_err err;
    tt_err_init(&err);
    int r = outcome(call, http_err, &err);
    tt_buf_fini(&call->request);
    struct tt_buf in = call->in; /* reply points into it; done may start the call anew */
    call->in = (struct tt_buf){0};
    tt_http_call_fini(http);
    call->done(call, r < 0 ? &err : NULL);
    tt_buf_fini(&in);
}

static void prepare_headers(struct tt_grpc_call *call)
{
    call->headers[0] = (struct tt_http_header){TT_STR("te"), TT_STR("trailers")};
    call->headers[1] = (struct tt_http_header){TT_STR("content-type"), TT_STR("application/grpc")};
    call->http.header_count = 2;
    if (call->timeout_ms > 0) {
        enum { GRPC_TIMEOUT_MAX = 99999999 }; /* eight digits */
        uint64_t ms = tt_u64_min(call->timeout_ms, GRPC_TIMEOUT_MAX);
        int len = snprintf(call->timeout_text, sizeof call->timeout_text, "%llum",
                           (unsigned long long)ms);
        call->headers[2] = (struct tt_http_header){TT_STR("grpc-timeout"),
                                                   tt_str(call->timeout_text, (size_t)len)};
        call->http.header_count = 3;
    }
    call->http.headers = call->headers;
}

int tt_grpc_start(struct tt_http_client *client, struct tt_grpc_call *call, struct tt_str message,
                  struct tt_err *err)
{
    TT_ASSERT(call->path && call->done && !call->http.client);
    if (message.len > REQUEST_MAX - PREFIX) {
        return TT_FAIL(err, TT_ETOOLARGE, "%s: the request has %zu bytes", call->path, message.len);
    }
    size_t size_max = call->message_size_max ? call->message_size_max : MESSAGE_MAX;
    uint8_t prefix[PREFIX];
    put_prefix(prefix, message.len);
    tt_buf_init(&call->request, REQUEST_MAX);
    tt_buf_append(&call->request, prefix, sizeof prefix);
    tt_buf_str(&call->request, message);
    /* A whole message and what one DATA frame may carry beyond it. */
    tt_buf_init(&call->in, size_max + PREFIX + (64 << 10));
    call->status = -1;
    call->text[0] = '\0';
    call->reply = TT_STR_NONE;
    call->broken = 0;
    call->http = (struct tt_http_call){.method = "POST",
                                       .path = tt_str_c(call->path),
                                       .body = tt_buf_view(&call->request),
                                       .timeout_ms = call->timeout_ms,
                                       .header = take_header,
                                       .data = take_data,
                                       .done = finished,
                                       .ctx = call};
    prepare_headers(call);
    int r = tt_http_call_start(client, &call->http, err);
    if (r < 0) {
        tt_buf_fini(&call->request);
        tt_buf_fini(&call->in);
    }
    return r;
}

void tt_grpc_cancel(struct tt_grpc_call *call)
{
    tt_http_call_cancel(&call->http);
}

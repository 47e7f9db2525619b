/* Every part is escaped: what a client wrote can only ever be one segment or one value. */
#include "api/routes/log_path.h"

#include "api/http/uri.h"

static void write_number(struct tt_buf *buf, const char *name, uint64_t value)
{
    if (value != UINT64_MAX) {
        tt_buf_printf(buf, "&%s=%llu", name, (unsigned long long)value);
    }
}

void api_log_path(const struct api_query *query, struct tt_str ns, struct tt_str pod,
                  struct tt_str container, struct tt_buf *buf)
{
    tt_buf_c(buf, "/containerLogs/");
    tt_uri_encode(buf, ns);
    tt_buf_char(buf, '/');
    tt_uri_encode(buf, pod);
    tt_buf_char(buf, '/');
    tt_uri_encode(buf, container);
    tt_buf_printf(buf, "?follow=%s&timestamps=%s&previous=%s", query->follow ? "true" : "false",
                  query->timestamps ? "true" : "false", query->previous ? "true" : "false");
    write_number(buf, "tailLines", query->tail_lines);
    write_number(buf, "sinceSeconds", query->since_seconds);
    write_number(buf, "limitBytes", query->limit_bytes);
    if (query->since_time.len > 0) {
        tt_buf_c(buf, "&sinceTime=");
        tt_uri_encode(buf, query->since_time);
    }
}

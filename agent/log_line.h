/* Lines of a container's log as runtimes write them: "TIME stdout|stderr F|P TEXT".
 *
 * Ownership: views borrow the input. Thread: any. Errors: false for a line of another shape.
 * Source: CRI logging format (F: the line ends here, P: it goes on in the next record). */
#ifndef AGENT_LOG_LINE_H
#define AGENT_LOG_LINE_H

#include "base/buf.h"

struct log_line {
    struct tt_str time; /* RFC 3339 with nanoseconds */
    bool is_stderr;     /* else stdout */
    bool is_full;       /* F */
    struct tt_str text; /* what the container wrote, without a newline */
};
/* record: without its newline. */
bool log_line_parse(struct tt_str record, struct log_line *ret_line);

/* Turns records into what a reader sees. */
struct log_filter {
    bool timestamps;    /* the time before each line */
    uint64_t since_ms;  /* Unix time; older lines are dropped */
    uint64_t bytes_max; /* of output; UINT64_MAX: all */
    uint64_t bytes;     /* put out so far */
    bool in_line;       /* the last record was partial */
    bool is_dropping;   /* and too old */
};
/* Takes all whole records from the front of *input (advances it) and appends to out until `room` is
 * used up or bytes_max is reached. A record longer than LOG_RECORD_MAX is cut. */
enum { LOG_RECORD_MAX = 128 << 10 };
void log_filter_run(struct log_filter *filter, struct tt_str *input, size_t room,
                    struct tt_buf *out);
bool log_filter_is_full(const struct log_filter *filter); /* bytes_max was reached */

/* Offset in the file where the last `lines` lines begin; 0 when it has fewer. -1: errno. */
int64_t log_tail_offset(int fd, uint64_t lines);

#endif

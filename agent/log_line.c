/* A record that does not parse is passed on as it is: better a strange line than a lost one. */
#include "agent/log_line.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { BLOCK = 64 << 10, HEAD = 64 };

bool log_line_parse(struct tt_str record, struct log_line *ret_line)
{
    struct tt_str rest = record;
    struct tt_str stream;
    struct tt_str tag;
    if (!tt_str_cut(&rest, ' ', &ret_line->time) || !tt_str_cut(&rest, ' ', &stream) ||
        !tt_str_cut(&rest, ' ', &tag)) {
        return false;
    }
    ret_line->is_stderr = tt_str_eq_c(stream, "stderr");
    ret_line->is_full = tag.len > 0 && tag.ptr[0] == 'F';
    ret_line->text = rest;
    return ret_line->time.len > 0 && (ret_line->is_stderr || tt_str_eq_c(stream, "stdout")) &&
           tag.len > 0 && (tag.ptr[0] == 'F' || tag.ptr[0] == 'P');
}

bool log_filter_is_full(const struct log_filter *filter)
{
    return filter->bytes >= filter->bytes_max;
}

static void put(struct log_filter *filter, struct tt_str text, struct tt_buf *out)
{
    uint64_t left = filter->bytes_max - filter->bytes;
    text = tt_str_head(text, text.len < left ? text.len : (size_t)left);
    tt_buf_str(out, text);
    filter->bytes += text.len;
}

static void put_record(struct log_filter *filter, struct tt_str record, struct tt_buf *out)
{
    struct log_line line;
    uint64_t time_ms;
    if (!log_line_parse(record, &line)) {
        line = (struct log_line){.is_full = true, .text = record};
    }
    if (!filter->in_line) {
        filter->is_dropping = filter->since_ms > 0 && tt_time_parse(line.time, &time_ms) &&
                              time_ms < filter->since_ms;
        if (filter->timestamps && !filter->is_dropping && line.time.len > 0) {
            put(filter, line.time, out);
            put(filter, TT_STR(" "), out);
        }
    }
    if (!filter->is_dropping) {
        put(filter, line.text, out);
        if (line.is_full) {
            put(filter, TT_STR("\n"), out);
        }
    }
    filter->in_line = !line.is_full;
}

void log_filter_run(struct log_filter *filter, struct tt_str *input, size_t room,
                    struct tt_buf *out)
{
    size_t start = out->len;
    while (out->len - start < room && !log_filter_is_full(filter)) {
        ptrdiff_t end = tt_str_find(*input, '\n');
        size_t used = end < 0 ? input->len : (size_t)end;
        if (end < 0 && input->len < LOG_RECORD_MAX) {
            return; /* the rest is still being written */
        }
        put_record(filter, tt_str_head(*input, used), out);
        *input = tt_str_skip(*input, end < 0 ? used : used + 1);
    }
}

/* Does a whole line end with the record that begins at `offset`? */
static bool ends_line(int fd, int64_t offset)
{
    char head[HEAD];
    struct log_line line;
    ssize_t size = pread(fd, head, sizeof head, offset);
    struct tt_str record = tt_str(head, size > 0 ? (size_t)size : 0);
    return !log_line_parse(record, &line) || line.is_full;
}

int64_t log_tail_offset(int fd, uint64_t lines)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return -1;
    }
    TT_AUTO_FREE char *block = tt_xmalloc(BLOCK);
    uint64_t ends = 0;               /* whole lines behind the position */
    int64_t record_end = st.st_size; /* end of the record that is being looked at */
    for (int64_t end = st.st_size; end > 0;) {
        int64_t begin = end > BLOCK ? end - BLOCK : 0;
        ssize_t size = pread(fd, block, (size_t)(end - begin), begin);
        if (size != end - begin) {
            return -1;
        }
        for (int64_t i = end - 1; i >= begin; i--) {
            if (block[i - begin] != '\n' || i == st.st_size - 1) {
                continue; /* the newline at the end begins nothing */
            }
            ends += ends_line(fd, i + 1) ? 1 : 0;
            if (ends > lines) {
                return record_end;
            }
            record_end = i + 1;
        }
        end = begin;
    }
    ends += st.st_size > 0 && ends_line(fd, 0) ? 1 : 0;
    return ends > lines ? record_end : 0;
}

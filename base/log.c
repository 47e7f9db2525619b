#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

/* Happy path: one line is built in memory and written with one write(2), so that lines of several
 * threads (or processes sharing a file) do not mix.
 *
 * Failure modes: a full disk or a closed pipe must not stop a control plane: the line is counted
 * and forgotten. A value that is too long is cut, a line that is too long is counted. */

enum { LOG_LINE_MAX = 32768, LOG_VALUE_MAX = 4096, LOG_NODE_SIZE = 64 };

/* Set up once before threads start; afterwards only the level and the counter change. */
static struct {
    int fd;                   /* borrowed; never closed here */
    char node[LOG_NODE_SIZE]; /* this server's name; "": no such key in the lines */
} log_target = {.fd = STDERR_FILENO};
static _Atomic int log_level = TT_LOG_INFO;
static _Atomic uint64_t log_dropped;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void tt_log_setup(int fd, enum tt_log_level level, const char *node)
{
    size_t len = node ? strnlen(node, LOG_NODE_SIZE - 1) : 0;
    log_target.fd = fd;
    if (len > 0) {
        memcpy(log_target.node, node, len);
    }
    log_target.node[len] = '\0';
    tt_log_set_level(level);
}

void tt_log_set_level(enum tt_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool tt_log_enabled(enum tt_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

bool tt_log_level_parse(struct tt_str text, enum tt_log_level *ret)
{
    for (int i = TT_LOG_DEBUG; i <= TT_LOG_ERROR; i++) {
        if (tt_str_eq_c(text, level_names[i])) {
            *ret = (enum tt_log_level)i;
            return true;
        }
    }
    return false;
}

uint64_t tt_log_dropped_count(void)
{
    return atomic_load_explicit(&log_dropped, memory_order_relaxed);
}

static void write_field(struct tt_json_writer *w, const struct tt_log_field *field)
{
    char text[TT_ERR_FRAME_MAX * TT_ERR_MSG_SIZE];
    switch (field->type) {
    case TT_LOG_FIELD_STR:
        tt_json_str(w, field->key, tt_str_head(field->v.str, LOG_VALUE_MAX));
        break;
    case TT_LOG_FIELD_U64:
        tt_json_u64(w, field->key, field->v.u64);
        break;
    case TT_LOG_FIELD_I64:
        tt_json_i64(w, field->key, field->v.i64);
        break;
    case TT_LOG_FIELD_BOOL:
        tt_json_bool(w, field->key, field->v.boolean);
        break;
    case TT_LOG_FIELD_ERR:
        tt_json_str(w, field->key, tt_str(text, tt_err_format(field->v.err, text, sizeof text)));
        break;
    case TT_LOG_FIELD_END:
        break;
    }
}

static void write_line(const struct tt_buf *line)
{
    ssize_t count;
    do {
        count = write(log_target.fd, line->ptr, line->len);
    } while (count < 0 && errno == EINTR);
    if (count != (ssize_t)line->len) {
        atomic_fetch_add_explicit(&log_dropped, 1, memory_order_relaxed);
    }
}

void tt_log_write(enum tt_log_level level, const char *mod, const char *msg,
                  const struct tt_log_field *fields)
{
    TT_ASSERT(level >= TT_LOG_DEBUG && level <= TT_LOG_ERROR);
    int saved_errno = errno; /* logging between a failure and its report must not change it */
    char when[TT_TIME_TEXT_SIZE];
    size_t when_len = tt_time_format_ms(tt_clock_wall_ms(tt_clock_real()), when);
    TT_AUTO_BUF struct tt_buf line;
    tt_buf_init(&line, LOG_LINE_MAX);
    (void)tt_buf_reserve(&line, 512); /* most lines fit: one allocation */
    struct tt_json_writer w;
    tt_json_begin(&w, &line);
    tt_json_object(&w, NULL);
    tt_json_str(&w, "ts", tt_str(when, when_len));
    tt_json_c(&w, "level", level_names[level]);
    tt_json_c(&w, "mod", mod);
    tt_json_str(&w, "msg", tt_str_head(tt_str_c(msg), LOG_VALUE_MAX));
    if (log_target.node[0] != '\0') {
        tt_json_c(&w, "node", log_target.node);
    }
    for (; fields->type != TT_LOG_FIELD_END; fields++) {
        write_field(&w, fields);
    }
    tt_json_object_end(&w);
    tt_buf_char(&line, '\n');
    if (tt_buf_ok(&line)) {
        write_line(&line);
    } else {
        atomic_fetch_add_explicit(&log_dropped, 1, memory_order_relaxed);
    }
    errno = saved_errno;
}

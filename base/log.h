/* Logging: one JSON line per event on a file descriptor (standard error by default).
 *
 *   TT_LOG(TT_LOG_INFO, "raft", "became leader", TT_F_U64("term", term), TT_F_U64("index", index));
 * gives {"ts":"…","level":"info","mod":"raft","msg":"became
 * leader","node":"s1","term":3,"index":17} Keys are fixed by the style: ts level mod msg node term
 * index kind namespace name generation req_id op_id dur_ms err, plus a few of the event's own.
 * Secrets have no field type, so they cannot be logged. Ownership: borrows everything. Thread: any;
 * one write(2) per line. Errors: a line that cannot be written is counted, not retried. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/str.h"

enum tt_log_level { TT_LOG_DEBUG, TT_LOG_INFO, TT_LOG_WARN, TT_LOG_ERROR };

enum tt_log_field_type {
    TT_LOG_FIELD_END,
    TT_LOG_FIELD_STR,
    TT_LOG_FIELD_U64,
    TT_LOG_FIELD_I64,
    TT_LOG_FIELD_BOOL,
    TT_LOG_FIELD_ERR
};
struct tt_log_field {
    enum tt_log_field_type type; /* which member of v is set */
    const char *key;             /* NUL-terminated, borrowed; NULL only in TT_F_END */
    union {
        struct tt_str str;        /* a string, cut at 4096 bytes; borrowed */
        uint64_t u64;             /* a number */
        int64_t i64;              /* a number, may be negative */
        bool boolean;             /* true or false */
        const struct tt_err *err; /* written as "err": "outer: inner" */
    } v;                          /* the value */
};
#define TT_F_STR(k, s)  ((struct tt_log_field){TT_LOG_FIELD_STR, (k), {.str = (s)}})
#define TT_F_C(k, s)    ((struct tt_log_field){TT_LOG_FIELD_STR, (k), {.str = tt_str_c(s)}})
#define TT_F_U64(k, n)  ((struct tt_log_field){TT_LOG_FIELD_U64, (k), {.u64 = (n)}})
#define TT_F_I64(k, n)  ((struct tt_log_field){TT_LOG_FIELD_I64, (k), {.i64 = (n)}})
#define TT_F_BOOL(k, b) ((struct tt_log_field){TT_LOG_FIELD_BOOL, (k), {.boolean = (b)}})
#define TT_F_ERR(e)     ((struct tt_log_field){TT_LOG_FIELD_ERR, "err", {.err = (e)}})
#define TT_F_END        ((struct tt_log_field){TT_LOG_FIELD_END, NULL, {.u64 = 0}})

#ifdef __cppcheck__
/* It does not know __VA_OPT__ and would give up on the whole file. */
#define TT_LOG(level, mod, msg, ...) ((void)(level), (void)(mod), (void)(msg))
#else
/* Level check first: a disabled line costs one load. */
#define TT_LOG(level, mod, msg, ...)                                                               \
    do {                                                                                           \
        if (tt_log_enabled(level)) {                                                               \
            tt_log_write((level), (mod), (msg),                                                    \
                         (const struct tt_log_field[]){__VA_ARGS__ __VA_OPT__(, ) TT_F_END});      \
        }                                                                                          \
    } while (0)
#endif

bool tt_log_enabled(enum tt_log_level level);
void tt_log_write(enum tt_log_level level, const char *mod, const char *msg,
                  const struct tt_log_field *fields);
/* Call before threads start. fd is borrowed; node (may be NULL) is copied, at most 63 bytes. */
void tt_log_setup(int fd, enum tt_log_level level, const char *node);
void tt_log_set_level(enum tt_log_level level);
bool tt_log_level_parse(struct tt_str text, enum tt_log_level *ret);
uint64_t tt_log_dropped_count(void); /* lines that could not be written */

#endif

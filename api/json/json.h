/* JSON documents over yyjson: parsing with caps, values in a request's arena, paths, comparing,
 * deterministic writing.
 *
 * Outside input goes through tt_json_parse only: it bounds size and depth before anything
 * recursive sees the text, refuses invalid UTF-8, lone surrogates, trailing bytes and NUL inside
 * strings, and deals with duplicate members. Numbers stay raw text (yyjson type RAW), so that
 * 2^53+1 and 1e400 leave as they came; numbers made by tutti are ints. Use tt_json_to_i64 and
 * friends, never yyjson_mut_get_int, to read a number.
 * A document has at most TT_JSON_DEPTH_MAX levels by construction, so recursion over it is bounded;
 * whoever builds documents by other means (patches) goes through tt_json_check.
 *
 * Ownership: documents and values live in the arena; nothing is freed one by one. Strings may
 * borrow from the input text where a function says so. Thread: one per arena.
 * Errors: TT_EINVAL (malformed, with byte offset), TT_ETOOLARGE (size, depth, arena full). */
#ifndef API_JSON_JSON_H
#define API_JSON_JSON_H

#include <yyjson.h>

#include "api/json/issues.h"
#include "base/buf.h"
#include "base/mem.h"

enum {
    TT_JSON_DEPTH_MAX = 64,
    TT_JSON_SIZE_MAX = 3 << 20, /* bytes of text */
};

/* A yyjson allocator over an arena; *ret_alc borrows the arena. */
void tt_json_alc(struct tt_arena *arena, yyjson_alc *ret_alc);

enum tt_json_duplicates {
    TT_JSON_DUPLICATES_REFUSE, /* TT_EINVAL naming the path */
    TT_JSON_DUPLICATES_REPORT, /* an issue each (TT_ISSUE_DUPLICATE_FIELD); the last one is kept */
};
/* Text → mutable document in the arena. Copies everything; text need not live on. issues is needed
 * only for …_REPORT. An empty text is TT_EINVAL. */
int tt_json_parse(struct tt_arena *arena, struct tt_str text, enum tt_json_duplicates duplicates,
                  struct tt_issues *issues, yyjson_mut_doc **ret_doc,
                  struct tt_err *err) TT_MUST_USE;
/* For text tutti itself stored: parsed without copying into a mutable tree (the fast way to read).
 * Caps hold as well; duplicates are not looked for. Strings are copied into the arena's document.
 */
int tt_json_read(struct tt_arena *arena, struct tt_str text, yyjson_doc **ret_doc,
                 struct tt_err *err) TT_MUST_USE;
/* Immutable → mutable copy, bounded by depth (a helper for updates of stored objects). */
int tt_json_mutable(struct tt_arena *arena, yyjson_val *val, yyjson_mut_doc **ret_doc,
                    struct tt_err *err) TT_MUST_USE;
/* An empty document in the arena, without a root. NULL when the arena is full. */
yyjson_mut_doc *tt_json_new(struct tt_arena *arena) TT_MUST_USE;
/* Deep copy into (another or the same) document; NULL when the arena is full or too deep. */
yyjson_mut_val *tt_json_copy(yyjson_mut_doc *doc, yyjson_mut_val *val) TT_MUST_USE;
/* TT_ETOOLARGE when val is deeper than TT_JSON_DEPTH_MAX or has more than count_max values. */
int tt_json_check(yyjson_mut_val *val, size_t count_max, struct tt_err *err) TT_MUST_USE;

/* Values. NULL-safe: NULL in, NULL / false / TT_STR_NONE out. */
struct tt_str tt_json_str_of(yyjson_mut_val *val); /* borrowed; TT_STR_NONE when not a string */
struct tt_str tt_json_istr_of(yyjson_val *val);
bool tt_json_to_i64(yyjson_mut_val *val, int64_t *ret); /* whole numbers in range only */
bool tt_json_to_double(yyjson_mut_val *val, double *ret);
bool tt_json_ito_i64(yyjson_val *val, int64_t *ret);
bool tt_json_is_number(yyjson_mut_val *val);                             /* raw or made by us */
yyjson_mut_val *tt_json_member(yyjson_mut_val *obj, struct tt_str name); /* borrowed or NULL */
/* "metadata.name": dotted members, no escapes, at most 16 parts. NULL when any is missing. */
yyjson_mut_val *tt_json_get(yyjson_mut_val *root, const char *dotted);
yyjson_val *tt_json_iget(yyjson_val *root, const char *dotted);
struct tt_str tt_json_get_str(yyjson_mut_val *root, const char *dotted);
struct tt_str tt_json_iget_str(yyjson_val *root, const char *dotted);
int64_t tt_json_get_i64(yyjson_mut_val *root, const char *dotted, int64_t fallback);
int64_t tt_json_iget_i64(yyjson_val *root, const char *dotted, int64_t fallback);

/* Changing. Names and strings are copied into the document. False: the arena is full or a part on
 * the way exists but is not an object. */
bool tt_json_put(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct tt_str name,
                 yyjson_mut_val *val) TT_MUST_USE; /* replaces in place or appends */
bool tt_json_put_str(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct tt_str name,
                     struct tt_str value) TT_MUST_USE;
bool tt_json_put_i64(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct tt_str name,
                     int64_t value) TT_MUST_USE;
/* Creates missing objects on the way. */
bool tt_json_set(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *dotted,
                 yyjson_mut_val *val) TT_MUST_USE;
bool tt_json_set_str(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *dotted,
                     struct tt_str value) TT_MUST_USE;
bool tt_json_remove(yyjson_mut_val *obj, struct tt_str name); /* true: it was there */
bool tt_json_remove_path(yyjson_mut_val *root, const char *dotted);

/* Equality of meaning: member order does not matter, numbers compare as text first, then as values
 * when both are whole numbers. Bounded by the documents' depth. */
bool tt_json_equal(yyjson_mut_val *a, yyjson_mut_val *b);

/* Compact text, members in document order; the same document always gives the same bytes. Appends;
 * the buffer's `failed` tells when it did not fit. */
void tt_json_write(struct tt_buf *buf, yyjson_mut_val *val);
void tt_json_iwrite(struct tt_buf *buf, yyjson_val *val);

#endif

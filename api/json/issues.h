/* A bounded list of findings about one document: each names a field path, a reason and a message.
 *
 * Used for unknown and duplicate fields (which become warnings or one strict decoding error) and
 * for validation causes (Status.details.causes of a 422).
 * Ownership: entries live in the arena given at init. Thread: one.
 * Errors: none; beyond TT_ISSUES_MAX or when the arena is full, entries are counted, not kept. */
#ifndef API_JSON_ISSUES_H
#define API_JSON_ISSUES_H

#include "base/mem.h"
#include "base/str.h"

enum { TT_ISSUES_MAX = 64 };

/* Reasons are those of Kubernetes' Status causes; the first two never reach a Status as causes. */
enum tt_issue_kind {
    TT_ISSUE_UNKNOWN_FIELD = 1, /* field is the whole path: spec.containers[0].foo */
    TT_ISSUE_DUPLICATE_FIELD,   /* the same member twice in one object; the last one counts */
    TT_ISSUE_REQUIRED,          /* FieldValueRequired */
    TT_ISSUE_INVALID,           /* FieldValueInvalid */
    TT_ISSUE_NOT_SUPPORTED,     /* FieldValueNotSupported */
    TT_ISSUE_DUPLICATE,         /* FieldValueDuplicate */
    TT_ISSUE_FORBIDDEN,         /* FieldValueForbidden */
    TT_ISSUE_TOO_LONG,          /* FieldValueTooLong */
    TT_ISSUE_TOO_MANY,          /* FieldValueTooMany */
    TT_ISSUE_NOT_FOUND,         /* FieldValueNotFound */
    TT_ISSUE_TYPE,              /* FieldValueTypeInvalid */
    TT_ISSUE_TERMINATING,       /* NamespaceTerminating: of a 403 */
    TT_ISSUE_TOO_NEW,           /* ResourceVersionTooLarge: of a 504 */
};
const char *tt_issue_reason(enum tt_issue_kind kind); /* "FieldValueRequired" … */

struct tt_issue {
    enum tt_issue_kind kind; /* gives the cause's reason; the first two never become causes */
    struct tt_str field;     /* "spec.template.spec.containers[0].name" */
    struct tt_str message; /* as Kubernetes words it: `Invalid value: "X": must be …`; for the first
                              two kinds `unknown field "spec.x"` */
};
struct tt_issues {
    struct tt_arena *arena; /* borrowed */
    struct tt_issue *items; /* NULL until the first */
    size_t count;           /* kept in items */
    size_t dropped;         /* found but not kept */
    struct tt_str refusal;  /* in the arena: the whole message of the refusal they led to, which an
                               error frame may be too short for; "" none */
};
void tt_issues_init(struct tt_issues *issues, struct tt_arena *arena);
/* field is copied; the message is formatted into the arena. */
void tt_issues_add(struct tt_issues *issues, enum tt_issue_kind kind, struct tt_str field,
                   const char *fmt, ...) TT_PRINTF(4, 5);
/* Adds all that `from` has found, its refusal too, copied into the arena of `to`. */
void tt_issues_append(struct tt_issues *to, const struct tt_issues *from);
static inline size_t tt_issues_total(const struct tt_issues *issues)
{
    return issues->count + issues->dropped;
}

/* A path under construction: a chain of stack frames, formatted only when something is wrong. */
struct tt_field_path {
    const struct tt_field_path *parent; /* NULL at the root */
    struct tt_str name;                 /* member, empty for an index */
    size_t index;                       /* of an array element when name is empty */
    bool is_key;                        /* a map key: written name[key] */
};
/* "a.b[0].c" in the arena; "" for NULL (the root) or when the arena is full. */
struct tt_str tt_field_path_format(const struct tt_field_path *path, struct tt_arena *arena);

#endif

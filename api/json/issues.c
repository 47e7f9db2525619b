/* Findings and paths. The happy path of a request never comes here: a path is a chain of frames on
 * the walker's stack, and text is made only when something is wrong. */
#include "api/json/issues.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

enum { PATH_DEPTH_MAX = 160, PATH_SIZE_MAX = 4096, MESSAGE_SIZE_MAX = 1024 };

const char *tt_issue_reason(enum tt_issue_kind kind)
{
    switch (kind) {
    case TT_ISSUE_REQUIRED:
        return "FieldValueRequired";
    case TT_ISSUE_NOT_SUPPORTED:
        return "FieldValueNotSupported";
    case TT_ISSUE_DUPLICATE:
    case TT_ISSUE_DUPLICATE_FIELD:
        return "FieldValueDuplicate";
    case TT_ISSUE_FORBIDDEN:
        return "FieldValueForbidden";
    case TT_ISSUE_TOO_LONG:
        return "FieldValueTooLong";
    case TT_ISSUE_TOO_MANY:
        return "FieldValueTooMany";
    case TT_ISSUE_NOT_FOUND:
        return "FieldValueNotFound";
    case TT_ISSUE_TYPE:
        return "FieldValueTypeInvalid";
    case TT_ISSUE_TERMINATING:
        return "NamespaceTerminating";
    case TT_ISSUE_TOO_NEW:
        return "ResourceVersionTooLarge";
    case TT_ISSUE_UNKNOWN_FIELD:
    case TT_ISSUE_INVALID:
        break;
    }
    return "FieldValueInvalid";
}

void tt_issues_init(struct tt_issues *issues, struct tt_arena *arena)
{
    TT_ASSERT(arena != NULL);
    *issues = (struct tt_issues){.arena = arena};
}

void tt_issues_add(struct tt_issues *issues, enum tt_issue_kind kind, struct tt_str field,
                   const char *fmt, ...)
{
    TT_ASSERT(issues->arena != NULL);
    if (issues->count == TT_ISSUES_MAX) {
        issues->dropped++;
        return;
    }
    if (issues->items == NULL) {
        issues->items = tt_arena_alloc(issues->arena, TT_ISSUES_MAX * sizeof *issues->items);
    }
    char text[MESSAGE_SIZE_MAX];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
    char *message = tt_arena_strndup(issues->arena, text, len);
    char *path = tt_arena_strndup(issues->arena, field.len > 0 ? field.ptr : "", field.len);
    if (issues->items == NULL || message == NULL || path == NULL) {
        issues->dropped++;
        return;
    }
    issues->items[issues->count++] = (struct tt_issue){
        .kind = kind,
        .field = tt_str(path, field.len),
        .message = tt_str(message, len),
    };
}

void tt_issues_append(struct tt_issues *to, const struct tt_issues *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct tt_issue *issue = &from->items[i];
        tt_issues_add(to, issue->kind, issue->field, "%.*s", TT_STR_ARG(issue->message));
    }
    to->dropped += from->dropped;
    if (from->refusal.len > 0) {
        const char *copy = tt_arena_strndup(to->arena, from->refusal.ptr, from->refusal.len);
        to->refusal = copy ? tt_str(copy, from->refusal.len) : TT_STR("");
    }
}

struct tt_str tt_field_path_format(const struct tt_field_path *path, struct tt_arena *arena)
{
    const struct tt_field_path *frames[PATH_DEPTH_MAX];
    size_t count = 0;
    for (; path != NULL && count < PATH_DEPTH_MAX; path = path->parent) {
        frames[count++] = path;
    }
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, PATH_SIZE_MAX);
    while (count > 0) {
        const struct tt_field_path *frame = frames[--count];
        if (frame->is_key) {
            tt_buf_printf(&buf, "[%.*s]", TT_STR_ARG(frame->name));
        } else if (frame->name.len > 0) {
            tt_buf_printf(&buf, "%s%.*s", buf.len > 0 ? "." : "", TT_STR_ARG(frame->name));
        } else {
            tt_buf_printf(&buf, "[%zu]", frame->index);
        }
    }
    char *text = buf.len > 0 ? tt_arena_strndup(arena, buf.ptr, buf.len) : NULL;
    return text != NULL ? tt_str(text, buf.len) : TT_STR("");
}

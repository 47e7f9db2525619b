/* Field selectors: path=value terms over the fields a kind lists. Values may escape ',', '=' and
 * '\' with a backslash. Missing fields count as empty. */
#include "api/kinds/selector.h"

struct field_term {
    struct tt_str path, value; /* in the arena; value: without its escapes */
    const char *dotted;        /* path, NUL-terminated */
    bool equal;                /* = or ==; false: != */
};
struct tt_field_selector {
    struct field_term *items; /* in the arena; all must hold */
    size_t count;             /* of items; 0: matches everything */
};

static const struct tt_field_selector everything = {0};

/* The end of the term: the first comma that is not escaped. */
static size_t term_length(struct tt_str text)
{
    size_t i = 0;
    while (i < text.len && text.ptr[i] != ',') {
        i += text.ptr[i] == '\\' && i + 1 < text.len ? 2 : 1;
    }
    return i;
}

static int unescape(struct tt_arena *arena, struct tt_str text, struct tt_str *ret,
                    struct tt_err *err)
{
    char *out = tt_arena_alloc(arena, text.len + 1);
    size_t len = 0;
    if (out == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "the selector needs more memory than allowed");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '=') {
            return TT_FAIL(err, TT_EINVAL, "invalid selector: unescaped '=' in a value");
        }
        if (text.ptr[i] == '\\') {
            i++;
            if (i == text.len || strchr("\\,=", text.ptr[i]) == NULL) {
                return TT_FAIL(err, TT_EINVAL, "invalid field selector: invalid escape sequence");
            }
        }
        out[len++] = text.ptr[i];
    }
    out[len] = '\0';
    *ret = tt_str(out, len);
    return TT_OK;
}

static int parse_term(struct tt_arena *arena, const struct tt_kind *kind, struct tt_str text,
                      struct field_term *term, struct tt_err *err)
{
    size_t at = 0;
    while (at < text.len && text.ptr[at] != '=' && text.ptr[at] != '!') {
        at++;
    }
    struct tt_str path = tt_str_trim(tt_str_head(text, at)), rest = tt_str_skip(text, at);
    term->equal = !tt_str_starts(rest, TT_STR("!="));
    if (tt_str_starts(rest, TT_STR("!=")) || tt_str_starts(rest, TT_STR("=="))) {
        rest = tt_str_skip(rest, 2);
    } else if (tt_str_starts(rest, TT_STR("="))) {
        rest = tt_str_skip(rest, 1);
    } else {
        return TT_FAIL(err, TT_EINVAL, "invalid selector: '%.*s'; can't understand '%.*s'",
                       TT_STR_ARG(tt_str_head(text, 80)), TT_STR_ARG(tt_str_head(rest, 80)));
    }
    if (!tt_kind_has_field_selector(kind, path)) {
        return TT_FAIL(err, TT_EINVAL, "field label not supported: %.*s",
                       TT_STR_ARG(tt_str_head(path, 80)));
    }
    term->dotted = tt_arena_strndup(arena, path.ptr, path.len);
    if (term->dotted == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "the selector needs more memory than allowed");
    }
    term->path = tt_str(term->dotted, path.len);
    return unescape(arena, rest, &term->value, err);
}

int tt_field_selector_parse(struct tt_arena *arena, const struct tt_kind *kind, struct tt_str text,
                            const struct tt_field_selector **ret_selector, struct tt_err *err)
{
    if (tt_str_trim(text).len == 0) {
        *ret_selector = &everything;
        return TT_OK;
    }
    if (text.len > TT_SELECTOR_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVAL, "the field selector is longer than %d bytes",
                       (int)TT_SELECTOR_SIZE_MAX);
    }
    struct tt_field_selector *out = tt_arena_alloc(arena, sizeof *out);
    struct field_term *items = tt_arena_alloc(arena, TT_SELECTOR_TERMS_MAX * sizeof *items);
    if (out == NULL || items == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "the selector needs more memory than allowed");
    }
    *out = (struct tt_field_selector){.items = items};
    while (text.len > 0) {
        size_t len = term_length(text);
        if (out->count == TT_SELECTOR_TERMS_MAX) {
            return TT_FAIL(err, TT_EINVAL, "a selector has at most %d terms",
                           (int)TT_SELECTOR_TERMS_MAX);
        }
        if (len > 0) { /* empty terms are skipped, as Kubernetes does */
            int r = parse_term(arena, kind, tt_str_head(text, len), &items[out->count], err);
            if (r < 0) {
                return r;
            }
            out->count++;
        }
        text = tt_str_skip(text, len + 1);
    }
    *ret_selector = out;
    return TT_OK;
}

bool tt_field_selector_empty(const struct tt_field_selector *selector)
{
    return selector->count == 0;
}

/* A scalar as selectors compare it. */
static struct tt_str scalar_text(yyjson_val *val)
{
    if (yyjson_is_bool(val)) {
        return yyjson_get_bool(val) ? TT_STR("true") : TT_STR("false");
    }
    if (yyjson_is_raw(val)) {
        return tt_str(yyjson_get_raw(val), yyjson_get_len(val));
    }
    return yyjson_is_str(val) ? tt_json_istr_of(val) : TT_STR("");
}

static bool text_matches(const struct field_term *term, bool absent, struct tt_str text)
{
    /* An absent flag is a false one. */
    bool unset = absent && tt_str_eq(term->value, TT_STR("false"));
    return (unset || tt_str_eq(text, term->value)) == term->equal;
}

bool tt_field_selector_match(const struct tt_field_selector *selector, yyjson_val *root)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct field_term *term = &selector->items[i];
        yyjson_val *val = tt_json_iget(root, term->dotted);
        if (yyjson_is_obj(val)) { /* events: "source" means source.component */
            val = yyjson_obj_get(val, "component");
        }
        if (!text_matches(term, val == NULL, scalar_text(val))) {
            return false;
        }
    }
    return true;
}

bool tt_field_selector_exact(const struct tt_field_selector *selector, const char *path,
                             struct tt_str *ret_value)
{
    const struct field_term *found = NULL;
    for (size_t i = 0; i < selector->count; i++) {
        if (tt_str_eq_c(selector->items[i].path, path)) {
            if (found != NULL || !selector->items[i].equal) {
                return false;
            }
            found = &selector->items[i];
        }
    }
    if (found == NULL) {
        return false;
    }
    *ret_value = found->value;
    return true;
}

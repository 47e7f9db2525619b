/* Selectors.
 *
 * A label selector is a list of requirements that must all hold. The parser reads one requirement
 * after the other: an optional '!', a key, an operator, values. Failure modes: bad syntax, bad keys
 * or values, too long or too many terms; all are TT_EINVAL. Matching allocates nothing. */
#include "api/kinds/selector.h"

#include "api/kinds/format.h"

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS };

struct requirement {
    struct tt_str key;           /* lies in the arena, or in the value it was made from */
    enum op op;                  /* = and == are IN of one value, != NOT_IN */
    const struct tt_str *values; /* OP_IN and OP_NOT_IN: at least one */
    size_t value_count;          /* of values; 0 for EXISTS and NOT_EXISTS */
};
struct tt_label_selector {
    struct requirement *items; /* in the arena; all must hold */
    size_t count;              /* of items; 0: matches everything unless nothing is set */
    bool nothing;              /* made from a null selector: matches no object */
};
struct parser {
    struct tt_arena *arena;        /* borrowed; the selector's */
    struct tt_str text;            /* what is left */
    struct tt_label_selector *out; /* being built; room for TT_SELECTOR_TERMS_MAX */
    struct tt_str *values;         /* scratch for one requirement */
    struct tt_err *err;            /* borrowed */
};

static int no_memory(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the selector needs more memory than one request may use");
}

static void skip_space(struct parser *p)
{
    while (p->text.len > 0 && (p->text.ptr[0] == ' ' || p->text.ptr[0] == '\t')) {
        p->text = tt_str_skip(p->text, 1);
    }
}

static bool accept(struct parser *p, const char *token)
{
    skip_space(p);
    struct tt_str want = tt_str_c(token);
    if (!tt_str_starts(p->text, want)) {
        return false;
    }
    p->text = tt_str_skip(p->text, want.len);
    return true;
}

/* A run of characters that are none of the syntax's. */
static struct tt_str word(struct parser *p)
{
    skip_space(p);
    size_t len = 0;
    while (len < p->text.len && strchr(" \t=!(),<>", p->text.ptr[len]) == NULL) {
        len++;
    }
    struct tt_str found = tt_str_head(p->text, len);
    p->text = tt_str_skip(p->text, len);
    return found;
}

static int syntax(struct parser *p, const char *expected)
{
    return TT_FAIL(p->err, TT_EINVAL, "unable to parse requirement: found '%.*s', expected: %s",
                   (int)(p->text.len < 40 ? p->text.len : 40), p->text.ptr, expected);
}

static int add_requirement(struct parser *p, struct tt_str key, enum op op, size_t value_count)
{
    const char *why = format_qualified_name(key);
    if (why != NULL) {
        return TT_FAIL(p->err, TT_EINVAL, "unable to parse requirement: key \"%.*s\": %s",
                       (int)(key.len < 80 ? key.len : 80), key.ptr, why);
    }
    for (size_t i = 0; i < value_count; i++) {
        why = format_label_value(p->values[i]);
        if (why != NULL) {
            return TT_FAIL(p->err, TT_EINVAL, "unable to parse requirement: value \"%.*s\": %s",
                           (int)(p->values[i].len < 80 ? p->values[i].len : 80), p->values[i].ptr,
                           why);
        }
    }
    if (p->out->count == TT_SELECTOR_TERMS_MAX) {
        return TT_FAIL(p->err, TT_EINVAL, "a selector has at most %d requirements",
                       (int)TT_SELECTOR_TERMS_MAX);
    }
    struct tt_str *values = NULL;
    if (value_count > 0) {
        values = tt_arena_alloc(p->arena, value_count * sizeof *values);
        if (values == NULL) {
            return no_memory(p->err);
        }
        memcpy(values, p->values, value_count * sizeof *values);
    }
    p->out->items[p->out->count++] = (struct requirement){key, op, values, value_count};
    return TT_OK;
}

static int parse_values(struct parser *p, size_t *ret_count)
{
    size_t count = 0;
    if (!accept(p, "(")) {
        return syntax(p, "'('");
    }
    do {
        if (count == TT_SELECTOR_TERMS_MAX) {
            return TT_FAIL(p->err, TT_EINVAL, "a requirement has at most %d values",
                           (int)TT_SELECTOR_TERMS_MAX);
        }
        p->values[count++] = word(p);
    } while (accept(p, ","));
    if (!accept(p, ")")) {
        return syntax(p, "',' or ')'");
    }
    *ret_count = count;
    return TT_OK;
}

static int parse_requirement(struct parser *p)
{
    if (accept(p, "!")) {
        return add_requirement(p, word(p), OP_NOT_EXISTS, 0);
    }
    struct tt_str key = word(p);
    size_t count = 1;
    if (accept(p, "==") || accept(p, "=")) {
        p->values[0] = word(p);
        return add_requirement(p, key, OP_IN, 1);
    }
    if (accept(p, "!=")) {
        p->values[0] = word(p);
        return add_requirement(p, key, OP_NOT_IN, 1);
    }
    skip_space(p);
    if (p->text.len == 0 || p->text.ptr[0] == ',') {
        return add_requirement(p, key, OP_EXISTS, 0);
    }
    struct tt_str name = word(p);
    bool in = tt_str_eq(name, TT_STR("in"));
    if (!in && !tt_str_eq(name, TT_STR("notin"))) {
        return syntax(p, "in, notin, =, ==, !=");
    }
    int r = parse_values(p, &count);
    return r == TT_OK ? add_requirement(p, key, in ? OP_IN : OP_NOT_IN, count) : r;
}

static struct tt_label_selector *new_selector(struct tt_arena *arena)
{
    struct tt_label_selector *out = tt_arena_alloc(arena, sizeof *out);
    if (out != NULL) {
        *out = (struct tt_label_selector){0};
        out->items = tt_arena_alloc(arena, TT_SELECTOR_TERMS_MAX * sizeof *out->items);
    }
    return out != NULL && out->items != NULL ? out : NULL;
}

static const struct tt_label_selector everything = {0};

int tt_label_selector_parse(struct tt_arena *arena, struct tt_str text,
                            const struct tt_label_selector **ret_selector, struct tt_err *err)
{
    if (tt_str_trim(text).len == 0) {
        *ret_selector = &everything;
        return TT_OK;
    }
    if (text.len > TT_SELECTOR_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVAL, "the label selector is longer than %d bytes",
                       (int)TT_SELECTOR_SIZE_MAX);
    }
    char *copy = tt_arena_strndup(arena, text.ptr, text.len);
    struct parser p = {.arena = arena, .err = err, .out = new_selector(arena)};
    p.values = tt_arena_alloc(arena, TT_SELECTOR_TERMS_MAX * sizeof *p.values);
    if (copy == NULL || p.out == NULL || p.values == NULL) {
        return no_memory(err);
    }
    p.text = tt_str(copy, text.len);
    do {
        int r = parse_requirement(&p);
        if (r < 0) {
            return r;
        }
    } while (accept(&p, ","));
    skip_space(&p);
    if (p.text.len > 0) {
        return syntax(&p, "',' or the end");
    }
    *ret_selector = p.out;
    return TT_OK;
}

static int from_expression(struct parser *p, yyjson_mut_val *item)
{
    static const struct {
        const char *name; /* of matchExpressions */
        enum op op;       /* what it is here */
    } ops[] = {
        {"In", OP_IN},
        {"NotIn", OP_NOT_IN},
        {"Exists", OP_EXISTS},
        {"DoesNotExist", OP_NOT_EXISTS},
    };
    struct tt_str op = tt_json_get_str(item, "operator");
    yyjson_mut_val *values = yyjson_mut_obj_get(item, "values"), *value;
    size_t count = yyjson_mut_arr_size(values), i, n;
    if (count > TT_SELECTOR_TERMS_MAX) {
        return TT_FAIL(p->err, TT_EINVAL, "a requirement has at most %d values",
                       (int)TT_SELECTOR_TERMS_MAX);
    }
    yyjson_mut_arr_foreach(values, i, n, value)
    {
        p->values[i] = tt_json_str_of(value);
    }
    for (i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        bool set = ops[i].op == OP_IN || ops[i].op == OP_NOT_IN;
        if (tt_str_eq_c(op, ops[i].name)) {
            if (set != (count > 0)) {
                return TT_FAIL(p->err, TT_EINVAL, "operator %s %s values", ops[i].name,
                               set ? "needs" : "takes no");
            }
            return add_requirement(p, tt_json_get_str(item, "key"), ops[i].op, count);
        }
    }
    return TT_FAIL(p->err, TT_EINVAL, "\"%.*s\" is not a valid label selector operator",
                   TT_STR_ARG(op));
}

int tt_label_selector_from(struct tt_arena *arena, yyjson_mut_val *value,
                           const struct tt_label_selector **ret_selector, struct tt_err *err)
{
    struct parser p = {.arena = arena, .err = err, .out = new_selector(arena)};
    p.values = tt_arena_alloc(arena, TT_SELECTOR_TERMS_MAX * sizeof *p.values);
    if (p.out == NULL || p.values == NULL) {
        return no_memory(err);
    }
    if (value == NULL || yyjson_mut_is_null(value)) {
        p.out->nothing = true;
        *ret_selector = p.out;
        return TT_OK;
    }
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(yyjson_mut_obj_get(value, "matchLabels"), i, n, key, item)
    {
        p.values[0] = tt_json_str_of(item);
        int r = add_requirement(&p, tt_json_str_of(key), OP_IN, 1);
        if (r < 0) {
            return r;
        }
    }
    yyjson_mut_arr_foreach(yyjson_mut_obj_get(value, "matchExpressions"), i, n, item)
    {
        int r = from_expression(&p, item);
        if (r < 0) {
            return r;
        }
    }
    *ret_selector = p.out;
    return TT_OK;
}

int tt_label_selector_ifrom(struct tt_arena *arena, yyjson_val *value,
                            const struct tt_label_selector **ret_selector, struct tt_err *err)
{
    yyjson_mut_doc *doc = NULL;
    if (value == NULL) {
        return tt_label_selector_from(arena, NULL, ret_selector, err);
    }
    int r = tt_json_mutable(arena, value, &doc, err);
    return r == TT_OK
               ? tt_label_selector_from(arena, yyjson_mut_doc_get_root(doc), ret_selector, err)
               : r;
}

bool tt_label_selector_empty(const struct tt_label_selector *selector)
{
    return selector->count == 0 && !selector->nothing;
}

/* value.ptr is NULL when the object has no such label. */
static bool holds(const struct requirement *requirement, struct tt_str value)
{
    bool found = false;
    switch (requirement->op) {
    case OP_EXISTS:
        return value.ptr != NULL;
    case OP_NOT_EXISTS:
        return value.ptr == NULL;
    case OP_IN:
    case OP_NOT_IN:
        break;
    }
    for (size_t i = 0; value.ptr != NULL && !found && i < requirement->value_count; i++) {
        found = tt_str_eq(requirement->values[i], value);
    }
    return found == (requirement->op == OP_IN);
}

bool tt_label_selector_match(const struct tt_label_selector *selector, yyjson_mut_val *labels)
{
    bool match = !selector->nothing;
    for (size_t i = 0; match && i < selector->count; i++) {
        const struct requirement *item = &selector->items[i];
        match = holds(item, tt_json_str_of(tt_json_member(labels, item->key)));
    }
    return match;
}

bool tt_label_selector_imatch(const struct tt_label_selector *selector, yyjson_val *labels)
{
    bool match = !selector->nothing;
    for (size_t i = 0; match && i < selector->count; i++) {
        const struct requirement *item = &selector->items[i];
        match = holds(item, tt_json_istr_of(yyjson_obj_getn(labels, item->key.ptr, item->key.len)));
    }
    return match;
}

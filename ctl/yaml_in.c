/* libfyaml builds one document after the other, aliases unresolved; the tree is copied into a JSON
 * document. The copy is bounded by depth and by a budget of values, so an alias bomb or a cycle
 * ends as an error after the budget, whatever it would grow to. Plain scalars become numbers,
 * booleans or null by their looks; everything quoted is text. */
#include "ctl/yaml_in.h"

#include <libfyaml.h>
#include <math.h>
#include <stdlib.h>

enum { MARKS_FIRST = 64, NUMBER_SIZE_MAX = 400, ODD_NUMBER_SIZE = 64, KEY_SIZE_MAX = 4096 };

struct ctl_yaml {
    struct tt_arena *arena;   /* kept; holds the documents and their marks */
    struct fy_diag *diag;     /* owned; collects the errors of syntax */
    struct fy_parser *parser; /* owned; reads the caller's text, which stays */
    yyjson_mut_doc *doc;      /* the one under construction */
    struct ctl_mark *marks;   /* grows in the arena */
    size_t mark_count;        /* of marks in use, of this document */
    size_t mark_capacity;     /* marks there is room for */
    size_t value_count;       /* of this document */
    unsigned line;            /* of what is being copied */
};

struct ctl_yaml *ctl_yaml_new(struct tt_arena *arena, struct tt_str text)
{
    struct ctl_yaml *yaml = TT_NEW(struct ctl_yaml);
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    yaml->arena = arena;
    yaml->diag = fy_diag_create(&diag_config);
    TT_ASSERT(yaml->diag != NULL);
    fy_diag_set_collect_errors(yaml->diag, true);
    const struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG,
                                        .diag = yaml->diag};
    yaml->parser = fy_parser_create(&config);
    TT_ASSERT(yaml->parser != NULL);
    int r = fy_parser_set_string(yaml->parser, text.ptr, text.len);
    TT_ASSERT(r == 0);
    return yaml;
}

void ctl_yaml_free(struct ctl_yaml *yaml)
{
    if (yaml != NULL) {
        fy_parser_destroy(yaml->parser);
        fy_diag_destroy(yaml->diag);
        tt_free(yaml);
    }
}

static int refuse(const struct ctl_yaml *yaml, struct tt_err *err, const char *what)
{
    return TT_FAIL(err, TT_EINVAL, "%u: %s", yaml->line, what);
}

static int arena_full(const struct ctl_yaml *yaml, struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "%u: the manifest is too large", yaml->line);
}

static void note_line(struct ctl_yaml *yaml, struct fy_token *token)
{
    const struct fy_mark *mark = token != NULL ? fy_token_start_mark(token) : NULL;
    if (mark != NULL && mark->line >= 0) {
        yaml->line = (unsigned)mark->line + 1;
    }
}

static int add_mark(struct ctl_yaml *yaml, const yyjson_mut_val *val, unsigned line,
                    struct tt_err *err)
{
    if (yaml->mark_count == yaml->mark_capacity) {
        size_t capacity = yaml->mark_capacity > 0 ? yaml->mark_capacity * 2 : MARKS_FIRST;
        struct ctl_mark *marks = tt_arena_alloc(yaml->arena, capacity * sizeof *marks);
        if (marks == NULL) {
            return arena_full(yaml, err);
        }
        if (yaml->mark_count > 0) {
            memcpy(marks, yaml->marks, yaml->mark_count * sizeof *marks);
        }
        yaml->marks = marks;
        yaml->mark_capacity = capacity;
    }
    yaml->marks[yaml->mark_count++] = (struct ctl_mark){val, line};
    return TT_OK;
}

/* ---- scalars ---- */

static bool is_one_of(struct tt_str s, const char *lower, const char *capital, const char *upper)
{
    return tt_str_eq_c(s, lower) || tt_str_eq_c(s, capital) || tt_str_eq_c(s, upper);
}

static bool all_in(struct tt_str s, const char *set)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0' || strchr(set, s.ptr[i]) == NULL) {
            return false;
        }
    }
    return s.len > 0;
}

/* A number as JSON writes it. */
static bool is_json_number(struct tt_str s)
{
    yyjson_doc *doc = yyjson_read(s.ptr, s.len, YYJSON_READ_NUMBER_AS_RAW);
    bool is_number = doc != NULL && yyjson_is_raw(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return is_number;
}

/* 0644, 0o644, 0x1a4: whole numbers in another base; false when s is none of them. */
static bool based_number(struct tt_str s, uint64_t *ret)
{
    char text[32];
    bool is_hex = tt_str_starts(s, TT_STR("0x"));
    bool is_marked = is_hex || tt_str_starts(s, TT_STR("0o"));
    struct tt_str digits = tt_str_skip(s, is_marked ? 2 : 1);
    const char *set = is_hex ? "0123456789abcdefABCDEF" : "01234567";
    if (s.len < 2 || s.ptr[0] != '0' || !all_in(digits, set) || digits.len > 16) {
        return false;
    }
    memcpy(text, digits.ptr, digits.len);
    text[digits.len] = '\0';
    *ret = strtoull(text, NULL, is_hex ? 16 : 8);
    return true;
}

/* +1, .5, 1.: numbers to YAML that JSON writes differently. */
static bool odd_number(struct tt_str s, char out[ODD_NUMBER_SIZE])
{
    char text[NUMBER_SIZE_MAX + 1];
    if (s.len > NUMBER_SIZE_MAX || !all_in(s, "0123456789+-.eE")) {
        return false;
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    char *end = NULL;
    double number = strtod(text, &end);
    bool has_digit = strpbrk(text, "0123456789") != NULL;
    if (*end != '\0' || !has_digit || !isfinite(number)) {
        return false;
    }
    int size = snprintf(out, ODD_NUMBER_SIZE, "%.17g", number);
    return size > 0 && size < ODD_NUMBER_SIZE;
}

static bool is_ambiguous(struct tt_str s)
{
    return is_one_of(s, "yes", "Yes", "YES") || is_one_of(s, "no", "No", "NO") ||
           is_one_of(s, "on", "On", "ON") || is_one_of(s, "off", "Off", "OFF");
}

static bool is_not_finite(struct tt_str s)
{
    struct tt_str word = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+') ? tt_str_skip(s, 1) : s;
    return is_one_of(word, ".inf", ".Inf", ".INF") || is_one_of(s, ".nan", ".NaN", ".NAN");
}

/* NULL: not a number (or the arena is full, which the text that is made instead then says). */
static yyjson_mut_val *number(struct ctl_yaml *yaml, struct tt_str s)
{
    char odd[ODD_NUMBER_SIZE];
    uint64_t based = 0;
    if (s.len == 0 || strchr("0123456789+-.", s.ptr[0]) == NULL) {
        return NULL;
    }
    if (is_json_number(s)) {
        return yyjson_mut_rawncpy(yaml->doc, s.ptr, s.len);
    }
    if (based_number(s, &based)) {
        return yyjson_mut_uint(yaml->doc, based);
    }
    return odd_number(s, odd) ? yyjson_mut_rawcpy(yaml->doc, odd) : NULL;
}

static int plain_scalar(struct ctl_yaml *yaml, struct tt_str s, yyjson_mut_val **ret,
                        struct tt_err *err)
{
    if (is_ambiguous(s)) {
        return TT_FAIL(err, TT_EINVAL,
                       "%u: %.*s is a boolean to some YAML readers and text to others: write true "
                       "or false, or quote it",
                       yaml->line, TT_STR_ARG(s));
    }
    if (is_not_finite(s)) {
        return refuse(yaml, err, "JSON has no infinity and no NaN");
    }
    if (s.len == 0 || tt_str_eq_c(s, "~") || is_one_of(s, "null", "Null", "NULL")) {
        *ret = yyjson_mut_null(yaml->doc);
    } else if (is_one_of(s, "true", "True", "TRUE")) {
        *ret = yyjson_mut_true(yaml->doc);
    } else if (is_one_of(s, "false", "False", "FALSE")) {
        *ret = yyjson_mut_false(yaml->doc);
    } else {
        *ret = number(yaml, s);
        *ret = *ret != NULL ? *ret : yyjson_mut_strncpy(yaml->doc, s.ptr, s.len);
    }
    return *ret != NULL ? TT_OK : arena_full(yaml, err);
}

static struct tt_str scalar_text(struct fy_node *node)
{
    size_t size = 0;
    const char *text = fy_node_get_scalar(node, &size);
    return tt_str(text != NULL ? text : "", text != NULL ? size : 0);
}

/* Only !!str is known: what else a tag would say, JSON cannot. */
static int check_tag(const struct ctl_yaml *yaml, struct fy_node *node, bool *ret_is_text,
                     struct tt_err *err)
{
    size_t size = 0;
    const char *tag = fy_node_get_tag(node, &size);
    struct tt_str text = tt_str(tag, tag != NULL ? size : 0);
    *ret_is_text = tt_str_eq_c(text, "tag:yaml.org,2002:str");
    if (text.len == 0 || *ret_is_text || tt_str_eq_c(text, "tag:yaml.org,2002:map") ||
        tt_str_eq_c(text, "tag:yaml.org,2002:seq")) {
        return TT_OK;
    }
    return TT_FAIL(err, TT_EINVAL, "%u: the tag %.*s is not supported: remove it", yaml->line,
                   TT_STR_ARG(tt_str_head(text, 60)));
}

static int copy_scalar(struct ctl_yaml *yaml, struct fy_node *node, yyjson_mut_val **ret,
                       struct tt_err *err)
{
    bool is_text = false;
    note_line(yaml, fy_node_get_scalar_token(node));
    int r = check_tag(yaml, node, &is_text, err);
    if (r != TT_OK) {
        return r;
    }
    struct tt_str text = scalar_text(node);
    if (memchr(text.ptr, '\0', text.len) != NULL || !tt_utf8_valid(text)) {
        return refuse(yaml, err, "text must be UTF-8 without NUL");
    }
    if (!is_text && fy_node_get_style(node) == FYNS_PLAIN) {
        return plain_scalar(yaml, text, ret, err);
    }
    *ret = yyjson_mut_strncpy(yaml->doc, text.ptr, text.len);
    return *ret != NULL ? TT_OK : arena_full(yaml, err);
}

/* ---- the tree ---- */

static int copy_node(struct ctl_yaml *yaml, struct fy_node *node, unsigned depth,
                     yyjson_mut_val **ret, struct tt_err *err);

static int copy_key(struct ctl_yaml *yaml, struct fy_node *key, yyjson_mut_val **ret,
                    struct tt_err *err)
{
    if (key == NULL || !fy_node_is_scalar(key) || fy_node_is_alias(key)) {
        return refuse(yaml, err, "a key must be text");
    }
    note_line(yaml, fy_node_get_scalar_token(key));
    struct tt_str text = scalar_text(key);
    if (tt_str_eq_c(text, "<<") && fy_node_get_style(key) == FYNS_PLAIN) {
        return refuse(yaml, err, "merge keys (<<) are not supported: write the fields out");
    }
    if (text.len > KEY_SIZE_MAX || memchr(text.ptr, '\0', text.len) != NULL ||
        !tt_utf8_valid(text)) {
        return refuse(yaml, err, "a key must be UTF-8 of at most 4,096 bytes");
    }
    *ret = yyjson_mut_strncpy(yaml->doc, text.ptr, text.len);
    return *ret != NULL ? TT_OK : arena_full(yaml, err);
}

static int copy_mapping(struct ctl_yaml *yaml, struct fy_node *node, unsigned depth,
                        yyjson_mut_val **ret, struct tt_err *err)
{
    yyjson_mut_val *obj = yyjson_mut_obj(yaml->doc);
    void *cursor = NULL;
    struct fy_node_pair *pair;
    int r = obj != NULL ? TT_OK : arena_full(yaml, err);
    while (r == TT_OK && (pair = fy_node_mapping_iterate(node, &cursor)) != NULL) {
        yyjson_mut_val *key = NULL;
        yyjson_mut_val *val = NULL;
        r = copy_key(yaml, fy_node_pair_key(pair), &key, err);
        unsigned line = yaml->line;
        if (r == TT_OK) {
            r = copy_node(yaml, fy_node_pair_value(pair), depth + 1, &val, err);
        }
        if (r == TT_OK && !yyjson_mut_obj_add(obj, key, val)) {
            r = arena_full(yaml, err);
        }
        if (r == TT_OK) {
            r = add_mark(yaml, val, line, err);
        }
    }
    *ret = obj;
    return r;
}

static int copy_sequence(struct ctl_yaml *yaml, struct fy_node *node, unsigned depth,
                         yyjson_mut_val **ret, struct tt_err *err)
{
    yyjson_mut_val *arr = yyjson_mut_arr(yaml->doc);
    void *cursor = NULL;
    struct fy_node *item;
    int r = arr != NULL ? TT_OK : arena_full(yaml, err);
    while (r == TT_OK && (item = fy_node_sequence_iterate(node, &cursor)) != NULL) {
        yyjson_mut_val *val = NULL;
        size_t first = yaml->mark_count;
        r = copy_node(yaml, item, depth + 1, &val, err);
        /* An item begins where its first member does. */
        unsigned line = yaml->mark_count > first ? yaml->marks[first].line : yaml->line;
        if (r == TT_OK && !yyjson_mut_arr_append(arr, val)) {
            r = arena_full(yaml, err);
        }
        if (r == TT_OK) {
            r = add_mark(yaml, val, line, err);
        }
    }
    *ret = arr;
    return r;
}

static int copy_node(struct ctl_yaml *yaml, struct fy_node *node, unsigned depth,
                     yyjson_mut_val **ret, struct tt_err *err)
{
    if (depth > TT_JSON_DEPTH_MAX) {
        return refuse(yaml, err, "nested too deeply (64 levels), or an alias that holds itself");
    }
    if (++yaml->value_count > CTL_MANIFEST_VALUES_MAX) {
        return refuse(yaml, err, "more than 200,000 values in one document (counting aliases)");
    }
    if (node != NULL && fy_node_is_alias(node)) {
        note_line(yaml, fy_node_get_scalar_token(node));
        struct fy_node *target = fy_node_resolve_alias(node);
        return target != NULL ? copy_node(yaml, target, depth + 1, ret, err)
                              : refuse(yaml, err, "an alias of nothing");
    }
    if (node == NULL) {
        *ret = yyjson_mut_null(yaml->doc);
        return *ret != NULL ? TT_OK : arena_full(yaml, err);
    }
    if (fy_node_is_scalar(node)) {
        return copy_scalar(yaml, node, ret, err);
    }
    bool is_text = false;
    int r = check_tag(yaml, node, &is_text, err);
    if (r == TT_OK) {
        r = fy_node_is_mapping(node) ? copy_mapping(yaml, node, depth, ret, err)
                                     : copy_sequence(yaml, node, depth, ret, err);
    }
    return r;
}

/* ---- documents ---- */

static int fail_syntax(const struct ctl_yaml *yaml, struct tt_err *err)
{
    void *cursor = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(yaml->diag, &cursor);
    if (first == NULL) {
        return TT_FAIL(err, TT_EINVAL, "%u: not YAML", yaml->line);
    }
    return TT_FAIL(err, TT_EINVAL, "%d: %s", first->line > 0 ? first->line : 1, first->msg);
}

static bool has_errors(const struct ctl_yaml *yaml)
{
    void *cursor = NULL;
    return fy_diag_errors_iterate(yaml->diag, &cursor) != NULL;
}

int ctl_yaml_next(struct ctl_yaml *yaml, struct ctl_object *ret, struct tt_err *err)
{
    yaml->marks = NULL;
    yaml->mark_count = 0;
    yaml->mark_capacity = 0;
    yaml->value_count = 0;
    yaml->line = yaml->line > 0 ? yaml->line : 1;
    struct fy_document *document = fy_parse_load_document(yaml->parser);
    if (document == NULL) {
        *ret = (struct ctl_object){.line = yaml->line};
        return has_errors(yaml) ? fail_syntax(yaml, err) : TT_OK;
    }
    yyjson_mut_val *root = NULL;
    yaml->doc = tt_json_new(yaml->arena);
    int r = yaml->doc != NULL ? TT_OK : arena_full(yaml, err);
    if (r == TT_OK) {
        r = copy_node(yaml, fy_document_root(document), 0, &root, err);
    }
    fy_parse_document_destroy(yaml->parser, document);
    if (r != TT_OK) {
        return r;
    }
    yyjson_mut_doc_set_root(yaml->doc, root);
    *ret = (struct ctl_object){.line = yaml->mark_count > 0 ? yaml->marks[0].line : yaml->line,
                               .doc = yaml->doc,
                               .root = root,
                               .marks = yaml->marks,
                               .mark_count = yaml->mark_count};
    return TT_OK;
}

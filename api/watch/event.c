/* Happy path: the type follows from whether the object matches before and after; the line is built
 * once, as shared bytes, from the stored text with its resourceVersion spliced in. A deleted object
 * (or one that left the selector) is shown as it was, under the revision of the change. */
#include "api/watch/event.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/kinds/object.h"
#include "api/kinds/status.h"
#include "base/log.h"

enum {
    ARENA_CHUNK_SIZE = 64 << 10,
    ARENA_SIZE_MAX = 64 << 20,
    LINE_SIZE_MAX = 4 << 20, /* an object of 1 MiB and its table row */
};
static const char *const event_names[WATCH_EVENT_COUNT] = {"", "ADDED", "MODIFIED", "DELETED"};

void watch_context_init(struct watch_context *context, const struct tt_sealer *sealer,
                        const struct tt_clock *clock)
{
    memset(context, 0, sizeof *context);
    context->arena = tt_arena_new(ARENA_CHUNK_SIZE, ARENA_SIZE_MAX);
    context->sealer = sealer;
    context->clock = clock;
}

static void drop_lines(struct watch_context *context)
{
    for (unsigned event = 0; event < WATCH_EVENT_COUNT; event++) {
        for (unsigned form = 0; form < TT_WATCH_FORM_COUNT; form++) {
            tt_bytes_unref(context->lines[event][form]);
            context->lines[event][form] = NULL;
        }
    }
    context->kind = NULL;
}

void watch_context_fini(struct watch_context *context)
{
    drop_lines(context);
    tt_arena_free(context->arena);
    context->arena = NULL;
}

void watch_context_set(struct watch_context *context, const struct tt_change *change)
{
    drop_lines(context);
    tt_arena_reset(context->arena);
    context->revision = change->revision;
    context->now = (struct watch_side){.item = change->item};
    context->before = (struct watch_side){.item = change->prev};
}

static struct tt_str side_text(struct watch_context *context, struct watch_side *side)
{
    if (side->read) {
        return side->text;
    }
    side->read = true;
    struct tt_err err;
    tt_err_init(&err);
    if (tt_item_text(side->item, context->sealer, context->arena, &side->text, &err)) {
        side->text = TT_STR("");
        TT_LOG(TT_LOG_WARN, "watch", "an object cannot be shown", TT_F_STR("name", side->item->key),
               TT_F_ERR(&err));
    }
    return side->text;
}

static yyjson_val *side_root(struct watch_context *context, struct watch_side *side)
{
    struct tt_str text = side_text(context, side);
    if (!side->parsed) {
        side->parsed = true;
        yyjson_doc *doc = NULL;
        if (text.len > 0 && tt_json_read(context->arena, text, &doc, NULL) == TT_OK) {
            side->root = yyjson_doc_get_root(doc);
        }
    }
    return side->root;
}

static bool side_matches(struct watch_context *context, struct watch_side *side,
                         const struct watch_filter *filter)
{
    if (!side->item) {
        return false;
    }
    if (!filter->labels && !filter->fields) {
        return true;
    }
    yyjson_val *root = side_root(context, side);
    if (!root) {
        return false;
    }
    if (filter->labels &&
        !tt_label_selector_imatch(filter->labels, tt_json_iget(root, "metadata.labels"))) {
        return false;
    }
    return !filter->fields || tt_field_selector_match(filter->fields, root);
}

enum watch_event watch_context_event(struct watch_context *context,
                                     const struct watch_filter *filter)
{
    bool now = side_matches(context, &context->now, filter);
    bool before = side_matches(context, &context->before, filter);
    if (now) {
        return before ? WATCH_MODIFIED : WATCH_ADDED;
    }
    return before ? WATCH_DELETED : WATCH_NONE;
}

static struct tt_bytes *buf_to_bytes(const struct tt_buf *buf)
{
    return tt_buf_ok(buf) ? tt_bytes_new(buf->ptr, buf->len) : NULL;
}

static uint8_t *put(uint8_t *out, struct tt_str text)
{
    memcpy(out, text.ptr, text.len);
    return out + text.len;
}

/* The common form, without going through a buffer: sizes are known. */
static struct tt_bytes *json_line(const char *event, struct tt_str text, uint32_t splice,
                                  uint64_t revision)
{
    char spliced[TT_SPLICE_SIZE];
    const struct tt_str parts[] = {
        TT_STR("{\"type\":\""),
        tt_str_c(event),
        TT_STR("\",\"object\":"),
        tt_str(text.ptr, splice),
        tt_str(spliced, tt_object_splice(revision, spliced)),
        tt_str_skip(text, splice),
        TT_STR("}\n"),
    };
    size_t size = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size += parts[i].len;
    }
    uint8_t *out = NULL;
    struct tt_bytes *bytes = tt_bytes_new_uninit(size, &out);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        out = put(out, parts[i]);
    }
    TT_ASSERT(out == bytes->ptr + bytes->size);
    return bytes;
}

static struct tt_bytes *rendered_line(struct watch_context *context, const char *event,
                                      const struct tt_table_row *row, const struct watch_form *form)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, LINE_SIZE_MAX);
    struct tt_err err;
    tt_err_init(&err);
    tt_buf_printf(&buf, "{\"type\":\"%s\",\"object\":", event);
    int r;
    if (form->form == TT_WATCH_TABLE) {
        struct tt_table_list_meta meta = {.revision = row->revision};
        tt_table_begin(&buf, form->kind, &meta, form->columns);
        struct tt_table_style style = {form->kind, form->include, tt_clock_wall_ms(context->clock)};
        r = tt_table_row(&buf, context->arena, &style, row, &err);
        tt_table_end(&buf);
    } else {
        r = tt_object_write_metadata(&buf, context->arena, row, &err);
    }
    tt_buf_c(&buf, "}\n");
    if (r) {
        TT_LOG(TT_LOG_WARN, "watch", "an object cannot be rendered", TT_F_ERR(&err));
        return NULL;
    }
    return buf_to_bytes(&buf);
}

static struct tt_bytes *make_line(struct watch_context *context, enum watch_event event,
                                  const struct watch_form *form)
{
    struct watch_side *side = event == WATCH_DELETED ? &context->before : &context->now;
    TT_ASSERT(side->item != NULL);
    struct tt_str text = side_text(context, side);
    uint32_t splice = side->item->value.splice;
    if (text.len <= splice) {
        return NULL;
    }
    if (form->form == TT_WATCH_JSON) {
        return json_line(event_names[event], text, splice, context->revision);
    }
    struct tt_table_row row = {
        .stored = text, .splice = splice, .revision = context->revision, .first = true};
    return rendered_line(context, event_names[event], &row, form);
}

struct tt_bytes *watch_context_line(struct watch_context *context, enum watch_event event,
                                    const struct watch_form *form)
{
    TT_ASSERT(event > WATCH_NONE && event < WATCH_EVENT_COUNT);
    bool common =
        form->form != TT_WATCH_TABLE || (!form->columns && form->include == TT_INCLUDE_METADATA);
    if (!context->kind) {
        context->kind = form->kind;
    }
    if (!common || (form->form != TT_WATCH_JSON && context->kind != form->kind)) {
        return make_line(context, event, form);
    }
    struct tt_bytes **line = &context->lines[event][form->form];
    if (!*line) {
        *line = make_line(context, event, form);
    }
    return *line ? tt_bytes_ref(*line) : NULL;
}

struct tt_bytes *watch_line_bookmark(const struct tt_kind *kind, enum tt_watch_form form,
                                     uint64_t revision, bool initial_end)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 4096);
    tt_buf_c(&buf, "{\"type\":\"BOOKMARK\",\"object\":{");
    if (form == TT_WATCH_TABLE) {
        tt_buf_c(&buf, "\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\","
                       "\"columnDefinitions\":null,\"rows\":[]");
    } else if (form == TT_WATCH_METADATA) {
        tt_buf_c(&buf, "\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\"");
    } else {
        tt_buf_printf(&buf, "\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\"", TT_STR_ARG(kind->kind),
                      TT_STR_ARG(kind->api_version));
    }
    tt_buf_printf(&buf, ",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"", revision);
    if (form != TT_WATCH_TABLE) {
        tt_buf_c(&buf, ",\"creationTimestamp\":null");
        if (initial_end) {
            tt_buf_c(&buf, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
        }
    }
    tt_buf_c(&buf, "}}}\n");
    return buf_to_bytes(&buf);
}

struct tt_bytes *watch_line_expired(uint64_t revision, uint64_t compacted)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 4096);
    char message[96];
    int size = snprintf(message, sizeof message,
                        "too old resource version: %" PRIu64 " (%" PRIu64 ")", revision, compacted);
    TT_ASSERT(size > 0 && (size_t)size < sizeof message);
    struct tt_status status = {
        .http_code = 410, .reason = TT_STR("Expired"), .message = tt_str(message, (size_t)size)};
    tt_buf_c(&buf, "{\"type\":\"ERROR\",\"object\":");
    tt_status_write(&buf, &status);
    tt_buf_c(&buf, "}\n");
    return buf_to_bytes(&buf);
}

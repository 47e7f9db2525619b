/* Turning changes into keys: small helpers that every controller's observe uses. */
#include "reconciler/engine/engine.h"

#include "reconciler/engine/observer.h"

void tt_observe_add(struct tt_observer *observer, struct tt_str key, uint64_t delay_ms)
{
    if (!tt_key_queue_add_at(observer->queue, key, observer->now_ms + delay_ms)) {
        observer->overflow = true;
    }
}

void tt_observe_object(struct tt_observer *observer, struct tt_str ns, struct tt_str name)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 2 * TT_OBJECT_KEY_SIZE_MAX);
    tt_buf_str(&buf, ns);
    tt_buf_char(&buf, '/');
    tt_buf_str(&buf, name);
    if (tt_buf_ok(&buf)) {
        tt_observe_add(observer, tt_buf_view(&buf), 0);
    }
}

bool tt_observe_view(struct tt_observer *observer, const struct tt_item *item,
                     struct tt_view *ret_view)
{
    yyjson_doc *doc;
    struct tt_str text;
    tt_arena_reset(observer->arena);
    if (!tt_item_json(observer->seal, item, observer->arena, &text) ||
        !tt_key_parse(item->key, &ret_view->ref) ||
        tt_json_read(observer->arena, text, &doc, NULL) != TT_OK) {
        return false;
    }
    ret_view->item = item;
    ret_view->root = yyjson_doc_get_root(doc);
    return true;
}

bool tt_observe_mentions(struct tt_observer *observer, const struct tt_item *item, const char *word)
{
    struct tt_str text;
    tt_arena_reset(observer->arena);
    return tt_item_json(observer->seal, item, observer->arena, &text) &&
           tt_str_find_str(text, tt_str_c(word)) >= 0;
}

/* Behind the quote that ends the string that starts at text[at]; the text's end when none does. */
static size_t string_end(struct tt_str text, size_t at)
{
    for (;;) {
        const char *quote = memchr(text.ptr + at, '"', text.len - at);
        if (quote == NULL) {
            return text.len;
        }
        size_t end = (size_t)(quote - text.ptr), slashes = 0;
        while (end - slashes > at && text.ptr[end - slashes - 1] == '\\') {
            slashes++;
        }
        if (slashes % 2 == 0) {
            return end + 1;
        }
        at = end + 1; /* what lies before is an escaped quote: no slash to count again */
    }
}

static unsigned bit_of(struct tt_str name, const struct tt_str names[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tt_str_eq(name, names[i])) {
            return 1u << i;
        }
    }
    return 0;
}

/* Which of these has the object whose members begin at text[at]? Written by our own encoder: valid
 * and without blanks. */
static unsigned find_members(struct tt_str text, size_t at, const struct tt_str names[],
                             size_t count)
{
    unsigned found = 0;
    for (unsigned depth = 1; at < text.len && depth > 0; at++) {
        char c = text.ptr[at];
        if (c == '"') {
            size_t begin = at + 1;
            size_t end = string_end(text, begin);
            if (depth == 1 && end < text.len && text.ptr[end] == ':') {
                found |= bit_of(tt_str(text.ptr + begin, end - 1 - begin), names, count);
            }
            at = end - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return found;
}

unsigned tt_observe_metadata(struct tt_observer *observer, const struct tt_item *item,
                             const struct tt_str names[], size_t count)
{
    struct tt_str text;
    TT_ASSERT(count <= 32);
    tt_arena_reset(observer->arena);
    if (!tt_item_json(observer->seal, item, observer->arena, &text) || item->value.splice == 0) {
        return 0;
    }
    return find_members(text, item->value.splice, names, count);
}

void tt_observe_field(struct tt_observer *observer, const struct tt_item *item, const char *dotted)
{
    struct tt_view view;
    if (tt_observe_view(observer, item, &view)) {
        struct tt_str value = tt_view_str(&view, dotted);
        if (value.len > 0) {
            tt_observe_add(observer, value, 0);
        }
    }
}

void tt_observe_owner(struct tt_observer *observer, const struct tt_item *item, const char *kind)
{
    struct tt_view view;
    struct tt_str owner_kind;
    struct tt_str owner_name;
    struct tt_str owner_uid;
    if (tt_observe_view(observer, item, &view) &&
        tt_view_controller(&view, &owner_kind, &owner_name, &owner_uid) &&
        tt_str_eq_c(owner_kind, kind)) {
        tt_observe_object(observer, view.ref.ns, owner_name);
    }
}

bool tt_object_key_split(struct tt_str key, struct tt_str *ret_ns, struct tt_str *ret_name)
{
    ptrdiff_t slash = tt_str_find(key, '/');
    if (slash < 0) {
        return false;
    }
    *ret_ns = tt_str_head(key, (size_t)slash);
    *ret_name = tt_str_skip(key, (size_t)slash + 1);
    return true;
}

void tt_controller_free(struct tt_controller *controller)
{
    if (controller != NULL && controller->free != NULL) {
        controller->free(controller);
    } else {
        tt_free(controller);
    }
}

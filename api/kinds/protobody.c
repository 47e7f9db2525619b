/* Protobuf → JSON by the schemas' field numbers.
 *
 * The message is walked once; each known field becomes a member of a document in a private arena,
 * lists and maps grow as their entries come, then the document is written. Zero values of fields
 * that are not pointers are left out, because encoders write them for unset fields. Unknown numbers
 * are skipped. Failure modes: truncated or overlong varints, wrong wire types, bad UTF-8, nesting
 * beyond TT_JSON_DEPTH_MAX, a result beyond the buffer's maximum. */
#include "api/kinds/protobody.h"

#include "api/json/json.h"
#include "api/kinds/quantity.h"
#include "base/clock.h"

enum {
    ARENA_CHUNK = 16 << 10,
    ARENA_MAX = 64 << 20,
    MAGIC_SIZE = 4,
    FIELDS_MAX = 1 << 20, /* fields of one body */
};
enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct reader {
    struct tt_str rest; /* not read yet; borrows from the message */
};
/* One field of a message. */
struct item {
    uint64_t number;     /* the field's; > 0 */
    enum wire wire;      /* says which of the next two is set */
    uint64_t value;      /* varint, fixed */
    struct tt_str bytes; /* WIRE_BYTES */
};
struct conversion {
    yyjson_mut_doc *doc;    /* the result, in the arena */
    struct tt_arena *arena; /* of this conversion alone */
    size_t fields;          /* so far */
    struct tt_err *err;     /* borrowed */
};

static int convert_message(struct conversion *c, const struct tt_type *type, uint32_t inlined,
                           struct tt_str bytes, yyjson_mut_val *out, unsigned depth);
static int convert_value(struct conversion *c, const struct tt_type *type, const struct item *item,
                         unsigned depth, yyjson_mut_val **ret);

static int malformed(struct tt_err *err, const char *why)
{
    return TT_FAIL(err, TT_EINVAL, "malformed protobuf body: %s", why);
}

static int no_memory(struct conversion *c)
{
    return TT_FAIL(c->err, TT_ETOOLARGE, "the body needs more memory than one request may use");
}

static bool read_varint(struct reader *r, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < r->rest.len; i++) {
        uint8_t byte = (uint8_t)r->rest.ptr[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            r->rest = tt_str_skip(r->rest, i + 1);
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct reader *r, size_t size, uint64_t *ret)
{
    uint64_t value = 0;
    if (r->rest.len < size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)(uint8_t)r->rest.ptr[i] << (8 * i);
    }
    r->rest = tt_str_skip(r->rest, size);
    *ret = value;
    return true;
}

static bool read_item(struct reader *r, struct item *ret)
{
    uint64_t tag, size;
    if (!read_varint(r, &tag)) {
        return false;
    }
    ret->number = tag >> 3;
    ret->wire = (enum wire)(tag & 7);
    switch (tag & 7) {
    case WIRE_VARINT:
        return ret->number > 0 && read_varint(r, &ret->value);
    case WIRE_FIXED64:
        return ret->number > 0 && read_fixed(r, 8, &ret->value);
    case WIRE_FIXED32:
        return ret->number > 0 && read_fixed(r, 4, &ret->value);
    case WIRE_BYTES:
        if (ret->number == 0 || !read_varint(r, &size) || size > r->rest.len) {
            return false;
        }
        ret->bytes = tt_str_head(r->rest, size);
        r->rest = tt_str_skip(r->rest, size);
        return true;
    default:
        return false;
    }
}

/* What `pick` reads must be whole: a message that is cut off would read as one with less in it. */
static bool is_whole(struct tt_str message)
{
    struct reader r = {message};
    struct item item;
    while (r.rest.len > 0) {
        if (!read_item(&r, &item)) {
            return false;
        }
    }
    return true;
}

/* The last field of this number in a small, whole message (Quantity, Time, map entries …). */
static bool pick(struct tt_str message, uint64_t number, enum wire wire, struct item *ret)
{
    struct reader r = {message};
    struct item item;
    bool found = false;
    while (r.rest.len > 0 && read_item(&r, &item)) {
        if (item.number == number && item.wire == wire) {
            *ret = item;
            found = true;
        }
    }
    return found;
}

static int64_t pick_int(struct tt_str message, uint64_t number)
{
    struct item item;
    return pick(message, number, WIRE_VARINT, &item) ? (int64_t)item.value : 0;
}

static int make_text(struct conversion *c, struct tt_str text, yyjson_mut_val **ret)
{
    if (!tt_utf8_valid(text) || (text.len > 0 && memchr(text.ptr, 0, text.len) != NULL)) {
        return malformed(c->err, "a string is not valid UTF-8 text");
    }
    *ret = yyjson_mut_strncpy(c->doc, text.len > 0 ? text.ptr : "", text.len);
    return *ret != NULL ? TT_OK : no_memory(c);
}

static int make_base64(struct conversion *c, struct tt_str bytes, yyjson_mut_val **ret)
{
    char *text = tt_arena_alloc(c->arena, tt_base64_encoded_size(bytes.len) + 1);
    if (text == NULL) {
        return no_memory(c);
    }
    size_t len = tt_base64_encode(bytes.ptr, bytes.len, text);
    *ret = yyjson_mut_strn(c->doc, text, len);
    return *ret != NULL ? TT_OK : no_memory(c);
}

/* Timestamp {1 seconds, 2 nanos}; an empty message is no time at all: *ret stays NULL. */
static int make_time(struct conversion *c, struct tt_str message, bool micro, yyjson_mut_val **ret)
{
    char text[TT_TIME_TEXT_SIZE];
    int64_t seconds = pick_int(message, 1), nanos = pick_int(message, 2);
    if (message.len == 0) {
        return TT_OK;
    }
    if (seconds < 0 || seconds > 253402300799 || nanos < 0 || nanos > 999999999) {
        return malformed(c->err, "a time is out of range");
    }
    size_t len =
        micro ? tt_time_format_micro((uint64_t)seconds * 1000000 + (uint64_t)nanos / 1000, text)
              : tt_time_format((uint64_t)seconds * 1000, text);
    return make_text(c, tt_str(text, len), ret);
}

static int make_int_or_string(struct conversion *c, struct tt_str message, yyjson_mut_val **ret)
{
    struct item item;
    if (pick_int(message, 1) == 0) {
        *ret = yyjson_mut_sint(c->doc, (int32_t)pick_int(message, 2));
        return *ret != NULL ? TT_OK : no_memory(c);
    }
    return make_text(c, pick(message, 3, WIRE_BYTES, &item) ? item.bytes : TT_STR(""), ret);
}

static int make_duration(struct conversion *c, struct tt_str message, yyjson_mut_val **ret)
{
    char text[TT_DURATION_TEXT_SIZE];
    size_t len = tt_duration_format(pick_int(message, 1), text);
    return make_text(c, tt_str(text, len), ret);
}

static int make_object(struct conversion *c, const struct tt_type *type, struct tt_str message,
                       unsigned depth, yyjson_mut_val **ret)
{
    if (depth >= TT_JSON_DEPTH_MAX) {
        return malformed(c->err, "messages are nested too deep");
    }
    *ret = yyjson_mut_obj(c->doc);
    return *ret != NULL ? convert_message(c, type, 0, message, *ret, depth + 1) : no_memory(c);
}

/* What the wire type of a scalar must be. */
static bool wire_fits(const struct tt_type *type, enum wire wire)
{
    switch (type->kind) {
    case TT_TYPE_INT32:
    case TT_TYPE_INT64:
    case TT_TYPE_BOOL:
        return wire == WIRE_VARINT;
    case TT_TYPE_NUMBER:
        return wire == WIRE_FIXED64;
    case TT_TYPE_OBJECT:
    case TT_TYPE_LIST:
    case TT_TYPE_MAP:
    case TT_TYPE_STRING:
    case TT_TYPE_QUANTITY:
    case TT_TYPE_INT_OR_STRING:
    case TT_TYPE_TIME:
    case TT_TYPE_MICRO_TIME:
    case TT_TYPE_DURATION:
    case TT_TYPE_BYTES:
    case TT_TYPE_ANY:
        break;
    }
    return wire == WIRE_BYTES;
}

static int make_number(struct conversion *c, const struct tt_type *type, uint64_t value,
                       yyjson_mut_val **ret)
{
    double real;
    memcpy(&real, &value, sizeof real);
    *ret = type->kind == TT_TYPE_BOOL     ? yyjson_mut_bool(c->doc, value != 0)
           : type->kind == TT_TYPE_INT32  ? yyjson_mut_sint(c->doc, (int32_t)(uint32_t)value)
           : type->kind == TT_TYPE_NUMBER ? yyjson_mut_real(c->doc, real)
                                          : yyjson_mut_sint(c->doc, (int64_t)value);
    return *ret != NULL ? TT_OK : no_memory(c);
}

/* Scalars in JSON that are messages on the wire. */
static bool is_picked(const struct tt_type *type)
{
    return type->kind == TT_TYPE_QUANTITY || type->kind == TT_TYPE_INT_OR_STRING ||
           type->kind == TT_TYPE_TIME || type->kind == TT_TYPE_MICRO_TIME ||
           type->kind == TT_TYPE_DURATION;
}

static int convert_value(struct conversion *c, const struct tt_type *type, const struct item *item,
                         unsigned depth, yyjson_mut_val **ret)
{
    struct item inner;
    *ret = NULL;
    if (!wire_fits(type, item->wire)) {
        return malformed(c->err, "a field has the wrong wire type");
    }
    if (is_picked(type) && !is_whole(item->bytes)) {
        return malformed(c->err, "a message is cut off");
    }
    switch (type->kind) {
    case TT_TYPE_STRING:
        return make_text(c, item->bytes, ret);
    case TT_TYPE_INT32:
    case TT_TYPE_INT64:
    case TT_TYPE_BOOL:
    case TT_TYPE_NUMBER:
        return make_number(c, type, item->value, ret);
    case TT_TYPE_QUANTITY:
        return make_text(c, pick(item->bytes, 1, WIRE_BYTES, &inner) ? inner.bytes : TT_STR("0"),
                         ret);
    case TT_TYPE_INT_OR_STRING:
        return make_int_or_string(c, item->bytes, ret);
    case TT_TYPE_TIME:
    case TT_TYPE_MICRO_TIME:
        return make_time(c, item->bytes, type->kind == TT_TYPE_MICRO_TIME, ret);
    case TT_TYPE_DURATION:
        return make_duration(c, item->bytes, ret);
    case TT_TYPE_BYTES:
        return make_base64(c, item->bytes, ret);
    case TT_TYPE_OBJECT:
        return make_object(c, type, item->bytes, depth, ret);
    case TT_TYPE_ANY:  /* managed fields: the server drops them anyway */
    case TT_TYPE_LIST: /* never an element of a list or map */
    case TT_TYPE_MAP:
        break;
    }
    return TT_OK;
}

/* The member to append to: made at first need. */
static yyjson_mut_val *container(struct conversion *c, const struct tt_field *field,
                                 yyjson_mut_val *out)
{
    yyjson_mut_val *val = tt_json_member(out, field->name);
    if (val == NULL) {
        val = field->type->kind == TT_TYPE_LIST ? yyjson_mut_arr(c->doc) : yyjson_mut_obj(c->doc);
        if (!tt_json_put(c->doc, out, field->name, val)) {
            return NULL;
        }
    }
    return val;
}

static int convert_element(struct conversion *c, const struct tt_field *field,
                           const struct item *item, yyjson_mut_val *out, unsigned depth)
{
    yyjson_mut_val *list = container(c, field, out), *val = NULL;
    if (list == NULL) {
        return no_memory(c);
    }
    int r = convert_value(c, field->type->item, item, depth + 1, &val);
    if (r == TT_OK && val != NULL && !yyjson_mut_arr_append(list, val)) {
        r = no_memory(c);
    }
    return r;
}

/* Map entry {1 key, 2 value}. */
static int convert_entry(struct conversion *c, const struct tt_field *field,
                         const struct item *item, yyjson_mut_val *out, unsigned depth)
{
    yyjson_mut_val *map = container(c, field, out), *key = NULL, *val = NULL;
    struct item part, value = {.number = 2, .wire = WIRE_BYTES, .bytes = TT_STR("")};
    if (map == NULL) {
        return no_memory(c);
    }
    if (item->wire != WIRE_BYTES) {
        return malformed(c->err, "a map entry has the wrong wire type");
    }
    if (!is_whole(item->bytes)) {
        return malformed(c->err, "a map entry is cut off");
    }
    int r = make_text(c, pick(item->bytes, 1, WIRE_BYTES, &part) ? part.bytes : TT_STR(""), &key);
    (void)pick(item->bytes, 2, WIRE_BYTES, &value); /* absent: the zero value */
    if (r == TT_OK) {
        r = convert_value(c, field->type->item, &value, depth + 1, &val);
    }
    if (r == TT_OK && val != NULL && !yyjson_mut_obj_add(map, key, val)) {
        r = no_memory(c);
    }
    return r;
}

static bool is_zero(yyjson_mut_val *val)
{
    return (yyjson_mut_is_str(val) && yyjson_mut_get_len(val) == 0) ||
           (yyjson_mut_is_bool(val) && !yyjson_mut_get_bool(val)) ||
           (yyjson_mut_is_sint(val) && yyjson_mut_get_sint(val) == 0) ||
           (yyjson_mut_is_uint(val) && yyjson_mut_get_uint(val) == 0);
}

static int convert_field(struct conversion *c, const struct tt_field *field,
                         const struct item *item, yyjson_mut_val *out, unsigned depth)
{
    yyjson_mut_val *val = NULL;
    if (field->type->kind == TT_TYPE_LIST) {
        return convert_element(c, field, item, out, depth);
    }
    if (field->type->kind == TT_TYPE_MAP) {
        return convert_entry(c, field, item, out, depth);
    }
    int r = convert_value(c, field->type, item, depth, &val);
    bool unset = val == NULL ||
                 (!field->pointer && is_zero(val) && field->type->kind != TT_TYPE_INT_OR_STRING);
    if (r == TT_OK && !unset && !tt_json_put(c->doc, out, field->name, val)) {
        r = no_memory(c);
    }
    return r;
}

/* `inlined`: the number of the embedded message whose fields lie in the same JSON object. */
static int convert_message(struct conversion *c, const struct tt_type *type, uint32_t inlined,
                           struct tt_str bytes, yyjson_mut_val *out, unsigned depth)
{
    struct reader reader = {bytes};
    struct item item;
    while (reader.rest.len > 0) {
        const struct tt_field *found = NULL;
        bool embeds = false;
        if (!read_item(&reader, &item) || ++c->fields > FIELDS_MAX) {
            return malformed(c->err, "a message is cut off or has too many fields");
        }
        for (uint32_t i = 0; i < type->field_count; i++) {
            const struct tt_field *field = &type->fields[i];
            if (field->proto == item.number && field->proto_inline == inlined) {
                found = field;
            }
            embeds |= inlined == 0 && field->proto_inline == item.number && field->proto_inline > 0;
        }
        int r = TT_OK;
        if (found != NULL) {
            r = convert_field(c, found, &item, out, depth);
        } else if (embeds && item.wire == WIRE_BYTES) {
            r = convert_message(c, type, (uint32_t)item.number, item.bytes, out, depth);
        }
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

bool tt_proto_body_is(struct tt_str body)
{
    return body.len >= MAGIC_SIZE && memcmp(body.ptr, "k8s", MAGIC_SIZE) == 0;
}

static const struct tt_type *find_type(const struct tt_kinds *kinds, struct tt_str api_version,
                                       struct tt_str kind)
{
    static const char *const packages[] = {"io.k8s.apimachinery.pkg.apis.meta.v1.",
                                           "io.k8s.api.autoscaling.v1."};
    const struct tt_kind *found = tt_kinds_kind(kinds, api_version, kind);
    const struct tt_type *type = found != NULL ? found->type : NULL;
    for (size_t i = 0; type == NULL && i < sizeof packages / sizeof packages[0]; i++) {
        TT_AUTO_BUF struct tt_buf name;
        tt_buf_init(&name, 512);
        tt_buf_printf(&name, "%s%.*s", packages[i], TT_STR_ARG(tt_str_head(kind, 256)));
        type = tt_kinds_type(kinds, tt_buf_view(&name));
    }
    return type;
}

static int convert_body(struct conversion *c, const struct tt_type *type, struct tt_str raw,
                        struct tt_str api_version, struct tt_str kind)
{
    c->doc = tt_json_new(c->arena);
    yyjson_mut_val *root = c->doc != NULL ? yyjson_mut_obj(c->doc) : NULL;
    if (root == NULL || !tt_json_put_str(c->doc, root, TT_STR("kind"), kind) ||
        !tt_json_put_str(c->doc, root, TT_STR("apiVersion"), api_version)) {
        return no_memory(c);
    }
    yyjson_mut_doc_set_root(c->doc, root);
    return convert_message(c, type, 0, raw, root, 0);
}

int tt_proto_body_to_json(const struct tt_kinds *kinds, struct tt_str body, struct tt_buf *buf,
                          struct tt_err *err)
{
    struct item meta, raw, part;
    if (!tt_proto_body_is(body)) {
        return malformed(err, "it does not start with the k8s prefix");
    }
    struct tt_str envelope = tt_str_skip(body, MAGIC_SIZE);
    if (!is_whole(envelope)) {
        return malformed(err, "the envelope is cut off");
    }
    if (!pick(envelope, 1, WIRE_BYTES, &meta) || !is_whole(meta.bytes)) {
        return malformed(err, "the envelope names no type");
    }
    struct tt_str api = pick(meta.bytes, 1, WIRE_BYTES, &part) ? part.bytes : TT_STR("");
    struct tt_str kind = pick(meta.bytes, 2, WIRE_BYTES, &part) ? part.bytes : TT_STR("");
    if (!tt_utf8_valid(api) || !tt_utf8_valid(kind)) {
        return malformed(err, "the envelope's type is not text");
    }
    const struct tt_type *type = find_type(kinds, api, kind);
    if (type == NULL) {
        return TT_FAIL(err, TT_EMEDIATYPE, "no protobuf schema for kind \"%.*s\" in \"%.*s\"",
                       TT_STR_ARG(tt_str_head(kind, 80)), TT_STR_ARG(tt_str_head(api, 80)));
    }
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    struct conversion c = {.arena = arena, .err = err};
    struct tt_str bytes = pick(envelope, 2, WIRE_BYTES, &raw) ? raw.bytes : TT_STR("");
    int r = convert_body(&c, type, bytes, api, kind);
    if (r < 0) {
        return r;
    }
    tt_json_write(buf, yyjson_mut_doc_get_root(c.doc));
    return tt_buf_ok(buf) ? TT_OK
                          : TT_FAIL(err, TT_ETOOLARGE, "the body is too large written as JSON");
}

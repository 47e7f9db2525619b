/* GET /openapi/v2: the least of an OpenAPI v2 document, in the protobuf form that is all kubectl
 * reads of it.
 *
 * kubectl asks OpenAPI v3 for everything but one thing: before it sends the items of a v1 List it
 * looks here whether the server validates fields itself (a patch operation with the parameter
 * fieldValidation), and gives up when it cannot. So each kind has one path with one operation.
 * Happy path: nested length-delimited messages, written inside out through two scratch buffers.
 * Failure: other media types are told that there is only this one.
 * Source of the field numbers: OpenAPIv2.proto of github.com/google/gnostic-models. */
#include <stdio.h>

#include "api/routes/worker.h"

enum {
    /* Document.paths, Paths.path, NamedPathItem.{name,value}, PathItem.patch */
    DOCUMENT_SWAGGER = 1,
    DOCUMENT_PATHS = 8,
    PATHS_PATH = 2,
    NAMED_NAME = 1,
    NAMED_VALUE = 2,
    ITEM_PATCH = 8,
    /* Operation */
    OPERATION_PARAMETERS = 8,
    OPERATION_EXTENSION = 13,
    /* ParametersItem.parameter, Parameter.non_body_parameter, NonBodyParameter.query… */
    PARAMETER = 1,
    NON_BODY = 2,
    QUERY_SUB_SCHEMA = 3,
    QUERY_IN = 2,
    QUERY_NAME = 4,
    ANY_YAML = 2,
    MESSAGE_SIZE_MAX = 1 << 20,
};
#define MEDIA_TYPE "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
/* '@' is no token character of RFC 2045: Go's parser refuses the type it asked for. */
#define CONTENT_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

static void put_varint(struct tt_buf *buf, uint64_t value)
{
    while (value >= 0x80) {
        tt_buf_char(buf, (char)(unsigned char)(value | 0x80));
        value >>= 7;
    }
    tt_buf_char(buf, (char)(unsigned char)value);
}

static void put_bytes(struct tt_buf *buf, unsigned field, struct tt_str bytes)
{
    put_varint(buf, field << 3 | 2); /* length-delimited */
    put_varint(buf, bytes.len);
    tt_buf_str(buf, bytes);
}

/* Makes buf's content the one field of an enclosing message, again in buf. */
static void wrap(struct tt_buf *buf, unsigned field, struct tt_buf *scratch)
{
    tt_buf_reset(scratch);
    put_bytes(scratch, field, tt_buf_view(buf));
    tt_buf_reset(buf);
    tt_buf_str(buf, tt_buf_view(scratch));
}

static void put_parameter(struct tt_buf *operation, struct tt_buf *buf, struct tt_buf *scratch)
{
    tt_buf_reset(buf);
    put_bytes(buf, QUERY_IN, TT_STR("query"));
    put_bytes(buf, QUERY_NAME, TT_STR("fieldValidation"));
    wrap(buf, QUERY_SUB_SCHEMA, scratch);
    wrap(buf, NON_BODY, scratch);
    wrap(buf, PARAMETER, scratch);
    put_bytes(operation, OPERATION_PARAMETERS, tt_buf_view(buf));
}

static void put_extension(struct tt_buf *operation, const struct tt_kind *kind, struct tt_buf *buf,
                          struct tt_buf *scratch)
{
    tt_buf_reset(buf);
    tt_buf_printf(buf, "group: \"%.*s\"\nkind: %.*s\nversion: %.*s\n", TT_STR_ARG(kind->group),
                  TT_STR_ARG(kind->kind), TT_STR_ARG(kind->version));
    wrap(buf, ANY_YAML, scratch);
    tt_buf_reset(scratch);
    put_bytes(scratch, NAMED_NAME, TT_STR("x-kubernetes-group-version-kind"));
    put_bytes(scratch, NAMED_VALUE, tt_buf_view(buf));
    put_bytes(operation, OPERATION_EXTENSION, tt_buf_view(scratch));
}

struct scratch {
    struct tt_buf operation, buf, other; /* operation: the path item; the others: parts of it */
};

static void put_kind(struct tt_buf *paths, const struct tt_kind *kind, struct scratch *s)
{
    char name[512];
    struct tt_buf *item = &s->operation;
    tt_buf_reset(item);
    put_parameter(item, &s->buf, &s->other);
    put_extension(item, kind, &s->buf, &s->other);
    wrap(item, ITEM_PATCH, &s->other);
    int size =
        snprintf(name, sizeof name, "/%s/%.*s/%.*s/{name}", kind->group.len > 0 ? "apis" : "api",
                 TT_STR_ARG(kind->api_version), TT_STR_ARG(kind->plural));
    if (size < 0 || (size_t)size >= sizeof name) {
        return; /* such a kind could not be registered */
    }
    tt_buf_reset(&s->buf);
    put_bytes(&s->buf, NAMED_NAME, tt_str(name, (size_t)size));
    put_bytes(&s->buf, NAMED_VALUE, tt_buf_view(item));
    put_bytes(paths, PATHS_PATH, tt_buf_view(&s->buf));
}

int api_handle_openapi_v2(struct api_request *rq, struct tt_err *err)
{
    if (tt_str_find_str(rq->http->accept, TT_STR(MEDIA_TYPE)) < 0) {
        return TT_FAIL(err, TT_ENOTACCEPTABLE,
                       "only the following media types are accepted: " MEDIA_TYPE);
    }
    struct scratch s;
    TT_AUTO_BUF struct tt_buf paths;
    tt_buf_init(&paths, MESSAGE_SIZE_MAX);
    tt_buf_init(&s.operation, MESSAGE_SIZE_MAX);
    tt_buf_init(&s.buf, MESSAGE_SIZE_MAX);
    tt_buf_init(&s.other, MESSAGE_SIZE_MAX);
    for (size_t i = 0; i < tt_kinds_count(rq->kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(rq->kinds, i);
        if (tt_kind_has_verb(kind, TT_STR("patch"))) {
            put_kind(&paths, kind, &s);
        }
    }
    struct tt_buf *document = &rq->worker->text;
    tt_buf_reset(document);
    put_bytes(document, DOCUMENT_SWAGGER, TT_STR("2.0"));
    put_bytes(document, DOCUMENT_PATHS, tt_buf_view(&paths));
    bool ok = tt_buf_ok(&paths) && tt_buf_ok(document) && tt_buf_ok(&s.operation) &&
              tt_buf_ok(&s.buf) && tt_buf_ok(&s.other);
    tt_buf_fini(&s.operation);
    tt_buf_fini(&s.buf);
    tt_buf_fini(&s.other);
    if (!ok) {
        return api_no_memory(err);
    }
    api_respond_typed(rq, 200, CONTENT_TYPE, tt_buf_view(document));
    return TT_OK;
}

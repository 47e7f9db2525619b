/* Protobuf bodies as kubectl 1.32 sent them, and malformed ones. */
#include "tests/unit/api/kinds/fixture.h"

#include "api/kinds/object.h"
#include "api/kinds/protobody.h"
#include "base/rng.h"

static int convert(struct fixture *f, struct tt_str hex)
{
    uint8_t bytes[1024];
    ptrdiff_t size = tt_hex_decode(hex, bytes, sizeof bytes);
    assert_true(size >= 0);
    tt_buf_reset(&f->buf);
    tt_err_init(&f->err);
    return tt_proto_body_to_json(f->kinds, tt_str((const char *)bytes, (size_t)size), &f->buf,
                                 &f->err);
}

static void assert_json(struct fixture *f, const char *hex, const char *expected)
{
    int r = convert(f, tt_str_c(hex));
    if (r < 0) {
        print_error("%s\n", tt_err_cause(&f->err));
    }
    assert_int_equal(r, TT_OK);
    assert_string_equal(f->buf.ptr, expected);
}

#define CONFIG_MAP                                                                                 \
    "6b3873000a0f0a0276311209436f6e6669674d617012250a130a03636d3112001a0022002a003200380042001206" \
    "0a016112016212060a01631201641a002200"
#define DEPLOYMENT                                                                                 \
    "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412ba010a1f0a0377656212001a0022002a"     \
    "003200380042005a0a0a0361707012037765621288010802120c0a0a0a0361707012037765621a6e0a1c0a00"     \
    "12001a0022002a003200380042005a0a0a036170701203776562124e12300a056e67696e7812076e67696e78"     \
    "3a312a00320a0a001000185022002a0042006a007200800100880100900100a201001a00320042004a005200"     \
    "5800600068008201008a01009a0100c2010022020a00280038001a0c0800100018002000280038001a002200"

static void a_config_map_of_kubectl_becomes_json(void **state)
{
    assert_json(*state, CONFIG_MAP,
                "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"cm1\"},"
                "\"data\":{\"a\":\"b\",\"c\":\"d\"}}");
}

static void a_secret_of_kubectl_becomes_json(void **state)
{
    assert_json(*state,
                "6b3873000a0c0a0276311206536563726574121e0a120a02733112001a0022002a00320038004200"
                "12060a01701201771a001a002200",
                "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"s1\"},"
                "\"data\":{\"p\":\"dw==\"}}");
}

static void a_service_of_kubectl_becomes_json(void **state)
{
    assert_json(*state,
                "6b3873000a0d0a027631120753657276696365126c0a210a047376633112001a0022002a00320038"
                "0042005a0b0a0361707012047376633112430a1b0a0738302d38303830120354435018502207080010"
                "903f1a002800120b0a036170701204737663311a002209436c757374657249503a00420052005a0060"
                "0068001a020a001a002200",
                "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"svc1\","
                "\"labels\":{\"app\":\"svc1\"}},\"spec\":{\"ports\":[{\"name\":\"80-8080\","
                "\"protocol\":\"TCP\",\"port\":80,\"targetPort\":8080}],\"selector\":{\"app\":"
                "\"svc1\"},\"type\":\"ClusterIP\"},\"status\":{\"loadBalancer\":{}}}");
}

static void a_deployment_of_kubectl_passes_strict_validation(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(convert(f, tt_str_c(DEPLOYMENT)), TT_OK);
    struct tt_object object;
    struct tt_issues issues;
    tt_issues_init(&issues, f->arena);
    const struct tt_object_create params = {
        .ns = TT_STR("default"), .uid = "u", .name_suffix = "abcde"};
    const struct tt_kind *kind = tt_kinds_kind(f->kinds, TT_STR("apps/v1"), TT_STR("Deployment"));
    assert_int_equal(
        tt_object_decode(kind, tt_buf_view(&f->buf), TT_FIELDS_STRICT, &issues, &object, &f->err),
        TT_OK);
    assert_int_equal(tt_object_prepare_create(&object, &params, &f->err), TT_OK);
    assert_int_equal(tt_object_validate(&object, &issues, &f->err), TT_OK);
    assert_int_equal(tt_json_get_i64(object.root, "spec.replicas", 0), 2);
    assert_true(tt_str_eq_c(tt_json_get_str(object.root, "spec.strategy.type"), "RollingUpdate"));
    assert_true(
        tt_str_eq_c(tt_json_get_str(object.root, "spec.template.spec.restartPolicy"), "Always"));
}

/* Cut between fields of the envelope it is a body of its own: of an object without content, or
 * without the encoding's name. Cut anywhere else it must not pass for one with less in it. */
static void every_truncation_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tt_str hex = TT_STR(DEPLOYMENT);
    enum { BEHIND_TYPE = 27, BEHIND_OBJECT = 216, BEHIND_ENCODING = 218 };
    assert_int_equal(convert(f, hex), TT_OK);
    char *whole = tt_arena_strndup(f->arena, f->buf.ptr, f->buf.len);
    assert_non_null(whole);
    for (size_t size = 0; size < hex.len / 2; size++) {
        int r = convert(f, tt_str_head(hex, 2 * size));
        if (size == BEHIND_TYPE) {
            assert_int_equal(r, TT_OK);
            assert_string_equal(f->buf.ptr, "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\"}");
        } else if (size == BEHIND_OBJECT || size == BEHIND_ENCODING) {
            assert_int_equal(r, TT_OK);
            assert_string_equal(f->buf.ptr, whole);
        } else {
            assert_int_equal(r, TT_EINVAL);
        }
    }
}

/* The length of the whole fits, that of a part does not. */
static void a_part_that_is_cut_off_is_refused(void **state)
{
    static const char *const bodies[] = {
        /* the value of a map entry: data {"a": cut} */
        "6b3873000a0f0a0276311209436f6e6669674d6170120812060a0161120562",
        /* the seconds of a time: metadata.deletionTimestamp {1: cut} */
        "6b3873000a0f0a0276311209436f6e6669674d617012060a044a020880",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(convert(*state, tt_str_c(bodies[i])), TT_EINVAL);
    }
}

static void flipped_bytes_never_break_the_decoder(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[1024];
    struct tt_rng rng;
    const uint64_t seed = 20240607;
    print_message("seed %llu\n", (unsigned long long)seed);
    tt_rng_seed(&rng, seed);
    ptrdiff_t size = tt_hex_decode(TT_STR(DEPLOYMENT), bytes, sizeof bytes);
    for (int i = 0; i < 2000; i++) {
        uint8_t copy[1024];
        memcpy(copy, bytes, (size_t)size);
        copy[4 + tt_rng_below(&rng, (uint64_t)size - 4)] ^= (uint8_t)tt_rng_range(&rng, 1, 255);
        tt_buf_reset(&f->buf);
        int r = tt_proto_body_to_json(f->kinds, tt_str((const char *)copy, (size_t)size), &f->buf,
                                      NULL);
        assert_true(r == TT_OK || r == TT_EINVAL || r == TT_EMEDIATYPE);
    }
}

static void an_unknown_kind_is_an_unsupported_media_type(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(convert(f, TT_STR("6b3873000a0a0a0276311204466f6f6f12001a002200")),
                     TT_EMEDIATYPE);
    assert_int_equal(convert(f, TT_STR("6b387301")), TT_EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_config_map_of_kubectl_becomes_json),
        T(a_secret_of_kubectl_becomes_json),
        T(a_service_of_kubectl_becomes_json),
        T(a_deployment_of_kubectl_passes_strict_validation),
        T(every_truncation_is_refused),
        T(a_part_that_is_cut_off_is_refused),
        T(flipped_bytes_never_break_the_decoder),
        T(an_unknown_kind_is_an_unsupported_media_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

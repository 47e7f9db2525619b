/* CPU per object on its way to the store: parse → check → prepare → validate → stored form, without
 * network and store. Also the decoding of stored objects, tables and patches, and what the registry
 * costs.
 *
 * json_bench [rounds]: prints one line per case, the median of 9 batches. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/kinds/object.h"
#include "api/kinds/openapi.h"
#include "api/kinds/table.h"
#include "base/intmath.h"

enum { BATCHES = 9, DEFAULT_ROUNDS = 20000, ARENA_CHUNK = 64 << 10 };

struct bench {
    struct tt_kinds *kinds;
    struct tt_arena *arena;
    struct tt_buf buf;
    struct tt_str config_map; /* 1 KiB body */
    struct tt_str deployment; /* what kubectl apply sends */
    struct tt_buf stored;     /* the ConfigMap as stored */
    uint32_t splice;
};
struct bench_case {
    const char *name;
    void (*run)(struct bench *b);
};

static void must(int r, const struct tt_err *err)
{
    if (r < 0) {
        (void)fprintf(stderr, "json_bench: %s\n", tt_err_cause(err));
        exit(1);
    }
}

static double cpu_us(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0) {
        abort();
    }
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void create(struct bench *b, const char *api_version, const char *kind_name,
                   struct tt_str body)
{
    const struct tt_object_create params = {.ns = TT_STR("default"),
                                            .now_ms = 1767323045000,
                                            .uid = "00000000-0000-4000-8000-000000000001",
                                            .name_suffix = "abcde"};
    const struct tt_kind *kind =
        tt_kinds_kind(b->kinds, tt_str_c(api_version), tt_str_c(kind_name));
    struct tt_object object;
    struct tt_issues issues;
    struct tt_err err;
    tt_err_init(&err);
    tt_issues_init(&issues, b->arena);
    tt_buf_reset(&b->buf);
    must(tt_object_decode(kind, body, TT_FIELDS_STRICT, &issues, &object, &err), &err);
    must(tt_object_prepare_create(&object, &params, &err), &err);
    must(tt_object_validate(&object, &issues, &err), &err);
    must(tt_object_encode(&object, &b->buf, &b->splice, &err), &err);
}

static void create_config_map(struct bench *b)
{
    create(b, "v1", "ConfigMap", b->config_map);
}

static void create_deployment(struct bench *b)
{
    create(b, "apps/v1", "Deployment", b->deployment);
}

static void update_config_map(struct bench *b)
{
    const struct tt_kind *kind = tt_kinds_kind(b->kinds, TT_STR("v1"), TT_STR("ConfigMap"));
    struct tt_object object, old;
    struct tt_issues issues;
    struct tt_err err;
    tt_err_init(&err);
    tt_issues_init(&issues, b->arena);
    tt_buf_reset(&b->buf);
    must(tt_object_stored(kind, b->arena, tt_buf_view(&b->stored), 0, &old, &err), &err);
    must(tt_object_decode(kind, b->config_map, TT_FIELDS_STRICT, &issues, &object, &err), &err);
    must(tt_object_prepare_update(&object, &old, TT_PART_MAIN, &err), &err);
    must(tt_object_validate_update(&object, &old, TT_PART_MAIN, &issues, &err), &err);
    if (!tt_object_equal(&object, &old)) {
        must(TT_EINTERNAL, &err);
    }
    must(tt_object_encode(&object, &b->buf, &b->splice, &err), &err);
}

static void parse_only(struct bench *b)
{
    yyjson_mut_doc *doc = NULL;
    struct tt_err err;
    tt_err_init(&err);
    must(tt_json_parse(b->arena, b->config_map, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &err), &err);
}

static void read_stored(struct bench *b)
{
    yyjson_doc *doc = NULL;
    struct tt_err err;
    tt_err_init(&err);
    must(tt_json_read(b->arena, tt_buf_view(&b->stored), &doc, &err), &err);
}

static void table_row(struct bench *b)
{
    const struct tt_kind *kind = tt_kinds_kind(b->kinds, TT_STR("v1"), TT_STR("ConfigMap"));
    const struct tt_table_row row = {
        .stored = tt_buf_view(&b->stored), .splice = b->splice, .revision = 7, .first = true};
    struct tt_err err;
    tt_err_init(&err);
    tt_buf_reset(&b->buf);
    const struct tt_table_style style = {kind, TT_INCLUDE_METADATA, 0};
    must(tt_table_row(&b->buf, b->arena, &style, &row, &err), &err);
}

static void strategic_patch(struct bench *b)
{
    const struct tt_kind *kind = tt_kinds_kind(b->kinds, TT_STR("v1"), TT_STR("ConfigMap"));
    struct tt_object object;
    struct tt_issues issues;
    struct tt_err err;
    tt_err_init(&err);
    tt_issues_init(&issues, b->arena);
    must(tt_object_stored(kind, b->arena, tt_buf_view(&b->stored), 0, &object, &err), &err);
    must(tt_object_patch(&object, TT_PATCH_STRATEGIC,
                         TT_STR("{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"), TT_FIELDS_STRICT,
                         &issues, &err),
         &err);
}

static int cmp_double(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void measure(struct bench *b, const struct bench_case *c, uint64_t rounds)
{
    double batches[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        double start = cpu_us();
        for (uint64_t k = 0; k < rounds; k++) {
            tt_arena_reset(b->arena);
            c->run(b);
        }
        batches[i] = (cpu_us() - start) / (double)rounds;
    }
    qsort(batches, BATCHES, sizeof batches[0], cmp_double);
    (void)printf("%-22s %8.3f us\n", c->name, batches[BATCHES / 2]);
}

static void make_config_map(struct tt_buf *body)
{
    tt_buf_init(body, 4096);
    tt_buf_c(body, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                   "\"settings\",\"namespace\":\"default\",\"labels\":{\"app\":\"web\"}},"
                   "\"data\":{");
    for (int i = 0; body->len < 990; i++) {
        tt_buf_printf(body, "%s\"key%02d\":\"value of %02d abcdefghijklmnopqrstuvwxyz\"",
                      i > 0 ? "," : "", i, i);
    }
    tt_buf_c(body, "}}");
}

static const char deployment[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"labels\":"
    "{\"app\":\"web\"}},\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"
    "\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{"
    "\"name\":\"web\",\"image\":\"nginx:1.25\",\"ports\":[{\"containerPort\":80}],\"env\":[{"
    "\"name\":\"A\",\"value\":\"b\"}],\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":"
    "\"64Mi\"},\"limits\":{\"cpu\":\"1\",\"memory\":\"128Mi\"}},\"livenessProbe\":{\"httpGet\":{"
    "\"path\":\"/\",\"port\":80}},\"volumeMounts\":[{\"name\":\"cfg\",\"mountPath\":\"/etc/cfg\"}]"
    "}],\"volumes\":[{\"name\":\"cfg\",\"configMap\":{\"name\":\"cm\"}}]}}}}";

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        {"create ConfigMap 1KiB", create_config_map},
        {"update ConfigMap 1KiB", update_config_map},
        {"create Deployment", create_deployment},
        {"parse 1KiB", parse_only},
        {"read stored 1KiB", read_stored},
        {"table row", table_row},
        {"strategic patch", strategic_patch},
    };
    uint64_t rounds = DEFAULT_ROUNDS;
    if (argc > 1 && !tt_str_to_u64(tt_str_c(argv[1]), &rounds)) {
        (void)fprintf(stderr, "usage: json_bench [rounds]\n");
        return 2;
    }
    struct tt_registry *registry = NULL;
    struct tt_err err;
    tt_err_init(&err);
    double start = cpu_us();
    must(tt_registry_new(&registry, &err), &err);
    (void)printf("%-22s %8.0f us\n", "registry", cpu_us() - start);
    struct bench b = {.kinds = tt_registry_get(registry),
                      .arena = tt_arena_new(ARENA_CHUNK, 64 << 20)};
    struct tt_buf body;
    make_config_map(&body);
    b.config_map = tt_buf_view(&body);
    b.deployment = tt_str_c(deployment);
    tt_buf_init(&b.buf, TT_OPENAPI_SIZE_MAX);
    tt_buf_init(&b.stored, 1 << 20);
    create_config_map(&b);
    tt_buf_str(&b.stored, tt_buf_view(&b.buf));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        measure(&b, &cases[i], tt_u64_max(rounds, 1));
    }
    tt_buf_reset(&b.buf);
    start = cpu_us();
    (void)tt_openapi_document(&b.buf, b.kinds, TT_STR("api/v1")); /* there for sure */
    (void)printf("%-22s %8.0f us, %zu bytes\n", "OpenAPI api/v1", cpu_us() - start, b.buf.len);
    tt_buf_fini(&b.buf);
    tt_buf_fini(&b.stored);
    tt_buf_fini(&body);
    tt_arena_free(b.arena);
    tt_kinds_unref(b.kinds);
    tt_registry_free(registry);
    return 0;
}

/* load: the load client. One JSON line on standard output says what was measured.
 *
 *   load --mode k8s-create --endpoint 127.0.0.1:6443[,…] --ca FILE --cert FILE --key FILE
 *        [--outstanding N] [--connections N] [--size BYTES] [--rate PER_SECOND] [--warmup S]
 *        [--seconds S] [--objects N] [--watchers N] [--watch-streams N] [--namespace NAME]
 *        [--prefix TEXT] [--windows]
 * Modes: k8s-create k8s-update k8s-get k8s-list k8s-watch · etcd-put etcd-update etcd-range
 * etcd-watch. Connections are spread over the endpoints in turn.
 * --windows: a line on standard input ends the window being measured, with the second under way;
 * its report is printed and the next one begins at once. The end of standard input ends the run. */
#include <getopt.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "tests/bench/load.h"

enum { SCRATCH_MAX = 256, LINE_MAX_SIZE = 64 << 10 };

const struct load_mode load_modes[] = {
    {.name = "k8s-create", .method = "POST", .build = load_k8s_create, .is_ok = load_k8s_is_ok},
    {.name = "k8s-update",
     .method = "PUT",
     .needs_objects = true,
     .build = load_k8s_update,
     .build_prepare = load_k8s_prepare,
     .is_ok = load_k8s_is_ok},
    {.name = "k8s-get",
     .method = "GET",
     .needs_objects = true,
     .build = load_k8s_get,
     .build_prepare = load_k8s_prepare,
     .is_ok = load_k8s_is_ok},
    {.name = "k8s-list",
     .method = "GET",
     .needs_objects = true,
     .build = load_k8s_list,
     .build_prepare = load_k8s_prepare,
     .is_ok = load_k8s_is_ok},
    {.name = "k8s-watch",
     .method = "PUT",
     .needs_objects = true,
     .is_watch = true,
     .build = load_k8s_update,
     .build_prepare = load_k8s_prepare,
     .build_watch = load_k8s_watch,
     .is_ok = load_k8s_is_ok},
    {.name = "etcd-put",
     .method = "POST",
     .is_grpc = true,
     .build = load_etcd_put,
     .is_ok = load_etcd_is_ok},
    {.name = "etcd-update",
     .method = "POST",
     .is_grpc = true,
     .needs_objects = true,
     .build = load_etcd_update,
     .build_prepare = load_etcd_prepare,
     .is_ok = load_etcd_is_ok},
    {.name = "etcd-range",
     .method = "POST",
     .is_grpc = true,
     .needs_objects = true,
     .build = load_etcd_range,
     .build_prepare = load_etcd_prepare,
     .is_ok = load_etcd_is_ok},
    {.name = "etcd-watch",
     .method = "POST",
     .is_grpc = true,
     .needs_objects = true,
     .is_watch = true,
     .build = load_etcd_update,
     .build_prepare = load_etcd_prepare,
     .build_watch = load_etcd_watch,
     .is_ok = load_etcd_is_ok},
};
const size_t load_mode_count = sizeof load_modes / sizeof *load_modes;

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static void report_latency(struct tt_json_writer *w, const struct load_hist *hist)
{
    tt_json_double(w, "p50_ms", ms(load_hist_quantile(hist, 0.5)));
    tt_json_double(w, "p90_ms", ms(load_hist_quantile(hist, 0.9)));
    tt_json_double(w, "p99_ms", ms(load_hist_quantile(hist, 0.99)));
    tt_json_double(w, "p999_ms", ms(load_hist_quantile(hist, 0.999)));
    tt_json_double(w, "max_ms", ms(hist->max_ns));
}

static void report_seconds(struct tt_json_writer *w, const struct load *load)
{
    tt_json_array(w, "second_p99_ms");
    for (size_t i = 0; i < load->second_count; i++) {
        tt_json_double(w, NULL, ms(load->second_p99_ns[i]));
    }
    tt_json_array_end(w);
}

void load_report(const struct load *load)
{
    const struct load_options *options = &load->options;
    struct tt_buf line;
    struct tt_json_writer w;
    double operations = load->done > 0 ? (double)load->done : 1;
    double units =
        load->options.mode->is_watch && load->events > 0 ? (double)load->events : operations;
    tt_buf_init(&line, LINE_MAX_SIZE);
    tt_json_begin(&w, &line);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "mode", options->mode->name);
    tt_json_u64(&w, "size", options->size);
    tt_json_u64(&w, "outstanding", options->rate > 0 ? 0 : options->outstanding);
    tt_json_double(&w, "rate", options->rate);
    tt_json_u64(&w, "connections", options->connections);
    tt_json_u64(&w, "endpoints", options->endpoint_count);
    tt_json_double(&w, "seconds", load->measured_s);
    tt_json_u64(&w, "operations", load->done);
    tt_json_double(&w, "per_second", (double)load->done / load->measured_s);
    tt_json_u64(&w, "errors", load->errors);
    tt_json_u64(&w, "skipped", load->skipped);
    report_latency(&w, &load->hist);
    report_seconds(&w, load);
    tt_json_double(&w, "gap_ms_max", ms(load->gap_ns_max));
    tt_json_double(&w, "client_cpu_us", load->cpu_s * 1e6 / units);
    tt_json_u64(&w, "answer_bytes", load->answer_bytes);
    if (options->mode->is_watch) {
        tt_json_u64(&w, "watchers", options->watchers);
        tt_json_u64(&w, "events", load->events);
        tt_json_u64(&w, "events_expected", load->done * options->watchers);
        tt_json_u64(&w, "watches_lost", load->watches_lost);
    }
    tt_json_c(&w, "first_error", load->first_error);
    tt_json_object_end(&w);
    printf("%.*s\n", TT_STR_ARG(tt_buf_view(&line)));
    (void)fflush(stdout); /* whoever reads it knows that it is gone */
    tt_buf_fini(&line);
}

static int parse_endpoints(char *list, struct load_options *options, struct tt_err *err)
{
    for (char *at = list; at && *at;) {
        char *comma = strchr(at, ',');
        if (comma) {
            *comma = '\0';
        }
        if (options->endpoint_count == LOAD_ENDPOINTS_MAX) {
            return TT_FAIL(err, TT_EINVAL, "too many endpoints");
        }
        options->endpoint[options->endpoint_count++] = at;
        at = comma ? comma + 1 : NULL;
    }
    return 0;
}

static const struct load_mode *find_mode(const char *name)
{
    for (size_t i = 0; i < load_mode_count; i++) {
        if (strcmp(load_modes[i].name, name) == 0) {
            return &load_modes[i];
        }
    }
    return NULL;
}

enum option_key { O_TEXT, O_U32, O_DOUBLE, O_MODE, O_ENDPOINT, O_FLAG };
struct option_def {
    const char *name;
    enum option_key key;
    void *target;
};

static int take_option(const struct option_def *def, char *value, struct load_options *options,
                       struct tt_err *err)
{
    uint64_t number;
    char *end;
    switch (def->key) {
    case O_TEXT:
        *(const char **)def->target = value;
        return 0;
    case O_U32:
        if (!tt_str_to_u64(tt_str_c(value), &number) || number > UINT32_MAX) {
            return TT_FAIL(err, TT_EINVAL, "--%s: %s is not a number", def->name, value);
        }
        *(uint32_t *)def->target = (uint32_t)number;
        return 0;
    case O_DOUBLE:
        *(double *)def->target = strtod(value, &end);
        return *end == '\0' ? 0 : TT_FAIL(err, TT_EINVAL, "--%s: %s", def->name, value);
    case O_MODE:
        options->mode = find_mode(value);
        return options->mode ? 0 : TT_FAIL(err, TT_EINVAL, "unknown mode %s", value);
    case O_ENDPOINT:
        return parse_endpoints(value, options, err);
    case O_FLAG:
        *(bool *)def->target = true;
        return 0;
    }
    return TT_FAIL(err, TT_EINTERNAL, "option");
}

static int check_options(struct load_options *options, struct tt_err *err)
{
    if (!options->mode || options->endpoint_count == 0 || !options->ca_path ||
        !options->cert_path || !options->key_path) {
        return TT_FAIL(err, TT_EINVAL, "--mode, --endpoint, --ca, --cert and --key are needed");
    }
    if (options->mode->needs_objects && options->objects == 0) {
        return TT_FAIL(err, TT_EINVAL, "--objects must be positive");
    }
    if (options->outstanding == 0 || options->connections == 0 || options->watch_streams == 0 ||
        options->connections > LOAD_CONNECTIONS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "--outstanding, --connections and --watch-streams: 1 to %d",
                       LOAD_CONNECTIONS_MAX);
    }
    if (options->mode->is_watch && (options->rate <= 0 || options->windows)) {
        return TT_FAIL(err, TT_EINVAL, "watch modes need --rate and know no --windows");
    }
    return 0;
}

static int parse_options(int argc, char **argv, struct load_options *options, struct tt_err *err)
{
    const struct option_def defs[] = {{"mode", O_MODE, NULL},
                                      {"endpoint", O_ENDPOINT, NULL},
                                      {"ca", O_TEXT, &options->ca_path},
                                      {"cert", O_TEXT, &options->cert_path},
                                      {"key", O_TEXT, &options->key_path},
                                      {"namespace", O_TEXT, &options->namespace},
                                      {"prefix", O_TEXT, &options->prefix},
                                      {"outstanding", O_U32, &options->outstanding},
                                      {"connections", O_U32, &options->connections},
                                      {"size", O_U32, &options->size},
                                      {"objects", O_U32, &options->objects},
                                      {"prepared", O_U32, &options->prepared},
                                      {"watchers", O_U32, &options->watchers},
                                      {"watch-streams", O_U32, &options->watch_streams},
                                      {"rate", O_DOUBLE, &options->rate},
                                      {"warmup", O_DOUBLE, &options->warmup_s},
                                      {"seconds", O_DOUBLE, &options->seconds},
                                      {"windows", O_FLAG, &options->windows}};
    enum { COUNT = sizeof defs / sizeof *defs };
    struct option longs[COUNT + 1] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        int argument = defs[i].key == O_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){defs[i].name, argument, NULL, 0};
    }
    int index;
    int c;
    while ((c = getopt_long(argc, argv, "", longs, &index)) != -1) {
        if (c != 0) {
            return TT_FAIL(err, TT_EINVAL, "see the head of tests/bench/load.c");
        }
        int r = take_option(&defs[index], optarg, options, err);
        if (r < 0) {
            return r;
        }
    }
    return check_options(options, err);
}

static void load_fini(struct load *load)
{
    for (size_t i = 0; i < load->conn_count; i++) {
        load_conn_lose(&load->conns[i], "the end");
        tt_free(load->conns[i].out);
    }
    for (struct load_op *op = load->free_ops; op;) {
        struct load_op *next = op->next_free;
        tt_buf_fini(&op->body);
        tt_buf_fini(&op->path);
        tt_free(op);
        op = next;
    }
    nghttp2_session_callbacks_del(load->callbacks);
    SSL_CTX_free(load->tls);
    tt_free(load->conns);
    tt_buf_fini(&load->scratch);
    tt_free(load->in);
    tt_free(load);
}

static int run(struct load *load, int argc, char **argv, struct tt_err *err)
{
    struct load_options *options = &load->options;
    char prefix[32];
    tt_rng_seed(&load->rng, tt_random_u64());
    (void)snprintf(prefix, sizeof prefix, "load-%08llx",
                   (unsigned long long)(tt_rng_u64(&load->rng) & 0xffffffffu));
    *options = (struct load_options){.namespace = "default",
                                     .prefix = prefix,
                                     .outstanding = 1,
                                     .connections = 1,
                                     .size = 1024,
                                     .objects = 1000,
                                     .watch_streams = 100,
                                     .warmup_s = 1,
                                     .seconds = 5};
    int r = parse_options(argc, argv, options, err);
    if (r < 0) {
        return r;
    }
    uint32_t watchers = options->mode->is_watch ? options->watchers : 0;
    options->watchers = watchers;
    load->conn_count =
        options->connections + (watchers + options->watch_streams - 1) / options->watch_streams;
    load->conns = tt_xcalloc(load->conn_count, sizeof *load->conns);
    for (size_t i = 0; i < load->conn_count; i++) {
        load->conns[i].fd = -1;
    }
    load->in = tt_xmalloc(LOAD_READ_MAX);
    tt_buf_init(&load->scratch, SCRATCH_MAX);
    load->callbacks = load_callbacks();
    r = load_tls_new(load, err);
    if (r == 0) {
        r = load_run(load, err);
    }
    if (r == 0) {
        load_report(load);
    }
    load->phase = LOAD_DRAIN;
    return r;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    struct tt_err err;
    tt_err_init(&err);
    struct load *load = TT_NEW(struct load);
    int r = run(load, argc, argv, &err);
    if (r < 0) {
        char text[512];
        tt_err_format(&err, text, sizeof text);
        fprintf(stderr, "load: %s\n", text);
    }
    load_fini(load);
    return tt_err_exit_code(r);
}

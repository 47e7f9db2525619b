/* http_bench: a server that answers from memory, to measure api/http alone.
 *
 *   http_bench CERT KEY CA [PORT [STORED_BYTES]]
 * Prints the port and serves until SIGTERM: GET answers a stored object with its resourceVersion
 * spliced in (three parts, the object's bytes not copied), POST and PUT echo the body as the
 * created object. On the way out one JSON line with requests and CPU time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "api/http/server.h"
#include "base/json.h"
#include "base/log.h"
#include "server/tls/context.h"

struct bench {
    struct tt_loop *loop;
    struct tt_http_server *server;
    struct tt_bytes *object; /* what a GET answers */
    uint64_t revision;
    uv_signal_t term;
};

static void keep(const void *owner)
{
    (void)owner; /* lives as long as the program */
}

static void on_request(void *ctx, struct tt_http_exchange *ex)
{
    struct bench *bench = ctx;
    const struct tt_http_request *request = tt_http_request(ex);
    static const struct tt_http_header type = {{"content-type", 12}, {"application/json", 16}};
    char head[64];
    int len = snprintf(head, sizeof head, "{\"resourceVersion\":\"%llu\",\"object\":",
                       (unsigned long long)++bench->revision);
    TT_ASSERT(len > 0);
    struct tt_http_part parts[3] = {{tt_str(head, (size_t)len), NULL, NULL},
                                    {request->body, NULL, NULL},
                                    {TT_STR("}"), NULL, NULL}};
    bool is_read = request->method == TT_HTTP_GET;
    if (is_read) {
        parts[1] = (struct tt_http_part){
            tt_str((const char *)bench->object->ptr, bench->object->size), bench->object, keep};
    }
    tt_http_respond(ex, is_read ? 200 : 201, &type, 1, parts, 3);
}

static void on_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    (void)ex; /* every request is answered at once: nothing is kept */
}

static void on_server_closed(void *ctx)
{
    struct bench *bench = ctx;
    uv_close((uv_handle_t *)&bench->term, NULL);
}

static void on_stop(void *ctx)
{
    struct bench *bench = ctx;
    tt_http_server_stop(bench->server, 0, on_server_closed, bench);
}

static void on_term(uv_signal_t *signal, int number)
{
    (void)number;
    struct bench *bench = signal->data;
    tt_loop_stop(bench->loop);
}

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void report(const struct bench *bench)
{
    struct rusage usage;
    struct tt_http_server_stats stats;
    getrusage(RUSAGE_SELF, &usage);
    tt_http_server_get_stats(bench->server, &stats);
    double cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    double each = stats.requests > 0 ? cpu_s * 1e6 / (double)stats.requests : 0;
    printf("{\"requests\":%llu,\"cpu_us_per_request\":%.2f,\"rss_kib\":%ld}\n",
           (unsigned long long)stats.requests, each, usage.ru_maxrss);
}

static int serve(struct bench *bench, char **argv, int argc, struct tt_err *err)
{
    struct tt_tls_config tls_config = {.cert_path = argv[1],
                                       .key_path = argv[2],
                                       .ca_path = argv[3],
                                       .alpn = "h2,http/1.1",
                                       .client_auth = TT_TLS_CLIENT_OPTIONAL,
                                       .server = true};
    struct tt_tls_context *tls;
    int r = tt_tls_context_new(&tls_config, &tls, err);
    if (r < 0) {
        return r;
    }
    struct tt_loop_config loop_config = {
        .name = "bench", .mailbox_max = 16, .on_stop = on_stop, .ctx = bench};
    bench->loop = tt_loop_new(&loop_config, err);
    if (!bench->loop) {
        tt_tls_context_unref(tls);
        return TT_WRAP(err, err->code, "loop");
    }
    struct tt_http_server_config config = {.loop = bench->loop,
                                           .tls = tls,
                                           .host = "127.0.0.1",
                                           .port =
                                               argc > 4 ? (uint16_t)strtoul(argv[4], NULL, 10) : 0,
                                           .handler = {on_request, on_cancelled, bench}};
    r = tt_http_server_new(&config, &bench->server, err);
    if (r == 0) {
        uv_signal_init(tt_loop_uv(bench->loop), &bench->term);
        bench->term.data = bench;
        uv_signal_start(&bench->term, on_term, SIGTERM);
        printf("%u\n", tt_http_server_port(bench->server));
        fflush(stdout);
        tt_loop_run_here(bench->loop);
        report(bench);
        tt_http_server_free(bench->server);
    }
    tt_loop_free(bench->loop);
    tt_tls_context_unref(tls);
    return r;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: http_bench CERT KEY CA [PORT [STORED_BYTES]]\n");
        return 2;
    }
    size_t size = argc > 5 ? strtoul(argv[5], NULL, 10) : 1024;
    uint8_t *data;
    struct bench bench = {.object = tt_bytes_new_uninit(size + 2, &data)};
    memset(data, 'x', size + 2);
    data[0] = '"';
    data[size + 1] = '"';
    struct tt_err err;
    tt_err_init(&err);
    int r = serve(&bench, argv, argc, &err);
    if (r < 0) {
        char text[512];
        tt_err_format(&err, text, sizeof text);
        fprintf(stderr, "http_bench: %s\n", text);
    }
    tt_bytes_unref(bench.object);
    return tt_err_exit_code(r);
}

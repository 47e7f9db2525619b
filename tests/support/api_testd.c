/* A small API server for tests: the real routes, watches, TLS and HTTP over a store with the direct
 * proposer, without raft.
 *
 *   api_testd DIR [PORT]
 * makes a CA, a server certificate and identities below DIR (admin, reader, nobody, agent-n1),
 * writes a kubeconfig for each user, serves on two threads until SIGTERM or SIGINT and then exits 0
 * when everything was freed. Prints one line "ready PORT AGENT-PORT" on standard output: on the
 * second port something that looks like the agent of node n1 serves container logs. A line "fail
 * COUNT CODE" on standard input makes the next COUNT proposals fail with the error of that number,
 * "compact REVISION" forgets the history up to that revision; each is answered by a line.
 * Errors end it with 1 and a message. */
#include <stdio.h>
#include <stdlib.h>

#include "api/routes/api.h"
#include "base/file.h"
#include "base/log.h"
#include "server/store/direct.h"
#include "server/tls/pki.h"
#include "server/tls/seal.h"

enum {
    PATH_SIZE = 512,
    MAILBOX_MAX = 4096,
    STOP_DRAIN_MS = 500,
    INPUT_SIZE = 256,
    BIG_LOG_SIZE = 3 << 20
};

/* The second API thread. */
struct second {
    struct tt_loop *loop;
    struct tt_api_worker *worker;
};
struct testd {
    const char *dir;
    uint16_t port;
    struct tt_loop *loop;
    struct tt_store *store;
    struct tt_direct *direct;
    struct tt_registry *registry;
    struct tt_tls_context *tls;
    struct tt_tls_context *client_tls;
    struct tt_seal_ring *ring;
    struct tt_sealer sealer;
    struct tt_api *api;
    struct tt_api_worker *worker;
    struct second second;
    struct tt_tls_context *agent_tls;
    struct tt_http_server *agent; /* of node n1, or so it seems */
    uv_pipe_t input;
    char line[INPUT_SIZE]; /* of standard input */
    unsigned open;         /* what stopping waits for */
    struct tt_pki_ca *ca;
    uv_signal_t term, interrupt;
    struct tt_propose_op bootstrap;
    struct tt_propose_op compaction; /* one at a time: its asker waits for the answer */
    char ca_path[PATH_SIZE], ca_key_path[PATH_SIZE];
};

static void path_of(const struct testd *d, char out[PATH_SIZE], const char *name)
{
    int size = snprintf(out, PATH_SIZE, "%s/%s", d->dir, name);
    TT_ASSERT(size > 0 && size < PATH_SIZE);
}

static int issue(struct testd *d, const char *file, const struct tt_pki_subject *subject,
                 struct tt_err *err)
{
    char name[64];
    char cert[PATH_SIZE];
    char key[PATH_SIZE];
    (void)snprintf(name, sizeof name, "%s.crt", file); /* short constants */
    path_of(d, cert, name);
    (void)snprintf(name, sizeof name, "%s.key", file);
    path_of(d, key, name);
    return tt_pki_issue_files(d->ca, subject, tt_clock_wall_ms(tt_clock_real()), cert, key, err);
}

static int make_identities(struct testd *d, struct tt_err *err)
{
    static const struct {
        const char *file;
        struct tt_pki_subject subject;
    } wanted[] = {
        {"server", {TT_IDENTITY_SERVER, "s1", "127.0.0.1,localhost", NULL, 0, NULL, 0}},
        {"admin", {TT_IDENTITY_USER, "admin", NULL, "tutti:admins", 0, NULL, 0}},
        {"reader", {TT_IDENTITY_USER, "reader", NULL, "tutti:readers", 0, NULL, 0}},
        {"nobody", {TT_IDENTITY_USER, "nobody", NULL, NULL, 0, NULL, 0}},
        {"agent-n1", {TT_IDENTITY_AGENT, "n1", "127.0.0.1", NULL, 0, NULL, 0}},
    };
    path_of(d, d->ca_path, "ca.crt");
    path_of(d, d->ca_key_path, "ca.key");
    int r = tt_pki_ca_new("test", tt_clock_wall_ms(tt_clock_real()), 0, &d->ca, err);
    if (r == TT_OK) {
        r = tt_pki_ca_save(d->ca, d->ca_path, d->ca_key_path, err);
    }
    for (size_t i = 0; r == TT_OK && i < sizeof wanted / sizeof wanted[0]; i++) {
        r = issue(d, wanted[i].file, &wanted[i].subject, err);
    }
    return r;
}

static int write_kubeconfig(struct testd *d, const char *user, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 1 << 16);
    tt_buf_printf(&buf,
                  "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n"
                  "- name: test\n  cluster: {server: \"https://127.0.0.1:%u\", "
                  "certificate-authority: \"%s/ca.crt\"}\n"
                  "users:\n- name: %s\n  user: {client-certificate: \"%s/%s.crt\", client-key: "
                  "\"%s/%s.key\"}\ncontexts:\n- name: test\n  context: {cluster: test, user: %s}\n",
                  d->port, d->dir, user, d->dir, user, d->dir, user, user);
    char name[64];
    char path[PATH_SIZE];
    (void)snprintf(name, sizeof name, "%s.kubeconfig", user); /* short constants */
    path_of(d, path, name);
    return tt_file_write_atomic(path, tt_buf_view(&buf), 0600, err);
}

static int write_kubeconfigs(struct testd *d, struct tt_err *err)
{
    static const char *const users[] = {"admin", "reader", "nobody", "agent-n1"};
    int r = TT_OK;
    for (size_t i = 0; r == TT_OK && i < sizeof users / sizeof users[0]; i++) {
        r = write_kubeconfig(d, users[i], err);
    }
    return r;
}

static int make_tls(struct testd *d, struct tt_err *err)
{
    char cert[PATH_SIZE];
    char key[PATH_SIZE];
    path_of(d, cert, "server.crt");
    path_of(d, key, "server.key");
    struct tt_tls_config server = {.cert_path = cert,
                                   .key_path = key,
                                   .ca_path = d->ca_path,
                                   .alpn = "h2,http/1.1",
                                   .client_auth = TT_TLS_CLIENT_OPTIONAL,
                                   .server = true};
    struct tt_tls_config client = server;
    client.server = false;
    client.alpn = "h2";
    int r = tt_tls_context_new(&server, &d->tls, err);
    return r ? r : tt_tls_context_new(&client, &d->client_tls, err);
}

static void one_closed(struct testd *d)
{
    if (--d->open == 0) {
        tt_loop_stop(d->loop);
    }
}

static void on_closed(void *ctx)
{
    one_closed(ctx);
}

static void on_input_closed(uv_handle_t *handle)
{
    one_closed(handle->data);
}

/* ---- the second thread ---- */

static void second_closed(void *ctx)
{
    (void)ctx; /* its loop ends: no handle is left */
}

static void second_stop(void *ctx)
{
    struct second *second = ctx;
    tt_api_worker_stop(second->worker, STOP_DRAIN_MS, second_closed, second);
}

static int start_second(struct testd *d, struct tt_err *err)
{
    struct tt_loop_config loop = {
        .name = "testd2", .mailbox_max = MAILBOX_MAX, .on_stop = second_stop, .ctx = &d->second};
    d->second.loop = tt_loop_new(&loop, err);
    if (!d->second.loop) {
        return err->code;
    }
    struct tt_api_worker_config worker = {
        .loop = d->second.loop, .host = "127.0.0.1", .port = d->port};
    int r = tt_api_worker_new(d->api, &worker, &d->second.worker, err);
    return r ? r : tt_loop_start(d->second.loop, err);
}

/* ---- the agent ---- */

/* Answers with what it was asked, and who asked; a pod "big" says much more. */
static void agent_request(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    const struct tt_http_request *request = tt_http_request(ex);
    const struct tt_peer_identity *peer = tt_http_peer(ex);
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, BIG_LOG_SIZE + (1 << 16));
    bool known = tt_str_find_str(request->path, TT_STR("/missing/")) < 0;
    if (known) {
        tt_buf_printf(&buf, "%.*s?%.*s by %s\n", TT_STR_ARG(request->path),
                      TT_STR_ARG(request->query), peer ? peer->uri : "nobody");
    } else {
        tt_buf_c(&buf, "no such container");
    }
    if (tt_str_find_str(request->path, TT_STR("/big/")) >= 0) {
        while (buf.len < BIG_LOG_SIZE) {
            tt_buf_c(&buf, "one of many lines that nobody reads\n");
        }
    }
    tt_http_respond_text(ex, known ? 200 : 404, "text/plain", tt_buf_view(&buf));
}

static void agent_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx; /* nothing is kept */
    (void)ex;
}

static int start_agent(struct testd *d, struct tt_err *err)
{
    char cert[PATH_SIZE];
    char key[PATH_SIZE];
    path_of(d, cert, "agent-n1.crt");
    path_of(d, key, "agent-n1.key");
    struct tt_tls_config tls = {.cert_path = cert,
                                .key_path = key,
                                .ca_path = d->ca_path,
                                .alpn = "h2",
                                .client_auth = TT_TLS_CLIENT_REQUIRED,
                                .server = true};
    int r = tt_tls_context_new(&tls, &d->agent_tls, err);
    if (r) {
        return r;
    }
    struct tt_http_server_config config = {
        .loop = d->loop,
        .tls = d->agent_tls,
        .host = "127.0.0.1",
        .handler = {.request = agent_request, .cancelled = agent_cancelled, .ctx = d}};
    return tt_http_server_new(&config, &d->agent, err);
}

/* ---- faults by standard input ---- */

static void input_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct testd *d = handle->data;
    *buf = uv_buf_init(d->line, INPUT_SIZE);
}

static void fail_next(struct testd *d, struct tt_str arguments)
{
    struct tt_str count_text;
    uint64_t count = 0;
    int64_t code = 0;
    if (tt_str_cut(&arguments, ' ', &count_text) && tt_str_to_u64(count_text, &count) &&
        tt_str_to_i64(tt_str_trim(arguments), &code)) {
        tt_direct_fail_next(d->direct, (unsigned)count, (int)code);
        printf("failing\n");
        (void)fflush(stdout); /* a reader that went away is no matter */
    }
}

static void compacted(struct tt_propose_op *op)
{
    printf("compacted %s\n", tt_err_name(op->code));
    (void)fflush(stdout); /* a reader that went away is no matter */
}

static void compact(struct testd *d, struct tt_str arguments)
{
    uint64_t revision = 0;
    struct tt_proposer *proposer = tt_direct_proposer(d->direct);
    if (tt_str_to_u64(tt_str_trim(arguments), &revision)) {
        d->compaction = (struct tt_propose_op){.command = tt_command_compact(revision),
                                               .reply = tt_loop_mailbox(d->loop),
                                               .done = compacted};
        int r = proposer->propose(proposer, &d->compaction);
        TT_ASSERT(r == TT_OK); /* the direct proposer takes everything */
    }
}

static void input_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct testd *d = stream->data;
    if (size < 0) {
        (void)uv_read_stop(stream); /* nobody types any more */
        return;
    }
    struct tt_str rest = tt_str(buf->base, (size_t)size);
    struct tt_str word;
    if (tt_str_cut(&rest, ' ', &word) && tt_str_eq_c(word, "fail")) {
        fail_next(d, rest);
    } else if (tt_str_eq_c(word, "compact")) {
        compact(d, rest);
    }
}

static int start_input(struct testd *d)
{
    d->input.data = d;
    int r = uv_pipe_init(tt_loop_uv(d->loop), &d->input, 0);
    if (r == 0 && uv_guess_handle(0) == UV_NAMED_PIPE && uv_pipe_open(&d->input, 0) == 0) {
        r = uv_read_start((uv_stream_t *)&d->input, input_room, input_read);
    }
    return r;
}

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    struct testd *d = handle->data;
    uv_close((uv_handle_t *)&d->term, NULL);
    uv_close((uv_handle_t *)&d->interrupt, NULL);
    d->open = 3;
    uv_close((uv_handle_t *)&d->input, on_input_closed);
    tt_loop_stop(d->second.loop);
    tt_http_server_stop(d->agent, STOP_DRAIN_MS, on_closed, d);
    tt_api_worker_stop(d->worker, STOP_DRAIN_MS, on_closed, d);
}

static int start_signals(struct testd *d)
{
    uv_loop_t *uv = tt_loop_uv(d->loop);
    d->term.data = d;
    d->interrupt.data = d;
    int r = uv_signal_init(uv, &d->term);
    r = r ? r : uv_signal_init(uv, &d->interrupt);
    r = r ? r : uv_signal_start(&d->term, on_signal, SIGTERM);
    return r ? r : uv_signal_start(&d->interrupt, on_signal, SIGINT);
}

static void bootstrapped(struct tt_propose_op *op)
{
    struct testd *d = op->ctx;
    if (op->code) {
        fprintf(stderr, "bootstrap: %s\n", tt_err_name(op->code));
    }
    printf("ready %u %u\n", d->port, tt_http_server_port(d->agent));
    (void)fflush(stdout); /* a reader that went away is no matter */
}

static int bootstrap(struct testd *d, struct tt_err *err)
{
    TT_AUTO(tt_version) version = tt_store_version(d->store);
    d->bootstrap =
        (struct tt_propose_op){.reply = tt_loop_mailbox(d->loop), .done = bootstrapped, .ctx = d};
    int r = tt_api_bootstrap_command(d->api, version, &d->bootstrap.command, err);
    if (r) {
        return r;
    }
    struct tt_proposer *proposer = tt_direct_proposer(d->direct);
    r = proposer->propose(proposer, &d->bootstrap);
    return r ? TT_FAIL(err, r, "bootstrap") : TT_OK;
}

static int start_api(struct testd *d, struct tt_err *err)
{
    struct tt_api_config config = {
        .store = d->store,
        .registry = d->registry,
        .proposer = tt_direct_proposer(d->direct),
        .cluster = tt_direct_cluster(d->direct),
        .clock = tt_clock_real(),
        .sealer = &d->sealer,
        .server_tls = d->tls,
        .client_tls = d->client_tls,
        .ca_cert_path = d->ca_path,
        .ca_key_path = d->ca_key_path,
        .version = "test",
        .cluster_name = "test",
    };
    d->api = tt_api_new(&config);
    struct tt_api_worker_config worker = {.loop = d->loop, .host = "127.0.0.1", .port = d->port};
    int r = tt_api_worker_new(d->api, &worker, &d->worker, err);
    if (r == TT_OK) {
        d->port = tt_api_worker_port(d->worker);
    }
    return r;
}

static int start(struct testd *d, struct tt_err *err)
{
    char root_key[PATH_SIZE];
    path_of(d, root_key, "root.key");
    struct tt_loop_config loop = {.name = "testd", .mailbox_max = MAILBOX_MAX, .ctx = d};
    d->store = tt_store_new();
    d->direct = tt_direct_new(d->store, tt_clock_real());
    d->ring = tt_seal_ring_new();
    tt_sealer_over_ring(&d->sealer, d->ring);
    d->loop = tt_loop_new(&loop, err);
    int r = d->loop ? TT_OK : err->code;
    r = r ? r : tt_registry_new(&d->registry, err);
    r = r ? r : make_identities(d, err);
    r = r ? r : tt_seal_root_create(root_key, err);
    r = r ? r : tt_seal_ring_add_file(d->ring, root_key, err);
    r = r ? r : make_tls(d, err);
    r = r ? r : start_agent(d, err);
    r = r ? r : start_api(d, err);
    r = r ? r : start_second(d, err);
    r = r ? r : write_kubeconfigs(d, err);
    r = r ? r : bootstrap(d, err);
    if (r == TT_OK && (start_signals(d) || start_input(d))) {
        r = TT_FAIL(err, TT_EINTERNAL, "signals and standard input");
    }
    return r;
}

static void finish(struct testd *d)
{
    tt_loop_free(d->second.loop); /* joins: its worker is closed then */
    tt_api_worker_free(d->second.worker);
    tt_api_worker_free(d->worker);
    tt_http_server_free(d->agent);
    tt_api_free(d->api);
    tt_loop_free(d->loop);
    tt_direct_free(d->direct);
    tt_registry_free(d->registry);
    tt_tls_context_unref(d->tls);
    tt_tls_context_unref(d->client_tls);
    tt_tls_context_unref(d->agent_tls);
    tt_seal_ring_free(d->ring);
    tt_pki_ca_free(d->ca);
    tt_store_free(d->store);
}

int main(int argc, char **argv)
{
    uint64_t port = 0;
    if (argc < 2 || argc > 3 || (argc == 3 && !tt_str_to_u64(tt_str_c(argv[2]), &port)) ||
        port > UINT16_MAX) {
        fprintf(stderr, "usage: api_testd DIR [PORT]\n");
        return 2;
    }
    struct testd d = {.dir = argv[1], .port = (uint16_t)port};
    struct tt_err err;
    tt_err_init(&err);
    tt_log_setup(2, TT_LOG_INFO, "testd");
    if (start(&d, &err)) {
        char text[1024];
        (void)tt_err_format(&err, text, sizeof text); /* cut is fine */
        fprintf(stderr, "api_testd: %s\n", text);
        return 1;
    }
    tt_loop_run_here(d.loop);
    finish(&d);
    return 0;
}

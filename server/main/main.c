/* tuttid: the one daemon. `tuttid server` runs a server of the cluster, `tuttid agent` a node. */
#include <stdio.h>
#include <unistd.h>

#ifdef TT_MIMALLOC
#include <mimalloc.h>
#endif

#include "agent/agent.h"
#include "base/log.h"
#include "server/main/offline.h"
#include "server/main/server.h"
#include "server/tls/seal.h"

enum { EXIT_USAGE = 2, FREED_KEPT_MS = 1000 };

/* Memory that was freed a moment ago is about to be taken again; given back to the kernel and
 * fetched once more it costs a page fault per page, on a virtual machine with one of the host's. */
static void keep_freed_memory(void)
{
#ifdef TT_MIMALLOC
#if MI_MALLOC_VERSION >= 210
    mi_option_set(mi_option_purge_delay, FREED_KEPT_MS);
#else
    mi_option_set(mi_option_decommit_delay, FREED_KEPT_MS);
#endif
#endif
}

static void print(FILE *out, void (*write)(struct tt_buf *buf))
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 64 << 10);
    write(&buf);
    (void)fwrite(buf.ptr, 1, buf.len, out);
}

static void usage(struct tt_buf *buf)
{
    tt_buf_c(buf, "tuttid runs the parts of a tutti cluster.\n\n"
                  "  tuttid server …   a server: raft member, API, reconcilers\n"
                  "  tuttid agent …    a node: runs the pods bound to it\n"
                  "  tuttid restore …  a new cluster's first server from a backup\n"
                  "  tuttid recover …  after a lost majority: one server goes on alone\n"
                  "  tuttid version    prints the version\n\n"
                  "Each takes --help. Clusters are made and looked at with tuttictl.\n");
}

static int report(const char *what, const struct tt_err *err)
{
    char text[2048];
    (void)tt_err_format(err, text, sizeof text);
    (void)fprintf(stderr, "tuttid %s: %s\n", what, text);
    return tt_err_exit_code(err->code);
}

static int run_server(int argc, char **argv)
{
    struct server_options options = {.name = NULL};
    struct tt_err err;
    tt_err_init(&err);
    int r = server_options_parse(argc, argv, &options, &err);
    if (r == TT_OK && options.help) {
        print(stdout, server_options_help);
        return 0;
    }
    if (r != TT_OK) {
        return report("server", &err);
    }
    tt_log_setup(STDERR_FILENO, options.level, options.name);
    struct server *server = NULL;
    r = tt_process_harden(&err);
    if (r == TT_OK) {
        r = server_new(&options, &server, &err);
    }
    if (r == TT_OK) {
        r = server_run(server, &err);
    }
    server_free(server);
    if (r != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "server", "the server cannot run", TT_F_ERR(&err));
        return report("server", &err);
    }
    return 0;
}

static int run_agent(int argc, char **argv)
{
    struct agent_options *options = TT_NEW(struct agent_options);
    struct agent *agent = NULL;
    struct tt_err err;
    tt_err_init(&err);
    int r = agent_options_parse(argc, argv, options, &err);
    if (r == TT_OK && options->help) {
        print(stdout, agent_options_help);
        tt_free(options);
        return 0;
    }
    if (r == TT_OK) {
        tt_log_setup(STDERR_FILENO, options->level, options->name);
        r = tt_process_harden(&err);
    }
    if (r == TT_OK) {
        r = agent_new(options, &agent, &err);
    }
    if (r == TT_OK) {
        r = agent_run(agent, &err);
    }
    agent_free(agent);
    tt_free(options);
    return r != TT_OK ? report("agent", &err) : 0;
}

static int run_offline(const char *what, int (*run)(int, char **, struct tt_err *), int argc,
                       char **argv)
{
    struct tt_err err;
    tt_err_init(&err);
    tt_log_setup(STDERR_FILENO, TT_LOG_WARN, what);
    return run(argc, argv, &err) != TT_OK ? report(what, &err) : 0;
}

int main(int argc, char **argv)
{
    keep_freed_memory();
    struct tt_str command = tt_str_c(argc > 1 ? argv[1] : "help");
    if (tt_str_eq(command, TT_STR("server"))) {
        return run_server(argc - 2, argv + 2);
    }
    if (tt_str_eq(command, TT_STR("agent"))) {
        return run_agent(argc - 2, argv + 2);
    }
    if (tt_str_eq(command, TT_STR("restore"))) {
        return run_offline("restore", offline_restore, argc - 2, argv + 2);
    }
    if (tt_str_eq(command, TT_STR("recover"))) {
        return run_offline("recover", offline_recover, argc - 2, argv + 2);
    }
    if (tt_str_eq(command, TT_STR("version")) || tt_str_eq(command, TT_STR("--version"))) {
        (void)printf("tuttid %s\n", TT_VERSION_TEXT);
        return 0;
    }
    if (tt_str_eq(command, TT_STR("help")) || tt_str_eq(command, TT_STR("--help"))) {
        print(stdout, usage);
        return 0;
    }
    (void)fprintf(stderr, "tuttid: unknown command \"%s\"\n\n", argv[1]);
    print(stderr, usage);
    return EXIT_USAGE;
}

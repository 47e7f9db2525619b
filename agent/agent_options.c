/* Parsing of `tuttid agent`'s command line; every default is said in the help text. */
#include "agent/agent_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

enum { OPTION_COUNT = 14, WORDS_MAX = 64, DIR_MODE = 0700 };

static void fill_table(struct agent_options *o, struct tt_option table[OPTION_COUNT])
{
    const struct tt_option options[OPTION_COUNT] = {
        {"name", 'n', TT_OPTION_STRING, &o->name, "NAME", "this node's name (required)"},
        {"server", 's', TT_OPTION_STRING, &o->server, "URL,…",
         "the cluster's servers, tried in this order"},
        {"kubeconfig", 0, TT_OPTION_STRING, &o->kubeconfig, "FILE",
         "take the servers from there instead"},
        {"cert", 0, TT_OPTION_STRING, &o->cert, "FILE", "this node's certificate [DIR/agent.crt]"},
        {"key", 0, TT_OPTION_STRING, &o->key, "FILE", "its private key [DIR/agent.key]"},
        {"ca", 0, TT_OPTION_STRING, &o->ca, "FILE", "trusted certificate authorities [DIR/ca.crt]"},
        {"join", 0, TT_OPTION_STRING, &o->join, "TOKEN",
         "get certificate and key with this token first, unless they are there"},
        {"data-dir", 'd', TT_OPTION_STRING, &o->data_dir, "DIR",
         "volumes, logs and certificates (required)"},
        {"runtime-endpoint", 0, TT_OPTION_STRING, &o->runtime_endpoint, "URL",
         "CRI socket [unix:///run/containerd/containerd.sock]"},
        {"listen", 0, TT_OPTION_STRING, &o->listen, "HOST:PORT",
         "address of the log server [127.0.0.1:10250]"},
        {"advertise", 0, TT_OPTION_STRING, &o->advertise, "HOST",
         "address that servers use [that of --listen]"},
        {"node-labels", 0, TT_OPTION_STRING, &o->node_labels, "A=B,…", "labels of the new Node"},
        {"log-level", 0, TT_OPTION_STRING, &o->log_level, "LEVEL",
         "debug, info, warn or error [info]"},
        {"help", 'h', TT_OPTION_FLAG, &o->help, NULL, "show this help"},
    };
    memcpy(table, options, sizeof options);
}

void agent_options_help(struct tt_buf *buf)
{
    struct agent_options none = {.name = NULL};
    struct tt_option table[OPTION_COUNT];
    fill_table(&none, table);
    tt_buf_c(buf, "Usage: tuttid agent [OPTIONS]\n\nRuns the pods that are bound to this node, "
                  "through a container runtime that speaks CRI.\n\n");
    const struct tt_option_set set = {table, OPTION_COUNT};
    tt_options_help(&set, buf);
    tt_buf_c(buf, "\nCertificates come from `tuttictl pki issue agent NAME` or from --join with a "
                  "token of the cluster;\nthey are renewed before they end. SIGTERM stops the "
                  "agent and leaves the containers running.\n");
}

static int add_endpoint(struct agent_options *o, const struct tt_endpoint *endpoint,
                        struct tt_err *err)
{
    if (o->endpoint_count == TT_ENDPOINTS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "--server: at most %d servers", TT_ENDPOINTS_MAX);
    }
    o->endpoint[o->endpoint_count++] = *endpoint;
    return TT_OK;
}

static int read_servers(struct agent_options *o, struct tt_err *err)
{
    struct tt_str rest = tt_str_c(o->server);
    struct tt_str url;
    while (rest.len > 0 && tt_str_cut(&rest, ',', &url)) {
        struct tt_endpoint endpoint;
        int r = tt_endpoint_parse(tt_str_trim(url), &endpoint, err);
        if (r == TT_OK) {
            r = add_endpoint(o, &endpoint, err);
        }
        if (r != TT_OK) {
            return TT_WRAP(err, r, "--server %s", o->server);
        }
    }
    if (o->kubeconfig != NULL) {
        TT_AUTO(tt_kubeconfig) config = NULL;
        int r = tt_kubeconfig_load(o->kubeconfig, NULL, &config, err);
        for (uint32_t i = 0; r == TT_OK && i < config->endpoint_count; i++) {
            r = add_endpoint(o, &config->endpoint[i], err);
        }
        if (r != TT_OK) {
            return TT_WRAP(err, r, "--kubeconfig %s", o->kubeconfig);
        }
    }
    return o->endpoint_count > 0
               ? TT_OK
               : TT_FAIL(err, TT_EINVAL, "--server is required: see tuttid agent --help");
}

static void choose_path(char *out, size_t out_size, const char *given, const char *root,
                        const char *name)
{
    if (given != NULL) {
        (void)snprintf(out, out_size, "%s", given);
    } else {
        (void)snprintf(out, out_size, "%s/%s", root, name);
    }
}

static int read_paths(struct agent_options *o, struct tt_err *err)
{
    int r = tt_dir_make(o->data_dir, DIR_MODE, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--data-dir");
    }
    TT_AUTO_FREE char *absolute = NULL;
    char *resolved = realpath(o->data_dir, NULL);
    if (resolved == NULL) {
        return TT_FAIL_ERRNO(err, errno, "--data-dir %s", o->data_dir);
    }
    absolute = resolved;
    if (strlen(absolute) >= sizeof o->root) {
        return TT_FAIL(err, TT_EINVAL, "--data-dir: the path is too long");
    }
    (void)snprintf(o->root, sizeof o->root, "%s", absolute);
    choose_path(o->cert_path, sizeof o->cert_path, o->cert, o->root, "agent.crt");
    choose_path(o->key_path, sizeof o->key_path, o->key, o->root, "agent.key");
    choose_path(o->ca_path, sizeof o->ca_path, o->ca, o->root, "ca.crt");
    return TT_OK;
}

static int check(struct agent_options *o, struct tt_err *err)
{
    if (o->name == NULL || o->data_dir == NULL) {
        return TT_FAIL(err, TT_EINVAL, "--%s is required: see tuttid agent --help",
                       o->name == NULL ? "name" : "data-dir");
    }
    if (!tt_log_level_parse(tt_str_c(o->log_level), &o->level)) {
        return TT_FAIL(err, TT_EINVAL, "--log-level: debug, info, warn or error");
    }
    int r = tt_host_port(o->listen, o->listen_host, sizeof o->listen_host, &o->listen_port, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--listen");
    }
    const char *address = o->advertise != NULL ? o->advertise : o->listen_host;
    if (address[0] == '\0' || strlen(address) >= sizeof o->address) {
        return TT_FAIL(err, TT_EINVAL, "--advertise: 1 to %zu characters", sizeof o->address - 1);
    }
    (void)snprintf(o->address, sizeof o->address, "%s", address);
    r = read_servers(o, err);
    return r == TT_OK ? read_paths(o, err) : r;
}

int agent_options_parse(int argc, char **argv, struct agent_options *ret, struct tt_err *err)
{
    struct agent_options *o = ret;
    *o = (struct agent_options){.listen = "127.0.0.1:10250",
                                .runtime_endpoint = "unix:///run/containerd/containerd.sock",
                                .log_level = "info"};
    struct tt_option table[OPTION_COUNT];
    const char *words[WORDS_MAX];
    size_t word_count;
    fill_table(o, table);
    if (argc > WORDS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "too many arguments");
    }
    const struct tt_option_set set = {table, OPTION_COUNT};
    int r = tt_options_parse(&set, argc, argv, words, &word_count, err);
    if (r == TT_OK && word_count > 0) {
        r = TT_FAIL(err, TT_EINVAL, "\"%s\" is not an option", words[0]);
    }
    return r != TT_OK || o->help ? r : check(o, err);
}

/* Parsing of `tuttid server`'s command line; every default is said in the help text. */
#include "server/main/server_options.h"

#include <stdio.h>

enum { OPTION_COUNT = 17 };

static void fill_table(struct server_options *o, struct tt_option table[OPTION_COUNT])
{
    const struct tt_option options[OPTION_COUNT] = {
        {"name", 'n', TT_OPTION_STRING, &o->name, "NAME", "this server's name (required)"},
        {"data-dir", 'd', TT_OPTION_STRING, &o->data_dir, "DIR", "where its state lies (required)"},
        {"api-listen", 0, TT_OPTION_STRING, &o->api_listen, "HOST:PORT",
         "address of the API [127.0.0.1:6443]"},
        {"api-advertise", 0, TT_OPTION_STRING, &o->api_advertise, "HOST:PORT",
         "address that clients use [that of --api-listen]"},
        {"peer-listen", 0, TT_OPTION_STRING, &o->peer_listen, "HOST:PORT",
         "address for the other servers [127.0.0.1:7443]"},
        {"cert", 0, TT_OPTION_STRING, &o->cert, "FILE", "this server's certificate (required)"},
        {"key", 0, TT_OPTION_STRING, &o->key, "FILE", "its private key (required)"},
        {"ca", 0, TT_OPTION_STRING, &o->ca, "FILE", "trusted certificate authorities (required)"},
        {"ca-key", 0, TT_OPTION_STRING, &o->ca_key, "FILE",
         "the authority's key: lets this server sign joins and renewals"},
        {"seal-key", 0, TT_OPTION_STRING, &o->seal_key, "FILE", "root key that seals Secrets"},
        {"seal-passphrase", 0, TT_OPTION_STRING, &o->seal_passphrase, "FILE",
         "file with a passphrase instead of --seal-key"},
        {"seal-salt", 0, TT_OPTION_STRING, &o->seal_salt, "FILE",
         "salt of the passphrase, the same on all servers, from pki init [DIR/seal.salt]"},
        {"bootstrap", 0, TT_OPTION_STRING, &o->bootstrap, "LIST",
         "first members NAME=HOST:PORT,… (peer addresses), the same on each"},
        {"join", 0, TT_OPTION_STRING, &o->join, "URLS",
         "https addresses of a running cluster to enter as a new member"},
        {"api-threads", 0, TT_OPTION_U64, &o->api_threads, "N", "API threads [one per core]"},
        {"log-level", 0, TT_OPTION_STRING, &o->log_level, "LEVEL",
         "debug, info, warn or error [info]"},
        {"help", 'h', TT_OPTION_FLAG, &o->help, NULL, "show this help"},
    };
    memcpy(table, options, sizeof options);
}

void server_options_help(struct tt_buf *buf)
{
    struct server_options none = {.name = NULL};
    struct tt_option table[OPTION_COUNT];
    fill_table(&none, table);
    tt_buf_c(buf,
             "Usage: tuttid server [OPTIONS]\n\nRuns one server of a cluster: raft member, API "
             "and reconcilers.\n\n");
    const struct tt_option_set set = {table, OPTION_COUNT};
    tt_options_help(&set, buf);
    tt_buf_c(buf, "\nA first cluster: give each server the same --bootstrap list. A further "
                  "server: `tuttictl "
                  "cluster add`,\nthen start it with --join, then `tuttictl cluster promote`. "
                  "Certificates and "
                  "keys come from\n`tuttictl pki`. SIGTERM stops cleanly; SIGHUP reloads "
                  "certificates.\n");
}

static int check_required(const struct server_options *o, struct tt_err *err)
{
    const struct {
        const char *value; /* NULL: not given */
        const char *name;  /* of the option, without dashes */
    } required[] = {{o->name, "name"},
                    {o->data_dir, "data-dir"},
                    {o->cert, "cert"},
                    {o->key, "key"},
                    {o->ca, "ca"}};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (required[i].value == NULL) {
            return TT_FAIL(err, TT_EINVAL, "--%s is required: see tuttid server --help",
                           required[i].name);
        }
    }
    if (o->bootstrap != NULL && o->join != NULL) {
        return TT_FAIL(err, TT_EINVAL, "--bootstrap starts a cluster, --join enters one: give one");
    }
    if (o->seal_key != NULL && o->seal_passphrase != NULL) {
        return TT_FAIL(err, TT_EINVAL, "--seal-key or --seal-passphrase: give one root key");
    }
    if (o->seal_salt != NULL && o->seal_passphrase == NULL) {
        return TT_FAIL(err, TT_EINVAL, "--seal-salt belongs to --seal-passphrase");
    }
    return TT_OK;
}

/* NAME=HOST:PORT,… in the order that gives ids 1, 2, 3 …: the same list must give the same ids. */
static int parse_bootstrap(struct server_options *o, struct tt_err *err)
{
    struct tt_str list = tt_str_c(o->bootstrap);
    struct tt_str item;
    bool self = false;
    while (list.len > 0 && tt_str_cut(&list, ',', &item)) {
        struct tt_str name;
        char host[TT_ADDRESS_SIZE];
        uint16_t port;
        if (o->initial_count == TT_MEMBERS_MAX) {
            return TT_FAIL(err, TT_EINVAL, "--bootstrap: at most %d members", TT_MEMBERS_MAX);
        }
        struct tt_member *member = &o->initial[o->initial_count++];
        if (!tt_str_cut(&item, '=', &name) || name.len == 0 || name.len >= TT_NAME_SIZE ||
            item.len == 0 || item.len >= TT_ADDRESS_SIZE) {
            return TT_FAIL(err, TT_EINVAL, "--bootstrap: give NAME=HOST:PORT,NAME=HOST:PORT,…");
        }
        *member = (struct tt_member){.id = o->initial_count, .role = TT_ROLE_VOTER};
        memcpy(member->name, name.ptr, name.len);
        memcpy(member->peer_address, item.ptr, item.len);
        int r = tt_host_port(member->peer_address, host, sizeof host, &port, err);
        if (r != TT_OK) {
            return TT_WRAP(err, r, "--bootstrap");
        }
        if (strcmp(member->name, o->name) == 0) {
            o->member_id = member->id;
            self = true;
        }
    }
    if (!self) {
        return TT_FAIL(err, TT_EINVAL, "--bootstrap does not list this server, %s", o->name);
    }
    return TT_OK;
}

int server_options_parse(int argc, char **argv, struct server_options *ret, struct tt_err *err)
{
    struct server_options o = {
        .api_listen = "127.0.0.1:6443", .peer_listen = "127.0.0.1:7443", .log_level = "info"};
    struct tt_option table[OPTION_COUNT];
    fill_table(&o, table);
    const char *words[64];
    size_t word_count;
    if (argc > (int)(sizeof words / sizeof words[0])) {
        return TT_FAIL(err, TT_EINVAL, "too many arguments");
    }
    const struct tt_option_set set = {table, OPTION_COUNT};
    int r = tt_options_parse(&set, argc, argv, words, &word_count, err);
    if (r == TT_OK && word_count > 0) {
        r = TT_FAIL(err, TT_EINVAL, "\"%s\" is not an option", words[0]);
    }
    if (r != TT_OK || o.help) {
        ret->help = o.help;
        return r;
    }
    if (!tt_log_level_parse(tt_str_c(o.log_level), &o.level)) {
        return TT_FAIL(err, TT_EINVAL, "--log-level: debug, info, warn or error");
    }
    r = check_required(&o, err);
    if (r == TT_OK) {
        r = tt_host_port(o.api_listen, o.api_host, sizeof o.api_host, &o.api_port, err);
    }
    if (r == TT_OK) {
        r = tt_host_port(o.peer_listen, o.peer_host, sizeof o.peer_host, &o.peer_port, err);
    }
    if (r == TT_OK && o.bootstrap != NULL) {
        r = parse_bootstrap(&o, err);
    }
    if (o.api_advertise == NULL) {
        o.api_advertise = o.api_listen;
    }
    if (r == TT_OK) {
        *ret = o;
    }
    return r;
}

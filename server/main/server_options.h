/* What `tuttid server` is told: parsed and checked before anything starts.
 *
 * Ownership: strings point into argv. Thread: start-up. Errors: TT_EINVAL with the option's name
 * and what to give instead. */
#ifndef SERVER_MAIN_SERVER_OPTIONS_H
#define SERVER_MAIN_SERVER_OPTIONS_H

#include "base/log.h"
#include "base/options.h"
#include "server/store/proposer.h"

struct server_options {
    const char *name;            /* of this server, as in its certificate */
    const char *data_dir;        /* required; need not exist before the first start */
    const char *api_listen;      /* host:port */
    const char *api_advertise;   /* host:port that clients and members use; NULL = api_listen */
    const char *peer_listen;     /* host:port */
    const char *cert, *key, *ca; /* required; PEM files: ours, its key, the trusted authorities */
    const char *ca_key;          /* NULL: this server signs nothing (no joins, no renewals) */
    const char *seal_key;        /* root key file */
    const char *seal_passphrase; /* file that holds a passphrase */
    const char *seal_salt;       /* NULL: in the data directory */
    const char *bootstrap;       /* NAME=HOST:PORT,… of all first members */
    const char *log_level;       /* name of a level, for `level` */
    uint64_t api_threads;        /* 0: one per core */
    uint64_t member_id;          /* from --bootstrap; a joining server is told by the cluster */
    const char
        *join; /* https URLs of a running cluster: an empty data directory becomes a member */
    bool help; /* --help was given: nothing else here is set */
    /* From the above: */
    char api_host[TT_ADDRESS_SIZE], peer_host[TT_ADDRESS_SIZE];
    uint16_t api_port, peer_port;             /* of api_listen and peer_listen */
    struct tt_member initial[TT_MEMBERS_MAX]; /* of --bootstrap, ids in order of the list */
    size_t initial_count;                     /* 0 without --bootstrap */
    enum tt_log_level level;                  /* of log_level */
};

int server_options_parse(int argc, char **argv, struct server_options *ret,
                         struct tt_err *err) TT_MUST_USE;
void server_options_help(struct tt_buf *buf);

#endif

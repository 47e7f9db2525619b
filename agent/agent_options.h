/* What `tuttid agent` is told: parsed and checked before anything starts.
 *
 * Ownership: strings point into argv. Thread: start-up. Errors: TT_EINVAL with the option's name
 * and what to give instead. */
#ifndef AGENT_AGENT_OPTIONS_H
#define AGENT_AGENT_OPTIONS_H

#include "api/client/kubeconfig.h"
#include "base/log.h"
#include "base/options.h"

struct agent_options {
    const char *name;             /* of this node, as in its certificate */
    const char *server;           /* comma list of the servers' URLs */
    const char *kubeconfig;       /* where the servers' URLs stand instead */
    const char *cert, *key, *ca;  /* files; NULL: the usual names in data_dir */
    const char *join;             /* token: get cert, key and ca from a server first */
    const char *data_dir;         /* required; made when absent */
    const char *runtime_endpoint; /* unix:///… of a CRI runtime */
    const char *listen;           /* host:port of the log server */
    const char *advertise;        /* address that servers and clients use; NULL = host of listen */
    const char *node_labels;      /* a=b,c=d */
    const char *log_level;        /* the name of `level` */
    bool help;                    /* asked for: nothing below is filled in */
    /* From the above: */
    struct tt_endpoint endpoint[TT_ENDPOINTS_MAX];
    uint32_t endpoint_count; /* at least 1: first those of server, then of kubeconfig */
    char listen_host[128];   /* first part of listen */
    uint16_t listen_port;    /* second part of listen */
    char address[128];       /* advertised */
    char root[400];          /* data_dir, absolute; it exists */
    /* As given, or agent.crt, agent.key, ca.crt in root. */
    char cert_path[512], key_path[512], ca_path[512];
    enum tt_log_level level; /* log_level, parsed */
};

int agent_options_parse(int argc, char **argv, struct agent_options *ret,
                        struct tt_err *err) TT_MUST_USE;
void agent_options_help(struct tt_buf *buf);

#endif

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
    const char *name;       /* of this node, as in its certificate */
    const char *server;     /* comma list of the servers' URLs */
    const char *kubeconfig; /* where the servers' URLs stand instead */
    const char *cert, *key, *ca;
    const char *join; /* token: get cert, key and ca from a server first */
    const char *data_dir;
    const char *runtime_endpoint; /* unix:///… of a CRI runtime */
    const char *listen;           /* host:port of the log server */
    const char *advertise;        /* address that servers and clients use; NULL = host of listen */
    const char *node_labels;      /* a=b,c=d */
    const char *log_level;
    bool help;
    /* From the above: */
    struct tt_endpoint endpoint[TT_ENDPOINTS_MAX];
    uint32_t endpoint_count;
    char listen_host[128];
    uint16_t listen_port;
    char address[128]; /* advertised */
    char root[400];    /* data_dir, absolute; it exists */
    char cert_path[512], key_path[512], ca_path[512];
    enum tt_log_level level;
};

int agent_options_parse(int argc, char **argv, struct agent_options *ret,
                        struct tt_err *err) TT_MUST_USE;
void agent_options_help(struct tt_buf *buf);

#endif

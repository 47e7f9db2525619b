/* kubeconfig files: which servers, which CA, which credentials, which namespace.
 *
 * Reads clusters, users, contexts and current-context in YAML or JSON. Further servers of a cluster
 * for failover stand in the cluster's extension named "tutti":
 *   extensions: [{name: tutti, extension: {servers: [https://127.0.0.1:7443, …]}}]
 * Inline …-data wins over a file name; relative file names are relative to the kubeconfig.
 * Ownership: the result owns all its strings; key material is wiped when freed. Thread: any.
 * Errors: TT_ENOTFOUND file or context, TT_EINVAL shape (with line), TT_ETOOLARGE.
 * Source of the field names: Kubernetes, client configuration API v1. */
#ifndef API_CLIENT_KUBECONFIG_H
#define API_CLIENT_KUBECONFIG_H

#include "base/mem.h"
#include "base/str.h"

enum { TT_ENDPOINTS_MAX = 16 };
struct tt_endpoint {
    char host[128]; /* without brackets */
    uint16_t port;  /* TCP; 443 when the URL names none */
};
struct tt_kubeconfig {
    char *context;                                 /* name of the chosen context */
    char *cluster;                                 /* its cluster's name */
    char *user;                                    /* its user's name */
    char *namespace;                               /* "default" when the context names none */
    struct tt_endpoint endpoint[TT_ENDPOINTS_MAX]; /* `server` first */
    uint32_t endpoint_count;                       /* at least 1 */
    char *server_name;                             /* tls-server-name, or NULL */
    char *ca_pem;                                  /* PEM text; NULL when absent */
    char *cert_pem;                                /* PEM text; NULL when absent */
    char *key_pem;                                 /* PEM text; NULL when absent */
};
/* path NULL: $KUBECONFIG (first entry), else ~/.kube/config. context NULL: current-context. */
int tt_kubeconfig_load(const char *path, const char *context, struct tt_kubeconfig **ret_config,
                       struct tt_err *err) TT_MUST_USE;
/* base_dir (may be NULL: the working directory) resolves relative file names. */
int tt_kubeconfig_parse(struct tt_str text, const char *base_dir, const char *context,
                        struct tt_kubeconfig **ret_config, struct tt_err *err) TT_MUST_USE;
void tt_kubeconfig_free(struct tt_kubeconfig *config);
/* "https://host:port", port 443 by default. */
int tt_endpoint_parse(struct tt_str url, struct tt_endpoint *ret_endpoint,
                      struct tt_err *err) TT_MUST_USE;
TT_DEFINE_AUTO(tt_kubeconfig)

#endif

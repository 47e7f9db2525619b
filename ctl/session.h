/* A command's way to the cluster: the options every such command takes, and one request after the
 * other with errors that say what to do next.
 *
 * Ownership: a session owns its connection; answers are the caller's (ctl_answer_fini). Thread:
 * one, but `data` of a stream runs on the client's thread while the caller waits. Errors: those of
 * api/client; a non-2xx answer becomes the error its Status names. */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include <yyjson.h>

#include "api/client/api_client.h"
#include "ctl/command.h"

/* Filled by the options below; zeroed means: not given. */
struct ctl_common {
    const char *kubeconfig; /* NULL: $KUBECONFIG, else ~/.kube/config */
    const char *context;    /* NULL: current-context */
    const char *namespace;  /* NULL: that of the context */
    uint64_t timeout_s;     /* of one request; 0: 30 */
};
enum { CTL_COMMON_OPTION_COUNT = 4 };
#define CTL_COMMON_OPTIONS(c)                                                                      \
    {"kubeconfig",     0,      TT_OPTION_STRING,                                                   \
     &(c)->kubeconfig, "FILE", "which cluster, who you are [$KUBECONFIG, ~/.kube/config]"},        \
        {"context",     0,      TT_OPTION_STRING,                                                  \
         &(c)->context, "NAME", "context of the kubeconfig [its current-context]"},                \
        {"namespace",     'n',    TT_OPTION_STRING,                                                \
         &(c)->namespace, "NAME", "namespace [that of the context]"},                              \
    {                                                                                              \
        "request-timeout", 0, TT_OPTION_U64, &(c)->timeout_s, "SECONDS",                           \
            "give up on a request after [30]"                                                      \
    }

struct ctl_session;
int ctl_session_open(const struct ctl_common *common, struct ctl_session **ret,
                     struct tt_err *err) TT_MUST_USE;
/* The same credentials, but this server ("host:port") only. */
int ctl_session_open_at(const struct ctl_common *common, struct tt_str address,
                        struct ctl_session **ret, struct tt_err *err) TT_MUST_USE;
void ctl_session_free(struct ctl_session *session); /* NULL is fine */
TT_DEFINE_AUTO(ctl_session)
struct tt_str ctl_session_namespace(const struct ctl_session *session);
const struct tt_kubeconfig *ctl_session_kubeconfig(const struct ctl_session *session);

struct ctl_request {
    const char *method;       /* "GET" … */
    struct tt_str path;       /* with the query */
    struct tt_str body;       /* empty: none */
    const char *content_type; /* NULL: application/json */
    const char *accept;       /* NULL: application/json */
    uint64_t timeout_ms;      /* 0: the session's; UINT64_MAX: none */
    /* Pieces of a 2xx body as they come, on another thread; NULL: collected. False: enough. */
    bool (*data)(void *ctx, struct tt_str bytes);
    void *ctx; /* of data */
};
struct ctl_answer {
    int status;         /* HTTP status; 0: none came */
    struct tt_buf body; /* also of errors */
    yyjson_doc *doc;    /* of a JSON body, by ctl_ask; NULL otherwise */
};
void ctl_answer_fini(struct ctl_answer *answer); /* zeroed is fine */
static inline void ctl_answer_auto_(struct ctl_answer *answer)
{
    ctl_answer_fini(answer);
}
#define CTL_AUTO_ANSWER __attribute__((cleanup(ctl_answer_auto_)))
/* Sends it; a 2xx answer's body as it came. */
int ctl_send(struct ctl_session *session, const struct ctl_request *request, struct ctl_answer *ret,
             struct tt_err *err) TT_MUST_USE;
/* Sends it; a 2xx answer's body parsed: ret->doc is never NULL on success. */
int ctl_ask(struct ctl_session *session, const struct ctl_request *request, struct ctl_answer *ret,
            struct tt_err *err) TT_MUST_USE;
int ctl_get(struct ctl_session *session, struct tt_str path, struct ctl_answer *ret,
            struct tt_err *err) TT_MUST_USE;
#endif

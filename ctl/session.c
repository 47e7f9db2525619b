/* Happy path: load the kubeconfig, open a blocking client, ask. Failure: no kubeconfig, no
 * reachable server and refused credentials each get a next step; an answer that is an error keeps
 * the code and the words of the server. */
#include "ctl/session.h"

#include <stdio.h>

#include "base/version.h"

enum { TIMEOUT_MS_DEFAULT = 30000 };

struct ctl_session {
    struct tt_kubeconfig *kubeconfig; /* owned; NULL until loaded */
    struct tt_api_blocking *client;   /* owned; NULL until connected */
    char *namespace;                  /* owned; of the option, else of the context */
};

static int connect_with(struct ctl_session *session, const struct ctl_common *common,
                        struct tt_err *err)
{
    const struct tt_api_client_config config = {
        .kubeconfig = session->kubeconfig,
        .user_agent = "tuttictl/" TT_VERSION_TEXT,
        .timeout_ms = common->timeout_s > 0 ? common->timeout_s * 1000 : TIMEOUT_MS_DEFAULT,
    };
    return tt_api_blocking_new(&config, &session->client, err);
}

static int load(const struct ctl_common *common, struct ctl_session *session, struct tt_err *err)
{
    int r = tt_kubeconfig_load(common->kubeconfig, common->context, &session->kubeconfig, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r,
                       "no usable kubeconfig (give --kubeconfig FILE, or make one with tuttictl "
                       "kubeconfig)");
    }
    session->namespace =
        tt_xstrdup(common->namespace != NULL ? common->namespace : session->kubeconfig->namespace);
    return TT_OK;
}

int ctl_session_open(const struct ctl_common *common, struct ctl_session **ret, struct tt_err *err)
{
    TT_AUTO(ctl_session) session = TT_NEW(struct ctl_session);
    int r = load(common, session, err);
    if (r == TT_OK) {
        r = connect_with(session, common, err);
    }
    if (r == TT_OK) {
        *ret = TT_TAKE(session);
    }
    return r;
}

int ctl_session_open_at(const struct ctl_common *common, struct tt_str address,
                        struct ctl_session **ret, struct tt_err *err)
{
    TT_AUTO(ctl_session) session = TT_NEW(struct ctl_session);
    int r = load(common, session, err);
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO_FREE char *url = tt_xasprintf("https://%.*s", TT_STR_ARG(address));
    r = tt_endpoint_parse(tt_str_c(url), &session->kubeconfig->endpoint[0], err);
    session->kubeconfig->endpoint_count = 1;
    if (r == TT_OK) {
        r = connect_with(session, common, err);
    }
    if (r == TT_OK) {
        *ret = TT_TAKE(session);
    }
    return r;
}

void ctl_session_free(struct ctl_session *session)
{
    if (session == NULL) {
        return;
    }
    tt_api_blocking_free(session->client);
    tt_kubeconfig_free(session->kubeconfig);
    tt_free(session->namespace);
    tt_free(session);
}

struct tt_str ctl_session_namespace(const struct ctl_session *session)
{
    return tt_str_c(session->namespace);
}

const struct tt_kubeconfig *ctl_session_kubeconfig(const struct ctl_session *session)
{
    return session->kubeconfig;
}

void ctl_answer_fini(struct ctl_answer *answer)
{
    yyjson_doc_free(answer->doc);
    tt_buf_fini(&answer->body);
    answer->doc = NULL;
}

/* A call with the caller's consumer of pieces. */
struct stream_call {
    struct tt_api_call call;                      /* what the client runs; its data is on_data */
    bool (*data)(void *ctx, struct tt_str bytes); /* the request's; NULL: collected */
    void *ctx;                                    /* of data */
    bool is_enough;                               /* data said so: the cancellation is no error */
};

static void on_data(struct tt_api_call *call, struct tt_str bytes)
{
    struct stream_call *stream = TT_CONTAINER_OF(call, struct stream_call, call);
    if (!stream->is_enough && !stream->data(stream->ctx, bytes)) {
        stream->is_enough = true;
        tt_api_call_cancel(call);
    }
}

static int explain(const struct ctl_session *session, int r, struct tt_err *err)
{
    const struct tt_endpoint *first = &session->kubeconfig->endpoint[0];
    if (r == TT_EUNAVAILABLE || r == TT_ECLOSED) {
        return TT_WRAP(err, r,
                       "no answer from %s:%u or its fellows (are they running? see the log of "
                       "tuttid)",
                       first->host, first->port);
    }
    /* A server that refuses a certificate says so in an alert; all else that fails in TLS is our
     * own doubt about the server. */
    bool is_refused = r == TT_EUNAUTHORIZED || (err != NULL && strstr(tt_err_cause(err), "alert"));
    if (r == TT_ETLS || r == TT_EUNAUTHORIZED) {
        return TT_WRAP(err, r,
                       is_refused ? "%s:%u does not accept these credentials (expired, revoked, or "
                                    "of another cluster): have new ones issued (tuttictl pki issue "
                                    "or pki join), or use others (--kubeconfig)"
                                  : "%s:%u cannot be trusted: is it a server of this kubeconfig's "
                                    "cluster? (certificate-authority and server addresses)",
                       first->host, first->port);
    }
    return r;
}

static void on_warning(struct tt_api_call *call, struct tt_str text)
{
    (void)call; /* which request it was about is clear to the user */
    (void)fprintf(stderr, "Warning: %.*s\n", TT_STR_ARG(text));
}

int ctl_send(struct ctl_session *session, const struct ctl_request *request, struct ctl_answer *ret,
             struct tt_err *err)
{
    struct stream_call stream = {
        .call = {.method = request->method,
                 .path = request->path,
                 .body = request->body,
                 .content_type = request->content_type,
                 .accept = request->accept,
                 .timeout_ms = request->timeout_ms,
                 .data = request->data != NULL ? on_data : NULL,
                 .warning = on_warning},
        .data = request->data,
        .ctx = request->ctx,
    };
    struct tt_api_result result = {.status = 0};
    struct tt_err cause;
    tt_err_init(&cause);
    ctl_answer_fini(ret);
    int r = tt_api_blocking_run(session->client, &stream.call, &result, &cause);
    ret->status = result.status;
    ret->body = result.body;
    if (stream.is_enough && r == TT_ECANCELED) {
        return TT_OK;
    }
    if (r != TT_OK) {
        if (err != NULL) {
            *err = cause;
        }
        return result.status == 0 || r == TT_EUNAUTHORIZED ? explain(session, r, err) : r;
    }
    if (result.status < 200 || result.status > 299) {
        return tt_api_status_error(result.status, tt_buf_view(&ret->body), err);
    }
    return TT_OK;
}

int ctl_ask(struct ctl_session *session, const struct ctl_request *request, struct ctl_answer *ret,
            struct tt_err *err)
{
    int r = ctl_send(session, request, ret, err);
    if (r != TT_OK) {
        return r;
    }
    const char *text = ret->body.ptr != NULL ? ret->body.ptr : "";
    ret->doc = yyjson_read(text, ret->body.len, YYJSON_READ_NUMBER_AS_RAW);
    return ret->doc != NULL
               ? TT_OK
               : TT_FAIL(err, TT_EPROTO, "%.*s: the answer is not JSON", TT_STR_ARG(request->path));
}

int ctl_get(struct ctl_session *session, struct tt_str path, struct ctl_answer *ret,
            struct tt_err *err)
{
    const struct ctl_request request = {.method = "GET", .path = path};
    return ctl_ask(session, &request, ret, err);
}

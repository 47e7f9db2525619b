/* Accounts live as long as a connection of their client does. A request only ever runs on a
 * connection, so an account without connections has no requests either. */
#include "api/http/server_internal.h"

#include <stdio.h>

struct http_account *http_account_ref(struct tt_http_server *server, const char *kind,
                                      struct tt_str key)
{
    char name[sizeof((struct http_account *)NULL)->key];
    int len = snprintf(name, sizeof name, "%s:%.*s", kind, TT_STR_ARG(key));
    TT_ASSERT(len > 0);
    struct tt_str view = tt_str_c(name);
    struct http_account *account = tt_map_get(server->accounts, view);
    if (!account) {
        account = TT_NEW(struct http_account);
        memcpy(account->key, name, view.len + 1);
        int r = tt_map_set(server->accounts, view, account, NULL);
        TT_ASSERT(r == 0); /* bounded by the connections */
    }
    account->refs++;
    return account;
}

void http_account_unref(struct tt_http_server *server, struct http_account *account)
{
    TT_ASSERT(account->refs > 0);
    if (--account->refs > 0) {
        return;
    }
    TT_ASSERT(account->requests == 0);
    TT_ASSERT(account->body_bytes == 0);
    TT_ASSERT(account->out_bytes == 0);
    bool removed = tt_map_remove(server->accounts, tt_str_c(account->key));
    TT_ASSERT(removed);
    tt_free(account);
}

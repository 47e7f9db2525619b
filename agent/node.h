/* This node's own object and heartbeat.
 *
 *   create the Node (or adopt it) → write its status when it changed, and every 5 minutes
 *   renew the Lease kube-node-lease/NAME every 3 s (10 s valid)
 * A watch on the own object notices what others changed: a node that was marked lost and is back
 * says so at once, one that was deleted is made again.
 * Ownership: keeps loop and client. Thread: that of the loop. Errors: logged and tried again. */
#ifndef AGENT_NODE_H
#define AGENT_NODE_H

#include "agent/sync.h"
#include "api/client/api_client.h"

struct node;
struct node_config {
    struct tt_loop *loop;         /* keeps */
    struct tt_api_client *client; /* keeps */
    struct events *events;        /* keeps */
    const struct tt_clock *clock; /* keeps */
    const char *name;             /* all strings are kept */
    const char *address;          /* other machines reach it there */
    uint16_t port;                /* of the log server */
    const char *labels;           /* "a=b,c=d" beyond the usual; NULL: none */
    const char *root;             /* whose file system is its ephemeral storage */
    struct sync_limits limits;    /* what pods may use */
};
/* What this machine has. */
void node_read_limits(struct sync_limits *ret_limits);
struct node *node_new(const struct node_config *config);
/* version: of the runtime; "" unknown. reason: why it is not ready. */
void node_runtime_condition(struct node *node, bool ready, const char *reason, const char *version);
void node_close(struct node *node, void (*closed)(void *ctx), void *ctx); /* frees itself */

#endif

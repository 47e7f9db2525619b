/* A list followed by a watch that never ends: the local picture of one kind's objects.
 *
 * Lists (in pages), then watches from the list's resourceVersion, asking for bookmarks. A watch
 * that ends is resumed where it stopped; 410 lists again; the objects missing from the new list are
 * reported as deleted. Ownership: the informer owns its copies of the objects; what callbacks get
 * is borrowed until they return. Thread: that of the loop. Errors: retried for ever with back-off;
 * `trouble` tells about them (permanent ones too, such as Forbidden: the user decides). */
#ifndef API_CLIENT_INFORMER_H
#define API_CLIENT_INFORMER_H

#include "api/client/api_client.h"

struct tt_informer;
enum tt_informer_change { TT_INFORMER_ADDED, TT_INFORMER_MODIFIED, TT_INFORMER_DELETED };
struct tt_informer_object {
    struct tt_str namespace;   /* empty for cluster objects */
    struct tt_str name;        /* never empty */
    struct tt_str uid;         /* empty when it has none */
    uint64_t resource_version; /* of this state; gone in a list: the last one seen */
    struct tt_str json; /* the object; followed by 64 readable bytes; empty for a deletion found by
                           listing again */
};
struct tt_informer_config {
    struct tt_loop *loop;            /* keeps */
    struct tt_api_client *client;    /* keeps */
    struct tt_api_resource resource; /* strings are kept */
    struct tt_str namespace;         /* empty: all; copied */
    struct tt_str field_selector;    /* not encoded; copied; may be empty */
    struct tt_str label_selector;    /* likewise */
    size_t object_count_max;         /* 0 = 100,000; more is trouble TT_ETOOLARGE */
    bool keep_json; /* so that tt_informer_get has json; else only the metadata is kept */
    /* Object borrowed until return; it may close the informer. */
    void (*changed)(void *ctx, enum tt_informer_change change,
                    const struct tt_informer_object *object);
    void (*synced)(void *ctx); /* after each complete list; may be NULL */
    void (*trouble)(void *ctx, const struct tt_err *err); /* may be NULL */
    void *ctx;                                            /* first argument of all three */
};
int tt_informer_new(const struct tt_informer_config *config, struct tt_informer **ret_informer,
                    struct tt_err *err) TT_MUST_USE; /* starts at once */
/* No callback but `closed` runs any more; freed after it. */
void tt_informer_close(struct tt_informer *informer, void (*closed)(void *ctx), void *ctx);
bool tt_informer_is_synced(const struct tt_informer *informer); /* the first list is complete */
uint64_t tt_informer_resource_version(const struct tt_informer *informer);
size_t tt_informer_count(const struct tt_informer *informer);
/* False when absent. Borrowed until the next turn of the loop. */
bool tt_informer_get(const struct tt_informer *informer, struct tt_str namespace,
                     struct tt_str name, struct tt_informer_object *ret_object);

#endif

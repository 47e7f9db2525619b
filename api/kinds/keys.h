/* Where objects lie in the store: the one key layout that routes, reconcilers and watches share.
 *
 *   o/<group>/<resource>/<namespace>/<name>     the core group is written "core"; cluster-scoped
 *                                               objects have an empty namespace: o/core/nodes//n1
 *   t/<table>/<id>                              rows of tutti itself (join tokens, revocations, …)
 * A list over one namespace, all namespaces or all resources is one range scan. Parts never contain
 * '/' (names are validated before they come here), so prefixes cannot be confused.
 * Ownership: writes into the caller's buffer; parsed parts borrow from the key. Thread: any.
 * Errors: TT_EINVAL for a part with '/' or NUL or a key over TT_OBJECT_KEY_SIZE_MAX. */
#ifndef API_KINDS_KEYS_H
#define API_KINDS_KEYS_H

#include "base/buf.h"

/* Bytes; the same limit as the store's TT_KEY_SIZE_MAX. */
enum { TT_OBJECT_KEY_SIZE_MAX = 1024 };

/* The parts of an object's key. */
struct tt_object_ref {
    struct tt_str group;    /* "" for the core group */
    struct tt_str resource; /* plural, lower case: "pods" */
    struct tt_str ns;       /* "" for cluster-scoped objects */
    struct tt_str name;     /* "" in a prefix */
};

/* Appends the key of one object; name must not be empty. */
int tt_key_object(struct tt_buf *buf, const struct tt_object_ref *ref,
                  struct tt_err *err) TT_MUST_USE;
/* Appends the prefix of a list: of ref->ns when that is not empty, else of the whole resource. The
 * end of the range is tt_key_prefix_end (server/store/version.h). */
int tt_key_list_prefix(struct tt_buf *buf, const struct tt_object_ref *ref,
                       struct tt_err *err) TT_MUST_USE;
/* Appends t/<table>/<id>; an empty id gives the table's prefix. */
int tt_key_row(struct tt_buf *buf, struct tt_str table, struct tt_str id,
               struct tt_err *err) TT_MUST_USE;
/* False when the key is not an object's key. */
bool tt_key_parse(struct tt_str key, struct tt_object_ref *ret_ref);

#endif

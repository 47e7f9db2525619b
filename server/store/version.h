/* Reading the store: immutable versions that any thread may hold while the writer goes on.
 *
 * A version is a snapshot of the whole ordered map at the end of one applied batch, with the
 * history that leads to it. `tt_store_version` takes a reference in O(1) and never blocks the
 * writer. Everything reached from a version (items, values, changes) is immutable and lives as long
 * as the reference, or longer when the item is referenced itself. Ownership: refs as named. Thread:
 * any. Errors: TT_EEXPIRED for a revision below the compaction mark. */
#ifndef SERVER_STORE_VERSION_H
#define SERVER_STORE_VERSION_H

#include "base/buf.h"
#include "base/mem.h"

struct tt_store;
struct tt_version;

/* What a value is: the envelope that is replicated with it. */
enum tt_codec {
    TT_CODEC_JSON = 1,   /* an API object: JSON text without metadata.resourceVersion; `splice` says
                            where it goes */
    TT_CODEC_SEALED = 2, /* the same, sealed (server/tls/seal.h); key_id names the root key */
    TT_CODEC_RECORD = 3, /* a protobuf record of the owner of the key prefix */
};
struct tt_value {
    enum tt_codec codec; /* what bytes are */
    uint32_t splice; /* offset in the JSON text right behind `"metadata":{`; 0 for other codecs */
    struct tt_str key_id; /* empty unless sealed */
    struct tt_str bytes;  /* borrowed; in an item: behind it, immutable */
};

/* One object at one revision. Reference-counted, immutable. */
struct tt_item {
    struct tt_str key;        /* not empty; of the item's own memory */
    struct tt_value value;    /* its bytes likewise */
    uint64_t create_revision; /* revision of the put that created the key */
    uint64_t mod_revision;    /* revision of the put that wrote this value */
};
const struct tt_item *tt_item_ref(const struct tt_item *item);
void tt_item_unref(const struct tt_item *item); /* NULL is fine */

struct tt_version *tt_store_version(struct tt_store *store); /* newest published; refs */
struct tt_version *tt_version_ref(struct tt_version *version);
void tt_version_unref(struct tt_version *version);
void tt_version_free(struct tt_version *version); /* = unref, for TT_AUTO */
TT_DEFINE_AUTO(tt_version)
uint64_t tt_version_revision(const struct tt_version *version); /* of the newest change in it */
uint64_t
tt_version_compacted(const struct tt_version
                         *version); /* changes up to and with this revision are gone from history */
uint64_t tt_version_index(const struct tt_version *version); /* raft index applied last */
uint64_t tt_version_count(const struct tt_version *version); /* live keys */
uint64_t tt_version_bytes(const struct tt_version *version); /* of live keys and values */

uint64_t tt_version_hash(const struct tt_version *version); /* state hash at that index (hash.h) */
uint64_t tt_version_time_ms(const struct tt_version *version); /* latest leader time applied */

/* Borrowed from the version; NULL when absent. */
const struct tt_item *tt_version_get(const struct tt_version *version, struct tt_str key);

/* Ordered iteration over [from, to). An empty `to` means no upper end. at_revision 0 = the
 * version's own; an older revision is reconstructed from history (consistent continuation of
 * lists): TT_EEXPIRED when compacted, TT_EINVALID when in the future. */
struct tt_scan;
int tt_scan_new(struct tt_version *version, struct tt_str from, struct tt_str to,
                uint64_t at_revision, struct tt_scan **ret_scan,
                struct tt_err *err) TT_MUST_USE; /* refs the version; from/to are copied */
const struct tt_item *
tt_scan_next(struct tt_scan *scan); /* borrowed until the scan is freed; NULL at the end */
void tt_scan_free(struct tt_scan *scan);
TT_DEFINE_AUTO(tt_scan)
/* Keys in [from, to) at the version's own revision; O(log n) or O(result), exact. */
uint64_t tt_version_count_range(const struct tt_version *version, struct tt_str from,
                                struct tt_str to);
/* The smallest string above every string with this prefix, into buf (for `to`); empty, which means
 * no upper end, when there is none. */
void tt_key_prefix_end(struct tt_str prefix, struct tt_buf *ret_buf);

/* History: every change after a revision, in order. What watches are made of. */
struct tt_change {
    uint64_t revision;          /* consecutive: one more than the change before */
    const struct tt_item *item; /* the new value; NULL for a delete */
    const struct tt_item *prev; /* what was there before; NULL for a create */
};
struct tt_history_cursor {
    uint64_t next_revision; /* of the next change to return */
    uint64_t opaque[2];     /* chunk hint */
};
/* Positions behind after_revision (0: everything still kept). TT_EEXPIRED when a change behind it
 * was compacted away. */
int tt_history_seek(const struct tt_version *version, uint64_t after_revision,
                    struct tt_history_cursor *ret_cursor, struct tt_err *err) TT_MUST_USE;
/* False at the end of this version. *ret_change borrows from the version. A cursor goes on in a
 * later version; it stops for good when that one has compacted its next change: seek in each new
 * version (O(1)) to learn of it as TT_EEXPIRED. */
bool tt_history_next(const struct tt_version *version, struct tt_history_cursor *cursor,
                     struct tt_change *ret_change);

#endif

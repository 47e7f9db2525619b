/* One pass of a reconciler over one key: what it may read, and the writes it plans.
 *
 * A plan function is pure: it reads the pass's version, clock and random generator and adds writes
 * to the pass; it does no I/O. All writes of a pass commit as one transaction together with
 * compares on every object the plan changed or relied upon, so a plan made from a stale version
 * changes nothing.
 *
 * Ownership: a pass owns its arena and references its version; views and documents die with it.
 * Thread: one. Errors: TT_EBUSY when the transaction is full (plan again after the commit: plans
 * are level-triggered), TT_ETOOLARGE when the arena is full, others from decoding stored objects.
 */
#ifndef RECONCILER_ENGINE_PASS_H
#define RECONCILER_ENGINE_PASS_H

#include "api/kinds/deletion.h"
#include "api/kinds/event_book.h"
#include "api/kinds/keys.h"
#include "base/clock.h"
#include "base/rng.h"
#include "server/store/proposer.h"

enum {
    TT_PASS_WRITES_MAX = TT_TXN_OPS_MAX,
    TT_PASS_ARENA_MAX = 64 << 20,
    TT_PASS_NOTES_MAX = 128, /* what is beyond is not told */
};

/* How objects that are stored sealed (Secrets) are read and written back: wired by the composition
 * root to the key ring, so that their owners and finalizers count as those of all others do. */
struct tt_pass_seal {
    /* The JSON text of a sealed item, in the arena. */
    int (*open)(const struct tt_pass_seal *seal, const struct tt_item *item, struct tt_arena *arena,
                struct tt_str *ret_text, struct tt_err *err) TT_MUST_USE;
    /* Seals the plain JSON value of a put in place when what lies under its key is secret. */
    int (*close)(const struct tt_pass_seal *seal, struct tt_str key, struct tt_value *value,
                 struct tt_arena *arena, struct tt_err *err) TT_MUST_USE;
    void *ctx; /* of whoever implements it; kept */
};
/* The text of a stored object: its own bytes, or opened; what was opened is overwritten with the
 * arena's reset or end. False: there is none to be had (no item, no object, no seal, or it does not
 * open). */
bool tt_item_json(const struct tt_pass_seal *seal, const struct tt_item *item,
                  struct tt_arena *arena, struct tt_str *ret_text);

/* A stored object as a plan reads it. */
struct tt_view {
    const struct tt_item *item; /* borrowed from the version; NULL = there is none */
    yyjson_val *root;           /* parsed, in the arena; NULL when it is sealed and does not open */
    struct tt_object_ref ref;   /* parts of item->key */
};

struct tt_pass_write {
    enum tt_txn_op_kind kind; /* put (create or update) or delete */
    struct tt_str key;        /* in the arena */
    uint64_t mod_revision;    /* compared; 0 = must be absent */
    struct tt_str json;       /* stored form, in the arena; empty for deletes */
    uint32_t splice;          /* of json */
};

struct tt_pass {
    struct tt_version *version;      /* referenced */
    struct tt_kinds *kinds;          /* referenced snapshot */
    struct tt_arena *arena;          /* owned */
    const struct tt_pass_seal *seal; /* kept; NULL: sealed objects are opaque */
    uint64_t now_ms;                 /* wall clock at the start of the pass */
    uint64_t monotonic_ms;           /* the same moment, for measuring how long something lasts */
    struct tt_rng rng;               /* for names */
    uint64_t recheck_ms; /* plan again after this long; 0 = only when something changes */
    /* the plan, in the order of commit; no key twice */
    struct tt_pass_write writes[TT_PASS_WRITES_MAX];
    size_t write_count;                                                 /* of writes in use */
    struct tt_compare relied[TT_TXN_COMPARES_MAX - TT_PASS_WRITES_MAX]; /* rows only read */
    size_t relied_count;                                                /* of relied in use */
    const char *component; /* who plans, for Events; static */
    struct tt_event_note
        notes[TT_PASS_NOTES_MAX]; /* what the plan means, for people; in the arena */
    size_t note_count;            /* of notes in use */
};

/* refs version and kinds. */
struct tt_pass *tt_pass_new(struct tt_version *version, struct tt_kinds *kinds,
                            const struct tt_clock *clock, uint64_t seed);
void tt_pass_free(struct tt_pass *pass);
TT_DEFINE_AUTO(tt_pass)

/* Reading. An absent object gives ret_view->item NULL and TT_OK. */
int tt_pass_get(struct tt_pass *pass, const struct tt_object_ref *ref, struct tt_view *ret_view,
                struct tt_err *err) TT_MUST_USE;
int tt_pass_view(struct tt_pass *pass, const struct tt_item *item, struct tt_view *ret_view,
                 struct tt_err *err) TT_MUST_USE;
/* Calls each(ctx, view) for the objects of a list prefix (ref->ns may be empty) in key order; a
 * non-zero result of each ends the scan and is returned. */
int tt_pass_each(struct tt_pass *pass, const struct tt_object_ref *prefix,
                 int (*each)(void *ctx, const struct tt_view *view, struct tt_err *err), void *ctx,
                 struct tt_err *err) TT_MUST_USE;
/* The same for those only whose stored text holds `needle`: the others are not even parsed. */
struct tt_pass_search {
    const struct tt_object_ref *prefix; /* where to look; ns may be empty; borrowed */
    struct tt_str needle;               /* borrowed; empty: every object is visited */
    /* As of tt_pass_each. */
    int (*each)(void *ctx, const struct tt_view *view, struct tt_err *err);
    void *ctx; /* passed to each */
};
int tt_pass_search(struct tt_pass *pass, const struct tt_pass_search *search,
                   struct tt_err *err) TT_MUST_USE;
/* The commit fails when this object changes (or, for a view without item, appears) meanwhile. */
int tt_pass_rely(struct tt_pass *pass, const struct tt_view *view, struct tt_err *err) TT_MUST_USE;
/* The object behind a view as a mutable copy. */
int tt_pass_edit(struct tt_pass *pass, const struct tt_view *view, struct tt_object *ret_object,
                 struct tt_err *err) TT_MUST_USE;

/* Planning writes. `root` of a new object is a document in the pass's arena: apiVersion and kind
 * come from `kind`, metadata.name or generateName from the caller. */
int tt_pass_create(struct tt_pass *pass, const struct tt_kind *kind, struct tt_str ns,
                   yyjson_mut_doc *doc, struct tt_err *err) TT_MUST_USE;
/* Writes back an edited copy; nothing is planned when it equals what is stored. */
int tt_pass_update(struct tt_pass *pass, const struct tt_view *view, struct tt_object *object,
                   enum tt_object_part part, struct tt_err *err) TT_MUST_USE;
/* Writes back a changed status; when it did not change and the plan writes other things, relies on
 * the object instead: a plan always commits against the state of its own object. */
int tt_pass_update_status(struct tt_pass *pass, const struct tt_view *view,
                          struct tt_object *object, struct tt_err *err) TT_MUST_USE;
/* Writes an edited copy of main part and status at once, as only the control plane may (binding a
 * pod sets a field of spec and a condition in one step). The generation stays. */
int tt_pass_replace(struct tt_pass *pass, const struct tt_view *view,
                    const struct tt_object *object, struct tt_err *err) TT_MUST_USE;
/* As a DELETE request would: removes or marks (api/kinds/deletion.h). */
int tt_pass_delete(struct tt_pass *pass, const struct tt_view *view, int64_t grace_seconds,
                   struct tt_err *err) TT_MUST_USE;
/* Takes the object out of the store, whatever it waits for: only after that was decided. */
int tt_pass_remove(struct tt_pass *pass, const struct tt_view *view,
                   struct tt_err *err) TT_MUST_USE;
/* Says what the plan does about an object: an Event once the plan is committed. A plan that fails
 * has its notes told too. */
enum tt_note_type { TT_NOTE_NORMAL, TT_NOTE_WARNING };
void tt_pass_note(struct tt_pass *pass, const struct tt_view *about, enum tt_note_type type,
                  const char *reason, const char *fmt, ...) TT_PRINTF(5, 6);
/* Name of the object that the newest write is about (a create may have made it up). */
struct tt_str tt_pass_written_name(const struct tt_pass *pass);
/* The whole plan as one encoded Command. verb and actor are for audit. */
int tt_pass_encode(const struct tt_pass *pass, struct tt_str actor, struct tt_bytes **ret_command,
                   struct tt_err *err) TT_MUST_USE;

/* Reading helpers shared by plans. */
const struct tt_kind *tt_pass_kind(const struct tt_pass *pass, const struct tt_object_ref *ref);
struct tt_str tt_view_str(const struct tt_view *view, const char *dotted);
int64_t tt_view_i64(const struct tt_view *view, const char *dotted, int64_t fallback);
bool tt_view_is_deleting(const struct tt_view *view);
struct tt_str tt_view_uid(const struct tt_view *view);
/* The owner reference with controller: true; false when there is none. */
bool tt_view_controller(const struct tt_view *view, struct tt_str *ret_kind,
                        struct tt_str *ret_name, struct tt_str *ret_uid);

#endif

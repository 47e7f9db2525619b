/* An object on its way from a request to the store: decode, default, prepare, validate, encode.
 *
 *   create:  tt_object_decode → tt_object_prepare_create → tt_object_validate → tt_object_encode
 *   update:  tt_object_stored (old) + tt_object_decode (new) → tt_object_prepare_update →
 *            tt_object_validate_update → tt_object_equal? → tt_object_encode
 *   patch:   tt_object_stored (old, twice: one is patched) → tt_object_patch → as update
 * Defaulting happens inside the prepare functions.
 *
 * Ownership: everything lives in the request's arena. Thread: the arena's.
 * Errors: TT_EINVAL for bodies that cannot be decoded (400), TT_EINVALID when issues hold causes
 * (422), TT_EMEDIATYPE, TT_ETOOLARGE. Messages are meant for the client. */
#ifndef API_KINDS_OBJECT_H
#define API_KINDS_OBJECT_H

#include "api/json/json.h"
#include "api/kinds/registry.h"

enum { TT_OBJECT_SIZE_MAX = 1 << 20 }; /* bytes of stored JSON */

struct tt_object {
    const struct tt_kind *kind; /* of the snapshot the request holds */
    struct tt_arena *arena;     /* borrowed */
    yyjson_mut_doc *doc;        /* in the arena */
    yyjson_mut_val *root;       /* an object */
};

enum tt_field_validation { TT_FIELDS_WARN, TT_FIELDS_STRICT, TT_FIELDS_IGNORE };
/* "" is Warn, as Kubernetes does. False: not one of Ignore, Warn, Strict. */
bool tt_field_validation_parse(struct tt_str text, enum tt_field_validation *ret);

/* JSON → object: kind and apiVersion must be those of `kind` (absent ones are filled in), types are
 * checked, quantities and times normalised, unknown fields dropped. Strict: unknown or duplicate
 * fields are TT_EINVAL with a message ending `strict decoding error: unknown field "spec.x"`, all
 * listed. Warn: they stay in ret_issues for Warning headers.
 * The object lives in ret_issues->arena. */
int tt_object_decode(const struct tt_kind *kind, struct tt_str json,
                     enum tt_field_validation validation, struct tt_issues *ret_issues,
                     struct tt_object *ret_object, struct tt_err *err) TT_MUST_USE;
/* The whole list as one message, where the error's frames may have cut it. */
struct tt_str tt_object_strict_message(const struct tt_issues *issues, struct tt_arena *arena);
/* The same for a tree that is there already (the result of a patch). */
int tt_object_adopt(struct tt_object *object, enum tt_field_validation validation,
                    struct tt_issues *ret_issues, struct tt_err *err) TT_MUST_USE;
/* Stored bytes → object (trusted: only parsed). revision > 0 also sets metadata.resourceVersion. */
int tt_object_stored(const struct tt_kind *kind, struct tt_arena *arena, struct tt_str json,
                     uint64_t revision, struct tt_object *ret_object,
                     struct tt_err *err) TT_MUST_USE;
/* The types of a parsed body that is not an object of a kind (DeleteOptions, Scale): fields as
 * validation says, TT_EINVAL for a wrong type. What the values mean is the caller's to check. */
int tt_type_adopt(const struct tt_type *type, yyjson_mut_doc *doc,
                  enum tt_field_validation validation, struct tt_issues *ret_issues,
                  struct tt_err *err) TT_MUST_USE;

struct tt_object_create {
    struct tt_str ns;        /* of the request path; empty for cluster-scoped kinds */
    uint64_t now_ms;         /* wall clock: creationTimestamp */
    const char *uid;         /* fresh, 36 characters */
    const char *name_suffix; /* 5 random characters for generateName */
};
/* Namespace agreement (TT_EINVAL when it differs), generateName, uid, creationTimestamp, generation
 * 1, status dropped (when a subresource), defaults. */
int tt_object_prepare_create(struct tt_object *object, const struct tt_object_create *params,
                             struct tt_err *err) TT_MUST_USE;

enum tt_object_part { TT_PART_MAIN, TT_PART_STATUS };
/* What clients may not change is taken from `old`: uid, creationTimestamp, deletionTimestamp,
 * generation, selfLink; MAIN keeps old status, STATUS keeps everything but status (and labels,
 * annotations, finalizers stay old too). Bumps generation when spec (or anything outside metadata
 * and status, for kinds with generation) changed. Defaults. TT_EINVAL: name, namespace mismatch;
 * TT_ECONFLICT: a uid in the new object that is not the old one's. */
int tt_object_prepare_update(struct tt_object *object, const struct tt_object *old,
                             enum tt_object_part part, struct tt_err *err) TT_MUST_USE;
/* For `validate`-less internal writers: defaults only. */
int tt_object_default(struct tt_object *object, struct tt_err *err) TT_MUST_USE;

/* Semantic checks. TT_EINVALID when there are causes; err's message is Kubernetes' `Deployment.apps
 * "x" is invalid: spec.selector: Required value`. */
int tt_object_validate(const struct tt_object *object, struct tt_issues *ret_causes,
                       struct tt_err *err) TT_MUST_USE;
int tt_object_validate_update(const struct tt_object *object, const struct tt_object *old,
                              enum tt_object_part part, struct tt_issues *ret_causes,
                              struct tt_err *err) TT_MUST_USE;
/* The message of a 422, from its causes, in the arena. */
struct tt_str tt_object_invalid_message(const struct tt_kind *kind, struct tt_str name,
                                        const struct tt_issues *causes, struct tt_arena *arena);

/* Same content (metadata.resourceVersion and managedFields aside): the write would be a no-op. */
bool tt_object_equal(const struct tt_object *a, const struct tt_object *b);

/* Metadata shorthands; borrowed from the document. */
struct tt_str tt_object_name(const struct tt_object *object);
struct tt_str tt_object_namespace(const struct tt_object *object);
struct tt_str tt_object_uid(const struct tt_object *object);
/* resourceVersion in the body: 0 when absent; TT_EINVAL when it is not a number. */
int tt_object_resource_version(const struct tt_object *object, uint64_t *ret_revision,
                               struct tt_err *err) TT_MUST_USE;

/* Stored form: compact JSON, members kind, apiVersion, metadata, then the others in document order,
 * without metadata.resourceVersion; *ret_splice is the offset right behind `"metadata":{`.
 * TT_ETOOLARGE over TT_OBJECT_SIZE_MAX. Appends to buf. */
int tt_object_encode(const struct tt_object *object, struct tt_buf *buf, uint32_t *ret_splice,
                     struct tt_err *err) TT_MUST_USE;
/* What belongs at the splice: `"resourceVersion":"123",`. Metadata is never empty in stored
 * objects. Returns its length. */
enum { TT_SPLICE_SIZE = 48 };
size_t tt_object_splice(uint64_t revision, char out[TT_SPLICE_SIZE]);
/* Appends the whole object with its resourceVersion. */
void tt_object_write_spliced(struct tt_buf *buf, struct tt_str stored, uint32_t splice,
                             uint64_t revision);

/* Patches. content_type without parameters. `original` is changed in place and then decoded again
 * (strictly or not). TT_EMEDIATYPE for apply patches and unknown types, and for strategic patches
 * of kinds without has_strategic. */
enum tt_patch_type { TT_PATCH_JSON, TT_PATCH_MERGE_JSON, TT_PATCH_STRATEGIC, TT_PATCH_APPLY };
int tt_patch_type_parse(const struct tt_kind *kind, struct tt_str content_type,
                        enum tt_patch_type *ret_type, struct tt_err *err) TT_MUST_USE;
int tt_object_patch(struct tt_object *original, enum tt_patch_type type, struct tt_str patch,
                    enum tt_field_validation validation, struct tt_issues *ret_issues,
                    struct tt_err *err) TT_MUST_USE;

#endif

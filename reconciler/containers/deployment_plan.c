/* Deployment: one ReplicaSet per version of the pod template, moved from old to new by rollout.c.
 *
 *   find the sets it controls, adopt orphans that match its selector → the one whose template is
 * the Deployment's is the new one (else create it, named by the template's hash) → next sizes →
 * status and conditions → old sets beyond revisionHistoryLimit are deleted. The template is
 * compared as a whole; the hash only names the set and labels its pods. If another set sits on that
 * name, status.collisionCount enters the hash and the next pass finds a free one.
 */
#include "reconciler/containers/containers.h"

#include "api/kinds/selector.h"
#include "reconciler/containers/pods.h"
#include "reconciler/containers/rollout.h"

#define HASH_LABEL     "pod-template-hash"
#define REVISION_LABEL "deployment.kubernetes.io/revision"

/* Annotations of a Deployment that its sets do not get. */
static const char *const own_annotations[] = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION_LABEL,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
};

enum { SETS_MAX = 256, HASH_SIZE = 11 };

struct plan {
    struct tt_pass *pass;                     /* borrowed; this struct lies in its arena */
    struct tt_view deployment;                /* what the key names; it exists */
    const struct tt_label_selector *selector; /* of spec.selector, in the arena */
    bool adopted; /* a set was adopted in this pass: the rest waits for the commit */
    yyjson_mut_doc *template_doc;  /* the Deployment's template, mutable */
    struct tt_view sets[SETS_MAX]; /* controlled by it, oldest first */
    size_t set_count;              /* of sets in use */
    size_t fresh;                  /* index of the new set; set_count = there is none */
    int64_t revision_max;          /* of all sets */
    struct rollout_limits limits;  /* of the spec, resolved to pods; set by read_limits */
};

/* A set that nobody controls and that has the Deployment's pods: left behind by one before it. */
static int see_orphan(struct plan *plan, const struct tt_view *set, struct tt_err *err)
{
    if (plan->pass->write_count == TT_PASS_WRITES_MAX ||
        !tt_label_selector_imatch(plan->selector, tt_json_iget(set->root, "metadata.labels"))) {
        return TT_OK;
    }
    plan->adopted = true;
    return adopt_orphan(plan->pass, &plan->deployment, set, err);
}

static int see_set(void *ctx, const struct tt_view *set, struct tt_err *err)
{
    struct plan *plan = ctx;
    struct tt_str kind;
    struct tt_str name;
    struct tt_str uid;
    if (tt_view_is_deleting(set)) {
        return TT_OK;
    }
    if (!tt_view_controller(set, &kind, &name, &uid)) {
        return see_orphan(plan, set, err);
    }
    if (!tt_str_eq(uid, tt_view_uid(&plan->deployment))) {
        return TT_OK;
    }
    if (plan->set_count == SETS_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "more than %d ReplicaSets", SETS_MAX);
    }
    size_t at = plan->set_count++;
    while (at > 0 && plan->sets[at - 1].item->create_revision > set->item->create_revision) {
        plan->sets[at] = plan->sets[at - 1];
        at--;
    }
    plan->sets[at] = *set;
    return TT_OK;
}

static int find_sets(struct plan *plan, struct tt_err *err)
{
    const struct tt_object_ref sets = {TT_STR("apps"), TT_STR("replicasets"),
                                       plan->deployment.ref.ns, TT_STR("")};
    int r = tt_label_selector_ifrom(plan->pass->arena,
                                    tt_json_iget(plan->deployment.root, "spec.selector"),
                                    &plan->selector, err);
    if (r == TT_OK) {
        r = tt_pass_each(plan->pass, &sets, see_set, plan, err);
    }
    if (r == TT_OK && plan->adopted) {
        r = tt_pass_rely(plan->pass, &plan->deployment, err);
        return r != TT_OK ? r : TT_FAIL(err, TT_EBUSY, "the roll-out follows the adoption");
    }
    return r;
}

static int64_t revision_of(const struct tt_view *set)
{
    yyjson_val *annotations = tt_json_iget(set->root, "metadata.annotations");
    int64_t revision = 0;
    (void)tt_str_to_i64(tt_json_istr_of(yyjson_obj_get(annotations, REVISION_LABEL)),
                        &revision); /* absent or foreign text: 0 */
    return revision;
}

/* The set's template without the label that tutti added. */
static int template_of(struct plan *plan, const struct tt_view *owner, yyjson_mut_doc **ret_doc,
                       struct tt_err *err)
{
    int r = tt_json_mutable(plan->pass->arena, tt_json_iget(owner->root, "spec.template"), ret_doc,
                            err);
    if (r == TT_OK) {
        yyjson_mut_val *labels = tt_json_get(yyjson_mut_doc_get_root(*ret_doc), "metadata.labels");
        (void)tt_json_remove(labels, TT_STR(HASH_LABEL)); /* absent on the Deployment itself */
    }
    return r;
}

static int find_fresh(struct plan *plan, struct tt_err *err)
{
    plan->fresh = plan->set_count;
    int r = template_of(plan, &plan->deployment, &plan->template_doc, err);
    for (size_t i = 0; r == TT_OK && i < plan->set_count; i++) {
        yyjson_mut_doc *doc;
        r = template_of(plan, &plan->sets[i], &doc, err);
        if (r != TT_OK) {
            break;
        }
        int64_t revision = revision_of(&plan->sets[i]);
        plan->revision_max = revision > plan->revision_max ? revision : plan->revision_max;
        if (plan->fresh == plan->set_count &&
            tt_json_equal(yyjson_mut_doc_get_root(doc),
                          yyjson_mut_doc_get_root(plan->template_doc))) {
            plan->fresh = i;
        }
    }
    return r;
}

/* Ten characters from a 64-bit FNV-1a of the template and the collision count. */
static void template_hash(struct plan *plan, char out[HASH_SIZE])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TT_OBJECT_SIZE_MAX);
    tt_json_write(&text, yyjson_mut_doc_get_root(plan->template_doc));
    tt_buf_u64(&text, (uint64_t)tt_view_i64(&plan->deployment, "status.collisionCount", 0));
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ (uint8_t)text.ptr[i]) * UINT64_C(1099511628211);
    }
    for (size_t i = 0; i + 1 < HASH_SIZE; i++) {
        out[i] = alphabet[hash % (sizeof alphabet - 1)];
        hash /= sizeof alphabet - 1;
    }
    out[HASH_SIZE - 1] = 0;
}

static int no_room(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "no room for a new ReplicaSet");
}

/* What a set has of its Deployment's annotations: roll-backs bring them back from there. */
static bool copy_annotations(struct plan *plan, yyjson_mut_doc *doc, yyjson_mut_val *target)
{
    yyjson_val *key;
    yyjson_obj_iter it =
        yyjson_obj_iter_with(tt_json_iget(plan->deployment.root, "metadata.annotations"));
    while ((key = yyjson_obj_iter_next(&it)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        bool own = false;
        for (size_t i = 0; i < sizeof own_annotations / sizeof own_annotations[0]; i++) {
            own |= tt_str_eq_c(name, own_annotations[i]);
        }
        if (!own &&
            !tt_json_put_str(doc, target, name, tt_json_istr_of(yyjson_obj_iter_get_val(key)))) {
            return false;
        }
    }
    return true;
}

/* What the new set has from its Deployment, and its revision; NULL: the arena is full. */
static yyjson_mut_val *new_annotations(struct plan *plan, yyjson_mut_doc *doc, int64_t revision)
{
    char *number = tt_arena_printf(plan->pass->arena, "%lld", (long long)revision);
    yyjson_mut_val *annotations = yyjson_mut_obj(doc);
    bool ok = number != NULL && annotations != NULL && copy_annotations(plan, doc, annotations) &&
              tt_json_put_str(doc, annotations, TT_STR(REVISION_LABEL), tt_str_c(number));
    return ok ? annotations : NULL;
}

/* metadata of the new set: name, labels of the template with the hash, owner, revision. */
static bool fill_metadata(struct plan *plan, yyjson_mut_doc *doc, yyjson_mut_val *root,
                          struct tt_str hash, int64_t revision)
{
    char *name = tt_arena_printf(plan->pass->arena, "%.*s-%.*s",
                                 TT_STR_ARG(plan->deployment.ref.name), TT_STR_ARG(hash));
    yyjson_mut_val *metadata = yyjson_mut_obj(doc);
    yyjson_mut_val *annotations = new_annotations(plan, doc, revision);
    yyjson_mut_val *owners = yyjson_mut_arr(doc);
    yyjson_mut_val *owner =
        owner_reference(doc, &plan->deployment, tt_pass_kind(plan->pass, &plan->deployment.ref));
    yyjson_mut_val *labels = tt_json_copy(
        doc, tt_json_get(yyjson_mut_doc_get_root(plan->template_doc), "metadata.labels"));
    return name != NULL && metadata != NULL && annotations != NULL && owners != NULL &&
           owner != NULL && labels != NULL &&
           tt_json_put_str(doc, labels, TT_STR(HASH_LABEL), hash) &&
           yyjson_mut_arr_append(owners, owner) &&
           tt_json_put_str(doc, metadata, TT_STR("name"), tt_str_c(name)) &&
           tt_json_put(doc, metadata, TT_STR("labels"), labels) &&
           tt_json_put(doc, metadata, TT_STR("annotations"), annotations) &&
           tt_json_put(doc, metadata, TT_STR("ownerReferences"), owners) &&
           tt_json_put(doc, root, TT_STR("metadata"), metadata);
}

static bool fill_spec(struct plan *plan, yyjson_mut_doc *doc, yyjson_mut_val *root,
                      struct tt_str hash, int64_t replicas)
{
    yyjson_mut_val *spec = yyjson_mut_obj(doc);
    yyjson_mut_val *template = tt_json_copy(doc, yyjson_mut_doc_get_root(plan->template_doc));
    yyjson_val *selector_now = tt_json_iget(plan->deployment.root, "spec.selector");
    yyjson_mut_val *selector = yyjson_val_mut_copy(doc, selector_now);
    int64_t min_ready = tt_view_i64(&plan->deployment, "spec.minReadySeconds", 0);
    return spec != NULL && template != NULL && selector != NULL &&
           tt_json_set_str(doc, template, "metadata.labels." HASH_LABEL, hash) &&
           tt_json_set_str(doc, selector, "matchLabels." HASH_LABEL, hash) &&
           tt_json_put_i64(doc, spec, TT_STR("replicas"), replicas) &&
           (min_ready == 0 || tt_json_put_i64(doc, spec, TT_STR("minReadySeconds"), min_ready)) &&
           tt_json_put(doc, spec, TT_STR("selector"), selector) &&
           tt_json_put(doc, spec, TT_STR("template"), template) &&
           tt_json_put(doc, root, TT_STR("spec"), spec);
}

static void note_scaling(struct plan *plan, struct tt_str set, int64_t from, int64_t to)
{
    tt_pass_note(plan->pass, &plan->deployment, TT_NOTE_NORMAL, "ScalingReplicaSet",
                 "Scaled %s replica set %.*s from %lld to %lld", to < from ? "down" : "up",
                 TT_STR_ARG(set), (long long)from, (long long)to);
}

static int create_fresh(struct plan *plan, int64_t replicas, struct tt_err *err)
{
    char hash[HASH_SIZE];
    template_hash(plan, hash);
    yyjson_mut_doc *doc = tt_json_new(plan->pass->arena);
    yyjson_mut_val *root = doc != NULL ? yyjson_mut_obj(doc) : NULL;
    if (root == NULL) {
        return no_room(err);
    }
    yyjson_mut_doc_set_root(doc, root);
    if (!fill_metadata(plan, doc, root, tt_str_c(hash), plan->revision_max + 1) ||
        !fill_spec(plan, doc, root, tt_str_c(hash), replicas)) {
        return no_room(err);
    }
    const struct tt_kind *kind =
        tt_kinds_kind(plan->pass->kinds, TT_STR("apps/v1"), TT_STR("ReplicaSet"));
    TT_ASSERT(kind != NULL);
    int r = tt_pass_create(plan->pass, kind, plan->deployment.ref.ns, doc, err);
    if (r == TT_OK && replicas > 0) {
        note_scaling(plan, tt_pass_written_name(plan->pass), 0, replicas);
    }
    return r;
}

/* Would the new set's name hit a set that is not ours or has another template? */
static int name_is_taken(struct plan *plan, bool *ret_taken, struct tt_err *err)
{
    char hash[HASH_SIZE];
    template_hash(plan, hash);
    char *name =
        tt_arena_printf(plan->pass->arena, "%.*s-%s", TT_STR_ARG(plan->deployment.ref.name), hash);
    if (name == NULL) {
        return no_room(err);
    }
    const struct tt_object_ref ref = {TT_STR("apps"), TT_STR("replicasets"),
                                      plan->deployment.ref.ns, tt_str_c(name)};
    struct tt_view there;
    int r = tt_pass_get(plan->pass, &ref, &there, err);
    *ret_taken = r == TT_OK && there.item != NULL;
    return r;
}

/* The new set follows its Deployment in what is not the template; an old template that is the new
 * one again, after a roll-back, gets the newest revision. */
static bool follow(struct plan *plan, const struct tt_view *set, struct tt_object *object)
{
    yyjson_mut_val *annotations = tt_json_get(object->root, "metadata.annotations");
    if (annotations == NULL) { /* one that was adopted may have none */
        annotations = yyjson_mut_obj(object->doc);
        if (annotations == NULL ||
            !tt_json_set(object->doc, object->root, "metadata.annotations", annotations)) {
            return false;
        }
    }
    int64_t revision = revision_of(set);
    if (revision == 0 || revision < plan->revision_max) {
        char *number =
            tt_arena_printf(plan->pass->arena, "%lld", (long long)plan->revision_max + 1);
        if (number == NULL ||
            !tt_json_put_str(object->doc, annotations, TT_STR(REVISION_LABEL), tt_str_c(number))) {
            return false;
        }
    }
    int64_t min_ready = tt_view_i64(&plan->deployment, "spec.minReadySeconds", 0);
    yyjson_mut_val *spec = tt_json_get(object->root, "spec");
    return copy_annotations(plan, object->doc, annotations) &&
           (min_ready == tt_view_i64(set, "spec.minReadySeconds", 0) ||
            tt_json_put_i64(object->doc, spec, TT_STR("minReadySeconds"), min_ready));
}

static int resize(struct plan *plan, const struct tt_view *set, int64_t replicas, bool is_fresh,
                  struct tt_err *err)
{
    int64_t replicas_now = tt_view_i64(set, "spec.replicas", 1);
    if (replicas_now == replicas && !is_fresh) {
        return TT_OK;
    }
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, set, &object, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_mut_val *spec = tt_json_get(object.root, "spec");
    if (!tt_json_put_i64(object.doc, spec, TT_STR("replicas"), replicas) ||
        (is_fresh && !follow(plan, set, &object))) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room to scale %.*s", TT_STR_ARG(set->ref.name));
    }
    if (replicas_now != replicas) {
        note_scaling(plan, set->ref.name, replicas_now, replicas);
    }
    return tt_pass_update(plan->pass, set, &object, TT_PART_MAIN, err);
}

static struct rollout_set size_of(const struct tt_view *set)
{
    return (struct rollout_set){.replicas = tt_view_i64(set, "spec.replicas", 1),
                                .available = tt_view_i64(set, "status.availableReplicas", 0)};
}

static int roll(struct plan *plan, bool may_create, struct tt_err *err)
{
    struct rollout_set sizes[SETS_MAX + 1] = {{0, 0, 0}};
    const struct tt_view *views[SETS_MAX + 1] = {NULL};
    size_t count = 1;
    if (plan->fresh < plan->set_count) {
        sizes[0] = size_of(&plan->sets[plan->fresh]);
        views[0] = &plan->sets[plan->fresh];
    }
    for (size_t i = 0; i < plan->set_count; i++) {
        if (i != plan->fresh) {
            sizes[count] = size_of(&plan->sets[i]);
            views[count++] = &plan->sets[i];
        }
    }
    rollout_next(&plan->limits, sizes, count);
    int r = TT_OK;
    if (views[0] == NULL && may_create) {
        r = create_fresh(plan, sizes[0].next, err);
    }
    for (size_t i = 0; r == TT_OK && i < count; i++) {
        if (views[i] != NULL) {
            r = resize(plan, views[i], sizes[i].next, i == 0, err);
        }
    }
    return r;
}

/* Old sets without pods beyond revisionHistoryLimit, oldest first. */
static int clean_history(struct plan *plan, struct tt_err *err)
{
    int64_t keep = tt_view_i64(&plan->deployment, "spec.revisionHistoryLimit", 10);
    int64_t surplus = (int64_t)plan->set_count - (plan->fresh < plan->set_count ? 1 : 0) - keep;
    int r = TT_OK;
    for (size_t i = 0; r == TT_OK && surplus > 0 && i < plan->set_count; i++) {
        const struct tt_view *set = &plan->sets[i];
        if (i == plan->fresh || tt_view_i64(set, "spec.replicas", 1) != 0 ||
            tt_view_i64(set, "status.replicas", 0) != 0) {
            continue;
        }
        r = tt_pass_delete(plan->pass, set, -1, err);
        surplus--;
    }
    return r;
}

/* Sums over the sets for the status. */
struct counts {
    int64_t replicas;  /* pods that exist */
    int64_t updated;   /* pods of the new set */
    int64_t ready;     /* pods with condition Ready */
    int64_t available; /* pods ready for minReadySeconds */
};

static struct counts count_pods(const struct plan *plan)
{
    struct counts counts = {0, 0, 0, 0};
    for (size_t i = 0; i < plan->set_count; i++) {
        int64_t replicas = tt_view_i64(&plan->sets[i], "status.replicas", 0);
        counts.replicas += replicas;
        counts.updated += i == plan->fresh ? replicas : 0;
        counts.ready += tt_view_i64(&plan->sets[i], "status.readyReplicas", 0);
        counts.available += tt_view_i64(&plan->sets[i], "status.availableReplicas", 0);
    }
    return counts;
}

static bool put_count(struct tt_object *object, yyjson_mut_val *status, const char *name,
                      int64_t value)
{
    if (value == 0) {
        (void)tt_json_remove(status, tt_str_c(name)); /* zero is written as absence */
        return true;
    }
    return tt_json_put_i64(object->doc, status, tt_str_c(name), value);
}

/* Has the rollout stood still, with the same numbers, for its deadline? The message carries the
 * numbers, so an equal message means no progress since lastUpdateTime. */
static bool is_late(struct plan *plan, struct tt_str message)
{
    yyjson_val *condition = view_condition(&plan->deployment, "Progressing");
    struct tt_str reason = tt_json_istr_of(yyjson_obj_get(condition, "reason"));
    if (!tt_str_eq(tt_json_istr_of(yyjson_obj_get(condition, "message")), message)) {
        return false;
    }
    if (tt_str_eq(reason, TT_STR("ProgressDeadlineExceeded"))) {
        return true;
    }
    uint64_t since = 0;
    if (!tt_time_parse(tt_json_istr_of(yyjson_obj_get(condition, "lastUpdateTime")), &since)) {
        return false;
    }
    int64_t deadline_s = tt_view_i64(&plan->deployment, "spec.progressDeadlineSeconds", 600);
    uint64_t due = since + (uint64_t)deadline_s * 1000u;
    if (due > plan->pass->now_ms) {
        plan->pass->recheck_ms = due - plan->pass->now_ms;
        return false;
    }
    return true;
}

static bool put_conditions(struct plan *plan, struct tt_object *object, const struct counts *counts)
{
    int64_t desired = plan->limits.desired;
    bool enough = counts->available >= desired - plan->limits.unavailable_max;
    const struct tt_condition available = {
        .type = "Available",
        .status = enough ? "True" : "False",
        .reason = enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
        .message = enough ? TT_STR("Deployment has minimum availability.")
                          : TT_STR("Deployment does not have minimum availability.")};
    bool complete =
        counts->updated == desired && counts->replicas == desired && counts->available >= desired;
    char *text = tt_arena_printf(plan->pass->arena,
                                 "%lld of %lld replicas are updated, %lld of %lld are available.",
                                 (long long)counts->updated, (long long)desired,
                                 (long long)counts->available, (long long)counts->replicas);
    if (text == NULL) {
        return false;
    }
    bool late = !complete && !plan->limits.paused && is_late(plan, tt_str_c(text));
    const struct tt_condition progressing = {.type = "Progressing",
                                             .status = late ? "False" : "True",
                                             .reason = complete ? "NewReplicaSetAvailable"
                                                       : late   ? "ProgressDeadlineExceeded"
                                                                : "ReplicaSetUpdated",
                                             .message = tt_str_c(text)};
    return tt_object_set_condition(object, &available, plan->pass->now_ms, true) &&
           tt_object_set_condition(object, &progressing, plan->pass->now_ms, true);
}

static bool put_counts(struct plan *plan, struct tt_object *object, const struct counts *counts,
                       bool collided)
{
    yyjson_mut_val *status = tt_json_get(object->root, "status");
    int64_t missing = plan->limits.desired - counts->available;
    int64_t collisions = tt_view_i64(&plan->deployment, "status.collisionCount", 0);
    return put_count(object, status, "replicas", counts->replicas) &&
           put_count(object, status, "updatedReplicas", counts->updated) &&
           put_count(object, status, "readyReplicas", counts->ready) &&
           put_count(object, status, "availableReplicas", counts->available) &&
           put_count(object, status, "unavailableReplicas", missing > 0 ? missing : 0) &&
           put_count(object, status, "collisionCount", collisions + (collided ? 1 : 0));
}

/* The Deployment says which revision it runs; *ret_changed: it did not say so before. */
static int put_revision(struct plan *plan, struct tt_object *object, bool *ret_changed,
                        struct tt_err *err)
{
    *ret_changed = false;
    if (plan->fresh == plan->set_count) {
        return TT_OK;
    }
    int64_t revision = revision_of(&plan->sets[plan->fresh]);
    if (revision == 0 || revision == revision_of(&plan->deployment)) {
        return TT_OK; /* 0: the set gets one in this pass */
    }
    yyjson_mut_val *annotations = tt_json_get(object->root, "metadata.annotations");
    char *number = tt_arena_printf(plan->pass->arena, "%lld", (long long)revision);
    if (annotations == NULL) {
        annotations = yyjson_mut_obj(object->doc);
        if (!tt_json_set(object->doc, object->root, "metadata.annotations", annotations)) {
            return TT_FAIL(err, TT_ETOOLARGE, "no room for the revision");
        }
    }
    if (number == NULL ||
        !tt_json_put_str(object->doc, annotations, TT_STR(REVISION_LABEL), tt_str_c(number))) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for the revision");
    }
    *ret_changed = true;
    return TT_OK;
}

static int write_status(struct plan *plan, bool collided, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, &plan->deployment, &object, err);
    if (r != TT_OK) {
        return r;
    }
    struct counts counts = count_pods(plan);
    yyjson_mut_val *generation =
        yyjson_mut_sint(object.doc, tt_view_i64(&plan->deployment, "metadata.generation", 0));
    if (generation == NULL ||
        !tt_json_set(object.doc, object.root, "status.observedGeneration", generation) ||
        !put_counts(plan, &object, &counts, collided) || !put_conditions(plan, &object, &counts)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for the status");
    }
    bool is_new_revision = false;
    r = put_revision(plan, &object, &is_new_revision, err);
    if (r != TT_OK) {
        return r;
    }
    return is_new_revision ? tt_pass_replace(plan->pass, &plan->deployment, &object, err)
                           : tt_pass_update_status(plan->pass, &plan->deployment, &object, err);
}

/* "25%" or "2", whether it is stored as a string or as a number. */
static const char *int_or_string(struct plan *plan, const char *dotted)
{
    yyjson_val *value = tt_json_iget(plan->deployment.root, dotted);
    int64_t number;
    struct tt_str text = tt_json_istr_of(value);
    const char *copy = NULL;
    if (text.len > 0) {
        copy = tt_arena_strndup(plan->pass->arena, text.ptr, text.len);
    } else if (tt_json_ito_i64(value, &number)) {
        copy = tt_arena_printf(plan->pass->arena, "%lld", (long long)number);
    }
    return copy != NULL ? copy : "25%";
}

static int read_limits(struct plan *plan, struct tt_err *err)
{
    const struct tt_view *deployment = &plan->deployment;
    plan->limits.desired = tt_view_i64(deployment, "spec.replicas", 1);
    plan->limits.paused = yyjson_is_true(tt_json_iget(deployment->root, "spec.paused"));
    plan->limits.recreate =
        tt_str_eq(tt_view_str(deployment, "spec.strategy.type"), TT_STR("Recreate"));
    for (size_t i = 0; i < plan->set_count; i++) {
        plan->limits.old_pods +=
            i == plan->fresh ? 0 : tt_view_i64(&plan->sets[i], "status.replicas", 0);
    }
    if (!rollout_resolve(int_or_string(plan, "spec.strategy.rollingUpdate.maxSurge"),
                         int_or_string(plan, "spec.strategy.rollingUpdate.maxUnavailable"),
                         &plan->limits)) {
        return TT_FAIL(err, TT_EINVALID, "spec.strategy.rollingUpdate: not a number or percentage");
    }
    return TT_OK;
}

static int plan_deployment(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                           struct tt_err *err)
{
    (void)self; /* nothing is remembered between passes */
    struct plan *plan = tt_arena_alloc(pass->arena, sizeof *plan);
    TT_ASSERT(plan != NULL); /* a fresh arena has room for it */
    memset(plan, 0, sizeof *plan);
    plan->pass = pass;
    struct tt_object_ref ref = {.group = TT_STR("apps"), .resource = TT_STR("deployments")};
    bool split = tt_object_key_split(key, &ref.ns, &ref.name);
    TT_ASSERT(split);
    int r = tt_pass_get(pass, &ref, &plan->deployment, err);
    if (r != TT_OK || plan->deployment.item == NULL || tt_view_is_deleting(&plan->deployment)) {
        return r; /* gone or going: the garbage collector takes its sets */
    }
    r = find_sets(plan, err);
    if (r == TT_OK) {
        r = find_fresh(plan, err);
    }
    if (r == TT_OK) {
        r = read_limits(plan, err);
    }
    bool collided = false;
    bool missing = r == TT_OK && plan->fresh == plan->set_count && !plan->limits.paused;
    if (missing) {
        r = name_is_taken(plan, &collided, err);
    }
    if (r == TT_OK) {
        r = roll(plan, missing && !collided, err);
    }
    if (r == TT_OK && plan->fresh < plan->set_count) {
        r = clean_history(plan, err);
    }
    return r != TT_OK ? r : write_status(plan, collided, err);
}

static void observe_deployment(struct tt_controller *self, const struct tt_change *change,
                               const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)self; /* nothing is remembered between passes */
    if (!tt_str_eq(ref->group, TT_STR("apps"))) {
        return;
    }
    if (tt_str_eq(ref->resource, TT_STR("deployments"))) {
        tt_observe_object(observer, ref->ns, ref->name);
    } else if (tt_str_eq(ref->resource, TT_STR("replicasets"))) {
        tt_observe_owner(observer, change->item, "Deployment");
        tt_observe_owner(observer, change->prev, "Deployment");
    }
}

struct tt_controller *tt_deployment_controller_new(void)
{
    struct tt_controller *controller = TT_NEW(struct tt_controller);
    controller->name = "deployment";
    controller->component = "deployment-controller";
    controller->observe = observe_deployment;
    controller->plan = plan_deployment;
    return controller;
}

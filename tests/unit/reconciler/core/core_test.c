/* Namespaces empty themselves before they go; dependents follow their owners. */
#include "tests/unit/reconciler/world.h"

#include "reconciler/core/core.h"

static int setup(void **state)
{
    struct world *world = world_new();
    world_add(world, tt_namespace_controller_new());
    world_add(world, tt_gc_controller_new());
    world_add(world, tt_event_controller_new());
    world_create(world, "v1", "Namespace", "", "{\"metadata\":{\"name\":\"shop\"}}");
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static bool exists(struct world *world, struct tt_object_ref ref)
{
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    tt_pass_free(pass);
    return view.item != NULL;
}

/* uid of an object, into out. */
static void uid_of(struct world *world, struct tt_object_ref ref, char out[64])
{
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    (void)snprintf(out, 64, "%.*s", TT_STR_ARG(tt_view_uid(&view)));
    tt_pass_free(pass);
}

static void create_owned(struct world *world, const char *name, const char *owner_uid)
{
    char json[512];
    (void)snprintf(json, sizeof json,
                   "{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[{\"apiVersion\":\"v1\","
                   "\"kind\":\"ConfigMap\",\"name\":\"owner\",\"uid\":\"%s\","
                   "\"blockOwnerDeletion\":true}]}}",
                   name, owner_uid);
    world_create(world, "v1", "ConfigMap", "shop", json);
}

static struct tt_object_ref config_map(const char *name)
{
    return world_ref("", "configmaps", "shop", name);
}

static void a_deleted_namespace_goes_when_it_is_empty(void **state)
{
    struct world *world = *state;
    world_create(world, "v1", "ConfigMap", "shop", "{\"metadata\":{\"name\":\"a\"}}");
    world_create(world, "v1", "ServiceAccount", "shop", "{\"metadata\":{\"name\":\"b\"}}");
    world_delete(world, world_ref("", "namespaces", "", "shop"));
    assert_true(exists(world, world_ref("", "namespaces", "", "shop")));
    world_settle(world);
    assert_false(exists(world, config_map("a")));
    world->now_ms += 2000; /* the recheck */
    world_settle(world);
    assert_false(exists(world, world_ref("", "namespaces", "", "shop")));
}

/* What the Namespace's conditions say, and that they are true. */
static void assert_condition(struct world *world, size_t index, const char *message)
{
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    const struct tt_object_ref ref = world_ref("", "namespaces", "", "shop");
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    yyjson_val *condition = yyjson_arr_get(tt_json_iget(view.root, "status.conditions"), index);
    assert_non_null(condition);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(condition, "message")), message);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(condition, "status")), "True");
    tt_pass_free(pass);
}

static void a_finalizer_inside_holds_the_namespace(void **state)
{
    struct world *world = *state;
    world_create(world, "v1", "ConfigMap", "shop",
                 "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"example.com/wait\"]}}");
    world_delete(world, world_ref("", "namespaces", "", "shop"));
    for (int i = 0; i < 3; i++) {
        world->now_ms += 2000;
        world_settle(world);
    }
    assert_true(exists(world, config_map("a")));
    assert_true(exists(world, world_ref("", "namespaces", "", "shop")));
    assert_condition(world, 0,
                     "Some resources are remaining: configmaps. has 1 resource instances");
    assert_condition(world, 1,
                     "Some content in the namespace has finalizers remaining: example.com/wait in "
                     "1 resource instances");
}

static void dependents_go_after_their_owner(void **state)
{
    struct world *world = *state;
    char uid[64];
    world_create(world, "v1", "ConfigMap", "shop", "{\"metadata\":{\"name\":\"owner\"}}");
    uid_of(world, config_map("owner"), uid);
    create_owned(world, "child", uid);
    world_settle(world);
    assert_true(exists(world, config_map("child")));
    world_delete(world, config_map("owner"));
    world_settle(world);
    assert_false(exists(world, config_map("child")));
}

static void an_owner_with_another_uid_is_no_owner(void **state)
{
    struct world *world = *state;
    world_create(world, "v1", "ConfigMap", "shop", "{\"metadata\":{\"name\":\"owner\"}}");
    create_owned(world, "child", "00000000-0000-4000-8000-000000000000");
    world_settle(world);
    assert_false(exists(world, config_map("child")));
    assert_true(exists(world, config_map("owner")));
}

/* As a DELETE with this propagationPolicy would. */
static void delete_owner(struct world *world, enum tt_propagation propagation)
{
    struct tt_pass *pass = world_pass(world);
    struct tt_object_ref ref = config_map("owner");
    struct tt_view view;
    struct tt_object object;
    enum tt_deletion deletion;
    const struct tt_deletion_options options = {
        .now_ms = world->now_ms, .grace_seconds = -1, .propagation = propagation};
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    assert_int_equal(tt_pass_edit(pass, &view, &object, NULL), 0);
    assert_int_equal(tt_object_prepare_delete(&object, &options, &deletion, NULL), 0);
    assert_int_equal(deletion, TT_DELETION_MARK);
    assert_int_equal(tt_pass_replace(pass, &view, &object, NULL), 0);
    world_commit(world, pass);
}

static void foreground_deletion_waits_for_the_dependents(void **state)
{
    struct world *world = *state;
    char uid[64];
    world_create(world, "v1", "ConfigMap", "shop", "{\"metadata\":{\"name\":\"owner\"}}");
    uid_of(world, config_map("owner"), uid);
    create_owned(world, "child", uid);
    world_settle(world);
    delete_owner(world, TT_PROPAGATE_FOREGROUND);
    world_settle(world);
    assert_false(exists(world, config_map("child")));
    world->now_ms += 2000;
    world_settle(world);
    assert_false(exists(world, config_map("owner")));
}

static void orphaned_dependents_stay(void **state)
{
    struct world *world = *state;
    char uid[64];
    world_create(world, "v1", "ConfigMap", "shop", "{\"metadata\":{\"name\":\"owner\"}}");
    uid_of(world, config_map("owner"), uid);
    create_owned(world, "child", uid);
    world_settle(world);
    delete_owner(world, TT_PROPAGATE_ORPHAN);
    for (int i = 0; i < 3; i++) {
        world->now_ms += 2000;
        world_settle(world);
    }
    assert_false(exists(world, config_map("owner")));
    assert_true(exists(world, config_map("child")));
}

/* ---- sealed objects ---- */

enum { MASK = 0x55 };

static char *masked(struct tt_arena *arena, struct tt_str text)
{
    char *copy = tt_arena_strndup(arena, text.ptr, text.len);
    assert_non_null(copy);
    for (size_t i = 0; i < text.len; i++) {
        copy[i] = (char)(copy[i] ^ MASK);
    }
    return copy;
}

static int open_masked(const struct tt_pass_seal *seal, const struct tt_item *item,
                       struct tt_arena *arena, struct tt_str *ret_text, struct tt_err *err)
{
    (void)seal;
    (void)err;
    *ret_text = tt_str(masked(arena, item->value.bytes), item->value.bytes.len);
    return TT_OK;
}

static int close_masked(const struct tt_pass_seal *seal, struct tt_str key, struct tt_value *value,
                        struct tt_arena *arena, struct tt_err *err)
{
    (void)seal;
    (void)err;
    if (tt_str_starts(key, TT_STR("o/core/secrets/"))) {
        value->codec = TT_CODEC_SEALED;
        value->bytes.ptr = masked(arena, value->bytes);
    }
    return TT_OK;
}

static int setup_sealed(void **state)
{
    static const struct tt_pass_seal seal = {open_masked, close_masked, NULL};
    int r = setup(state);
    ((struct world *)*state)->seal = &seal;
    return r;
}

static struct tt_object_ref secret(const char *name)
{
    return world_ref("", "secrets", "shop", name);
}

/* metadata: further members. */
static void create_secret(struct world *world, const char *name, const char *metadata)
{
    char json[512];
    (void)snprintf(json, sizeof json,
                   "{\"metadata\":{\"name\":\"%s\"%s},\"data\":{\"a\":\"Yg==\"}}", name, metadata);
    world_create(world, "v1", "Secret", "shop", json);
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    const struct tt_object_ref ref = secret(name);
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    assert_int_equal(view.item->value.codec, TT_CODEC_SEALED);
    tt_pass_free(pass);
}

static void secrets_go_after_their_owner(void **state)
{
    struct world *world = *state;
    char uid[64];
    char owner[256];
    world_create(world, "v1", "ConfigMap", "shop", "{\"metadata\":{\"name\":\"owner\"}}");
    uid_of(world, config_map("owner"), uid);
    (void)snprintf(owner, sizeof owner,
                   ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                   "\"name\":\"owner\",\"uid\":\"%s\"}]",
                   uid);
    create_secret(world, "child", owner);
    create_secret(world, "free", "");
    world_settle(world);
    assert_true(exists(world, secret("child")));
    world_delete(world, config_map("owner"));
    world_settle(world);
    assert_false(exists(world, secret("child")));
    assert_true(exists(world, secret("free")));
}

static void a_secret_owns_as_others_do(void **state)
{
    struct world *world = *state;
    char uid[64];
    char json[512];
    create_secret(world, "owner", "");
    uid_of(world, secret("owner"), uid);
    (void)snprintf(json, sizeof json,
                   "{\"metadata\":{\"name\":\"child\",\"ownerReferences\":[{\"apiVersion\":\"v1\","
                   "\"kind\":\"Secret\",\"name\":\"owner\",\"uid\":\"%s\"}]}}",
                   uid);
    world_create(world, "v1", "ConfigMap", "shop", json);
    world_settle(world);
    assert_true(exists(world, config_map("child")));
    world_delete(world, secret("owner"));
    world_settle(world);
    assert_false(exists(world, config_map("child")));
}

static void a_secrets_finalizer_holds_its_namespace(void **state)
{
    struct world *world = *state;
    create_secret(world, "held", ",\"finalizers\":[\"example.com/wait\"]");
    create_secret(world, "free", "");
    world_delete(world, world_ref("", "namespaces", "", "shop"));
    for (int i = 0; i < 3; i++) {
        world->now_ms += 2000;
        world_settle(world);
    }
    assert_false(exists(world, secret("free")));
    assert_true(exists(world, world_ref("", "namespaces", "", "shop")));
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    const struct tt_object_ref ref = secret("held");
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    assert_true(tt_view_is_deleting(&view));
    assert_int_equal(view.item->value.codec, TT_CODEC_SEALED); /* as it was written back */
    assert_true(tt_str_eq_c(tt_view_str(&view, "data.a"), "Yg=="));
    tt_pass_free(pass);
}

/* What an observer opened is gone from its scratch with the next reset. */
static void an_opened_secret_is_overwritten(void **state)
{
    struct world *world = *state;
    create_secret(world, "opened", "");
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    const struct tt_object_ref ref = secret("opened");
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    struct tt_observer observer = {.arena = world->scratch, .seal = world->seal};
    assert_true(tt_observe_mentions(&observer, view.item, "Yg=="));
    size_t used = tt_arena_used(world->scratch);
    tt_arena_reset(world->scratch);
    const char *left = tt_arena_alloc(world->scratch, used);
    assert_non_null(left);
    assert_int_equal(tt_str_find_str(tt_str(left, used), TT_STR("Yg==")), -1);
    tt_pass_free(pass);
}

static bool has_metadata(struct world *world, const struct tt_item *item, const char *name)
{
    struct tt_observer observer = {.arena = world->scratch, .seal = world->seal};
    const struct tt_str names[] = {TT_STR("nothing"), tt_str_c(name)};
    unsigned found = tt_observe_metadata(&observer, item, names, 2);
    assert_int_equal(found & 1u, 0);
    return found != 0;
}

/* Only a member of metadata itself counts, whatever strings and objects hold. */
static void a_member_of_metadata_is_told_from_its_name_elsewhere(void **state)
{
    struct world *world = *state;
    world_create(world, "v1", "ConfigMap", "shop",
                 "{\"metadata\":{\"name\":\"says\",\"annotations\":{\"finalizers\":\"[]\","
                 "\"a\":\"\\\"finalizers\\\":\\\\\",\"ownerReferences\":\"}]\"},"
                 "\"labels\":{\"is\":\"finalizers\"}},\"data\":{\"finalizers\":\"x\"}}");
    world_create(world, "v1", "ConfigMap", "shop",
                 "{\"metadata\":{\"name\":\"has\",\"annotations\":{\"a\":\"\\\"}\\\\\"},"
                 "\"finalizers\":[\"a.b/c\"]}}");
    struct tt_pass *pass = world_pass(world);
    struct tt_view says;
    struct tt_view has;
    const struct tt_object_ref says_ref = config_map("says");
    const struct tt_object_ref has_ref = config_map("has");
    assert_int_equal(tt_pass_get(pass, &says_ref, &says, NULL), 0);
    assert_int_equal(tt_pass_get(pass, &has_ref, &has, NULL), 0);
    assert_false(has_metadata(world, NULL, "finalizers"));
    assert_false(has_metadata(world, says.item, "finalizers"));
    assert_false(has_metadata(world, says.item, "ownerReferences"));
    assert_true(has_metadata(world, says.item, "annotations"));
    assert_true(has_metadata(world, has.item, "finalizers"));
    assert_false(has_metadata(world, has.item, "finalizer"));
    tt_pass_free(pass);
}

static struct tt_object_ref event(const char *name)
{
    return world_ref("", "events", "shop", name);
}

/* times: further members of the Event. */
static void create_event(struct world *world, const char *name, const char *times)
{
    char json[512];
    (void)snprintf(json, sizeof json,
                   "{\"metadata\":{\"name\":\"%s\"},\"involvedObject\":{\"namespace\":\"shop\"}%s}",
                   name, times);
    world_create(world, "v1", "Event", "shop", json);
}

static void see_again(struct tt_object *object)
{
    /* 22:43:20, half an hour after the world began */
    assert_true(tt_json_set_str(object->doc, object->root, "lastTimestamp",
                                TT_STR("2023-11-14T22:43:20Z")));
}

static void events_go_an_hour_after_their_last_time(void **state)
{
    struct world *world = *state;
    create_event(world, "once", "");
    create_event(world, "again", "");
    create_event(world, "future", ",\"lastTimestamp\":\"2033-01-01T00:00:00Z\"");
    world_settle(world);
    world->now_ms += 1800000;
    world_edit(world, event("again"), see_again);
    world_settle(world);
    world->now_ms += 1799000;
    world_settle(world);
    assert_true(exists(world, event("once")));
    world->now_ms += 2000;
    world_settle(world);
    assert_false(exists(world, event("once")));
    assert_false(exists(world, event("future"))); /* nobody lives longer for a wrong clock */
    assert_true(exists(world, event("again")));
    world->now_ms += 1800000;
    world_settle(world);
    assert_false(exists(world, event("again")));
}

/* The leader that plans is behind the server that wrote it and the one that reported it. */
static void an_event_from_a_clock_ahead_lives_its_hour(void **state)
{
    struct world *world = *state;
    const uint64_t now_ms = world->now_ms;
    world->now_ms = now_ms + 60000;
    create_event(world, "ahead", ",\"lastTimestamp\":\"2023-11-14T22:15:20Z\"");
    world->now_ms = now_ms;
    world_settle(world);
    assert_true(exists(world, event("ahead")));
    world->now_ms = now_ms + 3600000; /* its times are in the past by now */
    world_settle(world);
    assert_true(exists(world, event("ahead")));
    world->now_ms = now_ms + 120000 + 3601000;
    world_settle(world);
    assert_false(exists(world, event("ahead")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deleted_namespace_goes_when_it_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(a_finalizer_inside_holds_the_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(dependents_go_after_their_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(an_owner_with_another_uid_is_no_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(foreground_deletion_waits_for_the_dependents, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(orphaned_dependents_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_go_after_their_owner, setup_sealed, teardown),
        cmocka_unit_test_setup_teardown(a_secret_owns_as_others_do, setup_sealed, teardown),
        cmocka_unit_test_setup_teardown(a_secrets_finalizer_holds_its_namespace, setup_sealed,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_opened_secret_is_overwritten, setup_sealed, teardown),
        cmocka_unit_test_setup_teardown(a_member_of_metadata_is_told_from_its_name_elsewhere,
                                        setup_sealed, teardown),
        cmocka_unit_test_setup_teardown(events_go_an_hour_after_their_last_time, setup, teardown),
        cmocka_unit_test_setup_teardown(an_event_from_a_clock_ahead_lives_its_hour, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

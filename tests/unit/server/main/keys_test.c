/* The root key of a server: one for the whole cluster, never a second one by accident. */
#include "server/main/keys.h"

#include <sys/stat.h>

#include "tests/support/store_fixture.h"
#include "tests/unit/server/tls/fixture.h"

struct world {
    struct fixture fixture;
    struct server_options options; /* of a new cluster's only server, by passphrase */
    char passphrase[FIXTURE_PATH_SIZE];
    char data[FIXTURE_PATH_SIZE];
    char salt[FIXTURE_PATH_SIZE]; /* where it is looked for by default */
    char path[FIXTURE_PATH_SIZE];
    struct tt_arena *arena;
};

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    fixture_up(&world->fixture);
    world->options.seal_passphrase = fixture_path(&world->fixture, "passphrase", world->passphrase);
    world->options.data_dir = fixture_path(&world->fixture, "data", world->data);
    world->options.initial_count = 1;
    (void)fixture_path(&world->fixture, "data/seal.salt", world->salt);
    assert_int_equal(
        tt_file_write_atomic(world->passphrase, TT_STR("a long enough phrase\n"), 0600, NULL), 0);
    world->arena = tt_arena_new(4096, 1 << 20);
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    tt_arena_free(world->arena);
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

/* NULL: refused. */
static struct server_keys *open_keys(struct world *world)
{
    struct server_keys *keys = NULL;
    int r = server_keys_new(&world->options, &keys, NULL);
    assert_true((r == TT_OK) == (keys != NULL));
    return keys;
}

static void the_one_server_of_a_new_cluster_makes_its_salt(void **state)
{
    struct world *world = *state;
    struct server_keys *keys = open_keys(world);
    assert_non_null(keys);
    server_keys_free(keys);
    assert_true(tt_path_exists(world->salt));
}

static void a_passphrase_that_others_can_read_is_refused(void **state)
{
    struct world *world = *state;
    assert_int_equal(chmod(world->passphrase, 0640), 0);
    assert_null(open_keys(world));
    assert_int_equal(chmod(world->passphrase, 0400), 0);
    struct server_keys *keys = open_keys(world);
    assert_non_null(keys);
    server_keys_free(keys);
}

static void one_of_several_servers_wants_the_salt_of_all(void **state)
{
    struct world *world = *state;
    world->options.initial_count = 3;
    assert_null(open_keys(world));
    world->options.initial_count = 0; /* --join, or a restart */
    assert_null(open_keys(world));
    assert_false(tt_path_exists(world->salt));
    world->options.seal_salt = fixture_path(&world->fixture, "salt", world->path);
    assert_null(open_keys(world));
    assert_int_equal(tt_seal_salt_create(world->path, NULL), 0);
    struct server_keys *keys = open_keys(world);
    assert_non_null(keys);
    server_keys_free(keys);
}

static void a_lost_salt_is_not_made_anew(void **state)
{
    struct world *world = *state;
    assert_int_equal(
        tt_dir_make(fixture_path(&world->fixture, "data/member", world->path), 0700, NULL), 0);
    assert_null(open_keys(world));
    assert_false(tt_path_exists(world->salt));
}

/* A Secret that was sealed by `keys`, in a store of its own. */
static void put_secret(struct world *world, struct store_fixture *store,
                       const struct server_keys *keys)
{
    static const char json[] = "{\"metadata\":{\"name\":\"s\"}}";
    struct tt_txn_op op = {TT_OP_PUT,
                           TT_STR("o/core/secrets/default/s"),
                           {.codec = TT_CODEC_JSON, .splice = 13, .bytes = tt_str_c(json)}};
    assert_int_equal(tt_value_seal(server_keys_sealer(keys), world->arena, op.key, &op.value, NULL),
                     TT_OK);
    assert_int_equal(op.value.codec, TT_CODEC_SEALED);
    (void)store_fixture_op(store, &op);
}

static void the_plain_text_of_a_sealed_value_is_overwritten(void **state)
{
    static const char json[] = "{\"metadata\":{\"name\":\"s\"}}";
    static const char zeros[sizeof json - 1];
    struct world *world = *state;
    struct server_keys *keys = open_keys(world);
    assert_non_null(keys);
    const char *plain = tt_arena_strndup(world->arena, json, sizeof json - 1);
    struct tt_value value = {
        .codec = TT_CODEC_JSON, .splice = 13, .bytes = tt_str(plain, sizeof json - 1)};
    assert_int_equal(tt_value_seal(server_keys_sealer(keys), world->arena,
                                   TT_STR("o/core/secrets/default/s"), &value, NULL),
                     TT_OK);
    tt_arena_reset(world->arena); /* keeps the chunk: `plain` is still memory of its own */
    assert_memory_equal(plain, zeros, sizeof zeros);
    server_keys_free(keys);
}

static void a_server_notices_that_its_key_is_another_one(void **state)
{
    struct world *world = *state;
    struct store_fixture store;
    struct server_keys *first = open_keys(world);
    world->options.seal_passphrase = NULL;
    struct server_keys *none = open_keys(world);
    world->options.seal_key = fixture_path(&world->fixture, "root", world->path);
    assert_int_equal(tt_seal_root_create(world->path, NULL), 0);
    struct server_keys *other = open_keys(world);
    bool any = true;
    uint64_t missing = 0;
    store_fixture_init(&store);
    TT_AUTO(tt_version) empty = tt_store_version(store.store);
    assert_true(server_keys_fit(other, empty, &any, &missing));
    assert_false(any);
    put_secret(world, &store, first);
    TT_AUTO(tt_version) full = tt_store_version(store.store);
    assert_true(server_keys_fit(first, full, &any, &missing));
    assert_true(any);
    assert_int_equal(missing, 0);
    assert_false(server_keys_fit(other, full, &any, &missing));
    assert_int_not_equal(missing, 0);
    assert_false(server_keys_fit(none, full, &any, &missing));
    tt_version_unref(TT_TAKE(full));
    tt_version_unref(TT_TAKE(empty));
    store_fixture_fini(&store);
    server_keys_free(first);
    server_keys_free(other);
    server_keys_free(none);
}

static void two_root_keys_are_refused(void **state)
{
    (void)state;
    struct server_options options;
    char *argv[] = {(char[]){"--name=s1"},     (char[]){"--data-dir=d"},
                    (char[]){"--cert=c"},      (char[]){"--key=k"},
                    (char[]){"--ca=a"},        (char[]){"--seal-key=r"},
                    (char[]){"--seal-salt=s"}, (char[]){"--seal-passphrase=p"}};
    assert_int_equal(server_options_parse(6, argv, &options, NULL), TT_OK);
    assert_int_equal(server_options_parse(7, argv, &options, NULL), TT_EINVAL);
    assert_int_equal(server_options_parse(8, argv, &options, NULL), TT_EINVAL);
    argv[5] = (char[]){"--seal-passphrase=p"};
    assert_int_equal(server_options_parse(7, argv, &options, NULL), TT_OK);
}

#define KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYS_TEST(the_one_server_of_a_new_cluster_makes_its_salt),
        KEYS_TEST(a_passphrase_that_others_can_read_is_refused),
        KEYS_TEST(one_of_several_servers_wants_the_salt_of_all),
        KEYS_TEST(a_lost_salt_is_not_made_anew),
        KEYS_TEST(the_plain_text_of_a_sealed_value_is_overwritten),
        KEYS_TEST(a_server_notices_that_its_key_is_another_one),
        cmocka_unit_test(two_root_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sealing: what comes back, what must not. */
#include "server/tls/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"

static const struct tt_str NAME = {"/registry/secrets/default/db", 28};
static const struct tt_str PLAIN = {"correct horse battery staple", 28};

struct world {
    char dir[256];
    char path[4][288]; /* two root keys, a salt, spare */
    struct tt_seal_ring *ring;
};

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    const char *base = getenv("TMPDIR");
    char dir[sizeof world->dir];
    (void)snprintf(dir, sizeof dir, "%.200s/tutti-seal-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    memcpy(world->dir, dir, sizeof dir);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(world->path[i], sizeof world->path[i], "%s/%d", dir, i);
    }
    assert_int_equal(tt_seal_root_create(world->path[0], NULL), 0);
    world->ring = tt_seal_ring_new();
    assert_int_equal(tt_seal_ring_add_file(world->ring, world->path[0], NULL), 0);
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    tt_seal_ring_free(world->ring);
    assert_int_equal(tt_dir_remove_tree(world->dir, NULL), 0);
    test_free(world);
    return 0;
}

static void assert_unseals(const struct tt_seal_ring *ring, const struct tt_buf *sealed)
{
    TT_AUTO(tt_secret) plain = NULL;
    assert_int_equal(tt_unseal(ring, NAME, tt_buf_view(sealed), &plain, NULL), 0);
    assert_true(tt_str_eq(tt_secret_reveal(plain), PLAIN));
}

static void a_sealed_value_comes_back_and_hides_the_plain_one(void **state)
{
    struct world *world = *state;
    TT_AUTO_BUF struct tt_buf sealed = {0};
    TT_AUTO_BUF struct tt_buf again = {0};
    assert_int_equal(tt_seal(world->ring, NAME, PLAIN, &sealed, NULL), 0);
    assert_int_equal(sealed.len, PLAIN.len + TT_SEAL_OVERHEAD);
    assert_unseals(world->ring, &sealed);
    assert_true(tt_str_find_str(tt_buf_view(&sealed), PLAIN) < 0);
    assert_int_equal(tt_seal(world->ring, NAME, PLAIN, &again, NULL), 0);
    assert_false(tt_str_eq(tt_buf_view(&sealed), tt_buf_view(&again)));
}

static void empty_and_largest_values_seal(void **state)
{
    struct world *world = *state;
    static char big[TT_SEAL_SIZE_MAX + 1];
    const size_t sizes[] = {0, 1, TT_SEAL_SIZE_MAX};
    for (size_t i = 0; i < 3; i++) {
        TT_AUTO_BUF struct tt_buf sealed = {0};
        TT_AUTO(tt_secret) plain = NULL;
        assert_int_equal(tt_seal(world->ring, NAME, tt_str(big, sizes[i]), &sealed, NULL), 0);
        assert_int_equal(tt_unseal(world->ring, NAME, tt_buf_view(&sealed), &plain, NULL), 0);
        assert_int_equal(tt_secret_reveal(plain).len, sizes[i]);
    }
    TT_AUTO_BUF struct tt_buf sealed = {0};
    assert_int_equal(tt_seal(world->ring, NAME, tt_str(big, sizeof big), &sealed, NULL),
                     TT_ETOOLARGE);
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct world *world = *state;
    TT_AUTO_BUF struct tt_buf sealed = {0};
    assert_int_equal(tt_seal(world->ring, NAME, PLAIN, &sealed, NULL), 0);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        struct tt_secret *plain = NULL;
        sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << (bit % 8)));
        int r = tt_unseal(world->ring, NAME, tt_buf_view(&sealed), &plain, NULL);
        bool in_key_id = bit / 8 >= 8 && bit / 8 < 16;
        assert_int_equal(r, in_key_id ? TT_EUNAVAILABLE : TT_ECORRUPT);
        assert_null(plain);
        sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << (bit % 8)));
    }
    assert_unseals(world->ring, &sealed);
}

static void every_truncation_is_noticed(void **state)
{
    struct world *world = *state;
    TT_AUTO_BUF struct tt_buf sealed = {0};
    assert_int_equal(tt_seal(world->ring, NAME, PLAIN, &sealed, NULL), 0);
    for (size_t len = 0; len < sealed.len; len++) {
        struct tt_secret *plain = NULL;
        assert_int_equal(tt_unseal(world->ring, NAME, tt_str(sealed.ptr, len), &plain, NULL),
                         TT_ECORRUPT);
    }
}

static void a_value_cannot_be_moved_to_another_name(void **state)
{
    struct world *world = *state;
    TT_AUTO_BUF struct tt_buf sealed = {0};
    struct tt_secret *plain = NULL;
    assert_int_equal(tt_seal(world->ring, NAME, PLAIN, &sealed, NULL), 0);
    assert_int_equal(tt_unseal(world->ring, TT_STR("/registry/secrets/other/db"),
                               tt_buf_view(&sealed), &plain, NULL),
                     TT_ECORRUPT);
}

static void rotation_rewraps_and_then_needs_only_the_new_key(void **state)
{
    struct world *world = *state;
    TT_AUTO_BUF struct tt_buf sealed = {0};
    TT_AUTO_BUF struct tt_buf rewrapped = {0};
    struct tt_secret *plain = NULL;
    uint64_t old_id = tt_seal_ring_active_id(world->ring);
    uint64_t id = 0;
    assert_int_equal(tt_seal(world->ring, NAME, PLAIN, &sealed, NULL), 0);
    assert_int_equal(tt_seal_root_create(world->path[1], NULL), 0);
    assert_int_equal(tt_seal_ring_add_file(world->ring, world->path[1], NULL), 0);
    assert_int_not_equal(tt_seal_ring_active_id(world->ring), old_id);
    assert_unseals(world->ring, &sealed); /* the old key still opens */
    assert_int_equal(tt_seal_rewrap(world->ring, NAME, tt_buf_view(&sealed), &rewrapped, NULL), 0);
    assert_true(tt_seal_key_id(tt_buf_view(&rewrapped), &id));
    assert_int_equal(id, tt_seal_ring_active_id(world->ring));
    TT_AUTO(tt_seal_ring) fresh = tt_seal_ring_new();
    assert_int_equal(tt_seal_ring_add_file(fresh, world->path[1], NULL), 0);
    assert_unseals(fresh, &rewrapped);
    assert_int_equal(tt_unseal(fresh, NAME, tt_buf_view(&sealed), &plain, NULL), TT_EUNAVAILABLE);
}

static void a_passphrase_and_its_salt_give_the_same_key_everywhere(void **state)
{
    struct world *world = *state;
    TT_AUTO(tt_secret) passphrase = tt_secret_new(TT_STR("a long enough phrase"));
    TT_AUTO(tt_secret) other = tt_secret_new(TT_STR("another long phrase!"));
    TT_AUTO(tt_secret) shorter = tt_secret_new(TT_STR("short"));
    TT_AUTO(tt_seal_ring) a = tt_seal_ring_new();
    TT_AUTO(tt_seal_ring) b = tt_seal_ring_new();
    TT_AUTO(tt_seal_ring) c = tt_seal_ring_new();
    /* A salt that is made by the way would be another key on each server. */
    assert_int_not_equal(tt_seal_ring_add_passphrase(a, passphrase, world->path[2], NULL), 0);
    assert_false(tt_path_exists(world->path[2]));
    assert_int_equal(tt_seal_salt_create(world->path[2], NULL), 0);
    assert_int_equal(tt_seal_salt_create(world->path[2], NULL), TT_EEXISTS);
    assert_int_equal(tt_seal_ring_add_passphrase(a, passphrase, world->path[2], NULL), 0);
    assert_int_equal(tt_seal_ring_add_passphrase(b, passphrase, world->path[2], NULL), 0);
    assert_int_equal(tt_seal_ring_add_passphrase(c, other, world->path[2], NULL), 0);
    assert_int_equal(tt_seal_ring_active_id(a), tt_seal_ring_active_id(b));
    assert_int_not_equal(tt_seal_ring_active_id(a), tt_seal_ring_active_id(c));
    assert_true(tt_seal_ring_has(a, tt_seal_ring_active_id(b)));
    assert_false(tt_seal_ring_has(a, tt_seal_ring_active_id(c)));
    assert_int_equal(tt_seal_ring_add_passphrase(c, shorter, world->path[2], NULL), TT_EINVALID);
}

static void root_key_files_are_private_and_never_overwritten(void **state)
{
    struct world *world = *state;
    struct stat st;
    assert_int_equal(stat(world->path[0], &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(tt_seal_root_create(world->path[0], NULL), TT_EEXISTS);
    assert_int_equal(chmod(world->path[0], 0640), 0);
    TT_AUTO(tt_seal_ring) ring = tt_seal_ring_new();
    assert_int_equal(tt_seal_ring_add_file(ring, world->path[0], NULL), TT_EFORBIDDEN);
    assert_int_equal(tt_file_write_atomic(world->path[3], TT_STR("abcd"), 0600, NULL), 0);
    assert_int_equal(tt_seal_ring_add_file(ring, world->path[3], NULL), TT_EINVALID);
}

static void without_a_root_key_nothing_is_sealed(void **state)
{
    (void)state;
    TT_AUTO(tt_seal_ring) ring = tt_seal_ring_new();
    TT_AUTO_BUF struct tt_buf sealed = {0};
    assert_int_equal(tt_seal(ring, NAME, PLAIN, &sealed, NULL), TT_EUNAVAILABLE);
    assert_int_equal(tt_seal_ring_active_id(ring), 0);
}

static void taking_a_secret_overwrites_its_source(void **state)
{
    (void)state;
    char text[] = "hunter2 hunter2";
    size_t size = sizeof text - 1;
    TT_AUTO(tt_secret) secret = tt_secret_take(text, size);
    TT_AUTO(tt_secret) same = tt_secret_new(TT_STR("hunter2 hunter2"));
    TT_AUTO(tt_secret) other = tt_secret_new(TT_STR("hunter2 hunter3"));
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(text[i], 0);
    }
    assert_true(tt_secret_equal(secret, same));
    assert_false(tt_secret_equal(secret, other));
}

static void a_hardened_process_leaves_no_core(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(tt_process_harden(NULL), 0);
    assert_int_equal(tt_process_harden(NULL), 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_int_equal(limit.rlim_max, 0);
}

#define SEAL_TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEAL_TEST(a_sealed_value_comes_back_and_hides_the_plain_one),
        SEAL_TEST(empty_and_largest_values_seal),
        SEAL_TEST(every_flipped_bit_is_noticed),
        SEAL_TEST(every_truncation_is_noticed),
        SEAL_TEST(a_value_cannot_be_moved_to_another_name),
        SEAL_TEST(rotation_rewraps_and_then_needs_only_the_new_key),
        SEAL_TEST(a_passphrase_and_its_salt_give_the_same_key_everywhere),
        SEAL_TEST(root_key_files_are_private_and_never_overwritten),
        cmocka_unit_test(without_a_root_key_nothing_is_sealed),
        cmocka_unit_test(taking_a_secret_overwrites_its_source),
        cmocka_unit_test(a_hardened_process_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

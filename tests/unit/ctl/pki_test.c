/* tuttictl pki over files: nothing that cannot be had again is written over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "ctl/command.h"
#include "ctl/pki_files.h"

enum { PATH_SIZE = 512, WORDS_MAX = 12 };

struct pki {
    char dir[PATH_SIZE]; /* temporary; the authority lives there */
};

/* Runs "pki init" or "pki issue" with --dir and these words; the result is its code. */
static int run(const struct pki *pki, const char *name, const char *const *words)
{
    char *argv[WORDS_MAX] = {(char *)(uintptr_t) "--dir", (char *)(uintptr_t)pki->dir};
    int argc = 2;
    for (; *words != NULL; words++) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = (char *)(uintptr_t)*words;
    }
    const struct ctl_command *command = ctl_pki_commands;
    while (command->name != NULL && strcmp(command->name, name) != 0) {
        command++;
    }
    assert_non_null(command->name);
    return command->run(command, argc, argv, NULL);
}
#define INIT(pki, ...)  run(pki, "pki init", (const char *const[]){__VA_ARGS__ NULL})
#define ISSUE(pki, ...) run(pki, "pki issue", (const char *const[]){__VA_ARGS__, NULL})

static int up(void **state)
{
    static struct pki pki;
    const char *base = getenv("TMPDIR");
    (void)snprintf(pki.dir, sizeof pki.dir, "%.480s/tutti-pki-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(pki.dir));
    *state = &pki;
    return INIT(&pki);
}

static int down(void **state)
{
    const struct pki *pki = *state;
    return tt_dir_remove_tree(pki->dir, NULL);
}

static void read_all(const struct pki *pki, const char *name, struct tt_buf *ret)
{
    char path[2 * PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", pki->dir, name);
    assert_int_equal(tt_file_read(path, TT_PKI_PEM_SIZE_MAX, ret, NULL), TT_OK);
}

/* Runs `ISSUE` and says whether the file is what it was. */
static void assert_refused(const struct pki *pki, const char *role, const char *name,
                           const char *file)
{
    TT_AUTO_BUF struct tt_buf before = {0};
    TT_AUTO_BUF struct tt_buf after = {0};
    read_all(pki, file, &before);
    assert_int_equal(ISSUE(pki, role, name), TT_EEXISTS);
    read_all(pki, file, &after);
    assert_true(tt_str_eq(tt_buf_view(&before), tt_buf_view(&after)));
}

static void the_authority_is_not_written_over(void **state)
{
    assert_refused(*state, "user", "ca", "ca.key");
    assert_refused(*state, "server", "ca", "ca.crt");
    assert_int_equal(ISSUE(*state, "user", "alice"), TT_OK);
}

static void another_role_of_the_name_keeps_its_key(void **state)
{
    assert_int_equal(ISSUE(*state, "server", "s1"), TT_OK);
    assert_refused(*state, "user", "s1", "s1.key");
}

static void a_key_without_a_certificate_stays(void **state)
{
    const struct pki *pki = *state;
    char path[2 * PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/lost.key", pki->dir);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("x"), 0600, NULL), TT_OK);
    assert_refused(pki, "user", "lost", "lost.key");
}

static void the_same_identity_gets_a_new_pair(void **state)
{
    TT_AUTO_BUF struct tt_buf first = {0};
    TT_AUTO_BUF struct tt_buf second = {0};
    assert_int_equal(ISSUE(*state, "agent", "n1"), TT_OK);
    read_all(*state, "n1.crt", &first);
    assert_int_equal(ISSUE(*state, "agent", "n1"), TT_OK);
    read_all(*state, "n1.crt", &second);
    assert_false(tt_str_eq(tt_buf_view(&first), tt_buf_view(&second)));
}

static void a_joining_machine_does_not_replace_an_authority(void **state)
{
    const struct pki *pki = *state;
    TT_AUTO_BUF struct tt_buf pem = {0};
    char own[TT_PKI_FINGERPRINT_SIZE];
    char other[TT_PKI_FINGERPRINT_SIZE];
    read_all(pki, "ca.crt", &pem);
    assert_int_equal(tt_pki_fingerprint(tt_buf_view(&pem), own, NULL), TT_OK);
    memcpy(other, own, sizeof other);
    other[0] = own[0] == '0' ? '1' : '0';
    assert_int_equal(ctl_pki_may_trust(pki->dir, own, NULL), TT_OK);
    assert_int_equal(ctl_pki_may_trust(pki->dir, other, NULL), TT_EEXISTS);
    assert_int_equal(ctl_pki_may_trust("/nonexistent", other, NULL), TT_OK);
}

static void validities_have_bounds(void **state)
{
    assert_int_equal(ISSUE(*state, "user", "bob", "--hours", "0"), TT_EINVAL);
    assert_int_equal(ISSUE(*state, "user", "bob", "--hours", "999999999"), TT_EINVAL);
    assert_int_equal(ISSUE(*state, "user", "bob", "--hours", "5124095576030432"), TT_EINVAL);
    assert_int_equal(INIT(*state, "--days", "0", ), TT_EINVAL);
    assert_int_equal(INIT(*state, "--days", "99999999", ), TT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_authority_is_not_written_over, up, down),
        cmocka_unit_test_setup_teardown(another_role_of_the_name_keeps_its_key, up, down),
        cmocka_unit_test_setup_teardown(a_key_without_a_certificate_stays, up, down),
        cmocka_unit_test_setup_teardown(the_same_identity_gets_a_new_pair, up, down),
        cmocka_unit_test_setup_teardown(a_joining_machine_does_not_replace_an_authority, up, down),
        cmocka_unit_test_setup_teardown(validities_have_bounds, up, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Volumes with secrets lie in memory, change as a whole and leave nothing behind; jobs on files run
 * one at a time for each pod. Mounts need root, a mount namespace of the test's own and a disk:
 * without them those tests are skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/memory_fs.h"
#include "agent/volumes.h"
#include "base/file.h"

static const char pod_json[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"shop\",\"uid\":\"u-1\"},\"spec\":{"
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"volumeMounts\":[{\"name\":\"keys\","
    "\"mountPath\":\"/keys\"}]}],\"volumes\":["
    "{\"name\":\"keys\",\"secret\":{\"secretName\":\"s\",\"defaultMode\":256}},"
    "{\"name\":\"both\",\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"m\"}},"
    "{\"secret\":{\"name\":\"s\"}}]}},"
    "{\"name\":\"plain\",\"configMap\":{\"name\":\"m\"}},"
    "{\"name\":\"fast\",\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":\"1Mi\"}},"
    "{\"name\":\"empty\",\"emptyDir\":{}}]}}";

struct fixture {
    char root[64];
    struct pod *pod;
    struct tt_arena *arena;
    const char *secret; /* base64 of what the Secret holds; NULL: not known yet */
};

static enum ref_state get(void *ctx, bool is_secret, struct tt_str ns, struct tt_str name,
                          yyjson_val **ret_object)
{
    struct fixture *f = ctx;
    yyjson_doc *doc = NULL;
    char *json;
    (void)name; /* one of each */
    assert_true(tt_str_eq_c(ns, "shop"));
    if (is_secret && f->secret == NULL) {
        return REF_UNKNOWN;
    }
    json = is_secret ? tt_arena_printf(f->arena, "{\"data\":{\"token\":\"%s\"}}", f->secret)
                     : tt_arena_printf(f->arena, "{\"data\":{\"word\":\"plain\"}}");
    assert_non_null(json);
    assert_int_equal(tt_json_read(f->arena, tt_str_c(json), &doc, NULL), TT_OK);
    *ret_object = yyjson_doc_get_root(doc);
    return REF_PRESENT;
}

/* What lies in memory already gets no mount: a disk is needed, which /tmp is not everywhere. */
static bool is_on_a_disk(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC;
}

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    const char *base = !is_on_a_disk("/tmp") && is_on_a_disk("/var/tmp") ? "/var/tmp" : "/tmp";
    (void)snprintf(f->root, sizeof f->root, "%s/tutti-volumes-XXXXXX", base);
    assert_non_null(mkdtemp(f->root));
    f->arena = tt_arena_new(1 << 16, 1 << 20);
    assert_int_equal(pod_new(tt_str_c(pod_json), &f->pod, NULL), TT_OK);
    f->secret = "b25l"; /* one */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    TT_IGNORE(volumes_remove(f->root, "u-1", NULL));
    TT_IGNORE(tt_dir_remove_tree(f->root, NULL));
    pod_unref(f->pod);
    tt_arena_free(f->arena);
    tt_free(f);
    return 0;
}

static int prepare(struct fixture *f, struct tt_err *err)
{
    const struct env_context context = {
        .pod = f->pod, .refs = {get, f}, .node_name = "n1", .host_ip = "127.0.0.1", .pod_ip = ""};
    TT_AUTO(volumes) plan = NULL;
    int r = volumes_plan(f->root, &context, &plan, err);
    return r == TT_OK ? volumes_apply(plan, err) : r;
}

static void path_of(const struct fixture *f, const char *below, char out[256])
{
    (void)snprintf(out, 256, "%s/pods/u-1/volumes/%s", f->root, below);
}

static void assert_holds(const struct fixture *f, const char *below, const char *text)
{
    char path[256];
    struct tt_buf bytes;
    path_of(f, below, path);
    assert_int_equal(tt_file_read(path, 1 << 16, &bytes, NULL), TT_OK);
    assert_true(tt_str_eq_c(tt_buf_view(&bytes), text));
    tt_buf_fini(&bytes);
}

static bool in_memory(const struct fixture *f, const char *below)
{
    char path[256];
    struct statfs fs;
    path_of(f, below, path);
    assert_int_equal(statfs(path, &fs), 0);
    return fs.f_type == TMPFS_MAGIC;
}

static void needs_mounts(const struct fixture *f)
{
    if (!is_on_a_disk(f->root)) {
        print_message("skipped: /tmp and /var/tmp lie in memory\n");
        skip();
    }
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("skipped: no mount namespace of the test's own\n");
        skip();
    }
}

static void secrets_lie_in_memory(void **state)
{
    struct fixture *f = *state;
    struct statvfs fs;
    struct stat st;
    char path[256];
    needs_mounts(f);
    assert_int_equal(prepare(f, NULL), TT_OK);
    assert_true(in_memory(f, "keys"));
    assert_true(in_memory(f, "both"));
    assert_true(in_memory(f, "fast"));
    assert_false(in_memory(f, "plain"));
    assert_false(in_memory(f, "empty"));
    assert_holds(f, "keys/token", "one");
    assert_holds(f, "both/token", "one");
    assert_holds(f, "both/word", "plain");
    path_of(f, "keys/token", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    assert_int_equal(statvfs(path, &fs), 0);
    assert_true((fs.f_flag & ST_NOEXEC) && (fs.f_flag & ST_NOSUID) && (fs.f_flag & ST_NODEV));
    path_of(f, "fast", path);
    assert_int_equal(statvfs(path, &fs), 0);
    assert_int_equal(fs.f_blocks * fs.f_frsize, 1 << 20);
    assert_false(fs.f_flag & ST_NOEXEC);
}

static void a_changed_secret_replaces_the_old_in_the_same_mount(void **state)
{
    struct fixture *f = *state;
    struct stat before;
    struct stat after;
    char path[256];
    needs_mounts(f);
    path_of(f, "keys", path);
    assert_int_equal(prepare(f, NULL), TT_OK);
    assert_int_equal(stat(path, &before), 0);
    f->secret = "dHdv"; /* two */
    assert_int_equal(prepare(f, NULL), TT_OK);
    assert_holds(f, "keys/token", "two");
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_dev == after.st_dev); /* containers have this mount */
    f->secret = NULL;                           /* the servers are away */
    assert_int_equal(prepare(f, NULL), TT_OK);
    assert_holds(f, "keys/token", "two");
}

static void a_secret_that_was_on_a_disk_is_taken_away(void **state)
{
    struct fixture *f = *state;
    char path[256];
    needs_mounts(f);
    path_of(f, "keys", path);
    assert_int_equal(tt_dir_make(path, 0755, NULL), TT_OK);
    path_of(f, "keys/old", path);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("leak"), 0600, NULL), TT_OK);
    assert_int_equal(prepare(f, NULL), TT_OK);
    path_of(f, "keys", path);
    assert_int_equal(umount(path), 0); /* below the mount there is nothing */
    path_of(f, "keys/old", path);
    assert_false(tt_path_exists(path));
}

static void removal_takes_mounts_and_files(void **state)
{
    struct fixture *f = *state;
    char path[256];
    needs_mounts(f);
    assert_int_equal(prepare(f, NULL), TT_OK);
    path_of(f, "keys", path);
    const struct memory_fs_options more = {.mode = 0700};
    assert_int_equal(mount("tmpfs", path, "tmpfs", 0, NULL), 0); /* a second layer */
    assert_int_equal(memory_fs_mount(path, &more, NULL), TT_OK);
    assert_int_equal(volumes_remove(f->root, "u-1", NULL), TT_OK);
    (void)snprintf(path, sizeof path, "%s/pods/u-1", f->root);
    assert_false(tt_path_exists(path));
    assert_int_equal(volumes_remove(f->root, "u-1", NULL), TT_OK); /* absent is fine */
}

static void an_unknown_secret_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct tt_err err;
    tt_err_init(&err);
    f->secret = NULL;
    assert_int_equal(prepare(f, &err), TT_EBUSY);
    assert_non_null(strstr(tt_err_cause(&err), "secret \"s\" is not known yet"));
}

/* ---- jobs ---- */

/* As many pods as jobs run at a time; each pod's jobs are given one after the other. */
enum { PODS = 3, JOBS_PER_POD = 4, JOBS = PODS * JOBS_PER_POD };

struct jobs {
    struct tt_loop *loop;
    struct files files;
    struct files_job job[JOBS];
    int order[PODS]; /* the next one expected */
    size_t done;
    pthread_barrier_t together; /* one job of each pod */
    pthread_mutex_t lock;       /* guards inside, overtaken */
    int inside[PODS];           /* jobs running now */
    bool overtaken;             /* two of one pod ran at the same time */
};

static int fail_odd(struct files_job *job, struct tt_err *err)
{
    struct jobs *jobs = job->ctx;
    int *inside = &jobs->inside[(job - jobs->job) / JOBS_PER_POD];
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->overtaken = jobs->overtaken || ++*inside > 1;
    (void)pthread_mutex_unlock(&jobs->lock);
    (void)pthread_barrier_wait(&jobs->together); /* whatever may run now does run now */
    (void)pthread_mutex_lock(&jobs->lock);
    --*inside;
    (void)pthread_mutex_unlock(&jobs->lock);
    return (job - jobs->job) % 2 == 0 ? TT_OK : TT_FAIL(err, TT_EIO, "odd");
}

static void job_done(struct files_job *job, const struct tt_err *err)
{
    struct jobs *jobs = job->ctx;
    int number = (int)(job - jobs->job);
    assert_int_equal(number % JOBS_PER_POD, jobs->order[number / JOBS_PER_POD]++);
    assert_int_equal(err != NULL, number % 2);
    if (++jobs->done == JOBS) {
        assert_true(files_idle(&jobs->files));
        tt_loop_stop(jobs->loop);
    }
}

static void submit(void *ctx)
{
    struct jobs *jobs = ctx;
    files_init(&jobs->files, jobs->loop);
    for (int i = 0; i < JOBS; i++) {
        jobs->job[i] = (struct files_job){.work = fail_odd, .done = job_done, .ctx = jobs};
        (void)snprintf(jobs->job[i].pod, sizeof jobs->job[i].pod, "pod-%d", i / JOBS_PER_POD);
        files_run(&jobs->files, &jobs->job[i]);
    }
    assert_false(files_idle(&jobs->files));
    assert_int_equal(jobs->done, 0); /* never inside */
}

static void jobs_of_a_pod_keep_their_order(void **state)
{
    (void)state;
    struct jobs *jobs = TT_NEW(struct jobs);
    assert_int_equal(pthread_barrier_init(&jobs->together, NULL, PODS), 0);
    assert_int_equal(pthread_mutex_init(&jobs->lock, NULL), 0);
    const struct tt_loop_config config = {
        .name = "test", .mailbox_max = 16, .on_start = submit, .ctx = jobs};
    jobs->loop = tt_loop_new(&config, NULL);
    tt_loop_run_here(jobs->loop);
    assert_int_equal(jobs->done, JOBS);
    assert_false(jobs->overtaken);
    tt_loop_free(jobs->loop);
    (void)pthread_barrier_destroy(&jobs->together);
    (void)pthread_mutex_destroy(&jobs->lock);
    tt_free(jobs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(secrets_lie_in_memory),
        TEST(a_changed_secret_replaces_the_old_in_the_same_mount),
        TEST(a_secret_that_was_on_a_disk_is_taken_away),
        TEST(removal_takes_mounts_and_files),
        TEST(an_unknown_secret_is_waited_for),
        cmocka_unit_test(jobs_of_a_pod_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

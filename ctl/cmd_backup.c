/* tuttictl cluster backup, verify, restore, recover.
 *
 * A backup streams a linearizable version of all objects into FILE.part, is checked on the way and
 * hashed, synced, and then renamed: what is called FILE is complete. restore and recover work on a
 * data directory of a server that is not running, which is the daemon's business: they run tuttid,
 * from beside this program or from the path. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "api/json/json.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "ctl/backup_file.h"
#include "ctl/output.h"
#include "ctl/session.h"

enum { HASH_SIZE = 32, PATH_SIZE = 4096, EXEC_ARGS_MAX = 260, PROGRESS_MS = 1000 };

struct backup {
    const char *path;               /* FILE as given; there only at the end */
    char *part;                     /* "PATH.part" */
    int fd;                         /* of part, owned; -1: not open */
    EVP_MD_CTX *hash;               /* owned; SHA-256 of all but the trailer */
    struct ctl_stream_check *check; /* owned; of the server's stream */
    uint64_t told_ms;               /* when progress was shown last */
    struct tt_err err;              /* of a write or check, on the client's thread */
    struct tt_buf header;           /* owned; its line of JSON */
};

static int write_all(struct backup *backup, struct tt_str bytes, struct tt_err *err)
{
    while (bytes.len > 0) {
        ssize_t size = write(backup->fd, bytes.ptr, bytes.len);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return TT_FAIL_ERRNO(err, errno, "write %s", backup->part);
        }
        bytes = tt_str_skip(bytes, (size_t)size);
    }
    return TT_OK;
}

static int add(struct backup *backup, struct tt_str bytes, struct tt_err *err)
{
    if (EVP_DigestUpdate(backup->hash, bytes.ptr, bytes.len) != 1) {
        return TT_FAIL(err, TT_EINTERNAL, "SHA-256 failed");
    }
    return write_all(backup, bytes, err);
}

static void show_progress(struct backup *backup)
{
    uint64_t now_ms = tt_clock_ms(tt_clock_real());
    struct ctl_stream_facts facts;
    if (!ctl_is_interactive() || now_ms - backup->told_ms < PROGRESS_MS) {
        return;
    }
    backup->told_ms = now_ms;
    ctl_stream_check_facts(backup->check, &facts);
    (void)fprintf(stderr, "%llu MiB\n", (unsigned long long)(facts.size >> 20));
}

static bool take_bytes(void *ctx, struct tt_str bytes)
{
    struct backup *backup = ctx;
    int r = ctl_stream_check_feed(backup->check, bytes, &backup->err);
    if (r == TT_OK) {
        r = add(backup, bytes, &backup->err);
    }
    show_progress(backup);
    return r == TT_OK;
}

/* What a restore needs to know besides the objects. */
static int add_header(struct backup *backup, struct ctl_session *session, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    struct tt_buf *text = &backup->header;
    char created[TT_TIME_TEXT_SIZE];
    int r = ctl_get(session, TT_STR("/tutti/v1/cluster"), &answer, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    size_t size = tt_time_format(tt_clock_wall_ms(tt_clock_real()), created);
    struct tt_json_writer w;
    tt_json_begin(&w, text);
    tt_json_object(&w, NULL);
    tt_json_str(&w, "clusterId", tt_json_iget_str(root, "clusterId"));
    tt_json_i64(&w, "term", tt_json_iget_i64(root, "term", 0));
    tt_json_str(&w, "created", tt_str(created, size));
    tt_json_object_end(&w);
    tt_buf_char(text, '\n');
    r = add(backup, TT_STR(CTL_BACKUP_MAGIC), err);
    return r == TT_OK ? add(backup, tt_buf_view(text), err) : r;
}

static int add_trailer(struct backup *backup, struct tt_err *err)
{
    uint8_t hash[HASH_SIZE];
    char hex[2 * HASH_SIZE + 1];
    char trailer[CTL_BACKUP_TRAILER_SIZE + 1];
    if (EVP_DigestFinal_ex(backup->hash, hash, NULL) != 1) {
        return TT_FAIL(err, TT_EINTERNAL, "SHA-256 failed");
    }
    (void)tt_hex_encode(hash, sizeof hash, hex); /* fixed size */
    int size = snprintf(trailer, sizeof trailer, "\nsha256 %s\n", hex);
    TT_ASSERT(size == CTL_BACKUP_TRAILER_SIZE);
    return write_all(backup, tt_str(trailer, (size_t)size), err);
}

static int stream(struct backup *backup, struct ctl_session *session, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    const struct ctl_request request = {.method = "GET",
                                        .path = TT_STR("/tutti/v1/cluster/backup"),
                                        .accept = "application/octet-stream",
                                        .timeout_ms = UINT64_MAX,
                                        .data = take_bytes,
                                        .ctx = backup};
    tt_err_init(&backup->err);
    int r = ctl_send(session, &request, &answer, err);
    if (backup->err.code != TT_OK) {
        *err = backup->err;
        return backup->err.code;
    }
    return r == TT_OK ? ctl_stream_check_end(backup->check, err) : r;
}

static int finish(struct backup *backup, struct tt_err *err)
{
    if (fsync(backup->fd) != 0) {
        return TT_FAIL_ERRNO(err, errno, "sync %s", backup->part);
    }
    if (rename(backup->part, backup->path) != 0) {
        return TT_FAIL_ERRNO(err, errno, "rename %s", backup->part);
    }
    const char *slash = strrchr(backup->path, '/');
    TT_AUTO_FREE char *dir = slash != NULL && slash != backup->path
                                 ? tt_xstrndup(backup->path, (size_t)(slash - backup->path))
                                 : tt_xstrdup(slash != NULL ? "/" : ".");
    return tt_dir_sync(dir, err);
}

static int take(struct backup *backup, struct ctl_session *session, struct tt_err *err)
{
    backup->fd = open(backup->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (backup->fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open %s", backup->part);
    }
    backup->hash = EVP_MD_CTX_new();
    backup->check = ctl_stream_check_new();
    if (backup->hash == NULL || EVP_DigestInit_ex(backup->hash, EVP_sha256(), NULL) != 1) {
        return TT_FAIL(err, TT_EINTERNAL, "SHA-256 is not available");
    }
    int r = add_header(backup, session, err);
    if (r == TT_OK) {
        r = stream(backup, session, err);
    }
    if (r == TT_OK) {
        r = add_trailer(backup, err);
    }
    return r == TT_OK ? finish(backup, err) : r;
}

/* "FILE: complete; revision 12 of cluster c1, taken 2026-…: 34 objects and records, 5678 bytes".
 * The revision is that of the objects in it. */
static void print_facts(const char *path, const char *said, const struct ctl_stream_facts *facts,
                        struct tt_str header)
{
    yyjson_doc *doc = yyjson_read(header.ptr, header.len, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *root = yyjson_doc_get_root(doc);
    ctl_print("%s: %s; revision %llu of cluster %.*s, taken %.*s: %llu objects and records, "
              "%llu bytes\n",
              path, said, (unsigned long long)facts->revision,
              TT_STR_ARG(tt_json_iget_str(root, "clusterId")),
              TT_STR_ARG(tt_json_iget_str(root, "created")), (unsigned long long)facts->row_count,
              (unsigned long long)facts->size);
    yyjson_doc_free(doc);
}

static int run_backup(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_common common = {.kubeconfig = NULL};
    struct backup backup = {.fd = -1};
    const struct tt_option options[] = {CTL_COMMON_OPTIONS(&common)};
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count != 1) {
        return TT_FAIL(err, TT_EINVAL, "give one FILE to write");
    }
    TT_AUTO(ctl_session) session = NULL;
    tt_buf_init(&backup.header, 4096);
    backup.path = args.words[0];
    backup.part = tt_xasprintf("%s.part", backup.path);
    r = ctl_session_open(&common, &session, err);
    if (r == TT_OK) {
        r = take(&backup, session, err);
    }
    if (r == TT_OK) {
        struct ctl_stream_facts facts;
        ctl_stream_check_facts(backup.check, &facts);
        print_facts(backup.path, "written", &facts, tt_buf_view(&backup.header));
    } else if (backup.fd >= 0) {
        (void)unlink(backup.part); /* the error that counts is the first */
    }
    if (backup.fd >= 0) {
        (void)close(backup.fd); /* synced above, or given up */
    }
    EVP_MD_CTX_free(backup.hash);
    ctl_stream_check_free(backup.check);
    tt_buf_fini(&backup.header);
    tt_free(backup.part);
    return r;
}

static int run_verify(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_args args = {self, NULL, 0, argc, argv, {NULL}, 0, false};
    struct ctl_stream_facts facts = {0};
    TT_AUTO_BUF struct tt_buf header;
    tt_buf_init(&header, 4096);
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count != 1) {
        return TT_FAIL(err, TT_EINVAL, "give one FILE");
    }
    r = ctl_backup_verify(args.words[0], &facts, &header, err);
    if (r == TT_OK) {
        print_facts(args.words[0], "complete and undamaged", &facts, tt_buf_view(&header));
    }
    return r;
}

/* ---- offline ---- */

/* Replaces this process by `tuttid VERB …`; returns only when that fails. */
static int exec_tuttid(const char *verb, int argc, char **argv, struct tt_err *err)
{
    char path[PATH_SIZE];
    char *arguments[EXEC_ARGS_MAX];
    char name[] = "tuttid";
    TT_AUTO_FREE char *word = tt_xstrdup(verb);
    if (argc > EXEC_ARGS_MAX - 3) {
        return TT_FAIL(err, TT_EINVAL, "too many arguments");
    }
    arguments[0] = name;
    arguments[1] = word;
    for (int i = 0; i < argc; i++) {
        arguments[2 + i] = argv[i];
    }
    arguments[2 + argc] = NULL;
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    if (size > 0) {
        path[size] = '\0';
        char *slash = strrchr(path, '/');
        memcpy(slash != NULL ? slash + 1 : path, name, sizeof name);
        (void)execv(path, arguments); /* not there: the one in the path */
    }
    (void)execvp(name, arguments);
    return TT_FAIL_ERRNO(err, errno, "run tuttid %s", verb);
}

static int run_restore(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    (void)self;
    return exec_tuttid("restore", argc, argv, err);
}

static int run_recover(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    (void)self;
    return exec_tuttid("recover", argc, argv, err);
}

const struct ctl_command ctl_backup_commands[] = {
    {"cluster backup", "FILE", "Writes all objects into a file that is checked on the way.",
     "Secrets in it are sealed: keep seal.key (and the authority's ca.key) elsewhere.\n\n"
     "Examples:\n"
     "  tuttictl cluster backup /backup/tutti-monday",
     run_backup},
    {"cluster verify", "FILE", "Checks a backup, without a cluster.",
     "Examples:\n"
     "  tuttictl cluster verify /backup/tutti-monday",
     run_verify},
    {"cluster restore", "--from FILE --data-dir DIR --name NAME --peer-address HOST:PORT",
     "Makes the data directory of a new cluster's first server (runs tuttid restore).",
     "docs/ops/backup.md has the whole way.", run_restore},
    {"cluster recover", "--data-dir DIR",
     "After a lost majority: one server goes on alone (runs tuttid recover).",
     "docs/ops/recovery.md has the whole way.", run_recover},
    {NULL, NULL, NULL, NULL, NULL},
};

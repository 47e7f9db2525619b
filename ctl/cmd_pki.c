/* tuttictl pki: the cluster's certificate authority and the certificates it gives, from files.
 *
 * A PKI directory holds ca.crt, ca.key, seal.key (the root key that seals Secrets), seal.salt (for
 * a passphrase in its stead) and, for each certificate issued there, NAME.crt and NAME.key. Nothing
 * here talks to a server. */
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/pki_files.h"
#include "server/tls/pki.h"
#include "server/tls/seal.h"

enum {
    PATH_SIZE = 1024,
    NAME_RESERVE = 160,
    CA_DAYS_DEFAULT = 3650,
    CA_DAYS_MAX = 36500,
    USER_DAYS_DEFAULT = 365,
    HOURS_MAX = CA_DAYS_MAX * 24,
};

struct paths {
    char ca_cert[PATH_SIZE];   /* DIR/ca.crt */
    char ca_key[PATH_SIZE];    /* DIR/ca.key */
    char seal_key[PATH_SIZE];  /* DIR/seal.key */
    char seal_salt[PATH_SIZE]; /* DIR/seal.salt, the longest of them */
};

static int fill_paths(const char *dir, struct paths *paths, struct tt_err *err)
{
    int longest = snprintf(paths->seal_salt, PATH_SIZE, "%s/seal.salt", dir);
    (void)snprintf(paths->seal_key, PATH_SIZE, "%s/seal.key", dir);
    (void)snprintf(paths->ca_cert, PATH_SIZE, "%s/ca.crt", dir);
    (void)snprintf(paths->ca_key, PATH_SIZE, "%s/ca.key", dir);
    if (longest < 0 || longest >= PATH_SIZE - NAME_RESERVE) {
        return TT_FAIL(err, TT_EINVAL, "--dir: the path is too long");
    }
    return TT_OK;
}

static uint64_t now_ms(void)
{
    return tt_clock_wall_ms(tt_clock_real());
}

static int make_authority(const struct paths *paths, const char *cluster, uint64_t days,
                          struct tt_err *err)
{
    if (tt_path_exists(paths->ca_cert) || tt_path_exists(paths->ca_key)) {
        return TT_FAIL(err, TT_EEXISTS,
                       "%s is there already: a new authority would cut off every certificate it "
                       "gave; remove it by hand if that is meant",
                       paths->ca_cert);
    }
    TT_AUTO(tt_pki_ca) ca = NULL;
    int r = tt_pki_ca_new(cluster, now_ms(), days * 86400u, &ca, err);
    return r != TT_OK ? r : tt_pki_ca_save(ca, paths->ca_cert, paths->ca_key, err);
}

static int run_init(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    const char *dir = "pki";
    const char *cluster = "tutti";
    uint64_t days = CA_DAYS_DEFAULT;
    const struct tt_option options[] = {
        {"dir", 'd', TT_OPTION_STRING, &dir, "DIR", "where to keep it [pki]"},
        {"cluster", 0, TT_OPTION_STRING, &cluster, "NAME", "the cluster's trust domain [tutti]"},
        {"days", 0, TT_OPTION_U64, &days, "N", "validity of the authority [3650]"},
    };
    struct ctl_args args = {self, options, 3, argc, argv, {NULL}, 0, false};
    struct paths paths = {.ca_cert = ""};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count > 0) {
        return TT_FAIL(err, TT_EINVAL, "\"%s\": pki init takes options only", args.words[0]);
    }
    if (days == 0 || days > CA_DAYS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "--days: 1 to %d", CA_DAYS_MAX);
    }
    r = fill_paths(dir, &paths, err);
    if (r == TT_OK) {
        r = tt_dir_make(dir, 0700, err);
    }
    if (r == TT_OK) {
        r = make_authority(&paths, cluster, days, err);
    }
    if (r == TT_OK && !tt_path_exists(paths.seal_key)) {
        r = tt_seal_root_create(paths.seal_key, err);
    }
    if (r == TT_OK && !tt_path_exists(paths.seal_salt)) {
        r = tt_seal_salt_create(paths.seal_salt, err);
    }
    if (r == TT_OK) {
        ctl_print("cluster %s: authority in %s (keep ca.key and seal.key safe)\n"
                  "next: tuttictl pki issue --dir %s server NAME\n",
                  cluster, paths.ca_cert, dir);
    }
    return r;
}

static bool parse_role(const char *text, enum tt_role *ret_role)
{
    const enum tt_role roles[] = {TT_IDENTITY_SERVER, TT_IDENTITY_AGENT, TT_IDENTITY_USER};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(text, tt_role_name(roles[i])) == 0) {
            *ret_role = roles[i];
            return true;
        }
    }
    return false;
}

/* What `pki issue` was told. */
struct issue {
    const char *dir;    /* the PKI directory, with the authority */
    const char *out;    /* NULL: the PKI directory */
    const char *hosts;  /* with commas; NULL: none (users) */
    const char *groups; /* of a user, with commas; NULL: none */
    uint64_t hours;     /* of validity, 1 to HOURS_MAX; UINT64_MAX: not given */
    enum tt_role role;  /* server, agent or user */
    const char *name;   /* in the identity, and of its files */
};

static int issue(const struct issue *issue, struct tt_err *err)
{
    struct paths paths = {.ca_cert = ""};
    char cert[PATH_SIZE];
    char key[PATH_SIZE];
    const char *out = issue->out != NULL ? issue->out : issue->dir;
    int r = fill_paths(issue->dir, &paths, err);
    int size = snprintf(cert, sizeof cert, "%s/%s.crt", out, issue->name);
    (void)snprintf(key, sizeof key, "%s/%s.key", out, issue->name);
    if (r == TT_OK && (size < 0 || (size_t)size >= sizeof cert)) {
        r = TT_FAIL(err, TT_EINVAL, "--out: the path is too long");
    }
    TT_AUTO(tt_pki_ca) ca = NULL;
    if (r == TT_OK) {
        r = tt_pki_ca_load(paths.ca_cert, paths.ca_key, &ca, err);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "no usable authority in %s (tuttictl pki init makes one)",
                       issue->dir);
    }
    const struct tt_pki_subject subject = {.role = issue->role,
                                           .name = issue->name,
                                           .hosts = issue->hosts,
                                           .groups = issue->groups,
                                           .validity_s = issue->hours * 3600u};
    r = tt_dir_make(out, 0700, err);
    if (r == TT_OK) {
        r = ctl_pki_may_write(out, issue->role, issue->name, err);
    }
    if (r == TT_OK) {
        r = tt_pki_issue_files(ca, &subject, now_ms(), cert, key, err);
    }
    if (r == TT_OK) {
        ctl_print("%s\n", cert);
    }
    return r;
}

static int run_issue(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct issue what = {.dir = "pki", .hours = UINT64_MAX};
    const struct tt_option options[] = {
        {"dir", 'd', TT_OPTION_STRING, &what.dir, "DIR", "the PKI directory [pki]"},
        {"out", 'o', TT_OPTION_STRING, &what.out, "DIR", "where to write [that of --dir]"},
        {"hosts", 0, TT_OPTION_STRING, &what.hosts, "LIST",
         "DNS names and addresses of a server or agent [localhost,127.0.0.1]"},
        {"groups", 0, TT_OPTION_STRING, &what.groups, "LIST",
         "groups of a user; tutti:admins may do everything"},
        {"hours", 0, TT_OPTION_U64, &what.hours, "N", "validity [24; users: 8760]"},
    };
    struct ctl_args args = {self, options, 5, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count != 2 || !parse_role(args.words[0], &what.role)) {
        return TT_FAIL(err, TT_EINVAL, "give a role and a name: pki issue server|agent|user NAME");
    }
    what.name = args.words[1];
    if (what.hours == UINT64_MAX) {
        what.hours = what.role == TT_IDENTITY_USER ? USER_DAYS_DEFAULT * 24 : 24;
    }
    if (what.hours == 0 || what.hours > HOURS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "--hours: 1 to %d", HOURS_MAX);
    }
    if (what.hosts == NULL && what.role != TT_IDENTITY_USER) {
        what.hosts = "localhost,127.0.0.1";
    }
    return issue(&what, err);
}

const struct ctl_command ctl_pki_commands[] = {
    {"pki init", "[--dir DIR] [--cluster NAME]",
     "Makes a certificate authority and the root key that seals Secrets.", NULL, run_init},
    {"pki issue", "server|agent|user NAME [OPTIONS]",
     "Issues a certificate and its key as NAME.crt and NAME.key.",
     "Examples:\n"
     "  tuttictl pki issue server s1 --hosts 10.0.0.1,localhost\n"
     "  tuttictl pki issue user alice --groups tutti:admins",
     run_issue},
    {NULL, NULL, NULL, NULL, NULL},
};

/* A key that is overwritten is gone, and an authority's takes all its certificates along: looked at
 * before anything is made, and before a token is used up. */
#include "ctl/pki_files.h"

#include "base/file.h"

static int read_cert(const char *path, struct tt_buf *ret_pem, struct tt_err *err)
{
    return tt_file_read(path, TT_PKI_PEM_SIZE_MAX, ret_pem, err);
}

static bool is_of(const char *cert_path, enum tt_role role, const char *name)
{
    TT_AUTO_BUF struct tt_buf pem;
    struct tt_pki_info info;
    tt_buf_init(&pem, TT_PKI_PEM_SIZE_MAX);
    return read_cert(cert_path, &pem, NULL) == TT_OK &&
           tt_pki_cert_info(tt_buf_view(&pem), &info, NULL) == TT_OK &&
           info.identity.role == role && strcmp(info.identity.name, name) == 0;
}

int ctl_pki_may_write(const char *dir, enum tt_role role, const char *name, struct tt_err *err)
{
    TT_AUTO_FREE char *cert = tt_xasprintf("%s/%s.crt", dir, name);
    TT_AUTO_FREE char *key = tt_xasprintf("%s/%s.key", dir, name);
    bool has_cert = tt_path_exists(cert);
    if ((!has_cert && !tt_path_exists(key)) || (has_cert && is_of(cert, role, name))) {
        return TT_OK;
    }
    return TT_FAIL(
        err, TT_EEXISTS,
        "%s is there already and not the certificate of %s/%s: it would be lost with its "
        "key; write elsewhere with --out, or move it away",
        has_cert ? cert : key, tt_role_name(role), name);
}

int ctl_pki_may_trust(const char *dir, const char *fingerprint, struct tt_err *err)
{
    TT_AUTO_FREE char *path = tt_xasprintf("%s/ca.crt", dir);
    TT_AUTO_FREE char *key = tt_xasprintf("%s/ca.key", dir);
    TT_AUTO_BUF struct tt_buf pem;
    char have[TT_PKI_FINGERPRINT_SIZE];
    tt_buf_init(&pem, TT_PKI_PEM_SIZE_MAX);
    if (!tt_path_exists(path) || !tt_path_exists(key)) {
        return TT_OK;
    }
    int r = read_cert(path, &pem, err);
    if (r == TT_OK) {
        r = tt_pki_fingerprint(tt_buf_view(&pem), have, err);
    }
    if (r == TT_OK && strcmp(have, fingerprint) != 0) {
        r = TT_FAIL(err, TT_EEXISTS,
                    "%s is an authority of its own, not the token's; write elsewhere with --out",
                    path);
    }
    return r;
}

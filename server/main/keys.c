/* The adapters from the vtables of api/admission and of reconcilers to sealing (server/tls/seal.h).
 */
#include "server/main/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"

enum { PASSPHRASE_SIZE_MAX = 4096, SALT_PATH_SIZE = 4200 };

struct server_keys {
    struct tt_sealer sealer;       /* for api/admission */
    struct tt_pass_seal pass_seal; /* the same for reconcilers */
    struct tt_seal_ring *ring;     /* owned; NULL: no sealing */
};

static int read_secret(const char *path, size_t size_max, struct tt_secret **ret_secret,
                       struct tt_err *err)
{
    struct tt_buf text;
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return TT_FAIL(err, TT_EFORBIDDEN, "%s must be readable by its owner only", path);
    }
    int r = tt_file_read(path, size_max, &text, err);
    if (r == TT_OK) {
        struct tt_str trimmed = tt_str_trim(tt_buf_view(&text));
        *ret_secret = tt_secret_new(trimmed);
        tt_pki_buf_wipe(&text);
    }
    return r;
}

/* A salt of one's own is right for the one server of a new cluster only: all others need the same
 * one, and what was sealed before needs the one that was used. */
static int find_salt(const struct server_options *options, char *ret_path, size_t size,
                     struct tt_err *err)
{
    char member[SALT_PATH_SIZE];
    if (options->seal_salt != NULL) {
        (void)snprintf(ret_path, size, "%s", options->seal_salt);
    } else {
        (void)snprintf(ret_path, size, "%s/seal.salt", options->data_dir);
    }
    (void)snprintf(member, sizeof member, "%s/member", options->data_dir);
    if (tt_path_exists(ret_path)) {
        return TT_OK;
    }
    if (options->initial_count != 1 || tt_path_exists(member)) {
        return TT_FAIL(err, TT_EINVAL,
                       "there is no salt in %s: put the cluster's there (tuttictl pki init makes "
                       "seal.salt); another one would be another key",
                       ret_path);
    }
    int r = tt_dir_make(options->data_dir, 0700, err);
    return r == TT_OK ? tt_seal_salt_create(ret_path, err) : r;
}

static int open_ring(struct server_keys *keys, const struct server_options *options,
                     struct tt_err *err)
{
    if (options->seal_key == NULL && options->seal_passphrase == NULL) {
        return TT_OK;
    }
    keys->ring = tt_seal_ring_new();
    if (options->seal_key != NULL) {
        int r = tt_seal_ring_add_file(keys->ring, options->seal_key, err);
        return r != TT_OK ? TT_WRAP(err, r, "--seal-key") : TT_OK;
    }
    char salt[SALT_PATH_SIZE];
    TT_AUTO(tt_secret) passphrase = NULL;
    int r = read_secret(options->seal_passphrase, PASSPHRASE_SIZE_MAX, &passphrase, err);
    if (r == TT_OK) {
        r = find_salt(options, salt, sizeof salt, err);
    }
    if (r == TT_OK) {
        r = tt_seal_ring_add_passphrase(keys->ring, passphrase, salt, err);
    }
    return r != TT_OK ? TT_WRAP(err, r, "--seal-passphrase") : TT_OK;
}

static int open_item(const struct tt_pass_seal *seal, const struct tt_item *item,
                     struct tt_arena *arena, struct tt_str *ret_text, struct tt_err *err)
{
    const struct server_keys *keys = seal->ctx;
    return tt_item_text(item, &keys->sealer, arena, ret_text, err);
}

static int close_value(const struct tt_pass_seal *seal, struct tt_str key, struct tt_value *value,
                       struct tt_arena *arena, struct tt_err *err)
{
    const struct server_keys *keys = seal->ctx;
    return tt_value_seal(&keys->sealer, arena, key, value, err);
}

int server_keys_new(const struct server_options *options, struct server_keys **ret_keys,
                    struct tt_err *err)
{
    struct server_keys *keys = TT_NEW(struct server_keys);
    int r = open_ring(keys, options, err);
    if (r != TT_OK) {
        server_keys_free(keys);
        return r;
    }
    tt_sealer_over_ring(&keys->sealer, keys->ring);
    keys->pass_seal = (struct tt_pass_seal){open_item, close_value, keys};
    *ret_keys = keys;
    return TT_OK;
}

void server_keys_free(struct server_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    tt_seal_ring_free(keys->ring);
    tt_free(keys);
}

const struct tt_sealer *server_keys_sealer(const struct server_keys *keys)
{
    return keys->ring != NULL ? &keys->sealer : NULL;
}

const struct tt_pass_seal *server_keys_pass_seal(const struct server_keys *keys)
{
    return keys->ring != NULL ? &keys->pass_seal : NULL;
}

bool server_keys_fit(const struct server_keys *keys, struct tt_version *version, bool *ret_any,
                     uint64_t *ret_missing)
{
    /* '0' follows '/' in the order of keys. */
    TT_AUTO(tt_scan) scan = NULL;
    int r =
        tt_scan_new(version, TT_STR("o/core/secrets/"), TT_STR("o/core/secrets0"), 0, &scan, NULL);
    const struct tt_item *item = r == TT_OK ? tt_scan_next(scan) : NULL;
    uint64_t id = 0;
    *ret_any = item != NULL;
    if (item == NULL || !tt_seal_key_id(item->value.bytes, &id)) {
        return true;
    }
    if (keys->ring != NULL && tt_seal_ring_has(keys->ring, id)) {
        return true;
    }
    *ret_missing = id;
    return false;
}

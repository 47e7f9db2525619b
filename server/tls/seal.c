#include "server/tls/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/intmath.h"
#include "base/rng.h"
#include "server/tls/openssl_err.h"
#include "server/tls/secret_internal.h"

/* A sealed value:
 *
 *   0  "TTS1"                        magic and version
 *   4  0000                          reserved
 *   8  root key id (u64 LE)
 *  16  nonce of the wrapping (12)
 *  28  wrapped data key (32) + tag (16)
 *  76  nonce of the value (12)
 *  88  ciphertext, tag (16)
 *
 * Associated data of the wrapping: bytes 0-15 and the name; of the value: the magic and the name.
 * The value's does not hold the root key id, so that a rewrap need not touch the value.
 *
 * Failure modes: every wrong byte, name or key ends in the same TT_ECORRUPT, so that errors tell an
 * attacker nothing; OpenSSL's own reasons are dropped. Plaintext never reaches a buffer that is not
 * cleansed, also when its tag turns out to be wrong. */

enum {
    MAGIC_SIZE = 4,
    KEY_ID_AT = 8,
    HEAD_SIZE = 16,
    NONCE_SIZE = 12,
    TAG_SIZE = 16,
    WRAP_NONCE_AT = HEAD_SIZE,
    WRAPPED_AT = WRAP_NONCE_AT + NONCE_SIZE,
    WRAPPED_SIZE = TT_SEAL_KEY_SIZE + TAG_SIZE,
    DATA_NONCE_AT = WRAPPED_AT + WRAPPED_SIZE,
    DATA_AT = DATA_NONCE_AT + NONCE_SIZE,
    ROOT_FILE_SIZE_MAX = 4096,
    SALT_SIZE = 16,
    SCRYPT_N = 1 << 15, /* 32 MiB with r = 8: about 0.1 s */
    SCRYPT_R = 8,
    SCRYPT_P = 1,
    SCRYPT_MEMORY_MAX = 64 << 20,
    PASSPHRASE_SIZE_MIN = 12
};
static const uint8_t MAGIC[MAGIC_SIZE] = {'T', 'T', 'S', '1'};
_Static_assert(DATA_AT + TAG_SIZE == TT_SEAL_OVERHEAD, "the header tells the overhead");

struct root_key {
    uint64_t id;             /* never 0 */
    struct tt_secret *bytes; /* owned, TT_SEAL_KEY_SIZE */
};

struct tt_seal_ring {
    struct root_key keys[TT_SEAL_RING_KEYS_MAX]; /* in the order added; any of them opens */
    size_t count;                                /* of keys */
    size_t active;                               /* index, valid when count > 0 */
};

/* ---- root keys ----------------------------------------------------------------------------- */

struct tt_seal_ring *tt_seal_ring_new(void)
{
    return TT_NEW(struct tt_seal_ring);
}

void tt_seal_ring_free(struct tt_seal_ring *ring)
{
    if (ring == NULL) {
        return;
    }
    for (size_t i = 0; i < ring->count; i++) {
        tt_secret_free(ring->keys[i].bytes);
    }
    tt_free(ring);
}

uint64_t tt_seal_ring_active_id(const struct tt_seal_ring *ring)
{
    return ring->count > 0 ? ring->keys[ring->active].id : 0;
}

/* A digest of the key under a label: tells keys apart, not what they are. */
static uint64_t key_id_of(const uint8_t key[TT_SEAL_KEY_SIZE])
{
    static const char label[] = "tutti root key id";
    uint8_t input[sizeof label + TT_SEAL_KEY_SIZE];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    memcpy(input, label, sizeof label);
    memcpy(input + sizeof label, key, TT_SEAL_KEY_SIZE);
    int r = EVP_Digest(input, sizeof input, digest, &size, EVP_sha256(), NULL);
    TT_ASSERT(r == 1 && size >= sizeof(uint64_t)); /* SHA-256 over memory cannot fail */
    OPENSSL_cleanse(input, sizeof input);
    uint64_t id = tt_le64_get(digest);
    return id != 0 ? id : 1;
}

static const struct root_key *root_find(const struct tt_seal_ring *ring, uint64_t id)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (ring->keys[i].id == id) {
            return &ring->keys[i];
        }
    }
    return NULL;
}

/* Cleanses key. */
static int root_add(struct tt_seal_ring *ring, uint8_t key[TT_SEAL_KEY_SIZE], struct tt_err *err)
{
    uint64_t id = key_id_of(key);
    const struct root_key *known = root_find(ring, id);
    int r = 0;
    if (known != NULL) {
        ring->active = (size_t)(known - ring->keys);
    } else if (ring->count == TT_SEAL_RING_KEYS_MAX) {
        r = TT_FAIL(err, TT_EINVALID, "more than %d root keys", TT_SEAL_RING_KEYS_MAX);
    } else {
        struct tt_secret *bytes = tt_secret_new(tt_str((const char *)key, TT_SEAL_KEY_SIZE));
        ring->active = ring->count;
        ring->keys[ring->count++] = (struct root_key){id, bytes};
    }
    OPENSSL_cleanse(key, TT_SEAL_KEY_SIZE);
    return r;
}

static void wipe_file_buf(struct tt_buf *buf)
{
    if (buf->ptr != NULL) {
        OPENSSL_cleanse(buf->ptr, buf->cap);
    }
    tt_buf_fini(buf);
}

/* Reads exactly `size` bytes written as hex. */
static int hex_file_read(const char *path, uint8_t *out, size_t size, struct tt_err *err)
{
    struct tt_buf text = {0};
    int r = tt_file_read(path, ROOT_FILE_SIZE_MAX, &text, err);
    if (r == 0 && tt_hex_decode(tt_str_trim(tt_buf_view(&text)), out, size) != (ptrdiff_t)size) {
        r = TT_FAIL(err, TT_EINVALID, "%s does not hold %zu bytes in hexadecimal", path, size);
    }
    wipe_file_buf(&text);
    return r;
}

static int hex_file_create(const char *path, size_t size, struct tt_err *err)
{
    uint8_t bytes[TT_SEAL_KEY_SIZE];
    char text[2 * TT_SEAL_KEY_SIZE + 2];
    TT_ASSERT(size <= sizeof bytes);
    if (tt_path_exists(path)) {
        return TT_FAIL(err, TT_EEXISTS, "%s exists already", path);
    }
    tt_random_bytes(bytes, size);
    size_t len = tt_hex_encode(bytes, size, text);
    TT_ASSERT(len == 2 * size);
    text[len] = '\n';
    int r = tt_file_write_atomic(path, tt_str(text, len + 1), 0600, err);
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(text, sizeof text);
    return r;
}

int tt_seal_root_create(const char *path, struct tt_err *err)
{
    return hex_file_create(path, TT_SEAL_KEY_SIZE, err);
}

int tt_seal_salt_create(const char *path, struct tt_err *err)
{
    return hex_file_create(path, SALT_SIZE, err);
}

int tt_seal_ring_add_file(struct tt_seal_ring *ring, const char *path, struct tt_err *err)
{
    uint8_t key[TT_SEAL_KEY_SIZE];
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return TT_FAIL(err, TT_EFORBIDDEN, "root key %s must be readable by its owner only", path);
    }
    int r = hex_file_read(path, key, sizeof key, err);
    if (r != 0) {
        OPENSSL_cleanse(key, sizeof key);
        return TT_WRAP(err, r, "load the root key");
    }
    return root_add(ring, key, err);
}

int tt_seal_ring_add_passphrase(struct tt_seal_ring *ring, const struct tt_secret *passphrase,
                                const char *salt_path, struct tt_err *err)
{
    uint8_t salt[SALT_SIZE];
    uint8_t key[TT_SEAL_KEY_SIZE];
    struct tt_str text = tt_secret_reveal(passphrase);
    if (text.len < PASSPHRASE_SIZE_MIN) {
        return TT_FAIL(err, TT_EINVALID, "a passphrase has at least %d characters",
                       PASSPHRASE_SIZE_MIN);
    }
    int r = hex_file_read(salt_path, salt, sizeof salt, err);
    if (r != 0) {
        return TT_WRAP(err, r, "load the passphrase's salt");
    }
    if (EVP_PBE_scrypt(text.ptr, text.len, salt, sizeof salt, SCRYPT_N, SCRYPT_R, SCRYPT_P,
                       SCRYPT_MEMORY_MAX, key, sizeof key) != 1) {
        return TT_FAIL_SSL(err, TT_EINTERNAL, "derive the root key");
    }
    return root_add(ring, key, err);
}

bool tt_seal_ring_has(const struct tt_seal_ring *ring, uint64_t key_id)
{
    return root_find(ring, key_id) != NULL;
}

/* ---- AES-256-GCM --------------------------------------------------------------------------- */

struct gcm {
    const uint8_t *key;   /* TT_SEAL_KEY_SIZE */
    const uint8_t *nonce; /* NONCE_SIZE */
    struct tt_str head;   /* associated data: this, then name */
    struct tt_str name;   /* of what is sealed: it cannot be moved to another name */
    struct tt_str in;     /* plaintext to seal, ciphertext to open */
    uint8_t *out;         /* in.len bytes */
};

static bool gcm_begin(EVP_CIPHER_CTX *ctx, const struct gcm *op, int encrypt)
{
    int size = 0;
    return ctx != NULL &&
           EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, op->key, op->nonce, encrypt) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &size, (const uint8_t *)op->head.ptr, (int)op->head.len) ==
               1 &&
           EVP_CipherUpdate(ctx, NULL, &size, (const uint8_t *)op->name.ptr, (int)op->name.len) ==
               1 &&
           (op->in.len == 0 || EVP_CipherUpdate(ctx, op->out, &size, (const uint8_t *)op->in.ptr,
                                                (int)op->in.len) == 1);
}

static bool gcm_seal(const struct gcm *op, uint8_t tag[TAG_SIZE])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t none[TAG_SIZE];
    int size = 0;
    bool ok = gcm_begin(ctx, op, 1) && EVP_CipherFinal_ex(ctx, none, &size) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static bool gcm_open(const struct gcm *op, const uint8_t tag[TAG_SIZE])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t expected[TAG_SIZE];
    uint8_t none[TAG_SIZE];
    int size = 0;
    memcpy(expected, tag, TAG_SIZE);
    bool ok = gcm_begin(ctx, op, 0) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, expected) == 1 &&
              EVP_CipherFinal_ex(ctx, none, &size) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* ---- the envelope -------------------------------------------------------------------------- */

static struct tt_str magic_text(void)
{
    return tt_str((const char *)MAGIC, MAGIC_SIZE);
}

static bool name_fits(struct tt_str name)
{
    return name.len > 0 && name.len <= TT_SEAL_NAME_SIZE_MAX;
}

/* Writes head, nonce and wrapped key: the first DATA_NONCE_AT bytes. */
static bool wrap(const struct root_key *root, struct tt_str name, const uint8_t *data_key,
                 uint8_t *out)
{
    memset(out, 0, HEAD_SIZE);
    memcpy(out, MAGIC, MAGIC_SIZE);
    tt_le64_put(out + KEY_ID_AT, root->id);
    tt_random_bytes(out + WRAP_NONCE_AT, NONCE_SIZE);
    struct gcm op = {.key = (const uint8_t *)tt_secret_reveal(root->bytes).ptr,
                     .nonce = out + WRAP_NONCE_AT,
                     .head = tt_str((const char *)out, HEAD_SIZE),
                     .name = name,
                     .in = tt_str((const char *)data_key, TT_SEAL_KEY_SIZE),
                     .out = out + WRAPPED_AT};
    return gcm_seal(&op, out + WRAPPED_AT + TT_SEAL_KEY_SIZE);
}

static int unwrap(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str sealed,
                  uint8_t data_key[TT_SEAL_KEY_SIZE], struct tt_err *err)
{
    uint64_t id = 0;
    if (!name_fits(name) || !tt_seal_key_id(sealed, &id)) {
        return TT_FAIL(err, TT_ECORRUPT, "a sealed value cannot be unsealed");
    }
    const struct root_key *root = root_find(ring, id);
    if (root == NULL) {
        return TT_FAIL(err, TT_EUNAVAILABLE, "root key %016llx is not loaded on this server",
                       (unsigned long long)id);
    }
    const uint8_t *in = (const uint8_t *)sealed.ptr;
    struct gcm op = {.key = (const uint8_t *)tt_secret_reveal(root->bytes).ptr,
                     .nonce = in + WRAP_NONCE_AT,
                     .head = tt_str_head(sealed, HEAD_SIZE),
                     .name = name,
                     .in = tt_str(sealed.ptr + WRAPPED_AT, TT_SEAL_KEY_SIZE),
                     .out = data_key};
    if (!gcm_open(&op, in + WRAPPED_AT + TT_SEAL_KEY_SIZE)) {
        OPENSSL_cleanse(data_key, TT_SEAL_KEY_SIZE);
        return TT_FAIL(err, TT_ECORRUPT, "a sealed value cannot be unsealed");
    }
    return 0;
}

bool tt_seal_key_id(struct tt_str sealed, uint64_t *ret_key_id)
{
    static const uint8_t zero[KEY_ID_AT - MAGIC_SIZE] = {0};
    if (sealed.len < TT_SEAL_OVERHEAD || sealed.len - TT_SEAL_OVERHEAD > TT_SEAL_SIZE_MAX ||
        memcmp(sealed.ptr, MAGIC, MAGIC_SIZE) != 0 ||
        memcmp(sealed.ptr + MAGIC_SIZE, zero, sizeof zero) != 0) {
        return false;
    }
    *ret_key_id = tt_le64_get((const uint8_t *)sealed.ptr + KEY_ID_AT);
    return true;
}

int tt_seal(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str plain,
            struct tt_buf *ret_sealed, struct tt_err *err)
{
    uint8_t data_key[TT_SEAL_KEY_SIZE];
    tt_buf_init(ret_sealed, TT_SEAL_SIZE_MAX + TT_SEAL_OVERHEAD);
    if (ring->count == 0) {
        return TT_FAIL(err, TT_EUNAVAILABLE, "there is no root key to seal with");
    }
    if (!name_fits(name) || plain.len > TT_SEAL_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "a value or name is too long to be sealed");
    }
    uint8_t *out = (uint8_t *)tt_buf_reserve(ret_sealed, plain.len + TT_SEAL_OVERHEAD);
    TT_ASSERT(out != NULL);
    tt_random_bytes(data_key, sizeof data_key);
    tt_random_bytes(out + DATA_NONCE_AT, NONCE_SIZE);
    struct gcm op = {.key = data_key,
                     .nonce = out + DATA_NONCE_AT,
                     .head = magic_text(),
                     .name = name,
                     .in = plain,
                     .out = out + DATA_AT};
    bool ok = wrap(&ring->keys[ring->active], name, data_key, out) &&
              gcm_seal(&op, out + DATA_AT + plain.len);
    OPENSSL_cleanse(data_key, sizeof data_key);
    if (!ok) {
        return TT_FAIL_SSL(err, TT_EINTERNAL, "seal a value");
    }
    ret_sealed->len += plain.len + TT_SEAL_OVERHEAD;
    return 0;
}

int tt_unseal(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str sealed,
              struct tt_secret **ret_plain, struct tt_err *err)
{
    uint8_t data_key[TT_SEAL_KEY_SIZE];
    int r = unwrap(ring, name, sealed, data_key, err);
    if (r != 0) {
        return r;
    }
    size_t size = sealed.len - TT_SEAL_OVERHEAD;
    uint8_t *out = NULL;
    struct tt_secret *plain = tt_secret_new_uninit(size, &out);
    const uint8_t *in = (const uint8_t *)sealed.ptr;
    struct gcm op = {.key = data_key,
                     .nonce = in + DATA_NONCE_AT,
                     .head = magic_text(),
                     .name = name,
                     .in = tt_str(sealed.ptr + DATA_AT, size),
                     .out = out};
    bool ok = gcm_open(&op, in + DATA_AT + size);
    OPENSSL_cleanse(data_key, sizeof data_key);
    if (!ok) {
        tt_secret_free(plain);
        return TT_FAIL(err, TT_ECORRUPT, "a sealed value cannot be unsealed");
    }
    *ret_plain = plain;
    return 0;
}

int tt_seal_rewrap(const struct tt_seal_ring *ring, struct tt_str name, struct tt_str sealed,
                   struct tt_buf *ret_sealed, struct tt_err *err)
{
    uint8_t data_key[TT_SEAL_KEY_SIZE];
    tt_buf_init(ret_sealed, TT_SEAL_SIZE_MAX + TT_SEAL_OVERHEAD);
    int r = unwrap(ring, name, sealed, data_key, err);
    if (r != 0) {
        return r;
    }
    uint8_t *out = (uint8_t *)tt_buf_reserve(ret_sealed, sealed.len);
    TT_ASSERT(out != NULL);
    memcpy(out, sealed.ptr, sealed.len);
    bool ok = wrap(&ring->keys[ring->active], name, data_key, out);
    OPENSSL_cleanse(data_key, sizeof data_key);
    if (!ok) {
        return TT_FAIL_SSL(err, TT_EINTERNAL, "rewrap a value");
    }
    ret_sealed->len += sealed.len;
    return 0;
}

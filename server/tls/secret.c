#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "server/tls/openssl_err.h"
#include "server/tls/seal.h"
#include "server/tls/secret_internal.h"

/* Secrets live in OpenSSL's secure heap (locked, out of core dumps) once tt_process_harden set it
 * up; before that, and when it is full, in ordinary memory: both are cleansed when freed. */

enum { SECURE_HEAP_SIZE = 1 << 20, SECURE_BLOCK_SIZE = 32 };

struct tt_secret {
    size_t size;  /* of bytes */
    char bytes[]; /* and a NUL */
};

struct tt_secret *tt_secret_new_uninit(size_t size, uint8_t **ret_bytes)
{
    TT_ASSERT(size <= TT_SEAL_SIZE_MAX);
    struct tt_secret *secret = OPENSSL_secure_malloc(sizeof *secret + size + 1);
    if (secret == NULL) {
        ERR_clear_error(); /* the secure heap is full */
        secret = OPENSSL_malloc(sizeof *secret + size + 1);
    }
    TT_ASSERT(secret != NULL); /* out of memory: like tt_xmalloc */
    secret->size = size;
    secret->bytes[size] = '\0';
    *ret_bytes = (uint8_t *)secret->bytes;
    return secret;
}

struct tt_secret *tt_secret_new(struct tt_str bytes)
{
    uint8_t *fill = NULL;
    struct tt_secret *secret = tt_secret_new_uninit(bytes.len, &fill);
    if (bytes.len > 0) {
        memcpy(fill, bytes.ptr, bytes.len);
    }
    return secret;
}

struct tt_secret *tt_secret_take(char *bytes, size_t size)
{
    struct tt_secret *secret = tt_secret_new(tt_str(bytes, size));
    OPENSSL_cleanse(bytes, size);
    return secret;
}

void tt_secret_free(struct tt_secret *secret)
{
    if (secret != NULL) { /* tells by the address which heap it came from */
        OPENSSL_secure_clear_free(secret, sizeof *secret + secret->size + 1);
    }
}

struct tt_str tt_secret_reveal(const struct tt_secret *secret)
{
    return tt_str(secret->bytes, secret->size);
}

bool tt_secret_equal(const struct tt_secret *a, const struct tt_secret *b)
{
    return a->size == b->size && CRYPTO_memcmp(a->bytes, b->bytes, a->size) == 0;
}

int tt_process_harden(struct tt_err *err)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0) != 0) {
        return TT_FAIL_ERRNO(err, errno, "make the process not dumpable");
    }
    if (setrlimit(RLIMIT_CORE, &none) != 0) {
        return TT_FAIL_ERRNO(err, errno, "turn off core files");
    }
    /* 2: without the lock, where the limit of locked memory is too small for it. */
    if (CRYPTO_secure_malloc_initialized() == 0 &&
        CRYPTO_secure_malloc_init(SECURE_HEAP_SIZE, SECURE_BLOCK_SIZE) == 0) {
        return TT_FAIL_SSL(err, TT_ENOMEM, "set up secure memory");
    }
    return 0;
}

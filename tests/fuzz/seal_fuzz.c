/* The decoder of sealed values: any bytes either fail to unseal or were sealed by us. */
#include "server/tls/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fixed {
    struct tt_seal_ring *ring; /* one root key */
    struct tt_buf sealed;      /* a valid value: the input is laid over it */
};

static struct fixed *fixed_new(void)
{
    char dir[256];
    char path[288];
    const char *base = getenv("TMPDIR");
    struct fixed *fixed = TT_NEW(struct fixed);
    TT_ASSERT(snprintf(dir, sizeof dir, "%.200s/tutti-seal-fuzz-XXXXXX",
                       base != NULL ? base : "/tmp") > 0);
    TT_ASSERT(mkdtemp(dir) != NULL);
    TT_ASSERT(snprintf(path, sizeof path, "%s/key", dir) > 0);
    fixed->ring = tt_seal_ring_new();
    TT_ASSERT(tt_seal_root_create(path, NULL) == 0);
    TT_ASSERT(tt_seal_ring_add_file(fixed->ring, path, NULL) == 0);
    TT_ASSERT(unlink(path) == 0 && rmdir(dir) == 0);
    TT_ASSERT(tt_seal(fixed->ring, TT_STR("name"), TT_STR("plain"), &fixed->sealed, NULL) == 0);
    return fixed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fixed *fixed;
    if (fixed == NULL) {
        fixed = fixed_new();
    }
    struct tt_secret *plain = NULL;
    struct tt_str input = tt_str((const char *)data, size);
    TT_ASSERT(tt_unseal(fixed->ring, TT_STR("name"), input, &plain, NULL) != 0);

    /* As a patch of a valid value, so that the key id and the wrapping are reached. */
    TT_AUTO_BUF struct tt_buf patched;
    tt_buf_init(&patched, TT_SEAL_SIZE_MAX);
    tt_buf_str(&patched, tt_buf_view(&fixed->sealed));
    bool changed = false;
    for (size_t i = 0; i + 1 < size; i += 2) {
        char *at = &patched.ptr[data[i] % patched.len];
        changed = changed || data[i + 1] != 0;
        *at = (char)(*at ^ (char)data[i + 1]);
    }
    bool same = tt_str_eq(tt_buf_view(&patched), tt_buf_view(&fixed->sealed));
    TT_ASSERT(changed || same);
    int r = tt_unseal(fixed->ring, TT_STR("name"), tt_buf_view(&patched), &plain, NULL);
    TT_ASSERT((r == 0) == same);
    tt_secret_free(plain);
    return 0;
}

/* Happy path: plain objects pass through without a copy; Secrets are sealed into, or unsealed from,
 * a buffer that is then moved to the request's arena. Failure: no sealer means no Secrets at all,
 * never a plaintext one. */
#include "api/admission/seal.h"

#include <inttypes.h>
#include <stdio.h>

#include <openssl/crypto.h>

#include "api/kinds/schema.h"
#include "server/tls/seal.h"

enum { SEALED_SIZE_MAX = 2 << 20 };

bool tt_key_is_sealed(struct tt_str key)
{
    return tt_str_starts(key, TT_STR("o/core/secrets/"));
}

bool tt_kind_is_sealed(const struct tt_kind *kind)
{
    return kind->group.len == 0 && tt_str_eq_c(kind->plural, "secrets");
}

static int to_arena(struct tt_arena *arena, const struct tt_buf *buf, struct tt_str *ret_text,
                    struct tt_err *err)
{
    char *copy = tt_buf_ok(buf) ? tt_arena_strndup(arena, buf->ptr, buf->len) : NULL;
    if (!copy) {
        return TT_FAIL(err, TT_ETOOLARGE, "the object is too large");
    }
    *ret_text = tt_str(copy, buf->len);
    return TT_OK;
}

int tt_item_text(const struct tt_item *item, const struct tt_sealer *sealer, struct tt_arena *arena,
                 struct tt_str *ret_text, struct tt_err *err)
{
    if (item->value.codec == TT_CODEC_JSON) {
        *ret_text = item->value.bytes;
        return TT_OK;
    }
    if (item->value.codec != TT_CODEC_SEALED) {
        return TT_FAIL(err, TT_ECORRUPT, "the stored value is no object");
    }
    if (!sealer) {
        return TT_FAIL(err, TT_EUNAVAILABLE, "no key to open Secrets is configured");
    }
    tt_arena_hold_secret(arena);
    struct tt_buf plain;
    tt_buf_init(&plain, SEALED_SIZE_MAX);
    int r = sealer->unseal(sealer, item->key, &item->value, &plain, err);
    if (r == TT_OK) {
        r = to_arena(arena, &plain, ret_text, err);
    }
    if (plain.ptr) {
        OPENSSL_cleanse(plain.ptr, plain.len);
    }
    tt_buf_fini(&plain);
    return r;
}

int tt_value_seal(const struct tt_sealer *sealer, struct tt_arena *arena, struct tt_str key,
                  struct tt_value *value, struct tt_err *err)
{
    TT_ASSERT(value->codec == TT_CODEC_JSON);
    TT_ASSERT(value->splice > 0 && value->splice < value->bytes.len);
    if (!tt_key_is_sealed(key)) {
        return TT_OK;
    }
    if (!sealer) {
        return TT_FAIL(err, TT_EUNAVAILABLE, "no key to seal Secrets is configured");
    }
    tt_arena_hold_secret(arena); /* value's bytes */
    TT_AUTO_BUF struct tt_buf sealed;
    tt_buf_init(&sealed, SEALED_SIZE_MAX);
    char *key_id = tt_arena_alloc(arena, TT_SEAL_KEY_ID_SIZE);
    if (!key_id) {
        return TT_FAIL(err, TT_ETOOLARGE, "the request is too large");
    }
    struct tt_value result = {.codec = TT_CODEC_SEALED, .splice = value->splice};
    int r = sealer->seal(sealer, key, value->bytes, &sealed, key_id, err);
    if (r == TT_OK) {
        r = to_arena(arena, &sealed, &result.bytes, err);
    }
    if (r) {
        return r;
    }
    result.key_id = tt_str_c(key_id);
    *value = result;
    return TT_OK;
}

/* ---- over a key ring ---- */

static int ring_seal(const struct tt_sealer *sealer, struct tt_str aad, struct tt_str plain,
                     struct tt_buf *sealed, char ret_key_id[TT_SEAL_KEY_ID_SIZE],
                     struct tt_err *err)
{
    struct tt_buf out;
    int r = tt_seal(sealer->ctx, aad, plain, &out, err);
    if (r) {
        return r;
    }
    uint64_t key_id = 0;
    bool known = tt_seal_key_id(tt_buf_view(&out), &key_id);
    TT_ASSERT(known);
    tt_buf_str(sealed, tt_buf_view(&out));
    tt_buf_fini(&out);
    int size = snprintf(ret_key_id, TT_SEAL_KEY_ID_SIZE, "%016" PRIx64, key_id);
    TT_ASSERT(size > 0 && size < TT_SEAL_KEY_ID_SIZE);
    return TT_OK;
}

static int ring_unseal(const struct tt_sealer *sealer, struct tt_str aad,
                       const struct tt_value *value, struct tt_buf *plain, struct tt_err *err)
{
    struct tt_secret *secret = NULL;
    int r = tt_unseal(sealer->ctx, aad, value->bytes, &secret, err);
    if (r) {
        return r;
    }
    tt_buf_str(plain, tt_secret_reveal(secret));
    tt_secret_free(secret);
    return TT_OK;
}

void tt_sealer_over_ring(struct tt_sealer *ret_sealer, struct tt_seal_ring *ring)
{
    *ret_sealer = (struct tt_sealer){.seal = ring_seal, .unseal = ring_unseal, .ctx = ring};
}

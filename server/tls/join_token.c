#include "server/tls/join_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/rng.h"

/* Both text forms are five or six parts between dots, in a fixed order and in one spelling:
 * lower-case hex of exact lengths, canonical decimal, known role. What does not round-trip is
 * refused.
 *
 * The stored hash covers a label and the id too, so that a hash found elsewhere is of no use. */

static const char PREFIX[] = "tutti1";
enum { ID_BYTES = 8, HASH_BYTES = 32 };
_Static_assert(2 * ID_BYTES + 1 == TT_JOIN_ID_SIZE, "hex of the id");
_Static_assert(2 * HASH_BYTES + 1 == TT_JOIN_HASH_SIZE, "hex of a SHA-256");

static bool is_hex(struct tt_str text, size_t len)
{
    if (text.len != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

static void copy_text(struct tt_str text, char *out)
{
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    out[text.len] = '\0';
}

static void secret_hash(const struct tt_join_token *token, char out[TT_JOIN_HASH_SIZE])
{
    static const char label[] = "tutti join token";
    uint8_t input[sizeof label + TT_JOIN_ID_SIZE + TT_JOIN_SECRET_SIZE];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    memcpy(input, label, sizeof label);
    memcpy(input + sizeof label, token->id, TT_JOIN_ID_SIZE);
    memcpy(input + sizeof label + TT_JOIN_ID_SIZE, token->secret, TT_JOIN_SECRET_SIZE);
    int r = EVP_Digest(input, sizeof input, digest, &size, EVP_sha256(), NULL);
    TT_ASSERT(r == 1 && size == HASH_BYTES); /* SHA-256 over memory cannot fail */
    OPENSSL_cleanse(input, sizeof input);
    (void)tt_hex_encode(digest, size, out);
}

static bool role_may_join(enum tt_role role)
{
    return role == TT_IDENTITY_SERVER || role == TT_IDENTITY_AGENT;
}

static bool role_parse(struct tt_str text, enum tt_role *ret_role)
{
    if (tt_str_eq_c(text, tt_role_name(TT_IDENTITY_SERVER))) {
        *ret_role = TT_IDENTITY_SERVER;
        return true;
    }
    if (tt_str_eq_c(text, tt_role_name(TT_IDENTITY_AGENT))) {
        *ret_role = TT_IDENTITY_AGENT;
        return true;
    }
    return false;
}

int tt_join_token_new(enum tt_role role, const char *ca_sha256, struct tt_join_token *ret_token,
                      struct tt_err *err)
{
    uint8_t id[ID_BYTES];
    if (!role_may_join(role) || !is_hex(tt_str_c(ca_sha256), TT_JOIN_HASH_SIZE - 1)) {
        return TT_FAIL(err, TT_EINVALID, "join tokens are for servers and agents and pin a CA");
    }
    memset(ret_token, 0, sizeof *ret_token);
    ret_token->role = role;
    tt_random_bytes(id, sizeof id);
    (void)tt_hex_encode(id, sizeof id, ret_token->id);
    tt_random_bytes(ret_token->secret, sizeof ret_token->secret);
    copy_text(tt_str_c(ca_sha256), ret_token->ca_sha256);
    return 0;
}

void tt_join_token_format(const struct tt_join_token *token, char out[TT_JOIN_TEXT_SIZE])
{
    char secret[2 * TT_JOIN_SECRET_SIZE + 1];
    (void)tt_hex_encode(token->secret, sizeof token->secret, secret);
    int size = snprintf(out, TT_JOIN_TEXT_SIZE, "%s.%s.%s.%s.%s", PREFIX, tt_role_name(token->role),
                        token->id, secret, token->ca_sha256);
    OPENSSL_cleanse(secret, sizeof secret);
    TT_ASSERT(size > 0 && size < TT_JOIN_TEXT_SIZE);
}

/* Cuts prefix, role and id, which both forms begin with. */
static bool head_parse(struct tt_str *text, enum tt_role *ret_role, char ret_id[TT_JOIN_ID_SIZE])
{
    struct tt_str prefix = TT_STR_NONE;
    struct tt_str role = TT_STR_NONE;
    struct tt_str id = TT_STR_NONE;
    if (!tt_str_cut(text, '.', &prefix) || !tt_str_eq_c(prefix, PREFIX) ||
        !tt_str_cut(text, '.', &role) || !role_parse(role, ret_role) ||
        !tt_str_cut(text, '.', &id) || !is_hex(id, TT_JOIN_ID_SIZE - 1)) {
        return false;
    }
    copy_text(id, ret_id);
    return true;
}

int tt_join_token_parse(struct tt_str text, struct tt_join_token *ret_token, struct tt_err *err)
{
    struct tt_join_token token;
    struct tt_str rest = tt_str_trim(text);
    struct tt_str secret = TT_STR_NONE;
    memset(&token, 0, sizeof token);
    if (!head_parse(&rest, &token.role, token.id) || !tt_str_cut(&rest, '.', &secret) ||
        !is_hex(secret, sizeof token.secret * 2) || !is_hex(rest, TT_JOIN_HASH_SIZE - 1)) {
        return TT_FAIL(err, TT_EUNAUTHORIZED,
                       "not a join token (tutti1.<role>.<id>.<secret>.<ca hash>)");
    }
    ptrdiff_t size = tt_hex_decode(secret, token.secret, sizeof token.secret);
    TT_ASSERT(size == (ptrdiff_t)sizeof token.secret);
    copy_text(rest, token.ca_sha256);
    *ret_token = token;
    tt_join_token_wipe(&token);
    return 0;
}

void tt_join_token_wipe(struct tt_join_token *token)
{
    OPENSSL_cleanse(token, sizeof *token);
}

static bool name_fits(struct tt_str name)
{
    char uri[sizeof((struct tt_peer_identity *)NULL)->uri];
    return tt_identity_format("x", TT_IDENTITY_AGENT, name, uri, sizeof uri, NULL) == 0;
}

int tt_join_token_store(const struct tt_join_token *token, uint64_t expires_ms, const char *name,
                        struct tt_join_token_stored *ret_stored, struct tt_err *err)
{
    struct tt_str bound = tt_str_c(name);
    if (bound.len > 0 && !name_fits(bound)) {
        return TT_FAIL(err, TT_EINVALID, "a join token's name has characters of [A-Za-z0-9._-]");
    }
    memset(ret_stored, 0, sizeof *ret_stored);
    ret_stored->role = token->role;
    memcpy(ret_stored->id, token->id, sizeof ret_stored->id);
    secret_hash(token, ret_stored->secret_hash);
    ret_stored->expires_ms = expires_ms;
    copy_text(bound, ret_stored->name);
    return 0;
}

void tt_join_stored_format(const struct tt_join_token_stored *stored, char out[TT_JOIN_STORED_SIZE])
{
    int size = snprintf(out, TT_JOIN_STORED_SIZE, "%s.%s.%s.%s.%llu%s%s", PREFIX,
                        tt_role_name(stored->role), stored->id, stored->secret_hash,
                        (unsigned long long)stored->expires_ms, stored->name[0] != '\0' ? "." : "",
                        stored->name);
    TT_ASSERT(size > 0 && size < TT_JOIN_STORED_SIZE);
}

int tt_join_stored_parse(struct tt_str text, struct tt_join_token_stored *ret_stored,
                         struct tt_err *err)
{
    struct tt_join_token_stored stored;
    struct tt_str rest = text;
    struct tt_str hash = TT_STR_NONE;
    struct tt_str expires = TT_STR_NONE;
    memset(&stored, 0, sizeof stored);
    if (!head_parse(&rest, &stored.role, stored.id) || !tt_str_cut(&rest, '.', &hash) ||
        !is_hex(hash, TT_JOIN_HASH_SIZE - 1) || !tt_str_cut(&rest, '.', &expires) ||
        !tt_str_to_u64(expires, &stored.expires_ms) || (rest.len > 0 && !name_fits(rest))) {
        return TT_FAIL(err, TT_ECORRUPT, "a stored join token is malformed");
    }
    copy_text(hash, stored.secret_hash);
    copy_text(rest, stored.name);
    *ret_stored = stored;
    return 0;
}

int tt_join_token_verify(const struct tt_join_token *token,
                         const struct tt_join_token_stored *stored, struct tt_str name,
                         uint64_t wall_ms, struct tt_err *err)
{
    char hash[TT_JOIN_HASH_SIZE];
    secret_hash(token, hash);
    bool same = CRYPTO_memcmp(hash, stored->secret_hash, sizeof hash) == 0;
    /* One message for all that an attacker could probe for. */
    if (!same || token->role != stored->role || strcmp(token->id, stored->id) != 0) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the join token is not valid");
    }
    if (wall_ms >= stored->expires_ms) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the join token has expired");
    }
    if (!name_fits(name) || (stored->name[0] != '\0' && !tt_str_eq_c(name, stored->name))) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the join token is for another name");
    }
    return 0;
}

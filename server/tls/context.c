#include "server/tls/context.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "server/tls/internal.h"
#include "server/tls/openssl_err.h"
#include "server/tls/socket_bio.h"

/* Happy path: new builds a `material` (an SSL_CTX and the stamps of the files it came from); ssl()
 * hands out connections of the newest one; reload builds another and swaps it in, so that old
 * connections keep theirs alive through OpenSSL's own reference counts.
 *
 * Failure modes: a half-written pair of files (certificate newer than key) fails
 * SSL_CTX_check_private_key: the old material stays and the next reload tries again, because stamps
 * are remembered only with the material built from them.
 *
 * Verification is one callback for both sides: OpenSSL's chain check (times, purpose, signatures),
 * then the identity in the leaf, then the revocation set. So nobody can forget one of them. Locks
 * are OpenSSL's: contexts are the one thing of this layer that threads share. */

enum {
    PIN_SIZE = 32,
    VERIFY_DEPTH_MAX = 2,
    ALPN_SIZE = 256,
    FILE_COUNT = 3,
    READ_BUFFER_SIZE = 36864 /* two full records per recv */
};

struct file_stamp {
    struct timespec mtime; /* of the last write to the file */
    off_t size;            /* bytes */
    ino_t inode;           /* another one after a rename over it */
};

struct material {
    SSL_CTX *ctx;                         /* owned */
    struct file_stamp stamps[FILE_COUNT]; /* of cert, key, CA when ctx was built; zero if no path */
};

struct revoked {
    char id[TT_REVOCATION_ID_SIZE]; /* of the revocation, padded with zeros */
    uint64_t revision;              /* likewise */
    uint64_t wall_ms;               /* likewise */
};

struct tt_tls_context {
    CRYPTO_RWLOCK *lock;                 /* guards what may change below */
    int ref_count;                       /* 1 after new */
    char *paths[FILE_COUNT];             /* cert, key, CA; owned, NULL when not given */
    bool server;                         /* fixed */
    enum tt_tls_client_auth client_auth; /* fixed */
    bool pinned;                         /* fixed: trust only the CA with this digest */
    uint8_t pin[PIN_SIZE];               /* fixed: SHA-256 of the CA's DER */
    uint8_t alpn[ALPN_SIZE];             /* fixed: wire format, in order of preference */
    unsigned alpn_size;                  /* bytes of it; 0: no ALPN */
    BIO_METHOD *bio_method;              /* owned, fixed */
    struct material material;            /* the newest */
    struct revoked *revoked;             /* owned, sorted by id */
    size_t revoked_count;                /* entries of it */
    char cluster_id[40];                 /* whose revisions they have */
};

static int revoked_cmp(const void *a, const void *b)
{
    const struct revoked *x = a;
    const struct revoked *y = b;
    return memcmp(x->id, y->id, sizeof x->id);
}

/* False for what no certificate that passes tt_identity_from_cert can be called. */
static bool revoked_key(struct tt_str id, struct revoked *out)
{
    memset(out, 0, sizeof *out);
    if (id.len == 0 || id.len >= sizeof out->id) {
        return false;
    }
    memcpy(out->id, id.ptr, id.len);
    return true;
}

static void lock_read(struct tt_tls_context *context)
{
    TT_ASSERT(CRYPTO_THREAD_read_lock(context->lock) == 1);
}

static void lock_write(struct tt_tls_context *context)
{
    TT_ASSERT(CRYPTO_THREAD_write_lock(context->lock) == 1);
}

static void unlock(struct tt_tls_context *context)
{
    TT_ASSERT(CRYPTO_THREAD_unlock(context->lock) == 1);
}

/* Makes the pinned CA among the presented certificates the only trust anchor. */
static bool pin_apply(const struct tt_tls_context *context, X509_STORE_CTX *store)
{
    STACK_OF(X509) *presented = X509_STORE_CTX_get0_untrusted(store);
    for (int i = 0; i < sk_X509_num(presented); i++) {
        X509 *cert = sk_X509_value(presented, i);
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        if (X509_digest(cert, EVP_sha256(), digest, &size) != 1 || size != PIN_SIZE ||
            CRYPTO_memcmp(digest, context->pin, PIN_SIZE) != 0) {
            continue;
        }
        STACK_OF(X509) *trusted = sk_X509_new_null();
        bool ok = trusted != NULL && X509_add_cert(trusted, cert, X509_ADD_FLAG_UP_REF) == 1;
        if (ok) {
            X509_STORE_CTX_set0_trusted_stack(store, trusted);
            ok = X509_verify_cert(store) == 1;
        }
        sk_X509_pop_free(trusted, X509_free);
        return ok;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
    return false;
}

/* SSL_CTX_set_cert_verify_callback: 1 accepts. */
static int verify_peer(X509_STORE_CTX *store, void *arg)
{
    struct tt_tls_context *context = arg;
    if (context->pinned ? !pin_apply(context, store) : X509_verify_cert(store) != 1) {
        return 0;
    }
    struct tt_peer_identity identity;
    struct tt_err err;
    tt_err_init(&err);
    if (tt_identity_from_cert(X509_STORE_CTX_get0_cert(store), &identity, &err) != 0) {
        TT_LOG(TT_LOG_WARN, "tls", "peer certificate refused", TT_F_ERR(&err));
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    if (tt_tls_context_is_revoked(context, &identity)) {
        TT_LOG(TT_LOG_WARN, "tls", "revoked peer refused", TT_F_C("name", identity.uri));
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
        return 0;
    }
    return 1;
}

/* The server's preference decides; no common protocol ends the handshake (RFC 7301, 3.2). */
static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *arg)
{
    const struct tt_tls_context *context = arg;
    unsigned char *chosen = NULL;
    (void)ssl; /* the choice depends on the context alone */
    if (SSL_select_next_proto(&chosen, out_size, context->alpn, context->alpn_size, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A key with a passphrase must fail, not ask on the terminal. */
static int passphrase_none(char *out, int size, int writing, void *arg)
{
    (void)out; /* the signature is OpenSSL's */
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int ctx_set_protocol(struct tt_tls_context *context, SSL_CTX *ctx, struct tt_err *err)
{
    static const unsigned char session_context[] = "tutti";
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_SIZE);
    SSL_CTX_set_default_passwd_cb(ctx, passphrase_none);
    bool ok =
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) == 1 &&
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                      "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
    if (ok && context->alpn_size > 0 && !context->server) {
        ok = SSL_CTX_set_alpn_protos(ctx, context->alpn, context->alpn_size) == 0;
    }
    if (!ok) {
        return TT_FAIL_SSL(err, TT_ETLS, "set up TLS 1.3");
    }
    if (context->server) {
        int mode = SSL_VERIFY_PEER;
        if (context->client_auth == TT_TLS_CLIENT_REQUIRED) {
            mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        }
        SSL_CTX_set_verify(ctx, mode, NULL);
        if (context->alpn_size > 0) {
            SSL_CTX_set_alpn_select_cb(ctx, alpn_select, context);
        }
    } else {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH_MAX);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, context);
    return 0;
}

/* Servers send the CA that issued them too: a joining machine knows only its digest. */
static int ctx_add_issuer(SSL_CTX *ctx, struct tt_err *err)
{
    STACK_OF(X509) *chain = NULL;
    X509 *leaf = SSL_CTX_get0_certificate(ctx);
    SSL_CTX_get0_chain_certs(ctx, &chain);
    if (sk_X509_num(chain) > 0) {
        return 0; /* the file brought its own chain */
    }
    STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (ca == NULL || X509_check_issued(ca, leaf) != X509_V_OK) {
            continue;
        }
        if (SSL_CTX_add1_chain_cert(ctx, ca) != 1) {
            return TT_FAIL_SSL(err, TT_ETLS, "add the CA to the chain");
        }
        return 0;
    }
    return 0;
}

static int ctx_load_files(const struct tt_tls_context *context, SSL_CTX *ctx, struct tt_err *err)
{
    const char *cert = context->paths[0];
    const char *key = context->paths[1];
    const char *ca = context->paths[2];
    if (ca != NULL && SSL_CTX_load_verify_file(ctx, ca) != 1) {
        return TT_FAIL_SSL(err, TT_ETLS, "load trusted CAs from %s", ca);
    }
    if (cert == NULL) {
        return 0;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        return TT_FAIL_SSL(err, TT_ETLS, "load certificate %s", cert);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return TT_FAIL_SSL(err, TT_ETLS, "load key %s of certificate %s", key, cert);
    }
    return context->server ? ctx_add_issuer(ctx, err) : 0;
}

static int stamps_read(const struct tt_tls_context *context, struct material *out,
                       struct tt_err *err)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        struct stat st;
        if (context->paths[i] == NULL) {
            continue;
        }
        if (stat(context->paths[i], &st) != 0) {
            return TT_FAIL_ERRNO(err, errno, "read %s", context->paths[i]);
        }
        out->stamps[i] = (struct file_stamp){st.st_mtim, st.st_size, st.st_ino};
    }
    return 0;
}

static bool stamps_equal(const struct material *a, const struct material *b)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        const struct file_stamp *x = &a->stamps[i];
        const struct file_stamp *y = &b->stamps[i];
        if (x->mtime.tv_sec != y->mtime.tv_sec || x->mtime.tv_nsec != y->mtime.tv_nsec ||
            x->size != y->size || x->inode != y->inode) {
            return false;
        }
    }
    return true;
}

/* Stamps are taken before the files are read: a change in between is seen at the next reload. */
static int material_load(struct tt_tls_context *context, struct material *material,
                         struct tt_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(context->server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL) {
        return TT_FAIL_SSL(err, TT_ENOMEM, "create a TLS context");
    }
    int r = ctx_set_protocol(context, ctx, err);
    if (r == 0) {
        r = ctx_load_files(context, ctx, err);
    }
    if (r != 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    material->ctx = ctx;
    return 0;
}

/* "h2,http/1.1" → length-prefixed names. */
static int alpn_encode(struct tt_tls_context *context, const char *list, struct tt_err *err)
{
    struct tt_str rest = tt_str_c(list);
    struct tt_str name = TT_STR_NONE;
    while (tt_str_cut(&rest, ',', &name)) {
        if (name.len == 0 || name.len > 255 || context->alpn_size + 1 + name.len > ALPN_SIZE) {
            return TT_FAIL(err, TT_EINVAL, "bad ALPN list \"%s\"", list);
        }
        context->alpn[context->alpn_size++] = (uint8_t)name.len;
        memcpy(context->alpn + context->alpn_size, name.ptr, name.len);
        context->alpn_size += (unsigned)name.len;
    }
    return 0;
}

static int config_check(const struct tt_tls_config *config, struct tt_err *err)
{
    bool pair = config->cert_path != NULL && config->key_path != NULL;
    bool none = config->cert_path == NULL && config->key_path == NULL;
    if (config->server ? !pair : !pair && !none) {
        return TT_FAIL(err, TT_EINVAL, "TLS needs a certificate and its key");
    }
    if ((config->ca_path == NULL) == (config->pinned_ca_sha256 == NULL)) {
        return TT_FAIL(err, TT_EINVAL, "TLS needs either a file of CAs or a pinned one");
    }
    if (config->server && config->ca_path == NULL) {
        return TT_FAIL(err, TT_EINVAL, "a TLS server cannot pin");
    }
    return 0;
}

static int context_setup(struct tt_tls_context *context, const struct tt_tls_config *config,
                         struct tt_err *err)
{
    const char *paths[FILE_COUNT] = {config->cert_path, config->key_path, config->ca_path};
    for (size_t i = 0; i < FILE_COUNT; i++) {
        context->paths[i] = paths[i] != NULL ? tt_xstrdup(paths[i]) : NULL;
    }
    context->server = config->server;
    context->client_auth = config->client_auth;
    if (config->pinned_ca_sha256 != NULL) {
        context->pinned = true;
        if (tt_hex_decode(tt_str_c(config->pinned_ca_sha256), context->pin, PIN_SIZE) != PIN_SIZE) {
            return TT_FAIL(err, TT_EINVAL, "a pinned CA is 64 hexadecimal digits of SHA-256");
        }
    }
    if (context->lock == NULL || context->bio_method == NULL) {
        return TT_FAIL_SSL(err, TT_ENOMEM, "create a TLS context");
    }
    int r = config->alpn != NULL ? alpn_encode(context, config->alpn, err) : 0;
    if (r == 0) {
        r = stamps_read(context, &context->material, err);
    }
    return r == 0 ? material_load(context, &context->material, err) : r;
}

static void context_free(struct tt_tls_context *context)
{
    SSL_CTX_free(context->material.ctx);
    BIO_meth_free(context->bio_method);
    CRYPTO_THREAD_lock_free(context->lock);
    for (size_t i = 0; i < FILE_COUNT; i++) {
        tt_free(context->paths[i]);
    }
    tt_free(context->revoked);
    tt_free(context);
}

int tt_tls_context_new(const struct tt_tls_config *config, struct tt_tls_context **ret_context,
                       struct tt_err *err)
{
    int r = config_check(config, err);
    if (r != 0) {
        return r;
    }
    struct tt_tls_context *context = TT_NEW(struct tt_tls_context);
    context->ref_count = 1;
    context->lock = CRYPTO_THREAD_lock_new();
    context->bio_method = tt_socket_bio_method_new();
    r = context_setup(context, config, err);
    if (r != 0) {
        context_free(context);
        return r;
    }
    *ret_context = context;
    return 0;
}

struct tt_tls_context *tt_tls_context_ref(struct tt_tls_context *context)
{
    int count = 0;
    TT_ASSERT(CRYPTO_atomic_add(&context->ref_count, 1, &count, context->lock) == 1);
    TT_ASSERT(count > 1);
    return context;
}

void tt_tls_context_unref(struct tt_tls_context *context)
{
    int count = 0;
    if (context == NULL) {
        return;
    }
    TT_ASSERT(CRYPTO_atomic_add(&context->ref_count, -1, &count, context->lock) == 1);
    TT_ASSERT(count >= 0);
    if (count == 0) {
        context_free(context);
    }
}

int tt_tls_context_reload(struct tt_tls_context *context, bool *ret_changed, struct tt_err *err)
{
    struct material fresh = {0};
    int r = stamps_read(context, &fresh, err);
    if (r != 0) {
        return r;
    }
    /* Only this thread replaces the material, so it may read the stamps without the lock. */
    if (stamps_equal(&fresh, &context->material)) {
        *ret_changed = false;
        return 0;
    }
    r = material_load(context, &fresh, err);
    if (r != 0) {
        return r;
    }
    lock_write(context);
    SSL_CTX *old = context->material.ctx;
    context->material = fresh;
    unlock(context);
    SSL_CTX_free(old);
    *ret_changed = true;
    return 0;
}

void tt_tls_context_revoke(struct tt_tls_context *context, const char *cluster_id,
                           const struct tt_revocation *revocations, size_t count)
{
    struct revoked *fresh = tt_xcalloc(count > 0 ? count : 1, sizeof *fresh);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct revoked *entry = &fresh[kept];
        if (revoked_key(revocations[i].id, entry)) {
            entry->revision = revocations[i].revision;
            entry->wall_ms = revocations[i].wall_ms;
            kept++;
        }
    }
    qsort(fresh, kept, sizeof *fresh, revoked_cmp);
    lock_write(context);
    struct revoked *old = context->revoked;
    context->revoked = fresh;
    context->revoked_count = kept;
    (void)snprintf(context->cluster_id, sizeof context->cluster_id, "%s",
                   cluster_id); /* a longer one is not ours, and equals no certificate's */
    unlock(context);
    tt_free(old);
}

/* With the lock held. */
static bool is_covered(const struct tt_tls_context *context, struct tt_str id,
                       const struct tt_peer_identity *identity)
{
    struct revoked key;
    if (context->revoked_count == 0 || !revoked_key(id, &key)) {
        return false;
    }
    const struct revoked *found =
        bsearch(&key, context->revoked, context->revoked_count, sizeof key, revoked_cmp);
    if (found == NULL) {
        return false;
    }
    const struct tt_revocation revocation = {id, found->revision, found->wall_ms};
    return tt_revocation_covers(&revocation, context->cluster_id, identity);
}

bool tt_tls_context_is_revoked(struct tt_tls_context *context,
                               const struct tt_peer_identity *identity)
{
    char id[TT_REVOCATION_ID_SIZE];
    tt_revocation_id(identity->role, identity->name, id);
    lock_read(context);
    bool revoked = is_covered(context, tt_str_c(identity->serial), identity) ||
                   is_covered(context, tt_str_c(id), identity);
    unlock(context);
    return revoked;
}

SSL *tt_tls_context_ssl(struct tt_tls_context *context, struct tt_err *err)
{
    lock_read(context);
    SSL_CTX *ctx = context->material.ctx;
    int kept = SSL_CTX_up_ref(ctx);
    unlock(context);
    TT_ASSERT(kept == 1);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (ssl == NULL) {
        (void)TT_FAIL_SSL(err, TT_ENOMEM, "create a TLS connection");
    }
    return ssl;
}

int tt_tls_context_attach(struct tt_tls_context *context, SSL *ssl, int fd, struct tt_err *err)
{
    BIO *bio = tt_socket_bio_new(context->bio_method, fd);
    if (bio == NULL) {
        return TT_FAIL_SSL(err, TT_ENOMEM, "attach a socket to TLS");
    }
    SSL_set_bio(ssl, bio, bio);
    return 0;
}

bool tt_tls_context_is_server(const struct tt_tls_context *context)
{
    return context->server;
}

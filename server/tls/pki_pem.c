#include <openssl/bio.h>
#include <openssl/pem.h>

#include "server/tls/openssl_err.h"
#include "server/tls/pki_internal.h"

/* PEM over memory. Texts are outside input (requests, files an operator edits): bounded before
 * parsing, and a key with a passphrase fails instead of asking on the terminal. Keys pass through
 * OpenSSL's secure memory where it was set up, and their buffers are wiped by their users. */

static int passphrase_none(char *out, int size, int writing, void *arg)
{
    (void)out; /* the signature is OpenSSL's */
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* Takes bio. ok says whether writing to it worked. */
static int bio_to_buf(BIO *bio, bool ok, struct tt_buf *ret_pem, struct tt_err *err)
{
    char *text = NULL;
    long size = ok ? BIO_get_mem_data(bio, &text) : 0;
    tt_buf_init(ret_pem, TT_PKI_PEM_SIZE_MAX);
    int r = 0;
    if (size <= 0) {
        r = TT_FAIL_SSL(err, TT_ETLS, "write PEM");
    } else {
        tt_buf_append(ret_pem, text, (size_t)size);
        r = tt_buf_ok(ret_pem) ? 0 : TT_FAIL(err, TT_ETOOLARGE, "PEM text is too long");
    }
    BIO_free(bio);
    return r;
}

int tt_pki_cert_to_pem(X509 *cert, struct tt_buf *ret_pem, struct tt_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return bio_to_buf(bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1, ret_pem, err);
}

int tt_pki_key_to_pem(EVP_PKEY *key, struct tt_buf *ret_pem, struct tt_err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool ok =
        bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    return bio_to_buf(bio, ok, ret_pem, err);
}

int tt_pki_csr_to_pem(X509_REQ *csr, struct tt_buf *ret_pem, struct tt_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return bio_to_buf(bio, bio != NULL && PEM_write_bio_X509_REQ(bio, csr) == 1, ret_pem, err);
}

static BIO *bio_of(struct tt_str pem)
{
    return pem.len > 0 && pem.len <= TT_PKI_PEM_SIZE_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len)
                                                         : NULL;
}

int tt_pki_cert_from_pem(struct tt_str pem, X509 **ret_cert, struct tt_err *err)
{
    BIO *bio = bio_of(pem);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, passphrase_none, NULL) : NULL;
    BIO_free(bio);
    if (cert == NULL) {
        return TT_FAIL_SSL(err, TT_EINVALID, "read a PEM certificate");
    }
    *ret_cert = cert;
    return 0;
}

int tt_pki_key_from_pem(struct tt_str pem, EVP_PKEY **ret_key, struct tt_err *err)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, passphrase_none, NULL) : NULL;
    BIO_free(bio);
    if (key == NULL) {
        return TT_FAIL_SSL(err, TT_EINVALID, "read a PEM private key");
    }
    *ret_key = key;
    return 0;
}

int tt_pki_csr_from_pem(struct tt_str pem, X509_REQ **ret_csr, struct tt_err *err)
{
    BIO *bio = bio_of(pem);
    X509_REQ *csr = bio != NULL ? PEM_read_bio_X509_REQ(bio, NULL, passphrase_none, NULL) : NULL;
    BIO_free(bio);
    if (csr == NULL) {
        return TT_FAIL_SSL(err, TT_EINVALID, "read a PEM certificate request");
    }
    *ret_csr = csr;
    return 0;
}

void tt_pki_buf_wipe(struct tt_buf *buf)
{
    if (buf->ptr != NULL) {
        OPENSSL_cleanse(buf->ptr, buf->cap);
    }
    tt_buf_fini(buf);
}

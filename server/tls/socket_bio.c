#include "server/tls/socket_bio.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* recv and send with MSG_NOSIGNAL; EAGAIN becomes BIO's "retry", everything else is left in errno
 * for SSL_ERROR_SYSCALL. The descriptor is kept in the BIO's data pointer. */

static int fd_of(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static int result_of(BIO *bio, ptrdiff_t size, size_t *ret_size, void (*set_retry)(BIO *bio))
{
    BIO_clear_retry_flags(bio);
    if (size > 0) {
        *ret_size = (size_t)size;
        return 1;
    }
    *ret_size = 0;
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        set_retry(bio);
    }
    return size < 0 ? -1 : 0;
}

static void retry_read(BIO *bio)
{
    BIO_set_retry_read(bio);
}

static void retry_write(BIO *bio)
{
    BIO_set_retry_write(bio);
}

static int bio_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    ptrdiff_t got = recv(fd_of(bio), data, size, 0);
    if (got == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF); /* lets OpenSSL tell a cut connection from a fault */
    }
    return result_of(bio, got, ret_size, retry_read);
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    return result_of(bio, send(fd_of(bio), data, size, MSG_NOSIGNAL), ret_size, retry_write);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)
        bio; /* nothing is buffered here, so flushing always succeeds; the rest is not supported */
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tt_socket_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tutti socket");
    if (method == NULL) {
        return NULL;
    }
    if (BIO_meth_set_read_ex(method, bio_read) != 1 ||
        BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

BIO *tt_socket_bio_new(const BIO_METHOD *method, int fd)
{
    BIO *bio = BIO_new(method);
    if (bio != NULL) {
        BIO_set_data(bio, (void *)(intptr_t)fd);
        BIO_set_init(bio, 1);
    }
    return bio;
}

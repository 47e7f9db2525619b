/* A BIO over a non-blocking socket that never raises SIGPIPE (OpenSSL's own uses write(2)).
 *
 * Ownership: the method belongs to whoever made it (BIO_meth_free) and outlives its BIOs; a BIO
 * borrows the descriptor. Thread: a BIO belongs to one thread; the method is immutable. Errors:
 * NULL when memory is out. */
#ifndef SERVER_TLS_SOCKET_BIO_H
#define SERVER_TLS_SOCKET_BIO_H

#include <openssl/bio.h>

BIO_METHOD *tt_socket_bio_method_new(void);
BIO *tt_socket_bio_new(const BIO_METHOD *method, int fd);

#endif

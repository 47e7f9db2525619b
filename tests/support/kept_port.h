/* A port of 127.0.0.1 that stays ours while nobody listens on it: before a server starts, while it
 * restarts, and where connecting is to be refused. A port that was only looked up may meanwhile
 * become that of another program.
 *
 * A socket is bound to it and never listens. Linux gives such a port to nobody who asks for any,
 * and lets those who name it listen beside it, as long as both sides ask to reuse addresses.
 *
 * Ownership: the caller closes the descriptor. Thread: any. Errors: assertions. */
#ifndef TESTS_SUPPORT_KEPT_PORT_H
#define TESTS_SUPPORT_KEPT_PORT_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

/* Keeps any free port until the returned descriptor is closed. */
static inline int kept_port(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

#endif

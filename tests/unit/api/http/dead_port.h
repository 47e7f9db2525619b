/* A port nobody listens on: connecting to it is refused.
 *
 * It is bound, but never listening, and stays ours until the end: a port that is merely closed
 * again may be a server of another test the next moment. Ownership: dead_port_up/dead_port_down.
 * Thread: the test's. Errors: assertions. */
#ifndef TESTS_UNIT_API_HTTP_DEAD_PORT_H
#define TESTS_UNIT_API_HTTP_DEAD_PORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct dead_port {
    int fd;        /* bound to it */
    uint16_t port; /* of 127.0.0.1 */
};

static inline struct dead_port dead_port_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct dead_port dead = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(dead.fd >= 0);
    assert_int_equal(bind(dead.fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(dead.fd, (struct sockaddr *)&address, &size), 0);
    dead.port = ntohs(address.sin_port);
    return dead;
}

static inline void dead_port_down(struct dead_port *dead)
{
    assert_int_equal(close(dead->fd), 0);
}

#endif

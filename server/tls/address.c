#include "server/tls/address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Both families keep the port at the same place. */
enum { PORT_AT = offsetof(struct sockaddr_in, sin_port) };
_Static_assert((size_t)PORT_AT == offsetof(struct sockaddr_in6, sin6_port), "one offset for both");

bool tt_address_parse(const char *numeric_host, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, numeric_host, &v4.sin_addr) == 1) {
        memcpy(ret, &v4, sizeof v4);
        return true;
    }
    if (inet_pton(AF_INET6, numeric_host, &v6.sin6_addr) == 1) {
        memcpy(ret, &v6, sizeof v6);
        return true;
    }
    return false;
}

socklen_t tt_address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

void tt_address_set_port(struct sockaddr_storage *address, uint16_t port)
{
    in_port_t net = htons(port);
    memcpy((char *)address + PORT_AT, &net, sizeof net);
}

uint16_t tt_address_port(const struct sockaddr_storage *address)
{
    in_port_t net;
    memcpy(&net, (const char *)address + PORT_AT, sizeof net);
    return ntohs(net);
}

void tt_address_format(const struct sockaddr_storage *address, char out[TT_REMOTE_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool v6 = address->ss_family == AF_INET6;
    size_t at =
        v6 ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr);
    if (inet_ntop(address->ss_family, (const char *)address + at, host, sizeof host) == NULL) {
        host[0] = '?';
        host[1] = '\0';
    }
    int size = snprintf(out, TT_REMOTE_SIZE, v6 ? "[%s]:%u" : "%s:%u", host,
                        (unsigned)tt_address_port(address));
    TT_ASSERT(size > 0 && size < TT_REMOTE_SIZE);
}

static void option_set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value); /* best effort, see the header */
}

void tt_socket_tune(int fd, uint32_t user_timeout_ms)
{
    enum { IDLE_S = 30, INTERVAL_S = 10, PROBE_COUNT = 3 };
    int flags = fcntl(fd, F_GETFL);
    TT_ASSERT(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
    option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S);
    option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBE_COUNT);
    if (user_timeout_ms > 0) {
        option_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)user_timeout_ms);
    }
}

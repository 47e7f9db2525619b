/* Socket addresses and options of TLS streams and listeners.
 *
 * Ownership: plain values. Thread: any. Errors: errno is left to the caller. */
#ifndef SERVER_TLS_ADDRESS_H
#define SERVER_TLS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { TT_REMOTE_SIZE = 64 }; /* "[v6]:port" with a scope, and the NUL */

bool tt_address_parse(const char *numeric_host, uint16_t port, struct sockaddr_storage *ret);
socklen_t tt_address_size(const struct sockaddr_storage *address);
void tt_address_set_port(struct sockaddr_storage *address, uint16_t port);
uint16_t tt_address_port(const struct sockaddr_storage *address);
void tt_address_format(const struct sockaddr_storage *address, char out[TT_REMOTE_SIZE]);
/* Non-blocking, no delay, keep-alive probes, and a bound on unacknowledged data (0: none). Options
 * are best effort: a socket works without them. */
void tt_socket_tune(int fd, uint32_t user_timeout_ms);

#endif

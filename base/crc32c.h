/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): by SSE4.2 and PCLMULQDQ where the CPU has them, by a
 * table otherwise, same result. Ownership: borrows the bytes. Thread: any. Errors: none. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t tt_crc32c(uint32_t crc, const void *bytes, size_t size); /* start with 0; chainable */

/* The table's way on any CPU: what tests compare with. */
uint32_t tt_crc32c_portable(uint32_t crc, const void *bytes, size_t size);

#endif

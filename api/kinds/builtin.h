/* The schema files as the build embedded them (module.cmake, embed.cmake).
 *
 * Ownership: static, immutable. Thread: any. Errors: none. */
#ifndef API_KINDS_BUILTIN_H
#define API_KINDS_BUILTIN_H

#include <stddef.h>

struct kinds_builtin {
    const char *file;           /* "pod.json" */
    const unsigned char *bytes; /* JSON as in the file; not NUL-terminated */
    size_t size;                /* of bytes */
};
extern const struct kinds_builtin kinds_builtin[];
extern const size_t kinds_builtin_count;

#endif

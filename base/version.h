/* The version of this build, as all programs print it.
 *
 * Ownership: constants. Thread: any. Errors: none. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define TT_VERSION_TEXT "v0.1.0"

#endif

/* How much of a long random or exhaustive test is worth doing. ThreadSanitizer makes a test of one
 * thread twenty times slower and can find nothing in it; the other builds do all of it.
 *
 * Ownership: none. Thread: any. Errors: none. */
#ifndef TESTS_SUPPORT_EFFORT_H
#define TESTS_SUPPORT_EFFORT_H

#ifdef __SANITIZE_THREAD__
#define TEST_EFFORT(full, under_tsan) (under_tsan)
#else
#define TEST_EFFORT(full, under_tsan) (full)
#endif

#endif

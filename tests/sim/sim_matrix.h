/* The corruption matrix on one member of three; prints a line per kind of file and of damage.
 *
 * Ownership: nothing is kept. Thread: one. Errors: the exit code. */
#ifndef TESTS_SIM_SIM_MATRIX_H
#define TESTS_SIM_SIM_MATRIX_H

int sim_matrix(void); /* 0, or 1 when a verdict was wrong */

#endif

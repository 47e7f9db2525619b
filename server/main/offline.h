/* Work on the data directory of a server that is not running: `tuttid restore` and `tuttid
 * recover`.
 *
 * Both begin a new cluster: its id is new, so that servers of the old one, should they come back,
 * are refused by every member. Terms jump ahead, so that no fencing token of the old cluster is
 * given out again.
 * Ownership: arguments are borrowed. Thread: the only one. Errors: nothing was changed, or the
 * message says what to do. */
#ifndef SERVER_MAIN_OFFLINE_H
#define SERVER_MAIN_OFFLINE_H

#include "base/err.h"

enum { OFFLINE_TERM_JUMP = 1000000 };

int offline_restore(int argc, char **argv, struct tt_err *err) TT_MUST_USE;
int offline_recover(int argc, char **argv, struct tt_err *err) TT_MUST_USE;

#endif

/* The driver for runtimes that speak CRI: containerd, CRI-O.
 *
 * Ownership: as in runtime.h. Thread: that of the loop. Errors: as in runtime.h. */
#ifndef AGENT_CRI_DRIVER_H
#define AGENT_CRI_DRIVER_H

#include "agent/runtime.h"
#include "base/loop.h"

/* endpoint: "unix:///run/…sock" or a plain path; copied. */
int cri_driver_new(struct tt_loop *loop, const char *endpoint, struct rt_driver **ret_driver,
                   struct tt_err *err) TT_MUST_USE;

#endif

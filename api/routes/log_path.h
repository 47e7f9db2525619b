/* The request target of a log on the agent's side: /containerLogs/NS/POD/CONTAINER?….
 *
 * Ownership: appends to the caller's buffer. Thread: any. Errors: the buffer's. */
#ifndef API_ROUTES_LOG_PATH_H
#define API_ROUTES_LOG_PATH_H

#include "api/routes/query.h"
#include "base/buf.h"

void api_log_path(const struct api_query *query, struct tt_str ns, struct tt_str pod,
                  struct tt_str container, struct tt_buf *buf);

#endif

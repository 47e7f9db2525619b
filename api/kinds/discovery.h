/* Discovery documents, aggregated and legacy, written from a registry snapshot.
 *
 * Ownership: appends to the caller's buffer. Thread: any. Errors: false when a group or version is
 * unknown; the buffer's own otherwise. Callers cache by tt_kinds_generation. */
#ifndef API_KINDS_DISCOVERY_H
#define API_KINDS_DISCOVERY_H

#include "api/kinds/registry.h"
#include "base/buf.h"

/* apidiscovery.k8s.io/{v2,v2beta1} APIGroupDiscoveryList; core: /api (only the core group), else
 * /apis (all others). version: "v2" or "v2beta1". */
void tt_discovery_aggregated(struct tt_buf *buf, const struct tt_kinds *kinds, bool core,
                             const char *version);
void tt_discovery_api_versions(struct tt_buf *buf, struct tt_str server_address); /* GET /api */
void tt_discovery_group_list(struct tt_buf *buf, const struct tt_kinds *kinds);   /* GET /apis */
bool tt_discovery_group(struct tt_buf *buf, const struct tt_kinds *kinds,
                        struct tt_str group); /* GET /apis/G */
bool tt_discovery_resource_list(struct tt_buf *buf, const struct tt_kinds *kinds,
                                struct tt_str group, struct tt_str version); /* GET /apis/G/V */

#endif

/* kubeconfigs: what is accepted has an endpoint and a context; nothing leaks. */
#include "api/client/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_kubeconfig *config = NULL;
    struct tt_endpoint endpoint;
    struct tt_str text = tt_str((const char *)data, size);
    if (tt_kubeconfig_parse(text, "/nonexistent", NULL, &config, NULL) == 0) {
        TT_ASSERT(config->endpoint_count > 0 && config->context && config->namespace);
    }
    tt_kubeconfig_free(config);
    if (tt_endpoint_parse(text, &endpoint, NULL) == 0) {
        TT_ASSERT(endpoint.port != 0 && endpoint.host[0] != '\0');
    }
    return 0;
}

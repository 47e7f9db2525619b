/* Named checks of strings: DNS labels, label keys, paths …
 *
 * Ownership: none. Thread: any. Errors: a check returns NULL when the text is fine, else what is
 * wrong in Kubernetes' words (static text). */
#ifndef API_KINDS_FORMAT_H
#define API_KINDS_FORMAT_H

#include "base/str.h"

const char *format_dns1123_label(struct tt_str text);
const char *format_dns1123_subdomain(struct tt_str text);
const char *format_dns1035_label(struct tt_str text);
const char *format_qualified_name(struct tt_str text); /* label and annotation keys */
const char *format_label_value(struct tt_str text);
const char *format_config_key(struct tt_str text);
/* By the schema's name; NULL for an unknown name too. */
const char *format_check(struct tt_str format, struct tt_str text);
/* Formats that apply to a map's keys and values: labels, annotations, configKeys, resourceNames. */
const char *format_check_key(struct tt_str format, struct tt_str key);
const char *format_check_value(struct tt_str format, struct tt_str value);

#endif

/* The parts that pages of several kinds are made of, inside ctl/describe*.c.
 *
 * A page is tables of fields: a label, where the value is, how it is shown. Ownership: borrows.
 * Thread: one. Errors: none. */
#ifndef CTL_DESCRIBE_PARTS_H
#define CTL_DESCRIBE_PARTS_H

#include "api/json/json.h"
#include "ctl/describe.h"
#include "ctl/table.h"

typedef void (*describe_show)(const struct ctl_description *d, const char *label, yyjson_val *val);
struct describe_field {
    const char *label;  /* as it is shown, without a colon */
    const char *path;   /* from the value the table is about; "": that value itself */
    describe_show show; /* how; gets NULL for a missing value */
};
#define DESCRIBE_COUNT(fields) (sizeof(fields) / sizeof((fields)[0]))
void describe_fields(const struct ctl_description *d, yyjson_val *root,
                     const struct describe_field *fields, size_t count);

/* Ways to show a value. */
void describe_text(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_if_any(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_time(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_pairs(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_notes(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_notes_if_any(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_words(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_selector(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_owner(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_amounts(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_conditions(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_containers(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_volumes(const struct ctl_description *d, const char *label, yyjson_val *val);
void describe_tolerations(const struct ctl_description *d, const char *label, yyjson_val *val);
/* A Pod template: labels, annotations, and what its Pods run. */
void describe_template(const struct ctl_description *d, const char *label, yyjson_val *val);

/* Text, number, truth value or JSON as text. */
void describe_scalar(struct tt_buf *buf, yyjson_val *val);
/* A field of printf'ed text, cut at 64 KiB. */
void describe_printf(const struct ctl_description *d, const char *label, const char *fmt, ...)
    TT_PRINTF(3, 4);
/* A section of the table's rows, the header first; takes the table. */
void describe_rows(const struct ctl_description *d, struct tt_str label, struct ctl_table *table);
/* metadata.ownerReferences has the object's uid as the controller. */
bool describe_is_owned(yyjson_val *owned, yyjson_val *owner);

/* The pages. */
void describe_deployment(const struct ctl_description *d);
void describe_replicaset(const struct ctl_description *d);
void describe_pod(const struct ctl_description *d);
void describe_node(const struct ctl_description *d);

#endif

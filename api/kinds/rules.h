/* Semantic rules: what a schema cannot say in a table. A type names its rules; each has a defaulter
 * and a check, either may be NULL.
 *
 * Ownership: rules are static. Thread: any. Errors: checks add causes; defaulters return false when
 * the arena is full. */
#ifndef API_KINDS_RULES_H
#define API_KINDS_RULES_H

#include "api/json/json.h"
#include "api/kinds/schema.h"

struct rule_default {
    yyjson_mut_doc *doc;  /* of root; defaults are made in it */
    yyjson_mut_val *root; /* the whole object */
};
struct rule_check {
    struct tt_issues *causes; /* borrowed; receives the findings */
    struct tt_arena *arena;   /* paths and shown values */
    yyjson_mut_val *root;     /* the whole object */
};
struct tt_rule {
    const char *name; /* static; as the `rules` of a type say it */
    /* Runs after the type's field defaults, before those of its members. */
    bool (*fill)(struct rule_default *ctx, yyjson_mut_val *val);
    /* Of one value of the type, at path, after its fields' own checks. */
    void (*check)(struct rule_check *ctx, yyjson_mut_val *val, const struct tt_field_path *path);
    /* Of a whole object against what is stored; root types only. */
    void (*check_update)(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old);
};
const struct tt_rule *kinds_rule(struct tt_str name); /* NULL: none of that name */

/* Adds a cause at path.name (name may be empty: at path itself). */
void rule_cause(struct rule_check *ctx, enum tt_issue_kind kind, const struct tt_field_path *path,
                const char *name, const char *fmt, ...) TT_PRINTF(5, 6);
/* The value as a message shows it: strings quoted, others as JSON, cut at 128 characters. */
const char *rule_show(struct rule_check *ctx, yyjson_mut_val *val);

extern const struct tt_rule kinds_rules_core[];
extern const size_t kinds_rules_core_count;
extern const struct tt_rule kinds_rules_pod[];
extern const size_t kinds_rules_pod_count;
extern const struct tt_rule kinds_rules_workload[];
extern const size_t kinds_rules_workload_count;

#endif

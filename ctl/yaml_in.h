/* One YAML stream as JSON documents with lines. Part of manifest.h, which says what is accepted.
 *
 * Ownership: documents live in the arena; a stream is freed by its owner. Thread: one.
 * Errors: TT_EINVALID with the line; TT_ETOOLARGE beyond the bounds. */
#ifndef CTL_YAML_IN_H
#define CTL_YAML_IN_H

#include "ctl/manifest.h"

struct ctl_yaml;
/* text is borrowed until free. */
struct ctl_yaml *ctl_yaml_new(struct tt_arena *arena, struct tt_str text);
void ctl_yaml_free(struct ctl_yaml *yaml);
TT_DEFINE_AUTO(ctl_yaml)
/* The next document: ret->root is NULL at the end of the stream, or a value (null for an empty
 * document). Errors begin with the line: "7: what". */
int ctl_yaml_next(struct ctl_yaml *yaml, struct ctl_object *ret, struct tt_err *err) TT_MUST_USE;

#endif

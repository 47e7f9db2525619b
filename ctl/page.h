/* A page: labels with values, sections inside sections, and rows, laid out as indented text.
 *
 * The values of one section stand in one column. Control characters are shown as '?', so that no
 * stored text can steer a terminal. Ownership: copies what it is given. Thread: one. Errors: those
 * of the buffer it is written to; a page beyond CTL_PAGE_SIZE_MAX sets its `failed`. */
#ifndef CTL_PAGE_H
#define CTL_PAGE_H

#include "base/buf.h"
#include "base/mem.h"

enum { CTL_PAGE_SIZE_MAX = 64 << 20, CTL_PAGE_DEPTH_MAX = 12 };

struct ctl_page;
struct ctl_page *ctl_page_new(void);
void ctl_page_free(struct ctl_page *page); /* NULL is fine */
TT_DEFINE_AUTO(ctl_page)
/* "Label:  value"; further lines of the value stand below its first; an empty one is "<none>". */
void ctl_page_field(struct ctl_page *page, const char *label, struct tt_str value);
void ctl_page_entry(struct ctl_page *page, struct tt_str label, struct tt_str value);
/* A section: "Label:", with a value behind it unless that is empty. What follows is indented until
 * it is closed. */
void ctl_page_open(struct ctl_page *page, struct tt_str label, struct tt_str value);
void ctl_page_close(struct ctl_page *page);
/* Each line of the text on a line of its own, without a label. */
void ctl_page_lines(struct ctl_page *page, struct tt_str text);
/* Appends the page; it stays as it is. */
void ctl_page_write(const struct ctl_page *page, struct tt_buf *buf);

#endif

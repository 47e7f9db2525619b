/* Lines are collected first: how wide the labels of a section are is known only at its end. Every
 * section has a number; the widest label of it that a value stands behind makes the column. */
#include "ctl/page.h"

#include "ctl/output.h"

enum { INDENT = 2, GAP = 2, TEXT_SIZE_MAX = CTL_PAGE_SIZE_MAX };

struct line {
    size_t label_size; /* bytes of the text; 0: none */
    size_t value_size; /* bytes of the text behind the label; 0: none */
    size_t width;      /* columns of the label, with its colon */
    uint32_t section;  /* which one the line belongs to */
    uint32_t depth;    /* sections it lies in */
};
struct ctl_page {
    struct tt_buf text;                        /* labels and values one after the other */
    struct tt_buf lines;                       /* struct line each */
    struct tt_buf widths;                      /* size_t of each section: columns of its labels */
    uint32_t depth;                            /* open sections */
    uint32_t sections[CTL_PAGE_DEPTH_MAX + 1]; /* the numbers of the open ones, the page's first */
};

static void begin_section(struct ctl_page *page)
{
    size_t width = 0;
    page->sections[page->depth] = (uint32_t)(page->widths.len / sizeof width);
    tt_buf_append(&page->widths, &width, sizeof width);
}

struct ctl_page *ctl_page_new(void)
{
    struct ctl_page *page = TT_NEW(struct ctl_page);
    tt_buf_init(&page->text, TEXT_SIZE_MAX);
    tt_buf_init(&page->lines, TEXT_SIZE_MAX);
    tt_buf_init(&page->widths, TEXT_SIZE_MAX);
    begin_section(page);
    return page;
}

void ctl_page_free(struct ctl_page *page)
{
    if (page != NULL) {
        tt_buf_fini(&page->text);
        tt_buf_fini(&page->lines);
        tt_buf_fini(&page->widths);
        tt_free(page);
    }
}

static bool is_full(const struct ctl_page *page)
{
    return page->text.failed || page->lines.failed || page->widths.failed;
}

static void add_line(struct ctl_page *page, struct tt_str label, struct tt_str value)
{
    struct line line = {.section = page->sections[page->depth], .depth = page->depth};
    size_t before = page->text.len;
    if (label.len > 0) {
        line.width = ctl_write_printable(&page->text, label) + 1;
        tt_buf_char(&page->text, ':');
    }
    line.label_size = page->text.len - before;
    (void)ctl_write_printable(&page->text, value); /* nothing stands behind it: no width */
    line.value_size = page->text.len - before - line.label_size;
    tt_buf_append(&page->lines, &line, sizeof line);
    if (line.value_size == 0 || is_full(page)) {
        return;
    }
    size_t width;
    char *at = page->widths.ptr + line.section * sizeof width;
    memcpy(&width, at, sizeof width);
    if (line.width > width) {
        memcpy(at, &line.width, sizeof width);
    }
}

void ctl_page_entry(struct ctl_page *page, struct tt_str label, struct tt_str value)
{
    struct tt_str rest = tt_str_trim(value);
    struct tt_str line;
    if (rest.len == 0) {
        rest = TT_STR("<none>");
    }
    while (tt_str_cut(&rest, '\n', &line)) {
        add_line(page, label, line.len > 0 ? line : TT_STR(" "));
        label = TT_STR("");
    }
}

void ctl_page_field(struct ctl_page *page, const char *label, struct tt_str value)
{
    ctl_page_entry(page, tt_str_c(label), value);
}

void ctl_page_open(struct ctl_page *page, struct tt_str label, struct tt_str value)
{
    TT_ASSERT(page->depth < CTL_PAGE_DEPTH_MAX);
    add_line(page, label, value);
    page->depth++;
    begin_section(page);
}

void ctl_page_close(struct ctl_page *page)
{
    TT_ASSERT(page->depth > 0);
    page->depth--;
}

void ctl_page_lines(struct ctl_page *page, struct tt_str text)
{
    uint32_t section = page->sections[page->depth];
    struct tt_str line;
    begin_section(page); /* one of their own: no column moves them */
    while (text.len > 0 && tt_str_cut(&text, '\n', &line)) {
        add_line(page, TT_STR(""), line);
    }
    page->sections[page->depth] = section;
}

static void pad(struct tt_buf *buf, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tt_buf_char(buf, ' ');
    }
}

/* Takes the line's bytes off the text. */
static void write_line(const struct ctl_page *page, const struct line *line, struct tt_str *text,
                       struct tt_buf *buf)
{
    size_t width;
    memcpy(&width, page->widths.ptr + line->section * sizeof width, sizeof width);
    struct tt_str label = tt_str_head(*text, line->label_size);
    *text = tt_str_skip(*text, line->label_size);
    struct tt_str value = tt_str_head(*text, line->value_size);
    *text = tt_str_skip(*text, line->value_size);
    size_t start = buf->len;
    pad(buf, (size_t)line->depth * INDENT);
    tt_buf_str(buf, label);
    if (value.len > 0) {
        pad(buf, width > 0 ? width - line->width + GAP : 0);
        tt_buf_str(buf, value);
    }
    while (buf->len > start && buf->ptr[buf->len - 1] == ' ') {
        buf->len--;
    }
    tt_buf_char(buf, '\n');
}

void ctl_page_write(const struct ctl_page *page, struct tt_buf *buf)
{
    if (is_full(page)) {
        buf->failed = true;
        return;
    }
    struct tt_str text = tt_buf_view(&page->text);
    for (size_t at = 0; at < page->lines.len; at += sizeof(struct line)) {
        struct line line;
        memcpy(&line, page->lines.ptr + at, sizeof line);
        write_line(page, &line, &text, buf);
    }
    TT_ASSERT(text.len == 0);
}

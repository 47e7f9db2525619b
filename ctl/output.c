/* Standard output and the formats that come straight from JSON values. */
#include "ctl/output.h"

#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

enum { VALUE_SIZE_MAX = 1 << 30 };

int ctl_format_parse(const char *text, enum ctl_format *ret, struct tt_err *err)
{
    static const struct {
        const char *name;       /* what -o calls it */
        enum ctl_format format; /* what that means */
    } formats[] = {{"wide", CTL_FORMAT_WIDE},
                   {"json", CTL_FORMAT_JSON},
                   {"yaml", CTL_FORMAT_YAML},
                   {"name", CTL_FORMAT_NAME}};
    if (text == NULL) {
        *ret = CTL_FORMAT_TABLE;
        return TT_OK;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(text, formats[i].name) == 0) {
            *ret = formats[i].format;
            return TT_OK;
        }
    }
    return TT_FAIL(err, TT_EINVAL, "-o \"%s\": give json, yaml, name or wide", text);
}

void ctl_write_json(struct tt_buf *buf, const yyjson_val *val)
{
    size_t size = 0;
    char *text = yyjson_val_write_opts(val, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL, &size, NULL);
    if (text == NULL) {
        buf->failed = true;
        return;
    }
    tt_buf_append(buf, text, size);
    tt_buf_char(buf, '\n');
    tt_free(text); /* the library's default allocator is that of libc, as ours */
}

/* Appends one printable character of the text; returns how many bytes of it that was. */
static size_t add_character(struct tt_buf *buf, struct tt_str rest)
{
    size_t size = tt_utf8_sequence(rest);
    unsigned char c = (unsigned char)rest.ptr[0];
    bool is_c1 = size == 2 && c == 0xc2 && (unsigned char)rest.ptr[1] < 0xa0;
    if (size == 0 || c < 0x20 || c == 0x7f || is_c1) {
        tt_buf_char(buf, '?');
        return size > 0 ? size : 1;
    }
    tt_buf_append(buf, rest.ptr, size);
    return size;
}

size_t ctl_write_printable(struct tt_buf *buf, struct tt_str text)
{
    size_t width = 0;
    while (text.len > 0) {
        text = tt_str_skip(text, add_character(buf, text));
        width++;
    }
    return width;
}

void ctl_print_value(enum ctl_format format, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, VALUE_SIZE_MAX);
    if (format == CTL_FORMAT_YAML) {
        ctl_write_yaml(&buf, val);
    } else {
        ctl_write_json(&buf, val);
    }
    ctl_print_buf(&buf);
}

void ctl_print_buf(const struct tt_buf *buf)
{
    if (buf->len > 0) {
        (void)fwrite(buf->ptr, 1, buf->len, stdout); /* ctl_output_end sees a failure */
    }
}

int ctl_output_end(struct tt_err *err)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return TT_FAIL(err, TT_EIO, "standard output could not be written");
    }
    return TT_OK;
}

bool ctl_is_interactive(void)
{
    return isatty(STDERR_FILENO) == 1;
}

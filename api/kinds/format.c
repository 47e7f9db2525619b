/* String formats, as tables of characters instead of regular expressions. The messages are those
 * clients know from Kubernetes, so that tools which look at them keep working. */
#include "api/kinds/format.h"

#include <arpa/inet.h>

enum {
    LABEL_MAX = 63,
    SUBDOMAIN_MAX = 253,
    PORT_NAME_MAX = 15,
    IP_TEXT_MAX = 46,
};

#define LABEL_MESSAGE                                                                              \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "     \
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define SUBDOMAIN_MESSAGE                                                                          \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is "                                                                           \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define LABEL_1035_MESSAGE                                                                         \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "   \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "           \
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define NAME_MESSAGE                                                                               \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "  \
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " \
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define VALUE_MESSAGE                                                                              \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', " \
    " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define CONFIG_KEY_MESSAGE                                                                         \
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "           \
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
    return is_lower(c) || is_digit(c);
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_name_char(char c)
{
    return is_alnum(c) || c == '-' || c == '_' || c == '.';
}

static bool label_chars(struct tt_str text)
{
    if (text.len == 0 || !is_lower_alnum(text.ptr[0]) || !is_lower_alnum(text.ptr[text.len - 1])) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_lower_alnum(text.ptr[i]) && text.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

const char *format_dns1123_label(struct tt_str text)
{
    if (text.len > LABEL_MAX) {
        return "must be no more than 63 characters";
    }
    return label_chars(text) ? NULL : LABEL_MESSAGE;
}

const char *format_dns1123_subdomain(struct tt_str text)
{
    struct tt_str rest = text, part;
    if (text.len > SUBDOMAIN_MAX) {
        return "must be no more than 253 characters";
    }
    if (text.len == 0) {
        return SUBDOMAIN_MESSAGE;
    }
    while (tt_str_cut(&rest, '.', &part)) {
        if (!label_chars(part)) {
            return SUBDOMAIN_MESSAGE;
        }
    }
    return text.ptr[text.len - 1] == '.' ? SUBDOMAIN_MESSAGE : NULL;
}

const char *format_dns1035_label(struct tt_str text)
{
    if (text.len > LABEL_MAX) {
        return "must be no more than 63 characters";
    }
    return label_chars(text) && is_lower(text.ptr[0]) ? NULL : LABEL_1035_MESSAGE;
}

static bool name_chars(struct tt_str text)
{
    if (text.len == 0 || !is_alnum(text.ptr[0]) || !is_alnum(text.ptr[text.len - 1])) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_name_char(text.ptr[i])) {
            return false;
        }
    }
    return true;
}

const char *format_qualified_name(struct tt_str text)
{
    ptrdiff_t slash = tt_str_find(text, '/');
    struct tt_str name = text;
    if (slash >= 0) {
        struct tt_str prefix = tt_str_head(text, (size_t)slash);
        name = tt_str_skip(text, (size_t)slash + 1);
        if (prefix.len == 0) {
            return "prefix part must be non-empty";
        }
        if (format_dns1123_subdomain(prefix) != NULL) {
            return "prefix part " SUBDOMAIN_MESSAGE;
        }
    }
    if (name.len == 0) {
        return "name part must be non-empty";
    }
    if (name.len > LABEL_MAX) {
        return "name part must be no more than 63 characters";
    }
    return name_chars(name) ? NULL : NAME_MESSAGE;
}

const char *format_label_value(struct tt_str text)
{
    if (text.len > LABEL_MAX) {
        return "must be no more than 63 characters";
    }
    return text.len == 0 || name_chars(text) ? NULL : VALUE_MESSAGE;
}

const char *format_config_key(struct tt_str text)
{
    if (text.len > SUBDOMAIN_MAX) {
        return "must be no more than 253 characters";
    }
    if (tt_str_eq(text, TT_STR(".")) || tt_str_eq(text, TT_STR("..")) ||
        tt_str_starts(text, TT_STR(".."))) {
        return "must not be '.' or start with '..'";
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_name_char(text.ptr[i])) {
            return CONFIG_KEY_MESSAGE;
        }
    }
    return text.len > 0 ? NULL : CONFIG_KEY_MESSAGE;
}

static const char *format_port_name(struct tt_str text)
{
    bool letter = false;
    if (text.len > PORT_NAME_MAX) {
        return "must be no more than 15 characters";
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '-' && i > 0 && text.ptr[i - 1] == '-') {
            return "must not contain consecutive hyphens";
        }
        letter |= is_lower(text.ptr[i]);
    }
    if (!label_chars(text)) {
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
    }
    return letter ? NULL : "must contain at least one letter (a-z)";
}

static const char *format_env_name(struct tt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        /* Any printable ASCII but '=' may be part of a name. */
        if (text.ptr[i] < ' ' || text.ptr[i] > '~' || text.ptr[i] == '=') {
            return "a valid environment variable name must consist only of printable ASCII "
                   "characters other than '='";
        }
    }
    return NULL;
}

static const char *format_relative_path(struct tt_str text)
{
    struct tt_str rest = text, part;
    if (text.len > 0 && text.ptr[0] == '/') {
        return "must be a relative path";
    }
    while (tt_str_cut(&rest, '/', &part)) {
        if (tt_str_eq(part, TT_STR(".."))) {
            return "must not contain '..'";
        }
    }
    return NULL;
}

static const char *format_ip(struct tt_str text)
{
    char copy[IP_TEXT_MAX + 1];
    unsigned char address[16];
    if (text.len == 0 || text.len > IP_TEXT_MAX) {
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    bool ok = inet_pton(AF_INET, copy, address) == 1 || inet_pton(AF_INET6, copy, address) == 1;
    return ok ? NULL : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
}

static const char *format_cluster_ip(struct tt_str text)
{
    return text.len == 0 || tt_str_eq(text, TT_STR("None")) ? NULL : format_ip(text);
}

static const char *format_header_name(struct tt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alnum(text.ptr[i]) && text.ptr[i] != '-') {
            return "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
                   "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
        }
    }
    return NULL;
}

static const struct {
    const char *name;                         /* as schemas say it */
    const char *(*check)(struct tt_str text); /* NULL: fine; else what is wrong */
} formats[] = {
    {"dns1123Label", format_dns1123_label},
    {"dns1123Subdomain", format_dns1123_subdomain},
    {"qualifiedName", format_qualified_name},
    {"labelValue", format_label_value},
    {"configKey", format_config_key},
    {"portName", format_port_name},
    {"envName", format_env_name},
    {"envPrefix", format_env_name},
    {"relativePath", format_relative_path},
    {"ip", format_ip},
    {"clusterIP", format_cluster_ip},
    {"headerName", format_header_name},
};

const char *format_check(struct tt_str format, struct tt_str text)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (tt_str_eq_c(format, formats[i].name)) {
            return formats[i].check(text);
        }
    }
    return NULL;
}

static struct tt_str lower_copy(struct tt_str text, char *out, size_t size)
{
    size_t len = text.len < size ? text.len : size;
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return tt_str(out, len);
}

const char *format_check_key(struct tt_str format, struct tt_str key)
{
    if (tt_str_eq(format, TT_STR("configKeys"))) {
        return format_config_key(key);
    }
    if (tt_str_eq(format, TT_STR("annotations"))) { /* keys are compared in lower case */
        char lower[SUBDOMAIN_MAX + LABEL_MAX + 8];
        return format_qualified_name(lower_copy(key, lower, sizeof lower));
    }
    if (tt_str_eq(format, TT_STR("labels")) || tt_str_eq(format, TT_STR("resourceNames"))) {
        return format_qualified_name(key);
    }
    return NULL;
}

const char *format_check_value(struct tt_str format, struct tt_str value)
{
    return tt_str_eq(format, TT_STR("labels")) ? format_label_value(value) : NULL;
}

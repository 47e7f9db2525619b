/* Volumes: where each comes from, by a table of the sources people use most; any other source shows
 * its plain members. */
#include "ctl/describe_parts.h"

enum { SOURCE_FIELDS_MAX = 4, TEXT_SIZE_MAX = 1 << 20 };

static void show_items(const struct ctl_description *d, const char *label, yyjson_val *val);
static void show_projected(const struct ctl_description *d, const char *label, yyjson_val *val);

struct source {
    const char *member;                                  /* of the volume */
    const char *type;                                    /* what it is, for people */
    struct describe_field fields[SOURCE_FIELDS_MAX + 1]; /* ends with an empty label */
};
static const struct source sources[] = {
    {"configMap",
     "ConfigMap (its keys as files)",
     {{"Name", "name", describe_text},
      {"Optional", "optional", describe_if_any},
      {"Items", "items", show_items}}},
    {"secret",
     "Secret (its keys as files)",
     {{"SecretName", "secretName", describe_text},
      {"Optional", "optional", describe_if_any},
      {"Items", "items", show_items}}},
    {"emptyDir",
     "EmptyDir (a directory that lives as long as the Pod)",
     {{"Medium", "medium", describe_if_any}, {"SizeLimit", "sizeLimit", describe_if_any}}},
    {"hostPath",
     "HostPath (a path of the node)",
     {{"Path", "path", describe_text}, {"HostPathType", "type", describe_if_any}}},
    {"persistentVolumeClaim",
     "PersistentVolumeClaim (of the same namespace)",
     {{"ClaimName", "claimName", describe_text}, {"ReadOnly", "readOnly", describe_if_any}}},
    {"downwardAPI", "DownwardAPI (what the Pod knows of itself)", {{"Items", "items", show_items}}},
    {"projected", "Projected (several sources in one)", {{"Sources", "sources", show_projected}}},
    {"nfs",
     "NFS (a directory of a file server)",
     {{"Server", "server", describe_text},
      {"Path", "path", describe_text},
      {"ReadOnly", "readOnly", describe_if_any}}},
};

/* "key -> path" or "field -> path" of each. */
static void show_items(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    static const char *const origins[] = {"key", "fieldRef.fieldPath", "resourceFieldRef.resource"};
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
            tt_buf_str(&text, tt_json_iget_str(item, origins[i]));
        }
        tt_buf_printf(&text, " -> %.*s\n", TT_STR_ARG(tt_json_iget_str(item, "path")));
    }
    if (text.len > 0) {
        ctl_page_field(d->page, label, tt_buf_view(&text));
    }
}

static void show_projected(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *source;
    while ((source = yyjson_arr_iter_next(&iter)) != NULL) {
        yyjson_val *map = yyjson_obj_get(source, "configMap");
        yyjson_val *secret = yyjson_obj_get(source, "secret");
        yyjson_val *token = yyjson_obj_get(source, "serviceAccountToken");
        if (map != NULL || secret != NULL) {
            tt_buf_printf(&text, "%s %.*s\n", map != NULL ? "ConfigMap" : "Secret",
                          TT_STR_ARG(tt_json_iget_str(map != NULL ? map : secret, "name")));
        } else if (token != NULL) {
            tt_buf_printf(&text, "token of the ServiceAccount, valid for %llds\n",
                          (long long)tt_json_iget_i64(token, "expirationSeconds", 3600));
        } else if (yyjson_obj_get(source, "downwardAPI") != NULL) {
            tt_buf_c(&text, "DownwardAPI\n");
        } else {
            tt_json_iwrite(&text, source);
            tt_buf_char(&text, '\n');
        }
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

static void show_unlisted(const struct ctl_description *d, yyjson_val *source)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_obj_iter iter = yyjson_obj_iter_with(source);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        tt_buf_reset(&text);
        describe_scalar(&text, yyjson_obj_iter_get_val(key));
        ctl_page_entry(d->page, tt_json_istr_of(key), tt_buf_view(&text));
    }
}

static void show_source(const struct ctl_description *d, struct tt_str member, yyjson_val *val)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const struct source *source = &sources[i];
        size_t count = 0;
        if (!tt_str_eq_c(member, source->member)) {
            continue;
        }
        while (source->fields[count].label != NULL) {
            count++;
        }
        ctl_page_field(d->page, "Type", tt_str_c(source->type));
        describe_fields(d, val, source->fields, count);
        return;
    }
    ctl_page_field(d->page, "Type", member);
    show_unlisted(d, val);
}

void describe_volumes(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *volume;
    if (yyjson_arr_size(val) == 0) {
        ctl_page_field(d->page, label, TT_STR(""));
        return;
    }
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    while ((volume = yyjson_arr_iter_next(&iter)) != NULL) {
        ctl_page_open(d->page, tt_json_iget_str(volume, "name"), TT_STR(""));
        yyjson_obj_iter members = yyjson_obj_iter_with(volume);
        yyjson_val *key;
        while ((key = yyjson_obj_iter_next(&members)) != NULL) {
            if (!tt_str_eq_c(tt_json_istr_of(key), "name")) {
                show_source(d, tt_json_istr_of(key), yyjson_obj_iter_get_val(key));
            }
        }
        ctl_page_close(d->page);
    }
    ctl_page_close(d->page);
}

/* Order: envFrom sources first, then env, each may refer to those before it; later ones of the same
 * name win. */
#include "agent/env.h"

#include "base/buf.h"

enum { ENV_MAX = 4096, VALUE_MAX = 1 << 20 };

struct resolver {
    const struct env_context *context; /* borrowed; the pod and its sources */
    struct tt_arena *arena;            /* the caller's; of names and values */
    struct rt_env *env;                /* ENV_MAX */
    size_t count;                      /* filled of env */
};

static int full(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the environment is too large");
}

static const char *keep(struct tt_arena *arena, struct tt_str text)
{
    return tt_arena_strndup(arena, text.ptr ? text.ptr : "", text.len);
}

/* ---- expansion ---- */

static const char *value_of(struct tt_str name, const struct rt_env *env, size_t count)
{
    for (size_t i = count; i > 0; i--) {
        if (tt_str_eq_c(name, env[i - 1].name)) {
            return env[i - 1].value;
        }
    }
    return NULL;
}

/* Handles what follows a '$'; returns how much of text it used. */
static size_t expand_one(struct tt_str text, const struct rt_env *env, size_t count,
                         struct tt_buf *out)
{
    if (text.len == 0 || (text.ptr[0] != '$' && text.ptr[0] != '(')) {
        tt_buf_char(out, '$');
        return 0;
    }
    if (text.ptr[0] == '$') {
        tt_buf_char(out, '$');
        return 1;
    }
    ptrdiff_t end = tt_str_find(text, ')');
    if (end < 0) {
        tt_buf_c(out, "$(");
        return 1;
    }
    struct tt_str name = tt_str(text.ptr + 1, (size_t)end - 1);
    const char *value = value_of(name, env, count);
    if (value != NULL) {
        tt_buf_c(out, value);
    } else {
        tt_buf_printf(out, "$(%.*s)", TT_STR_ARG(name));
    }
    return (size_t)end + 1;
}

const char *env_expand(struct tt_str text, const struct rt_env *env, size_t count,
                       struct tt_arena *arena)
{
    TT_AUTO_BUF struct tt_buf out;
    tt_buf_init(&out, VALUE_MAX);
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i++];
        if (c == '$') {
            i += expand_one(tt_str_skip(text, i), env, count, &out);
        } else {
            tt_buf_char(&out, c);
        }
    }
    return tt_buf_ok(&out) ? keep(arena, tt_buf_view(&out)) : NULL;
}

/* ---- fields ---- */

static bool subscript(struct tt_str path, struct tt_str prefix, struct tt_str *ret_key)
{
    if (!tt_str_starts(path, prefix) || !tt_str_ends(path, TT_STR("']"))) {
        return false;
    }
    *ret_key = tt_str(path.ptr + prefix.len, path.len - prefix.len - 2);
    return true;
}

static struct tt_str map_value(yyjson_val *map, struct tt_str key)
{
    return tt_json_istr_of(yyjson_obj_getn(map, key.ptr, key.len));
}

int env_field(const struct env_context *context, struct tt_str path, struct tt_arena *arena,
              const char **ret_value, struct tt_err *err)
{
    const struct pod *pod = context->pod;
    struct tt_str key;
    struct tt_str value;
    if (subscript(path, TT_STR("metadata.labels['"), &key)) {
        value = map_value(tt_json_iget(pod->root, "metadata.labels"), key);
    } else if (subscript(path, TT_STR("metadata.annotations['"), &key)) {
        value = map_value(tt_json_iget(pod->root, "metadata.annotations"), key);
    } else if (tt_str_eq_c(path, "metadata.name") || tt_str_eq_c(path, "metadata.namespace") ||
               tt_str_eq_c(path, "metadata.uid") || tt_str_eq_c(path, "spec.serviceAccountName")) {
        TT_AUTO_FREE char *dotted = tt_str_xdup(path);
        value = tt_json_iget_str(pod->root, dotted);
    } else if (tt_str_eq_c(path, "spec.nodeName")) {
        value = tt_str_c(context->node_name);
    } else if (tt_str_eq_c(path, "status.hostIP") || tt_str_eq_c(path, "status.hostIPs")) {
        value = tt_str_c(context->host_ip);
    } else if (tt_str_eq_c(path, "status.podIP") || tt_str_eq_c(path, "status.podIPs")) {
        value = tt_str_c(pod->host_network ? context->host_ip : context->pod_ip);
    } else {
        return TT_FAIL(err, TT_EINVAL, "fieldPath \"%.*s\" is not supported", TT_STR_ARG(path));
    }
    *ret_value = keep(arena, value);
    return *ret_value != NULL ? TT_OK : full(err);
}

/* ---- sources ---- */

static int add(struct resolver *resolver, const char *name, const char *value, struct tt_err *err)
{
    if (name == NULL || value == NULL || resolver->count == ENV_MAX) {
        return full(err);
    }
    resolver->env[resolver->count++] = (struct rt_env){name, value};
    return TT_OK;
}

/* TT_OK with NULL: absent but optional. */
static int object_of(struct resolver *resolver, yyjson_val *reference, bool is_secret,
                     yyjson_val **ret_object, struct tt_err *err)
{
    struct tt_str name = tt_json_iget_str(reference, "name");
    struct tt_str ns = tt_str_c(resolver->context->pod->namespace);
    struct ref_source refs = resolver->context->refs;
    *ret_object = NULL;
    switch (refs.get(refs.ctx, is_secret, ns, name, ret_object)) {
    case REF_PRESENT:
        return TT_OK;
    case REF_ABSENT:
        break;
    case REF_UNKNOWN:
        return TT_FAIL(err, TT_EBUSY, "%s \"%.*s\" is not known yet",
                       is_secret ? "secret" : "configmap", TT_STR_ARG(name));
    }
    if (yyjson_is_true(yyjson_obj_get(reference, "optional"))) {
        return TT_OK;
    }
    return TT_FAIL(err, TT_ENOTFOUND, "%s \"%.*s\" not found", is_secret ? "secret" : "configmap",
                   TT_STR_ARG(name));
}

/* Secrets hold base64. NULL: no such text (binary zero, bad encoding) or no room. */
static const char *decode(struct resolver *resolver, struct tt_str value, bool is_secret)
{
    if (!is_secret) {
        return keep(resolver->arena, value);
    }
    char *out = tt_arena_alloc(resolver->arena, value.len + 1);
    if (out == NULL) {
        return NULL;
    }
    ptrdiff_t size = tt_base64_decode(value, out, value.len);
    if (size < 0 || memchr(out, '\0', (size_t)size) != NULL) {
        return NULL;
    }
    out[size] = '\0';
    return out;
}

static int add_key(struct resolver *resolver, struct tt_str name, yyjson_val *reference,
                   bool is_secret, struct tt_err *err)
{
    yyjson_val *object;
    int r = object_of(resolver, reference, is_secret, &object, err);
    if (r != TT_OK || object == NULL) {
        return r;
    }
    struct tt_str key = tt_json_iget_str(reference, "key");
    yyjson_val *value = yyjson_obj_getn(yyjson_obj_get(object, "data"), key.ptr, key.len);
    if (value == NULL) {
        if (yyjson_is_true(yyjson_obj_get(reference, "optional"))) {
            return TT_OK;
        }
        return TT_FAIL(err, TT_ENOTFOUND, "couldn't find key %.*s in %s %s/%.*s", TT_STR_ARG(key),
                       is_secret ? "Secret" : "ConfigMap", resolver->context->pod->namespace,
                       TT_STR_ARG(tt_json_iget_str(reference, "name")));
    }
    return add(resolver, keep(resolver->arena, name),
               decode(resolver, tt_json_istr_of(value), is_secret), err);
}

static int add_all(struct resolver *resolver, yyjson_val *source, struct tt_err *err)
{
    bool is_secret = yyjson_obj_get(source, "secretRef") != NULL;
    yyjson_val *reference = yyjson_obj_get(source, is_secret ? "secretRef" : "configMapRef");
    struct tt_str prefix = tt_json_iget_str(source, "prefix");
    yyjson_val *object;
    int r = object_of(resolver, reference, is_secret, &object, err);
    size_t index;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    if (r != TT_OK) {
        return r;
    }
    yyjson_obj_foreach(yyjson_obj_get(object, "data"), index, count, key, value)
    {
        const char *name =
            tt_arena_printf(resolver->arena, "%.*s%s", TT_STR_ARG(prefix), yyjson_get_str(key));
        const char *text = decode(resolver, tt_json_istr_of(value), is_secret);
        r = add(resolver, name, text, err);
        if (r != TT_OK) {
            return r;
        }
    }
    return TT_OK;
}

static int add_one(struct resolver *resolver, yyjson_val *item, struct tt_err *err)
{
    struct tt_str name = tt_json_iget_str(item, "name");
    yyjson_val *from = yyjson_obj_get(item, "valueFrom");
    if (from == NULL) {
        const char *value = env_expand(tt_json_iget_str(item, "value"), resolver->env,
                                       resolver->count, resolver->arena);
        return add(resolver, keep(resolver->arena, name), value, err);
    }
    yyjson_val *reference = yyjson_obj_get(from, "configMapKeyRef");
    if (reference != NULL) {
        return add_key(resolver, name, reference, false, err);
    }
    reference = yyjson_obj_get(from, "secretKeyRef");
    if (reference != NULL) {
        return add_key(resolver, name, reference, true, err);
    }
    struct tt_str path = tt_json_iget_str(from, "fieldRef.fieldPath");
    if (path.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "variable %.*s has a source that is not supported",
                       TT_STR_ARG(name));
    }
    const char *value;
    int r = env_field(resolver->context, path, resolver->arena, &value, err);
    return r != TT_OK ? r : add(resolver, keep(resolver->arena, name), value, err);
}

static int add_list(struct resolver *resolver, yyjson_val *list,
                    int (*add_item)(struct resolver *, yyjson_val *, struct tt_err *),
                    struct tt_err *err)
{
    size_t index;
    size_t count;
    yyjson_val *item;
    yyjson_arr_foreach(list, index, count, item)
    {
        int r = add_item(resolver, item, err);
        if (r != TT_OK) {
            return r;
        }
    }
    return TT_OK;
}

static int expand_words(struct resolver *resolver, yyjson_val *list, const char *const **ret_words,
                        size_t *ret_count, struct tt_err *err)
{
    size_t index;
    size_t count;
    yyjson_val *item;
    const char **words =
        tt_arena_alloc(resolver->arena, (yyjson_arr_size(list) + 1) * sizeof *words);
    if (words == NULL) {
        return full(err);
    }
    size_t n = 0;
    yyjson_arr_foreach(list, index, count, item)
    {
        words[n] =
            env_expand(tt_json_istr_of(item), resolver->env, resolver->count, resolver->arena);
        if (words[n++] == NULL) {
            return full(err);
        }
    }
    *ret_words = words;
    *ret_count = n;
    return TT_OK;
}

/* Later ones of a name win: the earlier ones are dropped, so that the runtime sees each once. */
static size_t drop_shadowed(struct rt_env *env, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool shadowed = false;
        for (size_t j = i + 1; j < count && !shadowed; j++) {
            shadowed = strcmp(env[i].name, env[j].name) == 0;
        }
        if (!shadowed) {
            env[kept++] = env[i];
        }
    }
    return kept;
}

int env_resolve(const struct env_context *context, struct tt_arena *arena,
                struct rt_container_config *config, struct tt_err *err)
{
    yyjson_val *spec = context->pod->containers[config->index].spec;
    struct resolver resolver = {.context = context, .arena = arena};
    resolver.env = tt_arena_alloc(arena, ENV_MAX * sizeof *resolver.env);
    if (resolver.env == NULL) {
        return full(err);
    }
    int r = add_list(&resolver, yyjson_obj_get(spec, "envFrom"), add_all, err);
    if (r == TT_OK) {
        r = add_list(&resolver, yyjson_obj_get(spec, "env"), add_one, err);
    }
    if (r == TT_OK) {
        r = expand_words(&resolver, yyjson_obj_get(spec, "command"), &config->command,
                         &config->command_count, err);
    }
    if (r == TT_OK) {
        r = expand_words(&resolver, yyjson_obj_get(spec, "args"), &config->args, &config->arg_count,
                         err);
    }
    config->env = resolver.env;
    config->env_count = drop_shadowed(resolver.env, resolver.count);
    return r;
}

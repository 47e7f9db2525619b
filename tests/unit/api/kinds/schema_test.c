/* The schema files themselves: everything that people are shown is described in them. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/json/json.h"
#include "base/file.h"

enum { FILE_SIZE_MAX = 1 << 20, DEPTH_MAX = 16 };

struct walk {
    const char *path; /* of the file */
    size_t fields;
    size_t undescribed;
};

static void look_at(struct walk *walk, yyjson_val *val, const char *what)
{
    if (tt_json_iget_str(val, "doc").len == 0) {
        print_error("%s: %s has no doc\n", walk->path, what);
        walk->undescribed++;
    }
}

static void walk_fields(struct walk *walk, yyjson_val *fields, const char *type, int depth)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(fields);
    yyjson_val *key;
    assert_in_range(depth, 0, DEPTH_MAX);
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        yyjson_val *field = yyjson_obj_iter_get_val(key);
        char name[512];
        (void)snprintf(name, sizeof name, "%s.%s", type, yyjson_get_str(key));
        look_at(walk, field, name);
        walk->fields++;
        walk_fields(walk, yyjson_obj_get(field, "fields"), name, depth + 1);
    }
}

static void walk_file(struct walk *walk, yyjson_val *root)
{
    if (yyjson_obj_get(root, "shared") == NULL) {
        look_at(walk, root, "the kind");
    }
    yyjson_arr_iter columns = yyjson_arr_iter_with(yyjson_obj_get(root, "columns"));
    yyjson_val *column;
    while ((column = yyjson_arr_iter_next(&columns)) != NULL) {
        look_at(walk, column, yyjson_get_str(yyjson_obj_get(column, "name")));
    }
    yyjson_obj_iter types = yyjson_obj_iter_with(yyjson_obj_get(root, "types"));
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&types)) != NULL) {
        walk_fields(walk, yyjson_obj_get(yyjson_obj_iter_get_val(key), "fields"),
                    yyjson_get_str(key), 0);
    }
}

static void every_kind_column_and_field_is_described(void **state)
{
    (void)state;
    glob_t files;
    struct walk walk = {.path = NULL};
    assert_int_equal(glob("api/kinds/*.json", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct tt_buf text;
        struct tt_arena *arena = tt_arena_new(1 << 16, 64 << 20);
        yyjson_doc *doc = NULL;
        walk.path = files.gl_pathv[i];
        assert_int_equal(tt_file_read(walk.path, FILE_SIZE_MAX, &text, NULL), TT_OK);
        assert_int_equal(tt_json_read(arena, tt_buf_view(&text), &doc, NULL), TT_OK);
        walk_file(&walk, yyjson_doc_get_root(doc));
        tt_buf_fini(&text);
        tt_arena_free(arena);
    }
    globfree(&files);
    assert_true(walk.fields > 800);
    assert_int_equal(walk.undescribed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_column_and_field_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

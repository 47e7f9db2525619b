/* Queries and paths: whatever is accepted has no NUL, no dot segment and no slash inside a segment,
 * and encoding a decoded part gives something that decodes to the same. */
#include <string.h>

#include "api/http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_round_trip(struct tt_str part, struct tt_arena *arena)
{
    struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    tt_uri_encode(&text, part);
    char *back = tt_arena_alloc(arena, part.len + 1);
    if (tt_buf_ok(&text) && back) {
        ptrdiff_t size = tt_uri_decode(tt_buf_view(&text), true, back, part.len);
        TT_ASSERT(size >= 0);
        TT_ASSERT(tt_str_eq(tt_str(back, (size_t)size), part));
    }
    tt_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_str text = tt_str((const char *)data, size);
    TT_AUTO(tt_arena) arena = tt_arena_new(4096, 4 << 20);
    struct tt_query query;
    struct tt_uri_path path;
    if (tt_query_parse(text, arena, &query, NULL) == 0) {
        for (uint32_t i = 0; i < query.count; i++) {
            TT_ASSERT(tt_str_find(query.param[i].value, '\0') < 0);
            try_round_trip(query.param[i].value, arena);
        }
    }
    if (tt_uri_path_split(text, arena, &path, NULL) == 0) {
        for (uint32_t i = 0; i < path.count; i++) {
            TT_ASSERT(path.segment[i].len > 0);
            TT_ASSERT(tt_str_find(path.segment[i], '/') < 0);
            TT_ASSERT(!tt_str_eq_c(path.segment[i], ".."));
            try_round_trip(path.segment[i], arena);
        }
    }
    return 0;
}

/* What the tests of kinds share: the built-in kinds, an arena, a buffer, an error.
 *
 * Ownership: setup and teardown are a test's. Thread: the test's. Errors: assertions. */
#ifndef TESTS_UNIT_API_KINDS_FIXTURE_H
#define TESTS_UNIT_API_KINDS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/json/issues.h"
#include "api/kinds/registry.h"
#include "base/buf.h"
#include "base/mem.h"

enum { FIXTURE_ARENA_MAX = 256 << 20, FIXTURE_BUF_MAX = 16 << 20 };

struct fixture {
    struct tt_arena *arena;
    struct tt_registry *registry;
    struct tt_kinds *kinds;
    struct tt_err err;
    struct tt_buf buf;
    struct tt_issues issues; /* emptied by whoever passes it on */
};

static inline int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    f->arena = tt_arena_new(16384, FIXTURE_ARENA_MAX);
    tt_err_init(&f->err);
    tt_buf_init(&f->buf, FIXTURE_BUF_MAX);
    tt_issues_init(&f->issues, f->arena);
    *state = f;
    if (tt_registry_new(&f->registry, &f->err) < 0) {
        print_error("%s\n", tt_err_cause(&f->err));
        return -1;
    }
    f->kinds = tt_registry_get(f->registry);
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    tt_kinds_unref(f->kinds);
    tt_registry_free(f->registry);
    tt_arena_free(f->arena);
    tt_buf_fini(&f->buf);
    tt_free(f);
    return 0;
}

#endif

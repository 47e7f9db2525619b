/* Behaviour of base/cell: readers see whole copies, never a mix of two. */
#include "base/cell.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { WORDS = 64, WRITES = 20000 };

struct page {
    unsigned words[WORDS]; /* all equal in every copy that is written */
};

static void *write_pages(void *arg)
{
    struct tt_cell *cell = arg;
    struct page page;
    for (unsigned n = 0; n <= WRITES; n++) {
        for (size_t i = 0; i < WORDS; i++) {
            page.words[i] = n;
        }
        tt_cell_write(cell, &page);
    }
    return NULL;
}

static void a_reader_never_sees_half_a_write(void **state)
{
    (void)state; /* no fixture */
    struct tt_cell *cell = tt_cell_new(sizeof(struct page));
    struct page page;
    pthread_t writer;
    unsigned last = 0;
    assert_int_equal(pthread_create(&writer, NULL, write_pages, cell), 0);
    while (last < WRITES) {
        tt_cell_read(cell, &page);
        assert_true(page.words[0] >= last);
        last = page.words[0];
        for (size_t i = 1; i < WORDS; i++) {
            assert_int_equal(page.words[i], last);
        }
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    tt_cell_free(cell);
}

static void a_new_cell_reads_as_zero(void **state)
{
    (void)state; /* no fixture */
    struct tt_cell *cell = tt_cell_new(sizeof(unsigned));
    unsigned value = 7;
    tt_cell_read(cell, &value);
    assert_int_equal(value, 0);
    tt_cell_free(cell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_never_sees_half_a_write),
        cmocka_unit_test(a_new_cell_reads_as_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Behaviour of base/poke: at most one message, nothing new is missed. */
#include "base/poke.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

struct looker {
    struct tt_poke poke;
    unsigned looks;
    bool again; /* something new comes while it looks */
};

static void look(struct tt_poke *poke)
{
    struct looker *looker = TT_CONTAINER_OF(poke, struct looker, poke);
    looker->looks++;
    if (looker->again) {
        looker->again = false;
        tt_poke_fire(poke);
    }
}

static void box_end(struct tt_mailbox *box)
{
    tt_mailbox_close(box);
    tt_mailbox_drain(box);
    tt_mailbox_free(box);
}

static void many_fires_make_one_look(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = tt_mailbox_new(1, NULL, NULL);
    struct looker looker = {.looks = 0};
    tt_poke_init(&looker.poke, box, look);
    for (unsigned i = 0; i < 10; i++) {
        tt_poke_fire(&looker.poke);
    }
    assert_int_equal(tt_mailbox_drain(box), 1);
    assert_int_equal(looker.looks, 1);
    box_end(box);
}

static void a_fire_during_the_look_is_not_lost(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = tt_mailbox_new(1, NULL, NULL);
    struct looker looker = {.again = true};
    tt_poke_init(&looker.poke, box, look);
    tt_poke_fire(&looker.poke);
    assert_int_equal(tt_mailbox_drain(box), 1);
    assert_int_equal(tt_mailbox_drain(box), 1);
    assert_int_equal(looker.looks, 2);
    box_end(box);
}

static void a_closed_box_ignores_fires(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = tt_mailbox_new(1, NULL, NULL);
    struct looker looker = {.looks = 0};
    tt_poke_init(&looker.poke, box, look);
    tt_mailbox_close(box);
    tt_poke_fire(&looker.poke);
    box_end(box);
    assert_int_equal(looker.looks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_fires_make_one_look),
        cmocka_unit_test(a_fire_during_the_look_is_not_lost),
        cmocka_unit_test(a_closed_box_ignores_fires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

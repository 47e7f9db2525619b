/* Behaviour of base/queue: order, bounds, wakes, many producers. */
#include "base/queue.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

enum { PRODUCERS = 4, PER_PRODUCER = 20000 };

struct item {
    struct tt_msg msg;
    unsigned producer;
    unsigned number;
};

/* What the consumer saw; static because `run` has no context of its own. */
static struct {
    unsigned next[PRODUCERS];
    unsigned wakes;
    unsigned out_of_order;
} seen;

static void run_item(struct tt_msg *msg)
{
    const struct item *item = TT_CONTAINER_OF(msg, struct item, msg);
    if (seen.next[item->producer]++ != item->number) {
        seen.out_of_order++;
    }
}

static void count_wake(void *ctx)
{
    (void)ctx; /* counts in `seen` */
    seen.wakes++;
}

static struct tt_mailbox *box_new(size_t count_max)
{
    memset(&seen, 0, sizeof seen);
    return tt_mailbox_new(count_max, count_wake, NULL);
}

static void box_end(struct tt_mailbox *box)
{
    tt_mailbox_close(box);
    tt_mailbox_drain(box);
    tt_mailbox_free(box);
}

static void only_the_first_post_after_a_drain_wakes(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = box_new(8);
    struct item items[3] = {
        {{NULL, run_item}, 0, 0}, {{NULL, run_item}, 0, 1}, {{NULL, run_item}, 0, 2}};
    assert_int_equal(tt_mailbox_post(box, &items[0].msg), TT_OK);
    assert_int_equal(tt_mailbox_post(box, &items[1].msg), TT_OK);
    assert_int_equal(seen.wakes, 1);
    assert_int_equal(tt_mailbox_drain(box), 2);
    assert_int_equal(tt_mailbox_post(box, &items[2].msg), TT_OK);
    assert_int_equal(seen.wakes, 2);
    box_end(box);
    assert_int_equal(seen.next[0], 3);
    assert_int_equal(seen.out_of_order, 0);
}

static void a_full_box_refuses_requests_but_not_answers(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = box_new(1);
    struct item items[4] = {{{NULL, run_item}, 0, 0},
                            {{NULL, run_item}, 0, 9},
                            {{NULL, run_item}, 0, 1},
                            {{NULL, run_item}, 0, 2}};
    assert_int_equal(tt_mailbox_post(box, &items[0].msg), TT_OK);
    assert_int_equal(tt_mailbox_post(box, &items[1].msg), TT_EBUSY);
    items[2].msg.next = &items[3].msg;
    assert_int_equal(tt_mailbox_post_answers(box, &items[2].msg, &items[3].msg), TT_OK);
    assert_int_equal(tt_mailbox_count(box), 1);
    assert_int_equal(tt_mailbox_drain(box), 3);
    assert_int_equal(seen.out_of_order, 0);
    assert_int_equal(tt_mailbox_count(box), 0);
    box_end(box);
}

static void a_closed_box_refuses_everything(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = box_new(1);
    struct item item = {{NULL, run_item}, 0, 0};
    tt_mailbox_close(box);
    assert_int_equal(tt_mailbox_post(box, &item.msg), TT_ECLOSED);
    assert_int_equal(tt_mailbox_post_answer(box, &item.msg), TT_ECLOSED);
    box_end(box);
}

static struct tt_mailbox *repost_box;

static void run_and_repost(struct tt_msg *msg)
{
    msg->run = run_item;
    TT_IGNORE(tt_mailbox_post(repost_box, msg)); /* the drain's count tells */
}

static void a_drain_leaves_what_is_posted_meanwhile(void **state)
{
    (void)state; /* no fixture */
    repost_box = box_new(4);
    struct item item = {{NULL, run_and_repost}, 0, 0};
    assert_int_equal(tt_mailbox_post(repost_box, &item.msg), TT_OK);
    assert_int_equal(tt_mailbox_drain(repost_box), 1);
    assert_int_equal(seen.wakes, 2);
    assert_int_equal(tt_mailbox_drain(repost_box), 1);
    box_end(repost_box);
}

struct producer {
    struct tt_mailbox *box;
    struct item *items; /* PER_PRODUCER */
    pthread_t thread;
};

static void *produce(void *arg)
{
    const struct producer *p = arg;
    for (unsigned i = 0; i < PER_PRODUCER; i++) {
        while (tt_mailbox_post(p->box, &p->items[i].msg) == TT_EBUSY) {
            sched_yield();
        }
    }
    return NULL;
}

static void each_producers_messages_stay_in_order(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *box = box_new(512);
    struct producer producers[PRODUCERS];
    for (unsigned p = 0; p < PRODUCERS; p++) {
        producers[p].box = box;
        producers[p].items = tt_xcalloc(PER_PRODUCER, sizeof(struct item));
        for (unsigned i = 0; i < PER_PRODUCER; i++) {
            producers[p].items[i] = (struct item){{NULL, run_item}, p, i};
        }
        assert_int_equal(pthread_create(&producers[p].thread, NULL, produce, &producers[p]), 0);
    }
    size_t count = 0;
    while (count < PRODUCERS * PER_PRODUCER) {
        count += tt_mailbox_drain(box);
    }
    for (unsigned p = 0; p < PRODUCERS; p++) {
        assert_int_equal(pthread_join(producers[p].thread, NULL), 0);
        tt_free(producers[p].items);
    }
    assert_int_equal(seen.out_of_order, 0);
    box_end(box);
}

static void a_list_keeps_order_and_unlinked_nodes_are_empty(void **state)
{
    (void)state; /* no fixture */
    struct tt_list head;
    struct tt_list nodes[3];
    tt_list_init(&head);
    for (size_t i = 0; i < 3; i++) {
        tt_list_push_back(&head, &nodes[i]);
    }
    tt_list_remove(&nodes[1]);
    assert_true(tt_list_empty(&nodes[1]));
    assert_ptr_equal(tt_list_pop_front(&head), &nodes[0]);
    assert_ptr_equal(tt_list_pop_front(&head), &nodes[2]);
    assert_null(tt_list_pop_front(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_first_post_after_a_drain_wakes),
        cmocka_unit_test(a_full_box_refuses_requests_but_not_answers),
        cmocka_unit_test(a_closed_box_refuses_everything),
        cmocka_unit_test(a_drain_leaves_what_is_posted_meanwhile),
        cmocka_unit_test(each_producers_messages_stay_in_order),
        cmocka_unit_test(a_list_keeps_order_and_unlinked_nodes_are_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Intrusive list, and the bounded mailbox that carries messages into a thread.
 *
 * Messages between threads are owned or immutable; nothing else crosses. A mailbox is
 * multi-producer, single-consumer. A post that finds the mailbox full fails: the producer keeps the
 * message and answers "busy" or drops it by its own rule. Ownership: the mailbox owns posted
 * messages until `run` gets them. Thread: post from any; drain on the owner only. Errors: TT_EBUSY
 * full, TT_ECLOSED closed. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Doubly linked intrusive list; an initialised head or unlinked node points at itself. */
struct tt_list {
    struct tt_list *next; /* of the head: the first */
    struct tt_list *prev; /* of the head: the last */
};
static inline void tt_list_init(struct tt_list *list)
{
    list->next = list;
    list->prev = list;
}
static inline bool tt_list_empty(const struct tt_list *list)
{
    return list->next == list;
}
static inline void tt_list_push_back(struct tt_list *head, struct tt_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void tt_list_remove(struct tt_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node;
    node->prev = node;
}
static inline struct tt_list *tt_list_pop_front(struct tt_list *head)
{
    struct tt_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    tt_list_remove(node);
    return node;
}

/* Embed in a message. `run` is called on the consumer's thread and takes the message over. */
struct tt_msg {
    struct tt_msg *next; /* whose queue it is in owns this: the mailbox from post to run */
    void (*run)(struct tt_msg *msg); /* once, on the consumer's thread; msg is its own then */
};

struct tt_mailbox;
/* wake(ctx) is called (from the posting thread) when the mailbox goes from drained to non-empty, at
 * most once per drain. */
struct tt_mailbox *tt_mailbox_new(size_t count_max, void (*wake)(void *ctx), void *ctx);
void tt_mailbox_free(struct tt_mailbox *box); /* must be drained and closed */
int tt_mailbox_post(struct tt_mailbox *box, struct tt_msg *msg) TT_MUST_USE;
/* For answers whose number is bounded by the requests in flight: never refused while the box is
 * open, not counted. */
int tt_mailbox_post_answer(struct tt_mailbox *box, struct tt_msg *msg) TT_MUST_USE;
/* Appends a chain of `count` answers (linked by next) in one go: one wake for a whole batch. */
int tt_mailbox_post_answers(struct tt_mailbox *box, struct tt_msg *first,
                            struct tt_msg *last) TT_MUST_USE;
size_t tt_mailbox_drain(
    struct tt_mailbox *box); /* runs all that was there when it began; returns how many */
/* For a consumer that looks again before it sleeps: as drain, but posts do not wake until
 * tt_mailbox_sleep has said true. */
size_t tt_mailbox_drain_awake(struct tt_mailbox *box);
/* True: the box is empty, and the next post wakes. False: something is there, drain it first. */
bool tt_mailbox_sleep(struct tt_mailbox *box);
void tt_mailbox_close(struct tt_mailbox *box);   /* later posts fail with TT_ECLOSED */
size_t tt_mailbox_count(struct tt_mailbox *box); /* a snapshot, for metrics */

#endif

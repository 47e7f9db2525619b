/* Attempts in order of sending, and a table to find them by request. There are some thousands at
 * most; requests are counted up, so that the buckets fill evenly and nothing is allocated. */
#include "raft/forwarded.h"

#include <string.h>

static struct attempt *attempt_of(struct tt_list *link)
{
    return TT_CONTAINER_OF(link, struct attempt, link);
}

static struct attempt **bucket_of(struct forwarded *forwarded, uint64_t request)
{
    return &forwarded->buckets[request % FORWARDED_BUCKETS];
}

void forwarded_init(struct forwarded *forwarded)
{
    memset(forwarded, 0, sizeof *forwarded);
    tt_list_init(&forwarded->attempts);
}

void forwarded_add(struct forwarded *forwarded, struct attempt *attempt, uint64_t request,
                   uint64_t term)
{
    struct tt_list *attempts = &forwarded->attempts;
    TT_ASSERT(tt_list_empty(attempts) || attempt_of(attempts->prev)->term <= term);
    struct attempt **bucket = bucket_of(forwarded, request);
    *attempt = (struct attempt){.next = *bucket, .request = request, .term = term};
    *bucket = attempt;
    tt_list_push_back(attempts, &attempt->link);
}

struct attempt *forwarded_take(struct forwarded *forwarded, uint64_t request)
{
    struct attempt **at = bucket_of(forwarded, request);
    while (*at && (*at)->request != request) {
        at = &(*at)->next;
    }
    struct attempt *attempt = *at;
    if (attempt) {
        *at = attempt->next;
        tt_list_remove(&attempt->link);
    }
    return attempt;
}

struct attempt *forwarded_settled(struct forwarded *forwarded, uint64_t term)
{
    const struct tt_list *attempts = &forwarded->attempts;
    if (tt_list_empty(attempts) || attempt_of(attempts->next)->term >= term) {
        return NULL;
    }
    return forwarded_take(forwarded, attempt_of(attempts->next)->request);
}

void forwarded_hide(struct forwarded *forwarded, uint64_t term)
{
    struct tt_list *attempts = &forwarded->attempts;
    for (struct tt_list *link = attempts->next; link != attempts; link = link->next) {
        struct attempt *attempt = attempt_of(link);
        attempt->hidden = attempt->hidden || attempt->term <= term;
    }
}

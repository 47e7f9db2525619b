/* The meaning of the log's records.
 *
 * Happy path: entries extend, a truncation drops the end, an own snapshot drops the beginning, an
 * installed one drops everything. Failure modes: a record that contradicts the state (a gap, a
 * falling term, a truncation of what a snapshot holds) is a bug before writing and corruption after
 * reading; both callers get the reason. */
#include "raft/log_model.h"

#include "base/intmath.h"

enum { LOG_PLACES_MIN = 256 };

void log_model_fini(struct log_model *model)
{
    tt_free(model->places);
    memset(model, 0, sizeof *model);
}

static void places_reset(struct log_model *model, uint64_t first)
{
    model->head = 0;
    model->count = 0;
    model->places_first = first;
}

void log_model_begin(struct log_model *model, const struct log_state *base)
{
    model->state = *base;
    places_reset(model, base->last_index + 1);
}

static void places_push(struct log_model *model, const struct log_place *place)
{
    if (model->head + model->count == model->capacity) {
        if (model->head > model->capacity / 2) {
            TT_ASSERT(model->places != NULL);
            memmove(model->places, model->places + model->head, model->count * sizeof *place);
            model->head = 0;
        } else {
            size_t bytes = 0;
            size_t capacity = tt_size_max(LOG_PLACES_MIN, model->capacity * 2);
            TT_ASSERT(tt_size_mul(capacity, sizeof *place, &bytes));
            model->places = tt_xrealloc(model->places, bytes);
            model->capacity = capacity;
        }
    }
    TT_ASSERT(model->places != NULL && model->head + model->count < model->capacity);
    model->places[model->head + model->count++] = *place;
}

static void places_truncate(struct log_model *model, uint64_t from)
{
    if (from <= model->places_first) {
        places_reset(model, from);
    } else if (from - model->places_first < model->count) {
        model->count = (size_t)(from - model->places_first);
    }
}

static void places_trim(struct log_model *model, uint64_t first)
{
    if (first <= model->places_first) {
        return;
    }
    uint64_t drop = first - model->places_first;
    if (drop >= model->count) {
        places_reset(model, first);
        return;
    }
    model->head += (size_t)drop;
    model->count -= (size_t)drop;
    model->places_first = first;
}

struct log_place *log_model_place(const struct log_model *model, uint64_t index)
{
    if (index < model->places_first || index - model->places_first >= model->count) {
        return NULL;
    }
    return &model->places[model->head + (size_t)(index - model->places_first)];
}

bool log_model_complete(const struct log_model *model)
{
    return model->places_first <= model->state.first_index;
}

static const char *apply_entry(struct log_model *model, const struct log_record *record,
                               uint64_t address)
{
    if (record->a != model->state.last_index + 1) {
        return "an entry does not follow on the one before";
    }
    const struct log_place *last = log_model_place(model, model->state.last_index);
    if (record->b == 0 || (last && record->b < last->term)) {
        return "the term of an entry is below the one before";
    }
    struct log_place place = {
        .position = address, .term = record->b, .size = record->size, .type = record->type};
    places_push(model, &place);
    model->state.last_index = record->a;
    return NULL;
}

static const char *apply_hard_state(struct log_model *model, const struct log_record *record)
{
    if (record->a < model->state.term) {
        return "the term went backwards";
    }
    model->state.term = record->a;
    model->state.voted_for = record->b;
    return NULL;
}

static const char *apply_truncate(struct log_model *model, const struct log_record *record)
{
    struct log_state *state = &model->state;
    if (record->a > state->last_index || record->a < state->first_index ||
        record->a <= state->snapshot.index) {
        return "a truncation is outside of the entries";
    }
    places_truncate(model, record->a);
    state->last_index = record->a - 1;
    return NULL;
}

static const char *apply_snapshot(struct log_model *model, const struct log_record *record,
                                  const uint8_t *bytes)
{
    struct log_state *state = &model->state;
    bool install = record->type == 1;
    if (record->size < 8 || record->size > 8 + TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX ||
        record->type > 1) {
        return "a snapshot record is malformed";
    }
    uint64_t keep_from = tt_le64_get(bytes);
    if (record->a == 0 || record->a < state->snapshot.index || keep_from > record->a + 1) {
        return "a snapshot is older than the one before";
    }
    if (!install && (record->a > state->last_index || keep_from == 0)) {
        return "a snapshot is ahead of the log";
    }
    state->snapshot = (struct tt_wal_snapshot){
        .index = record->a, .term = record->b, .handle_size = record->size - 8};
    memcpy(state->snapshot.handle, bytes + 8, record->size - 8);
    if (install) {
        state->last_index = record->a;
        state->first_index = record->a + 1;
        places_reset(model, record->a + 1);
    } else {
        state->first_index = tt_u64_max(state->first_index, keep_from);
        places_trim(model, state->first_index);
    }
    return NULL;
}

const char *log_model_apply(struct log_model *model, const struct log_record *record,
                            const uint8_t *bytes, uint64_t address)
{
    switch ((enum log_kind)record->kind) {
    case LOG_KIND_ENTRY:
        return apply_entry(model, record, address);
    case LOG_KIND_HARD_STATE:
        return apply_hard_state(model, record);
    case LOG_KIND_TRUNCATE:
        return apply_truncate(model, record);
    case LOG_KIND_SNAPSHOT:
        return apply_snapshot(model, record, bytes);
    case LOG_KIND_SEGMENT:
        break;
    }
    return "a record of this kind does not belong here";
}

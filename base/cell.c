/* A mutex around a memcpy: small structs, read seldom. */
#include "base/cell.h"

#include <pthread.h>
#include <string.h>

struct tt_cell {
    pthread_mutex_t mutex; /* guards bytes */
    size_t size;           /* of bytes; fixed at new */
    unsigned char bytes[]; /* the newest value written */
};

struct tt_cell *tt_cell_new(size_t size)
{
    struct tt_cell *cell = tt_xcalloc(1, sizeof *cell + size);
    cell->size = size;
    int r = pthread_mutex_init(&cell->mutex, NULL);
    TT_ASSERT(r == 0);
    return cell;
}

void tt_cell_free(struct tt_cell *cell)
{
    if (cell == NULL) {
        return;
    }
    int r = pthread_mutex_destroy(&cell->mutex);
    TT_ASSERT(r == 0);
    tt_free(cell);
}

void tt_cell_write(struct tt_cell *cell, const void *value)
{
    pthread_mutex_lock(&cell->mutex);
    memcpy(cell->bytes, value, cell->size);
    pthread_mutex_unlock(&cell->mutex);
}

void tt_cell_read(struct tt_cell *cell, void *ret_value)
{
    pthread_mutex_lock(&cell->mutex);
    memcpy(ret_value, cell->bytes, cell->size);
    pthread_mutex_unlock(&cell->mutex);
}

/* The file: u64 magic | cluster id | u32 count | {u64 member id | u64 incarnation} each | u32
 * CRC-32C of all before it. It is replaced as a whole.
 *
 * Happy path: a hello comes from somebody who is known, by the same incarnation: nothing is
 * written. Failure modes: the write fails → the hello is refused, and the peer will come again; the
 * book is full → the smallest id makes room, since ids only grow and the oldest members are gone.
 */
#include "raft/peer_book.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "base/intmath.h"

enum {
    BOOK_ID_SIZE = 40, /* of the cluster id, padded with zeros */
    BOOK_HEAD_SIZE = 8 + BOOK_ID_SIZE + 4,
    BOOK_ENTRY_SIZE = 16,
    BOOK_SIZE_MAX = BOOK_HEAD_SIZE + TT_PEER_BOOK_ENTRIES_MAX * BOOK_ENTRY_SIZE + 4,
};
#define BOOK_MAGIC UINT64_C(0x312d736b70747574) /* "tutpks-1" */

struct entry {
    uint64_t member_id;   /* rising */
    uint64_t incarnation; /* of the directory it was first met with; never 0 */
};

struct tt_peer_book {
    const struct tt_disk *disk;    /* kept */
    char *dir;                     /* owned */
    char cluster_id[BOOK_ID_SIZE]; /* padded with zeros; a file of another one counts as empty */
    size_t count;                  /* of entries */
    struct entry entries[TT_PEER_BOOK_ENTRIES_MAX]; /* [0, count), by member_id */
};

/* ---- the file ---- */

static size_t book_encode(const struct tt_peer_book *book, uint8_t out[BOOK_SIZE_MAX])
{
    size_t size = BOOK_HEAD_SIZE;
    tt_le64_put(out, BOOK_MAGIC);
    memcpy(out + 8, book->cluster_id, BOOK_ID_SIZE);
    tt_le32_put(out + 8 + BOOK_ID_SIZE, (uint32_t)book->count);
    for (size_t i = 0; i < book->count; i++) {
        tt_le64_put(out + size, book->entries[i].member_id);
        tt_le64_put(out + size + 8, book->entries[i].incarnation);
        size += BOOK_ENTRY_SIZE;
    }
    tt_le32_put(out + size, tt_crc32c(0, out, size));
    return size + 4;
}

static bool book_decode(struct tt_peer_book *book, struct tt_str bytes)
{
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    if (bytes.len < BOOK_HEAD_SIZE + 4 || tt_le64_get(in) != BOOK_MAGIC ||
        tt_le32_get(in + bytes.len - 4) != tt_crc32c(0, in, bytes.len - 4)) {
        return false;
    }
    size_t count = tt_le32_get(in + 8 + BOOK_ID_SIZE);
    if (count > TT_PEER_BOOK_ENTRIES_MAX ||
        bytes.len != BOOK_HEAD_SIZE + count * BOOK_ENTRY_SIZE + 4) {
        return false;
    }
    if (memcmp(in + 8, book->cluster_id, BOOK_ID_SIZE) != 0) {
        return true; /* of another cluster: its ids are not ours */
    }
    book->count = count;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = in + BOOK_HEAD_SIZE + i * BOOK_ENTRY_SIZE;
        book->entries[i] = (struct entry){tt_le64_get(at), tt_le64_get(at + 8)};
    }
    return true;
}

static int book_save(const struct tt_peer_book *book, struct tt_err *err)
{
    uint8_t bytes[BOOK_SIZE_MAX];
    size_t size = book_encode(book, bytes);
    return tt_disk_replace(book->disk, book->dir, "peers", tt_str((const char *)bytes, size), err);
}

/* ---- life ---- */

int tt_peer_book_open(const struct tt_disk *disk, const char *dir, const char *cluster_id,
                      struct tt_peer_book **ret_book, struct tt_err *err)
{
    TT_AUTO(tt_peer_book) book = TT_NEW(struct tt_peer_book);
    TT_AUTO_FREE char *path = tt_xasprintf("%s/peers", dir);
    struct tt_buf bytes;
    book->disk = disk;
    book->dir = tt_xstrdup(dir);
    TT_ASSERT(strlen(cluster_id) < BOOK_ID_SIZE);
    memcpy(book->cluster_id, cluster_id, strlen(cluster_id));
    struct tt_err why;
    tt_err_init(&why);
    int r = tt_disk_load(disk, path, BOOK_SIZE_MAX, &bytes, &why);
    if (r == TT_OK || r == TT_ETOOLARGE) {
        bool valid = r == TT_OK && book_decode(book, tt_buf_view(&bytes));
        r = valid ? TT_OK : TT_FAIL(err, TT_ECORRUPT, "%s is damaged", path);
    } else if (r == TT_ENOTFOUND) {
        r = TT_OK; /* nobody was met yet */
    } else {
        r = TT_FAIL(err, r, "%s", tt_err_cause(&why));
    }
    tt_buf_fini(&bytes);
    if (r == TT_OK) {
        *ret_book = TT_TAKE(book);
    }
    return r;
}

void tt_peer_book_free(struct tt_peer_book *book)
{
    if (book != NULL) {
        tt_free(book->dir);
        tt_free(book);
    }
}

/* ---- entries ---- */

uint64_t tt_peer_book_known(const struct tt_peer_book *book, uint64_t member_id)
{
    for (size_t i = 0; i < book->count; i++) {
        if (book->entries[i].member_id == member_id) {
            return book->entries[i].incarnation;
        }
    }
    return 0;
}

static struct entry *room(struct tt_peer_book *book)
{
    if (book->count < TT_PEER_BOOK_ENTRIES_MAX) {
        return &book->entries[book->count++];
    }
    struct entry *oldest = &book->entries[0];
    for (size_t i = 1; i < book->count; i++) {
        if (book->entries[i].member_id < oldest->member_id) {
            oldest = &book->entries[i];
        }
    }
    return oldest;
}

int tt_peer_book_meet(struct tt_peer_book *book, uint64_t member_id, uint64_t incarnation,
                      struct tt_err *err)
{
    uint64_t known = tt_peer_book_known(book, member_id);
    if (incarnation == 0) {
        return TT_FAIL(err, TT_EPROTO, "member %llu names no data directory",
                       (unsigned long long)member_id);
    }
    if (known != 0) {
        return known == incarnation
                   ? TT_OK
                   : TT_FAIL(err, TT_ECONFLICT,
                             "member %llu came with another data directory than it is known by: "
                             "it lost its memory and must not vote again; remove it and add it "
                             "anew (docs/ops/recovery.md)",
                             (unsigned long long)member_id);
    }
    struct tt_peer_book before = *book;
    *room(book) = (struct entry){member_id, incarnation};
    int r = book_save(book, err);
    if (r != TT_OK) {
        *book = before;
        return TT_WRAP(err, r, "write down who member %llu is", (unsigned long long)member_id);
    }
    return TT_OK;
}

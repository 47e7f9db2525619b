/* Frames come in any cut; a frame is complete in memory before it is looked at (2 MiB at most). */
#include "ctl/backup_file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/intmath.h"
#include "proto/snapshot.pb-c.h"

enum {
    FRAME_HEAD_SIZE = 8,
    FRAME_SIZE_MAX = 2 << 20,
    PIECE_SIZE = 256 << 10,
    HEADER_SIZE_MAX = 4096,
    HASH_SIZE = 32,
};

struct ctl_stream_check {
    struct tt_buf pending;         /* the beginning of a frame */
    struct ctl_stream_facts facts; /* of what was fed; size counts whole frames only */
    bool has_head;                 /* the first record was taken */
    bool has_foot;                 /* the last record was taken: nothing may follow */
};

struct ctl_stream_check *ctl_stream_check_new(void)
{
    struct ctl_stream_check *check = TT_NEW(struct ctl_stream_check);
    tt_buf_init(&check->pending, FRAME_HEAD_SIZE + FRAME_SIZE_MAX);
    return check;
}

void ctl_stream_check_free(struct ctl_stream_check *check)
{
    if (check != NULL) {
        tt_buf_fini(&check->pending);
        tt_free(check);
    }
}

static int damaged(const struct ctl_stream_check *check, const char *what, struct tt_err *err)
{
    return TT_FAIL(err, TT_ECORRUPT, "%s at byte %llu of the stream", what,
                   (unsigned long long)check->facts.size);
}

static int take_record(struct ctl_stream_check *check, struct tt_str payload, struct tt_err *err)
{
    Tt__SnapshotRecord *record =
        tt__snapshot_record__unpack(NULL, payload.len, (const uint8_t *)payload.ptr);
    if (record == NULL) {
        return damaged(check, "an unreadable record", err);
    }
    bool out_of_order = check->has_foot || check->has_head == (record->head != NULL);
    if (record->head != NULL) {
        check->facts.revision = record->head->revision;
    }
    if (record->foot != NULL) {
        check->facts.row_count = record->foot->row_count;
    }
    check->has_head = true;
    check->has_foot = check->has_foot || record->foot != NULL;
    tt__snapshot_record__free_unpacked(record, NULL);
    return out_of_order ? damaged(check, "a record out of order", err) : TT_OK;
}

/* The size of the pending frame, 0 while its head is incomplete. */
static size_t frame_size(const struct ctl_stream_check *check)
{
    if (check->pending.len < FRAME_HEAD_SIZE) {
        return 0;
    }
    return tt_le32_get((const uint8_t *)check->pending.ptr);
}

static int take_frame(struct ctl_stream_check *check, struct tt_err *err)
{
    const uint8_t *head = (const uint8_t *)check->pending.ptr;
    struct tt_str payload = tt_str_skip(tt_buf_view(&check->pending), FRAME_HEAD_SIZE);
    if (tt_crc32c(0, payload.ptr, payload.len) != tt_le32_get(head + 4)) {
        return damaged(check, "a wrong checksum", err);
    }
    int r = take_record(check, payload, err);
    check->facts.size += check->pending.len;
    tt_buf_reset(&check->pending);
    return r;
}

int ctl_stream_check_feed(struct ctl_stream_check *check, struct tt_str bytes, struct tt_err *err)
{
    while (bytes.len > 0) {
        size_t size = frame_size(check);
        if (size > FRAME_SIZE_MAX) {
            return damaged(check, "an impossible size", err);
        }
        bool has_head = check->pending.len >= FRAME_HEAD_SIZE;
        size_t wanted = FRAME_HEAD_SIZE + (has_head ? size : 0) - check->pending.len;
        struct tt_str part = tt_str_head(bytes, wanted);
        tt_buf_str(&check->pending, part);
        TT_ASSERT(tt_buf_ok(&check->pending));
        bytes = tt_str_skip(bytes, part.len);
        size_t now = frame_size(check);
        bool is_complete = check->pending.len >= FRAME_HEAD_SIZE && now <= FRAME_SIZE_MAX &&
                           check->pending.len == FRAME_HEAD_SIZE + now;
        if (is_complete) {
            int r = take_frame(check, err);
            if (r != TT_OK) {
                return r;
            }
        }
    }
    return TT_OK;
}

int ctl_stream_check_end(const struct ctl_stream_check *check, struct tt_err *err)
{
    return check->has_foot && check->pending.len == 0 ? TT_OK
                                                      : damaged(check, "the end is missing", err);
}

void ctl_stream_check_facts(const struct ctl_stream_check *check, struct ctl_stream_facts *ret)
{
    *ret = check->facts;
}

/* ---- files ---- */

struct reader {
    FILE *file;       /* owned; read up to the trailer, hashed, then the trailer */
    EVP_MD_CTX *hash; /* owned; SHA-256 of all that was read before the trailer */
    uint64_t left;    /* bytes before the trailer */
};

static int read_hashed(struct reader *reader, char *out, size_t size, size_t *ret_size,
                       struct tt_err *err)
{
    size_t wanted = reader->left < size ? (size_t)reader->left : size;
    size_t got = fread(out, 1, wanted, reader->file);
    if (got != wanted) {
        return TT_FAIL(err, TT_EIO, "the file could not be read");
    }
    reader->left -= got;
    *ret_size = got;
    return EVP_DigestUpdate(reader->hash, out, got) == 1
               ? TT_OK
               : TT_FAIL(err, TT_EINTERNAL, "SHA-256 failed");
}

/* Magic and header, byte by byte: they are short. */
static int read_header(struct reader *reader, struct tt_buf *header, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, HEADER_SIZE_MAX);
    size_t lines = 0;
    while (lines < 2) {
        char c = 0;
        size_t size = 0;
        int r = read_hashed(reader, &c, 1, &size, err);
        if (r != TT_OK) {
            return r;
        }
        tt_buf_char(&text, c);
        lines += c == '\n';
        if (size == 0 || !tt_buf_ok(&text)) {
            return TT_FAIL(err, TT_ECORRUPT, "not a backup of tutti");
        }
    }
    const struct tt_str magic = TT_STR(CTL_BACKUP_MAGIC);
    if (!tt_str_starts(tt_buf_view(&text), magic)) {
        return TT_FAIL(err, TT_ECORRUPT, "not a backup of tutti");
    }
    if (header != NULL) {
        tt_buf_str(header, tt_str_trim(tt_str_skip(tt_buf_view(&text), magic.len)));
    }
    return TT_OK;
}

static int check_trailer(struct reader *reader, struct tt_err *err)
{
    char trailer[CTL_BACKUP_TRAILER_SIZE + 1] = {0};
    char expected[CTL_BACKUP_TRAILER_SIZE + 1];
    uint8_t hash[HASH_SIZE];
    char hex[2 * HASH_SIZE + 1];
    if (fread(trailer, 1, CTL_BACKUP_TRAILER_SIZE, reader->file) != CTL_BACKUP_TRAILER_SIZE ||
        EVP_DigestFinal_ex(reader->hash, hash, NULL) != 1) {
        return TT_FAIL(err, TT_EIO, "the file could not be read");
    }
    (void)tt_hex_encode(hash, sizeof hash, hex); /* fixed size */
    (void)snprintf(expected, sizeof expected, "\nsha256 %s\n", hex);
    return memcmp(trailer, expected, CTL_BACKUP_TRAILER_SIZE) == 0
               ? TT_OK
               : TT_FAIL(err, TT_ECORRUPT, "the SHA-256 at its end is another: damaged or cut off");
}

static int verify_open(struct reader *reader, struct ctl_stream_facts *ret, struct tt_buf *header,
                       struct tt_err *err)
{
    TT_AUTO(ctl_stream_check) check = ctl_stream_check_new();
    TT_AUTO_FREE char *piece = tt_xmalloc(PIECE_SIZE);
    int r = read_header(reader, header, err);
    while (r == TT_OK && reader->left > 0) {
        size_t size = 0;
        r = read_hashed(reader, piece, PIECE_SIZE, &size, err);
        if (r == TT_OK) {
            r = ctl_stream_check_feed(check, tt_str(piece, size), err);
        }
    }
    if (r == TT_OK) {
        r = ctl_stream_check_end(check, err);
    }
    ctl_stream_check_facts(check, ret);
    return r == TT_OK ? check_trailer(reader, err) : r;
}

int ctl_backup_verify(const char *path, struct ctl_stream_facts *ret, struct tt_buf *header,
                      struct tt_err *err)
{
    struct stat info;
    struct reader reader = {.file = fopen(path, "rbe")};
    if (reader.file == NULL) {
        return TT_FAIL_ERRNO(err, errno, "%s", path);
    }
    int r = TT_OK;
    if (fstat(fileno(reader.file), &info) != 0 || info.st_size < CTL_BACKUP_TRAILER_SIZE) {
        r = TT_FAIL(err, TT_ECORRUPT, "not a backup of tutti");
    }
    reader.hash = EVP_MD_CTX_new();
    if (r == TT_OK &&
        (reader.hash == NULL || EVP_DigestInit_ex(reader.hash, EVP_sha256(), NULL) != 1)) {
        r = TT_FAIL(err, TT_EINTERNAL, "SHA-256 is not available");
    }
    if (r == TT_OK) {
        reader.left = (uint64_t)info.st_size - CTL_BACKUP_TRAILER_SIZE;
        r = verify_open(&reader, ret, header, err);
    }
    EVP_MD_CTX_free(reader.hash);
    (void)fclose(reader.file); /* it was only read */
    return r != TT_OK ? TT_WRAP(err, r, "%s", path) : TT_OK;
}

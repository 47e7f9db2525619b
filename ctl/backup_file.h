/* Checking a backup as it passes by. A backup file is
 *
 *   "tutti-backup 1\n"
 *   one line of JSON: clusterId, term, created (the revision is in the stream's head)
 *   the server's snapshot stream: frames {u32 size, u32 CRC-32C, payload}, head … foot
 *   "\nsha256 HEX\n": over all before it
 *
 * so that a file that was cut off, on the way or on the disk, is never taken for a backup.
 * Ownership: a checker owns its memory. Thread: one at a time. Errors: TT_ECORRUPT. */
#ifndef CTL_BACKUP_FILE_H
#define CTL_BACKUP_FILE_H

#include "base/buf.h"
#include "base/mem.h"

#define CTL_BACKUP_MAGIC "tutti-backup 1\n"
enum { CTL_BACKUP_TRAILER_SIZE = 73 }; /* "\nsha256 " 64 digits "\n" */

/* The stream's frames and records. */
struct ctl_stream_check;
struct ctl_stream_check *ctl_stream_check_new(void);
void ctl_stream_check_free(struct ctl_stream_check *check);
TT_DEFINE_AUTO(ctl_stream_check)
int ctl_stream_check_feed(struct ctl_stream_check *check, struct tt_str bytes,
                          struct tt_err *err) TT_MUST_USE;
/* The stream ended: was it complete? */
int ctl_stream_check_end(const struct ctl_stream_check *check, struct tt_err *err) TT_MUST_USE;
struct ctl_stream_facts {
    uint64_t revision;  /* of the snapshot, from its head; 0 before that */
    uint64_t row_count; /* as its foot says; 0 before that */
    uint64_t size;      /* bytes of the stream */
};
void ctl_stream_check_facts(const struct ctl_stream_check *check, struct ctl_stream_facts *ret);

/* A whole file. The header's line of JSON is appended to header (may be NULL). */
int ctl_backup_verify(const char *path, struct ctl_stream_facts *ret, struct tt_buf *header,
                      struct tt_err *err) TT_MUST_USE;

#endif

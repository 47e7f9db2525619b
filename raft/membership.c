/* Configurations and the legal steps between them. Pure.
 *
 * Bytes (libraft's encoding, version 1, little-endian): version u8, count u64, then per server id
 * u64, address with its NUL, role u8; zero padding up to a multiple of 8. libraft's decoder reads
 * past the end of what is malformed, so nothing reaches it that config_parse has not accepted.
 *
 * Why one server and one step at a time: any majority of the old and of the new configuration then
 * share a server, so two leaders cannot be elected side by side (Raft dissertation, 4.1). Why never
 * back to spare: libraft's leader timer then stays in the past (rule 9). */
#include "raft/membership.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/intmath.h"
#include "base/mem.h"

enum { CONFIG_VERSION = 1, CONFIG_ID_SIZE = 8 };

/* tutti's order says how far a server has come; libraft's numbers are its own. */
static int role_to_raft(enum tt_member_role role)
{
    switch (role) {
    case TT_ROLE_SPARE:
        return RAFT_SPARE;
    case TT_ROLE_STANDBY:
        return RAFT_STANDBY;
    case TT_ROLE_VOTER:
        return RAFT_VOTER;
    }
    return -1;
}

static bool role_from_raft(uint8_t raft_role, enum tt_member_role *ret)
{
    switch (raft_role) {
    case RAFT_SPARE:
        *ret = TT_ROLE_SPARE;
        return true;
    case RAFT_STANDBY:
        *ret = TT_ROLE_STANDBY;
        return true;
    case RAFT_VOTER:
        *ret = TT_ROLE_VOTER;
        return true;
    default:
        return false;
    }
}

/* A text field: non-empty, terminated within its array, printable, without the separator. */
static bool text_valid(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    if (length == 0 || length == size) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '@') {
            return false;
        }
    }
    return true;
}

static int member_check(const struct tt_member *member, struct tt_err *err)
{
    if (member->id == 0) {
        return TT_FAIL(err, TT_EINVAL, "a server's id is above 0");
    }
    if (!text_valid(member->name, sizeof member->name)) {
        return TT_FAIL(err, TT_EINVAL, "server %" PRIu64 ": bad name", member->id);
    }
    if (!text_valid(member->peer_address, sizeof member->peer_address)) {
        return TT_FAIL(err, TT_EINVAL, "server %s: bad peer address", member->name);
    }
    return 0;
}

int tt_membership_encode(const struct tt_membership *membership, struct tt_bytes **ret,
                         struct tt_err *err)
{
    TT_ASSERT(membership->count <= TT_MEMBERS_MAX);
    if (membership->count == 0) {
        return TT_FAIL(err, TT_EINVAL, "a configuration has at least one server");
    }
    struct raft_configuration raft;
    raft_configuration_init(&raft);
    int r = 0;
    for (size_t i = 0; i < membership->count && r == 0; i++) {
        const struct tt_member *member = &membership->members[i];
        char address[TT_NAME_SIZE + TT_ADDRESS_SIZE];
        r = member_check(member, err);
        if (r == 0) {
            (void)snprintf(address, sizeof address, "%s@%s", member->name, member->peer_address);
            if (raft_configuration_add(&raft, member->id, address, role_to_raft(member->role))) {
                r = TT_FAIL(err, TT_EEXISTS, "server %s is there twice", member->name);
            }
        }
    }
    struct raft_buffer buffer = {NULL, 0};
    if (r == 0 && raft_configuration_encode(&raft, &buffer) != 0) {
        r = TT_FAIL(err, TT_ENOMEM, "encode configuration");
    }
    raft_configuration_close(&raft);
    if (r == 0) {
        TT_ASSERT(buffer.len <= TT_MEMBERSHIP_SIZE_MAX);
        *ret = tt_bytes_new(buffer.base, buffer.len);
        raft_free(buffer.base);
    }
    return r;
}

/* "name@host:port" into the member's fields. */
static bool address_split(struct tt_str address, struct tt_member *ret)
{
    ptrdiff_t at = tt_str_find(address, '@');
    if (at <= 0 || (size_t)at >= sizeof ret->name) {
        return false;
    }
    struct tt_str host = tt_str_skip(address, (size_t)at + 1);
    if (host.len == 0 || host.len >= sizeof ret->peer_address) {
        return false;
    }
    memcpy(ret->name, address.ptr, (size_t)at);
    memcpy(ret->peer_address, host.ptr, host.len);
    return text_valid(ret->name, sizeof ret->name) &&
           text_valid(ret->peer_address, sizeof ret->peer_address);
}

/* One server off the front of *bytes. */
static bool config_parse_member(struct tt_str *bytes, struct tt_member *ret)
{
    if (bytes->len < CONFIG_ID_SIZE) {
        return false;
    }
    memset(ret, 0, sizeof *ret);
    ret->id = tt_le64_get((const uint8_t *)bytes->ptr);
    *bytes = tt_str_skip(*bytes, CONFIG_ID_SIZE);
    ptrdiff_t end = tt_str_find(*bytes, '\0');
    if (end < 0 || ret->id == 0 || !address_split(tt_str_head(*bytes, (size_t)end), ret)) {
        return false;
    }
    *bytes = tt_str_skip(*bytes, (size_t)end + 1);
    if (bytes->len < 1 || !role_from_raft((uint8_t)bytes->ptr[0], &ret->role)) {
        return false;
    }
    *bytes = tt_str_skip(*bytes, 1);
    return true;
}

int tt_membership_decode(struct tt_str bytes, struct tt_membership *ret, struct tt_err *err)
{
    if (bytes.len > TT_MEMBERSHIP_SIZE_MAX || bytes.len < 1 + CONFIG_ID_SIZE ||
        bytes.ptr[0] != CONFIG_VERSION) {
        return TT_FAIL(err, TT_EPROTO, "configuration of %zu bytes: bad frame", bytes.len);
    }
    uint64_t count = tt_le64_get((const uint8_t *)bytes.ptr + 1);
    if (count == 0 || count > TT_MEMBERS_MAX) {
        return TT_FAIL(err, TT_EPROTO, "configuration with %" PRIu64 " servers", count);
    }
    struct tt_membership found = {.count = 0};
    bytes = tt_str_skip(bytes, 1 + CONFIG_ID_SIZE);
    for (; found.count < count; found.count++) {
        struct tt_member *member = &found.members[found.count];
        if (!config_parse_member(&bytes, member)) {
            return TT_FAIL(err, TT_EPROTO, "configuration: bad server %zu", found.count);
        }
        for (size_t i = 0; i < found.count; i++) {
            if (found.members[i].id == member->id ||
                strcmp(found.members[i].name, member->name) == 0 ||
                strcmp(found.members[i].peer_address, member->peer_address) == 0) {
                return TT_FAIL(err, TT_EPROTO, "configuration: server %s is there twice",
                               member->name);
            }
        }
    }
    if (bytes.len >= CONFIG_ID_SIZE) {
        return TT_FAIL(err, TT_EPROTO, "configuration: %zu bytes too many", bytes.len);
    }
    *ret = found;
    return 0;
}

int tt_membership_to_raft(struct tt_str bytes, struct raft_configuration *ret, struct tt_err *err)
{
    struct tt_membership checked = {.count = 0};
    int r = tt_membership_decode(bytes, &checked, err);
    if (r < 0) {
        return r;
    }
    struct raft_buffer buffer = {.base = (void *)(uintptr_t)bytes.ptr, .len = bytes.len};
    raft_configuration_init(ret);
    if (raft_configuration_decode(&buffer, ret) != 0) {
        return TT_FAIL(err, TT_EPROTO, "configuration refused by libraft");
    }
    TT_ASSERT(ret->n == checked.count);
    return 0;
}

const struct tt_member *tt_membership_get(const struct tt_membership *membership, uint64_t id)
{
    for (size_t i = 0; i < membership->count; i++) {
        if (membership->members[i].id == id) {
            return &membership->members[i];
        }
    }
    return NULL;
}

size_t tt_membership_voter_count(const struct tt_membership *membership)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->count; i++) {
        count += membership->members[i].role == TT_ROLE_VOTER;
    }
    return count;
}

bool tt_membership_is_voter(const struct tt_membership *membership, uint64_t id)
{
    const struct tt_member *member = tt_membership_get(membership, id);
    return member && member->role == TT_ROLE_VOTER;
}

bool tt_membership_sole_voter(const struct tt_membership *membership, uint64_t id)
{
    return tt_membership_is_voter(membership, id) && tt_membership_voter_count(membership) == 1;
}

bool tt_membership_proves_removed(const struct tt_membership *committed, uint64_t index,
                                  uint64_t id)
{
    uint64_t added_at = id > TT_MEMBER_ID_BASE ? id - TT_MEMBER_ID_BASE : 1;
    return committed->count > 0 && index > added_at && tt_membership_get(committed, id) == NULL;
}

int tt_membership_add(struct tt_membership *membership, const struct tt_member *spare,
                      struct tt_err *err)
{
    int r = member_check(spare, err);
    if (r < 0) {
        return r;
    }
    if (membership->count == TT_MEMBERS_MAX) {
        return TT_FAIL(err, TT_ECONFLICT, "a cluster has at most %d servers", (int)TT_MEMBERS_MAX);
    }
    for (size_t i = 0; i < membership->count; i++) {
        const struct tt_member *member = &membership->members[i];
        if (member->id == spare->id || strcmp(member->name, spare->name) == 0 ||
            strcmp(member->peer_address, spare->peer_address) == 0) {
            return TT_FAIL(err, TT_EEXISTS, "server %s (id %" PRIu64 ") is a member already",
                           member->name, member->id);
        }
    }
    struct tt_member *added = &membership->members[membership->count++];
    memset(added, 0, sizeof *added);
    added->id = spare->id;
    (void)snprintf(added->name, sizeof added->name, "%s", spare->name);
    (void)snprintf(added->peer_address, sizeof added->peer_address, "%s", spare->peer_address);
    added->role = TT_ROLE_SPARE;
    return 0;
}

static struct tt_member *find(struct tt_membership *membership, uint64_t id)
{
    for (size_t i = 0; i < membership->count; i++) {
        if (membership->members[i].id == id) {
            return &membership->members[i];
        }
    }
    return NULL;
}

int tt_membership_promote(struct tt_membership *membership, uint64_t id, enum tt_member_role role,
                          struct tt_err *err)
{
    struct tt_member *member = find(membership, id);
    if (!member) {
        return TT_FAIL(err, TT_ENOTFOUND, "no server has the id %" PRIu64, id);
    }
    bool legal = (member->role == TT_ROLE_SPARE && role == TT_ROLE_STANDBY) ||
                 (member->role == TT_ROLE_STANDBY && role == TT_ROLE_VOTER);
    if (!legal) {
        return TT_FAIL(err, TT_ECONFLICT, "server %s cannot go from role %d to %d", member->name,
                       (int)member->role, (int)role);
    }
    member->role = role;
    return 0;
}

int tt_membership_remove(struct tt_membership *membership, uint64_t id, size_t reachable_voters,
                         struct tt_err *err)
{
    struct tt_member *member = find(membership, id);
    if (!member) {
        return TT_FAIL(err, TT_ENOTFOUND, "no server has the id %" PRIu64, id);
    }
    size_t voters = tt_membership_voter_count(membership) - (member->role == TT_ROLE_VOTER);
    if (voters == 0) {
        return TT_FAIL(err, TT_ECONFLICT, "server %s is the last voter", member->name);
    }
    if (member->role == TT_ROLE_VOTER && reachable_voters <= voters / 2) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "without server %s only %zu of %zu voters would be reachable", member->name,
                       reachable_voters, voters);
    }
    size_t position = (size_t)(member - membership->members);
    memmove(member, member + 1, (membership->count - position - 1) * sizeof *member);
    membership->count--;
    return 0;
}

int tt_membership_recover(const struct tt_member *survivor, uint64_t term, uint64_t last_index,
                          struct tt_membership_recovery *ret, struct tt_err *err)
{
    struct tt_membership alone = {.count = 1};
    alone.members[0] = *survivor;
    alone.members[0].role = TT_ROLE_VOTER;
    struct tt_bytes *config;
    int r = tt_membership_encode(&alone, &config, err);
    if (r < 0) {
        return TT_WRAP(err, r, "recover as the sole voter");
    }
    /* A new term: entries that the lost majority may hold at this index carry an older one. */
    *ret = (struct tt_membership_recovery){
        .term = term + 1, .index = last_index + 1, .config = config};
    return 0;
}

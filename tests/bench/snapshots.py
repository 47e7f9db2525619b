"""Where the snapshots and the log of a tutti server stand, as its data directory shows it.

A snapshot goes through these steps: its file grows under a temporary name; it is synced, renamed
to snapshot-INDEX-TERM, and older ones than the newest two go; now whoever asked for it is answered.
Then the log records it, its watermark says which segment is the first that is still needed, and
the segments before that one are removed, one with each watermark.

The record was handed to the log's thread before the answer was sent. That thread writes all that
it was handed, then a watermark, over and over; one watermark may have been under way already. So
from the second watermark behind the answer on, the watermark knows the snapshot, and the log is
truncated when the oldest segment in the directory is the one that it names. (Watermarks are written
when the log grows: somebody must be writing.)
"""
import concurrent.futures
import os
import re
import struct
import time

from clusters import BenchError, wait_until

LIMIT_S = 180
POLL_S = 0.05
SETTLED_MARKS = 2
SNAPSHOT_NAME = re.compile("snapshot-([0-9a-f]{16})-[0-9a-f]{16}")
SEGMENT_NAME = re.compile("segment-([0-9a-f]{16})")
# As in raft/log_format.h and log_watermark_encode: two slots, the higher generation counts.
WATERMARK_STRIDE = 4096
WATERMARK_FIELDS = struct.Struct("<40xQQQ")  # generation, first segment needed, end
SECTOR = 512
# As in raft/node_snapshot.c: bytes of log that make a snapshot due.
DUE_MIN = 256 << 20
DUE_PART_OF_FILE = 2


class DataDir:
    def __init__(self, path):
        self.snapshots = os.path.join(path, "member", "snapshots")
        self.log = os.path.join(path, "member", "log")

    def newest(self):
        """Index of the newest snapshot and the size of its file; zeros when there is none."""
        found = [(int(match[1], 16), match[0]) for match in
                 map(SNAPSHOT_NAME.fullmatch, os.listdir(self.snapshots)) if match]
        if not found:
            return 0, 0
        index, name = max(found)
        return index, os.path.getsize(os.path.join(self.snapshots, name))

    def is_taking(self):
        return any(name.endswith(".tmp") for name in os.listdir(self.snapshots))

    def watermark(self):
        """Its generation, the first segment needed, and the end of the log in bytes."""
        with open(os.path.join(self.log, "watermark"), "rb") as handle:
            slots = handle.read()
        generation, first, end = max(WATERMARK_FIELDS.unpack_from(slots, at)
                                     for at in (0, WATERMARK_STRIDE))
        return generation, first, end * SECTOR

    def oldest_segment(self):
        return min(int(match[1], 16) for match in
                   map(SEGMENT_NAME.fullmatch, os.listdir(self.log)) if match)


class Snapshots:
    """Takes snapshots of all servers at the same time and knows when the next becomes due."""

    def __init__(self, cluster, limit_s=LIMIT_S):
        self.cluster = cluster
        self.limit_s = limit_s
        self.dirs = {name: DataDir(cluster.data_dirs[name]) for name in cluster.names()}
        self.taken = {}  # name -> (index of the newest, end of the log when it was there)

    def together(self, step):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(step, self.dirs))

    def ask_all(self):
        """When nobody writes: no snapshot is due or under way on any server afterwards. Returns the
        seconds it took."""
        begin = time.monotonic()

        def ask(name):
            wait_until(lambda: self.ask(name, self.limit_s).startswith("200"), self.limit_s,
                       f"a snapshot of {name}", pause=POLL_S)
        self.together(ask)
        return time.monotonic() - begin

    def settle_all(self):
        """Waits until every log is truncated behind the newest snapshot. Somebody writes."""
        end = time.monotonic() + self.limit_s
        self.together(lambda name: self.settle(name, end))

    def take_all(self):
        """Returns the seconds until every server has its new file (the one before the last is
        gone by then), and until every log is truncated, too. Somebody writes."""
        begin = time.monotonic()
        steps = self.together(lambda name: self.take(name, begin))
        return max(file - begin for file, _ in steps), max(log - begin for _, log in steps)

    def take(self, name, begin):
        """The same for one server, as points in time."""
        directory = self.dirs[name]
        before = directory.newest()[0]
        answer = "no answer"
        while directory.newest()[0] == before:
            left = begin + self.limit_s - time.monotonic()
            if left <= 0:
                raise self.error(name, f"there is no new file ({answer})")
            answer = self.ask(name, left)
        durable = time.monotonic()
        self.settle(name, begin + self.limit_s)
        return durable, time.monotonic()

    def ask(self, name, seconds):
        """The answer comes when the file is durable."""
        try:
            status, body = self.cluster.request(
                name, "POST", "/tutti/v1/cluster/snapshot", b"{}", timeout=seconds)
        except TimeoutError:
            return "no answer"
        if status != 200:
            time.sleep(POLL_S)  # one that was under way failed, or was asked for: asked again
        return f"{status} {body.decode(errors='replace')}"

    def settle(self, name, end):
        directory = self.dirs[name]
        generation, _, log_end = directory.watermark()
        from_generation = generation + SETTLED_MARKS
        self.taken[name] = directory.newest()[0], log_end

        def truncated():
            generation, first, _ = directory.watermark()
            return generation >= from_generation and directory.oldest_segment() >= first
        try:
            wait_until(truncated, max(0.0, end - time.monotonic()), "the log", pause=POLL_S)
        except BenchError:
            generation, first, _ = directory.watermark()
            raise self.error(
                name, f"the log still has segment {directory.oldest_segment()}, needed are those "
                f"from {first} (watermark {generation} of {from_generation})") from None

    def error(self, name, why):
        return BenchError(f"the snapshot of {name} is not done after {self.limit_s:.0f} s: {why}")

    def due_part(self):
        """How much of the log that makes a snapshot due by itself is there, 1 being all."""
        parts = []
        for name, directory in self.dirs.items():
            due = max(DUE_MIN, directory.newest()[1] // DUE_PART_OF_FILE)
            parts.append((directory.watermark()[2] - self.taken[name][1]) / due)
        return max(parts)

    def none_began(self):
        """Since the last one was settled."""
        return not any(directory.is_taking() or directory.newest()[0] != self.taken[name][0]
                       for name, directory in self.dirs.items())

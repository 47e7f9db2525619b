#!/usr/bin/env python3
"""A million objects of 1 KiB stored JSON: memory, restart, writes while a snapshot is taken.

The objects are created through the API; history is bounded by the store itself (64 MiB or five
minutes). Then: VmRSS per server; the p99 of updates at a steady rate, half of what they reach at
128 outstanding, with a snapshot and without one, in turn; the restart of a follower after a kill,
to its first linearizable read; the restart of all three.

The writes never pause from the first window to the last. A window with a snapshot is the whole of
it: from the request, made to all three servers at once, until each of them has its new file in
place, has dropped the old one and has truncated its log (snapshots.py: how that is seen). The
window without one is as long, but ends before the log makes the next one due by itself.
"""
import json
import time

from clusters import BenchError, Tutti
from common import Results, Windows, load, options, progress, run, work_dir
from snapshots import LIMIT_S, POLL_S, Snapshots

NEARLY_DUE = 0.8
QUIET_MIN_S = 4
QUIET_TRIES = 3
LOST_PART_MAX = 0.001


def sound(report):
    """A write that failed, or could not even be sent, has no latency: of many a p99 is no p99."""
    lost = report["errors"] + report["skipped"]
    if lost > LOST_PART_MAX * report["operations"]:
        raise BenchError(f"{report['errors']} writes failed, {report['skipped']} were not sent, "
                         f"{report['operations']} succeeded: {report['first_error']}")
    return report


def worst_second(report):
    return max(report["second_p99_ms"])


def told(report):
    worst = worst_second(report)
    return (f"p99 {report['p99_ms']:.2f} ms in {report['seconds']:.0f} s (worst second "
            f"{worst:.2f} ms, number {report['second_p99_ms'].index(worst) + 1})")


def quiet_window(windows, snapshots, seconds):
    """One without a snapshot. Servers that were done long before the last one may have too little
    room left in their logs: then again behind one more snapshot, which nobody measures."""
    for _ in range(QUIET_TRIES):
        end = time.monotonic() + max(seconds, QUIET_MIN_S)
        while time.monotonic() < end and snapshots.due_part() < NEARLY_DUE:
            time.sleep(POLL_S)
        report = windows.cut()
        if report["seconds"] >= QUIET_MIN_S and snapshots.none_began():
            return sound(report)
        progress(f"no use: {report['seconds']:.0f} s until the next snapshot became due by itself")
        snapshots.take_all()
        windows.cut()
    raise BenchError("the log grows too fast for a window without a snapshot")


class Million:
    def __init__(self, cluster, arguments):
        self.cluster = cluster
        self.arguments = arguments
        self.leader = cluster.leader()

    def load(self, client, mode, **settings):
        return client(self.cluster, mode, [self.cluster.endpoints[self.leader]], size=1024,
                      prefix="million", connections=16, objects=self.arguments.objects, **settings)

    def update(self, client, **settings):
        return self.load(client, "k8s-update", prepared=self.arguments.objects, warmup=1,
                         **settings)

    def fill(self):
        begin = time.monotonic()
        self.load(load, "k8s-get", outstanding=128, warmup=0.5, seconds=1)
        progress(f"{self.arguments.objects} objects after {time.monotonic() - begin:.0f} s")
        time.sleep(self.arguments.settle)

    def writes(self, rate):
        """Reports of paced updates without and with a snapshot on every server: two lists."""
        quiet, busy = [], []
        snapshots = Snapshots(self.cluster, self.arguments.snapshot_limit)
        most = (2 * self.arguments.rounds + 2) * self.arguments.snapshot_limit
        took = snapshots.ask_all()  # the creates may have made one due
        with self.update(Windows, rate=rate, seconds=most) as windows:
            snapshots.settle_all()
            windows.cut()
            for turn in range(self.arguments.rounds):
                quiet.append(quiet_window(windows, snapshots, took))
                durable, took = snapshots.take_all()
                busy.append(sound(windows.cut()))
                progress(f"round {turn + 1}, {rate:.0f} writes/s: without {told(quiet[-1])}; with "
                         f"{told(busy[-1])}, files there after {durable:.1f} s, logs truncated "
                         f"after {took:.1f} s")
        return quiet, busy

    def measure_writes(self, results):
        rate = self.arguments.rate
        if rate == 0:
            rate = self.update(load, seconds=5, outstanding=128)["per_second"] / 2
        quiet, busy = self.writes(rate)
        p99s = [[report["p99_ms"] for report in reports] for reports in (busy, quiet)]
        worst = [[worst_second(report) for report in reports] for reports in (busy, quiet)]
        results.add("update p99 during a snapshot", *p99s, "ms", 1024)
        results.add_bar("update p99 during a snapshot", [b / q for b, q in zip(*p99s)], 2.0,
                        "times", 1024)
        results.add("the same, worst second", *worst, "ms", 1024)
        results.keep("windows of updates", busy, quiet)

    def restart_one(self):
        name = next(n for n in self.cluster.names() if n != self.leader)
        self.cluster.kill(name)
        begin = time.monotonic()
        self.cluster.spawn(name)
        self.cluster.wait_ready(name, 120)
        return time.monotonic() - begin

    def restart_all(self):
        self.cluster.kill_all()
        begin = time.monotonic()
        for name in self.cluster.names():
            self.cluster.spawn(name)
        for name in self.cluster.names():
            self.cluster.wait_ready(name, 120)
        return time.monotonic() - begin


def parse():
    parser = options(__doc__)
    parser.add_argument("--objects", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3, help="of writes and of restarts")
    parser.add_argument("--rate", type=float, default=0,
                        help="writes per second; 0: half of what 128 outstanding reach")
    parser.add_argument("--snapshot-limit", type=float, default=LIMIT_S,
                        help="seconds after which a snapshot that is not done is an error")
    parser.add_argument("--settle", type=float, default=15.0, help="seconds before RSS is read")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.objects, arguments.rounds, arguments.settle = 50000, 1, 2.0
    return arguments


def main():
    arguments = parse()
    results = Results("million")
    with work_dir() as work, Tutti(work, arguments.base_port) as cluster:
        cluster.start_fresh()
        million = Million(cluster, arguments)
        million.fill()
        rss = [cluster.rss_kib(name) / 2**20 for name in cluster.names()]
        results.add_bar("memory of a server", rss, 2.0, "GiB", 1024)
        million.measure_writes(results)
        after = [cluster.rss_kib(name) / 2**20 for name in cluster.names()]
        results.add_bar("memory after snapshots", after, 2.0, "GiB", 1024)
        one = [million.restart_one() for _ in range(arguments.rounds)]
        results.add_bar("restart of one server", one, 15.0, "s", 1024)
        results.add_bar("restart of all three", [million.restart_all()], 15.0, "s", 1024)
        progress("status after the restarts: "
                 + json.dumps(cluster.status(cluster.leader())["revision"]))
    results.table()


if __name__ == "__main__":
    run(main)

#!/usr/bin/env python3
"""A million objects of 1 KiB stored JSON: memory, restart, writes while a snapshot is taken.

The objects are created through the API; history is bounded by the store itself (64 MiB or five
minutes). Then: VmRSS per server; half of what updates reach at 128 outstanding as a steady rate,
p99 without a snapshot and while every server takes one, in turn; the restart of a follower after a
kill, to its first linearizable read; the restart of all three.
"""
import concurrent.futures
import json
import time

from clusters import BenchError, Tutti
from common import Results, load, options, progress, run, work_dir

SNAPSHOT_S = 240


def take_snapshot(cluster, name):
    """Asks a server for a snapshot; the answer comes when its file is durable."""
    begin = time.monotonic()
    while True:
        status, body = cluster.request(name, "POST", "/tutti/v1/cluster/snapshot", b"{}",
                                       timeout=SNAPSHOT_S)
        if status == 200:
            return time.monotonic() - begin
        if time.monotonic() > begin + SNAPSHOT_S:
            raise BenchError(f"snapshot of {name}: {status} {body.decode(errors='replace')}")
        time.sleep(0.5)  # one was under way, begun by the server itself


def take_all(cluster):
    """Snapshots of all servers at once; the seconds until the last is durable."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return max(pool.map(lambda name: take_snapshot(cluster, name), cluster.names()))


class Million:
    def __init__(self, cluster, arguments):
        self.cluster = cluster
        self.arguments = arguments
        self.leader = cluster.leader()

    def load(self, mode, **settings):
        return load(self.cluster, mode, [self.cluster.endpoints[self.leader]], size=1024,
                    prefix="million", connections=16, **settings)

    def update(self, seconds, **settings):
        return self.load("k8s-update", objects=self.arguments.objects,
                         prepared=self.arguments.objects, warmup=1,
                         seconds=seconds, **settings)

    def fill(self):
        begin = time.monotonic()
        self.load("k8s-get", objects=self.arguments.objects, outstanding=128, warmup=0.5,
                  seconds=1)
        progress(f"{self.arguments.objects} objects after {time.monotonic() - begin:.0f} s")
        time.sleep(self.arguments.settle)

    def writes(self, rate):
        """p99 of paced updates without and with a snapshot on every server: two lists."""
        quiet, busy = [], []
        for turn in range(self.arguments.rounds):
            took = take_all(self.cluster)  # none becomes due by itself in what follows
            seconds = max(4.0, min(took, self.arguments.seconds))
            quiet.append(self.update(seconds, rate=rate)["p99_ms"])
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                future = pool.submit(take_all, self.cluster)
                busy.append(self.update(seconds, rate=rate)["p99_ms"])
                took = future.result()
            progress(f"round {turn + 1}: p99 {quiet[-1]:.2f} ms without, {busy[-1]:.2f} ms with "
                     f"snapshots, which took {took:.1f} s, at {rate:.0f} writes/s")
        return quiet, busy

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
    parser.add_argument("--seconds", type=float, default=20.0, help="longest window of writes")
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
        capacity = million.update(5, outstanding=128)["per_second"]
        quiet, busy = million.writes(capacity / 2)
        results.add("update p99 during a snapshot", busy, quiet, "ms", 1024)
        results.add_bar("update p99 during a snapshot",
                        [b / q for b, q in zip(busy, quiet)], 2.0, "times", 1024)
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

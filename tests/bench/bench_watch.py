#!/usr/bin/env python3
"""Watches: many watchers of the same objects, few writes, how late events come.

All watchers hang on the leader, 100 streams a connection, and see every write. The latency counts
from the moment a write was due to the arrival of its event at each watcher.
"""
import collections

from clusters import Etcd, Tutti
from common import Results, load, options, progress, run, work_dir

MODES = {"tutti": "k8s-watch", "etcd": "etcd-watch"}


def measure(cluster, arguments):
    cluster.start_fresh()
    report = load(cluster, MODES[cluster.kind], [cluster.endpoints[cluster.leader()]], size=1024,
                  objects=100, watchers=arguments.watchers, watch_streams=100, connections=1,
                  rate=arguments.rate, warmup=3, seconds=arguments.seconds,
                  timeout=arguments.seconds + 120)
    cluster.kill_all()
    progress(f"  p50 {report['p50_ms']:.1f} ms, p99 {report['p99_ms']:.1f} ms, {report['events']} "
             f"of {report['events_expected']} events")
    if report["watches_lost"] > 0 or report["events"] < 0.99 * report["events_expected"]:
        progress(f"  {cluster.kind}: events are missing, {report['watches_lost']} watches were "
                 "lost; its figures are better than the truth")
    return report


def main():
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one measurement")
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50.0, help="writes per second")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 5.0
    values = collections.defaultdict(list)
    with work_dir() as work, Tutti(work, arguments.base_port) as tutti, \
            Etcd(work, arguments.base_port + 300) as etcd:
        for turn in range(arguments.rounds):
            for cluster in (tutti, etcd) if turn % 2 == 0 else (etcd, tutti):
                progress(f"round {turn + 1}/{arguments.rounds}: {cluster.kind}")
                report = measure(cluster, arguments)
                for key in ("p50_ms", "p99_ms"):
                    values[cluster.kind, key].append(report[key])
    results = Results("watch")
    for key in ("p50_ms", "p99_ms"):
        results.add(f"watch delivery {key[:3]}", values["tutti", key], values["etcd", key], "ms",
                    1024, arguments.watchers)
    results.table()


if __name__ == "__main__":
    run(main)

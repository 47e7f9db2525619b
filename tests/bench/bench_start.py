#!/usr/bin/env python3
"""Start: seconds from the start of the process to the first linearizable read.

One server alone: from nothing, and again over its data. Three servers: from nothing, until each of
them answers. Reads come through TLS connections of their own, tried every few milliseconds.
"""
from clusters import Etcd, Tutti
from common import Results, options, progress, run, work_dir


def measure(cluster, rounds):
    fresh, again = [], []
    for _ in range(rounds):
        fresh.append(cluster.start_fresh())
        cluster.kill_all()
        again.append(cluster.start())
        cluster.kill_all()
    progress(f"{cluster.kind} of {cluster.count}: {[round(s, 3) for s in fresh]}, again "
             f"{[round(s, 3) for s in again]}")
    return fresh, again


def main():
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 3
    results = Results("start")
    for count, bar in ((1, 0.5), (3, 2.0)):
        with work_dir() as work, Tutti(work, arguments.base_port, count) as tutti, \
                Etcd(work, arguments.base_port + 300, count) as etcd:
            own, own_again = measure(tutti, arguments.rounds)
            peer, peer_again = measure(etcd, arguments.rounds)
        results.add(f"start of {count} from nothing", own, peer, "s")
        results.add(f"start of {count} after a kill", own_again, peer_again, "s")
        results.add_bar(f"start of {count} from nothing", own, bar, "s")
    results.table()


if __name__ == "__main__":
    run(main)

#!/usr/bin/env python3
"""tutti against etcd: creates, updates and linearizable gets, in operations per second.

Three servers each, mutual TLS, the same disk, one after the other and never at the same time. A
turn starts both from nothing, one after the other (which first alternates), with one size of
values and one choice of endpoints: the leader alone, or all three servers ("spread"). Peers: a put
of a new key, a put of an existing key, a range of one key.
"""
import collections

from clusters import Etcd, Tutti
from common import Results, load, options, progress, run, work_dir

MODES = {"tutti": {"create": "k8s-create", "update": "k8s-update", "get": "k8s-get"},
         "etcd": {"create": "etcd-put", "update": "etcd-update", "get": "etcd-range"}}
CASES = ("create", "update", "get")
OBJECTS = 10000  # so that at most a tenth of 1,024 concurrent updates meet on a key


def measure(cluster, spread, size, arguments, values):
    leader = cluster.leader()
    endpoints = list(cluster.endpoints.values()) if spread else [cluster.endpoints[leader]]
    prepared = 0
    for case in CASES:
        for outstanding in arguments.outstanding:
            prefix = "bench" if case != "create" else f"bench-{outstanding}"
            report = load(cluster, MODES[cluster.kind][case], endpoints, size=size,
                          outstanding=outstanding, connections=min(outstanding, 16),
                          objects=OBJECTS, prepared=prepared, prefix=prefix,
                          warmup=arguments.warmup, seconds=arguments.seconds)
            prepared = 0 if case == "create" else OBJECTS  # the first update has written them
            if report["errors"] > 0:
                progress(f"  {cluster.kind} {case} at {outstanding}: {report['errors']} errors, "
                         f"first: {report['first_error']}")
            values[case, spread, size, outstanding, cluster.kind].append(report["per_second"])


def parse():
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each figure is taken")
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement")
    parser.add_argument("--warmup", type=float, default=0.3, help="seconds before it")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--outstanding", type=int, nargs="+", default=[1, 16, 128, 1024])
    parser.add_argument("--endpoints", nargs="+", choices=["leader", "spread"],
                        default=["leader", "spread"])
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.sizes = 1, 1.0, [1024]
    return arguments


def fill(results, values, arguments):
    for spread in ("spread" in name for name in arguments.endpoints):
        for size in arguments.sizes:
            for case in CASES:
                for outstanding in arguments.outstanding:
                    key = (case, spread, size, outstanding)
                    results.add(case + (" spread" if spread else ""), values[(*key, "tutti")],
                                values[(*key, "etcd")], "op/s", size, outstanding)


def main():
    arguments = parse()
    values = collections.defaultdict(list)
    with work_dir() as work, Tutti(work, arguments.base_port) as tutti, \
            Etcd(work, arguments.base_port + 300) as etcd:
        for turn in range(arguments.rounds):
            order = (tutti, etcd) if turn % 2 == 0 else (etcd, tutti)
            for name in arguments.endpoints:
                for size in arguments.sizes:
                    for cluster in order:
                        progress(f"round {turn + 1}/{arguments.rounds}: {name}, {size} bytes, "
                                 f"{cluster.kind}")
                        cluster.start_fresh()
                        measure(cluster, name == "spread", size, arguments, values)
                        cluster.kill_all()
            results = Results("etcd")
            fill(results, values, arguments)  # after every round: what is measured is kept
        results.table()


if __name__ == "__main__":
    run(main)

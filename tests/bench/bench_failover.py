#!/usr/bin/env python3
"""Failover: the leader is killed (SIGKILL), again and again; when is a write acknowledged again?

The load client sends writes to the two survivors at a steady pace, whatever happened to earlier
ones. A failover is the longest time without an acknowledgement: from the last one before the kill
to the first one after it, so it is too long by up to one interval of the pace. Then the killed
server is started again, and the next kill waits until it answers.
"""
import json
import subprocess
import time

from clusters import BenchError, Etcd, Tutti
from common import Results, load_command, options, progress, quantile, run, work_dir

MODES = {"tutti": "k8s-create", "etcd": "etcd-put"}
WARMUP_S = 0.3
BEFORE_S = 0.4
RATE = 200


def one_kill(cluster, number, seconds):
    leader = cluster.leader()
    survivors = [cluster.endpoints[name] for name in cluster.processes if name != leader]
    client = subprocess.Popen(
        load_command(cluster, MODES[cluster.kind], survivors, size=256, connections=2, rate=RATE,
                     prefix=f"failover-{number}", warmup=WARMUP_S, seconds=seconds),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(WARMUP_S + BEFORE_S)
        cluster.kill(leader)
        output, errors = client.communicate(timeout=seconds + 30)
    finally:
        client.kill()
        client.wait()
    if client.returncode != 0:
        raise BenchError(f"load: {errors.strip()}")
    gap_ms = json.loads(output)["gap_ms_max"]
    if gap_ms > (seconds - BEFORE_S) * 1000 * 0.98:
        raise BenchError(f"{cluster.kind}: no write within {seconds} s of kill {number}")
    cluster.spawn(leader)
    cluster.wait_ready(leader)
    return gap_ms


def measure(cluster, kills, seconds):
    cluster.start_fresh()
    times = []
    for number in range(kills):
        times.append(one_kill(cluster, number, seconds))
        if (number + 1) % 10 == 0 or number + 1 == kills:
            progress(f"{cluster.kind}: {number + 1} kills, p50 {quantile(times, 0.5):.0f} ms, "
                     f"p99 {quantile(times, 0.99):.0f} ms, worst {max(times):.0f} ms")
    cluster.kill_all()
    return times


def main():
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--peer-kills", type=int, default=20, help="of etcd's leader")
    parser.add_argument("--bar-ms", type=float, default=1500.0, help="for p99")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.kills, arguments.peer_kills = 5, 2
    with work_dir() as work, Tutti(work, arguments.base_port) as tutti, \
            Etcd(work, arguments.base_port + 300) as etcd:
        own = measure(tutti, arguments.kills, 3.0)
        peer = measure(etcd, arguments.peer_kills, 8.0)
    results = Results("failover")
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        results.add(f"failover {name}", [quantile(own, part)], [quantile(peer, part)], "ms",
                    rounds=len(own))
    results.add_bar("failover p99", [quantile(own, 0.99)], arguments.bar_ms, "ms",
                    rounds=len(own))
    results.keep("failover times", own, peer)
    results.table()


if __name__ == "__main__":
    run(main)

#!/usr/bin/env python3
"""Memory at rest: VmRSS of every server 60 s after the start, without load.

Discovery (/api, /apis and each version) and OpenAPI (v2, the v3 index, each v3 document) are
fetched once from the leader, as a first kubectl does.
"""
import json
import time

from clusters import BenchError, Etcd, Tutti
from common import Results, options, progress, run, work_dir


def fetch_all(cluster, name):
    def get(path, accept="application/json"):
        status, body = cluster.request(name, "GET", path, timeout=20, accept=accept)
        if status != 200:
            raise BenchError(f"GET {path}: status {status}")
        return json.loads(body) if accept == "application/json" else None
    paths = [f"/api/{version}" for version in get("/api")["versions"]]
    for group in get("/apis")["groups"]:
        paths += ["/apis/" + version["groupVersion"] for version in group["versions"]]
    for path in paths:
        get(path)
    get("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    for document in get("/openapi/v3")["paths"].values():
        get(document["serverRelativeURL"])


def measure(cluster, seconds):
    cluster.start_fresh()
    begin = time.monotonic()
    leader = cluster.leader()
    if cluster.kind == "tutti":
        fetch_all(cluster, leader)
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    cluster.check_alive()
    rss = {name: cluster.rss_kib(name) / 1024 for name in cluster.names()}
    progress(f"{cluster.kind}: " + ", ".join(f"{n} {m:.1f} MiB" for n, m in rss.items()))
    cluster.kill_all()
    return rss.pop(leader), list(rss.values())


def main():
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="from the start")
    parser.add_argument("--bar-mib", type=float, default=25.0)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds = 5.0
    with work_dir() as work, Tutti(work, arguments.base_port) as tutti, \
            Etcd(work, arguments.base_port + 300) as etcd:
        leader, followers = measure(tutti, arguments.seconds)
        peer_leader, peer_followers = measure(etcd, arguments.seconds)
    results = Results("memory")
    results.add("memory idle leader", [leader], [peer_leader], "MiB")
    results.add("memory idle follower", followers, peer_followers, "MiB")
    results.add_bar("memory idle leader", [leader], arguments.bar_mib, "MiB")
    results.add_bar("memory idle follower", followers, arguments.bar_mib, "MiB")
    results.table()


if __name__ == "__main__":
    run(main)

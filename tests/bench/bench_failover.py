#!/usr/bin/env python3
"""Failover: the leader is killed (SIGKILL), again and again; when is a write acknowledged again?

A client per survivor sends one write after the other on its own connection. The time counts from
the kill to the first acknowledgement of a write that was sent after it, by whichever survivor. Then
the killed server is started again, and the next kill waits until it answers.
"""
import base64
import http.client
import json
import threading
import time

from clusters import BenchError, Etcd, Tutti
from common import Results, options, progress, quantile, run, work_dir

GIVE_UP_S = 30
ATTEMPT_S = 5


class Writer:
    """Writes through one survivor until something was acknowledged anywhere."""

    def __init__(self, cluster, name, number):
        self.cluster = cluster
        self.name = name
        self.number = number
        self.attempt = 0
        self.connection = None

    def request(self):
        key = f"failover-{self.number}-{self.name}-{self.attempt}"
        if self.cluster.kind == "etcd":
            text = base64.b64encode(key.encode()).decode()
            return "/v3/kv/put", {"key": text, "value": text}
        return "/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key}}

    def open(self):
        host, port = self.cluster.endpoints[self.name].rsplit(":", 1)
        self.connection = http.client.HTTPSConnection(host, int(port), context=self.cluster.tls,
                                                      timeout=ATTEMPT_S)
        self.connection.connect()

    def write(self):
        """One attempt; true when it was acknowledged."""
        self.attempt += 1
        path, body = self.request()
        try:
            self.connection.request("POST", path, json.dumps(body),
                                    {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            answer.read()
            return answer.status in (200, 201)
        except (OSError, http.client.HTTPException):
            self.connection.close()  # the next request opens it again
            return False

    def loop(self, begin, acknowledged, times):
        while not acknowledged.is_set() and time.monotonic() < begin + GIVE_UP_S:
            if self.write():
                times.append(time.monotonic() - begin)
                acknowledged.set()
            else:
                time.sleep(0.002)


def one_kill(cluster, number):
    leader = cluster.leader()
    survivors = [name for name in cluster.processes if name != leader]
    writers = [Writer(cluster, name, number) for name in survivors]
    for writer in writers:
        writer.open()
    acknowledged, times = threading.Event(), []
    begin = time.monotonic()
    cluster.kill(leader)
    threads = [threading.Thread(target=writer.loop, args=(begin, acknowledged, times))
               for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.connection.close()
    if not times:
        raise BenchError(f"{cluster.kind}: no write within {GIVE_UP_S} s of kill {number}")
    cluster.spawn(leader)
    cluster.wait_ready(leader)
    return min(times) * 1000


def measure(cluster, kills):
    cluster.start_fresh()
    times = []
    for number in range(kills):
        times.append(one_kill(cluster, number))
        if (number + 1) % 10 == 0:
            progress(f"{cluster.kind}: {number + 1} kills, p50 {quantile(times, 0.5):.0f} ms, "
                     f"worst {max(times):.0f} ms")
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
        own = measure(tutti, arguments.kills)
        peer = measure(etcd, arguments.peer_kills)
    results = Results("failover")
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        results.add(f"failover {name} of {len(own)} kills", [quantile(own, part)],
                    [quantile(peer, part)], "ms")
    results.add_bar("failover p99", [quantile(own, 0.99)], arguments.bar_ms, "ms")
    results.details.append({"case": "failover times", "tutti": own, "peer": peer})
    results.details[-1]["tutti_quartiles"] = results.details[-1]["peer_quartiles"] = None
    results.save()
    results.table()


if __name__ == "__main__":
    run(main)

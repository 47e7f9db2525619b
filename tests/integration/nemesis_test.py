#!/usr/bin/env python3
"""Concurrent clients while servers are killed, paused and cut off from each other, all at random.

Every history must be linearizable, hold every acknowledged write, be the same on all servers at
the end, and every watch must have followed it without a gap.
Usage: nemesis_test.py [--seed N] [--long N] [unittest arguments]
"""
import random
import time
import unittest

from cluster import Cluster, Settings, run_tests, wait_for
from workload import Workload

ROUND_S = 40


class Nemesis:
    """Breaks one thing after the other; what it did stands in self.done."""

    def __init__(self, cluster, rng):
        self.cluster = cluster
        self.rng = rng
        self.done = []

    def victim(self):
        """A running server, the leader more often than not."""
        running = self.cluster.running()
        leader = self.cluster.find_leader() if self.rng.random() < 0.6 else None
        return leader or (self.rng.choice(running) if running else None)

    def say(self, what, server=None):
        self.done.append(f"{what} {server.name if server else ''}".strip())

    def step(self):
        """One fault from begin to end, so that faults do not pile up without limit."""
        faults = [self.kill, self.pause, self.isolate, self.cut_one_way, self.bridge, self.kill_all]
        self.rng.choices(faults, [5, 3, 4, 3, 2, 1])[0]()

    def kill(self):
        server = self.victim()
        self.say("kill", server)
        server.kill()
        time.sleep(self.rng.random() * 1.5)
        server.start()

    def kill_all(self):
        self.say("kill all")
        for server in self.cluster.servers.values():
            server.kill()
        for server in self.cluster.servers.values():
            server.start()

    def pause(self):
        server = self.victim()
        duration_s = self.rng.choice([0.3, 1.0, 3.0])
        self.say(f"pause {duration_s}", server)
        server.pause()
        time.sleep(duration_s)
        server.resume()

    def isolate(self):
        server = self.victim()
        closes = self.rng.random() < 0.5
        self.say("isolate and close" if closes else "isolate", server)
        self.cluster.relay.isolate(server.name, closes)
        self.during()

    def cut_one_way(self):
        names = list(self.cluster.servers)
        server = self.victim()
        outward = self.rng.random() < 0.5
        self.say("deaf" if not outward else "mute", server)
        others = [n for n in names if n != server.name]
        pairs = [(server.name, n) if outward else (n, server.name) for n in others]
        self.cluster.relay.cut(pairs)
        self.during()

    def bridge(self):
        """Two servers see only the third, not each other."""
        names = self.rng.sample(list(self.cluster.servers), 2)
        self.say(f"no link {names}")
        self.cluster.relay.cut([tuple(names), tuple(reversed(names))])
        self.during()

    def during(self):
        """The time of a cut; sometimes one more server is killed in it."""
        if self.rng.random() < 0.3:
            time.sleep(self.rng.random())
            self.kill()
        time.sleep(0.5 + self.rng.random() * 3)
        self.cluster.relay.heal()

    def end(self):
        self.cluster.relay.heal()
        for server in self.cluster.servers.values():
            server.resume()
            if not server.alive():
                server.start()
        for server in self.cluster.servers.values():
            server.wait_ready()


class NemesisTest(unittest.TestCase):
    def test_random_faults_under_load(self):
        rng = random.Random(Settings.seed)
        for _ in range(Settings.rounds):
            seed = rng.randrange(1 << 32)
            with self.subTest(seed=seed):
                self.one_round(seed)

    def one_round(self, seed):
        rng = random.Random(seed)
        with Cluster(relay=True) as cluster:
            load = Workload(cluster, seed)
            nemesis = Nemesis(cluster, rng)
            load.start()
            deadline = time.monotonic() + ROUND_S
            try:
                while time.monotonic() < deadline and not load.errors:
                    time.sleep(rng.random())
                    nemesis.step()
                    self.crashed(cluster)
                nemesis.end()
                base = load.acknowledged()
                wait_for("writes go on", lambda: load.errors or load.acknowledged() > base + 50)
                load.stop()
                load.verify()
            finally:
                print("  faults:", ", ".join(nemesis.done), flush=True)
                print("  unknown:", load.unknown.most_common(12), flush=True)

    def crashed(self, cluster):
        for server in cluster.servers.values():
            self.assertTrue(server.alive(), f"{server.name} ended by itself: {server.tail()}")


if __name__ == "__main__":
    run_tests(__doc__)

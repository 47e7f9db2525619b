#!/usr/bin/env python3
"""Processes that are killed, stopped and paused: nothing acknowledged is lost, no read is old.

Usage: faults_test.py [--seed N] [--long N] [unittest arguments]
"""
import random
import time
import unittest

from cluster import Cluster, Settings, run_tests, wait_for
from workload import Workload

CLEAN = 0


class FaultTest(unittest.TestCase):
    """Each test has a cluster of its own and a generator of its own seed."""

    def setUp(self):
        self.rng = random.Random(f"{Settings.seed}/{self.id()}")

    def load(self, cluster, **options):
        return Workload(cluster, self.rng.randrange(1 << 32), **options)

    def progress(self, load, writes=20):
        """Until so many more writes were acknowledged."""
        base = load.acknowledged()
        wait_for("writes are acknowledged",
                 lambda: load.errors or load.acknowledged() >= base + writes)


class Killed(FaultTest):
    def test_servers_killed_under_load_lose_nothing(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            for _ in range(5 * Settings.rounds):
                self.progress(load)
                victim = self.rng.choice(list(cluster.servers.values()))
                if self.rng.random() < 0.5:
                    victim = cluster.find_leader() or victim
                time.sleep(self.rng.random() * 0.3)
                victim.kill()
                self.progress(load, 5)
                victim.start(wait=True)
            load.stop()
            load.verify()

    def test_all_killed_at_once_lose_nothing(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            for _ in range(2 * Settings.rounds):
                self.progress(load)
                time.sleep(self.rng.random() * 0.3)
                for server in cluster.servers.values():
                    server.kill()
                for server in cluster.servers.values():
                    server.start()
                for server in cluster.servers.values():
                    server.wait_ready()
            load.stop()
            load.verify()

    def test_clean_stop_of_all_keeps_everything(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            self.progress(load)
            before = None
            for _ in range(2):
                for server in cluster.servers.values():
                    self.assertEqual(server.stop(), CLEAN, server.tail())
                for server in cluster.servers.values():
                    server.start()
                for server in cluster.servers.values():
                    server.wait_ready()
                self.progress(load)
                before = load.acknowledged()
            self.assertGreater(before, 0)
            load.stop()
            load.verify()


if __name__ == "__main__":
    run_tests(__doc__)

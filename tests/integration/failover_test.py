#!/usr/bin/env python3
"""A leader is killed while others write through a follower: each of those writes is done, once, and
its writer is told so. Nobody is left with an unknown outcome.

Usage: failover_test.py [--seed N] [--long N] [unittest arguments]
"""
import random
import threading
import time
import unittest

from cluster import Cluster, Settings, run_tests, wait_for
from workload import PATH, configmap

WRITERS = 16
ROUNDS = 3


class Writer(threading.Thread):
    """Creates one ConfigMap after the other: a write done twice finds its own name taken."""

    def __init__(self, client, name, ended):
        super().__init__(daemon=True)
        self.client = client
        self.prefix = name
        self.ended = ended
        self.answers = []  # (begin, end, code, text)
        self.error = None

    def run(self):
        try:
            while not self.ended.is_set():
                begin = time.monotonic()
                name = f"{self.prefix}-{len(self.answers)}"
                answer = self.client.call("POST", PATH, configmap(name, "x"))
                self.answers.append((begin, time.monotonic(), answer.code, answer.text))
        except BaseException as error:  # reported by the test
            self.error = error
            raise
        finally:
            self.client.close()


class KilledLeader(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(f"{Settings.seed}/{self.id()}")

    def one_kill(self, cluster, number):
        """The number of writes that were under way when the leader was killed."""
        leader = cluster.leader()
        follower = self.rng.choice([s for s in cluster.running() if s is not leader])
        ended = threading.Event()
        writers = [Writer(follower.client(timeout_s=30), f"w{number}-{i}", ended)
                   for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        wait_for("all writers write", lambda: all(w.answers or w.error for w in writers))
        time.sleep(self.rng.random() * 0.2)
        killed = time.monotonic()
        leader.kill()
        wait_for("all writers write again", lambda: all(
            w.error or w.answers[-1][0] > killed for w in writers))
        ended.set()
        for writer in writers:
            writer.join()
            self.assertIsNone(writer.error)
            for begin, end, code, text in writer.answers:
                self.assertEqual(code, 201, f"after {end - begin:.3f} s: {text}")
        leader.start(wait=True)
        return sum(b <= killed < e for w in writers for b, e, _, _ in w.answers)

    def test_writes_through_a_follower_are_done_once_and_told(self):
        with Cluster() as cluster:
            under_way = sum(self.one_kill(cluster, i) for i in range(ROUNDS * Settings.rounds))
            self.assertGreater(under_way, 0)
            cluster.wait_equal()


if __name__ == "__main__":
    run_tests(__doc__)

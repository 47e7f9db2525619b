#!/usr/bin/env python3
"""Whoever floods a server does not take it from the others: an honest client goes on without an
error and about as fast as in quiet, and the server's memory stays bounded.

Usage: abuse_test.py [--seed N] [unittest arguments]
"""
import json
import os
import subprocess
import sys
import time
import unittest

from cluster import Cluster, run_tests
from workload import PATH, configmap

FACTOR = 3
FLOOR_S = 0.05  # below this a latency says more about the machine than about the server
QUIET_S = 1
ATTACK_S = 3
TRIES = 5  # a busy machine may spoil some; errors are never forgiven
RSS_MAX_MIB = 200
HERE = os.path.dirname(os.path.abspath(__file__))


def p99(latencies):
    return sorted(latencies)[int(len(latencies) * 0.99)]


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(count=1)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        # The worst there is: an administrator, whom no rule of authorisation holds back.
        cls.cluster.issue("user", "mallory", "--groups", "tutti:admins")
        cls.server = cls.cluster.servers["s1"]
        with cls.server.client() as client:
            for i in range(100):
                answer = client.call("POST", PATH, configmap(f"ballast-{i}", "x" * 10000))
                assert answer.code == 201, answer.text

    def rss_mib(self):
        with open(f"/proc/{self.server.pid}/status", encoding="ascii") as handle:
            line = next(line for line in handle if line.startswith("VmRSS"))
        return int(line.split()[1]) // 1024

    def honest(self, seconds):
        """Latencies of reads and writes, one after the other; any error fails the test."""
        latencies = []
        until = time.monotonic() + seconds
        with self.server.client() as client:
            client.call("POST", PATH, configmap("honest", "0"))
            while time.monotonic() < until:
                write = len(latencies) % 2 == 0
                begun = time.monotonic()
                if write:
                    answer = client.call("PUT", f"{PATH}/honest", configmap("honest", str(begun)))
                else:
                    answer = client.call("GET", f"{PATH}/honest")
                latencies.append(time.monotonic() - begun)
                self.assertEqual(answer.code, 200, answer.text)
                time.sleep(0.004)
        return latencies

    def attacked(self, kind):
        """Latencies from the first blow on, and how many blows were struck."""
        command = [sys.executable, f"{HERE}/abuse.py", kind, str(self.server.api_port),
                   self.cluster.pki, str(ATTACK_S)]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
            try:
                self.assertEqual(attacker.stdout.readline(), "the first blow\n")
                latencies = self.honest(ATTACK_S)
                blows = json.loads(attacker.stdout.readline())["blows"]
            finally:
                attacker.kill()
        return latencies, blows

    def withstand(self, kind, blows_min):
        """In one of the tries, each of which measures the quiet and the attack anew."""
        for _ in range(TRIES):
            quiet = p99(self.honest(QUIET_S))
            latencies, blows = self.attacked(kind)
            limit = FACTOR * max(quiet, FLOOR_S)
            told = (f"{kind}: {blows} blows, p99 {1000 * p99(latencies):.1f} ms of "
                    f"{len(latencies)}, in quiet {1000 * quiet:.1f} ms, RSS {self.rss_mib()} MiB")
            print(f"  {told}", flush=True)
            self.assertLess(self.rss_mib(), RSS_MAX_MIB)
            if blows >= blows_min and p99(latencies) <= limit:
                return
        self.fail(f"{told}; at least {blows_min} blows and at most {limit:.3f} s are asked for")

    def test_json_depth_bombs(self):
        self.withstand("json_bombs", 8)

    def test_rapid_resets(self):
        self.withstand("rapid_reset", 500)

    def test_endless_continuations(self):
        self.withstand("continuations", 100)

    def test_settings_and_pings(self):
        self.withstand("settings", 1000)

    def test_slow_readers(self):
        self.withstand("slow_readers", 50)

    def test_slow_loris(self):
        self.withstand("slow_loris", 50)

    def test_watch_storm(self):
        self.withstand("watches", 200)

    def test_connection_flood(self):
        self.withstand("connections", 50)


if __name__ == "__main__":
    run_tests(__doc__)

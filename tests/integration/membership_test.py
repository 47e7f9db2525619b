#!/usr/bin/env python3
"""Servers come, lead, hand over and go while clients write: nothing is lost, nothing is stale.

Usage: membership_test.py [--seed N] [--long N] [unittest arguments]
"""
import concurrent.futures
import itertools
import math
import os
import random
import shutil
import statistics
import time
import unittest

from cluster import Cluster, Settings, run_tests, wait_for
from ctl_test import Ctl
from workload import PATH, Workload, configmap

CHANGE_S = 40
TRANSFER_S = 0.2
TRANSFER_WRITES = 10  # or as long as so many writes take in quiet, where the disk is that slow
TRIES = 3  # of what a busy machine may spoil
TRAILING = 4096  # entries that a server keeps behind its snapshot
FILLERS = 8
LEADS = '"msg":"leading"'


class MembershipTest(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(f"{Settings.seed}/{self.id()}")

    def load(self, cluster, **options):
        load = Workload(cluster, self.rng.randrange(1 << 32), **options)
        load.allowed = list(cluster.servers)
        return load

    def progress(self, load, writes=20):
        base = load.acknowledged()
        wait_for("writes are acknowledged",
                 lambda: load.errors or load.acknowledged() >= base + writes)

    def change(self, cluster, what, body, via=None):
        """A change that must be made; asked again when that is what the answer says."""
        for _ in range(3):
            with cluster.client(via or cluster.leader().name, timeout_s=CHANGE_S) as client:
                answer = client.call("POST", f"/tutti/v1/cluster/{what}?timeout={CHANGE_S}s", body)
            if answer.code != 503 or "ask again" not in answer.text:
                break
        self.assertEqual(answer.code, 200, f"{what} {body}: {answer.text}")

    def members(self, cluster):
        """As the leader tells them; one that is busy may be late with its answer, once or twice."""
        told = wait_for("the leader's members",
                        lambda: cluster.leader().status().get("members"))  # fmt: skip
        return {m["name"]: m["role"] for m in told}

    def join(self, cluster, name):
        """The documented way: add, start with --join, promote."""
        server = cluster.servers.get(name) or cluster.add_server(name)
        leader = cluster.leader()
        self.change(cluster, "members", {"name": name, "peerAddress": server.peer_address})
        self.assertEqual(self.members(cluster)[name], "spare")
        server.membership = ["--join", f"https://127.0.0.1:{leader.api_port}"]
        server.start()
        self.change(cluster, "promote", {"name": name})
        self.assertEqual(self.members(cluster)[name], "voter")
        server.wait_ready()
        return server

    def remove(self, cluster, name):
        self.change(cluster, "remove", {"name": name})
        wait_for(f"{name} is no member", lambda: name not in self.members(cluster))
        server = cluster.servers.pop(name)
        return server


class Growing(MembershipTest):
    def test_grow_to_five_and_shrink_to_three_under_load(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            self.progress(load)
            for name in ("s4", "s5"):
                self.join(cluster, name)
                load.allowed = list(cluster.servers)
                self.progress(load)
            # Five voters go on without any two.
            victims = self.rng.sample(list(cluster.servers.values()), 2)
            for victim in victims:
                victim.kill()
            self.progress(load)
            for victim in victims:
                victim.start(wait=True)
            for victim in [cluster.leader().name, self.other(cluster)]:
                load.allowed = [n for n in cluster.servers if n != victim]
                server = self.remove(cluster, victim)
                self.progress(load)
                if server.alive():
                    server.stop()
            self.assertEqual(len(self.members(cluster)), 3)
            load.stop()
            load.verify()

    def other(self, cluster):
        leader = cluster.leader().name
        return self.rng.choice([n for n in cluster.servers if n != leader])

    def test_one_server_becomes_three(self):
        with Cluster(count=1) as cluster:
            load = self.load(cluster)
            load.start()
            self.progress(load)
            for name in ("s2", "s3"):
                self.join(cluster, name)
                load.allowed = list(cluster.servers)
            self.progress(load)
            cluster.servers["s1"].kill()
            self.progress(load)
            cluster.servers["s1"].start(wait=True)
            load.stop()
            load.verify()


class LostMemory(MembershipTest):
    def test_a_wiped_server_is_refused_until_it_joins_anew(self):
        """With an empty directory it could vote twice: its peers know it by another one."""
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            self.progress(load)
            leader = cluster.leader()
            victim = self.rng.choice([s for s in cluster.running() if s is not leader])
            load.allowed = [n for n in cluster.servers if n != victim.name]
            victim.kill()
            self.assertIn(True, (self.is_refused(cluster, load, victim) for _ in range(TRIES)),
                          "the leader changes each time")  # fmt: skip
            # All start again, and remember.
            for server in cluster.running():
                server.kill()
                server.start()
            victim.start()
            self.assertNotEqual(victim.wait_end(), 0)
            self.progress(load)
            # The documented way back: remove, empty, add anew.
            self.change(cluster, "remove", {"name": victim.name})
            shutil.rmtree(victim.data_dir)
            self.join(cluster, victim.name)
            load.allowed = list(cluster.servers)
            self.progress(load)
            load.stop()
            load.verify()

    def is_refused(self, cluster, load, victim):
        """It is, with an empty directory; True: and the leader stayed, which only a busy machine
        may be to blame for otherwise."""
        leader = cluster.leader()
        shutil.rmtree(victim.data_dir)
        victim.start()
        self.assertNotEqual(victim.wait_end(), 0)
        self.assertIn("docs/ops/recovery.md", victim.tail())
        self.assertIn("another data directory", victim.tail())
        self.progress(load)
        return cluster.leader() is leader

    def test_the_first_start_is_no_lost_memory(self):
        """One after the other, with restarts while the cluster forms."""
        cluster = Cluster()
        cluster.start = lambda: None
        with cluster:
            members = ",".join(f"{s.name}={s.peer_address}" for s in cluster.first)
            for server in cluster.first:
                server.membership = ["--bootstrap", members]
            order = self.rng.sample(cluster.first, 3)
            order[0].start()
            wait_for("its directory", lambda: os.path.isdir(f"{order[0].data_dir}/member"))
            order[0].kill()
            order[0].start()
            order[1].start()
            wait_for("a leader of two", cluster.find_leader)
            order[1].kill()
            order[1].start()
            order[2].start()
            for server in order:
                server.wait_ready()
            cluster.wait_equal()


class Removed(MembershipTest):
    def is_told(self, server):
        """It says so to whoever looks, and why it is not ready."""
        try:
            with server.client(user="") as client:
                answer = client.call("GET", "/readyz")
        except OSError:  # it just starts
            return False
        return answer.code == 503 and "removed from the cluster" in answer.text

    def refusals(self, cluster):
        return sum(s.log().count("which was removed") for s in cluster.running())

    def test_a_removed_server_knows_it_and_leaves_the_others_alone(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            late = self.join(cluster, "s4")
            leader = cluster.leader()
            early = next(s for s in cluster.running() if s not in (leader, late))
            load.allowed = [n for n in cluster.servers if n not in ("s4", early.name)]
            self.remove(cluster, early.name)
            wait_for("it knows", lambda: self.is_told(early))
            self.assertEqual(early.status()["state"], "removed")
            self.assertGreater(early.status()["removedIndex"], 1)
            self.assertEqual(early.log().count("this server was removed from the cluster"), 1)
            with early.client() as client:
                answer = client.call("GET", "/api/v1/namespaces/default")
            self.assertEqual(answer.code, 503)
            self.assertIn("removed from the cluster", answer.text)
            shown = Ctl(cluster, [early]).ok("cluster", "status")
            self.assertIn(f"{early.name} was removed from this cluster", shown)
            # The other one is away, and who removed it forgets by a restart that it ever was.
            late.kill()
            self.remove(cluster, "s4")
            for server in cluster.running():
                server.kill()
                server.start(wait=True)
            late.start()
            wait_for("it knows, too", lambda: self.is_told(late))
            refusals = self.refusals(cluster)
            self.assertGreater(refusals, 0)
            self.progress(load, 400)
            self.assertEqual(self.refusals(cluster), refusals)
            for server in (early, late):
                server.kill()
            shutil.rmtree(early.data_dir)
            cluster.servers[early.name] = early
            self.join(cluster, early.name)
            load.stop()
            load.verify()


class Transfer(MembershipTest):
    def pause_of(self, cluster, target):
        """Seconds between the last write before and the first write after a transfer, and those
        of a write in quiet."""
        leader = cluster.leader()
        led = target.log().count(LEADS)
        body = configmap("transfer", "0")
        with target.client() as client:
            done, ended = [], False
            client.call("POST", PATH, body)
            import threading

            def write():
                number = 0
                while not ended:
                    number += 1
                    try:
                        answer = client.try_call("PUT", f"{PATH}/transfer",
                                                 configmap("transfer", str(number)))
                    except Exception:
                        continue
                    if answer.code == 200:
                        done.append(time.monotonic())

            writer = threading.Thread(target=write)
            writer.start()
            try:
                wait_for("writes", lambda: len(done) > 20)
                quiet = statistics.median(b - a for a, b in zip(done, done[1:]))
                if not self.hand_over(leader, target):
                    return math.inf, quiet
                at = len(done)
                wait_for("writes", lambda: len(done) > at + 20)
            finally:
                ended = True
                writer.join()
        wait_for("the new leader", lambda: target.log().count(LEADS) > led)
        return max(b - a for a, b in zip(done, done[1:])), quiet

    def are_short(self, cluster):
        """Five transfers; True: most pauses are short."""
        pauses, quiets = [], []
        for _ in range(5):
            leader = cluster.leader()
            target = self.rng.choice([s for s in cluster.running() if s is not leader])
            pause, quiet = self.pause_of(cluster, target)
            pauses.append(pause)
            quiets.append(quiet)
        limit = max(TRANSFER_S, TRANSFER_WRITES * statistics.median(quiets))
        print("  pauses of transfers:", ", ".join(f"{p * 1000:.0f} ms" for p in sorted(pauses)),
              f"(at most {limit * 1000:.0f} ms)", flush=True)  # fmt: skip
        return statistics.median(pauses) <= limit

    def test_transfer_is_short(self):
        with Cluster() as cluster:
            self.assertIn(True, (self.are_short(cluster) for _ in range(TRIES)))

    def hand_over(self, leader, target):
        """False: the target did not take over in time, or another one led meanwhile. That there is
        load is no excuse; a disk that needs half a second for a sync is one."""
        with leader.client(timeout_s=CHANGE_S) as client:
            answer = client.call("POST", "/tutti/v1/cluster/transfer", {"name": target.name})
        if answer.code != 200:
            self.assertEqual(answer.code, 503, answer.text)
            print(f"  {leader.name} to {target.name}: {answer.json['message']}", flush=True)
        return answer.code == 200

    def transfer(self, cluster):
        """To another server; a slow disk is an excuse once."""
        for _ in range(2):
            leader = cluster.leader()
            target = self.rng.choice([s for s in cluster.running() if s is not leader])
            if self.hand_over(leader, target):
                return
        self.fail("no server took over")

    def test_transfers_under_load_lose_nothing(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            for _ in range(5 * Settings.rounds):
                self.progress(load)
                self.transfer(cluster)
            load.stop()
            load.verify()


class Snapshots(MembershipTest):
    def fill(self, cluster, count, prefix):
        filler = "x" * 2000
        with cluster.client(cluster.leader().name) as client:
            for i in range(count):
                answer = client.call("POST", PATH, configmap(f"{prefix}-{i}", filler))
                self.assertEqual(answer.code, 201, answer.text)

    def fill_log(self, cluster, index):
        """Small writes beside what the load looks at, until the log has come to this index."""
        path = PATH.replace("configmaps", "serviceaccounts")
        rounds = itertools.count()

        def write():
            with cluster.client(cluster.leader().name) as client:
                while cluster.leader().status().get("lastIndex", 0) < index:
                    for _ in range(25):
                        account = {"kind": "ServiceAccount", "apiVersion": "v1",
                                   "metadata": {"name": f"log-{next(rounds)}"}}  # fmt: skip
                        answer = client.call("POST", path, account)
                        self.assertEqual(answer.code, 201, answer.text)

        # As many as share a sync well: a slow disk must not take its time for each write.
        with concurrent.futures.ThreadPoolExecutor(FILLERS) as pool:
            for done in [pool.submit(write) for _ in range(FILLERS)]:
                done.result()

    def snapshot_all(self, cluster):
        for server in cluster.running():
            self.change(cluster, "snapshot", {}, server.name)

    def test_servers_restart_from_snapshots(self):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            for round_number in range(2):
                self.fill(cluster, 50, f"fill{round_number}")
                self.snapshot_all(cluster)
                self.progress(load)
                for server in cluster.servers.values():
                    server.kill()
                for server in cluster.servers.values():
                    server.start()
                for server in cluster.servers.values():
                    server.wait_ready()
                self.progress(load)
            load.stop()
            load.verify()

    def test_a_new_server_gets_the_snapshot(self):
        with Cluster() as cluster:
            # More than what is kept behind a snapshot, or the log would do.
            self.fill_log(cluster, TRAILING + 100)
            self.snapshot_all(cluster)
            load = self.load(cluster)
            load.start()
            self.fill(cluster, 20, "more")
            joined = self.join(cluster, "s4")
            self.assertIn('"msg":"installs a snapshot"', joined.log())
            load.allowed = list(cluster.servers)
            self.progress(load)
            joined.kill()
            self.progress(load)
            joined.start(wait=True)
            self.progress(load)
            load.stop()
            load.verify()


if __name__ == "__main__":
    run_tests(__doc__)

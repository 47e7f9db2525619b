#!/usr/bin/env python3
"""Processes that are killed, stopped and paused, disks that fail, fill up and rot: nothing
acknowledged is lost, no read is old, and what cannot go on says so.

Usage: faults_test.py [--seed N] [--long N] [unittest arguments]
"""
import errno
import glob
import os
import random
import shutil
import subprocess
import threading
import time
import unittest

from cluster import Cluster, Settings, Unknown, run_tests, wait_for
from workload import PATH, Workload, configmap

CLEAN = 0
FATAL = 70  # of a server that cannot go on
MIB = 1 << 20
PAUSE_S = 10
GATE_S = 90  # for threads to come together; more than what any of them waits for before


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


class Paused(FaultTest):
    def test_reads_queued_on_a_paused_leader_are_not_old(self):
        """They are sent to a stopped leader when another one has acknowledged a later write."""
        with Cluster() as cluster:
            load = self.load(cluster, timeout_s=20)
            load.start()
            self.progress(load)
            old = cluster.leader()
            with old.client() as client:
                client.call("POST", PATH, configmap("stale", "before"))
            gate = threading.Barrier(9)
            answers = []
            readers = [
                threading.Thread(target=self.late_read, args=(old, gate, answers)) for _ in range(8)
            ]
            for reader in readers:
                reader.start()
            gate.wait(GATE_S)  # all are connected
            old.pause()
            paused_at = time.monotonic()
            load.allowed = [n for n in cluster.servers if n != old.name]
            wait_for("the write", lambda: self.overwritten(cluster))
            gate.wait(GATE_S)  # now all send
            time.sleep(max(0.5, PAUSE_S - (time.monotonic() - paused_at)))
            old.resume()
            for reader in readers:
                reader.join()
            load.allowed = None
            self.assertEqual(len(answers), 8)
            for code, value in answers:
                self.assertTrue(code >= 500 or value == "after", (code, value))
            self.progress(load)
            load.stop()
            load.verify()

    def late_read(self, server, gate, answers):
        with server.client(timeout_s=60) as client:
            client.call("GET", "/healthz")
            gate.wait(GATE_S)
            gate.wait(GATE_S)
            answer = client.call("GET", f"{PATH}/stale")
            answers.append((answer.code, answer.json.get("data", {}).get("v")))

    def overwritten(self, cluster):
        leader = cluster.find_leader()
        try:
            with (leader or cluster.running()[0]).client() as client:
                body = configmap("stale", "after")
                return client.try_call("PUT", f"{PATH}/stale", body).code == 200
        except Unknown:
            return False


class BrokenDisk(FaultTest):
    """System calls of one member of three fail: it ends, the others go on, it comes back."""

    def break_one(self, call, error, after):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            self.progress(load)
            victim = self.rng.choice(list(cluster.servers.values()))
            self.assertEqual(victim.stop(), CLEAN)
            victim.start(["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                          "-e", f"inject={call}:error={error}:when={after}+"])  # fmt: skip
            wait_for("it ends by itself", lambda: load.errors or not victim.alive(), 90)
            self.assertEqual(victim.wait_end(), FATAL, victim.tail())
            last = [line for line in victim.log().splitlines() if '"error"' in line][-1]
            self.assertIn("the member cannot go on", last)
            self.assertIn(os.strerror(getattr(errno, error)), last)
            self.progress(load)
            victim.start(wait=True)
            self.progress(load)
            load.stop()
            load.verify()

    def test_fdatasync_fails(self):
        self.break_one("fdatasync", "EIO", self.rng.randrange(20, 60))

    def test_write_finds_no_space(self):
        self.break_one("pwrite64", "ENOSPC", self.rng.randrange(60, 120))


class FullDisk(FaultTest):
    SIZE_MIB = 900
    # Waits for the end of the test, also of one that is killed: the disk is memory.
    JANITOR = 'read -r word; umount -l "$1" && rmdir "$1"'

    def setUp(self):
        super().setUp()
        self.mount = None

    def tearDown(self):
        if self.mount:
            self.janitor.stdin.close()
            self.janitor.stdout.read()  # until it has ended
            self.janitor.stdout.close()
            self.assertFalse(os.path.exists(self.mount))

    def small_disk(self):
        import tempfile

        path = tempfile.mkdtemp(prefix="tutti-disk-")
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE_MIB}m", "tutti-test", path]
        if subprocess.run(command, capture_output=True, timeout=20).returncode != 0:
            os.rmdir(path)
            self.skipTest("this kernel does not let us mount a small disk")
        self.mount = path
        self.janitor = subprocess.Popen(["setsid", "sh", "-c", self.JANITOR, "-", path],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        self.addCleanup(self.janitor.wait)
        return path

    def leave_free(self, size_mib):
        """Fills the disk with a file up to so much free space, or less."""
        with open(f"{self.mount}/ballast", "ab") as handle:
            while (size := self.free_size() - size_mib * MIB) > 0:
                try:
                    os.posix_fallocate(handle.fileno(), handle.seek(0, os.SEEK_END), size)
                except OSError as error:  # a server has taken some of it meanwhile
                    self.assertEqual(error.errno, errno.ENOSPC)

    def free_size(self):
        disk = os.statvfs(self.mount)
        return disk.f_bavail * disk.f_frsize

    def call(self, cluster, method, path, body=None):
        with cluster.client(cluster.leader().name) as client:
            return client.call(method, path, body)

    def test_full_disk_refuses_growth_and_recovers(self):
        disk = self.small_disk()
        cluster = Cluster()
        for server in cluster.servers.values():
            server.data_dir = f"{disk}/{server.name}"
        with cluster:
            # Space is looked at now and then: until it is, each attempt to delete needs an object.
            victims = [f"victim-{number}" for number in range(50)]
            for name in ("kept", "gone", "other", *victims):
                self.assertEqual(self.call(cluster, "POST", PATH, configmap(name, "1")).code, 201)
            self.leave_free(200)

            def refused():
                answer = self.call(cluster, "POST", PATH, {**configmap("new", "x"), "metadata": {
                    "generateName": "new-"}})  # fmt: skip
                return answer if answer.code == 507 else None

            answer = wait_for("creates are refused", refused)
            self.assertEqual(answer.json["reason"], "InsufficientStorage")
            self.assertEqual(self.call(cluster, "GET", f"{PATH}/kept").code, 200)
            self.assertEqual(self.call(cluster, "DELETE", f"{PATH}/gone").code, 200)
            self.assertEqual(self.call(cluster, "GET", f"{PATH}/gone").code, 404)
            self.leave_free(0)
            wait_for("deletes are refused as well", lambda: self.call(
                cluster, "DELETE", f"{PATH}/{victims.pop()}").code == 507, 10, 0.2)  # fmt: skip
            for server in cluster.servers.values():
                self.assertTrue(server.alive(), server.tail())
                with server.client() as client:
                    self.assertEqual(client.call("GET", f"{PATH}/kept").code, 200)
            os.unlink(f"{disk}/ballast")
            wait_for("creates are taken again", lambda: self.call(
                cluster, "POST", PATH, configmap("again", "1")).code == 201)  # fmt: skip
            self.assertEqual(self.call(cluster, "DELETE", f"{PATH}/other").code, 200)
            cluster.wait_equal()


class Rot(FaultTest):
    """Bytes of a stopped member change: it must refuse to start, and never vote again as itself."""

    def with_damage(self, damage, snapshot=False):
        with Cluster() as cluster:
            load = self.load(cluster)
            load.start()
            self.progress(load, 60)
            if snapshot:
                self.snapshot(cluster)
                self.progress(load, 20)
            victim = self.rng.choice(list(cluster.servers.values()))
            self.assertEqual(victim.stop(), CLEAN)
            damage(victim)
            load.allowed = [n for n in cluster.servers if n != victim.name]
            for attempt in range(2):  # a supervisor starts it again and again
                victim.start()
                wait_for("it refuses", lambda: not victim.alive())
                self.assertNotEqual(victim.wait_end(), CLEAN)
            self.assertIn("damaged", victim.tail(4))
            self.assertTrue(os.path.exists(f"{victim.data_dir}/quarantine-1/reason"))
            self.assertFalse(os.path.exists(f"{victim.data_dir}/quarantine-2"))
            self.progress(load)
            self.rejoin(cluster, victim)
            load.allowed = None
            self.progress(load)
            load.stop()
            load.verify()

    def snapshot(self, cluster):
        for server in cluster.running():
            with server.client(timeout_s=30) as client:
                answer = client.call("POST", "/tutti/v1/cluster/snapshot")
                self.assertEqual(answer.code, 200, answer.text)

    def rejoin(self, cluster, server):
        """The documented procedure for a member whose data is gone."""
        leader = cluster.leader()
        with leader.client(timeout_s=40) as client:
            for what, body in (
                ("remove", {"name": server.name}),
                ("members", {"name": server.name, "peerAddress": server.peer_address}),
            ):
                answer = client.call("POST", f"/tutti/v1/cluster/{what}", body)
                self.assertEqual(answer.code, 200, answer.text)
            server.membership = ["--join", f"https://127.0.0.1:{leader.api_port}"]
            server.start()
            answer = client.call("POST", "/tutti/v1/cluster/promote", {"name": server.name})
            self.assertEqual(answer.code, 200, answer.text)
        server.wait_ready()

    def log_bytes(self, server):
        """Path of the first log segment and how many bytes of it are written."""
        path = sorted(p for p in glob.glob(f"{server.data_dir}/member/log/*")
                      if os.path.getsize(p) >= MIB)[0]  # fmt: skip
        with open(path, "rb") as handle:
            return path, len(handle.read().rstrip(b"\0"))

    def flip(self, path, offset):
        with open(path, "r+b") as handle:
            handle.seek(offset)
            byte = handle.read(1)[0]
            handle.seek(offset)
            handle.write(bytes([byte ^ (1 << self.rng.randrange(8))]))

    def test_a_flipped_bit_in_the_log(self):
        def damage(server):
            path, written = self.log_bytes(server)
            self.flip(path, self.rng.randrange(512, written - 512))

        self.with_damage(damage)

    def test_a_zeroed_tail_of_the_log(self):
        def damage(server):
            path, written = self.log_bytes(server)
            start = self.rng.randrange(written // 2, written - 512) // 512 * 512
            with open(path, "r+b") as handle:
                handle.seek(start)
                handle.write(bytes(written - start))

        self.with_damage(damage)

    def test_a_truncated_log(self):
        def damage(server):
            path, written = self.log_bytes(server)
            os.truncate(path, self.rng.randrange(512, written - 512))

        self.with_damage(damage)

    def test_a_flipped_bit_in_a_snapshot(self):
        def damage(server):
            path = max(glob.glob(f"{server.data_dir}/member/snapshots/*"), key=os.path.getmtime)
            self.flip(path, self.rng.randrange(os.path.getsize(path)))

        self.with_damage(damage, snapshot=True)


if __name__ == "__main__":
    run_tests(__doc__)

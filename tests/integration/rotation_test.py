#!/usr/bin/env python3
"""Certificates of servers, an agent and a user live for seconds, and are renewed and taken up under
load: no request fails, no stream breaks, nobody is served on a certificate that has ended.

Usage: rotation_test.py [--seed N] [unittest arguments]
"""
import http.client
import json
import os
import ssl
import subprocess
import threading
import time
import unittest

from cluster import Cluster, run_tests, wait_for
from workload import PATH, configmap

LIFE_S = 12  # a third of it is left at the renewal: no pause of a busy machine may be as long
RENEWALS = 3  # of each
RENEWED = "certificate was renewed"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, timeout=30, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args}: {done.stderr.decode()}")
    return done.stdout.decode()


def stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


def shorten(cluster, role, name, usage, subject="", hosts=""):
    """A certificate of LIFE_S for the key NAME.key, put in the place of NAME.crt at once."""
    work = f"{cluster.dir}/short-{name}"
    os.makedirs(work, exist_ok=True)
    open(f"{work}/index", "w", encoding="ascii").close()
    with open(f"{work}/config", "w", encoding="ascii") as handle:
        handle.write(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={work}/index\nnew_certs_dir={work}\n"
            f"rand_serial=yes\ndefault_md=sha256\npolicy=any\nx509_extensions=ext\n"
            f"[any]\ncommonName=supplied\norganizationName=optional\n"
            f"[ext]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
            f"subjectAltName=URI:spiffe://tutti-test/{role}/{name}{hosts}\n"
        )
    openssl("req", "-new", "-key", f"{cluster.pki}/{name}.key", "-subj", f"{subject}/CN={name}",
            "-out", f"{work}/csr")  # fmt: skip
    now = time.time()
    openssl("ca", "-batch", "-notext", "-config", f"{work}/config", "-in", f"{work}/csr",
            "-cert", f"{cluster.pki}/ca.crt", "-keyfile", f"{cluster.pki}/ca.key",
            "-startdate", stamp(now - 1), "-enddate", stamp(now + LIFE_S),
            "-out", f"{work}/crt")  # fmt: skip
    os.rename(f"{work}/crt", f"{cluster.pki}/{name}.crt")


class Actor:
    """Something that goes on until it is told to stop; whatever goes wrong is kept."""

    def __init__(self, cluster, server):
        self.cluster = cluster
        self.server = cluster.servers[server]
        self.errors = []
        self.count = 0
        self.stopping = False
        self.thread = threading.Thread(target=self.guarded)

    def guarded(self):
        try:
            self.run()
        except Exception as error:  # noqa: BLE001
            self.errors.append(f"{type(self).__name__} of {self.server.name}: {error!r}")

    def expect(self, answer, *codes):
        if answer.code not in codes:
            raise AssertionError(f"{answer.code}: {answer.text}")

    def stop(self):
        self.stopping = True


class Writer(Actor):
    """Numbers in one object, over one connection."""

    def run(self):
        name = f"load-{self.server.name}"
        with self.server.client() as client:
            self.expect(client.call("POST", PATH, configmap(name, "0")), 201)
            while not self.stopping:
                self.count += 1
                body = configmap(name, str(self.count))
                self.expect(client.call("PUT", f"{PATH}/{name}", body), 200)
                self.expect(client.call("GET", f"{PATH}/{name}"), 200)


class Caller(Actor):
    """New connections all the time: the server's certificate must count at any moment."""

    def __init__(self, *args):
        super().__init__(*args)
        self.ends = set()

    def run(self):
        while not self.stopping:
            with self.server.client() as client:
                self.expect(client.call("GET", "/version"), 200)
                self.ends.add(client.connection.sock.getpeercert()["notAfter"])
                self.count += 1


class Follower(Actor):
    """A stream that lives on, and misses nothing."""

    def __init__(self, *args):
        super().__init__(*args)
        self.numbers = {}
        self.connection = self.server.client(timeout_s=60).open()

    def run(self):
        self.connection.request("GET", f"{PATH}?watch=1&allowWatchBookmarks=1")
        response = self.connection.getresponse()
        while not self.stopping:
            line = response.readline()  # a bookmark comes each second
            if not line.endswith(b"\n"):
                raise AssertionError("the stream broke")
            event = json.loads(line)
            metadata = event["object"]["metadata"]
            if event["type"] == "BOOKMARK" or not metadata.get("name", "").startswith("load-"):
                continue
            number = int(event["object"]["data"]["v"])
            before = self.numbers.get(metadata["name"], number - 1)
            if number != before + 1:
                raise AssertionError(f"{metadata['name']}: {number} after {before}")
            self.numbers[metadata["name"]] = number
            self.count += 1
        self.connection.close()


class User(Actor):
    """Renews his own certificate when two thirds of its life are over, and goes on with the new
    one; what he watches ends with the certificate it was opened with."""

    def run(self):
        csr = openssl("req", "-new", "-key", f"{self.cluster.pki}/brief.key", "-subj", "/CN=brief")
        path = f"{self.cluster.pki}/brief.crt"
        while not self.stopping:
            context = ssl.create_default_context(cafile=f"{self.cluster.pki}/ca.crt")
            context.load_cert_chain(path, f"{self.cluster.pki}/brief.key")
            ends = ssl.cert_time_to_seconds(
                openssl("x509", "-noout", "-enddate", "-in", path).strip().partition("=")[2])
            watch = threading.Thread(target=self.watch, args=(context, ends))
            watch.start()
            with self.server.client() as client:
                client.context = context
                while time.time() < ends - LIFE_S / 3:
                    self.expect(client.call("GET", f"{PATH}?limit=1"), 200)
                answer = client.call("POST", "/tutti/v1/certificates/renew", {"csr": csr})
                self.expect(answer, 201)
            with open(f"{path}.new", "w", encoding="ascii") as handle:
                handle.write(answer.json["certificate"])
            os.rename(f"{path}.new", path)
            self.count += 1

    def watch(self, context, ends):
        try:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.server.api_port, context=context, timeout=30
            )
            connection.request("GET", f"{PATH}?watch=1&allowWatchBookmarks=1")
            response = connection.getresponse()
            while response.readline().endswith(b"\n"):
                pass
            connection.close()
            late_s = time.time() - ends
            if not -1 <= late_s <= LIFE_S / 2:
                self.errors.append(f"a watch ended {late_s:.1f} s after its certificate")
        except Exception as error:  # noqa: BLE001
            self.errors.append(f"a watch of the user: {error!r}")


class Rotation(unittest.TestCase):
    def start_agent(self, cluster):
        servers = ",".join(f"https://127.0.0.1:{s.api_port}" for s in cluster.first)
        self.agent_log = f"{cluster.dir}/agent.log"
        with open(self.agent_log, "wb") as log:
            self.agent = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", f"{cluster.build}/tuttid", "agent",
                 "--name", "n1", "--server", servers, "--cert", f"{cluster.pki}/n1.crt",
                 "--key", f"{cluster.pki}/n1.key", "--ca", f"{cluster.pki}/ca.crt",
                 "--data-dir", f"{cluster.dir}/n1", "--listen", "127.0.0.1:0",
                 "--runtime-endpoint", f"unix://{cluster.dir}/no-runtime"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip

    def log_of_agent(self):
        with open(self.agent_log, encoding="utf-8", errors="replace") as handle:
            return handle.read()

    def lease(self, cluster):
        with cluster.client() as client:
            answer = client.call("GET", f"{LEASES}/n1")
        return answer.json["spec"]["renewTime"] if answer.code == 200 else None

    def test_renewals_under_load_break_nothing(self):
        with Cluster() as cluster:
            cluster.issue("user", "brief", "--groups", "tutti:admins")
            cluster.issue("agent", "n1")
            shorten(cluster, "user", "brief", "clientAuth", "/O=tutti:admins")
            shorten(cluster, "agent", "n1", "clientAuth,serverAuth", hosts=",IP:127.0.0.1")
            for name in cluster.servers:
                shorten(cluster, "server", name, "clientAuth,serverAuth",
                        hosts=",IP:127.0.0.1,DNS:localhost")  # fmt: skip
            self.start_agent(cluster)
            try:
                self.follow(cluster)
            finally:
                self.agent.terminate()
                self.agent.wait(30)

    def follow(self, cluster):
        followers = [Follower(cluster, name) for name in cluster.servers]
        callers = [Caller(cluster, name) for name in cluster.servers]
        writers = [Writer(cluster, name) for name in cluster.servers]
        user = User(cluster, "s2")
        actors = [*followers, *callers, *writers, user]
        for actor in actors:
            actor.thread.start()

        def renewals():
            """Of the one with the fewest."""
            return min(user.count, self.log_of_agent().count(RENEWED),
                       *(s.log().count(RENEWED) for s in cluster.servers.values()),
                       *(len(c.ends) - 1 for c in callers))  # fmt: skip

        wait_for("lives go by", lambda: renewals() >= RENEWALS or any(a.errors for a in actors),
                 (RENEWALS + 2) * LIFE_S, 0.5)  # fmt: skip
        renewed = self.lease(cluster)
        wait_for("the agent goes on", lambda: self.lease(cluster) != renewed, step_s=0.2)
        for actor in [*writers, *callers, user, *followers]:
            actor.stop()
        for actor in actors:
            actor.thread.join(30)
        counts = {f"{type(a).__name__} {a.server.name}": a.count for a in actors}
        print(f"  {counts}", flush=True)
        self.assertEqual([error for actor in actors for error in actor.errors], [])
        for follower in followers:
            names = [f"load-{name}" for name in sorted(cluster.servers)]
            self.assertEqual(sorted(follower.numbers), names)


if __name__ == "__main__":
    run_tests(__doc__)

#!/usr/bin/env python3
"""Who may do what, against real servers; what is cut off; what is never written in the clear.

Usage: security_test.py [--seed N] [unittest arguments]
"""
import base64
import concurrent.futures
import contextlib
import glob
import http.client
import json
import os
import random
import secrets
import ssl
import subprocess
import threading
import time
import unittest

from cluster import Client, Cluster, Settings, run_tests, wait_for
from workload import PATH, configmap

SECRETS = "/api/v1/namespaces/default/secrets"
PODS = "/api/v1/namespaces/default/pods"
REVOKE_S = 5


def secret(name, **values):
    data = {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def pod(name, node, secret_name):
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "c", "image": "busybox", "envFrom": [
                {"secretRef": {"name": secret_name}}]}],
        },
    }  # fmt: skip


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], capture_output=True, timeout=30, input=stdin)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args}: {done.stderr.decode()}")
    return done.stdout.decode()


class Watch:
    """A watch that is followed until it ends."""

    def __init__(self, test, user, server, path):
        self.server = server
        self.ended = False
        self.lines = 0
        self.connection = test.cluster.client(server, user, timeout_s=60).open()
        self.connection.request("GET", f"{path}&watch=1&allowWatchBookmarks=1")
        self.response = self.connection.getresponse()
        test.assertEqual(self.response.status, 200)
        assert self.response.readline()  # it is open
        self.follower = threading.Thread(target=self.follow)
        self.follower.start()

    def follow(self):
        try:
            while self.response.readline().endswith(b"\n"):
                self.lines += 1
        except (OSError, http.client.HTTPException):
            pass
        self.ended = True

    def close(self):
        self.follower.join(30)
        self.connection.close()


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rng = random.Random(Settings.seed)
        cls.cluster = Cluster().__enter__()
        for role, name, *options in (
            ("user", "nobody"), ("user", "reader", "--groups", "tutti:readers"),
            ("user", "leaver", "--groups", "tutti:readers"),
            ("agent", "n1"), ("agent", "n2"),
        ):  # fmt: skip
            cls.cluster.issue(role, name, *options)

    @classmethod
    def tearDownClass(cls):
        try:
            for server in cls.cluster.running():
                assert server.stop() == 0, server.tail()
        finally:
            cls.cluster.__exit__(None)

    def call(self, user, method, path, body=None, server="s1"):
        with self.cluster.client(server, user) as client:
            return client.call(method, path, body)

    def code(self, *args, **kwargs):
        return self.call(*args, **kwargs).code

    def must(self, *args, **kwargs):
        answer = self.call(*args, **kwargs)
        self.assertIn(answer.code, (200, 201), answer.text)
        return answer


class Identities(SecurityTest):
    def refused(self, certificate, key, ca=None):
        """A connection with that certificate gets no answer but a refusal."""
        context = ssl.create_default_context(cafile=f"{self.cluster.pki}/ca.crt")
        context.load_cert_chain(certificate, key)
        with Client(self.cluster.servers["s1"].api_port, context) as client:
            try:
                self.assertEqual(client.call("GET", "/healthz").code, 401)
            except (OSError, http.client.HTTPException):
                pass  # the handshake failed: right as well

    def test_no_certificate(self):
        self.assertEqual(self.code("", "GET", "/healthz"), 200)
        for path in (PATH, SECRETS, "/tutti/v1/cluster", "/metrics", "/version"):
            self.assertEqual(self.code("", "GET", path), 401, path)
        self.assertEqual(self.code("", "POST", PATH, configmap("x", "1")), 401)

    def test_certificate_of_another_authority(self):
        other = f"{self.cluster.dir}/other"
        self.cluster.ctl("pki", "init", "--dir", other, "--cluster", "tutti-test")
        self.cluster.issue("user", "admin", "--groups", "tutti:admins", pki=other)
        self.refused(f"{other}/admin.crt", f"{other}/admin.key")

    def test_expired_certificate(self):
        work = f"{self.cluster.dir}/expired"
        os.mkdir(work)
        open(f"{work}/index", "w", encoding="ascii").close()
        with open(f"{work}/config", "w", encoding="ascii") as handle:
            handle.write(
                f"[ca]\ndefault_ca=own\n[own]\ndatabase={work}/index\nnew_certs_dir={work}\n"
                f"rand_serial=yes\ndefault_md=sha256\npolicy=any\nx509_extensions=ext\n"
                f"[any]\ncommonName=supplied\n[ext]\nkeyUsage=critical,digitalSignature\n"
                f"extendedKeyUsage=clientAuth\nsubjectAltName=URI:spiffe://tutti-test/user/admin\n"
            )
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=admin", "-keyout", f"{work}/key", "-out", f"{work}/csr")  # fmt: skip
        sign = ["ca", "-batch", "-notext", "-config", f"{work}/config", "-in", f"{work}/csr",
                "-cert", f"{self.cluster.pki}/ca.crt",
                "-keyfile", f"{self.cluster.pki}/ca.key"]  # fmt: skip
        openssl(*sign, "-startdate", "20200101000000Z", "-enddate", "20200102000000Z",
                "-out", f"{work}/crt")  # fmt: skip
        self.refused(f"{work}/crt", f"{work}/key")

    def test_user_without_groups(self):
        for method, path in (("GET", PATH), ("GET", SECRETS), ("GET", "/tutti/v1/cluster"),
                             ("POST", "/tutti/v1/tokens"), ("POST", "/tutti/v1/cluster/remove"),
                             ("GET", "/tutti/v1/cluster/backup")):  # fmt: skip
            self.assertEqual(self.code("nobody", method, path), 403, path)

    def test_reader_reads_but_no_secrets_and_writes_nothing(self):
        self.must("admin", "POST", SECRETS, secret("hidden", a="b"))
        self.assertEqual(self.code("reader", "GET", PATH), 200)
        self.assertEqual(self.code("reader", "GET", f"{SECRETS}/hidden"), 403)
        self.assertEqual(self.code("reader", "GET", SECRETS), 403)
        self.assertEqual(self.code("reader", "POST", PATH, configmap("no", "1")), 403)
        code = self.code("reader", "POST", "/tutti/v1/cluster/remove", {"name": "s1"})
        self.assertEqual(code, 403)
        self.assertEqual(self.code("reader", "GET", "/tutti/v1/cluster/backup"), 403)


class Agents(SecurityTest):
    def test_an_agent_sees_its_own_pods_and_their_secrets_only(self):
        for node in ("n1", "n2"):
            # Pods of a node that is not there are removed at once.
            item = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
            self.must("admin", "POST", "/api/v1/nodes", item)
            self.must("admin", "POST", SECRETS, secret(f"of-{node}", a=node))
            self.must("admin", "POST", PODS, pod(f"on-{node}", node, f"of-{node}"))
        for server in self.cluster.servers:
            answer = self.call("n1", "GET", f"{SECRETS}/of-n1", server=server)
            self.assertEqual(answer.code, 200, f"{server}: {answer.text}")
            self.assertEqual(self.code("n1", "GET", f"{PODS}/on-n1", server=server), 200)
            self.assertEqual(self.code("n1", "GET", f"{SECRETS}/of-n2", server=server), 403)
            self.assertEqual(self.code("n1", "GET", f"{PODS}/on-n2", server=server), 403)
        self.assertEqual(self.code("n1", "GET", SECRETS), 403)
        self.assertEqual(self.code("n1", "DELETE", f"{PODS}/on-n2"), 403)
        foreign = self.must("admin", "GET", f"{PODS}/on-n2").json
        foreign["status"] = {"phase": "Failed"}
        self.assertEqual(self.code("n1", "PUT", f"{PODS}/on-n2/status", foreign), 403)
        self.assertEqual(self.code("n1", "POST", PODS, pod("forged", "n1", "of-n2")), 403)
        self.assertEqual(self.code("n1", "POST", "/tutti/v1/tokens", {"role": "agent"}), 403)
        # A pod that goes takes the right to its secret along, and what still streams it.
        watches = [Watch(self, "n1", server, f"{SECRETS}?fieldSelector=metadata.name=of-n1")
                   for server in self.cluster.servers]  # fmt: skip
        self.must("admin", "POST", PODS, pod("beside", "n1", "of-other"))
        self.must("admin", "DELETE", f"{PODS}/beside?gracePeriodSeconds=0")
        for watch in watches:  # bookmarks go on
            wait_for("it goes on", lambda w=watch, n=watch.lines + 2: w.ended or w.lines >= n)
            self.assertFalse(watch.ended, watch.server)
        self.must("admin", "DELETE", f"{PODS}/on-n1?gracePeriodSeconds=0")
        for server in self.cluster.servers:
            self.assertEqual(self.code("n1", "GET", f"{SECRETS}/of-n1", server=server), 403)
        for watch in watches:
            wait_for(f"the watch of {watch.server} ends", lambda w=watch: w.ended, REVOKE_S)
            watch.close()

    def test_a_right_that_ended_counts_on_no_server(self):
        """Not on one either that has yet to hear of the end: what it reads is up to date."""
        self.cluster.issue("agent", "n5")
        item = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n5"}}
        self.must("admin", "POST", "/api/v1/nodes", item)
        self.must("admin", "POST", SECRETS, secret("of-n5", a="b"))
        with contextlib.ExitStack() as stack:
            admin = stack.enter_context(self.cluster.leader().client())
            agents = [stack.enter_context(s.client("n5")) for s in self.cluster.first]
            for number in range(20):
                answer = admin.call("POST", PODS, pod(f"brief-{number}", "n5", "of-n5"))
                self.assertEqual(answer.code, 201, answer.text)
                codes = [agent.call("GET", f"{SECRETS}/of-n5").code for agent in agents]
                self.assertEqual(codes, [200] * len(agents))
                admin.call("DELETE", f"{PODS}/brief-{number}?gracePeriodSeconds=0")
                codes = [agent.call("GET", f"{SECRETS}/of-n5").code for agent in agents]
                self.assertEqual(codes, [403] * len(agents))

    def test_an_agent_does_not_steer_pods_to_its_node(self):
        nodes = "/api/v1/nodes"
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3", "labels": {
            "kubernetes.io/hostname": "n3", "node-restriction.kubernetes.io/pci": "yes"}}}
        self.cluster.issue("agent", "n3")
        answer = self.call("n3", "POST", nodes, node)
        self.assertEqual(answer.code, 403, answer.text)
        self.assertIn("not allowed to set the following labels", answer.json["message"])
        del node["metadata"]["labels"]["node-restriction.kubernetes.io/pci"]
        self.must("n3", "POST", nodes, node)
        merge = {"Content-Type": "application/merge-patch+json"}
        for change, word in (
            ({"metadata": {"labels": {"rack": "1"}}}, "labels"),
            ({"metadata": {"labels": {"kubernetes.io/hostname": None}}}, "labels"),
            ({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, "taints"),
            ({"spec": {"unschedulable": True}}, "spec"),
            ({"metadata": {"finalizers": ["example.com/x"]}}, "finalizers"),
        ):
            with self.cluster.client("s1", "n3") as client:
                answer = client.call("PATCH", f"{nodes}/n3", change, merge)
            self.assertEqual(answer.code, 403, change)
            self.assertIn('node "n3" is not allowed to modify', answer.json["message"])
            self.assertIn(word, answer.json["message"])
        for path, change in (
            (f"{nodes}/n3", {"metadata": {"annotations": {"a": "b"}}}),
            (f"{nodes}/n3/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]},
                                    "metadata": {"labels": {"rack": "1"}}}),
        ):  # fmt: skip
            with self.cluster.client("s1", "n3") as client:
                answer = client.call("PATCH", path, change, merge)
            self.assertEqual(answer.code, 200, answer.text)
        labels = self.must("admin", "GET", f"{nodes}/n3").json["metadata"]["labels"]
        self.assertEqual(labels, {"kubernetes.io/hostname": "n3"})


class SealedMetadata(SecurityTest):
    def gone(self, path):
        wait_for(f"{path} is gone", lambda: self.code("admin", "GET", path) == 404)

    def test_secrets_have_owners_and_finalizers(self):
        """What is sealed is garbage collected and held like everything else."""
        owner = self.must("admin", "POST", PATH, configmap("owner", "1")).json
        item = secret("owned", a="b")
        item["metadata"]["ownerReferences"] = [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner["metadata"]["uid"]}]  # fmt: skip
        self.must("admin", "POST", SECRETS, item)
        self.must("admin", "POST", SECRETS, secret("free", a="b"))
        self.must("admin", "DELETE", f"{PATH}/owner")
        self.gone(f"{SECRETS}/owned")
        self.must("admin", "GET", f"{SECRETS}/free")
        self.must("admin", "POST", "/api/v1/namespaces", {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leaving"}})  # fmt: skip
        inside = "/api/v1/namespaces/leaving/secrets"
        item = secret("held", a="b")
        item["metadata"]["finalizers"] = ["example.com/wait"]
        self.must("admin", "POST", inside, item)
        self.must("admin", "POST", inside, secret("unheld", a="b"))
        self.must("admin", "DELETE", "/api/v1/namespaces/leaving")
        self.gone(f"{inside}/unheld")
        held = self.must("admin", "GET", f"{inside}/held").json
        self.assertIn("deletionTimestamp", held["metadata"])
        self.assertEqual(held["data"], item["data"])
        self.must("admin", "GET", "/api/v1/namespaces/leaving")
        merge = {"Content-Type": "application/merge-patch+json"}
        with self.cluster.client("s1") as client:
            nothing = {"metadata": {"finalizers": None}}
            answer = client.call("PATCH", f"{inside}/held", nothing, merge)
        self.assertEqual(answer.code, 200, answer.text)
        self.gone(f"{inside}/held")
        self.gone("/api/v1/namespaces/leaving")


class Revocation(SecurityTest):
    def test_revocation_cuts_an_open_watch(self):
        text = openssl("x509", "-noout", "-serial", "-in", f"{self.cluster.pki}/leaver.crt")
        serial = text.strip().partition("=")[2].lower()
        revision = self.must("admin", "GET", f"{PATH}?limit=1").revision
        client = self.cluster.client("s2", "leaver", timeout_s=30)
        connection = client.open()
        query = f"watch=1&allowWatchBookmarks=1&resourceVersion={revision}"
        connection.request("GET", f"{PATH}?{query}")
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertTrue(response.readline())  # a bookmark: it is open
        ended = []

        def follow():
            try:
                while response.readline().endswith(b"\n"):
                    pass
            except (OSError, http.client.HTTPException):
                pass
            ended.append(time.monotonic())

        follower = threading.Thread(target=follow)
        follower.start()
        began = time.monotonic()
        body = {"serial": serial}
        self.must("admin", "POST", "/tutti/v1/certificates/revoked", body, server="s1")
        follower.join(30)
        connection.close()
        print(f"  cut after {(ended[0] - began) * 1000:.0f} ms", flush=True)
        self.assertLess(ended[0] - began, REVOKE_S)
        for server in self.cluster.servers:
            wait_for("no new connection", lambda s=server: self.is_refused(s), REVOKE_S)

    def is_refused(self, server):
        try:
            return self.code("leaver", "GET", PATH, server=server) == 401
        except (OSError, http.client.HTTPException):
            return True

    def test_a_restarted_server_lets_no_revoked_certificate_in(self):
        """Before it has the revocation from its log it must not answer at all."""
        self.cluster.issue("user", "sleeper", "--groups", "tutti:admins")
        self.assertEqual(self.code("sleeper", "GET", "/version", server="s3"), 200)
        self.must("admin", "POST", "/tutti/v1/certificates/revoked", {"identity": "user/sleeper"})
        self.cluster.wait_equal()
        server = self.cluster.servers["s3"]
        context = self.cluster.context("sleeper")
        codes, tries = [], 0
        for _ in range(3):
            server.kill()
            server.start()
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                tries += 1
                try:
                    with Client(server.api_port, context, timeout_s=2) as client:
                        codes.append(client.call("GET", "/version").code)
                except (OSError, http.client.HTTPException):
                    pass
            server.wait_ready()
        print(f"  {tries} tries, answers {sorted(set(codes))}", flush=True)
        self.assertNotIn(200, codes)


class Holder:
    """An agent's certificates as the cluster issues them."""

    def __init__(self, test, name):
        self.test = test
        self.cluster = test.cluster
        self.name = name
        self.key = f"{self.cluster.dir}/{name}.key"
        self.csr = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                           "-nodes", "-subj", f"/CN={name}", "-keyout", self.key)  # fmt: skip
        self.count = 0

    def token(self):
        body = {"role": "agent", "name": self.name}
        return self.test.must("admin", "POST", "/tutti/v1/tokens", body).json["token"]

    def keep(self, answer):
        self.test.assertEqual(answer.code, 201, answer.text)
        self.count += 1
        path = f"{self.cluster.dir}/{self.name}-{self.count}.crt"
        with open(path, "w", encoding="ascii") as handle:
            handle.write(answer.json["certificate"])
        context = ssl.create_default_context(cafile=f"{self.cluster.pki}/ca.crt")
        context.load_cert_chain(path, self.key)
        return context

    def join(self, token):
        body = {"token": token, "csr": self.csr, "name": self.name}
        return self.test.call("", "POST", "/tutti/v1/join", body)

    def ask(self, context, method, path, body=None, server="s1"):
        """The answer's code; 0 when there is none."""
        with Client(self.cluster.servers[server].api_port, context) as client:
            try:
                return client.call(method, path, body)
            except (OSError, http.client.HTTPException):
                return None

    def is_out(self, context, server):
        answer = self.ask(context, "GET", "/version", server=server)
        return answer is None or answer.code == 401


class RevokedIdentity(SecurityTest):
    def test_a_renewal_before_the_revocation_does_not_help(self):
        holder = Holder(self, "n4")
        first = holder.keep(holder.join(holder.token()))
        early = holder.token()
        renew = ("POST", "/tutti/v1/certificates/renew", {"csr": holder.csr})
        second = holder.keep(holder.ask(first, *renew, server="s2"))
        for context in (first, second):
            self.assertEqual(holder.ask(context, "GET", "/version").code, 200)
        self.cluster.issue("agent", "n4", "--out", f"{self.cluster.dir}/offline")
        offline = ssl.create_default_context(cafile=f"{self.cluster.pki}/ca.crt")
        offline.load_cert_chain(*(f"{self.cluster.dir}/offline/n4.{e}" for e in ("crt", "key")))
        self.assertEqual(holder.ask(offline, "GET", "/version").code, 200)
        body = {"identity": "spiffe://tutti-test/agent/n4"}
        self.must("admin", "POST", "/tutti/v1/certificates/revoked", body, server="s3")
        for server in self.cluster.servers:
            for name, context in (("first", first), ("second", second), ("offline", offline)):
                wait_for(f"{name} is out of {server}",
                         lambda c=context, s=server: holder.is_out(c, s), REVOKE_S)
            answer = holder.ask(second, *renew, server=server)
            self.assertTrue(answer is None or answer.code in (401, 403), answer and answer.text)
        # Nor does a token that was made before. One that was made since lets it in again.
        self.assertEqual(holder.join(early).code, 401)
        third = holder.keep(holder.join(holder.token()))
        fourth = holder.keep(holder.ask(third, *renew))
        for server in self.cluster.servers:
            for context in (third, fourth):
                self.assertEqual(holder.ask(context, "GET", "/version", server=server).code, 200)
            self.assertTrue(holder.is_out(second, server))
        listed = self.must("admin", "GET", "/tutti/v1/certificates/revoked").json["identities"]
        self.assertIn("agent/n4", [entry["identity"] for entry in listed])

    def test_by_serial_one_certificate_only(self):
        holder = Holder(self, "n3")
        first = holder.keep(holder.join(holder.token()))
        second = holder.keep(
            holder.ask(first, "POST", "/tutti/v1/certificates/renew", {"csr": holder.csr}))
        text = openssl("x509", "-noout", "-serial", "-in", f"{self.cluster.dir}/n3-1.crt")
        body = {"serial": text.strip().partition("=")[2].lower()}
        self.must("admin", "POST", "/tutti/v1/certificates/revoked", body)
        wait_for("the first is out", lambda: holder.is_out(first, "s2"), REVOKE_S)
        self.assertEqual(holder.ask(second, "GET", "/version", server="s2").code, 200)

    def test_what_is_no_identity_is_refused(self):
        for body in ({"identity": "mallory"}, {"identity": "spiffe://other/user/mallory"},
                     {"identity": "user/a", "serial": "00"}, {"serial": "XY"}, {}):  # fmt: skip
            code = self.code("admin", "POST", "/tutti/v1/certificates/revoked", body)
            self.assertEqual(code, 400, body)


class Tokens(SecurityTest):
    def request(self, name):
        key = f"{self.cluster.dir}/{name}.key"
        return openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                       "-nodes", "-subj", f"/CN={name}", "-keyout", key)  # fmt: skip

    def token(self, **options):
        return self.must("admin", "POST", "/tutti/v1/tokens", options).json["token"]

    def test_a_token_works_once_even_on_all_servers_at_a_time(self):
        token = self.token(role="agent", name="n9")
        body = {"token": token, "csr": self.request("n9"), "name": "n9"}
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            codes = list(pool.map(
                lambda i: self.code("", "POST", "/tutti/v1/join", body, server=f"s{i % 3 + 1}"),
                range(9)))  # fmt: skip
        self.assertEqual(sorted(codes), [201] + [401] * 8)
        self.assertEqual(self.code("", "POST", "/tutti/v1/join", body), 401)

    def test_a_token_is_for_its_role_and_name(self):
        token = self.token(role="agent", name="n8")
        body = {"token": token, "csr": self.request("n7"), "name": "n7"}
        self.assertEqual(self.code("", "POST", "/tutti/v1/join", body), 401)
        body = {"token": token + "x", "csr": self.request("n8"), "name": "n8"}
        self.assertEqual(self.code("", "POST", "/tutti/v1/join", body), 401)

    def test_an_expired_token(self):
        token = self.token(role="agent", name="n6", ttlSeconds=1)
        csr = self.request("n6")
        time.sleep(1.2)
        body = {"token": token, "csr": csr, "name": "n6"}
        self.assertEqual(self.code("", "POST", "/tutti/v1/join", body), 401)


class Canaries(SecurityTest):
    def holds(self, text):
        """Files of the servers (data and logs) that hold the text."""
        while True:
            try:
                found = []
                for path in glob.glob(f"{self.cluster.dir}/s?/**", recursive=True):
                    if os.path.isfile(path):
                        with open(path, "rb") as handle:
                            if text.encode() in handle.read():
                                found.append(path)
                return found
            except FileNotFoundError:
                pass  # it has another name by now: all over again

    def test_secrets_are_nowhere_in_the_clear(self):
        hidden = secrets.token_hex(24)
        plain = secrets.token_hex(24)
        encoded = base64.b64encode(hidden.encode()).decode()
        self.must("admin", "POST", PATH, configmap("plain", plain))
        self.must("admin", "POST", SECRETS, secret("canary", value=hidden))
        self.must("admin", "PUT", f"{SECRETS}/canary", secret("canary", value=hidden, b="c"))
        # Refused ones must not leak either.
        self.assertEqual(self.code("admin", "POST", SECRETS, secret("canary", value=hidden)), 409)
        bad = secret("bad", value="x")
        bad["data"]["value"] = hidden + "!"
        self.assertEqual(self.code("admin", "POST", SECRETS, bad), 400)
        body = {"role": "agent", "name": "n5"}
        token = self.must("admin", "POST", "/tutti/v1/tokens", body).json["token"]
        self.cluster.wait_equal()
        for server in self.cluster.servers:
            self.must("admin", "POST", "/tutti/v1/cluster/snapshot", server=server)
        self.assertGreaterEqual(len(self.holds(plain)), 3, "the search misses what is there")
        with open(f"{self.cluster.pki}/ca.key", encoding="ascii") as handle:
            key = handle.read().splitlines()[1]
        with open(f"{self.cluster.pki}/seal.key", "rb") as handle:
            seal = handle.read().hex()
        parts = (token, token.rpartition(".")[2])
        for text in (hidden, encoded, encoded.rstrip("=")[:-1], *parts, key, seal):
            self.assertEqual(self.holds(text), [], "found in the clear")
        for server in self.cluster.running():
            for name in ("cmdline", "environ"):
                with open(f"/proc/{server.pid}/{name}", "rb") as handle:
                    self.assertNotIn(hidden.encode(), handle.read())
        answer = self.must("admin", "GET", f"{SECRETS}/canary").json
        self.assertEqual(answer["data"]["value"], encoded)
        self.assertNotIn(hidden, json.dumps(self.must("admin", "GET", "/tutti/v1/cluster").json))


if __name__ == "__main__":
    run_tests(__doc__)

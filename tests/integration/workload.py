"""Clients that use a cluster and write down what they saw, and the verdict over it.

    load = Workload(cluster, seed)
    load.start(); …break things…; load.stop()
    load.verify()     # after the cluster is whole again

Happy path: each client thread creates, reads, compares-and-sets, deletes and lists a handful of
ConfigMaps through all servers in turn; each watcher follows them and resumes where it stood when
its stream ends. Answers that do not tell whether a write happened are of unknown outcome.
verify() reads the final state on every server and runs all checks of lincheck and watchcheck.
"""
import collections
import concurrent.futures
import http.client
import json
import random
import threading
import time

import lincheck
import watchcheck
from cluster import Unknown, wait_for
from lincheck import Op, Violation
from watchcheck import Event

PATH = "/api/v1/namespaces/default/configmaps"
WATCH_IDLE_S = 3  # bookmarks come each second: a stream without any is given up
HANG_S = 30  # of what must be answered, at the end


def configmap(name, value, revision=None):
    metadata = {"name": name, "labels": {"of": "load"}}
    if revision:
        metadata["resourceVersion"] = str(revision)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": value}}


class LoadClient(threading.Thread):
    """One sequential client: at most one operation is out at a time."""

    def __init__(self, load, number):
        super().__init__(name=f"client-{number}", daemon=True)
        self.load = load
        self.number = number
        self.rng = random.Random(f"{load.seed}/{number}")
        self.known = {}  # key -> (value, revision) seen last
        self.writes = 0
        self.connections = {}

    def run(self):
        try:
            while not self.load.ended.is_set():
                self.step()
        except BaseException as error:  # reported by verify()
            self.load.errors.append(error)
            raise
        finally:
            for connection in self.connections.values():
                connection.close()

    def step(self):
        name = self.rng.choice(self.load.server_names())
        key = self.rng.choice(self.load.keys)
        kind = self.rng.choices(["read", "cas", "create", "delete", "list"], [40, 34, 14, 8, 4])[0]
        if kind == "cas" and key not in self.known:
            kind = "read"
        op = Op(kind, key, 0, client=self.number, server=name)
        if kind in ("create", "cas"):
            self.writes += 1
            op.value = f"{self.number}-{self.writes}"
        # A server that is down costs a pause, or the history is nothing but refused connections.
        if not getattr(self, "do_" + kind)(op):
            self.load.ended.wait(0.02)

    def send(self, op, method, path, body=None):
        """The Answer, or None when the outcome is unknown or the operation was surely refused."""
        client = self.connections.get(op.server)
        if client is None:
            client = self.load.cluster.client(op.server, timeout_s=self.load.timeout_s)
            self.connections[op.server] = client
        op.start = time.monotonic()
        try:
            answer = client.try_call(method, path, body)
        except Unknown as error:
            self.load.unknown[str(error)[:160]] += 1
            if op.kind not in ("read", "list"):
                self.load.ops.append(op)
            return None
        if answer.code == 429:
            self.load.unknown["429"] += 1
            return None
        op.end = time.monotonic()
        return answer

    def record(self, op, answer, outcomes):
        op.outcome = outcomes.get(answer.code)
        if op.outcome is None:
            raise Violation(f"{op}: unexpected answer {answer.code} {answer.text}")
        if op.outcome == "ok" and op.kind != "delete":
            op.revision = answer.revision
            if op.kind == "read":
                op.value = answer.json["data"]["v"]
            elif answer.json["data"]["v"] != op.value:
                raise Violation(f"{op}: answered {answer.text}")
            self.known[op.key] = (op.value, op.revision)
        self.load.ops.append(op)
        return True

    def do_read(self, op):
        answer = self.send(op, "GET", f"{PATH}/{op.key}")
        if answer is None:
            return False
        if answer.code == 404:
            op.outcome = "ok"
            self.known.pop(op.key, None)
            self.load.ops.append(op)
            return True
        return self.record(op, answer, {200: "ok"})

    def do_cas(self, op):
        op.expected, revision = self.known[op.key]
        answer = self.send(op, "PUT", f"{PATH}/{op.key}", configmap(op.key, op.value, revision))
        if answer is None:
            return False
        if answer.code != 200:
            self.known.pop(op.key, None)
        return self.record(op, answer, {200: "ok", 409: "conflict", 404: "missing"})

    def do_create(self, op):
        answer = self.send(op, "POST", PATH, configmap(op.key, op.value))
        return answer and self.record(op, answer, {201: "ok", 409: "exists"})

    def do_delete(self, op):
        answer = self.send(op, "DELETE", f"{PATH}/{op.key}")
        return answer and self.record(op, answer, {200: "ok", 404: "missing"})

    def do_list(self, op):
        """A list is one read of every key at one revision."""
        answer = self.send(op, "GET", f"{PATH}?labelSelector=of%3Dload")
        if answer is None:
            return False
        if answer.code != 200:
            raise Violation(f"{op}: unexpected answer {answer.code} {answer.text}")
        revision = answer.revision
        items = {i["metadata"]["name"]: i for i in answer.json["items"]}
        for key in self.load.keys:
            seen = Op("read", key, op.start, op.end, None, None, "ok", 0, op.client, op.server)
            if key in items:
                seen.value = items[key]["data"]["v"]
                seen.revision = int(items[key]["metadata"]["resourceVersion"])
                if seen.revision > revision:
                    raise Violation(f"a list at revision {revision} holds {items[key]}")
            self.load.ops.append(seen)
        self.load.lists.append((op.start, op.end, revision))
        return True


class Watcher(threading.Thread):
    """Follows all keys from the first revision; resumes on any server where it stood."""

    def __init__(self, load, number):
        super().__init__(name=f"watcher-{number}", daemon=True)
        self.load = load
        self.rng = random.Random(f"{load.seed}/watcher/{number}")
        self.stream = []
        self.revision = load.first_revision
        self.resumed = 0
        self.ended = threading.Event()

    def run(self):
        try:
            while not self.ended.is_set():
                self.follow(self.rng.choice(self.load.server_names()))
                self.resumed += 1
                self.ended.wait(0.05)
        except BaseException as error:  # reported by verify()
            self.load.errors.append(error)
            raise

    def follow(self, server):
        try:
            for event in watch(self.load.cluster, server, self.revision, self.ended):
                self.stream.append(event)
                if event.revision < self.revision:
                    raise Violation(f"{event} after revision {self.revision}")
                self.revision = event.revision
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.load.unknown[f"watch: {error!r}"[:160]] += 1


def watch(cluster, server, revision, ended, idle_s=WATCH_IDLE_S):
    """Events of a watch behind revision, until the stream or the test ends."""
    query = f"watch=1&allowWatchBookmarks=true&labelSelector=of%3Dload&resourceVersion={revision}"
    client = cluster.client(server, timeout_s=idle_s)
    connection = client.open()
    try:
        connection.request("GET", f"{PATH}?{query}")
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"{response.status} {response.read()[:200]}")
        while not ended.is_set():
            line = response.readline()
            if not line.endswith(b"\n"):
                return
            yield parse_event(json.loads(line))
    finally:
        connection.close()


def parse_event(line):
    item = line["object"]
    if line["type"] == "ERROR":
        raise ValueError(f"watch ended: {item}")
    metadata = item["metadata"]
    value = item.get("data", {}).get("v") if line["type"] != "BOOKMARK" else None
    return Event(int(metadata["resourceVersion"]), line["type"], metadata.get("name", ""), value)


class Workload:
    """The clients, what they saw, and the verdict."""

    def __init__(self, cluster, seed, clients=8, keys=5, watchers=3, timeout_s=3):
        self.cluster = cluster
        self.seed = seed
        self.keys = [f"k{i}" for i in range(keys)]
        self.timeout_s = timeout_s
        self.ops = []  # appended to by all clients; append is atomic
        self.lists = []
        self.errors = []
        self.unknown = collections.Counter()
        self.ended = threading.Event()
        self.allowed = None  # server names that clients use; None: all
        self.first_revision = self.list_revision()
        self.clients = [LoadClient(self, i) for i in range(clients)]
        self.watchers = [Watcher(self, i) for i in range(watchers)]

    def server_names(self):
        return self.allowed or list(self.cluster.servers)

    def list_revision(self):
        """The present revision, read linearizably."""

        def read():
            try:
                with self.cluster.client() as client:
                    return client.try_call("GET", f"{PATH}?limit=1").revision
            except Unknown:
                return 0

        return max(1, wait_for("a linearizable list", lambda: read() or None))

    def start(self):
        for thread in self.clients + self.watchers:
            thread.start()

    def acknowledged(self):
        return sum(1 for op in self.ops if op.outcome == "ok" and op.kind not in ("read", "list"))

    def stop(self):
        """Ends the clients; watchers go on until verify() has seen them catch up."""
        self.ended.set()
        for thread in self.clients:
            thread.join(self.timeout_s + 30)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def final_history(self, server, revision):
        """All events of one server up to revision."""
        events = []
        ended = threading.Event()
        for event in watch(self.cluster, server, self.first_revision, ended, HANG_S):
            if event.kind == "BOOKMARK":
                if event.revision >= revision:
                    return events
            else:
                events.append(event)
        raise Violation(f"the watch on {server} ended before revision {revision}")

    def verify(self):
        """Every check; raises Violation. Prints what was checked."""
        try:
            self.check_all()
        finally:
            for watcher in self.watchers:
                watcher.ended.set()

    def check_all(self):
        if self.errors:
            raise self.errors[0]
        revision = self.list_revision()
        self.cluster.wait_equal()
        self.wait_watchers(revision)
        for watcher in self.watchers:
            watcher.ended.set()
        for watcher in self.watchers:
            watcher.join(HANG_S)
            assert not watcher.is_alive(), f"{watcher.name} hangs"
        if self.errors:
            raise self.errors[0]
        names = [s.name for s in self.cluster.running()]
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            found = pool.map(lambda name: self.final_history(name, revision), names)
        histories = dict(zip(names, found))
        history = histories[names[0]]
        for name in names[1:]:
            if histories[name] != history:
                raise Violation(f"the histories of {names[0]} and {name} differ")
        left = watchcheck.check_history(history)
        for name in names:
            self.check_final_list(name, left)
        acknowledged = watchcheck.check_acknowledged(self.ops, history)
        followed = sum(
            watchcheck.check_stream(w.stream, history, self.first_revision) for w in self.watchers
        )
        lincheck.check(self.ops)
        lincheck.check_revisions(self.ops)
        self.check_lists()
        unknown = sum(1 for op in self.ops if op.outcome == "unknown")
        resumed = sum(watcher.resumed for watcher in self.watchers)
        print(
            f"  {len(self.ops)} operations ({acknowledged} acknowledged writes in history, "
            f"{unknown} unknown), {len(history)} revisions, {followed} events followed over "
            f"{resumed} reconnections: linearizable",
            flush=True,
        )

    def wait_watchers(self, revision):
        wait_for(
            "the watchers have caught up",
            lambda: self.errors or all(w.revision >= revision for w in self.watchers),
        )

    def check_final_list(self, server, objects):
        with self.cluster.client(server, timeout_s=HANG_S) as client:
            items = client.call("GET", f"{PATH}?labelSelector=of%3Dload").json["items"]
        listed = {i["metadata"]["name"]: i["data"]["v"] for i in items}
        if listed != objects:
            raise Violation(f"{server} lists {listed}, history says {objects}")

    def check_lists(self):
        """A list must not be older than a write that was acknowledged before it began."""
        writes = sorted((op.end, op.revision) for op in self.ops
                        if op.outcome == "ok" and op.kind != "read")
        position, newest = 0, 0
        for start, _, revision in sorted(self.lists):
            while position < len(writes) and writes[position][0] < start:
                newest = max(newest, writes[position][1])
                position += 1
            if revision < newest:
                raise Violation(f"a list begun at {start} is of revision {revision}, not {newest}")

"""A cluster of real server processes for tests: certificates, start, kill, pause, restart, HTTP.

    with Cluster() as cluster:
        cluster.servers["s1"].kill()
        cluster.client().call("GET", "/tutti/v1/cluster").json

The programs are $TUTTI_BUILD/tuttid and tuttictl, else those of build/, else of build/dev. With
relay=True the servers reach each other through relay.py, which can cut them off from each other.
Every wait is for a condition and has a limit; every process ends with the test, however it ends.
"""
import glob
import http.client
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PORTS = (18440, 20400)
READY_S = 30
SKIP = 77


def programs():
    """The directory of tuttid and tuttictl."""
    for directory in (os.environ.get("TUTTI_BUILD"), f"{ROOT}/build", f"{ROOT}/build/dev"):
        if directory and os.access(f"{directory}/tuttid", os.X_OK):
            return directory
    sys.exit("tuttid is not built: run ./dev build")


def seed_from(arguments):
    """The seed of this run, from --seed or drawn; always printed."""
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    return seed


def free_ports(count):
    """That many ports that are this process's until it ends.

    A socket stays bound to each: no other run is given it, no connection goes out from it, also
    while a server is between two starts. Listeners that allow reuse, as ours do, may share it."""
    first = random.randrange(*PORTS)
    found = []
    for offset in range(PORTS[1] - PORTS[0]):
        port = PORTS[0] + (first - PORTS[0] + offset) % (PORTS[1] - PORTS[0])
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.detach()  # nobody closes it
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def wait_for(what, condition, timeout_s=READY_S, step_s=0.02):
    """Waits until condition() is true and returns its value; AssertionError after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout_s} s for: {what}")
        time.sleep(step_s)


class Unknown(Exception):
    """A request whose effect is not known: timeout, reset, 5xx."""


class Answer:
    """Status, headers and body of a response."""

    def __init__(self, response):
        self.code = response.status
        self.headers = response.headers
        self.text = response.read().decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def revision(self):
        return int(self.json["metadata"]["resourceVersion"])


class Client:
    """Requests to one server over one kept connection, which is made again when it breaks."""

    def __init__(self, port, context, timeout_s=5):
        self.port = port
        self.context = context
        self.timeout_s = timeout_s
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def open(self, timeout_s=None):
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.context, timeout=timeout_s or self.timeout_s
        )

    def call(self, method, path, body=None, headers=None):
        """The Answer, whatever its code; OSError or HTTPException when there is none."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent.update(headers or {})
        try:
            if self.connection is None:
                self.connection = self.open()
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request(method, path, body, sent)
            return Answer(self.connection.getresponse())
        except BaseException:
            self.close()
            raise

    def try_call(self, *args, **kwargs):
        """As call, but Unknown for no answer and for a 5xx that does not say what happened."""
        try:
            answer = self.call(*args, **kwargs)
        except (OSError, http.client.HTTPException) as error:
            raise Unknown(repr(error)) from error
        if answer.code >= 500:
            raise Unknown(answer.text)
        return answer


class Server:
    """One tuttid server process with its directory."""

    def __init__(self, cluster, name, data_dir=None):
        self.cluster = cluster
        self.name = name
        self.dir = f"{cluster.dir}/{name}"
        self.data_dir = data_dir or f"{self.dir}/data"
        self.log_path = f"{self.dir}/log"
        self.api_port, self.peer_port = free_ports(2)
        self.peer_address = f"127.0.0.1:{self.peer_port}"
        self.membership = []  # --bootstrap LIST or --join …
        self.process = None
        self.pid = 0  # of tuttid, also when a wrapper started it
        self.paused = False
        os.makedirs(self.dir, exist_ok=True)

    def command(self):
        pki = self.cluster.pki
        return [
            f"{self.cluster.build}/tuttid", "server", "--name", self.name,
            "--data-dir", self.data_dir, "--api-listen", f"127.0.0.1:{self.api_port}",
            "--peer-listen", f"127.0.0.1:{self.peer_port}", "--cert", f"{pki}/{self.name}.crt",
            "--key", f"{pki}/{self.name}.key", "--ca", f"{pki}/ca.crt",
            "--ca-key", f"{pki}/ca.key", "--seal-key", f"{pki}/seal.key",
            "--log-level", "debug", *self.membership,
        ]  # fmt: skip

    def start(self, wrapper=(), wait=False):
        """Starts it, below the wrapper's command if one is given."""
        assert self.process is None
        with open(self.log_path, "ab") as log:
            # The kernel ends the process with this one.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *wrapper, *self.command()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.pid = self.process.pid
        with open(f"{self.dir}/pid", "w", encoding="ascii") as handle:
            handle.write(str(self.pid))
        if wait:
            self.wait_ready()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, timeout_s=READY_S):
        """Until it answers a linearizable read, so that it is caught up with a leader."""

        def ready():
            assert self.alive(), f"{self.name} ended with {self.process.returncode}: {self.tail()}"
            try:
                with self.client(timeout_s=2) as client:
                    return client.call("GET", "/api/v1/namespaces/default").code == 200
            except (OSError, http.client.HTTPException):
                return False

        wait_for(f"{self.name} is ready: {self.log_path}", ready, timeout_s)

    def wait_end(self, timeout_s=READY_S):
        """Its exit code (negative: signal)."""
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def kill(self):
        self.process.kill()
        self.paused = False
        self.wait_end()

    def stop(self):
        """A clean stop: its exit code."""
        self.resume()
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def pause(self):
        """Stops it; returns when every thread of it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True
        wait_for(f"{self.name} stands still", self.is_still, 10, 0.001)

    def is_still(self):
        for path in glob.glob(f"/proc/{self.pid}/task/*/stat"):
            with open(path, encoding="ascii") as handle:
                if handle.read().rpartition(")")[2].split()[0] != "T":
                    return False
        return True

    def resume(self):
        if self.paused:
            self.process.send_signal(signal.SIGCONT)
            self.paused = False

    def client(self, user="admin", timeout_s=5):
        return Client(self.api_port, self.cluster.context(user), timeout_s)

    def status(self):
        """What it says about the cluster, {} when it does not answer."""
        try:
            with self.client(timeout_s=1) as client:
                answer = client.call("GET", "/tutti/v1/cluster")
                return answer.json if answer.code == 200 else {}
        except (OSError, http.client.HTTPException):
            return {}

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as handle:
            return handle.read()

    def tail(self, lines=20):
        return "\n".join(self.log().splitlines()[-lines:])


class Cluster:
    """Servers below one directory, from their certificates to their end."""

    def __init__(self, count=3, relay=False):
        self.dir = tempfile.mkdtemp(prefix="tutti-test-")
        self.build = programs()
        self.pki = f"{self.dir}/pki"
        self.servers = {}
        self.relay = None
        self.with_relay = relay
        self.keep = False
        self.contexts = {}
        self.ctl("pki", "init", "--dir", self.pki, "--cluster", "tutti-test")
        self.issue("user", "admin", "--groups", "tutti:admins")
        self.first = [self.add_server(f"s{i + 1}") for i in range(count)]

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *_):
        for server in self.servers.values():
            if server.alive():
                server.kill()
        if self.relay:
            self.relay.close()
        if kind is not None or self.keep:
            for server in self.servers.values():
                if os.path.exists(server.log_path):
                    print(f"--- end of the log of {server.name}\n{server.tail()}", flush=True)
        if os.environ.get("TUTTI_KEEP"):
            print(f"kept {self.dir}", flush=True)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def ctl(self, *args):
        done = subprocess.run(
            [f"{self.build}/tuttictl", *args], capture_output=True, text=True, timeout=30
        )
        if done.returncode != 0:
            raise RuntimeError(f"tuttictl {' '.join(args)}: {done.stderr}")
        return done.stdout

    def issue(self, role, name, *args, pki=None):
        self.ctl("pki", "issue", "--dir", pki or self.pki, role, name, *args)

    def add_server(self, name, data_dir=None):
        """A server with a certificate, not started."""
        self.issue("server", name, "--hours", "24")
        server = self.servers[name] = Server(self, name, data_dir)
        return server

    def start(self):
        if self.with_relay:
            from relay import Relay

            self.relay = Relay(self.dir, {s.name: s.peer_port for s in self.first})
            for server in self.first:
                server.peer_address = f"127.0.0.1:{self.relay.ports[server.name]}"
        members = ",".join(f"{s.name}={s.peer_address}" for s in self.first)
        for server in self.first:
            server.membership = ["--bootstrap", members]
            server.start()
        for server in self.first:
            server.wait_ready()

    def context(self, user):
        """The TLS side of a user ("": no certificate)."""
        if user not in self.contexts:
            context = ssl.create_default_context(cafile=f"{self.pki}/ca.crt")
            if user:
                context.load_cert_chain(f"{self.pki}/{user}.crt", f"{self.pki}/{user}.key")
            self.contexts[user] = context
        return self.contexts[user]

    def client(self, name=None, user="admin", timeout_s=5):
        server = self.servers[name] if name else next(s for s in self.running())
        return server.client(user, timeout_s)

    def running(self):
        return [s for s in self.servers.values() if s.alive() and not s.paused]

    def find_leader(self):
        """The running server that leads by its own word, None when there is none."""
        best, best_term = None, 0
        for server in self.running():
            status = server.status()
            if status.get("state") == "leader" and status["term"] > best_term:
                best, best_term = server, status["term"]
        return best

    def leader(self, timeout_s=READY_S):
        return wait_for("a leader", self.find_leader, timeout_s)

    def wait_equal(self, servers=None, timeout_s=READY_S):
        """Until all have applied the same index; their states must then be the same."""
        seen = {}

        def equal():
            for server in servers or self.running():
                seen[server.name] = server.status()
            indexes = {s.get("appliedIndex") for s in seen.values()}
            return len(indexes) == 1 and None not in indexes

        wait_for(f"one applied index of {seen}", equal, timeout_s, 0.05)
        hashes = {name: s["stateHash"] for name, s in seen.items()}
        assert len(set(hashes.values())) == 1, f"the servers' states differ: {seen}"
        return next(iter(hashes.values()))


class Settings:
    """Of this run: its seed and how long random tests last."""

    seed = 0
    rounds = 1


def run_tests(description):
    """The main of a test program: unittest with --seed, and --long for more rounds."""
    import argparse
    import faulthandler
    import unittest

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, help="repeat the random choices of a run")
    parser.add_argument("--long", type=int, default=int(os.environ.get("TUTTI_LONG", "1")),
                        metavar="N", help="N times as many rounds [$TUTTI_LONG or 1]")  # fmt: skip
    arguments, rest = parser.parse_known_args()
    Settings.seed = seed_from(arguments)
    Settings.rounds = arguments.long
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    faulthandler.dump_traceback_later(280 * arguments.long, exit=True)
    unittest.main(module="__main__", argv=[sys.argv[0], *rest], verbosity=2)

"""Clusters under measurement: three tutti servers or three etcd members, each with mutual TLS.

Both lie below one work directory, on the same disk. A cluster is prepared once (certificates,
commands) and can then be started from nothing as often as wanted. Every process is ended by its
own id when the `with` block is left, whatever happened.
"""
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY_S = 30


class BenchError(Exception):
    """The measurement cannot be made; the text says why."""


def wait_until(condition, seconds, what, pause=0.002):
    """Polls often: what is waited for is itself measured sometimes."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise BenchError(f"{what}: nothing after {seconds:.0f} s")
        time.sleep(pause)


class Cluster:
    """What both kinds share: named members, each a command line, a data directory and a log."""

    kind = ""

    def __init__(self, work_dir, base_port, count=3):
        self.dir = os.path.join(work_dir, self.kind)
        self.base_port = base_port
        self.count = count
        self.processes = {}  # name -> Popen
        self.commands = {}  # name -> argument list
        self.data_dirs = {}  # name -> path
        self.endpoints = {}  # name -> "host:port"
        self.ca = self.cert = self.key = ""

    def __enter__(self):
        os.makedirs(self.dir, exist_ok=True)
        self.prepare()
        self.tls = ssl.create_default_context(cafile=self.ca)
        self.tls.check_hostname = False
        self.tls.load_cert_chain(self.cert, self.key)
        return self

    def __exit__(self, *_):
        self.kill_all()
        shutil.rmtree(self.dir, ignore_errors=True)

    def names(self):
        return list(self.commands)

    def log_path(self, name):
        return os.path.join(self.dir, f"{name}.log")

    def spawn(self, name):
        with open(self.log_path(name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                self.commands[name], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT)

    def kill(self, name, number=signal.SIGKILL):
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=60)

    def kill_all(self):
        for process in self.processes.values():
            process.kill()
        for name in list(self.processes):
            self.kill(name)

    def check_alive(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise BenchError(f"{self.kind} {name} has ended: see {self.log_path(name)}")

    def start_fresh(self):
        """From nothing; returns the seconds until every member answers a linearizable read."""
        self.kill_all()
        for path in self.data_dirs.values():
            shutil.rmtree(path, ignore_errors=True)
        return self.start()

    def start(self):
        begin = time.monotonic()
        for name in self.commands:
            self.spawn(name)
        for name in self.commands:
            self.wait_ready(name)
        return time.monotonic() - begin

    def wait_ready(self, name, seconds=READY_S):
        def ready():
            self.check_alive()
            return self.is_ready(name)
        wait_until(ready, seconds, f"{self.kind} {name} ready")

    def rss_kib(self, name):
        with open(f"/proc/{self.processes[name].pid}/status", encoding="ascii") as handle:
            for line in handle:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise BenchError(f"no VmRSS of {name}")

    def cpu_s(self, name):
        with open(f"/proc/{self.processes[name].pid}/stat", encoding="ascii") as handle:
            fields = handle.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def request(self, name, method, path, body=None, timeout=2.0, accept="*/*"):
        """One HTTP/1.1 request on a connection of its own: (status, bytes)."""
        host, port = self.endpoints[name].rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), context=self.tls, timeout=timeout)
        try:
            headers = {"Accept": accept}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def leader(self):
        return wait_until(self.find_leader, READY_S, f"a leader of {self.kind}")


class Tutti(Cluster):
    """Set up by ./dev cluster, then run by the commands it wrote."""

    kind = "tutti"

    def prepare(self):
        subprocess.run([os.path.join(ROOT, "dev"), "cluster", "start", "--dir", self.dir,
                        "--servers", str(self.count), "--agents", "0", "--base-port",
                        str(self.base_port)], check=True, stderr=subprocess.DEVNULL, timeout=300)
        with open(os.path.join(self.dir, "cluster.json"), encoding="utf-8") as handle:
            servers = json.load(handle)["servers"]
        for server in servers:
            name = server["name"]
            self.commands[name] = [os.path.join(self.dir, name, "run")]
            self.data_dirs[name] = server["data_dir"]
            self.endpoints[name] = server["api"]
        subprocess.run([os.path.join(ROOT, "dev"), "cluster", "stop", "--dir", self.dir],
                       check=True, stderr=subprocess.DEVNULL, timeout=120)
        self.ca, self.cert, self.key = (
            os.path.join(self.dir, name) for name in ("ca.crt", "admin.crt", "admin.key"))

    def is_ready(self, name):
        try:
            return self.request(name, "GET", "/api/v1/namespaces/default")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def status(self, name):
        return json.loads(self.request(name, "GET", "/tutti/v1/cluster")[1])

    def find_leader(self):
        for name in self.processes:
            try:
                leader = self.status(name)["leader"]
                if leader in self.processes:
                    return leader
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                continue
        return None


class Etcd(Cluster):
    """Debian's etcd with certificates from tutti's own authority."""

    kind = "etcd"

    def prepare(self):
        pki = os.path.join(self.dir, "pki")
        tool = [os.path.join(ROOT, "build", "tuttictl"), "pki"]

        def run(*arguments):
            subprocess.run(tool + list(arguments), check=True, stdout=subprocess.DEVNULL,
                           timeout=60)
        run("init", "--dir", pki, "--cluster", "etcd-bench")
        members = [f"m{i + 1}" for i in range(self.count)]
        peers = ",".join(f"{name}=https://127.0.0.1:{self.base_port + 11 + i}"
                         for i, name in enumerate(members))
        for i, name in enumerate(members):
            run("issue", "--dir", pki, "server", name, "--hours", "48")
            self.endpoints[name] = f"127.0.0.1:{self.base_port + 1 + i}"
            self.data_dirs[name] = os.path.join(self.dir, name)
            self.commands[name] = self.command(name, pki, self.base_port + 11 + i, peers)
        run("issue", "--dir", pki, "--out", self.dir, "user", "admin", "--groups", "tutti:admins")
        self.ca = os.path.join(pki, "ca.crt")
        self.cert, self.key = (os.path.join(self.dir, n) for n in ("admin.crt", "admin.key"))

    def command(self, name, pki, peer_port, peers):
        client = f"https://{self.endpoints[name]}"
        peer = f"https://127.0.0.1:{peer_port}"
        words = ["/usr/bin/etcd", "--name", name, "--data-dir", self.data_dirs[name],
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", peers, "--initial-cluster-state", "new",
                 "--initial-cluster-token", "bench", "--logger", "zap", "--log-level", "error"]
        for prefix in ("--", "--peer-"):
            words += [f"{prefix}cert-file", f"{pki}/{name}.crt", f"{prefix}key-file",
                      f"{pki}/{name}.key", f"{prefix}trusted-ca-file", f"{pki}/ca.crt",
                      f"{prefix}client-cert-auth"]
        return words

    def is_ready(self, name):
        try:
            status, body = self.request(name, "POST", "/v3/kv/range", b'{"key":"Lw=="}')
            return status == 200 and b"header" in body
        except (OSError, http.client.HTTPException):
            return False

    def find_leader(self):
        for name in self.processes:
            try:
                answer = json.loads(
                    self.request(name, "POST", "/v3/maintenance/status", b"{}")[1])
                if answer["leader"] == answer["header"]["member_id"]:
                    return name
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                continue
        return None

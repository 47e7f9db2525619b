"""A test API server as a process, and HTTP requests to it with any of its identities."""
import http.client
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import tempfile

TIMEOUT_S = 20


class Server:
    """api_testd in a directory of its own; use as a context manager."""

    def __init__(self, program):
        self.program = program
        self.dir = tempfile.mkdtemp(prefix="tutti-api-")
        self.process = None
        self.port = 0
        self.agent_port = 0

    def __enter__(self):
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen(
                [self.program, self.dir],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready "):
            self.process.kill()
            raise RuntimeError("api_testd did not start: " + self.log())
        self.port, self.agent_port = (int(word) for word in line.split()[1:])
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self):
        """Ends the process and returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        return self.process.returncode

    def fail_next(self, count, code):
        """The next `count` proposals fail with this error, a number of base/err_codes.h."""
        self.process.stdin.write(f"fail {count} {code}\n".encode())
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"failing\n"

    def compact(self, revision):
        """Forgets the history up to this revision."""
        self.process.stdin.write(f"compact {revision}\n".encode())
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"compacted TT_OK\n"

    def path(self, name):
        return os.path.join(self.dir, name)

    def memory(self):
        """Bytes the process has in memory."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_sanitized(self):
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as handle:
            return re.search("lib[at]san", handle.read()) is not None

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as handle:
            return handle.read()

    def context(self, user):
        context = ssl.create_default_context(cafile=self.path("ca.crt"))
        if user:
            context.load_cert_chain(self.path(user + ".crt"), self.path(user + ".key"))
        return context

    def connect(self, user="admin"):
        """A new connection; user None: without a client certificate."""
        context = self.context(user)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=TIMEOUT_S
        )

    def connect_slow(self):
        """A connection of which the server's kernel takes little that is not read."""
        connection = self.connect()
        plain = socket.socket()
        plain.settimeout(TIMEOUT_S)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        plain.connect(("127.0.0.1", self.port))
        context = self.context("admin")
        connection.sock = context.wrap_socket(plain, server_hostname="127.0.0.1")
        return connection

    def call(self, method, path, body=None, user="admin", headers=None):
        """One request on its own connection: an Answer."""
        connection = self.connect(user)
        try:
            sent = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def watch(self, path, user="admin"):
        return Watch(self.connect(user), path)


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
        return self.json["metadata"]["resourceVersion"]


class Watch:
    """A watch stream, event by event."""

    def __init__(self, connection, path):
        self.connection = connection
        connection.request("GET", path)
        self.response = connection.getresponse()

    def next(self):
        """The next event, None at the end of the stream."""
        line = self.response.readline()
        return json.loads(line) if line else None

    def skip_bookmarks(self):
        while True:
            event = self.next()
            if event is None or event["type"] != "BOOKMARK":
                return event

    def close(self):
        self.connection.close()

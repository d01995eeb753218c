# SPDX-License-Identifier: MIT
"""A site that wishes its visitors ill, on a loopback port of its own. What it sends is bytes, written by hand: no
library stands between a test and the wire. It records each call and each connection with its arrival.

    with Hostile({"/": html("<a href=/slow>"), "/slow": lambda call: [head(), *drip(b"x" * 99, 0.1)]}) as site:
        site.url, site.calls, site.connections

A route is bytes (the whole answer), or a function of the Call that gives bytes or an iterable of what is to be done:
bytes are sent, numbers are slept, CLOSE and RESET end the connection. "*" is for all paths but robots.txt that have no
route of their own; without one: 404.
"""
import contextlib
import dataclasses
import socket
import struct
import threading
import time
import urllib.parse

CLOSE, RESET, HANG = object(), object(), object()
REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 404: "Not Found", 429: "Too Many Requests"}


@dataclasses.dataclass
class Call:
    at: float  # monotonic seconds
    method: str
    target: str
    path: str
    query: dict
    headers: dict
    connection: int
    n: int  # calls of this path before this one


def head(status=200, type="text/html; charset=utf-8", length=None, **headers):
    """The head of an answer; without a length the connection's end is the body's."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    if type is not None:
        lines.append(f"Content-Type: {type}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(body=b"", status=200, type="text/html; charset=utf-8", **headers):
    body = body.encode() if isinstance(body, str) else body
    return head(status, type, len(body), **headers) + body


def html(body, title="t", **headers):
    body = body.encode() if isinstance(body, str) else body
    return answer(b"<!doctype html><title>%s</title>%s" % (title.encode(), body), **headers)


def links(targets):
    return b"".join(b'<a href="%s">x</a>\n' % (t.encode() if isinstance(t, str) else t) for t in targets)


def moved(location, status=302):
    location = location.encode() if isinstance(location, str) else location
    return b"HTTP/1.1 %d Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % (status, location)


def drip(data, pause, size=1):
    for i in range(0, len(data), size):
        yield data[i : i + size]
        yield pause


NOT_FOUND = answer(b"no", 404)


class Hostile:
    def __init__(self, routes=None, address="127.0.0.1", port=0):
        self.routes = dict(routes or {})
        self.lock = threading.Lock()
        self.calls = []
        self.connections = 0
        self.closing = threading.Event()
        self.open = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        shown = f"[{address}]" if ":" in address else address
        self.url = f"http://{shown}:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.closing.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for peer in self.open:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    # -- what was seen --

    def seen(self, path=None):
        """Calls so far, robots.txt aside unless it is asked for."""
        with self.lock:
            return [c for c in self.calls if (c.path == path if path else c.path != "/robots.txt")]

    def count(self, path=None):
        return len(self.seen(path))

    # -- the wire --

    def accept(self):
        while not self.closing.is_set():
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                number = self.connections
                self.open.add(peer)
            threading.Thread(target=self.serve, args=(peer, number), daemon=True).start()

    def serve(self, peer, number):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = peer.recv(65536)
                    if not more:
                        return
                    data += more
                request, _, data = data.partition(b"\r\n\r\n")
                if not self.reply(peer, self.enter(request.decode("latin-1"), number)):
                    return
        except OSError:
            pass  # the visitor left
        finally:
            with self.lock:
                self.open.discard(peer)
            peer.close()

    def enter(self, text, connection):
        at = time.monotonic()
        first, *lines = text.split("\r\n")
        method, target, _ = first.split(" ", 2)
        url = urllib.parse.urlsplit(target)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        with self.lock:
            n = sum(c.path == url.path for c in self.calls)
            call = Call(at, method, target, url.path, query, headers, connection, n)
            self.calls.append(call)
        return call

    def reply(self, peer, call):
        """False: the connection is to be closed."""
        route = self.routes.get(call.path) or (call.path != "/robots.txt" and self.routes.get("*")) or NOT_FOUND
        given = route(call) if callable(route) else route
        lengthless = False
        for step in [given] if isinstance(given, bytes) else given:
            if step is CLOSE:
                return False
            if step is RESET:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if step is HANG:
                self.closing.wait()
                return False
            if isinstance(step, bytes):
                lengthless |= step.startswith(b"HTTP/") and b"content-length:" not in step.lower()
                peer.sendall(step)
            elif self.closing.wait(step):
                return False
        return not lengthless


def fullest_window(times, seconds):
    """Most instants within any window of so many seconds, half open."""
    times = sorted(times)
    most = left = 0
    for right, at in enumerate(times):
        while at - times[left] >= seconds:
            left += 1
        most = max(most, right - left + 1)
    return most

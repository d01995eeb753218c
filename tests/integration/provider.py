# SPDX-License-Identifier: MIT
"""A scriptable provider on a private loopback port. It records every call with its arrival, so that limits are
proved from the server's side.

    with Provider() as p:
        p.route("/items", pages(records, size=100))
        p.route("/broken", lambda call: Answer(500))
        p.url, p.calls            # [Call(at=monotonic seconds, path=..., query={...}, headers={...}), ...]
        p.most_active             # most calls in hand at the same time
"""
import dataclasses
import http.server
import json
import socketserver
import sys
import threading
import time
import urllib.parse


@dataclasses.dataclass
class Call:
    at: float
    method: str
    path: str
    query: dict
    headers: dict
    n: int  # calls of this path before this one
    port: int = 0  # the caller's
    body: bytes = b""


@dataclasses.dataclass
class Answer:
    status: int = 200
    body: object = b""  # bytes, str, or what json can write
    headers: dict = dataclasses.field(default_factory=dict)
    delay: float = 0  # before the answer
    drop: bool = False  # closes the connection instead
    cut: int = None  # closes after so many bytes of the body
    wait: threading.Event = None  # answers when it is set


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """Callers that are killed are no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        provider = self.server.provider
        answer = provider.enter(self)
        try:
            self.work(answer)
        finally:
            # Before the answer goes out: who has it may send the next call before this thread runs again.
            provider.leave()
        try:
            self.answer(answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_GET

    def work(self, answer):
        if answer.delay:
            time.sleep(answer.delay)
        if answer.wait:
            answer.wait.wait(30)

    def answer(self, answer):
        if answer.drop:
            self.close_connection = True
            return
        body = answer.body
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body, ensure_ascii=False)
        if isinstance(body, str):
            body = body.encode()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.cut is not None:
            body = body[: answer.cut]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Provider:
    def __init__(self):
        self.lock = threading.Lock()
        self.routes = {}
        self.calls = []
        self.active = self.most_active = 0
        self.left = []  # when calls had been worked on
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.provider = self
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def route(self, path, answer):
        """answer: Answer, or a function of the Call that gives one."""
        with self.lock:
            self.routes[path] = answer

    def enter(self, request):
        at = time.monotonic()
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self.lock:
            n = sum(c.path == url.path for c in self.calls)
            call = Call(at, request.command, url.path, query, dict(request.headers), n, request.client_address[1],
                        body)
            self.calls.append(call)
            self.active += 1
            self.most_active = max(self.most_active, self.active)
            answer = self.routes.get(url.path, Answer(404))
        return answer(call) if callable(answer) else answer

    def leave(self):
        with self.lock:
            self.active -= 1
            self.left.append(time.monotonic())

    def count(self, path=None):
        with self.lock:
            return sum(path is None or c.path == path for c in self.calls)

    def fullest_window(self, seconds):
        """Most calls that arrived within any window of so many seconds."""
        with self.lock:
            times = sorted(c.at for c in self.calls)
        most = left = 0
        for right, at in enumerate(times):
            while at - times[left] >= seconds:
                left += 1
            most = max(most, right - left + 1)
        return most


def pages(records, size=100, param="page", wrap=lambda items: {"items": items}, **answer):
    """A list in pages of `size`, numbered from 1, as APIs have it."""

    def of(call):
        n = int(call.query.get(param, 1))
        return Answer(body=wrap(records[(n - 1) * size : n * size]), **answer)

    return of

# SPDX-License-Identifier: MIT
"""A forward proxy on loopback that knows names nobody else knows: it leads every name to a port here. It keeps what it heard.

    with Forward({"inside.example": 8080}, users={"u": "p"}) as proxy:
        proxy.url, proxy.heads       # the first bytes of each connection
"""
import base64
import contextlib
import socket
import socketserver
import ssl
import threading


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            while self.one_request():
                pass

    def one_request(self):
        forward, head = self.server.forward, b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.request.recv(1)
            if not byte:
                return False
            head += byte
        text = head.decode("latin-1")
        forward.heads.append(text)
        if forward.users and not any(self.is_user(text, *user) for user in forward.users.items()):
            self.request.sendall(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
            return True
        method, target = text.split()[:2]
        if method == "CONNECT":
            with self.dial(target) as far:
                self.request.sendall(b"HTTP/1.1 200 Here\r\n\r\n")
                self.relay(far)
            return False
        length = next((int(line.split(":")[1]) for line in text.split("\r\n") if line.lower().startswith("content-length:")), 0)
        body = b"".join(self.request.recv(1) for _ in range(length))
        host, _, path = target.removeprefix("http://").partition("/")
        lines = [line for line in text.split("\r\n")[1:] if not line.lower().startswith(("proxy-", "connection:"))]
        with self.dial(host) as far:
            far.sendall("\r\n".join([f"{method} /{path} HTTP/1.1", "Connection: close", *lines]).encode("latin-1") + body)
            while data := far.recv(65536):
                self.request.sendall(data)
        return False

    @staticmethod
    def is_user(text, user, password):
        return f"Proxy-Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n" in text

    def dial(self, target):
        name, _, port = target.partition(":")
        return socket.create_connection(("127.0.0.1", self.server.forward.names.get(name) or int(port)))

    def relay(self, far):
        def back():
            with contextlib.suppress(OSError):
                while data := far.recv(65536):
                    self.request.sendall(data)
                self.request.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        while data := self.request.recv(65536):
            far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        thread.join(5)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class Forward:
    def __init__(self, names=None, users=None, tls=None):
        """tls: files of a certificate for localhost and its key"""
        self.names, self.users, self.heads = names or {}, users or {}, []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.forward = self
        self.url = "http%s:%d" % ("s://localhost" if tls else "://127.0.0.1", self.server.server_address[1])
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()

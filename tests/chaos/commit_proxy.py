# SPDX-License-Identifier: MIT
"""
Stands on a unix socket between drover and PostgreSQL, understands enough of its protocol (version 3) to see a COMMIT of
something that was written pass, and at the one that it is armed for kills the client or the server's process, or loses
the question or the answer.

    with CommitProxy(folder, server_socket) as proxy:
        proxy.arm("answer", lambda pid: True, passed=2)
        proxy.hit                # None, or what happened: (place, pid of the client, pid of the server's process)
"""
import contextlib
import os
import re
import signal
import socket
import struct
import threading
import time

PLACES = ("client_before", "client_after", "client_late", "request", "answer", "backend_before", "backend_after", "postmaster")
LATE_S = 1
SSL, GSS, CANCEL = 80877103, 80877104, 80877102
COMMIT = re.compile(rb"\s*(COMMIT|END)\b", re.I)
ENDS = re.compile(rb"\s*(COMMIT|END|ROLLBACK|ABORT)\b(?!\s+TO)", re.I)
BEGINS = re.compile(rb"\s*(BEGIN|START\s+TRANSACTION)\b", re.I)
WRITES = re.compile(rb"\b(INSERT|UPDATE|DELETE|COPY|CREATE|ALTER|MERGE)\b", re.I)


class Side:
	"""What is in the bytes of one direction: messages with a type and a length."""

	def __init__(self):
		self.buffer = b""

	def feed(self, data, startup=False):
		"""[(type, body, the message itself)] that are whole; type b"" without one (the startup packet)."""
		self.buffer += data
		found = []
		while True:
			head = 0 if startup else 1
			if len(self.buffer) < head + 4:
				return found
			length = head + struct.unpack_from("!I", self.buffer, head)[0]
			if len(self.buffer) < length:
				return found
			whole, self.buffer = self.buffer[:length], self.buffer[length:]
			found.append((whole[:head], whole[head + 4:], whole))
			if startup:
				return found


class Session:
	"""What a client is doing, as far as its messages tell."""

	def __init__(self):
		self.statements, self.portals = {}, {}
		self.explicit = self.wrote = False

	def commits(self, kind, body):
		"""Whether this message makes something durable that was written."""
		if kind == b"P":
			name, text = body.split(b"\0")[:2]
			self.statements[name] = text
		elif kind == b"B":
			portal, name = body.split(b"\0")[:2]
			self.portals[portal] = self.statements.get(name, b"")
		elif kind == b"E":
			return self.runs(self.portals.get(body.split(b"\0")[0], b""))
		elif kind == b"Q":
			texts = body.rstrip(b"\0").split(b";")
			return any([self.runs(text) for text in texts]) or self.ends_alone()
		elif kind == b"S":
			return self.ends_alone()
		return False

	def runs(self, text):
		if BEGINS.match(text):
			self.explicit = True
		elif ENDS.match(text):
			commits = self.wrote and COMMIT.match(text) is not None
			self.explicit = self.wrote = False
			return commits
		elif WRITES.search(text):
			self.wrote = True
		return False

	def ends_alone(self):
		"""Statements without BEGIN are durable at the next Sync."""
		commits = self.wrote and not self.explicit
		if commits:
			self.wrote = False
		return commits


class Link(threading.Thread):
	"""One client's connection: this thread carries to the server, another one back."""

	def __init__(self, proxy, client):
		super().__init__(daemon=True)
		self.proxy, self.client = proxy, client
		self.pid = struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
		self.server = socket.socket(socket.AF_UNIX)
		self.backend, self.session, self.place = None, Session(), None

	def run(self):
		try:
			self.server.connect(self.proxy.server_path)
			self.start_up()
			threading.Thread(target=self.carry_back, daemon=True).start()
			self.carry()
		except OSError:
			pass
		finally:
			if self.place != "client_late":
				self.close()

	def close(self):
		self.proxy.links.discard(self)
		for one in self.client, self.server:
			with contextlib.suppress(OSError):
				one.shutdown(socket.SHUT_RDWR)
			one.close()

	def start_up(self):
		side = Side()
		while True:
			data = self.client.recv(65536)
			if not data:
				raise OSError("no startup")
			for _, body, whole in side.feed(data, True):
				code = struct.unpack_from("!I", body)[0]
				self.server.sendall(whole)
				if code in (SSL, GSS):
					self.client.sendall(self.server.recv(1))
					continue
				self.ahead = side.buffer
				return

	def carry(self):
		side, data = Side(), self.ahead
		while True:
			for kind, body, whole in side.feed(data):
				if self.session.commits(kind, body):
					self.commit(whole)
					if self.place in ("client_before", "request", "backend_before", "client_late"):
						return
				else:
					self.server.sendall(whole)
			data = self.client.recv(65536)
			if not data:
				return

	def commit(self, whole):
		place = self.place = self.proxy.take(self)
		if place in (None, "client_after", "answer", "backend_after", "postmaster"):
			self.server.sendall(whole)
		if place in ("client_before", "client_after", "client_late"):
			kill(self.pid)
		elif place in ("backend_before", "backend_after"):
			kill(self.backend)
		elif place == "postmaster":
			self.proxy.kill_postmaster()
		if place:
			self.proxy.hit = place, self.pid, self.backend
		if place == "client_late":
			time.sleep(LATE_S)
			with contextlib.suppress(OSError):
				self.server.sendall(whole)
				self.server.shutdown(socket.SHUT_WR)

	def carry_back(self):
		side = Side()
		with contextlib.suppress(OSError):
			while data := self.server.recv(65536):
				messages = side.feed(data)
				if self.backend is None:
					self.backend = next((struct.unpack_from("!I", body)[0] for kind, body, _ in messages if kind == b"K"), None)
				if not self.place:
					self.client.sendall(data)
				elif self.place == "answer" and any(kind == b"Z" or (kind == b"C" and ENDS.match(body))
						for kind, body, _ in messages):
					break
		self.close()


def kill(pid):
	with contextlib.suppress(OSError, TypeError):
		os.kill(pid, signal.SIGKILL)


class CommitProxy:
	def __init__(self, folder, server_path, kill_postmaster=None):
		self.path, self.server_path = os.path.join(folder, ".s.PGSQL.5432"), server_path
		self.kill_postmaster = kill_postmaster
		self.lock, self.armed, self.hit, self.seen = threading.Lock(), None, None, 0
		self.links = set()
		self.listener = socket.socket(socket.AF_UNIX)

	def __enter__(self):
		self.listener.bind(self.path)
		self.listener.listen(64)
		threading.Thread(target=self.accept, daemon=True).start()
		return self

	def accept(self):
		while True:
			try:
				client, _ = self.listener.accept()
			except OSError:
				return
			link = Link(self, client)
			self.links.add(link)
			link.start()

	def __exit__(self, *_):
		with contextlib.suppress(OSError):
			self.listener.shutdown(socket.SHUT_RDWR)
		self.listener.close()
		for link in list(self.links):
			link.close()

	def arm(self, place, whom, passed=0):
		"""whom: of the client's pid; passed: so many of their commits go by first."""
		with self.lock:
			self.hit, self.armed = None, [place, whom, passed]

	def disarm(self):
		with self.lock:
			self.armed = None

	def take(self, link):
		"""Who is first gets it. @return the place, or None"""
		with self.lock:
			self.seen += 1
			if not self.armed or not self.armed[1](link.pid):
				return None
			self.armed[2] -= 1
			if self.armed[2] >= 0:
				return None
			place, self.armed = self.armed[0], None
			return place

	def backends(self):
		return [link.backend for link in list(self.links) if link.backend]

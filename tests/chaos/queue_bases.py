# SPDX-License-Identifier: MIT
"""
The databases of the queue's chaos: made before drover sees them, with the tables of its jobs and a log of each write of
a row. Who writes a row twice in one transaction or in two, with the same content or with another, is seen there.
"""
import contextlib
import json
import mmap
import os
import pathlib
import shlex
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time

import commit_proxy
from queue_world import BUILD, KEYS, KINDS, TABLES, harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import postgres_server  # noqa: E402

COMMITS_BETWEEN, WORK_WAIT_S = 30, 2
PLACES = {"header_only": 1, "half_a_page": 2, "before_sync": 3, "after_sync": 4, "checkpoint": 5}


class Sqlite:
	"""drover.db, and the ticket by which commit_killer.c learns whom to kill in which commit."""
	name = "sqlite"
	history = "month"
	url = "sqlite:drover.db"
	commit_places = tuple(PLACES)

	def begin(self, world):
		self.path = world.drover.state / "drover.db"
		world.drover.state.mkdir()
		with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
			db.execute("PRAGMA journal_mode=WAL")
			db.execute("CREATE TABLE audit (n INTEGER PRIMARY KEY, tab TEXT, id TEXT, op TEXT)")
			for table, columns in TABLES.items():
				db.execute(f"CREATE TABLE {table} ({columns})")
				for op in "INSERT", "UPDATE", "DELETE":
					row = "OLD" if op == "DELETE" else "NEW"
					db.execute(f"CREATE TRIGGER {table}_{op} AFTER {op} ON {table} BEGIN INSERT INTO audit (tab, id, op) "
						f"VALUES ('{table}', {row}.{KEYS[table]}, '{op}'); END")

	def environment(self, world, bit):
		"""What a worker is started with."""
		path = world.folder / "ticket"
		if not path.exists():
			path.write_bytes(bytes(16))
			with open(path, "r+b") as file:
				self.ticket = mmap.mmap(file.fileno(), 16)
		return (f"LD_PRELOAD={shlex.quote(str(BUILD / 'bin/libchaos_commit_killer.so'))} "
			f"CHAOS_TICKET={shlex.quote(str(path))} CHAOS_KIND={bit}")

	def arm(self, place, kinds, passed):
		struct.pack_into("<III", self.ticket, 4, kinds, passed, 0)
		struct.pack_into("<I", self.ticket, 0, PLACES[place])

	def victim(self):
		return struct.unpack_from("<I", self.ticket, 12)[0]

	def disarm(self):
		struct.pack_into("<I", self.ticket, 0, 0)

	def own_pids(self):
		return ()

	def wait_for_work(self, rng):
		"""Nothing but drover is ever away here."""

	def query(self, sql):
		"""Rows as dicts; None while the database cannot be read."""
		try:
			with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as db:
				db.row_factory = sqlite3.Row
				return [dict(row) for row in db.execute(sql)]
		except sqlite3.OperationalError:
			return None

	def end(self):
		"""The folder is the test's."""


class Psql:
	"""One psql that stays, for a start costs more than a question. Anybody may ask, one after the other."""
	END = "end of the answer"

	def __init__(self, url):
		self.url, self.lock, self.process = url, threading.Lock(), None

	def ask(self, sql):
		"""What it prints; "" when the server is away."""
		with self.lock:
			if self.process is None or self.process.poll() is not None:
				self.close()
				self.process = subprocess.Popen([f"{postgres_server.BIN}/psql", "-X", "-A", "-t", "-q", "-d", self.url],
					stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
			try:
				self.process.stdin.write(f"{sql};\n\\echo {self.END}\n")
				self.process.stdin.flush()
			except BrokenPipeError:
				return ""
			found = []
			for line in self.process.stdout:
				if line.rstrip("\n") == self.END:
					return "".join(found)
				found.append(line)
			return ""

	def close(self):
		if self.process:
			self.process.kill()
			with contextlib.suppress(OSError):
				self.process.stdin.close()
			self.process.stdout.close()
			self.process.wait()


class Postgresql:
	"""A server of its own, which drover reaches through the proxy that sees its commits."""
	name = "postgresql"
	history = "month"
	commit_places = commit_proxy.PLACES

	def __init__(self):
		self.stack = contextlib.ExitStack()
		self.server = postgres_server.Server()
		self.stack.callback(self.server.close)
		self.server.start()
		folder = f"{self.server.folder}/proxy"
		os.mkdir(folder)
		self.proxy = self.stack.enter_context(commit_proxy.CommitProxy(folder, f"{self.server.folder}/.s.PGSQL.5432",
			self.kill_postmaster))
		self.url = f"postgresql://{postgres_server.SUPERUSER}@/postgres?host={folder}"
		self.dead = False
		self.psql = Psql(self.server.url())
		self.stack.callback(self.psql.close)

	def begin(self, world):
		self.server.sql("CREATE TABLE audit (n BIGSERIAL PRIMARY KEY, tab TEXT, id TEXT, op TEXT)")
		for table, columns in TABLES.items():
			key = KEYS[table]
			self.server.sql(f"CREATE TABLE {table} ({columns});"
				f"CREATE FUNCTION log_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (tab, id, op) VALUES"
				f" ('{table}', CASE TG_OP WHEN 'DELETE' THEN OLD.{key} ELSE NEW.{key} END, TG_OP); RETURN NULL; END $$;"
				f"CREATE TRIGGER logged AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION log_{table}()")

	def environment(self, world, bit):
		return ""

	def arm(self, place, kinds, passed):
		names = {name[:15] for name, bit in KINDS.items() if bit & kinds}
		self.proxy.arm(place, lambda pid: harness.comm(pid) in names, passed)

	def victim(self):
		return self.proxy.hit

	def disarm(self):
		self.proxy.disarm()
		self.revive()

	def kill_postmaster(self):
		"""SIGKILL, as when the machine's memory is short; all of its sessions end with it."""
		self.dead = True
		os.kill(self.server.pid, signal.SIGKILL)

	def revive(self):
		if self.dead:
			self.server.kill()
			self.server.start()
			self.dead = False

	def kill(self, kind, rng):
		"""@return whether somebody was killed"""
		if kind == "postmaster":
			self.kill_postmaster()
			time.sleep(rng.uniform(0, 1))  # so long it is away
			self.revive()
			return True
		backends = sorted(self.proxy.backends())
		if backends:
			commit_proxy.kill(rng.choice(backends))
		return bool(backends)

	def own_pids(self):
		return (self.server.pid,)

	def wait_for_work(self, rng):
		"""A server that is killed again and again before anybody is back would see nothing: some commits come in between."""
		enough = self.proxy.seen + rng.randrange(COMMITS_BETWEEN)
		with contextlib.suppress(AssertionError):
			harness.until(lambda: self.proxy.seen >= enough, "there are commits", WORK_WAIT_S)

	def query(self, sql):
		"""Rows as dicts; None while the server is away."""
		try:
			return json.loads(self.psql.ask(f"SELECT coalesce(json_agg(t), '[]') FROM ({sql}) AS t"))
		except ValueError:
			return None

	def end(self):
		self.stack.close()

# SPDX-License-Identifier: MIT
"""
The databases of the queue's chaos: made before drover sees them, with the tables of its jobs and a log of each write of
a row. Who writes a row twice in one transaction or in two, with the same content or with another, is seen there.
"""
import contextlib
import mmap
import shlex
import sqlite3
import struct

from queue_world import BUILD, KEYS, TABLES

PLACES = {"header_only": 1, "half_a_page": 2, "before_sync": 3, "after_sync": 4, "checkpoint": 5}


class Sqlite:
	"""drover.db, and the ticket by which commit_killer.c learns whom to kill in which commit."""
	name = "sqlite"
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

# SPDX-License-Identifier: MIT
"""Keeps what the services' logs held, also what rotation has deleted since, and the largest space each ever took (L2)."""
import contextlib
import ctypes
import os
import select
import threading

from world import BACKUPS, LIBC, MAX_LINE, MAX_SIZE

IN_CREATE, IN_MOVED_TO, IN_NONBLOCK = 0x100, 0x80, 0o4000
BOUND = (BACKUPS + 1) * MAX_SIZE + 2 * MAX_LINE


class LogKeeper(threading.Thread):
	def __init__(self, world):
		super().__init__(daemon=True)
		self.world = world
		self.texts = {name: [] for name in world.tails}  # (inode, contents) of closed files
		self.open = {name: {} for name in world.tails}  # {inode: file}, in the order of their making
		self.known, self.kept = set(), []
		self.largest = dict.fromkeys(world.tails, 0)
		self.over = threading.Event()
		self.rotations = 0
		self.fd = LIBC.inotify_init1(IN_NONBLOCK)
		assert LIBC.inotify_add_watch(self.fd, os.fsencode(world.logs), ctypes.c_uint32(IN_CREATE | IN_MOVED_TO)) >= 0

	def run(self):
		while not self.over.is_set():
			if not select.select([self.fd], [], [], 0.1)[0]:
				continue
			with contextlib.suppress(BlockingIOError):
				events = os.read(self.fd, 1 << 16)
				self.rotations += events.count(b".log.1\0")
			self.look()

	def look(self):
		for name in self.texts:
			while not self.take(name):
				pass

	def inodes(self, name):
		"""[(number, inode, size)], the oldest first; None when a rotation came in between."""
		found = []
		try:
			for number, path in sorted(self.world.files_of(name).items(), reverse=True):
				about = path.stat()
				found.append((number, about.st_ino, about.st_size))
		except FileNotFoundError:
			return None
		return found

	def take(self, name):
		"""
		Opens what is new, in the order of its making. False when the files moved meanwhile: then the order is not sure.
		A file that was renamed is not written to any more: it is read once.
		"""
		before = self.inodes(name)
		opened = {}
		with contextlib.suppress(FileNotFoundError, KeyError):
			for number, inode, _ in before or ():
				if inode not in self.known:
					opened[inode] = open(self.world.files_of(name)[number], "rb")  # noqa: SIM115
		after = self.inodes(name)
		# A name may have been another file's by the time it was opened.
		mistaken = any(os.fstat(file.fileno()).st_ino != inode for inode, file in opened.items())
		if mistaken or before is None or after is None or [i for _, i, _ in before] != [i for _, i, _ in after]:
			for file in opened.values():
				file.close()
			return False
		self.known.update(opened)
		self.open[name].update(opened)
		for number, inode, _ in before:
			if number > 0:
				self.close(name, inode)
		self.largest[name] = max(self.largest[name], sum(size for _, _, size in after))
		return True

	def close(self, name, inode):
		"""Files are closed in the order they were made in."""
		for older in list(self.open[name]):
			if inode not in self.open[name]:
				return
			file = self.open[name].pop(older)
			self.texts[name].append((older, file.read()))
			# On the small disk it takes no space any more; elsewhere its number must not be given to another.
			if self.world.mounted:
				file.close()
			else:
				self.kept.append(file)

	def keep(self, folder):
		"""For whoever looks into a failure: NAME.text.N holds the file that was made as the Nth."""
		for name, texts in self.texts.items():
			for i, (_, text) in enumerate(texts):
				(folder / f"{name}.text.{i}").write_bytes(text)

	def finish(self):
		"""{name: all bytes that ever were in its log}"""
		self.over.set()
		self.join()
		self.look()
		for files in self.open.items():
			for inode in list(files[1]):
				self.close(files[0], inode)
		os.close(self.fd)
		# A look into a folder may miss what is renamed meanwhile; a tmpfs numbers its files as they are made.
		if self.world.mounted:
			for texts in self.texts.values():
				texts.sort()
		return {name: b"".join(text for _, text in texts) for name, texts in self.texts.items()}

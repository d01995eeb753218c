# SPDX-License-Identifier: MIT
"""
What the chaos harness plays with: a droverd in a folder of its own, eight services of different characters (actor.c),
and what they themselves wrote down about their lives. Nothing here is taken from the supervisor's word.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import BUILD, Control, until  # noqa: E402

ACTOR = BUILD / "bin/chaos_actor"
DROVERD = BUILD / "bin/droverd"
ROOT = os.geteuid() == 0
SERVICES = ["obedient", "stubborn", "forking", "hanging", "flooding", "crashing", "slow", "daemonizing"]
EXTRA = "extra"  # comes and goes with reloads
NEEDS = {"obedient": "slow", "flooding": "hanging"}  # depends_on: what is ready at once, and what must be asked
FLAGS = {"crashing": "crash", "daemonizing": "daemon"}
MIN_INTERVAL_MS, STOP_MS, FAILURES = 300, 400, 3
MAX_SIZE, BACKUPS, MAX_LINE = 64000, 60, 1 << 20
ORDERS = {name: signal.SIGRTMIN + i for i, name in enumerate(
	["fork a session", "fork a daemon", "flood", "probe fails", "probe hangs", "probe fails twice", "crash", "half line"])}
MS_FLAGS, MNT_DETACH = 0, 2
LIBC = ctypes.CDLL(None, use_errno=True)


def boot_us():
	return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def start_of(pid):
	"""Ticks since boot; 0 when it is dead."""
	try:
		rest = pathlib.Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()
	except OSError:
		return 0
	return 0 if rest[0] in b"ZX" else int(rest[19])


def age_s(pid):
	return boot_us() / 1e6 - start_of(pid) / os.sysconf("SC_CLK_TCK")


def state_of(pid):
	try:
		return pathlib.Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0].decode()
	except OSError:
		return "X"


def busy():
	"""How much later than on a machine of its own things may happen here."""
	return max(1, os.getloadavg()[0] / os.cpu_count())


def ignore_rotation():
	"""A wish to rotate may meet it before it is itself."""
	signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def free_port():
	with socket.socket() as one:
		one.bind(("127.0.0.1", 0))
		return one.getsockname()[1]


class Record:
	"""One line of a service's own records."""
	__slots__ = ("at", "what", "pid", "start", "incarnation", "detail")

	def __init__(self, line):
		at, self.what, pid, start, self.incarnation, self.detail = line.split(" ", 5)
		self.at, self.pid, self.start = int(at), int(pid), int(start)

	def alive(self):
		return self.start != 0 and start_of(self.pid) == self.start

	def __repr__(self):
		return f"{self.at} {self.what} {self.pid}.{self.start} #{self.incarnation} {self.detail}"


class Tail:
	"""The records of one service, read as they grow."""

	def __init__(self, path):
		self.path, self.offset, self.partial, self.records = path, 0, "", []
		self.lock = threading.Lock()

	def read(self):
		with self.lock, contextlib.suppress(FileNotFoundError):
			with open(self.path) as file:
				file.seek(self.offset)
				data = file.read()
			self.offset += len(data)
			*lines, self.partial = (self.partial + data).split("\n")
			self.records += map(Record, lines)
		return self.records

	def starts(self):
		return [r for r in self.read() if r.what == "S"]

	def main(self):
		"""The main process that runs now, if any."""
		starts = self.starts()
		return starts[-1] if starts and starts[-1].alive() else None

	def members(self):
		"""All that live of it, whatever instance they are of."""
		return [r for r in self.read() if r.what in "SJ" and r.alive()]


class History:
	"""What the harness did, with the span of time in which it may have had its effect (CLOCK_BOOTTIME, us)."""

	def __init__(self):
		self.events = []
		self.lock = threading.Lock()

	@contextlib.contextmanager
	def span(self, what, *slots, **more):
		event = {"what": what, "slots": slots, "from": boot_us(), "to": None, **more}
		with self.lock:
			self.events.append(event)
		try:
			yield event
		finally:
			event["to"] = boot_us()

	def note(self, what, *slots, **more):
		with self.span(what, *slots, **more) as event:
			return event

	def between(self, begin, end, *whats, slot=None, grace_us=0):
		"""Spans of these names that touch the time from begin to end; one may have its effect `grace_us` later."""
		return [e for e in self.events if e["what"] in whats and (slot is None or slot in e["slots"]) and
			e["from"] <= end and (e["to"] is None or e["to"] + grace_us >= begin)]


class World:
	def __init__(self, folder, group=None):
		self.folder, self.group = pathlib.Path(folder), group
		self.lives = self.folder / "lives"
		self.state, self.runtime, self.logs = (self.folder / name for name in ("state", "run", "log"))
		for path in (self.lives, self.state, self.runtime, self.logs):
			path.mkdir()
		self.file = self.folder / "drover.yaml"
		self.port = free_port()
		self.actor = ACTOR
		self.history = History()
		self.tails = {name: Tail(self.folder / f"{name}.records") for name in [*SERVICES, EXTRA]}
		self.config_lock, self.command_lock = threading.Lock(), threading.Lock()
		self.droverd = None
		self.mounted = self.mount()
		for name, flag in FLAGS.items():
			(self.folder / f"{name}.{flag}").touch()

	# -- a small disk for the logs --

	def mount(self):
		if not ROOT:
			return False
		return LIBC.mount(b"tmpfs", os.fsencode(self.logs), b"tmpfs", MS_FLAGS, b"size=128m") == 0

	def keep(self):
		"""What tells how it went: droverd's own log, and what was done to it."""
		for path in self.logs.glob("drover*.log*"):
			shutil.copy(path, self.folder)
		(self.folder / "history.json").write_text("\n".join(json.dumps(event, default=str) for event in self.history.events))

	def unmount(self):
		if self.mounted:
			LIBC.umount2(os.fsencode(self.logs), MNT_DETACH)

	# -- configuration --

	def text(self, variant=0):
		"""Bit 0: another environment for obedient (a restart); bit 1: extra is there; bit 2: slow stops in another time."""
		services = {name: {"command": [str(ACTOR), name, name, str(self.folder)]} for name in SERVICES}
		for name, other in NEEDS.items():
			services[name]["depends_on"] = [other]
		services["obedient"]["environment"] = {"VARIANT": str(variant & 1)}
		services["slow"]["stop"] = {"timeout": f"{STOP_MS + 100 * (variant >> 2 & 1)}ms"}
		services["hanging"]["command"].append(str(self.port))
		services["hanging"]["probe"] = {"http": f"http://127.0.0.1:{self.port}/", "interval": "500ms", "timeout": "500ms",
			"failures": FAILURES, "start_period": "100ms"}
		if variant & 2:
			services[EXTRA] = {"command": [str(ACTOR), "obedient", EXTRA, str(self.folder)]}
		rules = {"probe": {"interval": "2s", "timeout": "2s", "start_period": "100ms"},
			"restart": {"min_interval": f"{MIN_INTERVAL_MS}ms", "jitter": "50ms"}, "stop": {"timeout": f"{STOP_MS}ms"}}
		sections = {"supervisor": rules, "logs": {"max_size": str(MAX_SIZE // 1000) + "KB", "backups": BACKUPS},
			"http": {"listen": "127.0.0.1:0"}, "workers": {"collect": {"processes": 1}, "crawl": {"parsers": 1}}}
		lines = [f"{key}: {json.dumps(value)}" for key, value in sections.items()]
		lines += ["services:", *(f"  {key}: {json.dumps(value)}" for key, value in services.items())]
		return f"# variant {variant}\n" + "\n".join(lines) + "\n"

	def write(self, text):
		"""Whole at once; half files are another test's matter."""
		fresh = self.file.with_suffix(".fresh")
		fresh.write_text(text)
		fresh.replace(self.file)

	@staticmethod
	def concerned(verb, name):
		"""Who a command is about: a start brings up what is needed, other commands take along what needs it."""
		related = {name: other for other, name in NEEDS.items()} if verb != "start" else NEEDS
		return [name, related[name]] if name in related else [name]

	# -- life --

	@property
	def containment(self):
		return "cgroup" if self.group else "sweep"

	def start(self):
		environment = {k: v for k, v in os.environ.items() if k.startswith("DROVER_") or k in ("PATH", "HOME")}
		with open(self.folder / "droverd.out", "ab") as out:
			enter = self.group.enter if self.group else ()
			self.droverd = subprocess.Popen([*enter, DROVERD, "--config", self.file, "--state-dir", self.state, "--runtime-dir",
				self.runtime, "--log-dir", self.logs], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
				preexec_fn=ignore_rotation)

	def complaints(self):
		return (self.folder / "droverd.out").read_text(errors="replace")[-3000:]

	def wait(self, what, condition, seconds=30):
		"""Like until(), but a supervisor that ends by itself is told at once."""
		def look():
			assert self.droverd.poll() is None, f"droverd ended with {self.droverd.returncode}: {self.complaints()}"
			return condition()
		return until(look, what, seconds)

	def control(self):
		with contextlib.suppress(OSError):
			return Control(self.runtime / "control.sock")
		return None

	def ask(self, verb, args=""):
		client = self.wait("the control socket answers", self.control)
		try:
			return client.ask(verb, args)
		finally:
			client.close()

	def children(self):
		"""{pid: name of the program} of droverd's living children."""
		found = {}
		with contextlib.suppress(OSError):
			# Of both threads: each has those that it forked.
			for task in pathlib.Path(f"/proc/{self.droverd.pid}/task").iterdir():
				for pid in (task / "children").read_text().split():
					with contextlib.suppress(OSError):
						if state_of(pid) not in "ZX":
							found[int(pid)] = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
		return found

	def logger(self):
		return next((pid for pid, name in self.children().items() if name == "drover-log"), None)

	# -- logs --

	def files_of(self, name):
		"""{number: path}; 0 is the one that is written to."""
		found = {}
		for path in self.logs.glob(f"{name}.log*"):
			number = re.fullmatch(re.escape(name) + r"\.log(?:\.(\d+))?", path.name)
			if number:
				found[int(number[1] or 0)] = path
		return found

	def holes(self):
		"""Logs in the middle of a rotation: a number is free below one that is taken. (0 is free until the next line.)"""
		return [name for name in self.tails if set(range(1, max(numbers := self.files_of(name) or [0]) + 1)) - set(numbers)]

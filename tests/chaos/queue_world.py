# SPDX-License-Identifier: MIT
"""
What the queue's chaos is played with: a real droverd with jobs of every kind, a provider and a site whose contents are
known here, and a database whose tables log each write of a row, so that one that was written twice can be seen.
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import harness  # noqa: E402
from harness import BUILD, Drover, descendants  # noqa: E402
from provider import Answer, Provider  # noqa: E402
from website import Site  # noqa: E402

BIN = BUILD / "bin"
# Their bits on the commit killer's ticket; the others open no store, or do not write.
KINDS = {"drover-scheduler": 1, "drover-collect": 2, "drover-crawl": 4}
PROGRAMS = ("drover-log", "drover-monitor", "drover-parser", "drover-compress", "drover")
PAGE, RECORDS, BATCH = 40, 570, 17  # 15 pages, the last one short; batches that end within pages
TICKS = 5
SITE_PAGES = 120
FLAKY_EVERY = 9  # each so many calls a provider is out of order
PARTS, PART_RECORDS, PART_PAGE = ["north", "east", "south", "west", "up", "down"], 23, 10
GONE = "/gone.html"  # linked to, and not there

CONFIG = """
supervisor:
  probe: {{interval: 500ms, timeout: 400ms, failures: 3, start_period: 500ms}}
  restart: {{min_interval: 0s, jitter: 0s}}
  stop: {{timeout: 5s}}
http: {{listen: "127.0.0.1:0"}}
store: {{url: "{store}"}}
workers:
  collect: {{processes: 2, concurrency: 12}}
  crawl: {{processes: 1, concurrency: 4, parsers: 2}}
providers:
  p: {{base_url: "{provider}", private: true, limits: {{concurrency: 12}}, retry: {{attempts: 2, backoff: {{initial: 50ms, max: 100ms}}}}}}
jobs:
  items:
    kind: collect
    request: {{provider: p, path: /items}}
    paginate: {{by: page, param: page, size: {page}, start: 1}}
    records: items
    fields: {{id: id, name: name, served: {{path: served, type: integer}}}}
    store: {{table: items, key: [id], batch: {batch}, history: {history}}}
    retry: {{attempts: 100}}
  pages:
    kind: crawl
    start: ["{site}/"]
    robots: ignore
    follow: {{depth: 30, private: true}}
    politeness: {{delay: 0s, per_host: 4}}
    extract:
      - {{match: ".*", fields: {{title: {{xpath: "string(//title)"}}}}}}
    store: {{table: pages, key: [url]}}
    retry: {{attempts: 100}}
  parts:
    kind: collect
    for_each: {{values: [{parts}], as: part}}
    request: {{provider: p, path: /parts, query: {{part: "{{{{part}}}}"}}}}
    paginate: {{by: page, param: page, size: {part_page}, start: 1}}
    records: items
    fields: {{id: id, served: {{path: served, type: integer}}}}
    store: {{table: parts, key: [id], batch: 7}}
    retry: {{attempts: 100}}
  appended:
    kind: collect
    request: {{provider: p, path: /parts, query: {{part: up}}}}
    paginate: {{by: page, param: page, size: {part_page}, start: 1}}
    records: items
    fields: {{id: id, served: {{path: served, type: integer}}}}
    store: {{table: appended, mode: append, batch: 4}}
    retry: {{attempts: 100}}
  poison:
    kind: collect
    request: {{provider: p, path: /poison}}
    records: items
    fields: {{id: id}}
    store: {{table: poison, key: [id]}}
    retry: {{attempts: 100}}
  command:
    kind: exec
    command: [{bin}/{command}, {record}]
    retry: {{attempts: 100}}
  deadly:
    kind: collect
    request: {{provider: p, path: /deadly}}
    records: items
    fields: {{id: id}}
    store: {{table: poison, key: [id]}}
    retry: {{attempts: 3}}
{ticking}
"""
# Tells of its begin and its end; the lock tells of a second one of the same run at the same time.
COMMAND, COMMAND_TEXT = "chaos-command", """#!/bin/sh
exec 9>>"$1.$DROVER_RUN"
flock -n 9 || echo "second $DROVER_RUN $DROVER_ATTEMPT" >>"$1"
echo "begin $DROVER_RUN $DROVER_ATTEMPT" >>"$1"
sleep 0.2 9>&-
echo "end $DROVER_RUN $DROVER_ATTEMPT" >>"$1"
"""
TICKING = """  {name}:
    kind: collect{schedule}
    request: {{provider: p, path: /{name}}}
    records: items
    fields: {{id: id, served: {{path: served, type: integer}}}}
    store: {{table: {name}, key: [id], batch: 2}}
    retry: {{attempts: 100}}
"""


@dataclasses.dataclass
class Schedule:
	"""As the file has it; an `every` begins when the job is first seen, cron on the full second."""
	text: str
	step: int  # ms from one due time to the next
	overlap: str = "skip"
	catch_up: str = "last"
	slow: float = 0  # seconds that an answer may take
	after: str = ""  # due when a run of this job has ended, and by no clock


SCHEDULES = {
	"often": Schedule("{every: 400ms}", 400),
	"seconds": Schedule('{cron: "*/2 * * * * *"}', 2000),
	"queued": Schedule("{every: 700ms, overlap: queue}", 700, overlap="queue", slow=0.9),
	"replaced": Schedule("{every: 900ms, overlap: replace}", 900, overlap="replace", slow=1.3),
	"beside": Schedule("{every: 800ms, overlap: allow}", 800, overlap="allow", slow=1),
	"caught_up": Schedule("{every: 2s, catch_up: all}", 2000, catch_up="all"),
	"behind": Schedule("{after: parts}", 0, after="parts"),
	"zoned": Schedule('{cron: "*/5 * * * * *", timezone: Asia/Kathmandu}', 5000),
}
# table -> its columns; each write of a row is one line of audit
TABLES = {"items": "id TEXT NOT NULL, name TEXT, served BIGINT", "parts": "id TEXT NOT NULL, served BIGINT",
	"appended": "id TEXT, served BIGINT", "pages": "url TEXT NOT NULL", "poison": "id TEXT NOT NULL",
	**{name: "id TEXT NOT NULL, served BIGINT" for name in SCHEDULES}}
KEYS = {table: "url" if table == "pages" else "id" for table in TABLES}


def now_ms():
	return time.time_ns() // 1_000_000


class Truth:
	"""What must be in the database in the end; drover was not asked."""

	def __init__(self, seed):
		rng = random.Random(f"site {seed}")
		self.records = {f"r{i:04}": f"name {i} of {seed}" for i in range(RECORDS)}
		self.parts = [f"{part}{i}" for part in PARTS for i in range(PART_RECORDS)]
		self.ticks = [f"t{i}" for i in range(TICKS)]
		# Each page is led to by an earlier one, so all are found; further links make circles.
		self.links = {f"/p{i}.html": [] for i in range(1, SITE_PAGES)}
		self.links["/"] = []
		for i in range(1, SITE_PAGES):
			parent = rng.randrange(i)
			self.links[f"/p{parent}.html" if parent else "/"].append(f"/p{i}.html")
		for links in self.links.values():
			links += rng.choices(sorted(self.links), k=3)
		self.links[f"/p{rng.randrange(1, SITE_PAGES)}.html"].append(GONE)

	def write_site(self, folder):
		folder.mkdir()
		for path, links in self.links.items():
			anchors = "".join(f'<p><a href="{link}">on</a>' for link in links)
			(folder / ("index.html" if path == "/" else path[1:])).write_text(
				f"<!DOCTYPE html><html><head><title>{path}</title></head><body>{anchors}</body></html>")


class Serving:
	"""The provider's answers. Each record says which call it was served to, so that no two writes are alike."""

	def __init__(self, provider, truth, seed):
		self.truth, self.lock = truth, threading.Lock()
		self.calls, self.murders, self.flaky = 0, 0, random.Random(f"flaky {seed}").randrange(FLAKY_EVERY)
		provider.route("/items", self.items)
		provider.route("/parts", self.parts)
		provider.route("/poison", Answer(404))
		provider.route("/deadly", self.kill_the_caller)
		for name in SCHEDULES:
			provider.route(f"/{name}", self.tick)

	def number(self):
		with self.lock:
			self.calls += 1
			return self.calls

	def answer(self, ids, delay):
		n = self.number()
		if n % FLAKY_EVERY == self.flaky:
			return Answer(503)
		items = [{"id": i, "name": self.truth.records.get(i), "served": n} for i in ids]
		return Answer(body={"items": items}, delay=delay)

	def items(self, call):
		page = int(call.query.get("page", 1))
		return self.answer(list(self.truth.records)[(page - 1) * PAGE:page * PAGE], 0.04)

	def parts(self, call):
		page = int(call.query["page"])
		of = [key for key in self.truth.parts if key.startswith(call.query["part"])]
		return self.answer(of[(page - 1) * PART_PAGE:page * PART_PAGE], 0.02)

	def tick(self, call):
		return self.answer(self.truth.ticks, 0.01 + SCHEDULES[call.path[1:]].slow * (call.n % 5) / 4)


	def kill_the_caller(self, call):
		"""A task that ends its worker each time."""
		with contextlib.suppress(OSError):
			pid = caller(call.port)
			if pid:
				os.kill(pid, signal.SIGKILL)
				with self.lock:
					self.murders += 1
		return Answer(drop=True)


def caller(port):
	"""Whose TCP port on loopback this is; None when its owner is gone."""
	sockets = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
	inodes = {f"socket:[{line[9]}]" for line in sockets if line[1] == f"0100007F:{port:04X}"}
	for pid in descendants():
		if harness.comm(pid) != "drover-collect":
			continue
		with contextlib.suppress(OSError):
			for fd in os.listdir(f"/proc/{pid}/fd"):
				with contextlib.suppress(OSError):
					if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
						return pid
	return None


class QueueWorld:
	"""droverd with its database (`base`), under a harness that inherits whatever they leave behind."""

	def __init__(self, folder, seed, base):
		self.folder, self.base = pathlib.Path(folder), base
		self.truth = Truth(seed)
		self.stack = contextlib.ExitStack()
		self.record = self.folder / "record"
		self.record.touch()
		self.truth.write_site(self.folder / "root")
		self.provider = self.stack.enter_context(Provider())
		self.serving = Serving(self.provider, self.truth, seed)
		self.site = self.stack.enter_context(Site(self.folder, root=self.folder / "root"))
		(self.folder / "d").mkdir()
		self.drover = Drover(self.folder / "d")
		self.drover.program = str(self.programs())
		base.begin(self)
		self.began_ms = now_ms()

	def programs(self):
		"""droverd in a folder of its own, where the workers that write are started with the commit killer."""
		bin = self.folder / "bin"
		bin.mkdir()
		# A copy: droverd finds its workers beside what it really is.
		subprocess.run(["cp", "--reflink=auto", BIN / "droverd", bin / "droverd"], check=True)
		for name in PROGRAMS:
			(bin / name).symlink_to(BIN / name)
		for name, bit in KINDS.items():
			(bin / name).write_text(f"#!/bin/sh\n{self.base.environment(self, bit)} exec {BIN / name} \"$@\"\n")
			(bin / name).chmod(0o755)
		(bin / COMMAND).write_text(COMMAND_TEXT)
		(bin / COMMAND).chmod(0o755)
		return bin / "droverd"

	def text(self, scheduled=True):
		ticking = "".join(TICKING.format(name=name, schedule=f"\n    schedule: {one.text}" if scheduled else "")
			for name, one in SCHEDULES.items())
		return CONFIG.format(store=self.base.url, provider=self.provider.url, site=self.site.url, page=PAGE, batch=BATCH,
			history=self.base.history, bin=self.folder / "bin", command=COMMAND, record=self.record,
			parts=", ".join(PARTS), part_page=PART_PAGE, ticking=ticking)

	def start(self):
		self.drover.start(wait=False)

	def pids(self, kind):
		"""Of one kind, or of all whose names begin with "drover-"."""
		return [pid for pid in descendants() if harness.comm(pid) == kind[:15] or (kind[-1] == "-" and harness.comm(pid).startswith(kind))]

	def ask(self, verb, args="", patience=10):
		"""An answer, or None when whoever should give it dies meanwhile."""
		try:
			client = harness.Control(self.drover.runtime / "control.sock")
		except OSError:
			return None
		try:
			client.socket.settimeout(patience)
			code, answer = client.ask(verb, args)
			return (code, answer) if code == 0 else None
		except (OSError, AssertionError):
			return None
		finally:
			client.close()

	def shut_down(self):
		"""@return what is wrong with its end"""
		self.drover.process.terminate()
		code = self.drover.process.wait(30)
		wrong = [f"droverd ended with {code}"] if code else []
		left = self.drover.left_over()
		# nginx is the site's
		left = [(pid, harness.comm(pid)) for pid in left if harness.comm(pid).startswith(("drover", COMMAND))]
		return wrong + ([f"left over after TERM: {left}"] if left else [])

	def leave(self):
		process = self.drover.process
		if process and process.poll() is None:
			process.kill()
			process.wait()
		for pid in descendants():
			if harness.comm(pid).startswith(("drover", COMMAND)):
				with contextlib.suppress(OSError):
					os.kill(pid, signal.SIGKILL)
		self.stack.close()
		self.base.end()


def reap(spared):
	"""Strangers that fell to us; what Popen started (`spared`) is left to it."""
	ours = ("drover", "postgres", COMMAND, "sleep")
	for pid, (parent, state) in harness.processes().items():
		if parent == os.getpid() and state == "Z" and pid not in spared and harness.comm(pid).startswith(ours):
			with contextlib.suppress(ChildProcessError):
				os.waitpid(pid, os.WNOHANG)


class Operator(threading.Thread):
	"""
	Has the jobs without a schedule run again and again, one run of each at a time. Who gets no answer asks again with the
	same request id: it is one run all the same.
	"""
	JOBS = {"items": 0, "pages": 0, "parts": 0, "appended": 0, "command": 0.3, "poison": 0.7, "deadly": 3}  # seconds from a run to the next

	def __init__(self, world, seed):
		super().__init__(daemon=True)
		self.world, self.seed, self.rng = world, seed, random.Random(f"operator {seed}")
		self.requests, self.answered = {}, {}  # request id -> job; -> run id
		self.open, self.wrong = {}, []
		self.next = dict.fromkeys(self.JOBS, 0)
		self.over, self.error = threading.Event(), None

	def run(self):
		try:
			while not self.over.wait(0.05):
				for job in self.JOBS:
					self.look_after(job)
			while self.open:
				time.sleep(0.05)
				for job in list(self.open):
					self.look_after(job)
		except BaseException as error:  # noqa: BLE001
			self.error = error

	def look_after(self, job):
		if job in self.open and self.open[job] in self.answered and self.ended(self.answered[self.open[job]]):
			del self.open[job]
			self.next[job] = time.monotonic() + self.JOBS[job]
		if job not in self.open:
			if self.over.is_set() or time.monotonic() < self.next[job]:
				return
			self.open[job] = f"{self.seed}-{job}-{len(self.requests)}"
			self.requests[self.open[job]] = job
		request = self.open[job]
		if request in self.answered and self.rng.random() < 0.8:
			return  # else once more, although it was answered
		answer = self.world.ask("run", json.dumps({"job": job, "request_id": request}))
		if not answer:
			return
		run = answer[1]["run"]["id"]
		if self.answered.setdefault(request, run) != run:
			self.wrong.append(f"request {request} was answered with run {self.answered[request]} and with run {run}")

	def ended(self, run):
		rows = self.world.base.query(f"SELECT 1 AS ended FROM drover_run WHERE id = {run} AND finished_at IS NOT NULL")
		return bool(rows)

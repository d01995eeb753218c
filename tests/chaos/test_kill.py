# SPDX-License-Identifier: MIT
"""
Kills a random drover process at random instants while collect and crawl runs are under way, and then looks at
what is in the database and in the logs with Python's own eyes: nothing lost, nothing twice, nothing left over.
"""
import collections
import ctypes
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.parse

import pytest

from harness import BUILD, until
from website import Site, documentation, languages

BIN = BUILD / "bin"
KINDS = ["droverd", "drover-log", "drover-scheduler", "drover-collect", "drover-crawl", "drover-monitor",
	"drover-parser"]
HOLDERS = {"drover-collect", "drover-crawl"}
LEAST_EACH = 10
PR_SET_CHILD_SUBREAPER = 36

# Writes a numbered line, then stores the number where it survives a SIGKILL. Each life counts in a file of its own:
# a life that was ended between the two cannot know whether its last line was written.
COUNTER = """
import mmap, os, struct, sys, time
life = len(os.listdir(sys.argv[1])) + 1
path = os.path.join(sys.argv[1], str(life))
with open(path, "wb") as f:
    f.write(bytes(8))
with open(path, "r+b") as f:
    m = mmap.mmap(f.fileno(), 8)
n = 0
while True:
    n += 1
    os.write(1, b"line %d %d\\n" % (life, n))
    m[:8] = struct.pack("<q", n)
    if n % 50 == 0:
        time.sleep(0.01)
"""

CONFIG = """
supervisor:
  probe: {{interval: 500ms, timeout: 400ms, failures: 3, start_period: 500ms}}
  restart: {{min_interval: 0s, jitter: 0s}}
  stop: {{timeout: 5s}}
logs: {{max_size: 400KB, backups: 200}}
http: {{listen: "127.0.0.1:0"}}
workers:
  collect: {{processes: 2, concurrency: 4}}
  crawl: {{processes: 1, concurrency: 6, parsers: 2}}
providers:
  languages:
    base_url: {url}
    private: true
    limits: {{concurrency: 2, min_delay: 30ms}}
jobs:
  languages:
    kind: collect
    request: {{provider: languages, path: /api/iso_639-3}}
    paginate: {{by: page, param: page, size: 100, start: 1}}
    records: records
    fields: {{alpha_3: alpha_3, name: name, scope: scope, type: type, inverted_name: inverted_name}}
    store: {{table: languages, key: [alpha_3], batch: 30}}
    retry: {{attempts: 50}}
  documentation:
    kind: crawl
    start: ["{url}/"]
    follow: {{depth: 20, private: true}}
    politeness: {{delay: 0s, per_host: 4}}
    extract:
      - {{match: ".*", fields: {{title: {{xpath: "string(//title)"}}}}}}
    store: {{table: pages, key: [url]}}
    retry: {{attempts: 50}}
  heartbeat:
    kind: collect
    schedule: {{every: 1s}}
    request: {{provider: languages, path: /api/iso_639-3}}
    records: records
    fields: {{alpha_3: alpha_3}}
    store: {{table: heartbeat, key: [alpha_3]}}
    retry: {{attempts: 50}}
services:
  counter:
    command: [/usr/bin/python3, "-c", {counter}, "{tmp}/lives"]
    restart: {{policy: always}}
"""


def descendants(of):
	"""pid -> (comm, state) of all living descendants."""
	children = collections.defaultdict(list)
	about = {}
	for entry in os.listdir("/proc"):
		if not entry.isdigit():
			continue
		try:
			stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
		except OSError:
			continue
		comm = stat[stat.index("(") + 1:stat.rindex(")")]
		state, parent = stat[stat.rindex(")") + 2:].split()[:2]
		children[int(parent)].append(int(entry))
		about[int(entry)] = (comm, state)
	found, todo = {}, [of]
	while todo:
		for child in children[todo.pop()]:
			found[child] = about[child]
			todo.append(child)
	return found


def slot_of(pid):
	"""The slot's name, from the mark in the environment."""
	try:
		environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
	except OSError:
		return ""
	for item in environment.split(b"\0"):
		if item.startswith(b"DROVER_SLOT="):
			return item.split(b"=", 1)[1].decode()
	return ""


class Herd:
	"""droverd with its children, under a harness that inherits whatever they leave behind."""

	def __init__(self, tmp, site):
		self.tmp = tmp
		self.state, self.runtime, self.logs = tmp / "state", tmp / "run", tmp / "log"
		(tmp / "lives").mkdir()
		for folder in (self.state, self.runtime, self.logs):
			folder.mkdir()
		self.config = tmp / "drover.yaml"
		self.config.write_text(CONFIG.format(url=site.url, tmp=tmp, counter=json.dumps(COUNTER)))
		self.database = self.state / "drover.db"
		self.droverd = None

	def start(self):
		environment = {k: v for k, v in os.environ.items() if k.startswith("DROVER_") or k in ("PATH", "HOME")}
		with open(self.tmp / "droverd.out", "ab") as out:
			self.droverd = subprocess.Popen([BIN / "droverd", "--config", self.config, "--state-dir", self.state,
				"--runtime-dir", self.runtime, "--log-dir", self.logs], stdin=subprocess.DEVNULL, stdout=out,
				stderr=out, env=environment)

	def drover(self, *words):
		return subprocess.run([BIN / "drover", "--socket", self.runtime / "control.sock", *words],
			capture_output=True, text=True, timeout=60, check=False)

	def run(self, job):
		"""Starts a run; whoever is dead just now is back in a moment."""
		def asked():
			done = self.drover("run", job, "--json")
			return json.loads(done.stdout) if done.returncode == 0 else None
		return until(asked, f"run {job}", 60)["id"]

	def query(self, sql, *values):
		try:
			with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10) as db:
				return db.execute(sql, values).fetchall()
		except sqlite3.OperationalError:
			return []

	def unfinished(self, run):
		return bool(self.query("SELECT 1 FROM drover_run WHERE id = ? AND finished_at IS NULL", run))

	def holders(self):
		"""Slots that hold a task, read from the database: owner is node/epoch/slot/incarnation."""
		rows = self.query("SELECT DISTINCT owner FROM drover_task WHERE state = 1 AND owner IS NOT NULL")
		return {owner.split("/")[2] for (owner,) in rows}

	def pids(self, kind):
		if kind == "droverd":
			return [self.droverd.pid]
		# comm holds 15 characters
		return [pid for pid, (comm, state) in descendants(os.getpid()).items()
			if comm == kind[:15] and state not in "ZX"]


class Killer:
	def __init__(self, herd, rng, kills):
		self.herd, self.rng = herd, rng
		self.counts = collections.Counter()
		self.holding = self.worker_kills = 0
		self.wanted = kills

	def choose(self):
		"""At random, but no kind is left behind so far that the rest could not catch up."""
		left = self.wanted - sum(self.counts.values())
		owed = [k for k in KINDS for _ in range(max(0, LEAST_EACH - self.counts[k]))]
		return self.rng.choice(owed) if len(owed) >= left else self.rng.choice(KINDS)

	def victim(self, kind, running):
		"""A process of that kind, a worker preferably while it holds a task; None when the runs ended meanwhile."""
		for _ in range(400):
			pids = self.herd.pids(kind)
			if kind in HOLDERS and pids:
				holders = self.herd.holders()
				held = [pid for pid in pids if slot_of(pid) in holders]
				if held:
					return self.rng.choice(held), True
			elif pids:
				return self.rng.choice(pids), False
			if not any(self.herd.unfinished(run) for run in running):
				return None, False
			time.sleep(0.002)
		pids = self.herd.pids(kind)
		return (self.rng.choice(pids), False) if pids else (None, False)

	def kill(self, running):
		kind = self.choose()
		pid, holding = self.victim(kind, running)
		if pid is None:
			return
		try:
			os.kill(pid, signal.SIGKILL)
		except ProcessLookupError:
			return
		self.counts[kind] += 1
		if kind in HOLDERS:
			self.worker_kills += 1
			self.holding += holding
		if kind == "droverd":
			self.herd.droverd.wait()
			self.herd.start()


def reap():
	"""Waits for strangers that fell to us; children that Popen knows are left to it."""
	for pid, (_, state) in descendants(os.getpid()).items():
		if state == "Z":
			try:
				os.waitpid(pid, os.WNOHANG)
			except ChildProcessError:
				pass


def expected_pages(site):
	"""What an independent crawl by html.parser finds: canonical path of each HTML page, from the files themselves."""
	import html.parser

	class Links(html.parser.HTMLParser):
		def __init__(self):
			super().__init__()
			self.found = []

		def handle_starttag(self, tag, attributes):
			href = dict(attributes).get("href")
			if tag in ("a", "area") and href is not None:
				self.found.append(href.strip(" \t\r\n\f"))

	root = pathlib.Path(documentation())
	todo, pages, broken = ["/"], {}, set()
	while todo:
		path = todo.pop()
		if path in pages or path in broken:
			continue
		file = root / urllib.parse.unquote(path).lstrip("/")
		file = file / "index.html" if file.is_dir() else file
		if not file.exists():
			broken.add(path)
			continue
		if file.suffix != ".html":
			continue
		pages[path] = file
		parser = Links()
		parser.feed(file.read_text(encoding="utf-8", errors="replace"))
		for href in parser.found:
			target = urllib.parse.urlsplit(urllib.parse.urljoin(f"{site.url}{path}", href or path))
			if f"{target.scheme}://{target.netloc}" == site.url:
				todo.append(target.path or "/")
	return pages, broken


def check_log(herd):
	"""Each number up to the stored n exactly once in the log, n + 1 at most once, nothing else, for each life."""
	stored = {int(f.name): int.from_bytes(f.read_bytes()[:8], "little") for f in (herd.tmp / "lives").iterdir()}
	seen, strange = collections.Counter(), []
	for file in herd.logs.glob("counter.log*"):
		for line in file.read_bytes().split(b"\n"):
			words = line.split(b" ")
			if len(words) == 3 and words[0] == b"line":
				seen[int(words[1]), int(words[2])] += 1
			elif line:
				strange.append(line[:80])
	assert not strange, strange[:5]
	for life, n in stored.items():
		numbers = {k: count for (of, k), count in seen.items() if of == life}
		lost = [k for k in range(1, n + 1) if k not in numbers]
		assert not lost, f"life {life}: {len(lost)} of {n} lines are lost, first {lost[:5]}"
		twice = [k for k, count in numbers.items() if count > 1]
		assert not twice, f"life {life}: lines twice: {twice[:5]}"
		assert max(numbers, default=0) <= n + 1, f"life {life}: a line nobody wrote"
	return sum(stored.values()), len(stored)


def check_dues(herd):
	rows = herd.query("SELECT due_at, outcome FROM drover_due WHERE job = 'heartbeat' ORDER BY due_at")
	assert len(rows) >= 3
	assert {outcome for _, outcome in rows} <= {"fired", "coalesced", "skipped", "missed"}
	gaps = {b[0] - a[0] for a, b in zip(rows, rows[1:])}
	assert gaps == {1000}, f"due times not one a second: steps {sorted(gaps)}"
	runs = herd.query("SELECT count(*), count(DISTINCT due_at) FROM drover_run WHERE job = 'heartbeat' AND due_at > 0")
	fired = sum(outcome == "fired" for _, outcome in rows)
	assert runs == [(fired, fired)]
	return collections.Counter(outcome for _, outcome in rows)


def check_runs(herd, runs, pages):
	truth = {r["alpha_3"]: r for r in languages()}
	for job, run in runs:
		state, rows, total, done, dead = herd.query(
			"SELECT state, rows, tasks_total, tasks_done, tasks_dead FROM drover_run WHERE id = ?", run)[0]
		assert (state, dead) == ("succeeded", 0), (job, run, state, dead)
		assert total == done
		# Counted in the transaction that stores them: a page stored twice would be counted twice.
		assert rows == (len(truth) if job == "languages" else len(pages)), (job, run, rows)
	assert herd.query("SELECT count(*) FROM drover_dead") == [(0,)]
	stored = herd.query("SELECT alpha_3, name, scope, type, inverted_name FROM languages")
	assert len(stored) == len(truth)
	for row in stored:
		record = truth[row[0]]
		assert row == tuple(record.get(k) for k in ("alpha_3", "name", "scope", "type", "inverted_name"))


def check_pages(herd, site, pages, broken):
	stored = herd.query("SELECT url, status, content_hash FROM pages")
	paths = collections.Counter(urllib.parse.urlsplit(url).path for url, _, _ in stored)
	assert set(paths) == set(pages), (sorted(set(paths) ^ set(pages))[:10])
	assert max(paths.values()) == 1
	assert {status for _, status, _ in stored} == {200}
	assert len({h for _, _, h in stored}) == len({file.read_bytes() for file in pages.values()})
	failed = {urllib.parse.urlsplit(url).path for (url,) in herd.query(
		"SELECT DISTINCT url FROM drover_url WHERE state = 'failed'") if url.startswith(site.url)}
	assert failed == broken


def test_kill_at_random_instants_loses_nothing_and_doubles_nothing(tmp_path, request):
	kills = request.config.getoption("--kills")
	seed = request.config.getoption("--seed")
	seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
	print(f"seed {seed}, {kills} kills")
	ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	rng = random.Random(seed)
	with Site(tmp_path) as site:
		pages, broken = expected_pages(site)
		assert broken == {"/whatsnew/changelog.html"}
		herd = Herd(tmp_path, site)
		herd.start()
		killer = Killer(herd, rng, kills)
		runs = []
		try:
			while sum(killer.counts.values()) < kills:
				now = [(job, herd.run(job)) for job in ("languages", "documentation")]
				first = True
				while any(herd.unfinished(run) for _, run in now):
					if sum(killer.counts.values()) < kills:
						if first:
							assert all(herd.unfinished(run) for _, run in now), "a run was over before its first kill"
							first = False
						killer.kill([run for _, run in now])
					time.sleep(rng.uniform(0.0, 0.4))  # the instant of the next kill is what is drawn
					reap()
				runs += now
			print(f"kills {dict(killer.counts)}, {killer.holding} of {killer.worker_kills} workers held a task, "
				f"{len(runs)} runs")
			check_runs(herd, runs, pages)
			check_pages(herd, site, pages, broken)
		finally:
			herd.droverd.send_signal(signal.SIGTERM)
			try:
				herd.droverd.wait(60)
			except subprocess.TimeoutExpired:
				herd.droverd.kill()
				herd.droverd.wait()
				raise
		reap()
		left = {pid: what for pid, what in descendants(os.getpid()).items()
			if what[0].startswith("drover") or what[0] == "python3"}
		for pid in left:
			os.kill(pid, signal.SIGKILL)
		assert not left, f"left over after TERM: {left}"
		print("due times:", dict(check_dues(herd)))
		print("log lines: %d of %d lives, each once" % check_log(herd))
	assert sum(killer.counts.values()) >= kills
	if kills >= len(KINDS) * LEAST_EACH:
		assert all(killer.counts[kind] >= LEAST_EACH for kind in KINDS), killer.counts
	assert killer.holding * 2 >= killer.worker_kills


if __name__ == "__main__":
	sys.exit(pytest.main([__file__, "-s", *sys.argv[1:]]))

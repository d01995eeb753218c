# SPDX-License-Identifier: MIT
"""
Who is killed, when, and where in a commit: all of it drawn from the seed before the first kill. Only the instants are
the machine's.
"""
import collections
import contextlib
import os
import random
import signal
import time

import harness
from harness import until
from queue_world import COMMAND, reap

# Twenty kills, in the order that the seed draws. "all": of drover, as when the machine resets; "commit": of somebody between
# COMMIT sent and answered.
ROUNDS = {
	"sqlite": {"drover-collect": 3, "drover-scheduler": 3, "droverd": 2, "drover-crawl": 2, "drover-log": 1, "drover-parser": 1,
		"drover-monitor": 1, COMMAND: 1, "all": 1, "commit": 5},
	"postgresql": {"drover-collect": 3, "drover-scheduler": 2, "droverd": 2, "drover-crawl": 1, "drover-log": 1, "drover-monitor": 1,
		"all": 1, "backend": 2, "postmaster": 1, "commit": 6},
}
LEAST_COMMITS = 5
AWAY_S = 1.5  # so long nobody supervises, now and then
BACK_S = 1  # who was killed just now is waited for
COMMIT_WAIT_S = 3  # without a commit to be killed in, another fault takes its turn

Kill = collections.namedtuple("Kill", "kind seed pause_s")


def draw(seed, base):
	"""Kills without end."""
	rng = random.Random(f"{base} {seed}")
	one_round = [kind for kind, n in ROUNDS[base].items() for _ in range(n)]
	while True:
		for kind in rng.sample(one_round, len(one_round)):
			yield Kill(kind, rng.getrandbits(64), rng.uniform(0, 0.3))


class Killer:
	def __init__(self, world, seed):
		self.world, self.base = world, world.base
		self.schedule = draw(seed, world.base.name)
		self.took_s = collections.Counter()
		self.counts, self.places, self.unmet = collections.Counter(), collections.Counter(), 0

	def kills(self):
		return sum(self.counts.values())

	def deal(self):
		kill, began = next(self.schedule), time.monotonic()
		rng = random.Random(kill.seed)
		if kill.kind == "commit":
			place = self.kill_in_commit(rng)
			self.counts["commit"] += place is not None
			self.places.update([place] if place else [])
			self.unmet += place is None
		elif kill.kind in ("backend", "postmaster"):
			self.counts[kill.kind] += self.base.kill(kill.kind, rng)
		else:
			self.counts[kill.kind] += self.kill_process(kill.kind, rng)
		dealt = time.monotonic()
		self.base.wait_for_work(rng)
		self.took_s[kill.kind] += dealt - began
		self.took_s["work"] += time.monotonic() - dealt
		time.sleep(kill.pause_s)  # the instant is what is drawn
		reap({self.world.drover.pid, *self.base.own_pids()})

	def kill_process(self, kind, rng):
		drover = self.world.drover
		if kind in ("droverd", "all"):
			assert drover.process.poll() is None, drover.complaints()
			drover.kill()
			for pid in self.world.pids("drover-") if kind == "all" else ():
				with contextlib.suppress(ProcessLookupError):
					os.kill(pid, signal.SIGKILL)
			time.sleep(rng.choice([0, 0, rng.uniform(0, AWAY_S)]))
			self.world.start()
			return True
		with contextlib.suppress(AssertionError, ProcessLookupError):
			pids = until(lambda: self.world.pids(kind), f"there is a {kind}", BACK_S)
			os.kill(rng.choice(sorted(pids)), signal.SIGKILL)
			return True
		return False

	def kill_in_commit(self, rng):
		"""@return where it was hit; None: there was no such commit in time"""
		place = rng.choice(self.base.commit_places)
		kinds = rng.choice([1, 1, 1, 2, 2, 4, 7])
		self.base.arm(place, kinds, rng.randrange(4))
		with contextlib.suppress(AssertionError):
			until(self.base.victim, "somebody dies in a commit", COMMIT_WAIT_S, 0.002)
		self.base.disarm()
		return place if self.base.victim() else None


def heal(world):
	"""droverd is up and answers, and so do those behind it."""
	def healthy():
		assert world.drover.process.poll() is None, world.drover.complaints()
		return world.ask("jobs") is not None
	until(healthy, "the scheduler answers", 60, 0.1)


def dead_owners(world):
	"""Claimed tasks whose owner is no instance that runs."""
	status = world.ask("status")
	if not status:
		return ["no status"]
	living = {(p["name"], str(p["incarnation"])) for p in status[1]["processes"] if p["state"] == "running"}
	rows = world.base.query("SELECT id, owner FROM drover_task WHERE state = 1")
	if rows is None:
		return ["no database"]
	# node/epoch/slot/incarnation
	return [row for row in rows if tuple(row["owner"].split("/")[2:4]) not in living]


def wind_up(world, operator, schedules):
	"""No more runs; waits until those that are there have ended. @return the instant up to which all due times must be told"""
	marks = [("", time.monotonic())]
	heal(world)
	marks.append(("answers", time.monotonic()))
	operator.over.set()
	operator.join(90)
	assert not operator.is_alive(), f"runs that do not end: {operator.open}"
	if operator.error:
		raise operator.error
	marks.append(("runs that were asked for", time.monotonic()))
	left = harness.left_of(lambda: dead_owners(world), 15)
	assert not left, f"claimed by nobody who lives: {left}"
	marks.append(("no dead owners", time.monotonic()))
	told = time.time_ns() // 1_000_000

	def all_told():
		dues = {row["job"]: row["last"] for row in
			world.base.query("SELECT job, max(due_at) AS last FROM drover_due GROUP BY job") or []}
		ends = {row["job"]: row["last"] for row in
			world.base.query("SELECT job, max(finished_at) AS last FROM drover_run GROUP BY job") or []}
		return dues and ends and all(dues.get(name, 0) >= ends[one.after] if one.after else dues.get(name, 0) + one.step > told
			for name, one in schedules.items())
	until(all_told, "each due time is decided", 60, 0.1)
	marks.append(("due times", time.monotonic()))
	world.drover.write(world.text(scheduled=False))
	until(lambda: world.ask("reload"), "it is reloaded", 60, 0.1)

	def empty():
		rows = world.base.query("SELECT (SELECT count(*) FROM drover_task) + (SELECT count(*) FROM drover_run WHERE"
			" finished_at IS NULL) AS n")
		return rows and rows[0]["n"] == 0
	until(empty, "the queue is empty", 60, 0.1)
	marks.append(("empty", time.monotonic()))
	print("wound up in s:", {what: round(at - before, 1) for (_, before), (what, at) in zip(marks, marks[1:])})
	return told

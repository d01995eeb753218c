# SPDX-License-Identifier: MIT
"""
Kills at random instants while runs of several kinds are under way, five of them and more between COMMIT and its answer:
nothing lost, nothing twice, nothing that nobody asked for, and each due time accounted for once.

    tests/run chaos queue --seed S --kills N | --time T
"""
import collections
import contextlib
import itertools
import random
import time

import pytest

import queue_checker
from harness import become_subreaper, until
from queue_bases import Postgresql, Sqlite
from queue_faults import LEAST_COMMITS, Killer, draw, heal, wind_up
from queue_world import GONE, SCHEDULES, Operator, QueueWorld, now_ms

BASES = {"sqlite": Sqlite, "postgresql": Postgresql}


@pytest.fixture
def seed(request):
	given = request.config.getoption("--seed")
	return random.SystemRandom().randrange(1 << 32) if given is None else given


@contextlib.contextmanager
def a_world(folder, seed, base):
	become_subreaper()
	world = QueueWorld(folder, seed, base)
	try:
		yield world
	finally:
		world.leave()


def play(world, seed, kills, seconds):
	"""@return (killer, operator, found, instants that the checker needs)"""
	world.drover.write(world.text())
	world.start()
	heal(world)
	until(lambda: len(world.base.query("SELECT name FROM drover_job") or ()) >= len(SCHEDULES), "jobs are known")
	seen = now_ms()
	operator, killer = Operator(world, seed), Killer(world, seed)
	operator.start()
	end = time.monotonic() + seconds if seconds else None
	while time.monotonic() < end if end else killer.kills() < kills:
		killer.deal()
		if operator.error:
			raise operator.error
	told = wind_up(world, operator, SCHEDULES)
	return killer, operator, queue_checker.read(world.base, SCHEDULES), seen, told


@pytest.mark.parametrize("base", BASES)
def test_a_seed_gives_the_kills_of_the_queue_and_their_order(base):
	first, again, other = (list(itertools.islice(draw(seed, base), 200)) for seed in (7, 7, 8))
	assert first == again != other
	assert sum(kill.kind == "commit" for kill in first) >= 10 * LEAST_COMMITS


@pytest.mark.parametrize("base", BASES)
def test_whatever_is_killed_the_queue_loses_nothing_and_doubles_nothing(tmp_path, seed, request, base):
	kills = request.config.getoption("--kills")
	seconds = (request.config.getoption("--time") or 0) / len(BASES)
	print(f"replay: tests/run chaos queue --seed {seed} " + (f"--time {seconds * len(BASES):g}" if seconds else f"--kills {kills}"))
	kills = -(-kills // len(BASES))
	with a_world(tmp_path, seed, BASES[base]()) as world:
		killer, operator, found, seen, told = play(world, seed, kills, seconds)
		violations = queue_checker.judge(found, world, operator, SCHEDULES, GONE, seen, told)
		violations += world.shut_down()
		outcomes = dict(collections.Counter(f"{row['job']} {row['outcome']}" for row in found["dues"]))
		jobs = dict(collections.Counter(run["job"] if run["state"] != "cancelled" else f"{run['job']} (cancelled)"
			for run in found["runs"]))
		print(f"{base}: {killer.kills()} kills {dict(killer.counts)}; in commits {dict(killer.places)}, {killer.unmet} found none\n"
			f"{base}: seconds {dict((k, round(s, 1)) for k, s in killer.took_s.items() if s > 1)}\n"
			f"{base}: runs {jobs}, {len(found['audit'])} writes of rows, due times {outcomes}")
	assert not violations, "\n".join([f"{len(violations)} violations", *violations[:20]])
	assert killer.counts["commit"] >= min(LEAST_COMMITS, killer.kills() // 8)

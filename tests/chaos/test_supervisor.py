# SPDX-License-Identifier: MIT
"""
Faults of all kinds against eight services of different characters, then everything is healed; what the services wrote
down themselves must prove S1 to S6, L1 and L2, and in the end everything that is wanted runs and nothing else.

    tests/run chaos supervisor --seed S --time T
"""
import contextlib
import itertools
import random
import time

import pytest

import checker
from cgroups import hierarchy, private_group
from faults import AtServices, AtSupervisor, Commander
from harness import become_subreaper
from log_keeper import LogKeeper
from play import a_world, complain, heal, kill_in_a_row, reap, shut_down
from world import ROOT, SERVICES

LEAST_OF = {"kill_before_exec": 5, "kill_during_rename": 5, "upgrade": 5, "upgraded": 2}
CI_SECONDS = 30  # of what is shorter not all is demanded


@pytest.fixture
def seed(request):
	given = request.config.getoption("--seed")
	return random.SystemRandom().randrange(1 << 32) if given is None else given


@pytest.fixture
def world(tmp_path, seed):
	"""The seed decides about the way of containment too: even by the sweep, odd by a delegated cgroup."""
	become_subreaper()
	with private_group() if seed % 2 and ROOT and hierarchy() else contextlib.nullcontext() as group, \
			a_world(tmp_path, group) as one:
		yield one


def deal(world, seed, seconds, least):
	until_s = time.monotonic() + seconds
	dealers = [kind(world, seed, until_s) for kind in (AtSupervisor, AtServices, Commander)]
	for dealer in dealers:
		names = [name for name in (*dealer.faults, *dealer.consequences) if ROOT or name != "kill_before_exec"]
		dealer.least = {name: min(LEAST_OF.get(name, least), least) for name in names if seconds >= CI_SECONDS}
		dealer.start()
	while at_it := [dealer for dealer in dealers if dealer.is_alive()]:
		reap()
		assert not checker.no_doubles(world), checker.no_doubles(world)
		if any(dealer.error for dealer in dealers):
			for dealer in dealers:
				dealer.until_s = 0
				dealer.least = {}
		at_it[0].join(0.1)
	for dealer in dealers:
		if dealer.error:
			raise dealer.error
	return dealers


@pytest.mark.parametrize("kind", [AtSupervisor, AtServices, Commander])
def test_a_seed_gives_the_faults_of_the_supervisor_and_their_order(kind):
	"""What a failing seed is replayed with."""
	first, again, other = (list(itertools.islice(kind.draw_schedule(seed), 500)) for seed in (7, 7, 8))
	assert first == again != other
	assert {name for name, _, _ in first} == set(kind.faults)


def test_supervisors_killed_in_a_row_make_no_second_copy_and_lose_no_line(world, seed, request):
	kills = request.config.getoption("--supervisor-kills")
	print(f"replay: tests/run chaos supervisors_killed --seed {seed} --supervisor-kills {kills}")
	violations, words = kill_in_a_row(world, seed, kills)
	print(f"{words}, contained by {world.containment}")
	complain(violations)


def test_whatever_happens_the_promises_hold(world, seed, request):
	seconds = request.config.getoption("--time") or 50
	print(f"replay: tests/run chaos supervisor --seed {seed} --time {seconds:g}")
	keeper = LogKeeper(world)
	world.write(world.text(0))
	world.start()
	keeper.start()
	dealers = deal(world, seed, seconds, request.config.getoption("--least"))
	sure = heal(world)
	violations = dealers[2].violations
	violations += checker.every_wanted_is_up_and_nothing_else(world, SERVICES)
	violations += checker.the_supervisor_tells_the_truth(world)
	violations += shut_down(world)
	counts = {name: n for dealer in dealers for name, n in sorted(dealer.counts.items())}
	texts = keeper.finish()
	keeper.keep(world.folder)
	broken, lines, dropped = checker.logs_are_whole(world, texts, keeper.largest)
	violations += broken
	for check in (checker.no_doubles, checker.every_end_has_a_cause, checker.not_four, checker.intervals_are_kept,
			checker.stops_hold, checker.needs_are_kept, checker.stopped_in_reverse):
		violations += check(world)
	lives = sum(len(tail.starts()) for tail in world.tails.values())
	slow = {name: round(took, 1) for dealer in dealers for name, took in dealer.took_s.items() if took > seconds / 20}
	print(f"took most seconds: {slow}")
	print(f"dealt {counts}\n{lives} lives, {lines} log lines, {dropped} bytes dropped and counted, {keeper.rotations} "
		f"rotations; contained by {world.containment}; surely wanted before the end: {len(sure)}")
	complain(violations)
	few = {name: dealer.counts[name] for dealer in dealers for name, n in dealer.least.items() if dealer.counts[name] < n}
	assert not few, few

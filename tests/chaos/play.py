# SPDX-License-Identifier: MIT
"""The acts that the chaos tests have in common: a world from its making to its end, healing, and the kills in a row."""
import contextlib
import os
import random
import signal
import time

import checker
from harness import descendants, left_of, processes
from log_keeper import LogKeeper
from world import FLAGS, SERVICES, World, boot_us, state_of


@contextlib.contextmanager
def a_world(folder, group):
	one = World(folder, group)
	try:
		yield one
	finally:
		leave(one)


def leave(one):
	if one.droverd and one.droverd.poll() is None:
		one.droverd.send_signal(signal.SIGCONT)
		one.droverd.kill()
		one.droverd.wait()
	for tail in one.tails.values():
		for member in tail.members():
			os.kill(member.pid, signal.SIGKILL)
	for pid in descendants():
		if state_of(pid) not in "ZX":
			os.kill(pid, signal.SIGKILL)
	reap()
	one.keep()
	one.unmount()


def reap():
	"""Strangers that fell to us; what Popen started is left to it."""
	for pid, (parent, state) in processes().items():
		if parent == os.getpid() and state == "Z":
			try:
				os.waitpid(pid, os.WNOHANG)
			except ChildProcessError:
				pass


def heal(world):
	for name, flag in FLAGS.items():
		(world.folder / f"{name}.{flag}").unlink()
	world.write(world.text(0))
	with world.history.span("good reload", *world.tails):
		code, answer = world.ask("reload")
	assert code == 0, answer
	# Before anything is started that was forgotten.
	wanted = checker.surely_wanted(world)
	world.wait(f"{wanted} are up again", lambda: all(world.tails[name].main() for name in wanted), 30)
	with world.history.span("start", *world.tails):
		world.ask("start", "all")

	def settled():
		mains = {name: world.tails[name].main() for name in SERVICES}
		return all(mains.values()) and all(boot_us() - main.at > 1_500_000 for main in mains.values())
	world.wait("all that is wanted is up and stays up", settled, 90)
	return wanted


def shut_down(world):
	world.droverd.terminate()
	assert world.droverd.wait(30) == 0

	def find():
		reap()
		return [pid for pid in descendants() if state_of(pid) not in "ZX"]
	left = left_of(find)
	return [f"left over after TERM: {left}"] if left else []


def kill_one(world, rng):
	"""At some instant of its start or of its work; now and then a service dies with it."""
	time.sleep(rng.uniform(0, 0.06))  # the instant is what is drawn
	assert world.droverd.poll() is None, world.complaints()
	main = world.tails[rng.choice(SERVICES)].main()
	if main and rng.random() < 0.2:
		with world.history.span("kill", key=(main.pid, main.start)):
			os.kill(main.pid, signal.SIGKILL)
	with world.history.span("kill supervisor"):
		world.droverd.kill()
		world.droverd.wait()
	world.start()


def kill_in_a_row(world, seed, kills):
	"""All the time one service is stopped, and stays so. @return (violations, words about the run)"""
	rng, keeper, answered = random.Random(seed), LogKeeper(world), 0
	world.write(world.text(0))
	world.start()
	keeper.start()
	with world.history.span("stop", "stubborn", answer=None) as event:
		event["answer"] = world.ask("stop", "stubborn")
	for i in range(kills):
		if i % 3 == 0:
			world.wait("droverd answers", world.control).close()
			answered += 1
		kill_one(world, rng)
		reap()
		assert not checker.no_doubles(world), checker.no_doubles(world)
	heal(world)
	violations = checker.every_wanted_is_up_and_nothing_else(world, SERVICES)
	violations += checker.the_supervisor_tells_the_truth(world) + shut_down(world)
	texts = keeper.finish()
	keeper.keep(world.folder)
	broken, lines, _ = checker.logs_are_whole(world, texts, keeper.largest)
	violations += broken
	for check in (checker.no_doubles, checker.every_end_has_a_cause, checker.intervals_are_kept, checker.stops_hold,
			checker.needs_are_kept):
		violations += check(world)
	lives = sum(len(tail.starts()) for tail in world.tails.values())
	return violations, f"{kills} supervisors killed, {answered} after they answered; {lives} lives, {lines} log lines"


def complain(violations):
	assert not violations, "\n".join([f"{len(violations)} violations", *violations[:20]])

# SPDX-License-Identifier: MIT
"""
The faults: three dealers draw them from seeds of their own, one at the supervisor, one at its services, one gives
commands. Each counts a fault only when it was really dealt, and notes it in the history with its span of time.
"""
import collections
import contextlib
import os
import pathlib
import random
import resource
import signal
import subprocess
import threading
import time

from harness import until
from world import ACTOR, EXTRA, ORDERS, ROOT, SERVICES, STOP_MS, age_s, busy, start_of, state_of

STOP_PATIENCE_S = STOP_MS / 1000 + 0.1 + 1  # S4, for the slowest of them
UPGRADE_S = 15
COUNTED_S = 1.2  # until the log tells what was dropped
PATIENCE_S = 120  # a slow machine may take so much longer to deal all that is owed


def late_s():
	"""What a busy machine may add to what is measured here."""
	return 1.5 * busy()


class Dealer(threading.Thread):
	"""
	Deals its schedule, which the seed alone decides: which fault comes when in the row, after what pause, and the random
	numbers that it draws its target and its ways from. What comes of one fault changes nothing of those that follow.
	"""
	faults = ()
	consequences = ()  # what some faults lead to, counted too
	pause_s = 0.05

	def __init__(self, world, seed, until_s):
		super().__init__(daemon=True)
		self.world, self.history = world, world.history
		self.schedule = self.draw_schedule(seed)
		self.rng = None  # that of the fault that is being dealt
		self.until_s = until_s
		self.least = {}  # {fault: so often it has to be dealt, over the time if need be}
		self.counts, self.took_s = collections.Counter(), collections.Counter()
		self.error = None

	@classmethod
	def draw_round(cls, rng):
		return rng.sample(cls.faults, len(cls.faults))

	@classmethod
	def draw_schedule(cls, seed):
		"""(fault, seed of its random numbers, pause after it) without end"""
		rng = random.Random(f"{cls.__name__} {seed}")
		while True:
			for fault in cls.draw_round(rng):
				yield fault, rng.getrandbits(64), rng.uniform(0, 2 * cls.pause_s)

	def run(self):
		try:
			while wanted := self.wanted():
				fault, seed, pause_s = next(item for item in self.schedule if item[0] in wanted)
				self.rng = random.Random(seed)
				self.prepare(fault)
				began = time.monotonic()
				if getattr(self, fault)():
					self.counts[fault] += 1
				self.took_s[fault] += time.monotonic() - began
				time.sleep(pause_s)  # drawn, so that faults meet at all instants
			self.finish()
		except BaseException as error:  # noqa: BLE001
			self.error = error

	def wanted(self):
		"""All faults as long as there is time, then those that are owed."""
		if time.monotonic() < self.until_s:
			return self.faults
		late = time.monotonic() > self.until_s + PATIENCE_S
		owed = {name for name, count in self.least.items() if self.counts[name] < count and not late}
		return {name for name in self.faults if name in owed or owed & set(self.consequences)}

	def prepare(self, fault):
		"""Before each."""

	def finish(self):
		"""Nothing stays broken."""


class AtSupervisor(Dealer):
	faults = ("kill_supervisor", "stop_supervisor", "kill_logger", "kill_during_rename", "kill_before_exec", "bad_reload",
		"good_reload", "full_disk", "no_descriptors", "upgrade")
	consequences = ("upgraded",)
	pause_s = 0.02
	calm = ("stop_supervisor", "bad_reload", "good_reload", "no_descriptors")
	calm_until_s, logger_died_under = 0, None

	@classmethod
	def draw_round(cls, rng):
		"""The calm ones come when the disk has just been full."""
		loud = [name for name in cls.faults if name not in (*cls.calm, "full_disk", "upgrade")]
		loud += ["upgrade"] if rng.random() < 0.3 else []
		return ["full_disk", *rng.sample(cls.calm, len(cls.calm)), *rng.sample(loud, len(loud))]

	def prepare(self, fault):
		"""What a full disk cost is counted in drover-log's memory for a second: it may not die over that."""
		if fault not in self.calm:
			time.sleep(max(self.calm_until_s - time.monotonic(), 0))  # nothing may happen in it

	def up(self):
		"""It has started: one that listens may still be at it."""
		self.world.ask("status")

	def restart(self):
		self.world.droverd.wait()
		self.world.start()
		if self.rng.random() < 0.7:
			self.up()
		else:
			time.sleep(self.rng.uniform(0, 0.03))  # the next fault may meet it at any instant of its start

	def kill_supervisor(self):
		with self.history.span("kill supervisor"):
			self.world.droverd.kill()
			self.restart()
		return True

	def stop_supervisor(self):
		with self.history.span("stop supervisor"):
			self.world.droverd.send_signal(signal.SIGSTOP)
			# The stall itself; now and then longer than the probes' patience.
			time.sleep(1.3 if self.rng.random() < 0.15 else self.rng.uniform(0, 0.1))
			self.world.droverd.send_signal(signal.SIGCONT)
		return True

	def image(self):
		"""Changes with each exec."""
		return pathlib.Path(f"/proc/{self.world.droverd.pid}/auxv").read_bytes()

	def upgrade(self):
		"""In place, to itself; one half is killed in the middle of it."""
		self.up()
		before = self.image()
		with self.history.span("upgrade"):
			self.world.droverd.send_signal(signal.SIGUSR2)
			if self.rng.random() < 0.5:
				with contextlib.suppress(AssertionError):
					self.world.wait("", lambda: self.image() != before, UPGRADE_S)
				self.counts["upgraded"] += self.image() != before
				self.up()
				return True
			time.sleep(self.rng.uniform(0, 1))  # the kill may meet the upgrade at any instant
			with self.history.span("kill supervisor"):
				self.world.droverd.kill()
				self.restart()
		return True

	def ripe_logger(self):
		"""A drover-log that is started again at once when it dies: the first of this droverd, or one that lived a second."""
		if self.logger_died_under == self.world.droverd.pid and self.rng.random() > 0.1:
			with contextlib.suppress(AssertionError):
				until(lambda: (pid := self.world.logger()) and age_s(pid) > 1.05, "", 2)
		self.logger_died_under = self.world.droverd.pid
		return self.world.logger()

	def kill_logger(self):
		pid = self.ripe_logger()
		if not pid:
			return False
		with self.history.span("kill drover-log"):
			os.kill(pid, signal.SIGKILL)
			self.world.wait("drover-log is back", lambda: self.world.logger() not in (None, pid))
		return True

	def strike(self, what, path, pid, trigger):
		"""Lets the fast hand strike at what the trigger brings about. @return its exit code, 0 when it struck"""
		with subprocess.Popen([ACTOR, what, path, str(pid)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as hand:
			if hand.stdout.readline() == b"armed\n":
				trigger()
			hand.stdout.read()
		return hand.returncode

	def kill_during_rename(self):
		self.up()
		pid = self.ripe_logger()
		if self.world.holes():  # of an earlier strike: filled by the next rotation
			self.world.droverd.send_signal(signal.SIGUSR1)
			with contextlib.suppress(AssertionError):
				until(lambda: not self.world.holes(), "", 1)
		if not pid or self.world.holes():
			return False
		with self.history.span("kill drover-log"):
			struck = self.strike("strike-rename", self.world.logs, pid,
				lambda: self.world.droverd.send_signal(signal.SIGUSR1))
			killed = struck in (0, 5)
			self.world.wait("drover-log is back", lambda: self.world.logger() not in (None, pid) or not killed)
		return struck == 0

	def kill_before_exec(self):
		"""A child of droverd has its record and waits at the file of its program: then droverd is killed."""
		if not ROOT:
			return False
		self.up()
		name, client = self.rng.choice(SERVICES), None

		def trigger():
			nonlocal client
			client = self.world.control()
			if client:
				with contextlib.suppress(OSError):  # another start was met before it was asked for
					client.send("restart", name)
		along = self.world.concerned("restart", name)
		with self.world.command_lock, self.history.span("restart", *along), self.history.span("kill supervisor"):
			struck = self.strike("strike-exec", ACTOR, self.world.droverd.pid, trigger) == 0
			if self.world.droverd.poll() is not None or struck:
				self.restart()
			elif client:
				client.receive()
			if client:
				client.close()
		return struck

	# -- reloads --

	def broken(self):
		good = self.world.text(0)
		at = good.index("services:")
		cut = self.rng.choice([i for i in range(at, len(good)) if good.count("{", 0, i) > good.count("}", 0, i)])
		return self.rng.choice([
			("half a file", good[:cut]),
			("unknown key", good + "nonsense: 1\n"),
			("bad value", good.replace('"timeout": "400ms"', '"timeout": "400"', 1)),
			("no such user", good.replace('"command"', '"user": "nobody-of-that-name", "command"', 1)),
			("no services", good[:at] + "services: 7\n"),
			("tab", good + "\tx: 1\n")])

	def bad_reload(self):
		self.up()  # with a bad file it would not even start
		with self.world.config_lock:
			kind, text = self.broken()
			good = self.world.file.read_text()
			self.world.write(text)
			try:
				with self.history.span("bad reload", kind=kind):
					code, answer = self.world.ask("reload")
			finally:
				self.world.write(good)
			assert code != 0 and not answer.get("ok"), (kind, text, code, answer)
			assert f"{self.world.file}:" in answer["errors"] and ": error: " in answer["errors"], (kind, answer)
			with self.history.span("status"):
				assert self.world.ask("status")[1]["supervisor"]["config_error"], kind
		return True

	def good_reload(self):
		with self.world.config_lock:
			old, variant = int(self.world.file.read_text().split()[2]), self.rng.randrange(8)
			changed = [name for name, bit in (("obedient", 1), (EXTRA, 2)) if (old ^ variant) & bit]
			self.world.write(self.world.text(variant))
			with self.history.span("good reload", *changed, variant=variant):
				code, answer = self.world.ask("reload")
			assert code == 0, answer
		return True

	# -- scarcity --

	def full_disk(self):
		"""The services must not notice."""
		tail = self.world.tails["flooding"]
		main = tail.main()
		with self.history.span("full disk"), self.fill() as full:
			if main:
				floods = sum(r.what == "F" for r in tail.read())
				with contextlib.suppress(ProcessLookupError):
					os.kill(main.pid, ORDERS["flood"])
				with contextlib.suppress(AssertionError):
					until(lambda: sum(r.what == "F" for r in tail.read()) > floods, "", 0.5)
			else:
				time.sleep(0.1)  # nobody floods it: that it is full for a while is all of the fault
		self.calm_until_s = time.monotonic() + COUNTED_S + (1.5 if busy() > 2 else 0)
		return full

	@contextlib.contextmanager
	def fill(self):
		if not self.world.mounted:
			pid = self.world.wait("drover-log is there", self.world.logger)
			limits = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
			yield True
			with contextlib.suppress(ProcessLookupError):
				resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
			return
		ballast = self.world.logs / "ballast"
		with open(ballast, "wb") as file:
			for size in (1 << 20, 1 << 16, 1 << 12):
				with contextlib.suppress(OSError):
					while True:
						os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
			yield os.statvfs(self.world.logs).f_bavail == 0
		ballast.unlink()

	def no_descriptors(self):
		"""No descriptor is free; droverd answers all the same, and what cannot be started is tried again."""
		self.up()
		pid = self.world.droverd.pid
		limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
		used = max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
		with self.history.span("no descriptors"):
			resource.prlimit(pid, resource.RLIMIT_NOFILE, (self.rng.randrange(used - 2, used + 3), limits[1]))
			try:
				name, main = self.living()
				if main:
					with self.history.span("kill", name, key=(main.pid, main.start)), contextlib.suppress(ProcessLookupError):
						os.kill(main.pid, signal.SIGKILL)
				self.answers()
				time.sleep(self.rng.uniform(0, 0.2))  # how long there are none is what is drawn
			finally:
				with contextlib.suppress(ProcessLookupError):
					resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
		return main is not None

	def living(self):
		mains = ((name, self.world.tails[name].main()) for name in self.rng.sample(SERVICES, len(SERVICES)))
		return next(((name, main) for name, main in mains if main), ("", None))

	def answers(self):
		since = time.monotonic()
		code, _ = self.world.ask("status")
		took_s = time.monotonic() - since
		assert code == 0 and took_s < 1 + late_s(), f"status waited {took_s:.1f} s for a descriptor"


class AtServices(Dealer):
	faults = ("kill", "kill_member", "stop", "fork_session", "fork_daemon", "flood", "crash", "half_line", "probe_fails",
		"probe_hangs", "probe_fails_twice")
	consequences = ("go_on",)
	pause_s = 0.04

	def __init__(self, *args):
		super().__init__(*args)
		self.stopped = []  # [(when to go on, main)]

	def prepare(self, fault):
		self.go_on()

	def go_on(self, all_of_them=False):
		for item in list(self.stopped):
			when, main = item
			if (all_of_them or time.monotonic() >= when) and main.alive():
				if state_of(main.pid) == "T":
					self.counts["go_on"] += 1
				with contextlib.suppress(ProcessLookupError):
					os.kill(main.pid, signal.SIGCONT)
			elif main.alive():
				continue
			self.stopped.remove(item)

	def finish(self):
		self.go_on(all_of_them=True)

	def target(self, *names):
		name = self.rng.choice(names or SERVICES)
		return name, self.world.tails[name].main()

	def signal(self, what, number, name, victim):
		"""False when it was dead before."""
		if not victim:
			return False
		with self.history.span(what, name, key=(victim.pid, victim.start)), contextlib.suppress(ProcessLookupError):
			if start_of(victim.pid) == victim.start:
				os.kill(victim.pid, number)
				return True
		return False

	def order(self, what, *names):
		name, main = self.target(*names)
		return self.signal(what, ORDERS[what], name, main)

	def kill(self):
		return self.signal("kill", signal.SIGKILL, *self.target())

	def kill_member(self):
		name = self.rng.choice(["forking", *SERVICES])
		members = [r for r in self.world.tails[name].members() if r.what == "J"]
		return bool(members) and self.signal("kill member", signal.SIGKILL, name, self.rng.choice(members))

	def stop(self):
		name, main = self.target()
		if not self.signal("freeze", signal.SIGSTOP, name, main):
			return False
		self.stopped.append((time.monotonic() + self.rng.uniform(0.02, 0.2), main))
		return True

	def fork_session(self):
		return self.order("fork a session")

	def fork_daemon(self):
		return self.order("fork a daemon")

	def flood(self):
		return self.order("flood", "flooding", "obedient", "slow", "forking")

	def crash(self):
		return self.order("crash")

	def half_line(self):
		return self.order("half line")

	def probe_fails(self):
		return self.order("probe fails", "hanging")

	def probe_hangs(self):
		return self.order("probe hangs", "hanging")

	def probe_fails_twice(self):
		return self.order("probe fails twice", "hanging")


class Commander(Dealer):
	faults = ("command_start", "command_stop", "command_restart", "command_rotate", "command_status")
	pause_s = 0.03

	def __init__(self, *args):
		super().__init__(*args)
		self.violations = []

	def asked(self, verb, name=""):
		"""(exit code, answer); None when the supervisor went away over it."""
		client = self.world.control()
		if not client:
			return None
		try:
			return client.ask(verb, name)
		except (AssertionError, OSError) as error:
			# Who needs one that is asked and ill waits as long as that may become well.
			if isinstance(error, TimeoutError) and (verb == "stop" or "flooding" not in self.world.concerned(verb, name)):
				self.violations.append(f"{verb} {name} was never answered")
			return None
		finally:
			client.close()

	def command(self, verb):
		name = self.rng.choice(SERVICES)
		with self.world.command_lock:
			with self.history.span(verb, *self.world.concerned(verb, name), answer=None) as event:
				answer = self.asked(verb, name)
				event["answer"] = answer
			if answer and (answer[0] not in (0, 1) or not self.is_whole(answer[1].get("results", ()), name, event)):
				self.violations.append(f"{verb} {name}: {answer}")
			elif answer and verb == "stop":
				self.check_stopped([r["name"] for r in answer[1]["results"] if r["ok"]], event)
		return answer is not None

	@staticmethod
	def is_whole(results, name, event):
		"""One answer for each that it concerns, the one that was named among them."""
		names = [result["name"] for result in results]
		return name in names and len(names) == len(set(names)) and set(names) <= set(event["slots"])

	def check_stopped(self, names, event):
		for name in names:
			if left := self.world.tails[name].members():
				self.violations.append(f"S4: {name} was said to be stopped, and there are {left}")
		took_s = (event["to"] - event["from"]) / 1e6
		disturbed = self.history.between(event["from"], event["to"], "kill supervisor", "stop supervisor", "no descriptors",
			"upgrade")
		if took_s > STOP_PATIENCE_S * len(names) + late_s() and names and not disturbed:
			self.violations.append(f"S4: the stop of {names} took {took_s:.2f} s")

	def command_start(self):
		return self.command("start")

	def command_stop(self):
		return self.command("stop")

	def command_restart(self):
		return self.command("restart")

	def command_status(self):
		return self.asked("status") is not None

	def command_rotate(self):
		with self.world.command_lock, contextlib.suppress(ProcessLookupError):
			self.world.droverd.send_signal(signal.SIGUSR1)
			return True
		return False

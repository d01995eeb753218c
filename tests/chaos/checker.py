# SPDX-License-Identifier: MIT
"""
Proves the guarantees from what the services wrote down themselves and from what the harness did; the supervisor is
not asked. Each check gives a list of violations in words.
"""
import collections
import os
import pathlib
import re

from log_keeper import BOUND
from world import EXTRA, FAILURES, MIN_INTERVAL_MS, NEEDS, SERVICES, busy, state_of

GRACE_US = 2_500_000  # an effect may come this much later than the end of what brought it about
TICK_US = 10_000  # start times in /proc are in steps of 10 ms
LATE_US = 60_000  # from the supervisor's own stamp to its fork; more on a busy machine
LINE = re.compile(rb"line (\S+) (\d+) (a*|b*|c*|d*|e*|f*|g*|h*|i*|j*|k*|l*|m*|n*|o*|p*|q*|r*|s*|t*|u*|v*|w*|x*|y*|z*)")
MARK = re.compile(rb"\[drover: (?:line not ended|line cut|(\d+) bytes dropped: [^\]]*)\]")


def no_doubles(world):
	"""S1: each instance looked for members of all earlier ones before it did anything else."""
	path = world.folder / "double"
	return [f"S1: {line}" for line in path.read_text().splitlines()] if path.exists() else []


def failed_in_a_row(probes):
	"""The longest run of failed probes at the end of a life."""
	run = 0
	for record in probes:
		run = 0 if record.detail == "ok" else run + (record.detail in ("fail", "hang"))
	return run


def lives_of(tail):
	"""[(start record, the next start record or None, own records)]"""
	starts = tail.starts()
	own = collections.defaultdict(list)
	for record in tail.read():
		own[record.pid, record.start].append(record)
	return [(s, following, own[s.pid, s.start]) for s, following in zip(starts, [*starts[1:], None])]


def fork_us(start):
	return start.start * TICK_US


def own_causes(world, start, own):
	"""What ended this very instance, by its own books or by the hand of the harness."""
	found = [r for r in own if r.what == "X" and r.detail != "asked"]
	found += [e for e in world.history.events if e["what"] == "kill" and e.get("key") == (start.pid, start.start)]
	if failed_in_a_row([r for r in own if r.what == "P"]) >= FAILURES:
		found.append("probe")
	return found


def answered(event, name):
	"""True: it was carried out and this slot's part said to be well, so no effect comes later."""
	answer = event.get("answer")
	return bool(answer) and any(r["name"] == name and r["ok"] for r in answer[1].get("results", ()))


def orders_to_end(world, name, start, following):
	"""Commands and reloads that can have ended it."""
	return [e for e in world.history.between(fork_us(start), following.at, "stop", "restart", "good reload", slot=name,
		grace_us=GRACE_US) if not answered(e, name) or e["to"] >= fork_us(start)]


def match(lives, taken):
	"""Gives each life an order of its own (augmenting paths). @return those that remain without"""
	def give(life, seen):
		for order in lives[life]:
			if order in seen:
				continue
			seen.add(order)
			if order not in taken or give(taken[order], seen):
				taken[order] = life
				return True
		return False
	return [life for life in lives if not give(life, set())]


def every_end_has_a_cause(world):
	"""
	S2 (not two), S5 and S6: what nobody touched goes on with its pid, over reloads, crashes of the supervisor, dead
	drover-logs and all the rest. An instance that was followed by another was ended by something in the harness's or its
	own books, and each order ended one instance of a slot, not two.
	"""
	violations = []
	for name, tail in world.tails.items():
		unexplained, lives = {}, lives_of(tail)
		for i, (start, following, own) in enumerate(lives):
			if following and not own_causes(world, start, own):
				unexplained[i] = [id(e) for e in orders_to_end(world, name, start, following)]
		for i in match(unexplained, {}):
			start, following, own = lives[i]
			near = [e for e in world.history.events if e["to"] and start.at < e["to"] and e["from"] < following.at]
			violations.append(f"S2/S5/S6: {name} was started again without a cause: {start}, then {following}; its last "
				f"records {own[-5:]}; the harness dealt {near[-6:]}")
	return violations


def not_four(world):
	"""
	S2, S5: three failed probes in a row are the end, also when the supervisor was killed in between: strikes are kept, and
	each crash costs at most the one answer that was on its way. A supervisor that was stopped does not count what it missed.
	"""
	violations = []
	for start, _, own in lives_of(world.tails["hanging"]):
		run = []
		for probe in (r for r in own if r.what == "P" and r.detail != "unheard"):
			run = [*run, probe] if probe.detail != "ok" else []
			if len(run) <= FAILURES:
				continue
			# held: at most min_interval after the last automatic start
			held = run[0].at - start.at < 1000 * MIN_INTERVAL_MS * 3
			missed = len(world.history.between(run[0].at, run[-1].at, "kill supervisor", "stop supervisor", "no descriptors",
				"restart", "stop", "upgrade", grace_us=GRACE_US))
			if not held and len(run) > FAILURES + missed:
				violations.append(f"S2/S5: {len(run)} failed probes, {missed} disturbances and no restart: {run}")
	return violations


def end_us(world, start, following, own):
	"""When the supervisor may have known at the latest that it went down; infinite while it is up."""
	told = [r.at for r in own if r.what == "T"]
	grace_us = GRACE_US * busy()
	ends = [r.at + grace_us for r in own if r.what == "X"]
	ends += [e["to"] + grace_us for e in world.history.events if e["what"] == "kill" and
		e.get("key") == (start.pid, start.start) and e["to"]]
	return min([*told, *ends, *([fork_us(following)] if following else [])], default=float("inf"))


def needs_are_kept(world):
	"""depends_on: nothing starts before what it needs is ready, nor after that was told to end."""
	violations, starts = [], 0
	for name, other in NEEDS.items():
		lives = [(fork_us(s), end_us(world, s, f, own), own) for s, f, own in lives_of(world.tails[other])]
		for start in world.tails[name].starts():
			at = fork_us(start)
			there = [own for begin, end, own in lives if begin <= at + TICK_US and end >= at]
			if other == "hanging":
				there = [own for own in there if any(r.what == "P" and r.detail == "ok" and r.at <= at + TICK_US for r in own)]
			starts += 1
			if not there:
				violations.append(f"depends_on: {name} was started at {at} without {other}: {start}, "
					f"{[s for s in world.tails[other].starts() if fork_us(s) <= at][-1:]}")
	return violations if starts else ["depends_on: nothing was started"]


def stopped_in_reverse(world):
	"""After the end of everything: who needs another had left before that was told to."""
	violations = []
	for name, other in NEEDS.items():
		(_, _, own), (_, _, others) = lives_of(world.tails[name])[-1], lives_of(world.tails[other])[-1]
		left, told = [r.at for r in own if r.what == "X"], [r.at for r in others if r.what == "T"]
		# One that was killed at its timeout may have had no time to write.
		if left and told and left[0] > told[0]:
			violations.append(f"depends_on: {name} left at {left}, {other} was told to at {told}")
	return violations


def intervals_are_kept(world):
	"""S3: starts that nobody ordered are min_interval apart, also across crashes of the supervisor."""
	violations, shortest = [], None
	late_us = LATE_US * busy()
	ticks = os.sysconf("SC_CLK_TCK")
	for name, tail in world.tails.items():
		automatic = []
		for before, start in zip(tail.starts(), tail.starts()[1:]):
			if not world.history.between(before.at, start.at, "start", "restart", "good reload", slot=name, grace_us=GRACE_US):
				automatic.append(start)
		for one, two in zip(automatic, automatic[1:]):
			gap_us = (two.start - one.start) * 1_000_000 // ticks
			# Stopped between its stamp and its fork, the supervisor makes the gap look shorter than it was.
			if world.history.between(one.at - 2_000_000, one.at, "stop supervisor"):
				continue
			shortest = gap_us if shortest is None else min(shortest, gap_us)
			if gap_us < MIN_INTERVAL_MS * 1000 - TICK_US - late_us:
				violations.append(f"S3: {name} was started again after {gap_us / 1000:.0f} ms: {one}, then {two}")
	return violations


def stops_hold(world):
	"""S4, S5: after a stop was answered nothing starts until somebody says so, whatever happens to the supervisor."""
	violations = []
	for event in world.history.events:
		for name in event["slots"] if event["what"] == "stop" else ():
			if not answered(event, name):
				continue
			later = [e["from"] for e in world.history.events if e["what"] in ("start", "restart") and name in e["slots"] and
				e["from"] >= event["to"]]
			started = [r for r in world.tails[name].starts() if event["to"] < r.at < min(later, default=float("inf"))]
			# Executed before the stop, and slow to come to itself: then it is dead already.
			started = [r for r in started if fork_us(r) > event["to"]]
			violations += [f"S4/S5: {name} was stopped at {event['to']}, and there is {r}" for r in started]
	return violations


def surely_wanted(world):
	"""Services that the last command about them wants up, as was answered; where no answer came nothing is sure."""
	wanted = dict.fromkeys(SERVICES, True)
	for event in world.history.events:
		for name in event["slots"] if event["what"] in ("start", "stop", "restart") else ():
			wanted[name] = event["what"] != "stop" if answered(event, name) else None
	return [name for name, up in wanted.items() if up]


def the_supervisor_tells_the_truth(world):
	"""Of each service: that it runs, and its pid."""
	code, answer = world.ask("status")
	told = {p["name"]: p for p in answer["processes"]}
	violations = [] if answer["supervisor"]["containment"] == world.containment else [f"contained by {answer['supervisor']}"]
	for name in SERVICES:
		main = world.tails[name].main()
		if not main or told[name]["state"] != "running" or told[name]["pid"] != main.pid:
			violations.append(f"status says {told[name]} of {main}")
	return violations


def every_wanted_is_up_and_nothing_else(world, wanted):
	"""At the end: one main process for each service, its own members, droverd with its workers; nothing else."""
	violations, mine = [], set()
	for name in [*SERVICES, EXTRA]:
		tail = world.tails[name]
		main = tail.main()
		if (main is not None) != (name in wanted):
			violations.append(f"{name} should be {'up' if name in wanted else 'down'}, its last start is {tail.starts()[-1:]}")
		for member in tail.members():
			if not main or member.incarnation != main.incarnation:
				violations.append(f"S1: {name} has {member} beside {main}")
			mine.add(member.pid)
	actor = str(world.actor)
	for entry in pathlib.Path("/proc").iterdir():
		if not entry.name.isdigit() or int(entry.name) in mine:
			continue
		try:
			if os.readlink(entry / "exe") == actor and str(world.folder).encode() in (entry / "cmdline").read_bytes() and \
					state_of(entry.name) not in "ZX":
				violations.append(f"an actor that nobody knows: {entry.name}")
		except OSError:
			pass
	return violations


# -- L1, L2 --


def line_size(key, n):
	return len(f"line {key} {n} ") + n * 7919 % 300 + 1


def whole(line):
	"""(key, n) of a line as it was written, else None."""
	match = LINE.fullmatch(line)
	if not match:
		return None
	key, n = match[1].decode(), int(match[2])
	right = len(line) + 1 == line_size(key, n) and (not match[3] or match[3][0] == ord("a") + n % 26)
	return (key, n) if right else None


class LogCheck:
	"""One service's log against what its lives say that they wrote."""

	def __init__(self, world, name, text):
		self.name, self.text = name, text
		self.lives = {}
		for path in world.lives.glob(f"{name}.*.*"):
			data = path.read_bytes()
			self.lives[path.name] = (int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little"))
		self.seen = collections.defaultdict(list)  # {key: numbers in the order of the log}
		self.halves = collections.Counter()
		self.strange, self.dropped, self.drops, self.fragments = [], 0, 0, 0
		self.read()

	def read(self):
		for line in self.text.split(b"\n"):
			if whole(line):
				key, n = whole(line)
				self.seen[key].append(n)
			elif line:
				self.read_odd(line)

	def read_odd(self, line):
		mark = MARK.search(line)
		if mark and mark[1]:
			self.dropped += int(mark[1])
			self.drops += 1
			self.fragments += len(line) - (mark.end() - mark.start())
		elif mark and line.endswith(b" [drover: line not ended]"):
			rest = line[:-len(b" [drover: line not ended]")]
			half = re.fullmatch(rb"half (\S+)", rest)
			if half:
				self.halves[half[1].decode()] += 1
			self.fragments += len(rest)
		else:
			self.strange.append(line[:100])
			self.fragments += len(line) + 1

	def violations(self):
		found = []
		for key, numbers in self.seen.items():
			n, _ = self.lives.get(key, (0, 0))
			if numbers != sorted(set(numbers)):
				found.append(f"L1: lines of {key} twice or out of order: {disorder(numbers)}")
			if numbers[-1] > n + 1:
				found.append(f"L1: {key} wrote {n} lines, and there is one with number {numbers[-1]}")
		return found + (self.balance() if self.drops else self.exact())

	def exact(self):
		found = [f"L1: strange text in the log of {self.name}: {self.strange[:3]}"] if self.strange else []
		for key, (n, half) in self.lives.items():
			missing = sorted(set(range(1, n + 1)) - set(self.seen[key]))
			if missing:
				found.append(f"L1: {len(missing)} of {n} lines of {key} are lost: {missing[:5]}")
			if self.halves[key] > 1 or (half == 2 and self.halves[key] == 0) or (half == 0 and self.halves[key]):
				found.append(f"L1: half lines of {key}: {self.halves[key]}, wrote {half}")
		return found

	def balance(self):
		"""Bytes written = bytes in the log + bytes said to be dropped; a life that was killed may have written one line more."""
		least = sum(sum(line_size(key, i) for i in range(1, n + 1)) + (len(f"half {key}") if half == 2 else 0)
			for key, (n, half) in self.lives.items())
		most = least + sum(line_size(key, n + 1) + (len(f"half {key}") if half == 1 else 0) for key, (n, half) in self.lives.items())
		here = sum(line_size(key, n) for key, numbers in self.seen.items() for n in numbers) + self.fragments
		slack = 2 * self.drops + len(self.strange)  # a newline may be the writer's or drover's
		if not least - slack <= here + self.dropped <= most + slack:
			return [f"L1: {self.name} wrote {least} to {most} bytes, {here} are in the log and {self.dropped} were said to be "
				f"dropped in {self.drops} pieces"]
		return []


def disorder(numbers):
	at = next(i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1])
	return numbers[max(at - 2, 0):at + 3]


def logs_are_whole(world, texts, largest):
	violations, lines, dropped = [], 0, 0
	for name, text in texts.items():
		check = LogCheck(world, name, text)
		violations += check.violations()
		lines += sum(map(len, check.seen.values()))
		dropped += check.dropped
		if largest[name] > BOUND:
			violations.append(f"L2: the logs of {name} took {largest[name]} bytes, {BOUND} are allowed")
	return violations, lines, dropped

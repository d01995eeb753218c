# SPDX-License-Identifier: MIT
"""
D3 and the controller of the allowed concurrency, judged by what arrives at a server in a process of its own
(counting_server.py): no window ever holds more calls than its limit, whoever is killed; long windows are used; a request that
must not be received twice is not; a server that stands few calls at a time is not made to stand more.
`tests/run bench limits` prints the rows that RESULTS.md keeps.
"""
import bisect
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "integration"))
from harness import BUILD, Drover, become_subreaper, until  # noqa: E402

SECONDS = float(os.environ.get("DROVER_BENCH_SECONDS", "240"))
SETTINGS = {
	"http": {"listen": "127.0.0.1:0"},
	"supervisor": {"restart": {"min_interval": "0s", "jitter": "0s"}},
	"workers": {"collect": {"processes": 4, "concurrency": 48}, "crawl": {"processes": 1, "parsers": 1}},
}


class Counting:
	def __init__(self, folder, name="server"):
		self.path = folder / f"{name}.calls"
		self.process = subprocess.Popen(["/usr/bin/python3", TESTS / "bench/counting_server.py", self.path],
		                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

	def __enter__(self):
		return self

	def __exit__(self, *args):
		self.process.communicate(timeout=30)

	def knee(self, knee, kind):
		self.process.stdin.write(f"knee {knee} {kind}\n")
		self.process.stdin.flush()

	def calls(self):
		"""Those that have ended, in the order of their arrival."""
		lines = self.path.read_text().splitlines(keepends=True)
		return sorted((json.loads(line) for line in lines if line.endswith("\n")), key=lambda call: call["at"])


def fullest_window(times, seconds):
	"""Most calls in any window of so many seconds, half open."""
	return max(i + 1 - bisect.bisect_right(times, at - seconds) for i, at in enumerate(times))


def used(times, windows):
	"""Which share of the long windows was used while there was work. The call that a place is for next may come a period after
	the one before: what it came later is lost. A share of how long that took, so bursts and the log's ends do not matter."""
	best = late = 0
	for i, at in enumerate(times):
		opens = [(times[i - count] + seconds, seconds) for count, seconds in windows if seconds >= 60 and i >= count]
		if opens:
			best += max(opens)[1]
			late += at - max(opens)[0]
	return best / (best + late)


def windows_of(rates):
	return [(int(rate.split("/")[0]), int(rate.split("/")[1].rstrip("s"))) for rate in rates]


def house(folder, server, rates, concurrency):
	"""Fast and slow answers, and requests that must not be received twice, under the same limits."""
	jobs = {}
	for name, count, method, delay in (("fast", 700, "GET", 0.02), ("slow", 300, "GET", 1.2), ("post", 300, "POST", 0.4)):
		values = folder / f"{name}.csv"
		values.write_text("v\n" + "".join(f"{name}-{n}\n" for n in range(count)))
		request = {"provider": "p", "path": "/items", "method": method, "query": {"delay": str(delay)}}
		if method == "POST":
			request["body"] = {"json": '{"key": "{{v}}"}'}
		else:
			request["query"]["key"] = "{{v}}"
		jobs[name] = {"kind": "collect", "for_each": {"csv": str(values), "as": "v"}, "request": request, "records": "items",
		              "fields": {"id": "id"}, "retry": {"attempts": 100}, "store": {"table": name, "key": ["id"]}}
	provider = {"base_url": server.url, "private": True, "limits": {"rate": rates, "concurrency": concurrency},
	            "retry": {"backoff": {"initial": "50ms", "max": "500ms"}}}
	return json.dumps({**SETTINGS, "providers": {"p": provider}, "jobs": jobs})


def start_runs(drover, names):
	drover.wait_event("scheduler_ready")
	for name in names:
		code, answer = drover.ask("run", json.dumps({"job": name, "request_id": name}))
		assert code == 0, answer


def judge(calls, rates, what):
	windows, times = windows_of(rates), [call["at"] for call in calls]
	posts = collections.Counter(call["key"] for call in calls if call["method"] == "POST")
	taken, share = sorted(call["taken"] for call in calls), used(times, windows)
	fullest = [max(fullest_window(times, seconds), fullest_window(taken, seconds)) for _, seconds in windows]
	print(f"\n| {what} | {len(calls)} calls in {times[-1] - times[0]:.0f} s | " + ", ".join(
		f"{most} of {rate}" for most, rate in zip(fullest, rates)) + f" | {share:.1%} used | "
		f"{len(posts)} by POST, each key received {max(posts.values())} time at most |")
	for (count, seconds), most in zip(windows, fullest):
		assert most <= count, f"a window of {seconds} s held {most}"
	assert len(posts) >= 30 and max(posts.values()) == 1
	assert share >= 0.97


@contextlib.contextmanager
def running(folder, *names):
	"""A droverd, not started, and servers. They end before what is left over is looked for."""
	become_subreaper()
	drover = Drover(folder)
	with contextlib.ExitStack() as stack:
		servers = [stack.enter_context(Counting(folder, name)) for name in names]
		try:
			yield drover, servers
		finally:
			if drover.process and drover.process.poll() is None:
				drover.stop()
	assert not drover.end()


def test_windows_of_a_minute_are_used(tmp_path):
	rates = ["120/60s", "24/2s", "170/90s"]
	with running(tmp_path, "server") as (drover, (server,)):
		drover.start(house(tmp_path, server, rates, 16))
		start_runs(drover, ("fast", "slow", "post"))
		until(lambda: server.calls(), "a call")
		time.sleep(SECONDS * 0.8)  # what is measured
	judge(server.calls(), rates, "nobody is killed")


def kill_on_and_on(drover, seconds, rng):
	"""One worker after the other, and droverd now and then. How many of each."""
	kills, end = [0, 0], time.monotonic() + seconds
	next_droverd = time.monotonic() + 10
	while time.monotonic() < end:
		time.sleep(rng.uniform(0.5, 3))  # the instant of the kill is what is drawn
		if time.monotonic() >= next_droverd:
			drover.kill()
			drover.start()
			kills[1] += 1
			next_droverd = time.monotonic() + rng.uniform(10, 25)
			continue
		pids = [p["pid"] for p in drover.status()["processes"] if p["name"].startswith("collect") and p.get("pid")]
		with contextlib.suppress(ProcessLookupError):
			if pids:
				os.kill(rng.choice(pids), signal.SIGKILL)
				kills[0] += 1
	return kills


def test_no_window_is_overfull_whoever_is_killed(tmp_path):
	rates, seed = ["120/60s", "20/2s"], random.SystemRandom().randrange(1 << 32)
	with running(tmp_path, "server") as (drover, (server,)):
		drover.start(house(tmp_path, server, rates, 16))
		start_runs(drover, ("fast", "slow", "post"))
		workers, droverds = kill_on_and_on(drover, SECONDS, random.Random(seed))
	judge(server.calls(), rates, f"{workers} SIGKILLs of workers, {droverds} of droverd (seed {seed})")


KINDS = ["refuses", "patience", "drops", "slower"]


def eager(servers):
	"""A job for each server, with more work than it can stand."""
	providers = {kind: {"base_url": server.url, "private": True, "limits": {"adaptive": True, "concurrency": 20},
	                    "retry": {"attempts": 10, "backoff": {"initial": "200ms", "max": "2s"}}}
	             for kind, server in zip(KINDS, servers)}
	jobs = {kind: {"kind": "collect", "for_each": {"values": [str(n) for n in range(24)], "as": "v"},
	               "request": {"provider": kind, "path": "/items", "query": {"key": "{{v}}"}}, "records": "items", "fields": {"id": "id"},
	               "paginate": {"by": "page", "param": "page", "size": 1, "max_pages": 100000}, "retry": {"attempts": 100},
	               "store": {"table": kind, "key": ["id"]}} for kind in KINDS}
	workers = {**SETTINGS["workers"], "collect": {"processes": 4, "concurrency": 24 * len(KINDS)}}
	return json.dumps({**SETTINGS, "workers": workers, "providers": providers, "jobs": jobs})


def allowed(drover):
	done = subprocess.run([BUILD / "bin/drover", "status", "--json", "--socket", drover.runtime / "control.sock"],
	                      capture_output=True, text=True)
	return {limit["name"]: limit["allowed"] for limit in json.loads(done.stdout)["limits"]} if done.returncode == 0 else {}


def look(drover, seconds, seen):
	"""What is allowed meanwhile, as status has it: lists of numbers by provider."""
	end = time.monotonic() + seconds
	while time.monotonic() < end:
		for name, number in allowed(drover).items():
			seen[name].append(number)
		time.sleep(0.5)  # between two looks
	return seen


def in_hand(calls, begin, end):
	"""How many calls the server had at a time, on the mean."""
	return sum(max(0, min(c["end"], end) - max(c["at"], begin)) for c in calls) / (end - begin)


def test_the_allowed_concurrency_follows_the_knee_of_the_server(tmp_path):
	"""7 at a time, then 3. Within two of it in 60 s, and on the mean of the 20 s after them, by what status says and by what
	the server has in hand; at most 5% of all calls are errors."""
	found = {}
	with running(tmp_path, *KINDS) as (drover, servers):
		for kind, server in zip(KINDS, servers):
			server.knee(7, kind)
		drover.start(eager(servers))
		start_runs(drover, KINDS)
		for knee in (7, 3):
			for kind, server in zip(KINDS, servers):
				server.knee(knee, kind)
			time.sleep(60)  # what it is given
			begin, seen = time.monotonic(), look(drover, 20, collections.defaultdict(list))
			for kind, server in zip(KINDS, servers):
				calls = server.calls()
				found[kind, knee] = (seen[kind], in_hand(calls, begin, time.monotonic()), len(calls),
				                     sum(call["status"] != 200 for call in calls))
	for (kind, knee), (seen, hand, total, errors) in found.items():
		print(f"\n| {kind}, knee at {knee} | allowed {seen[0]} after 60 s, {statistics.mean(seen):.1f} in the 20 s after them "
		      f"({min(seen)} to {max(seen)}) | {hand:.1f} in the server's hand | {errors} errors of {total} calls so far, {errors / total:.1%} |")
	for (kind, knee), (seen, hand, total, errors) in found.items():
		assert abs(seen[0] - knee) <= 2 and abs(statistics.mean(seen) - knee) <= 2, (kind, knee)
		assert abs(hand - knee) <= 2.2, (kind, knee)
		assert errors <= 0.05 * total, (kind, knee)

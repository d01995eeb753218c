# SPDX-License-Identifier: MIT
"""
Ratios against a raw limit in the same run, interleaved, medians of several rounds: machines are noisy. Prints the
table that RESULTS.md keeps. A ratio far from what was measured fails: something became slower by a mechanism.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import Drover, become_subreaper, descendants, until  # noqa: E402
from website import Site  # noqa: E402

BIN = pathlib.Path(os.environ["DROVER_BUILD"]) / "bin"
ROUNDS = 5


def measure(program, what, *words):
	done = subprocess.run([BIN / program, what, *map(str, words)], capture_output=True, text=True, check=True)
	return json.loads(done.stdout)


def test_fetch_cpu_per_request_against_bare_libcurl(tmp_path):
	with Site(tmp_path) as site:
		url = f"{site.url}/api/iso_639-3?page=81"
		results = {"bare": [], "drover": []}
		for _ in range(ROUNDS):
			for what, found in results.items():
				found.append(measure("bench_fetch", what, url, 20000, 10)["cpu_us_per_request"])
	bare, ours = (statistics.median(results[w]) for w in ("bare", "drover"))
	print(f"\n| fetch, CPU us/request, c=10 | bare libcurl {bare:.1f} | drover {ours:.1f} | x{ours / bare:.2f} |")
	assert ours / bare <= 1.5


AT_REST = """
http: {listen: "127.0.0.1:0"}
providers:
  example:
    base_url: "https://api.example.org/v1"
    limits: {rate: [100/1m, 1000/1h], concurrency: 5, min_delay: 200ms}
jobs:
  items:
    kind: collect
    schedule: {cron: "0 3 1 1 *", timezone: Asia/Seoul}
    request: {provider: example, path: /items}
    paginate: {by: page, param: page, size_param: size, size: 100}
    records: items
    fields: {id: id, title: title, price: {path: price, type: real}}
    store: {table: items, key: [id]}
  docs:
    kind: crawl
    start: ["https://docs.example.org/"]
    extract: [{match: ".*", fields: {title: {xpath: "string(//h1)"}}}]
    store: {table: pages, key: [url]}
"""


def memory(pid):
	"""(RSS, PSS) in KiB"""
	lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
	sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
	return sizes["Rss"], sizes["Pss"]


def programs(pids):
	"""{name: [pid, ...]}"""
	found = {}
	for pid in pids:
		name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
		found.setdefault(name, []).append(pid)
	return found


@pytest.fixture
def run_dir():
	"""As /run is: in memory."""
	with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
		yield pathlib.Path(folder)


def test_memory_of_each_process_at_rest(tmp_path, run_dir):
	become_subreaper()
	drover = Drover(tmp_path)
	drover.runtime = run_dir
	try:
		drover.start(AT_REST)
		drover.wait_event("supervisor_ready")
		drover.rewind().wait_event("scheduler_ready")
		expected = {"droverd", "drover-log", "drover-scheduler", "drover-collect", "drover-crawl", "drover-parser",
			    "drover-monitor"}
		until(lambda: set(programs(descendants())) == expected, "all programs run")
		code, health = until(lambda: (lambda a: a if a[0] == 0 else None)(drover.ask("health", "{}")), "monitor answers")
		with urllib.request.urlopen(f"http://{health['health']['address']}/metrics") as page:
			assert b"drover_build_info" in page.read()
		found = programs(descendants())
		assert [len(found[name]) for name in ("drover-collect", "drover-parser")] == [2, 2]
		total = 0
		print()
		for name in sorted(found):
			sizes = [memory(pid) for pid in found[name]]
			total += sum(pss for _, pss in sizes)
			rss, pss = (statistics.mean(s[i] for s in sizes) / 1024 for i in (0, 1))
			print(f"| memory at rest, {name}{f' (each of {len(sizes)})' if len(sizes) > 1 else ''} |"
			      f" RSS {rss:.1f} MiB | PSS {pss:.1f} MiB | |")
			assert rss < 64, "a process at rest holds nothing of size"
		print(f"| memory at rest, all {sum(map(len, found.values()))} processes | | PSS {total / 1024:.1f} MiB | |")
	finally:
		assert not drover.end()

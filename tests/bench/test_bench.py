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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
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
	assert ours / bare < 2.0


def test_rows_per_second_against_bare_sqlite():
	results = {"bare": [], "drover": []}
	cpu = {"bare": [], "drover": []}
	for _ in range(ROUNDS):
		for what in results:
			with tempfile.TemporaryDirectory(dir=os.environ.get("DROVER_BENCH_DIR")) as folder:
				one = measure("bench_store", what, folder, 100000, 100)
				results[what].append(one["rows_per_s"])
				cpu[what].append(one["cpu_us_per_row"])
	bare, ours = (statistics.median(results[w]) for w in ("bare", "drover"))
	print(f"\n| store, rows/s, batches of 100 | bare SQLite {bare:,.0f} | drover {ours:,.0f} | x{ours / bare:.2f} |")
	bare_cpu, our_cpu = (statistics.median(cpu[w]) for w in ("bare", "drover"))
	print(f"| store, CPU us/row | bare SQLite {bare_cpu:.2f} | drover {our_cpu:.2f} | x{our_cpu / bare_cpu:.2f} |")
	assert ours / bare > 0.3

# SPDX-License-Identifier: MIT
"""
100,000 schedules on SQLite, and a longer storm over three schedulers than the integration test's, on both engines.
Prints the table that RESULTS.md keeps.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]
import postgres_server  # noqa: E402
import test_schedulers  # noqa: E402

BIN = pathlib.Path(os.environ["DROVER_BUILD"]) / "bin"
JOBS = 100000
STORM_SECONDS = 30


@pytest.mark.parametrize("every_s, ended", [(100, []), (50, []), (20, []), (20, ["ended"]), (10, []), (10, ["ended"])])
def test_a_hundred_thousand_schedules(every_s, ended):
	every_ms, seconds = every_s * 1000, min(20, every_s - 3)
	with tempfile.TemporaryDirectory(dir=os.environ.get("DROVER_BENCH_DIR")) as folder:
		done = subprocess.run([BIN / "bench_schedule", "measure", folder, str(JOBS), str(every_ms), str(seconds), *ended],
			stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
	found = json.loads(done.stdout)
	with tempfile.TemporaryDirectory(dir=os.environ.get("DROVER_BENCH_DIR")) as folder:
		bare = json.loads(subprocess.run([BIN / "bench_schedule", "bare", folder, "20000", "10"],
			stdout=subprocess.PIPE, text=True, check=True).stdout)
	ends = ", another process ends their runs" if ended else ""
	print(f"\n| 100,000 schedules, one each {every_s} s{ends} | {found['dues_per_s']:,} due/s |"
		f" {found['cpu_us_per_due']:.1f} us CPU, bare loop of 2 statements, 10 a commit: {bare['cpu_us_per_due']:.0f} |"
		f" late p50 {found['late_p50_ms']}, p99 {found['late_p99_ms']},"
		f" worst {found['late_max_ms']} ms |")
	assert found["dues_per_s"] > 0.8 * JOBS * 1000 / every_ms, "it does not keep up"


@pytest.fixture(autouse=True)
def program(monkeypatch):
	monkeypatch.setattr(test_schedulers, "PROGRAM", BIN / "bench_schedule")


def test_a_long_storm_on_sqlite(tmp_path):
	test_schedulers.on_sqlite(tmp_path, STORM_SECONDS)


def test_a_long_storm_on_postgresql(tmp_path):
	with postgres_server.Server() as server:
		def query(sql):
			done = subprocess.run([postgres_server.BIN + "/psql", server.url(), "-XAtc", sql],
				capture_output=True, text=True)
			if done.returncode:
				return [(0,)]  # no tables yet
			return [tuple(int(cell) if cell.lstrip("-").isdigit() else cell or None
				for cell in line.split("|")) for line in done.stdout.splitlines()]
		test_schedulers.storm(server.url(), tmp_path, query, STORM_SECONDS)

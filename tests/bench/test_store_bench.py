# SPDX-License-Identifier: MIT
"""
Rows a second into both stores, each batch with its checkpoint in one transaction, beside a bare loop in C of the same
statements and beside asyncpg: in turns in one run, medians; ratios are medians of each round's. CPU is the client's
process only. PostgreSQL is a server of the test's own, over a unix socket. "drover, 8 tasks" is a worker with eight tasks
under way, each of which has one batch at a time; the bare loops, asyncpg and plain "drover" write one batch after the other.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
import postgres_server  # noqa: E402

BIN = pathlib.Path(os.environ["DROVER_BUILD"]) / "bin"
ROUNDS = int(os.environ.get("DROVER_BENCH_ROUNDS", "5"))
# A second or two each: commits bound the small ones.
ROWS = {1: 400, 50: 10000, 100: 20000, 200: 20000, 1000: 30000}
TASKS = 8
MANY = f"drover, {TASKS} tasks"
# notes: what the replaced system's guide measured, records/s
PUBLISHED = {50: 2245, 100: 3686, 200: 2788}


def bench_store(what, url, batch, tasks=1):
    done = subprocess.run([BIN / "bench_store", what, url, str(ROWS[batch]), str(batch), str(tasks)], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def asyncpg(how, url, batch):
    done = subprocess.run(["/usr/bin/python3", TESTS / "bench/asyncpg_store.py", how, url, str(ROWS[batch]), str(batch)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rounds(runs, batches):
    """{(batch, name): [result of each round]}, all in turns."""
    found = {(batch, name): [] for batch in batches for name in runs}
    for _ in range(ROUNDS):
        for batch in batches:
            for name, run in runs.items():
                found[batch, name].append(run(batch))
    return found


def median(results, key):
    return statistics.median(r[key] for r in results)


def ratio(ours, theirs, key="rows_per_s"):
    return statistics.median(a[key] / b[key] for a, b in zip(ours, theirs))


def table(engine, found, names, batches):
    ratios = [("drover", n) for n in names if n not in ("drover", MANY)] + [(MANY, "bare")]
    print(f"\n| {engine}, rows/s | " + " | ".join(names) + " | " + " | ".join(f"{a} / {b}" for a, b in ratios)
          + " | CPU us/row: " + " | ".join(names) + " | published |")
    for batch in batches:
        cells = [f"{median(found[batch, n], 'rows_per_s'):,.0f}" for n in names]
        cells += [f"x{ratio(found[batch, a], found[batch, b]):.2f}" for a, b in ratios]
        cells += [f"{median(found[batch, n], 'cpu_us_per_row'):.2f}" for n in names]
        cells += [f"{PUBLISHED[batch]:,}" if batch in PUBLISHED else "-"]
        print(f"| batch {batch} | " + " | ".join(cells) + " |")


def judge(found, least):
    """What was asked, of a worker as it works; one batch at a time depends on how fast a thread wakes up."""
    for batch in ROWS:
        assert ratio(found[batch, MANY], found[batch, "bare"]) >= least, f"{MANY}, batches of {batch}"
    assert ratio(found[100, "drover"], found[100, "bare"]) > 0.3


def test_sqlite_beside_a_bare_loop():
    def on_a_file(what, tasks=1):
        def run(batch):
            with tempfile.TemporaryDirectory(dir=os.environ.get("DROVER_BENCH_DIR")) as folder:
                return bench_store(what, f"sqlite:{folder}/bench.db", batch, tasks)
        return run

    found = rounds({"drover": on_a_file("drover"), MANY: on_a_file("drover", TASKS), "bare": on_a_file("bare")}, ROWS)
    table("SQLite", found, ["drover", MANY, "bare"], ROWS)
    judge(found, 0.8)


@pytest.mark.skipif(not postgres_server.present(), reason="no PostgreSQL server (Debian: postgresql-15)")
def test_postgresql_beside_a_bare_loop_and_asyncpg():
    with postgres_server.Server(shared_buffers="256MB", max_wal_size="4GB") as server:
        url = server.url()
        found = rounds({"drover": lambda b: bench_store("drover", url, b),
                        MANY: lambda b: bench_store("drover", url, b, TASKS), "bare": lambda b: bench_store("bare", url, b),
                        "asyncpg": lambda b: asyncpg("executemany", url, b),
                        "asyncpg COPY": lambda b: asyncpg("copy", url, b)}, ROWS)
    table("PostgreSQL", found, ["drover", MANY, "bare", "asyncpg", "asyncpg COPY"], ROWS)
    judge(found, 0.9)
    for batch in (100, 1000):
        assert ratio(found[batch, "drover"], found[batch, "asyncpg"]) >= 1.4

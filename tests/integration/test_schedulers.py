# SPDX-License-Identifier: MIT
"""Three schedulers at once on one database, each a worker too, killed at random instants: the real ticker, chain and
queue (tests/bench/bench_schedule.c). Each due time has one row, each that fired one run, no two runs overlap that may
not, and each end of a run makes the job that follows it due once. `tests/run bench` does it for longer, on PostgreSQL too."""
import contextlib
import random
import signal
import sqlite3
import subprocess
import time

from harness import BUILD, until

PROGRAM = BUILD / "bin/chaos_schedulers"
JOBS, EVERY = 20, 200  # 4 of each policy: skip, queue, replace, allow, and after
SCHEDULERS = 3


class Storm:
    def __init__(self, url, folder, seed):
        self.url, self.folder, self.rng = url, folder, random.Random(seed)
        self.running, self.lives = [], 0

    def start(self):
        self.lives += 1
        log = open(self.folder / f"scheduler{self.lives}.log", "w")
        self.running.append(subprocess.Popen(
            [PROGRAM, "storm", self.url, self.folder, str(JOBS), str(EVERY), f"node/{self.lives}/s/1"],
            stdout=log, stderr=log))

    def kill_one(self):
        victim = self.running.pop(self.rng.randrange(len(self.running)))
        assert victim.poll() is None, (self.folder / f"scheduler{self.lives}.log").read_text()[-2000:]
        victim.send_signal(signal.SIGKILL)
        victim.wait()

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()


def check(query):
    """Everything that must hold whoever was killed when."""
    dues = query("SELECT job, due_at, outcome, run_id, reason FROM drover_due ORDER BY job, due_at")
    runs = {row[0]: row for row in query(
        "SELECT id, job, due_at, state, created_at, finished_at, exclusive, waiting FROM drover_run")}
    fired = [d for d in dues if d[2] == "fired"]
    assert len({d[3] for d in fired}) == len(fired), "a run stands for two due times"
    assert sorted((runs[d[3]][1], runs[d[3]][2]) for d in fired) == sorted((r[1], r[2]) for r in runs.values())
    assert len(runs) == len(fired), "a run without its due time"
    assert all(d[3] is None and d[4] for d in dues if d[2] != "fired")
    by_job = {}
    for d in dues:
        by_job.setdefault(d[0], []).append(d[1])
    for job, times in by_job.items():
        if job.startswith("e"):
            continue
        assert times == list(range(times[0], times[0] + len(times) * EVERY, EVERY)), f"{job}: a gap, or one too many"
    next_due = dict(query("SELECT name, next_due_at FROM drover_job"))
    for job, times in by_job.items():
        if not job.startswith("e"):
            # It may be written behind, never ahead.
            assert next_due[job] in times[1:] + [times[-1] + EVERY], f"{job}: its next due time comes after none of its rows"
    for key, column in (("exclusive", 6), ("waiting", 7)):
        open_ones = [r[column] for r in runs.values() if r[5] is None and r[column]]
        assert len(open_ones) == len(set(open_ones)), f"two open runs are {key}"
    # An end is told once; what was not told yet stands there.
    told = query("SELECT COUNT(*) FROM drover_run WHERE job LIKE 'a%' AND finished_at IS NOT NULL AND followed = 0")[0][0]
    pending = sum(1 for job, at in next_due.items() if job.startswith("e") and at is not None)
    rows = sum(len(times) for job, times in by_job.items() if job.startswith("e"))
    assert rows + pending == told, "an end was lost, or told twice"
    return {outcome: sum(d[2] == outcome for d in dues) for outcome in {d[2] for d in dues}} | {"followed": rows}


def storm(url, folder, query, seconds=3):
    seed = random.SystemRandom().randrange(10**6)
    world = Storm(url, folder, seed)
    print(f"seed {seed}")
    try:
        for _ in range(SCHEDULERS):
            world.start()
        until(lambda: query("SELECT COUNT(*) FROM drover_due")[0][0] > JOBS, "due times are decided")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(world.rng.uniform(0, 0.25))
            world.kill_one()
            world.start()
        ended = query("SELECT COUNT(*) FROM drover_run WHERE job LIKE 'e%'")[0][0]
        until(lambda: query("SELECT COUNT(*) FROM drover_run WHERE job LIKE 'e%'")[0][0] > ended, "it goes on")
    finally:
        world.end()
    found = check(query)
    print(f"{world.lives} lives: {found}")
    assert world.lives > SCHEDULERS + 3 and {"fired", "skipped", "coalesced"} <= set(found)
    assert found["fired"] > JOBS and found["followed"] > 3


def on_sqlite(folder, seconds=3):
    def query(sql):
        with contextlib.closing(sqlite3.connect(f"file:{folder}/storm.db?mode=ro", uri=True, timeout=10)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return [(0,)]  # no tables yet
    (folder / "storm.db").touch()
    storm("sqlite:storm.db", folder, query, seconds)


def test_three_schedulers_under_kills_account_for_each_due_time_once(tmp_path):
    on_sqlite(tmp_path)

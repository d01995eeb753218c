# SPDX-License-Identifier: MIT
"""What is claimed when, and how often: droverd, collect workers and the provider are real."""
import contextlib
import json
import sqlite3
import threading

from harness import until
from provider import Answer, Provider


def job(name, extra):
    return f"""
  {name}:
    kind: collect
    for_each: {{values: [1, 2, 3, 4, 5, 6], as: n}}
    request: {{provider: p, path: "/{name}/{{{{n}}}}"}}
    records: items
    fields: {{id: id}}
    store: {{table: rows_of_{name}, key: [id]}}
    {extra}"""


def yaml(url, *jobs):
    return f"""
http: {{listen: "127.0.0.1:0"}}
workers: {{collect: {{processes: 2, concurrency: 3}}}}
providers:
  p: {{base_url: "{url}", private: true, retry: {{attempts: 1}}}}
jobs:{"".join(jobs)}
"""


def one(drover, sql):
    path = drover.state / "drover.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(sql).fetchone()


def begin(drover, name):
    return drover.ask("run", json.dumps({"job": name, "request_id": name}))[1]["run"]["id"]


def ended(drover, run):
    def find():
        (found,) = drover.ask("runs", json.dumps({"id": run}))[1]["runs"]
        return found if found["finished_at"] else None
    return until(find)


def test_bounds_of_job_and_kind_hold_over_processes_and_the_job_says_how_it_is_tried_again(drover):
    gate = threading.Event()
    with Provider() as provider:
        for n in range(1, 7):
            for name in "ab":
                provider.route(f"/{name}/{n}", Answer(body={"items": [{"id": n}]}, wait=gate))
            provider.route(f"/c/{n}", lambda call: Answer(500) if call.n < 2 else Answer(body={"items": [{"id": 1}]}))
        try:
            drover.start(yaml(provider.url, job("a", "concurrency: 2"), job("b", "priority: high"),
                job("c", "priority: low\n    retry: {attempts: 3, backoff: {initial: 60ms, factor: 3, jitter: false}}")))
            drover.wait_event("scheduler_ready")
            a = begin(drover, "a")
            until(lambda: provider.active == 2, "job a has what it may have")
            b = begin(drover, "b")
            until(lambda: provider.active == 3, "the kind has what it may have")
            assert one(drover, "SELECT COUNT(*) FROM drover_task WHERE job = 'a' AND state = 1") == (2,)
            assert one(drover, "SELECT COUNT(DISTINCT owner), COUNT(*) FROM drover_task WHERE state = 1") == (2, 3)
            assert one(drover, "SELECT MIN(priority), MAX(priority) FROM drover_task WHERE job = 'b'") == (0, 0)
        finally:
            gate.set()
        assert (ended(drover, a)["state"], ended(drover, b)["state"]) == ("succeeded", "succeeded")
        assert provider.most_active == 3
        c = begin(drover, "c")
        assert drover.wait_event("task_retried", job="c", attempt=1)["wait_ms"] == 60
        assert drover.wait_event("task_retried", job="c", attempt=2)["wait_ms"] == 180
        assert ended(drover, c)["tasks"] == {"total": 6, "done": 6, "failed": 0, "dead": 0, "cancelled": 0}
        assert one(drover, "SELECT COUNT(*) FROM drover_task_history"
            f" WHERE run_id = {c} AND outcome = 'done' AND started >= created_at AND ended >= started") == (6,)


def test_what_is_older_than_store_history_leaves_and_the_last_run_of_a_job_stays(drover):
    day = 86400000
    with Provider() as provider:
        provider.route("/a/1", Answer(body={"items": [{"id": 1}]}))
        text = yaml(provider.url, job("a", ""))
        drover.start(text)
        drover.wait_event("scheduler_ready")
        ended(drover, begin(drover, "a"))
        with contextlib.closing(sqlite3.connect(drover.state / "drover.db", isolation_level=None, timeout=10)) as db:
            now = db.execute("SELECT finished_at FROM drover_run").fetchone()[0]
            for n in range(300):
                db.execute("INSERT INTO drover_run (id, job, trigger, token, created_at, finished_at, state)"
                    " VALUES (?, ?, 'manual', ?, 1, ?, 'succeeded')", (100 + n, "b" if n % 2 else "c", f"t{n}", now - 2 * day))
                db.execute("INSERT INTO drover_due VALUES ('b', ?, 'skipped', 'overlap', NULL, ?)", (n, now - 2 * day))
        # 30 days until now: the reload makes it one, and that is acted upon at once.
        drover.write("store: {history: 1d}\n" + text)
        drover.ask("reload")
        told = drover.wait_event("history_pruned")
        assert (told["count"], told["rows"]) == (298, 300)
        assert one(drover, "SELECT COUNT(*), MIN(id), MAX(id) FROM drover_run") == (3, 1, 399)
        assert one(drover, "SELECT COUNT(*) FROM drover_task_history") == (6,)

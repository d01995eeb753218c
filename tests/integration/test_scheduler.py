# SPDX-License-Identifier: MIT
"""The scheduler as it is seen from outside: its rows in the database, its answers, its log. Everything else is real
too: droverd, collect workers, a provider on loopback."""
import contextlib
import datetime
import itertools
import json
import os
import random
import signal
import sqlite3
import threading
import time

import pytest
from harness import alive, until
from provider import Answer, Provider

OK = Answer(body={"items": [{"id": "1"}]})
LEASE = 30  # seconds; what is freed sooner was freed because somebody said so


@pytest.fixture
def provider():
    with Provider() as p:
        p.route("/ok", OK)
        yield p


class House:
    def __init__(self, drover, provider):
        self.drover, self.provider = drover, provider
        self.requests = 0

    def yaml(self, *jobs, store="sqlite:drover.db"):
        """jobs: (name, path, further lines of the flow mapping)"""
        lines = "".join(
            f"  {name}: {{kind: collect, request: {{provider: p, path: {path}}}, records: items, fields: {{id: id}},"
            f" store: {{table: t, key: [id]}}{rest}}}\n" for name, path, rest in jobs)
        return f"""
supervisor: {{restart: {{min_interval: 0s, jitter: 0s}}}}
http: {{listen: "127.0.0.1:0"}}
store: {{url: "{store}"}}
workers: {{collect: {{processes: 2, concurrency: 2}}}}
providers:
  p: {{base_url: "{self.provider.url}", private: true, retry: {{attempts: 1, backoff: {{initial: 50ms, max: 100ms}}}}}}
jobs:
{lines or '  {}'}"""

    def start(self, *jobs, **options):
        self.drover.start(self.yaml(*jobs, **options))
        self.drover.wait_event("scheduler_ready")
        return self

    def reload(self, *jobs):
        self.drover.write(self.yaml(*jobs))
        code, answer = self.drover.ask("reload")
        assert code == 0 and answer["ok"], answer

    @property
    def database(self):
        return self.drover.state / "drover.db"

    def query(self, sql, *args):
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(sql, args).fetchall()

    def dues(self, job="tick"):
        """[(due_at, outcome, reason, run_id)] in order"""
        return self.query("SELECT due_at, outcome, reason, run_id FROM drover_due WHERE job = ? ORDER BY due_at", job)

    def ask(self, verb, **args):
        return self.drover.ask(verb, json.dumps(args))

    def run(self, job):
        self.requests += 1
        code, answer = self.ask("run", job=job, request_id=f"test-{self.requests}")
        assert code == 0, answer
        return answer["run"]["id"]

    def ended(self, run, patience=20):
        def look():
            code, answer = self.ask("runs", id=run)
            assert code == 0 or answer.get("away"), answer
            return next((r for r in answer.get("runs", []) if r["finished_at"]), None)
        return until(look, f"run {run} ends", patience)

    def scheduler(self):
        return until(lambda: self.drover.slot("scheduler")["pid"], "scheduler has a pid")

    def kill_scheduler(self):
        os.kill(self.scheduler(), signal.SIGKILL)


@pytest.fixture
def house(drover, provider):
    return House(drover, provider)


def each_due_time_once(rows, every_ms):
    """No gap, nothing between; each fired one has a run of its own."""
    times = [r[0] for r in rows]
    assert times == list(range(times[0], times[0] + len(times) * every_ms, every_ms))
    runs = [r[3] for r in rows if r[1] == "fired"]
    assert None not in runs and len(set(runs)) == len(runs)
    assert {r[1] for r in rows} <= {"fired", "coalesced", "skipped"}
    assert all(r[3] is None for r in rows if r[1] != "fired")
    assert all(r[2] for r in rows if r[1] != "fired"), "each has its reason"


def test_each_due_time_is_accounted_for_once_across_kills_of_the_scheduler(house):
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    print(f"seed {seed}")
    house.start(("tick", "/ok", ", schedule: {every: 100ms}"))
    for _ in range(25):
        before = len(house.dues())
        # Not in step with the due times: between any two statements of a decision.
        until(lambda: len(house.dues()) > before, "a due time was decided")
        time.sleep(rng.uniform(0, 0.11))
        house.kill_scheduler()
    before = len(house.dues())
    until(lambda: len(house.dues()) > before + 5, "it goes on")
    os.kill(house.scheduler(), signal.SIGSTOP)
    rows = house.dues()
    each_due_time_once(rows, 100)
    runs = house.query("SELECT due_at FROM drover_run WHERE trigger = 'schedule' ORDER BY due_at")
    assert [r[0] for r in runs] == [r[0] for r in rows if r[1] == "fired"]
    assert len(runs) > 25
    os.kill(house.scheduler(), signal.SIGCONT)


def test_a_due_time_while_the_run_is_not_finished_is_skipped(house, provider):
    go = threading.Event()
    provider.route("/slow", lambda call: Answer(body={"items": []}, wait=go))
    house.start(("tick", "/slow", ", schedule: {every: 100ms}"))
    until(lambda: len(house.dues()) >= 5, "five due times")
    # A start that took longer than 100 ms found several.
    rows = list(itertools.dropwhile(lambda r: r[1] == "coalesced", house.dues()))
    assert [r[1] for r in rows] == ["fired"] + ["skipped"] * (len(rows) - 1)
    assert {r[2] for r in rows[1:]} == {"overlap"}
    go.set()
    until(lambda: sum(r[1] == "fired" for r in house.dues()) >= 3, "it fires again")
    each_due_time_once(house.dues(), 100)


def rfc3339(seconds_from_now):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_at_fires_once_and_what_is_too_long_ago_is_missed(house):
    when = rfc3339(1.5)
    house.start(("soon", "/ok", f", schedule: {{at: \"{when}\"}}"),
                ("lately", "/ok", f", schedule: {{at: \"{rfc3339(-3600)}\"}}"),
                ("long-ago", "/ok", f", schedule: {{at: \"{rfc3339(-2 * 86400)}\"}}"))
    house.drover.wait_event("due_decided", job="soon")
    house.kill_scheduler()
    house.drover.wait_event("scheduler_ready")
    until(lambda: house.dues("long-ago"), "all are decided")
    (soon,) = house.dues("soon")
    assert soon[1] == "fired"
    assert soon[0] == round(datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp() * 1000)
    assert [r[1] for r in house.dues("lately")] == ["fired"]
    assert [r[1] for r in house.dues("long-ago")] == ["missed"]
    assert house.query("SELECT COUNT(*) FROM drover_run") == [(2,)]
    jobs = {j["name"]: j for j in house.ask("jobs")[1]["jobs"]}
    assert all(j["next_due_at"] is None for j in jobs.values())


def test_a_reload_changes_schedules_live(house):
    house.start(("tick", "/ok", ", schedule: {every: 1h}"), ("same", "/ok", ", schedule: {every: 1h}"))
    house.drover.wait_event("due_decided", job="same")
    house.ended(1)
    house.ended(2)
    pid = house.scheduler()
    (same,) = house.query("SELECT next_due_at FROM drover_job WHERE name = 'same'")
    (first,) = house.dues()
    house.reload(("tick", "/ok", ", schedule: {every: 100ms}"), ("same", "/ok", ", schedule: {every: 1h}"))
    until(lambda: len(house.dues()) > 4, "the new schedule is in force")
    each_due_time_once(house.dues()[1:], 100)
    assert house.dues()[0] == first
    assert house.query("SELECT next_due_at FROM drover_job WHERE name = 'same'") == [same]
    house.reload(("same", "/ok", ", schedule: {every: 1h}"))
    until(lambda: house.query("SELECT name FROM drover_job") == [("same",)], "the job is forgotten")
    dues = house.dues()
    house.reload(("same", "/ok", ", schedule: {every: 1h}"), ("new", "/ok", ", schedule: {every: 100ms}"))
    until(lambda: len(house.dues("new")) > 4, "another job's due times pass")
    assert house.dues() == dues
    assert house.scheduler() == pid


def test_a_broken_reload_changes_no_schedule(house):
    house.start(("tick", "/ok", ", schedule: {every: 100ms}"))
    until(lambda: house.dues(), "it runs")
    house.drover.write(house.yaml(("tick", "/ok", ", schedule: {every: 100}")))
    code, answer = house.drover.ask("reload")
    assert code != 0 and "unit" in answer["errors"]
    before = len(house.dues())
    until(lambda: len(house.dues()) > before + 3, "it goes on")
    each_due_time_once(house.dues(), 100)


def test_one_request_id_is_one_run(house):
    house.start(("tick", "/ok", ""))
    code, first = house.ask("run", job="tick", request_id="a")
    assert code == 0
    house.kill_scheduler()
    house.drover.wait_event("scheduler_ready")
    assert house.ask("run", job="tick", request_id="a")[1]["run"]["id"] == first["run"]["id"]
    assert house.ask("run", job="tick", request_id="b")[1]["run"]["id"] != first["run"]["id"]
    run = house.ended(first["run"]["id"])
    assert (run["state"], run["trigger"], run["rows"], run["tasks"]["done"]) == ("succeeded", "manual", 1, 1)
    assert house.query("SELECT COUNT(*) FROM drover_run") == [(2,)]


def test_a_run_asked_while_the_scheduler_dies_is_made_once(house):
    """The client asks again with the same id until it has an answer, as `drover run --wait` does."""
    house.start(("tick", "/ok", ""))
    for n in range(10):
        killer = threading.Timer(random.uniform(0, 0.01), house.kill_scheduler)
        killer.start()
        code, answer = until(lambda: (lambda a: a if a[0] == 0 or not a[1].get("away") else None)(
            house.ask("run", job="tick", request_id=f"n{n}")), "an answer")
        assert code == 0, answer
        killer.join()
    assert house.query("SELECT request_id FROM drover_run ORDER BY id") == [(f"n{n}",) for n in range(10)]
    # A request that came again may have used up an id.
    house.ended(house.query("SELECT max(id) FROM drover_run")[0][0])


def test_dead_letters_are_listed_retried_and_dropped(house, provider):
    provider.route("/gone", Answer(404))
    house.start(("tick", "/gone", ""))
    run = house.ended(house.run("tick"))
    assert (run["state"], run["tasks"]["failed"] + run["tasks"]["dead"]) == ("failed", 1)
    code, answer = house.ask("dead")
    (letter,) = answer["dead"]
    assert code == 0 and letter["job"] == "tick" and "404" in letter["error"]
    assert house.ask("queue")[1]["queue"]["dead"] == 1
    assert house.ask("dead.show", id=letter["id"])[1]["dead"][0]["run"] == run["id"]

    provider.route("/gone", OK)
    assert house.ask("dead.retry", id=letter["id"])[0] == 0
    until(lambda: (lambda r: r["state"] == "succeeded")(house.ask("runs", id=run["id"])[1]["runs"][0]), "it succeeds")
    assert house.ask("dead")[1]["dead"] == []
    assert house.ask("dead.retry", id=letter["id"])[0] == 4

    provider.route("/gone", Answer(404))
    house.ended(house.run("tick"))
    (letter,) = house.ask("dead")[1]["dead"]
    assert house.ask("dead.drop", id=letter["id"])[0] == 0
    assert house.ask("dead")[1]["dead"] == []
    assert house.ask("queue")[1]["queue"] == {"ready": 0, "claimed": 0, "delayed": 0, "dead": 0}


def test_without_a_scheduler_the_answers_say_so(house):
    house.start(("tick", "/ok", ""))
    house.drover.ask("stop", "scheduler")
    for verb, args in ("jobs", {}), ("queue", {}), ("run", {"job": "tick", "request_id": "x"}), ("dead", {}):
        code, answer = house.ask(verb, **args)
        assert (code, answer["away"]) == (1, True), answer
        assert "scheduler" in answer["error"]
    house.drover.ask("start", "scheduler")
    until(lambda: house.ask("jobs")[0] == 0, "it answers again")
    assert house.query("SELECT COUNT(*) FROM drover_run") == [(0,)]


def test_a_hung_scheduler_leaves_no_client_waiting_after_its_end(house):
    house.start(("tick", "/ok", ""))
    pid = house.scheduler()
    os.kill(pid, signal.SIGSTOP)
    client = house.drover.control()
    client.send("jobs", "{}")
    os.kill(pid, signal.SIGKILL)
    code, answer = client.receive()
    client.close()
    assert (code, answer["away"]) == (1, True)


def test_tasks_of_a_killed_worker_are_free_at_once_whoever_else_dies(house, provider):
    """Also when the scheduler that should free them is killed before, and after."""
    stuck = threading.Event()
    provider.route("/slow", lambda call: Answer(body={"items": [{"id": "1"}]}, wait=None if call.n % 2 else stuck))
    house.start(("tick", "/slow", ", retry: {attempts: 9}"))
    for order in ("worker", "scheduler first", "worker first"):
        calls = provider.count("/slow")
        assert calls % 2 == 0
        began = time.monotonic()
        run = house.run("tick")
        until(lambda: provider.count("/slow") > calls, "the task is held")
        ((owner,),) = house.query("SELECT owner FROM drover_task WHERE state = 1")
        slot = owner.split("/")[2]
        if order == "scheduler first":
            house.kill_scheduler()
        os.kill(house.drover.slot(slot)["pid"], signal.SIGKILL)
        if order == "worker first":
            house.kill_scheduler()
        assert house.ended(run)["state"] == "succeeded", order
        assert time.monotonic() - began < LEASE / 2
        house.drover.wait_event("owner_freed", owner=owner)
    stuck.set()


def test_the_execution_time_of_each_run_is_told_once(house, provider):
    answers = threading.Event()
    provider.route("/slow", Answer(body=OK.body, wait=answers))
    house.start(("tick", "/ok", ""), ("no", "/absent", ""), ("slow", "/slow", ""))
    slow = house.run("slow")
    until(lambda: provider.count("/slow") == 1, "its task is held")
    states = {house.run("tick"): "succeeded", house.run("no"): "failed"}
    for run, state in states.items():
        assert house.ended(run)["state"] == state
    house.kill_scheduler()
    time.sleep(0.3)  # the least that the record must tell
    answers.set()
    assert house.ended(slow)["state"] == "succeeded"
    states[slow] = "succeeded"

    def told():
        return house.drover.records("drover_performance", "execution_time_measured")

    until(lambda: len(told()) >= 3, "all are told")
    last = house.run("tick")  # behind it nothing of the others is on its way
    house.ended(last)
    until(lambda: any(r["run"] == last for r in told()), "the last is told")
    records = {r["run"]: r for r in told()}
    assert len(told()) == len(records) == 4
    assert {run: records[run]["state"] for run in states} == states
    assert records[slow]["job"] == "slow" and records[slow]["level"] == "info"
    ((began, ended),) = house.query("SELECT started_at, finished_at FROM drover_run WHERE id = ?", slow)
    assert records[slow]["execution_time_ms"] == ended - began >= 300
    assert (records[slow]["tasks"], records[slow]["tasks_failed"]) == (1, 0)
    (no,) = [r for r in told() if r["job"] == "no"]
    assert (no["tasks"], no["tasks_failed"]) == (1, 1)


def test_a_database_that_was_removed_is_made_again(house):
    house.start(("tick", "/ok", ", schedule: {every: 100ms}"))
    until(lambda: house.dues(), "it runs")
    pid = house.scheduler()
    for suffix in "", "-wal", "-shm":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{house.database}{suffix}")
    house.drover.wait_event("store_unavailable", process="scheduler")
    house.drover.wait_event("scheduler_ready")
    until(lambda: house.database.exists() and len(house.dues()) > 3, "it begins anew")
    each_due_time_once(house.dues(), 100)
    assert house.scheduler() == pid
    house.ended(house.run("tick"))


def test_a_locked_database_is_waited_for(house):
    house.start(("tick", "/ok", ", schedule: {every: 100ms}"))
    until(lambda: house.dues(), "it runs")
    pid = house.scheduler()
    with contextlib.closing(sqlite3.connect(house.database, isolation_level=None, timeout=10)) as db:
        db.execute("BEGIN IMMEDIATE")
        before = len(house.dues())
        end = time.monotonic() + 6  # longer than a stranger's lock is waited for
        until(lambda: time.monotonic() > end, "the time is over")
        assert house.ask("next", job="tick")[0] == 0
        assert len(house.dues()) <= before + 1
    until(lambda: len(house.dues()) > before + 45, "it catches up")
    assert house.ask("jobs")[0] == 0
    each_due_time_once(house.dues(), 100)
    assert house.scheduler() == pid


def test_a_database_without_its_folder_is_waited_for(house):
    drover = house.drover
    drover.start(house.yaml(("tick", "/ok", ", schedule: {every: 100ms}"), store="sqlite:disk/drover.db"))
    drover.wait_event("store_unavailable", process="scheduler")
    code, answer = house.ask("jobs")
    assert (code, answer["away"]) == (1, True)
    assert "disk/drover.db" in answer["error"]
    assert len(house.ask("next", job="tick")[1]["times"]) == 5
    pid = house.scheduler()
    (drover.state / "disk").mkdir()
    drover.wait_event("scheduler_ready")
    until(lambda: house.ask("runs", limit=1)[1].get("runs"), "a run")
    assert house.scheduler() == pid


def test_a_newer_database_is_left_alone_and_told(house):
    house.start(("tick", "/ok", ", schedule: {every: 100ms}"))
    until(lambda: house.dues(), "it runs")
    with contextlib.closing(sqlite3.connect(house.database, isolation_level=None, timeout=10)) as db:
        (version,) = db.execute("SELECT value FROM drover_meta WHERE key = 'schema_version'").fetchone()
        db.execute("UPDATE drover_meta SET value = '99' WHERE key = 'schema_version'")
        house.kill_scheduler()
        house.drover.wait_event("store_unavailable", process="scheduler")
        code, answer = until(lambda: (lambda a: a if "newer" in a[1].get("error", "") else None)(house.ask("jobs")),
                             "the reason is told")
        assert code == 1
        pid = house.scheduler()
        before = house.dues()
        db.execute("UPDATE drover_meta SET value = ? WHERE key = 'schema_version'", (version,))
    house.drover.wait_event("scheduler_ready")
    until(lambda: len(house.dues()) > len(before), "it goes on")
    assert house.scheduler() == pid and alive(pid)
    each_due_time_once(house.dues(), 100)


def test_start_urls_and_links_back_to_them_are_one_page(house, provider):
    page = '<html><body><h1>x</h1><a href="/b/../a#top">again</a><a href="">self</a></body></html>'
    provider.route("/a", Answer(body=page, headers={"Content-Type": "text/html"}))
    port = provider.url.rsplit(":", 1)[1]
    house.drover.start(house.yaml().replace("jobs:\n  {}", f"""jobs:
  site:
    kind: crawl
    start: ["HTTP://127.0.0.1:{port}/x/../%61"]
    follow: {{private: true}}
    robots: ignore
    politeness: {{delay: 0s}}
    extract: [{{match: ".*", fields: {{title: {{xpath: "string(//h1)"}}}}}}]
    store: {{table: pages, key: [url]}}
"""))
    house.drover.wait_event("scheduler_ready")
    run = house.ended(house.run("site"))
    assert run["state"] == "succeeded", run
    assert house.query("SELECT url FROM drover_url") == [(f"{provider.url}/a",)]
    assert house.query("SELECT url FROM pages") == [(f"{provider.url}/a",)]
    assert provider.count("/a") == 1

# SPDX-License-Identifier: MIT
"""The collect worker's code against a provider that misbehaves, by collect_alone: no supervisor, no scheduler. What the
database holds is compared with what the provider served, field by field, by Python's json and sqlite3."""
import contextlib
import dataclasses
import ipaddress
import json
import os
import pathlib
import random
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
from harness import BUILD, until
from provider import Answer, Provider, pages
from website import Site

BIN = BUILD / "bin"
FIELDS = "{id: id, title: title, n: {path: n, type: integer}, lat: {path: pos.lat, type: real}}"


class House:
    def __init__(self, tmp, provider):
        self.state = tmp / "state"
        self.state.mkdir()
        self.file = tmp / "drover.yaml"
        self.provider = provider
        self.job = "a"
        self.children = []

    def configure(self, job="", provider="", fields=FIELDS, concurrency=8, processes=1, store="", path="/items",
                  retry="{backoff: {initial: 50ms, max: 200ms}}"):
        """job, provider: further lines of the flow mappings."""
        self.file.write_text(
            f"""
supervisor: {{state_dir: {self.state}}}
workers: {{collect: {{processes: {processes}, concurrency: {concurrency}}}}}
providers:
  p: {{base_url: "{self.provider.url}", private: true, retry: {retry} {provider}}}
jobs:
  a: {{kind: collect, request: {{provider: p, path: {path}}}, records: items, fields: {fields},
      store: {{table: things, key: [id] {store}}} {job}}}
"""
        )

    def start(self, *args, epoch=None):
        env = dict(os.environ)
        if epoch:
            env["ALONE_EPOCH"] = epoch
        child = subprocess.Popen(
            [BIN / "collect_alone", self.state, self.file, *args], env=env, stderr=subprocess.PIPE, text=True
        )
        self.children.append(child)
        return child

    def run(self, code=0, timeout=60):
        child = self.start(self.job)
        _, err = child.communicate(timeout=timeout)
        assert child.returncode == code, err
        return err

    def leave(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stderr:
                child.stderr.close()

    def query(self, sql, *args):
        with contextlib.closing(sqlite3.connect(f"file:{self.state}/drover.db?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(sql, args).fetchall()

    def rows(self, columns="*", table="things"):
        return self.query(f"SELECT {columns} FROM {table} ORDER BY 1")

    def stored(self):
        """Rows there are now, while somebody writes."""
        try:
            return self.query("SELECT COUNT(*) FROM things")[0][0]
        except sqlite3.OperationalError:
            return 0

    def the_run(self):
        names = "state, tasks_done, tasks_failed, tasks_dead, requests, rows, rejected, bytes, errors"
        (row,) = self.query(f"SELECT {names} FROM drover_run")
        return dict(zip(names.split(", "), row[:-1]), errors=json.loads(row[-1] or "[]"))

    def dead(self):
        return self.query("SELECT error FROM drover_dead")


@pytest.fixture
def provider():
    with Provider() as p:
        yield p


@pytest.fixture
def house(tmp_path, provider):
    h = House(tmp_path, provider)
    yield h
    h.leave()


def things(count):
    rng = random.Random(count)
    return [
        {"id": f"t{i:05}", "title": f"Thing é {i} \u2028\"\\", "n": i * 10**13, "pos": {"lat": rng.uniform(-90, 90)}}
        for i in range(count)
    ]


def expected(records):
    return [(r["id"], r["title"], r["n"], r["pos"]["lat"]) for r in records]


PAGED = ", paginate: {by: page, param: page, size: 100}"


def test_every_field_of_every_page_is_stored(house, provider):
    records = things(1234)
    provider.route("/items", pages(records))
    house.configure(job=PAGED)
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    run = house.the_run()
    assert run["state"] == "succeeded" and run["errors"] == []
    assert (run["tasks_done"], run["requests"], run["rows"], run["rejected"]) == (1, 13, 1234, 0)
    assert [c.query["page"] for c in provider.calls] == [str(n) for n in range(1, 14)]
    assert provider.calls[0].headers["User-Agent"].startswith("drover/")


def test_a_task_whose_ending_the_store_refuses_does_not_keep_its_run_open(house, provider):
    provider.route("/items", pages(things(3)))
    house.configure()
    house.run()
    with contextlib.closing(sqlite3.connect(house.state / "drover.db")) as db:
        db.execute("DELETE FROM drover_run")
        db.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF requests ON drover_run BEGIN SELECT RAISE(ABORT, 'no counting'); END"
        )
        db.commit()
    err = house.start(house.job).communicate(timeout=20)[1]
    assert house.query("SELECT state FROM drover_run") == [("failed",)], err
    assert house.dead() == [("the store refused how it ended",)]
    assert house.query("SELECT COUNT(*) FROM drover_task") == [(0,)]


def test_iso_codes_served_by_nginx_are_stored_whole(house, tmp_path):
    site_dir = tmp_path / "site"
    site_dir.mkdir()
    with Site(site_dir) as site:
        house.provider.url = site.url
        languages = json.loads(pathlib.Path("/usr/share/iso-codes/json/iso_639-3.json").read_text())["639-3"]
        house.configure(
            job=", paginate: {by: page, param: page, size: 100}",
            path="/api/iso_639-3",
            fields="{alpha_3: alpha_3, name: name, scope: scope, type: type, all: {path: $, type: json}}",
        )
        text = house.file.read_text().replace("records: items", "records: records").replace("key: [id]", "key: [alpha_3]")
        house.file.write_text(text)
        house.run()
        got = house.rows("alpha_3, name, scope, type, \"all\"")
    want = sorted((x["alpha_3"], x["name"], x["scope"], x["type"]) for x in languages)
    assert [row[:4] for row in got] == want
    by_key = {x["alpha_3"]: x for x in languages}
    assert all(json.loads(row[4]) == by_key[row[0]] for row in got)
    assert house.the_run()["rows"] == len(languages)


def test_types_are_kept_to_the_letter(house, provider):
    fields = "{id: id, text: v, whole: {path: i, type: integer}, real: {path: r, type: real}, yes: {path: b, type: boolean}, at: {path: t, type: timestamp}, raw: {path: j, type: json}}"
    body = (
        '{"items": [{"id": 1, "v": 1.10, "i": 9223372036854775807, "r": "37.25", "b": "Y", "t": "20260101123000",'
        ' "j": {"big": 12345678901234567890123, "z": [1.50, null]}}, {"id": 2, "v": null, "i": "", "r": null}]}'
    )
    provider.route("/items", Answer(body=body))
    house.configure(fields=fields)
    house.run()
    assert house.rows("id, text, whole, real, yes, at, raw") == [
        ("1", "1.10", 9223372036854775807, 37.25, 1, 1767270600000, '{"big":12345678901234567890123,"z":[1.50,null]}'),
        ("2", None, None, None, None, None, None),
    ]


def test_a_record_that_does_not_fit_is_rejected_with_its_reason(house, provider):
    records = things(150)
    records[3]["pos"]["lat"] = "abc"
    records[120]["id"] = None
    provider.route("/items", pages(records))
    house.configure(job=PAGED)
    house.run()
    run = house.the_run()
    assert run["state"] == "succeeded"
    assert (run["rows"], run["rejected"]) == (148, 2)
    assert run["errors"] == [
        'page 1, record 4: field lat: "abc" is not a real',
        "page 2, record 21: field id: a key cannot be empty",
    ]
    assert len(house.rows()) == 148


def test_killed_again_and_again_it_stores_each_row_once_and_counts_it_once(house, provider):
    seed = int(os.environ.get("DROVER_SEED", time.time_ns() % 10**6))
    rng = random.Random(seed)
    records = things(10000)
    provider.route("/items", pages(records, size=250, delay=0.01))
    house.configure(job=", retry: {attempts: 20}, paginate: {by: page, param: page, size: 250}", store=", batch: 50")
    kills = unfinished = 0
    while kills < 25:
        child = house.start("a")
        before, floor = provider.count(), house.stored()
        until(lambda: child.poll() is not None or provider.count() > before, what="a call")
        target = floor + rng.choice([0, 1, 51, 201, 401])
        until(lambda: child.poll() is not None or house.stored() >= target, what="rows")
        time.sleep(rng.uniform(0, 0.02))  # the instant of the kill is what is drawn
        if child.poll() is not None:
            break
        child.kill()
        child.wait()
        kills += 1
        unfinished += house.stored() < 10000
    house.run()
    print(f"seed {seed}: {kills} kills, {unfinished} in the middle")
    assert unfinished >= 8
    assert house.rows("id, title, n, lat") == expected(records)
    run = house.the_run()
    assert run["state"] == "succeeded", run
    assert run["rows"] == 10000, f"seed {seed}: rows are counted once, whatever died"
    assert house.dead() == []


def test_a_page_larger_than_what_is_held_goes_on_within_the_page(house, provider):
    records = [{"id": f"{i:05}", "title": "x" * 4000, "n": i, "pos": {"lat": i / 7}} for i in range(2300)]
    provider.route("/items", Answer(body={"items": records}))
    house.configure(job=", retry: {attempts: 50}", store=", batch: 20")
    for _ in range(12):
        child = house.start("a")
        floor = house.stored()
        until(lambda: child.poll() is not None or house.stored() > floor, what="rows")
        child.kill()
        child.wait()
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    assert house.the_run()["rows"] == 2300


def test_no_window_of_the_provider_holds_more_than_its_limit_over_all_processes(house, provider):
    provider.route("/items", pages(things(60), size=1, delay=0.02))
    limits = ", limits: {rate: [8/500ms], concurrency: 3}"
    house.configure(job=", paginate: {by: page, param: page, size: 1, max_pages: 60}", provider=limits, processes=3)
    children = [house.start("a", str(i), epoch="same") for i in range(3)]
    until(lambda: provider.most_active >= 2, what="calls at one time")
    assert provider.most_active <= 3
    children[0].kill()
    children[0].wait()
    children[0] = house.start("a", "0", epoch="other")
    for child in children:
        child.wait(60)
    assert provider.count() >= 120
    assert provider.fullest_window(0.5) <= 8
    # The server is still busy with the calls of the one that was killed; their places are free.
    assert provider.most_active <= 3 + 3


def test_too_many_requests_slow_everything_down_and_lose_nothing(house, provider):
    records = things(300)
    whole = pages(records)
    shut = {}

    def sometimes(call):
        if call.n == 1:
            shut["from"] = call.at
            return Answer(429, headers={"Retry-After": "1"})
        return whole(call)

    provider.route("/items", sometimes)
    house.configure(job=PAGED, provider=", limits: {rate: [1000/1m]}")
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    after = [c.at for c in provider.calls if c.at > shut["from"]]
    assert min(after) - shut["from"] >= 0.999
    assert house.the_run()["requests"] == 5


def test_a_task_that_waits_long_for_a_limit_does_not_hold_its_slot(house, provider):
    provider.route("/items", pages(things(300)))
    house.configure(job=PAGED, provider=", limits: {rate: [2/7s]}")
    child = house.start("a")
    until(lambda: provider.count() == 2, what="two calls")
    until(lambda: house.query("SELECT state, attempt FROM drover_task") == [(0, 0)], what="the task is put back")
    assert house.stored() == 200
    assert child.wait(30) == 0
    assert len(house.rows()) == 300
    assert house.the_run()["requests"] == 4


def test_trouble_is_tried_again(house, provider):
    records = things(250)
    whole = pages(records)

    def flaky(call):
        kind = call.n % 5
        if kind == 0:
            return Answer(503)
        if kind == 1:
            return Answer(drop=True)
        if kind == 2:
            answer = whole(call)
            answer.cut = 300
            return answer
        return whole(call)

    provider.route("/items", flaky)
    house.configure(job=PAGED, provider=", headers: {X-A: b}", retry="{attempts: 6, backoff: {initial: 50ms, max: 100ms}}")
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    run = house.the_run()
    assert (run["state"], run["rows"], run["requests"]) == ("succeeded", 250, provider.count())
    assert provider.calls[0].headers["X-A"] == "b"


@pytest.mark.parametrize("status, words", [(404, "HTTP 404"), (401, "HTTP 401")])
def test_an_answer_that_means_no_becomes_a_dead_letter_at_once(house, provider, status, words):
    provider.route("/items", Answer(status))
    house.configure(job=", retry: {attempts: 5}")
    house.run()
    ((error,),) = house.dead()
    assert error.startswith(f"GET p /items: {words}")
    run = house.the_run()
    assert (run["state"], run["tasks_failed"], run["requests"]) == ("failed", 1, 1)
    assert error in run["errors"][0]


def test_a_key_that_nobody_can_renew_fails_its_task_at_once(house, provider):
    provider.route("/items", Answer(401))
    house.configure(job=", on_error: [{status: 401, then: refresh}]", provider=", auth: {query: {key: k}}")
    house.run()
    ((error,),) = house.dead()
    assert "HTTP 401" in error
    assert house.the_run()["requests"] == provider.count() == 1


def test_what_stays_broken_becomes_a_dead_letter_after_its_attempts(house, provider):
    provider.route("/items", Answer(body='{"items": [{"id": 1}, {"id": oops'))
    house.configure(job=", retry: {attempts: 3}")
    house.run()
    ((error,),) = house.dead()
    assert "malformed JSON at byte 29" in error
    run = house.the_run()
    assert (run["state"], run["tasks_dead"], run["requests"], run["rows"]) == ("failed", 1, 3, 0)
    assert house.stored() == 0


def test_an_error_in_a_good_answers_clothes_is_no_empty_success(house, provider):
    provider.route("/items", Answer(body={"resultMsg": "LIMITED NUMBER OF SERVICE REQUESTS"}))
    house.configure(job=", retry: {attempts: 1}")
    house.run()
    ((error,),) = house.dead()
    assert 'has no "items"' in error


def test_pages_that_repeat_are_stopped_and_reported(house, provider):
    body = {"items": things(100)}
    provider.route("/items", Answer(body=body))
    house.configure(job=PAGED)
    house.run()
    ((error,),) = house.dead()
    assert "page 2 is page 1 again" in error
    assert provider.count() == 2
    assert house.the_run()["rows"] == 100 == len(house.rows())


def test_max_pages_ends_the_run_and_says_so(house, provider):
    provider.route("/items", pages(things(1000)))
    house.configure(job=", paginate: {by: page, param: page, size: 100, max_pages: 3}")
    house.run()
    run = house.the_run()
    assert (run["state"], run["rows"], run["requests"]) == ("succeeded", 300, 3)
    assert run["errors"] == ["stopped after max_pages: 3 pages"]


def test_a_private_address_is_refused_unless_the_provider_may_have_one(house, provider):
    provider.route("/items", pages(things(1)))
    house.configure()
    # A name whose answer is private: the text of the URL does not tell.
    name = socket.gethostname()
    try:
        if not ipaddress.ip_address(socket.gethostbyname(name)).is_private:
            pytest.skip("this machine's name is a public address")
    except OSError:
        pytest.skip("this machine's name has no address")
    text = house.file.read_text().replace("127.0.0.1", name).replace("private: true", "private: false")
    house.file.write_text(text)
    house.run()
    ((error,),) = house.dead()
    assert "the address is private" in error
    assert provider.count() == 0


def test_the_key_of_a_provider_is_in_no_error(house, provider):
    house.configure(path="'/items?serviceKey=s3cr3t-k3y'")
    house.run()
    text = json.dumps(house.query("SELECT * FROM drover_dead")) + json.dumps(house.the_run())
    assert "HTTP 404" in text and "s3cr3t" not in text


def test_a_slow_provider_is_told_without_its_key(house, provider):
    house.configure(path="'/items?serviceKey=s3cr3t-k3y'", job=", paginate: {by: page, param: page, size: 2}")
    answer = pages(things(3), size=2)
    provider.route("/items", lambda call: dataclasses.replace(answer(call), delay=2.1 if call.n == 0 else 0))
    err = house.run()
    (told,) = [line for line in err.splitlines() if "SLOW REQUEST" in line]
    for part in (f"SLOW REQUEST: {provider.url}/items ", "method=GET", "status=200", "provider=p", "job=a", "run=1", "task=1"):
        assert part in told + " ", told
    assert 2100 <= int(told.split("process_time_ms=")[1].split()[0]) < 20000
    assert "s3cr3t" not in err


def test_a_drained_worker_puts_its_task_back_and_another_goes_on(house, provider):
    records = things(3000)
    provider.route("/items", pages(records, delay=0.02))
    house.configure(job=PAGED)
    child = house.start("a")
    until(lambda: house.stored() >= 500, what="some rows")
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 3
    done = house.stored()
    assert 500 <= done < 3000
    assert house.query("SELECT state, attempt, owner FROM drover_task") in ([(0, 0, None)], [(0, 1, None)])
    calls = provider.count()
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    assert house.the_run()["rows"] == 3000
    assert provider.count() - calls == 31 - done // 100


def test_a_reload_changes_the_job_and_loses_nothing(house, provider):
    records = things(3000)
    provider.route("/items", pages(records, delay=0.02))
    house.configure(job=PAGED)
    child = house.start("a")
    until(lambda: house.stored() >= 500, what="some rows")
    house.configure(job=PAGED, fields=FIELDS.replace("}}", "}, again: id}"))
    child.send_signal(signal.SIGHUP)
    assert child.wait(30) == 0
    assert house.rows("id, title, n, lat") == expected(records)
    with_again = house.query("SELECT COUNT(*) FROM things WHERE again = id")[0][0]
    assert 0 < with_again < 3000
    assert house.the_run()["rows"] == 3000


def test_while_the_database_is_locked_rows_are_kept(house, provider):
    records = things(2000)
    provider.route("/items", pages(records, delay=0.01))
    house.configure(job=PAGED)
    child = house.start("a")
    until(lambda: house.stored() >= 300, what="some rows")
    with contextlib.closing(sqlite3.connect(house.state / "drover.db", timeout=10, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        time.sleep(2)  # the fault itself
        assert child.poll() is None
        db.execute("ROLLBACK")
    assert child.wait(40) == 0
    assert house.rows("id, title, n, lat") == expected(records)
    assert house.the_run()["rows"] == 2000


def test_a_task_over_its_time_is_tried_again_from_where_it_was(house, provider):
    records = things(500)
    hold = threading.Event()
    whole = pages(records)

    def slow_once(call):
        answer = whole(call)
        if call.n == 3:
            answer.wait = hold
        return answer

    provider.route("/items", slow_once)
    house.configure(job=PAGED + ", timeout: 1s", provider=", timeout: {idle: 20s, total: 30s}")
    child = house.start("a")
    assert child.wait(30) == 0
    hold.set()
    assert house.rows("id, title, n, lat") == expected(records)
    assert [c.query["page"] for c in provider.calls].count("4") == 2
    assert [c.query["page"] for c in provider.calls].count("3") == 1
    assert house.the_run()["requests"] == provider.count(), "the call that was given up counts too"


def test_a_record_over_a_mebibyte_is_left_out_in_bounded_memory(house, provider):
    big = {"id": "big", "title": "x" * 3_000_000, "n": 1, "pos": {"lat": 1}}
    provider.route("/items", Answer(body={"items": [*things(10), big, *things(20)[10:]]}))
    house.configure()
    house.run()
    run = house.the_run()
    assert (run["rows"], run["rejected"]) == (20, 1)
    assert "record 11: larger than 1048576 bytes" in run["errors"][0]


def test_a_job_that_is_gone_ends_in_the_dead_letters(house, provider):
    provider.route("/items", pages(things(3000), delay=0.02))
    house.configure(job=PAGED)
    child = house.start("a")
    until(lambda: house.stored() >= 300, what="some rows")
    house.file.write_text(house.file.read_text().replace("\n  a: {", "\n  other: {"))
    child.send_signal(signal.SIGHUP)
    assert child.wait(20) == 0
    ((error,),) = house.dead()
    assert error == "job a is no longer configured"


# ---- in the whole house ----

HOUSE = """
supervisor: {{restart: {{min_interval: 0s, jitter: 0ms}}}}
workers: {{collect: {{processes: 2, concurrency: 2}}}}
http: {{listen: "127.0.0.1:0"}}
providers:
  p: {{base_url: "{url}", private: true, limits: {{rate: [40/500ms], concurrency: 2}}}}
jobs:
  a: {{kind: collect, request: {{provider: p, path: /items}}, records: items, fields: {fields},
      retry: {{attempts: 20}}, store: {{table: things, key: [id]}}, paginate: {{by: page, param: page, size: 100}}}}
"""


def drover_cli(drover, *args):
    return subprocess.run(
        [BIN / "drover", *args, "--socket", drover.runtime / "control.sock"], capture_output=True, text=True, timeout=90
    )


def test_a_run_by_hand_goes_through_the_whole_house(drover, provider):
    records = things(730)
    provider.route("/items", pages(records))
    drover.start(HOUSE.format(url=provider.url, fields=FIELDS))
    drover.wait_event("scheduler_ready")
    done = drover_cli(drover, "run", "a", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["state"], run["rows"], run["rejected"], run["requests"]) == ("succeeded", 730, 0, 8)
    with contextlib.closing(sqlite3.connect(drover.state / "drover.db")) as db:
        assert db.execute("SELECT id, title, n, lat FROM things ORDER BY 1").fetchall() == expected(records)


def test_collect_workers_that_are_killed_lose_nothing_and_count_nothing_twice(drover, provider):
    records = things(5000)
    provider.route("/items", pages(records, delay=0.02))
    drover.start(HOUSE.format(url=provider.url, fields=FIELDS))
    drover.wait_event("scheduler_ready")
    assert drover_cli(drover, "run", "a").returncode == 0
    with contextlib.closing(sqlite3.connect(f"file:{drover.state}/drover.db?mode=ro", uri=True, timeout=10)) as db:

        def stored():
            with contextlib.suppress(sqlite3.OperationalError):
                return db.execute("SELECT COUNT(*) FROM things").fetchone()[0]
            return 0

        def holder():
            row = db.execute("SELECT owner FROM drover_task WHERE state = 1").fetchone()
            return row and row[0].split("/")[2]

        kills = 0
        for floor in (300, 1200, 2500):
            until(lambda: stored() >= floor and holder(), f"{floor} rows and a holder", 60)
            name = holder()
            slot = name and next(p for p in drover.status()["processes"] if p["name"] == name)
            if slot and slot["pid"]:
                os.kill(slot["pid"], signal.SIGKILL)
                kills += 1
        assert kills >= 2
        until(lambda: db.execute("SELECT finished_at FROM drover_run").fetchone()[0], "the end of the run", 60)
        assert db.execute("SELECT state, rows, rejected FROM drover_run").fetchall() == [("succeeded", 5000, 0)]
        assert db.execute("SELECT id, title, n, lat FROM things ORDER BY 1").fetchall() == expected(records)
    assert provider.fullest_window(0.5) <= 40
    assert provider.most_active <= 2

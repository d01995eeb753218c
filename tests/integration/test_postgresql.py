# SPDX-License-Identifier: MIT
"""The whole house on a real PostgreSQL server, which is away, restarted and killed while everything runs."""
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from harness import BUILD, ROOT, until
from provider import Provider, pages
from website import Site

sys.path.insert(0, str(ROOT / "tests"))
import postgres_server  # noqa: E402

HOUSE = """
supervisor: {{restart: {{min_interval: 0s, jitter: 0ms}}}}
store: {{url: "{store}", pool: {{connect_timeout: 2s}}}}
workers: {{collect: {{processes: 2, concurrency: 4}}, crawl: {{processes: 2, concurrency: 8, parsers: 2}}}}
http: {{listen: "127.0.0.1:0"}}
providers:
  p: {{base_url: "{url}", private: true, retry: {{backoff: {{initial: 50ms, max: 100ms}}}}}}
jobs:
  a: {{kind: collect, request: {{provider: p, path: /items}}, records: items,
      fields: {{id: id, title: title, n: {{path: n, type: integer}}, lat: {{path: pos.lat, type: real}}}},
      retry: {{attempts: 20}}, store: {{table: things, key: [id]}}, paginate: {{by: page, param: page, size: 100}}{more}}}
{jobs}"""


@pytest.fixture
def server(drover):
    """Outlives drover, whose workers give back what they hold; gone before its fixture looks for what is left over."""
    one = postgres_server.Server()
    yield one.start()
    if drover.process and drover.process.poll() is None:
        drover.stop()
    one.close()


@pytest.fixture
def provider():
    with Provider() as p:
        yield p


def things(count):
    rng = random.Random(count)
    return [{"id": f"t{i:05d}", "title": rng.choice(["ü", "a'b", "\\", "日本"]) * 3, "n": rng.randrange(-2**53, 2**53),
             "pos": {"lat": rng.uniform(-90, 90)}} for i in range(count)]


def start(drover, server, provider, jobs="", more=""):
    drover.start(HOUSE.format(store=server.url(), url=provider.url, jobs=jobs, more=more))


def cli(drover, *args):
    done = subprocess.run([BUILD / "bin/drover", *args, "--json", "--socket", drover.runtime / "control.sock"],
                          capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stored(server, sql="SELECT json_agg(t ORDER BY id) FROM things t"):
    return json.loads(server.sql(sql) or "null")


def count(server, sql):
    """None while the server or the table is away."""
    try:
        return int(server.sql(sql) or 0)
    except RuntimeError:
        return None


def test_a_run_goes_through_when_the_server_comes_late(drover, server, provider):
    records = things(730)
    provider.route("/items", pages(records))
    server.stop()
    start(drover, server, provider)
    drover.wait_event("process_running", name="scheduler")
    server.start()
    drover.wait_event("scheduler_ready")
    run = cli(drover, "run", "a", "--wait")
    assert (run["state"], run["rows"], run["rejected"], run["requests"]) == ("succeeded", 730, 0, 8)
    wanted = [{"id": r["id"], "title": r["title"], "n": r["n"], "lat": r["pos"]["lat"]} for r in records]
    assert stored(server) == wanted
    # The same again changes nothing: no row is written a second time.
    versions = server.sql("SELECT string_agg(ctid::text, ',' ORDER BY id) FROM things")
    assert cli(drover, "run", "a", "--wait")["state"] == "succeeded"
    assert server.sql("SELECT string_agg(ctid::text, ',' ORDER BY id) FROM things") == versions
    assert [r["state"] for r in cli(drover, "runs")["runs"]] == ["succeeded"] * 2


def test_a_server_that_is_killed_and_restarted_loses_and_doubles_nothing(drover, server, provider):
    records = things(4000)
    provider.route("/items", pages(records, delay=0.02))
    start(drover, server, provider)
    drover.wait_event("scheduler_ready")
    cli(drover, "run", "a")
    pids = {p["name"]: p["pid"] for p in drover.status()["processes"]}
    for floor, how in ((200, signal.SIGKILL), (1000, signal.SIGINT), (1800, signal.SIGKILL), (2600, signal.SIGQUIT)):
        until(lambda: (count(server, "SELECT COUNT(*) FROM things") or 0) >= floor, f"{floor} rows", 60)
        server.stop(how)
        time.sleep(0.2)  # the outage
        server.start()
    until(lambda: count(server, "SELECT finished_at FROM drover_run"), "the end of the run", 60)
    assert server.sql("SELECT state, rows, rejected FROM drover_run") == "succeeded|4000|0"
    assert [r["n"] for r in stored(server)] == [r["n"] for r in records]
    assert server.sql("SELECT COUNT(*) FROM drover_dead") == "0"
    # Nobody died of it.
    assert {p["name"]: p["pid"] for p in drover.status()["processes"]} == pids


def test_each_due_time_is_accounted_for_once_while_everything_is_killed(drover, server, provider):
    provider.route("/items", pages(things(1)))
    start(drover, server, provider, more=", schedule: {every: 200ms}")
    drover.wait_event("scheduler_ready")
    rng = random.Random(7)
    dues = "SELECT COUNT(*) FROM drover_due"
    for i in range(5):
        before = until(lambda: count(server, dues), "a due time") or 0
        until(lambda: (count(server, dues) or 0) > before, "one more")
        time.sleep(rng.uniform(0, 0.2))
        if i % 2:
            server.kill()
            server.start()
        else:
            os.kill(until(lambda: drover.slot("scheduler")["pid"], "a scheduler"), signal.SIGKILL)
    before = until(lambda: count(server, dues), "a due time")
    until(lambda: (count(server, dues) or 0) > before + 3, "it goes on")
    os.kill(until(lambda: drover.slot("scheduler")["pid"], "a scheduler"), signal.SIGSTOP)
    until(lambda: count(server, "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'active' AND"
                                " application_name = 'drover-scheduler'") == 0, "it has stopped")
    times = [int(t) for t in server.sql("SELECT due_at FROM drover_due ORDER BY due_at").split()]
    assert times == list(range(times[0], times[0] + len(times) * 200, 200))
    fired = "FROM drover_due WHERE outcome = 'fired'"
    assert server.sql(f"SELECT COUNT(*), COUNT(DISTINCT run_id) {fired}") == \
        "|".join([server.sql("SELECT COUNT(*) FROM drover_run WHERE trigger = 'schedule'")] * 2)
    os.kill(drover.slot("scheduler")["pid"], signal.SIGCONT)


def test_a_site_is_crawled_whole_by_two_processes(drover, server, provider, tmp_path):
    with Site(tmp_path) as site:
        start(drover, server, provider, f"""  docs:
    kind: crawl
    start: ["{site.url}/"]
    follow: {{private: true, max_pages: 150}}
    politeness: {{delay: 0s, per_host: 8}}
    extract: [{{match: ".*", fields: {{title: {{xpath: "string(//title)"}}}}}}]
    store: {{table: pages, key: [url]}}
""")
        drover.wait_event("scheduler_ready")
        run = cli(drover, "run", "docs", "--wait")
        asked = [path for _, path, *_ in site.requests() if path != "/robots.txt"]
    assert run["state"] == "succeeded"
    assert run["tasks"]["done"] == run["tasks"]["total"] and run["tasks"]["dead"] == 0
    # Two pages at a time that both see room for the last URL: max_pages holds all the same.
    # One link is broken; where it is among them depends on who comes first.
    assert run["tasks"]["total"] == 150
    assert server.sql("SELECT COUNT(*) FROM drover_url WHERE state IN ('fetched', 'failed')") == "150"
    assert server.sql("SELECT COUNT(*) FROM drover_url WHERE state = 'failed' AND status IS DISTINCT FROM 404") == "0"
    assert len(asked) == len(set(asked))
    assert int(server.sql("SELECT COUNT(*) FROM pages WHERE title <> ''")) == run["rows"]

# SPDX-License-Identifier: MIT
"""A run that is cut into tasks: all at a time, each alone. droverd, collect workers and the provider are real."""
import contextlib
import json
import sqlite3
import threading

import pytest
from harness import until
from provider import Answer, Provider

SYMBOLS = ["AAPL", "MSFT", "BRK/B", "A B", "7"]


def yaml(url, values, concurrency=8, extra=""):
    return f"""
http: {{listen: "127.0.0.1:0"}}
workers: {{collect: {{processes: 2, concurrency: {concurrency}}}}}
providers:
  p: {{base_url: "{url}", private: true, retry: {{attempts: 1}}}}
jobs:
  prices:
    kind: collect
    for_each: {{values: {json.dumps(values)}, as: symbol}}
    request: {{provider: p, path: "/price/{{{{symbol}}}}", query: {{of: "<{{{{ symbol }}}}>"}}}}
    records: items
    fields: {{symbol: symbol, page: page}}
    store: {{table: prices, key: [symbol, page]}}
    retry: {{attempts: 1}}
{extra}
"""


def rows(drover):
    path = drover.state / "drover.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute("SELECT symbol FROM prices ORDER BY symbol").fetchall()


def ended(drover, run):
    def find():
        (found,) = drover.ask("runs", json.dumps({"id": run}))[1]["runs"]
        return found if found["finished_at"] else None
    return until(find)


def serve(provider, symbol, **answer):
    path = "/price/" + symbol.replace("/", "%2F").replace(" ", "%20")
    provider.route(path, Answer(body={"items": [{"symbol": symbol, "page": "1"}]}, **answer))


def test_all_tasks_of_a_run_are_asked_before_any_is_answered(drover):
    gate = threading.Event()
    with Provider() as provider:
        for symbol in SYMBOLS:
            serve(provider, symbol, wait=gate)
        try:
            drover.start(yaml(provider.url, SYMBOLS))
            drover.wait_event("scheduler_ready")
            run = drover.ask("run", json.dumps({"job": "prices", "request_id": "1"}))[1]["run"]["id"]
            # One after the other they would never all be open.
            until(lambda: provider.active == len(SYMBOLS), "all are asked at once")
        finally:
            gate.set()
        done = ended(drover, run)
        assert (done["state"], done["tasks"]["total"], done["tasks"]["done"], done["rows"]) == ("succeeded", 5, 5, 5)
        assert rows(drover) == sorted((s,) for s in SYMBOLS)
        # Escaped in the path, and once more in the query.
        assert {c.query["of"] for c in provider.calls} == {f"<{s}>" for s in SYMBOLS}


def test_a_task_that_fails_is_a_dead_letter_and_the_others_are_stored(drover):
    with Provider() as provider:
        for symbol in SYMBOLS:
            serve(provider, symbol)
        serve(provider, "MSFT", status=500)
        drover.start(yaml(provider.url, SYMBOLS + [".."], concurrency=1))
        drover.wait_event("scheduler_ready")
        run = drover.ask("run", json.dumps({"job": "prices", "request_id": "1"}))[1]["run"]["id"]
        done = ended(drover, run)
        assert done["state"] == "failed" and done["rows"] == 4
        assert {k: done["tasks"][k] for k in ("total", "done", "failed", "dead")} == {"total": 6, "done": 4, "failed": 1, "dead": 1}
        assert rows(drover) == sorted((s,) for s in SYMBOLS if s != "MSFT")
        dead = drover.ask("dead")[1]["dead"]
        assert sorted(json.loads(d["payload"])["symbol"] for d in dead) == ["..", "MSFT"]
        # The errors say of which value they are; nothing was asked of another path.
        assert any("symbol=MSFT" in e and "500" in e for e in done["errors"])
        assert all(c.path.startswith("/price/") and len(c.path) > len("/price/") for c in provider.calls)
        assert provider.most_active <= 2
        # What is asked for again alone is that one.
        serve(provider, "MSFT")
        (letter,) = (d for d in dead if "MSFT" in d["payload"])
        before = provider.count()
        assert drover.ask("dead.retry", json.dumps({"id": letter["id"]}))[0] == 0
        until(lambda: len(rows(drover)) == 5)
        assert provider.count() == before + 1

# SPDX-License-Identifier: MIT
"""How far an incremental job is, and beginning anew: `drover cursors`, against a droverd and a provider that count."""
import json
import threading

from harness import until
from provider import Answer, Provider
from test_collect import drover_cli

CONFIG = """
http: {{listen: "127.0.0.1:0"}}
providers: {{p: {{base_url: "{url}", private: true}}}}
jobs:
  sync:
    kind: collect
    for_each: {{values: [a, "b c"], as: shop}}
    request: {{provider: p, path: /items, query: {{shop: "{{{{shop}}}}"}}}}
    incremental: {{cursor: at, param: since, start: "2026-01-01"}}
    records: items
    fields: {{id: id}}
    store: {{table: items, key: [id]}}
  whole: {{kind: collect, request: {{provider: p, path: /items}}, records: items, fields: {{id: id}}, store: {{table: w, key: [id]}}}}
"""


def test_cursors_are_shown_for_each_partition_and_reset_one_or_all(drover):
    gate = threading.Event()
    gate.set()
    with Provider() as provider:
        def answer(call):
            item = {"id": call.query.get("shop", "-"), "at": "2026-03-04T05:06:07Z"}
            return Answer(body={"items": [item]}, wait=gate)
        provider.route("/items", answer)
        drover.start(CONFIG.format(url=provider.url))
        drover.wait_event("scheduler_ready")

        def shown():
            done = drover_cli(drover, "cursors", "sync", "--json")
            return {c["partition"]["shop"]: c["cursor"] for c in json.loads(done.stdout)["cursors"]}

        def since():
            """What the last two calls asked for."""
            assert drover_cli(drover, "run", "sync", "--wait").returncode == 0
            return {c.query["shop"]: c.query["since"] for c in provider.calls[-2:]}
        start, moved = "2026-01-01T00:00:00Z", "2026-03-04T05:06:07Z"
        assert shown() == {}
        assert "no cursors" in drover_cli(drover, "cursors", "whole").stderr
        assert since() == {"a": start, "b c": start}
        assert shown() == {"a": "2026-03-04T05:06:07.000Z", "b c": "2026-03-04T05:06:07.000Z"}
        lines = drover_cli(drover, "cursors", "sync").stdout.splitlines()
        assert lines[0].split()[:2] == ["PARTITION", "CURSOR"] and lines[2].startswith("b c ")
        # One of them begins anew, the other goes on.
        assert drover_cli(drover, "cursors", "reset", "sync", "x").returncode == 4
        assert drover_cli(drover, "cursors", "reset", "sync", "b c").returncode == 0
        assert list(shown()) == ["a"]
        assert since() == {"a": moved, "b c": start}
        # Not while it runs: what runs would put it back.
        gate.clear()
        run = drover.ask("run", json.dumps({"job": "sync", "request_id": "1"}))[1]["run"]["id"]
        until(lambda: provider.active == 2, "both are asked for")
        refused = drover_cli(drover, "cursors", "reset", "sync")
        assert refused.returncode == 1 and f"run {run} of sync has not ended" in refused.stderr
        assert len(shown()) == 2
        gate.set()
        until(lambda: drover.ask("runs", json.dumps({"id": run}))[1]["runs"][0]["finished_at"], "it ends")
        assert json.loads(drover_cli(drover, "cursors", "reset", "sync", "--json").stdout) == {"reset": {"job": "sync", "cursors": 2}}
        assert shown() == {}
        assert "did you mean 'sync'?" in drover_cli(drover, "cursors", "snyc").stderr

# SPDX-License-Identifier: MIT
"""Getting all of it, on PostgreSQL and in the whole house: pages by token, a task for each row of another job, windows of time,
cursors; the worker is killed in between."""
import datetime
import json
import os
import signal

from harness import until
from provider import Answer
from test_postgresql import cli, count, provider, server, start, stored  # noqa: F401

JOBS = """
  parts: {{kind: collect, request: {{provider: p, path: /parts}}, records: items, fields: {{id: id}}, retry: {{attempts: 20}},
      paginate: {{by: cursor, param: c, cursor: next, size: 10}}, store: {{table: parts, key: [id]}}}}
  changes: {{kind: collect, request: {{provider: p, path: /changes, query: {{part: "{{{{part}}}}"}}}}, records: items,
      fields: {{id: id, part: part}}, for_each: {{job: parts, field: id, as: part}}, retry: {{attempts: 20}},
      incremental: {{cursor: at, param: since, until: to, start: "{start}", step: 1d}}, store: {{table: changes, key: [id]}}}}
"""


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_all_of_it_is_there_once_on_postgresql(drover, server, provider):  # noqa: F811
    begin = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(days=4)
    parts = [{"id": f"p{i}"} for i in range(12)]
    changes = [{"id": f"{p['id']}-{h}", "part": p["id"], "at": iso(begin + datetime.timedelta(hours=h))}
               for p in parts for h in range(0, 90, 10)]

    def of_parts(call):
        at = int(call.query.get("c", 0))
        return Answer(body={"items": parts[at : at + 10], "next": at + 10 if at + 10 < len(parts) else None})

    def of_changes(call):
        q = call.query
        return Answer(body={"items": [c for c in changes if c["part"] == q["part"] and q["since"] <= c["at"] < q["to"]]},
                      delay=0.02)

    provider.route("/parts", of_parts)
    provider.route("/changes", of_changes)
    start(drover, server, provider, jobs=JOBS.format(start=iso(begin)))
    drover.wait_event("scheduler_ready")
    run = cli(drover, "run", "parts", "--wait")
    assert (run["state"], run["rows"], run["requests"], run["ended_by"]) == ("succeeded", 12, 2, {"no next page": 1})
    cli(drover, "run", "changes")
    until(lambda: (count(server, "SELECT COUNT(*) FROM changes") or 0) > 20, "some rows")
    pids = [p["pid"] for p in drover.status()["processes"] if p["kind"] == "collect" and p["pid"]]
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: count(server, "SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL") == 0, "the end of the run", 60)
    (run,) = (r for r in cli(drover, "runs", "changes")["runs"])
    # One that reads the parts, one a part that cuts its time, one a window.
    windows = run["tasks"]["total"] - 13
    assert (run["state"], run["rows"], run["tasks"]["done"]) == ("succeeded", len(changes), run["tasks"]["total"])
    assert 12 * 4 <= windows <= 12 * 5 and run["ended_by"] == {"one page": windows}
    assert sorted(r["id"] for r in stored(server, "SELECT json_agg(t) FROM changes t")) == sorted(c["id"] for c in changes)
    cursors = stored(server, "SELECT json_agg(t) FROM drover_cursor t")
    last = int((begin + datetime.timedelta(hours=80)).timestamp() * 1000)
    assert {json.loads(c["part"])["part"] for c in cursors} == {p["id"] for p in parts}
    assert all(c["cursor"] >= last for c in cursors)
    assert count(server, "SELECT COUNT(*) FROM drover_window") == 0

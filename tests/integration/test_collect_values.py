# SPDX-License-Identifier: MIT
"""for_each over what is read when the job runs: files, a query of the store, another job's rows. A task for each value, none
twice, whatever is killed. By the collect worker's own code (collect_alone)."""
import json
import threading

import pytest
from harness import until
from provider import Answer
from test_collect import house, provider  # noqa: F401 fixtures


def configure(house, source, more=""):
    house.configure(path='"/of"', fields="{id: id}", job=f", for_each: {{{source}, as: v}}, retry: {{attempts: 5}}" + more)
    house.file.write_text(house.file.read_text().replace('path: "/of"', 'path: "/of", query: {v: "{{v}}"}'))


def echo(provider, **more):
    provider.route("/of", lambda call: Answer(body={"items": [{"id": "of " + call.query["v"]}]}, **more))


def asked(provider):
    return sorted(c.query["v"] for c in provider.calls if c.path == "/of")


def run(house, name="one"):
    child = house.start("a", name)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err


def the_run(house):
    return house.query("SELECT state, tasks_total, tasks_done, rows, rejected, errors FROM drover_run")[-1]


def test_values_come_from_a_csv_file(house, provider, tmp_path):
    (tmp_path / "v.csv").write_text('n,v\n1,"a ""b"", c\nd"\n2,\n3,é\n4\n')
    echo(provider)
    configure(house, f"csv: {tmp_path}/v.csv")
    run(house)
    assert asked(provider) == ['a "b", c\nd', "é"]
    state, total, done, rows, rejected, errors = the_run(house)
    assert (state, total, done, rows, rejected) == ("succeeded", 3, 3, 2, 2)
    assert "record 2: has no v" in json.loads(errors)[0] and "record 4" in json.loads(errors)[1]


def test_values_come_from_an_ndjson_file_by_their_path(house, provider, tmp_path):
    (tmp_path / "v.ndjson").write_text('{"a": {"b": 12345678901234567890}}\n\nnonsense\n{"a": {"b": "x"}}')
    echo(provider)
    configure(house, f"ndjson: {tmp_path}/v.ndjson, field: a.b")
    run(house)
    assert asked(provider) == ["12345678901234567890", "x"]
    assert the_run(house)[:5] == ("succeeded", 3, 3, 2, 1)


def test_a_file_that_is_not_there_is_told(house, provider, tmp_path):
    configure(house, f"csv: {tmp_path}/none.csv")
    run(house)
    assert house.dead() == [(f"for_each: {tmp_path}/none.csv: No such file or directory",)]


VALUES = [f"v{i:04}" for i in range(450)]


def stop_when_some_are_made(house, provider, hold):
    child = house.start("a")
    until(lambda: provider.count() >= 8, "the first are asked for")
    child.kill()
    child.wait()
    hold.set()


@pytest.mark.parametrize("source", ["csv", "sql"])
def test_killed_while_tasks_are_made_each_value_is_asked_for(house, provider, tmp_path, source):
    """450 values are several transactions of either."""
    hold = threading.Event()
    echo(provider, wait=hold)
    if source == "csv":
        (tmp_path / "v.csv").write_text("v,x\n" + "".join(f"{v},{'x' * 40}\n" for v in VALUES))
        configure(house, f"csv: {tmp_path}/v.csv")
    else:
        rows = ", ".join(f"(''{v}'')" for v in VALUES)
        configure(house, f"sql: 'WITH w(n) AS (VALUES {rows}) SELECT n FROM w UNION ALL SELECT n FROM w -- each once'")
    stop_when_some_are_made(house, provider, hold)
    before = set(asked(provider))
    run(house)
    assert set(asked(provider)) == set(VALUES)
    # Those that were asked for when it was killed, and no other, are asked for again.
    assert len(provider.calls) <= len(VALUES) + len(before)
    assert the_run(house)[:4] == ("succeeded", 451, 451, 450)


def test_values_are_another_jobs_rows(house, provider):
    provider.route("/items", Answer(body={"items": [{"id": "p1", "n": 1}, {"id": "p2", "n": 2}, {"id": "p3"}]}))
    provider.route("/of", lambda call: Answer(body={"items": [{"id": "of " + call.query["v"]}]}))
    configure(house, "job: parent, field: N")
    house.file.write_text(house.file.read_text() + """
  parent: {kind: collect, request: {provider: p, path: /items}, records: items, fields: {id: id, n: {path: n, type: integer}},
      store: {table: parents, key: [id]}}
""")
    child = house.start("parent")
    assert child.wait(30) == 0, child.stderr.read()
    run(house, "two")
    assert asked(provider) == ["1", "2"]
    assert house.rows("id") == [("of 1",), ("of 2",)]


def test_a_query_may_read_only(house, provider):
    configure(house, "sql: 'SELECT 1) UPDATE drover_run SET job = (SELECT 2'")
    run(house)
    ((error,),) = house.dead()
    assert error.startswith("for_each: ")
    assert house.query("SELECT job, state FROM drover_run") == [("a", "failed")]

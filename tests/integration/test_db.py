# SPDX-License-Identifier: MIT
"""`drover db` and jobs' tables on a real PostgreSQL server."""
import json
import subprocess
import sys

import pytest

from harness import BUILD, ROOT, until

sys.path.insert(0, str(ROOT / "tests"))
import postgres_server  # noqa: E402

pytestmark = pytest.mark.skipif(not postgres_server.present(), reason="no PostgreSQL server (Debian: postgresql-15)")

CONFIG = """
store: {url: "%s"}
http: {listen: "127.0.0.1:0"}
providers:
  p: {base_url: "https://api.example.org/"}
jobs:
  places:
    kind: collect
    request: {provider: p, path: /x}
    fields: {id: id, order: order, n: {path: n, type: integer}, at: {path: at, type: timestamp}, raw: {path: raw, type: json}}
    store: {table: places, key: [id], history: month, indexes: [[n], [order, at]]}
  refused:
    kind: collect
    request: {provider: p, path: /x}
    fields: {id: id, n: {path: n, type: integer}}
    store: {table: theirs, key: [id]}
"""
PLANTED = """
CREATE TABLE planted (id BIGINT PRIMARY KEY, city TEXT, kind TEXT, name TEXT, padding TEXT);
INSERT INTO planted SELECT i, 'c' || i % 400, 'k' || i % 997, 'n' || i, repeat('x', 200) FROM generate_series(1, 40000) i;
CREATE INDEX ON planted (city);
ANALYZE planted;
"""
SLOW = {
    "missing_index": ("SELECT id FROM planted WHERE name = 'n77'", '("name")'),
    "sequential_scan": ("SELECT count(*) FROM planted WHERE lower(name) = 'n78'", "((lower(name)))"),
    "bad_filter": ("SELECT id FROM planted WHERE city = 'c3' AND kind = 'k12'", '("city", "kind")'),
}


@pytest.fixture
def server(drover):
    """Gone before the harness looks what is left."""
    with postgres_server.Server() as server:
        yield server


def cli(drover, *words):
    return subprocess.run([str(BUILD / "bin/drover"), *words, "--socket", str(drover.runtime / "control.sock")], text=True,
                          capture_output=True, timeout=60, env={"PATH": "/usr/bin:/bin"})


def on(server, drover, database):
    url = server.create_database(database)
    server.sql("CREATE TABLE theirs (id TEXT, n TEXT); INSERT INTO theirs VALUES ('a', '007')", database)
    drover.start(CONFIG % url)
    drover.wait_event("scheduler_ready")


def ask_often(server):
    """Among the twenty statements that took longest, drover's own included."""
    for query, _ in SLOW.values():
        server.sql(f"{query};" * 300, "slow")


def test_db_slow_names_what_is_planted_and_what_helps(server, drover):
    on(server, drover, "slow")
    told = cli(drover, "db", "slow")
    assert told.returncode == 1 and "CREATE EXTENSION pg_stat_statements" in told.stderr
    server.sql("CREATE EXTENSION pg_stat_statements;" + PLANTED, "slow")
    ask_often(server)
    answer = json.loads(cli(drover, "db", "slow", "--json").stdout)
    assert answer["engine"] == "postgresql"
    assert all(s["calls"] > 0 and s["total_ms"] > 0 for s in answer["statements"])
    for kind, (query, columns) in SLOW.items():
        found = [a for a in answer["advice"] if a["kind"] == kind and a["table"] == "planted"]
        assert found, (kind, answer["advice"])
        assert any(columns in (a["run"] or "") and a["run"].startswith("CREATE INDEX CONCURRENTLY") for a in found), found
        server.sql(next(a["run"] for a in found if columns in (a["run"] or "")), "slow")

    reset = cli(drover, "db", "reset", "--json")
    assert reset.returncode == 0 and json.loads(reset.stdout)["reset"]["engine"] == "postgresql"
    # What was advised helps: the same queries, with the indexes, are told of no more.
    server.sql("ANALYZE planted", "slow")
    ask_often(server)
    answer = json.loads(cli(drover, "db", "slow", "--json").stdout)
    assert [s for s in answer["statements"] if "planted" in s["query"]]
    assert not [a for a in answer["advice"] if a["table"] == "planted"]


def test_db_counts_connections_and_tables_are_made_at_the_reload(server, drover):
    on(server, drover, "tables")
    refused = drover.wait_event("table_refused", job="refused")
    assert 'column "n" of table "theirs" is text' in refused["error"]
    until(lambda: server.sql("SELECT COUNT(*) FROM pg_index WHERE indrelid = to_regclass('places')", "tables") == "3")
    assert server.sql("SELECT n FROM theirs", "tables") == "007"
    assert int(server.sql("SELECT COUNT(*) FROM pg_inherits WHERE inhparent = to_regclass('places_history')", "tables")) >= 3
    types = server.sql("SELECT string_agg(attname || ' ' || format_type(atttypid, -1), ', ' ORDER BY attnum) FROM pg_attribute"
                       " WHERE attrelid = to_regclass('places') AND attnum > 0", "tables")
    assert types == "id text, order text, n bigint, at timestamp with time zone, raw json"

    db = json.loads(cli(drover, "db", "--json").stdout)["db"]
    assert db["engine"] == "postgresql" and db["connections"]["open"] >= 1 and db["size_bytes"] > 1000000
    scheduler = next(p for p in db["processes"] if p["name"] == "scheduler")
    assert scheduler["transactions"] > 3 and scheduler["connects"] >= 1 and 0 <= scheduler["hit_rate"] <= 1
    assert json.loads(cli(drover, "status", "--json").stdout)["db"]["engine"] == "postgresql"

# SPDX-License-Identifier: MIT
"""
From an API to rows: drover beside aiohttp and asyncpg doing the same job, in turns in one run, medians. CPU is that of the
process that collects (drover-collect; Python): nginx and PostgreSQL are the same for all. Each must store every record once.
"""
import contextlib
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]
import postgres_server  # noqa: E402
from harness import Drover  # noqa: E402
from website import Site  # noqa: E402

BIN = pathlib.Path(os.environ["DROVER_BUILD"]) / "bin"
ROUNDS = int(os.environ.get("DROVER_BENCH_ROUNDS", "3"))
PAGES, SIZE = 400, 100
RECORDS = (PAGES - 1) * SIZE + 37

CONFIG = """
http: {{listen: "127.0.0.1:0"}}
store: {{url: "{database}"}}
workers: {{collect: {{processes: 1}}, crawl: {{processes: 1, parsers: 1}}}}
providers: {{p: {{base_url: "{api}", private: true}}}}
jobs:
  items:
    kind: collect
    request: {{provider: p, path: /items}}
    paginate: {{by: page, param: page, size_param: size, size: 100}}
    records: items
    fields: {{id: {{path: id, type: integer}}, name: name, code: code, lat: {{path: lat, type: real}},
             lon: {{path: lon, type: real}}, size: {{path: size, type: integer}}, note: note,
             changed: {{path: changed, type: timestamp}}}}
    store: {{table: items, key: [id], batch: 100}}
"""


def write_pages(folder):
    dice = random.Random(1)
    records = [{"id": n, "name": f"place number {n}", "code": f"{n:x}", "lat": dice.uniform(-90, 90), "lon": dice.uniform(-180, 180),
                "size": dice.randrange(1 << 40), "note": "thirty bytes of text, or so ok " * 3,
                "changed": f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}T01:02:03.456Z"} for n in range(RECORDS)]
    folder.mkdir()
    for page in range(PAGES):
        body = {"page": page + 1, "items": records[page * SIZE:(page + 1) * SIZE]}
        (folder / f"items-{page + 1}.json").write_text(json.dumps(body))


def cpu_s(pid):
    """To the nanosecond, as Python's of itself: /proc/PID/stat counts in steps of 10 ms, 0.25 us a record."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


def by_drover(tmp, n, api, server):
    folder = tmp / f"drover-{n}"
    folder.mkdir()
    database = server.create_database(f"d{n}")
    drover = Drover(folder)
    try:
        drover.start(CONFIG.format(api=api, database=database))
        drover.wait_event("supervisor_ready")
        drover.rewind().wait_event("scheduler_ready")
        pid = drover.slot("collect")["pid"]
        before = cpu_s(pid)
        done = subprocess.run([BIN / "drover", "run", "items", "--wait", "--json", "--socket", drover.runtime / "control.sock"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        used = cpu_s(pid) - before
        run = json.loads(done.stdout)
        assert drover.slot("collect")["pid"] == pid
    finally:
        # Not Drover.end(), which ends nginx and PostgreSQL too.
        drover.signal(signal.SIGTERM)
        drover.process.wait(30)
    rows, total = server.sql("SELECT COUNT(*), SUM(id) FROM items", f"d{n}").strip().split("|")
    return {"rows": int(rows), "sum": int(total), "requests": run["requests"], "cpu_s": used}


def by_python(how, api, server):
    done = subprocess.run(["/usr/bin/python3", TESTS / "bench/collect_pipeline.py", f"{api}/items", server.url(), how],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_collect_from_api_to_rows_beside_aiohttp_and_asyncpg(tmp_path):
    write_pages(tmp_path / "pages")
    extra = "location = /items { types { } default_type application/json; try_files /items-$iso_page.json =404; }"
    runs, found = {}, {"drover": [], "executemany": [], "copy": []}
    with Site(tmp_path, root=tmp_path / "pages", extra=extra) as site, contextlib.closing(postgres_server.Server().start()) as server:
        for n in range(ROUNDS):
            runs["drover"] = lambda n=n: by_drover(tmp_path, n, site.url, server)
            runs["executemany"] = lambda: by_python("executemany", site.url, server)
            runs["copy"] = lambda: by_python("copy", site.url, server)
            for name, run in runs.items():
                result = run()
                assert (result["rows"], result["sum"]) == (RECORDS, RECORDS * (RECORDS - 1) // 2), "each record once"
                assert result["requests"] == PAGES
                found[name].append(result["cpu_s"] * 1e6 / RECORDS)
    ours = statistics.median(found["drover"])
    print()
    for name, words in (("drover", "drover-collect"), ("executemany", "aiohttp, asyncpg"), ("copy", "aiohttp, asyncpg COPY")):
        us = statistics.median(found[name])
        print(f"| API to rows in PostgreSQL, CPU us/record, {RECORDS:,} records in {PAGES} pages | {words} | {us:.1f} | x{us / ours:.1f} |")
    best = min(statistics.median(found[name]) for name in ("executemany", "copy"))
    assert best / ours > 1, "something became slower by a mechanism"

# SPDX-License-Identifier: MIT
"""
X1: 10 million records of 300 to 2,000 bytes through one worker, one body of 1 GB among them. Its resident memory, read
from outside, stays under 64 MB and does not grow between the first million and the last. `tests/run bench collect_memory`
prints the line that RESULTS.md keeps; DROVER_BENCH_RECORDS for fewer.
"""
import contextlib
import json
import os
import pathlib
import sqlite3
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import Drover, become_subreaper, until  # noqa: E402
from hostile import Hostile, head  # noqa: E402
from test_answers_memory import LIMIT_KB, Watch  # noqa: E402

RECORDS = int(os.environ.get("DROVER_BENCH_RECORDS", "10000000"))
BODIES = 20
BLOCK = 1000

YAML = """
workers: {{collect: {{processes: 1, concurrency: 2}}}}
http: {{listen: "127.0.0.1:0"}}
providers:
  p: {{base_url: "{url}", private: true, timeout: {{total: 1d}}}}
jobs:
  a:
    kind: collect
    timeout: 1d
    for_each: {{values: {values}, as: n}}
    request: {{provider: p, path: "/body/{{{{n}}}}"}}
    records: items
    max_body: 4GB
    fields: {{id: {{path: id, type: integer}}, text: {{path: text, regex: "^(x{{1,20}})"}}}}
    store: {{table: things, mode: append, batch: 1000}}
"""


def block():
    """1,000 records, the same each time: what is measured is not their making."""
    return ",".join(json.dumps({"id": i, "text": "x" * (270 + i * 1700 // BLOCK)}) for i in range(BLOCK)).encode()


def bodies():
    """So many blocks each: the first has 1 GB, or all there is, the rest share what is left."""
    blocks, size = RECORDS // BLOCK, len(block())
    large = min(blocks, 1_000_000_000 // size + 1)
    rest = [(blocks - large) // (BODIES - 1)] * (BODIES - 1)
    rest[0] += blocks - large - sum(rest)
    return [large, *rest]


def serve(counts):
    data = block()

    def of(n):
        def body(call):
            yield head(type="application/json")
            yield b'{"items": ['
            for i in range(counts[n]):
                yield b"," + data if i else data
            yield b"]}"

        return body

    return {f"/body/{n}": of(n) for n in range(len(counts))}


def rows(folder):
    with contextlib.closing(sqlite3.connect(f"file:{folder}/drover.db?mode=ro", uri=True, timeout=30)) as db:
        return db.execute("SELECT state, rows, rejected FROM drover_run").fetchone() or ("", 0, 0)


def test_memory_of_ten_million_records(tmp_path):
    become_subreaper()
    counts = bodies()
    drover = Drover(tmp_path)
    with Hostile(serve(counts)) as site:
        try:
            drover.start(YAML.format(url=site.url, values=list(range(BODIES))))
            drover.wait_event("scheduler_ready")
            collect = until(lambda: next((p for p in drover.status()["processes"] if p["kind"] == "collect" and p["pid"]), None), "a worker")
            watch, marks, began = Watch(collect["pid"]), [], time.monotonic()
            drover.ask("run", json.dumps({"job": "a", "request_id": "1"}))
            over = threading.Event()
            while not over.wait(0.5):
                state, done, rejected = rows(drover.state)
                marks.append((time.monotonic(), done))
                if state in ("succeeded", "failed"):
                    break
            most, seconds = watch.end(), time.monotonic() - began
        finally:
            drover.end()
    assert (state, done, rejected) == ("succeeded", sum(counts) * BLOCK, 0)
    # The page cache of the store has filled by then.
    million = next(at for at, n in marks if n >= min(done, 1_000_000))
    early = max(kb for at, kb in watch.samples if at <= million)
    print(f"| collect, {done} records, {sum(counts) * len(block()) / 1e9:.1f} GB, one body of {counts[0] * len(block()) / 1e9:.2f} GB"
          f" | {most / 1024:.1f} MB at most, {early / 1024:.1f} MB after the first million | {done / seconds:.0f} records/s |")
    assert most <= LIMIT_KB
    assert most <= early + 8192

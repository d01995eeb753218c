# SPDX-License-Identifier: MIT
"""Memory follows the record, not the answer: the worker's resident memory, read from outside while it works."""
import json
import os
import threading
import time

from answers import configure, house, site  # noqa: F401 (fixtures)
from given import SANITIZED
from hostile import head

LIMIT_KB = 64 * 1024


class Watch:
    """The most resident memory that /proc showed."""

    def __init__(self, pid):
        self.pid, self.most, self.samples, self.over = pid, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.over.wait(0.01):
            try:
                with open(f"/proc/{self.pid}/statm") as statm:
                    kb = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
            except (OSError, IndexError):
                return
            self.samples.append((time.monotonic(), kb))
            self.most = max(self.most, kb)

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


def large(size, record=1800):
    """One JSON answer of so many bytes: a list of records of 300 to 2,000 bytes, made while it is sent."""
    text = "x" * record
    made = 0

    def body(call):
        nonlocal made
        yield head(type="application/json")
        yield b'{"items": ['
        sent, made = 0, 0
        while sent < size:
            part = ",".join(
                json.dumps({"id": made + i, "text": text[: 250 + (made + i) * 7 % (record - 100)]}) for i in range(500)
            ).encode()
            part = (b"," if made else b"") + part
            yield part
            made += 500
            sent += len(part)
        yield b"]}"

    return body, lambda: made


def test_memory_follows_the_record_and_not_the_answer(house, site):
    """90 MB in one answer, in less than 64 MB; the store is slower than the server."""
    body, made = large(90_000_000)
    site.routes["/items"] = body
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, records: items, max_body: 2GB,
      fields: {id: {path: id, type: integer}, text: {path: text, regex: "^(x{1,9})"}}, store: {table: a, mode: append, batch: 500}"""
        },
        provider="timeout: {total: 1h}",
    )
    child = house.start("a")
    watch = Watch(child.pid)
    _, err = child.communicate(timeout=120)
    most = watch.end()
    assert child.returncode == 0, err
    assert house.query("SELECT state, rows FROM drover_run") == [("succeeded", made())]
    assert house.query("SELECT COUNT(*), SUM(id) FROM a") == [(made(), made() * (made() - 1) // 2)]
    assert len(watch.samples) > 20
    print(f"{most} KB")
    if not SANITIZED:
        assert most <= LIMIT_KB


def test_an_answer_waits_in_the_server_while_the_store_is_away(house, site):
    """What is held while nobody writes is bounded, and nothing is lost by it."""
    import contextlib
    import sqlite3

    body, made = large(45_000_000)
    site.routes["/items"] = body
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, records: items, max_body: 1GB,
      fields: {id: {path: id, type: integer}, text: text}, store: {table: a, mode: append, batch: 500}"""
        },
        provider="timeout: {total: 1h, idle: 1s}",
    )
    child = house.start("a")
    watch = Watch(child.pid)
    from harness import until

    until(lambda: stored(house) > 0, what="rows")
    with contextlib.closing(sqlite3.connect(house.state / "drover.db", timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        before = made()
        time.sleep(2)  # longer than the idle time: it is we who do not listen
        assert child.poll() is None
        held = made() - before
        db.execute("ROLLBACK")
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert held * 1000 < 30_000_000
    assert house.query("SELECT state, rows, requests FROM drover_run") == [("succeeded", made(), 1)]
    if not SANITIZED:
        assert watch.end() <= LIMIT_KB


def stored(house):
    import sqlite3

    try:
        return house.query("SELECT COUNT(*) FROM a")[0][0]
    except sqlite3.OperationalError:
        return 0

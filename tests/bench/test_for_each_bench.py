# SPDX-License-Identifier: MIT
"""
The case of the system that drover replaces (notes of its users): five symbols, each asked for twice, each answer taking
five seconds, took 50 s one after the other. As tasks of one run they take the slowest one's time. `tests/run bench
for_each` prints the line that RESULTS.md keeps.
"""
import contextlib
import json
import os
import pathlib
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import Drover, become_subreaper, until  # noqa: E402
from provider import Answer, Provider  # noqa: E402

DELAY = float(os.environ.get("DROVER_BENCH_DELAY", "5"))
SYMBOLS = ["AAPL", "MSFT", "GOOG", "AMZN", "NVDA"]

YAML = """
http: {{listen: "127.0.0.1:0"}}
providers:
  p: {{base_url: "{url}", private: true}}
jobs:
  prices:
    kind: collect
    for_each: {{values: {values}, as: symbol}}
    request: {{provider: p, path: "/price/{{{{symbol}}}}"}}
    paginate: {{by: page, param: page, size: 1, max_pages: 2}}
    records: items
    fields: {{symbol: symbol, page: page}}
    store: {{table: prices, key: [symbol, page]}}
"""


def measure(folder, url, values):
	drover = Drover(folder)
	try:
		drover.start(YAML.format(url=url, values=json.dumps(values)))
		drover.wait_event("scheduler_ready")
		begin = time.monotonic()
		run = drover.ask("run", json.dumps({"job": "prices", "request_id": "1"}))[1]["run"]["id"]
		def ended():
			(found,) = drover.ask("runs", json.dumps({"id": run}))[1]["runs"]
			return found if found["finished_at"] else None
		done = until(ended, "the run ends", patience=120)
		took = time.monotonic() - begin
		assert done["state"] == "succeeded", done
		with contextlib.closing(sqlite3.connect(drover.state / "drover.db")) as db:
			rows = db.execute("SELECT COUNT(*) FROM prices").fetchone()[0]
		assert rows == 2 * len(values)
		return took
	finally:
		drover.end()


def test_five_slow_symbols_take_as_long_as_one(tmp_path):
	become_subreaper()
	with Provider() as provider:
		for symbol in SYMBOLS:
			provider.route(f"/price/{symbol}", lambda call, symbol=symbol: Answer(
				body={"items": [{"symbol": symbol, "page": call.query["page"]}]}, delay=DELAY))
		(tmp_path / "one").mkdir()
		(tmp_path / "five").mkdir()
		one = measure(tmp_path / "one", provider.url, SYMBOLS[:1])
		five = measure(tmp_path / "five", provider.url, SYMBOLS)
	after = 2 * DELAY * len(SYMBOLS)
	print(f"\n| 5 symbols, 2 calls of {DELAY:g} s each | one after the other {after:g} s | one symbol {one:.2f} s | "
	      f"all five {five:.2f} s | x{after / five:.2f} |")
	assert five < one * 1.2 + 1

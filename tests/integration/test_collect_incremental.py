# SPDX-License-Identifier: MIT
"""Only what changed: the cursor of each partition moves with the last rows of what is complete, never before and never back;
time is cut into windows, a task each. By the collect worker's own code (collect_alone)."""
import contextlib
import datetime
import sqlite3
import threading

from harness import until
from provider import Answer
from test_collect import house, provider  # noqa: F401 fixtures

SIZE = 20
DAY = datetime.timedelta(days=1)
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def ms(time):
    return int(time.timestamp() * 1000)


def changes(count, step=datetime.timedelta(hours=6), begin=BEGIN):
    return [{"id": f"i{i:04}", "n": i, "at": iso(begin + i * step)} for i in range(count)]


def serve(provider, records, path="/items", fail=lambda call: None):
    """What changed since `since`, before `to`, in pages."""

    def answer(call):
        bad = fail(call)
        if bad:
            return bad
        found = [r for r in records if r["at"] >= call.query.get("since", "") and r["at"] < call.query.get("to", "9")]
        at = (int(call.query.get("p", 1)) - 1) * SIZE
        return Answer(body={"items": found[at : at + SIZE]})

    provider.route(path, answer)


def configure(house, words="", job="", start="2026-01-01"):
    house.configure(
        fields="{id: id, n: {path: n, type: integer}}",
        job=f", incremental: {{cursor: at, param: since, start: '{start}' {words}}}"
        f", paginate: {{by: page, param: p, size: {SIZE}}}, retry: {{attempts: 5}} {job}")


def run(house, name, code=0):
    child = house.start("a", name)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code, err


def cursors(house):
    with contextlib.suppress(sqlite3.OperationalError):
        return dict(house.query("SELECT part, cursor FROM drover_cursor"))


def asked(provider, since=0):
    return [c.query["since"] for c in provider.calls[since:] if c.query.get("p", "1") == "1"]


def test_the_next_run_begins_where_the_last_one_ended(house, provider):
    records = changes(50)
    serve(provider, records)
    configure(house, ", lookback: 1h")
    run(house, "1")
    assert cursors(house) == {"{}": ms(BEGIN + 49 * datetime.timedelta(hours=6))}
    records += changes(5, begin=BEGIN + 20 * DAY)
    records[3]["n"] = 99  # not seen again
    run(house, "2")
    run(house, "3")
    begins = asked(provider)
    assert begins[0] == "2026-01-01T00:00:00Z"
    assert begins[1] == iso(BEGIN + 49 * datetime.timedelta(hours=6) - datetime.timedelta(hours=1))
    assert begins[2] == iso(BEGIN + 21 * DAY - datetime.timedelta(hours=1))
    assert house.query("SELECT COUNT(*) FROM things") == [(50,)]
    assert house.query("SELECT rows FROM drover_run ORDER BY id") == [(50,), (6,), (1,)]


def test_a_cursor_that_lies_in_the_future_is_not_followed(house, provider):
    records = [*changes(5), {"id": "x", "n": 1, "at": "2999-01-01T00:00:00Z"}]
    serve(provider, records)
    configure(house)
    run(house, "1")
    assert cursors(house) == {"{}": ms(BEGIN + DAY)}
    assert house.query("SELECT COUNT(*) FROM things") == [(6,)]


def test_numbers_are_cursors_too_and_none_goes_back(house, provider):
    provider.route("/items", lambda call: Answer(body={"items": [
        {"id": f"i{n}", "n": n, "at": n} for n in (7, 12, 9) if n >= int(call.query["since"])] + [{"id": "old", "n": 1, "at": 2}]}))
    configure(house, ", type: integer", start="5")
    run(house, "1")
    assert cursors(house) == {"{}": 12}
    provider.route("/items", Answer(body={"items": [{"id": "old", "n": 1, "at": 2}]}))
    run(house, "2")
    assert [c.query["since"] for c in provider.calls] == ["5", "12"]
    assert cursors(house) == {"{}": 12}


def test_killed_in_the_middle_the_cursor_has_not_moved(house, provider):
    records = changes(SIZE * 4 + 1)
    hold = threading.Event()
    serve(provider, records, fail=lambda call: Answer(wait=hold) if call.n == 3 else None)
    configure(house)
    child = house.start("a")
    until(lambda: provider.count() == 4 and house.stored() == 3 * SIZE, "the fourth page is asked for")
    assert not cursors(house)
    child.kill()
    child.wait()
    hold.set()
    run(house, "one")
    assert [(c.query["since"], c.query["p"]) for c in provider.calls[3:]] == [
        ("2026-01-01T00:00:00Z", p) for p in "445"]
    assert cursors(house) == {"{}": ms(BEGIN + len(records[1:]) * datetime.timedelta(hours=6))}
    assert house.query("SELECT rows FROM drover_run") == [(len(records),)]


def test_what_max_pages_cut_off_is_asked_for_again(house, provider):
    serve(provider, changes(SIZE * 3))
    configure(house)
    text = house.file.read_text()
    house.file.write_text(text.replace(f"size: {SIZE}", f"size: {SIZE}, max_pages: 2"))
    run(house, "1")
    assert not cursors(house)
    house.file.write_text(text)
    run(house, "2")
    assert asked(provider) == ["2026-01-01T00:00:00Z"] * 2
    assert cursors(house) == {"{}": ms(BEGIN + 59 * datetime.timedelta(hours=6))}


# ---- windows ----

def days_ago(n):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now - n * DAY).replace(microsecond=0)


def windowed(house, days, words=""):
    configure(house, ", until: to, step: 1d" + words, start=iso(days_ago(days)))


def test_time_is_cut_into_windows_that_leave_nothing_out(house, provider):
    begin = days_ago(30)
    records = changes(110, begin=begin)
    serve(provider, records)
    windowed(house, 30)
    run(house, "1")
    assert house.query("SELECT COUNT(*) FROM things") == [(110,)]
    spans = sorted((c.query["since"], c.query["to"]) for c in provider.calls)
    assert len(spans) == 31 and spans[0][0] <= iso(begin + DAY)
    assert all(a[1] == b[0] for a, b in zip(spans, spans[1:]))
    (row,) = house.query("SELECT state, tasks_total, tasks_done, rows FROM drover_run")
    assert row == ("succeeded", 32, 32, 110)
    last = datetime.datetime.fromisoformat(records[-1]["at"].replace("Z", "+00:00"))
    (cursor,) = cursors(house).values()
    # What was seen last, or the begin of the last window, which is still open.
    assert ms(last) <= cursor <= ms(datetime.datetime.now(datetime.timezone.utc))
    assert house.query("SELECT COUNT(*) FROM drover_window") == [(0,)]
    before = provider.count()
    run(house, "2")
    assert provider.count() - before <= 3
    assert cursors(house)["{}"] >= cursor


def test_the_cursor_stays_before_a_window_that_failed(house, provider):
    begin = days_ago(10)
    records = changes(38, begin=begin)
    bad = set()

    def fail(call):
        if not bad and len(provider.calls) > 4:
            bad.add(call.query["since"])
        return Answer(status=404) if call.query["since"] in bad else None

    serve(provider, records, fail=fail)
    windowed(house, 10)
    run(house, "1")
    (state,) = house.query("SELECT state, tasks_failed FROM drover_run")
    assert state == ("failed", 1)
    (since,) = bad
    (cursor,) = cursors(house).values()
    assert iso(datetime.datetime.fromtimestamp(cursor / 1000, datetime.timezone.utc)) == since
    missing = {r["id"] for r in records if since <= r["at"]} - {i for (i,) in house.query("SELECT id FROM things")}
    assert missing
    # The next run begins there, and it is all there.
    bad.add("none")
    bad.remove(since)
    before = provider.count()
    run(house, "2")
    assert min(c.query["since"] for c in provider.calls[before:]) == since
    assert house.query("SELECT COUNT(*) FROM things") == [(38,)]
    assert cursors(house)["{}"] > cursor


def test_killed_while_windows_are_made_none_is_made_twice_and_none_is_missing(house, provider):
    hold = threading.Event()
    serve(provider, [], fail=lambda call: Answer(body={"items": []}, wait=hold))
    configure(house, ", until: to, step: 1h", start=iso(days_ago(10)))  # 240 windows, in two transactions
    child = house.start("a")
    until(lambda: provider.count() >= 1, "the first window is asked for")
    child.kill()
    child.wait()
    hold.set()
    run(house, "one")
    spans = {(c.query["since"], c.query["to"]) for c in provider.calls}
    ordered = sorted(spans)
    assert all(a[1] == b[0] for a, b in zip(ordered, ordered[1:]))
    (row,) = house.query("SELECT state, tasks_total, tasks_done FROM drover_run")
    assert row[0] == "succeeded" and row[1] == row[2] == len(spans) + 1
    assert 240 <= len(spans) <= 241

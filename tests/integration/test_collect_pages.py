# SPDX-License-Identifier: MIT
"""Getting all of it: each way in which APIs give a list in pages, by the collect worker's own code (collect_alone). Every
call is counted on the provider's side: a worker that was killed asks for what is missing and for nothing else."""
import json
import threading
import urllib.parse

import pytest
from harness import until
from provider import Answer, Provider
from test_collect import expected, house, provider, things  # noqa: F401 fixtures

SIZE = 50


def number(call, name, default=0):
    return int(call.query.get(name, default))


class Style:
    """One way of paging: the job's words, and the provider's answers."""

    def __init__(self, name, words, begin, answer, request=""):
        self.name, self.words, self.begin, self.answer, self.path = name, words, begin, answer, "/items" + request

    def serve(self, provider, records, path="/items", **more):
        def of(call):
            at = self.begin(call)
            body, headers = self.answer(provider, call, records[at : at + SIZE], at + SIZE, len(records))
            return Answer(body=body, headers=headers, **more)

        provider.route(path, of)


def token(at):
    """As opaque as they come: nothing of it may be lost on its way."""
    return f"é/&=+ {at}\u2028\"" if at else ""


def of_token(text):
    return int(text.split(" ")[1].split("\u2028")[0]) if text else 0


STYLES = [
    Style("page", "by: page, param: p, size_param: n", lambda c: (number(c, "p") - 1) * SIZE,
          lambda p, c, items, end, total: ({"items": items}, {})),
    Style("offset", "by: offset, param: from, total: meta.total", lambda c: number(c, "from"),
          lambda p, c, items, end, total: ({"items": items, "meta": {"total": total}}, {})),
    Style("cursor", "by: cursor, param: after, cursor: meta.next", lambda c: of_token(c.query.get("after")),
          lambda p, c, items, end, total: ({"items": items, "meta": {"next": token(end) if end < total else None}}, {})),
    Style("cursor_in_header", "by: cursor, param: after, header: X-Next", lambda c: number(c, "after"),
          lambda p, c, items, end, total: ({"items": items}, {"X-Next": str(end)} if end < total else {})),
    Style("last_id", "by: cursor, param: after, cursor: 'items[-1].id', more: more",
          lambda c: int(c.query["after"][1:]) + 1 if "after" in c.query else 0,
          lambda p, c, items, end, total: ({"items": items, "more": end < total}, {})),
    Style("next", "by: next, next: links.next", lambda c: number(c, "at"),
          lambda p, c, items, end, total: ({"items": items, "links": {"next": f"?at={end}" if end < total else None}}, {})),
    Style("link", "by: link", lambda c: number(c, "at"),
          lambda p, c, items, end, total: ({"items": items}, {
              "Link": f'<{p.url}/items?at=0>; rel="first"' + (f', </items?at={end}>; rel="next"' if end < total else "")})),
]
SIZED = f", size: {SIZE}"


POST = ", method: POST, idempotent: true, body: "


def of_form(call):
    return dict(urllib.parse.parse_qsl(call.body.decode(), keep_blank_values=True))


STYLES += [
    Style("cursor_in_json", "by: cursor, in: body, param: variables.after, size_param: variables.n, cursor: meta.next",
          lambda c: of_token(json.loads(c.body)["variables"]["after"]) if json.loads(c.body)["variables"]["n"] == SIZE else None,
          lambda p, c, items, end, total: ({"items": items, "meta": {"next": token(end) if end < total else None}}, {}),
          POST + """{json: '{"query": "{ items }", "variables": {"after": null}}'}"""),
    Style("offset_in_form", "by: offset, in: body, param: from, total: meta.total", lambda c: int(of_form(c)["from"]),
          lambda p, c, items, end, total: ({"items": items, "meta": {"total": total}}, {}), POST + "{form: {q: things}}"),
]


def start_and_kill_at(house, provider, style, call_number):
    """Killed while the provider has a call in hand and everything before it is stored."""
    hold = threading.Event()
    whole = provider.routes["/items"]

    def held(call):
        answer = whole(call)
        if call.n == call_number:
            answer.wait = hold
        return answer

    provider.route("/items", held)
    child = house.start("a")
    until(lambda: provider.count() > call_number and house.stored() == call_number * SIZE, "the call in hand")
    child.kill()
    child.wait()
    hold.set()


@pytest.mark.parametrize("style", STYLES, ids=lambda s: s.name)
def test_killed_in_the_middle_it_asks_for_what_is_missing_only(house, provider, style):
    records = things(SIZE * 5 + 7)
    style.serve(provider, records)
    house.configure(job=f", paginate: {{{style.words}{SIZED}}}", path=style.path)
    start_and_kill_at(house, provider, style, 3)
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    begins = [style.begin(c) for c in provider.calls]
    assert begins == [0, 50, 100, 150, 150, 200, 250]
    run = house.the_run()
    assert (run["state"], run["rows"], run["errors"]) == ("succeeded", len(records), [])
    rule = {"page": "short page", "offset": "total", "offset_in_form": "total", "last_id": "no more"}.get(style.name, "no next page")
    assert house.query("SELECT rule, tasks FROM drover_ended_by") == [(rule, 1)]


def collect(house, provider, words, answer, state="succeeded"):
    provider.route("/items", answer)
    house.configure(job=f", retry: {{attempts: 1}}, paginate: {{{words}}}")
    house.run()
    run = house.the_run()
    assert run["state"] == state, run
    return run


def test_data_that_changes_between_pages_is_stored_once(house, provider):
    records = things(120)

    def answer(call):
        at = number(call, "from")
        now = records if call.n == 0 else [{**records[0], "id": "new"}, *records]  # one more in front, after the first
        return Answer(body={"items": now[at : at + 50]})

    run = collect(house, provider, "by: offset, param: from, size: 50", answer)
    assert house.rows("id") == [(r["id"],) for r in records]
    assert run["rows"] == 121  # t00049 came twice


def test_a_provider_that_caps_the_size_of_a_page_gives_all_of_it(house, provider):
    records = things(130)
    run = collect(house, provider, "by: offset, param: from, size: 100, total: total", lambda call: Answer(
        body={"items": records[number(call, "from"):][:30], "total": 130}))
    assert run["rows"] == 130 and provider.count() == 5


def test_a_total_that_lies_ends_with_what_there_is(house, provider):
    records = things(130)
    run = collect(house, provider, "by: page, param: p, size: 50, total: total", lambda call: Answer(
        body={"items": records[(number(call, "p") - 1) * 50:][:50], "total": 75 if number(call, "p") < 3 else 9000}))
    assert run["rows"] == 130
    assert [c.query["p"] for c in provider.calls] == ["1", "2", "3", "4"]
    assert house.query("SELECT rule FROM drover_ended_by") == [("empty page",)]


def test_endless_pages_end_by_max_pages_and_the_run_says_so(house, provider):
    run = collect(house, provider, "by: cursor, param: c, cursor: next, max_pages: 7", lambda call: Answer(
        body={"items": [{"id": f"i{call.n}", "n": 1}], "next": f"c{call.n}"}))
    assert run["rows"] == provider.count() == 7
    assert run["errors"] == ["stopped after max_pages: 7 pages"]
    assert house.query("SELECT rule FROM drover_ended_by") == [("max_pages",)]


def test_a_token_that_comes_again_ends_it_and_what_came_is_kept(house, provider):
    run = collect(house, provider, "by: cursor, param: c, cursor: next", lambda call: Answer(
        body={"items": [{"id": f"i{call.n}", "n": 1}], "next": "same"}), state="failed")
    assert run["rows"] == provider.count() == 2
    assert len(run["errors"]) == 1 and "leads back to an earlier one" in run["errors"][0]
    assert house.query("SELECT rule FROM drover_ended_by") == [("repeated token",)]


def test_a_page_that_comes_again_under_another_token_ends_it(house, provider):
    run = collect(house, provider, "by: next, next: next", lambda call: Answer(
        body={"items": [{"id": "i", "n": 1}], "next": f"?at={call.n}"}), state="failed")
    assert run["rows"] == 1 and provider.count() == 2
    assert "page 2 is page 1 again" in run["errors"][0]
    assert house.query("SELECT rule FROM drover_ended_by") == [("repeated page",)]


def test_a_next_page_on_another_host_is_not_asked_for(house, provider):
    with Provider() as other:
        run = collect(house, provider, "by: next, next: next", lambda call: Answer(
            body={"items": [{"id": "i", "n": 1}], "next": other.url + "/items"}), state="failed")
        assert other.count() == 0 and run["rows"] == 0
    assert "credentials and limits" in run["errors"][0]

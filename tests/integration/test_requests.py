# SPDX-License-Identifier: MIT
"""Requests of the collect worker, judged by what arrives at the provider: methods, bodies, what may not be received twice."""
import signal
import struct
import threading
import urllib.parse

import pytest
from given import SANITIZED
from harness import BUILD, until
from provider import Answer, pages
from test_collect import house, provider, things  # noqa: F401 fixtures

SEARCH = {"items": [{"id": "a", "title": "A", "n": 1, "pos": {"lat": 0.5}}]}


def ask(house, request, job="", **more):
    house.configure(job=job, **more)
    text = house.file.read_text().replace("request: {provider: p, path: /items}", f"request: {{provider: p, path: /items, {request}}}")
    house.file.write_text(text)
    return text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_each_method_arrives_as_it_is(house, provider, method):
    provider.route("/items", Answer(body=SEARCH))
    ask(house, f"method: {method}")
    house.run()
    (call,) = provider.calls
    assert (call.method, call.body) == (method, b"")
    assert ("Content-Length" in call.headers) == (method in ("POST", "PUT", "PATCH"))
    assert "Content-Type" not in call.headers and house.the_run()["rows"] == 1


def test_a_body_of_json_and_headers_arrive(house, provider):
    provider.route("/items", Answer(body=SEARCH))
    ask(house, """method: POST, headers: {X-Kind: "é k"}, body: {json: '{"kind": "é", "n": [1, 2.50]}'}""")
    house.run()
    (call,) = provider.calls
    assert call.body.decode() == '{"kind": "é", "n": [1, 2.50]}' and call.headers["Content-Type"] == "application/json"
    assert call.headers["X-Kind"].encode("latin-1").decode() == "é k"


def test_a_form_is_a_form(house, provider):
    provider.route("/items", Answer(body=SEARCH))
    ask(house, 'method: POST, body: {form: {q: "a b&c=é", page: "1"}}')
    house.run()
    (call,) = provider.calls
    assert urllib.parse.parse_qsl(call.body.decode()) == [("q", "a b&c=é"), ("page", "1")]
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Expect" not in call.headers


def test_a_large_body_waits_for_nobody(house, provider):
    provider.route("/items", Answer(body=SEARCH))
    ask(house, """method: PUT, body: {json: '"%s"'}""" % ("x" * 200000))
    house.run(timeout=5)
    assert len(provider.calls[0].body) == 200002 and "Expect" not in provider.calls[0].headers


RETRIED = "{attempts: 3, backoff: {initial: 50ms, max: 100ms}}"


def test_a_request_that_may_not_be_received_twice_is_not(house, provider):
    """A connection that was kept dies as the second page is asked for: libcurl would send that again by itself."""
    whole = pages(things(250))
    provider.route("/items", lambda call: Answer(drop=True) if call.query["page"] == "2" else whole(call))
    ask(house, "method: POST", job=", paginate: {by: page, param: page, size: 100}, retry: " + RETRIED, retry=RETRIED)
    house.run()
    assert [c.query["page"] for c in provider.calls] == ["1", "2"]
    assert "is not sent again" in house.dead()[0][0] and house.stored() == 100


@pytest.mark.parametrize("answer", [Answer(500), Answer(503), Answer(body="{", cut=1), Answer(408), Answer(body="no json")],
                         ids=["500", "503", "half", "408", "no json"])
def test_an_answer_that_leaves_it_open_ends_the_task(house, provider, answer):
    provider.route("/items", answer)
    ask(house, "method: PATCH", job=", retry: " + RETRIED, retry=RETRIED)
    house.run()
    assert len(provider.calls) == 1
    assert "may have been received" in house.dead()[0][0]


def test_what_was_refused_or_never_sent_is_sent_again(house, provider):
    refusals = [Answer(429), Answer(503, headers={"Retry-After": "0"}), Answer(429, headers={"Retry-After": "0"})]
    provider.route("/items", lambda call: refusals[call.n] if call.n < 3 else Answer(body=SEARCH))
    ask(house, "method: POST", job=", retry: {backoff: {initial: 50ms, max: 50ms}}",
        retry="{attempts: 2, backoff: {initial: 50ms, max: 50ms}}")
    house.run()
    assert len(provider.calls) == 4 and house.the_run()["rows"] == 1


def test_a_post_that_only_asks_is_asked_again(house, provider):
    provider.route("/items", lambda call: Answer(drop=True) if call.n < 2 else Answer(body=SEARCH))
    ask(house, "method: POST, idempotent: true", retry=RETRIED)
    house.run()
    assert len(provider.calls) == 3 and house.the_run()["rows"] == 1


def test_it_is_not_received_twice_over_kills(house, provider):
    """Killed while the answer is awaited, at its second page of three: whoever takes the task over does not ask again."""
    held = threading.Event()
    whole = pages(things(250))
    provider.route("/items", lambda call: Answer(wait=held) if call.query["page"] == "2" else whole(call))
    ask(house, "method: POST", job=", paginate: {by: page, param: page, size: 100}, retry: " + RETRIED)
    child = house.start("a")
    until(lambda: provider.count() == 2, "the second page is asked for")
    child.kill()
    child.wait()
    held.set()
    house.run()
    assert [c.query["page"] for c in provider.calls] == ["1", "2"]
    assert "when its worker ended; it may have been received" in house.dead()[0][0]
    assert house.stored() == 100


def is_asked(row):
    """Whether the queue says of a task that its page was asked for."""
    return (row[0] or "").startswith("asked:")


def known_as_asked(house):
    return is_asked(*house.query("SELECT checkpoint FROM drover_task"))


def test_killed_while_it_waits_for_a_limit_it_is_sent_by_the_next(house, provider):
    provider.route("/items", pages(things(250)))
    ask(house, "method: POST", job=", paginate: {by: page, param: page, size: 100}", provider=", limits: {rate: 1/1500ms}")
    child = house.start("a")
    until(lambda: house.stored() == 100, "the first page is stored")
    assert not known_as_asked(house)
    child.kill()
    child.wait()
    assert provider.count() == 1 and not known_as_asked(house)
    house.run()
    assert [c.query["page"] for c in provider.calls] == ["1", "2", "3"]
    assert (house.the_run()["state"], house.stored(), house.dead()) == ("succeeded", 250, [])


def test_killed_while_it_waits_after_a_refusal_it_is_sent_by_the_next(house, provider):
    provider.route("/items", lambda call: Answer(429, headers={"Retry-After": "2"}) if call.n == 0 else Answer(body=SEARCH))
    ask(house, "method: POST")
    child = house.start("a")
    until(lambda: provider.count() == 1 and not known_as_asked(house), "the refusal is written down")
    child.kill()
    child.wait()
    assert provider.count() == 1
    house.run()
    assert provider.count() == 2 and house.the_run()["rows"] == 1 and house.dead() == []


def die_at(house, tmp_path, commit, place):
    """As tests/chaos/commit_killer.c has it: in the commit-th transaction from here on. False: there are not so many."""
    ticket = tmp_path / "ticket"
    ticket.write_bytes(struct.pack("<4I", place, 1, commit, 0))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(BUILD / "bin/libchaos_commit_killer.so"))
        environment.setenv("CHAOS_TICKET", str(ticket))
        environment.setenv("CHAOS_KIND", "1")
        child = house.start("a", str(commit))
    child.wait(20)
    return child.returncode == -signal.SIGKILL


@pytest.mark.skipif(SANITIZED, reason="the sanitizer's library must come first")
@pytest.mark.parametrize("place, ends", [(1, {(0, False), (1, True)}), (4, {(0, False), (0, True), (1, False)})],
                         ids=["before the commit", "after it"])
def test_killed_in_any_commit_it_is_received_once_if_that_can_be_known(house, provider, tmp_path, place, ends):
    """Neither sent nor written down: sent by the next one. Written down: never again, sent or not."""
    provider.route("/items", Answer(body=SEARCH))
    ask(house, "method: POST")
    house.run()
    seen = set()
    for commit in range(20):
        before, dead = provider.count(), len(house.dead())
        if not die_at(house, tmp_path, commit, place):
            break
        sent, known = provider.count() - before, any(map(is_asked, house.query("SELECT checkpoint FROM drover_task")))
        assert house.start("a", str(commit)).wait(20) == 0
        assert provider.count() - before == (sent if known else 1), f"commit {commit}"
        assert len(house.dead()) - dead == known
        seen.add((sent, known))
    assert seen == ends and commit > 3


def test_what_it_led_to_may_wait_and_end_and_it_is_not_sent_again(house, provider):
    """The task's time ends while the GET that a POST led to waits for its place."""
    provider.route("/items", Answer(303, headers={"Location": "/b"}))
    ask(house, "method: POST", job=", timeout: 1s, retry: " + RETRIED, provider=", limits: {rate: 1/1h}")
    house.run()
    assert [c.method for c in provider.calls] == ["POST"]
    assert "may have been received" in house.dead()[0][0]

# SPDX-License-Identifier: MIT
"""Requests of the collect worker, judged by what arrives at the provider: methods, bodies, what may not be received twice."""
import threading
import urllib.parse

import pytest
from harness import until
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

# SPDX-License-Identifier: MIT
"""Credentials and redirects of the collect worker, judged by what arrives at two servers."""
import base64
import threading

import pytest
from harness import until
from provider import Answer, Provider
from test_collect import house, provider  # noqa: F401 fixtures

GOOD = Answer(body={"items": [{"id": "a", "title": "A", "n": 1, "pos": {"lat": 0.5}}]})
AUTH = {"query": ('{query: {key: "s3 c+ret/1"}}', None), "header": ("{header: {X-Api-Key: s3cret}}", ("X-Api-Key", "s3cret")),
        "bearer": ("{bearer: s3cret}", ("Authorization", "Bearer s3cret")),
        "basic": ("{basic: {user: ü, password: 's3:cret'}}",
                  ("Authorization", "Basic " + base64.b64encode("ü:s3:cret".encode()).decode()))}


@pytest.fixture
def other():
    with Provider() as p:
        p.route("/items", GOOD)
        p.route("/there", GOOD)
        yield p


def moved(to, status=302):
    return Answer(status, headers={"Location": to}, body="moved")


def describe(house, auth="", request="", **more):
    more.setdefault("provider", f", headers: {{X-Own: s3cret, Accept: text/x}}, auth: {auth}" if auth else "")
    house.configure(**more)
    if request:
        house.file.write_text(house.file.read_text().replace("path: /items", "path: /items, " + request))


def secrets(call):
    return "s3" in repr(call) or "czM6" in repr(call) or "Authorization" in call.headers or "X-Own" in call.headers


@pytest.mark.parametrize("way", AUTH)
def test_credentials_are_sent_and_never_shown(house, provider, way):
    provider.route("/items", lambda call: Answer(500) if call.n == 0 else GOOD)
    auth, header = AUTH[way]
    describe(house, auth, retry="{attempts: 2, backoff: {initial: 50ms, max: 50ms}}")
    said = house.run()
    assert house.the_run()["rows"] == 1 and len(provider.calls) == 2
    for call in provider.calls:
        if header:
            assert call.headers[header[0]] == header[1] and not call.query
        else:
            assert call.query == {"key": "s3 c+ret/1"}
        assert call.headers["X-Own"] == "s3cret" and call.headers["Accept"] == "text/x"
    assert "s3" not in said
    assert b"s3cret" not in (house.state / "drover.db").read_bytes()


@pytest.mark.parametrize("way, status", [("query", 301), ("header", 302), ("bearer", 303), ("basic", 307), ("query", 308)])
def test_credentials_stay_with_scheme_host_and_port(house, provider, other, way, status):
    """Another port, and another name of the same address; also when it leads back. The server may repeat the key itself."""
    echo = ("&key=s3%20c%2Bret%2F1", "key=s3+c%2Bret/1&") if way == "query" else ("", "")
    other.route("/items", moved(provider.url.replace("127.0.0.1", "localhost") + f"/b?{echo[1]}a=1", status))
    provider.route("/items", moved(other.url + "/items?a=1" + echo[0], status))
    provider.route("/b", moved(provider.url + "/c", status))
    provider.route("/c", GOOD)
    describe(house, AUTH[way][0])
    house.run()
    assert [c.path for c in provider.calls] == ["/items", "/b", "/c"] and house.the_run()["rows"] == 1
    assert secrets(provider.calls[0])
    strangers = [*other.calls, *provider.calls[1:]]
    assert not any(secrets(c) for c in strangers), strangers
    assert other.calls[0].query == {"a": "1"} and strangers[0].headers["Accept"] == "text/x"


@pytest.mark.parametrize("way", AUTH)
def test_within_its_origin_they_go_along_once(house, provider, way):
    provider.route("/items", moved("/b?x=1#top"))
    provider.route("/b", moved("c?y=2" + ("&key=s3%20c%2Bret%2F1" if way == "query" else "")))
    provider.route("/c", GOOD)
    describe(house, AUTH[way][0])
    house.run()
    assert [c.path for c in provider.calls] == ["/items", "/b", "/c"]
    assert all(secrets(c) for c in provider.calls) and house.the_run()["rows"] == 1
    assert provider.calls[1].query.pop("x") == "1" and "#" not in repr(provider.calls)


BODY = """body: {json: '{"a": 1}'}"""


@pytest.mark.parametrize("method, status, then, body", [
    ("POST", 301, "GET", b""), ("POST", 302, "GET", b""), ("POST", 303, "GET", b""), ("POST", 307, "POST", b'{"a": 1}'),
    ("POST", 308, "POST", b'{"a": 1}'), ("PUT", 301, "PUT", b'{"a": 1}'), ("PUT", 303, "GET", b""),
    ("PATCH", 302, "PATCH", b'{"a": 1}'), ("DELETE", 303, "GET", b""), ("DELETE", 307, "DELETE", b'{"a": 1}')])
def test_the_method_follows_the_rules_of_rfc_9110(house, provider, method, status, then, body):
    provider.route("/items", moved("/b", status))
    provider.route("/b", GOOD)
    describe(house, request=f"method: {method}, {BODY}")
    house.run()
    first, second = provider.calls
    assert (first.method, second.method, second.body) == (method, then, body)
    assert ("Content-Type" in second.headers) == bool(body) and house.the_run()["rows"] == 1


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_goes_to_no_other_server(house, provider, other, status):
    provider.route("/items", moved(other.url + "/items", status))
    describe(house, request="method: POST, " + BODY)
    house.run()
    assert len(provider.calls) == 1 and other.calls == []
    assert "would take the body to another server" in house.dead()[0][0]


def test_a_post_that_led_to_a_get_is_not_sent_again(house, provider):
    provider.route("/items", moved("/b", 303))
    provider.route("/b", Answer(500))
    describe(house, request="method: POST, " + BODY, retry="{attempts: 2, backoff: {initial: 50ms, max: 50ms}}",
          job=", retry: {attempts: 3, backoff: {initial: 50ms, max: 50ms}}")
    house.run()
    assert [c.method for c in provider.calls] == ["POST", "GET", "GET"]
    assert "is not sent again" in house.dead()[0][0]


def test_ten_redirects_are_followed_and_no_more(house, provider):
    """Each is a call, and counts as one."""
    for i in range(12):
        provider.route(f"/{i}", moved(f"/{i + 1}"))
    provider.route("/items", moved("/2"))
    provider.route("/11", GOOD)
    describe(house)
    house.run()
    assert house.the_run()["rows"] == 1 and house.the_run()["requests"] == len(provider.calls) == 11


def test_a_ring_of_redirects_ends_at_once(house, provider):
    provider.route("/items", moved("/items"))
    describe(house, job=", retry: {attempts: 5}")
    house.run()
    assert len(provider.calls) == 11 and "more than 10 redirects" in house.dead()[0][0]


@pytest.mark.parametrize("to, words", [("file:///etc/passwd", "no http or https URL"), ("gopher://127.0.0.1/", "no http or https"),
                                       ("http://[", "no http or https URL"), ("http://user:pw@127.0.0.1/x", "user or a password"),
                                       ("", "without a Location")])
def test_where_it_cannot_go_is_said_at_once(house, provider, to, words):
    provider.route("/items", moved(to))
    describe(house, job=", retry: {attempts: 5}")
    house.run()
    assert len(provider.calls) == 1 and words in house.dead()[0][0]


def test_redirects_keep_to_the_rate(house, provider):
    """D3: each redirect takes its place in the window."""
    for i in range(6):
        provider.route("/items" if i == 0 else f"/{i}", moved(f"/{i + 1}"))
    provider.route("/6", GOOD)
    describe(house, provider=", limits: {rate: 3/1s}")
    house.run()
    assert len(provider.calls) == 7 and provider.fullest_window(1) <= 3


def test_a_key_that_the_provider_repeats_in_its_next_url_is_not_kept(house, provider):
    """Pages of a URL that the answer names, with the key in it as some APIs have it."""
    body = dict(GOOD.body, next=provider.url + "/items?after=a&key=s3%20c%2Bret%2F1")
    held = threading.Event()
    provider.route("/items", lambda call: Answer(wait=held) if "after" in call.query else Answer(body=body))
    describe(house, AUTH["query"][0], job=", paginate: {by: next, next: next}")
    child = house.start("a")
    until(lambda: provider.count() == 2 and house.query("SELECT checkpoint FROM drover_task")[0][0], "the first page is stored")
    child.kill()
    held.set()
    assert [c.query for c in provider.calls] == [{"key": "s3 c+ret/1"}, {"after": "a", "key": "s3 c+ret/1"}]
    stored = b"".join(f.read_bytes() for f in house.state.iterdir() if f.is_file())
    assert b"after=a" in stored and b"s3%20" not in stored and b"s3 c" not in stored

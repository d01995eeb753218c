# SPDX-License-Identifier: MIT
"""Tokens of OAuth 2.0, judged by a server that gives them, lets them end, and rotates refresh tokens."""
import base64
import json
import os
import subprocess
import threading
import time
import urllib.parse

import pytest
from harness import BUILD, until
from provider import Answer, pages
from test_collect import house, provider, things  # noqa: F401 fixtures

PAGED = ", paginate: {by: page, param: page, size: 100}"


class Tokens:
    """RFC 6749 on the provider's own port: /token gives, /items wants one that has not ended."""

    def __init__(self, provider, life=3600, records=250, rotates=False, delay=0, **items):
        self.provider, self.life, self.delay, self.rotates = provider, life, delay, rotates
        self.lock = threading.Lock()
        self.ends = {}  # access token: its end
        self.given = {}  # access token: the refresh token that came with it
        self.refresh = ["first s3cret"]  # those before the newest that was used are forgotten
        self.newest = 0
        self.asked = self.active = self.most_active = self.unknown = 0
        self.serve = pages(things(records))
        provider.route("/token", self.give)
        provider.route("/items", self.items)

    def form(self, call):
        return dict(urllib.parse.parse_qsl(call.body.decode()))

    def give(self, call):
        with self.lock:
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        time.sleep(self.delay)
        with self.lock:
            self.active -= 1
            self.asked += 1
            if self.rotates:
                token = self.form(call).get("refresh_token")
                if token not in self.refresh[self.newest:]:
                    self.unknown += 1
                    return Answer(400, {"error": "invalid_grant"})
                self.newest = self.refresh.index(token)
                self.refresh.append(f"refresh-{self.asked} s3cret")
            access = f"access-{self.asked}.s3cret"
            self.given[access] = len(self.refresh) - 1
            self.ends[access] = time.monotonic() + self.life
            answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.life}
            return Answer(body=dict(answer, refresh_token=self.refresh[-1]) if self.rotates else answer)

    def items(self, call):
        kind, _, token = call.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self.ends.get(token, 0) < time.monotonic():
            return Answer(401)
        self.newest = max(self.newest, self.given[token])  # whoever shows this has seen the refresh token beside it
        return self.serve(call)


def describe(house, more="client_secret: s3cret", job=PAGED, **rest):
    extra = rest.pop("provider", "")
    house.configure(job=job, provider=f', auth: {{oauth2: {{token_url: "{house.provider.url}/token", client_id: "me:é", {more}}}}}{extra}',
                    **rest)


def calls(provider, path):
    return [c for c in provider.calls if c.path == path]


def test_client_credentials_are_shown_once_and_the_token_each_time(house, provider):
    Tokens(provider)
    describe(house, 'client_secret: "s3cret/ ", scope: "read all", params: {audience: "https://x/"}')
    said = house.run()
    (asked,) = calls(provider, "/token")
    assert (asked.method, asked.headers["Content-Type"]) == ("POST", "application/x-www-form-urlencoded")
    assert dict(urllib.parse.parse_qsl(asked.body.decode())) == {
        "grant_type": "client_credentials", "scope": "read all", "audience": "https://x/"}
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"me%3A%C3%A9:s3cret%2F%20"
    assert [c.headers["Authorization"] for c in calls(provider, "/items")] == ["Bearer access-1.s3cret"] * 3
    assert house.the_run()["rows"] == 250
    # The next process has the token already; nobody else can read it, and nobody is told.
    folder = house.state / "tokens"
    assert [p.name for p in sorted(folder.iterdir())] == ["p.json", "p.lock"]
    assert folder.stat().st_mode & 0o777 == 0o700 and all(p.stat().st_mode & 0o777 == 0o600 for p in folder.iterdir())
    child = house.start("a", "again")
    assert child.wait(20) == 0 and len(calls(provider, "/token")) == 1
    shown = subprocess.run([BUILD / "bin/drover", "config", "--config", house.file], capture_output=True, text=True).stdout
    assert "oauth2" in shown and "s3cret" not in shown + said
    assert not any(b"s3cret" in p.read_bytes() for p in house.state.iterdir() if p.is_file())


def test_client_credentials_may_stand_in_the_body(house, provider):
    Tokens(provider)
    describe(house, "client_secret: s3cret, client_auth: body")
    house.run()
    (asked,) = calls(provider, "/token")
    assert "Authorization" not in asked.headers
    assert dict(urllib.parse.parse_qsl(asked.body.decode())) == {
        "grant_type": "client_credentials", "client_id": "me:é", "client_secret": "s3cret"}


def test_a_token_is_replaced_before_it_ends_also_in_a_retry_s_sleep(house, provider):
    """Its life is 2 s; the first call is told to come back after 3 s. No call shows a token that has ended."""
    server = Tokens(provider, life=2)
    good = server.serve
    server.serve = lambda call: Answer(503, headers={"Retry-After": "3"}) if call.n == 0 else good(call)
    describe(house)
    house.run()
    first, second, *_ = calls(provider, "/items")
    assert second.at - first.at >= 2.9 and first.headers["Authorization"] != second.headers["Authorization"]
    assert house.the_run()["rows"] == 250 and house.the_run()["errors"] == []
    assert len(calls(provider, "/token")) == 2


def test_a_token_that_is_taken_back_is_replaced_once(house, provider):
    server = Tokens(provider)
    good = server.serve

    def serve(call):
        if call.n == 1:
            server.ends.clear()
            return Answer(401)
        return good(call)
    server.serve = serve
    describe(house)
    house.run()
    assert house.the_run()["rows"] == 250 and len(calls(provider, "/token")) == 2 and len(calls(provider, "/items")) == 4


STALE = ', on_error: [{status: 403, body: "expired", then: refresh}]'


def test_a_rule_says_that_the_token_is_stale_and_one_call_for_many_replaces_it(house, provider):
    """Eight calls at a time get it, of POSTs that must not be received twice; the provider says so with a 403 of its own."""
    server = Tokens(provider, delay=0.2)
    good, first = server.items, threading.Barrier(8)

    def items(call):
        if call.headers["Authorization"] == "Bearer access-1.s3cret":
            first.wait(10)
            return Answer(403, {"error": "session expired"})
        return good(call)
    provider.route("/items", items)
    describe(house, provider=", limits: {rate: 9/1s}", job=STALE + f", for_each: {{as: v, csv: {house.state}/values.csv}}")
    (house.state / "values.csv").write_text("v\n" + "\n".join("12345678"))
    house.file.write_text(house.file.read_text().replace("path: /items", 'path: /items, method: POST, query: {v: "{{v}}"}'))
    house.run()
    run = house.the_run()
    assert (run["state"], run["tasks_done"], run["requests"], run["errors"]) == ("succeeded", 9, 16, [])
    assert len(calls(provider, "/token")) == 2 and house.dead() == []
    assert provider.fullest_window(1) <= 9, "the repeated calls and the tokens count"


def test_one_of_four_processes_replaces_a_stale_token_for_all(house, provider):
    server = Tokens(provider, delay=0.3)
    good = server.items

    def items(call):
        old = call.headers["Authorization"] == "Bearer access-1.s3cret"
        return Answer(403, {"error": "session expired"}, delay=0.2) if old else good(call)
    provider.route("/items", items)
    describe(house, job=STALE, processes=4, concurrency=4)
    children = [house.start("a", str(i)) for i in range(4)]
    assert [c.wait(20) for c in children] == [0] * 4
    assert (server.asked, server.most_active) == (2, 1) and house.dead() == []


def test_an_answer_that_stays_stale_fails_its_task(house, provider):
    """Also where token_url gives the same token until that ends."""
    provider.route("/token", Answer(body={"access_token": "same", "token_type": "Bearer"}))
    provider.route("/items", Answer(403, {"error": "session expired"}))
    describe(house, job=PAGED + STALE, provider=", limits: {rate: 10/1h}")
    house.run()
    assert len(calls(provider, "/items")) == 2 and len(calls(provider, "/token")) == 2
    ((error,),) = house.dead()
    assert 'HTTP 403 with "expired", on_error: refresh: another token did not help' in error


def test_a_provider_that_takes_no_token_is_not_asked_for_ever(house, provider):
    server = Tokens(provider)
    server.serve = lambda call: Answer(401)
    describe(house)
    house.run()
    assert len(calls(provider, "/items")) == 2 and len(calls(provider, "/token")) == 2
    assert "HTTP 401" in house.dead()[0][0]


def test_what_token_url_says_against_it_is_told_without_secrets(house, provider):
    provider.route("/token", Answer(401, {"error": "invalid_client", "error_description": "s3cret"}))
    describe(house, job=PAGED + ", retry: {attempts: 1}")
    said = house.run()
    assert "token: token_url answers HTTP 401, invalid_client" in house.dead()[0][0]
    assert calls(provider, "/items") == [] and "s3cret" not in said + house.dead()[0][0]


@pytest.mark.parametrize("body, words", [
    ("no json", "RFC 6749"), ({"token_type": "bearer"}, "no access_token"), ({"access_token": "a\nX: y"}, "no access_token"),
    ({"access_token": "a", "token_type": "mac"}, "another type"), ({"access_token": "a", "expires_in": 0}, "ended already")])
def test_an_answer_that_is_no_token_is_said(house, provider, body, words):
    provider.route("/token", Answer(body=body))
    describe(house, job=", retry: {attempts: 1}")
    house.run()
    assert words in house.dead()[0][0] and calls(provider, "/items") == []


ROTATING = "grant: refresh_token, refresh_token: first s3cret, client_secret: s3cret"


def test_a_refresh_token_that_rotates_is_kept_over_kills(house, provider):
    """Killed at twelve moments around the answer. The server forgets the old refresh token when the new one is used."""
    server = Tokens(provider, life=1, rotates=True, delay=0.02)
    describe(house, ROTATING, job="")
    for i in range(12):
        child = house.start("a", str(i))
        before = server.asked
        until(lambda: server.active or server.asked > before or child.poll() is not None, "it asks for a token")
        time.sleep(i * 0.004)
        child.kill()
        child.wait()
        server.ends.clear()
        path = house.state / "tokens/p.json"
        assert not path.exists() or json.loads(path.read_text())["refresh_token"] in server.refresh[server.newest:]
        if path.exists():
            kept = json.loads(path.read_text())
            kept["ends_ms"] = 0  # as if its time were over
            path.write_text(json.dumps(kept))
    child = house.start("a", "last")
    assert child.wait(20) == 0
    assert server.unknown == 0 and house.stored() > 0
    assert (house.state / "tokens/p.json").stat().st_mode & 0o777 == 0o600


def test_one_of_four_processes_asks_and_all_use_it(house, provider):
    server = Tokens(provider, life=3600, rotates=True, delay=0.3)
    describe(house, ROTATING, job="")
    children = [house.start("a", str(i)) for i in range(4)]
    assert [c.wait(20) for c in children] == [0] * 4
    assert (server.asked, server.most_active, server.unknown) == (1, 1, 0)
    assert len(calls(provider, "/items")) >= 4


def test_a_refresh_token_is_shown_once_even_when_its_answer_is_lost(house, provider):
    provider.route("/token", Answer(drop=True))
    describe(house, ROTATING, job=", retry: {attempts: 1}", retry="{attempts: 5, backoff: {initial: 50ms, max: 50ms}}")
    house.run()
    assert len(calls(provider, "/token")) == 1 and "token: " in house.dead()[0][0]


def test_asking_for_a_token_counts_in_the_limits(house, provider):
    server = Tokens(provider, life=1)
    describe(house, provider=", limits: {rate: 3/1s}", job=PAGED.replace("100", "40"))
    server.serve = pages(things(250), size=40)
    house.run(timeout=20)
    assert house.the_run()["rows"] == 250 and len(calls(provider, "/token")) >= 2
    assert provider.fullest_window(1) <= 3


def test_another_client_does_not_take_the_token_of_the_one_before(house, provider):
    Tokens(provider)
    describe(house)
    house.run()
    house.file.write_text(house.file.read_text().replace("me:é", "you"))
    assert house.start("a", "again").wait(20) == 0
    assert len(calls(provider, "/token")) == 2
    os.truncate(house.state / "tokens/p.json", 20)
    assert house.start("a", "third").wait(20) == 0
    assert len(calls(provider, "/token")) == 3

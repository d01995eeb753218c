# SPDX-License-Identifier: MIT
"""Calls, tokens, redirects and crawls through a proxy: what it hears, what the server hears, and what a failure is called."""
import json
import os
import subprocess

import pytest
from forward import Forward
from harness import BUILD, until
from provider import Answer, Provider
from test_tls import NGINX, Nginx, keys  # noqa: F401 a fixture

GOOD = {"items": [{"id": "a"}]}
HTML = {"Content-Type": "text/html"}


def limited(tmp_path, text, code=0, verb=("run", "j", "--limit", "5")):
    file = tmp_path / "drover.yaml"
    file.write_text(f"supervisor: {{state_dir: {tmp_path / 'state'}}}\n{text}")
    done = subprocess.run([BUILD / "bin/drover", *verb, "--json", "--config", file], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "http_proxy": "http://127.0.0.1:1", "NO_PROXY": "*"})
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def collect(base, proxy, more="", name="p", job="j", path="/items"):
    return (f"providers: {{{name}: {{base_url: \"{base}\", proxy: {proxy} {more}}}}}\n"
            f"jobs: {{{job}: {{kind: collect, request: {{provider: {name}, path: {path}}}, records: items, fields: {{id: id}},"
            " store: {table: t, key: [id]}}}\n")


def test_calls_tokens_and_redirects_go_through_it_and_what_needs_none_does_not(tmp_path):
    with Provider() as provider, Provider() as near, Forward() as proxy:
        port = provider.server.server_port
        proxy.names = {"inside.example": port, "moved.example": port}
        provider.route("/token", Answer(body={"access_token": "t0ken", "token_type": "bearer", "expires_in": 3600}))
        provider.route("/items", Answer(302, headers={"Location": "http://moved.example/there"}))
        provider.route("/there", Answer(302, headers={"Location": f"{near.url}/near"}))
        near.route("/near", Answer(body=GOOD))
        said = limited(tmp_path, collect("http://inside.example", f"{{url: \"{proxy.url}\", no_proxy: [127.0.0.1]}}",
                       ", private: true, auth: {oauth2: {token_url: \"http://inside.example/token\", client_id: c,"
                       " client_secret: s}}"))
        assert said["rows"][0]["id"] == "a"
        assert [head.split()[1] for head in proxy.heads] == [f"http://{rest}" for rest in (
            "inside.example/token", "inside.example/items", "moved.example/there")]
        # The token is the first host's, whoever carries it.
        assert ["Bearer t0ken" in head for head in proxy.heads] == [False, True, False]
        assert near.count("/near") == 1 and near.calls[0].path == "/near"


def test_a_number_is_refused_and_a_redirect_to_one_too(tmp_path):
    with Provider() as provider, Forward({"inside.example": 1}) as proxy:
        proxy.names["inside.example"] = provider.server.server_port
        provider.route("/items", Answer(302, headers={"Location": "http://2130706433/items"}))
        text = collect("http://inside.example", f"\"{proxy.url}\"", ", retry: {attempts: 1}")
        said = limited(tmp_path, text, code=1)
        assert "private" in said["errors"][0] and len(proxy.heads) == 1
        # explain says what a run does: the name is the proxy's affair.
        said = limited(tmp_path, text, verb=("explain", "j", "http://inside.example/items"))
        assert said["verdict"] == "fetched" and said["proxy"] == proxy.url == said["request"]["proxy"]


def test_a_proxy_that_refuses_is_asked_once_and_one_that_is_away_again(tmp_path):
    with Provider() as provider, Forward({"inside.example": 1}, users={"u": "right"}) as proxy:
        shown = f"{{url: \"{proxy.url}\", user: u, password: wr0ng}}"
        said = limited(tmp_path, collect("http://inside.example", shown), code=1)
        assert "other credentials" in said["errors"][0] and "wr0ng" not in json.dumps(said)
        assert len(proxy.heads) == 1 and provider.count() == 0
    text = collect("http://inside.example", "\"http://127.0.0.1:1\"", ", retry: {attempts: 2, backoff: {initial: 50ms}}")
    text = text.replace("kind: collect", "kind: collect, retry: {attempts: 1}")
    assert "connect:" in limited(tmp_path, text, code=1)["errors"][0]


def test_a_proxy_behind_tls_is_verified_and_a_crawl_goes_past_it_where_none_is_needed(tmp_path, keys):  # noqa: F811
    with Provider() as provider, Forward(tls=(keys / "server.pem", keys / "server.key")) as proxy:
        proxy.names = {"inside.example": provider.server.server_port}
        provider.route("/items", Answer(body=GOOD))
        near = f"{provider.url}/near"
        for path, body in (("/", f"<a href='{near}'>x</a>"), ("/near", "")):
            provider.route(path, Answer(body=f"<title>x</title>{body}", headers=HTML))
        said = limited(tmp_path, collect("http://inside.example", f"\"{proxy.url}\"", ", retry: {attempts: 1}").replace(
            "kind: collect", "kind: collect, retry: {attempts: 1}"), code=1)
        assert "certificate" in said["errors"][0] and proxy.heads == []
        whole = f"{{url: \"{proxy.url}\", ca: {keys}/ca.pem, no_proxy: [127.0.0.1]}}"
        assert limited(tmp_path, collect("http://inside.example", whole))["rows"][0]["id"] == "a"
        said = limited(tmp_path, f"""
jobs:
  j: {{kind: crawl, start: ["http://inside.example/"], follow: {{domains: [inside.example, 127.0.0.1], private: true}}, proxy: {whole},
      politeness: {{delay: 0s}}, store: {{table: t, key: [url]}}}}
""")
        assert len(said["rows"]) == 2 and provider.count("/near") == 1
        assert [h.split()[1].removeprefix("http://inside.example") for h in proxy.heads] == ["/items", "/robots.txt", "/"]


def finished(drover, run):
    code, answer = drover.ask("runs", json.dumps({"id": run}))
    return next((r for r in answer.get("runs", []) if r["finished_at"]), None)


@pytest.mark.skipif(not NGINX.exists(), reason="no nginx here")
def test_tunnels_keep_secrets_apart_and_a_crawl_has_its_own_proxy(drover, tmp_path, keys):  # noqa: F811
    folder = tmp_path / "nginx"
    folder.mkdir()
    strict = "if ($http_proxy_authorization) { return 418; } if ($http_authorization != \"Bearer s3cret\") { return 401; }"
    nginx = Nginx(folder, keys, strict)
    with Provider() as site, Forward(users={"u1": "pw1", "u2": "pw2", "u3": "pw3"}) as proxy:
        proxy.names = {"site.example": site.server.server_port}
        site.route("/", Answer(body="<title>x</title>", headers=HTML))
        providers = "\n".join(
            f"  p{i}: {{base_url: \"{nginx.url}\", private: true, tls: {{ca: {keys}/ca.pem}}, auth: {{bearer: s3cret}},"
            f" retry: {{attempts: 1}}, proxy: {{url: \"{proxy.url}\", user: u{i}, password: \"${{PW{i}}}\"}}}}" for i in (1, 2))
        jobs = "\n".join(
            f"  j{i}: {{kind: collect, request: {{provider: p{i}, path: /items}}, records: items, fields: {{id: id}}, retry: {{attempts: 1}},"
            f" store: {{table: t{i}, key: [id]}}}}" for i in (1, 2))
        drover.start(f"""
http: {{listen: "127.0.0.1:0"}}
workers: {{collect: {{processes: 1}}, crawl: {{processes: 1}}}}
providers:
{providers}
jobs:
{jobs}
  c: {{kind: crawl, start: ["http://site.example/"], store: {{table: c, key: [url]}}, politeness: {{delay: 0s}},
      proxy: {{url: "{proxy.url}", user: u3, password: pw3}}}}
""", environment={"PW1": "pw1", "PW2": "pw2"})
        drover.wait_event("scheduler_ready")
        for job in ("j1", "j2", "c"):
            run = drover.ask("run", json.dumps({"job": job, "request_id": job}))[1]["run"]["id"]
            ended = until(lambda run=run: finished(drover, run), f"{job} has ended")
            assert ended["state"] == "succeeded", ended
        nginx.close()
        tunnels = [head for head in proxy.heads if head.startswith("CONNECT")]
        # A tunnel that was opened for one is not another's, and neither hears what is the server's.
        assert [h.count("Proxy-Authorization: Basic dTE6cHcx") - h.count("Proxy-Authorization: Basic dTI6cHcy") for h in tunnels] == [1, -1]
        assert "s3cret" not in "".join(proxy.heads)
        assert {h.split()[1] for h in proxy.heads if h.startswith("GET")} == {"http://site.example/robots.txt", "http://site.example/"}
        shown = subprocess.run(
            [BUILD / "bin/drover", "config", "--config", drover.config], capture_output=True, text=True, timeout=20,
            env={**os.environ, "PW1": "pw1", "PW2": "pw2"}).stdout
        assert "pw1" not in shown and "pw3" not in shown and "user: u3" in shown
        for log in drover.logs.iterdir():
            assert b"pw1" not in log.read_bytes() and b"pw3" not in log.read_bytes()

# SPDX-License-Identifier: MIT
"""Trying a job: run --dry-run, run --limit, explain, try. What is shown is compared with what the provider saw."""
import contextlib
import csv
import ipaddress
import json
import os
import pathlib
import socket
import sqlite3
import subprocess

import pytest

from harness import BUILD, ROOT
from provider import Answer, Provider, pages

DROVER = BUILD / "bin/drover"
CASES = pathlib.Path(os.environ.get("DROVER_CASES", ROOT / "../shared/cases"))
SECRET = "s3cr/t&key"
RECORDS = [{"id": n, "title": f"title {n}", "at": "2026-01-02T03:04:05Z"} for n in range(1, 251)]


class House:
    """A configuration, its state folder, and the command line beside it."""

    def __init__(self, tmp, provider):
        self.tmp, self.provider = tmp, provider
        self.state = tmp / "state"
        self.file = tmp / "drover.yaml"
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp), "KEY": SECRET, "TMPDIR": str(tmp / "scratch")}
        self.env |= {name: os.environ[name] for name in ("DROVER_FIELD", "DROVER_MUTANT") if name in os.environ}
        (tmp / "scratch").mkdir()

    def configure(self, job="", provider="", more="", made=True):
        if made:
            self.state.mkdir(exist_ok=True)
        self.file.write_text(f"""
supervisor: {{state_dir: {self.state}}}
providers:
  p: {{base_url: "{self.provider.url}/v1", private: true, {provider} headers: {{X-Key: "${{KEY}}", Authorization: plain}},
      limits: {{rate: 20/1h, concurrency: 5}}, retry: {{attempts: 1}}}}
jobs:
  items: {{kind: collect, request: {{provider: p, path: /items, query: {{key: "${{KEY}}", lang: en}}}}, records: items,
      paginate: {{by: page, param: page, size_param: size, size: 100}},
      fields: {{id: {{path: id, type: integer}}, title: title, at: {{path: at, type: timestamp}}}},
      store: {{table: items, key: [id]}} {job}}}
{more}""")

    def drover(self, *words, code=0, **more):
        done = subprocess.run([DROVER, *words, "--config", self.file], env=self.env, capture_output=True, text=True,
                              timeout=60, **more)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert SECRET not in done.stdout + done.stderr and "s3cr%2Ft" not in done.stdout + done.stderr
        assert list((self.tmp / "scratch").iterdir()) == [], "something is left in $TMPDIR"
        return done

    def ask(self, *words, code=0, **more):
        return json.loads(self.drover(*words, "--json", code=code, **more).stdout)


@pytest.fixture
def house(tmp_path):
    with Provider() as provider:
        provider.route("/v1/items", pages(RECORDS))
        yield House(tmp_path, provider)


def test_a_dry_run_says_what_it_would_ask_and_sends_nothing(house):
    house.configure()
    said = house.ask("run", "items", "--dry-run")
    assert house.provider.count() == 0
    request = said["request"]
    assert request["method"] == "GET" and said["tasks"] == 1
    assert request["url"] == f"{house.provider.url}/v1/items?key=***&lang=en&page=1&size=100"
    assert request["headers"] == {"X-Key": "***", "Authorization": "***"}
    assert said["store"] == {"table": "items", "mode": "upsert", "key": ["id"],
                             "columns": {"id": "integer", "title": "text", "at": "timestamp"}}
    assert [(w["count"], w["period_ms"], w["used"], w["left"]) for w in said["limits"]] == [(20, 3600000, 0, 20), (5, 0, 0, 5)]
    text = house.drover("run", "items", "--dry-run").stdout
    assert "nothing was sent" in text and "/v1/items?key=***" in text and "of provider/p: 20 left" in text
    assert house.provider.count() == 0 and not (house.state / "drover.db").exists()


def test_a_dry_run_asks_what_the_limited_run_then_asks(house):
    house.configure(job=', for_each: {values: [a, b, c], as: x}')
    house.file.write_text(house.file.read_text().replace("lang: en", 'lang: "{{x}}"'))
    said = house.ask("run", "items", "--dry-run")
    house.ask("run", "items", "--limit", "1")
    call = house.provider.calls[0]
    assert said["tasks"] == 3 and call.query == {"key": SECRET, "lang": "a", "page": "1", "size": "100"}
    assert said["request"]["url"].replace("***", "s3cr%2Ft%26key") == \
        f"{house.provider.url}{call.path}?key=s3cr%2Ft%26key&lang=a&page=1&size=100"


EACH = "\n  each: {kind: collect, request: {provider: p, path: /items, query: {of: '{{v}}'}}, records: items, fields: {id: id}, " \
       "for_each: {%s, as: v}, store: {table: each, key: [id]}}\n"


def with_store(house):
    """The tables of jobs that ran before, as the worker has made them."""
    with contextlib.closing(sqlite3.connect(house.state / "drover.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE items (id INTEGER, title TEXT)")
        db.executemany("INSERT INTO items VALUES (?, ?)", [(n, f"t{n}") for n in range(1, 401)])
        db.execute("CREATE TABLE drover_cursor (job TEXT, part TEXT, cursor BIGINT)")
        db.execute("INSERT INTO drover_cursor VALUES ('changes', '{}', 1767323045000)")
    return dump(house)


def dump(house):
    with contextlib.closing(sqlite3.connect(house.state / "drover.db")) as db:
        return list(db.iterdump())


@pytest.mark.parametrize("source, first", [("job: items, field: id", "1"), ("sql: \"SELECT title FROM items WHERE id > 50\"", "t100")])
def test_for_each_of_the_store_is_tried_with_the_values_that_are_there(house, source, first):
    house.configure(more=EACH % source)
    said = house.drover("run", "each", "--limit", "2", code=1)
    assert "drover.db is not there" in said.stderr
    before = with_store(house)
    plan = house.ask("run", "each", "--dry-run")
    assert plan["tasks"] is None and plan["request"]["url"].endswith("/v1/items?of=" + first)
    assert "a task for each value, nothing was sent" in house.drover("run", "each", "--dry-run").stdout
    assert house.provider.count() == 0
    house.provider.route("/v1/items", lambda call: Answer(body={"items": [{"id": call.query["of"]}]}))
    said = house.ask("run", "each", "--limit", "3")
    assert len(said["rows"]) == 3 and said["rows"][0]["id"] == first and said["tasks_of_job"] is None
    assert house.provider.count() == 3 and said["requests"] == 3
    assert dump(house) == before, "nothing was written"


def test_for_each_of_a_table_that_is_not_there_and_of_a_long_file(house):
    house.configure(more=EACH % "job: items, field: id")
    sqlite3.connect(house.state / "drover.db").close()
    (house.state / "drover.db").touch()
    said = house.ask("run", "each", "--limit", "2", code=1)
    assert said["state"] == "failed" and "items" in said["errors"][0] and house.provider.count() == 0
    (house.tmp / "v.csv").write_text("v\n" + "\n".join(map(str, range(200000))))
    house.configure(more=EACH % f"csv: {house.tmp}/v.csv")
    house.provider.route("/v1/items", lambda call: Answer(body={"items": [{"id": call.query["of"]}]}))
    said = house.ask("run", "each", "--limit", "2")
    assert [r["id"] for r in said["rows"]] == ["0", "1"] and said["tasks"] == 3, "not all of the file was read"


def test_an_incremental_job_is_tried_from_where_it_is(house):
    job = "\n  changes: {kind: collect, request: {provider: p, path: /items}, records: items, fields: {id: id}, store: {table: c, key: [id]},\n" \
        "      incremental: {cursor: at, param: since, start: '2020-01-01'}}\n"
    house.configure(more=job)
    assert house.ask("run", "changes", "--dry-run")["request"]["url"].endswith("since=2020-01-01T00%3A00%3A00Z")
    with_store(house)
    assert house.ask("run", "changes", "--dry-run")["request"]["url"].endswith("since=2026-01-02T03%3A04%3A05Z")


def test_what_auth_adds_is_sent_and_not_shown(house):
    house.configure(provider='auth: {query: {token: s3cr/t&key}, header: {X-Auth: s3cr/t&key}},')
    request = house.ask("run", "items", "--dry-run")["request"]
    assert "token=***" in request["url"] and request["headers"]["X-Auth"] == "***"
    house.ask("run", "items", "--limit", "1")
    assert house.provider.calls[0].query["token"] == SECRET and house.provider.calls[0].headers["X-Auth"] == SECRET


def test_a_body_is_shown_without_its_secret_and_sent_with_it(house):
    house.configure()
    house.file.write_text(house.file.read_text().replace('query: {key: "${KEY}", lang: en}',
                          'method: POST, idempotent: true, headers: {X-Job: j}, body: {form: {key: "${KEY}", lang: en}}'))
    request = house.ask("run", "items", "--dry-run")["request"]
    assert request["method"] == "POST" and request["body"] == "key=***&lang=en" and request["headers"]["X-Job"] == "j"
    house.ask("run", "items", "--limit", "1")
    assert [c.method for c in house.provider.calls] == ["POST"]


def test_a_limited_run_shows_rows_and_stores_nothing_but_its_calls_count(house):
    house.configure()
    said = house.ask("run", "items", "--limit", "3")
    assert said["rows"] == [{"id": n, "title": f"title {n}", "at": "2026-01-02T03:04:05.000Z"} for n in (1, 2, 3)]
    assert (said["state"], said["requests"], said["rejected"]) == ("succeeded", 1, 0)
    assert house.provider.count() == 1, "the page that holds them, and no other"
    assert sorted(p.name for p in house.state.iterdir()) == ["limits"]
    assert house.ask("run", "items", "--dry-run")["limits"][0]["used"] == 1
    table = house.drover("run", "items", "--limit", "150").stdout.splitlines()
    assert len(table) == 151 and house.provider.count() == 3
    assert table[0].split() == ["id", "title", "at"] and table[150].split()[0] == "150"


def test_more_records_than_there_are_is_all_of_them(house):
    house.configure(made=False)
    said = house.ask("run", "items", "--limit", "1000")
    assert [r["id"] for r in said["rows"]] == [r["id"] for r in RECORDS] and said["requests"] == 3
    assert not house.state.exists(), "where no drover ever ran, nothing is made"


def test_what_is_rejected_is_told_with_its_reason(house):
    house.provider.route("/v1/items", Answer(body={"items": [{"id": "x", "title": "a"}, {"id": 2, "title": "b"}]}))
    house.configure()
    said = house.ask("run", "items", "--limit", "5")
    assert [r["id"] for r in said["rows"]] == [2] and said["rejected"] == 1
    assert 'field id: "x" is not an integer' in said["errors"][0]
    assert 'field id: "x" is not an integer' in house.drover("run", "items", "--limit", "5").stderr


def test_a_provider_that_fails_is_told_and_exit_code_1(house):
    house.provider.route("/v1/items", Answer(404, "nothing here"))
    house.configure()
    said = house.ask("run", "items", "--limit", "5", code=1)
    assert said["state"] == "failed" and said["rows"] == [] and "HTTP 404" in said["errors"][0]
    assert house.provider.count() == 1


def test_limits_that_cannot_be_shared_are_not_passed_by(house):
    house.configure()
    (house.state / "limits").write_bytes(b"")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for path in (house.tmp, *house.tmp.parents):
        path.chmod(path.stat().st_mode | 0o755)
    house.file.chmod(0o644)
    (house.tmp / "scratch").chmod(0o777)
    (house.state / "limits").chmod(0o600)
    said = house.drover("run", "items", "--limit", "1", code=5, user="nobody", group="nogroup", extra_groups=[])
    assert "limits" in said.stderr and house.provider.count() == 0


def test_usage_is_judged_before_anything_is_asked(house):
    house.configure(more="  report: {kind: exec, command: [/bin/true]}\n")
    assert "did you mean 'items'?" in house.drover("run", "item", "--dry-run", code=4).stderr
    assert "a command" in house.drover("run", "report", "--limit", "1", code=2).stderr
    assert "1 to 10000" in house.drover("run", "items", "--limit", "0", code=2).stderr
    assert "--dry-run" in house.drover("run", "items", "--limit", "1", "--dry-run", code=2).stderr
    assert "--wait" in house.drover("run", "items", "--limit", "1", "--wait", code=2).stderr
    assert "--config" in house.drover("run", "items", code=2).stderr
    assert "did you mean 'json'?" in house.drover("try", "jsno", "a", "b", code=2).stderr
    house.file.write_text(house.file.read_text().replace("records: items", "recods: items"))
    assert "did you mean \"records\"?" in house.drover("explain", "items", "http://x/", code=78).stderr
    assert house.provider.count() == 0


def test_explain_says_what_limits_guard_and_base_url_do_with_a_url(house):
    house.configure()
    url = f"{house.provider.url}/v1/things"
    said = house.ask("explain", "items", url)
    assert (said["verdict"], said["reason"], said["identity"]) == ("fetched", None, url)
    assert said["addresses"] == [{"address": "127.0.0.1", "private": True}]
    assert said["request"]["url"] == url and said["request"]["headers"]["X-Key"] == "***"
    assert house.ask("explain", "items", f"{house.provider.url}/v2/things")["verdict"] == "skipped"
    assert house.ask("explain", "items", "https://example.org/v1/things")["reason"].startswith("not below")
    house.file.write_text(house.file.read_text().replace("rate: 20/1h", "rate: 1/1h"))
    house.ask("run", "items", "--limit", "1")
    said = house.ask("explain", "items", url)
    assert said["verdict"] == "waits" and 3500000 < said["opens_in_ms"] <= 3610000 and said["limits"][0]["left"] == 0
    # A name whose answer is private: the text of the URL does not tell.
    name = socket.gethostname()
    if not ipaddress.ip_address(socket.gethostbyname(name)).is_private:
        pytest.skip("this machine's name is a public address")
    house.file.write_text(house.file.read_text().replace("private: true", "private: false").replace("127.0.0.1", name))
    said = house.ask("explain", "items", url.replace("127.0.0.1", name))
    assert (said["verdict"], said["reason"]) == ("skipped", "private address")
    assert house.provider.count() == 1


ROBOTS = "User-agent: *\nDisallow: /secret\nCrawl-delay: 0\n"
SITE = '<a href="/a">a</a> <a href="/secret/x">x</a> <a href="/deep/1">1</a> <a href="http://elsewhere.invalid/">e</a>' \
    '<a href="/p/p/p/p/p">p</a> <a href="mailto:x@example.org">m</a>'


def test_explain_of_a_crawl_is_what_a_run_then_does(house):
    page = {"Content-Type": "text/html"}
    house.provider.route("/", Answer(body=SITE, headers=page))
    house.provider.route("/a", Answer(body="<p>a", headers=page))
    house.provider.route("/deep/1", Answer(body='<a href="/deep/2">2</a>', headers=page))
    house.provider.route("/robots.txt", Answer(body=ROBOTS, headers={"Content-Type": "text/plain"}))
    house.configure(more=f"""
  site: {{kind: crawl, start: ["{house.provider.url}/"], follow: {{private: true, depth: 1}}, politeness: {{delay: 0s}},
      extract: [{{fields: {{title: {{xpath: "string(//title)"}}}}}}], store: {{table: pages, key: [url]}}}}
""")
    base = house.provider.url
    explained = {url: house.ask("explain", "site", url) for url in
                 (f"{base}/", f"{base}/a", f"{base}/secret/x", f"{base}/deep/1", "http://elsewhere.invalid/", f"{base}/p/p/p/p/p")}
    assert {c.path for c in house.provider.calls} <= {"/robots.txt"}
    # The run that then happens, by the worker itself.
    config = house.tmp / "crawl"
    config.mkdir()
    done = subprocess.run([BUILD / "bin/crawl_alone", config, f"start={base}/", "private=1", "depth=1", "delay=0"],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    db = sqlite3.connect(config / "drover.db")
    became = {url: (state, reason) for url, state, reason in db.execute("SELECT url, state, reason FROM drover_url")}
    db.close()
    for url, said in explained.items():
        assert (said["verdict"], said["reason"]) == (became[url][0], became[url][1] or None), url
    assert explained[f"{base}/"]["start"] and explained[f"{base}/secret/x"]["reason"] == "robots.txt line 2: Disallow: /secret"
    said = house.ask("run", "site", "--limit", "2")
    assert len(said["rows"]) == 2 and said["rows"][0]["status"] == 200 and said["rows"][0]["url"] == f"{base}/"


def test_one_request_as_the_jobs_provider_would_make_it(house):
    house.provider.route("/v1/a", Answer(418, "short and stout", headers={"Content-Type": "text/tea"}))
    house.configure()
    said = house.ask("try", "request", "items", "/a")
    assert said["answers"][0]["status"] == 418 and said["answers"][0]["content_type"] == "text/tea"
    assert said["body"] == "short and stout" and said["request"]["headers"]["X-Key"] == "***"
    call = house.provider.calls[0]
    assert call.path == "/v1/a" and call.query == {} and call.headers["X-Key"] == SECRET
    text = house.drover("try", "request", "items", "/a").stdout
    assert "418" in text and "short and stout" in text
    assert "begins with /" in house.drover("try", "request", "items", "a", code=2).stderr


def test_an_answer_in_a_file_becomes_the_rows_it_would_be(house):
    house.configure()
    answer = json.dumps({"items": [{"id": 7, "title": "seven", "at": 1767323045}, {"id": {}, "title": "no"}]})
    said = house.ask("try", "records", "items", "-", input=answer)
    assert said["rows"] == [{"id": 7, "title": "seven", "at": "2026-01-02T03:04:05.000Z"}]
    assert said["records"] == 2 and said["rejected"] == 1 and "field id" in said["errors"][0]
    said = house.drover("try", "records", "items", "-", code=1, input='{"items": [{"id": 1}, oops')
    assert "byte" in said.stderr


def test_a_path_finds_what_the_case_tables_say(house, tmp_path):
    table = CASES / "json/jsonpath-simple.tsv"
    if not table.exists():
        pytest.skip(f"{table} is not there")
    house.configure()
    rows = list(csv.DictReader((line for line in table.read_text().splitlines() if not line.startswith("#")),
                               delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in [r for r in rows if r["path_dotted"] != "-"][::6]:
        said = house.ask("try", "json", row["path_dotted"], "-", input=row["document"])
        assert said["values"] in json.loads(row["expected_any"]), row["id"]
    exact = house.drover("try", "json", "$.a", "-", "--json", input='{"a": [1.10, 12345678901234567890123]}').stdout
    assert exact == '{"values":[[1.10,12345678901234567890123]]}\n'
    assert "path" in house.drover("try", "json", "a[", "-", code=2, input="{}").stderr


def test_a_reference_is_resolved_as_the_crawler_would(house):
    house.configure()
    said = house.ask("try", "url", "http://Example.ORG/a/b", "../c?x#y")
    assert said == {"url": "http://example.org/c?x#y", "canonical": "http://example.org/c?x"}
    assert house.ask("try", "url", "", "HTTP://EXAMPLE.org:80/%7ea") == \
        {"url": "http://example.org/%7ea", "canonical": "http://example.org/~a"}
    assert "error" in house.ask("try", "url", "", "mailto:a@example.org")
    assert house.drover("try", "url", "", "nothing", code=1).stderr

# SPDX-License-Identifier: MIT
"""Sites and providers that wish drover ill, all at once against one real droverd. Each has a defined end, read from the
database and from the server's own record of calls; the jobs beside them go on, no worker grows, none is restarted."""
import contextlib
import email.utils
import gzip
import ipaddress
import json
import os
import pathlib
import random
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse

import harness
import pytest
from given import SANITIZED
from harness import BUILD, Drover, until
from hostile import CLOSE, HANG, RESET, Hostile, answer, drip, fullest_window, head, html, links, moved

PATIENCE = 80
RSS_MAX = 200 << 20  # of a worker
HAS_MUTANTS = b"FUZZ_LINKS" in (BUILD / "bin/drover-parser").read_bytes()
CASES = {}


def name_of_home():
    """A name of this machine: the text of such a URL does not tell that it is private. None when there is none."""
    for name in (socket.gethostname(), "ip6-localhost", "ip6-loopback"):
        with contextlib.suppress(OSError):
            if ipaddress.ip_address(socket.getaddrinfo(name, 80)[0][4][0]).is_private:
                return name
    return None


HOME = name_of_home()
needs_home = pytest.mark.skipif(not HOME, reason="this machine's name has no private address")


# ---- cases: a site, and the job that visits it ----


class Case:
    def __init__(self, name, kind, routes, job, provider=None):
        self.name, self.kind, self.routes, self.job, self.provider = name, kind, routes, job, provider
        self.site, self.host = None, None
        assert name not in CASES
        CASES[name] = self


def crawl(name, routes, start="/", xpath="string(//title)", attempts=2, timeout="60s", follow=None, **more):
    job = {
        "kind": "crawl", "start": [start], "follow": {"depth": 4, "private": True, **(follow or {})},
        "politeness": {"delay": "0s", "per_host": 4}, "retry": {"attempts": attempts}, "timeout": timeout,
        "extract": [{"match": ".*", "fields": {"title": {"xpath": xpath}}}], "store": {"table": name, "key": ["url"]},
        **more,
    }
    return Case(name, "crawl", routes, job)


def collect(name, route, fields=None, attempts=2, paged=None, timeout="30s", provider=None, **more):
    job = {
        "kind": "collect", "request": {"provider": name, "path": "/items"}, "records": "items",
        "fields": fields or {"id": "id", "n": {"path": "n", "type": "integer"}},
        "store": {"table": name, "key": ["id"]}, "retry": {"attempts": attempts}, "timeout": timeout, **more,
    }
    if paged:
        job["paginate"] = {"by": "page", "param": "page", "size": paged}
    own = {"private": True, "retry": {"attempts": 1}, **(provider or {})}
    return Case(name, "collect", {"/items": route}, job, own)


def items(records, **headers):
    return answer(json.dumps({"items": records}), type="application/json", **headers)


def raw_items(text, **headers):
    return answer(text, type="application/json", **headers)


def records(first, count):
    return [{"id": f"r{i:05}", "n": i} for i in range(first, first + count)]


def paged(size, total):
    def page(call):
        n = int(call.query["page"])
        return items(records((n - 1) * size, min(size, max(0, total - (n - 1) * size))))

    return page


# ---- one droverd for all of them ----


class Run:
    def __init__(self, row):
        self.__dict__.update(row)
        self.errors = json.loads(self.errors)


class House:
    """A droverd with cases: their sites run, their jobs are configured."""

    def __init__(self, drover, cases, beside=None, sites=None, **settings):
        self.drover, self.cases, self.runs, self.peak = drover, cases, {}, {}
        self.sites = sites or {}
        config = {
            "http": {"listen": "127.0.0.1:0"},
            "supervisor": {"restart": {"min_interval": "0s", "jitter": "0s"}, "stop": {"timeout": "5s"}},
            "workers": {"collect": {"processes": 2, "concurrency": 24},
                        "crawl": {"processes": 2, "concurrency": 16, "parsers": 2}},
            "providers": {}, "jobs": dict(beside or {}), **settings,
        }
        for case in cases:
            case.site = self.sites.get(case.name) or Hostile(case.routes)
            url = f"http://{case.host}:{case.site.port}" if case.host else case.site.url
            job = dict(case.job)
            if case.kind == "crawl":
                job["start"] = [urllib.parse.urljoin(url, s) for s in job["start"]]
            else:
                config["providers"][case.name] = {"base_url": url, **case.provider}
            config["jobs"][case.name] = job
        self.config = config
        self.over_now = threading.Event()

    def start(self, environment=None):
        self.drover.start(json.dumps(self.config), environment=environment)
        threading.Thread(target=self.sample, daemon=True).start()
        return self

    def close(self):
        self.over_now.set()
        for case in self.cases:
            case.site.close()

    def sample(self):
        """The largest resident size of each worker, seen from outside."""
        while not self.over_now.wait(0.03):
            for pid in harness.descendants():
                with contextlib.suppress(OSError, IndexError):
                    name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
                    key = (name, pid)
                    self.peak[key] = max(self.peak.get(key, 0), pages * 4096)

    def cli(self, *words, code=0):
        done = subprocess.run([BUILD / "bin/drover", "--socket", self.drover.runtime / "control.sock", *words],
                              capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        assert code is None or done.returncode == code, (words, done)
        return done

    def run(self, name):
        """Asks for a run until it is accepted: in the first moments nobody is there to take it."""
        def asked():
            done = self.cli("run", name, "--json", code=None)
            return json.loads(done.stdout)["id"] if done.returncode == 0 else None
        self.runs[name] = until(asked, f"{name} is accepted")
        return self.runs[name]

    def query(self, sql, *values):
        with contextlib.closing(sqlite3.connect(f"file:{self.drover.state}/drover.db?mode=ro", uri=True, timeout=20)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, values)]

    def look(self, name):
        (row,) = self.query("SELECT * FROM drover_run WHERE id = ?", self.runs[name])
        return Run(row)

    def over(self, case, patience=PATIENCE):
        """The case's run when it is over."""
        until(lambda: self.look(case.name).finished_at, f"{case.name} is over", patience)
        run = self.look(case.name)
        assert run.tasks_done + run.tasks_failed + run.tasks_dead == run.tasks_total, vars(run)
        assert self.query("SELECT 1 FROM drover_task WHERE run_id = ?", run.id) == []
        # What is counted is counted in the transaction that stores it; keys never come twice in these cases.
        assert run.rows == len(self.rows(case)), vars(run)
        return run

    def rows(self, case):
        if not self.query("SELECT 1 FROM sqlite_master WHERE name = ?", case.name):
            return []
        return self.query(f"SELECT * FROM {case.name} ORDER BY 1")

    def titles(self, case):
        return {self.path(row["url"]): row["title"] for row in self.rows(case)}

    @staticmethod
    def path(url):
        parts = urllib.parse.urlsplit(url)
        return parts.path + ("?" + parts.query if parts.query else "")

    def urls(self, case):
        """path -> (state, reason) of the frontier."""
        found = self.query("SELECT url, state, reason FROM drover_url WHERE run_id = ?", self.runs[case.name])
        return {self.path(u["url"]): (u["state"], u["reason"]) for u in found}

    def dead(self, case):
        return [d["error"] for d in self.query("SELECT error FROM drover_dead WHERE run_id = ?", self.runs[case.name])]

    def slots(self):
        return {p["name"]: p for p in self.drover.status()["processes"]}


BESIDE = {
    "beside_crawl": {"kind": "crawl", "schedule": {"every": "1s"}, "politeness": {"delay": "0s", "per_host": 4},
                     "follow": {"private": True}, "store": {"table": "beside_crawl", "key": ["url"]},
                     "extract": [{"match": ".*", "fields": {"title": {"xpath": "string(//title)"}}}]},
    "beside_collect": {"kind": "collect", "schedule": {"every": "1s"}, "records": "items",
                       "request": {"provider": "beside", "path": "/items"}, "fields": {"id": "id"},
                       "store": {"table": "beside_collect", "key": ["id"]}},
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    harness.become_subreaper()
    drover = Drover(tmp_path_factory.mktemp("d"))
    good = Hostile({"/": html(links(["/1", "/2"])), "/1": html("1"), "/2": html("2"), "/items": items(records(0, 5))})
    beside = json.loads(json.dumps(BESIDE))
    beside["beside_crawl"]["start"] = [good.url + "/"]
    one = House(drover, [c for c in CASES.values() if HOME or "by_name" not in c.name], beside)
    one.config["providers"]["beside"] = {"base_url": good.url, "private": True}
    # A planted crash for the page of that test; whoever hunts another bug has set another.
    one.start({"DROVER_MUTANT": os.environ.get("DROVER_MUTANT", "FUZZ_LINKS")} if HAS_MUTANTS else None)
    one.first = {name: slot["pid"] for name, slot in one.slots().items()}
    for case in one.cases:
        one.run(case.name)
    yield one
    one.close()
    good.close()
    left = drover.end()
    assert not left, f"processes left over: {left}"


# ---- pages ----

SPIN = crawl(
    "spin", {"/": html(links(["/slow", "/fine"]), "root"), "/fine": html("", "fine"),
             "/slow": html("<i>a</i>" * 40000 + "<b>c</b>" * 40000, "slow")},
    extract=[{"match": "/slow$", "fields": {"title": {"xpath": "string(//i[text() = //b/text()])"}}},
             {"match": ".*", "fields": {"title": {"xpath": "string(//title)"}}}],
)


def test_a_page_that_spins_costs_its_parser_and_ends_in_the_dead_letters(house):
    run = house.over(SPIN)
    assert (run.state, run.tasks_done, run.tasks_dead) == ("failed", 2, 1)
    assert house.titles(SPIN) == {"/": "root", "/fine": "fine"}
    assert SPIN.site.count("/slow") == 2, "one call an attempt"
    (error,) = house.dead(SPIN)
    assert error.startswith("page killed its parser: "), error
    assert "too much processor time" in error or "no answer for" in error, error
    assert house.urls(SPIN)["/slow"] == ("failed", error)


CRASH = crawl("crash", {"/": html(links(["/boom", "/fine"]), "root"), "/fine": html("", "fine"),
                        "/boom": html("<textarea a=1 b=2></textarea>", "boom")}, attempts=3)


@pytest.mark.skipif(not HAS_MUTANTS, reason="the planted crash is in builds with mutants only")
def test_a_page_that_crashes_its_parser_ends_in_the_dead_letters(house):
    run = house.over(CRASH)
    assert (run.state, run.tasks_done, run.tasks_dead) == ("failed", 2, 1)
    assert house.titles(CRASH) == {"/": "root", "/fine": "fine"}
    (error,) = house.dead(CRASH)
    assert error.startswith("page killed its parser: signal 6"), error
    assert CRASH.site.count("/boom") == 3


NESTING = crawl("nesting", {"/": html("<a href=/fine>x</a>" + "<div>" * 10**6, "deep"), "/fine": html("", "fine")})


def test_a_million_nested_elements_yield_a_row_without_fields_and_their_links(house):
    run = house.over(NESTING)
    assert (run.state, run.rows) == ("succeeded", 2)
    assert house.titles(NESTING) == {"/": None, "/fine": "fine"}
    assert any("nested more than 512 deep" in e for e in run.errors), run.errors


ATTRIBUTES = crawl("attributes", {"/": html(b"<p %s><a href=/fine>x</a>" % b" ".join(b"a%d=1" % i for i in range(10**5)),
                                            "many"), "/fine": html("", "fine")})


def test_a_hundred_thousand_attributes_yield_a_row_without_fields(house):
    run = house.over(ATTRIBUTES)
    assert (run.state, run.rows) == ("succeeded", 2)
    assert house.titles(ATTRIBUTES) == {"/": None, "/fine": "fine"}
    assert any("a tag with more than 1000 attributes" in e for e in run.errors), run.errors


FLOOD_PAGE = html(links(b"/%08x" % i for i in range(400000)))
assert 9 << 20 < len(FLOOD_PAGE) < 10 << 20
FLOOD = crawl("flood", {"/": FLOOD_PAGE, "*": html("", "leaf")}, follow={"max_pages": 30})


def test_ten_megabytes_of_links_are_cut_and_told(house):
    run = house.over(FLOOD)
    assert (run.state, run.rows, FLOOD.site.count()) == ("succeeded", 30, 30)
    assert any("some of its links are left out" in e for e in run.errors), run.errors
    states = [state for state, _ in house.urls(FLOOD).values()]
    assert (states.count("fetched"), states.count("skipped")) == (30, 9971)


WIDE_PAGE = html(links(b"/w/%d" % i for i in range(9999)), "wide")
WIDE = crawl("wide", {"*": WIDE_PAGE}, start="/w/0", follow={"max_pages": 25})


def test_ten_thousand_links_on_every_page_stop_at_max_pages(house):
    run = house.over(WIDE)
    assert (run.state, run.rows, WIDE.site.count()) == ("succeeded", 25, 25)
    assert run.errors == []
    urls = house.urls(WIDE)
    assert len(urls) == 9999
    assert sum(state == ("skipped", "max_pages") for state in urls.values()) == 9999 - 25


def month(call):
    n = int(call.path.rsplit("/", 1)[1])
    return html(links([f"/c/{n + 1}", f"/c/{n - 1}", f"/c/{n}?view=day", f"/c/{n + 12}"]), f"month {n}")


CALENDAR = crawl("calendar", {"*": month}, start="/c/1000", follow={"max_pages": 40, "depth": 1000})
DEEP = crawl("deep_calendar", {"*": lambda call: html(links([f"/d{call.path}"]), "deeper")}, start="/x",
             follow={"depth": 3})


def test_an_endless_calendar_ends_at_max_pages(house):
    run = house.over(CALENDAR)
    assert (run.state, run.rows, CALENDAR.site.count()) == ("succeeded", 40, 40)
    assert len({c.target for c in CALENDAR.site.seen()}) == 40


def test_endless_depth_ends_at_the_bound(house):
    run = house.over(DEEP)
    assert (run.state, run.rows, DEEP.site.count()) == ("succeeded", 4, 4)
    assert house.urls(DEEP)["/d/d/d/d/x"] == ("skipped", "depth")


SPELLINGS = crawl("spellings", {"*": lambda call: html(links(
    ["/a", "/./a", "/b/../a", "/%61", "/a#x", "a", "\n/a\t", "?", "HTTP://127.0.0.1:%s/a" % call.headers["host"].split(":")[1],
     "http://127.1:%s/a" % call.headers["host"].split(":")[1], "//2130706433:%s/a" % call.headers["host"].split(":")[1]]))})


def test_a_page_of_many_spellings_is_fetched_once(house):
    run = house.over(SPELLINGS)
    targets = [c.target for c in SPELLINGS.site.seen()]
    assert sorted(targets) == ["/", "/?", "/a", "/a?"], targets
    assert run.rows == 4


BOMB = gzip.compress(bytes(300 << 20), 9)
BOMBS = crawl("bombs", {
    "/": html(links(["/one", "/two", "/fine"]), "root"), "/fine": html("", "fine"),
    "/one": answer(BOMB, Content_Encoding="gzip"),
    "/two": answer(gzip.compress(BOMB, 9), Content_Encoding="gzip, gzip"),
})


def test_a_compression_bomb_is_cut_off_and_said_to_be_one(house):
    run = house.over(BOMBS)
    assert house.titles(BOMBS) == {"/": "root", "/fine": "fine"}
    assert run.state == "succeeded"
    for path in ("/one", "/two"):
        state, reason = house.urls(BOMBS)[path]
        assert state == "skipped" and "packed" in reason, reason
    assert BOMBS.site.count() == 4


HEADERS = crawl("headers", {
    "/": html(links(["/many", "/endless", "/fine"]), "root"), "/fine": html("", "fine"),
    "/many": head(200, length=2, **{f"X-{i}": "x" * 1000 for i in range(300)}) + b"ok",
    "/endless": lambda call: [b"HTTP/1.1 100 Continue\r\n\r\n" * 100 for _ in range(10**5)],
})


def test_headers_without_measure_are_cut_off_and_said_to_be_that(house):
    run = house.over(HEADERS)
    assert house.titles(HEADERS) == {"/": "root", "/fine": "fine"}
    for path in ("/many", "/endless"):
        state, reason = house.urls(HEADERS)[path]
        assert state == "skipped" and "headers" in reason, reason
    assert run.state == "succeeded"


ENDLESS = crawl("endless", {
    "/": html(links(["/known", "/chunked", "/plain", "/fine"]), "root"), "/fine": html("", "fine"),
    "/known": lambda call: [head(length=1 << 40), *[b"<p>" * 30000] * 10**5],
    "/chunked": lambda call: [head(Transfer_Encoding="chunked"), *[b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"] * 10**5],
    "/plain": lambda call: [head(), *[b"<p>" * 30000] * 10**5],
})


def test_a_body_without_end_is_cut_off(house):
    run = house.over(ENDLESS)
    assert house.titles(ENDLESS) == {"/": "root", "/fine": "fine"}
    for path in ("/known", "/chunked", "/plain"):
        state, reason = house.urls(ENDLESS)[path]
        assert state == "skipped" and "larger than" in reason, reason
    assert ENDLESS.site.count() == 5
    assert run.bytes < 40 << 20


SLOW = crawl("slow", {
    "/bytes": lambda call: [head(length=10**6), *drip(b"x" * 10**6, 0.1)],
    "/head": lambda call: [b"HTTP/1.1 200 OK\r\n", *drip(b"X-Y: z\r\n" * 10**6, 0.1)],
    "/never": lambda call: [HANG],
}, timeout="2s", attempts=1)
SLOW.job["start"] = ["/bytes", "/head", "/never"]


def test_a_server_that_gives_a_byte_now_and_then_is_left_in_time(house):
    run = house.over(SLOW)
    assert (run.state, run.rows, run.tasks_dead) == ("failed", 0, 3)
    assert SLOW.site.count() == 3
    assert {"took longer than 2s"} == set(house.dead(SLOW))


BROKEN = crawl("broken", {
    "/": html(links(["/half", "/reset", "/nothing", "/chunk", "/gzip", "/garbage", "/fine"]), "root"),
    "/fine": html("", "fine"),
    "/half": lambda call: [head(length=1000) + b"<title>half</title>" + b"x" * 400, CLOSE],
    "/reset": lambda call: [head(length=1000) + b"<title>reset</title>" + b"x" * 400, 0.05, RESET],
    "/nothing": lambda call: [CLOSE],
    "/chunk": lambda call: [head(Transfer_Encoding="chunked") + b"5\r\n<html\r\nzz\r\n", CLOSE],
    "/gzip": answer("<title>no gzip</title>", Content_Encoding="gzip"),
    "/garbage": lambda call: [b"\x00\xff\x1b[31mwhat?\r\n\r\n<title>garbage</title>", CLOSE],
})


def test_answers_that_break_off_store_nothing_and_end_in_the_dead_letters(house):
    run = house.over(BROKEN)
    assert house.titles(BROKEN) == {"/": "root", "/fine": "fine"}
    assert (run.state, run.tasks_done, run.tasks_dead) == ("failed", 2, 6)
    urls = house.urls(BROKEN)
    for path in ("/half", "/reset", "/nothing", "/chunk", "/gzip", "/garbage"):
        assert urls[path][0] == "failed" and urls[path][1], (path, urls[path])
        assert BROKEN.site.count(path) >= 2, "each attempt is a call; libcurl may repeat one that died unanswered"


ODD = crawl("odd", {
    "/": html(links(["/line", "/minus", "/two", "/999", "/http09", "/huge", "/extra", "/xxe", "/fine"]), "root"),
    "/fine": html("", "fine"),
    "/line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "/minus": lambda call: [head(length=-5) + b"<title>minus</title>", CLOSE],
    "/two": lambda call: [head(length=5, content_length=500) + b"<title>two</title>", CLOSE],
    "/999": answer("<title>999</title>", 999),
    "/http09": lambda call: [b"<title>09</title>", CLOSE],
    "/huge": lambda call: [head(length=10**30) + b"<title>huge</title>", CLOSE],
    "/extra": lambda call: [html("", "extra") + html(links(["/poison"]), "poison")],
    "/xxe": answer(b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">'
                   b'<!ENTITY y "aaaaaaaaaa"><!ENTITY z "&y;&y;&y;&y;&y;">]><title>&x;&z;</title>', type="application/xhtml+xml"),
}, attempts=1)


def test_odd_answers_have_an_end_and_poison_nobody(house):
    house.over(ODD)
    titles, urls = house.titles(ODD), house.urls(ODD)
    assert (titles["/"], titles["/fine"], titles["/extra"]) == ("root", "fine", "extra")
    assert set(titles) <= {"/", "/fine", "/extra", "/xxe", "/huge"}  # a length that fits no number is none
    assert "root:" not in str(titles.get("/xxe")) and len(titles.get("/xxe") or "") < 100
    assert "/poison" not in urls and all(state != "queued" and (state == "fetched" or reason) for state, reason in urls.values())
    assert "header" in urls["/line"][1], urls["/line"]
    assert urls["/999"] == ("failed", "HTTP 999") or "999" in urls["/999"][1]


LOOP = crawl("loop", {
    "/": html(links(["/a", "/self", "/r/0", "/fine", "/home"]), "root"), "/fine": html("", "fine"),
    "/a": moved("/b"), "/b": moved("/a"), "/self": moved("/self#x"), "/home": moved("/fine"),
    "*": lambda call: moved("/r/%d" % (int(call.path.rsplit("/", 1)[1]) + 1)),
})


def test_redirects_in_a_circle_or_without_end_stop(house):
    run = house.over(LOOP)
    assert run.state == "succeeded"
    assert house.titles(LOOP) == {"/": "root", "/fine": "fine"}
    assert LOOP.site.count("/a") == LOOP.site.count("/b") == LOOP.site.count("/self") == LOOP.site.count("/fine") == 1
    assert sum(c.path.startswith("/r/") for c in LOOP.site.seen()) == 11
    assert house.urls(LOOP)["/self"] == ("failed", "HTTP 302 to itself")
    assert house.urls(LOOP)["/r/10"] == ("failed", "more than 10 redirects")


ELSEWHERE = crawl("elsewhere", {
    "/": html(links([f"/{i}" for i in range(8)] + ["file:///etc/passwd", "gopher://127.0.0.1/x", "http://"]), "root"),
    "/0": moved("file:///etc/passwd"), "/1": moved("ftp://127.0.0.1/"), "/2": moved("http://other.example/"),
    "/3": moved("gopher://127.0.0.1:70/_x"), "/4": moved(""), "/5": moved("http://[::/"),
    "/6": moved(b"\x1b[31mftp:\xff\xfe//x"), "/7": moved("/" + "x" * 3000),
})


def test_redirects_to_no_place_for_us_are_told_and_not_followed(house):
    run = house.over(ELSEWHERE)
    urls = house.urls(ELSEWHERE)
    assert house.titles(ELSEWHERE) == {"/": "root"}
    for path in ("/0", "/1", "/3", "/5", "/7"):
        assert urls[path][0] == "failed" and urls[path][1].startswith("HTTP 302 to no URL"), (path, urls[path])
    assert urls["/2"] == ("skipped", "redirect to http://other.example/")
    assert house.query("SELECT state, reason FROM drover_url WHERE run_id = ? AND url = 'http://other.example/'", run.id) == [
        {"state": "skipped", "reason": "domain"}]
    # What the server said may be shown on a terminal.
    assert not any(ord(c) < 32 for reason in urls.values() for c in reason[1] or "")


PORT_OTHER = Hostile({"/robots.txt": answer("User-agent: *\nDisallow: /closed\n", type="text/plain"),
                      "/open": html("", "open"), "/closed": html("", "closed")})
PORT = crawl("port", {"/": html(links(["/open", "/closed"]), "root"), "/open": moved(PORT_OTHER.url + "/open"),
                      "/closed": moved(PORT_OTHER.url + "/closed")})


def test_another_port_is_another_site_with_its_own_robots(house):
    run = house.over(PORT)
    # Two crawl workers may come upon it at one time, and each asks.
    paths = [c.path for c in PORT_OTHER.calls]
    assert paths[0] == "/robots.txt" and [p for p in paths if p != "/robots.txt"] == ["/open"]
    assert (run.state, run.rows) == ("succeeded", 2)
    (closed,) = house.query("SELECT state, reason FROM drover_url WHERE run_id = ? AND url = ?", run.id,
                            PORT_OTHER.url + "/closed")
    assert closed == {"state": "skipped", "reason": "robots.txt line 2: Disallow: /closed"}


ROBOTS = crawl("robots", {
    "/robots.txt": answer("User-agent: *\nDisallow: /closed\n", type="text/plain"),
    "/": html(links(["/closed/a", "/%63losed/b", "/open"]), "root"), "/open": moved("/closed/c"), "*": html("", "leaked"),
})


def test_robots_is_obeyed_for_links_and_redirects(house):
    run = house.over(ROBOTS)
    assert run.state == "succeeded" and house.titles(ROBOTS) == {"/": "root"}
    assert {c.path for c in ROBOTS.site.calls} == {"/", "/open", "/robots.txt"}
    for path in ("/closed/a", "/closed/b", "/closed/c"):
        assert house.urls(ROBOTS)[path] == ("skipped", "robots.txt line 2: Disallow: /closed")


def robots_in_trouble(call):
    return answer("oops", 500) if call.n == 0 else answer("User-agent: *\nDisallow: /closed\n", type="text/plain")


ROBOTS_500 = crawl("robots_500", {"/robots.txt": robots_in_trouble, "/": html(links(["/closed"]), "root"),
                                  "*": html("", "leaked")}, attempts=2)
ROBOTS_DOWN = crawl("robots_down", {"/robots.txt": answer("oops", 503), "*": html("", "leaked")}, attempts=2)


def test_robots_in_trouble_means_wait_and_then_obey(house):
    run = house.over(ROBOTS_500)
    assert (run.state, house.titles(ROBOTS_500)) == ("succeeded", {"/": "root"})
    first, second = ROBOTS_500.site.seen("/robots.txt")[:2]  # each process asks for itself
    assert second.at - first.at >= 4.9, "an ailing host is left alone for a while"
    assert all(c.at > second.at for c in ROBOTS_500.site.seen()), "nothing is fetched while robots.txt is not known"
    assert ROBOTS_500.site.count("/closed") == 0


def test_robots_that_stays_in_trouble_closes_the_site(house):
    run = house.over(ROBOTS_DOWN)
    assert (run.state, run.rows, run.tasks_dead) == ("failed", 0, 1)
    assert house.dead(ROBOTS_DOWN) == ["robots.txt: HTTP 503"]
    assert ROBOTS_DOWN.site.count() == 0 and ROBOTS_DOWN.site.count("/robots.txt") == 2


ROBOTS_404 = crawl("robots_404", {"/robots.txt": answer("no", 404), "/": html("", "root")})
ROBOTS_AWAY = crawl("robots_away", {"/robots.txt": moved("file:///etc/passwd"), "/": html("", "root")})
ROBOTS_LOOP = crawl("robots_loop", {"/robots.txt": moved("/robots.txt"), "/": html("", "root")})
ROBOTS_BOMB = crawl("robots_bomb", {"/robots.txt": answer(gzip.compress(b"User-agent: *\nDisallow: /closed\n" + b"#" * (100 << 20)),
                                                          type="text/plain", Content_Encoding="gzip"),
                                    "/": html(links(["/closed"]), "root")})


def test_robots_that_is_not_there_allows_all(house):
    for case, asked in ((ROBOTS_404, 1), (ROBOTS_AWAY, 1), (ROBOTS_LOOP, 6)):
        run = house.over(case)
        assert (run.state, house.titles(case)) == ("succeeded", {"/": "root"}), (case.name, run.errors)
        assert case.site.count("/robots.txt") == asked


def test_of_a_robots_bomb_the_beginning_counts(house):
    run = house.over(ROBOTS_BOMB)
    assert (run.state, house.titles(ROBOTS_BOMB)) == ("succeeded", {"/": "root"})
    assert ROBOTS_BOMB.site.count("/closed") == 0


CHARSETS = crawl("charsets", {
    "/": html(links(f"/{i}" for i in range(6)), "root"),
    "/0": answer("<title>caf\xe9</title>".encode("latin-1")),
    "/1": answer(b"<title>\xed\xa0\x80\xf8\x88\x80\x80\x80 \xff x</title>", type="text/html; charset=utf-8"),
    "/2": answer("<title>한국</title>".encode("euc-kr"), type="text/html; charset=euc-kr"),
    "/3": answer("<title>plain</title>", type="text/html; charset=no-such\"'; DROP TABLE x"),
    "/4": answer("<title>wide</title>".encode("utf-16"), type="text/html"),
    "/5": answer(b"<title>a\0b\x1b[31m</title>"),
})


def test_wrong_charsets_still_make_readable_text(house):
    run = house.over(CHARSETS)
    assert (run.state, run.rows) == ("succeeded", 7)
    titles = house.titles(CHARSETS)
    assert titles["/0"] == "caf\ufffd"
    assert titles["/1"].endswith(" \ufffd x") and set(titles["/1"]) <= set("\ufffd x")
    assert titles["/2"] == "한국"
    assert (titles["/3"], titles["/4"]) == ("plain", "wide")


NOT_HTML = crawl("not_html", {
    "/": html(links(["/pdf", "/none", "/lie", "/odd", "/empty", "/204"]), "root"),
    "/pdf": answer(b"%PDF-1.4 <a href=/leak>", type="application/pdf"),
    "/none": answer(bytes(range(256)) * 40, type=None),
    "/lie": answer(random.Random(1).randbytes(300000)),
    "/odd": answer(b"x", type="\x1b[31mtext/\xff"),
    "/empty": answer(b""), "/204": answer(b"", 204, type=None),
})


def test_what_is_no_html_makes_no_row_and_has_its_reason(house):
    run = house.over(NOT_HTML)
    assert run.state == "succeeded"
    urls = house.urls(NOT_HTML)
    assert urls["/pdf"] == ("skipped", "content type application/pdf")
    assert urls["/none"] == ("skipped", "no content type, and not HTML")
    assert urls["/odd"][0] == "skipped" and not any(ord(c) < 32 for c in urls["/odd"][1])
    assert set(house.titles(NOT_HTML)) - {"/lie", "/empty"} == {"/"}


LONG = crawl("long_url", {"/": html(links(["/" + "x" * 3000, "/fine"]), "root"), "/fine": html("", "fine")})


def test_a_link_of_three_kilobytes_is_left_out_and_told(house):
    run = house.over(LONG)
    assert (run.state, run.rows, LONG.site.count()) == ("succeeded", 2, 2)
    assert any("left out" in e for e in run.errors), run.errors


BUSY = crawl("busy", {"/": lambda call: answer("later", 429, Retry_After="2") if call.n == 0 else html("", "root")})


def test_a_site_that_asks_for_a_pause_gets_it(house):
    run = house.over(BUSY)
    assert (run.state, house.titles(BUSY)) == ("succeeded", {"/": "root"})
    first, second = BUSY.site.seen()
    assert second.at - first.at >= 2


BIG_PAGE = html(b"<p>some words " * 700000, "big")
BIG = crawl("big_pages", {"/": html(links(f"/{i}" for i in range(12)), "root"), "*": BIG_PAGE})


def test_many_pages_of_nine_megabytes_arrive_whole(house):
    run = house.over(BIG)
    assert (run.state, run.rows, BIG.site.count()) == ("succeeded", 13, 13)
    assert run.bytes > 12 * 9 * 10**6


HOUSE_NAME = crawl("by_name", {"*": html("", "leaked")}, follow={"private": False})
HOUSE_NAME_ROBOTS = crawl("by_name_ignoring", {"*": html("", "leaked")}, follow={"private": False}, robots="ignore")
HOUSE_NAME.host = HOUSE_NAME_ROBOTS.host = HOME


@needs_home
def test_a_name_that_leads_to_a_private_address_is_refused_without_a_connection(house):
    for case in (HOUSE_NAME, HOUSE_NAME_ROBOTS):
        run = house.over(case)
        assert (run.rows, run.requests, case.site.connections) == (0, 0, 0)
        assert [state for state, _ in house.urls(case).values()] == ["skipped"]
        assert "private address" in house.urls(case)["/"][1]


# ---- APIs ----

LIMITED = {"limits": {"rate": ["100/1m"]}}


def once(first, then):
    return lambda call: (first(call) if callable(first) else first) if call.n == 0 else then


def in_two_seconds(call):
    return answer("slow down", 429, Retry_After=email.utils.formatdate(time.time() + 3, usegmt=True))


TOO_MANY = collect("too_many", once(answer("slow down", 429, Retry_After="2"), items(records(0, 3))), provider=LIMITED)
TOO_MANY_DATE = collect("too_many_date", once(in_two_seconds, items(records(0, 3))), provider=LIMITED)
TOO_MANY_LONG = collect("too_many_long", answer("slow down", 429, Retry_After="6"), provider=LIMITED)


@pytest.mark.parametrize("case", [TOO_MANY, TOO_MANY_DATE], ids=lambda c: c.name)
def test_retry_after_is_obeyed_in_both_its_forms(house, case):
    run = house.over(case)
    assert (run.state, run.rows, run.requests) == ("succeeded", 3, 2)
    first, second = case.site.seen()
    assert second.at - first.at >= 1.9


def test_a_provider_that_never_stops_asking_for_patience_is_given_up(house):
    run = house.over(TOO_MANY_LONG)
    assert (run.state, run.tasks_dead) == ("failed", 1)
    assert "HTTP 429" in house.dead(TOO_MANY_LONG)[0]
    first, second = TOO_MANY_LONG.site.seen()
    assert second.at - first.at >= 6


TROUBLE = collect("trouble", once(answer("oops", 500), items(records(0, 3))))
MISSING = collect("missing", answer("no", 404), attempts=5)
AWAY = collect("away", moved("file:///etc/passwd"), attempts=5)


def test_an_error_of_the_server_is_tried_again(house):
    run = house.over(TROUBLE)
    assert (run.state, run.rows, run.requests, TROUBLE.site.count()) == ("succeeded", 3, 2, 2)


@pytest.mark.parametrize("case, words", [(MISSING, "HTTP 404"), (AWAY, "redirect: a redirect to what is no http or https URL")],
                         ids=lambda c: getattr(c, "name", ""))
def test_no_is_no_at_once_with_its_reason(house, case, words):
    run = house.over(case)
    assert (run.state, run.tasks_failed, run.requests, case.site.count()) == ("failed", 1, 1, 1)
    assert house.dead(case) == [f"GET {case.name} /items: {words}"]


GOOD = b'{"id": "a", "n": 1}'
MALFORMED = {
    "cut_json": b'{"items": [' + GOOD + b', {"id": "b", "n"',
    "garbage_behind": b'{"items": [' + GOOD + b"]} <html>",
    "two_documents": b'{"items": [' + GOOD + b"]}{}",
    "open_brackets": b'{"items": ' + b"[" * 10**6,
    "bad_utf8": b'{"items": [' + GOOD + b', {"id": "\xff\xfe", "n": 2}]}',
    "twice_the_list": b'{"items": [' + GOOD + b'], "items": [{"id": "b", "n": 2}]}',
    "nan": b'{"items": [' + GOOD + b', {"id": "b", "n": NaN}]}',
}
MALFORMED = [collect(name, raw_items(text)) for name, text in MALFORMED.items()]


@pytest.mark.parametrize("case", MALFORMED, ids=lambda c: c.name)
def test_malformed_json_stores_nothing_and_names_the_place(house, case):
    run = house.over(case)
    assert (run.state, run.tasks_dead, run.rows, case.site.count()) == ("failed", 1, 0, 2)
    (error,) = house.dead(case)
    assert "at byte" in error, error


RECORDS = collect("records", raw_items(b'{"items": [' + b",".join([
    GOOD, b'{"id": "b", "id": "c", "n": 2}', b'{"id": "d", "n": "many"}', b'{"id": "e", "n": 9223372036854775808}',
    b'{"id": "f", "n": {"x": 1}}', b'{"id": null, "n": 3}', b'{"n": 3}', b'{"id": "g", "n": 1.5}', b"[]", b"7", b'""',
    b'{"id": "h\\ud800", "n": 4}', b'{"id": "big", "n": 5, "x": "%s"}' % (b"y" * (2 << 20)),
    b'{"id": "i\\u0000", "n": 6}', b'{"id": "zeros", "n": 7, "x": [%s]}' % b",".join([b"0"] * 500000),
    b'{"id": "\'); DROP TABLE records; --", "n": 8}']) + b"]}"))


def test_records_that_do_not_fit_are_counted_and_the_others_stored(house):
    run = house.over(RECORDS)
    rows = {row["id"]: row["n"] for row in house.rows(RECORDS)}
    assert rows == {"a": 1, "zeros": 7, "'); DROP TABLE records; --": 8}
    assert (run.state, run.rows, run.rejected) == ("succeeded", 3, 13)
    words = "\n".join(run.errors)
    for part in ("duplicate", '"many" is not an integer', "out of range", "an object is not an integer"):
        assert part in words, run.errors


REJECTED = collect("rejected", raw_items(b'{"items": [' + b'{"id":1,"n":"x"},' * 100000 + GOOD + b"]}"))


def test_a_hundred_thousand_rejected_records_stay_bounded(house):
    run = house.over(REJECTED)
    assert (run.state, run.rows, run.rejected) == ("succeeded", 1, 100000)
    assert len(run.errors) <= 20


TINY = collect("tiny", raw_items(b'{"items": [' + b"1," * 2000000 + GOOD + b"]}"))


def test_two_million_records_that_are_none_end_soon(house):
    run = house.over(TINY)
    assert (run.state, run.rows, run.rejected) == ("succeeded", 1, 2000000)
    assert len(run.errors) <= 20


def with_time(call):
    return raw_items(json.dumps({"asked": call.at, "page": call.query["page"], "items": records(0, 10)}))


SAME = collect("same_page", items(records(0, 10)), paged=10)
SAME_TIME = collect("same_records", with_time, paged=10)


@pytest.mark.parametrize("case", [SAME, SAME_TIME], ids=lambda c: c.name)
def test_pages_that_repeat_are_stopped(house, case):
    run = house.over(case)
    assert (run.state, run.rows, case.site.count()) == ("failed", 10, 2)
    assert "page 2 is page 1 again" in house.dead(case)[0]


API_BOMB = collect("api_bomb", answer(gzip.compress(b'{"items": [' + b" " * (300 << 20)), type="application/json",
                                      Content_Encoding="gzip"))
API_ENDLESS = collect("api_endless", lambda call: [head(type="application/json"), b'{"items": [1', *[b',"%s"' % (b"x" * 80000)] * 10**4])
API_HEADERS = collect("api_headers", head(200, length=2, **{f"X-{i}": "x" * 1000 for i in range(300)}) + b"{}")
API_SLOW = collect("api_slow", lambda call: [head(type="application/json", length=10**6), *drip(b" " * 10**6, 0.1)],
                   provider={"timeout": {"total": "1s", "idle": "500ms"}})
API_SILENT = collect("api_silent", lambda call: [HANG], provider={"timeout": {"total": "5s", "idle": "300ms"}})
API_HALF = collect("api_half", lambda call: [head(type="application/json", length=999) + b'{"items": [' + GOOD, CLOSE])
API_RESET = collect("api_reset", lambda call: [head(type="application/json", length=999) + b'{"items": [' + GOOD, 0.05, RESET])


@pytest.mark.parametrize("case, words, calls", [
    (API_BOMB, "too_large: ", 1), (API_ENDLESS, "too_large: ", 1), (API_HEADERS, "headers", 1),
    (API_SLOW, "timeout: ", 2), (API_SILENT, "nothing was heard for", 2), (API_HALF, "broken: ", 2),
    (API_RESET, "broken: ", 2)], ids=lambda v: getattr(v, "name", ""))
def test_answers_without_measure_store_nothing(house, case, words, calls):
    run = house.over(case)
    assert (run.state, run.rows, case.site.count(), run.requests) == ("failed", 0, calls, calls)
    assert words in house.dead(case)[0], house.dead(case)


def dropped(call):
    """Each second call on a connection is read and not answered."""
    page = paged(5, 60)(call)
    return [CLOSE] if DROPPED.on.setdefault(call.connection, []).append(call) or len(DROPPED.on[call.connection]) == 2 else page


DROPPED = collect("dropped", dropped, paged=5, attempts=20, provider={"limits": {"rate": ["4/500ms"]},
                  "retry": {"attempts": 5, "when": ["connect", "5xx"], "backoff": {"initial": "50ms", "max": "50ms"}}})
DROPPED.on = {}


def test_a_call_that_libcurl_repeats_is_counted_in_the_limit_and_in_the_run(house):
    run = house.over(DROPPED)
    assert (run.state, run.rows) == ("succeeded", 60)
    assert DROPPED.site.count() > 13, "some were repeated"
    assert run.requests == DROPPED.site.count()
    assert fullest_window([c.at for c in DROPPED.site.calls], 0.5) <= 4


API_NAME = collect("api_by_name", items(records(0, 3)), provider={"private": False})
API_NAME.host = HOME


@needs_home
def test_a_provider_whose_name_leads_home_is_refused_without_a_connection(house):
    run = house.over(API_NAME)
    assert (run.state, run.rows, run.requests, API_NAME.site.connections) == ("failed", 0, 0, 0)
    assert "the address is private" in house.dead(API_NAME)[0]


HEAVY = [collect(f"heavy_{i}", lambda call: items([{"id": "p%s-%d" % (call.query["page"], k), "n": 1, "x": "y" * 10**6}
                                                   for k in range(9)] if int(call.query["page"]) < 12 else []),
                 paged=9, fields={"id": "id", "n": {"path": "n", "type": "integer"}, "x": "x"}) for i in range(3)]


def test_pages_of_nine_megabytes_arrive_whole(house):
    for case in HEAVY:
        run = house.over(case)
        assert (run.state, run.rows) == ("succeeded", 99)


# ---- and the rest of the house ----


def test_a_start_at_a_private_address_is_refused_by_the_configuration(house):
    config = dict(house.config, jobs={"x": {**BESIDE["beside_crawl"], "start": ["http://127.1:80/"], "follow": {}}})
    path = house.drover.folder / "private.yaml"
    path.write_text(json.dumps(config))
    said = house.cli("check", str(path), code=78).stderr.decode()
    assert "private" in said and "127.1" in said, said


def test_what_the_servers_said_is_shown_without_control_characters(house):
    for case in (NOT_HTML, ELSEWHERE, BROKEN, RECORDS):
        house.over(case)
    for words in (["runs"], ["dead"], ["status"], ["jobs"]):
        text = house.cli(*words).stdout.decode()
        assert not any(ord(c) < 32 and c != "\n" for c in text), words
        json.loads(house.cli(*words, "--json").stdout.decode())


def test_everybody_else_went_on(house):
    """Last: all of the above happened, and beside it nothing did."""
    for case in house.cases:
        house.over(case)
    for job, rows in (("beside_crawl", 3), ("beside_collect", 5)):
        house.run(job)
        until(lambda: house.look(job).finished_at, f"{job} is over")
        # Asked for while the one of its schedule went on: skipped, and told so.
        runs = house.query("SELECT state, rows FROM drover_run WHERE job = ? AND finished_at IS NOT NULL AND state <> 'skipped'", job)
        assert {(r["state"], r["rows"]) for r in runs} == {("succeeded", rows)}, runs
        assert len(runs) >= 5
        assert len(house.query(f"SELECT * FROM {job}")) == rows
    slots = house.slots()
    assert {name: slot["pid"] for name, slot in slots.items()} == house.first, "nobody was restarted"
    assert all(slot["restarts"] == 0 and slot["strikes"] == 0 for slot in slots.values())
    peaks = {f"{name} {pid}": f"{rss >> 20} MiB" for (name, pid), rss in sorted(house.peak.items())}
    print(peaks)
    for (name, pid), rss in house.peak.items():
        if name.startswith(("drover-crawl", "drover-collect", "drover-schedul", "droverd")) and not SANITIZED:
            assert rss < RSS_MAX, f"{name} {pid} grew to {rss >> 20} MiB: {peaks}"

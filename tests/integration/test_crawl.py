# SPDX-License-Identifier: MIT
"""
Crawls of real and of hostile sites by the crawl worker's own code (tests/unit/crawl/crawl_alone.c), judged by what
the server saw and by what is in the database, never by drover's own sums alone.
"""
import collections
import hashlib
import html.parser
import http.server
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from harness import BUILD, descendants, until
from website import Site

BIN = BUILD / "bin"


class Crawl:
	def __init__(self, folder):
		self.state = folder / "state"
		self.state.mkdir(exist_ok=True)

	def start(self, *starts, **options):
		"""Options as crawl_alone has them; fields={"title": ("text", "//h1")}."""
		fields = options.pop("fields", {})
		arguments = [f"start={url}" for url in starts] + [f"{k}={v}" for k, v in options.items()]
		arguments += [f"field={name}:{kind}:{xpath}" for name, (kind, xpath) in fields.items()]
		return subprocess.Popen([BIN / "crawl_alone", self.state, *arguments], stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

	def run(self, *starts, expect="succeeded", **options):
		process = self.start(*starts, **options)
		out, err = process.communicate(timeout=100)
		assert out.strip() == expect, (process.returncode, out, err)
		return err

	def query(self, sql, *parameters):
		db = sqlite3.connect(f"file:{self.state}/drover.db?mode=ro", uri=True, timeout=20)
		try:
			return db.execute(sql, parameters).fetchall()
		finally:
			db.close()

	def pages(self):
		return [path for path, in self.query("SELECT url FROM pages ORDER BY url")]

	def url(self, url):
		"""(state, status, reason) of a URL of the frontier."""
		return self.query("SELECT state, status, reason FROM drover_url WHERE url = ?", url)[0]


@pytest.fixture
def crawl(tmp_path):
	return Crawl(tmp_path)


class Server:
	"""Answers from a table {path: (status, headers, body) or a function of the request that returns one}."""

	def __init__(self, table):
		outer = self
		self.table, self.seen = table, collections.Counter()
		self.lock = threading.Lock()

		class Handler(http.server.BaseHTTPRequestHandler):
			protocol_version = "HTTP/1.1"

			def do_GET(self):
				with outer.lock:
					outer.seen[self.path] += 1
				answer = outer.table.get(self.path, (404, {}, b""))
				status, headers, body = answer(self) if callable(answer) else answer
				body = body.encode() if isinstance(body, str) else body
				self.send_response(status)
				for name, value in headers.items():
					self.send_header(name, value)
				self.send_header("Content-Length", str(len(body)))
				self.end_headers()
				self.wfile.write(body)

			def log_message(self, *_):
				pass

		self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
		self.server.daemon_threads = True
		self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
		self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
		self.thread.start()

	def close(self):
		self.server.shutdown()
		self.server.server_close()
		self.thread.join()


HTML = {"Content-Type": "text/html"}


@pytest.fixture
def serve():
	servers = []

	def make(table):
		servers.append(Server(table))
		return servers[-1]
	yield make
	for server in servers:
		server.close()


# ---- python3-doc ----

class Links(html.parser.HTMLParser):
	def __init__(self):
		super().__init__()
		self.found = []

	def handle_starttag(self, tag, attrs):
		attrs = dict(attrs)
		if tag in ("a", "area") and attrs.get("href") and "nofollow" not in (attrs.get("rel") or ""):
			self.found.append(attrs["href"])


def independent_crawl(start):
	"""What Python's parser, urljoin and client find: {url: sha256 of the body}, {broken url}."""
	host = urllib.parse.urlsplit(start).netloc
	todo, seen, pages, broken = [start], {start}, {}, set()
	while todo:
		url = todo.pop()
		try:
			with urllib.request.urlopen(url) as answer:
				body, kind = answer.read(), answer.headers.get_content_type()
		except urllib.error.HTTPError:
			broken.add(url)
			continue
		if kind != "text/html":
			continue
		pages[url] = hashlib.sha256(body).hexdigest()
		links = Links()
		links.feed(body.decode())
		for href in links.found:
			target = urllib.parse.urldefrag(urllib.parse.urljoin(url, href.strip()))[0]
			if urllib.parse.urlsplit(target).netloc == host and target not in seen:
				seen.add(target)
				todo.append(target)
	return pages, broken


def test_python3_doc_is_crawled_whole(crawl, tmp_path):
	with Site(tmp_path) as site:
		crawl.run(site.url + "/", fields={"title": ("text", "//title"), "links": ("integer", "count(//a)")})
		rows = crawl.query("SELECT url, status, content_hash, title, links FROM pages")
		asked = collections.Counter(path for _, path, *_ in site.requests())
		pages, broken = independent_crawl(site.url + "/")

	assert len(rows) == 527
	assert len({h for _, _, h, _, _ in rows}) == 526
	assert {url for url, *_ in rows} == set(pages)
	assert broken == {site.url + "/whatsnew/changelog.html"}
	assert crawl.query("SELECT url FROM drover_url WHERE state = 'failed'") == [(broken.pop(),)]
	# One body, one hash: drover's partition of the pages is Python's.
	ours = {url: h for url, _, h, _, _ in rows}
	assert len({(ours[url], pages[url]) for url in pages}) == 526
	assert all(status == 200 and title and links > 0 for _, status, _, title, links in rows)
	assert set(asked.values()) == {1}, "a page was fetched twice"
	errors, = crawl.query("SELECT errors FROM drover_run")[0]
	assert "HTTP 404" in errors and "linked from" in errors


def test_a_killed_crawl_goes_on_where_it_was(crawl, tmp_path):
	with Site(tmp_path) as site:
		lives = 0
		while True:
			process = crawl.start(site.url + "/", fields={"title": ("text", "//title")}, free_claims=1, attempts=50)
			lives += 1
			before = len(site.requests())
			until(lambda: process.poll() is not None or lives <= 5 and len(site.requests()) >= before + 60, "pages are fetched", 60)  # noqa: B023
			process.kill()
			if process.wait() == 0:
				break
		requests = len(site.requests())
	rows = crawl.query("SELECT url, content_hash FROM pages")
	assert lives > 3, "it was never killed"
	assert len(rows) == 527 and len({url for url, _ in rows}) == 527
	assert len({h for _, h in rows}) == 526
	# Repeated is only what was under way at each kill, and robots.txt.
	assert requests <= 530 + lives * 10


def test_a_drained_crawl_puts_back_what_it_did_not_finish(crawl, tmp_path):
	with Site(tmp_path) as site:
		process = crawl.start(site.url + "/", drain_after=300)
		process.communicate(timeout=60)
		assert process.returncode == 3
		assert crawl.query("SELECT COUNT(*) FROM drover_task WHERE state = 1") == [(0,)]
		assert crawl.query("SELECT COUNT(*) FROM drover_task WHERE attempt > 0") == [(0,)]
		crawl.run(site.url + "/")
	assert len(crawl.pages()) == 527


def test_killed_parsers_cost_nothing_but_a_retry(crawl, tmp_path):
	with Site(tmp_path) as site:
		process = crawl.start(site.url + "/", fields={"title": ("text", "//title")}, attempts=20)
		killed = 0
		while process.poll() is None and killed < 20:
			children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
			try:
				pids = [int(pid) for pid in children.read_text().split()]
			except OSError:
				pids = []
			for pid in pids[:1]:
				os.kill(pid, signal.SIGKILL)
				killed += 1
			time.sleep(0.02)
		out, err = process.communicate(timeout=100)
	assert out.strip() == "succeeded", err
	assert killed == 20
	assert len(crawl.pages()) == 527
	assert crawl.query("SELECT COUNT(*) FROM pages WHERE title IS NULL") == [(0,)]


def test_a_host_is_asked_as_politely_as_the_job_says(crawl, tmp_path):
	with Site(tmp_path) as site:
		crawl.run(site.url + "/", delay=100, per_host=1, max_pages=12)
		times = sorted(when for *_, when in site.requests())
	gaps = [later - earlier for earlier, later in zip(times, times[1:])]
	assert len(gaps) >= 12
	assert min(gaps) >= 0.08, gaps  # when nginx wrote it down, not when we sent


# ---- hostile sites ----

def test_redirects_are_followed_by_hand_and_not_for_ever(crawl, serve):
	site = serve({"/": (200, HTML, "<a href=/short/1><a href=/long/1><a href=/loop/a><a href=/self><a href=/away>"),
		"/end": (200, HTML, "end"),
		"/loop/a": (302, {"Location": "/loop/b"}, ""), "/loop/b": (302, {"Location": "/loop/a"}, ""),
		"/self": (301, {"Location": "/self#x"}, ""),
		"/away": (307, {"Location": "http://elsewhere.example/"}, "")})
	for i in range(1, 10):
		site.table[f"/short/{i}"] = (301, {"Location": f"/short/{i + 1}"}, "")
	site.table["/short/10"] = (308, {"Location": "end/../../end"}, "")
	for i in range(1, 40):
		site.table[f"/long/{i}"] = (303, {"Location": f"/long/{i + 1}"}, "")
	crawl.run(site.base + "/")
	assert crawl.pages() == [site.base + "/", site.base + "/end"]
	assert crawl.url(site.base + "/short/10") == ("skipped", 308, f"redirect to {site.base}/end")
	assert crawl.url(site.base + "/long/11") == ("failed", 303, "more than 10 redirects")
	assert site.seen["/long/12"] == 0
	assert crawl.url(site.base + "/self")[2] == "HTTP 301 to itself"
	assert site.seen["/loop/a"] == site.seen["/loop/b"] == 1
	assert crawl.url("http://elsewhere.example/") == ("skipped", None, "domain")


def test_robots_txt_is_obeyed(crawl, serve):
	robots = "User-agent: *\nDisallow: /\n\nUser-agent: Drover\nDisallow: /private\nAllow: /private/but\n"
	site = serve({"/robots.txt": (200, {"Content-Type": "text/plain"}, robots),
		"/": (200, HTML, "<a href=/private/a><a href=/private/but><a href=/open>"),
		"/private/a": (200, HTML, "a"), "/private/but": (200, HTML, "b"), "/open": (200, HTML, "c")})
	crawl.run(site.base + "/", robots=1)
	assert crawl.pages() == [site.base + p for p in ("/", "/open", "/private/but")]
	assert site.seen["/private/a"] == 0
	assert site.seen["/robots.txt"] == 1
	assert crawl.url(site.base + "/private/a") == ("skipped", 0, "robots.txt line 5: Disallow: /private")


def test_robots_can_be_ignored(crawl, serve):
	site = serve({"/robots.txt": (200, {}, "User-agent: *\nDisallow: /"), "/": (200, HTML, "x")})
	crawl.run(site.base + "/", robots=0)
	assert crawl.pages() == [site.base + "/"]
	assert site.seen["/robots.txt"] == 0


def test_a_robots_txt_in_trouble_forbids_until_it_answers(crawl, serve):
	answers = [(503, {}, ""), (200, {}, "User-agent: *\nDisallow: /no")]
	site = serve({"/": (200, HTML, "<a href=/no>"), "/no": (200, HTML, "")})
	site.table["/robots.txt"] = lambda _: answers.pop(0)
	crawl.run(site.base + "/", attempts=5)
	assert site.seen["/robots.txt"] == 2
	assert crawl.pages() == [site.base + "/"]


def test_a_host_without_robots_txt_that_never_answers_ends_in_the_dead_letters(crawl, serve):
	site = serve({"/robots.txt": (500, {}, ""), "/": (200, HTML, "x")})
	crawl.run(site.base + "/", expect="failed", attempts=1)
	assert site.seen["/"] == 0
	assert crawl.query("SELECT error FROM drover_dead") == [("robots.txt: HTTP 500",)]


def test_a_slow_page_is_told_without_its_query(crawl, serve):
	site = serve({"/": (200, HTML, "<a href='/slow?token=s3cr3t'>")})

	def slow(_):
		time.sleep(2.1)  # a page that takes longer than a slow request may is what is told
		return (200, HTML, "x")

	site.table["/slow?token=s3cr3t"] = slow
	err = crawl.run(site.base + "/", robots=0)
	(told,) = [line for line in err.splitlines() if "SLOW REQUEST" in line]
	for part in (f"SLOW REQUEST: {site.base}/slow ", "method=GET", "status=200", "job=", "run=1", "task=2"):
		assert part in told + " ", told
	assert 2100 <= int(told.split("process_time_ms=")[1].split()[0]) < 20000
	assert "s3cr3t" not in told


def test_private_addresses_are_refused_unless_the_job_names_them(crawl, serve):
	site = serve({"/": (200, HTML, "x")})
	crawl.run(site.base + "/", private=0)
	assert sum(site.seen.values()) == 0
	assert crawl.url(site.base + "/")[0] == "skipped"
	assert "private address" in crawl.url(site.base + "/")[2]


def test_trouble_is_tried_again_and_a_broken_link_is_told(crawl, serve):
	answers = [(503, {}, ""), (200, HTML, "up again")]
	site = serve({"/": (200, HTML, "<a href=/shaky><a href=/gone><a href=/image><a href=/untyped><a href=/unsaid>"),
		"/gone": (410, {}, ""), "/image": (200, {"Content-Type": "image/png"}, b"\x89PNG"),
		"/untyped": (200, {}, "<!doctype html><a href=/deep>"), "/unsaid": (200, {}, "plain words"),
		"/deep": (200, HTML, "deep")})
	site.table["/shaky"] = lambda _: answers.pop(0)
	crawl.run(site.base + "/", attempts=3)
	assert crawl.pages() == [site.base + p for p in ("/", "/deep", "/shaky", "/untyped")]
	assert crawl.url(site.base + "/gone") == ("failed", 410, "HTTP 410")
	assert crawl.url(site.base + "/image") == ("skipped", 200, "content type image/png")
	assert crawl.url(site.base + "/unsaid") == ("skipped", 200, "no content type, and not HTML")
	errors, = crawl.query("SELECT errors FROM drover_run")[0]
	assert f"HTTP 410: {site.base}/gone (linked from {site.base}/)" in errors


def test_a_page_that_is_in_trouble_for_ever_is_one_dead_letter(crawl, serve):
	site = serve({"/": (200, HTML, "<a href=/sick><a href=/well>"), "/sick": (500, {}, ""), "/well": (200, HTML, "")})
	crawl.run(site.base + "/", expect="failed", attempts=2)
	assert crawl.pages() == [site.base + "/", site.base + "/well"]
	assert site.seen["/sick"] == 2
	assert crawl.query("SELECT payload, error FROM drover_dead") == [(site.base + "/sick", "HTTP 500")]
	assert crawl.url(site.base + "/sick") == ("failed", 500, "HTTP 500")


def test_a_page_that_kills_its_parser_is_one_dead_letter_and_the_crawl_goes_on(crawl, serve):
	# Cubic in the number of paragraphs: over the processor time that a page has.
	heavy = "count(//p[count(preceding::p[count(preceding::p) > 5]) > 7])"
	site = serve({"/": (200, HTML, "<a href=/poison><a href=/1><a href=/2><a href=/3>"),
		"/poison": (200, HTML, "<p>x" * 20000)})
	for i in "123":
		site.table[f"/{i}"] = (200, HTML, f"<p>{i}")
	crawl.run(site.base + "/", expect="failed", attempts=1, parsers=1, fields={"n": ("integer", heavy)})
	assert crawl.pages() == [site.base + p for p in ("/", "/1", "/2", "/3")]
	(payload, error), = crawl.query("SELECT payload, error FROM drover_dead")
	assert payload == site.base + "/poison"
	assert error.startswith(("page killed its parser: signal 24", "page killed its parser: no answer for"))


def test_nofollow_depth_and_max_pages_are_bounds_with_reasons(crawl, serve):
	site = serve({"/": (200, HTML, "<a href=/1><a rel=nofollow href=/no>"), "/no": (200, HTML, "")})
	for i in range(1, 30):
		site.table[f"/{i}"] = (200, HTML, f"<a href=/{i + 1}>")
	crawl.run(site.base + "/", depth=3)
	assert crawl.pages() == [site.base + p for p in ("/", "/1", "/2", "/3")]
	assert crawl.url(site.base + "/4")[2] == "depth"
	assert crawl.url(site.base + "/no")[2] == "nofollow"


def test_nofollow_ignored_is_followed(crawl, serve):
	site = serve({"/": (200, HTML, "<a rel=nofollow href=/no>"), "/no": (200, HTML, "")})
	crawl.run(site.base + "/", nofollow=0)
	assert crawl.pages() == [site.base + "/", site.base + "/no"]


def test_a_page_that_one_link_may_not_follow_is_reached_by_another(crawl, serve):
	site = serve({"/": (200, HTML, "<a rel=nofollow href=/x><a href=/y>"), "/y": (200, HTML, "<a href=/x><a href=/z>"),
		"/x": (200, HTML, "<a rel=nofollow href=/y>"), "/z": (200, HTML, "<a rel=nofollow href=/x>")})
	crawl.run(site.base + "/")
	assert crawl.pages() == [site.base + p for p in ("/", "/x", "/y", "/z")]
	assert crawl.url(site.base + "/x") == ("fetched", 200, None)
	assert site.seen["/x"] == 1
	assert crawl.query("SELECT tasks_total, tasks_done FROM drover_run") == [(4, 4)]


def test_max_pages_ends_an_endless_site(crawl, serve):
	class Endless(dict):
		def get(self, path, _):
			return (404, {}, "") if path == "/robots.txt" else (200, HTML, f"<a href={path}x><a href={path}y>")
	site = serve(Endless())
	crawl.run(site.base + "/", max_pages=20, depth=1000)
	assert len(crawl.pages()) == 20


def test_values_get_their_columns_types_or_the_row_is_rejected(crawl, serve):
	site = serve({"/": (200, HTML, "<b>12</b><i> 1.50 </i><u>2026-11-21T08:00:00Z</u><s>{\"a\": 1}</s><a href=/bad>"),
		"/bad": (200, HTML, "<b>twelve</b><a href=/none>"), "/none": (200, HTML, "")})
	crawl.run(site.base + "/", fields={"n": ("integer", "//b"), "r": ("real", "//i"), "t": ("timestamp", "//u"),
		"j": ("json", "//s"), "x": ("text", "//nothing")})
	rows = crawl.query("SELECT url, n, r, t, j, x FROM pages ORDER BY url")
	assert rows == [(site.base + "/", 12, 1.5, 1795248000000, '{"a": 1}', None),
		(site.base + "/none", None, None, None, None, None)]
	assert crawl.query("SELECT rows, rejected FROM drover_run") == [(2, 1)]
	errors, = crawl.query("SELECT errors FROM drover_run")[0]
	assert 'field n: \\"twelve\\" is not an integer' in errors


def test_a_start_url_is_taken_by_its_canonical_name(crawl, serve):
	site = serve({"/": (200, HTML, "<a href='/A%62?#x'><a href='/%41b'>"), "/Ab": (200, HTML, ""), "/Ab?": (200, HTML, "")})
	crawl.run(site.base.replace("http", "HTTP") + "/x/..//../")
	assert crawl.pages() == [site.base + p for p in ("/", "/Ab", "/Ab?")]


def test_a_page_of_another_charset_becomes_utf8(crawl, serve):
	text = "한국어 문서"
	site = serve({"/": (200, {"Content-Type": "text/html; charset=euc-kr"}, f"<h1>{text}".encode("euc-kr"))})
	crawl.run(site.base + "/", fields={"h": ("text", "//h1")})
	assert crawl.query("SELECT h FROM pages") == [(text,)]


def test_a_body_beyond_its_bound_is_skipped(crawl, serve):
	site = serve({"/": (200, HTML, "<a href=/big>"), "/big": (200, HTML, b"<p>" + b"x" * (11 << 20))})
	crawl.run(site.base + "/")
	assert crawl.url(site.base + "/big")[:1] == ("skipped",)
	assert "larger than" in crawl.url(site.base + "/big")[2]


# ---- in the house ----

def test_a_crawl_job_of_the_house_is_run_by_the_command_line(drover, tmp_path):
	with Site(tmp_path) as site:
		drover.start(f"""
workers: {{crawl: {{processes: 2, concurrency: 8, parsers: 2}}}}
jobs:
  docs:
    kind: crawl
    start: ["{site.url}/"]
    follow: {{private: true}}
    politeness: {{delay: 0s, per_host: 8}}
    extract: [{{match: ".*", fields: {{title: {{xpath: "string(//title)"}}}}}}]
    store: {{table: pages, key: [url]}}
""")
		done = subprocess.run([BIN / "drover", "run", "docs", "--wait", "--json", "--socket",
			drover.runtime / "control.sock"], capture_output=True, text=True, timeout=100)
		asked = collections.Counter(path for _, path, *_ in site.requests())
	assert done.returncode == 0, done.stderr
	run = json.loads(done.stdout)
	assert run["rows"] == 527 and run["state"] == "succeeded"
	assert run["tasks"] == {"total": 529, "done": 529, "failed": 0, "dead": 0, "cancelled": 0}
	db = sqlite3.connect(f"file:{drover.state}/drover.db?mode=ro", uri=True)
	assert db.execute("SELECT COUNT(*), COUNT(DISTINCT content_hash) FROM pages WHERE title <> ''").fetchone() == (527, 526)
	db.close()
	# Two processes: each reads robots.txt once, no page is fetched twice.
	assert asked.pop("/robots.txt") <= 2
	assert set(asked.values()) == {1}


def test_parser_children_carry_the_mark_of_their_slot(drover):
	drover.start("workers: {crawl: {parsers: 3}}")
	worker = drover.slot("crawl")["pid"]

	def closed_off(pid):
		return "asan" in str(BIN) or "Seccomp:\t2" in pathlib.Path(f"/proc/{pid}/status").read_text()
	children = until(lambda: [pid for pid in descendants(worker)
		if pathlib.Path(f"/proc/{pid}/comm").read_text() == "drover-parser\n" and closed_off(pid)][2:] and
		descendants(worker), "three children are closed off")
	assert len(children) == 3
	for pid in children:
		environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
		assert any(entry.startswith(b"DROVER_SLOT=") for entry in environment)
		assert "asan" in str(BIN) or "536870912" in pathlib.Path(f"/proc/{pid}/limits").read_text()
		# A sanitizer's runtime still opens files while it starts.
		until(lambda: sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2", "3"], "no descriptor but its own")

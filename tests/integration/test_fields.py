# SPDX-License-Identifier: MIT
"""Fields of the configuration that no other test would miss (tests/fields.txt): what the provider or the site sees of each. One
run by `drover run --limit`, which is the workers' own code, is enough for many of them."""
import grp
import json
import os
import pwd
import signal
import socket
import subprocess
import threading
import time

import pytest

from given import let_others_in
from harness import BUILD, seconds, until
from provider import Answer, Provider
from test_supervision_hunt import Puppets

DROVER = BUILD / "bin/drover"
HTML = {"Content-Type": "text/html"}


@pytest.fixture
def provider():
    with Provider() as provider:
        yield provider


def limited(tmp_path, text, job="j", code=0, n=50):
    """What `run --limit` says, and how long it took."""
    file = tmp_path / "drover.yaml"
    file.write_text(f"supervisor: {{state_dir: {tmp_path / 'state'}}}\n{text}")
    since = time.monotonic()
    done = subprocess.run([DROVER, "run", job, "--limit", str(n), "--json", "--config", file], capture_output=True, text=True,
                          timeout=100)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout), time.monotonic() - since


def test_a_crawl_goes_where_and_as_its_fields_say(tmp_path, provider):
    other = provider.url.replace("127.0.0.1", "localhost")
    links = "".join(f'<a href="{u}" {more}>x</a>' for u, more in (
        ("/a", 'rel="nofollow"'), ("/deep/1", ""), ("/secret", ""), (f"{other}/other", ""), ("/b", ""), ("/c", "")))
    for path, body in {"/": links, "/a": "<b>7</b>", "/deep/1": '<a href="/deep/2">x</a>', "/deep/2": "", "/secret": "",
                       "/other": "", "/b": "<b>8</b>", "/c": ""}.items():
        provider.route(path, Answer(body=f"<title>at {path}</title>{body}", headers=HTML, delay=0.05))
    provider.route("/robots.txt", Answer(body="User-agent: *\nDisallow: /secret\n"))
    text = f"""
jobs:
  j:
    kind: crawl
    start: ["{provider.url}/"]
    follow: {{domains: [127.0.0.1, localhost], depth: 1, nofollow: ignore, private: true}}
    robots: ignore
    politeness: {{delay: 0s, per_host: 1}}
    extract:
      - {{match: "/[ab]$", fields: {{number: {{xpath: "string(//b)", type: integer}}}}}}
      - {{fields: {{title: {{xpath: "string(//title)"}}}}}}
    store: {{table: sites, key: [url]}}
"""
    said, took = limited(tmp_path, text)
    rows = {row["url"].removeprefix(provider.url): row for row in said["rows"]}
    assert set(rows) == {"/", "/a", "/deep/1", "/secret", f"{other}/other", "/b", "/c"}
    assert (rows["/a"]["number"], rows["/a"]["title"]) == (7, None), "the first rule that matches, and its type"
    assert (rows["/c"]["number"], rows["/c"]["title"]) == (None, "at /c")
    assert provider.count("/robots.txt") == 0 and took < 5
    # By host: localhost is another one.
    of_host = [c for c in provider.calls if c.headers["Host"].startswith("127")]
    times = sorted(c.at for c in of_host)
    assert min(b - a for a, b in zip(times, times[1:])) > 0.045, "one at a time"


def test_a_crawl_has_no_more_pages_than_max_pages(tmp_path, provider):
    provider.route("/", Answer(body='<a href="/a">a</a><a href="/b">b</a><a href="/c">c</a>', headers=HTML))
    for path in ("/a", "/b", "/c"):
        provider.route(path, Answer(body=path, headers=HTML))
    said, _ = limited(tmp_path, f"""
jobs: {{j: {{kind: crawl, start: ["{provider.url}/"], follow: {{private: true, max_pages: 2}}, politeness: {{delay: 0s}},
       store: {{table: sites, key: [url]}}}}}}
""")
    assert len(said["rows"]) == 2


def collect(url, provider="", job=""):
    return f"""
providers: {{p: {{base_url: "{url}", private: true {provider}}}}}
jobs: {{j: {{kind: collect, request: {{provider: p, path: /x}}, fields: {{id: id}}, store: {{table: t, key: [id]}} {job}}}}}
"""


def gaps(provider):
    times = [call.at for call in provider.calls]
    return [b - a for a, b in zip(times, times[1:])]


def test_backoff_grows_by_its_factor_without_jitter(tmp_path, provider):
    provider.route("/x", Answer(500))
    limited(tmp_path, collect(provider.url, ", retry: {attempts: 4, backoff: {initial: 100ms, factor: 5, max: 700ms, jitter: false}}"),
            code=1)
    first, second, third = gaps(provider)
    assert 0.09 < first < 0.45 < second < 0.69 < third < 2


def test_what_is_tried_again_is_said_by_when(tmp_path, provider):
    provider.route("/x", Answer(404))
    limited(tmp_path, collect(provider.url, ", retry: {attempts: 2, when: [404], backoff: {initial: 50ms}}"), code=1)
    assert provider.count() == 2


def test_a_connection_that_does_not_come_about_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # A queue of one that is full: the kernel says nothing any more.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        said, took = limited(tmp_path, collect(url, ", timeout: {connect: 300ms, total: 30s}, retry: {attempts: 1}"), code=1)
        for one in waiting:
            one.close()
    assert "timeout" in said["errors"][0] and took < 6


def slow_server(pieces):
    """Answers each call with a header of 1000 bytes to come and then so many bytes, one each 0.2 s."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        try:
            one, _ = listener.accept()
            one.recv(10000)
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(pieces):
                one.sendall(b" ")
                time.sleep(0.2)
            one.recv(1)
        except OSError:
            pass
    threading.Thread(target=serve, daemon=True).start()
    return listener


def test_an_answer_that_stands_still_and_one_that_takes_too_long_are_given_up(tmp_path):
    with slow_server(pieces=0) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        said, took = limited(tmp_path, collect(url, ", timeout: {idle: 300ms}, retry: {attempts: 1}"), code=1)
        assert "timeout" in said["errors"][0] and took < 6
    with slow_server(pieces=100) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        said, took = limited(tmp_path, collect(url, ", timeout: {total: 700ms}, retry: {attempts: 1}"), code=1)
        assert "timeout" in said["errors"][0] and took < 6


def test_a_csv_without_a_heading_gets_its_columns_from_the_job(tmp_path, provider):
    provider.route("/x", Answer(body="a comment\n'1';'one; two'\n", headers={"Content-Type": "text/csv"}))
    said, _ = limited(tmp_path, collect(provider.url, job=""", format: csv,
        csv: {columns: [id, name], skip: 1, delimiter: ";", quote: "'"}""").replace("{id: id}", "{id: id, name: name}"))
    assert said["rows"] == [{"id": "1", "name": "one; two"}]


WHO = """
import json, os, resource
limits = {n: resource.getrlimit(getattr(resource, "RLIMIT_" + n))[0] for n in ("NOFILE", "NPROC", "CORE", "AS")}
print(json.dumps({"uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()), "umask": os.umask(0), "at": os.getcwd(),
                  "nice": os.nice(0), "oom": int(open("/proc/self/oom_score_adj").read()), "limits": limits,
                  "GREETING": os.environ.get("GREETING"), "log": os.fstat(1).st_gid}), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_a_command_on_a_schedule_is_started_as_its_fields_say(drover):
    nobody, gid = pwd.getpwnam("nobody").pw_uid, {n: grp.getgrnam(n).gr_gid for n in ("daemon", "games", "mail")}
    let_others_in(drover.folder)
    drover.start(f"""
jobs:
  told: {{kind: exec, command: [python3, -c, {json.dumps(WHO)}], user: nobody, group: daemon, groups: [games, mail], log_group: games,
        umask: "027", directory: /usr, environment: {{GREETING: good day}}, nice: 7, oom_score_adjust: 321,
        rlimits: {{nofile: 123, nproc: 4567, core: 8KiB, memory: 3GiB}}}}
""")
    drover.wait_event("scheduler_ready")
    assert drover.ask("run", json.dumps({"job": "told", "request_id": "1"}))[0] == 0
    line = until(lambda: [x for x in drover.log_of("told").splitlines() if x.startswith("{")], "it tells")[0]
    assert json.loads(line) == {
        "uid": nobody, "gid": gid["daemon"], "groups": sorted((gid["games"], gid["mail"])), "umask": 0o27, "at": "/usr", "nice": 7,
        "oom": 321, "limits": {"NOFILE": 123, "NPROC": 4567, "CORE": 8192, "AS": 3 << 30}, "GREETING": "good day", "log": gid["games"]}


def paged(paginate):
    return f", records: items, paginate: {{{paginate}}}"


def asked(provider, name):
    return [call.query.get(name) for call in provider.calls]


def test_pages_begin_and_end_where_the_fields_say(tmp_path, provider):
    provider.route("/x", lambda call: Answer(body={"items": [{"id": 10 * call.n + i} for i in range(3 if call.n < 2 else 0)]}))
    # A short page is not the end when only an empty one is.
    said, _ = limited(tmp_path, collect(provider.url, job=paged("by: page, param: page, start: 7, size: 5, until: empty")))
    assert asked(provider, "page") == ["7", "8", "9"] and len(said["rows"]) == 6
    provider.calls.clear()
    provider.route("/x", Answer(body={"items": []}))
    limited(tmp_path, collect(provider.url, job=paged("by: offset, param: from, offset: 20, size: 5")))
    assert asked(provider, "from") == ["20"]


def test_the_link_of_another_relation_leads_on(tmp_path, provider):
    provider.route("/x", Answer(body={"items": [{"id": 1}]}, headers={"Link": '</y>; rel="more", </z>; rel="next"'}))
    provider.route("/y", Answer(body={"items": [{"id": 2}]}))
    said, _ = limited(tmp_path, collect(provider.url, job=paged("by: link, rel: more")))
    assert [row["id"] for row in said["rows"]] == ["1", "2"] and provider.count("/z") == 0


def test_an_answer_over_max_body_is_refused(tmp_path, provider):
    provider.route("/x", Answer(body={"items": [{"id": "x" * 30000}]}))
    said, _ = limited(tmp_path, collect(provider.url, job=", records: items, max_body: 20KB"), code=1)
    assert "20000" in said["errors"][0] or "large" in said["errors"][0], said["errors"]


def test_each_record_is_one_more_row_when_mode_is_append(tmp_path, provider):
    provider.route("/x", Answer(body=[{"id": 1}, {"id": 1}]))
    said, _ = limited(tmp_path, collect(provider.url).replace("key: [id]", "mode: append"))
    assert [row["id"] for row in said["rows"]] == ["1", "1"]


def test_the_logs_keep_to_their_fields(drover):
    script = "/usr/bin/python3 -c 'print(\"x\" * 60000); print(\"short\", flush=True); import time; time.sleep(1000)'"
    text = f"services:\n  a: {{command: [sh, -c, {json.dumps(script)}]}}\n"
    drover.start(text + "logs: {max_size: 4096B, max_line: 4096B}\n")
    until(lambda: "short" in drover.log_of("a"), "it writes")
    backups = [p for p in drover.logs.iterdir() if p.name.startswith("a.log.")]
    assert any(b"[drover: line cut]\n" in p.read_bytes() for p in backups)
    for path in backups:
        path.unlink()
    fields = "logs: {compress: zstd, level: %s}\n"
    drover.write(text + fields % "warn")
    assert drover.ask("reload")[0] == 0
    assert drover.ask("rotate")[0] == 0
    until(lambda: list(drover.logs.glob("a.log.1.*")), "it is compressed")
    fields = "logs: {max_age: 1s, level: %s}\n"
    drover.write(text + fields % "warn")
    assert drover.ask("reload")[0] == 0
    until(lambda: not list(drover.logs.glob("a.log.*")), "what is too old is gone")
    assert drover.ask("stop", "a")[0] == 0
    drover.write(text + fields % "info")
    assert drover.ask("reload")[0] == 0
    assert drover.ask("start", "a")[0] == 0
    drover.wait_event("process_running", name="a", incarnation=2)
    assert not drover.find_events("process_stopped", name="a"), "below the least level"


def test_jobs_of_the_house_keep_to_their_fields(drover, provider):
    provider.route("/x", Answer(500))
    script = "trap 'echo told; exit 3' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
    drover.start(f"""
supervisor: {{stop: {{timeout: 2s}}}}
providers: {{p: {{base_url: "{provider.url}", private: true, retry: {{attempts: 1}}}}}}
jobs:
  tries: {{kind: collect, request: {{provider: p, path: /x}}, fields: {{id: id}}, store: {{table: t, key: [id]}},
         retry: {{attempts: 3, backoff: {{initial: 200ms, factor: 10, max: 300ms, jitter: false}}}}}}
  ends: {{kind: exec, command: [sh, -c, {json.dumps(script)}], timeout: 500ms, stop: {{signal: USR1, timeout: 20s}}, retry: {{attempts: 1}}}}
  both: {{kind: exec, command: ["true"], schedule: {{cron: "30 2 * * *", timezone: Europe/Berlin, dst: {{overlap: both}}}}}}
""")
    drover.wait_event("scheduler_ready")
    for job in ("tries", "ends"):
        assert drover.ask("run", json.dumps({"job": job, "request_id": job}))[0] == 0
    until(lambda: "told" in drover.log_of("ends"), "the signal of the job comes")
    until(lambda: provider.count() == 3, "it is tried again")
    # Looked for once a second; without `max` it would be two seconds.
    assert gaps(provider)[1] < 1.9
    code, answer = drover.ask("next", json.dumps({"job": "both", "n": 2, "from": "2026-10-24T22:00:00Z"}))
    assert [t["utc"][:19] for t in answer["times"]] == ["2026-10-25T00:30:00", "2026-10-25T01:30:00"]


def asking(tmp_path, name, code):
    """A probe's command that writes down that it was asked."""
    return ["sh", "-c", f"echo asked >> {tmp_path}/{name}; exit {code}"]


def test_a_service_is_asked_and_restarted_as_its_own_fields_say(drover, tmp_path):
    often = "interval: 200ms, timeout: 200ms, failures: 2, start_period: 0s"
    drover.start(f"""
services:
  ill: {{command: [sleep, "1000"], probe: {{exec: {json.dumps(asking(tmp_path, "ill", 1))}, {often}}}, restart: {{min_interval: 0s}}}}
  hung: {{command: [sleep, "1000"], probe: {{exec: [sleep, "1000"], {often}}}, restart: {{min_interval: 0s}}}}
  held: {{command: [sleep, "1000"], probe: {{exec: ["false"], {often}}}, restart: {{min_interval: 1h, jitter: 1h, when_held: stop}}}}
  deaf: {{command: [sh, -c, "trap '' TERM; echo up; while :; do sleep 0.05; done"], stop: {{timeout: 300ms}}}}
""")
    until(lambda: "up" in drover.log_of("deaf"), "the trap is set")
    since = time.monotonic()
    assert drover.ask("stop", "deaf")[0] == 0 and time.monotonic() - since < 10
    drover.rewind().wait_event("process_running", name="ill", incarnation=2)
    assert [r["strikes"] for r in drover.health("probe_failed", name="ill", incarnation=1)] == [1, 2]
    drover.rewind().wait_event("process_running", name="ill", incarnation=3)
    drover.rewind().wait_event("process_running", name="hung", incarnation=2)
    drover.wait_state("held", "waiting")
    slot = drover.slot("held")
    assert seconds(slot["restart_due_at"]) - time.time() > 3620, "an hour, and a part of another"


def test_what_the_supervisor_s_fields_say_holds_for_services_that_say_nothing(drover, tmp_path):
    script = "trap 'echo told; exit 0' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
    drover.start(f"""
supervisor:
  probe: {{interval: 200ms, timeout: 200ms, failures: 2, start_period: 0s}}
  restart: {{policy: on-failure, min_interval: 1h, jitter: 1h, when_held: stop}}
  stop: {{signal: USR1, timeout: 20s}}
services:
  ill: {{command: [sleep, "1000"], probe: {{exec: {json.dumps(asking(tmp_path, "ill", 1))}}}, stop: {{signal: TERM}}}}
  done: {{command: ["true"]}}
  told: {{command: [sh, -c, {json.dumps(script)}]}}
""")
    drover.wait_event("process_running", name="ill", incarnation=2)
    assert [r["strikes"] for r in drover.health("probe_failed", name="ill", incarnation=1)] == [1, 2]
    drover.wait_state("ill", "waiting")
    assert seconds(drover.slot("ill")["restart_due_at"]) - time.time() > 3620
    until(lambda: drover.slot("done")["state"] in ("stopped", "failed"), "it ended well, and that is all")
    assert drover.slot("done")["incarnation"] == 1
    until(lambda: "up" in drover.log_of("told"), "the trap is set")
    assert drover.ask("stop", "told")[0] == 0
    until(lambda: "told" in drover.log_of("told"), "by its signal")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_workers_are_asked_restarted_and_stopped_as_their_own_fields_say(drover):
    let_others_in(drover.folder)
    drover.start("""
supervisor: {probe: {interval: 1m, timeout: 10s}}
workers:
  collect: {processes: 3, probe: {interval: 200ms, timeout: 200ms, failures: 5, start_period: 0s}, restart: {min_interval: 0s}}
  crawl: {probe: {interval: 200ms, timeout: 200ms, failures: 2, start_period: 0s},
          restart: {min_interval: 1h, jitter: 1h, when_held: keep}, stop: {timeout: 300ms}}
  monitor: {user: nobody, restart: {policy: never}}
""")
    drover.wait_event("supervisor_ready")

    def pid(name):
        return drover.slot(name)["pid"]
    assert os.stat(f"/proc/{pid('monitor')}").st_uid == pwd.getpwnam("nobody").pw_uid
    for life in (2, 3):
        os.kill(pid("collect:3"), signal.SIGSTOP)
        drover.rewind().wait_event("process_running", name="collect:3", incarnation=life)
    strikes = [r["strikes"] for r in drover.health("probe_failed", name="collect:3")]
    assert strikes == [1, 2, 3, 4, 5] * 2
    os.kill(pid("crawl"), signal.SIGKILL)
    drover.rewind().wait_event("process_running", name="crawl", incarnation=2)
    held = pid("crawl")
    os.kill(held, signal.SIGSTOP)
    until(lambda: drover.slot("crawl")["restart_due_at"], "its restart is held")
    assert seconds(drover.slot("crawl")["restart_due_at"]) - time.time() > 3620 and pid("crawl") == held
    since = time.monotonic()
    assert drover.ask("stop", "crawl")[0] == 0 and time.monotonic() - since < 5
    os.kill(pid("monitor"), signal.SIGKILL)
    drover.wait_state("monitor", "failed")


def test_a_worker_that_cannot_be_told_is_ended_by_its_signal(drover):
    """A worker is asked to drain; one that closed its channel gets the signal."""
    puppets = Puppets(drover.folder)
    drover.program = str(puppets.program)
    puppets.play(crawl=[["leave"]])
    drover.start("workers: {crawl: {stop: {signal: USR2}}}\n")
    drover.wait_event("process_running", name="crawl", incarnation=2)
    assert drover.slot("crawl")["last_exit"]["signal"] == signal.SIGUSR2


def test_endpoints_and_adaptive_limits_are_those_of_the_calls(tmp_path, provider):
    provider.route("/x", lambda call: Answer(body={"items": [{"id": call.n}] if call.n < 2 else []}))
    endpoints = '[{match: "^/x$", rate: 9/1h, concurrency: 3, min_delay: 700ms}, {match: "^/y", rate: 1/1h}]'
    text = collect(provider.url, f", limits: {{endpoints: {endpoints}}}", paged("by: page, param: page, size: 1"))
    limited(tmp_path, text)
    assert len(gaps(provider)) == 2 and min(gaps(provider)) > 0.6

    def limits(text):
        (tmp_path / "drover.yaml").write_text(f"supervisor: {{state_dir: {tmp_path / 'state'}}}\n{text}")
        done = subprocess.run([DROVER, "run", "j", "--dry-run", "--json", "--config", tmp_path / "drover.yaml"], capture_output=True)
        return sorted((limit["count"], limit["period_ms"]) for limit in json.loads(done.stdout)["limits"])
    assert {(3, 0), (9, 3600000)} <= set(limits(text)) and (1, 3600000) not in limits(text)
    assert limits(collect(provider.url, ", limits: {adaptive: true}")) == [(20, 0)] != limits(collect(provider.url))


def test_an_incremental_argument_has_its_format(tmp_path, provider):
    provider.route("/x", Answer(body=[]))
    limited(tmp_path, collect(provider.url, job=', incremental: {cursor: at, param: since, start: "2026-01-02", format: "%Y%m%d"}')
            .replace("{id: id}", "{id: id, at: {path: at, type: timestamp}}"))
    assert asked(provider, "since") == ["20260102"]

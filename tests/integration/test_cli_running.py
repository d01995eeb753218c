# SPDX-License-Identifier: MIT
"""The command line against a running supervisor, and `drover up`."""
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import threading

import pytest

from harness import BUILD, alive, descendants, until
from provider import Answer, Provider

DROVER = BUILD / "bin/drover"
QUICK = """
supervisor:
  probe: {interval: 1s, timeout: 500ms}
  restart: {min_interval: 1s, jitter: 0s}
  stop: {timeout: 5s}
http: {listen: "127.0.0.1:0"}
"""
HELLO = 'services: {hello: {command: [sh, -c, "echo hello there; exec sleep 1000"]}}\n'
CRON = """
jobs:
  nightly:
    kind: crawl
    schedule: {cron: "0 3 * * *", timezone: Asia/Seoul}
    start: ["http://x.example/"]
    extract: [{match: ".*", fields: {title: {xpath: "string(//title)"}}}]
    store: {table: pages, key: [url]}
"""
JOB = """
providers: {p: {base_url: "%s", private: true}}
jobs:
  items:
    kind: collect
    request: {provider: p, path: /items}
    paginate: {by: page, param: page, size: 10}
    records: data
    fields: {id: {path: id, type: integer}}
    store: {table: items, key: [id]}
"""


@pytest.fixture
def cli(drover):
    """cli("status", code=0): one command line against the test's supervisor."""
    def run(*words, code=0, stdout=subprocess.PIPE):
        done = subprocess.run([DROVER, *words, "--socket", str(drover.runtime / "control.sock")], stdout=stdout,
            stderr=subprocess.PIPE, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done
    return run


def ready(drover, text):
    drover.start(text)
    drover.wait_event("scheduler_ready")
    return drover


def test_status_holds_what_the_specification_says(drover, cli):
    ready(drover, QUICK + HELLO + CRON)
    drover.wait_state("hello", "running")
    status = until(lambda: (lambda s: s if s["jobs"] and s["queue"] and s["health"] else None)(
        json.loads(cli("status", "--json").stdout)), "all parts answer")
    assert {"pid", "version", "started_at", "config_file", "config_error", "state", "containment"} <= set(
        status["supervisor"])
    assert status["supervisor"]["pid"] == drover.pid
    hello = next(p for p in status["processes"] if p["name"] == "hello")
    assert {"name", "kind", "state", "pid", "incarnation", "started_at", "restarts", "last_exit", "strikes",
        "last_probe", "restart_due_at", "memory_bytes", "cpu_percent"} <= set(hello)
    assert alive(hello["pid"])
    assert {"name", "kind", "state", "next_due_at", "last_run"} <= set(status["jobs"][0])
    assert {"ready", "claimed", "delayed", "dead"} <= set(status["queue"])
    assert {"level", "checks"} <= set(status["health"])
    text = cli("status").stdout
    assert re.search(r"^hello +service +running +%d " % hello["pid"], text, re.M)
    assert re.search(r"^nightly +crawl +\S+ .* in ", text, re.M)


def test_start_stop_restart_say_what_happened(drover, cli):
    drover.start(QUICK + HELLO)
    first = drover.wait_state("hello", "running")["pid"]
    assert cli("stop", "hello").stdout == "hello: stopped\n"
    assert not alive(first)
    assert cli("start", "hello").stdout == "hello: running\n"
    second = drover.slot("hello")["pid"]
    assert json.loads(cli("restart", "hello", "--json").stdout)["results"][0]["ok"] is True
    assert drover.slot("hello")["pid"] not in (first, second)


def test_a_mistyped_name_is_exit_code_4_with_a_suggestion(drover, cli):
    ready(drover, QUICK + HELLO + CRON)
    for words, meant in ((["stop", "helo"], "hello"), (["status", "helo"], "hello"), (["logs", "helo"], "hello"),
            (["run", "nightyl"], "nightly"), (["runs", "nightyl"], "nightly"), (["next", "nightyl"], "nightly")):
        said = cli(*words, code=4)
        assert re.search(f"did you mean ['\"]{meant}['\"]", said.stderr), said.stderr
        assert said.stdout == ""


def test_a_broken_reload_tells_where_and_changes_nothing(drover, cli):
    drover.start(QUICK + HELLO)
    pid = drover.wait_state("hello", "running")["pid"]
    drover.write(QUICK + HELLO.replace("command", "comand"))
    said = cli("reload", code=78)
    assert 'did you mean "command"?' in said.stderr and "nothing was changed" in said.stderr
    assert said.stdout == ""
    assert "comand" in cli("status").stdout
    assert drover.slot("hello")["pid"] == pid
    drover.write(QUICK + HELLO.replace("hello there", "good day"))
    assert "hello" in cli("reload").stdout
    until(lambda: "good day" in cli("logs", "hello").stdout, "the new one runs")


def test_logs_shows_the_last_lines_of_a_process(drover, cli):
    drover.start(QUICK + 'services: {w: {command: [sh, -c, "seq 200; exec sleep 1000"]}}\n')
    until(lambda: drover.log_of("w").endswith("\n200\n"), "all is written")
    assert cli("logs", "w", "-n", "3").stdout == "198\n199\n200\n"
    assert json.loads(cli("logs", "w", "-n", "2", "--json").stdout)["lines"] == ["199", "200"]
    assert "process_running" in cli("logs").stdout


def test_next_of_a_job_is_in_its_own_zone(drover, cli):
    ready(drover, QUICK + CRON)
    times = json.loads(cli("next", "nightly", "-n", "2", "--from", "2026-11-21T00:00:00Z", "--json").stdout)
    assert times == {"times": [
        {"local": "2026-11-22T03:00:00+09:00", "utc": "2026-11-21T18:00:00Z"},
        {"local": "2026-11-23T03:00:00+09:00", "utc": "2026-11-22T18:00:00Z"},
    ]}


def listing(total):
    """Pages of ten records each."""
    def answer(call):
        page = int(call.query["page"])
        return Answer(body={"data": [{"id": i} for i in range((page - 1) * 10, min(page * 10, total))]})
    return answer


def test_run_wait_ends_with_the_run_and_its_exit_code(drover, cli):
    with Provider() as provider:
        provider.route("/items", listing(35))
        ready(drover, QUICK + JOB % provider.url)
        assert re.match(r"items succeeded in \S+: 35 rows, 4 requests\n", cli("run", "items", "--wait").stdout)
        run = json.loads(cli("run", "items", "--wait", "--json").stdout)
        assert {"id", "job", "trigger", "due_at", "started_at", "finished_at", "state", "tasks", "requests", "rows",
            "rejected", "bytes", "errors"} <= set(run)
        assert run["state"] == "succeeded"
        runs = json.loads(cli("runs", "items", "--json").stdout)["runs"]
        assert [r["id"] for r in runs] == sorted((r["id"] for r in runs), reverse=True) and len(runs) == 2
        provider.route("/items", lambda call: Answer(404))
        said = cli("run", "items", "--wait", code=1)
        assert "items failed" in said.stdout and "404" in said.stdout


def test_a_run_asked_for_by_key_is_one_run_and_overlap_holds_for_it_too(drover, cli):
    gate = threading.Event()
    with Provider() as provider:
        whole = listing(5)
        provider.route("/items", lambda call: (setattr(answer := whole(call), "wait", gate), answer)[1])
        job = (JOB % provider.url).replace("    request:", "    schedule: {at: 2100-01-01T00:00:00Z}\n    request:")
        ready(drover, QUICK + job + """  later:
    kind: collect
    schedule: {after: items}
    request: {provider: p, path: /items}
    records: data
    fields: {id: {path: id, type: integer}}
    store: {table: items, key: [id]}
""")
        until(lambda: json.loads(cli("jobs", "--json").stdout)["jobs"][0]["next_due_at"], "the job is known")
        cli("run", "items", "--id", "monday")
        again = json.loads(cli("run", "items", "--id", "monday", "--json").stdout)
        assert again["state"] in ("queued", "running")
        other = cli("run", "later", "--id", "monday", code=1)
        assert "is that of a run of items" in other.stderr
        skipped = cli("run", "items", code=1)
        assert "items skipped" in skipped.stdout and "schedule.overlap: skip" in skipped.stdout
        assert "after items" in cli("jobs").stdout
        gate.set()
        assert json.loads(cli("run", "items", "--id", "monday", "--wait", "--json").stdout)["id"] == again["id"]
        until(lambda: [r["trigger"] for r in json.loads(cli("runs", "later", "--json").stdout)["runs"]] == ["after"],
            "the job that follows runs once")
        assert json.loads(cli("pause", "items", "later", "--json").stdout)["jobs"][1]["state"] == "paused"
        assert "paused" in cli("jobs").stdout
        assert "paused" not in cli("resume", "items", "later").stdout
        assert "did you mean 'items'" in cli("pause", "itmes", code=4).stderr
        assert [r["state"] for r in json.loads(cli("runs", "items", "-n", "2", "--json").stdout)["runs"]] == [
            "skipped", "succeeded"]


@pytest.mark.parametrize("victim", ["scheduler", "droverd"])
def test_run_wait_lives_through_a_kill_and_makes_one_run(drover, cli, victim):
    gate = threading.Event()
    with Provider() as provider:
        whole = listing(35)
        provider.route("/items", lambda call: (setattr(answer := whole(call), "wait", gate), answer)[1]
            if call.query["page"] == "3" else whole(call))
        ready(drover, QUICK + JOB % provider.url)
        waiting = subprocess.Popen([DROVER, "run", "items", "--wait", "--json", "--socket",
            str(drover.runtime / "control.sock")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: any(call.query["page"] == "3" for call in provider.calls), "the third page is asked for")
        if victim == "droverd":
            drover.kill()
            drover.start()
        else:
            os.kill(drover.slot("scheduler")["pid"], signal.SIGKILL)
        gate.set()
        out, err = waiting.communicate(timeout=60)
        assert waiting.returncode == 0, err
        assert json.loads(out)["rows"] == 35
        assert len(json.loads(cli("runs", "--json").stdout)["runs"]) == 1


def test_interrupting_the_wait_leaves_the_run(drover, cli):
    gate = threading.Event()
    with Provider() as provider:
        whole = listing(5)
        provider.route("/items", lambda call: (setattr(answer := whole(call), "wait", gate), answer)[1])
        ready(drover, QUICK + JOB % provider.url)
        waiting = subprocess.Popen([DROVER, "run", "items", "--wait", "--socket",
            str(drover.runtime / "control.sock")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: provider.calls, "it has begun")
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
        assert waiting.returncode == -signal.SIGINT and "the run goes on" in err
        gate.set()
        until(lambda: json.loads(cli("runs", "--json").stdout)["runs"][0]["state"] == "succeeded", "it succeeds")


def test_progress_is_a_bar_on_a_terminal_only_and_never_on_standard_output(drover, cli):
    gate = threading.Event()
    with Provider() as provider:
        whole = listing(25)
        provider.route("/items", lambda call: (setattr(answer := whole(call), "wait", gate), answer)[1]
            if call.query["page"] == "2" else whole(call))
        ready(drover, QUICK + JOB % provider.url)
        master, slave = pty.openpty()
        waiting = subprocess.Popen([DROVER, "run", "items", "--wait", "--socket",
            str(drover.runtime / "control.sock")], stdout=subprocess.PIPE, stderr=slave, text=True)
        os.close(slave)
        seen = b""
        while b"10 rows" not in seen:
            assert select.select([master], [], [], 20)[0], seen
            seen += os.read(master, 4096)
        gate.set()
        out, _ = waiting.communicate(timeout=20)
        os.close(master)
        assert b"\r" in seen and b"items  running" in seen
        assert waiting.returncode == 0 and out.startswith("items succeeded") and out.count("\n") == 1


def test_dead_letters_are_seen_put_back_and_dropped(drover, cli):
    with Provider() as provider:
        provider.route("/items", lambda call: Answer(404))
        ready(drover, QUICK + JOB % provider.url)
        cli("run", "items", "--wait", code=1)
        letters = json.loads(cli("dead", "--json").stdout)["dead"]
        assert len(letters) == 1 and letters[0]["job"] == "items" and "404" in letters[0]["error"]
        number = str(letters[0]["id"])
        assert "404" in cli("dead", "show", number).stdout
        provider.route("/items", listing(5))
        assert "1 put back" in cli("dead", "retry", number).stderr
        until(lambda: json.loads(cli("jobs", "--json").stdout)["jobs"][0]["last_run"]["rows"] == 5, "it is done")
        assert json.loads(cli("dead", "--json").stdout)["dead"] == []
        cli("dead", "show", number, code=4)


# -- drover up --

def up(drover, text, *prefix):
    drover.write(text)
    return subprocess.Popen([*prefix, DROVER, "up", "--config", str(drover.config), "--state-dir", str(drover.state),
        "--runtime-dir", str(drover.runtime), "--log-dir", str(drover.logs)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_until(process, pattern):
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"{pattern!r} was not said:\n{said}")


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_up_shows_logs_as_text_and_stops_all_on_a_signal(drover, signo):
    process = up(drover, QUICK + HELLO)
    said = read_until(process, r"hello \| hello there")
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} info +droverd +supervisor_started", said, re.M)
    process.send_signal(signo)
    rest = process.stdout.read()
    assert process.wait(30) == 0
    assert "supervisor_stopped" in rest
    assert not drover.left_over()


def test_up_relays_a_reload(drover):
    process = up(drover, QUICK + HELLO)
    read_until(process, r"hello \| hello there")
    drover.write(QUICK + HELLO.replace("hello there", "good day"))
    process.send_signal(signal.SIGHUP)
    read_until(process, r"hello \| good day")
    process.terminate()
    process.stdout.read()
    assert process.wait(30) == 0


def test_what_lay_in_the_logs_before_is_not_shown_again(drover):
    drover.logs.mkdir()
    (drover.logs / "hello.log").write_text("of yesterday\n")
    process = up(drover, QUICK + HELLO)
    said = read_until(process, r"hello \| hello there")
    process.terminate()
    assert "of yesterday" not in said + process.stdout.read()
    process.wait(30)


def test_up_with_a_broken_configuration_starts_nothing(drover):
    process = up(drover, "servces: {}\n")
    said = process.stdout.read()
    assert process.wait(30) == 78 and 'did you mean "services"' in said
    assert not drover.runtime.exists()


def test_killing_up_stops_the_supervisor_too(drover):
    process = up(drover, QUICK + HELLO)
    read_until(process, r"hello \| hello there")
    below = descendants(process.pid)
    assert below
    process.kill()
    process.wait()
    until(lambda: not any(alive(pid) for pid in below), "all below it are gone")


def test_up_as_process_1_of_a_container_reaps_and_stops(drover):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-pf", "--mount-proc", "true"], capture_output=True).returncode:
        pytest.skip("needs root and namespaces")
    orphan = 'services: {hello: {command: [sh, -c, "(sleep 0.1 &) ; echo hello there; exec sleep 1000"]}}\n'
    process = up(drover, QUICK + orphan, "unshare", "-pf", "--mount-proc", "--kill-child")
    read_until(process, r"hello \| hello there")
    first = until(lambda: descendants(process.pid)[:1], "up runs")[0]
    assert pathlib.Path(f"/proc/{first}/status").read_text().count("\t1\n") >= 1  # NSpid: it is process 1 in there
    os.kill(first, signal.SIGTERM)
    process.stdout.read()
    assert process.wait(30) == 0

# SPDX-License-Identifier: MIT
"""Tries to break what is promised of supervision: S1 to S4, S6, L1, X2, X4, with the nastiest processes and peers."""
import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest

import harness
from given import PYTHON, SLOW, Commander, let_others_in, root_only, services
from harness import (BUILD, DROVERD, MESSAGES, alive, bytes_of, descendants, log_files, processes, seconds, text_of, until,
                     whole_log)

HERE = pathlib.Path(__file__).resolve().parent

RULES = """
supervisor:
  probe: {interval: %(interval)s, timeout: %(timeout)s, start_period: 0s}
  restart: {min_interval: %(min_interval)s, jitter: %(jitter)s}
  stop: {timeout: %(stop)s}
http: {listen: "127.0.0.1:0"}
"""


def rules(**change):
    return RULES % {"interval": "200ms", "timeout": "200ms", "min_interval": "1h", "jitter": "0s", "stop": "2s", **change}


def named(mark):
    """Living processes with this name; a process lives while one of its threads does."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit():
                head, rest = pathlib.Path("/proc", name, "stat").read_text().rsplit(")", 1)
                rest = rest.split()
                if head.endswith("(" + mark) and (rest[0] not in "ZX" or int(rest[17]) > 1):
                    found.append(int(name))
    return found


def boot_ms():
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


# -- S4, S1: nothing of a tree is left --

ANIMALS = ["grouped", "stubborn", "secretive", "headless", "asleep", "runner", "sprinter", "reaper"]


def zoo(mark, *kinds):
    return {"command": [PYTHON, str(HERE / "zoo.py"), mark, *kinds]}


@pytest.mark.parametrize("kind", ANIMALS)
def test_no_descendant_outlives_a_stop(drover, kind):
    mark = f"zoo{os.getpid() % 1000}{kind[:8]}"
    drover.start(rules(stop="300ms") + services(a=zoo(mark, kind, "wiped-" + kind)))
    until(lambda: len(named(mark)) >= 3, "the animals are there")
    since = time.monotonic()
    code, answer = drover.ask("stop", "a")
    assert time.monotonic() - since < 0.3 + 1 * SLOW, answer
    assert code == 0 and not named(mark), answer


@root_only
def test_a_forged_mark_makes_no_file_and_saves_nobody(drover):
    mark = f"zoo{os.getpid() % 1000}forge"
    script = (f"DROVER_SLOT=../../../forged setsid {PYTHON} {HERE}/zoo.py {mark} =plain </dev/null >/dev/null 2>&1 & "
              f"exec {PYTHON} {HERE}/zoo.py {mark} =plain")
    drover.start(rules() + services(a={"command": ["sh", "-c", script], "user": "nobody"}))
    old = set(until(lambda: (lambda n: n if len(n) == 2 else None)(named(mark)), "both are there"))
    drover.kill().start()
    drover.wait_event("process_adopted", name="a")
    assert set(named(mark)) == old, "both are adopted"
    assert drover.ask("restart", "a")[0] == 0
    until(lambda: len(set(named(mark)) - old) == 2, "both are there again")
    assert not old & set(named(mark))
    assert not [p for top in (drover.folder, drover.folder.parent) for p in top.rglob("*forged*")]
    assert drover.ask("stop", "a")[0] == 0
    assert not named(mark)


def test_supervisors_that_die_over_their_take_over_leave_nobody_out(drover):
    """Each dies before it has looked at what it found: the last one still finds all."""
    mark = f"zoo{os.getpid() % 1000}over"
    script = f"{PYTHON} {HERE}/zoo.py {mark} wiped-plain & setsid -f {PYTHON} {HERE}/zoo.py {mark} =plain; wait"
    drover.start(rules(min_interval="0s") + services(a=script))
    old = set(until(lambda: (lambda n: n if len(n) == 3 else None)(named(mark)), "all are there"))
    lock = drover.runtime / "lock"
    for _ in range(10):
        drover.kill()
        # Stopped as soon as it has the lock, which is before it looks for what is left.
        drover.start(wait=False)
        until(lambda: lock.read_text() == f"{drover.pid}\n" or drover.process.poll() is not None, "it has the lock")
        assert drover.process.poll() is None, drover.complaints()
    assert set(named(mark)) == old
    assert drover.ask("restart", "a")[0] == 0
    until(lambda: len(set(named(mark)) - old) == 3, "all are there again")
    assert not old & set(named(mark))


# -- X2, X4: the control socket --


def connections(drover, count):
    return [until(drover.try_control, "a connection") for _ in range(count)]


def close_all(clients):
    for client in clients:
        client.close()


def slow_to_stop(seconds):
    return f"trap 'sleep {seconds}; exit' TERM; echo up; while :; do sleep 0.02; done"


def test_each_of_many_questions_at_once_on_one_connection_is_answered_once(drover):
    drover.start(rules() + services(a=slow_to_stop(0.5)))
    until(lambda: drover.log_of("a"), "it is up")
    client = drover.control()
    for _ in range(5):
        client.send("stop", "a")
    answers = [client.receive() for _ in range(5)]
    assert sum(code == 0 and a["results"][0]["state"] == "stopped" for code, a in answers) == 1
    assert sum(a == {"error": "the last question is not answered yet"} for _, a in answers) == 4
    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.receive()
    client.close()


def test_two_hundred_silent_connections_hold_nobody_up(drover):
    drover.start(rules() + services(a=slow_to_stop(0.5)))
    until(lambda: drover.log_of("a"), "it is up")
    stop = drover.control()
    stop.send("stop", "a")
    clients = connections(drover, 100)
    for client in connections(drover, 100):
        with contextlib.suppress(OSError):
            client.send("status")  # and never reads
        clients.append(client)
    since = time.monotonic()
    assert drover.status()
    assert time.monotonic() - since < 2 * SLOW
    assert stop.receive()[0] == 0  # whoever waits for an answer keeps its place
    close_all(clients + [stop])


def test_a_thousand_connections_come_and_go(drover):
    drover.start(rules() + services(a="exec sleep 1000"))
    drover.wait_event("supervisor_ready")
    before = len(os.listdir(f"/proc/{drover.pid}/fd"))
    for _ in range(1000):
        until(drover.try_control, "a connection").close()
    assert drover.slot("a")["state"] == "running"
    until(lambda: len(os.listdir(f"/proc/{drover.pid}/fd")) <= before, "all descriptors are closed again")


def test_garbage_costs_a_connection_and_nothing_else(drover):
    drover.start(rules() + services(a="exec sleep 1000"))
    drover.wait_event("supervisor_ready")
    number = MESSAGES["REQUEST"].to_bytes(4, "little")
    text = b"\x06\0\0\0status"
    whole = number + b"\x01\0\0\0" + text + b"\0\0\0\0"
    packets = [b"\0", b"\xff" * 4, os.urandom(64), os.urandom(65536), b"\0" * 70000, b"{}", b"status\n", number,
               MESSAGES["PAGE"].to_bytes(4, "little") + b"\0" * 64,  # of the other direction
               MESSAGES["LOG_CLOSE"].to_bytes(4, "little") + b"\x01\0\0\0a",
               MESSAGES["CONFIG_RESULT"].to_bytes(4, "little") + b"\0" * 12,
               number + b"\x01\0\0\0" + b"\xff\xff\xff\xffstatus", whole + b"more",
               number + b"\x01\0\0\0\x06\0\0\0sta\0us\0\0\0\0", number + b"\x01\0\0\0\x02\0\0\0\xff\xfe\0\0\0\0"]
    packets += [whole[:n] for n in range(1, len(whole))]
    for packet in packets:
        client = drover.control()
        client.socket.settimeout(5)
        with contextlib.suppress(OSError):
            client.socket.send(packet)
        try:
            # either one refusal in words, or the end of the connection
            assert client.receive()[0] != 0
        except (AssertionError, OSError) as end:
            assert "closed" in str(end) or isinstance(end, ConnectionResetError), (packet[:40], end)
        client.close()
    assert drover.slot("a")["state"] == "running"
    code, answer = drover.ask("sing\x1b[31m\n")
    assert code == 2 and answer == {"error": "no such verb"}
    for args in ("../../etc/passwd", "a\nb", "\x1b[2J", "%s%n", "x" * 60000, b"\xff\xfe"):
        assert drover.ask("stop", args)[0] == 4
    assert drover.ask("stop", "")[0] == 2 and drover.ask("stop", "\n\n")[0] == 2
    assert drover.slot("a")["restarts"] == 0


def test_descriptors_that_a_client_sends_are_closed(drover):
    import array
    import socket
    drover.start(rules())
    drover.wait_event("supervisor_ready")
    before = len(os.listdir(f"/proc/{drover.pid}/fd"))
    for count in (1, 8, 9, 200):
        client = drover.control()
        client.socket.settimeout(5)
        with contextlib.suppress(OSError):  # a kernel that knows how does not even let them be sent
            client.socket.sendmsg([b"\0" * 16], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * count))])
            client.socket.recv(100)
        client.close()
    until(lambda: len(os.listdir(f"/proc/{drover.pid}/fd")) <= before, "all descriptors are closed again")


LOOKER = """
import os, sys
sys.path.insert(0, sys.argv[1])
os.setgroups([int(sys.argv[3])]); os.setgid(65534); os.setuid(65534)
import harness
"""


@root_only
def test_who_may_only_look_cannot_hold_up_the_operator_or_end_a_worker(drover):
    """A stopped scheduler must be found by its missed beats, and not earlier by questions that pile up."""
    drover.start(rules(interval="2s", timeout="2s") + services(a="exec sleep 1000"))
    pid = drover.wait_event("process_running", name="scheduler")["pid"]
    path = drover.runtime / "control.sock"
    let_others_in(path.parent)
    os.kill(pid, signal.SIGSTOP)
    program = LOOKER + """
clients = []
for i in range(300):
    c = harness.Control(sys.argv[2])
    try:
        c.send("jobs", "x" * 60000)
    except OSError:
        pass
    clients.append(c)
print("asked", flush=True)
sys.stdin.read()
"""
    looker = subprocess.Popen([PYTHON, "-c", program, str(HERE), str(path), str(path.stat().st_gid)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert looker.stdout.readline() == "asked\n"
        since = time.monotonic()
        assert drover.slot("scheduler")["pid"] == pid
        assert drover.ask("stop", "a")[0] == 0
        assert time.monotonic() - since < 1 * SLOW
    finally:
        os.kill(pid, signal.SIGCONT)
        looker.communicate()
    assert drover.slot("scheduler")["restarts"] == 0


# -- S2, S3: probes and restarts, with puppets for workers --

KINDS = ("scheduler", "collect", "crawl", "monitor")
PUPPET_RULES = "workers: {collect: {processes: 1}}\n"


class Puppets:
    def __init__(self, folder):
        self.bin = folder / "bin"
        self.record = folder / "record"
        self.bin.mkdir()
        self.record.mkdir()
        self.program = self.bin / "droverd"
        for name in ("droverd", "drover-log", "drover-parser"):
            shutil.copy(BUILD / "bin" / name, self.bin)
        for kind in KINDS:
            shutil.copy(HERE / "puppet.py", self.bin / f"drover-{kind}")
            (self.bin / f"drover-{kind}").chmod(0o755)
        self.play()

    def play(self, **modes):
        """play(crawl=[["pattern", "xxx"], ["well"]]): a mode for each life"""
        plan = {"messages": MESSAGES, "record": str(self.record), "modes": modes}
        (self.bin / "puppet.json").write_text(json.dumps(plan))

    def notes(self, kind, life, key):
        lines = text_of(self.record / f"{kind}.{life}").split("\n")[:-1]  # the last is not whole yet
        return [note for note in map(json.loads, lines) if key in note]


@pytest.fixture
def puppets(drover):
    one = Puppets(drover.folder)
    drover.program = str(one.program)
    return one


def stamp_ms(text):
    return seconds(text) * 1000


def test_three_missed_beats_replace_a_worker_once_and_the_next_three_are_held(drover, puppets):
    puppets.play(crawl=[["pattern", "..xxx"], ["pattern", ".xxx"], ["well"]])
    drover.start(rules(interval="100ms", timeout="100ms", min_interval="2s") + PUPPET_RULES)
    held = drover.wait_event("restart_held", name="crawl")
    assert 0 < held["wait_ms"] <= 2000
    slot = drover.wait_state("crawl", "waiting")
    assert slot["restart_due_at"] == held["restart_due_at"] and slot["pid"] is None and slot["restarts"] == 1
    assert drover.wait_event("process_running", name="crawl")["incarnation"] == 3
    # Not two, not four: each life was asked as often as that, and never again.
    assert len(puppets.notes("crawl", 1, "probe")) == 5
    assert len(puppets.notes("crawl", 2, "probe")) == 4
    until(lambda: len(puppets.notes("crawl", 3, "probe")) > 5, "the third life is well")
    assert [r["strikes"] for r in drover.health("probe_failed", name="crawl")] == [1, 2, 3, 1, 2, 3]
    starts = [stamp_ms(e["time"]) for e in drover.find_events("process_starting", name="crawl")]
    assert len(starts) == 3 and 1990 <= starts[2] - starts[1] < 2000 + 1000 * SLOW
    assert drover.slot("crawl")["restart_due_at"] is None
    for kind in ("scheduler", "collect", "monitor"):
        assert drover.slot(kind)["restarts"] == 0


def test_two_failures_and_a_success_never_add_up(drover, puppets):
    puppets.play(crawl=[["pattern", "xx.xx.xx.xx.xx.xxx"], ["well"]])
    drover.start(rules(interval="60ms", timeout="60ms") + PUPPET_RULES)
    assert drover.wait_event("process_running", name="crawl")["incarnation"] == 1
    assert drover.wait_event("process_running", name="crawl")["incarnation"] == 2
    assert len(puppets.notes("crawl", 1, "probe")) == 18
    strikes = [r["strikes"] for r in drover.health("probe_failed", name="crawl")]
    assert strikes == [1, 2] * 5 + [1, 2, 3]


@pytest.mark.parametrize("mode, well", [("shifted", False), ("double", True)])
def test_an_answer_counts_only_for_the_question_that_waits(drover, puppets, mode, well):
    """An answer of before or of the future is none, and a second one does no harm."""
    puppets.play(crawl=[[mode], ["well"]])
    drover.start(rules(interval="60ms", timeout="60ms") + PUPPET_RULES)
    drover.wait_event("process_running", name="crawl")
    if well:
        until(lambda: len(puppets.notes("crawl", 1, "probe")) > 10, "ten probes went by")
        assert not drover.health("probe_failed", name="crawl")
    else:
        assert drover.wait_event("process_running", name="crawl")["incarnation"] == 2
        assert len(puppets.notes("crawl", 1, "probe")) == 3


@pytest.mark.parametrize("mode, words", [("garbage", ""), ("leave", "it closed its channel and lives on"),
                                         ("twice", "its greeting is of another version or kind"),
                                         ("liar", "its greeting is of another version or kind"),
                                         ("refuses", "no, thank you")])
def test_a_worker_that_breaks_the_protocol_is_replaced_and_then_held(drover, puppets, mode, words):
    puppets.play(crawl=[[mode]])
    drover.start(rules(stop="300ms", interval="3s") + PUPPET_RULES)
    assert words in drover.wait_event("process_failed", name="crawl")["error"]
    drover.wait_event("restart_held", name="crawl")
    slot = drover.wait_state("crawl", "waiting")
    assert slot["restarts"] == 1 and slot["restart_due_at"] and words in slot["error"]
    assert all(drover.slot(kind)["state"] == "running" for kind in ("scheduler", "collect", "monitor"))


def test_only_monitor_tells_the_outcome_of_a_check(drover, puppets):
    puppets.play(crawl=[["forge", "a"]])
    web = {"command": ["sleep", "1000"], "probe": {"http": "http://127.0.0.1:9/", "interval": "200ms", "failures": 1}}
    drover.start(rules() + PUPPET_RULES + services(a=web))
    failed = drover.wait_event("process_failed", name="crawl")
    assert failed["error"] == "it said what is another kind's to say"
    assert drover.slot("a")["restarts"] == 0 and not drover.health("probe_failed", name="a")


# -- HTTP probes --


class Web:
    """A server in our own process: answers by a list of codes (0: never), the last one for ever."""

    def __init__(self, codes):
        self.codes, self.asked = list(codes), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                code = outer.codes.pop(0) if len(outer.codes) > 1 else outer.codes[0]
                outer.asked.append(time.time() * 1000)
                if code:
                    self.send_response(code)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    outer.ended.wait(20)

            def log_message(self, *_):
                pass

        self.ended = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    made = []

    def make(*codes):
        made.append(Web(codes))
        return made[-1]
    yield make
    for one in made:
        one.close()


def probed(url, **more):
    return {"command": ["sleep", "1000"], "probe": {"http": url, "interval": "200ms", "timeout": "200ms", **more}}


def test_three_failed_checks_in_a_row_restart_a_service_and_three_more_are_needed(drover, web):
    site = web(500, 500, 200, 500, 500, 200, 500, 500, 500, 200, 500, 500, 200, 500, 500, 500, 200)
    drover.start(rules(min_interval="0s") + services(a=probed(site.url)))
    until(lambda: len(site.asked) > 20, "all codes were given")
    assert drover.slot("a")["restarts"] == 2
    strikes = [r["strikes"] for r in drover.health("probe_failed", name="a")]
    assert strikes == [1, 2, 1, 2, 1, 2, 3, 1, 2, 1, 2, 3]


def test_a_server_that_accepts_and_never_answers_fails_in_time(drover, web):
    site = web(200, 0)
    drover.start(rules(min_interval="1h") + services(a=probed(site.url)))
    stopping = drover.wait_event("process_stopping", name="a", reason="probe")
    # The server sees a question when it was sent; it begins within timeout + 1 s of the third failing one.
    assert 0 < stamp_ms(stopping["time"]) - site.asked[3] < 200 + 1000 * SLOW
    assert drover.wait_event("process_running", name="a")["incarnation"] == 2
    held = drover.wait_event("restart_held", name="a")
    slot = drover.slot("a")
    assert slot["state"] == "running" and slot["restart_due_at"] == held["restart_due_at"]
    # An operator is not bound by the interval.
    assert drover.ask("restart", "a")[0] == 0
    assert drover.slot("a")["incarnation"] == 3


def test_a_supervisor_that_was_stopped_restarts_nobody(drover, web):
    site = web(200)
    # A quarter of a second: with less, workers that wait for a processor fail in earnest.
    drover.start(rules(interval="250ms", timeout="250ms") + services(a=probed(site.url, interval="250ms", timeout="250ms")))
    drover.wait_event("supervisor_ready")
    until(lambda: len(site.asked) > 2, "it is asked")
    for stalled in (0.15, 0.35, 0.8, 1.3, 2.5):
        os.kill(drover.pid, signal.SIGSTOP)
        time.sleep(stalled)  # the stall itself is what is tested
        os.kill(drover.pid, signal.SIGCONT)
        asked = len(site.asked)
        until(lambda: len(site.asked) > asked + 1, "it goes on")  # noqa: B023
    assert all(p["restarts"] == 0 and p["strikes"] == 0 for p in drover.status()["processes"])
    assert not drover.health("probe_failed")


# -- many at once --


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_thousand_orphans_leave_no_zombie(drover):
    """Each loses its parent, comes to droverd, and ends there; the service's own end is still told with its code."""
    script = ("import os\nfor i in range(1000):\n    if os.fork() == 0:\n        if os.fork() == 0: os._exit(0)\n        os._exit(0)\n"
              "    os.wait()\nos._exit(7)")
    drover.start(rules() + services(a=[PYTHON, "-c", script]))
    assert drover.wait_event("process_exited", name="a")["code"] == 7

    def zombies():
        return [pid for pid, (parent, state) in processes().items() if parent == drover.pid and state == "Z"]
    until(lambda: not zombies(), "no zombie is left", patience=1 * SLOW)


def test_a_hundred_services_that_crash_keep_their_interval_and_cost_little(drover):
    names = [f"s{i}" for i in range(100 // SLOW)]
    drover.start(rules(min_interval="1s", jitter="500ms") + services(**{name: "exit 1" for name in names}))
    drover.wait_event("supervisor_ready")
    since, cpu = time.monotonic(), cpu_s(drover.pid)

    def starts():
        found = {name: [] for name in names}
        for event in drover.find_events("process_starting"):
            if event["name"] in found:
                found[event["name"]].append(stamp_ms(event["time"]))
        return found
    until(lambda: min(map(len, starts().values())) >= 4, "each has been started four times")
    cost, span = cpu_s(drover.pid) - cpu, time.monotonic() - since
    count, late = 0, []
    for name, times in starts().items():
        count += len(times)
        # the first is no automatic one
        gaps = [b - a for a, b in zip(times[1:], times[2:])]
        assert all(gap >= 995 for gap in gaps), (name, gaps)
        late += [gap - 1000 for gap in gaps]
    assert max(late) < 500 + 500 * SLOW
    # spread over the jitter, not in step
    assert max(late) - min(late) > 300
    assert cost / span < 0.25 * SLOW, f"{cost} s of CPU in {span} s for about {count} starts"


def test_services_that_always_start_again_do_not_put_off_readiness(drover):
    """The service manager would give up on a start that is never told."""
    drover.start(rules(min_interval="0s") + services(**{f"s{i}": "exit 1" for i in range(100)}))
    drover.wait_event("supervisor_ready", patience=10 * SLOW)
    assert drover.stop() == 0


@pytest.mark.parametrize("second", [False, True])
def test_term_while_many_start_ends_all_in_time(drover, second):
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], "stop": {"timeout": "10s" if second else "1s"}}
    many = {f"s{i}": stubborn if i % 4 == 0 else "exec sleep 1000" for i in range(80)}
    drover.start(rules() + services(**many))
    until(lambda: len(drover.find_events("process_starting")) > 10, "some are started")
    since = time.monotonic()
    drover.signal(signal.SIGTERM)
    if second:
        drover.wait_event("process_stopping", name="s0")
        drover.signal(signal.SIGTERM)
    assert drover.process.wait(30) == 0
    assert time.monotonic() - since < (1 + 1 + 2) * SLOW
    assert not drover.left_over()
    # in reverse order: the last started first
    order = [e["name"] for e in drover.find_events("process_stopping") if e["name"].startswith("s") and e["name"][1:].isdigit()]
    assert order == sorted(order, key=lambda name: -int(name[1:]))


def test_those_that_fit_into_the_descriptors_run_and_the_others_follow(drover):
    drover.start(rules() + services(first="exec sleep 1000"), wait=False)
    drover.wait_event("supervisor_ready")
    limit = len(os.listdir(f"/proc/{drover.pid}/fd")) + 40
    soft, hard = resource.prlimit(drover.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(drover.pid, resource.RLIMIT_NOFILE, (limit, hard))
    drover.write(rules() + services(first="exec sleep 1000", **{f"s{i}": "exec sleep 1000" for i in range(30)}))
    code, answer = drover.ask("reload")
    assert drover.status()["supervisor"]["pid"] == drover.pid  # it still answers
    until(lambda: drover.find_events("process_start_failed") or code != 0, "there is no place for some")
    resource.prlimit(drover.pid, resource.RLIMIT_NOFILE, (soft, hard))
    if code != 0:
        assert "descriptor" in json.dumps(answer) or "open files" in json.dumps(answer), answer
        assert drover.ask("reload")[0] == 0
    until(lambda: all(p["state"] == "running" for p in drover.status()["processes"]), "all run")
    assert drover.slot("first")["restarts"] == 0


# -- S1: crashes of droverd --

TREE = ("exec 9>>{lock}; flock -n 9 || echo double >>{double}; echo $$ >>{starts}; "
        "(setsid sh -c 'sleep 1000; :' &); setsid -f sh -c 'sleep 1000 & sleep 1000'; "
        "env -i setsid -f /bin/sh -c 'exec </dev/null >/dev/null 2>&1; sleep 1000; :'; exec sleep 1000")


def test_fifty_kills_of_droverd_never_make_two_of_one(drover):
    """Each instance's whole tree shares one lock, so whoever of an earlier one lives holds it."""
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    rng = random.Random(seed)
    double = drover.folder / "double"
    names = ["x", "y", "z"]

    def files(name):
        return {"lock": drover.folder / f"{name}.lock", "double": double, "starts": drover.folder / f"{name}.starts"}
    text = rules(min_interval="0s") + services(**{name: TREE.format(**files(name)) for name in names})
    drover.start(text, wait=False)
    for _ in range(50):
        time.sleep(rng.uniform(0, 0.12 * SLOW))  # any instant of its start
        assert drover.process.poll() is None, drover.complaints()
        drover.kill()
        if rng.random() < 0.4:  # one that lost its main process is no more adopted
            with contextlib.suppress(OSError, IndexError):
                os.kill(int(files(rng.choice(names))["starts"].read_text().split()[-1]), signal.SIGKILL)
        drover.start(wait=False)
    for name in names:
        until(lambda: drover.slot(name)["state"] == "running", "it is up")  # noqa: B023
    assert not double.exists(), double.read_text()
    assert sum(len(files(name)["starts"].read_text().split()) for name in names) > 6
    for name in names:
        starts = files(name)["starts"]
        # What lives of all these starts is the last one.
        until(lambda: starts.read_text().split()[-1] == str(drover.slot(name)["pid"]), "it came to itself")  # noqa: B023
        assert [pid for pid in starts.read_text().split() if alive(int(pid))][-1:] == [str(drover.slot(name)["pid"])]
    assert drover.stop() == 0
    for name in names:
        with open(files(name)["lock"]) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more


def become(pid):
    """Forks until the number of the child is this one; it sleeps as a leader of its own session."""
    for _ in range(200):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        child = os.fork()
        if child == 0:
            if os.getpid() != pid:  # somebody else forks just now
                os._exit(0)
            os.setsid()
            if os.fork() == 0:
                time.sleep(60)
            os.execv("/bin/sleep", ["sleep", "60"])
        if child == pid:
            return True
        os.waitpid(child, 0)
    return False


@root_only
@pytest.mark.parametrize("leader_lives", [True, False])
def test_a_stranger_with_the_number_of_a_dead_instance_is_not_hit(drover, leader_lives):
    drover.start(rules() + services(a="exec sleep 1000"))
    pid = drover.wait_event("process_running", name="a")["pid"]
    drover.kill()
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK) or not become(pid):
        pytest.skip("the number cannot be had")
    child = until(lambda: [p for p, (parent, _) in processes().items() if parent == pid], "it has a child")[0]
    try:
        if not leader_lives:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        drover.start()
        assert drover.wait_event("process_running", name="a")["pid"] != pid
        assert drover.ask("restart", "a")[0] == 0
        assert alive(child) and (not leader_lives or alive(pid))
    finally:
        for one in (child, pid):
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
                os.waitpid(one, 0)


# -- L1, from droverd's side --


def test_numbered_lines_are_whole_over_rotations_reloads_and_dead_pumps(drover):
    count = 150000
    written = lambda: whole_log(drover.logs, "a").endswith(b"\n%d\n" % (count - 1))
    script = f"import sys\nfor i in range({count}): print(i)\nsys.stdout.flush()\nimport time; time.sleep(60)"
    drover.start(rules() + "logs: {max_size: 64KB, backups: 1000}\n" + services(a=[PYTHON, "-c", script]))
    for i in range(12):
        until(lambda: len(log_files(drover.logs, "a")) > i + 1 or written(), "a rotation")  # noqa: B023
        drover.signal([signal.SIGUSR1, signal.SIGHUP][i % 2])
        for pid, (parent, _) in processes().items():
            if parent == drover.pid and harness.comm(pid) == "drover-log":
                os.kill(pid, signal.SIGKILL)
    until(written, "all is written")
    assert drover.slot("a")["restarts"] == 0
    assert drover.stop() == 0  # no rotation that was asked for is still to come
    assert whole_log(drover.logs, "a").split() == [b"%d" % i for i in range(count)]
    files = {path.name: path.read_bytes() for _, path in log_files(drover.logs, "a")}
    odd = {name: (len(data), data[-20:]) for name, data in files.items()
           if data[-1:] not in (b"\n", b"") or len(data) > 64000}  # a new one may still be empty
    assert not odd


def test_half_lines_closed_outputs_and_held_pipes_cost_nothing(drover):
    half = "[ -e {0} ] || {{ touch {0}; printf half; exit 1; }}; echo full; exec sleep 1000".format(drover.folder / "once")
    closed = "exec >&- 2>&-; exec sleep 1000"
    keeper = "sleep 1000 & echo gone; exit 0"  # its child keeps the pipe
    drover.start(rules(min_interval="300ms") + services(half=half, closed=closed, keeper=keeper))
    until(lambda: "full\n" in drover.log_of("half"), "its second life wrote")
    first, *rest = drover.log_of("half").splitlines()
    assert first.startswith("half") and first != "half" and rest[-1] == "full" and "halffull" not in drover.log_of("half")
    until(lambda: drover.slot("keeper")["restarts"] >= 3, "nobody waits for the end of the pipe")
    logger = next(pid for pid, (parent, _) in processes().items()
                  if parent == drover.pid and harness.comm(pid) == "drover-log")
    drover.ask("stop", "keeper")
    before = cpu_s(drover.pid) + cpu_s(logger)
    time.sleep(1)  # the measured span
    assert cpu_s(drover.pid) + cpu_s(logger) - before < 0.1 * SLOW
    assert drover.slot("closed")["restarts"] == 0


# -- X4: what a process is given, and secrets --

SECRETS = {"kto": "hunter2-kto-6f1d", "other": "hunter2-other-93ab", "env": "hunter2-env-77c0", "url": "hunter2-url-5e5e"}

SECRET_JOBS = """
providers:
  kto: {{base_url: "https://example.org/", headers: {{Authorization: "Bearer ${{file:{0}/kto}}"}}}}
  other: {{base_url: "https://example.net/?k=${{file:{0}/other}}"}}
jobs:
  things:
    kind: collect
    request: {{provider: kto, path: /}}
    records: items
    fields: {{id: id}}
    store: {{table: things, key: [id]}}
"""


def write_secrets(drover):
    folder = drover.folder / "secrets"
    folder.mkdir(mode=0o700)
    for name, value in SECRETS.items():
        (folder / name).write_text(value + "\n")
    return folder


def spilled(drover, *more):
    """Names of secrets that stand in any file of drover's or in these texts."""
    texts = [bytes_of(p) for folder in (drover.logs, drover.runtime, drover.state) for p in folder.rglob("*") if p.is_file()]
    texts += [drover.complaints().encode(), *(m if isinstance(m, bytes) else m.encode() for m in more)]
    return {name for name, value in SECRETS.items() if any(value.encode() in t for t in texts)}


def secret_config(drover, folder):
    return rules() + SECRET_JOBS.format(folder) + services(
        a={"command": ["sleep", "1000"], "environment": {"TOKEN": f"${{file:{folder}/env}}"},
           "probe": {"http": f"http://127.0.0.1:9/?k=${{file:{folder}/url}}", "interval": "200ms", "failures": 1}},
        b="exec sleep 1000")


def test_secrets_stay_where_they_belong(drover, monkeypatch):
    monkeypatch.setenv("CANARY", "canary-4711")
    folder = write_secrets(drover)
    drover.start(secret_config(drover, folder))
    # After a failed probe of the address, which may come before all others run.
    drover.wait_event("process_restarting", name="a")
    drover.wait_event("process_running", name="a")
    until(lambda: drover.find_events("supervisor_ready"), "all run")
    answers = json.dumps([drover.status(), drover.status("a"), drover.ask("logs"), drover.ask("jobs", "{}"),
                          drover.ask("reload"), drover.ask("health")])
    shown = subprocess.run([BUILD / "bin/drover", "config", "--config", drover.config], capture_output=True, check=False)
    assert b"things" in shown.stdout, shown
    assert not spilled(drover, answers, shown.stdout, shown.stderr)
    for process in drover.status()["processes"]:
        for pid in [process["pid"], *descendants(process["pid"])]:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            assert b"canary-4711" not in environment
            for name, value in SECRETS.items():
                assert (value.encode() in environment) == (process["name"] == "a" and name == "env"), (process["name"], name)
                assert value.encode() not in line


def test_a_worker_is_handed_only_its_own_secrets(drover, puppets):
    folder = write_secrets(drover)
    drover.start(secret_config(drover, folder))
    drover.wait_event("supervisor_ready")
    for kind in KINDS:
        lives = [path.name.rsplit(".", 1) for path in puppets.record.glob(f"{kind}*.*")]
        notes = [note for slot, life in lives for note in puppets.notes(slot, life, "config")]
        assert notes
        has = {name for name, value in SECRETS.items() if any(value in n["config"] for n in notes)}
        # "other" is no job's provider
        assert has == ({"kto"} if kind == "collect" else set()), kind


@pytest.mark.parametrize("place", [
    "supervisor: {probe: {interval: \"%s\"}}", "supervisor: {restart: {policy: \"%s\"}}", "supervisor: {stop: {signal: \"%s\"}}",
    "http: {listen: \"%s\"}", "logs: {max_size: \"%s\", level: \"%s\"}", "logs: {backups: \"%s\"}", "store: {url: \"%s\"}",
    "services: {a: {command: [x], user: \"%s\"}}", "services: {a: {command: [x], directory: \"%s\"}}",
    "services: {a: {command: [x], probe: {http: \"%s\"}}}", "services: {a: {command: [x], environment: {\"A=\": \"%s\"}}}",
    "providers: {p: {base_url: \"%s\"}}", "providers: {p: {base_url: \"http://x/\", limits: {rate: [\"%s\"]}}}",
    "providers: {p: {base_url: \"http://x/\", retry: {when: [\"%s\"]}}}",
    "jobs: {j: {kind: crawl, start: [\"%s\"], store: {table: t, key: [url]}}}",
    "jobs: {j: {kind: crawl, start: [\"http://x/\"], schedule: {cron: \"%s\"}, store: {table: \"%s\", key: [url]}}}",
    "jobs: {j: {kind: crawl, start: [\"http://x/\"], extract: [{match: \"(%s\", fields: {a: {xpath: \"%s(\"}}}], store: {table: t, key: [url]}}}",
    "workers: {crawl: {user: \"%s\", nice: \"%s\"}}"])
def test_no_error_message_repeats_a_secret(drover, place):
    folder = write_secrets(drover)
    drover.write(place.replace("%s", f"${{file:{folder}/kto}}"))
    result = subprocess.run([DROVERD, "--config", drover.config, "--check"], capture_output=True, check=False)
    assert result.returncode == 78 and b"error" in result.stderr, result
    assert SECRETS["kto"].encode() not in result.stderr + result.stdout, result.stderr.decode()


# -- races --

HOLD = "exec 9>>{lock}; flock -n 9 || echo {name} >>{double}; "
CHARACTERS = {
    "obedient": "exec sleep 1000",
    "stubborn": "trap '' TERM; while :; do sleep 0.05; done",
    "forking": "(setsid sh -c 'sleep 1000; :' &); sleep 1000 & wait",
    "hanging": "kill -STOP $$; exec sleep 1000",
    "flooding": "exec yes a line of some length that fills the pipe",
    "crashing": "exit 1",
    "slow": "sleep 0.2; exec sleep 1000",
    "daemonizing": "setsid -f sh -c 'sleep 1000; :'; exit 0",
}
ENDS_BY_ITSELF = ("crashing", "daemonizing")


def storm_config(drover, variant):
    def script(name):
        return HOLD.format(lock=drover.folder / f"{name}.lock", double=drover.folder / "double", name=name) + CHARACTERS[name]
    items = {name: {"command": ["sh", "-c", script(name)]} for name in CHARACTERS}
    items["obedient"]["environment"] = {"VARIANT": str(variant)}  # a restart
    items["slow"]["stop"] = {"timeout": f"{200 + variant}ms"}  # live
    if variant % 2:
        items["extra"] = {"command": ["sleep", "1000"]}
    workers = "workers: {collect: {processes: 1}}\nlogs: {max_size: 1MB, backups: 1}\n"
    return rules(min_interval="0s", stop="200ms", interval="1s", timeout="1s") + workers + services(**items)


class Sender(Commander):
    def __init__(self, drover, seed, until_s, lock):
        super().__init__(drover, seed, until_s)
        self.lock, self.answers = lock, []

    def one(self, client):
        verb = self.rng.choice(["start", "start", "stop", "restart", "restart", "reload", "status"])
        name = "" if verb == "reload" else self.rng.choice([*CHARACTERS, "extra", "all" if self.rng.random() < 0.1 else "slow"])
        if verb == "reload":
            with self.lock:  # a reload reads a whole file
                self.drover.write(storm_config(self.drover, self.rng.randrange(4)))
                code, answer = client.ask(verb)
        else:
            code, answer = client.ask(verb, "" if verb == "status" and name == "all" else name)
        self.answers.append((verb, name, code, answer))


SUPERSEDED = ("started again by a later command", "stopped by a later command", "removed by a reload", "it ended at once",
              "it ended, and its policy says no more")


def check_answer(verb, name, code, answer):
    if verb in ("reload", "status"):
        assert code == 0 or (name == "extra" and code == 4), (verb, name, code, answer)
        return
    if code == 4:
        assert name == "extra", (verb, name, answer)
        return
    for result in answer["results"]:
        assert result["ok"] or result["detail"] in SUPERSEDED or result["name"] in ENDS_BY_ITSELF, (verb, name, result)
    assert code == (0 if all(r["ok"] for r in answer["results"]) else 1)


def test_a_storm_of_commands_ends_as_the_last_one_wants(drover):
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    drover.start(storm_config(drover, 0))
    drover.wait_event("supervisor_ready")
    lock = threading.Lock()
    senders = [Sender(drover, seed + i, time.monotonic() + 14, lock) for i in range(5)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [s.error for s in senders] == [None] * 5
    for sender in senders:
        for answer in sender.answers:
            check_answer(*answer)
    assert sum(len(s.answers) for s in senders) > 100 / SLOW
    assert not (drover.folder / "double").exists(), (drover.folder / "double").read_text()

    rng = random.Random(seed)
    wanted = {name: rng.choice(["start", "stop", "restart"]) for name in CHARACTERS}
    for name, verb in wanted.items():
        for earlier in rng.choices(["start", "stop", "restart"], k=3):
            client = until(drover.try_control, "a connection")
            drover.seen = len(drover.read_events())
            client.send(earlier, name)
            client.close()  # goes away: the command counts all the same
            drover.wait_event("command", verb=earlier, name=name)
        code, answer = drover.ask(verb, name)
        assert code == 0 or name in ENDS_BY_ITSELF, answer
    for name, verb in wanted.items():
        state = drover.slot(name)["state"]
        if verb == "stop":
            assert state == "stopped", name
            with open(drover.folder / f"{name}.lock", "a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody of it is left
        else:
            assert state == "running" or (name in ENDS_BY_ITSELF and state in ("waiting", "starting", "stopping")), (name, state)
    assert not [e for e in drover.find_events("process_event_unexpected")]
    assert drover.stop() == 0
    assert not drover.left_over()
    assert not (drover.folder / "double").exists()


def test_a_stop_while_a_restart_is_held_leaves_no_ghost(drover):
    drover.start(rules(min_interval="400ms") + services(a="exit 1", b="exec sleep 1000"))
    for _ in range(3):
        drover.wait_state("a", "waiting")
        assert drover.ask("stop", "a")[0] == 0
        incarnation = drover.slot("a")["incarnation"]
        assert drover.slot("a")["restart_due_at"] is None
        time.sleep(0.6)  # the start that was due may not come in it
        assert drover.slot("a")["incarnation"] == incarnation and drover.slot("a")["state"] == "stopped"
        drover.ask("start", "a")
    pid = drover.slot("b")["pid"]
    assert drover.ask("start", "b")[0] == 0 and drover.ask("start", "b\nb")[0] == 0
    assert drover.slot("b")["pid"] == pid
    stop, start = drover.control(), drover.control()
    stop.send("stop", "b")
    drover.wait_event("command", verb="stop", name="b")
    start.send("start", "b")
    assert start.receive()[0] == 0
    stop.receive()
    assert drover.slot("b")["state"] == "running" and drover.slot("b")["pid"] != pid
    close_all([stop, start])


def test_the_last_of_many_reloads_wins_whatever_they_meet(drover):
    def config(number):
        return rules(stop="300ms") + services(a={"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"],
                                                 "environment": {"NUMBER": str(number)}}, b="exec sleep 1000")
    drover.start(config(0))
    b = drover.wait_event("process_running", name="b")["pid"]
    for number in range(1, 40):  # during starts, during stops, two at a time
        fresh = drover.folder / "fresh.yaml"
        fresh.write_text(config(number))
        fresh.replace(drover.config)  # half a file could be a good one without b
        drover.signal(signal.SIGHUP)
        if number % 3:
            drover.signal(signal.SIGHUP)
        time.sleep(0.01)  # an instant later: what it meets is left to chance
    drover.ask("reload")

    def number():
        slot = drover.slot("a")
        if slot["state"] != "running":
            return None
        with contextlib.suppress(OSError):
            return b"NUMBER=39\0" in pathlib.Path(f"/proc/{slot['pid']}/environ").read_bytes()
        return None
    until(number, "the last one is in force")
    assert drover.slot("b")["pid"] == b and drover.status()["supervisor"]["config_error"] is None


def test_a_term_at_any_instant_of_the_start_leaves_nothing(drover):
    drover.write(rules() + services(a=TREE.format(lock=drover.folder / "lock", double=drover.folder / "double", starts=drover.folder / "s")))
    for i in range(24):
        drover.start(wait=False)
        time.sleep(i * 0.0025)  # one instant after the other
        drover.signal([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT][i % 3])
        code = drover.process.wait(20)
        # By the signal itself only as long as nothing was started.
        assert code in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGQUIT), (i, code)
        assert not drover.left_over(), (i, code)
    assert not (drover.folder / "double").exists()


def test_crashes_of_droverd_do_not_shorten_the_interval(drover):
    starts = drover.folder / "starts"
    # It lives for an instant only, so that each start but the first is an automatic one, whoever lived when it ended.
    script = f"import time; print(time.clock_gettime(time.CLOCK_BOOTTIME), file=open({str(starts)!r}, 'a'))"
    drover.start(rules(min_interval="1s") + services(a=[PYTHON, "-c", script]), wait=False)
    end = time.monotonic() + 4.5
    rng = random.Random(4)
    while time.monotonic() < end:
        time.sleep(rng.uniform(0.1, 0.4))  # the instant of the kill is what is drawn
        drover.kill()
        drover.start(wait=False)
    drover.wait_event("supervisor_ready", pid=drover.pid)
    times = [float(t) for t in until(lambda: starts.exists() and starts.read_text().split(), "it was started")]
    # The first restart is not bound. From the fork to the stamp takes a while, of the earlier one perhaps longer.
    gaps = [b - a for a, b in zip(times[1:], times[2:])]
    assert len(gaps) >= 2 and all(gap > 1 - 0.3 * SLOW for gap in gaps), gaps


def test_after_a_crash_very_many_slots_are_back_soon(drover):
    count = 150 // SLOW
    drover.start(rules(min_interval="0s") + services(**{f"s{i}": "exec sleep 1000" for i in range(count)}))
    drover.wait_event("supervisor_ready")
    pids = {p["name"]: p["pid"] for p in drover.status()["processes"] if p["kind"] == "service"}
    drover.kill()
    since = time.monotonic()
    drover.start()
    drover.wait_event("supervisor_ready", pid=drover.pid)
    took = time.monotonic() - since
    assert {p["name"]: p["pid"] for p in drover.status()["processes"] if p["kind"] == "service"} == pids
    since = time.monotonic()
    assert drover.stop() == 0
    assert took < 8 and time.monotonic() - since < 8, (took, time.monotonic() - since)

# SPDX-License-Identifier: MIT
"""Tries to break what is promised of supervision: S1 to S4, S6, L1, X2, X4, with the nastiest processes and peers."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from harness import BUILD, DROVERD, MESSAGES, alive, become_subreaper, descendants, processes, until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SLOW = 4 if "san" in BUILD.name else 1  # sanitizers: what is measured in time gets more of it

RULES = """
supervisor:
  probe: {interval: %(interval)s, timeout: %(timeout)s, start_period: 0s}
  restart: {min_interval: %(min_interval)s, jitter: %(jitter)s}
  stop: {timeout: %(stop)s}
http: {listen: "127.0.0.1:0"}
"""


def rules(**change):
    return RULES % {"interval": "200ms", "timeout": "200ms", "min_interval": "1h", "jitter": "0s", "stop": "2s", **change}


def services(**commands):
    """YAML of services: NAME=script or NAME={fields}."""
    text = "services:\n"
    for name, fields in commands.items():
        if not isinstance(fields, dict):
            fields = {"command": fields if isinstance(fields, list) else ["sh", "-c", fields]}
        text += f"  {name}: {json.dumps(fields)}\n"
    return text


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
    until(lambda: len(set(named(mark)) - old) == 2, "both are there again")
    assert not old & set(named(mark))
    assert not [p for top in (drover.folder, drover.folder.parent) for p in top.rglob("*forged*")]
    assert drover.ask("stop", "a")[0] == 0
    assert not named(mark)


def test_supervisors_that_die_over_their_fence_leave_nobody_out(drover):
    """Each dies before it has ended what it found: the last one still finds all."""
    mark = f"zoo{os.getpid() % 1000}fence"
    script = f"{PYTHON} {HERE}/zoo.py {mark} wiped-plain & setsid -f {PYTHON} {HERE}/zoo.py {mark} =plain; wait"
    drover.start(rules(min_interval="0s") + services(a=script))
    old = set(until(lambda: (lambda n: n if len(n) == 3 else None)(named(mark)), "all are there"))
    epochs = drover.runtime / "epochs"
    for _ in range(10):
        drover.kill()
        before = epochs.read_bytes()
        # Stopped as soon as it has its number, which is before it looks for what is left.
        drover.start(wait=False)
        until(lambda: epochs.read_bytes() != before or drover.process.poll() is not None, "it has a number")
        assert drover.process.poll() is None, drover.complaints()
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
        with contextlib.suppress(OSError):
            client.socket.sendmsg([b"\0" * 16], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * count))])
        client.socket.settimeout(5)
        with contextlib.suppress(OSError):
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
    for parent in (path, *path.parents):
        with contextlib.suppress(OSError):
            os.chmod(parent, os.stat(parent).st_mode | 0o011)
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

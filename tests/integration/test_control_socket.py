# SPDX-License-Identifier: MIT
"""
X4 and the control socket under clients of every kind: who may what, by who connects; and whoever reads nothing, asks
without end, says half or nonsense or goes to sleep costs droverd a bounded share, and nobody else anything.
"""
import array
import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from given import SANITIZED, SLOW, as_user, give_to
from harness import BUILD, DROVERD, MESSAGES, until

CLI = str(BUILD / "bin/drover")
SOMEBODY, NOBODY = 54321, 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs to become somebody else")
REQUEST = MESSAGES["REQUEST"]

CONFIG = """
supervisor:
  probe: {interval: 200ms, timeout: 200ms, start_period: 0s, failures: 3}
  restart: {min_interval: 1h}
  stop: {timeout: 2s}
http: {listen: "127.0.0.1:0"}
services:
  a: {command: [sleep, '1000']}
  slow: {command: [sh, -c, "trap 'sleep 1; exit' TERM; echo up; while :; do sleep 0.02; done"], stop: {timeout: 10s}}
"""


def packet(verb, args=b"", version=1):
    verb = verb.encode()
    return struct.pack("<III", REQUEST, version, len(verb)) + verb + struct.pack("<I", len(args)) + args


def kernel_refuses_descriptors():
    """SO_PASSRIGHTS"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        with contextlib.suppress(OSError):
            return probe.getsockopt(socket.SOL_SOCKET, 83) == 1
    return False


# -- who may what --


def start_as(drover, uid):
    give_to(drover, uid)  # and everybody may walk to the socket: what keeps them out is the socket itself
    drover.write(CONFIG)
    drover.config.chmod(0o644)
    drover.process = subprocess.Popen(
        [*as_user(uid), DROVERD, "--config", drover.config,
         "--state-dir", drover.state, "--runtime-dir", drover.runtime, "--log-dir", drover.logs],
        stdin=subprocess.DEVNULL, stdout=drover.output, stderr=drover.output, cwd="/")
    drover.wait_event("supervisor_ready")


def cli_as(drover, uid, gid, groups, *words):
    groups = f"--groups={groups}" if groups else "--clear-groups"
    return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", groups, CLI, *words, "--socket",
                           drover.runtime / "control.sock"], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": "/"})


@root_only
def test_the_group_may_look_the_owner_and_root_may_change_and_others_nothing(drover):
    start_as(drover, SOMEBODY)
    path = drover.runtime / "control.sock"
    assert path.stat().st_mode & 0o777 == 0o660 and path.stat().st_gid == SOMEBODY
    pid = drover.slot("a")["pid"]

    # by the main group and by a further one
    for gid, groups in ((SOMEBODY, ""), (NOBODY, str(SOMEBODY))):
        assert cli_as(drover, NOBODY, gid, groups, "status").returncode == 0
        assert cli_as(drover, NOBODY, gid, groups, "logs", "a").returncode == 0
        for verb in (["stop", "a"], ["start", "a"], ["restart", "a"], ["reload"], ["run", "x"]):
            refused = cli_as(drover, NOBODY, gid, groups, *verb)
            assert refused.returncode == 5, (verb, refused)
            assert "only root and the owner may change anything" in refused.stderr and not refused.stdout
    # the file's mode keeps others out; and should somebody widen it, they still may nothing
    for mode, words in ((0o660, "not permitted to talk to the supervisor"),
                        (0o666, "only root, the owner and drover's group may look")):
        path.chmod(mode)
        for verb in (["status"], ["stop", "a"], ["jobs"]):
            refused = cli_as(drover, NOBODY, NOBODY, "", *verb)
            assert refused.returncode == 5 and words in refused.stderr, (verb, refused)
    path.chmod(0o660)
    assert drover.slot("a")["pid"] == pid and not drover.find_events("command"), "nobody changed anything"

    restarted = cli_as(drover, SOMEBODY, SOMEBODY, "", "restart", "a")
    assert restarted.returncode == 0, restarted
    assert cli_as(drover, 0, 0, "", "stop", "a").returncode == 0
    until(lambda: [(e["verb"], e["uid"]) for e in drover.find_events("command")] == [("restart", SOMEBODY), ("stop", 0)],
          "both are on record")


@root_only
def test_the_rights_are_those_of_the_moment_of_the_connection(drover):
    """A descriptor that was passed on, or a change of user afterwards, gives none."""
    start_as(drover, SOMEBODY)
    (drover.runtime / "control.sock").chmod(0o666)
    program = ("import os, socket, sys\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
               "os.seteuid(65534); s.connect(sys.argv[1]); os.seteuid(0)\n"
               "s.send(bytes.fromhex(sys.argv[2])); print(s.recv(70000)[8:12].hex())")
    done = subprocess.run(["setpriv", "--clear-groups", "--regid=65534", "/usr/bin/python3", "-c", program,
                           drover.runtime / "control.sock", packet("stop", b"a").hex()], capture_output=True, text=True,
                          timeout=20)
    assert done.stdout == "05000000\n", done
    assert drover.slot("a")["state"] == "running"


# -- clients of every kind --


def connect(drover):
    """Waits while the queue of those who come is full, as the command line does."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(str(drover.runtime / "control.sock"))
    client.settimeout(20)
    return client


def never_read(drover, clients):
    """Ask until nothing more goes in, and read nothing."""
    for _ in range(40):
        client = connect(drover)
        client.setblocking(False)
        with contextlib.suppress(OSError):
            for _ in range(3000):
                client.send(packet("status"))
        clients.append(client)


def flood(drover, until_s):
    """Ask and read as fast as it goes."""
    asked = 0
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError):
            client = connect(drover)
            while time.monotonic() < until_s:
                for _ in range(20):
                    client.send(packet("status"))
                    asked += 1
                for _ in range(20):
                    client.recv(70000)
    return asked


def come_in_thousands(drover, clients):
    for i in range(1000):
        with contextlib.suppress(OSError):
            client = connect(drover)
            if i % 3 == 0:
                client.send(packet("status")[:7])  # half of a question
            if i % 10:
                client.close()
            else:
                clients.append(client)


def say_nonsense(drover):
    descriptors = array.array("i", [0] * 200)
    for i in range(100):
        for data, rights in ((os.urandom(1 + i * 300), 0), (b"\0" * 100_000, 0), (packet("status"), 1), (packet("status"), 200),
                             (packet("status", os.urandom(60_000)), 0), (packet("\0" * 5000), 0)):
            with contextlib.suppress(OSError):
                client = connect(drover)
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors[:rights])] if rights else []
                client.sendmsg([data], ancillary)
                client.close()


class Operator(threading.Thread):
    """Asks every 50 ms and notes how long the answer took."""

    def __init__(self, drover):
        super().__init__()
        self.drover, self.over, self.times, self.error = drover, threading.Event(), [], None

    def run(self):
        try:
            while not self.over.wait(0.05):
                since = time.monotonic()
                client = connect(self.drover)
                client.send(packet("status", b"a"))
                assert client.recv(70000)
                client.close()
                self.times.append(time.monotonic() - since)
        except (OSError, AssertionError) as error:
            self.error = error


def memory_of(pid):
    """Own pages in MB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_hostile_clients_cost_nobody_anything(drover):
    drover.start(CONFIG)
    drover.wait_event("supervisor_ready")
    until(lambda: "up" in drover.log_of("slow"), "it is up")
    pids = {p["name"]: p["pid"] for p in drover.status()["processes"]}
    memory, files = memory_of(drover.pid), open_files(drover.pid)
    clients = []
    operator = Operator(drover)
    operator.start()
    over = time.monotonic() + 4
    floods = [threading.Thread(target=flood, args=(drover, over)) for _ in range(2)]
    for thread in floods:
        thread.start()
    never_read(drover, clients)
    come_in_thousands(drover, clients)
    say_nonsense(drover)
    for thread in floods:
        thread.join()
    peak = memory_of(drover.pid)
    operator.over.set()
    operator.join()
    assert operator.error is None and len(operator.times) > 5
    assert max(operator.times) < 1 * SLOW, sorted(operator.times)[-5:]
    if not SANITIZED:
        assert peak < memory + 40, f"{memory} -> {peak} MB"
    status = drover.status()
    # Nobody missed a beat or was restarted; the beats went on until now.
    assert {p["name"]: p["pid"] for p in status["processes"]} == pids
    assert not drover.find_events("probe_failed") and all(p["strikes"] == 0 for p in status["processes"])
    for client in clients:
        client.close()
    until(lambda: open_files(drover.pid) <= files, "all descriptors are closed again")


def test_a_client_that_sends_descriptors_is_sent_away_without_them(drover):
    """To close a stranger's descriptor may take for ever; a pipe shows that it was never held."""
    drover.start(CONFIG)
    until(drover.try_control, "the socket is there").close()
    for count in (1, 8, 9, 253):
        ours, theirs = os.pipe()
        client = connect(drover)
        sent = False
        with contextlib.suppress(PermissionError):  # since Linux 6.16 it is not even sent
            client.sendmsg([packet("status")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs] * count))])
            sent = True
        assert sent != kernel_refuses_descriptors()
        os.close(theirs)
        with contextlib.suppress(ConnectionResetError):
            assert not sent or client.recv(70000) == b"", "no answer"
        assert os.read(ours, 1) == b"", "nobody holds the other end"
        os.close(ours)
        client.close()
    assert kernel_refuses_descriptors() or "descriptors" in drover.wait_event("control_client_refused")["error"]


def test_a_client_cannot_hold_droverd_up_by_a_descriptor_that_lingers(drover):
    """The last one that closes such a socket waits until its data is taken: nobody takes it."""
    if not kernel_refuses_descriptors():
        pytest.skip("this kernel cannot refuse them")
    drover.start(CONFIG)
    drover.wait_event("supervisor_ready")
    listener = socket.create_server(("127.0.0.1", 0))
    lingers = socket.create_connection(listener.getsockname())
    lingers.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            lingers.send(b"x" * 65536)
    lingers.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 20))
    client = connect(drover)
    drover.signal(signal.SIGSTOP)
    with contextlib.suppress(PermissionError):
        client.sendmsg([packet("status")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [lingers.fileno()]))])
    closer = threading.Thread(target=lingers.close)
    closer.start()  # the last one now, or droverd is
    drover.signal(signal.SIGCONT)
    other = connect(drover)
    other.settimeout(10)
    other.send(packet("status"))
    assert other.recv(70000)
    listener.close()  # resets it
    closer.join()
    client.close()
    other.close()


def test_a_client_that_sleeps_over_a_restart_holds_nobody_up_and_gets_its_answer(drover):
    drover.start(CONFIG)
    drover.wait_event("supervisor_ready")
    until(lambda: "up" in drover.log_of("slow"), "its trap is set")
    first = drover.slot("slow")["pid"]
    sleeper = subprocess.Popen([CLI, "restart", "slow", "--socket", drover.runtime / "control.sock"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: drover.slot("slow")["state"] == "stopping", "the restart is under way")
    os.kill(sleeper.pid, signal.SIGSTOP)
    try:
        second = until(lambda: (lambda s: s["pid"] if s["state"] == "running" else None)(drover.slot("slow")), "it runs anew")
        assert second != first
        # Meanwhile: hundreds of others, who would push out whoever does not wait for an answer.
        for _ in range(300):
            connect(drover).close()
        assert drover.ask("restart", "a")[0] == 0 and drover.ask("stop", "a")[0] == 0
        assert drover.slot("slow")["pid"] == second
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    out, err = sleeper.communicate(timeout=20)
    assert sleeper.returncode == 0 and "slow" in out + err, (out, err)


def test_a_command_that_fails_for_a_thousand_slots_is_answered_for_each(drover):
    """One message holds 64 KiB; the answer is one whatever its length."""
    many = "{command: [sleep, '1000'], depends_on: [gate], processes: 500}"
    drover.start("services:\n  gate: {command: [sleep, '1000'], probe: {exec: ['false']}}\n"
                 f"  a: {many}\n  b: {many}\n")
    drover.wait_event("start_waits")
    code, answer = drover.ask("trim", "a\nb")
    names = {r["name"] for r in answer["results"] if not r["ok"] and "only drover's workers" in r["detail"]}
    assert code == 1 and len(answer["results"]) == len(names) == 1000


def test_a_question_that_grows_too_long_on_its_way_ends_nobody(drover):
    """Passed on it is some bytes longer than it came: who may only look must not be able to end the scheduler by that."""
    drover.start(CONFIG)
    drover.wait_event("supervisor_ready")
    before = {name: drover.slot(name)["pid"] for name in ("scheduler", "monitor")}
    for verb in ("jobs", "health"):
        longest = 65536 - len(packet(verb))
        for length in range(longest - 16, longest + 1):
            code, answer = drover.ask(verb, "x" * length)
            assert code in (0, 1, 2) and not (code == 0 and "error" in answer)
    assert {name: drover.slot(name)["pid"] for name in before} == before
    assert not drover.find_events("process_failed")

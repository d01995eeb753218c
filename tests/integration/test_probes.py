# SPDX-License-Identifier: MIT
"""How services are asked for their health: over HTTP and TCP by monitor, by a command, and by themselves."""
import contextlib
import os
import pathlib
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import pytest

import harness
from given import SLOW, SPEAKER, asked, config, make_gate, pass_gate, speaker
from harness import processes, seconds, until
from provider import Answer, Provider

def strikes(drover, name):
    return drover.health("probe_failed", name=name)


def probed(drover, name, ok):
    """The slot's last probe, once its verdict is `ok`."""
    def look():
        last = drover.slot(name)["last_probe"]
        return last if last and last["ok"] is ok else None
    return until(look, f"{name}'s probe is {ok}")


def running(*words):
    """Pids whose command line holds these words."""
    found = []
    for pid in processes():
        with contextlib.suppress(OSError):
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if all(w.encode() in line for w in words):
                found.append(pid)
    return found


class Listener:
    """A port of our own. `serve` gets each connection in a thread; None: it is accepted by the kernel only."""

    def __init__(self, serve=None):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.at = []  # when connections came, seconds since 1970
        self.serve = serve
        if serve:
            threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.at.append(time.time())
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with contextlib.suppress(OSError), connection:
            self.serve(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def mute(connection):
    while connection.recv(4096):
        pass


def drip(connection):
    """The headers at once, then a byte of the body each 50 ms, for ever."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def in_pieces(connection):
    """Each comes in a read of its own."""
    connection.recv(4096)
    for piece in (b"HTTP/1.1 299 Fine\r\nContent-Length: 27\r\n\r\n", b"status: I a", b"m", b" w", b"ell\nand more\n"):
        connection.sendall(piece)
        time.sleep(0.02)


@pytest.fixture
def listen():
    made = []

    def make(serve=None):
        made.append(Listener(serve))
        return made[-1]
    yield make
    for one in made:
        one.close()


def bad_certificate(folder):
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    return serve


# -- http and tcp --


def test_each_sickness_is_found_in_time_and_health_is_not_mistaken(drover, listen):
    muted, dripping, pieces, tls = listen(mute), listen(drip), listen(in_pieces), listen(bad_certificate(drover.folder))
    closed, backlog = listen(), listen()
    closed.close()
    with Provider() as web:
        web.route("/ok", Answer(200, "I am well"))
        web.route("/204", Answer(204))
        web.route("/503", Answer(503, "I am well"))
        ill = {
            "tcp-closed": ({"tcp": closed.address}, "connect: "),
            "http-mute": ({"http": f"http://{muted.address}/"}, "timeout: no answer within 300 ms"),
            "http-drip": ({"http": f"http://{dripping.address}/"}, "timeout: HTTP 200, but the answer did not end within 300 ms"),
            "http-status": ({"http": f"{web.url}/503"}, "HTTP 503"),
            "http-other": ({"http": {"url": f"{web.url}/ok", "status": [204, "3xx"]}}, "HTTP 200"),
            "http-body": ({"http": {"url": f"{web.url}/ok", "body": "I am ill"}}, "HTTP 200, without the text"),
            "https-bad": ({"http": f"https://{tls.address}/"}, "connect: SSL"),
        }
        well = {
            "tcp-open": {"tcp": muted.address},
            "tcp-backlog": {"tcp": backlog.address},
            "tcp-name": {"tcp": f"localhost:{muted.port}"},
            "http-204": {"http": {"url": f"{web.url}/204", "status": 204}},
            "http-set": {"http": {"url": f"{web.url}/503", "status": ["2xx", 503], "body": "I am well"}},
            "http-pieces": {"http": {"url": f"http://{pieces.address}/", "body": "I am well\n"}},
        }
        drover.start(config({name: asked(probe) for name, (probe, _) in ill.items()} |
                            {name: asked(probe) for name, probe in well.items()}))
        for name, (_, detail) in ill.items():
            drover.rewind()
            drover.wait_event("process_restarting", name=name, reason="probe")
            first = [s for s in strikes(drover, name) if s["incarnation"] == 1]
            assert [s["strikes"] for s in first] == [1, 2, 3], name
            assert all(detail in s["detail"] for s in first), (name, first)
            assert not drover.find_events("process_ready", name=name)
            assert not drover.slot(name)["ready"]
        for name in well:
            assert probed(drover, name, True)
            assert drover.slot(name)["ready"], name
            assert not strikes(drover, name), strikes(drover, name)
        # S2, from the server's side: within timeout + 1 s of the third question.
        for listener, name in ((muted, "http-mute"), (dripping, "http-drip")):
            stopping = drover.find_events("process_stopping", name=name)[0]
            assert seconds(stopping["time"]) - sorted(listener.at)[0] < 2 * 0.4 + 0.3 + 1 * SLOW


def test_without_monitor_nothing_fails(drover, listen):
    closed = listen()
    closed.close()
    drover.start(config({"a": asked({"tcp": closed.address, "failures": 100})}))
    probed(drover, "a", False)
    drover.ask("stop", "monitor")
    before = drover.slot("a")["strikes"]
    assert probed(drover, "a", None)["detail"] == "could not be asked"
    until(lambda: drover.slot("a")["last_probe"]["ok"] is None, "still unknown")
    assert drover.slot("a")["strikes"] <= before + 1  # one answer may have been on its way
    now = drover.slot("a")["strikes"]
    last = drover.slot("a")["last_probe"]["at"]
    until(lambda: drover.slot("a")["last_probe"]["at"] > last, "it was to be asked once more")
    assert drover.slot("a")["strikes"] == now


# -- exec --

HANG = "sleep 771.1 & setsid sleep 771.2 & env -i setsid -f sleep 771.3; sleep 771.4"


def test_a_command_tells_by_its_end_and_its_first_line(drover):
    flag = drover.folder / "ill"
    drover.start(config({
        "well": asked({"exec": ["sh", "-c", "echo all is well; echo more"]}),
        "ill": asked({"exec": ["sh", "-c", f"test -e {flag} && echo too hot && exit 3; exit 0"]}),
        "killed": asked({"exec": ["sh", "-c", "kill -SEGV $$"], "failures": 100}),
        "missing": asked({"exec": ["/nonexistent/probe"], "failures": 100}),
        "flood": asked({"exec": ["sh", "-c", "echo first; yes | head -c 6000000; exit 0"], "timeout": "5s", "interval": "5s"}),
        "strange": asked({"exec": ["printf", "\\033[2J\\377x\\ty\\n"]}),
    }))
    assert probed(drover, "well", True)["detail"] == "exit code 0: all is well"
    assert drover.slot("well")["ready"]
    assert probed(drover, "killed", False)["detail"] == "signal 11 (SEGV)"
    assert probed(drover, "missing", False)["detail"] == "exec: No such file or directory"
    assert probed(drover, "flood", True)["detail"] == "exit code 0: first"
    assert probed(drover, "strange", True)["detail"] == "exit code 0: ?[2J?x y"
    assert probed(drover, "ill", True)["detail"] == "exit code 0"
    pid = drover.slot("ill")["pid"]
    flag.touch()
    assert drover.wait_event("process_restarting", name="ill")["reason"] == "probe"
    assert [s["strikes"] for s in strikes(drover, "ill")[:3]] == [1, 2, 3]
    assert strikes(drover, "ill")[0]["detail"] == "exit code 3: too hot"
    assert drover.slot("ill")["pid"] != pid
    assert not strikes(drover, "well") and not strikes(drover, "flood")


def test_a_command_that_hangs_is_killed_whole_and_is_never_two(drover):
    drover.start(config({"a": asked({"exec": ["sh", "-c", HANG], "failures": 100}),
                         "flood": asked({"exec": ["yes"], "failures": 100})}))
    service = drover.wait_event("process_running", name="a")["pid"]
    most = {}
    while len(strikes(drover, "a")) < 6:
        for word in ("771.1", "771.2", "771.3", "771.4"):
            most[word] = max(most.get(word, 0), len(running("sleep", word)))
        begin = time.monotonic()
        assert drover.slot("a")["pid"] == service
        assert time.monotonic() - begin < 1, "a flood holds droverd up"
    assert set(most.values()) == {1}, most
    assert {s["detail"] for s in strikes(drover, "a")} == {"no answer in time"}
    assert drover.slot("flood")["strikes"] >= 3
    drover.ask("stop", "a")
    for word in ("771.1", "771.2", "771.3", "771.4"):
        assert not running("sleep", word)


def test_what_a_command_leaves_behind_is_ended_though_it_said_well(drover):
    drover.start(config({"a": asked({"exec": ["sh", "-c", "setsid -f sleep 772.1 >/dev/null 2>&1; exit 0"]})}))
    probed(drover, "a", True)
    for _ in range(3):
        at = drover.slot("a")["last_probe"]["at"]
        until(lambda: drover.slot("a")["last_probe"]["at"] > at, "it is asked again")
        assert len(running("sleep", "772.1")) <= 1
    until(lambda: not running("sleep", "772.1"), "it is gone between two questions")
    assert not strikes(drover, "a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_a_command_runs_as_its_service_does(drover):
    drover.start(config({"a": asked({"exec": ["sh", "-c", "echo $(id -un) $(pwd) $GREETING $(ls /proc/self/fd | wc -l)"]}, user="nobody",
                                    directory="/usr", environment={"GREETING": "hello"})}))
    assert probed(drover, "a", True)["detail"] == "exit code 0: nobody /usr hello 4"


def test_a_command_that_cannot_be_started_is_unknown_and_no_failure(drover):
    drover.start(config({"a": asked({"exec": ["true"]})}))
    probed(drover, "a", True)
    soft, hard = resource.prlimit(drover.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(drover.pid, resource.RLIMIT_NOFILE, (10, hard))  # all below are in use
    until(lambda: len(drover.health("probe_not_started", name="a")) >= 4, "four questions could not be asked")
    resource.prlimit(drover.pid, resource.RLIMIT_NOFILE, (soft, hard))
    probed(drover, "a", True)
    assert not strikes(drover, "a")
    assert drover.slot("a")["incarnation"] == 1


def test_commands_of_a_dead_supervisor_are_ended(drover):
    drover.start(config({"a": asked({"exec": ["sh", "-c", "setsid -f sleep 773.1; sleep 773.2"], "timeout": "1h", "interval": "1h"})}))
    old = until(lambda: running("sleep", "773.1") and running("sleep", "773.2"), "the command runs")
    drover.kill()
    drover.write(config({"a": asked({"exec": ["true"]})}))
    drover.start()
    probed(drover, "a", True)
    assert not running("sleep", "773.1") and not running("sleep", "773.2"), old


# -- notify --

def test_a_service_speaks_for_itself(drover):
    go, go2 = make_gate(drover.folder / "go"), make_gate(drover.folder / "go2")
    drover.start(config({
        "good": speaker(f"""
say("STATUS=warming up\\nX_UNKNOWN=1\\nMAINPID=1\\n")
stand_at({go!r})
say("READY=1\\nSTATUS=42 \\033[2J clients")
print("usec", os.environ["WATCHDOG_USEC"], os.stat(where).st_mode & 0o777, flush=True)
beat()
""", start_period="20s"),
        "barrier": speaker("""
r, w = os.pipe()
say("READY=1")
say("BARRIER=1", fds=[w])
os.close(w)
print("answered", os.read(r, 1) == b"", flush=True)
beat()
"""),
        "garbage": speaker(f"""
import random
for size in (0, 1, 7, 100, 3000, 5000, 100000):
    say(random.Random(size).randbytes(size))
say(b"READY=1\\0")
say("READY=0\\nWATCHDOG=0\\nEXTEND_TIMEOUT_USEC=-1\\nEXTEND_TIMEOUT_USEC=99999999999999999999\\n=\\nREADY")
say("READY=1" + "x" * 5000)
say("BARRIER=1", fds=[0] * 50)
print("said", flush=True)
stand_at({go2!r})
say("READY=1")
beat()
""", start_period="20s"),
        "patient": speaker("""
for _ in range(10):
    say("EXTEND_TIMEOUT_USEC=2000000")
    time.sleep(0.1)
say("READY=1")
beat()
""", start_period="300ms"),
    }))
    until(lambda: drover.slot("good")["status_text"] == "warming up", "its status is shown")
    slot = drover.slot("good")
    assert slot["state"] == "starting" and not slot["ready"] and slot["pid"]
    pass_gate(go)
    assert drover.wait_event("process_running", name="good")["pid"] == slot["pid"]
    until(lambda: drover.slot("good")["status_text"] == "42 ?[2J clients", "its status is shown")
    assert drover.slot("good")["ready"]
    assert until(lambda: drover.log_of("good"), "it wrote") == f"usec 400000 {0o600}\n"
    assert until(lambda: drover.log_of("barrier"), "it wrote") == "answered True\n"
    until(lambda: drover.log_of("garbage"), "it wrote")
    assert drover.slot("garbage")["state"] == "starting"
    pass_gate(go2)
    for name in ("barrier", "garbage", "patient"):
        drover.wait_state(name, "running")
        assert probed(drover, name, True)
        assert drover.slot(name)["incarnation"] == 1
    time.sleep(1.5)  # three intervals: nothing may happen in them
    for name in ("good", "barrier", "garbage", "patient"):
        assert not strikes(drover, name), strikes(drover, name)


def test_silence_and_complaints_of_a_speaker_count(drover):
    drover.start(config({
        "mute": speaker("time.sleep(1000)", timeout="300ms", start_period="200ms"),
        "hung": speaker("say('READY=1'); beat(1); print('hung', time.time(), flush=True); time.sleep(1000)"),
        "ill": speaker("""
say("READY=1")
while True:
    say("WATCHDOG=trigger")
    time.sleep(0.05)
"""),
        "moody": speaker("""
say("READY=1")
while True:
    for text in ("WATCHDOG=trigger", "WATCHDOG=1"):
        say(text)
        time.sleep(0.4)
"""),
        "leaving": speaker("say('READY=1'); say('STOPPING=1'); time.sleep(1.2); sys.exit(0)"),
    }))
    late = drover.wait_event("process_not_ready", name="mute")
    assert late["wait_ms"] == 500
    drover.wait_event("process_restarting", name="mute", reason="probe")
    assert not drover.find_events("process_running", name="mute")
    drover.rewind()
    drover.wait_event("process_restarting", name="hung", reason="probe")
    assert [s["strikes"] for s in strikes(drover, "hung")][:3] == [1, 2, 3]
    silent_since = float(drover.log_of("hung").split()[1])
    stopping = drover.find_events("process_stopping", name="hung")[0]
    # At most one interval until the first deadline, two more deadlines, then timeout + 1 s.
    assert seconds(stopping["time"]) - silent_since < 3 * 0.4 + 0.3 + 1 * SLOW
    drover.rewind()
    drover.wait_event("process_restarting", name="ill", reason="probe")
    assert [s["strikes"] for s in strikes(drover, "ill")][:3] == [1, 2, 3]
    assert strikes(drover, "ill")[0]["detail"] == "it says so itself: ill"
    drover.rewind()
    drover.wait_event("process_says_stopping", name="leaving")
    assert drover.wait_event("process_exited", name="leaving")["reason"] == "exit"
    assert not drover.find_events("process_restarting", name="moody")
    assert max(s["strikes"] for s in strikes(drover, "moody")) <= 2


def test_only_its_own_tree_speaks_for_a_service(drover):
    path, go = drover.runtime / "notify/victim", make_gate(drover.folder / "go")
    thief = f"""
stand_at({go!r})
for _ in range(3): say("READY=1\\nSTATUS=stolen", to={str(path)!r})
print("stolen", flush=True)
time.sleep(1000)
"""
    drover.start(config({
        "victim": speaker("time.sleep(1000)", start_period="20s"),
        "thief": asked({"failures": 3}, [sys.executable, "-c", SPEAKER + thief]),
        "parent": speaker("""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        say("READY=1\\nSTATUS=from my grandchild")
        beat()
time.sleep(1000)
"""),
    }))
    until(path.exists, "there is something to steal")
    pass_gate(go)
    until(lambda: drover.log_of("thief") == "stolen\n", "the thief spoke")
    until(lambda: drover.health("notify_refused", name="victim"), "it is refused")
    slot = drover.slot("victim")
    assert slot["state"] == "starting" and slot["status_text"] is None
    drover.wait_state("parent", "running")
    assert drover.slot("parent")["status_text"] == "from my grandchild"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_the_socket_is_its_users_alone():
    # pytest's own folders are closed to other users, and a socket is found by its path.
    with tempfile.TemporaryDirectory(prefix="drover-probes-") as folder:
        os.chmod(folder, 0o755)
        harness.become_subreaper()
        drover = harness.Drover(folder)
        try:
            look_at_the_socket(drover)
        finally:
            assert not drover.end()


def look_at_the_socket(drover):
    drover.start(config({"a": {**speaker("say('READY=1'); print(os.stat(where).st_uid == os.getuid(), flush=True); beat()"), "user": "nobody"}}))
    drover.wait_state("a", "running")
    until(lambda: drover.log_of("a") == "True\n", "it owns its socket")
    path = drover.runtime / "notify/a"
    probe = subprocess.run(["setpriv", "--reuid=65533", "--clear-groups", sys.executable, "-c",
                            f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', {str(path)!r})"],
                           capture_output=True)
    assert b"PermissionError" in probe.stderr
    drover.ask("stop", "a")
    until(lambda: not path.exists(), "the socket goes with the service")


# -- our own stall, and reload --


def test_a_supervisor_that_was_stopped_blames_nobody_of_any_kind(drover, listen):
    with Provider() as web:
        web.route("/ok", Answer(200))
        drover.start(config({
            "http": asked({"http": f"{web.url}/ok"}),
            "tcp": asked({"tcp": listen(mute).address}),
            "exec": asked({"exec": ["true"]}),
            "slow": asked({"exec": ["sleep", "0.2"]}),
            "notify": speaker("say('READY=1'); beat()"),
        }))
        names = ("http", "tcp", "exec", "slow", "notify")
        for name in names:
            probed(drover, name, True)
        for _ in range(2):
            drover.signal(signal.SIGSTOP)
            time.sleep(2)  # the stall itself is what is tested: five intervals
            drover.signal(signal.SIGCONT)
            at = drover.status()["processes"]
            until(lambda: all(drover.slot(n)["last_probe"]["at"] > next(p for p in at if p["name"] == n)["last_probe"]["at"]
                              for n in names), "all are asked again")
        assert not drover.health("probe_failed"), drover.health("probe_failed")
        assert not drover.find_events("process_restarting")


def test_a_reload_changes_how_a_service_is_asked_without_touching_it(drover, listen):
    closed = listen()
    closed.close()
    port = listen(mute)

    def reload(probe):
        drover.write(config({"a": asked(probe) if probe else {"command": ["sleep", "1000"]}}))
        drover.ask("reload")

    drover.start(config({"a": asked({"http": f"http://{closed.address}/", "failures": 100})}))
    first = drover.wait_event("process_running", name="a")["pid"]
    probed(drover, "a", False)
    assert not drover.slot("a")["ready"]
    reload({"tcp": port.address})
    assert probed(drover, "a", True)["detail"] == "connected"
    assert drover.slot("a")["strikes"] == 0 and drover.slot("a")["ready"]
    reload({"exec": ["echo", "by command"], "failures": 100})
    until(lambda: drover.slot("a")["last_probe"]["detail"] == "exit code 0: by command", "the command is asked")
    reload({"exec": ["sh", "-c", "echo anew; exit 1"], "failures": 100})
    until(lambda: drover.slot("a")["last_probe"]["detail"] == "exit code 1: anew", "the new command is asked")
    reload(None)
    until(lambda: drover.slot("a")["strikes"] == 0, "no probe, no strikes")
    assert drover.slot("a")["pid"] == first
    # A shorter interval does not wait for the end of the old one.
    reload({"tcp": port.address, "interval": "1h", "timeout": "1s", "start_period": "1h"})
    at = drover.slot("a")["last_probe"]["at"]
    reload({"tcp": port.address, "interval": "300ms", "timeout": "200ms"})
    until(lambda: drover.slot("a")["last_probe"]["at"] > at, "it is asked soon")
    assert drover.slot("a")["pid"] == first
    # One that is to speak for itself must be told where: that is another environment.
    drover.write(config({"a": speaker("say('READY=1'); beat()")}))
    drover.ask("reload")
    drover.wait_event("process_restarting", name="a", reason="config")
    until(lambda: drover.slot("a")["ready"], "it spoke")

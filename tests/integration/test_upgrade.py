# SPDX-License-Identifier: MIT
"""The in-place upgrade: another droverd takes the place of the one that runs, or does not and nothing changes."""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from dead_mount import dead_mount
from given import config, idle, let_others_in, shell, speaker
from harness import BUILD, alive, comm, descendants, environment_of, until
from test_adoption import numbers_in, running, same_time

BIN = BUILD / "bin"
CLI = str(BIN / "drover")
SERVICE_KEYS = ("pid", "started_at", "incarnation", "restarts", "state")


class Installed:
    """A droverd in a folder of its own, with its programs beside it, that can be replaced by others."""

    def __init__(self, drover):
        self.drover = drover
        self.folder = drover.folder / "bin"
        self.folder.mkdir()
        for program in BIN.iterdir():
            if program.name.startswith("drover") and program.name not in ("droverd", "drover"):
                (self.folder / program.name).symlink_to(program)
        self.path = self.folder / "droverd"
        self.put(lambda path: shutil.copy(BIN / "droverd", path))
        drover.prefix = [*drover.prefix, "sh", "-c", f'shift && exec {self.path} "$@"', "sh"]

    def put(self, make):
        """As a package manager does: written beside it, then renamed over it."""
        new = self.folder / "droverd.new"
        make(new)
        new.rename(self.path)

    def script(self, text, mode=0o755):
        def make(path):
            path.write_text(text)
            path.chmod(mode)
        self.put(make)

    def upgrade(self, *options):
        return subprocess.run([CLI, "upgrade", "--socket", self.drover.runtime / "control.sock", *options],
                              capture_output=True, text=True, timeout=60)


@pytest.fixture
def installed(drover):
    return Installed(drover)


def of(status):
    return {key: status[key] for key in SERVICE_KEYS}


def descriptors(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{name}")))
    return sorted(found)


def test_services_live_through_an_upgrade_and_workers_are_replaced(drover, contained, installed):  # noqa: F811
    sick = drover.folder / "sick"
    sick.touch()
    drover.start(config({
        "writer": shell("setsid -f sleep 1000; n=0; while :; do n=$((n+1)); echo $n; sleep 0.005; done"),
        "held": idle(probe={"exec": ["sh", "-c", f"! test -e {sick}"]}),
        "down": idle(), "victim": idle(), "speaks": speaker("say('READY=1')\nbeat()", interval="2s", timeout="2s"),
    }))
    os.kill(running(drover, "held", "down", "victim", "writer", "speaks")["held"]["pid"], signal.SIGKILL)
    drover.wait_event("restart_held", name="held")
    assert drover.ask("stop", "down")[0] == 0
    before = running(drover, "writer", "held", "speaks", "scheduler", "monitor")
    pid = drover.pid
    open_before = len(descriptors(pid)) + 1  # a client, a question
    installed.put(lambda path: shutil.copy(BIN / "droverd", path))
    assert "deleted" in os.readlink(f"/proc/{pid}/exe")
    done = installed.upgrade("--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] and answer["upgrades"] == 1 and answer["pid"] == pid
    assert sorted(answer["kept"]) == ["held", "speaks", "victim", "writer"]
    assert {"scheduler", "monitor"} <= set(answer["replaced"])
    assert os.readlink(f"/proc/{pid}/exe") == str(installed.path) and comm(pid) == "droverd"
    after = running(drover, "writer", "held", "speaks", "scheduler", "monitor")
    for name in ("writer", "held", "speaks"):
        assert of(after[name]) == of(before[name]), name
    assert after["held"]["strikes"] >= 3 and same_time(after["held"]["restart_due_at"], before["held"]["restart_due_at"])
    assert drover.slot("down")["state"] == "stopped"
    for name in ("scheduler", "monitor"):
        assert after[name]["incarnation"] == 2 and after[name]["last_exit"]["reason"] == "upgrade"
        assert after[name]["last_exit"]["code"] == 0, "it was not drained"
        assert not alive(before[name]["pid"])
    # They are its children still: how they end is known.
    os.kill(drover.slot("victim")["pid"], signal.SIGKILL)
    end = drover.wait_event("process_exited", name="victim")
    assert (end["reason"], end["signal"]) == ("signal", 9)
    # A second one, by the signal, and no line was lost in all that.
    drover.signal(signal.SIGUSR2)
    drover.wait_event("upgraded", count=2)
    assert drover.status()["supervisor"]["upgrades"] == 2
    assert drover.status()["supervisor"]["containment"] == ("cgroup" if contained else "sweep")
    running(drover, "writer", "speaks", "scheduler", "monitor")
    until(lambda: len(descriptors(pid)) <= open_before, f"no descriptor is left over: {descriptors(pid)}")
    if contained:
        assert len(contained.pids("writer")) >= 2
    numbers = numbers_in(drover, "writer")
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 20
    assert running(drover, "speaks")["speaks"]["pid"] == before["speaks"]["pid"]
    assert not (drover.runtime / "rehearsal").exists()
    assert drover.stop() == 0


CASES = {  # what lies there: what is said of it
    "missing": (None, "No such file or directory"),
    "not executable": (("#!/bin/sh\n", 0o644), "cannot be executed"),
    "written by all": (("#!/bin/sh\n", 0o777), "everybody may write"),
    "no program": (("\x7fELF nonsense", 0o755), "cannot take over"),
    "exits 1": (("#!/bin/sh\necho no libyaml here >&2\nexit 1\n", 0o755), "cannot take over: no libyaml here"),
    "exits 0": (("#!/bin/sh\nexit 0\n", 0o755), "does not say that it can take over"),
    "another program": (("#!/bin/sh\necho usage: >&2\nexit 2\n", 0o755), "does not know how to take over"),
    "crashes": (("#!/bin/sh\nkill -SEGV $$\n", 0o755), "died of signal 11 (SEGV)"),
    "other records": (("#!/bin/sh\nfor d; do :; done\nfor f in \"$d\"/*; do printf '\\143' |"
                       " dd of=\"$f\" bs=1 seek=8 conv=notrunc 2>/dev/null; done\nexec {real} \"$@\"\n", 0o755),
                      "slot records cannot be read by droverd"),
    "fewer records": (("#!/bin/sh\nfor d; do :; done\nrm \"$d\"/web\nexec {real} \"$@\"\n", 0o755), "slot records"),
    "no workers": (("#!/bin/sh\nexec {alone} \"$@\"\n", 0o755), "drover-"),
}


def test_what_cannot_take_over_is_refused_and_nothing_changes(drover, installed):
    drover.start(config({"web": idle()}))
    before = running(drover, "web", "scheduler")
    alone = drover.folder / "alone"
    alone.mkdir()
    shutil.copy(BIN / "droverd", alone / "droverd")
    for case, (what, words) in CASES.items():
        if what is None:
            installed.path.unlink()
        else:
            installed.script(what[0].replace("{real}", str(BIN / "droverd")).replace("{alone}", str(alone / "droverd")), what[1])
        done = installed.upgrade()
        assert done.returncode == 1 and words in done.stderr, (case, done.stdout, done.stderr)
        assert "the old supervisor runs on" in done.stderr and not done.stdout, case
        assert words in drover.status()["supervisor"]["upgrade_error"], case
    if os.geteuid() == 0:
        installed.script("#!/bin/sh\n")
        os.chown(installed.path, 12345, 12345)
        assert "belongs to user 12345" in installed.upgrade().stderr
    refusals = drover.find_events("upgrade_refused")
    assert len(refusals) >= len(CASES)
    after = running(drover, "web", "scheduler")
    assert of(after["web"]) == of(before["web"]) and of(after["scheduler"]) == of(before["scheduler"])
    assert not (drover.runtime / "rehearsal").exists()
    # And then a good one.
    installed.put(lambda path: shutil.copy(BIN / "droverd", path))
    done = installed.upgrade()
    assert done.returncode == 0 and re.match(r"upgraded to \S+, pid \d+: 1 processes kept", done.stdout), done.stderr
    assert drover.status()["supervisor"]["upgrade_error"] is None
    assert drover.slot("web")["pid"] == before["web"]["pid"]


def test_a_configuration_that_the_new_one_does_not_accept_refuses_the_upgrade(drover, installed):
    drover.start(config({"web": idle(environment={"A": "${ONLY_OURS}"})}), environment={"ONLY_OURS": "1"})
    before = running(drover, "web", "scheduler")
    good = drover.config.read_text()
    for bad, words in ((good + "nonsense: 1\n", "nonsense"), ("", "empty")):
        drover.write(bad)
        done = installed.upgrade("--json")
        assert done.returncode == 78, done.stderr
        answer = json.loads(done.stdout)
        assert not answer["ok"] and "does not accept the configuration" in answer["error"] and words in answer["output"]
    drover.write(good)
    assert of(running(drover, "web", "scheduler")["scheduler"]) == of(before["scheduler"])
    # Variables that the configuration names are ours, and the new one's too.
    assert installed.upgrade().returncode == 0
    assert drover.slot("web")["pid"] == before["web"]["pid"]


def test_one_that_hangs_is_killed_and_refused(drover, installed):
    drover.start(config({"web": idle()}))
    running(drover, "web")
    installed.script("#!/bin/sh\nsetsid -f sleep 1000\ntrap '' TERM\nsleep 1000\n")
    drover.signal(signal.SIGUSR2)
    tree = until(lambda: [p for p in descendants(drover.pid) if b"DROVER_SLOT=:rehearsal\0" in environment_of(p)], "it is tried")
    started = time.monotonic()
    refused = drover.wait_event("upgrade_refused")
    assert "did not answer within 10 s" in refused["error"] and time.monotonic() - started < 13
    until(lambda: not any(alive(p) for p in tree), "all of it is gone")
    # One that is left by a droverd that died over it is found by the next.
    drover.signal(signal.SIGUSR2)
    tree = until(lambda: [p for p in descendants(drover.pid) if b"DROVER_SLOT=:rehearsal\0" in environment_of(p)], "it is tried")
    installed.put(lambda path: shutil.copy(BIN / "droverd", path))
    drover.kill().start()
    until(lambda: not any(alive(p) for p in tree), "all of it is gone")


def test_an_exec_that_fails_leaves_the_old_one_running(drover, installed):
    """A script whose interpreter is gone when it was tried twice, as it is."""
    drover.start(config({"web": idle()}))
    before = running(drover, "web", "scheduler")
    descriptors_before = len(descriptors(drover.pid))
    interpreter, tried = drover.folder / "sh", drover.folder / "tried"
    shutil.copy("/bin/sh", interpreter)
    text = f'if [ -e {tried} ]; then rm {interpreter}; fi; : >{tried}\nexec {BIN}/droverd "$@"\n'
    installed.script(f"#!{interpreter}\n{text}")
    done = installed.upgrade()
    assert done.returncode == 1 and "No such file or directory" in done.stderr, (done.stdout, done.stderr)
    assert drover.find_events("upgrade_executes")
    after = running(drover, "web", "scheduler")
    assert of(after["web"]) == of(before["web"])
    assert after["scheduler"]["incarnation"] == 2 and after["scheduler"]["last_exit"]["reason"] == "upgrade"
    until(lambda: len(descriptors(drover.pid)) <= descriptors_before + 1, "nothing is left open")
    shown = subprocess.run([CLI, "status", "--socket", drover.runtime / "control.sock"], capture_output=True, text=True, timeout=30)
    assert "the last upgrade was refused" in shown.stdout
    # Signals are heard again, and the next one goes well.
    drover.signal(signal.SIGHUP)
    drover.wait_event("config_reloaded")
    installed.put(lambda path: shutil.copy(BIN / "droverd", path))
    assert installed.upgrade().returncode == 0
    assert of(running(drover, "web")["web"]) == of(before["web"])


def test_an_upgrade_does_not_wait_for_a_start_that_hangs(drover, installed):
    """The thread that stands still for that child ends with the old program; the child is the new one's to end."""
    with dead_mount(drover.folder / "dead") as dead:
        drover.start(config({"web": idle(), "hangs": {**idle(), "directory": str(dead / "sub")}}))
        before = running(drover, "web")
        pid = drover.wait_event("process_starting", name="hangs")["pid"]
        until(lambda: comm(pid).startswith("droverd:dir"), "it hangs")
        drover.signal(signal.SIGUSR2)
        assert drover.wait_event("process_adopted", name="hangs")["pid"] == pid
        assert comm(pid).startswith("droverd:dir"), "it hung all the time"
        assert of(running(drover, "web")["web"]) == of(before["web"])
        assert drover.wait_event("process_start_failed", name="hangs")["step"] == "directory"
        until(lambda: not alive(pid), "it is ended")


def test_a_hand_over_that_fails_after_the_exec_is_a_crash_and_the_services_are_adopted(drover, installed):
    drover.start(config({"web": idle()}))
    before = running(drover, "web")["web"]
    installed.script(f'#!/bin/sh\ncase "$*" in *--rehearse*) exec {BIN}/droverd "$@";; esac\nexit 3\n')
    done = subprocess.Popen([CLI, "upgrade", "--socket", drover.runtime / "control.sock"], stderr=subprocess.PIPE, text=True)
    assert drover.process.wait(30) == 3
    assert alive(before["pid"])
    installed.put(lambda path: shutil.copy(BIN / "droverd", path))
    drover.start()
    drover.wait_event("process_adopted", name="web", pid=before["pid"])
    assert of(drover.slot("web")) == of(before)
    assert drover.status()["supervisor"]["upgrades"] == 0
    # Somebody did come back, but not as what it was to become.
    done.kill()
    done.wait()
    done.stderr.close()


def test_a_kill_at_any_instant_of_an_upgrade_is_a_crash_like_others(drover, installed):
    rng = random.Random(11)
    drover.start(config({"web": idle(), "writer": shell("n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done")},
                        min_interval="0s"))
    before = running(drover, "web", "writer")
    for _ in range(8):
        drover.wait_event("supervisor_ready")
        drover.signal(signal.SIGUSR2)
        time.sleep(rng.uniform(0, 0.9))  # the instant of the kill is what is drawn here
        drover.kill().start()
        drover.wait_event("process_adopted", name="writer", pid=before["writer"]["pid"])
    after = running(drover, "web", "writer", "scheduler", "monitor")
    for name in before:
        assert of(after[name]) == of(before[name])
    assert not (drover.runtime / "rehearsal").exists()
    assert not [p for p in descendants() if b"DROVER_SLOT=:rehearsal\0" in environment_of(p)]
    assert drover.stop() == 0
    numbers = numbers_in(drover, "writer")
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_hand_over_that_is_not_for_us_is_not_taken(drover, installed):
    for value in ("0", "99", "-1", "nonsense", "2"):
        drover.start(config({"web": idle()}), environment={"DROVER_HAND_OVER": value})
        assert drover.status()["supervisor"]["upgrades"] == 0
        assert b"DROVER_HAND_OVER" not in environment_of(running(drover, "web")["web"]["pid"])
        assert drover.stop() == 0
    make = ("import os, sys; fd = os.memfd_create('hand-over', 0); "
            "os.write(fd, b'drover hand-over 1\\npid 1\\nupgrades 7\\nfd L 0 lock\\n'); "
            "os.environ['DROVER_HAND_OVER'] = str(fd); os.execv(sys.argv[1], sys.argv[1:])")
    drover.prefix = [sys.executable, "-c", make]
    drover.start()
    assert drover.status()["supervisor"]["upgrades"] == 0


def test_whoever_asks_during_an_upgrade_waits_and_is_answered(drover, installed):
    drover.start(config({"web": idle()}))
    running(drover, "web")
    installed.script(f'#!/bin/sh\ncase "$*" in *--rehearse*) ;; *) sleep 1;; esac\nexec {BIN}/droverd "$@"\n')
    drover.signal(signal.SIGUSR2)
    drover.wait_event("upgrade_executes")
    done = subprocess.run([CLI, "status", "--json", "--socket", drover.runtime / "control.sock"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["supervisor"]["upgrades"] == 1


def test_what_comes_during_an_upgrade_waits_or_ends_it(drover, installed):
    """Commands are answered, signals wait for the next loop, a stop ends it all."""
    drover.start(config({"web": idle(), "slow": shell("trap '' TERM; while :; do sleep 0.1; done", stop={"timeout": "1s"})}))
    before = running(drover, "web", "slow", "scheduler")
    client = drover.control()
    client.send("restart", "slow")
    drover.signal(signal.SIGUSR2)
    code, answer = client.receive()
    assert code == 0 and answer["results"][0]["ok"], answer
    drover.wait_event("upgrade_executes")
    drover.signal(signal.SIGHUP)
    drover.wait_event("upgraded")
    drover.wait_event("config_reloaded")
    assert drover.slot("web")["pid"] == before["web"]["pid"]
    client.socket.settimeout(5)
    assert client.socket.recv(10) == b"", "the old connection ends"
    client.close()
    # SIGTERM in the middle: everything stops, who asked is told.
    installed.script(f'#!/bin/sh\nsleep 1\nexec {BIN}/droverd "$@"\n')
    asked = subprocess.Popen([CLI, "upgrade", "--socket", drover.runtime / "control.sock"], stderr=subprocess.PIPE, text=True)
    drover.wait_event("upgrade_started")
    assert drover.stop() == 0
    assert asked.wait(10) == 1
    assert "stopping" in asked.stderr.read()
    asked.stderr.close()


def test_an_upgrade_needs_the_right_to_change(drover, installed):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    drover.start(config({"web": idle()}))
    running(drover, "web")
    let_others_in(drover.runtime)
    os.chmod(drover.runtime / "control.sock", 0o666)
    script = ("import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])")
    done = subprocess.run([sys.executable, "-c", script, CLI, "upgrade", "--socket", str(drover.runtime / "control.sock")],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 5, done.stderr
    assert not drover.find_events("upgrade_started")


def test_systemd_hears_the_new_one_on_the_old_socket(drover, installed):
    path = drover.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        drover.start(config({"web": idle()}), environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"})

        def hear(word):
            while word not in manager.recv(4096).decode():
                pass
        hear("READY=1")
        installed.upgrade()
        hear("READY=1")
        hear("WATCHDOG=1")
        assert b"NOTIFY_SOCKET" not in environment_of(drover.slot("web")["pid"])
        assert stat.S_ISSOCK(os.stat(path).st_mode)

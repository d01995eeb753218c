# SPDX-License-Identifier: MIT
"""
drover.service on a really booted systemd (tests/systemd/machine.py): what packaging/systemd promises. Each test starts
the unit anew; WatchdogSec and RestartSec are shortened or stretched by drop-ins, nothing else differs from what is
installed.
"""
import contextlib
import json
import os
import pathlib
import re
import time

import pytest

from harness import until

COUNTER = """
import signal, sys, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
n = 0
while not ended:
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
    n += 1
    time.sleep(0.002)
print("end", flush=True)
"""
CONFIG = """
supervisor: {restart: {min_interval: 0s, jitter: 0s}, stop: {timeout: 5s}}
services:
  counter: {command: [python3, /etc/drover/counter.py]}
  family: {command: [sh, -c, 'setsid -f sleep 1001; exec sleep 1002']}
"""
STUBBORN = "  stubborn: {command: [sh, -c, \"trap '' TERM; while :; do sleep 0.1; done\"], stop: {timeout: 1s}}\n"
LAST_WORDS = """  speaker:
    command: [sh, -c, 'echo first words; while [ ! -e /run/speak ]; do sleep 0.05; done; echo last words']
    restart: {policy: never}
"""
DROP_IN = "/run/systemd/system/drover.service.d/test.conf"


class Unit:
    """drover.service in the machine."""

    def __init__(self, machine):
        self.machine = machine

    def systemctl(self, *words, check=True):
        return self.machine.run("systemctl", *words, check=check)

    def rest(self):
        """Stopped, nothing left of it, no drop-in."""
        self.systemctl("stop", "drover", check=False)
        self.systemctl("kill", "--signal=KILL", "drover", check=False)
        until(lambda: not self.processes(), "the unit is empty")
        self.machine.run("rm", "-rf", "/run/drover", "/var/log/drover", "/var/lib/drover", "/run/speak",
                         pathlib.Path(DROP_IN).parent)
        self.systemctl("daemon-reload")
        self.systemctl("reset-failed", "drover", check=False)
        self.configure(CONFIG)

    def configure(self, text):
        self.machine.write("/etc/drover/counter.py", COUNTER)
        self.machine.write("/etc/drover/drover.yaml", text)

    def drop_in(self, text):
        self.machine.write(DROP_IN, f"[Service]\n{text}\n")
        self.systemctl("daemon-reload")

    def start(self):
        self.systemctl("start", "drover")
        return self

    def show(self, key):
        return self.machine.show(key)

    def main(self):
        return int(self.show("MainPID"))

    def signal(self, name):
        """To droverd alone."""
        self.machine.run("kill", f"-{name}", self.main(), check=True)

    def status(self):
        return json.loads(self.machine.run("drover", "status", "--json", check=True).stdout)

    def pid(self, name):
        """As the container counts."""
        return next(p["pid"] for p in self.status()["processes"] if p["name"] == name)

    def wait_running(self, *names):
        def running():
            with contextlib.suppress(AssertionError, ValueError):
                states = {p["name"]: p["state"] for p in self.status()["processes"]}
                return all(states.get(n) == "running" for n in names)
            return False
        until(running, f"{names} run")
        return {name: self.pid(name) for name in names}

    def wait_restarted(self, restarts):
        until(lambda: int(self.show("NRestarts")) > restarts and self.show("SubState") == "running", "systemd restarts it")

    def processes(self):
        """Everything of the unit, in any of its groups."""
        found = []
        group = self.machine.path("/sys/fs/cgroup/system.slice/drover.service")
        for folder, _, _ in os.walk(group):
            with contextlib.suppress(OSError):
                found += (pathlib.Path(folder) / "cgroup.procs").read_text().split()
        return found

    def lines(self):
        return self.machine.path("/var/log/drover/counter.log").read_text().split()

    def alive(self, pid):
        """A pid as the container counts."""
        with contextlib.suppress(OSError):
            return self.machine.path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
        return False


@pytest.fixture
def unit(machine):
    one = Unit(machine)
    one.rest()
    yield one


def check_counted(lines):
    """Each number once and in order, whole."""
    numbers = lines[:-1] if lines[-1] == "end" else lines
    assert numbers == [str(n) for n in range(len(numbers))]
    return len(numbers)


def test_the_unit_is_what_systemd_252_understands(machine):
    done = machine.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "drover.service")
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_it_is_started_when_all_is_up_and_says_how_much(unit):
    unit.start()
    assert unit.show("ActiveState") == "active" and unit.show("SubState") == "running"
    states = [p["state"] for p in unit.status()["processes"]]
    assert set(states) == {"running"}, "systemctl start waited for all"
    assert unit.show("StatusText") == f"{len(states)} running, 0 starting or stopping, 0 down, 0 failed"
    unit.machine.run("drover", "stop", "family", check=True)
    until(lambda: unit.show("StatusText") == f"{len(states) - 1} running, 0 starting or stopping, 1 down, 0 failed",
          "the status follows")
    until(lambda: unit.show("WatchdogTimestampMonotonic") != "0", "the watchdog is fed")


def test_a_good_reload_is_taken_up_and_leaves_the_others_alone(unit):
    unit.start()
    before = unit.wait_running("counter", "family")
    unit.configure(CONFIG + "  another: {command: [sleep, '1003']}\n")
    assert unit.systemctl("reload", "drover", check=False).returncode == 0
    after = unit.wait_running("counter", "family", "another")
    assert {n: after[n] for n in before} == before
    until(lambda: unit.show("ActiveState") == "active", "the reload is over")
    assert unit.show("StatusText").endswith(" 0 failed")


def test_a_bad_reload_fails_and_changes_nothing(unit):
    unit.start()
    main, before = unit.main(), unit.wait_running("counter", "family")
    unit.configure(CONFIG.replace("services:", "servces:"))
    assert unit.systemctl("reload", "drover", check=False).returncode != 0
    assert unit.show("ActiveState") == "active" and unit.main() == main
    assert 'did you mean "services"?' in unit.machine.journal()
    assert unit.wait_running("counter", "family") == before
    # droverd itself refuses it too, and whoever asked is told
    refused = unit.machine.run("drover", "reload")
    assert refused.returncode == 78 and 'did you mean "services"?' in refused.stderr
    until(lambda: unit.show("SubState") == "running", "systemd heard that the reload is over")
    assert unit.wait_running("counter", "family") == before


def test_a_droverd_that_hangs_is_replaced_and_its_services_go_on(unit):
    unit.drop_in("WatchdogSec=2")
    unit.start()
    main, before, restarts = unit.main(), unit.wait_running("counter", "family"), int(unit.show("NRestarts"))
    # While the loop turns it lives for many times WatchdogSec: here two are seen to pass.
    fed = int(unit.show("WatchdogTimestampMonotonic"))
    until(lambda: int(unit.show("WatchdogTimestampMonotonic")) > fed + 4_000_000, "it is fed")
    assert int(unit.show("NRestarts")) == restarts and unit.main() == main
    unit.signal("STOP")
    unit.wait_restarted(restarts)
    assert "Watchdog timeout" in unit.machine.journal()
    assert unit.main() != main and unit.wait_running("counter", "family") == before
    unit.systemctl("stop", "drover")
    assert not unit.processes() and unit.lines()[-1] == "end"
    check_counted(unit.lines())


def test_a_droverd_that_is_killed_is_replaced_and_no_line_is_lost(unit):
    unit.start()
    before = unit.wait_running("counter", "family")
    until(lambda: int(unit.show("NFileDescriptorStore")) > 0, "systemd keeps the log pipes")
    for _ in range(3):
        main, restarts, written = unit.main(), int(unit.show("NRestarts")), len(unit.lines())
        unit.signal("KILL")
        unit.wait_restarted(restarts)
        assert unit.main() != main and unit.wait_running("counter", "family") == before
        until(lambda: len(unit.lines()) > written + 100, "the lines go on")
    unit.systemctl("stop", "drover")
    assert not unit.processes() and unit.lines()[-1] == "end"
    check_counted(unit.lines())


def test_an_upgrade_is_no_restart_for_systemd(unit):
    unit.drop_in("WatchdogSec=2")
    unit.start()
    main, before, restarts = unit.main(), unit.wait_running("counter", "family"), unit.show("NRestarts")
    kept = until(lambda: int(unit.show("NFileDescriptorStore")), "systemd keeps the log pipes")
    for _ in range(2):
        written = len(unit.lines())
        done = unit.machine.run("drover", "upgrade")
        assert done.returncode == 0 and f"pid {main}" in done.stdout, done.stderr
        assert unit.wait_running("counter", "family", "scheduler") == {**before, "scheduler": unit.pid("scheduler")}
        until(lambda: len(unit.lines()) > written + 100, "the lines go on")  # noqa: B023
    fed = int(unit.show("WatchdogTimestampMonotonic"))
    until(lambda: int(unit.show("WatchdogTimestampMonotonic")) > fed + 2_500_000, "it is fed by the new one")
    assert (unit.main(), unit.show("NRestarts"), unit.show("ActiveState")) == (main, restarts, "active")
    assert int(unit.show("NFileDescriptorStore")) == kept
    assert unit.status()["supervisor"]["upgrades"] == 2
    unit.systemctl("stop", "drover")
    assert not unit.processes() and unit.lines()[-1] == "end"
    check_counted(unit.lines())


def test_droverd_and_drover_log_killed_together_lose_no_line(unit):
    """Only systemd holds the pipes then."""
    unit.start()
    before = unit.wait_running("counter")
    until(lambda: int(unit.show("NFileDescriptorStore")) > 0, "systemd keeps the log pipes")
    restarts = int(unit.show("NRestarts"))
    unit.machine.run("pkill", "-KILL", "drover", check=True)  # all of drover's own, by name, in its machine
    unit.wait_restarted(restarts)
    assert unit.wait_running("counter") == before
    unit.systemctl("stop", "drover")
    assert unit.lines()[-1] == "end"
    check_counted(unit.lines())


def test_last_words_of_a_service_that_ends_while_nobody_listens_reach_its_log(unit):
    """The death of droverd, drover-log and the writer: only systemd holds the pipe then, and what is in it."""
    unit.drop_in("RestartSec=1h")
    unit.configure(CONFIG + LAST_WORDS)
    unit.start()
    pid = unit.wait_running("speaker")["speaker"]
    unit.machine.run("pkill", "-KILL", "drover", check=True)
    until(lambda: unit.show("SubState") == "auto-restart", "the pause")
    unit.machine.write("/run/speak", "")
    until(lambda: not unit.alive(pid), "it has ended")
    log = unit.machine.path("/var/log/drover/speaker.log")
    assert log.read_text() == "first words\n"
    unit.drop_in("RestartSec=100ms")
    unit.systemctl("restart", "drover")
    unit.wait_running("counter", "family")
    until(lambda: log.read_text().startswith("first words\nlast words\n"), "they are there")
    kept = int(unit.show("NFileDescriptorStore"))
    unit.configure(CONFIG)
    unit.systemctl("reload", "drover")
    until(lambda: int(unit.show("NFileDescriptorStore")) == kept - 1, "the log of a service that is no more is let go")


def test_a_stop_leaves_nothing(unit):
    unit.configure(CONFIG + STUBBORN)
    unit.start()
    pids = unit.wait_running("counter", "family", "stubborn")
    unit.systemctl("stop", "drover")
    assert unit.show("Result") == "success" and unit.show("ActiveState") == "inactive"
    assert not unit.processes() and not any(unit.alive(pid) for pid in pids.values())
    assert unit.machine.run("pgrep", "-x", "sleep").returncode == 1
    left = unit.machine.path("/run/drover").rglob("*")
    assert not [p for p in left if p.is_socket() or p.parent.name in ("log", "slots", "notify") and p.name[0] != ":"]


def test_a_stop_may_take_longer_than_systemd_allows_as_long_as_it_is_seen_to_go_on(unit):
    unit.drop_in("TimeoutStopSec=1")
    unit.configure(CONFIG + STUBBORN.replace("1s", "6s"))
    unit.start()
    pids = unit.wait_running("counter", "stubborn")
    unit.systemctl("stop", "drover")
    assert unit.show("Result") == "success" and not any(unit.alive(pid) for pid in pids.values())


@pytest.mark.parametrize("by", ["kill", "sweep", "start"])
def test_a_stop_within_the_restart_pause_leaves_services_to_who_asks(unit, by):
    unit.drop_in("RestartSec=1h")
    unit.start()
    before = unit.wait_running("counter", "family")
    unit.signal("KILL")
    until(lambda: unit.show("SubState") == "auto-restart", "the pause")
    unit.systemctl("stop", "drover")
    assert unit.show("ActiveState") == "inactive" and all(unit.alive(pid) for pid in before.values())
    if by == "start":
        unit.start()
        assert unit.wait_running("counter", "family") == before
        return
    if by == "kill":
        unit.systemctl("kill", "drover")
    else:
        unit.machine.run("droverd", "--sweep", check=True)
    until(lambda: not unit.processes(), "nothing is left")
    assert unit.machine.run("pgrep", "-x", "sleep").returncode == 1


def test_a_bad_configuration_ends_the_unit_and_does_not_loop(unit):
    unit.configure(CONFIG + "nonsense: 1\n")
    assert unit.systemctl("start", "drover", check=False).returncode != 0
    assert unit.show("ActiveState") == "failed" and unit.show("ExecMainStatus") == "78"
    time.sleep(0.5)  # five times RestartSec: nothing may happen in it
    assert unit.show("ActiveState") == "failed" and unit.show("NRestarts") == "0"
    assert re.search(r"drover\.yaml:\d+:1: error: ", unit.machine.journal())


def test_a_configuration_that_went_bad_before_a_crash_leaves_the_services_running(unit):
    unit.start()
    before = unit.wait_running("counter", "family")
    unit.configure(CONFIG + "nonsense: 1\n")
    unit.signal("KILL")
    until(lambda: unit.show("ActiveState") == "failed", "it gives up")
    assert unit.show("ExecMainStatus") == "78" and all(unit.alive(pid) for pid in before.values())
    unit.configure(CONFIG)
    unit.start()
    assert unit.wait_running("counter", "family") == before
    unit.systemctl("stop", "drover")
    assert not unit.processes()
    check_counted(unit.lines())

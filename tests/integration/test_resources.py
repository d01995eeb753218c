# SPDX-License-Identifier: MIT
"""Resource trouble: what is not to be had fails one start, with its step and errno, and is tried again; others go on."""
import errno
import os
import pathlib
import pwd
import resource
import signal
import subprocess
import time

import pytest

from dead_mount import dead_mount
from given import SLOW, as_user, give_to, root_only, services
from harness import BUILD, alive, comm, descendants, processes, until

SLEEP = "exec sleep 1000"
UID = 54322  # a user of nobody else: what counts for it is ours alone


def config(min_interval="1h", stop="1s", workers=True, **commands):
    text = (f"supervisor: {{probe: {{interval: 1s, timeout: 200ms, start_period: 0s}}, restart: {{min_interval: {min_interval}, "
            f'jitter: 0s}}, stop: {{timeout: {stop}}}}}\nhttp: {{listen: "127.0.0.1:0"}}\n')
    return text + services(**commands)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def states(drover):
    return {p["name"]: p["state"] for p in drover.status()["processes"]}


def failure(drover, name):
    """(step, errno) as status tells them; the words agree with the numbers."""
    slot = drover.slot(name)
    failed = slot["failed_start"]
    assert failed["error"] == os.strerror(failed["errno"])
    # While it is tried again there is no error yet.
    assert slot["state"] in ("starting", "stopping") or slot["error"] == f"{failed['step']}: {failed['error']}"
    return failed["step"], failed["errno"]


# -- descriptors --


def test_with_40_descriptors_it_runs_what_fits_and_says_what_does_not(drover):
    names = [f"s{i}" for i in range(8)]
    drover.prefix = ["prlimit", "--nofile=40:40"]
    drover.start(config(**{name: SLEEP for name in names}))
    drover.wait_event("supervisor_ready")
    found = states(drover)
    up = [name for name, state in found.items() if state == "running"]
    down = [name for name, state in found.items() if state == "waiting"]
    assert len(up) >= 2 and len(down) >= 2, found
    for name in down:
        assert failure(drover, name) == ("descriptors", errno.EMFILE)
        event = drover.find_events("process_start_failed", name=name)[0]
        assert (event["step"], event["errno"]) == ("descriptors", errno.EMFILE)
        assert drover.slot(name)["restart_due_at"] and drover.slot(name)["pid"] is None
    # What runs is supervised, its log is kept; nobody gets two.
    first = drover.slot(up[0])["pid"]
    assert drover.ask("restart", up[0])[0] == 0
    assert drover.slot(up[0])["pid"] != first and not alive(first)
    assert not drover.find_events("record_not_written")
    # A place that becomes free is taken by one of those that wait.
    for name in [*up[1:], *down[:-1]]:
        assert drover.ask("stop", name)[0] == 0
    assert drover.ask("start", down[-1])[0] == 0
    assert drover.slot(down[-1])["state"] == "running" and drover.slot(down[-1])["failed_start"] is None
    assert not drover.find_events("process_exited", name=up[0], code=127)
    assert drover.stop() == 0


@pytest.fixture
def full(drover):
    """droverd with a full table: some of the services wait for a descriptor, a and b run."""
    drover.prefix = ["prlimit", "--nofile=60:60"]
    drover.start(config(a="while :; do date +%s%N; sleep 0.05; done", b=SLEEP, **{f"f{i}": SLEEP for i in range(16)}))
    drover.wait_event("supervisor_ready")
    # All that still fit have begun.
    until(lambda: all(len(drover.find_events("process_start_failed", name=name)) > 2
                      for name, state in states(drover).items() if state == "waiting"), "there is no room")
    assert drover.slot("a")["state"] == drover.slot("b")["state"] == "running"
    assert descriptors(drover.pid) >= 57
    return drover


def test_without_a_descriptor_the_control_socket_answers_and_records_are_kept(full):
    a, b = full.slot("a")["pid"], full.slot("b")["pid"]
    record = full.runtime / "slots" / "a"
    # Who says nothing holds the last descriptors: it is sent away for who asks.
    held = [full.control() for _ in range(20)]
    asked = time.monotonic()
    for _ in range(20):
        assert full.slot("b")["pid"] == b
    assert time.monotonic() - asked < 3 * SLOW
    before = record.read_bytes()
    assert full.ask("stop", "a")[0] == 0, "to end something takes none"
    assert not alive(a) and alive(b)
    assert record.read_bytes() != before
    for client in held:
        client.close()
    # What it held was taken by another; it is the one that waits now. What the operator wants is not lost by that.
    until(lambda: len([n for n, state in states(full).items() if state == "waiting"]), "somebody waits")
    assert not full.find_events("record_not_written")
    pids = {p["name"]: p["pid"] for p in full.status()["processes"] if p["state"] == "running" and p["kind"] == "service"}
    full.kill().start()
    full.wait_event("supervisor_ready", pid=full.pid)
    assert full.slot("a")["state"] == "stopped"
    assert {name: full.slot(name)["pid"] for name in pids} == pids, "all are adopted"
    for i in range(16):
        assert full.ask("stop", f"f{i}")[0] == 0
    assert full.ask("start", "a")[0] == 0 and full.slot("a")["failed_start"] is None


def test_a_reload_helps_out_of_a_full_table(full):
    b = full.slot("b")["pid"]
    full.write(config(b=SLEEP, f15=SLEEP))
    assert full.ask("reload")[0] == 0
    until(lambda: full.slot("f15")["state"] == "running", "it has room")
    assert full.slot("b")["pid"] == b


def test_a_dead_drover_log_is_replaced_without_a_free_descriptor(full):
    (logger,) = [p for p, (parent, _) in processes().items() if parent == full.pid and comm(p) == "drover-log"]
    os.kill(logger, signal.SIGKILL)
    full.wait_event("drover_log_started")
    seen = full.log_of("a")
    until(lambda: len(full.log_of("a")) > len(seen), "lines come again")
    assert not full.find_events("drover_log_not_started")


def test_a_log_that_drover_log_has_no_descriptor_for_costs_the_others_nothing(drover):
    drover.start(config(a="while :; do date +%s%N; sleep 0.05; done"))
    until(lambda: drover.log_of("a"), "it writes")
    (logger,) = [p for p, (parent, _) in processes().items() if parent == drover.pid and comm(p) == "drover-log"]
    full = max(int(fd) for fd in os.listdir(f"/proc/{logger}/fd")) + 1
    resource.prlimit(logger, resource.RLIMIT_NOFILE, (full, full))
    drover.write(config(a="while :; do date +%s%N; sleep 0.05; done", **{f"n{i}": SLEEP for i in range(4)}))
    assert drover.ask("reload")[0] == 0
    assert drover.wait_event("log_order_refused", name="n3")["process"] == "drover-log"
    seen = drover.log_of("a")
    until(lambda: len(drover.log_of("a")) > len(seen), "lines come still")
    assert alive(logger) and not drover.find_events("channel_broken")


def test_the_next_drover_log_is_told_of_hundreds_of_logs_with_few_descriptors_left(drover):
    """What the socket does not take at once waits in droverd, with a descriptor more for each log."""
    count = 330
    drover.prefix = ["prlimit", f"--nofile={2 * count + 75}"]
    text = config(a="trap 'echo again' USR1; echo begun; while :; do sleep 1000 & wait; done")
    drover.start(text.replace("a: {", f"a: {{processes: {count}, "))
    names = [f"a:{n}" for n in range(1, count + 1)]
    until(lambda: all(drover.log_of(name) for name in names), "all write")
    (logger,) = [p for p, (parent, _) in processes().items() if parent == drover.pid and comm(p) == "drover-log"]
    os.kill(logger, signal.SIGKILL)
    drover.wait_event("drover_log_started")
    for slot in drover.status()["processes"]:
        if slot["name"] in names:
            os.kill(slot["pid"], signal.SIGUSR1)
    until(lambda: all("again" in drover.log_of(name) for name in names), "what they write then is in their logs")


# -- processes and memory --


@root_only
def test_a_full_process_table_is_waited_out(drover):
    """As an ordinary user, with a limit of processes that is just reached."""
    give_to(drover, UID)
    drover.write(config(min_interval="1s", **{f"s{i}": SLEEP for i in range(10)}))
    drover.config.chmod(0o644)
    drover.prefix = [*as_user(UID), "prlimit", "--nproc=14:40"]
    drover.start()
    drover.wait_event("supervisor_ready")
    found = states(drover)
    down = [name for name, state in found.items() if state == "waiting" and name[0] == "s" and name[1:].isdigit()]
    up = {name: drover.slot(name)["pid"] for name, state in found.items() if state == "running"}
    assert len(up) > 3 and down, found
    for name in down:
        assert failure(drover, name) == ("fork", errno.EAGAIN)
        event = drover.find_events("process_start_failed", name=name)[0]
        assert (event["step"], event["errno"]) == ("fork", errno.EAGAIN)
    subprocess.run([*as_user(UID), "prlimit", f"--pid={drover.pid}", "--nproc=40:40"], check=True)
    until(lambda: all(state == "running" for state in states(drover).values()), "all run")
    for name in down:
        assert drover.slot(name)["failed_start"] is None
        assert drover.slot(name)["restarts"] == 0 or drover.slot(name)["kind"] != "service"
    assert {name: drover.slot(name)["pid"] for name in up} == up
    assert drover.stop() == 0


@root_only
@pytest.mark.skipif("san" in BUILD.name, reason="the leak checker forks at the end")
def test_a_fork_without_memory_is_a_failed_start(drover):
    """In a pid namespace whose first process (drover-log) is dead, the kernel has no memory for another."""
    drover.prefix = ["unshare", "--pid"]
    drover.start(config(min_interval="0s", a="sleep 1000"), wait=False)
    drover.wait_event("supervisor_ready")
    (logger,) = [p for p, (parent, _) in processes().items() if parent == drover.pid and comm(p) == "drover-log"]
    os.kill(logger, signal.SIGKILL)
    until(lambda: (drover.slot("a")["failed_start"] or {}).get("step"), "it cannot be started")
    assert failure(drover, "a") == ("fork", errno.ENOMEM)
    assert drover.slot("a")["state"] == "waiting" and drover.slot("a")["restart_due_at"]
    assert drover.stop() == 0


# -- what stands in the configuration and is not there --


@pytest.mark.parametrize("min_interval", ["0s", "1h"])
def test_what_cannot_be_executed_is_held_and_retried_as_the_rules_say(drover, min_interval):
    plain = drover.folder / "plain"
    plain.write_text("no program\n")
    loop = drover.folder / "loop"
    loop.symlink_to(loop)
    bad = {"missing": (["/no/such/program"], {}, "exec", errno.ENOENT), "plain": ([str(plain)], {}, "exec", errno.EACCES),
           "folder": (["/"], {}, "exec", errno.EACCES), "ring": ([str(loop)], {}, "exec", errno.ELOOP),
           "nowhere": (["true"], {"directory": "/no/such/folder"}, "directory", errno.ENOENT),
           "nofolder": (["true"], {"directory": str(plain)}, "directory", errno.ENOTDIR)}
    drover.start(config(min_interval, good=SLEEP, **{name: {"command": c, **more} for name, (c, more, _, _) in bad.items()}))
    for name, (_, _, step, number) in bad.items():
        event = drover.rewind().wait_event("process_start_failed", name=name)
        assert (event["step"], event["errno"]) == (step, number)
        until(lambda: drover.slot(name)["failed_start"], "status tells it")  # noqa: B023
        assert failure(drover, name) == (step, number)
    if min_interval == "1h":
        # The first restart is free, the second is held.
        for name in bad:
            until(lambda: drover.slot(name)["state"] == "waiting" and drover.slot(name)["restarts"] == 1, "it is held")  # noqa: B023
            assert drover.rewind().wait_event("restart_held", name=name)["wait_ms"] > 3500000
    else:
        until(lambda: all(drover.slot(name)["restarts"] > 3 for name in bad), "each is tried again and again")
        before = descriptors(drover.pid)
        until(lambda: all(drover.slot(name)["restarts"] > 6 for name in bad), "and again")
        assert descriptors(drover.pid) <= before + 2 * len(bad)
    assert drover.slot("good")["restarts"] == 0


@root_only
def test_a_user_that_vanished_is_a_failed_start(drover):
    """The configuration was checked when there was one."""
    passwd = drover.folder / "passwd"
    original = pathlib.Path("/etc/passwd").read_text()
    line = f"{original.rstrip()}\nvanishing:x:{UID}:{UID}::/:/bin/sh\n"
    assert "vanishing" not in {u.pw_name for u in pwd.getpwall()}
    passwd.write_text(line)
    drover.prefix = ["unshare", "--mount", "sh", "-c", f'mount --bind {passwd} /etc/passwd && exec "$@"', "sh"]
    drover.start(config(min_interval="0s", a={"command": ["sleep", "1000"], "user": "vanishing"}, b=SLEEP))
    first = drover.wait_event("process_running", name="a")["pid"]
    assert os.stat(f"/proc/{first}").st_uid == UID
    other = drover.slot("b")["pid"]
    passwd.write_text(original)
    os.kill(first, signal.SIGKILL)
    event = drover.wait_event("process_start_failed", name="a")
    assert (event["step"], event["errno"]) == ("user", errno.ENOENT)
    until(lambda: drover.slot("a")["failed_start"], "status tells it")
    assert failure(drover, "a") == ("user", errno.ENOENT)
    passwd.write_text(line)
    again = drover.wait_event("process_running", name="a")["pid"]
    assert os.stat(f"/proc/{again}").st_uid == UID
    assert drover.slot("a")["failed_start"] is None and drover.slot("b")["pid"] == other


# -- what never comes back --


@root_only
def test_a_directory_that_hangs_holds_up_only_its_own_start(drover, contained):
    # Two: on one mount the kernel has the second wait for the first, and lets nobody kill it.
    with dead_mount(drover.folder / "dead") as dead, dead_mount(drover.folder / "late") as late:
        drover.start(config(a={"command": ["sleep", "1000"], "directory": str(dead / "sub")}, b=SLEEP,
                            c={"command": [str(late / "program")]}))
        pids = {}
        for name in "ac":
            pids[name] = drover.rewind().wait_event("process_starting", name=name)["pid"]
        other = drover.rewind().wait_event("process_running", name="b")["pid"]
        since = time.monotonic()
        assert drover.ask("restart", "b")[0] == 0 and drover.slot("b")["pid"] != other
        assert time.monotonic() - since < 2 * SLOW
        other = drover.slot("b")["pid"]
        assert drover.slot("a")["state"] == drover.slot("c")["state"] == "starting"
        assert comm(pids["a"]).startswith("droverd:dir") and comm(pids["c"]) == "droverd:exec"
        for name, step in (("a", "directory"), ("c", "exec")):
            event = drover.rewind().wait_event("process_start_failed", name=name)
            assert (event["step"], event["errno"]) == (step, errno.ETIMEDOUT)
            # Killed, counted, tried once more at once and then held.
            until(lambda: not alive(pids[name]), "it is ended")  # noqa: B023
            assert drover.wait_event("process_exited", name=name)["reason"] == "exit"
            assert drover.wait_event("process_restarting", name=name)["incarnation"] == 2
            assert failure(drover, name) == (step, errno.ETIMEDOUT)
        # A stop in the middle of it has its one end, too.
        code, answer = drover.ask("stop", "a")
        assert code == 0, answer
        assert drover.slot("a")["state"] == "stopped"
        assert drover.rewind().wait_event("restart_held", name="c", patience=10 * SLOW)
        assert drover.slot("b")["pid"] == other and drover.slot("b")["restarts"] == 1


@root_only
def test_a_start_that_hangs_is_not_taken_for_executed_by_the_next_supervisor(drover):
    with dead_mount(drover.folder / "dead") as dead:
        drover.start(config(a={"command": ["sleep", "1000"], "directory": str(dead / "sub")}, b=SLEEP))
        pid = drover.wait_event("process_starting", name="a")["pid"]
        until(lambda: comm(pid).startswith("droverd:dir"), "it hangs")
        drover.kill().start()
        assert drover.wait_event("process_adopted", name="a")["pid"] == pid
        event = drover.wait_event("process_start_failed", name="a")
        assert (event["step"], event["errno"]) == ("directory", errno.ETIMEDOUT)
        until(lambda: not alive(pid), "it is ended")
        assert not drover.find_events("process_running", name="a")


# -- probes --


def hanging():
    return [pid for pid in descendants() if comm(pid) == "droverd:exec"]


@root_only
def test_a_probe_that_hangs_before_it_is_executed_counts_as_failed_and_is_ended(drover, contained):
    with dead_mount(drover.folder / "dead") as dead:
        drover.start(config(a={"command": ["sleep", "1000"], "probe": {"exec": [str(dead / "probe")], "interval": "300ms"}},
                            b=SLEEP))
        drover.wait_event("process_running", name="a")
        until(lambda: drover.slot("a")["strikes"] >= 2, "it fails")
        until(lambda: drover.slot("a")["last_probe"], "it was asked")
        assert len(hanging()) <= 1, "one at a time"
        assert drover.ask("stop", "a")[0] == 0
        assert not hanging()

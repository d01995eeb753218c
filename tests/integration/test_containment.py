# SPDX-License-Identifier: MIT
"""S4 and S1 where trees want to stay: with a delegated cgroup and with the sweep, as PID 1, and against the kernel."""
import contextlib
import os
import pathlib
import signal
import subprocess
import time

import pytest

from cgroups import private_group
from given import PYTHON, SLOW, as_user, give_to, root_only, services
from harness import alive, comm, processes, until

HERE = pathlib.Path(__file__).resolve().parent
ANIMALS = ["grouped", "stubborn", "secretive", "headless", "asleep", "runner", "sprinter", "reaper"]


def config(stop="300ms", min_interval="0s", **commands):
    return (f"supervisor: {{restart: {{min_interval: {min_interval}, jitter: 0s}}, stop: {{timeout: {stop}}}}}\n"
            'http: {listen: "127.0.0.1:0"}\n' + services(**commands))


def named(mark):
    return [pid for pid, (_, state) in processes().items() if comm(pid) == mark and state not in "ZX"]


# -- which group is ours --


def test_a_delegated_group_holds_each_instance_in_one_of_its_own(drover, delegated):
    drover.start(config(a="sleep 1000 & setsid -f sleep 1000; exec sleep 1000", b="exec sleep 1000"))
    drover.wait_event("supervisor_ready")
    assert drover.status()["supervisor"]["containment"] == "cgroup"
    until(lambda: len(delegated.pids("a")) == 3, "the whole tree is in it")
    assert delegated.pids("b") == [drover.slot("b")["pid"]]
    assert drover.pid in delegated.pids() and drover.slot("a")["pid"] not in delegated.pids()
    assert delegated.pids("scheduler") == [drover.slot("scheduler")["pid"]]
    first = set(delegated.groups())
    assert drover.ask("restart", "b")[0] == 0
    second = set(delegated.groups())
    assert len(first) == len(second) and len(first - second) == 1 and len(second - first) == 1
    assert drover.ask("stop", "a")[0] == 0
    assert not [name for name in delegated.groups() if name.endswith("-a")]
    # Not one controller: systemd 252 could not start the unit again.
    assert not (delegated.path / "cgroup.subtree_control").read_text().strip()
    assert drover.stop() == 0
    assert not delegated.groups()


@pytest.mark.parametrize("case", ["not marked", "marked for others", "root", "above"])
def test_only_a_group_that_is_ours_is_touched(drover, case):
    with private_group(mark=case != "not marked") as group:
        drover.prefix = group.enter
        below = group.path / "below"
        if case == "marked for others":
            os.setxattr(group.path, "user.delegate", b"0")
        elif case == "root":
            drover.prefix = [*group.enter, "unshare", "--cgroup"]
        elif case == "above":
            (below / "deeper").mkdir(parents=True)
            drover.prefix = ["sh", "-c", f'echo $$ >{below}/deeper/cgroup.procs && exec "$@"', "sh"]
        before = group.groups()
        drover.start(config(a="exec sleep 1000"))
        drover.wait_event("process_running", name="a")
        assert drover.status()["supervisor"]["containment"] == "sweep"
        assert drover.find_events("containment")[0]["reason"]
        assert group.groups() == before
        drover.end()
        if case == "above":
            (below / "deeper").rmdir()
            below.rmdir()


def test_a_group_below_a_delegated_one_is_used_and_nothing_beside_it(drover):
    """DelegateSubgroup= of systemd 254, and a droverd that is a service of another: never out of the outer's group."""
    with private_group() as group:
        inner = group.path / "supervisor"
        inner.mkdir()
        drover.prefix = ["sh", "-c", f'echo $$ >{inner}/cgroup.procs && exec "$@"', "sh"]
        drover.start(config(a="exec sleep 1000"))
        drover.wait_event("process_running", name="a")
        assert drover.status()["supervisor"]["containment"] == "cgroup"
        assert group.groups() == ["supervisor"] and list(inner.glob("drover-*-a"))
        drover.end()
        assert not [p for p in inner.iterdir() if p.is_dir()]
        inner.rmdir()


def test_an_ordinary_user_may_be_given_a_group(drover):
    """systemd gives it to the unit's user; without the gift it is left alone."""
    uid = 54322
    give_to(drover, uid)
    drover.write(config(a="setsid -f sleep 1000; exec sleep 1000"))
    drover.config.chmod(0o644)
    with private_group() as group:
        drover.prefix = [*group.enter, *as_user(uid)]
        drover.start()
        drover.wait_event("process_running", name="a")
        assert drover.status()["supervisor"]["containment"] == "sweep" and not group.groups()
        assert drover.stop() == 0
        group.give_to(uid)
        drover.start()
        drover.wait_event("process_running", name="a")
        assert drover.status()["supervisor"]["containment"] == "cgroup"
        until(lambda: len(group.pids("a")) == 2, "the tree is in it")
        assert drover.stop() == 0


def test_a_group_that_cannot_be_made_is_no_reason_to_start_nothing(drover, delegated):
    drover.start(config(a="setsid -f sleep 1000; exec sleep 1000"))
    drover.wait_event("process_running", name="a")
    (delegated.path / "cgroup.max.descendants").write_text("0")
    assert drover.ask("restart", "a")[0] == 0
    assert drover.wait_event("group_not_made", name="a")["error"]
    drover.wait_event("process_running", name="a")
    assert not delegated.pids("a")
    until(lambda: len([p for p in delegated.pids() if comm(p) == "sleep"]) == 2, "both run")
    assert drover.ask("stop", "a")[0] == 0
    assert not [p for p in delegated.pids() if comm(p) == "sleep"]


# -- the end of a tree --


def test_a_service_that_scatters_its_tree_ends_whole(drover, contained):
    """All ways to hide at once: sessions, daemons, wiped environments, stopped, forking all the time."""
    way = "cgroup" if contained else "sweep"
    mark = f"zoo{os.getpid() % 1000}{way}"
    kinds = [k for kind in ANIMALS for k in (kind, "wiped-" + kind)]
    drover.start(config(a={"command": [PYTHON, str(HERE / "zoo.py"), mark, *kinds]}, b="exec sleep 1000"))
    assert drover.status()["supervisor"]["containment"] == way
    until(lambda: len(named(mark)) >= len(kinds) - 2, "the animals are there")
    other = drover.slot("b")["pid"]
    since = time.monotonic()
    code, answer = drover.ask("stop", "a")
    assert code == 0 and not named(mark), answer
    assert time.monotonic() - since < 0.3 + 1 * SLOW
    assert drover.slot("b")["pid"] == other


STORM = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() > 0 and %(die)r: os._exit(0)
            time.sleep(0.1 + os.getpid() %% 7 / 100)
            os._exit(0)
    except BlockingIOError:
        pass
    time.sleep(0.002)
"""


def test_a_fork_storm_ends_in_time(drover, contained):
    """Several processes that fork without a pause, their children too: what forks between look and signal is met."""
    storms = [STORM % {"die": die} for die in (True, False)]
    script = "; ".join(f"setsid -f {PYTHON} -c '{s}' storm{os.getpid()}" for s in storms * 2) + "; exec sleep 1000"
    script = script.replace("BlockingIOError", "OSError")
    drover.start(config(a=script))

    def stormers():
        found = []
        for pid in processes():
            with contextlib.suppress(OSError):
                if f"storm{os.getpid()}".encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found
    until(lambda: len(stormers()) > 8, "it storms")
    since = time.monotonic()
    code, answer = drover.ask("stop", "a")
    took = time.monotonic() - since
    assert code == 0 and not stormers(), answer
    assert took < 0.3 + 1 * SLOW, took
    assert drover.slot("a")["state"] == "stopped"


# Waits until droverd is dead, then leaves every trace behind: environment, session, parent, descriptors, limit.
VANISH = """
import contextlib, os, resource, select, sys, time
parent, mark = int(sys.argv[1]), sys.argv[2]
if os.fork(): time.sleep(1000)
os.setsid()
with contextlib.suppress(ProcessLookupError): select.select([os.pidfd_open(parent)], [], [])
resource.setrlimit(10, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if os.fork(): os._exit(0)
os.setsid()
os.closerange(0, 64)
os.execve('/bin/sh', ['sh', '-c', 'echo $$ >' + mark + '; while :; do sleep 1; done'], {})
"""


def test_what_vanishes_while_no_supervisor_lives_is_known_by_its_group(drover, delegated):
    """Nothing tells whose it is but the name of its group (S4: without one it can be missed)."""
    mark = drover.folder / "vanished"
    script = drover.folder / "vanish.py"
    script.write_text(VANISH)
    drover.start(config(a=f"exec {PYTHON} {script} $PPID {mark}"))
    drover.wait_event("process_running", name="a")
    until(lambda: len(delegated.pids("a")) == 2, "it has forked")
    drover.kill()
    pid = int(until(lambda: mark.exists() and mark.read_text().strip(), "it has vanished"))
    mark.unlink()
    assert pid in delegated.pids("a")
    drover.start()
    drover.wait_event("supervisor_ready", pid=drover.pid)
    assert drover.status()["supervisor"]["containment"] == "cgroup"
    assert drover.ask("stop", "a")[0] == 0
    assert not alive(pid)
    assert not [name for name in delegated.groups() if name.endswith("-a")]


def test_groups_of_a_slot_that_is_no_longer_configured_are_ended(drover, delegated):
    drover.start(config(a="setsid -f sleep 1000; exec sleep 1000", b="exec sleep 1000"))
    until(lambda: len(delegated.pids("a")) == 2, "the tree is in it")
    old = delegated.pids("a")
    drover.kill()
    # Even with the runtime directory swept, only the names of the groups are left.
    for record in (drover.runtime / "slots").iterdir():
        record.unlink()
    drover.start(config(b="exec sleep 1000"))
    until(lambda: not [name for name in delegated.groups() if name.endswith("-a")], "it is gone")
    assert not [pid for pid in old if alive(pid)]
    until(lambda: len(delegated.pids("b")) == 1, "what is configured runs")


def test_a_sweep_from_a_group_below_finds_what_was_left(drover):
    """systemd runs ExecStopPost= in UNIT/.control; the left-overs are in UNIT."""
    with private_group() as group:
        control = group.path / ".control"
        drover.prefix = group.enter
        mark = drover.folder / "vanished"
        script = drover.folder / "vanish.py"
        script.write_text(VANISH)
        drover.start(config(a=f"exec {PYTHON} {script} $PPID {mark}"))
        until(lambda: len(group.pids("a")) == 2, "it has forked")
        drover.kill()
        pid = int(until(lambda: mark.exists() and mark.read_text().strip(), "it has vanished"))
        control.mkdir()
        drover.prefix = ["sh", "-c", f'echo $$ >{control}/cgroup.procs && exec "$@"', "sh"]
        drover.start(wait=False, arguments=["--sweep"])
        assert drover.process.wait(30) == 0
        assert not alive(pid)
        control.rmdir()
        assert not group.groups()


def test_two_supervisors_in_one_group_do_not_meet(drover, delegated, tmp_path):
    drover.start(config(a="exec sleep 1000"))
    first = drover.wait_event("process_running", name="a")["pid"]
    other = type(drover)(tmp_path)
    other.prefix = delegated.enter
    try:
        other.start(config(a="exec sleep 1000"))
        second = other.wait_event("process_running", name="a")["pid"]
        assert sorted(delegated.pids("a")) == sorted([first, second])
        assert other.ask("stop", "a")[0] == 0
        assert alive(first) and not alive(second)
    finally:
        assert other.stop() == 0
        other.output.close()
    assert delegated.pids("a") == [first]


def test_who_climbs_out_of_the_group_is_ended_too(drover, delegated):
    """root may move itself anywhere; and may make groups of its own below."""
    script = (f"setsid -f sh -c 'echo $$ >{delegated.path}/cgroup.procs; exec sleep 1001'; "
              f"own=$(echo {delegated.path}/drover-*-a)/own/deep; mkdir -p $own; "
              f"setsid -f sh -c \"echo \\$\\$ >$own/cgroup.procs; exec sleep 1002\"; exec sleep 1000")
    drover.start(config(a=script))
    sleeps = until(lambda: (lambda s: s if len(s) == 3 else None)(
        [p for p in set(delegated.pids() + delegated.pids("a")) if comm(p) == "sleep"]), "all are where they want")
    until(lambda: [p for p in delegated.pids() if comm(p) == "sleep"], "one is out")
    assert drover.ask("stop", "a")[0] == 0
    assert not [p for p in sleeps if alive(p)]
    assert not [name for name in delegated.groups() if name.endswith("-a")]


# Leaves every trace behind while the supervisor lives, and hangs.
HIDE = """
import os, resource, time
resource.setrlimit(10, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    os.closerange(0, 64)
    os.execve('/bin/sleep', ['sleep', '1000'], {})
time.sleep(1000)
"""


def test_a_probe_by_a_command_is_ended_whole_and_the_service_is_not(drover, delegated):
    """At its timeout, and by the next supervisor: it has a group of its own."""
    probe = {"exec": [PYTHON, "-c", HIDE], "interval": "1s", "timeout": "1s", "failures": 100, "start_period": "0s"}

    def scattered():
        found = delegated.pids("a!probe")
        return found if len(found) == 2 and any(comm(pid) == "sleep" for pid in found) else None
    drover.start(config(a={"command": ["sleep", "1000"], "probe": probe}))
    service = drover.wait_event("process_running", name="a")["pid"]
    first = until(scattered, "it has hidden")
    assert delegated.pids("a") == [service]
    until(lambda: not any(alive(pid) for pid in first), "it is ended at its timeout")
    until(lambda: drover.slot("a")["strikes"] > 0, "and has failed")
    second = until(scattered, "the next one has hidden")
    assert not set(first) & set(second)
    drover.kill().start()
    assert drover.wait_event("process_adopted", name="a")["pid"] == service
    until(lambda: not any(alive(pid) for pid in second), "it is ended by the next supervisor")
    assert drover.slot("a")["pid"] == service and alive(service)
    third = until(scattered, "it is asked again")
    assert drover.ask("stop", "a")[0] == 0
    assert not [pid for pid in [*third, service] if alive(pid)]
    assert not [name for name in delegated.groups() if "-a" in name]


# -- PID 1 --


def children_of(pid):
    return {child: state for child, (parent, state) in processes().items() if parent == pid}


@root_only
def test_as_pid_1_strangers_leave_no_zombie_and_no_end_is_eaten(drover):
    """1,000 processes that nobody waits for end beside services whose codes must be told."""
    script = ("import os\nfor i in range(1000):\n    if os.fork() == 0:\n        if os.fork() == 0: os._exit(3)\n"
              "        os._exit(0)\n    os.wait()\nos._exit(7)")
    crowd = {f"c{i}": f"sleep 0.{i}; exit {20 + i}" for i in range(1, 9)}
    drover.prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    drover.start(config(min_interval="1h", a={"command": [PYTHON, "-c", script], "restart": {"policy": "never"}},
                        **{n: {"command": ["sh", "-c", s], "restart": {"policy": "never"}} for n, s in crowd.items()}), wait=False)
    assert drover.wait_event("supervisor_started")["pid"] == 1
    (droverd,) = children_of(drover.pid)
    ends = {"a": 7, **{name: 20 + int(name[1:]) for name in crowd}}
    for name, code in ends.items():
        assert drover.rewind().wait_event("process_exited", name=name)["code"] == code
    until(lambda: "Z" not in children_of(droverd).values(), "no zombie is left", patience=1 * SLOW)
    os.kill(droverd, signal.SIGTERM)
    assert drover.process.wait(30) == 0
    assert drover.find_events("supervisor_stopped")


@root_only
def test_with_the_proc_of_another_namespace_it_refuses_to_begin(drover):
    drover.write(config(a="exec sleep 1000"))
    drover.prefix = ["unshare", "--pid", "--fork", "--kill-child"]
    drover.start(wait=False)
    assert drover.process.wait(20) == 1
    assert "pid namespace" in drover.complaints()


# -- what the kernel does not let die --


@pytest.fixture
def frozen(tmp_path):
    """A file system that can be frozen: who writes to it then cannot be killed."""
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    image.write_bytes(bytes(8 << 20))
    if os.geteuid() != 0 or subprocess.run(["/sbin/mkfs.ext4", "-q", image], check=False).returncode or subprocess.run(
            ["mount", "-o", "loop", image, point], check=False, capture_output=True).returncode:
        pytest.skip("needs root and loop devices")
    yield point
    subprocess.run(["fsfreeze", "-u", point], check=False, capture_output=True)
    subprocess.run(["umount", point], check=True)


def test_what_cannot_die_is_stuck_and_nothing_is_started_over_it(drover, contained, frozen):
    script = f"echo x >>{drover.folder}/starts; trap 'echo y >{frozen}/file' TERM; setsid -f sleep 1000; while :; do sleep 0.01; done"
    drover.start(config(stop="100ms", a=script, b="exec sleep 1000"))
    first = drover.wait_event("process_running", name="a")["pid"]
    until((drover.folder / "starts").exists, "it runs")
    other = drover.slot("b")["pid"]
    subprocess.run(["fsfreeze", "-f", frozen], check=True)
    since = time.monotonic()
    code, answer = drover.ask("restart", "a")
    assert code != 0 and 1.1 <= time.monotonic() - since < 1 + 1.1 * SLOW, answer  # stop.timeout + 1 s
    stuck = drover.wait_event("process_stuck", name="a")
    assert stuck["count"] == 1 and drover.slot("a")["state"] == "stuck" and drover.slot("a")["pid"] == first
    assert alive(first)
    # An operator's start does not change it, the others go on.
    drover.ask("start", "a")
    assert drover.slot("a")["state"] == "stuck"
    assert drover.slot("b")["pid"] == other and drover.ask("restart", "b")[0] == 0
    assert (drover.folder / "starts").read_text() == "x\n"
    subprocess.run(["fsfreeze", "-u", frozen], check=True)
    again = drover.wait_event("process_running", name="a")["pid"]
    assert again != first and not alive(first)
    assert (drover.folder / "starts").read_text() == "x\nx\n"

# SPDX-License-Identifier: MIT
"""S5: droverd dies of SIGKILL; its services live on, and the next one takes them over as they are."""
import contextlib
import os
import pathlib
import random
import signal
import struct
import subprocess
import time

from given import config, idle, make_gate, pass_gate, shell, speaker
from harness import alive, comm, descendants, environment_of, seconds, until


def running(drover, *names):
    """{name: status} once all run."""
    return {name: drover.wait_state(name, "running") for name in names}


def came_after(drover):
    """Events of the present droverd only."""
    events = drover.read_events()
    return events[max(i for i, e in enumerate(events) if e["event"] == "supervisor_started"):]


def same_time(a, b):
    """Shown by the wall clock, kept by another: a millisecond is nothing."""
    return abs(seconds(a) - seconds(b)) < 0.02


def numbers_in(drover, name):
    return [int(word) for word in drover.log_of(name).split()]


# -- what is kept --


def test_what_the_operator_stopped_stays_down_over_a_crash(drover):
    drover.start(config({"up": idle(), "down": idle()}))
    pid = running(drover, "up", "down")["up"]["pid"]
    assert drover.ask("stop", "down")[0] == 0
    drover.kill().start()
    drover.wait_event("process_adopted", name="up", pid=pid)
    drover.wait_event("supervisor_ready")
    assert drover.slot("down")["state"] == "stopped"
    assert not [e for e in came_after(drover) if e["event"] == "process_starting" and e["name"] == "down"]
    assert drover.ask("start", "down")[0] == 0


def test_a_tree_is_adopted_whole_and_ends_whole(drover, contained):
    drover.start(config({"a": shell("setsid -f sleep 1000; sleep 1000 & n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done")}))
    before = running(drover, "a")["a"]
    until(lambda: len(numbers_in(drover, "a")) > 5, "it writes")
    for incarnation in (1, 1):
        drover.kill()
        begun = len(numbers_in(drover, "a"))
        drover.start()
        drover.wait_event("process_adopted", name="a", incarnation=incarnation)
        until(lambda: len(numbers_in(drover, "a")) > begun + 5, "lines arrive")  # noqa: B023
    after = drover.slot("a")
    assert {k: after[k] for k in ("pid", "started_at", "incarnation", "restarts", "state", "ready")} == {
        k: before[k] for k in ("pid", "started_at", "incarnation", "restarts", "state", "ready")}
    assert drover.status()["supervisor"]["containment"] == ("cgroup" if contained else "sweep")
    if contained:
        until(lambda: len(contained.pids("a")) >= 3, "its group is known")
    assert drover.ask("stop", "a")[0] == 0
    numbers = numbers_in(drover, "a")
    assert numbers == list(range(1, len(numbers) + 1))
    assert drover.stop() == 0  # the fixture finds who is left


def test_strikes_and_a_held_restart_are_kept(drover):
    sick = drover.folder / "sick"
    drover.start(config({
        "held": idle(probe={"exec": ["sh", "-c", f"! test -e {sick}"]}),
        "counting": idle(probe={"exec": ["false"], "failures": 100}),
    }))
    os.kill(running(drover, "held")["held"]["pid"], signal.SIGKILL)
    drover.wait_event("process_running", name="held", incarnation=2)  # its interval begins here
    sick.touch()
    drover.wait_event("restart_held", name="held")
    before = drover.slot("held")
    counted = drover.slot("counting")
    drover.kill().start()
    assert drover.wait_event("process_adopted", name="held")["strikes"] >= 3
    after = drover.slot("held")
    for key in ("pid", "incarnation", "restarts", "state", "started_at"):
        assert after[key] == before[key] and after[key], key
    assert same_time(after["restart_due_at"], before["restart_due_at"])
    assert drover.slot("counting")["strikes"] >= counted["strikes"] > 0
    until(lambda: drover.slot("counting")["strikes"] > counted["strikes"] + 2, "it is asked on")
    told = [r["strikes"] for r in drover.health("probe_failed", name="counting")]
    assert told == list(range(1, len(told) + 1))
    sick.unlink()
    drover.wait_event("restart_cancelled", name="held")
    assert drover.slot("held")["restart_due_at"] is None
    # The interval goes on from the start that the first droverd made.
    os.kill(after["pid"], signal.SIGKILL)
    waiting = drover.wait_state("held", "waiting")
    assert same_time(waiting["restart_due_at"], before["restart_due_at"])


def test_the_configuration_of_meanwhile_is_obeyed(drover):
    same = idle(environment={"A": "1", "B": "2"})
    drover.start(config({"same": same, "live": idle(), "other": idle(), "gone": shell("trap '' TERM; while :; do sleep 1; done")}))
    before = running(drover, "same", "live", "other", "gone")
    drover.kill()
    drover.start(config({"same": idle(environment={"B": "2", "A": "1"}),
                         "live": idle(probe={"exec": ["true"]}, restart={"policy": "never"}, stop={"timeout": "1s"}),
                         "other": idle(environment={"NEW": "1"}), "new": idle()}))
    other = drover.wait_event("process_restarting", name="other")
    assert other["reason"] == "config"
    drover.rewind().wait_event("process_removed", name="gone")
    after = running(drover, "same", "live", "other", "new")
    for name in ("same", "live"):
        assert (after[name]["pid"], after[name]["incarnation"]) == (before[name]["pid"], 1), name
    assert after["other"]["incarnation"] == 2 and not alive(before["other"]["pid"]) and not alive(before["gone"]["pid"])
    assert after["other"]["last_exit"]["reason"] == "config"
    assert "gone" not in [p["name"] for p in drover.status()["processes"]]
    until(lambda: drover.slot("live")["last_probe"], "the new probe asks")


def test_after_a_lost_main_process_its_tree_is_ended_first(drover, contained):
    drover.start(config({"a": shell("trap '' TERM; setsid -f sh -c \"trap '' TERM; sleep 1000\"; sleep 1000 & "
                                    "echo up; while :; do sleep 1; done"),
                         "never": shell("exec sleep 1000", restart={"policy": "never"}),
                         "alone": idle()}, min_interval="0s"))
    before = running(drover, "a", "never", "alone")
    until(lambda: drover.log_of("a") == "up\n", "it is up")
    tree = [pid for pid in descendants(drover.pid) if b"DROVER_SLOT=a\0" in environment_of(pid)]
    drover.kill()
    for slot in before.values():
        os.kill(slot["pid"], signal.SIGKILL)
    tree.remove(before["a"]["pid"])
    assert len(tree) >= 3 and all(alive(p) for p in tree)
    drover.start()
    end = drover.wait_event("process_exited", name="a")
    assert (end["reason"], end["code"], end["pid"]) == ("lost", -1, before["a"]["pid"])
    drover.wait_event("process_starting", name="a", incarnation=2)
    assert not [p for p in tree if alive(p)], "two instances at once"
    after = running(drover, "a", "alone")
    for name in ("a", "alone"):
        assert after[name]["last_exit"]["reason"] == "lost" and after[name]["last_exit"]["code"] is None
        assert (after[name]["incarnation"], after[name]["restarts"]) == (2, 1)
    assert drover.slot("never")["state"] == "failed"


def test_kills_in_the_middle_of_starts_make_no_second_copy(drover):
    rng = random.Random(5)
    names = [f"s{i}" for i in range(6)]
    argument = f"1000.{os.getpid()}"
    drover.start(config({name: {"command": ["sleep", argument]} for name in names}, min_interval="0s"))

    def copies():
        found = {}
        for pid in descendants():
            with contextlib.suppress(OSError):
                if argument.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    slot = environment_of(pid).split(b"DROVER_SLOT=")[1].split(b"\0")[0].decode()
                    found.setdefault(slot, []).append(pid)
        return found

    running(drover, *names)
    for _ in range(10):
        for pids in copies().values():  # so that the next one has something to start
            assert len(pids) == 1
            os.kill(pids[0], signal.SIGKILL)
        time.sleep(rng.uniform(0.09, 0.14))  # the instant of the kill is what is drawn here
        drover.kill()
        time.sleep(rng.uniform(0, 0.01))  # that of the next start too
        drover.start()
    running(drover, *names)
    until(lambda: sorted(map(len, copies().values())) == [1] * len(names), "each is there once")
    for name in names:
        assert drover.slot(name)["pid"] == copies()[name][0]


# -- services that speak for themselves, and those that are asked by a command --

def test_a_speaker_goes_on_speaking_to_the_next_droverd(drover):
    go, hang = make_gate(drover.folder / "go"), drover.folder / "hang"
    well = f"say('READY=1'); beat(pause=0.9, until_there={str(hang)!r}); time.sleep(1000)"
    drover.start(config({
        "well": speaker(well, interval="2s", timeout="2s"),
        "late": speaker(f"stand_at({go!r}); say('READY=1'); beat()", start_period="60s"),
        "never": speaker("time.sleep(1000)", start_period="60s"),
    }))
    before = {"well": running(drover, "well")["well"], "late": drover.wait_state("late", "starting")}
    drover.wait_event("process_running", name="well")
    drover.kill()
    # The one that was told 2 s cannot know of 300 ms. Who is not ready has the time that is configured now.
    text = drover.config.read_text().replace('"interval": "2s", "timeout": "2s"', '"interval": "300ms"')
    drover.start(text.replace('time.sleep(1000)"], "probe": {"notify": true, "start_period": "60s"',
                              'time.sleep(1000)"], "probe": {"notify": true, "start_period": "500ms"'))
    drover.wait_event("process_adopted", name="late", pid=before["late"]["pid"])
    slot = drover.slot("late")
    assert slot["state"] == "starting" and not slot["ready"]
    assert drover.rewind().wait_event("process_not_ready", name="never")["wait_ms"] == 800
    pass_gate(go)
    late = drover.wait_state("late", "running")
    assert late["ready"] and late["pid"] == before["late"]["pid"] and late["incarnation"] == 1
    well = until(lambda: (lambda s: s if s["last_probe"] and s["last_probe"]["ok"] else None)(drover.slot("well")), "it is heard")
    time.sleep(2.2)  # seven of the shorter intervals: nothing may happen in them
    assert not drover.health("probe_failed", name="well")
    assert drover.slot("well")["pid"] == well["pid"] == before["well"]["pid"]
    hang.touch()
    until(lambda: drover.health("probe_failed", name="well"), "its silence is noticed")


def test_a_probe_command_that_was_left_is_killed(drover):
    path = drover.folder / "asked"
    ask = f"echo $$ >>{path}; setsid -f sleep 1000; exec sleep 1000"
    drover.start(config({"a": idle(probe={"exec": ["sh", "-c", ask], "timeout": "20s", "interval": "21s"})}))
    pid = running(drover, "a")["a"]["pid"]

    def asked():
        return [pid for pid in descendants() if b"DROVER_SLOT=a!probe\0" in environment_of(pid)]

    until(lambda: path.exists() and len(asked()) == 2, "it is asked")
    left = asked()
    drover.kill().start()
    drover.wait_event("process_adopted", name="a", pid=pid)
    until(lambda: not any(alive(p) for p in left), "the old question is gone")
    assert drover.slot("a")["pid"] == pid and alive(pid)


# -- records that lie --

HEAD_FORMAT = "<8sII40s80s24s24sQqQ"  # the begin of struct head in supervisor/records.c
PID_AT = struct.calcsize(HEAD_FORMAT) - 16


def checksum(data):
    """str_hash()"""
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return struct.pack("<Q", h)


def forge(path, change):
    """Changes the supervisor's part of a record and makes its checksum right."""
    data = bytearray(path.read_bytes())
    length = struct.unpack_from("<I", data, 12)[0]
    assert data[length - 8:length] == checksum(data[:length - 8]), "the record's layout is not what this test knows"
    change(data)
    data[length - 8:length] = checksum(data[:length - 8])
    path.write_bytes(data)


def put(format, at, *values):
    return lambda data: struct.pack_into(format, data, at, *values)


def test_no_record_makes_droverd_signal_a_stranger(drover):
    strangers = [subprocess.Popen(["sleep", "1000"]) for _ in range(4)]
    names = ["cut", "flipped", "version", "boot", "elsewhere", "foreign", "reused", "init", "huge", "empty", "directory", "good"]
    argument = f"1000.{os.getpid()}"
    drover.start(config({name: {"command": ["sleep", argument]} for name in names}, min_interval="0s"))
    before = running(drover, *names)
    drover.kill()
    slots = drover.runtime / "slots"
    whole = (slots / "cut").read_bytes()
    (slots / "cut").write_bytes(whole[:len(whole) // 2])
    flipped = bytearray((slots / "flipped").read_bytes())
    flipped[PID_AT] ^= 1
    (slots / "flipped").write_bytes(flipped)
    forge(slots / "version", put("<I", 8, 99))
    forge(slots / "boot", put("36s", 16, b"00000000-0000-0000-0000-000000000000"))
    forge(slots / "elsewhere", put("16s", struct.calcsize("<8sII40s80s"), b"0123456789abcdef"))
    forge(slots / "elsewhere", put("<q", PID_AT, strangers[0].pid))
    forge(slots / "foreign", put("<q", PID_AT, strangers[1].pid))  # the start time is another
    forge(slots / "reused", put("<qQ", PID_AT, strangers[2].pid, 1))
    forge(slots / "init", put("<q", PID_AT, 1))
    (slots / "huge").write_bytes(whole + b"x" * 100000)
    (slots / "empty").write_bytes(b"")
    (slots / "directory").unlink()
    (slots / "directory").mkdir()
    (slots / "stranger").write_bytes((slots / "good").read_bytes())  # another's name
    os.symlink("/etc/passwd", slots / "link")
    os.mkfifo(slots / "fifo")
    drover.start()
    drover.wait_event("process_adopted", name="good", pid=before["good"]["pid"])
    after = running(drover, *names)
    for name in names[:-1]:
        # Without its record it cannot be adopted; by its marks it is found, and ended before the next one starts.
        assert not alive(before[name]["pid"]), name
        assert after[name]["pid"] != before[name]["pid"], name
    copies = [pid for pid in descendants() if argument.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert sorted(copies) == sorted(slot["pid"] for slot in after.values())
    assert all(stranger.poll() is None for stranger in strangers)
    assert drover.stop() == 0
    for stranger in strangers:
        assert stranger.poll() is None
        stranger.kill()
        stranger.wait()


def test_records_of_another_runtime_directory_are_nobodys(drover, tmp_path_factory):
    """A copied runtime directory's records name processes of another droverd, all of it true."""
    import harness
    other = harness.Drover(tmp_path_factory.mktemp("other"))
    try:
        other.start(config({"a": idle(), "b": idle()}))
        theirs = running(other, "a", "b")
        drover.start(config({"a": idle()}))
        mine = running(drover, "a")["a"]
        drover.kill()
        for name in ("a", "b"):
            (drover.runtime / "slots" / name).write_bytes((other.runtime / "slots" / name).read_bytes())
        drover.start()
        after = until(lambda: (lambda s: s if s["state"] == "running" and s["pid"] != mine["pid"] else None)(drover.slot("a")),
                      "its own is ended by its marks and started anew")
        assert not alive(mine["pid"]) and after["pid"] not in (theirs["a"]["pid"], theirs["b"]["pid"])
        assert [p["name"] for p in drover.status()["processes"] if p["kind"] == "service"] == ["a"]
        assert drover.stop() == 0
        for name, slot in running(other, "a", "b").items():
            assert (slot["pid"], slot["incarnation"]) == (theirs[name]["pid"], 1)
    finally:
        left = other.end()
    assert not left


def fate(drover):
    """"up" when it answers, "gone" when it has ended, None as long as neither is sure."""
    if drover.process.poll() is not None:
        return "gone"
    with contextlib.suppress(OSError, AssertionError):
        client = drover.control()
        client.ask("status")
        client.close()
        return "up"
    return None


def test_a_droverd_without_descriptors_touches_nothing(drover):
    """It cannot look at what runs and at its records: so it ends with words, and the next one adopts all."""
    names = [f"a{i}" for i in range(8)]
    drover.start(config({name: idle() for name in names}))
    before = {name: slot["pid"] for name, slot in running(drover, *names).items()}
    assert drover.ask("stop", "a0")[0] == 0
    drover.kill()
    refused = 0
    for limit in [28, 35, *range(41, 90)]:
        drover.prefix = ["prlimit", f"--nofile={limit}:{limit}"]
        drover.start(wait=False)
        if until(lambda: fate(drover), "it is up or has given up") == "up":
            break
        refused += 1
        assert [alive(before[name]) for name in names] == [False] + 7 * [True], limit
    assert "which was not touched: Too many open files" in drover.complaints() and refused > 0
    assert {name: drover.slot(name)["pid"] for name in names[1:]} == {name: before[name] for name in names[1:]}
    assert drover.slot("a0")["state"] == "stopped"
    drover.kill()
    drover.prefix = []
    drover.start()
    assert {name: slot["pid"] for name, slot in running(drover, *names[1:]).items()} == {n: before[n] for n in names[1:]}
    assert drover.stop() == 0


def test_what_was_ended_for_a_failure_is_started_again_though_it_left_with_0_unseen(drover):
    leaves = ("trap 'touch asked; until test -e may_go; do sleep 0.01; done; exit 0' TERM; echo up; "
              "while :; do sleep 0.05; done")
    drover.start(config({"a": shell(leaves, restart={"policy": "on-failure"}, stop={"timeout": "20s"},
                                    probe={"exec": ["sh", "-c", "! test -e ill"], "failures": 1},
                                    directory=str(drover.folder))}))
    pid = drover.wait_state("a", "running")["pid"]
    until(lambda: drover.log_of("a"), "the trap is set")
    (drover.folder / "ill").touch()
    # The event is told before the signal: between them lies the record of the end.
    until(lambda: (drover.folder / "asked").exists(), "it was asked to leave")
    drover.kill()
    (drover.folder / "may_go").touch()
    until(lambda: not alive(pid), "it left by itself")
    (drover.folder / "ill").unlink()
    drover.start()
    assert drover.wait_event("process_running", name="a")["incarnation"] == 2
    assert drover.slot("a")["restarts"] == 1


def test_a_start_that_fails_leaves_drover_log_only_where_a_service_needs_it(drover):
    """The socket cannot be made: by then drover-log runs."""
    def loggers():
        return [pid for pid in descendants() if comm(pid) == "drover-log"]

    in_the_way = drover.runtime / ".control.sock"
    in_the_way.mkdir(parents=True)
    text = config({"a": shell("echo up; while :; do test -e more && echo more && rm more; sleep 0.02; done",
                              directory=str(drover.folder))})
    assert drover.start(text, wait=False).process.wait(20) == 1
    assert "control socket" in drover.complaints() and descendants() == []
    in_the_way.rmdir()
    pid = drover.start().wait_state("a", "running")["pid"]
    until(lambda: "up" in drover.log_of("a"), "it writes")
    drover.kill()
    in_the_way.mkdir()
    assert drover.start(wait=False).process.wait(20) == 1
    assert len(loggers()) == 1 and alive(pid)
    (drover.folder / "more").touch()
    until(lambda: "more" in drover.log_of("a"), "what it writes without droverd is put away")
    in_the_way.rmdir()
    drover.start()
    assert drover.wait_state("a", "running")["pid"] == pid
    assert drover.stop() == 0 and loggers() == []


def test_many_that_a_shutdown_was_ending_are_started_anew_at_once(drover):
    """One list says for all of them whose will their end was: none died by itself, and none is restarted for that."""
    drover.start("http: {listen: \"127.0.0.1:0\"}\nservices: {a: {command: [sleep, \"1000\"], processes: 12}}\n")
    names = [f"a:{i}" for i in range(1, 13)]
    first = {name: drover.wait_state(name, "running")["pid"] for name in names}
    logger = next(pid for pid in descendants(drover.pid) if comm(pid) == "drover-log")
    os.kill(logger, signal.SIGSTOP)  # droverd waits for it, with all others gone
    drover.signal(signal.SIGTERM)
    until(lambda: not any(alive(pid) for pid in first.values()), "all are gone")
    drover.wait_state("a:12", "stopped")
    assert (drover.runtime / "ending").exists()
    drover.kill()
    os.kill(logger, signal.SIGKILL)
    drover.start()
    for name in names:
        slot = drover.wait_state(name, "running")
        assert slot["incarnation"] == 2 and slot["pid"] != first[name]
    assert not [e for e in came_after(drover) if e["event"] in ("process_exited", "process_restarting") and e["name"] in names]
    assert not (drover.runtime / "ending").exists()

# SPDX-License-Identifier: MIT
"""What a reload changes, and above all what it does not."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from given import SANITIZED
from harness import BUILD, DROVERD, ROOT, alive, environment_of, until
from provider import Answer, Provider
from test_supervisor import quick, service, services




def reload(drover, text=None):
    if text is not None:
        drover.write(text)
    return drover.ask("reload")


NAMES = ("a", "b", "c", "scheduler", "crawl", "monitor")


def pids(drover):
    return {p["name"]: p["pid"] for p in drover.status()["processes"] if p["name"] in NAMES}


def running(drover):
    drover.wait_event("supervisor_ready")
    return pids(drover)


TWO = quick(services(service("a", "exec sleep 1000"), service("b", "exec sleep 1000")))


def test_an_unchanged_reload_keeps_every_pid(drover):
    drover.start(TWO)
    before = running(drover)
    assert reload(drover) == (0, {"ok": True, "errors": "", "steps": []})
    assert reload(drover, "# a comment\n" + TWO)[1]["steps"] == []
    drover.signal(signal.SIGHUP)
    for _ in range(3):
        assert drover.wait_event("config_reloaded")["count"] == 0
    assert pids(drover) == before


def test_a_bad_reload_changes_nothing_and_says_where(drover):
    drover.start(TWO)
    before = running(drover)
    code, answer = reload(drover, TWO.replace("services:", "services:\n  c: {comand: [sleep, '1']}"))
    assert code == 78 and answer["ok"] is False
    assert "drover.yaml:" in answer["errors"] and "did you mean" in answer["errors"]
    assert drover.wait_event("config_rejected")
    status = drover.status()
    assert pids(drover) == before
    assert "comand" in status["supervisor"]["config_error"]
    reload(drover, TWO)
    assert drover.status()["supervisor"]["config_error"] is None


def test_a_reload_that_fails_its_checks_changes_nothing(drover):
    drover.start(TWO)
    before = running(drover)
    changed = quick(services(service("a", "exec sleep 2000"), service("c", "exec sleep 1000", user="no-such-user")))
    code, answer = reload(drover, changed)
    assert code == 78 and "no-such-user" in answer["errors"]
    assert pids(drover) == before
    assert not drover.find_events("process_stopping")


def test_a_vanished_file_changes_nothing(drover):
    drover.start(TWO)
    before = running(drover)
    drover.config.unlink()
    assert reload(drover)[0] == 78
    assert pids(drover) == before


def test_only_what_changed_is_restarted_started_or_stopped(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"), service("b", "exec sleep 1000"),
                                service("c", "exec sleep 1000"))))
    before = running(drover)
    text = quick(services(service("a", "exec sleep 1000"), service("b", "exec sleep 2000"),
                          service("d", "exec sleep 1000")))
    code, answer = reload(drover, text)
    assert code == 0
    assert sorted((s["name"], s["change"]) for s in answer["steps"]) == [
        ("b", "restart"), ("c", "stop"), ("d", "start")]
    drover.wait_event("process_removed", name="c")
    drover.wait_state("d", "running")
    after = pids(drover)
    assert after["a"] == before["a"] and after["scheduler"] == before["scheduler"]
    assert until(lambda: drover.slot("b")["pid"] not in (None, before["b"]), "b is new")
    assert "c" not in after and not alive(before["c"])


def test_intervals_and_probes_change_live_and_keep_strikes(drover):
    drover.start(TWO)
    before = running(drover)
    code, answer = reload(drover, TWO.replace("interval: 200ms", "interval: 300ms"))
    assert code == 0 and {s["change"] for s in answer["steps"]} <= {"live"}
    assert pids(drover) == before


def test_a_storm_of_reloads_does_not_put_off_a_deadline(drover):
    text = quick(services(service("a", "trap '' TERM; echo up; while :; do sleep 1; done")), stop="1s")
    drover.start(text)
    until(lambda: drover.log_of("a"), "the trap is set")
    client = drover.control()
    client.send("stop", "a")
    drover.wait_event("process_stopping", name="a")
    for _ in range(20):
        reload(drover)
    assert client.receive()[0] == 0
    client.close()
    assert drover.slot("a")["last_exit"]["signal"] == 9


def test_what_the_operator_stopped_stays_down_over_a_reload(drover):
    drover.start(TWO)
    drover.wait_event("supervisor_ready")
    drover.ask("stop", "a")
    reload(drover, TWO.replace("sleep 1000", "sleep 1001"))
    assert drover.slot("a")["state"] == "stopped"
    drover.ask("start", "a")
    pid = drover.slot("a")["pid"]
    # It runs from its fork on; the exec comes a moment later.
    until(lambda: "1001" in open(f"/proc/{pid}/cmdline").read(), "the new command")


def test_a_killed_service_keeps_its_interval_over_a_reload(drover):
    drover.start(TWO)
    for n in (1, 2):
        os.kill(drover.wait_event("process_running", name="a", incarnation=n)["pid"], signal.SIGKILL)
    due = drover.wait_event("restart_held", name="a")["restart_due_at"]
    reload(drover, "# again\n" + TWO)
    assert drover.slot("a")["restart_due_at"] == due


def test_a_worker_takes_a_new_configuration_without_a_restart(drover):
    drover.start(TWO)
    pid = drover.wait_event("process_running", name="scheduler")["pid"]
    job = {"kind": "crawl", "start": ["http://crawl.invalid/"], "extract": [{"match": ".*", "fields": {"t": {"xpath": "string(//t)"}}}],
           "store": {"table": "t", "key": ["url"]}}
    code, answer = reload(drover, TWO + f"jobs: {{nightly: {json.dumps(job)}}}\n")
    assert code == 0, answer
    until(lambda: [j["name"] for j in drover.ask("jobs", "{}")[1].get("jobs", [])] == ["nightly"], "the job is known")
    assert drover.slot("scheduler")["pid"] == pid


# -- files that are no configuration, or only half of one --

ONE = "services: {\n" + "".join(f"  {n}: {{command: [sleep, '1000']}},\n" for n in "ab") + "}\n"


def flow(*lines):
    """Services in one pair of braces: no beginning of the file is good YAML."""
    return quick("services: {\n" + "".join(lines) + "}\n")


def put_folder(path):
    path.unlink()
    path.mkdir()


def put_fifo(path):
    path.unlink()
    os.mkfifo(path)


BAD_FILES = {
    "vanished": lambda path: path.unlink(),
    "a folder": put_folder,
    "a FIFO": put_fifo,
    "a dangling link": lambda path: (path.unlink(), path.symlink_to("/nonexistent/drover.yaml")),
    "empty": lambda path: path.write_text(""),
    "over 1 MiB": lambda path: path.write_text(quick(ONE) + "# " + "x" * (1 << 20) + "\n"),
    "cut in the middle": lambda path: path.write_text(quick(ONE)[:-12]),
    "NUL behind the end": lambda path: path.write_bytes(quick(ONE).encode() + bytes(4096)),
}
if os.geteuid() != 0:
    BAD_FILES["unreadable"] = lambda path: path.chmod(0)


def test_what_is_no_whole_file_changes_nothing(drover):
    drover.start(quick(ONE))
    before = running(drover)
    for what, put in BAD_FILES.items():
        put(drover.config)
        code, answer = reload(drover)
        assert code == 78 and answer["errors"] and not answer["steps"], what
        assert pids(drover) == before, what
        assert drover.status()["supervisor"]["config_error"], what
        if drover.config.is_dir():
            drover.config.rmdir()
        else:
            drover.config.unlink(missing_ok=True)
        assert reload(drover, quick(ONE)) == (0, {"ok": True, "errors": "", "steps": []}), what
    assert drover.status()["supervisor"]["config_error"] is None
    assert not drover.find_events("process_stopping")


def test_a_file_that_is_being_written_is_never_taken_for_the_new_one(drover):
    drover.start(flow("  a: {command: [sleep, '1000']},\n", "  b: {command: [sleep, '1000']},\n"))
    before = running(drover)
    text = flow("  # padded\n" * 2000, "  a: {command: [sleep, '1000']},\n", "  b: {command: [sleep, '1000']},\n")
    for round in range(40):
        with open(drover.config, "w") as file:
            for at in range(0, len(text), 4096):
                file.write(text[at:at + 4096])
                file.flush()
                if at // 4096 % 3 == round % 3:
                    drover.signal(signal.SIGHUP)
    assert reload(drover)[1]["steps"] == []
    assert pids(drover) == before
    assert drover.find_events("config_rejected")     # it was met half-written, or this test says nothing
    assert not drover.find_events("process_stopping")


def test_conf_d_adds_changes_and_removes(drover):
    more = drover.folder / "conf.d"
    more.mkdir()
    drover.start(TWO)
    before = running(drover)
    (more / "10.yaml").write_text(services(service("c", "exec sleep 1000")))
    assert [(s["name"], s["change"]) for s in reload(drover)[1]["steps"]] == [("c", "start")]
    drover.wait_state("c", "running")
    (more / "10.yaml").write_text(services(service("c", "exec sleep 1001")))
    assert [(s["name"], s["change"]) for s in reload(drover)[1]["steps"]] == [("c", "restart")]
    (more / "20.yaml").write_text("services: {c: {command: [x]}}\n")     # twice
    code, answer = reload(drover)
    assert code == 78 and "10.yaml" in answer["errors"]
    os.mkfifo(more / "30.yaml")
    (more / "20.yaml").unlink()
    assert reload(drover)[0] == 78
    (more / "30.yaml").unlink()
    (more / "10.yaml").unlink()
    assert [(s["name"], s["change"]) for s in reload(drover)[1]["steps"]] == [("c", "stop")]
    drover.wait_event("process_removed", name="c")
    after = pids(drover)
    assert {n: after[n] for n in ("a", "b")} == {n: before[n] for n in ("a", "b")}


# -- reloads at bad moments --


def test_reloads_meet_starts_stops_and_the_shutdown(drover):
    deaf = service("a", "trap '' TERM; echo up; while :; do sleep 1; done")
    drover.start(quick(services(deaf), stop="1s"), wait=False)
    until(lambda: (drover.runtime / "control.sock").exists(), "droverd listens")
    drover.signal(signal.SIGHUP).signal(signal.SIGHUP)          # while its processes start
    drover.wait_event("config_reloaded")
    until(lambda: drover.log_of("a"), "the trap is set")
    client = drover.control()
    client.send("stop", "a")
    drover.wait_event("process_stopping", name="a")
    # While it is being stopped its command changes, twice within 10 ms: stopped it stays, the new one is for later.
    for number in (2, 3):
        drover.write(quick(services(service("a", f"exec sleep 100{number}")), stop="1s"))
        drover.signal(signal.SIGHUP)
    assert client.receive()[0] == 0
    client.close()
    assert drover.slot("a")["state"] == "stopped"
    drover.ask("start", "a")
    pid = drover.slot("a")["pid"]
    until(lambda: "1003" in open(f"/proc/{pid}/cmdline").read(), "the last command")
    drover.write(quick(services(service("a", "exec sleep 1004"), service("b", "exec sleep 1000")), stop="1s"))
    drover.signal(signal.SIGTERM)
    drover.wait_event("supervisor_stopping")
    drover.signal(signal.SIGHUP)                                 # while it shuts down
    assert drover.process.wait(30) == 0
    assert drover.find_events("config_rejected")[-1]["error"] == "the supervisor is stopping"
    assert not drover.find_events("process_starting", name="b")


def test_a_slot_that_comes_back_while_it_ends_has_one_tree_and_the_last_command(drover):
    deaf = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    other = services(service("b", "exec sleep 1000"))
    drover.start(quick(other + service("a", deaf), stop="700ms"))
    first = running(drover)["a"]
    until(lambda: drover.log_of("a"), "the trap is set")
    assert reload(drover, quick(other, stop="700ms"))[1]["steps"] == [{"name": "a", "change": "stop"}]
    drover.wait_event("process_stopping", name="a")
    for number in (1, 2):                                        # it comes, goes, and comes back with another command
        assert reload(drover, quick(other + service("a", f"exec sleep 200{number}"), stop="700ms"))[0] == 0
        assert drover.slot("a")["pid"] == first and alive(first)
        if number == 1:
            assert reload(drover, quick(other, stop="700ms"))[0] == 0
    pid = drover.wait_event("process_starting", name="a", incarnation=2)["pid"]
    assert not alive(first)
    until(lambda: "2002" in open(f"/proc/{pid}/cmdline").read(), "the last command")
    ends = drover.find_events("process_exited", name="a")
    assert [e["signal"] for e in ends] == [signal.SIGKILL]       # once, at the deadline of the first stop
    assert drover.slot("a")["incarnation"] == 2 and not drover.find_events("process_removed", name="a")
    # Gone for good, it leaves nothing.
    reload(drover, quick(other, stop="700ms"))
    drover.wait_event("process_removed", name="a")
    assert not (drover.runtime / "slots" / "a").exists()


def test_a_stop_that_waits_and_is_taken_back_does_not_keep_the_old_command(drover):
    def text(command):
        slow = service("b", "trap 'sleep 0.5; exit 0' TERM; echo up; while :; do sleep 0.05; done", depends_on=["a"])
        return quick(services(service("a", f"exec sleep {command}")) + slow)
    drover.start(text(1000))
    first = running(drover)["a"]
    until(lambda: drover.log_of("b"), "the trap is set")
    client = drover.control()
    client.send("stop", "a")
    drover.wait_event("process_stopping", name="b")
    assert drover.slot("a")["state"] == "running"                # it waits for b
    assert reload(drover, text(1001))[0] == 0
    assert drover.slot("a")["pid"] == first
    assert drover.ask("start", "a")[0] == 0
    client.receive()
    client.close()
    pid = drover.slot("a")["pid"]
    assert pid != first
    until(lambda: "1001" in open(f"/proc/{pid}/cmdline").read(), "the new command")


def test_reloads_at_once_are_each_answered(drover):
    drover.start(TWO)
    before = running(drover)
    clients = [drover.control() for _ in range(8)]
    drover.write(TWO.replace("interval: 200ms", "interval: 250ms"))
    for client in clients:
        client.send("reload")
        drover.signal(signal.SIGHUP)
    answers = [client.receive() for client in clients]
    assert all(code == 0 and answer["ok"] for code, answer in answers)
    # One of them met what was new; to the others nothing was.
    assert sum(bool(answer["steps"]) for _, answer in answers) <= 1
    for client in clients:
        client.close()
    assert pids(drover) == before


def resources(pid):
    status = open(f"/proc/{pid}/status").read()
    return len(os.listdir(f"/proc/{pid}/fd")), int(status.split("VmRSS:")[1].split()[0])


def test_a_thousand_reloads_end_in_the_last_configuration_and_cost_nothing(drover):
    def text(n):
        return quick(services(service("dies", "exec sleep 1000"), service("stays", "exec sleep 1000"),
                              service("deaf", "trap '' TERM; echo up; while :; do sleep 1; done"),
                              service("changes", "exec sleep 1000", restart={"min_interval": f"{n + 1}m"},
                                      environment={"ROUND": str(n // 500)})), stop="2s")
    drover.start(text(0))
    before = running(drover)
    drover.rewind()
    for n in (1, 2):
        os.kill(drover.wait_event("process_running", name="dies", incarnation=n)["pid"], signal.SIGKILL)
    due = drover.wait_event("restart_held", name="dies")["restart_due_at"]
    stays, scheduler = drover.slot("stays")["pid"], before["scheduler"]
    until(lambda: drover.log_of("deaf"), "the trap is set")
    for _ in range(100):                                         # until memory has the size it will have
        drover.signal(signal.SIGHUP)
        drover.wait_event("config_reloaded")
    fds, rss = resources(drover.pid)
    client = drover.control()
    for n in range(1, 1001):
        drover.config.with_suffix(".new").write_text(text(n))
        drover.config.with_suffix(".new").rename(drover.config)
        drover.signal(signal.SIGHUP)
        if n == 500:
            client.send("stop", "deaf")
            stop_asked = time.monotonic()
        if n % 10 == 0:
            drover.wait_event("config_reloaded")
        if n > 500 and stop_asked and drover.find_events("process_stopped", name="deaf"):
            assert time.monotonic() - stop_asked < 2 + 1 + 2     # stop.timeout + 1 s, and our own slowness
            stop_asked = None
    assert client.receive()[0] == 0
    client.close()
    assert drover.slot("deaf")["last_exit"]["signal"] == signal.SIGKILL
    assert not drover.find_events("config_rejected")
    # The last one is in force without another word.
    until(lambda: b"ROUND=2" in environment_of(drover.slot("changes")["pid"]), "the last environment")
    assert drover.slot("changes")["restarts"] == 2
    assert drover.slot("dies")["restart_due_at"] == due
    assert drover.slot("stays")["pid"] == stays and drover.slot("scheduler")["pid"] == scheduler
    assert drover.slot("scheduler")["strikes"] == 0 and drover.slot("scheduler")["last_probe"]["ok"]
    assert reload(drover)[1]["steps"] == []
    fds_after, rss_after = resources(drover.pid)
    assert fds_after <= fds
    if not SANITIZED:
        assert rss_after <= rss * 1.1 + 512, f"{rss} KiB, then {rss_after} KiB"


# -- what each field's row says of it --


def test_what_needs_a_new_droverd_says_so_until_it_is_taken_back(drover):
    def text(state):
        return (f"supervisor: {{state_dir: {state}, runtime_dir: {drover.runtime}}}\nlogs: {{dir: {drover.logs}}}\n"
                'http: {listen: "127.0.0.1:0"}\nservices: {a: {command: [sleep, "1000"]}}\n')
    drover.write(text(drover.state))
    drover.process = subprocess.Popen([DROVERD, "--config", str(drover.config)], stdin=subprocess.DEVNULL,
                                      stdout=drover.output, stderr=drover.output, cwd="/")
    before = running(drover)
    for _ in range(2):
        steps = reload(drover, text(drover.folder / "elsewhere"))[1]["steps"]
        assert steps == [{"name": "supervisor", "change": "needs a new droverd"}]
    assert drover.status()["supervisor"]["state_dir"] == str(drover.state)
    assert reload(drover, text(drover.state))[1]["steps"] == []
    assert pids(drover) == before and not (drover.folder / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users and lower nice")
def test_what_a_process_is_started_with_is_in_force_after_the_restart(drover):
    show = ("id -un; id -gn; id -G; pwd; umask; echo $GREETING; nice; cat /proc/self/oom_score_adj; stat -Lc '%U %G %a' /proc/self/fd/2; ulimit -n; ulimit -c;"
            " ulimit -p; ulimit -v; echo end; exec sleep 1000")
    drover.start(quick(services(service("a", show))))
    running(drover)
    until(lambda: drover.log_of("a").count("end\n") == 1, "the first instance told")
    changed = service("a", show, user="nobody", group="nogroup", groups=["daemon"], directory="/tmp", umask="027", log_group="daemon",
                      environment={"GREETING": "good day"}, nice=5, oom_score_adjust=7,
                      rlimits={"nofile": 99, "core": "512B", "nproc": 999, "memory": "1GiB"})
    assert [s["change"] for s in reload(drover, quick(services(changed)))[1]["steps"]] == ["restart"]
    until(lambda: drover.log_of("a").count("end\n") == 2, "the second instance told")
    told = drover.log_of("a").split("end\n")[1].split("\n")
    assert told[:2] == ["nobody", "nogroup"] and "1" in told[2].split()
    assert told[3:13] == ["/tmp", "0027", "good day", "5", "7", "nobody daemon 620", "99", "1", "999", "1048576"]


def test_the_rules_of_supervision_change_live(drover):
    def text(**more):
        script = "trap 'echo told; exit 0' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
        return quick(services(service("a", script, **more)), min_interval="0s")
    drover.start(text())
    running(drover)
    pid = drover.slot("a")["pid"]
    until(lambda: "up" in drover.log_of("a"), "the traps are set")
    rules = {"stop": {"signal": "USR1", "timeout": "20s"}, "restart": {"policy": "never"}}
    assert [s["change"] for s in reload(drover, text(**rules))[1]["steps"]] == ["live"]
    assert drover.slot("a")["pid"] == pid
    assert drover.ask("stop", "a")[0] == 0
    until(lambda: "told" in drover.log_of("a"), "its last word is in its log")
    assert drover.slot("a")["last_exit"]["code"] == 0
    drover.ask("start", "a")
    os.kill(drover.slot("a")["pid"], signal.SIGKILL)
    drover.wait_state("a", "failed")


def test_the_rules_of_the_logs_change_live(drover):
    script = "i=0; while :; do i=$((i+1)); echo line $i of a log that is to be rotated soon; done"
    drover.start(quick(services(service("a", script + " | head -c 60000; exec sleep 1000"))))
    running(drover)
    until(lambda: len(drover.log_of("a")) >= 59000, "it wrote")
    assert not list(drover.logs.glob("a.log.*"))
    reload(drover, quick(services(service("a", script + " | head -c 60000; exec sleep 1001"))) +
           "logs: {max_size: 8KiB, backups: 2, level: debug}\n")
    until(lambda: len(list(drover.logs.glob("a.log.*"))) == 2, "two backups are kept")
    until(lambda: len(drover.log_of("a")) <= 8192, "the new size holds")


def asked(probe, script="exec sleep 1000", **more):
    return quick(services(service("a", script, probe={"failures": 100, **probe}, **more)))


def test_what_a_service_is_asked_changes_live(drover):
    with Provider() as web, socket.create_server(("127.0.0.1", 0)) as port:
        web.route("/ill", Answer(503, "I am well"))
        web.route("/well", Answer(200, "I am well"))
        tcp = f"127.0.0.1:{port.getsockname()[1]}"
        questions = [
            ({"http": {"url": f"{web.url}/ill"}}, False, "HTTP 503"),
            ({"http": {"url": f"{web.url}/ill", "status": 503}}, True, "HTTP 503"),
            ({"http": {"url": f"{web.url}/well", "status": 503}}, False, "HTTP 200"),
            ({"http": {"url": f"{web.url}/well", "body": "am well"}}, True, "HTTP 200"),
            ({"http": {"url": f"{web.url}/well", "body": "am ill"}}, False, "HTTP 200, without the text"),
            ({"tcp": tcp}, True, "connected"),
            ({"exec": ["sh", "-c", "echo $0; exit 1", "one"]}, False, "exit code 1: one"),
            ({"exec": ["sh", "-c", "echo $0", "two"]}, True, "exit code 0: two"),
        ]
        drover.start(asked(questions[0][0]))
        pid = running(drover)["a"]
        for probe, ok, detail in questions:
            assert {s["change"] for s in reload(drover, asked(probe))[1]["steps"]} <= {"live"}
            until(lambda: (lambda p: p and p["ok"] is ok and detail in p["detail"])(drover.slot("a")["last_probe"]), detail)
        assert drover.slot("a")["pid"] == pid and drover.slot("a")["incarnation"] == 1


def test_a_service_that_is_to_speak_for_itself_is_started_anew(drover):
    script = "echo socket=$NOTIFY_SOCKET; exec sleep 1000"
    drover.start(asked({"exec": ["true"]}, script))
    running(drover)
    until(lambda: drover.log_of("a") == "socket=\n", "it has no socket")
    assert [s["change"] for s in reload(drover, asked({"notify": True, "start_period": "10m"}, script))[1]["steps"]] == ["restart"]
    until(lambda: "socket=/" in drover.log_of("a"), "it has one")
    assert drover.slot("a")["state"] == "starting"               # it did not say READY=1
    assert [s["change"] for s in reload(drover, asked({"exec": ["true"]}, script))[1]["steps"]] == ["restart"]
    drover.wait_state("a", "running")
    until(lambda: drover.log_of("a").endswith("\nsocket=\n"), "it has none again")


def test_a_new_dependency_is_obeyed_without_a_restart(drover):
    def text(**b):
        return quick(services(service("a", "exec sleep 1000"), service("b", "exec sleep 1000", **b)))
    drover.start(text())
    before = running(drover)
    assert drover.ask("stop", "a")[0] == 0 and drover.slot("b")["state"] == "running"
    assert drover.ask("start", "a")[0] == 0
    assert reload(drover, text(depends_on=["a"]))[1]["steps"] == [{"name": "b", "change": "live"}]
    assert drover.slot("b")["pid"] == before["b"]
    assert drover.ask("stop", "a")[0] == 0 and drover.slot("b")["state"] == "stopped"
    until(lambda: [e["name"] for e in drover.find_events("process_stopped", reason="operator")] == ["a", "b", "a"],
          "b goes before a")
    # What is not there any more is not waited for.
    drover.ask("start", "b")
    assert drover.slot("a")["state"] == "running"
    pid = drover.slot("b")["pid"]
    assert reload(drover, text())[1]["steps"] == [{"name": "b", "change": "live"}]
    assert drover.ask("stop", "a")[0] == 0 and drover.slot("b")["pid"] == pid


def proof_exists(proof):
    file, name = proof.split("::")
    text = (ROOT / file).read_text()
    return f"def {name}(" in text or f"static void {name}(" in text


HERE = "tests/integration/test_reload.py::"
MEMORY = "tests/integration/test_memory.py::"
SLOT = "tests/unit/supervisor/test_process.c::"
RULES = "tests/unit/supervisor/test_process_rules.c::"
PROOFS = [  # the first that matches a field; what it does is in force after a reload
    (r"(supervisor\.(state_dir|runtime_dir)|logs\.dir)", HERE + "test_what_needs_a_new_droverd_says_so_until_it_is_taken_back"),
    (r"logs\..*", HERE + "test_the_rules_of_the_logs_change_live"),
    (r"(.*\.)?restart\.min_interval", SLOT + "a_held_restart_follows_a_new_interval"),
    (r"(.*\.)?(restart|probe|stop)\.(policy|jitter|when_held|interval|timeout|failures|start_period)",
     RULES + "each_rule_is_obeyed_from_its_change_on"),
    (r".*\.stop\.signal", HERE + "test_the_rules_of_supervision_change_live"),
    (r"services\.\*\.command", HERE + "test_only_what_changed_is_restarted_started_or_stopped"),
    (r"services\.\*\.(directory|user|group|groups|umask|environment|nice|oom_score_adjust|log_group|rlimits\..*)",
     HERE + "test_what_a_process_is_started_with_is_in_force_after_the_restart"),
    (r".*\.processes", HERE + "test_more_and_fewer_processes"),
    (r"jobs\.job-exec\.(command|directory|user|group|groups|log_group|umask|environment|rlimits\..*|nice|oom_score_adjust)",
     "tests/integration/test_exec.py::test_a_reload_counts_from_the_next_run_on"),
    # A worker takes a new configuration as a whole, and reads it at each use.
    (r"(jobs|providers)\..*|store\.history|workers\..*\.(concurrency|parsers)", HERE + "test_a_worker_takes_a_new_configuration_without_a_restart"),
    (r"workers\..*\.(user|nice|oom_score_adjust)", HERE + "test_a_worker_is_restarted_for_what_it_is_started_with"),
    (r"store\.(url|pool\..*)|http\.listen", HERE + "test_a_section_restarts_the_workers_that_need_it"),
    (r"services\.\*\.probe\.(http\.(url|status|body)|tcp|exec)", HERE + "test_what_a_service_is_asked_changes_live"),
    (r"services\.\*\.probe\.notify", HERE + "test_a_service_that_is_to_speak_for_itself_is_started_anew"),
    (r"services\.\*\.depends_on", HERE + "test_a_new_dependency_is_obeyed_without_a_restart"),
    (r"supervisor\.memory\..*", MEMORY + "test_workers_trim_at_warning_and_take_no_tasks_at_critical"),
    (r"workers\..*\.memory_limit", MEMORY + "test_a_worker_at_its_limit_is_restarted_gracefully_and_loses_nothing"),
    (r"services\.\*\.memory_limit", MEMORY + "test_a_service_at_its_limit_is_restarted_in_order_and_held_as_any_other"),
]


def fields_of_the_schema():
    done = subprocess.run([str(BUILD / "bin/drover"), "config", "--schema"], capture_output=True, timeout=60, check=True)
    schema = json.loads(done.stdout)

    def walk(node, path):
        for name, field in node.get("properties", {}).items():
            if "$comment" in field:
                yield ".".join(path + [name]), field["$comment"]
            yield from walk(field, path + [name])
        for either in node.get("anyOf", []):
            yield from walk(either, path)
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                yield from walk(node[key], path + ["*"])
    yield from walk(schema, [])
    for name, job in schema["$defs"].items():
        yield from walk(job, ["jobs", name])


def test_each_field_has_a_proof_of_what_a_reload_does_with_it():
    fields = dict(fields_of_the_schema())
    assert len(fields) > 150
    used = set()
    for field in fields:
        proof = next((p for pattern, p in PROOFS if re.fullmatch(pattern, field)), None)
        assert proof, f"{field} ({fields[field]}): name the test that proves it in PROOFS"
        used.add(proof)
    for pattern, proof in PROOFS:
        assert proof_exists(proof), proof
        assert proof in used, f"{proof} proves nothing any more"


def test_more_and_fewer_processes(drover):
    def text(n):
        return quick(services(service("a", "exec sleep 1000", processes=n)))
    drover.start(text(2))
    running(drover)
    first = {p["name"]: p["pid"] for p in drover.status()["processes"] if p["name"].startswith("a")}
    assert [(s["name"], s["change"]) for s in reload(drover, text(3))[1]["steps"] if s["change"] != "live"] == [("a:3", "start")]
    drover.wait_state("a:3", "running")
    assert [(s["name"], s["change"]) for s in reload(drover, text(2))[1]["steps"] if s["change"] != "live"] == [("a:3", "stop")]
    drover.wait_event("process_removed", name="a:3")
    assert {p["name"]: p["pid"] for p in drover.status()["processes"] if p["name"].startswith("a")} == first
    # One alone has another name, and starts when those that it follows are gone.
    reload(drover, text(1))
    drover.wait_event("start_waits", name="a")
    drover.wait_event("process_running", name="a")
    names = [(e["event"], e["name"]) for e in drover.read_events() if e["event"] in ("process_stopped", "process_starting")]
    assert names[-1] == ("process_starting", "a") and {n for _, n in names[-3:-1]} == {"a:1", "a:2"}
    reload(drover, text(2))
    drover.wait_state("a:2", "running")
    assert {p["name"] for p in drover.status()["processes"] if p["name"].startswith("a")} == {"a:1", "a:2"}


def test_a_section_restarts_the_workers_that_need_it(drover):
    drover.start(TWO)
    before = running(drover)
    steps = reload(drover, TWO.replace('"127.0.0.1:0"', '"127.0.0.2:0"'))[1]["steps"]
    assert [(s["name"], s["change"]) for s in steps] == [("monitor", "restart")]
    steps = reload(drover, TWO.replace('"127.0.0.1:0"', '"127.0.0.2:0"') + 'store: {url: "sqlite:other.db"}\n')[1]["steps"]
    restarted = {s["name"] for s in steps if s["change"] == "restart"}
    assert {"scheduler", "collect:1", "crawl"} <= restarted and not restarted & {"a", "b"}
    until(lambda: (drover.state / "other.db").exists(), "the other database is made")
    drover.wait_state("scheduler", "running")
    assert pids(drover)["a"] == before["a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the weight for the kernel's killer at will")
def test_a_worker_is_restarted_for_what_it_is_started_with(drover):
    drover.start(TWO)
    before = running(drover)
    steps = reload(drover, TWO + "workers: {crawl: {nice: 3, oom_score_adjust: 11}}\n")[1]["steps"]
    assert [(s["name"], s["change"]) for s in steps] == [("crawl", "restart")]
    drover.wait_event("process_running", name="crawl", incarnation=2)
    pid = drover.slot("crawl")["pid"]
    assert pid != before["crawl"] and os.getpriority(os.PRIO_PROCESS, pid) == 3
    assert open(f"/proc/{pid}/oom_score_adj").read() == "11\n"


def test_a_link_that_is_turned_to_another_file_is_followed_by_a_reload(drover):
    """As configuration management and Kubernetes replace a file: what the name means now counts, with conf.d beside it."""
    one, two = drover.folder / "one" / "drover.yaml", drover.folder / "two" / "drover.yaml"
    for file, text in ((one, TWO), (two, TWO.replace("sleep 1000", "sleep 1001", 1))):
        file.parent.mkdir()
        file.write_text(text)
        (file.parent / "conf.d").mkdir()
        (file.parent / "conf.d" / "not_beside_the_name.yaml").write_text("services: {z: {command: [sleep, '1']}}\n")
    drover.config.symlink_to(one)
    drover.start()
    before = running(drover)
    drover.config.unlink()
    drover.config.symlink_to(two)
    assert reload(drover) == (0, {"ok": True, "errors": "", "steps": [{"name": "a", "change": "restart"}]})
    until(lambda: pids(drover)["a"] not in (None, before["a"]), "a runs by the other file")
    status = drover.status()
    assert status["supervisor"]["config_file"] == str(drover.config)
    assert "z" not in {p["name"] for p in status["processes"]}

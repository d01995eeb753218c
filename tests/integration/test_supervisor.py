# SPDX-License-Identifier: MIT
"""droverd from outside: what it starts, watches, ends, and what of it survives a crash."""
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness import DROVERD, alive, descendants, processes, text_of, until

# Workers need a database and a port of their own; most tests here are about services.
QUICK = """
supervisor:
  probe: {interval: 200ms, timeout: 200ms, start_period: 0s}
  restart: {min_interval: %s, jitter: 0s}
  stop: {timeout: %s}
http: {listen: "127.0.0.1:0"}
"""


def quick(services="", min_interval="1h", stop="2s"):
    return QUICK % (min_interval, stop) + services


def service(name, script, **more):
    fields = {"command": ["sh", "-c", script], **more}
    return f"  {name}: {json.dumps(fields)}\n"


def services(*lines):
    return "services:\n" + "".join(lines)


def pid_in(path):
    text = text_of(path)
    return int(text) if text.endswith("\n") else None


# -- what a service is given --


def test_a_service_has_exactly_the_descriptors_0_1_and_2(drover):
    script = ("import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)),"
              " os.readlink('/proc/self/fd/0').rsplit('/', 1)[1], repr(open(0).read()), flush=True);"
              " import time; time.sleep(1000)")
    drover.start(quick(f"services: {{a: {json.dumps({'command': [sys.executable, '-c', script]})}}}\n"))
    line = until(lambda: drover.log_of("a"), "the service wrote")
    # 3 is the folder that is being read; exists() is false for it
    assert line == "[0, 1, 2] empty ''\n"


def test_a_service_gets_a_built_environment_and_its_directory(drover):
    os.environ["NOBODYS_SECRET"] = "x"
    fields = {"command": ["sh", "-c", "pwd; env; exec sleep 1000"], "environment": {"GREETING": "good day"},
              "directory": str(drover.folder)}
    drover.start(quick(f"services: {{a: {json.dumps(fields)}}}\n"))
    text = until(lambda: (lambda t: t if "DROVER_INSTANCE" in t and t.endswith("\n") else "")(drover.log_of("a")),
                 "the service wrote")
    assert str(drover.folder) in text.splitlines()[0]
    assert "GREETING=good day" in text
    assert "LANG=C.UTF-8" in text
    assert "NOBODYS_SECRET" not in text
    assert "DROVER_SLOT=a" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_a_service_of_another_user_owns_its_output(drover):
    fields = {"command": ["sh", "-c", "id -un; echo through > /dev/stdout; exec sleep 1000"], "user": "nobody"}
    drover.start(quick(f"services: {{a: {json.dumps(fields)}}}\n"))
    until(lambda: drover.log_of("a") == "nobody\nthrough\n", "nobody wrote twice")


def test_a_start_that_fails_names_its_step_and_leaves_others_alone(drover):
    drover.start(quick(services(service("good", "exec sleep 1000"),
                                "  missing: {command: [/nonexistent/program]}\n",
                                "  lost: {command: [sleep, '1'], directory: /nonexistent}\n")))
    assert drover.wait_event("process_start_failed", name="missing")["step"] == "exec"
    drover.rewind()
    failed = drover.wait_event("process_start_failed", name="lost")
    assert failed["step"] == "directory" and failed["errno"] == 2
    assert drover.wait_state("good", "running")
    held = drover.wait_state("missing", "waiting")
    assert held["restart_due_at"] and "No such file" in held["error"]


# -- restarts --


def test_a_killed_service_is_back_once_and_then_held(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    first = drover.wait_event("process_running", name="a")["pid"]
    os.kill(first, signal.SIGKILL)
    assert drover.wait_event("process_restarting", name="a")["reason"] == "signal"
    second = drover.wait_event("process_running", name="a")["pid"]
    assert second != first
    os.kill(second, signal.SIGKILL)
    assert drover.wait_event("restart_held", name="a")["restart_due_at"]
    slot = drover.wait_state("a", "waiting")
    assert slot["restart_due_at"] and slot["restarts"] == 1 and slot["last_exit"]["signal"] == 9
    # the operator is not bound
    code, answer = drover.ask("start", "a")
    assert code == 0 and answer["results"] == [{"name": "a", "ok": True, "state": "running", "detail": "running"}]


def test_a_held_restart_happens_by_itself(drover):
    drover.start(quick(services(service("a", "exit 3")), min_interval="700ms"))
    drover.wait_event("restart_held", name="a")
    starts = [drover.wait_event("process_starting", name="a", incarnation=n)["time"] for n in (3, 4)]
    seconds = [float(t[17:-1]) + 60 * int(t[14:16]) for t in starts]
    assert 0.69 <= (seconds[1] - seconds[0]) % 3600 < 3


def test_the_policy_can_say_no_more(drover):
    drover.start(quick(services(service("once", "echo done", restart={"policy": "on-failure"}),
                                service("never", "exit 1", restart={"policy": "never"}))))
    assert drover.wait_state("once", "failed")["last_exit"]["code"] == 0
    assert drover.wait_state("never", "failed")["last_exit"]["code"] == 1
    code, answer = drover.ask("start", "once")
    assert answer["results"][0]["name"] == "once"


# -- ends --


def test_a_stop_ends_descendants_that_left_the_session(drover):
    script = "setsid sh -c 'echo $$; exec sleep 1000' & (setsid sh -c 'echo $$; exec sleep 1000' &); echo $$; exec sleep 1000"
    drover.start(quick(services(service("a", script))))
    pids = until(lambda: (lambda t: [int(x) for x in t.split()] if t.count("\n") == 3 else None)(drover.log_of("a")),
                 "three pids are told")
    assert all(alive(p) for p in pids)
    code, answer = drover.ask("stop", "a")
    assert code == 0 and answer["results"][0]["state"] == "stopped"
    assert not any(alive(p) for p in pids)


def test_a_daemon_with_a_wiped_environment_dies_with_its_slot(drover):
    script = "(env -i /usr/bin/setsid /bin/sh -c 'echo $$; /bin/sleep 1000' &) ; exec sleep 1000"
    drover.start(quick(services(service("a", script))))
    pid = int(until(lambda: drover.log_of("a"), "its pid is told"))
    until(lambda: processes().get(pid, (0,))[0] == drover.pid, "it came to droverd")
    drover.ask("stop", "a")
    assert not alive(pid)


def test_what_ignores_term_dies_by_kill(drover):
    drover.start(quick(services(service("a", "trap '' TERM; echo up; while :; do sleep 1; done")), stop="300ms"))
    until(lambda: drover.log_of("a"), "the trap is set")
    begun = time.monotonic()
    code, answer = drover.ask("stop", "a")
    assert code == 0 and time.monotonic() - begun < 1.3 + 1
    assert drover.slot("a")["last_exit"] | {"at": 0} == {"reason": "operator", "code": None, "signal": 9, "at": 0}


def test_a_stopped_service_can_be_stopped(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    pid = drover.wait_event("process_running", name="a")["pid"]
    os.kill(pid, signal.SIGSTOP)
    code, _ = drover.ask("stop", "a")
    assert code == 0 and not alive(pid)
    assert drover.slot("a")["last_exit"]["signal"] == signal.SIGTERM, "it was let go on, not killed"


def test_the_rest_of_a_dead_tree_is_ended_before_the_next_start(drover):
    drover.start(quick(services(service("a", "sleep 1000 & echo $!; echo x; exec sleep 1000"))))
    child = int(until(lambda: drover.log_of("a").endswith("x\n") and drover.log_of("a").split()[0], "a child is there"))
    os.kill(drover.wait_event("process_running", name="a")["pid"], signal.SIGKILL)
    drover.wait_event("process_starting", name="a", incarnation=2)
    assert not alive(child)


def test_term_stops_all_and_leaves_nothing(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"), service("b", "sleep 1000 & sleep 1000"))))
    drover.wait_event("supervisor_ready")
    assert drover.stop() == 0
    drover.wait_event("supervisor_stopped")
    assert not drover.left_over()


def test_services_are_stopped_in_reverse_order(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"), service("b", "exec sleep 1000"),
                                service("c", "exec sleep 1000"))))
    drover.wait_event("supervisor_ready")
    assert drover.stop() == 0
    assert [e["name"] for e in drover.find_events("process_stopping") if e["name"] in "abc"] == ["c", "b", "a"]


def test_a_second_signal_shortens_the_wait(drover):
    drover.start(quick(services(service("a", "trap '' TERM; echo up; while :; do sleep 1; done")), stop="1h"))
    until(lambda: drover.log_of("a"), "the trap is set")
    drover.signal(signal.SIGTERM).wait_event("process_stopping", name="a")
    begun = time.monotonic()
    drover.signal(signal.SIGINT)
    assert drover.process.wait(20) == 0
    assert time.monotonic() - begun < 5


def test_quit_kills_at_once(drover):
    drover.start(quick(services(service("a", "trap '' TERM; echo up; while :; do sleep 1; done")), stop="1h"))
    until(lambda: drover.log_of("a"), "the trap is set")
    drover.signal(signal.SIGQUIT)
    assert drover.process.wait(20) == 0


# -- probes --


def test_a_hung_worker_is_replaced_exactly_once_and_then_held(drover):
    drover.start(quick())
    first = drover.wait_event("process_running", name="crawl")["pid"]
    os.kill(first, signal.SIGSTOP)
    strikes = [drover.wait_event("process_restarting", name="crawl")["reason"]]
    second = drover.wait_event("process_running", name="crawl")["pid"]
    assert strikes == ["probe"] and second != first and not alive(first)
    os.kill(second, signal.SIGSTOP)
    held = drover.wait_event("restart_held", name="crawl")
    slot = drover.wait_state("crawl", "waiting")
    assert held["restart_due_at"] == slot["restart_due_at"] and slot["restarts"] == 1
    assert len(drover.find_events("process_restarting", name="crawl")) == 1


def test_probe_failures_are_told_from_health_log(drover):
    drover.start(quick())
    os.kill(drover.wait_event("process_running", name="crawl")["pid"], signal.SIGSTOP)
    drover.wait_event("process_restarting", name="crawl")
    failed = lambda: drover.health("probe_failed", name="crawl", incarnation=1)
    until(lambda: len(failed()) == 3, "the health log has them")
    assert [e["strikes"] for e in failed()] == [1, 2, 3]


HANGER = """
import http.server, pathlib, sys, time
flag = pathlib.Path(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        bad = flag.exists()
        self.send_response(500 if bad else 200)
        self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def web(drover, failures=3):
    port, flag = free_port(), drover.folder / "bad"
    fields = {"command": [sys.executable, "-c", HANGER, str(port), str(flag)],
              "probe": {"http": f"http://127.0.0.1:{port}/", "interval": "300ms", "timeout": "200ms",
                        "failures": failures, "start_period": "0s"}}
    return f"  web: {json.dumps(fields)}\n", flag


def test_a_failing_service_is_restarted_after_three_failed_probes(drover):
    line, flag = web(drover)
    drover.start(quick(services(line)))
    first = drover.wait_event("process_running", name="web")["pid"]
    until(lambda: (drover.slot("web")["last_probe"] or {}).get("ok"), "a probe went well")
    flag.touch()
    assert drover.wait_event("process_restarting", name="web")["reason"] == "probe"
    flag.unlink()
    assert drover.wait_event("process_running", name="web")["pid"] != first
    until(lambda: drover.slot("web")["strikes"] == 0 and drover.slot("web")["last_probe"]["ok"], "it is well again")
    assert len(drover.find_events("process_restarting", name="web")) == 1


def test_a_held_service_runs_on_and_a_success_cancels_its_restart(drover):
    line, flag = web(drover)
    drover.start(quick(services(line)))
    first = drover.wait_event("process_running", name="web")["pid"]
    os.kill(first, signal.SIGKILL)  # uses the interval up
    second = drover.wait_event("process_running", name="web", incarnation=2)["pid"]
    until(lambda: (drover.slot("web")["last_probe"] or {}).get("ok"), "a probe went well")
    flag.touch()
    drover.wait_event("restart_held", name="web")
    slot = drover.slot("web")
    assert slot["state"] == "running" and slot["pid"] == second and slot["restart_due_at"]
    flag.unlink()
    drover.wait_event("restart_cancelled", name="web")
    slot = drover.slot("web")
    assert slot["pid"] == second and slot["restart_due_at"] is None and slot["strikes"] == 0


def test_without_monitor_a_probe_is_unknown_and_no_failure(drover):
    line, flag = web(drover)
    flag.touch()
    drover.start(quick(services(line)))
    drover.ask("stop", "monitor")
    drover.ask("restart", "web")
    until(lambda: (lambda p: p and p["ok"] is None)(drover.slot("web")["last_probe"]), "a probe is unknown")
    assert drover.slot("web")["strikes"] == 0
    assert drover.slot("web")["state"] == "running"


def test_a_supervisor_that_was_stopped_blames_nobody(drover):
    drover.start(quick())
    drover.wait_event("process_running", name="crawl")
    until(lambda: drover.slot("crawl")["last_probe"], "it was probed")
    drover.signal(signal.SIGSTOP)
    time.sleep(2.5)  # the stall itself is what is tested
    drover.signal(signal.SIGCONT)
    until(lambda: drover.slot("crawl")["last_probe"]["ok"], "it is probed again")
    assert drover.slot("crawl")["strikes"] == 0
    assert not drover.find_events("process_restarting", reason="probe")


# -- a crash of the supervisor --


def test_after_a_crash_services_are_adopted_and_workers_replaced(drover):
    drover.start(quick(services(service("a", "setsid sh -c 'echo $$; exec sleep 1000' & echo $$; exec sleep 1000"))))
    pids = until(lambda: (lambda t: [int(x) for x in t.split()] if t.count("\n") == 2 else None)(drover.log_of("a")),
                 "two pids are told")
    workers = [drover.rewind().wait_event("process_starting", name=n)["pid"] for n in ("scheduler", "monitor")]
    drover.kill()
    assert all(alive(p) for p in pids)
    drover.start()
    adopted = drover.wait_event("process_adopted", name="a", incarnation=1)
    assert adopted["pid"] in pids and all(alive(p) for p in pids)
    until(lambda: not any(alive(p) for p in workers), "the old workers are gone")
    for name in ("scheduler", "monitor"):
        assert drover.wait_state(name, "running")["incarnation"] == 2
    assert not drover.find_events("process_starting", name="a", incarnation=2)


def test_intervals_and_the_operators_stop_survive_a_crash(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"), service("b", "exec sleep 1000"))))
    os.kill(drover.wait_event("process_running", name="a")["pid"], signal.SIGKILL)
    second = drover.wait_event("process_running", name="a", incarnation=2)["pid"]
    drover.ask("stop", "b")
    drover.kill().start()
    assert drover.slot("a")["pid"] == second
    os.kill(second, signal.SIGKILL)
    # its automatic start before the crash began the interval
    slot = drover.wait_state("a", "waiting")
    assert slot["restart_due_at"] and slot["last_exit"]["reason"] == "lost" and slot["last_exit"]["code"] is None
    assert drover.slot("b")["state"] == "stopped"
    code, _ = drover.ask("start", "b")
    assert code == 0


def test_a_clean_end_forgets_the_operators_stop(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    drover.ask("stop", "a")
    assert drover.stop() == 0
    drover.start()
    drover.wait_state("a", "running")


def test_a_clean_end_leaves_nothing_to_take_over(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    os.kill(drover.wait_event("process_running", name="a")["pid"], signal.SIGKILL)
    until(lambda: drover.slot("a")["restarts"] == 1 and drover.slot("a")["state"] == "running", "it is back")
    assert drover.stop() == 0
    drover.start()
    drover.wait_state("a", "running")
    slot = drover.slot("a")
    assert (slot["incarnation"], slot["restarts"], slot["last_exit"]) == (3, 0, None)
    assert not {"process_adopted", "leftover_found"} & {e["event"] for e in drover.read_events()}


def test_what_went_down_in_a_shutdown_that_was_cut_short_is_started_again(drover):
    """The policy of one that was down already has nothing to say: it was droverd's order."""
    never = {"restart": {"policy": "never"}}
    stubborn = "trap '' TERM; echo set; while :; do sleep 0.1; done"
    drover.start(quick(services(service("a", "exec sleep 1000", **never), service("b", stubborn))))
    until(lambda: "set" in drover.log_of("b"), "it ignores TERM")
    os.kill(drover.pid, signal.SIGTERM)
    drover.wait_event("process_stopped", name="a")
    drover.kill()
    drover.start()
    drover.wait_state("a", "running")
    drover.wait_state("b", "running")
    assert drover.slot("a")["incarnation"] == drover.slot("b")["incarnation"] == 2


def test_lines_written_while_no_supervisor_lives_are_in_the_log_once(drover):
    script = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done"
    drover.start(quick(services(service("a", script))))
    until(lambda: drover.log_of("a").count("\n") > 20, "it writes")
    drover.kill()
    begun = drover.log_of("a").count("\n")
    until(lambda: drover.log_of("a").count("\n") > begun + 20, "drover-log pumps on")
    drover.start()
    drover.wait_event("process_adopted", name="a", incarnation=1)
    begun = drover.log_of("a").count("\n")
    until(lambda: drover.log_of("a").count("\n") > begun + 20, "the next drover-log pumps")
    assert drover.stop() == 0
    numbers = [int(line) for line in drover.log_of("a").splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_drover_log_is_back_at_once(drover):
    drover.start(quick(services(service("a", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done"))))
    until(lambda: drover.log_of("a").count("\n") > 5, "it writes")
    logger = next(p for p in descendants(drover.pid)
                  if pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")[0].endswith(b"drover-log"))
    os.kill(logger, signal.SIGKILL)
    assert drover.wait_event("drover_log_started")["pid"] != logger
    begun = drover.log_of("a").count("\n")
    until(lambda: drover.log_of("a").count("\n") > begun + 5, "lines arrive again")
    assert drover.stop() == 0
    numbers = [int(x) for x in drover.log_of("a").split()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_second_droverd_is_refused(drover):
    drover.start(quick())
    second = subprocess.run([DROVERD, "--config", drover.config, "--state-dir", drover.state, "--runtime-dir",
                             drover.runtime, "--log-dir", drover.logs], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert f"another droverd runs with {drover.runtime} (pid {drover.pid})" in second.stderr


def test_a_fork_that_fails_is_tried_again(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    pid = drover.wait_event("process_running", name="a")["pid"]
    soft, hard = resource.prlimit(drover.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(drover.pid, resource.RLIMIT_NOFILE, (10, hard))  # all below are in use
    os.kill(pid, signal.SIGKILL)
    # Below the reserve's own numbers too: then not even its end can be seen, and nothing is started over it.
    failed = until(lambda: drover.find_events("process_start_failed", name="a") or
                   drover.find_events("process_stuck", name="a"), "the start fails")[0]
    assert failed.get("errno", 24) == 24
    resource.prlimit(drover.pid, resource.RLIMIT_NOFILE, (soft, hard))
    drover.wait_event("process_exited", name="a")
    assert drover.wait_event("process_running", name="a")["pid"] != pid


# -- the control socket --


def test_an_unknown_name_is_code_4_with_a_suggestion(drover):
    drover.start(quick(services(service("billing", "exec sleep 1000"))))
    assert drover.ask("stop", "biling") == (4, {"error": 'no process is named "biling"; did you mean "billing"?'})
    assert drover.ask("status", "biling")[0] == 4
    assert drover.ask("sing")[0] == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become somebody else")
def test_the_group_may_look_and_others_nothing(drover):
    drover.start(quick())
    path = drover.runtime / "control.sock"
    until(path.exists, "the socket is there")
    os.chmod(drover.folder, 0o711)
    os.chmod(drover.folder.parent, 0o711)
    for parent in drover.folder.parents:
        with contextlib.suppress(OSError):
            os.chmod(parent, os.stat(parent).st_mode | 0o111)
    assert path.stat().st_mode & 0o777 == 0o660
    program = ("import sys; sys.path.insert(0, sys.argv[1]); import os; os.setgroups([int(sys.argv[4])] if sys.argv[4] else []);"
               "os.setgid(65534); os.setuid(65534)\n"
               "import harness\n"
               "c = harness.Control(sys.argv[2])\nprint(c.ask(sys.argv[3], 'crawl')[0])")

    def as_nobody(verb, group):
        return subprocess.run([sys.executable, "-c", program, str(pathlib.Path(__file__).parent), str(path), verb, group],
                              capture_output=True, text=True, timeout=20)
    group = str(path.stat().st_gid)
    assert as_nobody("status", group).stdout == "0\n"
    assert as_nobody("stop", group).stdout == "5\n"
    assert "PermissionError" in as_nobody("status", "").stderr
    os.chmod(path, 0o666)
    assert as_nobody("status", "").stdout == "5\n"


def test_each_command_has_one_answer_whatever_races(drover):
    drover.start(quick(services(service("a", "trap 'sleep 0.2; exit' TERM; echo up $$; while :; do sleep 0.05; done"))))
    until(lambda: drover.log_of("a"), "it is up")
    stop, start, again = drover.control(), drover.control(), drover.control()
    stop.send("stop", "a")
    until(lambda: drover.slot("a")["state"] == "stopping", "it stops")
    start.send("start", "a")
    code, answer = start.receive()
    assert code == 0 and answer["results"][0]["state"] == "running"
    code, answer = stop.receive()
    assert code == 1 and answer["results"][0]["detail"] == "started again by a later command"
    stop.send("restart", "a")
    again.send("restart", "a")
    assert stop.receive()[0] == 0 and again.receive()[0] == 0
    # Not a count of lines: an instance may be ended before it says that it is up.
    until(lambda: f"up {drover.slot('a')['pid']}\n" in drover.log_of("a"), "its trap is set")
    stop.send("restart", "a")
    until(lambda: drover.slot("a")["state"] == "stopping", "it stops")
    again.send("stop", "a")
    assert again.receive()[0] == 0
    code, answer = stop.receive()
    assert code == 1 and answer["results"][0]["detail"] == "stopped by a later command"
    assert drover.slot("a")["state"] == "stopped"
    for client in (stop, start, again):
        client.close()


def test_many_clients_and_silent_ones_hold_nobody_up(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    drover.wait_event("supervisor_ready")
    clients = []
    for _ in range(31):
        client = drover.control()
        client.send("status")  # and never reads
        clients.append(client)
    assert drover.slot("a")["state"] == "running"
    for client in clients:
        client.close()
    assert drover.slot("a")["state"] == "running"


def test_a_question_for_an_absent_part_is_answered_with_an_error(drover):
    drover.start(quick())
    drover.ask("stop", "scheduler")
    code, answer = drover.ask("jobs", "{}")
    assert code == 1 and answer["away"] is True and "scheduler" in answer["error"]


def test_a_part_that_dies_over_a_question_is_an_error_and_no_silence(drover):
    drover.start(quick())
    pid = drover.wait_event("process_running", name="scheduler")["pid"]
    os.kill(pid, signal.SIGSTOP)
    client = drover.control()
    client.send("jobs", "{}")
    code, answer = client.receive()
    assert code == 1 and answer["away"] is True
    client.close()


def test_status_has_the_promised_shape(drover):
    drover.start(quick(services(service("a", "exec sleep 1000"))))
    drover.wait_event("supervisor_ready")
    answer = drover.status()
    assert {"pid", "version", "started_at", "config_file", "config_error", "state",
            "containment"} <= answer["supervisor"].keys()
    assert answer["supervisor"]["pid"] == drover.pid and answer["supervisor"]["containment"] == "sweep"
    keys = {"name", "kind", "state", "pid", "incarnation", "started_at", "restarts", "last_exit", "strikes",
            "last_probe", "restart_due_at", "memory_bytes", "cpu_percent", "ready"}
    assert all(keys <= p.keys() for p in answer["processes"])
    slot = drover.slot("a")
    assert slot["kind"] == "service" and slot["memory_bytes"] > 0 and slot["restart_due_at"] is None
    assert [h["event"] for h in drover.status("a")["history"]] == ["process_starting", "process_running"]


# -- the command line of droverd itself --


def test_check_and_bad_options(drover):
    drover.write(quick())
    run = lambda *a: subprocess.run([DROVERD, *a], capture_output=True, text=True, timeout=20)  # noqa: E731
    assert run("--config", str(drover.config), "--check").returncode == 0
    drover.write("nonsense: 1\n")
    bad = run("--config", str(drover.config), "--check")
    assert bad.returncode == 78 and "drover.yaml:1:1: error" in bad.stderr
    assert run("--config", str(drover.config)).returncode == 78
    assert run("--wrong").returncode == 2
    assert run("--version").stdout.startswith("droverd ")
    assert "--runtime-dir" in run("--help").stdout


def test_an_account_that_is_not_there_is_a_configuration_error(drover):
    drover.write(quick(services(service("a", "exec sleep 1", user="no-such-user"))))
    bad = subprocess.run([DROVERD, "--config", drover.config, "--check"], capture_output=True, text=True, timeout=20)
    assert bad.returncode == 78 and 'services.a: there is no user "no-such-user"' in bad.stderr


def test_it_speaks_with_the_service_manager(drover):
    path = drover.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(20)
        drover.start(quick(services(service("a", "env; exec sleep 1000"))),
                     environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "3000000"})

        def hear(word):
            while True:
                text = notify.recv(4096).decode()
                if word in text:
                    return text
        assert "WATCHDOG=1" in hear("WATCHDOG")
        assert "STATUS=" in hear("READY=1")
        drover.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in hear("RELOADING=1")
        hear("READY=1")
        drover.signal(signal.SIGTERM)
        assert "EXTEND_TIMEOUT_USEC=" in hear("STOPPING=1")
        assert drover.process.wait(20) == 0
    assert "NOTIFY_SOCKET" not in drover.log_of("a")

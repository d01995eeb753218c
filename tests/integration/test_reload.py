# SPDX-License-Identifier: MIT
"""What a reload changes, and above all what it does not."""
import json
import os
import signal

from harness import alive, until
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
        drover.wait_event("config_reloaded")
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
    status = drover.status()
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

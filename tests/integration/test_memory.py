# SPDX-License-Identifier: MIT
"""What is done about memory: services that really grow, workers that are told to trim and to rest, and the operator's
`drain` and `trim`."""
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request

import pytest

from harness import BUILD, Control, alive, until
from provider import Answer, Provider

GROWING = str(pathlib.Path(__file__).resolve().parent / "growing.py")
DROVER = str(BUILD / "bin/drover")
BASE = {"supervisor": {"memory": {"check": "150ms"}, "stop": {"timeout": "5s"},
                       "restart": {"min_interval": "1h", "jitter": "0s"}},
        "http": {"listen": "127.0.0.1:0"}}


def growing(mib, where, limit, **more):
    return {"command": ["python3", GROWING, str(mib), where], "memory_limit": limit, **more}


def memory_events(drover, event, **fields):
    return drover.records("drover_memory", event, **fields)


def push(drover, name):
    """More than it may hold: it may be ended before it has said so."""
    os.kill(drover.slot(name)["pid"], signal.SIGUSR1)


def tell(drover, name, signo, words):
    lines = drover.log_of(name).count(words)
    os.kill(drover.slot(name)["pid"], signo)
    until(lambda: drover.log_of(name).count(words) > lines, f"{name} says {words}")


def checks_pass(drover, n=3):
    """So many looks at all slots: told by a worker that is told to trim at each of them."""
    before = len(memory_events(drover, "memory_trimmed", name="monitor"))
    until(lambda: len(memory_events(drover, "memory_trimmed", name="monitor")) >= before + n, f"{n} checks")


def cli(drover, *words):
    done = subprocess.run([DROVER, *words, "--socket", str(drover.runtime / "control.sock")], capture_output=True,
                          text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def metric(drover, family, process):
    address = drover.find_events("http_listening")[-1]["detail"]
    text = urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()
    lines = [line for line in text.splitlines() if line.startswith(f'{family}{{process="{process}"}}')]
    return float(lines[0].split()[-1]) if lines else None


def test_a_service_at_its_limit_is_restarted_in_order_and_held_as_any_other(drover):
    """The whole tree counts; what forks have in common counts once. supervisord needs superlance's memmon for it, which
    looks at the main process only and kills at any level; monit restarts without an interval between."""
    config = {**BASE, "services": {
        "main": growing(40, "main", "64MiB"), "child": growing(70, "child", "64MiB"),
        "forks": growing(100, "forks", "200MiB"), "quiet": growing(70, "main", "1GiB"),
        "never": growing(70, "main", "64MiB", restart={"policy": "never"}),
    }}
    config["supervisor"]["memory"] = {"check": "150ms", "warning": "2MiB", "critical": "99%"}
    drover.start(json.dumps(config))
    for name in config["services"]:
        until(lambda name=name: "up" in drover.log_of(name), f"{name} is up")
    first = {name: drover.slot(name) for name in config["services"]}
    assert first["main"]["memory_limit_bytes"] == 64 << 20 and first["main"]["takes_tasks"] is None
    assert drover.slot("scheduler")["memory_limit_bytes"] == 512000000

    # A child in a session of its own counts for its slot. Its first restart is not held.
    push(drover, "child")
    drover.wait_event("process_stopping", name="child", reason="memory")
    again = drover.wait_event("process_restarting", name="child")
    assert (again["reason"], again["incarnation"]) == ("memory", 2)
    until(lambda: "told to end" in drover.log_of("child"), "its stop signal came, not a KILL")
    slot = drover.wait_state("child", "running")
    assert slot["last_exit"]["reason"] == "memory" and slot["last_exit"]["code"] == 0
    (high,) = memory_events(drover, "High memory usage detected", name="child", reason="over", incarnation=1)
    assert high["bytes"] > 64 << 20 and high["limit"] == 64 << 20

    # One of 40 MiB is well, two are not.
    tell(drover, "main", signal.SIGUSR1, "holds 40")
    checks_pass(drover)
    assert drover.slot("main")["pid"] == first["main"]["pid"]
    until(lambda: 40 << 20 < drover.slot("main")["memory_bytes"] < 64 << 20, "status shows it, looked at twice a second")
    assert drover.slot("main")["memory_level"] == "warning"
    push(drover, "main")
    drover.wait_event("process_restarting", name="main", reason="memory")
    until(lambda: drover.log_of("main").count("up") == 2, "it is up again")

    # The second within an hour is held, and the service runs on; smaller again, nothing is held any more.
    for _ in range(2):
        tell(drover, "main", signal.SIGUSR1, "holds")
    held = drover.wait_event("restart_held", name="main", reason="memory")
    slot = drover.slot("main")
    assert (slot["state"], slot["restart_due_at"]) == ("running", held["restart_due_at"])
    assert slot["memory_level"] == "over" and slot["incarnation"] == 2
    until(lambda: (metric(drover, "drover_process_resident_memory_bytes", "main") or 0) > 80 << 20, "the metric shows it", 15)
    assert metric(drover, "drover_process_memory_limit_bytes", "main") == 64 << 20
    _, text, _ = cli(drover, "status", "main")
    assert "of 64.0 MiB" in text
    checks_pass(drover)
    assert len(drover.find_events("restart_held", name="main")) == 1, "said once"
    tell(drover, "main", signal.SIGUSR2, "holds 0")
    drover.wait_event("restart_cancelled", name="main", reason="memory")
    assert drover.slot("main")["restart_due_at"] is None
    # When droverd dies meanwhile, the next one knows what the restart was held for.
    for _ in range(2):
        tell(drover, "main", signal.SIGUSR1, "holds")
    held = drover.wait_event("restart_held", name="main", reason="memory")
    pid = drover.slot("main")["pid"]
    drover.kill().start()
    drover.wait_event("process_adopted", name="main", pid=pid)
    slot = drover.slot("main")
    assert (slot["pid"], slot["restart_due_at"][:19]) == (pid, held["restart_due_at"][:19])
    tell(drover, "main", signal.SIGUSR2, "holds 0")
    drover.wait_event("restart_cancelled", name="main", reason="memory")

    # Policy never: shown, and left alone. A limit is a matter of reload.
    tell(drover, "never", signal.SIGUSR1, "holds 70")
    until(lambda: drover.slot("never")["memory_level"] == "over", "it is over its limit")
    tell(drover, "quiet", signal.SIGUSR1, "holds 70")
    checks_pass(drover)
    now = {name: drover.slot(name) for name in config["services"]}
    for name in ("forks", "quiet", "never"):
        assert now[name]["pid"] == first[name]["pid"], name
    config["services"]["quiet"]["memory_limit"] = "64MiB"
    drover.write(json.dumps(config)).signal(signal.SIGHUP)
    drover.wait_event("process_restarting", name="quiet", reason="memory")
    # What is stopped because it may not be held runs not until then.
    config["services"]["quiet"]["restart"] = {"when_held": "stop"}
    drover.write(json.dumps(config)).signal(signal.SIGHUP)
    drover.wait_event("config_reloaded")
    drover.wait_state("quiet", "running")
    until(lambda: drover.log_of("quiet").count("up") == 2, "it is up again")
    push(drover, "quiet")
    drover.wait_event("process_stopping", name="quiet", reason="memory")
    assert drover.wait_state("quiet", "waiting")["restart_due_at"]


# ---- workers ----

class Work:
    """A droverd whose job calls a provider that answers when it is told to."""

    def __init__(self, drover, provider):
        self.drover, self.provider, self.requests = drover, provider, 0
        self.gate = threading.Event()
        self.config = {
            **BASE, "workers": {"collect": {"processes": 1, "concurrency": 2}},
            "providers": {"p": {"base_url": provider.url, "private": True}},
            "jobs": {"slow": {"kind": "collect", "timeout": "1m", "request": {"provider": "p", "path": "/slow"},
                              "records": "items", "fields": {"id": "id"}, "store": {"table": "t", "key": ["id"]}}}}
        self.memory(check="150ms")
        provider.route("/slow", lambda call: Answer(body={"items": [{"id": f"r{call.n}"}]}, wait=self.gate))

    def memory(self, **rules):
        self.config["supervisor"] = {**BASE["supervisor"], "restart": {"min_interval": "0s"}, "memory": rules}
        self.drover.write(json.dumps(self.config))
        return self

    def start(self):
        self.drover.start()
        self.drover.wait_event("scheduler_ready")
        self.drover.wait_state("collect", "running")
        return self

    def reload(self):
        code, answer = self.drover.ask("reload")
        assert code == 0, answer

    def run(self):
        self.requests += 1
        code, answer = self.drover.ask("run", json.dumps({"job": "slow", "request_id": f"r{self.requests}"}))
        assert code == 0, answer
        return answer["run"]["id"]

    def ended(self, run):
        def look():
            _, answer = self.drover.ask("runs", json.dumps({"id": run}))
            return next((r for r in answer.get("runs", []) if r["finished_at"]), None)
        return until(look, f"run {run} ends")

    def rows(self):
        with sqlite3.connect(f"file:{self.drover.state}/drover.db?mode=ro", uri=True, timeout=10) as db:
            return sorted(r[0] for r in db.execute("SELECT id FROM t"))

    def waits_unclaimed(self, run):
        """It is there, and longer than from one look of a worker at the queue to the next nobody takes it."""
        calls = self.provider.count()
        end = time.monotonic() + 1.3
        until(lambda: time.monotonic() > end, "time passes")
        assert self.provider.count() == calls
        _, answer = self.drover.ask("runs", json.dumps({"id": run}))
        assert answer["runs"][0]["state"] == "queued", answer


@pytest.fixture
def work(drover):
    with Provider() as provider:
        one = Work(drover, provider)
        yield one
        one.gate.set()


def test_workers_trim_at_warning_and_take_no_tasks_at_critical(work):
    """Told by their own limit and by the machine's; taken up again when it is over, and nothing is lost meanwhile."""
    drover = work.drover
    work.gate.set()
    work.memory(check="150ms", warning="1MiB", critical="100%").start()
    for name in ("scheduler", "collect", "crawl", "monitor"):
        until(lambda name=name: memory_events(drover, "memory_trimmed", name=name), f"{name} has trimmed")
    trimmed = memory_events(drover, "memory_trimmed", name="collect")[0]
    assert trimmed["before"] > 1 << 20 and trimmed["after"] > 1 << 20
    assert memory_events(drover, "High memory usage detected", name="collect", reason="warning")
    assert work.ended(work.run())["state"] == "succeeded"

    # Critical of its own limit, while a task is in hand: that one is finished, no other is taken.
    work.memory(check="2s", warning="1MiB", critical="2MiB").reload()
    work.gate.clear()
    held = work.run()
    until(lambda: work.provider.active, "the task is in hand")
    drover.wait_event("tasks_held", name="collect", reason="memory")
    waiting = work.run()
    work.gate.set()
    assert work.ended(held)["state"] == "succeeded"
    work.waits_unclaimed(waiting)
    assert drover.slot("collect")["takes_tasks"] is False and drover.slot("collect")["memory_level"] == "critical"
    # Critical of the machine, of which every worker of tasks is told, and no restart follows from it.
    work.memory(check="150ms", warning="1%", critical="1%").reload()
    drover.wait_event("config_reloaded")
    until(lambda: memory_events(drover, "High memory usage detected", name="machine"), "the machine is short of it")
    work.waits_unclaimed(waiting)
    work.memory(check="150ms").reload()
    drover.wait_event("tasks_taken", name="collect")
    assert work.ended(waiting)["state"] == "succeeded"
    assert drover.slot("collect")["takes_tasks"] is True
    assert len(work.rows()) == 3
    assert not drover.find_events("process_stopping")

    # In any case each `trim`.
    work.memory(check="1h", trim="100ms").reload()
    count = len(memory_events(drover, "memory_trimmed", name="crawl"))
    until(lambda: len(memory_events(drover, "memory_trimmed", name="crawl")) > count + 3, "it trims by the clock")


def test_above_85_percent_of_the_machine_no_task_is_taken(work):
    """Of any kind, commands too; what is in hand goes on. Told once, shown by status, and over below 82 %."""
    drover, states = work.drover, {}
    work.config["jobs"]["site"] = {"kind": "crawl", "start": [f"{work.provider.url}/page"], "follow": {"private": True},
                                   "politeness": {"delay": "0s"}, "extract": [{"fields": {"title": {"xpath": "string(//title)"}}}],
                                   "store": {"table": "pages", "key": ["url"]}}
    work.config["jobs"]["command"] = {"kind": "exec", "command": ["true"]}
    work.memory(check="1h").start()

    def held(name):
        return drover.records("drover_memory", "tasks_held", name=name, reason="machine memory")

    def runs():
        for job in ("slow", "site", "command"):
            code, answer = drover.ask("run", json.dumps({"job": job, "request_id": f"{job}{len(states)}"}))
            assert code == 0, answer
            states[answer["run"]["id"]] = job
        return list(states)[-3:]

    in_hand = work.run()
    until(lambda: work.provider.active, "the task is in hand")
    drover.machine(used_percent=90)
    until(lambda: held("collect") and held("scheduler") and held("crawl"), "no task is taken")
    (said,) = held("collect")
    assert (said["bytes"], said["limit"]) == (900000 * 1024, 1000000 * 1024)
    waiting = runs()
    work.gate.set()
    assert work.ended(in_hand)["state"] == "succeeded", "what is in hand goes on"
    for run in waiting[:1]:
        work.waits_unclaimed(run)
    assert {drover.ask("runs", json.dumps({"id": run}))[1]["runs"][0]["state"] for run in waiting} == {"queued"}
    slots = {name: drover.slot(name) for name in ("collect", "crawl", "scheduler", "monitor")}
    assert [slots[n]["tasks_held_by"] for n in slots] == ["machine memory"] * 3 + [None]
    assert [slots[n]["takes_tasks"] for n in slots] == [False, False, None, None]
    assert cli(drover, "status")[1].count("takes no tasks (machine memory)") == 3
    # Not yet low enough to be over.
    drover.machine(used_percent=84)
    work.waits_unclaimed(waiting[0])
    drover.machine(used_percent=70)
    assert [work.ended(run)["state"] for run in waiting] == ["succeeded"] * 3
    assert drover.slot("collect")["tasks_held_by"] is None
    assert [len(held(n)) for n in ("collect", "crawl", "scheduler")] == [1] * 3, "told once"
    assert len(drover.records("drover_memory", "tasks_taken", name="collect")) == 1


def test_a_worker_at_its_limit_is_restarted_gracefully_and_loses_nothing(work):
    drover = work.drover
    work.config["workers"]["collect"].update(memory_limit="2MB", stop={"timeout": "20s"},
                                             restart={"min_interval": "1h", "when_held": "keep"})
    work.memory(check="2s").start()
    first = drover.slot("collect")["pid"]
    runs = [work.run() for _ in range(3)]
    until(lambda: work.provider.active == 2, "two tasks are in hand")
    drover.wait_event("process_stopping", name="collect", reason="memory")
    work.gate.set()  # it has the time to finish them
    exited = drover.wait_event("process_exited", name="collect", pid=first)
    assert (exited["reason"], exited["code"]) == ("memory", 0)
    # The next one is too large too, and held for that: it takes no tasks meanwhile.
    drover.wait_event("restart_held", name="collect", reason="memory")
    assert drover.slot("collect")["takes_tasks"] is False
    work.config["workers"]["collect"]["memory_limit"] = "512MB"
    work.memory(check="150ms").reload()
    drover.wait_event("restart_cancelled", name="collect")
    for run in runs:
        assert work.ended(run)["state"] == "succeeded"
    assert len(work.rows()) == 3 and {"r0", "r1"} <= set(work.rows()), "what was in hand was finished and is there once"


# ---- the operator ----

def test_drain_waits_for_the_last_task_and_holds_until_started(work):
    drover = work.drover
    work.start()
    held = work.run()
    until(lambda: work.provider.active, "the task is in hand")
    client = drover.control()
    client.send("drain", "collect")
    drover.wait_event("tasks_held", name="collect", reason="operator")
    waiting = work.run()
    client.socket.settimeout(0.7)
    with pytest.raises(TimeoutError):
        client.receive()
    client.socket.settimeout(30)
    work.gate.set()
    code, answer = client.receive()
    client.close()
    assert code == 0, answer
    assert answer == {"results": [{"name": "collect", "ok": True, "state": "running", "detail": "drained"}]}
    assert work.ended(held)["state"] == "succeeded"
    work.waits_unclaimed(waiting)
    assert drover.slot("collect")["takes_tasks"] is False

    # Also the next instance, and under the next supervisor.
    os.kill(drover.slot("collect")["pid"], signal.SIGKILL)
    drover.wait_event("tasks_held", name="collect", incarnation=2)
    work.waits_unclaimed(waiting)
    drover.kill().start()
    drover.wait_event("supervisor_ready")
    assert drover.find_events("tasks_held", name="collect", incarnation=3, reason="operator")
    work.waits_unclaimed(waiting)
    code, text, _ = cli(drover, "start", "collect")
    assert (code, text) == (0, "collect: running\n")
    assert work.ended(waiting)["state"] == "succeeded"
    assert work.rows() == ["r0", "r1"]

    # Without a name: all that take tasks, and those only. A later start is told to who waits.
    code, text, _ = cli(drover, "drain")
    assert (code, sorted(text.splitlines())) == (0, ["collect: running, drained", "crawl: running, drained"])
    assert drover.ask("restart", "crawl")[0] == 0 and drover.slot("crawl")["takes_tasks"] is True
    assert drover.ask("start", "all")[0] == 0 and drover.slot("collect")["takes_tasks"] is True
    work.gate.clear()
    work.run()
    until(lambda: work.provider.active, "the task is in hand")
    client = drover.control()
    client.send("drain", "collect")
    drover.wait_event("command", verb="drain", name="collect")
    assert drover.ask("start", "collect")[0] == 0
    code, answer = client.receive()
    client.close()
    assert (code, answer["results"][0]["detail"]) == (1, "started again by a later command")
    work.gate.set()
    assert drover.ask("stop", "collect")[0] == 0
    code, answer = drover.ask("drain", "collect")
    assert code == 0 and answer["results"][0]["detail"].startswith("down; ")
    code, text, _ = cli(drover, "drain", "monitor")
    assert code == 1 and "it takes no tasks" in text


def test_trim_tells_what_came_back_of_it(drover):
    drover.start(json.dumps({**BASE, "services": {"s": {"command": ["sleep", "1000"]}}}))
    drover.wait_event("supervisor_ready")
    code, text, _ = cli(drover, "trim")
    lines = text.splitlines()
    assert code == 0 and len(lines) == 5, text  # scheduler, two of collect, crawl, monitor
    assert all("KiB before" in line for line in lines)
    code, answer = drover.ask("trim", "crawl\nmonitor")
    assert code == 0 and [r["name"] for r in answer["results"]] == ["crawl", "monitor"]
    assert all(r["ok"] and "KiB now" in r["detail"] for r in answer["results"])
    code, answer = drover.ask("trim", "s")
    assert code == 1 and "it is a service" in answer["results"][0]["detail"]
    assert drover.ask("trim", "nobody")[0] == 4
    assert drover.ask("stop", "crawl")[0] == 0
    code, answer = drover.ask("trim", "crawl")
    assert (code, answer["results"][0]["detail"]) == (1, "it does not run")
    # One that is hung is replaced by its probes; the question is answered then.
    pid = drover.slot("monitor")["pid"]
    client = Control(drover.runtime / "control.sock")
    os.kill(pid, signal.SIGSTOP)
    client.send("trim", "monitor")
    drover.wait_event("command", verb="trim", name="monitor")
    os.kill(pid, signal.SIGKILL)
    code, answer = client.receive()
    client.close()
    assert (code, answer["results"][0]["detail"]) == (1, "it ended meanwhile")
    assert not alive(pid)

# SPDX-License-Identifier: MIT
"""Jobs whose runs are commands: what people use cron for. A command keeps its own record with O_APPEND and a lock, so
that two of one attempt, or two at a time, would be seen whoever was killed."""
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from harness import BUILD, ROOT, alive, bytes_of, left_of, processes, text_of, until

sys.path.insert(0, str(ROOT / "tests"))
import postgres_server  # noqa: E402

HEAD = """
supervisor: {{restart: {{min_interval: 0s, jitter: 0s}}}}
http: {{listen: "127.0.0.1:0"}}
{extra}
jobs:
"""

# Appends what it is, waits for the gate, appends that it ends. The lock is held all the time: one that does not get it
# is a second one at the same time.
WRITER = """
import fcntl, os, sys, time
record, gate, code = sys.argv[1], sys.argv[2], int(sys.argv[3])
lock = open(record + ".lock", "a")
fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
who = "%s %s %s %d" % (os.environ["DROVER_JOB"], os.environ["DROVER_RUN"], os.environ["DROVER_ATTEMPT"], os.getpid())
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    os.write(fd, ("second %s\\n" % who).encode())
    sys.exit(9)
os.write(fd, ("begin %s\\n" % who).encode())
print("hello from", who, flush=True)
while not os.path.exists(gate):
    time.sleep(0.005)
os.write(fd, ("end %s\\n" % who).encode())
sys.exit(code)
"""


class House:
    def __init__(self, drover, tmp):
        self.drover, self.tmp = drover, tmp
        self.record, self.gate = tmp / "record", tmp / "gate"
        self.script = tmp / "writer.py"
        self.script.write_text(WRITER)
        self.requests = 0

    def writer(self, code=0):
        return [sys.executable, str(self.script), str(self.record), str(self.gate), str(code)]

    def yaml(self, jobs, extra=""):
        text = HEAD.format(extra=extra)
        for name, (command, rest) in jobs.items():
            text += f"  {name}: {{kind: exec, command: {json.dumps(command)}{rest}}}\n"
        return text

    def start(self, jobs, extra=""):
        self.drover.start(self.yaml(jobs, extra))
        self.drover.wait_event("scheduler_ready")
        return self

    def ask(self, verb, **args):
        return self.drover.ask(verb, json.dumps(args))

    def run(self, job):
        self.requests += 1
        def asked():
            code, answer = self.ask("run", job=job, request_id=f"r{self.requests}")
            assert code == 0 or answer.get("away"), answer
            return answer.get("run")
        return until(asked)["id"]

    def look(self, run):
        code, answer = self.ask("runs", id=run)
        assert code == 0 or answer.get("away"), answer
        return next((r for r in answer.get("runs", []) if r["finished_at"]), None)

    def ended(self, run, patience=20):
        return until(lambda: self.look(run), f"run {run} ends", patience)

    def lines(self):
        return text_of(self.record).splitlines() if self.record.exists() else []

    def begun(self, count=1):
        until(lambda: sum(line.startswith("begin") for line in self.lines()) >= count, f"{count} have begun")

    def open(self):
        self.gate.touch()

    def slot(self, name):
        return next((p for p in self.drover.status()["processes"] if p["name"] == name), None)

    def once(self):
        """Never two at a time, never two of one attempt."""
        begun = [line.split()[1:4] for line in self.lines() if line.startswith("begin")]
        assert not [line for line in self.lines() if line.startswith("second")]
        assert len({tuple(b) for b in begun}) == len(begun), begun

    def kill_scheduler(self):
        os.kill(until(lambda: self.slot("scheduler")["pid"], "scheduler has a pid"), signal.SIGKILL)

    def crash(self):
        """droverd is killed and another one takes its place."""
        self.drover.kill()
        self.drover.start()


@pytest.fixture
def house(drover, tmp_path):
    return House(drover, tmp_path)


def test_a_command_has_its_log_its_exit_code_and_no_slot_afterwards(house):
    house.start({"good": (house.writer(), ", environment: {A: b}"), "bad": (house.writer(3), "")})
    run = house.run("good")
    house.begun()
    slot = house.slot("good")
    assert slot["kind"] == "exec" and slot["state"] in ("starting", "running") and alive(slot["pid"])
    house.open()
    done = house.ended(run)
    assert done["state"] == "succeeded" and done["tasks"]["done"] == 1 and done["errors"] == []
    failed = house.ended(house.run("bad"))
    assert failed["state"] == "failed" and failed["errors"] == ["exit code 3"]
    until(lambda: not house.slot("good") and not house.slot("bad"), "their slots are gone")
    log = until(lambda: (t := text_of(house.drover.logs / "good.log")) and "ended" in t and t)
    begin, hello, end = log.splitlines()
    assert f"drover: run {run}, attempt 1, begins" in begin and "hello from good" in hello
    assert f"drover: run {run}, attempt 1, ended: exit code 0" in end
    assert "exit code 3" in text_of(house.drover.logs / "bad.log")
    # The log is there to be asked for between two runs.
    assert {"good", "bad"} <= {f["name"] for f in house.drover.ask("logs")[1]["files"]}
    house.once()
    assert len([line for line in house.lines() if line.startswith("begin")]) == 2
    assert not list((house.drover.runtime / "slots").glob("good*"))


def test_what_cannot_be_started_or_does_not_end_is_a_failure(house):
    not_executable = house.tmp / "plain"
    not_executable.write_text("x")
    house.start({
        "missing": (["/nonexistent/x"], ""),
        "plain": ([str(not_executable)], ""),
        "nowhere": (["/bin/true"], ", directory: /nonexistent"),
        "slow": (["/bin/sleep", "1000"], ", timeout: 300ms, stop: {timeout: 500ms}"),
        "deaf": (["/bin/sh", "-c", "trap '' TERM; setsid sleep 1000.25 & sleep 1000.25; sleep 1000.25"],
                 ", timeout: 300ms, stop: {timeout: 300ms}"),
        "shot": (["/bin/sh", "-c", "kill -KILL $$"], ""),
        "again": (house.writer(4), ", retry: {attempts: 2, backoff: {initial: 50ms}}"),
    })
    house.open()
    runs = {name: house.run(name) for name in ("missing", "plain", "nowhere", "slow", "deaf", "shot", "again")}
    ends = {name: house.ended(run) for name, run in runs.items()}
    assert {e["state"] for e in ends.values()} == {"failed"}
    errors = {name: e["errors"] for name, e in ends.items()}
    assert errors["missing"] == ["not started: exec: No such file or directory"]
    assert errors["plain"] == ["not started: exec: Permission denied"]
    assert errors["nowhere"] == ["not started: directory: No such file or directory"]
    assert errors["slow"] == ["not done within 300ms"] and errors["deaf"] == ["not done within 300ms"]
    assert errors["shot"] == ["signal 9 (KILL)"]
    assert not (house.drover.logs / "again:2.log").exists(), "one attempt after the other has one log"
    assert errors["again"] == ["attempt 1 of 2: exit code 4", "attempt 2 of 2: exit code 4"]
    # What ignores the signal to end is killed with all that it has started.
    assert not left_of(lambda: [pid for pid in processes() if b"1000.25" in bytes_of(f"/proc/{pid}/cmdline")])
    house.once()


def test_a_command_lives_on_whoever_else_is_killed(house):
    house.start({"job": (house.writer(), ", timeout: 1m")})
    run = house.run("job")
    house.begun()
    pid = house.slot("job")["pid"]
    house.kill_scheduler()
    house.drover.wait_event("command_taken_over")
    assert house.slot("job")["pid"] == pid
    house.open()
    # Its end is told to the scheduler that is there now; droverd saw it itself.
    done = house.ended(run)
    assert done["state"] == "succeeded", done
    house.once()


def test_an_end_that_no_droverd_saw_is_a_failure_and_the_command_is_not_run_again(house):
    house.start({"job": (house.writer(), "")})
    run = house.run("job")
    house.begun()
    pid = house.slot("job")["pid"]
    house.crash()
    house.drover.wait_event("process_adopted", name="job")
    assert house.slot("job")["pid"] == pid
    house.open()
    done = house.ended(run)
    assert done["state"] == "failed" and "unknown" in done["errors"][0]
    assert [line.split()[0] for line in house.lines()] == ["begin", "end"]
    assert done["tasks"]["dead"] == 1


def test_a_timeout_holds_over_a_crash(house):
    house.start({"job": (house.writer(), ", timeout: 3s, stop: {timeout: 1s}")})
    run = house.run("job")
    house.begun()
    house.crash()
    done = house.ended(run)
    assert done["errors"] == ["not done within 3s"] and not [x for x in house.lines() if x.startswith("end")]


def test_what_ended_while_the_scheduler_was_away_is_kept_until_it_is_committed(house):
    house.start({"job": (house.writer(), "")})
    run = house.run("job")
    house.begun()
    scheduler = house.slot("scheduler")["pid"]
    os.kill(scheduler, signal.SIGSTOP)
    house.open()
    house.drover.wait_event("process_exited", name="job")
    # The record keeps it over a crash of droverd as well.
    until(lambda: "ended" in text_of(house.drover.logs / "job.log"))
    house.crash()
    os.kill(scheduler, signal.SIGKILL)
    done = house.ended(run)
    assert done["state"] == "succeeded", done
    house.once()


def test_the_bound_of_commands_holds_and_what_is_stopped_is_not_tried_again(house):
    names = [f"j{i}" for i in range(5)]
    house.start({n: (["/bin/sleep", "1000"], ", retry: {attempts: 3}") for n in names},
                "workers: {scheduler: {concurrency: 2}}")
    runs = {n: house.run(n) for n in names}
    def living():
        return [p["name"] for p in house.drover.status()["processes"] if p["kind"] == "exec" and p["state"] == "running"]
    until(lambda: len(living()) == 2)
    for _ in range(5):
        assert len(living()) <= 2
        first = until(living)[0]
        code, answer = house.drover.ask("stop", first)
        assert code == 0, answer
        done = house.ended(runs[first])
        assert done["state"] == "failed" and done["errors"] == ["stopped by the operator"]
    assert house.drover.ask("start", "j0")[0] != 0


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request):
    """What the configuration says of it."""
    if request.param == "sqlite":
        yield ""
        return
    if not postgres_server.present():
        pytest.skip("there is no PostgreSQL here")
    with postgres_server.Server() as server:
        yield f'store: {{url: "{server.url()}"}}'


def test_no_kill_runs_an_attempt_twice_or_forgets_a_run(house, store):
    """Commands that end at once and such that last, while scheduler, droverd and commands are killed."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    house.open()
    house.start({"job": (house.writer(), ", retry: {attempts: 1}")}, store)
    runs = []
    for _ in range(6 if store else 12):
        runs.append(house.run("job"))
        victim = rng.choice(["scheduler", "droverd", "both", "command", "nobody"])
        # Anywhere between its claim and its commit.
        time.sleep(rng.uniform(0, 0.08))
        if victim in ("scheduler", "both"):
            house.kill_scheduler()
        if victim == "command" and (slot := house.slot("job")) and slot["pid"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(slot["pid"], signal.SIGKILL)
        if victim in ("droverd", "both"):
            house.crash()
        house.ended(runs[-1])
    house.once()
    assert all(house.look(run)["state"] in ("succeeded", "failed") for run in runs)


def test_what_a_command_leaves_behind_ends_with_it_and_what_it_wrote_is_in_its_log(house):
    """One that daemonizes, and one that floods its log and ends in the midst of a line."""
    lines = 30000
    flood = f"i = 0\nwhile i < {lines}:\n print('line', i)\n i += 1\nprint('half', end='')"
    house.start({
        "daemon": (["/bin/sh", "-c", "setsid sleep 1000.75 </dev/null >/dev/null 2>&1 & echo away"], ""),
        "flood": ([sys.executable, "-c", flood], ""),
    })
    ends = [house.ended(run) for run in (house.run("daemon"), house.run("flood"))]
    assert [e["state"] for e in ends] == ["succeeded"] * 2
    assert not left_of(lambda: [pid for pid in processes() if b"1000.75" in bytes_of(f"/proc/{pid}/cmdline")])
    log = until(lambda: (t := text_of(house.drover.logs / "flood.log")) and t.count("drover: run") == 2 and t).splitlines()
    assert [line for line in log if line.startswith("line")] == [f"line {i}" for i in range(lines)]
    assert "begins" in log[0] and log[-2].startswith("half [drover") and "exit code 0" in log[-1]


def test_an_upgrade_keeps_the_command_and_its_exit_code(house):
    house.start({"job": (house.writer(), "")})
    run = house.run("job")
    house.begun()
    pid = house.slot("job")["pid"]
    code, answer = house.drover.ask("upgrade")
    assert code == 0, answer
    house.drover.wait_event("upgraded")
    until(lambda: house.slot("job") and house.slot("job")["pid"] == pid, "it is ours again")
    house.open()
    done = house.ended(run)
    assert done["state"] == "succeeded", done
    house.once()


def test_two_runs_at_a_time_have_two_slots_and_a_reload_leaves_them_alone(house):
    """As often as the overlap of its schedule allows; a job that is gone from the file ends as it began."""
    go = {"job": (["/bin/sh", "-c", f"echo $DROVER_RUN; until [ -e {house.gate} ]; do sleep 0.01; done"],
                  ", schedule: {every: 1h, overlap: allow}")}
    house.start(go)
    first = until(lambda: house.ask("runs", job="job")[1]["runs"])[0]["id"]
    second = house.run("job")
    until(lambda: house.slot("job") and house.slot("job:2"))
    assert house.slot("job")["pid"] != house.slot("job:2")["pid"]
    house.drover.write(house.yaml({"other": (["/bin/true"], "")}))
    assert house.drover.ask("reload")[1]["ok"]
    assert house.slot("job") and house.slot("job:2")
    house.open()
    assert [house.ended(r)["state"] for r in (first, second)] == ["succeeded"] * 2
    until(lambda: not house.slot("job") and not house.slot("job:2"))
    assert str(second) in text_of(house.drover.logs / "job:2.log").split()


def test_a_stop_of_droverd_ends_its_commands_and_says_so(house):
    house.start({"job": (house.writer(), "")})
    run = house.run("job")
    house.begun()
    house.drover.stop()
    assert not [line for line in house.lines() if line.startswith("end")]
    house.drover.start()
    done = house.ended(run)
    assert (done["state"], done["errors"]) == ("failed", ["ended together with droverd"])
    house.once()


def test_run_wait_tells_how_the_command_ended(house):
    house.start({"good": (["/bin/true"], ""), "bad": (["/bin/sh", "-c", "exit 7"], "")})
    socket = house.drover.runtime / "control.sock"
    for job, code in (("good", 0), ("bad", 1)):
        done = subprocess.run([BUILD / "bin/drover", "run", job, "--wait", "--json", "--socket", socket],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == code, done
        assert (json.loads(done.stdout)["errors"] == ["exit code 7"]) == (job == "bad")


def test_a_run_that_is_replaced_has_ended_before_the_next_command_begins(house):
    house.start({"job": (house.writer(), ", schedule: {every: 400ms, overlap: replace}, stop: {timeout: 5s}")})
    house.begun(3)
    runs = until(lambda: (r := house.ask("runs", job="job")[1]["runs"])
                 and sum(x["state"] == "cancelled" for x in r) >= 2 and r)
    assert {r["state"] for r in runs} <= {"queued", "running", "cancelled"}
    house.once()


def test_a_reload_counts_from_the_next_run_on(house):
    def job(what):
        script = f"echo {what} $WHAT $PWD; until [ -e {house.gate} ]; do sleep 0.01; done"
        return {"job": (["/bin/sh", "-c", script],
                        f", environment: {{WHAT: {what}}}, directory: {house.tmp}, timeout: 1m")}
    house.start(job("first"))
    first = house.run("job")
    until(lambda: "first first" in text_of(house.drover.logs / "job.log") if (house.drover.logs / "job.log").exists() else False)
    pid = house.slot("job")["pid"]
    house.drover.write(house.yaml(job("second")))
    assert house.drover.ask("reload")[1]["ok"]
    assert house.slot("job")["pid"] == pid
    house.open()
    assert house.ended(first)["state"] == "succeeded"
    assert house.ended(house.run("job"))["state"] == "succeeded"
    until(lambda: f"second second {house.tmp}" in text_of(house.drover.logs / "job.log"))

# SPDX-License-Identifier: MIT
"""L1: from one drover-log to the next, whoever dies in between."""
import json
import os
import pathlib
import select
import signal
import time

from harness import alive, comm, processes, until

# Its last words come when it is asked for them.
WRITER = "trap 'echo last words; touch \"$0\"' USR1; echo begun; while :; do sleep 0.02 >/dev/null 2>&1; done"


def loggers_of(drover):
    return [pid for pid, (parent, state) in processes().items()
            if parent == drover.pid and state not in "ZX" and comm(pid) == "drover-log"]


def logger_of(drover):
    return loggers_of(drover)[0]


def has_term_in(pid, mask):
    """Is SIGTERM in one of the process's masks (ShdPnd: it waits; SigCgt: it is caught)?"""
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status[mask], 16) & 1 << (signal.SIGTERM - 1)


def is_told_to_end(pid):
    return has_term_in(pid, "ShdPnd")


def test_a_droverd_killed_while_it_changes_drover_log_costs_no_last_words(drover):
    """Killed in the instant in which the earlier drover-log is gone; then the service dies, the only one left that writes."""
    said = drover.folder / "said"
    drover.start("http: {listen: \"127.0.0.1:0\"}\nsupervisor: {restart: {min_interval: 1h, jitter: 0s}}\nservices: " +
                 json.dumps({"a": {"command": ["sh", "-c", WRITER, str(said)]}}) + "\n")
    pid = drover.wait_state("a", "running")["pid"]
    until(lambda: drover.log_of("a") == "begun\n", "it writes")
    first = logger_of(drover)
    handle = os.pidfd_open(first)
    os.kill(first, signal.SIGSTOP)
    drover.kill().start(wait=False)
    until(lambda: is_told_to_end(first), "the earlier drover-log is told to end")
    drover.signal(signal.SIGSTOP)
    os.kill(first, signal.SIGCONT)
    select.select([handle], [], [])
    drover.kill()
    os.close(handle)
    os.kill(pid, signal.SIGUSR1)
    until(said.exists, "it has said its last words")
    os.kill(pid, signal.SIGKILL)
    drover.start()
    # The next instance may have begun already.
    until(lambda: drover.log_of("a").startswith("begun\nlast words\n"), "all that it wrote is in its log")
    assert drover.stop() == 0
    assert drover.log_of("a").count("last words") == 1


def test_a_drover_log_killed_while_all_ends_costs_no_last_words(drover):
    """droverd waits for it with services gone: only the FIFOs hold what they wrote."""
    drover.start("http: {listen: \"127.0.0.1:0\"}\nservices: " +
                 json.dumps({"a": {"command": ["sh", "-c", "trap 'echo last words; exit' TERM; while :; do sleep 0.02; done"]}}) + "\n")
    drover.wait_state("a", "running")
    pid, logger = drover.slot("a")["pid"], logger_of(drover)
    until(lambda: has_term_in(pid, "SigCgt"), "its trap is set")
    os.kill(logger, signal.SIGSTOP)
    drover.signal(signal.SIGTERM)
    until(lambda: not alive(pid), "the service is gone")
    # With the last one down drover-log is told, before anybody is answered.
    drover.wait_state("a", "stopped")
    os.kill(logger, signal.SIGKILL)
    assert drover.process.wait(20) == 0
    assert drover.log_of("a").endswith("last words\n")
    assert "supervisor_stopped" in drover.log_of("drover")


def test_a_half_line_is_ended_though_both_died_while_all_ended(drover):
    """Its end was put off to that of drover-log, which did not come to it: the next droverd asks for it."""
    drover.start("http: {listen: \"127.0.0.1:0\"}\nservices: " +
                 json.dumps({"a": {"command": ["sh", "-c", "printf half; exec sleep 1000"]}}) + "\n")
    pid, logger = drover.wait_state("a", "running")["pid"], logger_of(drover)
    until(lambda: drover.log_of("a") == "half", "it has written")
    os.kill(logger, signal.SIGSTOP)
    drover.signal(signal.SIGTERM)
    until(lambda: not alive(pid), "the service is gone")
    drover.wait_state("a", "stopped")
    drover.kill()
    os.kill(logger, signal.SIGKILL)
    drover.start()
    until(lambda: drover.log_of("a") == "half [drover: line not ended]\nhalf", "the half line is ended")
    assert drover.stop() == 0
    assert drover.log_of("a").endswith("half [drover: line not ended]\n" * 2)


def test_a_signal_to_rotate_is_kept_over_a_command_that_finds_no_drover_log(drover):
    drover.start("http: {listen: \"127.0.0.1:0\"}\nservices: {a: {command: [sh, -c, 'echo begun; exec sleep 1000']}}\n")
    until(lambda: drover.log_of("a") == "begun\n", "it writes")
    # Each that dies young is followed later than the one before.
    for _ in range(6):
        last = until(lambda: loggers_of(drover), "there is one")[0]
        os.kill(last, signal.SIGKILL)
        until(lambda last=last: not alive(last), "it is gone")
    drover.signal(signal.SIGUSR1)
    code, answer = drover.ask("rotate")
    assert code == 1 and not answer["ok"], answer
    until(lambda: (drover.logs / "a.log.1").exists(), "what the signal asked for is done")

# SPDX-License-Identifier: MIT
"""L1: from one drover-log to the next, whoever dies in between."""
import json
import os
import pathlib
import select
import signal

from harness import comm, processes, until

# Its last words come when it is asked for them.
WRITER = "trap 'echo last words; touch \"$0\"' USR1; echo begun; while :; do sleep 0.02 >/dev/null 2>&1; done"


def logger_of(drover):
    return next(pid for pid, (parent, state) in processes().items()
                if parent == drover.pid and state not in "ZX" and comm(pid) == "drover-log")


def is_told_to_end(pid):
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["ShdPnd"], 16) & 1 << (signal.SIGTERM - 1)


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
    until(lambda: drover.log_of("a") == "begun\nlast words\n", "all that it wrote is in its log")
    assert drover.stop() == 0

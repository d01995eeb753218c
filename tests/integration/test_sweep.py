# SPDX-License-Identifier: MIT
"""droverd --sweep: what a droverd left that was killed is ended, and only that."""
import os
import subprocess

from harness import DROVERD, alive, until

SERVICE = """services:
  a: {command: [sh, -c, "setsid -f sleep 1001; trap '' TERM; echo $$; while :; do sleep 0.05; done"], stop: {timeout: 200ms}}
  b: {command: [sleep, '1000']}
"""


def sweep(drover, config=None, **environment):
    return subprocess.run(
        [DROVERD, "--sweep", "--config", str(config or drover.config), "--state-dir", str(drover.state), "--runtime-dir",
         str(drover.runtime), "--log-dir", str(drover.logs)], capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment})


def crash(drover, services=SERVICE):
    drover.start(services)
    drover.wait_event("supervisor_ready")
    until(lambda: drover.log_of("a"), "it is up")
    pids = [drover.slot(name)["pid"] for name in "ab"]
    drover.kill()
    assert all(alive(pid) for pid in pids), "services outlive droverd"
    return pids


def test_a_sweep_ends_all_that_a_killed_droverd_left(drover):
    pids = crash(drover)
    done = sweep(drover)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(alive(pid) for pid in pids) and not drover.left_over()
    assert sweep(drover).returncode == 0, "nothing is left to sweep, which is fine"


def test_after_a_crash_systemd_sweeps_nothing(drover):
    pids = crash(drover)
    for result in ("signal", "watchdog", "core-dump", "timeout", "exit-code"):
        done = sweep(drover, SERVICE_RESULT=result)
        assert done.returncode == 0 and "nothing is swept" in done.stdout
    assert all(alive(pid) for pid in pids)
    assert sweep(drover, SERVICE_RESULT="success").returncode == 0
    assert not any(alive(pid) for pid in pids)


def test_a_sweep_needs_no_good_configuration(drover):
    pids = crash(drover, SERVICE.replace("trap '' TERM;", ""))
    bad = drover.folder / "bad.yaml"
    bad.write_text("nonsense: [\n")
    done = sweep(drover, config=bad)
    assert done.returncode == 0 and "the configuration cannot be read" in done.stderr
    assert not any(alive(pid) for pid in pids)


def test_a_sweep_leaves_a_droverd_that_runs_alone(drover):
    drover.start(SERVICE)
    drover.wait_event("supervisor_ready")
    pids = [drover.slot(name)["pid"] for name in "ab"]
    done = sweep(drover)
    assert done.returncode == 1 and f"pid {drover.pid}" in done.stderr
    assert [drover.slot(name)["pid"] for name in "ab"] == pids


def test_a_sweep_where_there_never_was_a_droverd_makes_no_folder(drover):
    drover.write(SERVICE)
    assert sweep(drover).returncode == 0
    assert not drover.runtime.exists() and not drover.state.exists()


def test_a_sweep_is_no_check(drover):
    drover.write(SERVICE)
    both = subprocess.run([DROVERD, "--check", "--sweep"], capture_output=True, text=True, timeout=20)
    assert both.returncode == 2 and "exclude" in both.stderr

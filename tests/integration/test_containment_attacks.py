# SPDX-License-Identifier: MIT
"""What services and strangers may try so that droverd ends the wrong ones, or stands still."""
import os
import signal
import stat

import pytest

from dead_mount import dead_mount
from given import PYTHON, SLOW, root_only
from harness import DROVERD, alive, until
from test_containment import config

# Its output lies on a mount that does not answer, and nothing else tells whose it is.
ORPHAN = """
import os, resource, sys
dead, ready, fifo = sys.argv[1:]
os.mkfifo(fifo)
fd = os.open(dead, os.O_PATH)
resource.setrlimit(10, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.closerange(3, 64)
    os.execve('/bin/sh', ['sh', '-c', 'echo $$ >' + fifo + '; exec sleep 1000'], {})
pid = open(fifo).read()
open(ready, 'w').write(pid)
"""


@root_only
def test_an_output_on_a_dead_mount_does_not_stop_droverd(drover, contained):
    ready = drover.folder / "ready"
    with dead_mount(drover.folder / "dead") as dead:
        drover.start(config(min_interval="1h", a={"command": [PYTHON, "-c", ORPHAN, str(dead), str(ready), f"{ready}.fifo"]}, b="exec sleep 1000"))
        drover.wait_event("process_exited", name="a")
        # All that it does after it has looked whose the orphan is.
        drover.wait_event("process_restarting", name="a", patience=10 * SLOW)
        other = drover.slot("b")["pid"]
        assert drover.ask("restart", "b")[0] == 0 and drover.slot("b")["pid"] != other
        assert drover.stop() == 0
        assert not alive(int(ready.read_text()))


def test_a_droverd_started_from_within_a_service_is_none_of_its_tree(drover, contained):
    """Who logged in by a supervised sshd starts droverd anew after it was killed."""
    command = (f"{DROVERD} --config {drover.config} --state-dir {drover.state} --runtime-dir {drover.runtime} "
               f"--log-dir {drover.logs} >>{drover.folder}/droverd.out 2>&1 </dev/null")
    login = f"while kill -0 $0 2>/dev/null; do sleep 0.05; done; {command}; exit 0"
    drover.start(config(a=f"setsid sh -c '{login}' $PPID & exec sleep 1000", b="exec sleep 1000"))
    a = drover.wait_event("process_running", name="a")["pid"]
    b = drover.rewind().wait_event("process_running", name="b")["pid"]
    first = drover.pid
    drover.kill()
    drover.process = None
    second = drover.wait_event("supervisor_started")["pid"]
    assert second != first
    drover.wait_event("supervisor_ready")
    assert (drover.slot("a")["pid"], drover.slot("b")["pid"]) == (a, b)
    assert drover.ask("stop", "a")[0] == 0
    assert not alive(a) and alive(second)
    assert drover.slot("b")["pid"] == b and alive(b)
    assert drover.ask("start", "a")[0] == 0 and drover.ask("restart", "a")[0] == 0
    assert drover.slot("b")["pid"] == b and alive(second)
    os.kill(second, signal.SIGTERM)
    until(lambda: not alive(second), "it has ended")
    assert not alive(b)
    # The group in which it was is removed by one from outside.
    drover.start()
    drover.wait_event("supervisor_ready", pid=drover.pid)
    assert drover.stop() == 0


@root_only
@pytest.mark.parametrize("whose", ["another's", "everybody's"])
def test_a_runtime_directory_that_others_may_write_is_refused(drover, whose):
    """Its records say whom to end; who may write them could have anybody killed."""
    drover.runtime.mkdir()
    if whose == "another's":
        os.chown(drover.runtime, 65534, 65534)
    else:
        drover.runtime.chmod(0o777)
    drover.write(config(a="exec sleep 1000")).start(wait=False)
    assert drover.process.wait(20) == 1
    assert f"the runtime directory {drover.runtime}" in drover.complaints()
    assert not list(drover.runtime.iterdir())
    os.chown(drover.runtime, 0, 0)
    drover.runtime.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
    drover.start()
    drover.wait_event("process_running", name="a")

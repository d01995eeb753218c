# SPDX-License-Identifier: MIT
"""
Descendants that do not want to be found, for tests of the end of a tree.

    python3 zoo.py MARK KIND...    starts one animal of each kind and stays; each has MARK as its name in /proc/PID/comm
"""
import ctypes
import os
import signal
import sys
import threading
import time

LIBC = ctypes.CDLL(None)
PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_CHILD_SUBREAPER, SYS_EXIT = 4, 15, 36, 60


def live(mark, kind):
    """The animal itself: after all forks and execs."""
    LIBC.prctl(PR_SET_NAME, mark.encode(), 0, 0, 0)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif kind == "secretive":
        LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    elif kind == "headless":
        # The leader's thread ends, another lives on: /proc/PID/stat says Z.
        threading.Thread(target=time.sleep, args=(60,)).start()
        LIBC.syscall(SYS_EXIT, 0)
    elif kind == "asleep":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind in ("runner", "sprinter"):
        # Never the same process for long, and a session of its own each time.
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if os.fork():
                time.sleep(0.005 if kind == "runner" else 0)
                os._exit(0)
            os.setsid()
    elif kind == "reaper":
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
    time.sleep(60)


def leave(mark, kind):
    """daemon(3) and more: twice forked, own session, no environment, no descriptor of ours."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 64)
            os.open("/dev/null", os.O_RDWR)
            os.dup(0)
            os.dup(0)
            os.execve(sys.executable, [sys.executable, __file__, mark, "=" + kind], {})
        os._exit(0)
    os.wait()


def main():
    mark, *kinds = sys.argv[1:]
    if kinds[0].startswith("="):
        live(mark, kinds[0][1:])
    for kind in kinds:
        if kind.startswith("wiped-"):
            leave(mark, kind[6:])
        elif os.fork() == 0:
            if kind != "grouped":
                os.setsid()
            live(mark, kind)
            os._exit(0)
    live(mark, "main")


main()

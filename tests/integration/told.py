# SPDX-License-Identifier: MIT
"""
A service that tells what it was given, one line of JSON a start, on its standard output; then it stays.

    python3 told.py ARGUMENT...
"""
import json
import os
import resource
import signal
import sys

LIMITS = {name: getattr(resource, "RLIMIT_" + name.upper()) for name in ("nofile", "nproc", "core", "as")}


def opens(path):
    try:
        with open(path, "w") as file:
            file.write(f"through {path}\n")
        return True
    except OSError as error:
        return error.strerror


def has_terminal():
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
        return True
    except OSError:
        return False


def status(key):
    with open("/proc/self/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(key + ":"))


mask = os.umask(0)
told = {
    "argv": sys.argv[1:], "directory": os.getcwd(), "uids": os.getresuid(), "gids": os.getresgid(),
    "groups": sorted(os.getgroups()), "umask": oct(mask), "environment": dict(os.environ),
    "limits": {name: resource.getrlimit(number) for name, number in LIMITS.items()},
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "oom": int(open("/proc/self/oom_score_adj").read()),
    "leader": os.getsid(0) == os.getpid() == os.getpgrp(), "terminal": has_terminal(),
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "input": sys.stdin.read(), "blocked": status("SigBlk"), "pid": os.getpid(),
    # Python itself ignores PIPE and XFSZ.
    "ignored": sorted(n for n in range(1, 32) if int(status("SigIgn"), 16) >> (n - 1) & 1),
    "stdout": opens("/dev/stdout"), "stderr": opens("/dev/stderr"),
}
print("told " + json.dumps(told), flush=True)
while True:
    signal.pause()

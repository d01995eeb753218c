# SPDX-License-Identifier: MIT
"""Tries to break what is promised of supervision: S1 to S4, S6, L1, X2, X4, with the nastiest processes and peers."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from harness import BUILD, DROVERD, MESSAGES, alive, become_subreaper, descendants, processes, until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SLOW = 4 if "san" in BUILD.name else 1  # sanitizers: what is measured in time gets more of it

RULES = """
supervisor:
  probe: {interval: %(interval)s, timeout: %(timeout)s, start_period: 0s}
  restart: {min_interval: %(min_interval)s, jitter: %(jitter)s}
  stop: {timeout: %(stop)s}
http: {listen: "127.0.0.1:0"}
"""


def rules(**change):
    return RULES % {"interval": "200ms", "timeout": "200ms", "min_interval": "1h", "jitter": "0s", "stop": "2s", **change}


def services(**commands):
    """YAML of services: NAME=script or NAME={fields}."""
    text = "services:\n"
    for name, fields in commands.items():
        if not isinstance(fields, dict):
            fields = {"command": fields if isinstance(fields, list) else ["sh", "-c", fields]}
        text += f"  {name}: {json.dumps(fields)}\n"
    return text


def named(mark):
    """Living processes with this name; a process lives while one of its threads does."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit():
                head, rest = pathlib.Path("/proc", name, "stat").read_text().rsplit(")", 1)
                rest = rest.split()
                if head.endswith("(" + mark) and (rest[0] not in "ZX" or int(rest[17]) > 1):
                    found.append(int(name))
    return found


def boot_ms():
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


# -- S4, S1: nothing of a tree is left --

ANIMALS = ["grouped", "stubborn", "secretive", "headless", "asleep", "runner", "sprinter", "reaper"]


def zoo(mark, *kinds):
    return {"command": [PYTHON, str(HERE / "zoo.py"), mark, *kinds]}


@pytest.mark.parametrize("kind", ANIMALS)
def test_no_descendant_outlives_a_stop(drover, kind):
    mark = f"zoo{os.getpid() % 1000}{kind[:8]}"
    drover.start(rules(stop="300ms") + services(a=zoo(mark, kind, "wiped-" + kind)))
    until(lambda: len(named(mark)) >= 3, "the animals are there")
    since = time.monotonic()
    code, answer = drover.ask("stop", "a")
    assert time.monotonic() - since < 0.3 + 1 * SLOW, answer
    assert code == 0 and not named(mark), answer

# SPDX-License-Identifier: MIT
"""Restarts leave nothing behind in the supervisor's memory."""
import json
import pathlib

from given import SANITIZED
from harness import until



def own_kib(pid):
    """Memory that no file is behind. Whether a page is private at an instant hangs on the children that fork just then."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sizes["Anonymous"]


def restart_many(drover, restarts, slots=40):
    """(KiB after a tenth of the restarts, KiB after all)"""
    services = {f"a{i}": {"command": ["true"]} for i in range(slots)}
    drover.start("supervisor: {restart: {min_interval: 0s, jitter: 0s}}\nhttp: {listen: \"127.0.0.1:0\"}\n"
                 f"services: {json.dumps(services)}\n")
    patience = 60 + restarts / 20
    sizes = []
    for part in (restarts / 10, restarts):
        def enough():
            return sum(p["restarts"] for p in drover.status()["processes"] if p["kind"] == "service") >= part  # noqa: B023
        until(enough, f"{part:.0f} restarts", patience, pause=0.2)
        sizes.append(own_kib(drover.pid))
    return sizes


def test_two_thousand_restarts_cost_no_memory(drover):
    before, after = restart_many(drover, 2000)
    assert drover.stop() == 0  # a leak is told here, where there is a check for it
    assert SANITIZED or after - before < 200, (before, after)

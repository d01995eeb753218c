#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
side_by_side.py [--only-timing] FOLDER LOGS [FILES...]: runs the pytest files of a folder (all, or those that match), each in
a process of its own, one more at a time than there are processors, for tests mostly wait;
then, when nothing else runs, the tests that measure time, two at a time (marker `timing`, tests/integration/conftest.py).
With --only-timing nothing but these.
A few failures are tried once more, alone: what then passes is said to be UNSTEADY and does not fail the run.
The output of each lies in LOGS. The last line is "N passed, N failed in S s".
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
MOST_AGAIN = 8
TIMING = ("timing-1", "timing-2")
# The longest files first, and a file's length in lines goes well with its time; but for these.
LONGEST = ("test_quickstart",)  # builds all
NOTHING_COLLECTED = 5
Result = collections.namedtuple("Result", "name passed failed nodes seconds log")


def pytest(name, arguments, logs):
    """One pytest process. One that dies, or says nothing that can be counted, has failed."""
    log, began = logs / f"{name}.log", time.monotonic()
    # A folder of its own: at its start pytest closes the one that all have in common to other users, whoever is just in it.
    temporary = tempfile.mkdtemp(prefix="drover-")
    with open(log, "wb") as out:
        code = subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5",
                               *map(str, arguments)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1",
                                                          "PYTEST_DEBUG_TEMPROOT": temporary}).returncode
    if code in (0, NOTHING_COLLECTED):
        shutil.rmtree(temporary, ignore_errors=True)
    text = log.read_text(errors="replace")
    # Warnings may come behind it.
    closing = re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|skipped|deselected|error).* in [0-9.]+s.*)$", text, re.M)
    count = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", closing[-1] if closing else "")}
    nodes = sorted(set(re.findall(r"^(?:FAILED|ERROR) (tests\S*::.*?)(?: - .*)?$", text, re.M)))
    # A test whose fixture finds fault too is told twice, and is one.
    failed = len(nodes) or count.get("failed", 0) + count.get("error", 0)
    if not failed and (not closing or code not in (0, NOTHING_COLLECTED)):
        failed = 1
    return Result(name, count.get("passed", 0), failed, nodes, time.monotonic() - began, log)


def tell(result):
    print(f"{'ok' if not result.failed else 'FAILED':6} {result.seconds:5.0f} s  {result.name}: {result.passed} passed"
          + (f", {result.failed} failed" if result.failed else ""), flush=True)
    if result.failed:
        print("\n".join(result.log.read_text(errors="replace").splitlines()[-120:]), flush=True)
    for line in result.log.read_text(errors="replace").splitlines():
        if re.match(r"SKIPPED|.*\bSKIPPED\b", line):
            print(line, flush=True)


def again(results, logs):
    """How many of the failures pass alone."""
    nodes = [node for result in results for node in result.nodes]
    if len(nodes) > MOST_AGAIN or any(result.failed and not result.nodes for result in results):
        return 0
    steady = 0
    for i, node in enumerate(nodes):
        once_more = pytest(f"again-{i}", [node], logs)
        if once_more.passed and not once_more.failed:
            print(f"UNSTEADY: {node} passed alone", flush=True)
            steady += 1
    return steady


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only-timing", action="store_true")
    options.add_argument("folder", type=lambda name: ROOT / name)
    options.add_argument("logs", type=pathlib.Path)
    options.add_argument("files", nargs="*", default=["test_*.py"])
    options = options.parse_args()
    folder, logs, patterns = options.folder, options.logs, options.files
    logs.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    files = sorted({f for pattern in patterns for f in folder.glob(pattern)}, key=lambda f: (f.stem not in LONGEST, -f.stat().st_size))
    results = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() + 1) as pool:
        runs = [pool.submit(pytest, f.stem, ["-m", "not timing", f], logs) for f in files if not options.only_timing]
        for run in concurrent.futures.as_completed(runs):
            results.append(run.result())
            tell(results[-1])
    # They mostly wait too: two at a time, for there are two processors.
    with concurrent.futures.ThreadPoolExecutor(len(TIMING)) as pool:
        shares = [(name, files[i::len(TIMING)]) for i, name in enumerate(TIMING) if files[i:]]
        for result in pool.map(lambda share: pytest(share[0], ["-m", "timing", *share[1]], logs), shares):
            results.append(result)
            tell(result)
    steady = again(results, logs)
    passed, failed = sum(r.passed for r in results) + steady, sum(r.failed for r in results) - steady
    print(f"{passed} passed, {failed} failed in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


sys.exit(main())

#!/usr/bin/python3
"""
Each field of the configuration is obeyed: $DROVER_FIELD has droverd, the command line and the workers that read a file
themselves forget one leaf of the field tables, as if nobody had written it, and the test that tests/fields.txt names for it must
fail. The list of leaves comes from `drover config --schema`; kinds of workers and of jobs share their names.

    tests/fields.py --check      each leaf names a test that is there
    tests/fields.py --sample N   that, and N leaves at random
    tests/fields.py [FILTER]     that, and all leaves (some twenty minutes)
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/dev"
LIST = ROOT / "tests/fields.txt"
AT_A_TIME = 3  # they mostly wait


def leaves():
    """{leaf} of the tables, as DROVER_FIELD names them."""
    done = subprocess.run([BUILD / "bin/drover", "config", "--schema"], capture_output=True, timeout=60, check=True)
    schema = json.loads(done.stdout)

    def walk(node, path):
        for name, field in node.get("properties", {}).items():
            if "$comment" in field:
                yield ".".join([*path, name])
            yield from walk(field, [*path, name])
        for either in node.get("anyOf", []):
            yield from walk(either, path)
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                yield from walk(node[key], [*path, "*"])
    found = {re.sub(r"^workers\.\w+", "workers.*", leaf) for leaf in walk(schema, [])}
    for job in schema["$defs"].values():
        found |= set(walk(job, ["jobs", "*"]))
    return found


def named():
    """[(leaf, test)] of fields.txt."""
    pairs = []
    for line in LIST.read_text().splitlines():
        words = line.split("#")[0].split(None, 1)
        if len(words) == 2:
            pairs.append((words[0], words[1].strip()))
    return pairs


def exists(test):
    if test.startswith("unit/"):
        return pathlib.Path(command(test)[0][0]).exists()
    file, _, name = test.partition("::")
    path = ROOT / "tests" / file
    return path.exists() and f"def {name.split('[')[0]}(" in path.read_text()


def command(test):
    if test.startswith("unit/"):
        name, _, function = test.partition(":")
        room, file = name.split("/")[1:3]
        return [str(BUILD / "bin" / f"unit_{room}_{file}")], ({"CMOCKA_TEST_FILTER": function} if function else {})
    return ["/usr/bin/python3", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/" + test], {}


def run(test, leaf=None):
    """(whether it passed, what it said)"""
    argv, extra = command(test)
    env = dict(os.environ, DROVER_BUILD=str(BUILD), DROVER_SOURCE=str(ROOT), PYTHONDONTWRITEBYTECODE="1", **extra)
    env.pop("DROVER_FIELD", None)
    if leaf:
        env |= {"DROVER_FIELD": leaf, "DROVER_PATIENCE": env.get("DROVER_PATIENCE", "0.4")}
    try:
        done = subprocess.run(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                              stdin=subprocess.DEVNULL)
        text = done.stdout.decode(errors="replace")
        # A test that was skipped looks at nothing, and one that was not found neither.
        looked = done.returncode in (0, 1) and not re.search(r"\b[0-9]+ skipped", text) if argv[0].endswith("python3") else True
        return done.returncode == 0 or not looked, text
    except subprocess.TimeoutExpired:
        return False, "timed out"


def check(pairs):
    """The list is complete, and names tests that are there. @return words of what is wrong"""
    tables, listed = leaves(), [leaf for leaf, _ in pairs]
    yield from (f"{leaf} names no test in tests/fields.txt" for leaf in sorted(tables - set(listed)))
    yield from (f"{leaf} of tests/fields.txt is no field" for leaf in sorted(set(listed) - tables))
    yield from (f"{leaf} is named twice" for leaf in sorted({leaf for leaf in listed if listed.count(leaf) > 1}))
    yield from (f"{leaf}: {test} is not there" for leaf, test in pairs if test != "-" and not exists(test))


class Clean:
    """Each test must pass when nothing is forgotten: it runs so once, whoever needs it first."""

    def __init__(self):
        self.lock, self.known = threading.Lock(), {}

    def passes(self, test):
        with self.lock:
            future = self.known.get(test)
            mine = future is None
            if mine:
                future = self.known[test] = concurrent.futures.Future()
        if mine:
            future.set_result(run(test)[0] or run(test)[0])
        return future.result()


def judge(clean, leaf, test):
    passed, text = run(test, leaf)
    if passed:
        return "NOT CAUGHT", text
    return ("ok" if clean.passes(test) else "BROKEN without it"), ""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("filter", nargs="?", default="")
    options.add_argument("--check", action="store_true")
    options.add_argument("--sample", type=int, default=0)
    options = options.parse_args()
    pairs, bad = named(), 0
    for words in check(pairs):
        print(f"NOT CAUGHT {words}", flush=True)
        bad += 1
    if not bad:
        print(f"ok each of {len(pairs)} fields names a test", flush=True)
    unproved = [leaf for leaf, test in pairs if test == "-"]
    whole = not options.check and not options.sample
    for leaf in unproved:
        print(f"{'NOT CAUGHT' if whole else 'UNPROVED'} {leaf}: no test yet", flush=True)
        bad += whole
    todo = [pair for pair in pairs if options.filter in pair[0] and pair[1] != "-"]
    if options.check:
        todo = []
    elif options.sample:
        todo = random.sample(todo, min(options.sample, len(todo)))
    clean = Clean()
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        futures = {pool.submit(judge, clean, *pair): pair for pair in todo}
        for future in concurrent.futures.as_completed(futures):
            leaf, test = futures[future]
            verdict, text = future.result()
            bad += verdict != "ok"
            print(f"{verdict} {leaf} forgotten by {test}", flush=True)
            if verdict == "NOT CAUGHT":
                print("\n".join("    " + line for line in text.splitlines()[-5:]), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""
Planted bugs: each line of common/base/mutants.def names a test that must pass without it and fail with it.
A test is a ctest name ("unit/store/test_x", optionally "unit/store/test_x:one_test_function"), a pytest node
("integration/test_x.py::test_y") or a fuzz target ("fuzz_x": must find the planted crash within 120 s, corpus as seeds).
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/dev"
FUZZ_SECONDS = 120


def lines():
    text = (ROOT / "common/base/mutants.def").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for match in re.finditer(r'MUTANT_LINE\(\s*(\w+)\s*,\s*"([^"]+)"\s*,\s*"([^"]+)"', text):
        yield match.groups()


def environment(mutant):
    env = dict(os.environ, DROVER_BUILD=str(BUILD), DROVER_SOURCE=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
    env.pop("DROVER_MUTANT", None)
    if mutant:
        env["DROVER_MUTANT"] = mutant
    return env


def command(test):
    if test.startswith("unit/"):
        name, _, function = test.partition(":")
        room, file = name.split("/")[1:3]
        run = [str(BUILD / "bin" / f"unit_{room}_{file}")]
        return run, ({"CMOCKA_TEST_FILTER": function} if function else {})
    node = "tests/" + test
    return ["/usr/bin/python3", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", node], {}


def exists(test):
    """A test that cannot even start would "fail with the bug"."""
    if test.startswith("fuzz_"):
        return (ROOT / "build/fuzz/bin" / test).exists()
    if test.startswith("unit/"):
        return pathlib.Path(command(test)[0][0]).exists()
    file, _, name = test.partition("::")
    file = ROOT / "tests" / file
    return file.exists() and f"def {name.split('[')[0]}(" in file.read_text()


def run(test, mutant, timeout):
    argv, extra = command(test)
    try:
        done = subprocess.run(argv, cwd=ROOT, env=environment(mutant) | extra, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return -1, "timed out\n" + (late.stdout or b"").decode(errors="replace")


def hunt(test, mutant):
    """A fuzz target: the planted crash must be found from the corpus."""
    target = ROOT / "build/fuzz/bin" / test
    corpus = ROOT / "tests/fuzz/corpus" / test.removeprefix("fuzz_")
    with tempfile.TemporaryDirectory() as work:
        argv = [str(target), f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-seed=1",
                f"-artifact_prefix={work}/", work, str(corpus)]
        done = subprocess.run(argv, cwd=ROOT, env=environment(mutant), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=FUZZ_SECONDS + 60, stdin=subprocess.DEVNULL)
        crashes = list(pathlib.Path(work).glob("crash-*"))
        return bool(crashes), done.stdout.decode(errors="replace")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--filter", default="")
    options = options.parse_args()
    bad = 0
    clean = {}
    for mutant, test, what in lines():
        if options.filter and options.filter.lower() not in f"{mutant} {test}".lower():
            continue
        if not exists(test):
            verdict, text = "BROKEN, the test is not there:", ""
        elif test.startswith("fuzz_"):
            found, text = hunt(test, mutant)
            verdict = "ok" if found else "NOT CAUGHT"
        else:
            if test not in clean:
                clean[test] = run(test, None, 300)
            code, text = clean[test]
            if code != 0:
                verdict = "BROKEN without the bug"
            else:
                code, text = run(test, mutant, 300)
                verdict = "ok" if code != 0 else "NOT CAUGHT"
        print(f"{verdict} {mutant} by {test} ({what})", flush=True)
        if verdict != "ok":
            bad += 1
            print("\n".join("    " + line for line in text.splitlines()[-30:]))
    return 1 if bad else 0


sys.exit(main())

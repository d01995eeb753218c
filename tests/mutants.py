#!/usr/bin/python3
"""
Planted bugs: each line of common/base/mutants.def names a test that must pass without it and fail with it.
A test is a ctest name ("unit/store/test_x", optionally "unit/store/test_x:one_test_function"), a pytest node
("integration/test_x.py::test_y") or a fuzz target ("fuzz_x": must find the planted crash within 120 s, corpus as seeds).
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/dev"
FUZZ_SECONDS = 120
AT_A_TIME = 2  # they mostly wait, and so does what runs beside them
# What `tests/run mutants supervisor` must find there and see caught: the bugs that supervisors really have.
SETS = {"collect": ("LIMIT_STAMPED_AT_SENDING", "URL_TEXT_JUDGED", "BODY_BUFFERED_WHOLE", "CREDENTIALS_KEPT"),
        "queue": ("ACK_IN_SECOND_TRANSACTION", "NEXT_DUE_IN_OWN_TRANSACTION", "ATTEMPT_COUNTED_AT_END", "FENCE_NOT_CHECKED",
                  "OVERLAP_BY_CHECK", "CONCURRENCY_OF_ONE_PROCESS"),
        "supervisor": ("MAIN_DEATH_STARTS", "STALE_ANSWER_COUNTS", "FOUR_STRIKES", "INTERVAL_ON_WALL_CLOCK",
                       "ONLY_GROUP_KILLED", "WANTED_STATE_FORGOTTEN", "CONFIG_SWAPPED_BEFORE_CHECKS", "LOG_PUMP_READ_WRITE",
                       "ROTATION_BY_AGE_ONLY", "NO_PEER_CREDENTIALS")}


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


class Runs:
    """Each test without a bug runs once, whoever needs it first, and once more if it fails."""

    def __init__(self, passed_before):
        self.lock = threading.Lock()
        self.clean = {}
        self.passed_before = passed_before

    def without_bug(self, test):
        with self.lock:
            future = self.clean.get(test)
            mine = future is None
            if mine:
                future = self.clean[test] = concurrent.futures.Future()
        if mine:
            try:
                # It only has to be able to pass: a bug is caught by a failure with it, which gets no second try.
                code, text = run(test, None, 300)
                if code != 0:
                    print(f"UNSTEADY: {test} failed once without a bug", flush=True)
                    code, text = run(test, None, 300)
                future.set_result((code, text))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def judge(self, mutant, test):
        """(verdict, what the test said)"""
        if not exists(test):
            return "BROKEN, the test is not there:", ""
        if test.startswith("fuzz_"):
            found, text = hunt(test, mutant)
            return "ok" if found else "NOT CAUGHT", text
        if not self.passed_before(test):
            code, text = self.without_bug(test)
            if code != 0:
                return "BROKEN without the bug", text
        code, text = run(test, mutant, 300)
        return "ok" if code != 0 else "NOT CAUGHT", text


def passed_in(logs):
    """
    Which tests need no run without a bug: those that just passed in a whole run whose logs begin with this ("build/dev").
    Of a file with a failure, nothing is taken for granted.
    """
    if not logs:
        return lambda test: False
    unit = pathlib.Path(f"{logs}.unit.log").read_text(errors="replace")
    units = set(re.findall(r"Test +#\d+: (\S+) \.* +Passed", unit))

    def passed(test):
        if test.startswith("unit/"):
            return test.partition(":")[0] in units
        file, _, _ = test.partition("::")
        log = pathlib.Path(f"{logs}.integration") / f"{pathlib.Path(file).stem}.log"
        text = log.read_text(errors="replace") if file.startswith("integration/") and log.exists() else ""
        closing = re.findall(r"^(?:=+ )?(\d+ passed.*) in [0-9.]+s", text, re.M)
        return bool(closing) and not re.search("failed|error|skipped", closing[-1])
    return passed


def chosen(words):
    """The lines that a filter means: one of SETS, or part of a name or test."""
    named = SETS.get(words, ())
    return [line for line in lines()
            if not words or line[0] in named or words.lower() in f"{line[0]} {line[1]}".lower()]


def tell(mutant, test, what, verdict, text):
    print(f"{verdict} {mutant} by {test} ({what})", flush=True)
    if verdict != "ok":
        print("\n".join("    " + line for line in text.splitlines()[-30:]), flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--filter", default="")
    options.add_argument("--passed", metavar="LOGS", help="the logs of a whole run: what passed there is only run with the bug")
    options = options.parse_args()
    bad, todo, runs = 0, chosen(options.filter), Runs(passed_in(options.passed))
    for name in set(SETS.get(options.filter, ())) - {line[0] for line in todo}:
        tell(name, "nothing", "it must be in mutants.def", "BROKEN, the bug is not there:", "")
        bad += 1
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        futures = {pool.submit(runs.judge, *line[:2]): line for line in todo}
        for future in concurrent.futures.as_completed(futures):
            verdict, text = future.result()
            bad += verdict != "ok"
            tell(*futures[future], verdict, text)
    return 1 if bad else 0


sys.exit(main())

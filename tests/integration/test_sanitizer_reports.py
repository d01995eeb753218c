# SPDX-License-Identifier: MIT
"""What tests/run takes for a report of a sanitizer (tests/sanitizer_reports)."""
import subprocess

import pytest

from harness import ROOT

KILLED = "==25025==Unable to get registers from thread 25024.\n"
LEAK = "==7==ERROR: LeakSanitizer: detected memory leaks\n"
RACE = "WARNING: ThreadSanitizer: data race (pid=7)\n"


def reports(folder):
    done = subprocess.run([ROOT / "tests/sanitizer_reports", folder], stdout=subprocess.PIPE, text=True)
    assert done.returncode == bool(done.stdout)
    return done.stdout.splitlines()


def test_no_report_is_none(tmp_path):
    assert reports(tmp_path) == [] and reports(tmp_path / "missing") == []


@pytest.mark.parametrize("text", [KILLED, KILLED * 3])
def test_a_leak_check_that_a_kill_ended_is_no_report(tmp_path, text):
    (tmp_path / "report.25024").write_text(text)
    assert reports(tmp_path) == []


@pytest.mark.parametrize("text", [LEAK, RACE, KILLED + LEAK, LEAK + KILLED, KILLED[:-2] + "\n", " " + KILLED, KILLED + "\n",
                                  KILLED.replace("Unable", "==8==Unable"), ""])
def test_every_other_file_is_a_report(tmp_path, text):
    (tmp_path / "report.25024").write_text(text)
    (tmp_path / "report.1").write_text(KILLED)
    assert reports(tmp_path) == [str(tmp_path / "report.25024")]

# SPDX-License-Identifier: MIT
"""
`drover check` on the broken configurations: each error at the line and column that its sidecar names, and no other;
exit code 78, soon, in little memory. (The unit test config/test_broken asks the same of the reader itself.)
"""
import re
import resource
import subprocess

import pytest

from given import SANITIZED
from harness import BUILD, ROOT

DROVER = BUILD / "bin/drover"
BROKEN = ROOT / "tests/integration/broken"
SIDECARS = sorted(BROKEN.glob("*.expect"))
EXPECTED = re.compile(r"(?:([^:]*[^:\d][^:]*):)?(\d+):(\d+): ?(.*)")
ERROR = re.compile(r"^(.*?):(\d+):(\d+): error: (.*)$")


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))


def check(*files, env=None):
    return subprocess.run([str(DROVER), "check", *map(str, files)], capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL, preexec_fn=limits,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"} | (env or {}))


def main_file(sidecar):
    stem = sidecar.with_suffix("")
    return stem / "drover.yaml" if stem.is_dir() else sidecar.with_suffix(".yaml")


def expected(sidecar, main):
    for line in sidecar.read_text().splitlines():
        name, row, column, text = EXPECTED.fullmatch(line).groups()
        yield str(main.parent / name) if name else str(main), int(row), int(column), text


def test_there_are_enough_broken_files():
    assert len(SIDECARS) >= 40


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_each_error_is_named_at_its_place(sidecar):
    main = main_file(sidecar)
    done = check(main)
    said = (done.stderr + done.stdout).decode()
    assert done.returncode == 78, said
    errors = [(m[1], int(m[2]), int(m[3]), m[4]) for m in map(ERROR.match, said.splitlines()) if m]
    for file, row, column, text in expected(sidecar, main):
        hit = next((e for e in errors if e[:3] == (file, row, column) and text in e[3]), None)
        assert hit, f"{file}:{row}:{column}: {text} is not in:\n{said}"
        errors.remove(hit)
    assert not errors, said


def test_the_example_is_accepted():
    done = check(ROOT / "etc/drover.yaml")
    assert done.returncode == 0, done.stderr.decode()


def test_a_secret_of_the_environment_is_not_shown(tmp_path):
    file = tmp_path / "drover.yaml"
    file.write_text('logs: {level: "${SECRET}"}\n')
    done = check(file, env={"SECRET": "hunter2"})
    assert done.returncode == 78
    assert b"hunter2" not in done.stderr + done.stdout

# SPDX-License-Identifier: MIT
"""packaging/quickstart and packaging/install as a newcomer meets them: a fresh clone, an empty environment."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT

NOBODY = 65534


@pytest.fixture
def clone():
    """A fresh clone in a short folder that belongs to an ordinary user when we may give it away."""
    folder = pathlib.Path(f"/tmp/drover-q{os.getpid()}")
    subprocess.run(["git", "-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", ROOT, folder], check=True,
        env={**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(words, cwd, user=None, timeout=900):
    return subprocess.run(["env", "-i", *words], cwd=cwd, user=user, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=timeout)


def ordinary():
    return NOBODY if os.geteuid() == 0 else None


def test_one_command_from_a_fresh_clone_to_the_demo_in_an_empty_environment(clone):
    if BUILD.name not in ("dev", "release"):
        pytest.skip("builds release: nothing else than in the run without sanitizers")
    done = run(["packaging/quickstart"], clone, ordinary())
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.count("  good ") == 4
    shutil.rmtree(re.search(r"everything lies in (/tmp/drover-demo-\S+)", done.stdout).group(1))


def test_a_folder_that_cannot_be_written_is_said_so(clone):
    if os.geteuid() != 0:
        pytest.skip("needs root to take the folder away")
    subprocess.run(["chown", "-R", "root:root", clone], check=True)
    done = run(["packaging/quickstart"], clone, NOBODY)
    assert done.returncode == 1
    assert f"{clone}/build cannot be written" in done.stderr


def test_without_sudo_missing_packages_are_named_and_nothing_is_asked(clone):
    if os.geteuid() != 0 and shutil.which("sudo"):
        pytest.skip("this user may have sudo")
    with open(clone / "packaging/packages/demo", "a") as f:
        f.write("drover-no-such-package\n")
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "-u", "nobody", "sudo", "-n", "true"], capture_output=True).returncode == 0:
        pytest.skip("nobody may use sudo here")
    done = run(["packaging/quickstart"], clone, ordinary())
    assert done.returncode == 1
    assert "apt-get install -y --no-install-recommends drover-no-such-package" in done.stderr
    assert "building" not in done.stdout


def test_a_list_with_nothing_missing_touches_nothing(clone):
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    before = policy.read_bytes() if policy.exists() else None
    done = run(["packaging/install", "demo"], clone, ordinary())
    assert done.returncode == 0 and done.stdout == "" and done.stderr == ""
    assert (policy.read_bytes() if policy.exists() else None) == before

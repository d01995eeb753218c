# SPDX-License-Identifier: MIT
"""X3: nothing is led to a private address. The tests run in a network and a mount namespace of their own, where a public
address is ours to serve and names mean what we say: private_world.py, which this file starts there."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

WORLD = pathlib.Path(__file__).parent / "private_world.py"
NAMES = re.findall(r"^def (test_\w+)", WORLD.read_text(), re.M)


def enter():
    """The command that opens the namespaces; None where the kernel does not let us."""
    command = ["unshare", "-n", "-m", *([] if os.geteuid() == 0 else ["-r"])]
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else None


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    command = enter()
    if command is None:
        pytest.skip("no namespaces here")
    done = subprocess.run([*command, sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider",
                           f"--basetemp={tmp_path_factory.mktemp('world')}", str(WORLD)],
                          capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL)
    print(done.stdout[-8000:], done.stderr[-2000:])
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leads_to_a_private_address(outcome, name):
    assert re.search(rf"^PASSED .*::{name}$", outcome, re.M), outcome[-8000:]

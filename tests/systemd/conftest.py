# SPDX-License-Identifier: MIT
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import machine as machines  # noqa: E402


@pytest.fixture(scope="session")
def machine():
    if os.geteuid() != 0:
        pytest.skip("only root can boot a systemd of its own")
    one = machines.Machine()
    try:
        yield one.start()
    finally:
        one.stop()

# SPDX-License-Identifier: MIT
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402


@pytest.fixture
def drover(tmp_path_factory):
    """One droverd in a folder of its own; nothing of it may be left when the test is over."""
    harness.become_subreaper()
    folder = tmp_path_factory.mktemp("d")
    one = harness.Drover(folder)
    yield one
    left = one.end()
    assert not left, f"processes left over: {left}"

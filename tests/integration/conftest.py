# SPDX-License-Identifier: MIT
import inspect
import pathlib
import re
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from cgroups import private_group  # noqa: E402

# Who asks how long something took, or how much time of the processor.
MEASURES = re.compile(r"\* SLOW\b|\b(monotonic|perf_counter|time)\(\) - |\b(cpu_s|seconds)\(|def test_\w*_in_time")


def pytest_configure(config):
    # A shell that starts us with & has these ignored, and our children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    config.addinivalue_line("markers", "timing: measures time, so it runs beside one other such test at most; found by itself where "
                                       "the test's own lines do it, else to be written")


def pytest_collection_modifyitems(items):
    for item in items:
        if MEASURES.search(inspect.getsource(item.function)):
            item.add_marker(pytest.mark.timing)


@pytest.fixture
def drover(tmp_path_factory):
    """One droverd in a folder of its own; nothing of it may be left when the test is over."""
    harness.become_subreaper()
    folder = tmp_path_factory.mktemp("d")
    one = harness.Drover(folder)
    yield one
    left = one.end()
    assert not left, f"processes left over: {left}"


@pytest.fixture
def delegated(drover):
    """droverd in a group that was delegated to it; all groups of slots are gone when it has ended."""
    with private_group() as group:
        drover.prefix = group.enter
        yield group
        drover.end()


@pytest.fixture(params=["sweep", "cgroup"])
def contained(request, drover):
    """One way of containment after the other: None, or the delegated group."""
    return request.getfixturevalue("delegated") if request.param == "cgroup" else None

# SPDX-License-Identifier: MIT
"""A private cgroup2 group for a test, delegated or not; nothing of it is left afterwards."""
import contextlib
import itertools
import os
import pathlib
import signal

import pytest

from harness import until

numbers = itertools.count()


def hierarchy():
    """Where cgroup2 is mounted and writable for us, None without it."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(",") and os.access(point, os.W_OK):
            return pathlib.Path(point)
    return None


def members(path):
    """Pids of a group and all below it."""
    found = []
    for below, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            found += [int(n) for n in pathlib.Path(below, "cgroup.procs").read_text().split()]
    return found


class Group:
    def __init__(self, path, mark=True):
        self.path = path
        path.mkdir()
        if mark:
            os.setxattr(path, "user.delegate", b"1")

    @property
    def enter(self):
        """For Drover.prefix: what it starts begins in the group."""
        return ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs && exec "$@"', "sh"]

    def groups(self):
        """Names of the groups of slots."""
        return sorted(p.name for p in self.path.iterdir() if p.is_dir())

    def pids(self, slot=None):
        """Who is in the group itself, or in the groups of a slot and below them."""
        if not slot:
            return [int(n) for n in (self.path / "cgroup.procs").read_text().split()]
        return [pid for path in self.path.glob(f"drover-*-{slot}") for pid in members(path)]

    def give_to(self, uid):
        """As systemd does with User= and Delegate=yes."""
        for name in (".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(self.path / name, uid, uid)

    def remove(self):
        """@return what was left in it"""
        left = self.groups()
        for pid in members(self.path):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for below, _, _ in os.walk(self.path, topdown=False):
            until(lambda: self.try_remove(below), "the group is empty")  # noqa: B023
        return left

    @staticmethod
    def try_remove(path):
        with contextlib.suppress(OSError):
            os.rmdir(path)
        return not os.path.exists(path)


@contextlib.contextmanager
def private_group(mark=True):
    top = hierarchy()
    if os.geteuid() != 0 or not top:
        pytest.skip("needs root and a writable cgroup2")
    group = Group(top / f"test-{os.getpid()}-{next(numbers)}", mark)
    try:
        yield group
    finally:
        left = group.remove()
    assert not left, f"groups left over: {left}"

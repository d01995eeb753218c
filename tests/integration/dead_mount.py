# SPDX-License-Identifier: MIT
"""A mount whose server does not answer, as a network file system that is gone: who looks into it hangs."""
import contextlib
import ctypes
import os
import pathlib

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
MNT_FORCE, MNT_DETACH = 1, 2


@contextlib.contextmanager
def dead_mount(point):
    """Whatever is below `point` hangs until the end, and fails with ENOTCONN then."""
    point = pathlib.Path(point)
    point.mkdir()
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs root and /dev/fuse")
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other"
    if LIBC.mount(b"dead", bytes(point), b"fuse.dead", 0, options.encode()) == -1:
        os.close(server)
        pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    try:
        yield point
    finally:
        os.close(server)
        LIBC.umount2(bytes(point), MNT_DETACH | MNT_FORCE)

# SPDX-License-Identifier: MIT
"""
A service whose tree holds memory, for tests of what is done about it. USR1: MIB more, USR2: none of that any more;
each answered by a line with what is held. At TERM it says so and exits with CODE.

    python3 growing.py MIB main      the main process holds it
    python3 growing.py MIB child     a child in a session of its own does
    python3 growing.py MIB forks     the main process holds MIB from the start and four forks have that in common with it
"""
import mmap
import os
import signal
import sys

mib, where = int(sys.argv[1]), sys.argv[2]
held = []


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # print() may not be called within itself


def grow(*_):
    block = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, mib << 20, 4096):
        block[at] = 1
    held.append(block)
    say("holds", mib * len(held))


def shrink(*_):
    for block in held:
        block.close()
    held.clear()
    say("holds", 0)


def leave(*_):
    say("told to end")
    os._exit(0)


if where == "forks":
    grow()
    for _ in range(4):
        if os.fork() == 0:
            break
elif where == "child":
    child = os.fork()
    if child == 0:
        os.setsid()
    else:
        signal.signal(signal.SIGUSR1, lambda *_: os.kill(child, signal.SIGUSR1))
        signal.signal(signal.SIGTERM, leave)
if where != "child" or child == 0:
    signal.signal(signal.SIGUSR1, grow)
    signal.signal(signal.SIGUSR2, shrink)
    signal.signal(signal.SIGTERM, leave)
say("up")
while True:
    signal.pause()

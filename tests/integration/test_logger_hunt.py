# SPDX-License-Identifier: MIT
"""
L1 and L2 hunted: drover-log and its compressing child are killed where it hurts, the disk is full or stands still, and
somebody plants links where logs are written. drover-log runs alone under a parent that plays droverd, unless the rest
of drover is what must not be held up.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import random
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
import time

import pytest

from given import SLOW
from harness import alive, comm, processes, until
from test_logger import CATEGORIES, Parent, Writer, no_test_hangs, parent, records, text  # noqa: F401 (fixtures)

LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def parent_of(tmp_path):
    """parent_of(compress=True): one with settings of its own."""
    made = []

    def make(**settings):
        made.append(Parent(tmp_path, **settings))
        return made[-1]
    yield make
    for one in made:
        one.close()


def seed():
    chosen = int(os.environ.get("DROVER_SEED", "0")) or random.randrange(1, 1 << 30)
    print(f"seed {chosen}")
    return chosen


def backups(logs, name):
    """{number: [paths]}; a number may be there plain and compressed."""
    found = {}
    for path in logs.iterdir():
        match = re.fullmatch(re.escape(name) + r"\.log(?:\.(\d+)(?:\.zst)?)?", path.name)
        if match:
            found.setdefault(int(match[1] or 0), []).append(path)
    return found


def whole(logs, name):
    """The text of a log that rests, oldest first, and how many of its files are compressed. Nothing may be there twice."""
    parts, packed = [], 0
    for number, paths in sorted(backups(logs, name).items(), reverse=True):
        assert len(paths) == 1, f"number {number} is there twice"
        if paths[0].suffix == ".zst":
            parts.append(subprocess.run(["zstd", "-dcq", paths[0]], capture_output=True, check=True).stdout)
            packed += 1
        else:
            parts.append(paths[0].read_bytes())
    return b"".join(parts), packed


def check_whole(logs, writer):
    """Each line that the writer has written is there once and in order."""
    log, packed = whole(logs, writer.name)
    count, seen = writer.count(), [int(line.split(b" ", 1)[0]) for line in log.splitlines()]
    assert count > 0 and seen in (list(range(1, count + 1)), list(range(1, count + 2))), (
        f"{writer.name}: wrote {count}, found {len(seen)}, {len(set(range(1, count + 1)) - set(seen))} lost, "
        f"{len(seen) - len(set(seen))} doubled, in order: {seen == sorted(seen)}")
    return packed


IN_MOVED_FROM, IN_CREATE = 0x40, 0x100


class Watch:
    """Tells what is done in a folder, at that instant."""

    def __init__(self, folder, what):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert LIBC.inotify_add_watch(self.fd, os.fsencode(folder), ctypes.c_uint32(what)) >= 0

    def read(self):
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, 1 << 16)
        return b""

    def next(self, name=b""):
        """Of a file with that in its name; what was before does not count."""
        while self.read():
            pass
        deadline = time.monotonic() + 60
        while select.select([self.fd], [], [], 1)[0] is not None:
            if name in self.read() or time.monotonic() > deadline:
                break
        assert time.monotonic() < deadline, "nothing happens"

    def close(self):
        os.close(self.fd)


# -- kills --


def test_kills_in_the_middle_of_a_rotation_lose_and_double_nothing(parent):  # noqa: F811
    """With 60 backups a rotation is 61 renames: a kill at the first of them leaves a gap in the numbers."""
    writer = Writer(parent, "w", seed(), max_size=20_000, backups=60)
    # Backups of an earlier time, so that there is much to rename. None of them reaches the end.
    for number in range(1, 41):
        (parent.logs / f"w.log.{number}").write_bytes(b"%d old\n" % -number)
    moves = Watch(parent.logs, IN_MOVED_FROM)
    struck = 0
    for _ in range(60):
        parent.start()
        moves.next()
        parent.kill()
        numbers = sorted(backups(parent.logs, "w"))
        struck += numbers != list(range(numbers[-1] + 1)) and numbers != list(range(1, numbers[-1] + 1))
        if struck >= 8 or len(numbers) > 55:
            break
    writer.kill()
    moves.close()
    parent.start()
    parent.stop()
    assert struck >= 5, f"only {struck} kills fell into a rotation"
    log, _ = whole(parent.logs, "w")
    seen = [int(line.split(b" ", 1)[0]) for line in log.splitlines()]
    count = writer.count()
    assert seen[:40] == list(range(-40, 0)) and seen[40:40 + count] == list(range(1, count + 1))
    assert len(seen) - count - 40 in (0, 1)


def packing(pid):
    """The compressing child of a drover-log, looked for fast."""
    with contextlib.suppress(OSError):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def parts(house):
    return [entry.name for entry in os.scandir(house.logs) if re.fullmatch(r"\.w\d\.log\.zst", entry.name)]


def children(pid, name):
    return [child for child, (its_parent, state) in processes().items()
            if its_parent == pid and state not in "ZX" and comm(child).startswith(name)]


def test_kills_of_the_writer_of_drover_log_and_of_its_compressing_child_leave_each_line_once(parent_of):
    dice = random.Random(seed())
    house = parent_of(compress=True)
    writers = [Writer(house, f"w{i}", dice.randrange(1 << 30), max_size=200_000, backups=2000) for i in range(2)]
    made = Watch(house.logs, IN_CREATE)
    kills = {"drover-log": 0, "child": 0}
    try:
        house.start()
        while min(kills.values()) < 12:
            made.next(b".log.zst\0")
            child = until(lambda: packing(house.pid) or not parts(house), "it packs or has packed")
            time.sleep(dice.random() * 0.003)  # into it, or behind its end
            if kills["child"] <= kills["drover-log"]:
                if child is not True and packing(house.pid) == child:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child[0], signal.SIGKILL)
                        kills["child"] += 1
                continue
            kills["drover-log"] += bool(parts(house))
            house.kill()
            until(lambda: child is True or not alive(child[0]), "the child goes with it")  # noqa: B023
            house.start()
        assert min(kills.values()) >= 12, kills
    finally:
        for writer in writers:
            writer.kill()
    # The last one takes up what was left, of each log, and leaves no part.
    until(lambda: not packing(house.pid), "what failed last has been told")
    house.send("LOG_ROTATE")
    until(lambda: not packing(house.pid) and not [p for p in house.logs.iterdir() if re.fullmatch(r"w\d\.log\.\d+", p.name)], "all is compressed")
    house.stop()
    made.close()
    assert [check_whole(house.logs, writer) > 3 for writer in writers] == [True, True]
    assert not parts(house), "a part is left"


def test_writers_killed_in_the_middle_of_a_line_are_ended_and_the_next_ones_whole(parent):  # noqa: F811
    """A line of several writes, the writer killed within it, drover-log too, over and over: the mark comes once each time."""
    fd = parent.fifo("w", max_size=3000, backups=1000)
    dice = random.Random(seed())
    for n in range(40):
        parent.start()
        os.write(fd, b"%d whole\n%d half" % (n, n))
        dead_first = dice.random() < 0.5
        if dead_first:
            parent.kill()
            parent.start()
        parent.send("LOG_HALF_LINE", text("w"))
        assert parent.hear()[1] == text("w"), "it is ended before it is told"
        os.write(fd, b"%d next\n" % n)
        if dice.random() < 0.5:
            parent.kill()
        else:
            parent.stop()
    parent.start()
    parent.stop()
    log, _ = whole(parent.logs, "w")
    assert log == b"".join(b"%d whole\n%d half [drover: line not ended]\n%d next\n" % (n, n, n) for n in range(40))


# -- the disk --


@contextlib.contextmanager
def mounted(point, *command):
    if os.geteuid() != 0 or subprocess.run(["mount", *command, point], check=False, capture_output=True).returncode:
        pytest.skip("needs root and mount")
    try:
        yield point
    finally:
        subprocess.run(["fsfreeze", "-u", point], check=False, capture_output=True)
        try:
            until(lambda: subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0, "nobody is in it")
        except AssertionError:
            subprocess.run(["umount", "-l", point], check=False)
            raise


def test_a_disk_that_is_really_full_blocks_no_writer_and_every_byte_is_accounted_for(parent_of, tmp_path):
    (tmp_path / "logs").mkdir()
    with mounted(tmp_path / "logs", "-t", "tmpfs", "-o", "size=1m", "none"):
        house = parent_of()
        for stem in CATEGORIES:
            house.fifo(stem)
        fd = house.fifo("w", max_size=150_000, backups=100)
        ballasts = [house.logs / f"ballast{i}" for i in range(3)]
        for ballast in ballasts:
            ballast.write_bytes(bytes(100_000))
        house.start()
        written, slowest = 0, 0.0
        for ballast in ballasts:  # full, with room again, full again
            for _ in range(1500):
                began = time.monotonic()
                written += os.write(fd, b"z" * 999 + b"\n")
                slowest = max(slowest, time.monotonic() - began)
            # What waits in the pipe would take the room that is made for the mark.
            until(lambda: struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0] == 0, "the pipe is empty")
            marks = parent_marks(house)
            ballast.unlink()
            until(lambda: len(parent_marks(house)) > len(marks), "the log tells it")  # noqa: B023
        written += os.write(fd, b"the last line\n")
        house.stop()
        log, _ = whole(house.logs, "w")
    marks = re.findall(rb"^\[drover: (\d+) bytes dropped: No space left on device\]\n", log, re.M)
    told = sum(map(int, marks))
    assert len(marks) >= 3 and told > 2_000_000 and slowest < 3 * SLOW
    # A mark begins a line: where the disk cut one, a line end more than was written stands before it.
    ends = len(log) - sum(len(b"[drover:  bytes dropped: No space left on device]\n") + len(m) for m in marks) + told - written
    assert 0 <= ends <= len(marks)
    assert all(re.fullmatch(rb"z*|the last line|\[drover: .*\]", line) for line in log.splitlines())
    assert log.endswith(b"\nthe last line\n")


def parent_marks(house):
    return re.findall(rb"bytes dropped", house.read("w"))


FROZEN = """
supervisor: {probe: {interval: 1s, timeout: 1s, start_period: 50ms, failures: 2}, restart: {min_interval: 50ms, jitter: 0s}, stop: {timeout: 1s}}
http: {listen: "127.0.0.1:0"}
services:
  chatty: {command: [sh, -c, "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done"]}
  mortal: {command: [sleep, '1000']}
  asked: {command: [sleep, '1000'], probe: {exec: [test, -e, "%s/well"]}}
"""


@contextlib.contextmanager
def disk_for_logs(drover, folder):
    """A file system of their own."""
    image, disk = folder / "image", folder / "disk"
    disk.mkdir()
    image.write_bytes(bytes(16 << 20))
    subprocess.run(["/sbin/mkfs.ext4", "-q", image], check=True)
    with mounted(disk, "-o", "loop", image):
        drover.logs = disk / "logs"
        yield disk


def freeze(drover, disk):
    """Until drover-log, whose pid comes back, hangs in it."""
    subprocess.run(["fsfreeze", "-f", disk], check=True)
    logger = next(pid for pid in children(drover.pid, "drover-log"))
    until(lambda: processes()[logger][1] == "D", "drover-log stands still")
    return logger


def test_a_log_disk_that_stands_still_stalls_nothing_but_the_logs(drover, tmp_path):
    """Services go on and are restarted, probes are asked, commands answered; when it moves again every line is there."""
    with disk_for_logs(drover, tmp_path) as disk:
        well = drover.folder / "well"
        well.touch()
        drover.start(FROZEN % drover.folder)
        drover.wait_event("supervisor_ready")
        until(lambda: "line 5\n" in drover.log_of("chatty"), "it logs")
        asked = drover.slot("asked")["pid"]
        chatty = drover.slot("chatty")["pid"]
        logger = freeze(drover, disk)
        begin = time.monotonic()
        os.kill(drover.slot("mortal")["pid"], signal.SIGKILL)
        until(lambda: drover.slot("mortal")["restarts"] == 1 and drover.slot("mortal")["state"] == "running", "it is restarted")
        assert drover.ask("restart", "mortal")[0] == 0
        well.unlink()
        until(lambda: drover.slot("asked")["pid"] not in (None, asked), "the failing probe restarts it")
        well.touch()
        slowest = 0
        for _ in range(50):
            since = time.monotonic()
            assert drover.slot("chatty")["pid"] == chatty and drover.slot("chatty")["state"] == "running"
            slowest = max(slowest, time.monotonic() - since)
        assert slowest < 0.5 * SLOW and time.monotonic() - begin < 20 * SLOW
        assert processes()[logger][1] == "D", "it stood still all the time"
        subprocess.run(["fsfreeze", "-u", disk], check=True)
        assert drover.stop() == 0
        lines = [int(n) for n in re.findall(r"^line (\d+)$", drover.log_of("chatty"), re.M)]
        assert lines == list(range(1, len(lines) + 1)) and len(lines) > 50
        assert drover.find_events("process_running", name="mortal")


def test_droverd_ends_though_the_log_disk_stands_still(drover, tmp_path):
    with disk_for_logs(drover, tmp_path) as disk:
        drover.start(FROZEN % drover.folder)
        drover.wait_event("supervisor_ready")
        logger = freeze(drover, disk)
        assert drover.stop(patience=20 * SLOW) == 0
        assert alive(logger), "it cannot even be killed"
        subprocess.run(["fsfreeze", "-u", disk], check=True)
        until(lambda: not alive(logger), "it has been told to end")


# -- the bound --


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "zstd"])
def test_a_log_never_takes_more_than_its_share_of_the_disk(parent_of, compress):
    max_size, kept, max_line = 60_000, 3, 8192
    house = parent_of(max_line=max_line, compress=compress)
    fd = house.fifo("w", max_size=max_size, backups=kept)
    house.start()
    bound = (kept + 1) * max_size + 2 * max_line + (max_size + max_line if compress else 0)
    over, largest, looks = threading.Event(), [0], [0]

    def names():
        # An inode may be used again, so a whole round of rotations can give the same names; a rename changes ctime.
        return sorted((entry.name, entry.inode(), entry.name == "w.log" or entry.stat().st_ctime_ns)
                      for entry in os.scandir(house.logs) if "w.log" in entry.name)

    def look():
        while not over.is_set():
            with contextlib.suppress(FileNotFoundError):
                before = names()
                size = sum(os.stat(house.logs / name).st_size for name, *_ in before)
                if names() == before:  # nothing was renamed meanwhile
                    largest[0] = max(largest[0], size)
                    looks[0] += 1
    watcher = threading.Thread(target=look)
    watcher.start()
    dice = random.Random(seed())
    written = 0
    while written < 100 * max_size:
        # Lines of all sizes, some of them longer than max_line and than a file.
        size = dice.choice([10, 500, 4000, 9000, 30_000, 100_000])
        data = dice.randbytes(size).replace(b"\n", b".") + b"\n"
        for at in range(0, len(data), 4096):
            written += os.write(fd, data[at:at + 4096])
    house.stop()
    over.set()
    watcher.join()
    print(f"at most {largest[0]} of {bound} bytes, looked {looks[0]} times")
    assert kept * max_size / 2 < largest[0] <= bound and looks[0] > 50
    assert max(backups(house.logs, "w")) <= kept


def test_backups_go_when_they_are_too_old_whatever_their_number(parent_of):
    house = parent_of(max_age_ms=30 * 86_400_000)
    fd = house.fifo("w", backups=10)
    day = 86_400
    for number, age in ((1, 1), (2, 29), (3, 31), (4, 400)):
        path = house.logs / f"w.log.{number}"
        path.write_text(f"{age} days\n")
        os.utime(path, (time.time() - age * day,) * 2)
    house.start()
    os.write(fd, b"now\n")
    until(lambda: house.read("w").endswith(b"now\n"), "it is written")
    house.send("LOG_ROTATE")
    until(lambda: not (house.logs / "w.log").exists(), "it is rotated")
    house.stop()
    assert house.read("w") == b"29 days\n1 days\nnow\n"


def test_a_log_that_is_quiet_loses_its_old_backups_too(parent_of):
    house = parent_of(max_age_ms=1000)
    fd = house.fifo("w", backups=10)
    house.start()
    os.write(fd, b"1\n")
    until(lambda: house.read("w") == b"1\n", "it is written")
    house.send("LOG_ROTATE")
    until((house.logs / "w.log.1").exists, "it is rotated")
    os.write(fd, b"2\n")
    until(lambda: not (house.logs / "w.log.1").exists(), "it is too old")
    assert house.read("w") == b"2\n", "what is written to has no age"
    house.stop()


# -- what others plant --


PLANTER = """
import os, sys
folder, victim = sys.argv[1:]
names = [folder + "/" + name for name in ("w.log", "w.log.1", "w.log.2", ".w.log.zst", "w.log.1.zst", ".drover-log.lock")]
n = 0
while True:
    n += 1
    name = names[n % len(names)]
    link = folder + "/link"
    try:
        os.symlink(victim, link)
        os.rename(link, name)
        if n % 3 == 0:
            os.unlink(name)
    except OSError:
        pass
"""


def test_links_planted_where_logs_are_written_lead_nowhere(parent_of, tmp_path):
    """An attacker who may write to the folder swaps our files for links a hundred thousand times."""
    victim = tmp_path / "victim"
    victim.write_text("precious\n" * 100)
    os.chmod(victim, 0o644)
    before = victim.stat()
    house = parent_of(compress=True, max_age_ms=5000)
    for stem in CATEGORIES:
        house.fifo(stem)
    fd = house.fifo("w", max_size=5000, backups=3)
    house.start()
    until(house.hears_term, "it has started")
    planter = subprocess.Popen(["/usr/bin/python3", "-c", PLANTER, house.logs, victim])
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for n in range(50):
                os.write(fd, b"%d %s\n" % (n, b"x" * 200))
            house.send("LOG_ROTATE")
            house.hear()
    finally:
        planter.kill()
        planter.wait()
    os.write(fd, b"\n")
    house.stop()
    after = victim.stat()
    assert victim.read_text() == "precious\n" * 100
    assert (after.st_mode, after.st_uid, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode, before.st_uid, before.st_mtime_ns, before.st_nlink)


@pytest.mark.parametrize("thing", ["link", "fifo", "folder", "socket", "link to nowhere"])
def test_what_is_no_file_under_a_logs_name_is_told_and_the_others_go_on(parent, thing):  # noqa: F811
    for stem in CATEGORIES:
        parent.fifo(stem)
    path, victim = parent.logs / "w.log", parent.folder / "victim"
    victim.write_text("precious\n")
    if thing == "link":
        path.symlink_to(victim)
    elif thing == "link to nowhere":
        path.symlink_to(parent.folder / "made")
    elif thing == "fifo":
        os.mkfifo(path)
    elif thing == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    fd, other = parent.fifo("w"), parent.fifo("other")
    parent.start()
    for n in range(100):
        os.write(fd, b"%d\n" % n)
        os.write(other, b"%d\n" % n)
    until(lambda: parent.read("other").endswith(b"99\n"), "the other goes on")
    told = until(lambda: [r for r in records(parent) if r["event"] == "log_not_written"], "it is told")
    assert told[0]["name"] == "w" and victim.read_text() == "precious\n" and not (parent.folder / "made").exists()
    if stat.S_ISDIR(path.lstat().st_mode):
        path.rmdir()
    else:
        path.unlink()
    until(lambda: b"dropped" in parent.read("w"), "with that out of the way it writes again")
    os.write(fd, b"again\n")
    parent.stop()
    assert parent.read("w").endswith(b"again\n")

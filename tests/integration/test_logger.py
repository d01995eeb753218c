# SPDX-License-Identifier: MIT
"""
drover-log alone, under a parent that plays droverd: it holds every FIFO, starts drover-log again when it is killed and
speaks the real messages.
"""
import array
import json
import mmap
import os
import pathlib
import random
import re
import resource
import signal
import socket
import struct
import subprocess

import pytest

from harness import BUILD, MESSAGES, PATIENCE, log_files, until, whole_log

DROVER_LOG = str(BUILD / "bin/drover-log")
CATEGORIES = ["drover", "drover_performance", "drover_error", "drover_health", "drover_memory"]


def text(value):
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


class Parent:
    """droverd as far as drover-log sees it."""

    def __init__(self, folder, max_line=0, max_age_ms=0, compress=False):
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.max_line, self.max_age_ms, self.compress = max_line, max_age_ms, compress
        self.opened = {}  # name: (fifo descriptor, file, max_size, backups)
        self.pid = None
        self.channel = None

    def fifo(self, name, max_size=10_000_000, backups=10):
        path = self.folder / f"{name}.fifo"
        os.mkfifo(path, 0o600)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.opened[name] = (fd, f"{name}.log", max_size, backups)
        if self.pid:
            self.send_open(name)
        return fd

    def send(self, name, body=b"", fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.channel.sendmsg([struct.pack("<I", MESSAGES[name]) + body], control)

    def send_open(self, name):
        fd, file, max_size, backups = self.opened[name]
        self.send("LOG_OPEN", self.order(name, file, max_size, backups), [fd])

    def order(self, name, file, max_size, backups, half_line=False):
        return text(name) + text(file) + struct.pack("<QIIQII", max_size, backups, self.max_line, self.max_age_ms,
                                                     self.compress, half_line)

    def send_dir(self):
        folder = os.open(self.logs, os.O_RDONLY | os.O_DIRECTORY)
        self.send("LOG_DIR", fds=[folder])
        os.close(folder)

    def hear(self):
        """The next message of drover-log: (id, body)."""
        packet = self.channel.recv(1000)
        return struct.unpack_from("<I", packet)[0], packet[4:]

    def start(self):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.posix_spawn(DROVER_LOG, ["drover-log"], os.environ,
                                  file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)])
        theirs.close()
        self.send_dir()
        for name in self.opened:
            self.send_open(name)
        return self.pid

    def wait(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = None
        self.channel.close()
        return status

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def hears_term(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        sets = re.findall(r"^Sig(?:Blk|Cgt):\s*(\w+)", status, re.M)
        return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in sets)

    def stop(self):
        """Ends it with everything drained. Before main() a SIGTERM just kills, as with any program."""
        until(self.hears_term, "it has started")
        os.kill(self.pid, signal.SIGTERM)
        assert self.wait() == 0

    def barrier(self):
        """Returns when all orders sent so far are carried out: they are, one after the other."""
        name = f"barrier{len(self.opened)}"
        os.write(self.fifo(name), b"x")
        self.send("LOG_HALF_LINE", text(name))
        until(lambda: b"]" in self.read(name), "the orders are carried out")

    def files(self, name):
        return [path for _, path in log_files(self.logs, name)]

    def read(self, name):
        return whole_log(self.logs, name)

    def close(self):
        if self.pid:
            self.kill()
        for fd, *_ in self.opened.values():
            os.close(fd)


@pytest.fixture(autouse=True)
def no_test_hangs():
    """A write to a FIFO that nobody pumps waits for ever."""
    def late(*_):
        raise TimeoutError("the test hangs")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(6 * PATIENCE))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def parent(tmp_path):
    house = Parent(tmp_path)
    yield house
    house.close()


# Writes lines "N filling" and stores N in the mapped file when line N is written.
WRITER = """
import mmap, os, random, struct, sys
file = open(sys.argv[1], "r+b")
shared = mmap.mmap(file.fileno(), 8)
shape = random.Random(int(sys.argv[2]))
filling = b"." * 4096
n = 0
while True:
    n += 1
    number = b"%d " % n
    os.write(1, number + filling[:shape.randrange(1, 600)] + b"\\n")
    shared[:] = struct.pack("<Q", n)
"""


class Writer:
    def __init__(self, parent, name, seed, **settings):
        self.name = name
        path = parent.folder / f"{name}.count"
        path.write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 8)
        fd = parent.fifo(name, **settings)
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", WRITER, str(path), str(seed)],
                                        stdin=subprocess.DEVNULL, stdout=fd)

    def count(self):
        return struct.unpack("<Q", self.shared[:])[0]

    def kill(self):
        self.process.kill()
        self.process.wait()


def check_numbers(parent, writer):
    """Each number up to n is there once and in order, n + 1 at most once; files end between lines."""
    files = parent.files(writer.name)
    for path in files[:-1]:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            assert file.read() == b"\n", f"{path.name} ends within a line"
    numbers = []
    for path in files:
        numbers += [int(line.split(b" ", 1)[0]) for line in path.read_bytes().splitlines()]
    n = writer.count()
    assert n > 0
    if numbers not in (list(range(1, n + 1)), list(range(1, n + 2))):
        seen = set(numbers)
        lost = [k for k in range(1, n + 1) if k not in seen]
        pytest.fail(f"{writer.name}: wrote {n}, found {len(numbers)}, {len(lost)} lost (first {lost[:5]}), "
                    f"{len(numbers) - len(seen)} doubled, in order: {numbers == sorted(numbers)}")
    return n, len(files)


def test_no_line_is_lost_or_doubled_when_drover_log_is_killed(parent):
    seed = int(os.environ.get("DROVER_SEED", "0")) or random.randrange(1, 1 << 30)
    dice = random.Random(seed)
    writers = [Writer(parent, f"writer:{i}", seed + i, max_size=200_000, backups=5000) for i in range(3)]
    kills = 0
    try:
        # At least 60; rotation is part of it for each of them, however the processors are shared out.
        while kills < 60 or any(len(parent.files(w.name)) <= 3 for w in writers):
            assert kills < 600, "rotation was not part of it"
            parent.start()
            # The first log alone may fill such a short life: after a while those count that came off badly.
            some = [w for w in writers if kills < 60 or len(parent.files(w.name)) <= 3]
            goal = sum(w.count() for w in some) + dice.randrange(1, 3000)
            until(lambda some=some, goal=goal: sum(w.count() for w in some) >= goal, "lines are written")
            parent.kill()
            kills += 1
    finally:
        for writer in writers:
            writer.kill()
    parent.start()
    parent.stop()
    told = [check_numbers(parent, writer) for writer in writers]
    print(f"seed {seed}: {kills} kills, lines and files per writer: {told}")
    assert all(files > 3 for _, files in told), told


def test_what_a_dead_writer_left_in_the_pipe_is_not_lost(parent):
    """Killed while nobody pumps: droverd's descriptor of the FIFO keeps the bytes."""
    fd = parent.fifo("api")
    parent.start()
    parent.kill()
    subprocess.run(["/bin/sh", "-c", "echo last words"], stdout=fd, check=True)
    parent.start()
    parent.stop()
    assert parent.read("api") == b"last words\n"


def test_it_pumps_on_without_its_parent_until_it_is_told_to_end(parent):
    fd = parent.fifo("api")
    parent.start()
    parent.channel.close()
    for i in range(1, 4):
        os.write(fd, b"line\n")
        until(lambda: parent.read("api") == b"line\n" * i, "the line is in the file")
    parent.stop()


def test_a_channel_that_closes_before_any_log_is_opened_ends_it(parent):
    parent.start()
    parent.channel.close()
    assert parent.wait() == 0


def test_two_of_them_never_pump_one_log(parent):
    """A new drover-log that comes before the old one has ended waits for it."""
    writer = Writer(parent, "writer", 1, max_size=100_000, backups=5000)
    for _ in range(10):
        old, old_channel = parent.pid, parent.channel
        if old:
            until(parent.hears_term, "it has started")
        parent.start()
        goal = writer.count() + 2000
        until(lambda: writer.count() >= goal, "somebody pumps")
        if old:
            os.kill(old, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(old, 0)[1]) == 0
            old_channel.close()
    writer.kill()
    parent.stop()
    check_numbers(parent, writer)


def test_a_half_line_of_a_dead_writer_is_ended_and_marked(parent):
    fd = parent.fifo("api")
    parent.start()
    os.write(fd, b"whole\nhalf")
    parent.send("LOG_HALF_LINE", text("api"))
    parent.send("LOG_HALF_LINE", text("api"))
    until(lambda: b"]" in parent.read("api"), "the mark is there")
    os.write(fd, b"next\n")
    parent.stop()
    assert parent.read("api") == b"whole\nhalf [drover: line not ended]\nnext\n"


def test_a_half_line_in_the_file_is_ended_before_what_waits_in_the_pipe(parent):
    """An earlier drover-log died over it, and the next writer has begun."""
    fd = parent.fifo("api")
    parent.start()
    os.write(fd, b"whole\nhalf")
    until(lambda: parent.read("api") == b"whole\nhalf", "it is in the file")
    parent.kill()
    os.write(fd, b"next\n")
    del parent.opened["api"]
    parent.start()
    parent.send("LOG_OPEN", parent.order("api", "api.log", 10_000, 5, half_line=True), [fd])
    assert parent.hear() == (MESSAGES["LOG_LINE_ENDED"], text("api"))
    until(lambda: parent.read("api").endswith(b"next\n"), "the next one's are there")
    parent.stop()
    assert parent.read("api") == b"whole\nhalf [drover: line not ended]\nnext\n"


def test_a_line_longer_than_a_file_is_cut_with_a_mark_and_stops_nothing(tmp_path):
    parent = Parent(tmp_path, max_line=50_000)
    fd = parent.fifo("api", max_size=10_000, backups=50)
    parent.start()
    for _ in range(20):
        os.write(fd, b"x" * 10_000)
    os.write(fd, b"\nnext\n")
    parent.stop()
    parent.close()
    whole = parent.read("api")
    assert whole.replace(b" [drover: line cut]\n", b"") == b"x" * 200_000 + b"\nnext\n"
    sizes = [path.stat().st_size for path in parent.files("api")]
    assert max(sizes) <= 60_000 + len(b" [drover: line cut]\n") and len(sizes) == 5


def test_rotation_on_demand_and_changed_settings(parent):
    fd = parent.fifo("api")
    parent.start()
    os.write(fd, b"one\n")
    until(lambda: parent.read("api"), "the line is in the file")
    parent.send("LOG_ROTATE")
    until(lambda: (parent.logs / "api.log.1").exists(), "it is rotated")
    # No descriptor: only the settings change.
    parent.send("LOG_OPEN", parent.order("api", "api.log", 5, 10))
    parent.barrier()
    os.write(fd, b"two\n")
    os.write(fd, b"three\n")
    until(lambda: b"three" in parent.read("api"), "the lines are there")
    os.write(fd, b"four\n")
    parent.stop()
    assert [p.read_bytes() for p in parent.files("api")] == [b"one\n", b"two\n", b"three\n", b"four\n"]


def test_a_closed_log_is_drained_and_forgotten(parent):
    fd = parent.fifo("api")
    other = parent.fifo("other")
    parent.start()
    os.write(fd, b"last\n")
    parent.send("LOG_CLOSE", text("api"))
    parent.barrier()
    os.write(fd, b"not any more\n")
    os.write(other, b"go\n")
    until(lambda: parent.read("other") == b"go\n", "the other is pumped")
    parent.stop()
    assert parent.read("api") == b"last\n"


def records(parent, stem="drover"):
    return [json.loads(line) for line in parent.read(stem).splitlines()]


def test_a_full_disk_blocks_nobody_and_is_told_in_the_log_and_in_drovers_own(parent):
    for stem in CATEGORIES:
        parent.fifo(stem)
    fd = parent.fifo("api")
    pid = parent.start()
    os.write(fd, b"before\n")
    until(lambda: parent.read("api"), "the line is in the file")
    # The kernel answers EFBIG beyond this offset: as ENOSPC, for the one file that is larger.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    for _ in range(50):
        os.write(fd, b"y" * 3999 + b"\n")  # 200,000 bytes through a pipe of 65,536
    until(lambda: any(r["event"] == "log_not_written" for r in records(parent)), "the trouble is told")
    until(lambda: len(parent.read("api")) == 2000, "the file is filled to the last byte")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    back = until(lambda: [r for r in records(parent) if r["event"] == "log_written_again"], "there is room")
    os.write(fd, b"after\n")
    parent.stop()
    lost = sum(r["bytes"] for r in back)
    assert parent.read("api")[2000:].startswith(b"\n[drover: %d bytes dropped: File too large]\n" % back[0]["bytes"])
    assert parent.read("api").endswith(b"after\n")
    assert lost + 2000 - len(b"before\n") == 50 * 4000
    assert records(parent, "drover_error")[0]["event"] == "log_not_written"


def test_bad_orders_are_refused_and_leave_the_rest_running(parent):
    for stem in CATEGORIES:
        parent.fifo(stem)
    fd = parent.fifo("api")
    parent.start()
    parent.send("LOG_OPEN", parent.order("evil", "../evil.log", 5, 10), [fd])
    parent.send("LOG_CLOSE", text("unknown"))
    until(lambda: len([r for r in records(parent) if r["event"] == "log_order_refused"]) == 2, "both are refused")
    parent.channel.send(b"garbage")
    until(lambda: any(r["event"] == "channel_broken" for r in records(parent)), "the channel is closed")
    os.write(fd, b"still here\n")
    until(lambda: parent.read("api") == b"still here\n", "it pumps on")
    parent.stop()
    assert not (parent.folder / "evil.log").exists()


def test_eleven_hundred_logs_at_once(parent):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("SKIPPED: the limit of descriptors is too low here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        fds = [parent.fifo(f"service:{i}") for i in range(1100)]
        parent.start()
        for i, fd in enumerate(fds):
            os.write(fd, b"%d\n" % i)
        until(lambda: parent.read("service:1099"), "the last is pumped")
        parent.stop()
        assert [parent.read(f"service:{i}") for i in range(1100)] == [b"%d\n" % i for i in range(1100)]
    finally:
        parent.close()
        parent.opened.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_started_by_hand_it_says_what_it_is():
    done = subprocess.run([DROVER_LOG], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert b"started by droverd" in done.stderr

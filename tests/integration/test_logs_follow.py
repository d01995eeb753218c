# SPDX-License-Identifier: MIT
"""
`drover logs`: what it shows and follows while files rotate, are compressed, removed, replaced and truncated under it.
A stand-in for the supervisor says where the files are; drover-log itself writes them where that matters.
"""
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from given import SLOW, let_others_in
from harness import BUILD, MESSAGES, processes, until
from test_logger import Parent, Writer, no_test_hangs  # noqa: F401 (a fixture that guards all tests here)

DROVER = BUILD / "bin/drover"


class Supervisor:
    """Answers `logs` with files of a folder."""

    def __init__(self, folder, names):
        self.path = folder / "control.sock"
        self.answer = json.dumps({"dir": str(folder), "files": [
            {"name": name, "path": str(folder / f"{name}.log")} for name in names]}).encode()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen(20)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            if client.recv(70000):
                client.send(struct.pack("<IIII", MESSAGES["PAGE"], 1, 0, len(self.answer)) + self.answer)
            client.recv(70000)
            client.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Follower:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.got = b""
        self.news = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while part := os.read(self.process.stdout.fileno(), 1 << 20):
            with self.news:
                self.got += part
                self.news.notify()

    def wait_for(self, what):
        """Until its output ends with that."""
        with self.news:
            assert self.news.wait_for(lambda: self.got.endswith(what), 60), (what, self.got[-500:])
        return self.got

    def wait_until_it_follows(self):
        """It has its answer, so that it lets go of the supervisor, and sleeps: what comes from now on is new to it."""
        def follows():
            asleep = processes()[self.process.pid][1] == "S"
            folder = pathlib.Path(f"/proc/{self.process.pid}/fd")
            return asleep and not any(os.readlink(fd).startswith("socket:") for fd in folder.iterdir())
        until(follows, "it follows")

    def end(self):
        """@return what it complained of"""
        self.process.send_signal(signal.SIGINT)
        words = self.process.stderr.read().decode()
        assert self.process.wait(20) == -signal.SIGINT
        return words


class House:
    def __init__(self, folder):
        self.folder = folder
        self.supervisor = None
        self.followers = []

    def logs_are(self, *names):
        self.supervisor = Supervisor(self.folder, names)
        return self

    def put(self, name, text, mode="a"):
        with open(self.folder / name, mode + "b") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def command(self, *words):
        return [DROVER, "logs", *words, "--socket", self.supervisor.path]

    def run(self, *words, code=0, **more):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PATH": "/usr/bin:/bin", "TZ": "UTC", **more})
        assert done.returncode == code, (words, done)
        return done

    def show(self, *words, **more):
        done = self.run(*words, **more)
        assert done.stderr == ""
        return done.stdout

    def follow(self, *words):
        follower = Follower(self.command("-f", *words))
        self.followers.append(follower)
        return follower

    def close(self):
        for follower in self.followers:
            if follower.process.poll() is None:
                follower.process.kill()
                follower.process.wait()
        if self.supervisor:
            self.supervisor.close()


@pytest.fixture
def house(tmp_path):
    one = House(tmp_path)
    yield one
    one.close()


@pytest.fixture
def parent(house, request):
    """drover-log, which writes where the house's files are."""
    one = Parent(house.folder, **getattr(request, "param", {}))
    house.folder = one.logs
    yield one
    one.close()


def record(at="2026-11-21T08:00:00.000Z", level="info", event="something", **more):
    return json.dumps({"time": at, "level": level, "category": "main", "process": "droverd", "event": event, "msg": event,
                       **more}) + "\n"


def numbers(text):
    return [int(line.split(b" ", 1)[0]) for line in text.splitlines()]


# -- following what drover-log writes --


@pytest.mark.parametrize("parent", [{}, {"compress": True}], indirect=True, ids=["plain", "zstd"])
def test_each_line_comes_once_and_in_order_across_fifty_rotations(parent, house):
    house.logs_are("w")
    early = house.follow("w")  # before there is a file
    early.wait_until_it_follows()
    parent.start()
    writer = Writer(parent, "w", 7, max_size=100_000, backups=1000)
    until(lambda: writer.count() > 3000, "it floods")
    late = house.follow("w", "-n", "1000000")  # in the middle of it, with all that was before
    until(lambda: len(list(parent.logs.glob("w.log.*"))) > 50, "it has rotated fifty times")
    until(lambda: not parent.compress or list(parent.logs.glob("w.log.*.zst")), "compression is part of it")
    writer.kill()
    parent.stop()
    count = writer.count()
    last = b"\n%d " % count
    for follower in (early, late):
        until(lambda: last in follower.got, "the last line has come")
        assert follower.end() == ""
        seen = numbers(follower.got)
        assert seen in (list(range(1, count + 1)), list(range(1, count + 2))), (
            follower is early, count, len(seen), sorted(set(range(1, count + 1)) - set(seen))[:5], seen == sorted(seen),
            [(i, seen[i:i + 5]) for i in range(len(seen) - 1) if seen[i + 1] != seen[i] + 1][:3])
    # Read afterwards, plain and compressed files are one.
    assert numbers(house.show("w", "-n", "1000000").encode())[:count] == list(range(1, count + 1))


def test_a_follower_that_is_too_slow_is_told_and_goes_on_in_order(parent, house):
    house.logs_are("w")
    parent.start()
    fd = parent.fifo("w", max_size=10_000, backups=3)
    os.write(fd, b"0 first\n")
    slow = house.follow("w")
    slow.wait_for(b"0 first\n")
    slow.process.send_signal(signal.SIGSTOP)
    for n in range(1, 2001):
        os.write(fd, b"%d %s\n" % (n, b"." * 100))
    parent.barrier()
    slow.process.send_signal(signal.SIGCONT)
    until(lambda: b"\n2000 " in slow.got, "it goes on")
    assert "log w: its file was removed, or rotated away before it was read: lines may be missing here" in slow.end()
    seen = numbers(slow.got)
    gaps = [n for n, after in zip(seen, seen[1:]) if after != n + 1]
    assert seen[0] == 0 and seen == sorted(set(seen)) and len(gaps) == 1, "its own file whole, one gap, and all behind it"
    assert len(seen) > 350, "four files were still there"


def test_it_goes_on_across_kills_of_drover_log(parent, house):
    house.logs_are("w")
    parent.start()
    writer = Writer(parent, "w", 3, max_size=50_000, backups=1000)
    follower = house.follow("w", "-n", "1000000")
    for _ in range(10):
        goal = writer.count() + 500
        until(lambda: writer.count() >= goal, "lines are written")
        parent.kill()
        parent.start()
    writer.kill()
    parent.stop()
    count = writer.count()
    until(lambda: b"\n%d " % count in follower.got, "the last line has come")
    assert follower.end() == ""
    assert numbers(follower.got)[:count] == list(range(1, count + 1))


# -- following what others do to files --


def test_a_rotation_before_the_first_line_of_the_next_file_is_no_gap(house):
    """Between a rotation and the next line there is no file of that name; two may follow at once."""
    house.logs_are("w")
    house.put("w.log.1", "1\n2\n")
    follower = house.follow("w", "-n", "1")
    follower.wait_for(b"2\n")
    follower.process.send_signal(signal.SIGSTOP)
    os.rename(house.folder / "w.log.1", house.folder / "w.log.3")
    house.put("w.log.2", "3\n")
    house.put("w.log.1", "4\n")
    house.put("w.log", "5\n")
    follower.process.send_signal(signal.SIGCONT)
    assert follower.wait_for(b"5\n") == b"2\n3\n4\n5\n"
    assert follower.end() == ""


def test_what_appears_while_it_waits_is_read_from_its_oldest_file(house):
    house.logs_are("w")
    follower = house.follow("w")
    follower.wait_until_it_follows()
    follower.process.send_signal(signal.SIGSTOP)
    house.put("w.log.1", "1\n")
    house.put("w.log", "2\n")
    follower.process.send_signal(signal.SIGCONT)
    assert follower.wait_for(b"2\n") == b"1\n2\n"


def test_removed_replaced_and_truncated_files_are_followed(house):
    house.logs_are("w")
    path = house.folder / "w.log"
    house.put("w.log", "1\n")
    follower = house.follow("w")
    follower.wait_for(b"1\n")
    path.unlink()
    house.put("w.log", "2\n")
    follower.wait_for(b"2\n")
    house.put("other", "3\n")
    os.rename(house.folder / "other", path)
    follower.wait_for(b"3\n")
    house.put("w.log", "4 a longer line\n")
    follower.wait_for(b"4 a longer line\n")
    house.put("w.log", "5\n", mode="w")
    follower.wait_for(b"5\n")
    house.put("w.log", "half")
    house.put("w.log", " and half\n")
    assert follower.wait_for(b"half and half\n") == b"1\n2\n3\n4 a longer line\n5\nhalf and half\n"
    follower.end()


def test_an_inode_that_is_used_again_is_another_file(house):
    """A compressed file is known by what it was; that inode is soon the next log's."""
    house.logs_are("w")
    house.put("w.log", "2\n")
    house.put("w.log.1", "1\n")
    pack(house.folder / "w.log.1", known_as=(os.stat(house.folder / "w.log").st_ino, 1))
    assert house.show("w") == "1\n2\n"
    follower = house.follow("w")
    follower.wait_for(b"1\n2\n")
    follower.end()


# -- compressed files --


def pack(path, known_as=None):
    """As drover-compress does, or with another past; the plain file goes."""
    with open(path, "rb") as source, open(f"{path}.zst", "wb") as target:
        subprocess.run([BUILD / "bin/drover-compress"], stdin=source, stdout=target, check=True)
    if known_as:
        with open(f"{path}.zst", "r+b") as file:
            file.seek(16)
            file.write(struct.pack("<Qq", *known_as))
    os.utime(f"{path}.zst", ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns))
    path.unlink()


def test_compressed_backups_are_read_as_plain_ones(house):
    house.logs_are("w")
    for n in range(5):
        name = f"w.log.{4 - n}" if n < 4 else "w.log"
        house.put(name, "".join(f"{n} {k}\n" for k in range(1000)))
        if n in (0, 1, 3):
            pack(house.folder / name)
    want = [f"{n} {k}" for n in range(5) for k in range(1000)]
    assert house.show("w", "-n", "100000").splitlines() == want
    assert house.show("w", "-n", "1500").splitlines() == want[-1500:]
    # What another hand compressed is read too.
    subprocess.run(["zstd", "-q", "--rm", house.folder / "w.log.2"], check=True)
    assert house.show("w", "-n", "3500").splitlines() == want[-3500:]


@pytest.mark.parametrize("harm", ["garbage", "cut", "empty tail"])
def test_a_backup_that_cannot_be_unpacked_is_named_and_left_out(house, harm):
    house.logs_are("w")
    house.put("w.log.2", "1\n")
    house.put("w.log.1", "".join(f"{os.urandom(40).hex()}\n" for _ in range(3000)))
    house.put("w.log", "3\n")
    pack(house.folder / "w.log.1")
    bad = house.folder / "w.log.1.zst"
    if harm == "garbage":
        bad.write_bytes(b"no zstd at all")
    elif harm == "cut":
        bad.write_bytes(bad.read_bytes()[:-1000])
    else:
        bad.write_bytes(bad.read_bytes()[:60] + bytes(500))
    done = house.run("w", code=1)
    assert done.stdout == "1\n3\n"
    assert "log w: 1 of its rotated files cannot be read and left out (number 1: Bad message)" in done.stderr
    follower = house.follow("w")
    follower.wait_for(b"3\n")
    house.put("w.log", "4\n")
    follower.wait_for(b"3\n4\n")


# -- the end of who reads --


def test_a_reader_that_has_enough_ends_it_quietly(house):
    house.logs_are("w")
    house.put("w.log", "".join(f"{n}\n" for n in range(100_000)))
    for words in ("-n 100000", "-n 100000 -f", "-n 1 -f", "--json -n 100000", "--json -f"):
        line = f"{DROVER} logs w {words} --socket {house.supervisor.path} | head -1"
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=20 * SLOW)
        assert len(done.stdout.splitlines()) == 1 and done.stderr == "", words
    # The same for who ignores SIGPIPE.
    line = f"trap '' PIPE; {DROVER} logs w -n 100000 -f --socket {house.supervisor.path} | head -1"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=20 * SLOW)
    assert done.stdout == "0\n" and done.stderr == ""


def test_a_full_disk_under_its_output_is_told(house):
    house.logs_are("w")
    house.put("w.log", "".join(f"{n}\n" for n in range(100_000)))
    with open("/dev/full", "wb") as full:
        for words in (["-n", "100000"], ["-f"]):
            done = subprocess.run(house.command("w", *words), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            assert done.returncode == 1 and "cannot write to standard output: No space left" in done.stderr, words


# -- many logs --


def test_several_logs_are_merged_by_time(house):
    house.logs_are("drover", "web:1", "web:2", "job")
    house.put("drover.log", record("2026-11-21T08:00:01.500Z", event="a") + record("2026-11-21T08:00:04.000Z", event="d"))
    house.put("web:1.log", "2026-11-21 08:00:02,000 one\n  of two lines\n2026-11-21 08:00:05,000 five\n")
    house.put("web:2.log.1", "2026-11-21T08:00:01Z zero\n")
    house.put("web:2.log", "2026-11-21T10:00:03+02:00 three\n")
    assert house.show("web").splitlines() == [
        "web:2 | 2026-11-21T08:00:01Z zero", "web:1 | 2026-11-21 08:00:02,000 one", "web:1 |   of two lines",
        "web:2 | 2026-11-21T10:00:03+02:00 three", "web:1 | 2026-11-21 08:00:05,000 five"]
    whole = house.show("all")
    assert re.findall(r"zero|\ba\b|one|three|\bd\b|five", whole) == ["zero", "a", "one", "three", "d", "five"]
    assert house.show("drover", "web:1", "web:2", "drover", "job") == whole, "each log once"
    assert house.show("-n", "2", "all").splitlines() == whole.splitlines()[-2:]
    assert house.show("web:1", "-n", "1") == "2026-11-21 08:00:05,000 five\n", "one log has no prefix"
    follower = house.follow("web", "drover", "-n", "0")
    follower.wait_until_it_follows()
    follower.process.send_signal(signal.SIGSTOP)
    house.put("web:1.log", "2026-11-21 08:00:07 seven\n2026-11-21 08:00:09 nine\nafter nine\n")
    house.put("web:2.log", "2026-11-21 08:00:06 six\n")
    house.put("drover.log", record("2026-11-21T08:00:08.000Z", event="eight"))
    follower.process.send_signal(signal.SIGCONT)
    got = follower.wait_for(b"web:1 | after nine\n").decode()
    assert re.findall(r"six|seven|eight|after nine|nine", got) == ["six", "seven", "eight", "nine", "after nine"]


def test_names_find_logs(house):
    house.logs_are("drover", "drover_error", "drover_health", "web:1", "health")
    house.put("drover.log", "main\n")
    house.put("drover_error.log", "error\n")
    house.put("drover_health.log", "grade\n")
    house.put("health.log", "a service of that name\n")
    assert house.show() == "main\n"
    assert house.show("main") == house.show("drover") == "main\n"
    assert house.show("error") == house.show("drover_error") == "error\n"
    assert house.show("health") == "a service of that name\n"
    assert "error" not in house.show("all"), "those records are in the others too"
    done = house.run("wbe:1", code=4)
    assert done.stderr == "drover: no log named 'wbe:1', did you mean 'web:1'?\n"
    assert "there are: drover, " in house.run("zzzzzzz", code=4).stderr


# -- which lines --


def test_level_means_at_least(house):
    house.logs_are("drover", "web")
    house.put("drover.log", "".join(record(level=level, event=level) for level in ("debug", "info", "warn", "error")))
    house.put("web.log", "INFO up\n[warning] slow\nno error here\n2026-11-21 08:00:00 ERROR db\nat=1 level=warn x\n"
                         '{"level":"critical","n":1}\nGET /info 200\n')

    def events(level):
        return re.findall(r"(\w+)$", house.show("--level", level), re.M)
    assert events("debug") == ["debug", "info", "warn", "error"]
    assert events("warn") == ["warn", "error"]
    assert events("ERROR") == ["error"]
    assert house.show("--level", "info", "-n", "1") == house.show("--level", "error"), "N are counted of what is wanted"
    assert house.show("web", "--level", "warn").splitlines() == [
        "[warning] slow", "2026-11-21 08:00:00 ERROR db", "at=1 level=warn x", '{"level":"critical","n":1}']
    assert house.run("--level", "loud", code=2).stderr == "drover: --level 'loud' is none of debug, info, warn, error\n"


def test_run_finds_its_records_in_all_of_drovers_own_logs(house):
    house.logs_are("drover", "drover_performance", "drover_error", "drover_health", "drover_memory", "web")
    house.put("drover.log", record(event="begun", run=7) + record(event="other", run=8) +
              record("2026-11-21T08:00:02.000Z", event="done", run=7) + "run 7\n" + record(event="none"))
    house.put("drover_performance.log", record("2026-11-21T08:00:01.000Z", event="measured", run=7, ms=3))
    house.put("drover_error.log", record("2026-11-21T08:00:01.000Z", event="doubled", run=7))
    shown = house.show("--run", "7").splitlines()
    assert [re.search("droverd  (.*)", line)[1] for line in shown] == ["begun run=7", "measured run=7 ms=3", "done run=7"]
    assert len(house.show("--run", "7", "performance").splitlines()) == 1
    assert house.show("--run", "9") == ""
    assert house.run("--run", "x", code=2).stderr
    follower = house.follow("--run", "8")
    follower.wait_for(b"other run=8\n")
    house.put("drover.log", record(event="again", run=7) + record(event="last", run=8))
    assert follower.wait_for(b"last run=8\n").count(b"\n") == 2


def test_since_goes_by_the_lines_own_time(house):
    now = datetime.datetime.now(datetime.timezone.utc)

    def at(minutes, form="%Y-%m-%dT%H:%M:%S.000Z"):
        return (now - datetime.timedelta(minutes=minutes)).strftime(form)
    house.logs_are("drover", "web", "bare")
    house.put("drover.log.1", "".join(record(at(m), event=f"m{m}") for m in (300, 200, 100)))
    house.put("drover.log", "".join(record(at(m), event=f"m{m}") for m in (90, 50, 10)))
    house.put("web.log", f"{at(90, '%Y-%m-%d %H:%M:%S')} old\nTraceback of old\n{at(30, '%Y-%m-%d %H:%M:%S')} new\nTraceback of new\n")
    house.put("bare.log.1", "of another day\n")
    os.utime(house.folder / "bare.log.1", (now.timestamp() - 86400,) * 2)
    house.put("bare.log", "says no time\n")

    def events(*words):
        return [int(n) for n in re.findall(r"  m(\d+)", house.show(*words))]
    assert events("--since", "1h") == [50, 10]
    assert events("--since", "150m") == [100, 90, 50, 10]
    assert events("--since", "150m", "-n", "1") == [10]
    assert events("--since", at(60)) == [50, 10]
    assert events("--since", at(60, "%Y-%m-%d %H:%M")) == [50, 10]
    assert events("--since", at(60 * 48, "%Y-%m-%d")) == [300, 200, 100, 90, 50, 10]
    house.put("drover.log", "".join(record(at(5), event="m5") for _ in range(100)))
    assert len(events("--since", "1h")) == 102, "with --since there is no other bound"
    assert house.show("web", "--since", "1h").splitlines()[1:] == ["Traceback of new"]
    assert house.show("web", "--since", "1d").count("\n") == 4
    assert house.show("bare", "--since", "1h") == "says no time\n", "a whole file that is older is left out"
    assert house.show("bare", "--since", "2d") == "of another day\nsays no time\n"
    for wrong in ("soon", "2026-13-01", "25:00", "10", "2026-11-21x", "-5m", ""):
        assert f"--since '{wrong}' is no time" in house.run("--since", wrong, code=2).stderr


def test_a_time_of_day_is_local(house):
    house.logs_are("w")
    zone = datetime.timezone(datetime.timedelta(hours=9))
    now = datetime.datetime.now(zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    house.put("w.log", f"{(midnight - datetime.timedelta(seconds=2)):%Y-%m-%d %H:%M:%S} yesterday\n{midnight:%Y-%m-%d %H:%M:%S} today\n")
    assert house.show("w", "--since", "00:00", TZ="Asia/Seoul").endswith("today\n")
    assert house.show("w", "--since", "00:00:00", TZ="Asia/Seoul").count("\n") == 1
    assert house.show("w", "--since", f"{midnight:%Y-%m-%d}", TZ="Asia/Seoul").count("\n") == 1


def test_n_is_checked_and_zero_is_none(house):
    house.logs_are("w")
    house.put("w.log", "1\n2\nhalf")
    assert house.show("w", "-n", "0") == ""
    assert house.show("w", "-n2") == "2\nhalf\n"
    for wrong in ("-1", "1000001", "x", ""):
        assert house.run("w", "-n", wrong, code=2).stderr
    follower = house.follow("w", "-n", "1")
    assert follower.wait_for(b"2\n") == b"2\n", "a half line is shown when it is whole"
    house.put("w.log", " and half\n")
    follower.wait_for(b"half and half\n")


# -- shapes --


def test_json_is_one_object_or_one_a_line(house):
    house.logs_are("drover", "web")
    house.put("drover.log", record(event="a", run=3))
    house.put("web.log", b"plain \x1b[2J \xff\n{broken\n[1]\n")
    whole = json.loads(house.show("drover", "web", "--json"))
    assert whole["name"] == "drover" and whole["path"] == str(house.folder / "drover.log")
    assert [f["name"] for f in whole["files"]] == ["drover", "web"]
    assert sorted(zip(whole["from"], map(str, whole["lines"])))[1:] == [
        ("web", "[1]"), ("web", "plain \\x1b[2J \ufffd"), ("web", "{broken")]
    assert whole["lines"][whole["from"].index("drover")]["run"] == 3
    follower = house.follow("web", "--json")
    follower.wait_for(b"[1]\"}\n")
    house.put("web.log", '{"a": 1}\n')
    got = follower.wait_for(b"}}\n").splitlines()
    assert json.loads(got[0]) == {"name": "web", "line": "plain \\x1b[2J \ufffd"}
    assert json.loads(got[-1]) == {"name": "web", "line": {"a": 1}}


def test_nothing_reaches_the_terminal_unescaped(house):
    house.logs_are("w")
    evil = b"\x1b]0;owned\x07 \x9b2J \xe2\x80\xae \x00 \r over\n"
    house.put("w.log", evil)
    follower = house.follow("w")
    follower.wait_for(b"over\n")
    house.put("w.log", evil)
    until(lambda: follower.got.count(b"over\n") == 2, "the new one comes")
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae", follower.got)


def test_a_file_that_may_not_be_read_is_told(house):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: only root can become somebody else")
    house.logs_are("w")
    house.put("w.log", "secret\n")
    os.chmod(house.folder / "w.log", 0o600)
    os.chmod(house.supervisor.path, 0o777)
    let_others_in(house.folder)
    # The program itself may lie where nobody may go.
    with open(DROVER, "rb") as program:
        for words in ([], ["-f"]):
            done = subprocess.run([f"/proc/self/fd/{program.fileno()}", "logs", "w", *words, "--socket", house.supervisor.path],
                                  capture_output=True, text=True, timeout=20, user=65534, pass_fds=[program.fileno()])
            assert done.returncode == 5 and "Permission denied" in done.stderr, done


# -- with everything there --


def test_rotate_answers_when_it_is_done_and_the_follower_goes_on(drover, house):
    drover.start("logs: {backups: 9}\nhttp: {listen: '127.0.0.1:0'}\nservices: {w: {command: [sh, -c, "
                 "'n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done']}}\n")
    sock = drover.runtime / "control.sock"
    until(lambda: "3\n" in drover.log_of("w"), "it writes")
    follower = Follower([DROVER, "logs", "-f", "-n", "1000", "w", "--socket", sock])
    house.followers.append(follower)
    fresh = lambda: drover.log_of("w")
    for n in range(1, 4):
        until(fresh, "there is something to rotate")
        done = subprocess.run([DROVER, "rotate", "--socket", sock], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and re.match(r"\d+ logs rotated\n", done.stdout), done
        assert (drover.logs / f"w.log.{n}").exists(), "when it answers it is done"
    answer = json.loads(subprocess.run([DROVER, "rotate", "--json", "--socket", sock], capture_output=True, timeout=30).stdout)
    assert answer["ok"] and answer["rotated"] + answer["later"] >= 6
    until(fresh, "there is something to rotate")
    before = len(list(drover.logs.glob("w.log.*")))
    drover.signal(signal.SIGUSR1)
    until(lambda: len(list(drover.logs.glob("w.log.*"))) > before, "the signal does the same")
    seen = len(numbers(follower.got))
    until(lambda: len(numbers(follower.got)) > seen + 20, "it goes on")
    assert follower.end() == ""
    got = numbers(follower.got)
    assert got == list(range(1, len(got) + 1))
    assert drover.stop() == 0
    done = subprocess.run([DROVER, "rotate", "--socket", sock], capture_output=True, text=True, timeout=30)
    assert done.returncode == 3


def test_a_follower_of_all_follows_slots_that_a_reload_adds(drover, house):
    """New ones from their first line on, one that comes back from where it was; a stranger's file in the folder is not shown."""
    def config(*names):
        script = "echo $0 begins; while :; do test -e go && rm go && echo $0 goes on; sleep 0.02; done"
        return "http: {listen: '127.0.0.1:0'}\nservices: " + json.dumps({n: {
            "command": ["sh", "-c", script, n], "directory": str(drover.folder / n)} for n in names}) + "\n"

    for name in "abc":
        (drover.folder / name).mkdir()
    drover.start(config("a", "b"))
    until(lambda: "begins" in drover.log_of("a") and "begins" in drover.log_of("b"), "they write")
    assert drover.ask("reload", "")[0] == 0
    drover.write(config("a"))
    assert drover.ask("reload")[1]["steps"] == [{"name": "b", "change": "stop"}]
    until(lambda: "b" not in {p["name"] for p in drover.status()["processes"]}, "b is gone")
    follower = Follower([DROVER, "logs", "-f", "-n", "0", "all", "--socket", drover.runtime / "control.sock"])
    house.followers.append(follower)
    follower.wait_until_it_follows()
    (drover.folder / "a" / "go").touch()
    until(lambda: b"a goes on" in follower.got, "it follows")
    (drover.logs / "stranger.log").write_text("none of ours\n")
    drover.write(config("a", "b", "c"))
    assert drover.ask("reload")[0] == 0
    until(lambda: b"c | c begins\n" in follower.got and b"b | b begins\n" in follower.got, "both are there")
    for name in "abc":
        (drover.folder / name / "go").touch()
        until(lambda name=name: follower.got.count(b"%c goes on\n" % ord(name)) == 1 + (name == "a"), "it goes on")
    assert follower.end() == ""
    assert follower.got.count(b"begins") == 2 and b"stranger" not in follower.got and b"none of ours" not in follower.got
    assert drover.stop() == 0

# SPDX-License-Identifier: MIT
"""
Drives a real droverd in a private folder: `Drover` starts it with a configuration, follows its log, talks to its
control socket, stops it, and sees to it that no process is left over.

    def test_x(drover):                       # the fixture is in conftest.py
        drover.start("services: {a: {command: [sleep, '1000']}}")
        pid = drover.wait_event("process_running", name="a")["pid"]
        assert drover.status()["processes"]
"""
import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("DROVER_BUILD", "build/dev")
DROVERD = str(BUILD / "bin/droverd")
# Seconds until an event that must come is called lost. Sanitizers take their time; so does a machine that says so.
PATIENCE = 30 * (2 if "san" in BUILD.name else 1) * float(os.environ.get("DROVER_PATIENCE", 1))

MESSAGES = {name: int(number) for name, number in
            re.findall(r"^MSG\((\w+),\s*(\d+)", (ROOT / "common/ipc/messages.def").read_text(), re.M)}
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """What droverd leaves behind comes to us, and is counted."""
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def until(condition, what="it happens", patience=PATIENCE, pause=0.01):
    """Waits for what can only be looked for. Prefer wait_event(). A look that costs much wants a longer pause."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {patience} s until {what}"
        time.sleep(pause)


def left_of(find, patience=5):
    """What is still found when there was time for it to go."""
    with contextlib.suppress(AssertionError):
        until(lambda: not find(), "nothing is found", patience)
    return find()


def processes():
    """{pid: (ppid, state)} of all processes."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path("/proc", name, "stat").read_bytes().rsplit(b")", 1)[1].split()
                found[int(name)] = (int(stat[1]), stat[0].decode())
    return found


def descendants(root=None):
    """Living descendants of a process (ours by default), zombies not counted."""
    root = root or os.getpid()
    found = processes()
    children = {}
    for pid, (parent, _) in found.items():
        children.setdefault(parent, []).append(pid)
    result, todo = [], [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            todo.append(pid)
            if found[pid][1] not in "ZX":
                result.append(pid)
    return result


def comm(pid):
    """The process's short name; "" when it is gone."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    return ""


def alive(pid):
    return processes().get(pid, (0, "Z"))[1] not in "ZX"


def bytes_of(path):
    """What a file holds; nothing while there is none."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path(path).read_bytes()
    return b""


def text_of(path):
    return bytes_of(path).decode(errors="replace")


def log_files(folder, name):
    """[(inode, path)] of a log, the oldest file first. The newest is missing between a rotation and the next line."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            match = re.fullmatch(re.escape(name) + r"\.log(?:\.(\d+))?", entry.name)
            if match:
                found[int(match[1] or 0)] = (entry.inode(), pathlib.Path(entry.path))
    return [found[number] for number in sorted(found, reverse=True)]


def whole_log(folder, name):
    """All that is in a log, from its oldest file on. A rotation renames them while they are opened: then once more."""
    while True:
        listed = log_files(folder, name)
        with contextlib.ExitStack() as stack, contextlib.suppress(FileNotFoundError):
            files = [stack.enter_context(open(path, "rb")) for _, path in listed]
            if log_files(folder, name) == listed:
                return b"".join(file.read() for file in files)


def environment_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def seconds(text):
    """Since 1970, of a time as drover writes it."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Control:
    """The control socket's client side (common/ipc/control.def)."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))

    def send(self, verb, args="", version=1):
        def text(value):
            raw = value if isinstance(value, bytes) else value.encode()
            return struct.pack("<I", len(raw)) + raw
        self.socket.send(struct.pack("<II", MESSAGES["REQUEST"], version) + text(verb) + text(args))

    def receive(self):
        """(exit code, merged object) of one answer."""
        merged = {}
        while True:
            packet = self.socket.recv(70000)
            assert packet, "the supervisor closed the connection"
            number, last, code, length = struct.unpack_from("<IIII", packet)
            assert number == MESSAGES["PAGE"]
            page = json.loads(packet[16:16 + length])
            for key, value in page.items():
                if isinstance(value, list) and isinstance(merged.get(key), list):
                    merged[key] += value
                else:
                    merged[key] = value
            if last:
                return code, merged

    def ask(self, verb, args=""):
        self.send(verb, args)
        return self.receive()

    def close(self):
        self.socket.close()


class Drover:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.state, self.runtime, self.logs = (self.folder / n for n in ("state", "run", "log"))
        self.config = self.folder / "drover.yaml"
        self.process = None
        self.program = DROVERD
        self.prefix = []  # a command that becomes droverd at its end: ["prlimit", "--nofile=40"]
        self.events = []
        self.inode, self.offset, self.partial = None, 0, b""  # how far drover.log is read
        self.seen = 0  # wait_event() goes on behind the last event it gave
        self.output = open(self.folder / "droverd.out", "ab+")

    # -- life --

    def write(self, text):
        self.config.write_text(text)
        return self

    def machine(self, used_percent=10):
        """The machine that workers see: tests do not depend on how full the real one is."""
        folder = self.folder / "machine"
        (folder / "proc").mkdir(parents=True, exist_ok=True)
        new = folder / "proc/new"
        new.write_text(f"MemTotal: 1000000 kB\nMemFree: 1 kB\nMemAvailable: {1000000 - used_percent * 10000} kB\n")
        new.rename(folder / "proc/meminfo")
        return folder

    def start(self, text=None, wait=True, environment=None, arguments=()):
        if text is not None:
            self.write(text)
        self.process = subprocess.Popen(
            [*self.prefix, self.program, "--config", str(self.config), "--state-dir", str(self.state), "--runtime-dir",
             str(self.runtime), "--log-dir", str(self.logs), *arguments],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, cwd="/",
            env={**os.environ, "DROVER_MACHINE": str(self.machine()), **(environment or {})})
        if wait:
            self.wait_event("supervisor_started", pid=self.process.pid)
        return self

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)
        return self

    def kill(self):
        """SIGKILL to droverd alone, as a crash."""
        self.process.kill()
        self.process.wait(PATIENCE)
        return self

    def stop(self, patience=PATIENCE):
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(patience)

    def end(self):
        """After a test: stop, then no process of it may be left."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        left = self.left_over()
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.output.close()
        return left

    def left_over(self):
        """Our descendants that carry this droverd's folder or are nobody's own: waits a little for the last to go."""
        def find():
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            return [pid for pid in descendants() if self.is_ours(pid)]
        return left_of(find)

    @staticmethod
    def is_ours(pid):
        with contextlib.suppress(OSError):
            if b"DROVER_SLOT=" in pathlib.Path(f"/proc/{pid}/environ").read_bytes():
                return True
            return processes()[pid][0] == os.getpid()
        return False

    # -- log --

    def read_events(self):
        """Takes what is new in drover.log, in what a rotation made of it first."""
        listed = log_files(self.logs, "drover")
        begin = next((i for i, (inode, _) in enumerate(listed) if inode == self.inode), len(listed) - 1)
        with contextlib.suppress(FileNotFoundError):
            for inode, path in listed[max(begin, 0):]:
                with open(path, "rb") as file:
                    if os.fstat(file.fileno()).st_ino != inode:
                        break  # renamed meanwhile: the next look finds all in its place
                    self.take_events(file, inode)
        return self.events

    def take_events(self, file, inode):
        if inode != self.inode:
            self.inode, self.offset, self.partial = inode, 0, b""
        file.seek(self.offset)
        data = file.read()
        self.offset += len(data)
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                self.events.append(json.loads(line))

    def find_events(self, event, **fields):
        """All events so far that match."""
        return [e for e in self.read_events() if matches(e, event, fields)]

    def wait_event(self, event, patience=PATIENCE, **fields):
        """The next event of this name with these fields, behind the last one given."""
        deadline = time.monotonic() + patience
        while True:
            self.read_events()
            for i in range(self.seen, len(self.events)):
                if matches(self.events[i], event, fields):
                    self.seen = i + 1
                    return self.events[i]
            assert time.monotonic() < deadline, (
                f"waited {patience} s for {event} {fields}; the last events:\n" +
                "\n".join(json.dumps(e) for e in self.events[-15:]) + "\n" + self.complaints())
            assert not self.process or self.process.poll() is None or self.process_may_be_gone(event), (
                f"droverd ended with {self.process.returncode} before {event}:\n" + self.complaints())
            time.sleep(0.005)

    def process_may_be_gone(self, event):
        return event == "supervisor_stopped"

    def rewind(self):
        """wait_event() looks from the first event again."""
        self.seen = 0
        return self

    def complaints(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")[-4000:]

    def log_of(self, name):
        return text_of(self.logs / f"{name}.log")

    def records(self, log, event=None, **fields):
        """What stands in a log of records, rotated or not, that matches; the last line may not be whole yet."""
        lines = whole_log(self.logs, log).split(b"\n")[:-1]
        return [r for r in map(json.loads, lines) if matches(r, event or r["event"], fields)]

    def health(self, event=None, **fields):
        return self.records("drover_health", event, **fields)

    # -- control --

    def control(self):
        return Control(self.runtime / "control.sock")

    def ask(self, verb, args=""):
        client = until(self.try_control, "the control socket answers")
        try:
            return client.ask(verb, args)
        finally:
            client.close()

    def try_control(self):
        with contextlib.suppress(OSError):
            return self.control()
        return None

    def status(self, name=""):
        code, answer = self.ask("status", name)
        assert code == 0, answer
        return answer

    def slot(self, name):
        """status of one slot."""
        return next(p for p in self.status(name)["processes"] if p["name"] == name)

    def wait_state(self, name, state, patience=PATIENCE):
        return until(lambda: (lambda s: s if s["state"] == state else None)(self.slot(name)),
                     f"{name} is {state}", patience)


def matches(record, event, fields):
    return record.get("event") == event and all(record.get(k) == v for k, v in fields.items())

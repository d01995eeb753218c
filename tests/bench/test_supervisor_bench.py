# SPDX-License-Identifier: MIT
"""
droverd beside other supervisors and beside the least that supervises (bench_supervise.c), all in one run and in turns:
machines are noisy, ratios less so. Prints the tables that RESULTS.md keeps. What is asserted are orders of magnitude:
a ratio far from what was measured means that something became slower or larger by a mechanism.
"""
import contextlib
import itertools
import json
import os
import pathlib
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import Drover, become_subreaper, descendants, until  # noqa: E402
from test_restart_memory import restart_many  # noqa: E402

BIN = pathlib.Path(os.environ["DROVER_BUILD"]) / "bin"
CHILD = str(BIN / "bench_supervise")
ROUNDS = 12
PAUSE_S = 1.3  # peers wait a second between two starts of one service, and tell nobody that it is over
MANY = 500
IDLE_S = 30
PEERS = ("prototype", "drover", "s6", "runit", "daemontools", "supervisor", "monit")
HERDERS = PEERS[:-1]  # monit starts one after the other, 0.2 s each, and stops none


def exe(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")
    return ""


class Stamps:
    """What the children wrote as they entered main(): (monotonic ns, pid)."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def read(self):
        data = self.path.read_bytes() if self.path.exists() else b""
        return list(struct.iter_unpack("<qq", data[:len(data) // 16 * 16]))

    def wait(self, count, patience=120):
        return until(lambda: (lambda s: s if len(s) >= count else None)(self.read()), f"{count} starts", patience)[count - 1]


class Supervisor:
    """One peer with `count` services; what it needs lies in a folder of its own."""

    def __init__(self, folder, count):
        self.folder, self.count = pathlib.Path(folder), count
        self.folder.mkdir()
        self.stamps = Stamps(self.folder / "stamps")
        self.process = None

    def start(self):
        """Returns when it was executed, monotonic ns."""
        argv = self.prepare()
        environment = {**os.environ, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        with open(self.folder / "output", "wb") as out:
            since = time.monotonic_ns()
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder,
                env=environment)
        return since

    def command(self):
        return [CHILD, "child", str(self.stamps.path)]

    def script(self, path):
        path.write_text("#!/bin/sh\nexec " + " ".join(self.command()) + "\n")
        path.chmod(0o755)

    def stop(self):
        self.process.terminate()
        self.await_end()

    def await_end(self):
        """At once: Popen.wait() with a timeout sleeps up to 50 ms at a time."""
        pidfd = os.pidfd_open(self.process.pid)
        ready = select.select([pidfd], [], [], 120)[0]
        os.close(pidfd)
        assert ready, "it does not end"
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def own(self):
        """What supervises: all of it but the children."""
        mine = [pid for pid in [self.process.pid, *descendants(self.process.pid)] if exe(pid) != CHILD]
        return mine or [self.process.pid]


class Prototype(Supervisor):
    def prepare(self):
        return [CHILD, "parent", str(self.count), str(self.stamps.path)]

    def own(self):
        return [self.process.pid]


class S6(Supervisor):
    program = "s6-svscan"

    def prepare(self):
        scan = self.folder / "scan"
        for i in range(self.count):
            (scan / f"a{i}").mkdir(parents=True)
            self.script(scan / f"a{i}" / "run")
        return [self.program, *self.options(), str(scan)]

    def options(self):
        return ["-c", str(self.count + 10)]


class Runit(S6):
    program = "runsvdir"

    def options(self):
        return []

    def stop(self):
        self.process.send_signal(signal.SIGHUP)
        self.await_end()


class Daemontools(S6):
    program = "svscan"

    def options(self):
        return []

    def stop(self):
        subprocess.run(["svc", "-dx", *map(str, (self.folder / "scan").iterdir())], check=False)
        self.process.terminate()
        self.process.wait(60)


class Supervisord(Supervisor):
    def prepare(self):
        many = f"numprocs={self.count}\nprocess_name=a%(process_num)d\n"
        (self.folder / "conf").write_text(
            f"[supervisord]\nnodaemon=true\nuser=root\nminfds={self.count * 4 + 100}\nlogfile={self.folder}/log\npidfile={self.folder}/pid\n"
            f"[program:a]\ncommand={' '.join(self.command())}\nstartsecs=0\nautorestart=true\n{many}"
            f"stdout_logfile={self.folder}/a%(process_num)d.log\nstderr_logfile=NONE\n")
        return ["supervisord", "-n", "-c", str(self.folder / "conf")]


class Monit(Supervisor):
    """It asks once a second at the best, and knows a process by its file only."""

    def prepare(self):
        wrapper = self.folder / "start"
        wrapper.write_text(f"#!/bin/sh\n{' '.join(self.command())} &\necho $! > {self.folder}/a.pid\n")
        wrapper.chmod(0o755)
        rules = self.folder / "monitrc"
        rules.write_text(f"set daemon 1\nset log {self.folder}/log\nset pidfile {self.folder}/pid\nset idfile {self.folder}/id\n"
            f"set statefile {self.folder}/state\ncheck process a with pidfile {self.folder}/a.pid\n"
            f"  start program = \"{wrapper}\"\n")
        rules.chmod(0o600)
        return ["monit", "-I", "-c", str(rules)]

    def end(self):
        super().end()
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / "a.pid").read_text()), signal.SIGKILL)


class DroverPeer(Supervisor):
    def prepare(self):
        service = {"command": self.command(), "processes": self.count}
        text = "supervisor: {restart: {min_interval: 0s, jitter: 0s}}\nhttp: {listen: \"127.0.0.1:0\"}\n"
        text += f"services: {{a: {json.dumps(service)}}}\n"
        (self.folder / "drover.yaml").write_text(text)
        for name in ("state", "run", "log"):
            (self.folder / name).mkdir()
        return [str(BIN / "droverd"), "--config", str(self.folder / "drover.yaml"), "--state-dir", str(self.folder / "state"),
            "--runtime-dir", str(self.folder / "run"), "--log-dir", str(self.folder / "log")]

    def own(self):
        """droverd and drover-log; the workers that collect are another bench's."""
        found = [pid for pid in descendants(self.process.pid) if os.path.basename(exe(pid)) == "drover-log"]
        assert found, "there is no drover-log"
        return [self.process.pid, *found]


KINDS = {"prototype": Prototype, "drover": DroverPeer, "s6": S6, "runit": Runit, "daemontools": Daemontools,
    "supervisor": Supervisord, "monit": Monit}


@pytest.fixture
def folder():
    """In memory: disks are another bench's matter."""
    become_subreaper()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as one:
        yield pathlib.Path(one)


@contextlib.contextmanager
def running(kind, folder, count):
    peer = KINDS[kind](folder / f"{kind}{count}", count)
    since = peer.start()
    try:
        peer.stamps.wait(count)
        yield peer, since
    finally:
        peer.end()
        until(nobody_is_left, "all of it is gone")


def nobody_is_left():
    """Ends what the peer left to us; several passes, for orphans bring orphans."""
    left = [pid for pid in descendants() if exe(pid) != os.path.realpath(sys.executable)]
    for pid in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return not left


def kill_and_wait(peer):
    """ms from SIGKILL to main() of the next one."""
    stamps = peer.stamps.read()
    pid, since = stamps[-1][1], time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    if isinstance(peer, Monit):  # its daemon is our orphan, and it takes a zombie for alive
        until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "it is dead")
    return (peer.stamps.wait(len(stamps) + 1)[0] - since) / 1e6


def test_restart_latency_beside_other_supervisors(folder):
    found = {name: [] for name in PEERS}
    with contextlib.ExitStack() as stack:
        peers = {name: stack.enter_context(running(name, folder, 1))[0] for name in PEERS}
        time.sleep(PAUSE_S)
        for _ in range(ROUNDS):
            began = time.monotonic()
            for name, peer in peers.items():
                found[name].append(kill_and_wait(peer))
            time.sleep(max(PAUSE_S - (time.monotonic() - began), 0.2))
    bare = statistics.median(found["prototype"])
    print()
    for name in PEERS:
        median = statistics.median(found[name])
        print(f"| restart latency, SIGKILL to main() | {name} | median {median:.2f} ms, best {min(found[name]):.2f} ms,"
              f" worst {max(found[name]):.2f} ms | x{median / bare:.2f} |")
    median = statistics.median(found["drover"])
    assert median < 5 * bare
    assert all(median < statistics.median(found[name]) for name in ("s6", "supervisor", "monit")), "they wait"


def pss_kib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total


def settle(peer):
    """
    The children are there, and so is what else it starts: no peer tells when it is done with that. Nobody looks into their
    /proc here: the kernel would have to take that down with them.
    """
    log = peer.folder / "log" / "drover.log"
    if isinstance(peer, DroverPeer):
        until(lambda: log.exists() and "supervisor_ready" in log.read_text(), "it is ready")
    time.sleep(3)


def test_memory_for_each_process(folder):
    print()
    for name in HERDERS:
        sizes = {}
        for count in (1, MANY):
            with running(name, folder, count) as (peer, _):
                settle(peer)
                sizes[count] = pss_kib(peer.own())
        each = (sizes[MANY] - sizes[1]) / (MANY - 1)
        print(f"| memory of the supervisor, PSS | {name} | with 1 process {sizes[1] / 1024:.2f} MiB, with {MANY} "
              f"{sizes[MANY] / 1024:.2f} MiB | {each:.2f} KiB for each |")
        assert name != "drover" or (sizes[1] < 5 * 1024 and each < 5)


def spent(pids):
    """(CPU s, voluntary switches)"""
    cpu = switches = 0
    for pid in pids:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        switches += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return cpu, switches


def test_idle_cost_of_a_hundred_processes(folder):
    with contextlib.ExitStack() as stack:
        peers = {name: stack.enter_context(running(name, folder, 100))[0] for name in HERDERS}
        time.sleep(8)  # no peer tells when it is done with its start
        before = {name: spent(peer.own()) for name, peer in peers.items()}
        time.sleep(IDLE_S)  # the measured span
        after = {name: spent(peer.own()) for name, peer in peers.items()}
    print()
    for name in HERDERS:
        print(f"| idle, 100 processes, {IDLE_S} s | {name} | CPU {(after[name][0] - before[name][0]) * 1000:.0f} ms"
              f" | {after[name][1] - before[name][1]} wakeups |")
    assert after["drover"][0] - before["drover"][0] < 0.2


def test_start_and_stop_of_many(folder):
    found = {name: ([], []) for name in HERDERS}
    for i, name in itertools.product(range(3), found):
        (folder / str(i)).mkdir(exist_ok=True)
        with running(name, folder / str(i), MANY) as (peer, since):
            found[name][0].append((max(at for at, _ in peer.stamps.read()) - since) / 1e6)
            settle(peer)  # what is left of the start is none of the stop
            begin = time.monotonic_ns()
            peer.stop()
            until(lambda: not any(exe(pid) == CHILD for pid in descendants()), "all are gone")
            found[name][1].append((time.monotonic_ns() - begin) / 1e6)
    print()
    for what, i in (("start", 0), ("stop", 1)):
        bare = statistics.median(found["prototype"][i])
        for name in HERDERS:
            ms = statistics.median(found[name][i])
            print(f"| {what} of {MANY} | {name} | {ms:.0f} ms | x{ms / bare:.2f} |")
        assert statistics.median(found["drover"][i]) < 12 * bare


def test_many_restarts_cost_no_memory(folder):
    restarts = int(os.environ.get("DROVER_BENCH_RESTARTS", "100000"))
    drover = Drover(folder)
    try:
        before, after = restart_many(drover, restarts, 100)
    finally:
        left = drover.end()
    print(f"\n| memory over {restarts} restarts, droverd's own | after a tenth {before} KiB | after all {after} KiB | |")
    assert after - before < 200 and not left

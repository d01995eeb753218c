# SPDX-License-Identifier: MIT
"""
A small machine with a real systemd as its process 1, and drover installed in it: this host's own files in namespaces of
their own (tests/systemd/boot), for as long as the tests last. Needs root. The host's clock, devices and sysctls are out of its reach.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from harness import BUILD, PATIENCE, until  # noqa: E402

CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
         "SYSTEMD_PAGER": "cat", "SYSTEMD_COLORS": "0", "TERM": "dumb"}
# nsenter brings the caller's rights into the container: those that reach past namespaces stay outside.
WITHOUT = "--bounding-set=-sys_time,-sys_module,-sys_rawio,-mac_admin,-mac_override,-wake_alarm"


def cgroup_tops():
    """Where we may make a group: the one hierarchy, or systemd's two of a mixed set."""
    top = pathlib.Path("/sys/fs/cgroup")
    return [top] if (top / "cgroup.controllers").exists() else [top / n for n in ("unified", "systemd") if (top / n).exists()]


def host_fingerprint():
    """What a careless container changes on its host."""
    nodes = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/console"]
    sysctls = ["fs/protected_hardlinks", "fs/protected_symlinks", "fs/protected_fifos", "fs/protected_regular",
               "fs/nr_open", "fs/suid_dumpable", "kernel/core_pattern", "kernel/sysrq", "kernel/pid_max", "kernel/printk"]
    return ([(n, os.stat(n).st_mode, os.stat(n).st_uid, os.stat(n).st_gid) for n in nodes if os.path.exists(n)] +
            [(s, pathlib.Path("/proc/sys", s).read_text()) for s in sysctls if os.path.exists(f"/proc/sys/{s}")])


class Machine:
    def __init__(self):
        self.name = f"drover-test-{os.getpid()}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drover-systemd-"))
        self.folder.chmod(0o755)
        self.groups = [top / self.name for top in cgroup_tops()]
        self.process = self.leader = None
        self.before = host_fingerprint()

    # -- life --

    def start(self):
        stage = self.folder / "stage"
        subprocess.run(["cmake", "--install", BUILD], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DESTDIR": str(stage)})
        for group in self.groups:
            group.mkdir()
        local = next(p for p in stage.rglob("sbin/droverd")).parents[1]
        assert local == stage / "usr/local", "the tests' builds have /usr/local as their prefix"
        command = [str(HERE / "boot"), str(local), str(self.groups[0])]
        with open(self.folder / "console", "wb") as console:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                            start_new_session=True, preexec_fn=self.enter_groups)
        self.leader = until(self.find_leader, "systemd is process 1")
        until(self.is_up, "the machine is up")
        return self

    def enter_groups(self):
        for group in self.groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def find_leader(self):
        """The container's process 1: systemd, a child of the one we started."""
        assert self.process.poll() is None, (self.folder / "console").read_text(errors="replace")
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    if pathlib.Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                        return int(child)
        return None

    def is_up(self):
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def stop(self):
        """Powers it off. Nothing may be left, and the host must be as it was."""
        if self.leader:
            # SIGRTMIN+4: power off.
            os.kill(self.leader, signal.SIGRTMIN + 4)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.leader, signal.SIGKILL)
                self.process.wait(20)
        elif self.process:
            self.process.terminate()
            self.process.wait(20)
        for group in self.groups:
            until(lambda: self.remove_group(group), f"{group} is empty")
        shutil.rmtree(self.folder, ignore_errors=True)
        assert host_fingerprint() == self.before, "the container changed its host"

    @staticmethod
    def remove_group(group):
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return not group.exists()

    # -- inside --

    def run(self, *command, check=False, patience=PATIENCE):
        done = subprocess.run(["setpriv", WITHOUT, "nsenter", "-t", str(self.leader), "-a", "--", "/usr/bin/env", "-i",
                               *(f"{k}={v}" for k, v in CLEAN.items()), *map(str, command)],
                              capture_output=True, text=True, timeout=patience)
        assert not check or done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
        return done

    def path(self, inside):
        return pathlib.Path(f"/proc/{self.leader}/root{inside}")

    def write(self, inside, text):
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        fresh.replace(path)

    def show(self, key, unit="drover"):
        return self.run("systemctl", "show", unit, "-p", key, "--value", check=True).stdout.strip()

    def journal(self, unit="drover"):
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout

# SPDX-License-Identifier: MIT
"""A real PostgreSQL server from Debian's package, on a private folder and a unix socket.

Tests run as root in CI, the server cannot: it then runs as the package's user `postgres`. It is our child, ends by its
pid, and dies with us whatever happens. Tests kill processes, never the kernel, so fsync is off: on a disk that is slow to
sync, a server killed in a test needs longer than any test waits to sync its whole folder before it answers again. What
measures the server sets $DROVER_TEST_POSTGRES_FSYNC=on.
"""
import atexit
import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BIN = "/usr/lib/postgresql/15/bin"
ENV = "DROVER_TEST_POSTGRES"
FSYNC = os.environ.get("DROVER_TEST_POSTGRES_FSYNC", "off")
SUPERUSER = "drover"
SETTINGS = {
    "fsync": FSYNC,
    "shared_buffers": "64MB",
    "max_connections": "120",
    "listen_addresses": "",
    "shared_preload_libraries": "pg_stat_statements",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "autovacuum_naptime": "10s",
}
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def present():
    return os.path.exists(BIN + "/postgres")


def _as_server():
    """Popen's arguments that give root away."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _environment():
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def quoted(text):
    return "".join(c if c.isalnum() or c in "-_." else "%%%02X" % ord(c) for c in text)


@functools.cache
def _template():
    """What initdb makes, once a process: it takes seconds."""
    folder = tempfile.mkdtemp(prefix="drover-pg-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    subprocess.run([BIN + "/initdb", "-D", folder + "/data", "-U", SUPERUSER, "-A", "trust", "--no-sync", "-E", "UTF8",
                    "--locale=C.UTF-8", "--wal-segsize=1"], check=True, stdout=subprocess.DEVNULL, env=_environment(), cwd="/",
                   **_as_server())
    return folder + "/data"


class Server:
    """start() .. kill() .. start() .. close(). `folder` holds data, socket and log."""

    def __init__(self, folder=None, port=None, **settings):
        self.folder = folder or tempfile.mkdtemp(prefix="drover-pg-")
        os.chmod(self.folder, 0o755)
        self.data = self.folder + "/data"
        self.log = self.folder + "/server.log"
        self.port = port
        self.database = "postgres"  # when none is named
        self.process = None
        values = dict(SETTINGS, **settings)
        if port:
            values["listen_addresses"] = "127.0.0.1"
            values["port"] = str(port)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(["cp", "-a", _template(), self.data], check=True)
        with open(self.data + "/postgresql.auto.conf", "a") as conf:
            for key, value in values.items():
                conf.write("%s = '%s'\n" % (key, value))
            conf.write("unix_socket_directories = '%s'\n" % self.folder)

    def start(self):
        """Starts the server and returns when it answers."""
        parent = os.getpid()

        def child():
            # SIGQUIT: at once, without a checkpoint.
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
            if os.getppid() != parent:
                os._exit(1)

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BIN + "/postgres", "-D", self.data], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=child, start_new_session=True, cwd="/",
                                            env=_environment(), **_as_server())
        self.wait_ready()
        return self

    def wait_ready(self, seconds=20):
        deadline = time.monotonic() + seconds
        command = [BIN + "/pg_isready", "-q", "-h", self.folder, "-p", str(self.port or 5432), "-U", SUPERUSER]
        while subprocess.run(command, env=_environment()).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not start:\n" + open(self.log, errors="replace").read()[-3000:])
            time.sleep(0.02)

    @property
    def pid(self):
        return self.process.pid

    def url(self, database=None, schema=None):
        """With `schema`, what is created goes there: many tests share one database."""
        host = self.folder
        url = "postgresql://%s@/%s?host=%s&port=%d" % (SUPERUSER, database or self.database, quoted(host), self.port or 5432)
        return url + ("&options=-csearch_path%%3D%s" % schema if schema else "")

    def tcp_url(self, database="postgres", host="127.0.0.1"):
        return "postgresql://%s@%s:%d/%s" % (SUPERUSER, host, self.port, database)

    def sql(self, text, database=None, schema=None):
        """What psql prints for `text`, unaligned and without headings."""
        return sql(self.url(database, schema), text)

    def create_database(self, name):
        self.sql('CREATE DATABASE "%s"' % name, "postgres")
        return self.url(name)

    def stop(self, how=signal.SIGINT):
        """Orderly by default; signal.SIGKILL is the crash."""
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(30)
        self.process = None
        self._await_children()

    def kill(self):
        """SIGKILL: its children notice and end by themselves, the shared memory is recovered at the next start."""
        self.stop(signal.SIGKILL)

    def _await_children(self):
        # After a SIGKILL the children still hold the socket's lock for moments; a new server would refuse to start.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._children():
            time.sleep(0.01)

    def _children(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink("/proc/%s/cwd" % pid) == os.path.realpath(self.data):
                    found.append(int(pid))
        return found

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def sql(url, text):
    done = subprocess.run([BIN + "/psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment())
    if done.returncode != 0:
        raise RuntimeError("%s\n%s" % (text, done.stderr))
    return done.stdout.rstrip("\n")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

# SPDX-License-Identifier: MIT
"""
What tests give a droverd: services to run, configurations of them, a program that speaks for itself (sd_notify), folders
of another user, and clients that command without a pause.
"""
import contextlib
import json
import os
import random
import sys
import threading
import time

import pytest

from harness import BUILD, until

PYTHON = "/usr/bin/python3"
SANITIZED = "san" in BUILD.name  # what is measured in time gets more of it, memory is not ours
SLOW = 4 if SANITIZED else 1
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def services(**commands):
    """YAML of services: NAME=script, NAME=[program, argument...] or NAME={fields}."""
    text = "services:\n"
    for name, fields in commands.items():
        if not isinstance(fields, dict):
            fields = {"command": fields} if isinstance(fields, list) else shell(fields)
        text += f"  {name}: {json.dumps(fields)}\n"
    return text


def shell(script, **more):
    return {"command": ["sh", "-c", script], **more}


def idle(**more):
    return {"command": ["sleep", "1000"], **more}


def asked(probe, command=("sleep", "1000"), **more):
    return {"command": list(command), "probe": probe, **more}


def config(services, min_interval="1h"):
    """A configuration of {name: fields} that are asked often and started again late."""
    return f"""
http: {{listen: "127.0.0.1:0"}}
supervisor:
  probe: {{interval: 400ms, timeout: 300ms, failures: 3, start_period: 0s}}
  restart: {{min_interval: {min_interval}, jitter: 0s}}
  stop: {{timeout: 2s}}
services: {json.dumps(services)}
"""


# Its words may be lost while no droverd lives. A gate is a FIFO: who stands at it goes on when pass_gate() is called.
SPEAKER = """
import contextlib, os, select, signal, socket, sys, time
where = os.environ.get("NOTIFY_SOCKET", "")
def say(text, to=None, fds=()):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        data = text if isinstance(text, bytes) else text.encode()
        s.connect(to or where)
        if fds: socket.send_fds(s, [data], list(fds))
        else: s.send(data)
def beat(seconds=1000, pause=0.1, until_there=""):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not os.path.exists(until_there):
        with contextlib.suppress(OSError): say("WATCHDOG=1")
        time.sleep(pause)
def stand_at(gate):
    open(gate).read()
"""


def speaker(script, **probe):
    return asked({"notify": True, **probe}, [sys.executable, "-c", SPEAKER + script])


def make_gate(path):
    os.mkfifo(path)
    return str(path)


def pass_gate(path):
    def passed():
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            return True
        return False
    until(passed, f"somebody stands at {path}")


def as_user(uid):
    """What a command begins with that this user is to run."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def let_others_in(folder):
    """Everybody may walk to it: pytest's own folders are closed to other users."""
    for path in (folder, *folder.parents):
        about = path.stat()
        if about.st_mode & 0o111 != 0o111 and about.st_uid == os.geteuid():
            path.chmod(about.st_mode | 0o111)


def give_to(drover, uid):
    """Its folders are that user's."""
    for folder in (drover.state, drover.runtime, drover.logs):
        folder.mkdir()
        os.chown(folder, uid, uid)
    let_others_in(drover.folder)


class Commander(threading.Thread):
    """A client that commands until a time, each command when the last is answered: who inherits gives one(client)."""

    def __init__(self, drover, seed, until_s):
        super().__init__()
        self.drover, self.rng, self.until_s, self.error = drover, random.Random(seed), until_s, None

    def run(self):
        try:
            client = until(self.drover.try_control, "a connection")
            while time.monotonic() < self.until_s:
                self.one(client)
            client.socket.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                self.error = f"an answer too many: {client.receive()}"
            client.close()
        except BaseException as error:  # noqa: BLE001
            self.error = repr(error)

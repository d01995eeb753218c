# SPDX-License-Identifier: MIT
"""drover demo, as a newcomer runs it; what it claims is judged again from outside."""
import hashlib
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from given import SANITIZED
from harness import BUILD, left_of
from website import documentation, languages

DROVER = BUILD / "bin/drover"
FIELDS = ("alpha_3", "alpha_2", "bibliographic", "common_name", "inverted_name", "name", "scope", "type")


@pytest.fixture
def home(tmp_path_factory):
    """A short folder: the demo's control socket lies below it."""
    folder = pathlib.Path(f"/tmp/drover-t{os.getpid()}")
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


def environment(home):
    return {"PATH": "/usr/bin:/bin", "TMPDIR": str(home)}


def processes_in(folder):
    """What still runs with that folder in its command line, our own tests aside."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            continue
        if str(folder) in line and state != "Z" and entry.name != str(os.getpid()):
            found.append((entry.name, line))
    return found


def wait_until_gone(folder):
    assert not left_of(lambda: processes_in(folder), 20)


def the_folder(said):
    return pathlib.Path(re.search(r"everything lies in (\S+)", said).group(1))


def test_the_demo_shows_it_all_and_its_numbers_are_true(home):
    started = time.monotonic()
    done = subprocess.run([DROVER, "demo"], env=environment(home), capture_output=True, text=True, timeout=120)
    took = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    if not SANITIZED:
        assert took < 30
    folder = the_folder(done.stdout)
    assert done.stdout.count("  good ") == 4 and "WRONG" not in done.stdout
    assert "killed by SIGKILL in the middle" in done.stdout and "collect is back" in done.stdout
    assert "web hangs: probe " in done.stdout
    assert "restarted after three failed probes" in done.stdout
    wait_until_gone(folder)

    with sqlite3.connect(f"file:{folder}/state/drover.db?mode=ro", uri=True) as db:
        rows = db.execute(f"SELECT {', '.join(FIELDS)} FROM languages ORDER BY alpha_3").fetchall()
        pages = db.execute("SELECT url, title, content_hash FROM pages").fetchall()
    truth = [tuple(record.get(field) for field in FIELDS) for record in languages()]
    assert rows == sorted(truth)
    assert len(pages) == 527 and len({content for _, _, content in pages}) == 526
    root = pathlib.Path(documentation())
    for url, title, _ in pages:
        path = re.sub(r"^http://[^/]+", "", url)
        body = (root / (path.lstrip("/") or "index.html")).read_text(errors="replace")
        assert title is not None and title.split()[0] in body
    by_hash = {}
    for url, _, content in pages:
        path = re.sub(r"^http://[^/]+/", "", url) or "index.html"
        by_hash.setdefault(content, set()).add(hashlib.sha256((root / path).read_bytes()).hexdigest())
    assert all(len(bodies) == 1 for bodies in by_hash.values())


@pytest.fixture
def begin(home):
    """begin("--keep") starts a demo; what the test leaves of it is ended."""
    started = []

    def start(*words):
        started.append(subprocess.Popen([DROVER, "demo", *words], env=environment(home), stdout=subprocess.PIPE,
            text=True))
        return started[-1]
    yield start
    for process in started:
        process.stdout.close()
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def read_until(process, word):
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(f"{word!r} was not said:\n{said}")


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_demo_nothing_of_it_goes_on(begin, signo):
    process = begin()
    said = read_until(process, "two runs begin")
    process.send_signal(signo)
    assert process.wait(60) == (-9 if signo == signal.SIGKILL else 1)
    wait_until_gone(the_folder(said))


def test_keep_stays_up_and_answers_until_interrupted(begin):
    process = begin("--keep")
    said = read_until(process, "drover status --socket")
    assert "stays up until Ctrl-C" in said, said
    address = re.search(r"HTTP +(http://\S+)/health", said).group(1)
    with urllib.request.urlopen(address + "/livez", timeout=10) as answer:
        assert answer.status == 200
    sock = re.search(r"--socket (\S+)", said).group(1)
    done = subprocess.run([DROVER, "runs", "--socket", sock], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "languages" in done.stdout and "docs" in done.stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    wait_until_gone(the_folder(said))


def test_missing_packages_are_named_with_the_command_that_installs_them(home):
    """In a mount namespace where iso-codes is not there."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("needs root and mount namespaces")
    done = subprocess.run(["unshare", "-m", "sh", "-c",
        'mount -t tmpfs none /usr/share/iso-codes && exec "$0" demo', DROVER], env=environment(home), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "apt-get install -y --no-install-recommends" in done.stderr and "iso-codes" in done.stderr
    assert "python3-doc" not in done.stderr

# SPDX-License-Identifier: MIT
"""The presets of etc/ and README's recipe: what is printed there is what is run here."""
import os
import re
import signal
import subprocess

import pytest
import yaml

from harness import BUILD, ROOT, until
from provider import Answer, Provider

DROVER = BUILD / "bin/drover"
# calls of a provider, calls in all, delay, rows of a transaction: notes of the systems that drover replaces
NUMBERS = {"stable": (2, 3, "500ms", 20), "production": (5, 8, "200ms", 100), "high-performance": (10, 15, "100ms", 100)}


def say(*words, code=0, **more):
    done = subprocess.run([DROVER, *words], capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


@pytest.mark.parametrize("name", NUMBERS)
def test_a_preset_is_good_and_has_its_numbers(name, tmp_path):
    say("init", "--preset", name, cwd=tmp_path)
    text = (tmp_path / "drover.yaml").read_text()
    assert text == (ROOT / "etc/presets" / f"{name}.yaml").read_text()
    say("check", "drover.yaml", cwd=tmp_path)
    resolved = yaml.safe_load(say("config", "--config", "drover.yaml", cwd=tmp_path).stdout)
    limits = resolved["providers"]["example"]["limits"]
    assert (limits["concurrency"], resolved["workers"]["collect"]["concurrency"], limits["min_delay"],
            resolved["jobs"]["items"]["store"]["batch"]) == NUMBERS[name]
    # What the head says is what the file says.
    assert "At most {} calls of a provider and {} in all at a time, {} from one".format(*NUMBERS[name]) in text


def test_no_preset_lies_there_without_a_test():
    assert {p.stem for p in (ROOT / "etc/presets").glob("*.yaml")} == set(NUMBERS)
    assert "did you mean 'stable'?" in say("init", "--preset", "stabel", code=2).stderr


def test_a_preset_is_obeyed(drover):
    """The provider sees ten calls at a time, 100 ms from one to the next, and no more."""
    text = (ROOT / "etc/presets/high-performance.yaml").read_text()
    values = ", ".join(str(n) for n in range(16))
    with Provider() as provider:
        provider.route("/items", Answer(body={"data": []}, delay=1.5))
        text = text.replace("https://api.example.org/v1", provider.url + "\n    private: true") \
            .replace("path: /items}", 'path: /items, query: {n: "{{n}}"}}\n    for_each: {values: [%s], as: n}' % values) \
            .replace('schedule: {cron: "0 3 * * *", timezone: UTC}', "") \
            .replace("concurrency: 15", "concurrency: 32")
        drover.start(text)
        drover.wait_event("supervisor_ready")
        done = subprocess.run([DROVER, "run", "items", "--wait", "--socket", str(drover.runtime / "control.sock")],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        times = sorted(call.at for call in provider.calls)
        assert provider.most_active == 10 and len(times) == 16
        # One arrival may be late; that many cannot be.
        assert sorted(b - a for a, b in zip(times, times[1:]))[7] > 0.08


SERVER = """#!/usr/bin/python3
import http.server, os, sys
os.chdir(os.path.dirname(os.path.abspath(sys.argv[0])))
open("lives", "a").write("%d\\n" % os.getpid())
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("sick-%d" % os.getpid()) else 200)
        self.end_headers()
    def log_message(self, *args):
        open("asked-%d" % os.getpid(), "a").write(self.path + "\\n")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def recipe():
    text = (ROOT / "README.md").read_text()
    lines = re.search(r"### Restart my server when its /health fails three times\n\n```\n(.*?)```", text, re.S)[1].splitlines()
    assert len(lines) == 6
    return "\n".join(line.removeprefix("$ ") for line in lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a network of its own, where port 8000 is free")
def test_the_recipe_in_the_readme_restarts_a_server_that_fails_three_times(tmp_path):
    server = tmp_path / "server"
    server.write_text(SERVER)
    server.chmod(0o755)
    env = {"PATH": f"{BUILD}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}
    env |= {name: str(tmp_path / name) for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "LOGS_DIRECTORY")}
    script = "ip link set lo up\nexec 2>&1\n" + recipe().replace("drover up", "exec drover up")
    with open(tmp_path / "output", "w") as output:
        up = subprocess.Popen(["unshare", "-n", "bash", "-ec", script], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                              stdout=output)
    try:
        def lives():
            return (tmp_path / "lives").read_text().split() if (tmp_path / "lives").exists() else []
        first = until(lambda: up.poll() is not None or lives(), "it is started")
        assert up.poll() is None, (tmp_path / "output").read_text()
        first = first[0]
        asked = tmp_path / f"asked-{first}"
        until(asked.exists, "it is asked")
        (tmp_path / f"sick-{first}").touch()
        healthy = len(asked.read_text().splitlines())
        second = until(lambda: lives()[1:], "it is started anew")[0]
        assert second != first and not os.path.exists(f"/proc/{first}")
        # Three bad answers, and those of its first seconds, in which failures do not count.
        assert 3 <= len(asked.read_text().splitlines()) - healthy <= 3 + 3
        until((tmp_path / f"asked-{second}").exists, "the new one is asked")
        assert len(lives()) == 2
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)
    assert up.returncode == 0, (tmp_path / "output").read_text()

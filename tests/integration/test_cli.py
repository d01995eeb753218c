# SPDX-License-Identifier: MIT
"""The command line as a user meets it, without a supervisor: what is typed, what comes out, with which exit code."""
import json
import os
import pathlib
import pty
import re
import socket
import subprocess

import pytest

from given import let_others_in
from harness import BUILD, ROOT

DROVER = BUILD / "bin/drover"
BROKEN = pathlib.Path(__file__).parent / "broken"


def drover(*words, cwd=None, env=None, code=0):
    built = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", **(env or {})}
    done = subprocess.run([DROVER, *words], cwd=cwd, env=built, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done


def test_a_verb_mistyped_gets_a_suggestion_and_exit_code_2():
    assert "did you mean 'status'?" in drover("stauts", code=2).stderr
    assert "did you mean --from?" in drover("next", "@daily", "--form=x", code=2).stderr
    assert drover("stauts", code=2).stdout == ""


def test_every_verb_has_help_on_standard_output():
    verbs = re.findall(r"^  ([a-z]+) {2,}", drover("help").stdout, re.M)
    assert {"demo", "up", "init", "check", "config", "status", "start", "stop", "restart", "reload", "rotate", "logs", "jobs",
        "runs", "run", "pause", "resume", "next", "dead"} <= set(verbs)
    for verb in set(verbs) - {"help"}:
        assert drover(verb, "--help").stdout.startswith(f"usage: drover {verb}")


def test_a_supervisor_that_is_not_there_is_exit_code_3_with_the_socket_and_the_way_to_start_it(tmp_path):
    for verb in (["status"], ["jobs"], ["stop", "all"], ["reload"], ["run", "x"], ["logs"], ["dead"]):
        said = drover(*verb, "--socket", str(tmp_path / "control.sock"), code=3)
        assert str(tmp_path / "control.sock") in said.stderr
        assert "drover up" in said.stderr
        assert said.stdout == ""


def test_the_socket_is_looked_for_in_the_environment(tmp_path):
    said = drover("status", env={"DROVER_SOCKET": "/a/b/control.sock"}, code=3).stderr
    assert "/a/b/control.sock" in said
    said = drover("status", env={"XDG_RUNTIME_DIR": str(tmp_path)}, code=3).stderr
    assert f"{tmp_path}/drover/control.sock" in said and "/run/drover/control.sock" in said


def test_a_socket_path_over_107_bytes_says_so():
    said = drover("status", "--socket", "/" + "x" * 107, code=2).stderr
    assert "108 bytes" in said and "107" in said


def test_a_socket_of_another_user_is_exit_code_5(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    folder = tmp_path / "run"
    folder.mkdir(mode=0o711)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(folder / "control.sock"))
        server.listen(1)
        os.chmod(folder / "control.sock", 0o600)
        let_others_in(tmp_path)
        program = tmp_path / "drover"
        program.write_bytes(DROVER.read_bytes())
        program.chmod(0o755)
        done = subprocess.run([program, "status", "--socket", str(folder / "control.sock")], user=65534,
            capture_output=True, text=True, timeout=60)
    assert done.returncode == 5, done.stderr
    assert "not permitted" in done.stderr


def test_next_needs_no_supervisor():
    times = json.loads(drover("next", "0 3 * * *", "--tz", "Asia/Seoul", "--from", "2026-11-21T00:00:00Z", "-n", "2",
        "--json").stdout)
    assert times == {"times": [
        {"local": "2026-11-22T03:00:00+09:00", "utc": "2026-11-21T18:00:00Z"},
        {"local": "2026-11-23T03:00:00+09:00", "utc": "2026-11-22T18:00:00Z"},
    ]}
    assert "^" in drover("next", "0 99 * * *", code=2).stderr


def test_init_writes_what_check_accepts_and_never_overwrites(tmp_path):
    drover("init", cwd=tmp_path)
    first = (tmp_path / "drover.yaml").read_text()
    assert first.count("#") > 20
    said = drover("check", cwd=tmp_path).stdout
    assert said.startswith("OK  ") and "2 jobs, 0 services, 1 provider" in said and "Next run: items in " in said
    assert said.count("\n") == 1
    assert "stays as it is" in drover("init", cwd=tmp_path, code=1).stderr
    assert (tmp_path / "drover.yaml").read_text() == first


def test_check_tells_no_time_for_every_since_that_counts_from_its_first_sight(tmp_path):
    drover("init", cwd=tmp_path)
    text = (tmp_path / "drover.yaml").read_text()
    every = re.sub(r"schedule: .*", "schedule: {every: 6h}", text)
    assert every != text
    (tmp_path / "drover.yaml").write_text(every)
    assert "Next run: items as soon as it is seen" in drover("check", cwd=tmp_path).stdout
    assert json.loads(drover("check", "--json", cwd=tmp_path).stdout).get("next_due_at") is None


def test_check_tells_all_errors_on_standard_error_with_exit_code_78(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("jobs:\n  a:\n    kind: crawl\n    strat: [http://x.example/]\nhttp: {listn: '127.0.0.1:1'}\n")
    said = drover("check", str(bad), code=78)
    assert said.stdout == ""
    assert f"{bad}:4:5: error:" in said.stderr and 'did you mean "start"' in said.stderr
    assert f"{bad}:5:8: error:" in said.stderr and 'did you mean "listen"' in said.stderr
    listed = json.loads(drover("check", "--json", str(bad), code=78).stdout)["files"][0]
    assert listed["ok"] is False
    assert {(e["line"], e["column"]) for e in listed["errors"]} >= {(4, 5), (5, 8)}


def test_the_examples_of_the_readme_and_of_etc_are_good(tmp_path):
    text = (ROOT / "README.md").read_text()
    example = tmp_path / "readme.yaml"
    example.write_text(re.search(r"```yaml\n(.*?)```", text, re.S).group(1))
    for file in (example, ROOT / "etc/drover.yaml"):
        assert drover("check", str(file), env={"KTO_KEY": "x"}).stdout.startswith("OK  ")


def test_check_takes_several_files(tmp_path):
    drover("init", "good.yaml", cwd=tmp_path)
    (tmp_path / "bad.yaml").write_text("x: 1\n")
    said = drover("check", "bad.yaml", "good.yaml", cwd=tmp_path, code=78)
    assert "OK  good.yaml" in said.stdout and "bad.yaml:1:1: error:" in said.stderr


def test_a_drover_yaml_that_others_can_write_is_passed_over(tmp_path):
    drover("init", cwd=tmp_path)
    os.chmod(tmp_path / "drover.yaml", 0o666)
    if os.path.exists("/etc/drover/drover.yaml"):
        pytest.skip("this machine has a configuration of its own")
    said = drover("check", cwd=tmp_path, code=1).stderr
    assert "./drover.yaml is not taken: drover.yaml can be written by everyone" in said
    assert drover("check", "--config", "drover.yaml", cwd=tmp_path).stdout.startswith("OK  ")
    os.chmod(tmp_path / "drover.yaml", 0o644)
    os.chmod(tmp_path, 0o777)  # whoever can write here could add conf.d/x.yaml
    assert "this folder can be written by everyone" in drover("check", cwd=tmp_path, code=1).stderr


def test_config_masks_secrets(tmp_path):
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "c.yaml").write_text(
        "providers:\n  p:\n    base_url: http://x.example\n"
        f"    headers: {{Authorization: 'Bearer ${{file:{tmp_path}/secret}}'}}\n")
    for words in ([], ["--json"]):
        said = drover("config", "--config", str(tmp_path / "c.yaml"), *words).stdout
        assert "hunter2" not in said
        assert "***" in said and "base_url" in said


def on_a_terminal(words, env):
    """What is printed when standard output and error are a terminal of 60 columns."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "60", "rows", "24"], stdin=slave, check=True)
    process = subprocess.Popen([DROVER, *words], stdin=slave, stdout=slave, stderr=slave, close_fds=True,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm", **env})
    os.close(slave)
    said = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    process.wait(60)
    os.close(master)
    return said.decode()


def test_colour_only_on_a_terminal_and_not_with_no_color():
    broken = str(sorted(BROKEN.glob("*.yaml"))[0])
    assert "\x1b[" in on_a_terminal(["check", broken], {})
    assert "\x1b[" not in on_a_terminal(["check", broken], {"NO_COLOR": "1"})
    assert "\x1b[" not in drover("check", broken, code=78).stderr


def test_a_full_disk_under_standard_output_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([DROVER, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "cannot write" in done.stderr

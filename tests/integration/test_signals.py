# SPDX-License-Identifier: MIT
"""What droverd does when it is sent a signal: one, many, at the wrong moment; and with which code it ends."""
import os
import pathlib
import random
import signal
import time

import pytest

from given import SLOW
from harness import alive, until


CONFIG = """
supervisor: {restart: {min_interval: 1h}, stop: {timeout: 1h}}
http: {listen: "127.0.0.1:0"}
services:
  a: {command: [sleep, '1000']}
  b: {command: [sleep, '1000']}
  c: {command: [sleep, '1000']}
"""
STUBBORN = "  stubborn: {command: [sh, -c, \"trap '' TERM; echo up; setsid -f sleep 1001; while :; do sleep 0.05; done\"]}\n"


def start(drover, text=CONFIG):
    drover.start(text)
    drover.wait_event("supervisor_ready")
    if "stubborn" in text:
        until(lambda: drover.log_of("stubborn"), "it ignores TERM")
    return drover


def ended(drover, patience=20):
    code = drover.process.wait(patience)
    assert not drover.left_over()
    return code


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_stop_all_in_reverse_order(drover, signo):
    start(drover)
    drover.signal(signo)
    assert ended(drover) == 0
    order = [e["name"] for e in drover.find_events("process_stopping")]
    assert [n for n in order if n in "abc"] == ["c", "b", "a"]
    assert not set("abc") & set(order[:-3]), "workers, which may need the services, went first"
    assert drover.find_events("supervisor_stopped")[-1]["code"] == 0


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM),
                                           (signal.SIGTERM, signal.SIGTERM)])
def test_a_second_one_shortens_the_wait_to_a_second(drover, first, second):
    start(drover, CONFIG + STUBBORN)
    drover.signal(first).wait_event("process_stopping", name="stubborn")
    since = time.monotonic()
    drover.signal(second)
    assert ended(drover) == 0
    assert 0.5 < time.monotonic() - since < 3 * SLOW


def test_a_second_one_that_comes_while_workers_stop_counts_for_the_services_too(drover):
    start(drover, CONFIG + STUBBORN)
    since = time.monotonic()
    drover.signal(signal.SIGTERM).signal(signal.SIGINT)
    assert ended(drover) == 0
    assert time.monotonic() - since < 5 * SLOW


def test_quit_kills_at_once_and_leaves(drover):
    start(drover, CONFIG + STUBBORN)
    since = time.monotonic()
    drover.signal(signal.SIGQUIT)
    assert ended(drover) == 0
    assert time.monotonic() - since < 2 * SLOW
    ends = {e["name"]: e["signal"] for e in drover.find_events("process_exited")}
    assert ends["stubborn"] == signal.SIGKILL and len(ends) > 4


def test_quit_ends_a_stop_that_is_under_way(drover):
    start(drover, CONFIG + STUBBORN)
    drover.signal(signal.SIGTERM).wait_event("process_stopping", name="stubborn")
    since = time.monotonic()
    drover.signal(signal.SIGQUIT)
    assert ended(drover) == 0
    assert time.monotonic() - since < 2 * SLOW


def test_hup_reloads(drover):
    start(drover)
    before = {n: drover.slot(n)["pid"] for n in "abc"}
    drover.write(CONFIG + "  d: {command: [sleep, '1000']}\n").signal(signal.SIGHUP)
    drover.wait_event("config_reloaded")
    drover.wait_event("process_running", name="d")
    drover.write(CONFIG + "  e: {comand: [sleep, '1000']}\n").signal(signal.SIGHUP)
    assert 'did you mean "command"?' in drover.wait_event("config_rejected")["error"]
    assert "drover.yaml:" in drover.status()["supervisor"]["config_error"]
    assert drover.slot("d")["state"] == "running" and {n: drover.slot(n)["pid"] for n in "abc"} == before


def test_usr1_rotates_every_log(drover):
    start(drover, CONFIG + "  talker: {command: [sh, -c, 'echo first; while read line; do :; done; exec sleep 1000']}\n")
    until(lambda: drover.log_of("talker"), "it spoke")
    drover.signal(signal.SIGUSR1)
    until(lambda: [n for n in os.listdir(drover.logs) if n.startswith("talker.log") and n != "talker.log"], "it is rotated")
    until(lambda: [n for n in os.listdir(drover.logs) if n.startswith("drover.log") and n != "drover.log"], "drover.log too")
    assert drover.slot("talker")["restarts"] == 0
    code = drover.stop()
    assert code == 0


def test_usr1_is_not_lost_while_there_is_no_drover_log(drover):
    start(drover)
    logger = next(int(p) for p in os.listdir("/proc") if p.isdigit() and is_logger_of(p, drover.pid))
    os.kill(logger, signal.SIGKILL)
    until(lambda: not alive(logger), "drover-log is dead")
    drover.signal(signal.SIGUSR1)
    until(lambda: [n for n in os.listdir(drover.logs) if n.startswith("drover.log") and n != "drover.log"], "it is rotated")


def is_logger_of(pid, parent):
    try:
        text = pathlib.Path("/proc", pid, "stat").read_text()
    except OSError:
        return False
    return "(drover-log)" in text and int(text.rsplit(")", 1)[1].split()[1]) == parent


def test_a_storm_of_signals_ends_in_the_last_word(drover):
    """Reloads and rotations by the hundred: what runs is left alone, the last configuration counts, then the end."""
    start(drover)
    before = {n: drover.slot(n)["pid"] for n in "abc"}
    rng = random.Random(7)
    for number in range(300):
        fresh = drover.folder / "fresh.yaml"
        fresh.write_text(CONFIG + f"  n{number % 7}: {{command: [sleep, '{2000 + number}']}}\n")
        fresh.replace(drover.config)
        for _ in range(rng.randrange(3)):
            drover.signal(rng.choice([signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGPIPE]))
    drover.signal(signal.SIGHUP)

    def last_word():
        names = [p["name"] for p in drover.status()["processes"] if p["name"][0] == "n" and p["state"] == "running"]
        return names == ["n5"] and b"2299" in pathlib.Path(f"/proc/{drover.slot('n5')['pid']}/cmdline").read_bytes()
    until(last_word, "the last configuration is in force")
    assert {n: drover.slot(n)["pid"] for n in "abc"} == before
    # Into the stop too: none of them brings anything back or keeps it from its end.
    drover.signal(signal.SIGTERM)
    for _ in range(200):
        if drover.process.poll() is not None:
            break
        drover.signal(rng.choice([signal.SIGHUP, signal.SIGUSR1]))
    assert ended(drover) == 0


def test_a_storm_of_terms_is_two(drover):
    start(drover, CONFIG + STUBBORN)
    since = time.monotonic()
    while drover.process.poll() is None and time.monotonic() - since < 20:
        drover.signal(signal.SIGTERM)
        time.sleep(0.002)  # five hundred a second
    assert ended(drover) == 0
    assert time.monotonic() - since < 5 * SLOW


def test_signals_before_the_loop_runs_are_not_lost_and_leave_nothing(drover):
    """HUP must not end a droverd that reads its configuration, nor TERM leave behind what it had started."""
    drover.write(CONFIG)
    codes = []
    for i in range(24):
        drover.start(wait=False)
        time.sleep(i * 0.002)  # one instant after the other
        drover.signal([signal.SIGTERM, signal.SIGINT][i % 2])
        codes.append(ended(drover))
    # Before it has started anything it ends by the signal; from then on in order.
    assert set(codes) <= {0, -signal.SIGTERM, -signal.SIGINT} and 0 in codes, codes
    for i in range(6):
        drover.start(wait=False)
        until(lambda: held(drover.pid, signal.SIGHUP), "it has come to its first line")
        time.sleep(i * 0.003)  # one instant after the other
        drover.signal(signal.SIGHUP)
        until(lambda: drover.find_events("config_reloaded"), "the reload came through")
        assert drover.stop() == 0
        drover.events.clear()


def held(pid, signo):
    """Blocked or caught: not deadly."""
    fields = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return any(int(fields[key], 16) >> (signo - 1) & 1 for key in ("SigBlk", "SigCgt"))


def test_exit_codes(drover):
    drover.start(CONFIG.replace("services", "servces"), wait=False)
    assert drover.process.wait(20) == 78
    drover.start(CONFIG)
    drover.wait_event("supervisor_ready")
    twin = type(drover)(drover.folder)
    twin.start(wait=False)
    assert twin.process.wait(20) == 1 and f"pid {drover.pid}" in twin.complaints(), "there is one already"
    twin.output.close()
    assert drover.stop() == 0

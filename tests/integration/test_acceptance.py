# SPDX-License-Identifier: MIT
"""
What a supervisor must do that others were seen to get wrong: 24 checks, each with those that failed it when it was done
to them (Debian 12's versions) or whose issues tell of it. CHECKS says which tests prove each; those that were proven
nowhere else are in this file. sd: supervisord, mo: monit, s6, runit, pm2, pc: process-compose, circus, dinit, varnish.
"""
import contextlib
import json
import mmap
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from given import SLOW, root_only, services
from harness import ROOT, alive, until
from test_supervision_hunt import Web, boot_ms, cpu_s, probed, rules, stamp_ms

HERE = pathlib.Path(__file__).resolve().parent

# number: (what must be, who fails, where it is proven). A test is FILE::NAME below tests/.
CHECKS = {
    1: ("a stop ends grandchildren within the group and of other sessions", "sd, s6, runit", [
        "integration/test_supervision_hunt.py::test_no_descendant_outlives_a_stop",
        "integration/test_containment.py::test_a_service_that_scatters_its_tree_ends_whole"]),
    2: ("a thousand orphans leave no zombie, and no worker's end is eaten", "sd unless it is PID 1", [
        "integration/test_supervision_hunt.py::test_a_thousand_orphans_leave_no_zombie",
        "integration/test_containment.py::test_as_pid_1_strangers_leave_no_zombie_and_no_end_is_eaten"]),
    3: ("a hundred that crash at once follow the schedule, spread out, at no cost", "all with linear or fixed delays", [
        "integration/test_supervision_hunt.py::test_a_hundred_services_that_crash_keep_their_interval_and_cost_little",
        "integration/test_acceptance.py::test_a_hundred_that_crash_are_held_spread_out_and_cost_nothing"]),
    4: ("two failures and a success never add up; three restart once, and three more are needed", "mo", [
        "integration/test_supervision_hunt.py::test_three_failed_checks_in_a_row_restart_a_service_and_three_more_are_needed",
        "integration/test_supervision_hunt.py::test_two_failures_and_a_success_never_add_up"]),
    5: ("a restart within the interval is put off and shown, not dropped; an operator's is not bound", "none known", [
        "integration/test_supervisor.py::test_a_killed_service_is_back_once_and_then_held",
        "integration/test_supervisor.py::test_a_held_restart_happens_by_itself",
        "integration/test_supervision_hunt.py::test_a_server_that_accepts_and_never_answers_fails_in_time"]),
    6: ("whatever hangs is found by its probe in time", "all: none asks", [
        "integration/test_supervisor.py::test_a_hung_worker_is_replaced_exactly_once_and_then_held",
        "integration/test_probes.py::test_each_sickness_is_found_in_time_and_health_is_not_mistaken",
        "integration/test_probes.py::test_a_command_that_hangs_is_killed_whole_and_is_never_two"]),
    7: ("a supervisor that was stopped restarts nobody when it goes on", "all that ask", [
        "integration/test_supervision_hunt.py::test_a_supervisor_that_was_stopped_restarts_nobody",
        "integration/test_probes.py::test_a_supervisor_that_was_stopped_blames_nobody_of_any_kind"]),
    8: ("steps of the wall clock move no timer and age no log", "sd (old), svlogd", [
        "integration/test_acceptance.py::test_steps_of_the_wall_clock_move_nothing",
        "unit/logger/test_logfile.c::a_step_of_the_wall_clock_makes_nothing_old"]),
    9: ("fifty rotations at full speed cut and lose no line, and keep to their bounds", "sd (cuts lines), pm2", [
        "integration/test_supervision_hunt.py::test_numbered_lines_are_whole_over_rotations_reloads_and_dead_pumps",
        "integration/test_logger.py::test_a_full_disk_blocks_nobody_and_is_told_in_the_log_and_in_drovers_own",
        "unit/logger/test_logfile.c::backups_together_never_hold_more_than_their_share",
        "unit/logger/test_logfile.c::backups_that_are_too_old_are_removed_and_no_others",
        "unit/logger/test_logfile.c::a_directory_that_cannot_be_written_is_told"]),
    10: ("no line is lost when supervisor or log pump end, are killed or replaced", "multilog, svlogd", [
        "integration/test_logger.py::test_no_line_is_lost_or_doubled_when_drover_log_is_killed",
        "integration/test_logger_hunt.py::test_kills_of_the_writer_of_drover_log_and_of_its_compressing_child_leave_each_line_once",
        "integration/test_supervisor.py::test_lines_written_while_no_supervisor_lives_are_in_the_log_once",
        "integration/test_upgrade.py::test_services_live_through_an_upgrade_and_workers_are_replaced",
        "chaos/test_supervisor.py::test_supervisors_killed_in_a_row_make_no_second_copy_and_lose_no_line",
        "systemd/test_systemd.py::test_droverd_and_drover_log_killed_together_lose_no_line"]),
    11: ("a half line is ended and marked, the next one stands apart", "sd (joins them)", [
        "integration/test_supervision_hunt.py::test_half_lines_closed_outputs_and_held_pipes_cost_nothing",
        "integration/test_logger.py::test_a_half_line_of_a_dead_writer_is_ended_and_marked"]),
    12: ("a closed output and a pipe held by a grandchild cost nothing and hold nobody up", "sd (#807)", [
        "integration/test_supervision_hunt.py::test_half_lines_closed_outputs_and_held_pipes_cost_nothing"]),
    13: ("without descriptors those that fit run, the others follow, the socket answers", "sd (FATAL for ever)", [
        "integration/test_resources.py::test_with_40_descriptors_it_runs_what_fits_and_says_what_does_not",
        "integration/test_resources.py::test_without_a_descriptor_the_control_socket_answers_and_records_are_kept"]),
    14: ("what cannot be started is a failed start with its errno and leaks nothing", "none known; pm2 not tried", [
        "integration/test_resources.py::test_a_full_process_table_is_waited_out",
        "integration/test_resources.py::test_a_fork_without_memory_is_a_failed_start",
        "integration/test_resources.py::test_what_cannot_be_executed_is_held_and_retried_as_the_rules_say",
        "integration/test_resources.py::test_a_user_that_vanished_is_a_failed_start",
        "integration/test_supervisor.py::test_an_account_that_is_not_there_is_a_configuration_error"]),
    15: ("a bad configuration changes nothing and is told with its line", "sd (stops all), mo (exits)", [
        "integration/test_acceptance.py::test_a_bad_reload_of_each_kind_changes_nothing_and_names_its_line"]),
    16: ("a reload restarts only what is started differently", "sd (restarts all)", [
        "integration/test_reload.py::test_an_unchanged_reload_keeps_every_pid",
        "integration/test_reload.py::test_only_what_changed_is_restarted_started_or_stopped",
        "integration/test_reload.py::test_intervals_and_probes_change_live_and_keep_strikes",
        "integration/test_reload.py::test_the_rules_of_the_logs_change_live"]),
    17: ("of many reloads the last one wins, whatever they meet", "circus", [
        "integration/test_supervision_hunt.py::test_the_last_of_many_reloads_wins_whatever_they_meet",
        "integration/test_reload.py::test_a_thousand_reloads_end_in_the_last_configuration_and_cost_nothing"]),
    18: ("TERM while five hundred start ends all in time, stubborn ones too", "s6, runit, pc #354, dinit #225", [
        "integration/test_acceptance.py::test_term_while_five_hundred_start_ends_all_in_time",
        "integration/test_supervision_hunt.py::test_term_while_many_start_ends_all_in_time"]),
    19: ("a stop while held leaves no ghost, commands in a row one instance", "none known", [
        "integration/test_supervision_hunt.py::test_a_stop_while_a_restart_is_held_leaves_no_ghost",
        "integration/test_supervisor.py::test_a_stopped_service_can_be_stopped",
        "integration/test_supervision_hunt.py::test_a_storm_of_commands_ends_as_the_last_one_wants"]),
    20: ("after a SIGKILL of the supervisor there is one of each, and the intervals hold", "sd, s6, runit (two of each)", [
        "integration/test_supervisor.py::test_after_a_crash_services_are_adopted_and_workers_replaced",
        "integration/test_supervisor.py::test_intervals_and_the_operators_stop_survive_a_crash",
        "systemd/test_systemd.py::test_a_droverd_that_is_killed_is_replaced_and_no_line_is_lost"]),
    21: ("no stranger with a used number is signalled", "mo, all that kill(pid)", [
        "integration/test_supervision_hunt.py::test_a_stranger_with_the_number_of_a_dead_instance_is_not_hit",
        "integration/test_adoption.py::test_no_record_makes_droverd_signal_a_stranger"]),
    22: ("a supervisor that hangs is replaced; READY, STOPPING and EXTEND_TIMEOUT are told in time", "none known", [
        "systemd/test_systemd.py::test_a_droverd_that_hangs_is_replaced_and_its_services_go_on",
        "systemd/test_systemd.py::test_it_is_started_when_all_is_up_and_says_how_much",
        "systemd/test_systemd.py::test_a_stop_may_take_longer_than_systemd_allows_as_long_as_it_is_seen_to_go_on",
        "integration/test_supervisor.py::test_it_speaks_with_the_service_manager"]),
    23: ("an answer for an earlier instance counts for nothing", "varnish #2010", [
        "integration/test_supervision_hunt.py::test_an_answer_counts_only_for_the_question_that_waits",
        "unit/supervisor/test_probe.c::a_stale_answer_counts_for_nothing",
        "unit/supervisor/test_process.c::a_late_answer_to_the_earlier_supervisor_counts_for_nothing"]),
    24: ("a name whose resolver hangs holds up no other probe", "none known", [
        "integration/test_acceptance.py::test_a_resolver_that_hangs_holds_up_no_other_probe"]),
}


@pytest.mark.parametrize("number", range(1, 25))
def test_each_check_is_proven_by_tests_that_exist(number):
    sentence, fails, proofs = CHECKS[number]
    assert sentence and fails and proofs
    for proof in proofs:
        file, name = proof.split("::")
        text = (ROOT / "tests" / file).read_text()
        if file.endswith(".c"):
            assert len(re.findall(rf"\b{name}\b", text)) >= 2, f"{proof} is not defined and run"
        else:
            assert re.search(rf"^def {name}\(", text, re.M), proof


def test_a_hundred_that_crash_are_held_spread_out_and_cost_nothing(drover):
    """Check 3. Fail: all whose delay is fixed or linear and without jitter (sd, mo, s6, runit, dinit, Horust)."""
    names = [f"s{i}" for i in range(100 // SLOW)]
    drover.start(rules(min_interval="10m", jitter="20s") + services(**{name: ["false"] for name in names}))

    def slots():
        return [p for p in drover.status()["processes"] if p["name"] in names]
    until(lambda: all(p["state"] == "waiting" and p["restarts"] == 1 for p in slots()), "all are held")
    due = sorted(stamp_ms(p["restart_due_at"]) for p in slots())
    assert due[0] - time.time() * 1000 > 500000
    assert 10000 < due[-1] - due[0] < 30000 + 1000 * SLOW
    gaps = [b - a for a, b in zip(due, due[1:])]
    assert max(gaps) < 5000 * SLOW, "they lie in heaps"
    cpu = cpu_s(drover.pid)
    time.sleep(3)  # the measured span
    assert cpu_s(drover.pid) - cpu <= 0.03 * SLOW
    assert all(p["restarts"] == 1 for p in slots())


# -- 8 --


class WallClock:
    """droverd's CLOCK_REALTIME, and nobody else's, as many seconds ahead as we say."""

    def __init__(self, drover):
        library, file = drover.folder / "clock_steps.so", drover.folder / "ahead"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "clock_steps.c", "-ldl"], check=True)
        file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "DROVER_TEST_CLOCK": str(file), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        with open(file, "r+b") as opened:
            self.map = mmap.mmap(opened.fileno(), 8)

    def step(self, seconds):
        self.map[:] = struct.pack("<q", seconds)


STEPS = [3600, -3600, 365 * 86400, 0]


def test_steps_of_the_wall_clock_move_nothing(drover):
    """Check 8. Fail: supervisord (before it learned of steps back), svlogd."""
    clock = WallClock(drover)
    steady = probed("http://127.0.0.1:1/", failures=100)
    drover.start(rules(min_interval="1s", stop="500ms") + services(
        crashing=["false"], stubborn="trap '' TERM; while :; do sleep 0.02; done", slow="sleep 0.1; exec sleep 1000",
        steady=steady), environment=clock.environment)
    drover.wait_state("steady", "running")
    cpu, since = cpu_s(drover.pid), boot_ms()
    for step in STEPS:
        crashed = drover.slot("crashing")["restarts"]
        until(lambda: drover.slot("crashing")["restarts"] > crashed, "it was started anew")  # noqa: B023
        begin = boot_ms()
        clock.step(step)
        told = stamp_ms(drover.status()["supervisor"]["started_at"]) / 1000
        assert abs(time.time() - told) < 3600, "what was told before stays"
        crashed = drover.slot("crashing")["restarts"]
        until(lambda: drover.slot("crashing")["restarts"] > crashed, "the held restart comes")  # noqa: B023
        waited = boot_ms() - begin
        assert 700 < waited < 1000 + 1000 * SLOW, waited
        begin = boot_ms()
        assert drover.ask("restart", "stubborn")[0] == 0
        waited = boot_ms() - begin
        assert 400 < waited < 500 + 1500 * SLOW, waited
        assert drover.ask("restart", "slow")[0] == 0
        asked = len(drover.health("probe_failed", name="steady"))
        until(lambda: len(drover.health("probe_failed", name="steady")) > asked, "it is asked", 5)  # noqa: B023
    spent = cpu_s(drover.pid) - cpu
    assert spent < 0.25 * SLOW * (boot_ms() - since) / 1000, "it spins"
    assert drover.slot("steady")["restarts"] == 0 and drover.slot("slow")["state"] == "running"
    # The steps were real: the records of that time bear them.
    years = {record["time"][:4] for record in drover.read_events()}
    assert len(years) == 2, years
    assert not drover.find_events("process_event_unexpected")


# -- 15 --

GOOD = "services:\n  a: {command: [sleep, '1000']}\n  b: {command: [sleep, '1000'], depends_on: [a]}\n"
BAD = {
    "syntax": ("services:\n  a: {command: [sleep, '1000'}\n", 2),
    "unknown key": ("services:\n  a: {command: [sleep, '1000'], comand: [x]}\n", 2),
    "wrong type": ("services:\n  a: {command: [sleep, '1000']}\n  b: {command: 7}\n", 3),
    "duplicate name": ("services:\n  a: {command: [sleep, '1000']}\n  a: {command: [sleep, '2000']}\n", 3),
    "ring": ("services:\n  a: {command: [sleep, '1000'], depends_on: [b]}\n  b: {command: [sleep, '1000'], depends_on: [a]}\n", None),
    "half a file": ("services:\n  a: {command: [sleep, '10", 2),
}


def test_a_bad_reload_of_each_kind_changes_nothing_and_names_its_line(drover):
    """Check 15. Fail: supervisord (SIGHUP ends it and all children), monit (exits)."""
    head = rules()
    first = head.count("\n")
    drover.start(head + GOOD)
    drover.wait_state("b", "running")

    def pids():
        return {p["name"]: p["pid"] for p in drover.status()["processes"]}
    before = until(lambda: (lambda found: found if all(found.values()) else None)(pids()), "all are up")
    for what, (text, line) in BAD.items():
        drover.write(head + text)
        place = f"{drover.config}:{first + line if line else ''}"
        checked = subprocess.run([*drover.process.args[:3], "--check"], capture_output=True, text=True, check=False)
        assert checked.returncode == 78 and place in checked.stderr and "error" in checked.stderr, (what, checked)
        drover.signal(signal.SIGHUP)
        assert place in drover.wait_event("config_rejected")["error"], what
        assert place in drover.status()["supervisor"]["config_error"], what
        code, answer = drover.ask("reload")
        assert code != 0 and place in json.dumps(answer), (what, answer)
        drover.wait_event("config_rejected")  # the second one
        assert pids() == before, what
    drover.write(head + GOOD)
    assert drover.ask("reload")[0] == 0
    assert pids() == before and drover.status()["supervisor"]["config_error"] is None


# -- 18 --


@pytest.mark.parametrize("second", [False, True])
def test_term_while_five_hundred_start_ends_all_in_time(drover, second):
    """Check 18. Fail: s6 and runit (wait for ever, or leave them), process-compose #354, dinit #225."""
    many = {"command": ["sleep", "1000"], "processes": 400 // SLOW}
    stubborn = {"command": ["sh", "-c", "trap '' TERM; exec sleep 1000"], "processes": 100 // SLOW,
                "stop": {"timeout": "20s" if second else "1s"}}
    drover.start(rules() + services(many=many, stubborn=stubborn))
    until(lambda: len(drover.find_events("process_starting")) > 50, "some are started")
    since = time.monotonic()
    drover.signal(signal.SIGTERM)
    if second:
        drover.wait_event("supervisor_stopping")
        drover.signal(signal.SIGTERM)
    assert drover.process.wait(30) == 0
    begin, end = (stamp_ms(drover.find_events(e)[0]["time"]) for e in ("supervisor_stopping", "supervisor_stopped"))
    # Far below the 20 s; the rest is what five hundred cost a busy machine, and drover-log that empties as many pipes.
    assert end - begin < 6000 * SLOW and time.monotonic() - since < 15 * SLOW
    assert not drover.find_events("process_stuck")
    assert not drover.left_over()
    assert drover.find_events("supervisor_stopped")


# -- 24 --


@contextlib.contextmanager
def mute_resolver(drover):
    """A name server that hears and never answers; the only one that droverd's descendants know."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.53.53.53", 53))
    resolv, switch = drover.folder / "resolv.conf", drover.folder / "nsswitch.conf"
    resolv.write_text("nameserver 127.53.53.53\n")
    switch.write_text("hosts: dns\npasswd: files\ngroup: files\n")
    drover.prefix = ["unshare", "-m", "sh", "-c", f"mount --bind {resolv} /etc/resolv.conf && "
                     f"mount --bind {switch} /etc/nsswitch.conf && exec \"$@\"", "sh"]
    try:
        yield server
    finally:
        server.close()


@root_only
def test_a_resolver_that_hangs_holds_up_no_other_probe(drover):
    """Check 24. None of the peers asks over HTTP by name in a loop of its own; those that do block (superlance, mo)."""
    site = Web([200])
    with mute_resolver(drover) as server:
        lost = {f"lost{i}": probed(f"http://name{i}.example.net/", interval="500ms", timeout="500ms", failures=3) for i in range(4)}
        drover.start(rules(interval="500ms", timeout="500ms") + services(good=probed(site.url), **lost))
        for name in lost:
            drover.rewind().wait_event("process_restarting", name=name, reason="probe")
        server.setblocking(False)
        assert b"example" in server.recv(512), "it was asked, so it hangs"
        begin = len(site.asked)
        until(lambda: len(site.asked) > begin + 5, "the others are asked on", patience=5)
        gaps = [b - a for a, b in zip(site.asked, site.asked[1:])]
        assert max(gaps) < 200 + 200 + 1000 * SLOW, gaps
        for record in drover.health("probe_failed"):
            assert record["name"] in lost, record
        status = {p["name"]: p for p in drover.status()["processes"]}
        assert status["good"]["restarts"] == 0 and status["monitor"]["restarts"] == 0 and alive(status["monitor"]["pid"])
    site.close()

# SPDX-License-Identifier: MIT
"""The checker of the queue's chaos finds what is planted, and nothing in what is right."""
import copy
import types

import pytest

import queue_checker
from queue_world import GONE, TICKS, Schedule, Truth

BEGAN, SEEN, TOLD = 1_000_000, 1_000_400, 1_009_000
SCHEDULES = {"often": Schedule("{every: 1s}", 1000), "seconds": Schedule('{cron: "*/2 * * * * *"}', 2000),
	"behind": Schedule("{after: appended}", 0, after="appended")}
SITE = "http://127.0.0.1:1"
TRUTH = Truth(1)
APPENDED = [key for key in TRUTH.parts if key.startswith("up")]


def a_run(n, job, **more):
	pages = len(TRUTH.links)
	rows = {"items": len(TRUTH.records), "pages": pages, "appended": len(APPENDED), "command": 0, "poison": 0, "deadly": 0}.get(job, TICKS)
	tasks = pages + 1 if job == "pages" else 1
	good = job not in queue_checker.PLANTED
	return {"id": n, "job": job, "request_id": None, "due_at": None, "created_at": BEGAN, "finished_at": TOLD,
		"state": "succeeded" if good else "failed", "tasks_total": tasks, "tasks_done": tasks if good else 0,
		"tasks_failed": int(job == "poison"), "tasks_dead": int(job == "deadly"), "rows": rows, "rejected": 0, "errors": "[]", **more}


def all_is_well():
	"""Two runs of `items`, one of each other job, and what is scheduled: fired, then skipped, then coalesced."""
	runs = [a_run(1, "items", request_id="a"), a_run(2, "items", request_id="b"), a_run(3, "pages", request_id="c"),
		a_run(4, "poison", request_id="d"), a_run(5, "deadly", request_id="e"), a_run(6, "appended", request_id="f", finished_at=TOLD - 50),
		a_run(7, "appended", request_id="g")]
	dues = []
	for name, first, step in ("often", BEGAN + 100, 1000), ("seconds", BEGAN + 2000, 2000):
		for i, at in enumerate(range(first, TOLD + 1, step)):
			outcome = ("fired", "skipped", "coalesced")[i % 3]
			row = {"job": name, "due_at": at, "outcome": outcome, "reason": {"skipped": "overlap", "coalesced": "later"}.get(outcome),
				"run_id": None, "decided_at": at + (step if outcome == "coalesced" else 10)}
			if outcome == "fired":
				row["run_id"] = len(runs) + 1
				runs.append(a_run(len(runs) + 1, name, due_at=at))
			dues.append(row)
	runs.append(a_run(len(runs) + 1, "command", request_id="h"))
	for end in (run["finished_at"] for run in runs[5:7]):
		dues.append({"job": "behind", "due_at": end, "outcome": "fired", "reason": "", "run_id": len(runs) + 1, "decided_at": end})
		runs.append(a_run(len(runs) + 1, "behind", due_at=end))
	found = {"runs": runs, "dues": dues, "tasks": [], "poison": [], "parts": [], "appended": [{"id": key} for key in APPENDED * 2],
		"history": [{"id": 1000 * run["id"] + i, "run_id": run["id"], "outcome": queue_checker.PLANTED.get(run["job"], "done")}
			for run in runs for i in range(run["tasks_total"])],
		"dead": [{"id": 9, "run_id": 4, "job": "poison", "error": "x"}, {"id": 10, "run_id": 5, "job": "deadly", "error": "x"}],
		"urls": [{"run_id": 3, "url": SITE + path, "state": "failed" if path == GONE else "fetched"} for path in (*TRUTH.links, GONE)],
		"items": [{"id": key, "name": name} for key, name in TRUTH.records.items()],
		"items_history": [{"id": key, "served": served} for key in TRUTH.records for served in (1, 2)],
		"pages": [{"url": SITE + path, "title": path, "status": 200} for path in TRUTH.links]}
	keys = {"items": list(TRUTH.records), "pages": [SITE + path for path in TRUTH.links], "appended": APPENDED}
	for name in SCHEDULES:
		found[name] = [{"id": key} for key in TRUTH.ticks]
		keys[name] = TRUTH.ticks
	found["audit"] = [{"tab": table, "id": key, "op": "UPDATE" if again and table != "appended" else "INSERT"} for table, of in keys.items() for key in of
		for again in range(sum(run["job"] == table for run in runs))]
	return found


def judge(found, answered=None, record=()):
	run = next(run["id"] for run in found["runs"] if run["job"] == "command")
	lines = [f"begin {run} 1", f"begin {run} 2", f"end {run} 2", *(line.format(run) for line in record)]
	world = types.SimpleNamespace(truth=TRUTH, site=types.SimpleNamespace(url=SITE), began_ms=BEGAN,
		record=types.SimpleNamespace(read_text=lambda: "\n".join(lines)))
	operator = types.SimpleNamespace(wrong=[], requests={"a": "items", "b": "items", "c": "pages", "d": "poison", "e": "deadly",
		"f": "appended", "g": "appended", "h": "command"},
		answered=answered or {"a": 1, "b": 2})
	return queue_checker.judge(found, world, operator, SCHEDULES, GONE, SEEN, TOLD)


def of(found, outcome, name="often"):
	return next(row for row in found["dues"] if (row["job"], row["outcome"]) == (name, outcome))


def test_the_queue_checker_is_content_with_what_is_right():
	assert judge(all_is_well()) == []


def lost_row(found):
	found["items"].pop(7)


def duplicated_row(found):
	found["items"].append(dict(found["items"][7]))


def row_appended_twice(found):
	found["appended"].append({"id": "up3"})


def row_appended_once_in_two_runs(found):
	found["appended"].remove({"id": "up3"})


def version_lost(found):
	found["items_history"].pop()


def version_too_many(found):
	found["items_history"].append({"id": "r0003", "served": 3})


def version_twice(found):
	found["items_history"][1]["served"] = found["items_history"][0]["served"]


def row_written_twice(found):
	found["audit"].append({"tab": "often", "id": "t1", "op": "UPDATE"})


def row_not_written_in_one_run(found):
	found["audit"].remove({"tab": "items", "id": "r0003", "op": "UPDATE"})


def row_written_anew(found):
	found["audit"] += [{"tab": "items", "id": "r0003", "op": op} for op in ("DELETE", "INSERT")]


def unexpected_row(found):
	found["items"].append({"id": "r9999", "name": "nobody's"})


def wrong_row(found):
	found["items"][0]["name"] = "another"


def row_of_a_poisoned_task(found):
	found["poison"].append({"id": "x"})


def due_time_without_a_row(found):
	found["dues"].remove(of(found, "skipped"))


def last_due_time_without_a_row(found):
	found["dues"].remove(max((row for row in found["dues"] if row["job"] == "seconds"), key=lambda row: row["due_at"]))


def due_time_that_is_none(found):
	found["dues"].append({**of(found, "skipped"), "due_at": BEGAN + 1234})


def due_time_told_twice(found):
	found["dues"].append(dict(of(found, "skipped")))


def due_time_fired_twice(found):
	found["runs"].append(a_run(99, "often", due_at=of(found, "fired")["due_at"]))


def fired_without_a_run(found):
	found["runs"] = [run for run in found["runs"] if run["id"] != of(found, "fired")["run_id"]]


def fired_another_s_run(found):
	of(found, "fired")["run_id"] = of(found, "fired", "seconds")["run_id"]


def fired_before_it_was_due(found):
	of(found, "fired")["decided_at"] -= 11


def coalesced_for_nothing(found):
	of(found, "coalesced")["decided_at"] -= 1


def skipped_for_a_run_that_was_not_there(found):
	for run in found["runs"]:
		if run["job"] == "often":
			run["finished_at"] = run["created_at"] = 1


def skipped_without_a_reason(found):
	of(found, "skipped")["reason"] = None


def missed_within_the_window(found):
	of(found, "skipped").update(outcome="missed", reason="late")


def end_that_was_not_followed(found):
	found["runs"][6]["finished_at"] += 1


def due_without_an_end(found):
	found["runs"][5]["finished_at"] += 1


def never_due(found):
	found["dues"] = [row for row in found["dues"] if row["job"] != "seconds"]


def cron_off_its_instants(found):
	for row in found["dues"]:
		if row["job"] == "seconds":
			row["due_at"] += 1
			row["decided_at"] += 1
			for run in found["runs"]:
				if run["id"] == row["run_id"]:
					run["due_at"] += 1


def run_that_did_not_end(found):
	found["runs"][0]["finished_at"] = None


def run_cancelled_for_nothing(found):
	found["runs"][-1]["state"] = "cancelled"


def rows_counted_twice(found):
	found["runs"][0]["rows"] += 17


def task_counted_twice(found):
	found["runs"][2]["tasks_done"] += 1


def run_that_nobody_asked_for(found):
	found["runs"].append(a_run(99, "poison", request_id="z"))
	found["dead"].append({"id": 99, "run_id": 99, "job": "poison", "error": "x"})


def request_without_a_run(found):
	found["runs"] = [run for run in found["runs"] if run["request_id"] != "d"]
	found["dead"].pop(0)


def task_left_over(found):
	found["tasks"].append({"id": 5, "run_id": 1, "job": "items", "state": 1, "owner": "n/e/collect:1/3"})


def task_that_left_twice(found):
	found["history"].append(dict(found["history"][3]))


def task_that_did_not_leave(found):
	found["history"].pop(3)


def task_that_left_otherwise(found):
	found["history"][3]["outcome"] = "cancelled"


def dead_letter_that_was_not_planted(found):
	found["dead"].append({"id": 20, "run_id": 1, "job": "items", "error": "x"})


def dead_letter_twice(found):
	found["dead"].append({"id": 20, "run_id": 4, "job": "poison", "error": "x"})


def dead_letter_lost(found):
	found["dead"].pop()


def page_not_fetched(found):
	found["urls"].pop(3)


def page_fetched_twice(found):
	found["urls"].append(dict(found["urls"][3]))


def page_still_queued(found):
	found["urls"][3]["state"] = "queued"


@pytest.mark.parametrize("plant", [
	lost_row, duplicated_row, version_lost, version_too_many, version_twice, row_appended_twice, row_appended_once_in_two_runs, row_written_twice, row_not_written_in_one_run, row_written_anew, unexpected_row, wrong_row,
	row_of_a_poisoned_task, due_time_without_a_row, last_due_time_without_a_row, due_time_that_is_none, due_time_told_twice,
	due_time_fired_twice, fired_without_a_run, fired_another_s_run, fired_before_it_was_due, coalesced_for_nothing,
	skipped_for_a_run_that_was_not_there, skipped_without_a_reason, missed_within_the_window, end_that_was_not_followed, due_without_an_end,
	never_due, cron_off_its_instants,
	run_that_did_not_end, run_cancelled_for_nothing, rows_counted_twice, task_counted_twice, run_that_nobody_asked_for, request_without_a_run,
	task_left_over, task_that_left_twice, task_that_did_not_leave, task_that_left_otherwise, dead_letter_that_was_not_planted, dead_letter_twice, dead_letter_lost, page_not_fetched,
	page_fetched_twice, page_still_queued], ids=lambda plant: plant.__name__)
def test_the_queue_checker_finds(plant):
	found = copy.deepcopy(all_is_well())
	plant(found)
	assert judge(found)


def test_the_queue_checker_finds_an_answer_that_named_another_run():
	assert judge(all_is_well(), {"a": 2})


@pytest.mark.parametrize("line", ["second {} 3", "begin {} 2", "end {} 2", "begin 777 1"])
def test_the_queue_checker_finds_a_command_too_many(line):
	assert judge(all_is_well(), record=[line])


def test_the_queue_checker_finds_a_run_whose_command_did_not_end():
	found = all_is_well()
	found["runs"].append(a_run(99, "command"))
	assert judge(found)

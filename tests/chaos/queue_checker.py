# SPDX-License-Identifier: MIT
"""
Looks at what the queue's chaos left in the database. Its truth is the provider's list, the site's pages and the
arithmetic of the schedules; it asks drover for nothing.
"""
import collections
import urllib.parse

from queue_world import PARTS

OVERLAP_SLACK_MS = 10_000  # a run's end is stamped before it is committed
FOUND = {
	"runs": "SELECT * FROM drover_run ORDER BY id",
	"dues": "SELECT * FROM drover_due ORDER BY job, due_at",
	"dead": "SELECT id, run_id, job, error FROM drover_dead ORDER BY id",
	"tasks": "SELECT id, run_id, job, state, owner FROM drover_task",
	"urls": "SELECT run_id, url, state, reason, status FROM drover_url",
	"audit": "SELECT tab, id, op FROM audit",
	"history": "SELECT id, run_id, outcome FROM drover_task_history",
	"items": "SELECT id, name FROM items",
	"items_history": "SELECT id, served FROM items_history",
	"pages": "SELECT url, title, status FROM pages",
	"parts": "SELECT id FROM parts",
	"appended": "SELECT id FROM appended",
	"poison": "SELECT id FROM poison",
}
# What each run of a job must have counted.
Expected = collections.namedtuple("Expected", "state total done failed dead rows")
CANCELLED = Expected("cancelled", 1, 0, 0, 0, None)  # when another took its place; some of its rows may be there
APPENDED = {"appended"}  # a row for each time it was written
PLANTED = {"poison": "failed", "deadly": "dead"}  # what becomes of their tasks


def read(base, schedules):
	found = {name: base.query(sql) for name, sql in FOUND.items() if name != "items_history" or base.history != "none"}
	for name in schedules:
		found[name] = base.query(f"SELECT id FROM {name}")
	unread = [name for name, rows in found.items() if rows is None]
	assert not unread, f"cannot be read: {unread}"
	return found


def may_be_cancelled(name, schedules):
	return name in schedules and schedules[name].overlap == "replace"


def expected_runs(truth, schedules):
	pages = len(truth.links)
	return {
		"items": Expected("succeeded", 1, 1, 0, 0, len(truth.records)),
		# A page that is not there is a task that is done, without a row.
		"pages": Expected("succeeded", pages + 1, pages + 1, 0, 0, pages),
		"parts": Expected("succeeded", len(PARTS), len(PARTS), 0, 0, len(truth.parts)),
		"appended": Expected("succeeded", 1, 1, 0, 0, len([key for key in truth.parts if key.startswith("up")])),
		"command": Expected("succeeded", 1, 1, 0, 0, 0),
		"poison": Expected("failed", 1, 0, 1, 0, 0),
		"deadly": Expected("failed", 1, 0, 0, 1, 0),
		**{name: Expected("succeeded", 1, 1, 0, 0, len(truth.ticks)) for name in schedules},
	}


def few(what, items, most=5):
	items = sorted(items, key=str)
	return [f"{what}: {len(items)}: {', '.join(map(str, items[:most]))}"] if items else []


def rows_are_there_once(found, wanted, runs_of, cancelled):
	"""
	wanted: {table: {key: row}}. Each run of a job writes each row once, for it differs from what was there: so many runs,
	so many writes. The first is an insert, the others are updates; where rows are appended all are inserts. A run that was cancelled (`cancelled`: how many) wrote each row once or not at all.
	"""
	wrong = []
	writes = collections.defaultdict(collections.Counter)
	for line in found["audit"]:
		writes[line["tab"], line["id"]][line["op"]] += 1
	for table, rows in wanted.items():
		key = "url" if table == "pages" else "id"
		there = collections.Counter(row[key] for row in found[table])
		due = set(rows) if runs_of[table] else set()
		wrong += few(f"lost rows of {table}", due - set(there))
		wrong += few(f"unexpected rows of {table}", set(there) - set(rows))
		each = runs_of[table] if table in APPENDED else 1
		wrong += few(f"lost rows of {table}", [k for k, n in there.items() if n < each])
		wrong += few(f"duplicated rows of {table}", [k for k, n in there.items() if n > each])
		wrong += few(f"wrong rows of {table}", [row for row in found[table]
			if row[key] in rows and any(row[name] != value for name, value in rows[row[key]].items())])
		for k in due:
			n = writes[table, k]
			done, all_runs = runs_of[table], runs_of[table] + cancelled[table]
			if not done <= n["INSERT"] + n["UPDATE"] <= all_runs or n["DELETE"] or (n["INSERT"] != each and not cancelled[table]):
				kind = "lost" if sum(n.values()) < runs_of[table] else "duplicated"
				wrong.append(f"{kind} writes of {table} {k}: {dict(n)} in {runs_of[table]} runs")
	wrong += few("unexpected writes", [pair for pair in writes if pair[1] not in wanted.get(pair[0], {})])
	return wrong


def each_version_is_kept_once(found, keys, runs):
	"""Each run makes a new version of each row, for each record tells what call it was served to."""
	if "items_history" not in found:
		return []
	versions = collections.Counter(row["id"] for row in found["items_history"])
	same = collections.Counter((row["id"], row["served"]) for row in found["items_history"])
	return [*few("rows without all of their versions", [key for key in keys if versions[key] < runs]),
		*few("rows with too many versions", [key for key in versions if versions[key] > runs or key not in keys]),
		*few("versions twice", [pair for pair, n in same.items() if n > 1])]


def runs_are_as_they_must(found, expected, schedules, requests, answered):
	wrong = []
	by_request = {run["request_id"]: run for run in found["runs"] if run["request_id"]}
	wrong += few("requests without a run", set(requests) - set(by_request))
	wrong += few("runs nobody asked for", set(by_request) - set(requests))
	wrong += few("requests answered with another run", [request for request, run in answered.items()
		if by_request.get(request, {}).get("id") != run])
	for run in found["runs"]:
		want = expected.get(run["job"])
		has = Expected(run["state"], run["tasks_total"], run["tasks_done"], run["tasks_failed"], run["tasks_dead"],
			run["rows"])
		if run["state"] == "cancelled" and may_be_cancelled(run["job"], schedules):
			want = CANCELLED._replace(rows=run["rows"] if run["rows"] <= want.rows else want.rows)
		if has != want or run["rejected"]:
			wrong.append(f"run {run['id']} of {run['job']} is {has}, rejected {run['rejected']}, and must be {want}: {run['errors']}")
		if not run["finished_at"]:
			wrong.append(f"run {run['id']} of {run['job']} did not end")
	wrong += few("tasks left over", [task["id"] for task in found["tasks"]])
	return wrong


def dead_letters_are_the_planted(found, planted):
	"""One for each run of the jobs in `planted`, none of others."""
	wrong = []
	dead = collections.Counter(letter["run_id"] for letter in found["dead"])
	due = {run["id"] for run in found["runs"] if run["job"] in planted}
	wrong += few("runs without their dead letter", due - set(dead))
	wrong += few("dead letters that were not planted", set(dead) - due)
	wrong += few("runs with several dead letters", [run for run, n in dead.items() if n > 1])
	return wrong


def each_task_left_once(found, expected):
	"""The history has one line of each task that a run must have had."""
	wrong = few("tasks that left twice", [task for task, n in collections.Counter(line["id"] for line in found["history"]).items()
		if n > 1])
	outcomes = collections.Counter((line["run_id"], line["outcome"]) for line in found["history"])
	for run in found["runs"]:
		want = expected.get(run["job"], Expected(*[None] * 6))
		has = {what: outcomes.pop((run["id"], what), 0) for what in ("done", "failed", "dead", "cancelled")}
		gone = int(run["state"] == "cancelled")  # runs_are_as_they_must() says which may be
		if has != {"done": want.done * (not gone), "failed": want.failed, "dead": want.dead, "cancelled": gone}:
			wrong.append(f"the tasks of run {run['id']} of {run['job']} left so: {has}")
	return wrong + few("tasks that left otherwise", outcomes)


def commands_ran(found, record):
	"""
	record: what the commands of the job wrote. One of a run at a time, one of each attempt; of an attempt whose end nobody
	saw there is another, so a run that succeeded ended once at least, and nothing else ever ran.
	"""
	lines = collections.Counter(tuple(line.split()) for line in record.splitlines())
	runs = {str(run["id"]) for run in found["runs"] if run["job"] == "command"}
	ended = {line[1] for line in lines if line[0] == "end"}
	return [*few("commands of a run that ran side by side", [line for line in lines if line[0] == "second"]),
		*few("attempts that ran twice", [line for line, n in lines.items() if n > 1]),
		*few("runs whose command did not end", runs - ended), *few("commands of no run", {line[1] for line in lines} - runs)]


def site_is_crawled_once(found, site, links, gone):
	"""In each run the frontier holds each page once, fetched; that which is not there failed."""
	wrong = []
	runs = [run["id"] for run in found["runs"] if run["job"] == "pages"]
	states = collections.defaultdict(list)
	for row in found["urls"]:
		states[row["run_id"], urllib.parse.urlsplit(row["url"]).path].append(row["state"])
	wanted = {(run, path): ["failed" if path == gone else "fetched"] for run in runs for path in (*links, gone)}
	for pair in set(wanted) | set(states):
		if states.get(pair) != wanted.get(pair):
			wrong.append(f"page {pair[1]} of run {pair[0]} is {states.get(pair)} and must be {wanted.get(pair)}")
	return wrong[:20]


def due_times(first, step, until):
	return range(first, until + 1, step)


def each_due_time_is_accounted_for(found, schedules, began, seen, told):
	"""
	From the first, which lies between `began` and `seen` (when the scheduler is known to have had the jobs), to `told`: one
	row each, with an outcome that the numbers allow, and a run of its own if it was fired.
	"""
	wrong = []
	fired = collections.Counter(run["due_at"] and (run["job"], run["due_at"]) for run in found["runs"])
	runs = {run["id"]: run for run in found["runs"]}
	for name, schedule in schedules.items():
		step = schedule.step
		rows = [row for row in found["dues"] if row["job"] == name]
		instants = [row["due_at"] for row in rows]
		wrong += few(f"due times of {name} told twice", [at for at, n in collections.Counter(instants).items() if n > 1])
		for row in rows:
			wrong += outcome_is_allowed(row, schedule, runs, found["runs"])
			if fired[name, row["due_at"]] != (row["outcome"] == "fired"):
				wrong.append(f"{name} {row['due_at']} was {row['outcome']} and has {fired[name, row['due_at']]} runs")
		if not rows:
			wrong.append(f"{name} was never due")
			continue
		if schedule.after:
			wrong += it_follows(name, schedule, found["runs"], instants)
			continue
		first = min(instants)
		if "cron" in schedule.text:
			if first % step:
				wrong.append(f"{name} was due at {first}, which is no instant of its schedule")
			latest = seen + step
		else:
			latest = seen
		if not began <= first <= latest:
			wrong.append(f"the first due time of {name} is {first}, not from {began} to {latest}")
		wanted = set(due_times(first, step, told))
		wrong += few(f"due times of {name} that nobody accounted for", wanted - set(instants))
		wrong += few(f"due times of {name} that are none", set(instants) - set(due_times(first, step, max(instants))))
	known = {(row["job"], row["due_at"]) for row in found["dues"]}
	wrong += few("runs of due times that are none", [pair for pair in fired if pair and pair not in known])
	return wrong


def it_follows(name, schedule, runs, instants):
	"""Due at ends of the job before and at nothing else; several may have one due time, the last has one of its own."""
	ends = {run["finished_at"] for run in runs if run["job"] == schedule.after}
	return [*few(f"due times of {name} at which no run of {schedule.after} ended", set(instants) - ends),
		*few(f"ends of {schedule.after} that {name} did not follow", [end for end in ends if end > max(instants)])]


def outcome_is_allowed(row, schedule, runs, all_runs):
	"""@return words when it is not"""
	at, decided, what = row["due_at"], row["decided_at"], row["outcome"]
	name = f"{row['job']} {at}"
	if decided < at:
		return [f"{name} was decided {at - decided} ms before it was due"]
	if what == "fired":
		run = runs.get(row["run_id"], {})
		return [] if (run.get("job"), run.get("due_at")) == (row["job"], at) else [f"{name} fired run {row['run_id']}: {run}"]
	if row["run_id"] is not None:
		return [f"{name} is {what} and has run {row['run_id']}"]
	if not row["reason"]:
		return [f"{name} is {what} without a reason"]
	busy = any(run["job"] == row["job"] and run["created_at"] <= decided + OVERLAP_SLACK_MS and
		run["finished_at"] + OVERLAP_SLACK_MS >= decided for run in all_runs if run["finished_at"])
	if what == "skipped" and row["reason"] == "overlap" and schedule.overlap == "skip":
		return [] if busy else [f"{name} was skipped for a run that was not there"]
	if what == "coalesced" and row["reason"] == "a run of the job waits already" and schedule.overlap == "queue":
		return [] if busy else [f"{name} was coalesced with a run that was not there"]
	if what == "coalesced" and schedule.catch_up == "last" and schedule.step:
		return [] if at + schedule.step <= decided else [f"{name} was coalesced when no later due time had come"]
	return [f"{name} is {what}, {row['reason']}"]


def judge(found, world, operator, schedules, gone, seen, told):
	truth = world.truth
	runs_of = collections.Counter(run["job"] for run in found["runs"] if run["state"] != "cancelled")
	cancelled = collections.Counter(run["job"] for run in found["runs"] if run["state"] == "cancelled")
	runs_of["poison"] = 0  # nothing comes of it
	wanted = {"items": {key: {"name": name} for key, name in truth.records.items()},
		"pages": {world.site.url + path: {"title": path, "status": 200} for path in truth.links}, "poison": {},
		"parts": {key: {} for key in truth.parts}, "appended": {key: {} for key in truth.parts if key.startswith("up")},
		**{name: {key: {} for key in truth.ticks} for name in schedules}}
	expected = expected_runs(truth, schedules)
	return [
		*operator.wrong,
		*rows_are_there_once(found, wanted, runs_of, cancelled),
		*each_version_is_kept_once(found, truth.records, runs_of["items"]),
		*runs_are_as_they_must(found, expected, schedules, operator.requests, operator.answered),
		*each_task_left_once(found, expected),
		*dead_letters_are_the_planted(found, PLANTED),
		*commands_ran(found, world.record.read_text()),
		*site_is_crawled_once(found, world.site.url, truth.links, gone),
		*each_due_time_is_accounted_for(found, schedules, world.began_ms, seen, told),
	]

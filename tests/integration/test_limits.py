# SPDX-License-Identifier: MIT
"""What a provider's server sees of limits, of its own wishes and of on_error: counted where the calls arrive. A call
counts at the instant at which the server takes it up: what the network delays on the way moves calls closer together
or apart, and must not make a window hold more than its limit all the same."""
import bisect
import datetime
import json
import time

from harness import until
from provider import Answer, pages
from test_collect import FIELDS, HOUSE, PAGED, drover_cli, expected, house, provider, things  # noqa: F401 (fixtures)


def fullest(calls, seconds):
    times = sorted(c.at for c in calls)
    most = left = 0
    for right, at in enumerate(times):
        while at - times[left] >= seconds:
            left += 1
        most = max(most, right - left + 1)
    return most


def test_four_processes_that_are_killed_keep_every_window_and_use_it(house, provider):
    """Slow and fast answers, two windows at once. The share of use is bounded low here: windows are short, so latency
    and the two seconds for which a killed call may still be on its way weigh; tests/bench has windows of a minute."""
    provider.route("/items", lambda call: pages(things(4000), size=1)(call) if call.n % 5 else
                   Answer(body={"items": things(4000)[int(call.query["page"]) - 1:][:1]}, delay=0.15))
    limits = ", limits: {rate: [20/2s, 12/500ms], concurrency: 6}"
    house.configure(job=", retry: {attempts: 50}, paginate: {by: page, param: page, size: 1}", provider=limits,
                    processes=4)
    children = [house.start("a", str(i), epoch=str(i)) for i in range(4)]
    until(lambda: provider.count() > 0, what="a call")
    begin = time.monotonic()
    for victim in (0, 2):
        until(lambda: time.monotonic() - begin > 1.2 * (victim + 1), what="calls")
        children[victim].kill()
        children[victim].wait()
        children[victim] = house.start("a", str(victim), epoch=f"{victim} again")
    until(lambda: time.monotonic() - begin > 9, what="some windows", patience=15)
    end = time.monotonic()
    for child in children:
        child.kill()
    calls = [c for c in provider.calls if c.at <= end]
    print(f"{len(calls)} calls in {end - begin:.1f} s")
    assert fullest(calls, 2) <= 20
    assert fullest(calls, 0.5) <= 12
    assert provider.most_active <= 6 + 3 * 2  # the server is still busy with what the killed had asked
    assert len(calls) >= 0.6 * 20 * (end - begin) / 2


def test_an_endpoint_has_limits_of_its_own(house, provider):
    def alternating(call):
        n = int(call.query.get("n", 0))
        other = "items" if call.path == "/search" else "search"
        return Answer(body={"items": things(12)[n:n + 1], "next": f"/{other}?n={n + 1}" if n < 11 else None})

    provider.route("/items", alternating)
    provider.route("/search", alternating)
    limits = ', limits: {rate: 200/1s, endpoints: [{match: "^/search$", rate: 2/700ms}]}'
    house.configure(job=", paginate: {by: next, next: next}", provider=limits)
    house.run()
    assert len(house.rows()) == 12
    search = [c for c in provider.calls if c.path == "/search"]
    assert len(search) == 6
    assert fullest(search, 0.7) <= 2
    assert fullest(provider.calls, 0.7) > 2


def test_the_budget_that_the_server_tells_is_not_overdrawn(house, provider):
    """It takes five calls in each of its own two seconds, and says so; nothing is configured."""
    told = {"begin": time.monotonic(), "used": 0, "refused": 0}

    def budget(call):
        with provider.lock:
            now = time.monotonic()
            if now - told["begin"] >= 2:
                told.update(begin=now, used=0)
            told["used"] += 1
            left = 5 - told["used"]
            told["refused"] += left < 0
            headers = {"X-RateLimit-Remaining": str(max(left, 0)),
                       "X-RateLimit-Reset": str(int(told["begin"] + 2 - now))}
        if left < 0:
            return Answer(429, headers=headers)
        answer = pages(things(100), size=10)(call)
        answer.headers = headers
        return answer

    provider.route("/items", budget)
    house.configure(job=", paginate: {by: page, param: page, size: 10}", processes=3)
    children = [house.start("a", str(i), epoch=str(i)) for i in range(3)]
    until(lambda: provider.count() >= 14, what="calls")
    for child in children:
        child.kill()
    assert told["refused"] == 0


def test_a_provider_that_asked_for_patience_reopens_without_a_burst(house, provider):
    shut = {}

    def patient(call):
        if not shut and call.n == 2:
            shut["at"] = call.at
            return Answer(429, headers={"Retry-After": "1"})
        return pages(things(100), size=1, delay=0.15)(call)

    provider.route("/items", patient)
    house.configure(job=", paginate: {by: page, param: page, size: 1, max_pages: 100}", processes=6)
    # Of one epoch: none takes another's task away, which would end a call that the server still has in hand.
    children = [house.start("a", str(i), epoch="same") for i in range(6)]
    def after():
        return sorted(c.at for c in list(provider.calls) if shut and c.at >= shut["at"] + 0.9)

    until(lambda: len(after()) >= 16, what="calls", patience=15)
    for child in children:
        child.kill()
    came = after()
    left = sorted(at for at in provider.left if at >= came[0])
    assert came[0] - shut["at"] >= 0.999
    # One call, and with each answer one more at a time: where a call arrives, each answer has brought two at most.
    for n, at in enumerate(came):
        assert n <= 2 * bisect.bisect(left, at), [t - came[0] for t in came]


RULES = ", on_error: [{status: [404, 410], then: skip}, {header: {X-Quota: used}, then: wait, for: 700ms}," \
        ' {body: "LIMITED NUMBER", then: wait, for: 700ms}, {body: "no such key", then: fail}, {status: 403, then: retry}]'


def test_an_answer_that_may_be_skipped_ends_its_task_well(house, provider):
    whole = pages(things(200))
    provider.route("/items", lambda call: Answer(410) if call.query["page"] == "3" else whole(call))
    house.configure(job=PAGED + RULES)
    house.run()
    run = house.the_run()
    assert (run["state"], run["tasks_done"], run["requests"], run["rows"], run["errors"]) == ("succeeded", 1, 3, 200, [])
    assert house.dead() == []


def test_what_a_good_status_hides_is_found_in_the_body(house, provider):
    """An error in the clothes of an answer, as data.go.kr has it: 200 and XML. It slows the provider, and is tried again."""
    records = things(250)
    whole, quota = pages(records), "<r><msg>LIMITED NUMBER OF SERVICE REQUESTS EXCEEDS ERROR</msg></r>"
    provider.route("/items", lambda call: Answer(body=quota) if call.n == 1 else whole(call))
    house.configure(job=PAGED + RULES)
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    run = house.the_run()
    assert (run["state"], run["requests"], run["rows"], run["rejected"]) == ("succeeded", 4, 250, 0)
    assert provider.calls[2].at - provider.calls[1].at >= 0.699


def test_rules_by_header_and_status_and_their_order(house, provider):
    records = things(50)
    whole = pages(records)
    answers = {0: Answer(403), 1: Answer(500, headers={"X-Quota": "all used"}), 2: Answer(403, body="x" * 70000)}
    provider.route("/items", lambda call: answers.get(call.n) or whole(call))
    house.configure(job=PAGED + RULES, retry="{attempts: 5, backoff: {initial: 50ms, max: 50ms}}")
    house.run()
    assert house.rows("id, title, n, lat") == expected(records)
    assert house.the_run()["requests"] == 4
    assert provider.calls[2].at - provider.calls[1].at >= 0.699
    assert provider.calls[1].at - provider.calls[0].at < 0.6


def test_an_answer_that_must_not_be_tried_again_fails_at_once(house, provider):
    provider.route("/items", Answer(503, body={"error": "no such key"}))
    house.configure(job=PAGED + RULES)
    house.run(code=0)
    ((error,),) = house.dead()
    assert 'HTTP 503 with "no such key", on_error: fail' in error
    assert provider.count() == 1


def test_status_shows_what_is_left_and_when_it_reopens(drover, provider):
    """Of a provider whose window is used up, and that told of its own budget; after a restart of the workers too."""
    whole = pages(things(30), size=10)

    def told(call):
        answer = whole(call)
        answer.headers = {"X-RateLimit-Remaining": "70", "X-RateLimit-Reset": "3000"}
        return answer

    provider.route("/items", told)
    limits = "rate: [4/1h, 100/2h], concurrency: 2, adaptive: true, endpoints: [{{match: items, min_delay: 50ms}}]"
    text = HOUSE.replace("rate: [40/500ms], concurrency: 2", limits).replace("size: 100", "size: 10")
    drover.start(text.format(url=provider.url, fields=FIELDS))
    drover.wait_event("scheduler_ready")
    assert drover_cli(drover, "run", "a", "--wait").returncode == 0

    def limits():
        return json.loads(drover_cli(drover, "status", "--json").stdout)["limits"]

    def shown():
        until(lambda: limits()[1]["opens_at"] is None, "the delay after the last call is over")
        asked = time.time()
        own, endpoint = limits()
        assert (own["name"], endpoint["name"]) == ("p", "p items")
        assert own["windows"] == [{"count": 4, "period_ms": 3600000, "left": 0}, {"count": 100, "period_ms": 7200000, "left": 96}]
        assert (own["active"], own["allowed"], own["server_left"], own["closed"]) == (0, 2, 70, False)
        opens = datetime.datetime.fromisoformat(own["opens_at"].replace("Z", "+00:00")).timestamp()
        assert 3500 < opens - asked < 3620
        assert endpoint["opens_at"] is None

    shown()
    lines = drover_cli(drover, "status").stdout.splitlines()
    (line,) = [line for line in lines if "0 of 4/1h, 96 of 100/2h; by its server 70" in line]
    assert line.split()[0] == "p"
    assert drover_cli(drover, "restart", "collect").returncode == 0
    shown()

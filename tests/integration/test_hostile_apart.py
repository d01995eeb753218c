# SPDX-License-Identifier: MIT
"""Ill wishes that need a droverd of their own: a tarpit that would hold every slot, a limit while workers are killed, a
database that stands still while large pages come in."""
import contextlib
import os
import signal
import sqlite3
import time

import harness
import pytest
from given import SANITIZED
from harness import Drover, until
from hostile import HANG, Hostile, answer, fullest_window, html, links
from test_hostile import House, items, paged


@pytest.fixture
def drover(tmp_path_factory):
    harness.become_subreaper()
    one = Drover(tmp_path_factory.mktemp("d"))
    yield one
    left = one.end()
    assert not left, f"processes left over: {left}"


def crawl_job(start, table, **more):
    return {"kind": "crawl", "start": [start], "follow": {"private": True}, "politeness": {"delay": "0s"},
            "extract": [{"match": ".*", "fields": {"title": {"xpath": "string(//title)"}}}],
            "store": {"table": table, "key": ["url"]}, **more}


def test_a_tarpit_does_not_keep_other_jobs_from_their_slots(drover):
    tar = Hostile({"/": html(links(f"/{i}" for i in range(60))), "*": lambda call: [HANG]})
    good = Hostile({"/": html(links(["/1", "/2"])), "/1": html("1"), "/2": html("2")})
    jobs = {"tar": crawl_job(tar.url + "/", "tar"), "good": crawl_job(good.url + "/", "good")}
    house = House(drover, [], jobs, workers={"crawl": {"processes": 1, "concurrency": 8}})
    with tar, good:
        house.start()
        house.run("tar")
        until(lambda: tar.count() == 3, "the tarpit holds two calls")
        times = []
        for _ in range(3):
            began = time.monotonic()
            house.run("good")
            until(lambda: house.look("good").finished_at, "the good job is over", 60)
            times.append(time.monotonic() - began)
            assert house.look("good").rows == 3
        print(times)
        assert max(times) < 8, times
        assert tar.count() == 3, "per_host: 2"
    house.close()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_rules_of_many_sites_stay_bounded(drover):
    """A site of many ports (or names) has a robots.txt of half a megabyte on each: ten times that in memory."""
    rules = answer("User-agent: *\n" + "allow:/\n" * 60000, type="text/plain")
    with contextlib.ExitStack() as stack:
        leaves = [stack.enter_context(Hostile({"/robots.txt": rules, "/": html("", "leaf")})) for _ in range(60)]
        root = stack.enter_context(Hostile({"/": html(links(leaf.url + "/" for leaf in leaves), "root")}))
        house = House(drover, [], {"many": crawl_job(root.url + "/", "many")}, workers={"crawl": {"processes": 1}})
        house.start()
        house.run("many")
        until(lambda: house.look("many").finished_at, "all sites are visited", 60)
        assert (house.look("many").state, house.look("many").rows) == ("succeeded", 61)
        peak = max(rss for (name, _), rss in house.peak.items() if name.startswith("drover-crawl"))
        print(f"peak {peak >> 20} MiB")
        assert peak < 100 << 20, f"{peak >> 20} MiB"
        house.close()


def limited_job(n):
    return {"kind": "collect", "request": {"provider": "p", "path": f"/{n}"}, "records": "items",
            "paginate": {"by": "page", "param": "page", "size": 1}, "retry": {"attempts": 50}, "timeout": "60s",
            "fields": {"id": "id"}, "store": {"table": f"limited_{n}", "key": ["id"]}}


def test_a_limit_holds_over_two_processes_of_which_one_is_killed(drover):
    """20 calls a second, seen from the server, while workers that hold a task die by SIGKILL."""
    site = Hostile({f"/{n}": paged(1, 25) for n in range(4)})
    jobs = {f"limited_{n}": limited_job(n) for n in range(4)}
    house = House(drover, [], jobs, workers={"collect": {"processes": 2, "concurrency": 4}})
    house.config["providers"]["p"] = {"base_url": site.url, "private": True,
                                      "limits": {"rate": ["20/1s", "45/3s"], "concurrency": 3}}
    with site:
        house.start()
        for name in jobs:
            house.run(name)
        killed, holders = 0, set()
        for calls in (10, 30, 50, 70):
            until(lambda: site.count() >= calls, f"{calls} calls")
            slots = house.slots()
            held = [row["owner"].split("/")[2] for row in house.query("SELECT owner FROM drover_task WHERE state = 1")]
            holders |= set(held)
            for name in held[:1]:
                if slots[name]["pid"]:
                    os.kill(slots[name]["pid"], signal.SIGKILL)
                    killed += 1
        for name in jobs:
            until(lambda: house.look(name).finished_at, f"{name} is over", 60)
            run = house.look(name)
            assert (run.state, run.rows) == ("succeeded", 25), vars(run)
            assert [r["id"] for r in house.query(f"SELECT id FROM {name} ORDER BY 1")] == [f"r{i:05}" for i in range(25)]
        assert killed == 4 and len(holders) == 2
        assert site.count() >= 104
        times = [c.at for c in site.calls]
        assert fullest_window(times, 1) <= 20
        assert fullest_window(times, 3) <= 45
        slots = house.slots()
        restarts = {name: slot["restarts"] for name, slot in slots.items() if slot["restarts"]}
        assert sum(restarts.values()) == 4 and set(restarts) <= {"collect:1", "collect:2"}, restarts
    house.close()


def heavy(call):
    n = int(call.query["page"])
    return items([{"id": f"p{n}-{k}", "x": "y" * 10**6} for k in range(9)] if n <= 10 else [])


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_while_the_database_stands_still_large_pages_do_not_pile_up(drover):
    site = Hostile({"/items": heavy})
    jobs = {f"heavy_{n}": {
        "kind": "collect", "request": {"provider": "p", "path": "/items"}, "records": "items",
        "paginate": {"by": "page", "param": "page", "size": 9}, "fields": {"id": "id", "x": "x"},
        "store": {"table": f"heavy_{n}", "key": ["id"]}} for n in range(4)}
    house = House(drover, [], jobs, workers={"collect": {"processes": 1, "concurrency": 4}})
    house.config["providers"]["p"] = {"base_url": site.url, "private": True}
    with site:
        house.start()
        for name in jobs:
            house.run(name)
        until(lambda: site.count() >= 4, "pages come in")
        with contextlib.closing(sqlite3.connect(drover.state / "drover.db", timeout=20, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(4)  # the fault itself
            db.execute("ROLLBACK")
        for name in jobs:
            until(lambda: house.look(name).finished_at, f"{name} is over", 60)
            assert (house.look(name).state, house.look(name).rows) == ("succeeded", 90)
            assert house.query(f"SELECT count(*) AS n, sum(length(x)) AS x FROM {name}") == [{"n": 90, "x": 90 * 10**6}]
        peak = max(rss for (name, _), rss in house.peak.items() if name.startswith("drover-collect"))
        print(f"peak {peak >> 20} MiB")
        assert peak < 150 << 20, f"{peak >> 20} MiB"
    house.close()

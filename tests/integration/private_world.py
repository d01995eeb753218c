# SPDX-License-Identifier: MIT
"""Run by test_private.py in namespaces of its own: 9.9.9.9 is a public site, and whatever is private listens too, on the
same port, and counts who comes."""
import fcntl
import json
import socket
import struct
import subprocess

import harness
import pytest
from harness import Drover
from hostile import CLOSE, Hostile, head, html, links, moved
from test_hostile import House, collect, crawl, items, records

PUBLIC, PORT = "9.9.9.9", 8123
PRIVATE = ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.1.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "::1"]
NAMES = {"inside.example.net": ["127.0.0.1"], "metadata.example.net": ["169.254.169.254"],
         "both.example.net": ["10.1.2.3", PUBLIC], "six.example.net": ["::1"], "public.example.net": [PUBLIC],
         "turn.example.net": [PUBLIC]}
SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8914, 0x8916, 1


def make_world(folder):
    """The loopback interface gets all addresses; the resolver gets our names."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        for i, address in enumerate([PUBLIC, *PRIVATE[2:-1]]):
            fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16sHH4s8x", b"lo:%d" % i, socket.AF_INET, 0, socket.inet_aton(address)))
    hosts = folder / "hosts"
    HOSTS.append(hosts)
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {name}\n" for name, all in NAMES.items() for a in all))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    switch = folder / "nsswitch.conf"
    switch.write_text("hosts: files\n")
    subprocess.run(["mount", "--bind", switch, "/etc/nsswitch.conf"], check=True)


def at(host, path="/secret"):
    return f"http://{host}:{PORT}{path}"


SPELLED = [at(h) for h in (
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "017700000001", "%31%32%37.0.0.1",
    "127.0.0.1.", "localhost", "LOCALHOST.", "x.localhost", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0.0.0.0", "0", "127.8.8.8", "10.1.2.3", "172.16.1.1", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "inside.example.net", "metadata.example.net", "six.example.net", "９.９.９.９@127.0.0.1",
    f"{PUBLIC}@127.0.0.1", f"{PUBLIC}:80@127.0.0.1", "１２７.０.０.１", "①②⑦.0.0.1")] + [
    f"http:\\\\127.0.0.1:{PORT}\\secret", f"http:127.0.0.1:{PORT}/secret", f"//127.0.0.1:{PORT}/secret",
    f"http://127.0.0.1:{PORT}#@{PUBLIC}/", f"ht\ntp://127.0.0.1:{PORT}/secret", f"http:///127.0.0.1:{PORT}/secret"]
DOMAINS = [PUBLIC, "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.1.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
           "localhost", "example.net", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"]
NOT_PRIVATE = {"follow": {"private": False, "domains": DOMAINS}}

LINKS = crawl("links", {"/": html(links(SPELLED), "root")}, **NOT_PRIVATE)
BASE = crawl("base", {"/": html(f'<base href="{at("127.0.0.1", "/")}"><a href=secret>x</a>'
                                f'<meta http-equiv=refresh content="0;url={at("10.1.2.3")}">', "root")}, **NOT_PRIVATE)
REDIRECTS = crawl("redirects", {"/": html(links(f"/{i}" for i in range(len(SPELLED))), "root"),
                                **{f"/{i}": moved(s.replace("\n", "")) for i, s in enumerate(SPELLED)}}, **NOT_PRIVATE)
ROBOTS = crawl("robots_inside", {"/robots.txt": moved(at("127.0.0.1", "/robots.txt")), "/": html("", "root")}, **NOT_PRIVATE)
BOTH = crawl("both", {"/": html("", "root")}, **NOT_PRIVATE)
BOTH.host = "both.example.net"
CONTROL = crawl("control", {"/": html("", "root")}, **NOT_PRIVATE)
CONTROL.host = "public.example.net"
API = collect("api", items(records(0, 3)), provider={"private": False})
API_INSIDE = collect("api_inside", items(records(0, 3)), provider={"private": False})
API_INSIDE.host = "metadata.example.net"
API_KEY = collect("api_key", moved(f"http://{PUBLIC}:{PORT}/stolen"),
                  provider={"private": False, "headers": {"Authorization": "Bearer s3cret"}})
HOSTS = []  # the file that our names are in


def turn(call):
    """A page that is not the last. When it is read, its name leads to 127.0.0.1, and what was known of it is forgotten."""
    text = HOSTS[0].read_text()
    HOSTS[0].write_text(text.replace(f"{PUBLIC} turn.example.net", "127.0.0.1 turn.example.net"))
    yield head(type="application/json", length=len(TURNED), Connection="close")
    yield 1.5
    yield TURNED
    yield CLOSE


TURNED = json.dumps({"items": records(0, 3)}).encode()
API_TURNS = collect("api_turns", turn, paged=3, attempts=1, provider={"private": False, "connections": {"dns_ttl": "1s"}})
API_TURNS.host = "turn.example.net"
LOOPBACK = ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
MOVES = [at(h) for h in [*LOOPBACK, "10.1.2.3", "172.16.1.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "inside.example.net"]]
API_MOVES = collect("api_moves", b"", provider={"private": False}, for_each={"values": [str(i) for i in range(len(MOVES))], "as": "n"},
                    request={"provider": "api_moves", "path": "/{{n}}"})
API_MOVES.routes = {f"/{i}": moved(to, (301, 302, 303, 307, 308)[i % 5]) for i, to in enumerate(MOVES)}
OURS = [LINKS, BASE, REDIRECTS, ROBOTS, BOTH, CONTROL, API, API_INSIDE, API_KEY, API_TURNS, API_MOVES]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    harness.become_subreaper()
    folder = tmp_path_factory.mktemp("d")
    make_world(folder)
    private = [Hostile({"*": html("", "secret"), "/may": html(links(["/may2"]), "may"), "/may2": html("", "may2")},
                       address, PORT) for address in PRIVATE]
    public = Hostile({"*": html("", "stolen")}, PUBLIC, PORT)
    may = {"may": {"kind": "crawl", "start": [at("127.0.0.1", "/may")], "follow": {"private": True},
                   "politeness": {"delay": "0s"}, "store": {"table": "may", "key": ["url"]},
                   "extract": [{"match": ".*", "fields": {"title": {"xpath": "string(//title)"}}}]}}
    house = House(Drover(folder), OURS, may, sites={case.name: Hostile(case.routes, PUBLIC) for case in OURS},
                  workers={"crawl": {"processes": 1, "concurrency": 8}, "collect": {"processes": 1}})
    house.private, house.public = private, public
    house.turned = Hostile({"*": html("", "secret")}, "127.0.0.1", API_TURNS.site.port)
    house.start()
    # Somebody who may leaves an open connection behind, which is not for those who may not.
    house.run("may")
    harness.until(lambda: house.look("may").finished_at, "the one who may is through")
    assert house.look("may").rows == 2
    house.before = [(site.connections, len(site.calls)) for site in private]
    for case in OURS:
        house.run(case.name)
    yield house
    house.close()
    left = house.drover.end()
    assert not left


def nobody_came(world):
    assert [(site.connections, len(site.calls)) for site in world.private] == world.before


def refused(world, case, not_asked=()):
    run = world.over(case)
    urls = world.query("SELECT url, state, reason FROM drover_url WHERE run_id = ? AND url NOT LIKE ?", run.id, f"http://{PUBLIC}:%")
    bad = [u for u in urls if u["reason"] not in not_asked and "private address" not in u["reason"]
           and "Could not resolve host" not in u["reason"]]
    assert not bad, bad
    nobody_came(world)
    return run, urls


def test_links_in_every_spelling_are_refused_without_a_connection(world):
    run, urls = refused(world, LINKS, ("domain",))
    assert run.rows == 1
    asked = {u["url"] for u in urls if u["reason"] != "domain"}
    # What is the same place is one URL, and is not refused for its domain alone.
    assert len(asked) >= 12 and at("127.0.0.1") in asked, asked


def test_a_base_and_a_refresh_are_no_way_in(world):
    run, urls = refused(world, BASE)
    assert {u["url"] for u in urls} == {at("127.0.0.1"), at("10.1.2.3")}


def test_redirects_in_every_spelling_are_refused_without_a_connection(world):
    run, urls = refused(world, REDIRECTS, ("domain",))
    assert all(REDIRECTS.site.count(f"/{i}") == 1 for i in range(len(SPELLED))) and run.rows == 1
    assert at("127.0.0.1") in {u["url"] for u in urls}


def test_robots_that_lies_inside_is_not_fetched(world):
    run = world.over(ROBOTS)
    assert run.rows == 0 and ROBOTS.site.count() == 0
    assert "private address" in world.urls(ROBOTS)["/"][1]
    nobody_came(world)


def test_a_name_with_both_kinds_of_addresses_leads_to_the_public_one_only(world):
    run = world.over(BOTH)
    assert (run.state, run.rows, BOTH.site.count()) == ("succeeded", 1, 1)
    nobody_came(world)


def test_public_names_and_addresses_work(world):
    run = world.over(CONTROL)
    assert (run.state, run.rows, CONTROL.site.count()) == ("succeeded", 1, 1)
    run = world.over(API)
    assert (run.state, run.rows, API.site.count()) == ("succeeded", 3, 1)


def test_a_provider_whose_name_lies_inside_is_refused(world):
    run = world.over(API_INSIDE)
    assert (run.state, run.rows, run.requests) == ("failed", 0, 0)
    assert "the address is private" in world.dead(API_INSIDE)[0]
    nobody_came(world)


def test_a_providers_redirects_to_private_addresses_are_refused(world):
    run = world.over(API_MOVES)
    assert (run.state, run.rows, API_MOVES.site.count()) == ("failed", 0, len(MOVES))
    dead = world.dead(API_MOVES)
    assert len(dead) == len(MOVES) and all("the address is private" in words for words in dead), dead
    nobody_came(world)


def test_a_providers_key_does_not_follow_a_redirect(world):
    run = world.over(API_KEY)
    assert run.state == "failed" and API_KEY.site.calls
    assert all(call.headers["authorization"] == "Bearer s3cret" for call in API_KEY.site.calls)
    assert world.public.calls, world.dead(API_KEY)
    assert all("s3cret" not in str(call) for call in world.public.calls)


def test_a_name_that_changes_its_mind_is_judged_again(world):
    """A resolver that says a public address first, then 127.0.0.1 (DNS rebinding)."""
    run = world.over(API_TURNS)
    assert (run.state, API_TURNS.site.count(), run.requests) == ("failed", 1, 1)
    assert "the address is private" in world.dead(API_TURNS)[0]
    assert (world.turned.connections, world.turned.calls) == (0, [])
    nobody_came(world)

# SPDX-License-Identifier: MIT
"""connections: of providers, as the server and the kernel see them."""
import pathlib
import threading

import pytest
from harness import until
from provider import Answer
from test_collect import PAGED, house, provider, things  # noqa: F401 fixtures



def each(house, provider):
    """twelve tasks, which would all be asked for at a time."""
    values = house.state / "values.csv"
    values.write_text("v\n" + "".join(f"{n}\n" for n in range(12)))
    house.configure(path="/items, query: {v: '{{v}}'}", job=f", for_each: {{csv: {values}, field: v, as: v}}", provider=provider,
                    concurrency=16)


@pytest.mark.parametrize("field, most", [("total", 2), ("per_host", 3)])
def test_no_more_calls_are_under_way_than_total_and_per_host_say(house, provider, field, most):
    provider.route("/items", Answer(body={"items": []}, delay=0.1))
    each(house, f", connections: {{{field}: {most}}}")
    house.run()
    assert provider.count() == 12 and provider.most_active == most


def test_two_providers_of_one_host_share_what_the_stricter_one_says(house, provider):
    provider.route("/items", Answer(body={"items": []}, delay=0.05))
    each(house, ", connections: {per_host: 2}")
    text = house.file.read_text()
    p = next(line for line in text.splitlines() if line.startswith("  p:"))
    a, b = text[text.index("  a:"):], text[text.index("  a:"):]
    b = b.replace("  a:", "  b:").replace("provider: p", "provider: q").replace("table: things", "table: others")
    house.file.write_text(text.replace(p, p + "\n" + p.replace("  p:", "  q:").replace("per_host: 2", "per_host: 0")).replace(a, a + b))
    first, second = house.start("a", "1", epoch="1"), house.start("b", "2", epoch="2")
    assert first.wait(60) == 0 and second.wait(60) == 0
    # collect_alone takes everybody else for dead, so some values are asked for by both.
    assert provider.count() >= 24 and provider.most_active == 2


def test_a_connection_that_was_idle_for_longer_than_keepalive_is_not_used_again(house, provider):
    provider.route("/items", lambda call: Answer(body={"items": things(100) if call.n < 1 else []}))
    house.configure(job=PAGED, provider=", connections: {keepalive: 1s}, limits: {min_delay: 2100ms}")
    house.run()
    assert len(provider.calls) == 2 and len({c.port for c in provider.calls}) == 2


def test_a_quiet_peer_is_asked_whether_it_lives(house, provider):
    goes_on = threading.Event()
    provider.route("/items", Answer(body={"items": []}, wait=goes_on))
    house.configure(provider=", connections: {tcp_keepalive: 5s}")
    child = house.start("a")
    try:
        until(provider.count, "it is asked")
        ends = [f"0100007F:{port:04X}" for port in (provider.calls[0].port, provider.server.server_port)]
        (line,) = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines() if line.split()[1:3] == ends]
        kind, after = line[5].split(":")
        assert kind == "02" and int(after, 16) <= 500, line  # its timer of keep-alives, in hundredths
    finally:
        goes_on.set()
    assert child.wait(20) == 0

# SPDX-License-Identifier: MIT
"""The monitor as it is seen from outside: its HTTP endpoint, and its probes on behalf of droverd."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from harness import until
from provider import Answer, Provider

BASE = """
http: {listen: "127.0.0.1:0"}
supervisor: {restart: {min_interval: 0s, jitter: 0s}}
"""
ENV = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Endpoint:
    def __init__(self, drover):
        self.drover = drover
        event = drover.wait_event("http_listening")
        self.host = event["detail"]

    def get(self, path, method="GET", host=None):
        """(status, headers, body)"""
        c = http.client.HTTPConnection(self.host, timeout=10)
        try:
            c.request(method, path, headers={"Host": host} if host else {})
            answer = c.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            c.close()

    def until_ready(self):
        until(lambda: self.get("/readyz")[0] == 200, "/readyz says ok")
        return self


@pytest.fixture
def endpoint(drover):
    drover.start(BASE)
    return Endpoint(drover).until_ready()


def test_livez_readyz_and_health_answer(endpoint):
    status, headers, body = endpoint.get("/livez")
    assert (status, body) == (200, "ok\n")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert endpoint.get("/readyz")[0] == 200
    status, headers, body = endpoint.get("/health")
    # The machine that runs this may itself be in a critical state.
    level = json.loads(body)["level"]
    assert status == (503 if level == "critical" else 200)
    assert headers["Content-Type"] == "application/health+json"
    assert json.loads(body)["status"] == {"normal": "pass", "warning": "warn", "critical": "fail"}[level]
    assert endpoint.get("/nothing")[0] == 404


def test_not_ready_while_a_process_is_down(drover):
    drover.start(BASE + "services: {a: {command: [sleep, '1000']}}")
    endpoint = Endpoint(drover).until_ready()
    drover.ask("stop", "scheduler")
    endpoint.until_ready()  # what the operator stopped is meant to be down
    drover.ask("start", "scheduler")
    drover.write(BASE + "services: {a: {command: [/bin/false]}}")
    drover.ask("reload")
    # Not for the scheduler's sake, which is still on its way.
    until(lambda: (lambda a: a[0] == 503 and a[2].startswith("a is "))(endpoint.get("/readyz")), "/readyz says no because of a")


def test_another_host_is_refused(endpoint):
    port = endpoint.host.rsplit(":", 1)[1]
    for host in "evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}", "localhost:1":
        status, _, body = endpoint.get("/metrics", host=host)
        assert status == 421, host
        assert "drover_" not in body
    for host in endpoint.host, f"localhost:{port}", f"LOCALHOST:{port}":
        assert endpoint.get("/livez", host=host)[0] == 200, host
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as s:
        s.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert b" 421 " in s.recv(200)


def test_it_is_read_only(endpoint):
    for method in "POST", "PUT", "DELETE", "PATCH", "OPTIONS":
        status, headers, _ = endpoint.get("/health", method=method)
        assert status == 405, method
        assert headers["Allow"] == "GET, HEAD"
    status, headers, body = endpoint.get("/livez", method="HEAD")
    assert (status, body) == (200, "")


def test_one_connection_carries_many_requests(endpoint):
    c = http.client.HTTPConnection(endpoint.host, timeout=10)
    for _ in range(50):
        c.request("GET", "/livez")
        answer = c.getresponse()
        assert answer.read() == b"ok\n"
        assert answer.status == 200
        local = c.sock.getsockname()
    assert c.sock.getsockname() == local
    c.close()


def test_broken_requests_harm_nothing(endpoint):
    host, port = endpoint.host.rsplit(":", 1)
    for raw in b"\r\n\r\n", b"GET\r\n\r\n", b"\0" * 1000, b"GET /" + b"a" * 100000, \
            b"GET / HTTP/1.1\r\nHost: a\r\n" * 3000:
        with socket.create_connection((host, int(port)), timeout=0.3) as s:
            # Refused, or kept until it is idle for too long.
            with contextlib.suppress(OSError):
                s.sendall(raw)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
        assert endpoint.get("/livez")[0] == 200
    idle = [socket.create_connection((host, int(port))) for _ in range(100)]
    assert endpoint.get("/livez")[0] == 200
    for s in idle:
        s.close()


def test_promtool_accepts_the_metrics(endpoint):
    def with_numbers():
        text = endpoint.get("/metrics")[2]
        return text if "drover_queue_tasks{" in text and 'memory_bytes{process="monitor"}' in text else None

    text = until(with_numbers, "all metrics are there")
    assert text.startswith("# HELP ")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, env=ENV)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stderr.strip(), checked.stderr
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples['drover_process_up{process="scheduler"}'] == "1"
    assert samples['drover_store_up'] == "1"
    pid = endpoint.drover.slot("monitor")["pid"]
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    assert 0.3 < int(samples['drover_process_resident_memory_bytes{process="monitor"}']) / (pages * 4096) < 3


def test_health_over_the_control_socket(endpoint):
    code, answer = endpoint.drover.ask("health", "{}")
    assert code == 0
    assert answer["health"]["address"] == endpoint.host
    assert answer["health"]["checks"]["processes"]["running"] == len(endpoint.drover.status()["processes"])
    assert answer["health"]["checks"]["store"]["level"] == "normal"


def test_a_killed_monitor_gets_its_port_back(drover):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    drover.start(BASE.replace(":0\"", f":{port}\""))
    endpoint = Endpoint(drover)
    client = socket.create_connection(("127.0.0.1", port))
    os.kill(drover.wait_event("process_running", name="monitor")["pid"], signal.SIGKILL)
    drover.wait_event("http_listening", detail=f"127.0.0.1:{port}")
    assert endpoint.get("/livez")[0] == 200
    client.close()


def test_a_taken_port_is_tried_again(drover):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        port = s.getsockname()[1]
        drover.start(BASE.replace(":0\"", f":{port}\""))
        drover.wait_event("http_not_listening")
        drover.wait_state("monitor", "running")
    assert Endpoint(drover).get("/livez")[0] == 200


def test_a_reload_moves_the_endpoint(drover):
    drover.start(BASE)
    first = Endpoint(drover)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    drover.write(BASE.replace(":0\"", f":{port}\""))
    assert drover.ask("reload")[1]["ok"]
    second = Endpoint(drover)
    assert second.host == f"127.0.0.1:{port}"
    assert second.get("/livez")[0] == 200
    with pytest.raises(ConnectionError):
        first.get("/livez")


# -- probes --

def service(url, interval="200ms", timeout="200ms", failures=3):
    return BASE + f"""
services:
  web: {{command: [sleep, "1000"],
        probe: {{http: "{url}", interval: {interval}, timeout: {timeout}, failures: {failures}, start_period: 50ms}}}}
"""


def strikes(drover):
    return drover.health("probe_failed", name="web")


@pytest.mark.parametrize("sickness", ["hang", "error", "drop", "redirect"])
def test_a_service_is_restarted_after_exactly_three_failures(drover, sickness):
    with Provider() as web:
        answers = {"hang": Answer(delay=1), "error": Answer(503), "drop": Answer(drop=True),
                   "redirect": Answer(302, headers={"Location": "/fine"})}
        ill = []
        web.route("/health", lambda call: answers[sickness] if ill else Answer(200))
        drover.start(service(f"{web.url}/health"))
        first = drover.wait_event("process_running", name="web")["pid"]
        until(lambda: len(web.calls) >= 3, "three probes went well")
        assert not strikes(drover)
        ill.append(True)
        drover.wait_event("process_restarting", name="web", reason="probe")
        assert len(strikes(drover)) == 3
        assert [s["strikes"] for s in strikes(drover)] == [1, 2, 3]
        ill.clear()
        assert drover.wait_event("process_running", name="web")["pid"] != first


def test_two_failures_and_a_success_are_no_restart(drover):
    with Provider() as web:
        # two of three calls fail, for ever
        web.route("/health", lambda call: Answer(200 if call.n % 3 == 2 else 500))
        drover.start(service(f"{web.url}/health"))
        first = drover.wait_event("process_running", name="web")["pid"]
        until(lambda: len(web.calls) >= 30, "thirty probes were asked")
        assert drover.slot("web")["pid"] == first
        assert not drover.find_events("process_restarting", name="web")
        assert max(s["strikes"] for s in strikes(drover)) == 2


def test_while_monitor_is_stopped_nothing_fails(drover):
    with Provider() as web:
        web.route("/health", lambda call: Answer(200, delay=0.05))
        # A slow interval of its own, so that monitor itself is not replaced.
        drover.start(service(f"{web.url}/health", timeout="100ms"))
        web_pid = drover.wait_event("process_running", name="web")["pid"]
        monitor = drover.slot("monitor")["pid"]
        until(lambda: len(web.calls) >= 3, "probes are asked")
        for _ in range(5):
            before = len(web.calls)
            until(lambda: len(web.calls) > before, "a probe is under way")
            os.kill(monitor, signal.SIGSTOP)
            unknown = until(lambda: (lambda p: p if p["ok"] is None else None)(drover.slot("web")["last_probe"]),
                            "a probe has no answer")
            assert unknown["detail"] == "no answer from monitor"
            os.kill(monitor, signal.SIGCONT)
        # Short stops too, that end while droverd still waits for the answer.
        for _ in range(5):
            before = len(web.calls)
            until(lambda: len(web.calls) > before, "a probe is under way")
            os.kill(monitor, signal.SIGSTOP)
            end = time.monotonic() + 0.5
            until(lambda: time.monotonic() > end, "the probe's timeout is over, the wait for its answer not")
            os.kill(monitor, signal.SIGCONT)
        before = len(web.calls)
        until(lambda: len(web.calls) > before + 3, "probes go on")
        assert not strikes(drover)
        assert drover.slot("web")["pid"] == web_pid
        assert drover.slot("monitor")["pid"] == monitor


def test_while_monitor_is_killed_again_and_again_nothing_fails(drover):
    with Provider() as web:
        web.route("/health", lambda call: Answer(200, delay=0.02))
        drover.start(service(f"{web.url}/health"))
        web_pid = drover.wait_event("process_running", name="web")["pid"]
        for _ in range(8):
            before = len(web.calls)
            until(lambda: len(web.calls) > before, "a probe is under way")
            monitor = drover.slot("monitor")["pid"]
            os.kill(monitor, signal.SIGKILL)
            until(lambda: drover.slot("monitor")["pid"] not in (None, monitor), "monitor is back")
        assert not strikes(drover)
        assert drover.slot("web")["pid"] == web_pid


def test_a_probe_of_an_earlier_life_does_not_count(drover):
    """The answer of a slow probe arrives after the service was restarted."""
    with Provider() as web:
        web.route("/health", lambda call: Answer(500, delay=0.5))
        drover.start(service(f"{web.url}/health", interval="2s", timeout="1s"))
        drover.wait_event("process_running", name="web")
        until(lambda: len(web.calls) == 1, "a probe is under way")
        drover.ask("restart", "web")
        until(lambda: len(web.calls) >= 2, "the new one is asked")
        until(lambda: strikes(drover), "the new one's probe failed")
        assert strikes(drover)[0]["incarnation"] == drover.slot("web")["incarnation"] == 2


def switches_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def woken_within(pid, span_s):
    before = switches_of(pid)
    time.sleep(span_s)  # the measured span
    return switches_of(pid) - before


def test_while_nothing_changes_droverd_is_woken_only_by_who_reads(drover):
    """Without a probe that is due nothing wakes it; the first who asks for the metrics has them told anew."""
    drover.start(BASE.replace("supervisor: {", "supervisor: {probe: {interval: 10m, start_period: 0s}, ") +
                 "services: {a: {command: [sleep, \"1000\"]}}\n")
    endpoint = Endpoint(drover)
    kinds = {p["name"] for p in drover.status()["processes"] if p["kind"] != "service"}
    until(lambda: all(drover.slot(k)["last_probe"] for k in kinds), "each worker had its first probe")
    until(lambda: not woken_within(drover.pid, 1), "what follows from it is over")
    before = switches_of(drover.pid)
    assert woken_within(drover.pid, 6) <= 1
    endpoint.get("/metrics")
    until(lambda: switches_of(drover.pid) - before > 1, "it is told of its reader")

# SPDX-License-Identifier: MIT
"""TLS and HTTP/2 of the collect worker against nginx: what is verified, who we are, how many connections."""
import pathlib
import socket
import subprocess

import pytest
from harness import until
from test_collect import House

NGINX = pathlib.Path("/usr/sbin/nginx")


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A CA of our own, the server's certificate for localhost, and a client's."""
    folder = tmp_path_factory.mktemp("keys")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl(folder, "req", "-x509", *new, "-subj", "/CN=test ca", "-keyout", "ca.key", "-out", "ca.pem")
    for name, subject, more in (("server", "/CN=localhost", ["-addext", "subjectAltName=DNS:localhost"]), ("client", "/CN=drover", [])):
        openssl(folder, "req", *new[:-2], "-subj", subject, *more, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-copy_extensions", "copy", "-out", f"{name}.pem")
    return folder


class Nginx:
    def __init__(self, folder, keys, more=""):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder = folder
        (folder / "items").write_text('{"items": [{"id": "a", "title": "A", "n": 1, "pos": {"lat": 0.5}}]}')
        (folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 128; }}
            http {{
                log_format calls '$server_protocol $connection $ssl_client_verify $ssl_session_reused';
                access_log {folder}/calls calls;
                client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
                uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                server {{
                    listen 127.0.0.1:{self.port} ssl http2; root {folder}; default_type application/json;
                    ssl_certificate {keys}/server.pem; ssl_certificate_key {keys}/server.key; ssl_client_certificate {keys}/ca.pem;
                    {more}
                }}
            }}""")
        self.process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-e", folder / "error.log"], stdin=subprocess.DEVNULL)
        until(self.listens, "nginx listens")
        self.url = f"https://localhost:{self.port}"

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def calls(self):
        path = self.folder / "calls"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def close(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def made(tmp_path, keys):
    if not NGINX.exists():
        pytest.skip("no nginx here")
    servers = []

    def make(more=""):
        folder = tmp_path / "nginx"
        folder.mkdir()
        servers.append(Nginx(folder, keys, more))
        house = House(tmp_path, servers[-1])
        house.keys = keys
        return house, servers[-1]
    yield make
    for server in servers:
        server.close()


def run(house, tls, job="", **more):
    house.configure(provider=f", {tls}" if tls else "", job=job, **more)
    return house.run()


ONCE = ", retry: {attempts: 1}"


def test_a_certificate_of_an_unknown_ca_is_refused_and_our_ca_is_trusted(made, keys):
    house, nginx = made()
    run(house, "", job=ONCE, retry="{attempts: 1}")
    assert "certificate" in house.dead()[0][0] and nginx.calls() == []
    house.configure(provider=f", tls: {{ca: {keys}/ca.pem}}")
    assert house.start("a", "again").wait(20) == 0
    assert len(nginx.calls()) == 1 and house.stored() == 1


def test_a_certificate_of_another_name_is_refused(made, keys):
    house, nginx = made()
    nginx.url = nginx.url.replace("localhost", "127.0.0.1")
    run(house, f"tls: {{ca: {keys}/ca.pem}}", job=ONCE, retry="{attempts: 1}")
    assert len(house.dead()) == 1 and nginx.calls() == []


@pytest.mark.parametrize("offered, protocol", [("true", "HTTP/2.0"), ("false", "HTTP/1.1")])
def test_http_2_is_spoken_unless_it_is_not_wanted(made, keys, offered, protocol):
    house, nginx = made()
    run(house, f"tls: {{ca: {keys}/ca.pem}}, connections: {{http2: {offered}}}")
    assert [c[0] for c in nginx.calls()] == [protocol] and house.stored() == 1


def test_a_client_certificate_shows_who_we_are(made, keys):
    house, nginx = made("ssl_verify_client on;")
    run(house, f"tls: {{ca: {keys}/ca.pem}}", job=ONCE, retry="{attempts: 1}")
    assert "HTTP 400" in house.dead()[0][0]
    house.configure(provider=f", tls: {{ca: {keys}/ca.pem, certificate: {keys}/client.pem, certificate_key: {keys}/client.key}}")
    assert house.start("a", "again").wait(20) == 0
    assert nginx.calls()[-1][2] == "SUCCESS" and house.stored() == 1

# SPDX-License-Identifier: MIT
"""The proxy between drover and PostgreSQL sees commits, whatever protocol they come by, and does at them what it says."""
import os
import struct
import subprocess
import time

import pytest

import commit_proxy
import queue_bases
from harness import until

postgres_server = queue_bases.postgres_server

# INSERTs by libpq's extended protocol, with or without a pipeline; says what the commit's answer was.
CLIENT = """
import ctypes, sys
pq = ctypes.CDLL("libpq.so.5")
for name in "PQconnectdb", "PQexec", "PQexecParams", "PQgetResult", "PQresultErrorMessage", "PQerrorMessage":
    getattr(pq, name).restype = ctypes.c_void_p
    getattr(pq, name).argtypes = None
conn = ctypes.c_void_p(pq.PQconnectdb(sys.argv[1].encode()))
assert pq.PQstatus(conn) == 0
way, row = sys.argv[2], sys.argv[3]
insert = f"INSERT INTO t VALUES ('{row}')"
def one(sql):
    return pq.PQresultStatus(ctypes.c_void_p(pq.PQexecParams(conn, sql.encode(), 0, None, None, None, None, 0)))
def send(sql):
    assert pq.PQsendQueryParams(conn, sql.encode(), 0, None, None, None, None, 0)
if way == "simple":
    got = pq.PQresultStatus(ctypes.c_void_p(pq.PQexec(conn, f"BEGIN; {insert}; COMMIT".encode())))
elif way == "extended":
    got = [one("BEGIN"), one(insert), one("COMMIT")][-1]
else:
    assert pq.PQenterPipelineMode(conn)
    for sql in (["BEGIN", insert, "COMMIT"] if way == "pipeline" else [insert]):
        send(sql)
    assert pq.PQpipelineSync(conn)
    got = 0
    for _ in range(12):
        result = pq.PQgetResult(conn)
        if not result:
            continue
        got = pq.PQresultStatus(ctypes.c_void_p(result))
        if got in (7, 10, 11):  # an error, the synchronization, an aborted pipeline
            break
print("done" if got in (1, 10) else "unknown")
"""


@pytest.fixture(scope="module")
def base():
	one = queue_bases.Postgresql()
	one.server.sql("CREATE TABLE t (id TEXT PRIMARY KEY)")
	yield one
	one.end()


def client(base, way, row):
	return subprocess.Popen(["/usr/bin/python3", "-c", CLIENT, base.url, way, row], stdout=subprocess.PIPE,
		stderr=subprocess.DEVNULL, text=True)


def is_there(base, row):
	return base.server.sql(f"SELECT count(*) FROM t WHERE id = '{row}'") == "1"


WAYS = ["simple", "extended", "pipeline", "pipeline without BEGIN"]
KILLED = WAYS[::2]
SURE = {"client_before": False, "client_after": True, "client_late": True, "request": False, "answer": True, "backend_before": False}


@pytest.mark.parametrize("way", WAYS)
def test_the_proxy_lets_pass_what_it_is_not_armed_for(base, way):
	seen = base.proxy.seen
	assert client(base, way, f"plain {way}").communicate(timeout=20)[0] == "done\n"
	assert is_there(base, f"plain {way}")
	assert base.proxy.seen == seen + 1


@pytest.mark.parametrize("way", KILLED)
@pytest.mark.parametrize("place", commit_proxy.PLACES)
def test_the_proxy_meets_the_commit(base, place, way):
	row = f"{place} {way}"
	base.proxy.arm(place, lambda pid: True)
	process = client(base, way, row)
	said, _ = process.communicate(timeout=20)
	assert said != "done\n"
	assert base.proxy.hit[0] == place and base.proxy.hit[1] == process.pid
	assert (process.returncode == -9) == place.startswith("client")
	base.disarm()
	until(lambda: base.query("SELECT 1 AS one"), "the server is back")
	if SURE.get(place):
		until(lambda: is_there(base, row), "the row is there", 5)
	elif place in SURE:
		time.sleep(0.1)  # nothing tells that it does not come
		assert not is_there(base, row)


def test_the_proxy_lets_reads_and_what_is_rolled_back_pass(base):
	seen = base.proxy.seen
	for sql in "SELECT 1", "BEGIN READ ONLY; SELECT count(*) FROM t; COMMIT", "BEGIN; INSERT INTO t VALUES ('x'); ROLLBACK":
		postgres_server.sql(base.url, sql)
	assert base.proxy.seen == seen


def test_the_proxy_counts_those_that_pass_first_and_those_who_are_meant(base):
	base.proxy.arm("request", lambda pid: True, 2)
	assert [client(base, "extended", f"pass {i}").communicate(timeout=20)[0] for i in range(4)] == [
		"done\n", "done\n", "unknown\n", "done\n"]
	base.proxy.arm("request", lambda pid: False)
	assert client(base, "extended", "not meant").communicate(timeout=20)[0] == "done\n"
	base.disarm()


def message(kind, body):
	return kind + struct.pack("!I", len(body) + 4) + body


def test_a_prepared_commit_is_known_by_its_name():
	session, side = commit_proxy.Session(), commit_proxy.Side()
	stream = b"".join([message(b"P", b"c\0COMMIT\0\0\0"), message(b"P", b"i\0INSERT INTO t VALUES (1)\0\0\0"), message(b"Q", b"BEGIN\0"),
		*[message(b"B", b"\0" + name + b"\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") for name in (b"i", b"c")],
		message(b"S", b"")])
	found = []
	for i in range(0, len(stream), 3):  # however it is cut
		found += [(kind, session.commits(kind, body)) for kind, body, _ in side.feed(stream[i:i + 3])]
	assert [kind for kind, commits in found if commits] == [b"E"]
	assert found[-2] == (b"E", True)

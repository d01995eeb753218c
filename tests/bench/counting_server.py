# SPDX-License-Identifier: MIT
"""
A provider in a process of its own, for benches that judge limits where the calls arrive: `counting_server.py FILE` prints
the port that it listens on, writes one line of JSON a call into FILE (arrival, the instant at which it is taken up, and end,
on CLOCK_MONOTONIC; method, the key in its query or body, status) and obeys lines on its input: `knee N KIND` sets how many
calls at a time it can stand. Behind a queue as servers have it a call is taken up at any instant between arrival and end.

Without a knee each call takes as long as its `delay` says. With one, KIND says what calls too many do: `refuses` answers
503 at once, `patience` 429, `drops` closes the connection instead, `slower` lets all of them take longer, so that fewer are
done in all, and refuses what is more than twice too much.
"""
import asyncio
import json
import random
import sys
import time
import urllib.parse

WORK_S = 0.2
TOO_MANY = {"refuses": 503, "patience": 429, "drops": 0}


class Server:
	def __init__(self, path):
		self.log = open(path, "w", buffering=1)
		self.knee, self.kind = 0, ""
		self.active = 0

	def judge(self, query):
		"""(status, seconds) of a call that has just come in; it counts in `active`."""
		if not self.knee:
			return 200, float(query.get("delay", 0))
		work, over = random.uniform(0.5, 1.5) * WORK_S, self.active > self.knee
		if self.kind == "slower":
			return (503, 0) if self.active > 2 * self.knee else (200, work * max(1, self.active / self.knee) ** 1.5)
		return (200, work) if not over else (TOO_MANY[self.kind], 0)


class Connection(asyncio.Protocol):
	def __init__(self, server):
		self.server, self.data, self.transport = server, b"", None

	def connection_made(self, transport):
		self.transport = transport

	def data_received(self, data):
		at = time.monotonic()
		self.data += data
		head, end, rest = self.data.partition(b"\r\n\r\n")
		lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
		if not end or len(rest) < sum(lengths):
			return
		self.data = rest[sum(lengths):]  # one call at a time: drover does not pipeline
		method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
		query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
		key = json.loads(rest)["key"] if rest else query.get("key", "") + "/" + query.get("page", "")
		self.server.active += 1
		status, seconds = self.server.judge(query)
		asyncio.get_running_loop().call_later(seconds, self.answer, at, method, key, status)

	def answer(self, at, method, key, status):
		server, now = self.server, time.monotonic()
		server.active -= 1
		server.log.write(json.dumps({"at": at, "taken": random.uniform(at, now), "end": now, "method": method, "key": key, "status": status}) + "\n")
		if not status:
			self.transport.close()
			return
		body = json.dumps({"items": [{"id": key}]}).encode()
		self.transport.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
			status, len(body), body))


async def main(path):
	loop, server = asyncio.get_running_loop(), Server(path)
	listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=1024)
	print(listener.sockets[0].getsockname()[1], flush=True)
	over = loop.create_future()

	def command():
		line = sys.stdin.readline().split()
		if not line:
			loop.remove_reader(sys.stdin)
			over.set_result(None)
			return
		server.knee, server.kind = int(line[1]), line[2]

	loop.add_reader(sys.stdin, command)
	await over
	while server.active:
		await asyncio.sleep(0.05)


if __name__ == "__main__":
	asyncio.run(main(sys.argv[1]))

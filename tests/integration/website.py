# SPDX-License-Identifier: MIT
"""Real input on loopback: nginx from Debian with python3-doc's pages and iso-codes' languages.

    from website import Site            # not "site": that name is the standard library's
    with Site(tmp_path) as site:
        site.url            # http://127.0.0.1:PORT
        site.requests()     # [("GET", "/library/", 200, "drover/0.1.0", 1763716000.123), ...]

/                        Debian's python3-doc HTML, or `root`
/api/iso_639-3?page=N    {"page": N, "total": 7910, "records": [100 of them]}, N = 1..80; a page beyond is empty

The listening socket is made here and inherited by nginx, so that the port is ours before nginx runs and a
first request waits in the backlog instead of being refused.
"""
import glob
import json
import os
import pathlib
import socket
import subprocess

from harness import text_of

ISO_639_3 = "/usr/share/iso-codes/json/iso_639-3.json"
PAGE_SIZE = 100

CONFIG = """
daemon off;
worker_processes 1;
{user}
pid {tmp}/nginx.pid;
error_log {tmp}/error.log;
events {{ worker_connections 512; }}
http {{
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	client_body_temp_path {tmp}/body;
	proxy_temp_path {tmp}/proxy;
	fastcgi_temp_path {tmp}/fastcgi;
	uwsgi_temp_path {tmp}/uwsgi;
	scgi_temp_path {tmp}/scgi;
	log_format plain '$request_method $request_uri $status $msec $http_user_agent';
	access_log {tmp}/access.log plain;
	keepalive_requests 100000;
	absolute_redirect off;
	map $arg_page $iso_page {{
		default empty;
		"" 1;
		"~^(?<page_number>[0-9]+)$" $page_number;
	}}
	server {{
		listen 127.0.0.1:{port};
		root {root};
		index index.html;
		location = /api/iso_639-3 {{
			root {tmp}/api;
			types {{ }}
			default_type application/json;
			try_files /$iso_page.json /empty.json =404;
		}}
		{extra}
	}}
}}
"""


def documentation():
	"""The folder of python3-doc's HTML."""
	found = glob.glob("/usr/share/doc/python3*/html/whatsnew/index.html")
	assert found, "install python3-doc"
	return os.path.dirname(os.path.dirname(os.path.realpath(found[0])))


def languages():
	"""The records of iso_639-3.json."""
	with open(ISO_639_3, encoding="utf-8") as f:
		return json.load(f)["639-3"]


def write_pages(folder):
	records = languages()
	folder.mkdir(parents=True, exist_ok=True)
	pages = [records[i:i + PAGE_SIZE] for i in range(0, len(records), PAGE_SIZE)]
	for number, page in [*enumerate(pages, 1), ("empty", [])]:
		body = {"page": number if page else None, "total": len(records), "records": page}
		(folder / f"{number}.json").write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")


class Site:
	def __init__(self, tmp, root=None, extra=""):
		"""`tmp`: a private folder; `root`: what to serve; `extra`: more of nginx's server block."""
		self.tmp = pathlib.Path(tmp) / "site"
		self.root = root or documentation()
		self.extra = extra
		self.process = None

	def start(self):
		self.tmp.mkdir(parents=True)
		write_pages(self.tmp / "api")
		listener = socket.create_server(("127.0.0.1", 0), backlog=511)
		self.port = listener.getsockname()[1]
		self.url = f"http://127.0.0.1:{self.port}"
		config = self.tmp / "nginx.conf"
		config.write_text(CONFIG.format(tmp=self.tmp, port=self.port, root=self.root, extra=self.extra,
			user="user root;" if os.geteuid() == 0 else ""))
		environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NGINX": f"{listener.fileno()};"}
		with open(self.tmp / "stderr", "wb") as errors:
			self.process = subprocess.Popen(
				["nginx", "-p", str(self.tmp), "-e", str(self.tmp / "error.log"), "-c", str(config)],
				env=environment, pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL,
				stdout=errors, stderr=errors)
		listener.close()
		return self

	def stop(self):
		if self.process is None:
			return
		self.process.terminate()
		try:
			self.process.wait(10)
		except subprocess.TimeoutExpired:
			self.process.kill()
			self.process.wait()
		self.process = None

	def __enter__(self):
		return self.start()

	def __exit__(self, *_):
		self.stop()

	def requests(self):
		"""What nginx answered so far: (method, path, status, user agent, time)."""
		log = self.tmp / "access.log"
		found = []
		for line in text_of(log).splitlines():
			method, path, status, when, agent = line.split(" ", 4)
			found.append((method, path, int(status), agent, float(when)))
		return found

"""The demo's service: its first life stops answering after a while, the later ones are well.

usage: service.py PORT FILE    FILE appears with the first life
"""
import http.server
import os
import sys
import time

port, marker = int(sys.argv[1]), sys.argv[2]
first_life = not os.path.exists(marker)
open(marker, "w").close()
started = time.monotonic()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if first_life and time.monotonic() - started > 2:
            print("from now on I hang", flush=True)
            time.sleep(3600)
        body = b"well\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


print("I serve port", port, flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()

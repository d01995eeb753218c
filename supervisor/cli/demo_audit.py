"""Compares what drover stored with the truth, without drover: Python's json, sqlite3 and a pass of its own over the files.

usage: audit.py DATABASE ISO_639_3_JSON HTML_FOLDER SITE_URL    prints one JSON object
"""
import hashlib
import html
import json
import os
import re
import sqlite3
import sys
import urllib.parse

database, iso, folder, site = sys.argv[1:5]
FIELDS = ("alpha_3", "alpha_2", "bibliographic", "common_name", "inverted_name", "name", "scope", "type")


def links(body, base):
    for href in re.findall(rb'<a\b[^>]*?\bhref="([^"]*)"', body, re.I | re.S):
        url = urllib.parse.urljoin(base, html.unescape(href.decode("utf-8", "replace")))
        yield urllib.parse.urldefrag(url)[0]


def walk():
    """Every HTML URL that can be reached from /, the distinct bodies, the links that lead nowhere."""
    pages, bodies, broken = set(), set(), set()
    seen, ahead = {site + "/"}, [site + "/"]
    while ahead:
        url = ahead.pop()
        path = folder + urllib.parse.unquote(urllib.parse.urlsplit(url).path)
        path += "index.html" if path.endswith("/") else ""
        if not os.path.isfile(path):
            broken.add(url)
        elif path.endswith(".html"):
            with open(path, "rb") as f:
                body = f.read()
            pages.add(url)
            bodies.add(hashlib.sha256(body).digest())
            for link in links(body, url):
                if link.startswith(site + "/") and link not in seen:
                    seen.add(link)
                    ahead.append(link)
    return pages, bodies, broken


db = sqlite3.connect("file:" + urllib.parse.quote(database) + "?mode=ro", uri=True)
with open(iso, encoding="utf-8") as f:
    records = json.load(f)["639-3"]
rows = db.execute("SELECT " + ", ".join(FIELDS) + " FROM languages").fetchall()
wanted = {tuple(record.get(field) for field in FIELDS) for record in records}
stored = db.execute("SELECT url, content_hash FROM pages").fetchall()
pages, bodies, broken = walk()
print(json.dumps({
    "records": len(records),
    "rows": len(rows),
    "equal": len(rows) == len(records) and set(rows) == wanted,
    "pages": len(pages),
    "bodies": len(bodies),
    "broken": sorted(broken),
    "stored_pages": len(stored),
    "stored_bodies": len({content for _, content in stored}),
    "same_urls": len(stored) == len(pages) and {url for url, _ in stored} == pages,
}))

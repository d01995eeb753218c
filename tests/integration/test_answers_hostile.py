# SPDX-License-Identifier: MIT
"""Answers that are ill meant, cut off or simply wrong: each has one exact outcome, and only its own task suffers."""
import gzip
import json
import subprocess
import time

import pytest
from answers import configure, house, run, site  # noqa: F401 (fixtures)
from hostile import CLOSE, RESET, answer, drip, head

GOOD = json.dumps({"items": [{"id": 1}, {"id": 2}]})
JSON = "application/json"


def packed(text, coding):
    text = text.encode() if isinstance(text, str) else text
    if coding == "gzip":
        return gzip.compress(text)
    tool = {"br": ["brotli", "-c", "-q", "3"], "zstd": ["zstd", "-c", "-q"]}[coding]
    return subprocess.run(tool, input=text, stdout=subprocess.PIPE, check=True).stdout


def job(house, provider="", **more):
    lines = {"format": "json", "records": "items"} | more
    text = ", ".join(f"{k}: {v}" for k, v in lines.items() if v)
    configure(
        house,
        {
            "a": "request: {provider: p, path: /items}, " + text + ", fields: {id: id, big: {path: big, type: real}}, store: {table: a, key: [id]}",
        },
        attempts=1,
        provider=provider or "retry: {attempts: 1}, timeout: {idle: 1s, total: 4s}",
    )


def fails_with(house, site, words, calls=1):
    """The task ends with these words and has stored nothing."""
    done = run(house)
    assert (done["state"], done["tasks_failed"] + done["tasks_dead"], done["rows"]) == ("failed", 1, 0), done
    ((error,),) = house.dead()
    assert error.startswith("GET p /items") and error.endswith(words), error
    assert site.count("/items") == calls


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_packed_answers_are_read(house, site, coding):
    site.routes["/items"] = answer(packed(GOOD, coding), type=JSON, Content_Encoding=coding)
    job(house)
    done = run(house)
    assert (done["state"], done["rows"], done["bytes"]) == ("succeeded", 2, len(GOOD))
    assert set(site.seen("/items")[0].headers["accept-encoding"].split(", ")) >= {"gzip", "br", "zstd"}


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_is_refused_by_its_ratio(house, site, coding):
    """100 MB of blanks; max_body would allow it."""
    bomb = packed(b" " * 100_000_000 + GOOD.encode(), coding)
    site.routes["/items"] = answer(bomb, type=JSON, Content_Encoding=coding)
    job(house, max_body="1GB")
    fails_with(house, site, "too_large: the answer is packed more tightly than allowed")
    assert house.query("SELECT bytes FROM drover_run")[0][0] < 20_000_000


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_an_answer_larger_than_allowed_is_refused(house, site, coding):
    body = json.dumps({"items": [{"id": i, "x": "%x" % (i * 7919**3)} for i in range(20000)]}).encode()
    more = {"Content_Encoding": coding} if coding else {}
    site.routes["/items"] = answer(packed(body, coding) if coding else body, type=JSON, **more)
    job(house, max_body="400KB")
    fails_with(house, site, "too_large: the answer is larger than allowed")


@pytest.mark.parametrize("coding, kind", [("gzip", "ndjson"), ("gzip", "csv"), ("br", "csv"), ("zstd", "ndjson")])
def test_a_packed_answer_that_ends_too_early_is_no_answer(house, site, coding, kind):
    """What was there so far would be sound as ndjson and csv."""
    body = {"json": GOOD, "ndjson": '{"id": 1}\n' * 50, "csv": "id\n" + "".join(f"{i}\n" for i in range(5000))}[kind]
    site.routes["/items"] = answer(packed(body, coding)[:-9], type=JSON, Content_Encoding=coding)
    job(house, format=kind, records="items" if kind == "json" else "")
    fails_with(house, site, f"broken: the {coding} data ends too early")


def test_an_answer_that_is_not_packed_as_it_says_is_no_answer(house, site):
    site.routes["/items"] = answer(GOOD, type=JSON, Content_Encoding="gzip")
    job(house)
    fails_with(house, site, "broken: the gzip data is broken")
    site.routes["/items"] = answer(GOOD, type=JSON, Content_Encoding="compress")
    run(house)
    assert house.dead()[-1][0].endswith("broken: packed in a way that was not asked for: compress")


def test_headers_of_300_kb_are_refused(house, site):
    many = b"".join(b"X-%05d: %s\r\n" % (i, b"y" * 90) for i in range(3000))
    site.routes["/items"] = head(type=JSON, length=len(GOOD))[:-2] + many + b"\r\n" + GOOD.encode()
    job(house)
    fails_with(house, site, "too_large: the answer's headers are larger than allowed")


def test_one_header_line_of_300_kb_is_refused(house, site):
    site.routes["/items"] = head(type=JSON, length=len(GOOD))[:-2] + b"X: " + b"y" * 300_000 + b"\r\n\r\n" + GOOD.encode()
    job(house)
    fails_with(house, site, "broken: a header line longer than 100 KiB, or no memory")


def test_slow_bytes_end_by_the_total_time_and_silence_by_the_idle_time(house, site):
    site.routes["/items"] = lambda call: [head(type=JSON, length=len(GOOD)), *drip(GOOD.encode(), 0.5)]
    job(house, provider="retry: {attempts: 1}, timeout: {idle: 1s, total: 1s}")
    began = time.monotonic()
    fails_with(house, site, "bytes received")
    assert "timeout: " in house.dead()[0][0]
    assert 0.9 <= time.monotonic() - began < 8
    site.routes["/items"] = lambda call: [head(type=JSON, length=len(GOOD)), GOOD.encode()[:5], 3]
    job(house, provider="retry: {attempts: 1}, timeout: {idle: 500ms, total: 20s}")
    run(house)
    assert "timeout: nothing was heard for " in house.dead()[-1][0]


@pytest.mark.parametrize(
    "steps, words",
    [
        ([head(type=JSON, length=len(GOOD) + 10), GOOD.encode(), CLOSE], "bytes remaining to read"),
        ([head(type=JSON, length=len(GOOD)), GOOD.encode()[:20], CLOSE], "bytes remaining to read"),
        ([head(type=JSON, length=len(GOOD) - 5, Connection="close"), GOOD.encode(), CLOSE], "the text ends too early"),
        ([head(type=JSON, length="-5"), GOOD.encode(), CLOSE], "Invalid Content-Length: value"),
        ([head(type=JSON, length="12abc"), GOOD.encode(), CLOSE], "the text ends too early"),
        ([head(type=JSON, Transfer_Encoding="chunked"), b"26\r\n" + GOOD.encode()[:20], CLOSE], "broken: transfer closed with outstanding read data remaining"),
        ([head(type=JSON, Transfer_Encoding="chunked"), b"zz\r\n" + GOOD.encode(), CLOSE], "broken: Illegal or missing hexadecimal sequence in chunked-encoding"),
        ([head(type=JSON, length=len(GOOD)), GOOD.encode()[:20], 0.1, RESET], "broken: Recv failure: Connection reset by peer"),
        ([head(type=JSON), GOOD.encode()[:-1], CLOSE], "the text ends too early"),
        ([b"HTTP/1.1 200 OK\r\nContent-", CLOSE], ""),
        ([b"hello\r\n\r\n", CLOSE], ""),
        ([CLOSE], "broken: Empty reply from server"),
    ],
)
def test_wrong_lengths_and_half_bodies_are_no_answers(house, site, steps, words):
    site.routes["/items"] = lambda call: steps
    job(house)
    fails_with(house, site, words)


@pytest.mark.parametrize(
    "body, words",
    [
        ('{"items": [{"id": 1}], "items": []}', "a name of the path comes twice"),
        ('{"items": ' + "[" * 300 + "]" * 300 + "}", "nested too deeply"),
        ('{"items": [{"id": "\\ud800"', "the text ends too early"),
        (b'{"items": [{"id": "\xc3\x28"}]}', "not valid UTF-8"),
        (b'{"items": [{"id": "\xed\xa0\x80"}]}', "not valid UTF-8"),
        ('{"items": [{"id": 01}]}', "a comma or } is expected"),
        ("<html>sorry</html>", "a value is expected"),
        ("", "the text ends too early"),
        ('{"data": []}', 'records: "items" has no "items" in the answer'),
    ],
)
def test_what_is_not_the_json_that_was_asked_for_is_no_answer(house, site, body, words):
    site.routes["/items"] = answer(body, type=JSON)
    job(house)
    fails_with(house, site, words)


def test_records_that_are_wrong_are_rejected_alone(house, site):
    bad = [
        '{"id": 1, "id": 2}',
        '{"id": 3, "big": 1e400}',
        '{"id": "\\ud800"}',
        '{"id": "a\\u0000b"}',
        '{"id": 4, "big": "1,5"}',
        '{"id": null}',
        "5",
        '{"id": [1]}',
    ]
    site.routes["/items"] = answer('{"items": [' + ", ".join([*bad, '{"id": "ok", "big": 1e308}']) + "]}", type=JSON)
    job(house)
    done = run(house)
    assert (done["state"], done["rows"], done["rejected"]) == ("succeeded", 1, len(bad))
    assert house.query("SELECT id, big FROM a") == [("ok", 1e308)]
    said = [e.partition(": ")[2] for e in done["errors"]]
    assert said[0].startswith("duplicate object key")
    assert said[1] == "field big: 1e400 is out of range for a real"
    assert "\\ud800" in said[2].lower() or "surrogate" in said[2].lower()
    assert said[3] == 'field id: "a\\u0000b" is not text'
    assert said[4] == 'field big: "1,5" is not a real'
    assert len(done["errors"]) == 5  # a sample; the rest is counted

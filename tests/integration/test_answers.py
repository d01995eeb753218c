# SPDX-License-Identifier: MIT
"""What an answer says and what of it is kept: formats, dialects, filters, fields."""
import json

import pytest
from answers import ISO, as_csv, as_ndjson, as_xml, configure, house, run, site  # noqa: F401 (fixtures)
from hostile import answer

FORMATS = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv", "xml": "application/xml"}


def test_iso_codes_are_the_same_rows_in_every_format(house, site):
    """All of Debian's iso-codes, names of columns as they are in the data."""
    assert len(ISO) >= 6
    jobs, want = {}, {}
    for file in ISO:
        ((standard, records),) = json.loads(file.read_text()).items()
        columns = sorted({name for r in records for name in r})
        bodies = {"json": file.read_bytes(), "ndjson": as_ndjson(records), "csv": as_csv(records, columns), "xml": as_xml(records)}
        name = file.stem.replace("-", "_")
        fields = "{" + ", ".join(f'{c}: "{c}"' for c in columns) + ", n: {value: x}}"
        key = "[" + ", ".join(columns) + "]"
        for kind, body in bodies.items():
            site.routes[f"/{name}.{kind}"] = answer(body, type=FORMATS[kind])
            path = {"json": f'records: "{standard}", ', "xml": "records: list.entry, "}.get(kind, "")
            table = f"{name}_{kind}"
            jobs[table] = (
                f"request: {{provider: p, path: /{name}.{kind}}}, format: {kind}, {path}fields: {fields},"
                f" store: {{table: {table}, mode: append}}"
            )
            want[table] = (columns, sorted(tuple(r.get(c) or "" for c in columns) for r in records))
        assert key
    configure(house, jobs)
    for table, (columns, rows) in want.items():
        done = run(house, table)
        assert (done["state"], done["rows"], done["rejected"]) == ("succeeded", len(rows), 0), (table, done)
        got = house.query(f"SELECT {', '.join(columns)} FROM {table}")
        assert sorted(tuple(v if v is not None else "" for v in row) for row in got) == rows, table
    nulls = house.query("SELECT COUNT(*) FROM iso_639_3_json WHERE alpha_2 IS NULL")
    assert nulls == house.query("SELECT COUNT(*) FROM iso_639_3_csv WHERE alpha_2 IS NULL") != [(0,)]


def test_a_field_is_a_path_a_value_a_template_or_part_of_a_text(house, site):
    site.routes["/items"] = answer(
        '{"items": [{"id": 7, "code": "KR-11 Seoul", "lat": 37.50, "lon": 127, "note": null},'
        ' {"id": 8, "code": "none", "lat": null, "lon": 1, "note": ""}]}'
    )
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, records: items,
      fields: {id: {path: id, type: integer}, source: {value: api}, place: {value: "{{record.lat}},{{ record.lon }}"},
        n: {path: code, regex: "-([0-9]+)", type: integer}, word: {path: code, regex: "[A-Z][a-z]+"},
        part: {value: "<{{record.id}}/{{run.id}}>"}, version: {value: 3, type: integer},
        at: {value: "{{run.started_at}}", type: timestamp}, first: {value: "{{record.code}}", regex: "^(.)"}},
      store: {table: a, key: [id]}"""
        },
    )
    done = run(house)
    assert (done["state"], done["rows"], done["rejected"]) == ("succeeded", 2, 0), done
    ((run_id, started),) = house.query("SELECT id, started_at FROM drover_run")
    assert house.query("SELECT id, source, place, n, word, part, version, at, first FROM a ORDER BY id") == [
        (7, "api", "37.50,127", 11, "Seoul", f"<7/{run_id}>", 3, started, "K"),
        (8, "api", None, None, None, f"<8/{run_id}>", 3, started, "n"),
    ]


def test_a_value_that_does_not_fit_its_type_rejects_the_record(house, site):
    site.routes["/items"] = answer('[{"id": 1, "code": "A-x"}, {"id": 2, "code": "A-5"}]')
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, store: {table: a, key: [id]},
      fields: {id: id, n: {path: code, regex: "-(.*)", type: integer}}"""
        },
    )
    done = run(house)
    assert (done["state"], done["rows"], done["rejected"]) == ("succeeded", 1, 1)
    assert done["errors"] == ['page 1, record 1: field n: "x" is not an integer']
    assert house.query("SELECT id, n FROM a") == [("2", 5)]


def test_a_filter_takes_the_records_of_which_all_holds(house, site):
    records = [
        {"id": 1, "kind": "a", "deleted": None, "name": "xy"},
        {"id": 2, "kind": "b", "deleted": None, "name": "xz"},
        {"id": 3, "kind": "c", "deleted": None, "name": "xy"},
        {"id": 4, "kind": "a", "deleted": "2026", "name": "xy"},
        {"id": 5, "kind": "a", "name": "ax"},
        {"id": 6, "name": "xy"},
        {"id": 7, "kind": ["a"], "name": "xy"},
        {"id": 8, "kind": "b", "name": "x!"},
    ]
    site.routes["/items"] = answer(json.dumps(records))
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, fields: {id: id}, store: {table: a, key: [id]},
      filter: [{path: kind, is: [a, b]}, {path: deleted, exists: false}, {path: name, matches: "^x[a-z]$"}]""",
            "b": """request: {provider: p, path: /items}, fields: {id: id}, store: {table: b, key: [id]},
      filter: [{path: id, not: "7"}, {path: kind, exists: true}, {path: kind, not: [a, b]}]""",
        },
    )
    done = run(house)
    assert (done["rows"], done["rejected"]) == (2, 1), done
    assert done["errors"] == ["page 1, record 7: field filter: a list is not text"]
    assert house.query("SELECT id FROM a ORDER BY id") == [("1",), ("2",)]
    run(house, "b")
    assert house.query("SELECT id FROM b ORDER BY id") == [("3",)]


def test_csv_is_read_in_its_dialect_and_bad_lines_are_rejected(house, site):
    site.routes["/items"] = answer(
        "# exported 2026\nKey Name;v.1;'note'\n1;1,5;'it''s; ok'\n2;x\n3;2.5;\n4;3;'a'b\n", type="text/csv"
    )
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, format: csv, csv: {delimiter: ";", quote: "'", skip: 1},
      fields: {id: Key Name, v: {path: v.1, type: real}, note: note, of: {value: "{{record.v.1}}"}},
      store: {table: a, key: [id]}"""
        },
    )
    done = run(house)
    assert (done["rows"], done["rejected"]) == (1, 3)
    assert done["errors"] == [
        'page 1, record 1: field v: "1,5" is not a real',
        "page 1, record 2: line 4: 2 cells where there are 3 columns",
        "page 1, record 4: line 6: text behind a closing quote",
    ]
    assert house.query("SELECT id, v, note, of FROM a") == [("3", 2.5, None, "2.5")]


def test_a_killed_worker_goes_on_within_a_csv(house, site):
    rows = "".join(f"{i},{'x' * 400}\r\n" for i in range(30000))
    site.routes["/items"] = answer("id,t\r\n" + rows, type="text/csv")
    configure(
        house,
        {
            "a": """request: {provider: p, path: /items}, format: csv, max_body: 20MB, retry: {attempts: 20},
      fields: {id: {path: id, type: integer}, t: t}, store: {table: things, key: [id], batch: 50}"""
        },
    )
    house.file.write_text(house.file.read_text().replace("retry: {attempts: 2, backoff: {initial: 50ms, max: 100ms}}, ", ""))
    from harness import until

    for _ in range(3):
        child = house.start("a")
        floor = house.stored()
        until(lambda: child.poll() is not None or house.stored() > floor, what="rows")
        child.kill()
        child.wait()
    house.run()
    assert house.query("SELECT state, rows FROM drover_run") == [("succeeded", 30000)]
    assert house.query("SELECT COUNT(*), SUM(id) FROM things") == [(30000, sum(range(30000)))]


@pytest.mark.parametrize(
    "kind, body, words",
    [
        ("csv", b"id,t\n1,2\n\"3,4\n", "csv: the answer ends inside the quotes that begin in line 3"),
        ("csv", b"id,id\n1,2\n", 'csv, line 1: two columns are named "id"'),
        ("json", b'[{"id": 1}, {"id": "\xff"}]', "malformed JSON at byte 20: not valid UTF-8"),
        ("json", b'[{"id": 1}, {"id": 2}', "malformed JSON at byte 21: the text ends too early"),
    ],
)
def test_an_answer_that_is_not_what_its_format_says_is_no_answer(house, site, kind, body, words):
    site.routes["/items"] = answer(body, type=FORMATS[kind])
    configure(house, {"a": f"request: {{provider: p, path: /items}}, format: {kind}, fields: {{id: id}}, store: {{table: a, key: [id]}}"})
    done = run(house)
    assert (done["state"], done["tasks_dead"], done["requests"]) == ("failed", 1, 2)
    assert house.dead() == [(f"GET p /items page 1: {words}",)] or house.dead() == [(f"GET p /items: {words}",)]
    assert site.count() == 2


@pytest.mark.parametrize(
    "said, charset, body, words",
    [
        ("text/csv; charset=EUC-KR", "", "id,t\n1,서울\n".encode("euc-kr"), None),
        ("text/csv", "windows-949", "id,t\n1,서울\n".encode("cp949"), None),
        ("text/csv; charset=utf-8", "", "id,t\n1,서울\n".encode("utf-16"), None),
        ("text/csv; charset=klingon", "", "id,t\n1,서울\n".encode(), None),
        ("text/csv; charset=euc-kr", "", "id,t\n1,".encode() + b"\xbc\xff\n", "byte 7 of the answer means nothing in euc-kr"),
    ],
)
def test_an_answer_in_any_encoding_becomes_utf_8(house, site, said, charset, body, words):
    site.routes["/items"] = answer(body, type=said)
    more = f"charset: {charset}, " if charset else ""
    configure(house, {"a": f"request: {{provider: p, path: /items}}, format: csv, {more}fields: {{id: id, t: t}}, store: {{table: a, key: [id]}}"})
    done = run(house)
    if words:
        assert house.dead()[0][0].endswith(words)
    else:
        assert done["rejected"] == 0 and house.query("SELECT id, t FROM a") == [("1", "서울")]


def test_xml_is_read_by_the_path_that_its_json_has(house, site):
    """As the public data portal of Korea answers: one item is no list of one, an answer without items is none."""
    text = """<?xml version="1.0" encoding="EUC-KR"?>
<response><header><resultCode>0000</resultCode></header><body><items>
<item no="1"><id>126508</id><title>경복궁 &amp; 광화문</title><mapy>37.57</mapy><tag>a</tag><tag>b</tag><empty/></item>
<item no="2"><id>2</id><title><![CDATA[<서울>]]></title><mapy>x</mapy><tag>c</tag></item>
<item no="3"><id>3</id><title/><mapy/><tag>d</tag></item>
</items><totalCount>3</totalCount></body></response>"""
    site.routes["/items"] = answer(text.encode("euc-kr"), type="application/xml")
    site.routes["/none"] = answer("<response><body><items/></body></response>", type="application/xml")
    site.routes["/error"] = answer("<OpenAPI_ServiceResponse><cmmMsgHeader/></OpenAPI_ServiceResponse>", type="text/xml")
    fields = """{id: {path: id, type: integer}, no: "@no", title: title, lat: {path: mapy, type: real},
        tag: "tag[0]", tags: {path: "tag[*]", type: json}}"""
    configure(
        house,
        {
            name: f"request: {{provider: p, path: /{path}}}, format: xml, records: response.body.items.item, fields: {fields}, store: {{table: a, key: [id]}}"
            for name, path in {"a": "items", "b": "none", "c": "error"}.items()
        },
        attempts=1,
    )
    done = run(house)
    assert (done["rows"], done["rejected"], done["errors"]) == (2, 1, ['page 1, record 2: field lat: "x" is not a real'])
    assert house.query("SELECT id, no, title, lat, tag, tags FROM a ORDER BY id") == [
        (3, "3", None, None, "d", '["d"]'),
        (126508, "1", "경복궁 & 광화문", 37.57, "a", '["a","b"]'),
    ]
    assert run(house, "b")["state"] == "succeeded"
    assert run(house, "c")["state"] == "failed"
    assert house.dead()[-1][0].endswith('records: "response.body.items.item" has no "response" in the answer')

# SPDX-License-Identifier: MIT
"""Answers of every format, and a house that collects them: test_answers*.py. One collect worker by itself
(collect_alone); what the database holds is compared with what Python's json, csv and sqlite3 make of the same."""
import csv
import io
import json
import pathlib
import time
from xml.etree import ElementTree

import pytest
from hostile import Hostile
from test_collect import House

ISO = sorted(pathlib.Path("/usr/share/iso-codes/json").glob("iso_*.json"))


@pytest.fixture
def site():
    with Hostile() as s:
        yield s


@pytest.fixture
def house(tmp_path, site):
    h = House(tmp_path, site)
    yield h
    h.leave()


def configure(house, jobs, provider="retry: {backoff: {initial: 50ms, max: 100ms}}", attempts=2):
    """jobs: {name: lines of a flow mapping}; the table is the job's name, unless it says another."""
    lines = "\n".join(
        f"  {name}: {{kind: collect, retry: {{attempts: {attempts}, backoff: {{initial: 50ms, max: 100ms}}}}, {text}}}"
        for name, text in jobs.items()
    )
    house.file.write_text(
        f"""
supervisor: {{state_dir: {house.state}}}
providers:
  p: {{base_url: "{house.provider.url}", private: true, {provider}}}
jobs:
{lines}
"""
    )


def run(house, job="a"):
    """The job's run, as a dict."""
    child = house.start(job, f"{job}-{time.monotonic_ns()}")
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    names = "state, tasks_done, tasks_failed, tasks_dead, requests, rows, rejected, bytes, errors"
    row = house.query(f"SELECT {names} FROM drover_run ORDER BY id DESC LIMIT 1")[0]
    return dict(zip(names.split(", "), row[:-1]), errors=json.loads(row[-1] or "[]"), said=err)


def as_ndjson(records):
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()


def as_csv(records, columns):
    """None is an empty cell, an empty text is one in quotes."""
    out = io.StringIO()
    csv.writer(out).writerow(columns)
    for record in records:
        cells = ['"' + str(record[name]).replace('"', '""') + '"' if record.get(name) is not None else "" for name in columns]
        out.write(",".join(cells) + "\r\n")
    return out.getvalue().encode()


def as_xml(records):
    """Names that are none in XML do not come up in the data."""
    root = ElementTree.Element("list")
    for record in records:
        entry = ElementTree.SubElement(root, "entry")
        for name, value in record.items():
            ElementTree.SubElement(entry, name).text = value
    return ElementTree.tostring(root, "utf-8", xml_declaration=True)

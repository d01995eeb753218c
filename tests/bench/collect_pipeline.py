# SPDX-License-Identifier: MIT
"""
collect_pipeline.py API DATABASE copy|executemany: an API page by page into PostgreSQL by aiohttp and asyncpg, as one would
write it: values get their types, each page and the place reached are one transaction. Prints one line of JSON.
"""
import asyncio
import datetime
import json
import sys
import time

import aiohttp
import asyncpg

COLUMNS = {"id": int, "name": str, "code": str, "lat": float, "lon": float, "size": int, "note": str, "changed": None}
SQL = {int: "BIGINT", float: "DOUBLE PRECISION", str: "TEXT", None: "TIMESTAMPTZ"}
CONFLICT = (" ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in COLUMNS if c != "id")
            + " WHERE (" + ", ".join(f"p.{c}" for c in COLUMNS) + ") IS DISTINCT FROM ("
            + ", ".join(f"excluded.{c}" for c in COLUMNS) + ")")
INSERT = "INSERT INTO p VALUES (" + ", ".join(f"${i + 1}" for i in range(len(COLUMNS))) + ")" + CONFLICT


def row(record):
    return tuple(datetime.datetime.fromisoformat(record[name].replace("Z", "+00:00")) if kind is None else kind(record[name])
                 for name, kind in COLUMNS.items())


async def collect(session, pg, api, copy):
    page = requests = 0
    while True:
        page += 1
        async with session.get(api, params={"page": page, "size": 100}) as answer:
            answer.raise_for_status()
            records = (await answer.json())["items"]
        requests += 1
        rows = [row(record) for record in records]
        async with pg.transaction():
            await pg.execute("UPDATE place SET page = $1", page)
            if copy:
                await pg.copy_records_to_table("load", records=rows)
                await pg.execute("INSERT INTO p SELECT * FROM load" + CONFLICT)
            else:
                await pg.executemany(INSERT, rows)
        if len(records) < 100:
            return requests


async def main(api, database, how):
    pg = await asyncpg.connect(database)
    await pg.execute("SET client_min_messages = warning; DROP TABLE IF EXISTS p; DROP TABLE IF EXISTS place;"
                     "CREATE TABLE place (page BIGINT); INSERT INTO place VALUES (0);"
                     "CREATE TABLE p (" + ", ".join(f"{name} {SQL[kind]}" for name, kind in COLUMNS.items()) + ");"
                     "CREATE UNIQUE INDEX p_key ON p (id);"
                     "CREATE TEMPORARY TABLE load (LIKE p) ON COMMIT DELETE ROWS")
    async with aiohttp.ClientSession() as session:
        cpu, wall = time.process_time(), time.monotonic()
        requests = await collect(session, pg, api, how == "copy")
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    count, total = await pg.fetchrow("SELECT COUNT(*), SUM(id) FROM p")
    await pg.close()
    print(json.dumps({"rows": count, "sum": int(total), "requests": requests, "cpu_s": cpu, "wall_s": wall}))


asyncio.run(main(*sys.argv[1:]))

# SPDX-License-Identifier: MIT
"""asyncpg_store.py executemany|copy URL ROWS BATCH: what bench_store does, by asyncpg; prints the same line of JSON."""
import asyncio
import json
import sys
import time

import asyncpg

TEXT = "thirty bytes of text, or so ok"
NAMES = ["id"] + [f"c{i}" for i in range(1, 10)]
CONFLICT = (" ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in NAMES[1:]) + " WHERE "
            + " OR ".join(f"t.{c} IS DISTINCT FROM excluded.{c}" for c in NAMES[1:]))
INSERT = "INSERT INTO t VALUES (" + ", ".join(f"${i + 1}" for i in range(10)) + ")" + CONFLICT


async def make(pg, temporary):
    await pg.execute("SET client_min_messages = warning; DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS mark;"
                     "CREATE TABLE mark (id BIGINT PRIMARY KEY, v BIGINT); INSERT INTO mark VALUES (1, 0);"
                     "CREATE TABLE t (id BIGINT NOT NULL, " + ", ".join(f"{c} TEXT" for c in NAMES[1:]) + ");"
                     "CREATE UNIQUE INDEX t_key ON t (id)")
    if temporary:
        await pg.execute("CREATE TEMPORARY TABLE load (LIKE t) ON COMMIT DELETE ROWS")


async def main(how, url, rows, batch):
    pg = await asyncpg.connect(url)
    await make(pg, how == "copy")
    mark = await pg.prepare("UPDATE mark SET v = $1 WHERE id = 1")
    cpu, wall = time.process_time(), time.monotonic()
    for first in range(0, rows, batch):
        records = [(first + i, *[TEXT] * 9) for i in range(min(batch, rows - first))]
        async with pg.transaction():
            await mark.fetch(first)
            if how == "copy":
                await pg.copy_records_to_table("load", records=records)
                await pg.execute("INSERT INTO t SELECT * FROM load" + CONFLICT)
            else:
                await pg.executemany(INSERT, records)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    await pg.close()
    print(json.dumps({"what": how, "rows": rows, "batch": batch, "rows_per_s": rows / wall, "cpu_us_per_row": cpu * 1e6 / rows}))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

# SPDX-License-Identifier: MIT
"""
3,000 SIGKILLs of droverd in a row, at any instant of its start or of its work, for each way of containment. What CI does
200 times, so often that a fault of one in a thousand shows. Prints the rows that RESULTS.md keeps.
"""
import contextlib
import os
import pathlib
import random
import sys
import time

import pytest

for folder in ("integration", "chaos"):
	sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / folder))
from cgroups import private_group  # noqa: E402
from harness import become_subreaper  # noqa: E402
from play import a_world, complain, kill_in_a_row  # noqa: E402

KILLS = int(os.environ.get("DROVER_BENCH_KILLS", "3000"))


@pytest.mark.parametrize("containment", ["sweep", "cgroup"])
def test_three_thousand_kills_make_no_second_copy_and_lose_no_line(tmp_path, containment):
	seed = random.SystemRandom().randrange(1 << 32)
	become_subreaper()
	with private_group() if containment == "cgroup" else contextlib.nullcontext() as group, \
			a_world(tmp_path, group) as world:
		began = time.monotonic()
		violations, words = kill_in_a_row(world, seed, KILLS)
		print(f"\n| seed {seed}, contained by {containment} | {words} | {len(violations)} violations | "
			f"{time.monotonic() - began:.0f} s |")
		complain(violations)

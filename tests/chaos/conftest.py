# SPDX-License-Identifier: MIT
"""Options of the chaos tests; a failing seed replays with --seed."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))


def pytest_addoption(parser):
	parser.addoption("--kills", type=int, default=100, help="kills in all, over both databases, in test_queue.py")
	parser.addoption("--supervisor-kills", type=int, default=200, help="SIGKILLs of droverd in a row, in test_supervisor.py")
	parser.addoption("--time", type=float, default=None,
		help="seconds of faults, in test_supervisor.py (50) and, instead of --kills, in test_queue.py")
	parser.addoption("--least", type=int, default=20,
		help="so often each fault must be dealt, the time is stretched for it; 0 on a machine that is busy with other things")
	parser.addoption("--seed", type=int, default=None, help="of the random numbers; printed by each run")

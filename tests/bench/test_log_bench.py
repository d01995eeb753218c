# SPDX-License-Identifier: MIT
"""
The log pump beside other people's, and beside what cannot be beaten: a loop of splice, a loop of read and write, into
one file without lines or rotation. All in one run and in turns; the ratios are what travels to another machine.
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from test_logger import Parent  # noqa: E402

BENCH = str(pathlib.Path(os.environ["DROVER_BUILD"]) / "bin/bench_log")
ROUNDS = int(os.environ.get("DROVER_BENCH_ROUNDS", "7"))
MAX_SIZE, BACKUPS = 10_000_000, 5
# size of a write: bytes in all
LOADS = {4000: 100_000_000, 100: 10_000_000}
PEERS = ("splice limit", "copy limit", "drover", "s6-log", "svlogd", "multilog")


def command(peer, folder):
	if peer in ("splice limit", "copy limit"):
		return [BENCH, peer.split()[0], str(folder / "file")]
	if peer == "s6-log":
		return ["s6-log", f"n{BACKUPS}", f"s{MAX_SIZE}", str(folder)]
	if peer == "svlogd":
		(folder / "config").write_text(f"s{MAX_SIZE}\nn{BACKUPS + 1}\n")
		return ["svlogd", str(folder)]
	return ["multilog", f"s{MAX_SIZE}", f"n{BACKUPS + 1}", str(folder)]


def write_to(fd, bytes_, size):
	return subprocess.Popen([BENCH, "write", str(bytes_), str(size)], stdin=subprocess.DEVNULL, stdout=fd)


def ended(pid):
	"""CPU s of a child that is about to end."""
	_, status, used = os.wait4(pid, 0)
	assert os.waitstatus_to_exitcode(status) == 0
	return used.ru_utime + used.ru_stime


def pump_drover(folder, bytes_, size):
	house = Parent(folder)
	fd = house.fifo("bench", max_size=MAX_SIZE, backups=BACKUPS)
	try:
		pid = house.start()
		os.write(fd, b"\n")
		while not house.read("bench"):  # it is up: the others start within microseconds too
			pass
		since = time.monotonic()
		assert write_to(fd, bytes_, size).wait() == 0
		os.kill(pid, 15)
		cpu = ended(pid)
		took = time.monotonic() - since
		house.pid = None
		assert sum(f.stat().st_size for f in house.files("bench")) > min(bytes_, MAX_SIZE * BACKUPS) * 0.9
	finally:
		house.close()
	return took, cpu


def pump_peer(peer, folder, bytes_, size):
	ends = os.pipe()
	since = time.monotonic()
	child = subprocess.Popen(command(peer, folder), stdin=ends[0], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
	writer = write_to(ends[1], bytes_, size)
	os.close(ends[0])
	os.close(ends[1])
	assert writer.wait() == 0
	cpu = ended(child.pid)
	child.returncode = 0
	return time.monotonic() - since, cpu


@pytest.mark.parametrize("size", LOADS)
def test_log_pump_beside_others(size):
	found = {peer: [] for peer in PEERS}
	bytes_ = LOADS[size]
	for _ in range(ROUNDS):
		for peer in PEERS:
			folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("DROVER_BENCH_DIR", "/dev/shm")))
			try:
				took, cpu = pump_drover(folder, bytes_, size) if peer == "drover" else pump_peer(peer, folder, bytes_, size)
			finally:
				shutil.rmtree(folder)
			found[peer].append((bytes_ / took / 1e6, cpu / bytes_ * 1e9))
	print()
	ratios = {}
	for peer in PEERS:
		speed, cpu = (statistics.median(x[i] for x in found[peer]) for i in (0, 1))
		ratios[peer] = [statistics.median(ours[i] / theirs[i] for ours, theirs in zip(found["drover"], found[peer])) for i in (0, 1)]
		print(f"| log pump, {size} bytes a write | {peer} | {speed:.0f} MB/s | {cpu:.2f} CPU s/GB |"
			f" drover x{ratios[peer][0]:.2f} MB/s, x{ratios[peer][1]:.2f} CPU |")
	# Lines of one write each are bounded by their writer, whoever reads them: there CPU tells.
	assert ratios["s6-log"][1] < 0.7 and (size < 4000 or ratios["s6-log"][0] > 1.5)

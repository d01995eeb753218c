#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Stands in for a worker of drover: says hello, takes its configuration, and misbehaves as puppet.json beside it tells:
{"messages": {NAME: id}, "record": FOLDER, "modes": {KIND: [mode of the first life, of the second, ...]}}. The last mode
goes on. A mode is a list: [NAME, argument...].

    well          answers each beat
    pattern P     "." answers, "x" does not; after its end all are answered
    shifted       answers each beat with the number of the one before
    double        answers with a number of the future first, then twice
    garbage, leave, twice, liar, refuses, silent: see below
    forge SLOT    tells the outcome of checks that it was never asked for
"""
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PLAN = json.loads((HERE / "puppet.json").read_text())
IDS = PLAN["messages"]
SLOT = os.environ["DROVER_SLOT"]
KIND = SLOT.split(":")[0]
LIFE = int(os.environ["DROVER_INSTANCE"].split(":")[1])
MODES = PLAN["modes"].get(KIND, [["well"]])
MODE, *ARGUMENTS = MODES[min(LIFE, len(MODES)) - 1]
CHANNEL = socket.socket(fileno=3)
CHANNEL.setblocking(True)
RECORD = open(pathlib.Path(PLAN["record"]) / f"{SLOT}.{LIFE}", "w")


def text(value):
    return struct.pack("<I", len(value)) + value.encode()


def say(name, body=b""):
    CHANNEL.send(struct.pack("<I", IDS[name]) + body)


def note(**fields):
    RECORD.write(json.dumps({"at": time.clock_gettime(time.CLOCK_BOOTTIME), **fields}) + "\n")
    RECORD.flush()


def beat(seq):
    say("BEAT", struct.pack("<QQIQQ", seq, 0, 0, 0, 0))


def hello(kind=KIND):
    say("HELLO", struct.pack("<I", 2) + text(kind) + struct.pack("<Q", os.getpid()))


def on_probe(seq, count):
    note(probe=seq)
    if MODE == "pattern":
        if ARGUMENTS[0][count:count + 1] != "x":
            beat(seq)
    elif MODE == "shifted":
        beat(seq - 1)
    elif MODE == "double":
        beat(seq + 1)
        beat(seq)
        beat(seq)
    else:
        beat(seq)
    if MODE == "forge":
        for seq in range(1, 20):
            say("CHECK_RESULT", struct.pack("<Q", seq) + text(ARGUMENTS[0]) + struct.pack("<QIQ", 1, 0, 1) + text("forged"))


def on_ready():
    if MODE == "garbage":
        CHANNEL.send(os.urandom(1000))
    elif MODE == "leave":
        CHANNEL.close()
        time.sleep(60)
    elif MODE == "twice":
        hello()


def main():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    note(pid=os.getpid())
    if MODE == "silent":
        time.sleep(60)
    hello("nobody" if MODE == "liar" else KIND)
    probes = 0
    while True:
        data, fds, _, _ = socket.recv_fds(CHANNEL, 70000, 16)
        if not data:
            sys.exit(0)
        number = struct.unpack_from("<I", data)[0]
        if number == IDS["CONFIG"]:
            note(config=os.pread(fds[0], 1 << 20, 0).decode(errors="replace"), flags=os.get_inheritable(fds[0]))
            generation = struct.unpack_from("<I", data, 4)[0]
            refused = MODE == "refuses"
            say("CONFIG_RESULT", struct.pack("<II", generation, not refused) + text("no, thank you" if refused else ""))
            on_ready()
        elif number == IDS["PROBE"]:
            on_probe(struct.unpack_from("<Q", data, 4)[0], probes)
            probes += 1
        elif number == IDS["DRAIN"]:
            note(drain=True)
            sys.exit(0)
        for fd in fds:
            os.close(fd)


main()

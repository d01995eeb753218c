#!/usr/bin/python3
"""Calls that do not belong into drover, and signs of unfinished work."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLS = r"\b(system|popen|strcpy|strcat|sprintf|vsprintf|gets|tmpnam|mktemp|alloca|strtok|atoi|atol)\s*\("
WORDS = r"\b(TODO|FIXME|XXX|HACK)\b"


def strip_comments(text):
    keep_lines = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', keep_lines, text, flags=re.S)


def main():
    found = 0
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in files.stdout.splitlines():
        path = ROOT / name
        if not path.is_file():
            continue
        if re.match(r"(supervisor|workers|common)/.*\.[ch]$", name):
            text = path.read_text()
            code = strip_comments(text)
            if "SPDX-License-Identifier: MIT" not in text.split("\n", 1)[0]:
                print(f"{name}:1: no SPDX line")
                found += 1
            for number, line in enumerate(code.splitlines(), 1):
                call = re.search(CALLS, line)
                if call:
                    print(f"{name}:{number}: {call.group(1)}() does not belong here")
                    found += 1
                if name.startswith("supervisor/") and re.search(r"\bkill\s*\(", line):
                    print(f"{name}:{number}: signals go through a pidfd, a pid may be somebody else's by now")
                    found += 1
            for number, line in enumerate(text.splitlines(), 1):
                word = re.search(WORDS, line)
                if word:
                    print(f"{name}:{number}: {word.group(1)}")
                    found += 1
    return 1 if found else 0


sys.exit(main())

#!/usr/bin/python3
"""Fails when an #include points the wrong way: the rooms and their arrows stand in layers.txt."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Libraries with a room of their own: header -> rooms that may include it.
ONLY = {
    r"ev\.h": {"loop"},
    r"yaml\.h": {"config"},
    r"curl/.*": {"http"},
    r"sqlite3\.h": {"store"},
    r"jansson\.h": {"scheduler", "cli", "monitor"},
    r"libxml/.*": {"parser"},
    r"seccomp\.h": {"parser"},
    r"zstd\.h": {"logger", "cli", "http"},
    r"zlib\.h|brotli/.*": {"http"},
    r"microhttpd\.h": {"monitor"},
    r"libsmartcols.*": {"cli"},
    r"systemd/.*": {"supervisor"},
    r"idn2\.h": {"url"},
}


def rules():
    allowed = {}
    for line in (ROOT / "tests/lint/layers.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            room, _, rest = line.partition(":")
            allowed[room.strip()] = set(rest.split())
    return allowed


def room_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] in ("common", "workers") and len(parts) > 2:
        return parts[1]
    if parts[0] == "supervisor":
        return parts[1] if len(parts) > 2 else "supervisor"
    return None


def check(path, allowed):
    room = room_of(path)
    if room is None:
        return
    if room not in allowed:
        yield 1, f"room {room} has no line in layers.txt"
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        quoted = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        angled = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
        name = (quoted or angled).group(1) if quoted or angled else ""
        for pattern, rooms in ONLY.items():
            if re.fullmatch(pattern, name) and room not in rooms:
                yield number, f"{name} belongs to {', '.join(sorted(rooms))}, not to {room}"
        if not quoted or "/" not in name:
            continue
        target = name.split("/")[0]
        if target == room or name in allowed[room] or target in allowed[room]:
            continue
        if room == "supervisor" and re.fullmatch(r"\w+/kind\.h", name):
            continue
        if target in allowed or (ROOT / "common" / target).is_dir():
            yield number, f"{room} may not include {name} (tests/lint/layers.txt)"


def main():
    allowed = rules()
    found = 0
    for top in ("common", "workers", "supervisor"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            for number, text in check(path, allowed):
                print(f"{path.relative_to(ROOT)}:{number}: {text}")
                found += 1
    return 1 if found else 0


sys.exit(main())

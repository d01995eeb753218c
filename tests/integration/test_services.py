# SPDX-License-Identifier: MIT
"""Services, told by themselves: what each was given, when it came and went, and that there were never two of one."""
import json
import os
import pathlib
import pwd
import signal
import subprocess
import threading
import time

import pytest

from given import SLOW, Commander, let_others_in
from harness import DROVERD, alive, until

TOLD = str(pathlib.Path(__file__).resolve().parent / "told.py")
ROOT = os.geteuid() == 0
BASE = {"supervisor": {"probe": {"interval": "200ms", "timeout": "200ms", "start_period": "0s"},
                       "restart": {"min_interval": "1h", "jitter": "0s"}, "stop": {"timeout": "2s"}},
        "http": {"listen": "127.0.0.1:0"}, "workers": {"collect": {"processes": 1}}}


def config(services, **more):
    return json.dumps({**BASE, **more, "services": services})


def told(drover, name, n=1):
    """What the n-th instance said."""
    def line():
        lines = [t for t in drover.log_of(name).splitlines() if t.startswith("told ")]
        return lines[n - 1:] and json.loads(lines[n - 1][5:])
    return until(line, f"{name} has told")


# ---- what a service is given ----

# droverd itself is started with as much as can be inherited.
BURDENED = ["python3", "-c", """
import os, resource, signal, sys
os.umask(0o077)
for number in (signal.SIGUSR2, signal.SIGALRM, signal.SIGWINCH):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGVTALRM, signal.SIGPROF})
for fd in (7, 8, 200):
    os.dup2(1, fd, inheritable=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (777, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
os.execvp(sys.argv[1], sys.argv[1:])
"""]
WORDS = ["two words", "$HOME", "${X:-y}", "*", "; touch oops", "", "'\"", "\u00e9\t", "--flag"]
OWN = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "DROVER_SLOT", "DROVER_INSTANCE", "DROVER_MUTANT"}


def test_a_service_gets_what_it_was_given_and_nothing_else(drover):
    drover.prefix = BURDENED
    drover.start(config({
        "plain": {"command": ["python3", TOLD, *[w.replace("${", "$${") for w in WORDS]]},
        "full": {"command": ["python3", TOLD], "directory": str(drover.folder), "umask": "027",
                 "environment": {"GREETING": "good day", "EMPTY": "", "HOME": "/elsewhere"},
                 "rlimits": {"nofile": 123, "nproc": 4567, "core": "0B", "memory": "3GiB"}, "nice": 17,
                 "oom_score_adjust": 321},
    }), environment={"SECRET": "x", "LD_BIND_NOW": "1", "PATH": os.environ["PATH"], "NOTIFY_SOCKET": ""})
    plain, full = told(drover, "plain"), told(drover, "full")
    assert plain["argv"] == WORDS
    assert plain["directory"] == "/"
    assert set(plain["environment"]) - {"LC_CTYPE"} <= OWN, "python itself may add LC_CTYPE"
    assert plain["environment"]["LANG"] == "C.UTF-8" and plain["environment"]["DROVER_SLOT"] == "plain"
    me = pwd.getpwuid(os.geteuid())
    assert (plain["environment"]["HOME"], plain["environment"]["USER"], plain["environment"]["LOGNAME"]) == (
        me.pw_dir, me.pw_name, me.pw_name)
    assert plain["umask"] == "0o22"
    assert plain["limits"]["nofile"][0] == 777, "droverd raised its own, not that of its children"
    assert plain["limits"]["core"] == [0, 0]
    for one in (plain, full):
        assert one["leader"] and not one["terminal"]
        assert (one["fds"], one["input"]) == ([0, 1, 2], "")
        assert int(one["blocked"], 16) == 0 and one["ignored"] == [signal.SIGPIPE, signal.SIGXFSZ]
        assert one["stdout"] is True and one["stderr"] is True
        assert one["uids"] == [os.geteuid()] * 3 and one["gids"] == [os.getegid()] * 3
    assert full["argv"] == [] and full["directory"] == str(drover.folder)
    assert full["environment"]["GREETING"] == "good day" and full["environment"]["EMPTY"] == ""
    assert full["environment"]["HOME"] == "/elsewhere"
    assert set(full["environment"]) - {"LC_CTYPE"} <= OWN | {"GREETING", "EMPTY"}
    assert full["umask"] == "0o27"
    assert full["limits"] == {"nofile": [123, 123], "nproc": [4567, 4567], "core": [0, 0], "as": [3 << 30, 3 << 30]}
    assert (full["nice"], full["oom"]) == (17, 321)
    until(lambda: "through /dev/stdout" in drover.log_of("plain"), "what it wrote to /dev/stdout is there")
    until(lambda: "through /dev/stderr" in drover.log_of("full"), "what it wrote to /dev/stderr is there")
    assert not (drover.folder / "oops").exists()


def test_folders_may_be_given_from_where_droverd_is_started(drover):
    drover.write(config({"a": {"command": ["python3", TOLD]}}))
    drover.process = subprocess.Popen(
        [DROVERD, "--config", "drover.yaml", "--state-dir", "state", "--runtime-dir", "run", "--log-dir", "log"],
        stdin=subprocess.DEVNULL, stdout=drover.output, stderr=drover.output, cwd=drover.folder)
    for name in ("collect", "crawl", "scheduler", "a"):
        drover.wait_state(name, "running")
    assert drover.status()["supervisor"]["state_dir"] == str(drover.state)
    done = subprocess.run([DROVERD, "--config", str(drover.config), "--state-dir", ""], capture_output=True, text=True)
    assert done.returncode == 2 and "is no folder's name" in done.stderr


@pytest.mark.skipif(not ROOT, reason="only root may change users")
def test_a_service_is_its_user_and_its_log_is_its_users(drover):
    """Under supervisord and s6-log a service of another user cannot open /dev/stdout."""
    import grp
    gid = {name: grp.getgrnam(name).gr_gid for name in ("games", "mail", "daemon", "nogroup")}
    nobody = pwd.getpwnam("nobody")
    let_others_in(drover.folder)
    # One that changes its user itself: to nobody and, of groups, games alone.
    drops = ["python3", "-c", "import os, sys; os.setgroups([]); os.setresgid(%d, %d, %d); os.setresuid(%d, %d, %d); "
             "os.execvp('python3', ['python3', %r])" % ((gid["games"],) * 3 + (nobody.pw_uid,) * 3 + (TOLD,))]
    drover.start(config({
        "own": {"command": ["python3", TOLD], "user": "nobody"},
        "many": {"command": ["python3", TOLD], "user": "nobody", "group": "daemon", "groups": ["games", "mail"],
                 "nice": -3, "oom_score_adjust": 7, "rlimits": {"nofile": 5000}},
        "rootly": {"command": ["python3", TOLD], "user": "root", "groups": ["games"]},
        "drops": {"command": drops, "log_group": "games"}, "locked": {"command": drops},
    }))
    own, many, rootly = (told(drover, name) for name in ("own", "many", "rootly"))
    assert own["uids"] == [nobody.pw_uid] * 3 and own["gids"] == [nobody.pw_gid] * 3
    assert own["groups"] in ([], [nobody.pw_gid]), "those of the user, not droverd's"
    assert own["environment"]["USER"] == "nobody" and own["environment"]["HOME"] == nobody.pw_dir
    assert own["stdout"] is True and own["stderr"] is True
    assert many["gids"] == [gid["daemon"]] * 3 and many["groups"] == sorted([gid["games"], gid["mail"]])
    assert (many["nice"], many["oom"], many["limits"]["nofile"]) == (-3, 7, [5000, 5000]), "before the user is changed"
    assert rootly["uids"] == [0] * 3 and rootly["groups"] == [gid["games"]]
    dropped, locked = told(drover, "drops"), told(drover, "locked")
    assert dropped["uids"] == [nobody.pw_uid] * 3 and dropped["stdout"] is True
    assert locked["stdout"] == "Permission denied", "who is not named may not write into the log"
    pipes = {p.name: (p.stat().st_uid, oct(p.stat().st_mode & 0o777)) for p in drover.runtime.rglob("*") if p.is_fifo()}
    assert pipes["own"] == (nobody.pw_uid, "0o600") and pipes["drops"] == (0, "0o620"), pipes


def test_several_processes_have_names_logs_and_pids_of_their_own(drover):
    def text(n):
        return config({"web": {"command": ["python3", TOLD], "processes": n}, "other": {"command": ["sleep", "1000"]}})

    def slots():
        return {p["name"]: p["pid"] for p in drover.status()["processes"] if p["kind"] == "service"}
    drover.start(text(3))
    drover.wait_event("supervisor_ready")
    first = slots()
    assert sorted(first) == ["other", "web:1", "web:2", "web:3"]
    for name in ("web:1", "web:2", "web:3"):
        one = told(drover, name)
        assert (one["environment"]["DROVER_SLOT"], one["pid"]) == (name, first[name])
    # The service's name means all of them, a slot's name one.
    code, answer = drover.ask("restart", "web:2")
    assert code == 0 and [r["name"] for r in answer["results"]] == ["web:2"]
    second = slots()
    assert {n for n in first if first[n] != second[n]} == {"web:2"}
    code, answer = drover.ask("stop", "web")
    assert code == 0 and sorted(r["name"] for r in answer["results"]) == ["web:1", "web:2", "web:3"]
    assert not any(alive(pid) for name, pid in second.items() if name != "other")
    assert drover.ask("start", "web")[0] == 0
    assert drover.ask("stop", "web:4")[0] == 4

    # Live: who stays is not touched; one alone has the plain name.
    before = slots()
    for n, names in ((2, ["web:1", "web:2"]), (5, [f"web:{i}" for i in range(1, 6)]), (1, ["web"])):
        drover.write(text(n))
        code, answer = drover.ask("reload")
        assert code == 0, answer
        until(lambda names=names: sorted(slots()) == ["other", *names] and all(slots().values()), f"{names} run")
        now = slots()
        assert {name: now[name] for name in now if name in before and n > 1} == {
            name: before[name] for name in before if name in now and n > 1}
        assert now["other"] == first["other"]
        before = now
    assert not drover.find_events("process_event_unexpected")


# ---- restart.policy ----

def test_each_policy_starts_again_what_it_says_and_nothing_else(drover):
    """Exit code 0 is the only success; a signal that nobody of ours sent is none."""
    ends = {"zero": "exit 0", "three": "exit 3", "term": "kill -TERM $$; sleep 9", "kill": "kill -KILL $$; sleep 9",
            "missing": "exec /nonexistent"}
    services = {}
    for policy in ("always", "on-failure", "never"):
        for name, script in ends.items():
            services[f"{policy}-{name}"] = {"command": ["sh", "-c", f"echo once; {script}"], "restart": {"policy": policy}}
    drover.start(config(services))
    for name in services:
        policy, end = name.rsplit("-", 1)
        again = policy == "always" or (policy == "on-failure" and end != "zero")
        until(lambda name=name, n=1 + again: drover.log_of(name).count("once") == n, f"{name} began {1 + again} times")
        slot = drover.wait_state(name, "waiting" if again else "failed")
        assert (slot["restart_due_at"] is not None) == again, "the second is held"
        last = slot["last_exit"]
        expected = {"zero": ("exit", 0, None), "three": ("exit", 3, None), "term": ("signal", None, 15),
                    "kill": ("signal", None, 9), "missing": ("exit", 127, None)}[end]
        assert (last["reason"], last["code"], last["signal"]) == expected, name
        assert slot["restarts"] == again
    # Whatever the policy, the operator's word is above it and not held; a stop is an end for good.
    for name in ("always-three", "on-failure-zero", "never-kill"):
        code, answer = drover.ask("start", name)
        assert answer["results"][0]["name"] == name
        until(lambda name=name: drover.log_of(name).count("once") >= (3 if name == "always-three" else 2), f"{name} began")
        assert drover.ask("stop", name)[0] == 0
        assert drover.slot(name)["state"] == "stopped" and drover.slot(name)["restart_due_at"] is None
    # What the operator stops has not failed: no policy brings it back.
    drover.write(config({"stays": {"command": ["sleep", "1000"], "restart": {"policy": "always"}}}))
    assert drover.ask("reload")[0] == 0
    drover.wait_state("stays", "running")
    assert drover.ask("stop", "stays")[0] == 0
    until(lambda: [p["name"] for p in drover.status()["processes"] if p["kind"] == "service"] == ["stays"], "the others went")
    assert drover.slot("stays")["state"] == "stopped" and drover.slot("stays")["incarnation"] == 1


# ---- depends_on ----

JOURNAL = """
import fcntl, os, signal, socket, sys, time
name, journal, slow = sys.argv[1], sys.argv[2], float(sys.argv[3])
lock = open(journal + "." + name, "w")
def say(word):
    with open(journal, "a") as file:
        file.write(f"{word}{name}\\n")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say("!")
def leave(*_):
    time.sleep(slow)
    say("-")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
say("+")
path = os.environ.get("NOTIFY_SOCKET", "")
while True:
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"READY=1\\nWATCHDOG=1", path.replace("@", "\\0"))
    time.sleep(1)
"""


class Chain:
    """front and side need api, api needs db; other needs nobody. db is healthy when a file is there."""

    def __init__(self, drover, slow=0.05, **fields):
        self.drover, self.journal, self.healthy = drover, drover.folder / "journal", drover.folder / "healthy"
        (drover.folder / "service.py").write_text(JOURNAL)
        needs = {"front": ["api"], "side": ["api"], "api": ["db"], "db": [], "other": []}
        self.services = {}
        for name, needed in needs.items():
            self.services[name] = {
                "command": ["python3", str(drover.folder / "service.py"), name, str(self.journal), str(slow)],
                "depends_on": needed}
        self.services["db"]["probe"] = {"exec": ["test", "-e", str(self.healthy)], "failures": 100}
        self.services["api"]["probe"] = {"notify": True, "interval": "10s", "timeout": "10s"}
        for name, more in fields.items():
            self.services[name].update(more)

    def start(self):
        self.drover.start(config(self.services))
        return self

    def lines(self):
        return self.journal.read_text().split() if self.journal.exists() else []

    def wait(self, *words):
        """Since the last call these were said, in an order that is given back."""
        begin = getattr(self, "seen", 0)
        until(lambda: sorted(self.lines()[begin:]) == sorted(words) or len(self.lines()) - begin > len(words),
              f"{words} are said; said are {self.lines()[begin:]}")
        new = self.lines()[begin:]
        assert sorted(new) == sorted(words)
        self.seen = begin + len(new)
        return new


def in_order(lines, *pairs):
    for earlier, later in pairs:
        assert lines.index(earlier) < lines.index(later), (earlier, later, lines)


UP = (("+db", "+api"), ("+api", "+front"), ("+api", "+side"))
DOWN = (("-front", "-api"), ("-side", "-api"), ("-api", "-db"))
ALL_DOWN = ("-front", "-side", "-api", "-db")
ALL_UP = ("+front", "+side", "+api", "+db")


def test_dependants_come_after_and_go_before_what_they_need(drover):
    """supervisord's priorities order the forks only; s6 and runit leave it to the services."""
    chain = Chain(drover).start()
    chain.wait("+db", "+other")
    slot = until(lambda: (lambda s: s if s["waits_for"] else None)(drover.slot("front")), "it says what it waits for")
    assert (slot["state"], slot["waits_for"]) == ("waiting", "api, which is waiting")
    assert drover.slot("api")["waits_for"] == "db, which is not ready yet"
    assert drover.slot("db")["state"] == "running" and drover.slot("db")["ready"] is False
    drover.wait_event("supervisor_ready")  # not put off by them
    # A start that has to wait is answered when it is up, or when it is clear that it comes not.
    client = drover.control()
    client.send("start", "front")
    drover.wait_event("command", verb="start", name="front")
    chain.healthy.touch()
    assert client.receive()[0] == 0
    client.close()
    in_order(chain.wait("+api", "+front", "+side"), *UP[1:])

    code, answer = drover.ask("stop", "db")
    assert code == 0 and sorted(r["name"] for r in answer["results"]) == ["api", "db", "front", "side"]
    in_order(chain.wait(*ALL_DOWN), *DOWN)
    assert drover.slot("other")["state"] == "running"
    code, answer = drover.ask("start", "front")  # brings up what it needs, nobody beside it
    assert code == 0 and sorted(r["name"] for r in answer["results"]) == ["api", "db", "front"]
    in_order(chain.wait("+db", "+api", "+front"), ("+db", "+api"), ("+api", "+front"))
    assert drover.ask("start", "side")[0] == 0
    chain.wait("+side")
    code, answer = drover.ask("restart", "api")
    assert code == 0 and sorted(r["name"] for r in answer["results"]) == ["api", "front", "side"]
    in_order(chain.wait("-front", "-side", "-api", "+api", "+front", "+side"), *DOWN[:2], ("-api", "+api"), *UP[1:])

    # One that dies takes nobody with it; who starts meanwhile waits for it.
    pid = drover.slot("db")["pid"]
    os.kill(pid, signal.SIGKILL)
    chain.wait("+db")
    assert drover.slot("api")["state"] == "running"
    # Not ready any more: its dependants run on, and are not started.
    chain.healthy.unlink()
    os.kill(drover.slot("db")["pid"], signal.SIGKILL)
    drover.wait_state("db", "waiting")  # held: its second restart
    os.kill(drover.slot("api")["pid"], signal.SIGKILL)
    until(lambda: drover.slot("api")["waits_for"], "api waits")
    client = drover.control()
    client.send("start", "api")  # and with it db, which nobody holds back now
    chain.wait("+db")
    chain.healthy.touch()
    assert client.receive()[0] == 0
    client.close()
    chain.wait("+api")
    drover.wait_state("api", "running")

    drover.signal(signal.SIGTERM)
    assert drover.process.wait(20) == 0
    in_order(chain.wait(*ALL_DOWN, "-other"), *DOWN)
    assert "!" not in "".join(chain.lines())


def test_what_needs_a_service_that_fails_waits_and_says_so(drover):
    chain = Chain(drover, db={"command": ["/nonexistent/db"], "restart": {"policy": "never"}, "probe": {}}).start()
    chain.wait("+other")
    drover.wait_state("db", "failed")
    assert drover.slot("api")["waits_for"] == "db, which is failed"
    code, answer = drover.ask("start", "front")
    results = {r["name"]: r for r in answer["results"]}
    assert code == 1 and results["db"]["detail"] == "it ended, and its policy says no more"
    assert results["api"]["detail"] == "waits for db, which is failed"
    assert results["front"]["detail"] == "waits for api, which is waiting"
    code, answer = drover.ask("stop", "api")
    assert code == 0 and drover.slot("front")["state"] == "stopped"
    # A reload that mends it is enough for those that are wanted.
    chain.services["db"] = {"command": ["sleep", "1000"]}
    drover.write(config(chain.services))
    assert drover.ask("reload")[0] == 0
    drover.wait_state("db", "running")
    assert drover.slot("api")["state"] == "stopped", "the operator stopped it"
    assert drover.ask("start", "front")[0] == 0
    in_order(chain.wait("+api", "+front"), ("+api", "+front"))
    # A ring is refused whole, also by a reload; what runs stays.
    chain.services["db"]["depends_on"] = ["front"]
    drover.write(config(chain.services))
    code, answer = drover.ask("reload")
    assert code == 78 and "ring: front -> api -> db -> front" in answer["errors"].replace(" (line 1)", ""), answer
    done = subprocess.run([DROVERD, "--check", "--config", str(drover.config)], capture_output=True, text=True)
    assert done.returncode == 78 and "ring" in done.stderr + done.stdout
    assert drover.slot("front")["state"] == "running"


# ---- races ----

class Client(Commander):
    def __init__(self, drover, seed, names, until_s, reload):
        super().__init__(drover, seed, until_s)
        self.names, self.reload, self.count = names, reload, 0

    def one(self, client):
        verb = self.rng.choice(["start", "start", "stop", "restart", "reload"])
        if verb == "reload":
            self.reload(self.rng)
        code, answer = client.ask(verb, "" if verb == "reload" else self.rng.choice(self.names))
        assert verb == "reload" or answer["results"], (verb, answer)
        assert code == 0 or verb != "reload" or "stopping" in json.dumps(answer), answer
        self.count += 1


NEEDED = {"front": ["api", "db"], "side": ["api", "db"], "api": ["db"], "db": [], "other": []}


def wanted_after(commands):
    """By the commands in the order in which droverd took them."""
    wanted = dict.fromkeys(NEEDED, True)
    for verb, name in commands:
        if verb == "start":
            wanted.update(dict.fromkeys([name, *NEEDED[name]], True))
        elif verb == "restart":
            wanted[name] = True
        elif verb == "stop":
            wanted.update(dict.fromkeys([name, *(n for n, needs in NEEDED.items() if name in needs)], False))
    return wanted


def storm(drover, chain, seed, seconds, clients=5):
    lock = threading.Lock()
    rounds = iter(range(1, 100000))

    def reload(rng):
        with lock:
            chain.services["db"]["environment"] = {"ROUND": str(next(rounds) if rng.random() < 0.3 else 0)}
            chain.services["api"]["stop"] = {"timeout": f"{2000 + next(rounds) % 7}ms"}
            fresh = drover.folder / "fresh.yaml"
            fresh.write_text(config(chain.services))
            fresh.replace(drover.config)
    threads = [Client(drover, seed + i, list(NEEDED), time.monotonic() + seconds, reload) for i in range(clients)]
    for one in threads:
        one.start()
    return threads


def test_whatever_races_the_last_command_decides_and_each_is_answered_once(drover):
    """Commands and reloads of several clients at once, over services that need each other: where all arrive follows
    from the order in which droverd took the commands; never two of one."""
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    chain = Chain(drover, slow=0.02)
    chain.healthy.touch()
    chain.start()
    drover.wait_event("supervisor_ready")
    for turn in range(3):
        threads = storm(drover, chain, seed + 100 * turn, 2.5)
        for one in threads:
            one.join()
        assert [one.error for one in threads] == [None] * len(threads)
        assert sum(one.count for one in threads) > 20 / SLOW
        commands = [(e["verb"], e["name"]) for e in drover.find_events("command") if e["verb"] != "reload"]
        wanted = wanted_after(commands)
        for name in NEEDED:
            up = wanted[name] and all(wanted[n] for n in NEEDED[name])
            slot = drover.wait_state(name, "running" if up else "waiting" if wanted[name] else "stopped", 20)
            assert (slot["pid"] is not None) == up, (name, slot, commands[-10:])
    assert not [line for line in chain.lines() if line.startswith("!")], "two of one"
    assert not drover.find_events("process_event_unexpected")

    # And the end of all is above them: everyone is answered or sees the connection close.
    threads = storm(drover, chain, seed + 1000, 30)
    until(lambda: all(one.count for one in threads), "all have begun")
    drover.signal(signal.SIGTERM)
    assert drover.process.wait(20) == 0
    for one in threads:
        one.join(20)
        assert not one.is_alive()
        assert one.error is None or "closed the connection" in one.error or "Reset" in one.error or "waited" in one.error \
            or "Broken" in one.error or "the supervisor is stopping" in one.error or "results" in one.error, one.error
    assert not drover.left_over()
    assert not [line for line in chain.lines() if line.startswith("!")], "two of one"


def test_as_many_variables_as_may_be_given_all_arrive(drover):
    given = {f"V{n}": f"value {n}" for n in range(500)}
    drover.start('http: {listen: "127.0.0.1:0"}\nservices: ' + json.dumps(
        {"a": {"command": ["sh", "-c", "env; exec sleep 1000"], "environment": given}}) + "\n")
    until(lambda: "value 499" in drover.log_of("a"), "it wrote")
    drover.wait_event("process_running", name="a")
    until(lambda: {f"{name}={value}" for name, value in given.items()} <= set(drover.log_of("a").splitlines()), "all are there")

# SPDX-License-Identifier: MIT
"""
A judge of due times that shares nothing with common/schedule: written from crontab(5) and the specification's section 7,
zones by Python's zoneinfo. It looks at every minute of a year (every second of a day, for six fields) as one bit of a
long number: the bits where the local minute, hour and day match, without those of an hour's second pass, with the end
of a gap that swallowed a match.
"""
import bisect
import calendar
import datetime
import functools
import random
import re
import subprocess
import zoneinfo

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()
WORDS = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
         "@midnight": "0 0 * * *", "@hourly": "0 * * * *", "@every_minute": "* * * * *", "@every_second": "* * * * * *"}

# Twenty zones, with a year in which their clocks do something: half hours, midnights, a lost day, two changes a spring,
# two hours at once, negative summer time, offsets of a quarter, and rules far in the future.
ZONES = [
    ("America/New_York", 2026), ("Europe/Berlin", 2027), ("Australia/Lord_Howe", 2026), ("Pacific/Chatham", 2026),
    ("Pacific/Apia", 2011), ("Africa/Casablanca", 2026), ("Antarctica/Troll", 2026), ("Europe/Dublin", 2028), ("Asia/Gaza", 2025),
    ("Asia/Kathmandu", 1986), ("America/Santiago", 2026), ("America/St_Johns", 2011), ("Africa/Cairo", 2010), ("Asia/Tehran", 2020),
    ("America/Nuuk", 2024), ("Asia/Pyongyang", 2018), ("America/Caracas", 2016), ("Asia/Amman", 2021), ("Africa/El_Aaiun", 2087),
    ("America/Havana", 2045),
]


# ---- the text ----

class Refused(Exception):
    pass


def number(text, low, high):
    if not re.fullmatch(r"[0-9]+", text) or not low <= int(text) <= high:
        raise Refused(text)
    return int(text)


class Field:
    """One field: the set of its values, whether it goes on by itself (*, range, step), whether it begins with a star."""

    def __init__(self, text, low, high, names=()):
        self.low, self.high, self.names = low, high, names
        self.values, self.days_from_end, self.workday, self.nth, self.last = set(), set(), None, set(), set()
        self.moves = False
        self.star = text.startswith("*") or text == "?"
        for element in ["*"] if text == "?" else text.split(","):
            self.take(element.upper(), alone="," not in text)

    def value(self, text):
        if text in self.names:
            return self.low + self.names.index(text)
        return number(text, self.low, self.high)

    def take(self, element, alone):
        if self.high == 31 and (found := re.fullmatch(r"(L(-[0-9]+)?|[0-9]+)W", element)):
            if not alone:
                raise Refused("W stands alone")
            self.workday = (-number((found[2] or "-0")[1:], 1 if found[2] else 0, 30) if element[0] == "L" else
                            number(found[1], 1, 31), element[0] == "L")
        elif self.high == 31 and (found := re.fullmatch(r"L(-([0-9]+))?", element)):
            self.days_from_end.add(number(found[2], 1, 30) if found[2] else 0)
        elif self.high == 7 and (found := re.fullmatch(r"([A-Z0-9]+)#([0-9]+)", element)):
            self.nth.add((self.value(found[1]) % 7, number(found[2], 1, 5)))
        elif self.high == 7 and (found := re.fullmatch(r"([A-Z0-9]+?)L", element)):
            self.last.add(self.value(found[1]) % 7)
        else:
            self.take_range(element)

    def take_range(self, element):
        what, slash, step = element.partition("/")
        step = number(step, 1, self.high) if slash else 1
        self.moves |= bool(slash) or what == "*"
        if what == "*":
            run = range(self.low, (6 if self.high == 7 else self.high) + 1)
        else:
            first, dash, last = what.partition("-")
            begin = self.value(first)
            end = self.value(last) if dash else self.high if slash else begin
            self.moves |= begin != end if dash else False
            if self.high == 7 and begin == 7:
                begin, end = 0, end % 7
            if end < begin:  # round the end of the field
                end += 7 if self.high == 7 else self.high - self.low + 1
            run = range(begin, end + 1)
        size = 7 if self.high == 7 else self.high - self.low + 1
        self.values |= {(v - self.low) % size + self.low for v in run[::step]}


class Expression:
    def __init__(self, text):
        text = text.strip(" \t")
        if text.startswith("@"):
            if text.lower() not in WORDS:
                raise Refused(text)
            text = WORDS[text.lower()]
        parts = re.split(r"[ \t]+", text)
        if len(parts) not in (5, 6):
            raise Refused("fields")
        self.second = Field(parts.pop(0) if len(parts) == 6 else "0", 0, 59)
        self.minute, self.hour = Field(parts[0], 0, 59), Field(parts[1], 0, 23)
        self.day, self.month = Field(parts[2], 1, 31), Field(parts[3], 1, 12, MONTHS)
        self.weekday = Field(parts[4], 0, 7, DAYS)

    def on_day(self, date):
        length = calendar.monthrange(date.year, date.month)[1]
        by_day = date.day in self.day.values or length - date.day in self.day.days_from_end
        if self.day.workday:
            target = self.day.workday[0] + (length if self.day.workday[1] else 0)
            works = [d for d in range(1, length + 1) if calendar.weekday(date.year, date.month, d) < 5]
            by_day |= 1 <= target <= length and date.day == min(works, key=lambda d: abs(d - target))
        weekday = date.isoweekday() % 7
        by_weekday = (weekday in self.weekday.values or (weekday, (date.day + 6) // 7) in self.weekday.nth or
                      weekday in self.weekday.last and date.day + 7 > length)
        both = self.day.star or self.weekday.star
        return date.month in self.month.values and (by_day and by_weekday if both else by_day or by_weekday)

    def some_day(self):
        day = datetime.date(2000, 1, 1)
        return any(self.on_day(day + datetime.timedelta(n)) for n in range(146097))


# ---- time as bits ----

@functools.lru_cache(64)
def teeth(count, period, length):
    return ((1 << period * count) - 1) // ((1 << period) - 1) * ((1 << length) - 1)


def comb(n, period, phase, length):
    """Bits i < n with (i + phase) % period < length."""
    return teeth(n // period + 2, period, length) >> phase % period & (1 << n) - 1


class Local:
    """A run of local time without jumps: unit after unit from a local second, at bit `at` of the window."""

    def __init__(self, at, local_s, n, unit):
        self.at, self.local_s, self.n, self.unit = at, local_s, n, unit
        self.combs, self.days = {}, []
        day = local_s // 86400
        while day * 86400 < local_s + n * unit:
            first, last = max(day * 86400, local_s), min((day + 1) * 86400, local_s + n * unit)
            self.days.append(((EPOCH + datetime.timedelta(day)).date(), (first - local_s) // unit, (last - local_s) // unit))
            day += 1

    def comb(self, seconds, field, value):
        """Where hour, minute or second (a unit of `seconds`) has the value."""
        key = seconds, value
        if key not in self.combs:
            period = {1: 60, 60: 3600, 3600: 86400}[seconds] // self.unit
            if seconds < self.unit:
                self.combs[key] = (1 << self.n) - 1 if value == 0 else 0
            else:
                phase = (self.local_s - value * seconds) // self.unit
                self.combs[key] = comb(self.n, period, phase, seconds // self.unit)
        return self.combs[key]

    def match(self, e):
        bits = 0
        begin = None
        for date, first, last in self.days + [(None, self.n, self.n)]:
            if date and e.on_day(date):
                begin = first if begin is None else begin
            elif begin is not None:
                bits |= (1 << first) - (1 << begin)
                begin = None
        for seconds, field in (3600, e.hour), (60, e.minute), (1, e.second):
            if not bits:
                break
            if len(field.values) < field.high - field.low + 1:
                some = 0
                for value in field.values:
                    some |= self.comb(seconds, field, value)
                bits &= some
        return bits


class Window:
    """n units of `unit` seconds from first_s in a zone."""

    def __init__(self, zone, first_s, n, unit):
        self.zone, self.first_s, self.n, self.unit = zone, first_s, n, unit
        tz = zoneinfo.ZoneInfo(zone)

        def offset(t):
            return int(datetime.datetime.fromtimestamp(t, UTC).astimezone(tz).utcoffset().total_seconds())

        def fold(t):
            return datetime.datetime.fromtimestamp(t, UTC).astimezone(tz).fold

        self.runs, self.gaps, self.second_pass = [], [], 0
        end_s, begin, step = first_s + n * unit, first_s, 4 * 3600
        for t in range(first_s, end_s, step):
            last = min(t + step, end_s)
            if last < end_s and offset(last) == offset(t):
                continue
            change = end_s if offset(last) == offset(t) else \
                t + bisect.bisect_left(range(t, last), True, key=lambda s: offset(s) != offset(t))
            assert (change - first_s) % unit == 0, (zone, change)
            self.runs.append(Local((begin - first_s) // unit, begin + offset(begin), (change - begin) // unit, unit))
            begin = change
            if change == end_s:
                break
            before, after = offset(change - 1), offset(change)
            if after > before:
                self.gaps.append(((change - first_s) // unit, Local(0, change + before, (after - before) // unit, unit)))
            again = change
            while again < end_s and fold(again):
                again += unit
            self.second_pass |= (1 << (again - first_s) // unit) - (1 << (change - first_s) // unit)
        assert sum(run.n for run in self.runs) == n

    def due(self, e, gap, overlap):
        bits = 0
        for run in self.runs:
            bits |= run.match(e) << run.at
        if overlap == "first" and not (e.second.moves or e.minute.moves or e.hour.moves):
            bits &= ~self.second_pass
        if gap == "after" and not e.hour.moves:
            for at, swallowed in self.gaps:
                if swallowed.match(e):
                    bits |= 1 << at
        return bits


def year_of(zone, year):
    first = int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())
    last = int(datetime.datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
    return Window(zone, first, (last - first) // 60, 60)


def days_of_change(zone, year):
    """For six fields: the twelve hours around each change, second by second."""
    minutes = year_of(zone, year)
    return [Window(zone, minutes.first_s + run.at * 60 - 6 * 3600, 12 * 3600, 1) for run in minutes.runs[1:]]


# ---- expressions ----

def some_field(r, low, high, names=(), often=None):
    def value():
        if often and r.random() < 0.7:
            return str(r.choice(often))
        v = r.randint(low, high)
        text = r.choice(names) if names and r.random() < 0.3 else str(v) if r.random() < 0.95 else f"{v:02d}"
        return text.lower() if r.random() < 0.2 else text

    def element():
        kind = r.random()
        step = f"/{r.randint(1, high if r.random() < 0.3 else min(high, 7))}"
        if kind < 0.6:
            return value()
        if kind < 0.75:
            return f"{value()}-{value()}" + (step if r.random() < 0.3 else "")
        return value() + step if kind < 0.82 else "*" + step

    return ",".join(element() for _ in range(r.choice([1, 1, 1, 1, 2, 3])))


def some_day(r):
    kind = r.random()
    if kind < 0.5:
        return r.choice(["*", "*", "*", "?"])
    if kind < 0.75:
        return some_field(r, 1, 31)
    n = r.randint(1, 31)
    return r.choice([f"{n}W", "LW", f"L-{min(n, 30)}W", "L", f"L-{min(n, 30)}", f"{n},L", f"L,L-{min(n, 30)},{n}"])


def some_weekday(r):
    kind = r.random()
    if kind < 0.55:
        return r.choice(["*", "*", "*", "?"])
    if kind < 0.8:
        return some_field(r, 0, 7, DAYS)
    day = r.choice([str(r.randint(0, 7)), r.choice(DAYS)])
    return r.choice([f"{day}#{r.randint(1, 5)}", f"{day}L", f"{day}L,{r.randint(0, 7)}#{r.randint(1, 5)}", f"1,{day}#{r.randint(1, 5)}"])


def some_expression(r, seconds):
    if r.random() < 0.01:
        word = r.choice([w for w in WORDS if seconds or w != "@every_second"])
        return word.upper() if r.random() < 0.2 else word
    minute = some_field(r, 0, 59) if r.random() < 0.9 else "*"
    hour = some_field(r, 0, 23, often=[0, 1, 2, 3, 23]) if r.random() < 0.85 else "*"
    month = "*" if r.random() < 0.7 else some_field(r, 1, 12, MONTHS)
    fields = [minute, hour, some_day(r), month, some_weekday(r)]
    if seconds:
        fields.insert(0, some_field(r, 0, 59) if r.random() < 0.9 else "*")
    return r.choice([" ", " ", " ", "  ", "   "]).join(fields)


def some_damaged(r, text):
    """One or two bytes of it are other ones: some are still right, and mean something else. Never six fields."""
    six = True
    while six:
        other = text
        for _ in range(r.randint(1, 2)):
            at = r.randrange(len(other))
            other = other[:at] + r.choice(["", r.choice("0123456789*/-,#LWlw? @ABMx.+"), other[at] * 2]) + other[at + 1:]
        six = len(other.split()) == 6
    return other


# ---- the trial ----

class Asked:
    """build/.../bin/cron_bits, our side."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def due(self, window, text, gap, overlap):
        line = f"{window.zone}\t{window.first_s}\t{window.n}\t{window.unit}\t{gap}\t{overlap}\t{text}\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        said = self.process.stdout.read(1)
        if said != b"B":
            return said.decode()
        return int.from_bytes(self.process.stdout.read((window.n + 7) // 8), "little")

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


def judged(window, text, gap, overlap):
    try:
        e = Expression(text)
    except Refused:
        return "E"
    bits = window.due(e, gap, overlap)
    if not bits and not e.some_day():
        return "N"
    return bits


def differs(window, text, gap, overlap, ours, expected):
    where = f"{text!r} in {window.zone} (gap {gap}, overlap {overlap})"
    if isinstance(ours, str) or isinstance(expected, str):
        shown = [x if isinstance(x, str) else f"{bin(x).count('1')} times" for x in (ours, expected)]
        return f"{where}: we say {shown[0]}, the oracle {shown[1]}"
    other = ours ^ expected
    at = window.first_s + ((other & -other).bit_length() - 1) * window.unit
    local = datetime.datetime.fromtimestamp(at, UTC).astimezone(zoneinfo.ZoneInfo(window.zone))
    return f"{where}: {bin(other).count('1')} times differ, the first is {local.isoformat()}, " \
           f"{'ours' if ours & -other & other else 'the oracle s'}"


def trial(program, zones, count, seed, say=lambda text: None):
    """`count` expressions over the zones. @return (due times seen, refused, never due, what differs)"""
    r = random.Random(seed)
    asked = Asked(program)
    times = refused = never = 0
    wrong = []
    for n, (zone, year) in enumerate(zones):
        share = count * (n + 1) // len(zones) - count * n // len(zones)
        minutes, seconds = year_of(zone, year), days_of_change(zone, year)
        for _ in range(share):
            six = bool(seconds) and r.random() < 0.25
            window = r.choice(seconds) if six else minutes
            text = some_expression(r, six)
            if not six and r.random() < 0.05:
                text = some_damaged(r, text)
            gap = "skip" if r.random() < 0.15 else "after"
            overlap = "both" if r.random() < 0.15 else "first"
            ours, expected = asked.due(window, text, gap, overlap), judged(window, text, gap, overlap)
            times += 0 if isinstance(ours, str) else bin(ours).count("1")
            refused += ours == "E"
            never += ours == "N"
            if ours != expected:
                wrong.append(differs(window, text, gap, overlap, ours, expected))
        say(f"{zone} {year}: {share} expressions, {times} due times so far, {len(wrong)} differ")
        if len(wrong) > 20:
            break
    asked.end()
    return times, refused, never, wrong


if __name__ == "__main__":
    import sys
    done = trial(sys.argv[1], ZONES, int(sys.argv[2]), int(sys.argv[3]), lambda text: print(text, flush=True))
    print(*done[3], sep="\n")
    print(f"{sys.argv[2]} expressions, {done[0]} due times, {done[1]} refused, {done[2]} never due, {len(done[3])} differ")
    sys.exit(bool(done[3]))

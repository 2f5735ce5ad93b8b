"""The life of a server's processes: who starts, who ends, and what they were told.

    with live("gunicorn", "apps.work_wsgi:app", workers=2, watch=True) as server:
        with flow.record(server, processes=True) as trace:
            trace.get("/")
            server.kill("master", signal.SIGHUP)
            trace.wait(starts=2, ends=2)
    print(trace)

It works alike for every server with a master: Gunicorn, uWSGI, the toy with process=True. Known are
the master's children (looked at every TICK), the signals that `server.kill` and the panel's buttons
send, and lines of the log that tell of a worker's trouble. Not known is what the processes tell
each other, so no arrow shows a signal of the master's; a child that lives shorter than TICK may be
missed; of a process the program itself starts, nothing is shown.

What the text guarantees, so that the same experiment prints the same:
Rule 1  Workers that were there before are numbered as they appear in it: the one that gets the
        first request is worker 1, whichever that was. Those that start are numbered after them.
        No pid, no time.
Rule 2  A signal stands where the clock has it: behind all that was seen before it, and before all
        that it causes. What `trace.wait` has seen stands before what is sent after it.
Rule 3  Of starts and ends less than SLACK apart the ends come first, for an end is what a start
        mends; after a HUP the starts do, where a reload begins with them (RELOADS). Of two ends
        that of a worker which had still to answer comes later.
Rule 4  A worker's requests stand between its start and its end; what a client sees within SLACK of
        a start or an end stands before it.
Not guaranteed is what the system decides: which of several workers takes which of several requests
in flight. Ask for `trace.counts` there.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import psutil

from coursekit.flow.events import Note
from coursekit.flow.steps import SLACK, Call, Step

TICK = 0.02  # seconds between two looks at the processes
RELOADS = {"gunicorn", "toy"}  # start new workers first; uWSGI ends the old ones first
KINDS = ("start", "gone", "signal", "log")  # of steps; "here" is a note alone
TROUBLE = re.compile(
    r"(WORKER TIMEOUT.*|HARAKIRI ON WORKER.*?\)|Worker \(pid.*(?:was sent|exited with code).*|"
    r"DAMN ! .*|worker \d+ ended (?:by|with).*)")
EARLY = re.compile(r"TIMEOUT|HARAKIRI")  # said of a worker that is still there
RANKS = ("early", "gone", "log", "start")
NEVER = 2**63


class Life:
    """Watch the master of a server and its children; use it in a `with`."""

    def __init__(self, server: Any) -> None:
        rows = server.workers
        if not rows or rows[0].role != "master":
            raise ValueError(f"this {server.kind} has no master whose workers could be watched; "
                             'the toy has one with process=True, workers=2')
        self.server = server
        self.master = psutil.Process(rows[0].pid)
        self._alive = {self.master, *self._children()}
        self._seen = set(self._alive)
        self._notes: list[Note] = []
        for process in self._alive:
            self._note("here", process)
        self._said = len(server.log)
        self._troubles: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="life", daemon=True)

    def __enter__(self) -> Life:
        self.server.on_kill.append(self._told)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.server.on_kill.remove(self._told)

    def count(self, kind: str) -> int:
        """Look, and return how many workers had a "start" or are "gone" since the beginning."""
        self._look()
        return sum(note["kind"] == kind and not note["master"] for note in self._notes)

    def read(self) -> list[Note]:
        """Look, and return the notes so far."""
        self._look()
        with self._lock:
            gone = {note["pid"]: note["time"] for note in self._notes if note["kind"] == "gone"}
            pids = {process.pid for process in self._seen - {self.master}}
            return self._notes + [
                {"time": seen if EARLY.search(text) else gone.get(pid, seen), "kind": "log",
                 "pid": pid, "master": False, "text": text}
                for seen, text in self._troubles for pid in pids & numbers(text)]

    def _listen(self) -> None:
        lines = self.server.log.lines[self._said:]
        self._said += len(lines)
        now = time.monotonic_ns()
        self._troubles += [(now, found[1]) for line in lines if "INFO" not in line
                           and (found := TROUBLE.search(line))]

    def _watch(self) -> None:
        while not self._over.wait(TICK):
            self._look()

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return self.master.children()
        return []

    def _look(self) -> None:
        with self._lock:
            self._listen()
            new = [each for each in self._children() if each not in self._seen]
            for process in sorted(new, key=lambda each: each.pid):
                self._note("start", process)
            self._seen.update(new)
            self._alive.update(new)
            for process in [each for each in self._alive if ended(each)]:
                self._alive.remove(process)
                self._note("gone", process)

    def _told(self, pid: int, number: int) -> None:
        """Note a signal, after all that whoever sends it may have seen."""
        self._look()
        with self._lock:
            for process in self._alive:
                if process.pid == pid:
                    self._note("signal", process, text=signal.Signals(number).name)

    def _note(self, kind: str, process: psutil.Process, **values: Any) -> None:
        self._notes.append({"time": time.monotonic_ns(), "kind": kind, "pid": process.pid,
                            "master": process == self.master, **values})


def ended(process: psutil.Process) -> bool:
    """Tell whether a process is gone; a zombie is, only its parent did not look yet."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def nobody(pid: int) -> bool:
    """Tell whether no process has this pid any more."""
    with suppress(psutil.NoSuchProcess):
        return ended(psutil.Process(pid))
    return True


def numbers(text: str) -> set[int]:
    """Return the numbers in a line."""
    return set(map(int, re.findall(r"\d+", text)))


# --- notes in, steps out --------------------------------------------------------------------------


def sorted_out(notes: Iterable[Note]) -> tuple[list[Note], list[Note]]:
    """Return the notes of the app, and those of processes."""
    every = list(notes)
    of_life = [note for note in every if note["kind"] in KINDS and "call" not in note]
    return [note for note in every if "call" in note], of_life


def there(notes: Iterable[Note]) -> list[int]:
    """Return the pids of the workers that were there when the recording began."""
    return [note["pid"] for note in notes if note["kind"] == "here" and not note["master"]]


def steps_of(notes: list[Note], calls: list[Call], kind: str) -> list[Step]:
    """Return the steps of processes in order; `kind` is that of the server."""
    left = [_step(note) for note in sorted(notes, key=lambda note: int(note["time"]))]
    ranks, made, told = RANKS, [], 0
    while left:
        window = [left[0]]
        if left[0].kind == "signal":
            reload = (left[0].target, left[0].label) == ("arbiter", "SIGHUP") and kind in RELOADS
            ranks, told = ("start", *RANKS[:3]) if reload else RANKS, left[0].time
        else:
            for step in left[1:]:
                if step.kind == "signal" or step.time - left[0].time > SLACK:
                    break
                window.append(step)
        made.append(min(window, key=lambda step: _rank(step, ranks, calls, told)))
        left.remove(made[-1])
    return made


def _rank(step: Step, ranks: tuple[str, ...], calls: list[Call], told: int) -> tuple[Any, ...]:
    kind = "early" if step.kind == "log" and EARLY.search(step.label) else step.kind
    mine = [i for i, call in enumerate(calls) if call.pid == step.pid]
    # A master ends last, a worker that still answers later than one that has nothing to do.
    busy = kind == "gone" and any(_answered(calls[i]) > told for i in mine)
    place = mine[0] if mine else len(calls)
    return not step.pid, ranks.index(kind) if kind in ranks else 0, busy, place, step.time


def _answered(call: Call) -> int:
    """Return when the answer of a call was complete, as far as that is known."""
    response = call.exchange.response if call.exchange else []
    return response[-1].time if response else NEVER


def _step(note: Note) -> Step:
    """Return the step for a note; "{}" in its label stands for a worker's number."""
    kind, pid = note["kind"], 0 if note["master"] else note["pid"]
    who = "server" if pid else "arbiter"
    source, target, label = {
        "start": ("arbiter", who, "starts"),
        "gone": (who, "arbiter" if pid else "you", "ends"),
        "signal": ("you", who, note.get("text", "")),
        "log": ("arbiter", "you", _nameless(note.get("text", ""), note["pid"])),
    }[kind]
    return Step(note["time"], source, target, kind, label, pid=pid, info=note)


def _nameless(text: str, pid: int) -> str:
    return re.sub(rf"\b(pid: ?|worker )?{pid}\b", "worker {}", text)


def causes(steps: list[Step], lived: list[Step], calls: list[Call]) -> dict[int, list[Step]]:
    """Return for each step what of the other list must stand before it, by Rules 2 and 4."""
    found: dict[int, list[Step]] = {}
    served = {call.connection: call.pid for call in calls if call.connection}
    answered = {(step.hop, step.connection): step for step in steps
                if step.info.get("interim") is False
                and (step.source == "server" or (step.source == "front" and not step.hop))}
    for event in lived:
        for step in steps:
            pid = step.call.pid if step.call else served.get(step.connection, 0)
            mine = bool(event.pid) and pid == event.pid and "server" in (step.source, step.target)
            first, second = _before(event, step, mine, answered)
            if first:
                found.setdefault(id(second), []).append(first)
    return found


def _before(event: Step, step: Step, mine: bool, answered: dict[tuple[int, int], Step]
            ) -> tuple[Step | None, Step]:
    """Return which of two stands before the other; None if neither must."""
    earlier = step.time < event.time
    if event.kind == "signal":
        return (step, event) if earlier or _over(event, step, answered) else (event, step)
    if mine and event.kind == "log" and EARLY.search(event.label):
        # It was silent for long: what it does next is what the log tells of.
        return (event, step) if step.time > event.time - SLACK else (step, event)
    if mine and event.kind == "start":
        return event, step
    if mine and event.kind == "gone" and step.source != "client":
        return step, event
    sent = step.source == "client" and not step.ends
    return (event, step) if sent and not earlier else (None, step)


def _over(event: Step, step: Step, answered: dict[tuple[int, int], Step]) -> bool:
    """Tell whether a step is what follows an answer that was complete before the event."""
    if step.call:
        exchange = step.call.exchange
        last = exchange.response[-1] if exchange and exchange.response and step.call.done else None
    else:
        last = answered.get((step.hop, step.connection)) if step.ends else None
    whole = last and last.kind not in ("chunk", "cut off") and "cut off" not in last.label
    return bool(last and whole and last.time < event.time and step.time - event.time <= SLACK)

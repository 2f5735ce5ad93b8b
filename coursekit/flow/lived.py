"""Notes on processes in, steps of the picture out, each at its place among those of requests.

The same experiment shall print the same text:
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
from collections.abc import Iterable
from typing import Any

from coursekit.flow.events import Note
from coursekit.flow.steps import SLACK, Call, Step

RELOADS = {"gunicorn", "toy"}  # start new workers first; uWSGI ends the old ones first
KINDS = ("start", "gone", "signal", "log")  # of steps; "here" is a note alone
EARLY = re.compile(r"TIMEOUT|HARAKIRI")  # said of a worker that is still there
RANKS = ("early", "gone", "log", "start")
NEVER = 2**63

Causes = dict[int, list[Step]]  # id of step: those of the other list that stand before it


def among(steps: list[Step], notes: Iterable[Note], calls: list[Call], kind: str) -> list[Step]:
    """Return the steps of requests with those of processes; `kind` is that of the server."""
    told = steps_of([note for note in notes if note["kind"] in KINDS and "call" not in note],
                    calls, kind)
    return merge(steps, told, causes(steps, told, calls))


def merge(requests: list[Step], told: list[Step], causes: Causes) -> list[Step]:
    """Return both lists as one, each in its own order.

    A step waits for its causes. Of two that may stand next the earlier one does, if they are
    more than SLACK apart; else that of the request.
    """
    lists, at = (requests, told), [0, 0]
    placed: set[int] = set()
    merged: list[Step] = []
    while at[0] < len(requests) and at[1] < len(told):
        heads = [steps[i] for steps, i in zip(lists, at, strict=True)]
        waits = [any(id(cause) not in placed for cause in causes.get(id(head), ()))
                 for head in heads]
        later = heads[0].time - heads[1].time > SLACK
        turn = int(waits[0]) if waits[0] != waits[1] else int(later)
        merged.append(heads[turn])
        placed.add(id(heads[turn]))
        at[turn] += 1
    return merged + requests[at[0]:] + told[at[1]:]


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


def causes(steps: list[Step], lived: list[Step], calls: list[Call]) -> Causes:
    """Return for each step what of the other list must stand before it, by Rules 2 and 4."""
    found: dict[int, list[Step]] = {}
    served = {call.connection: call.pid for call in calls if call.connection}
    answered = {step.connection: step for step in steps if step.info.get("interim") is False
                and (step.source == "server" or (step.source, step.target) == ("front", "client"))}
    for event in lived:
        for step in steps:
            pid = step.call.pid if step.call else served.get(step.connection, 0)
            mine = bool(event.pid) and pid == event.pid and "server" in (step.source, step.target)
            first, second = _before(event, step, mine, answered)
            if first:
                found.setdefault(id(second), []).append(first)
    return found


def _before(event: Step, step: Step, mine: bool, answered: dict[int, Step]
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


def _over(event: Step, step: Step, answered: dict[int, Step]) -> bool:
    """Tell whether a step is what follows an answer that was complete before the event."""
    if step.call:
        exchange = step.call.exchange
        last = exchange.response[-1] if exchange and exchange.response and step.call.done else None
    else:
        last = answered.get(step.connection) if step.ends else None
    whole = last and last.kind not in ("chunk", "cut off") and "cut off" not in last.label
    return bool(last and whole and last.time < event.time and step.time - event.time <= SLACK)

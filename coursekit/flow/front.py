"""Two wires in, one story out: client to front, front to server, and the app behind them.

A tap notes bytes before it passes them on, so the clock has each request on the first wire before
it is on the second, and each answer on the second before it is on the first. Not so what nobody
waits for: whether the server's FIN or the front's answer is seen first differs from run to run.
For steps less than SLACK apart:

Rule 1  What a front answers, and what happens on its connection then, stands behind all that the
        request caused on the second wire and in the app.
Rule 2  On each connection the order is that of `order`. Further apart, the clock decides.

Which request on the second wire belongs to which on the first: same method and target, sent while
the client waited. If two fit, it is not known, and the clock decides.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from coursekit.flow import uwsgi
from coursekit.flow.order import build, closing
from coursekit.flow.steps import SLACK, Call, Exchange, Step
from coursekit.flow.tap import Wire

Before = dict[int, set[int]]  # id of a step: the ids of those that come before it


def through(wires: list[Wire], behind: list[Wire], notes: Iterable[dict[str, Any]]
            ) -> tuple[list[Step], list[Exchange], list[Call]]:
    """Return all steps in order, the exchanges of the client, and the calls of the app."""
    outer, asked, _ = build(wires, [])
    inner, passed, calls = build(behind, notes, uwsgi.requests)
    for steps, side in (outer, "server"), (inner, "client"):
        for step in steps:
            step.source, step.target = ("front" if role == side else role
                                        for role in (step.source, step.target))
    before: Before = defaultdict(set)
    _chain(outer, before)
    for each in {step.connection or id(step.call): step for step in inner}:
        _chain([step for step in inner if each in (step.connection, id(step.call))], before)
    for one, other in _pairs(asked, passed):
        _join(one, outer, _caused(other, inner, passed), before)
    return _merged(outer + inner, before), asked, calls


def ended(wires: list[Wire]) -> bool:
    """Tell whether every connection has ended that is not kept for another request."""
    for number in {wire.connection for wire in wires}:
        mine = [wire for wire in wires if wire.connection == number]
        kinds = [wire.kind for wire in mine]
        over = kinds.count("eof") == 2 or "reset" in kinds or "refused" in kinds
        kept = not any(closing(wire.data) or wire.data[:1] == b"\0"
                       for wire in mine if wire.kind == "data")
        recent = time.monotonic_ns() - mine[-1].time <= SLACK  # some close without having said so
        if not over and (not kept or recent):
            return False
    return True


def _pairs(asked: list[Exchange], passed: list[Exchange]) -> Iterator[tuple[Exchange, Exchange]]:
    free = [each for each in passed if each.request]
    for one in asked:
        answer = _answer(one)
        if not one.request or not answer:
            continue
        fits = [each for each in free if (each.method, each.target) == (one.method, one.target)
                and one.request[0].time <= each.request[0].time <= answer[0].time]
        if len(fits) == 1:
            free.remove(fits[0])
            yield one, fits[0]


def _answer(exchange: Exchange) -> list[Step]:
    return [step for step in exchange.response if not step.info["interim"]]


def _caused(exchange: Exchange, inner: list[Step], passed: list[Exchange]) -> list[Step]:
    """Return what one request caused on its connection, and in the app."""
    mine = [step for step in inner if step.connection == exchange.connection]
    firsts = [each.request[0] for each in passed
              if each.connection == exchange.connection and each.request]
    number = firsts.index(exchange.request[0])
    start = mine.index(firsts[number]) if number else 0
    return mine[start:mine.index(firsts[number + 1]) if number + 1 < len(firsts) else None]


def _join(one: Exchange, outer: list[Step], caused: list[Step], before: Before) -> None:
    before[id(caused[0])].add(id(one.request[0]))
    mine = [step for step in outer if step.connection == one.connection]
    for step in mine[mine.index(_answer(one)[0]):]:
        causes = [each for each in caused if each.time <= step.time + SLACK]
        before[id(step)].update(map(id, causes[-1:]))


def _chain(steps: list[Step], before: Before) -> None:
    for one, other in pairwise(steps):
        before[id(other)].add(id(one))


def _merged(steps: list[Step], before: Before) -> list[Step]:
    """Return the steps by their places, none before one that has to come before it."""
    waiting = sorted(steps, key=lambda step: step.place)
    done: set[int] = set()
    merged: list[Step] = []
    while waiting:
        step = next((each for each in waiting if before[id(each)] <= done), waiting[0])
        waiting.remove(step)
        done.add(id(step))
        merged.append(step)
    return merged

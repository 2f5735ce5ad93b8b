"""Notes of two wires, of the app and of processes in, all steps in one causal order out.

Each wire alone is put in order by `order`; here the orders are joined. The taps note what they
see before they pass it on, so what went through a front is noted first on the side that it came
from. For steps less than SLACK apart, which the clock puts in another order at each run:

Rule 1  Nothing happens behind the front before the request that it is for: the parts of a request
        that follow each other reach the front first.
Rule 2  Else what happens behind the front stands first: the server is through with its answer,
        and then the front passes it on. What a front passes on piece by piece is seen as such if
        the pieces are further apart.

What requests in flight at once do to each other is left to the clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from coursekit.flow import life, order
from coursekit.flow.steps import SLACK, Call, Exchange, Step, exchanges_of
from coursekit.flow.tap import Wire

Causes = dict[int, list[Step]]  # id of step: those of the other list that stand before it
Built = tuple[list[Step], list[Exchange], list[Call]]


def build(wires: list[Wire], notes: Iterable[dict[str, Any]], front: bool, kind: str) -> Built:
    """Return all steps in order, the client's exchanges, and the calls of the app."""
    of_app, of_life = life.sorted_out(notes)
    if front:
        steps, exchanges, calls = _both([w for w in wires if not w.hop],
                                        [w for w in wires if w.hop], of_app)
    else:
        steps, exchanges, calls = order.build(wires, of_app)
    lived = life.steps_of(of_life, calls, kind)
    return merge(steps, lived, life.causes(steps, lived, calls), first=0), exchanges, calls


def _both(near: list[Wire], far: list[Wire], notes: list[dict[str, Any]]) -> Built:
    outer, exchanges, _ = order.build(near, [])
    inner, behind, calls = order.build(far, notes)
    for steps, role in ((outer, "server"), (inner, "client")):
        for step in steps:
            step.hop = int(steps is inner)
            step.source = "front" if step.source == role else step.source
            step.target = "front" if step.target == role else step.target
    _match(exchanges, behind)
    return merge(outer, inner, _causes(exchanges, behind, inner), first=1), exchanges, calls


def _match(exchanges: list[Exchange], behind: list[Exchange]) -> None:
    """Give each request of a client the call that its copy behind the front led to."""
    for copy in behind:
        fits = [each for each in exchanges if each.behind is None and each.request
                and copy.request and each.request[0].time < copy.request[0].time
                and (each.method, each.target) == (copy.method, copy.target)]
        if fits:
            fits[0].behind, fits[0].call = copy, copy.call


def _causes(exchanges: list[Exchange], behind: list[Exchange], inner: list[Step]) -> Causes:
    """Return for each step that the front made behind it what it must have heard before."""
    heard = [step for each in exchanges for step in each.request]
    together = {id(part): _together(each) for each in exchanges if each.behind
                for part in each.behind.request}
    connects = {step.connection: step for step in inner if step.kind == "connect"}
    for each in behind:
        if each.request and id(each.request[0]) in together and each.connection in connects:
            together.setdefault(id(connects.pop(each.connection)), together[id(each.request[0])])
    return {id(step): [part for part in heard if part.time < step.time or (
                part in together.get(id(step), ()) and part.time - step.time <= SLACK)]
            for step in inner if step.source == "front" and not step.ends}


def _together(exchange: Exchange) -> list[Step]:
    """Return the parts of a request that came without the server's asking for them."""
    asked = [part for part in exchange.behind.response if part.info["interim"]
             ] if exchange.behind else []
    return exchange.request[:1] if asked else exchange.request


def settled(wires: list[Wire]) -> bool:
    """Tell whether each connection has ended on both sides, or is kept for a next request."""
    return all(_ended([wire for wire in wires if wire.connection == number])
               for number in {wire.connection for wire in wires})


def _ended(wires: list[Wire]) -> bool:
    kinds = [wire.kind for wire in wires]
    if kinds.count("eof") == 2 or {"reset", "refused"} & set(kinds):
        return True
    if time.monotonic_ns() - wires[-1].time <= SLACK:
        return False  # some close without having said so
    made = exchanges_of(wires) if "data" in kinds else []
    heads = [step for each in made for step in each.request + each.response if step.kind == "head"]
    return not made or (bool(made[-1].response) and not any(
        order.closing(head.data) for head in heads) and "eof" not in kinds)


def merge(left: list[Step], right: list[Step], causes: Causes, *, first: int) -> list[Step]:
    """Return both lists as one, each in its own order.

    A step waits for its causes. Of two that may stand next the earlier one does, if they are
    more than SLACK apart; else that of the list `first` (0: left, 1: right).
    """
    lists, at = (left, right), [0, 0]
    placed: set[int] = set()
    merged: list[Step] = []
    while at[0] < len(left) and at[1] < len(right):
        heads = [steps[i] for steps, i in zip(lists, at, strict=True)]
        waits = [any(id(cause) not in placed for cause in causes.get(id(head), ()))
                 for head in heads]
        apart = heads[1].time - heads[0].time
        if waits[0] != waits[1]:
            turn = int(waits[0])
        else:
            turn = first if abs(apart) <= SLACK else int(apart < 0)
        merged.append(heads[turn])
        placed.add(id(heads[turn]))
        at[turn] += 1
    return merged + left[at[0]:] + right[at[1]:]

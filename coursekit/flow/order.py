"""Steps in, the same steps in causal order out, with each call of the app given to its request.

All notes carry the time of one clock, but a note is made a little after the fact: the tap sees a
chunk some microseconds after the app has gone on. So the order of notes that are close together
differs from run to run, and a saved picture would too. For steps less than SLACK apart:

Rule 1  A part of a response stands right after the app's event that produced it.
Rule 2  Parts of a request that follow each other stand together.
Rule 3  What the app does after its response is complete stands right after that response.
Rule 4  Of two closes the announced one ("Connection: close", HTTP/1.0) comes first, and stands
        with its answer; an answer without an end was broken off by the server.
Further apart, the clock decides. A step keeps its measured time; only its place is by rule.

Which call belongs to which request: by the client's port in environ or scope if the server gives
it, with method and path; else by method and path, if only one request in flight fits. Otherwise
the call stays without a request, and is shown so.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from coursekit.flow import conversation, decode
from coursekit.flow.steps import (
    SLACK,
    Call,
    Exchange,
    Requests,
    Step,
    app_step,
    calls_of,
    exchanges_of,
    marks_of,
)
from coursekit.flow.tap import Wire

BEHIND = 2**63  # later than any clock: an app may be told of a close before it is answered
HIDDEN = {"end", "done"}  # they order other steps, and say nothing to a reader


def build(wires: list[Wire], notes: Iterable[dict[str, Any]],
          requests: Requests = decode.requests
          ) -> tuple[list[Step], list[Exchange], list[Call]]:
    """Return all steps in order, the exchanges, and the calls of the app."""
    calls = calls_of(notes)
    exchanges: list[Exchange] = []
    marks: list[Step] = []
    for number in sorted({wire.connection for wire in wires}):
        mine = [wire for wire in wires if wire.connection == number]
        marks += marks_of(mine)
        exchanges += exchanges_of(mine, requests)
    match(calls, exchanges, {wire.port: wire.connection for wire in wires if wire.port})
    for call in calls:
        call.steps = [app_step(note, call) for note in call.events]
    steps = marks + [step for each in exchanges for step in each.request + each.response] + [
        step for call in calls for step in call.steps]
    for step in steps:
        step.place = (step.time,)
    for exchange in exchanges:
        _place_exchange(exchange)
    conversation.place(calls, marks)
    _place_closes(marks, exchanges)
    steps.sort(key=lambda step: step.place)
    shown = [step for step in steps if step.kind not in HIDDEN]
    return conversation.tidied(shown, calls), exchanges, calls


def match(calls: list[Call], exchanges: list[Exchange], ports: dict[int, int]) -> None:
    """Give each call the request that caused it, where that can be known."""
    for call in calls:
        first = call.events[0]
        connection = ports.get(first.get("peer", 0), 0)
        fits = [each for each in exchanges if each.call is None and each.request
                and each.request[0].time <= first["time"] and _same_request(each, first)]
        if connection:
            fits = [each for each in fits if each.connection == connection][:1]
        elif len({each.connection for each in fits}) == 1:
            fits = fits[:1]  # one connection: requests are answered in order (RFC 9112 9.3.2)
        call.connection = connection
        if len(fits) == 1:
            call.exchange, fits[0].call = fits[0], call
            call.connection = fits[0].connection


def _same_request(exchange: Exchange, note: dict[str, Any]) -> bool:
    if note["interface"] == "asgi":
        path = note["scope"].get("root_path", "") + note["scope"].get("path", "")
        wanted = path.encode()
    else:
        environ = note["environ"]
        wanted = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    path_sent = unquote_to_bytes(urlsplit(exchange.target).path)
    return exchange.method == (note["method"] or "GET") and (path_sent or b"/") == (wanted or b"/")


def after(step: Step, cause: Step) -> None:
    """Put `step` right behind `cause` and what stands behind that already."""
    step.place = (*cause.place, step.time)


def _place_exchange(exchange: Exchange) -> None:
    for before, step in zip(exchange.request, exchange.request[1:], strict=False):
        # 100 Continue: the body waited for it; so may a frame have waited for one of the server.
        invited = any(before.time < part.time < step.time for part in exchange.response
                      if part.info["interim"] or step.kind == "frame")
        if step.time - before.time <= SLACK and not invited:
            after(step, before)
    call = exchange.call
    if call is None or call.interface == "asgi":
        return
    previous: Step | None = None
    for part in exchange.response:
        if part.info["interim"]:
            _place_interim(part, exchange, call)
        else:
            _place_part(part, exchange, call, previous)
            previous = part
    if previous is not None:
        _place_afterwards(call, previous)


def _place_interim(part: Step, exchange: Exchange, call: Call) -> None:
    # 100 Continue that comes before the app reads was not caused by the app (gunicorn sends it
    # before the call); after that, the clock is believed.
    read = any(note["began"] < part.time for note in call.events if note["kind"] == "read")
    called = call.events[0]["time"]
    if not read and 0 <= part.time - called <= SLACK:
        after(part, exchange.request[0])


def _place_part(part: Step, exchange: Exchange, call: Call, previous: Step | None) -> None:
    cause = _cause(call, part, exchange.carried[id(part)])
    if cause is None:
        return
    following = [step for step in call.steps if step.place > cause.place]
    if not following or not 0 <= part.time - following[0].time <= SLACK:
        return
    after(part, cause if previous is None else max(cause, previous, key=lambda s: s.place))


def _cause(call: Call, part: Step, carried: int) -> Step | None:
    """Return the app's event that let the server send this part, `carried` content bytes in."""
    if part.kind == "last chunk":
        last = [step for step in call.steps if step.kind == "end"]
        return last[-1] if last else None
    sent = 0
    for step in call.steps:
        if step.kind in ("chunk", "write") and (size := step.info.get("size", 0)):
            sent += size
            if sent >= max(carried, 1):
                return step
        if step.kind in ("end", "exception"):
            return step
    return None


def _place_afterwards(call: Call, last: Step) -> None:
    for before, step in zip(call.steps, call.steps[1:], strict=False):
        if 0 < step.time - last.time <= SLACK:
            after(step, max(before, last, key=lambda s: s.place))


def _place_closes(marks: list[Step], exchanges: list[Exchange]) -> None:
    for number in {step.connection for step in marks}:
        closes = [step for step in marks if step.connection == number and step.kind == "eof"]
        if len(closes) != 2 or abs(closes[0].time - closes[1].time) > SLACK:
            continue
        answers = [step for each in exchanges if each.connection == number
                   for step in each.response]
        if any(closes[0].time < step.time < closes[1].time for step in answers):
            continue  # a half-close: what came after it stays after it
        heads = [step for step in answers if step.kind == "head"]
        cut = bool(answers) and answers[-1].kind in ("chunk", "cut off")  # no end came: broken off
        cut = cut or any(each.call and not each.call.done for each in exchanges
                         if each.connection == number)  # its process was ended
        packet = any(step.kind == "variables" for each in exchanges
                     if each.connection == number for step in each.request)  # uwsgi: one, then over
        ends = cut or packet or any(closing(head.data) for head in heads)
        announced = conversation.closer(number, exchanges, closes) or (
            "server" if ends else "client")
        first, second = sorted(closes, key=lambda step: step.source != announced)
        first.place = min(first.place, second.place)
        last = max(answers, key=lambda step: step.place, default=first)
        if ends and not cut and 0 < first.time - last.time <= SLACK:
            after(first, last)
        second.place = (*first.place, BEHIND)


def closing(head: bytes) -> bool:
    """Tell whether a head says that its connection ends after the response."""
    lower = head.lower()
    return b"\r\nconnection: close" in lower or (
        lower.startswith(b"http/1.0") and b"keep-alive" not in lower)

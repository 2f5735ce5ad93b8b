"""Steps of ASGI apps in, each put at its place among the bytes on the wire.

All that happens on one loop happens one after the other, so the clock has the app's events in
their order. Only how they lie among the notes of the tap, which is another thread, is chance.
For steps less than SLACK apart:

Rule 1  A call stands right after its request, a received message after the bytes it is made of.
Rule 2  What a message sends stands right after it, whatever else happens then.
Rule 3  Events of one turn of a task stand together: the loop ran nothing else between them.
Rule 4  What the app does after its response is complete stands right after that response.
Rule 5  A server's own frames, pong and the answer to a close, stand right after what they answer.
Rule 6  Closes that follow each other stand in the order of their connections: clients of several
        threads end as chance has it.
Further apart, the clock decides. Not known is what a client had read when it sent: where it does
not wait for answers, the order of its frames and the server's may differ from run to run.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

from coursekit.flow.steps import SLACK, Call, Exchange, Step

# These send the head before there is a body; by the specification of ASGI it should wait.
AT_ONCE = b"\r\nserver: uvicorn", b"\r\nserver: hypercorn"
ACCEPTS = "websocket.accept"
REFUSES = "websocket.close", "websocket.http.response.start"


def place(calls: Iterable[Call], marks: list[Step]) -> None:
    """Give the steps of ASGI calls, and those of their responses, their places."""
    loops: dict[tuple[int, int], list[Step]] = defaultdict(list)
    parts: dict[int, list[Step]] = defaultdict(list)
    for call in calls:
        if call.interface == "asgi":
            loops[call.pid, call.thread] += call.steps
            for part in call.exchange.response if call.exchange else ():
                cause = _sender(call, part)
                if cause is not None and 0 <= part.time - cause.time <= SLACK:
                    parts[id(cause)].append(part)
    for steps in loops.values():
        _place_loop(sorted(steps, key=lambda step: step.time), parts, marks)


def _place_loop(steps: list[Step], parts: dict[int, list[Step]], marks: list[Step]) -> None:
    """Place what happened on one loop: step after step of a turn, with the bytes they send."""
    last: Step | None = None
    row: list[Step] = []  # what stands together
    ends: dict[int, Step] = {}  # id of a call: what of it is placed last
    for step in steps:
        if last is None or not _same_turn(last, step):
            row = _begin(step, row, ends, marks)
        for each in [step, *parts[id(step)]]:
            if row:
                each.place = (*row[0].place, len(row))
            row.append(each)
        last, ends[id(step.call)] = step, row[-1]


def _same_turn(last: Step, step: Step) -> bool:
    one, other = ((each.info["task"], each.info["turn"]) for each in (last, step))
    return one == other and one[1] >= 0 and step.time - last.time <= SLACK


def _begin(step: Step, row: list[Step], ends: dict[int, Step], marks: list[Step]) -> list[Step]:
    """Place the first step of a turn; return the row of steps that it begins."""
    cause = _cause(step, marks)
    if cause is None and (last := _complete(step.call)) and last.time < step.time:
        cause = max(last, ends[id(step.call)], key=lambda each: each.place)
    if cause is not None and abs(step.time - cause.time) <= SLACK:
        step.place = (*cause.place, step.time)
    if row and step.place < row[-1].place:  # the loop had something else before
        step.place = (*row[-1].place, step.time)
    return []


def _complete(call: Call | None) -> Step | None:
    """Return the last part of a response that has its end."""
    response = call.exchange.response if call and call.exchange else []
    ended = call is not None and any(
        step.info.get("type") == "http.response.body" and not step.info.get("more_body")
        for step in call.steps if step.kind == "send")
    return response[-1] if response and ended else None


def _cause(step: Step, marks: list[Step]) -> Step | None:
    """Return the bytes that let the server call the app, or give it this message."""
    call, kind = step.call, str(step.info.get("type", ""))
    if call is None or call.exchange is None:
        return None
    sent = [part for part in call.exchange.request if part.time <= step.time]
    frames = [part for part in sent if part.kind == "frame"]
    found: list[Step] = []
    if step.kind == "call":
        found = [part for part in sent if part.kind != "frame"]
    elif step.kind != "receive":
        return None
    elif kind == "http.request":
        found = [part for part in sent if part.time > step.info["began"]]
    elif kind == "websocket.receive":
        before = [each for each in call.steps if each.info.get("type") == kind
                  and each.time < step.time]
        found = _message(frames, len(before) + 1)
    elif kind.endswith(".disconnect"):
        left = [mark for mark in marks if mark.connection == call.connection and mark.ends
                and mark.source == "client" and step.info["began"] < mark.time <= step.time]
        found = [frame for frame in frames if _opcode(frame) == 8] or left
    return _group(found[-1], call.exchange.request) if found else None


def _message(frames: list[Step], number: int) -> list[Step]:
    """Return the frames of one message; control frames may stand between (RFC 6455 5.4)."""
    count, found = 0, []
    for frame in frames:
        count += _opcode(frame) in (1, 2)
        if count == number and _opcode(frame) < 8:
            found.append(frame)
    return found


def _group(cause: Step, sent: list[Step]) -> Step:
    """Return the last of what was sent together with a part, whether or not it was waited for."""
    size = len(cause.place)
    return max((part for part in sent if part.place[:size] == cause.place),
               key=lambda part: part.place, default=cause)


def _opcode(frame: Step) -> int:
    return int(frame.info["frame"]["opcode"].split()[0])


def closer(connection: int, exchanges: Iterable[Exchange], closes: list[Step]) -> str:
    """Return who closes first, where that is known: after a switch, or as the app was told."""
    mine = [each for each in exchanges if each.connection == connection]
    frames = [step for each in mine for step in each.request + each.response
              if step.kind == "frame"]
    if len({frame.source for frame in frames if _opcode(frame) == 8}) == 2:
        return "server"  # both have said so, and the client waits for it (RFC 6455 7.1.1)
    told = any(step.kind == "receive" and str(step.info.get("type")).endswith(".disconnect")
               and step.time > closes[0].time for each in mine if each.call
               for step in each.call.steps)
    return min(closes, key=lambda step: step.time).source if frames or told else ""


def tidied(steps: list[Step], calls: list[Call]) -> list[Step]:
    """Return the steps, closes that stand together in the order of their connections (Rule 6)."""
    if not any(call.interface == "asgi" for call in calls):
        return steps
    ordered: list[Step] = []
    for closes, group in groupby(steps, key=lambda step: step.kind == "eof"):
        together = list(group)
        if closes and max(step.time for step in together) - together[0].time <= SLACK:
            together.sort(key=lambda step: step.connection)
        ordered += together
    return ordered


# --- what the app caused ------------------------------------------------------------------------


def _sender(call: Call, part: Step) -> Step | None:
    """Return the app's event that let the server send this part."""
    if part.info["interim"]:
        return None
    if part.kind == "frame":
        return _frame_sender(call, part)
    over = [step for step in call.steps if step.kind in ("exception", "done")]
    if part.kind == "head":
        sends = _sends(call, ACCEPTS) if part.info["frame"] == {} and b" 101 " in part.data[:13] \
            else _sends(call, *REFUSES)
        now = any(mark in part.data.lower() for mark in AT_ONCE)
        sends = sends or _sends(call, "http.response.start" if now else "http.response.body")
        return next(iter(sends + over), None)
    sends = _sends(call, "http.response.body", "websocket.http.response.body")
    if part.kind == "last chunk":
        return next(reversed(sends), None)
    carried = call.exchange.carried[id(part)] if call.exchange else 0
    sent = 0
    for step in sends:
        sent += step.info.get("size", 0)
        if sent >= max(carried, 1):
            return step
    return next(iter(_sends(call, *REFUSES) + over), None)


def _frame_sender(call: Call, part: Step) -> Step | None:
    exchange, opcode = call.exchange, _opcode(part)
    if exchange is None:
        return None
    if opcode < 8:
        sends = _sends(call, "websocket.send")
        number = exchange.carried[id(part)]
        return sends[number - 1] if 0 < number <= len(sends) else None
    asked = {8: 8, 10: 9}.get(opcode)
    sends = [step for step in _sends(call, "websocket.close") if opcode == 8]
    answered = [frame for frame in exchange.request
                if frame.kind == "frame" and _opcode(frame) == asked and frame.time <= part.time]
    if not [step for step in sends if step.time <= part.time] and answered:
        part.place = (*answered[-1].place, 0)
        return None
    over = [step for step in call.steps if step.kind in ("exception", "done")]
    return next(iter(sends + (over if opcode == 8 else [])), None)


def _sends(call: Call, *kinds: str) -> list[Step]:
    return [step for step in call.steps if step.kind == "send" and step.info.get("type") in kinds]

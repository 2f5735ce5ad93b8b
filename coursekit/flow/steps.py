"""Notes of the tap and of the app wrapper in, steps of the picture out: one for each arrow.

Rule 1  A step is a part of HTTP, not a recv: where TCP cut the bytes is left out, unless there
        was a pause longer than SLACK between the pieces, which then are steps of their own.
Rule 2  Text of a step holds no time, port or pid, so that a saved output is the same at each run.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from coursekit.flow import decode
from coursekit.flow.events import Note
from coursekit.flow.parts import Part
from coursekit.flow.tap import Wire

SLACK = 50_000_000  # ns: far above a thread switch on a busy machine, far below a pause to teach

Requests = Callable[[bytes], list[Part]]


@dataclass(eq=False)
class Step:
    """Hold one arrow of the picture: who tells whom what, and with which bytes."""

    time: int  # ns of time.monotonic_ns
    source: str  # a role: "client", "front", "server", "app"; of processes: "you", "arbiter"
    target: str
    kind: str
    label: str
    note: str = ""
    data: bytes = b""
    connection: int = 0  # from 1; 0 if not known
    call: "Call | None" = None
    info: Note = field(default_factory=dict)
    place: tuple[int, ...] = ()
    pid: int = 0  # of the worker whose life this is about

    @property
    def ends(self) -> bool:
        """Tell whether a connection, or one direction of it, ends here."""
        return self.kind in ("eof", "reset", "refused")


@dataclass(eq=False)
class Call:
    """Hold the events of one call of the app."""

    pid: int
    thread: int
    events: list[Note]
    connection: int = 0
    exchange: "Exchange | None" = None
    steps: list[Step] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Tell whether the server is through with this call."""
        return any(event["kind"] == "done" for event in self.events)

    @property
    def interface(self) -> str:
        """Return "wsgi" or "asgi"."""
        return str(self.events[0]["interface"])

    @property
    def strand(self) -> int:
        """Return what the app runs in: a task of ASGI, a thread of WSGI."""
        return int(self.events[0].get("task", self.thread))


@dataclass(eq=False)
class Exchange:
    """Hold one request and its response."""

    connection: int
    method: str
    target: str
    request: list[Step] = field(default_factory=list)
    response: list[Step] = field(default_factory=list)
    carried: dict[int, int] = field(default_factory=dict)  # id of step: content bytes up to it
    call: Call | None = None


def calls_of(notes: Iterable[Note]) -> list[Call]:
    """Return the calls of the app, oldest first, each with its notes in order."""
    calls: dict[tuple[int, int], Call] = {}
    for note in sorted(notes, key=lambda note: int(note["time"])):
        key = note["pid"], note["call"]
        if note["kind"] == "call":
            calls[key] = Call(note["pid"], note["thread"], [])
        if key in calls:  # not one that was called before the recording began
            calls[key].events.append(note)
    return list(calls.values())


# --- the wire -----------------------------------------------------------------------------------

MARKS = {"connect": "connects", "eof": "closes (FIN)", "reset": "resets (RST)",
         "refused": "refuses the connection"}


def marks_of(wires: list[Wire]) -> Iterator[Step]:
    """Yield the steps that carry no bytes: connects and ends."""
    for wire in wires:
        if wire.kind != "data":
            yield Step(wire.time, wire.sender, _other(wire.sender), wire.kind, MARKS[wire.kind],
                       connection=wire.connection)


def exchanges_of(wires: list[Wire], requests: Requests = decode.requests) -> list[Exchange]:
    """Return the requests and responses of one connection, in order."""
    number = wires[0].connection
    client = _Stream([wire for wire in wires if wire.kind == "data" and wire.sender == "client"])
    server = _Stream([wire for wire in wires if wire.kind == "data" and wire.sender == "server"])
    made: list[Exchange] = []
    for part in requests(client.data):
        if part.message == len(made):
            made.append(Exchange(number, *part.asked))
        made[part.message].request += client.steps(part)
    carried = 0
    for part in decode.responses(server.data, [each.method for each in made]):
        if part.message >= len(made):  # an answer nobody asked for, such as a 408
            made.append(Exchange(number, "", ""))
        exchange = made[part.message]
        carried = 0 if part.kind == "head" else carried + part.size
        for step in server.steps(part):
            exchange.response.append(step)
            exchange.carried[id(step)] = carried
    return made


class _Stream:
    """Find when the bytes of one direction passed the tap."""

    def __init__(self, wires: list[Wire]) -> None:
        self.wires = wires
        self.data = b"".join(wire.data for wire in wires)

    def steps(self, part: Part) -> list[Step]:
        """Return a step for the part, or one for each piece if it came with pauses."""
        groups: list[tuple[int, bytes]] = []
        at, last = 0, 0
        for wire in self.wires:
            piece = wire.data[max(0, part.start - at):max(0, part.end - at)]
            at += len(wire.data)
            if piece and groups and wire.time - last <= SLACK:
                groups[-1] = wire.time, groups[-1][1] + piece
            elif piece:
                groups.append((wire.time, piece))
            last = wire.time
        sender = self.wires[0].sender
        return [Step(time, sender, _other(sender), part.kind, _piece_label(part, i, len(groups)),
                     _piece_note(part, data), data, self.wires[0].connection,
                     info={"interim": part.interim, "frame": part.info})
                for i, (time, data) in enumerate(groups)]


def _piece_label(part: Part, index: int, count: int) -> str:
    label = masked(part.label) if part.label.startswith("SSE") else part.label
    return label if count == 1 else f"{label} (piece {index + 1} of {count})"


def _piece_note(part: Part, data: bytes) -> str:
    if part.kind == "head":
        return count_of(max(0, data.strip().count(b"\n")), "header")
    if part.kind == "variables":
        return " ".join(part.asked)
    if part.note:
        return masked(part.note)
    return "" if part.kind == "last chunk" else preview(data)


def _other(sender: str) -> str:
    return "server" if sender == "client" else "client"


# --- the app ------------------------------------------------------------------------------------


def app_step(note: Note, call: Call) -> Step:
    """Return the step for one event of the app."""
    kind = note["kind"]
    if kind == "close" and not note["had"]:
        kind = "end"  # the wrapper has a close() where the app's result has none
    text = _APP_TEXT[kind]
    source, label, detail = text(note)
    return Step(note["time"], source, "app" if source == "server" else "server", kind, label,
                detail, str(note.get("bytes", "")).encode("latin-1"), call.connection, call, note)


def _called(note: Note) -> tuple[str, str, str]:
    if note["interface"] == "asgi":
        scope = note["scope"]
        return "server", "app(scope, receive, send)", " ".join(
            filter(None, (note["type"], scope.get("method"), scope.get("path"))))
    environ = note["environ"]
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return "server", "app(environ, start_response)", f"{note['method']} {path}"


def _started(note: Note) -> tuple[str, str, str]:
    extra = ", exc_info" if note["exc_info"] else ""
    return "app", f'start_response("{note["status"]}"{extra})', count_of(
        note["count"], "header")


def _message(verb: str) -> Any:
    def text(note: Note) -> tuple[str, str, str]:
        told = f"{note.get('type', 'no type')} {note.get('status', note.get('code', ''))}".strip()
        if "size" in note:
            told += f", {count_of(note['size'], 'byte')}"
        more = "more_body" if note.get("more_body") else ""
        return ("app" if verb == "send" else "server",
                f"send({told})" if verb == "send" else f"receive() -> {told}",
                ", ".join(filter(None, [more, _noted(note)])))
    return text


def _noted(note: Note) -> str:
    if note.get("wrong"):
        return f"a {note['wrong']}, not bytes"
    said = [str(note[name]) for name in ("message", "reason", "subprotocol") if name in note]
    return ", ".join(filter(None, [*said, preview(str(note.get("bytes", "")).encode("latin-1"))]))


_APP_TEXT: dict[str, Any] = {
    "call": _called,
    "start_response": _started,
    "return": lambda note: ("app", f"returns {note['what']}", ""),
    "chunk": lambda note: ("app", f"yields {count_of(note['size'], 'byte')}", _noted(note)),
    "write": lambda note: ("app", f"write() of {count_of(note['size'], 'byte')}", _noted(note)),
    "read": lambda note: (
        "app", f"wsgi.input {note['method']}: {count_of(note['size'], 'byte')}", ""),
    "exception": lambda note: ("app", f"raises {note['type']}", masked(note["message"])[:40]),
    "close": lambda note: ("server", "close()", ""),
    "receive": _message("receive"),
    "send": _message("send"),
    "end": lambda note: ("app", "", ""),
    "done": lambda note: ("app", "", ""),
}


def count_of(number: int, thing: str) -> str:
    """Return "1 byte", "2 bytes"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def masked(text: str) -> str:
    """Return the text without long numbers: pids, ports and times differ at each run."""
    return re.sub(r"0x[0-9a-f]+|\d{4,}", "…", text)


def preview(data: bytes) -> str:
    """Return the first bytes as Python would write them."""
    return masked(repr(data[:24])) + (" …" if len(data) > 24 else "") if data else ""

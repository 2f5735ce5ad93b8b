"""Read tests/wire: what is sent, and what a server must make of it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coursekit.live.wire import splits
from servers.head import ProtocolError, Request, wants_continue
from servers.http11 import END, EOF, LIMITS, Data, Limits, Reader

FOLDER = Path(__file__).parent / "wire"

Read = tuple[Request, bytes]  # a request and its body


@dataclass(frozen=True)
class Case:
    """Hold one connection: the bytes, and the requests or the status that must come of them."""

    name: str
    wire: bytes
    requests: tuple[tuple[object, ...], ...] = ()
    status: int = 0

    def __str__(self) -> str:
        return self.name

    def pieces(self) -> list[tuple[bytes, ...]]:
        """Return the bytes cut in every way that is tried."""
        return [*splits(self.wire), splits(self.wire, 1)[-1], splits(self.wire, 2)[-1]]


def wire_cases(kind: str) -> list[Case]:
    """Return the cases of a folder in order of their names."""
    paths = sorted((FOLDER / kind).glob("*.http"))
    return [good_case(path) if kind == "good" else bad_case(path) for path in paths]


def good_case(path: Path) -> Case:
    requests = tuple(
        (
            row["method"].encode("latin-1"),
            row["target"].encode("latin-1"),
            tuple(int(digit) for digit in row["version"].split(".")),
            tuple(tuple(text.encode("latin-1") for text in field) for field in row["headers"]),
            row["body"].encode("latin-1"),
        )
        for row in json.loads(path.with_suffix(".json").read_text("ascii"))
    )
    return Case(path.stem, path.read_bytes(), requests)


def bad_case(path: Path) -> Case:
    return Case(path.stem, path.read_bytes(), status=int(path.stem.split("-")[0]))


def drive(
    pieces: Iterable[bytes], limits: Limits = LIMITS
) -> tuple[tuple[tuple[object, ...], ...], int]:
    """Feed a Reader piece by piece and then the end; return what it read, and its refusal or 0."""
    reader, read = Reader(limits), []
    for piece in (*pieces, b""):
        reader.feed(piece)
        try:
            while (event := reader.next_event()) is not None:
                if isinstance(event, Request):
                    wants_continue(event)  # what a server asks of every request
                    fields = tuple(event.headers)
                    read.append([event.method, event.target, event.version, fields, b""])
                elif isinstance(event, Data):
                    assert event.body, "an empty piece means nothing"
                    read[-1][-1] += event.body
                elif event is END:
                    read[-1] = tuple(read[-1])
                else:
                    assert event is EOF
                    break
        except ProtocolError as error:
            whole = tuple(request for request in read if isinstance(request, tuple))
            return whole, error.status
    return tuple(read), 0

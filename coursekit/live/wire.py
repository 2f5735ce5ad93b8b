"""Talk to a server in bytes: send exactly these, keep exactly what came back.

    wire.send(server, b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")      -> Exchange

Rules: nothing waits longer than `timeout`; what was received is kept whatever happens to
the connection; a reset is told from an end-of-file. h11 reads the answers, but an answer
that h11 refuses is kept as bytes and described, never raised.

Each piece is handed to the system by calls of its own, with Nagle's delay off. The other
side may still read two pieces at once: TCP is a stream of bytes, without marks between.
"""

from __future__ import annotations

import random
import re
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

from coursekit.live.answers import Answer, Answers

End = Literal["open", "closed", "reset", "timed out"]


class HasAddress(Protocol):
    """Anything with an address, such as a Server."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""


@dataclass
class Exchange:
    """Hold what was sent, what came back, how the connection ended, and the answers."""

    sent: tuple[bytes, ...]
    received: bytes
    end: End
    answers: list[Answer] = field(default_factory=list)

    @property
    def answer(self) -> Answer:
        """The only or first answer; LookupError if there is none."""
        if not self.answers:
            raise LookupError(f"no answer came back\n{self}")
        return self.answers[0]

    @property
    def status(self) -> int:
        """The status of the first answer."""
        return self.answer.status

    def __str__(self) -> str:
        lines = [line for piece in self.sent for line in arrows("-->", piece)]
        # The one line that differs on every run; `received` has it as it came.
        received = DATE.sub(rb"\1(now)", self.received)
        lines += arrows("<--", received) or ["<-- (nothing)"]
        lines += [f" !  {answer.problem}" for answer in self.answers if answer.problem]
        return "\n".join([*lines, f" =  {ENDINGS[self.end]}"])

    __repr__ = __str__


DATE = re.compile(rb"(\r\ndate: *)[^\r\n]*", re.I)
ENDINGS: dict[str, str] = {
    "open": "the connection is still open",
    "closed": "the server closed the connection",
    "reset": "the server reset the connection",
    "timed out": "timed out: the connection is open and silent",
}


def arrows(arrow: str, data: bytes, most: int = 40) -> list[str]:
    """Return the bytes line by line, line ends visible, an arrow before each."""
    lines = [f"{arrow} {visible(line)}" for line in data.splitlines(keepends=True)]
    if len(lines) <= most:
        return lines
    return [*lines[:most], f"{arrow} ... {len(lines) - most} more lines, {len(data)} bytes in all"]


def visible(line: bytes, most: int = 200) -> str:
    """Return bytes as text with everything outside printable ASCII escaped."""
    text = repr(line[:most])[2:-1].replace("\\'", "'")
    return text + (f"... ({len(line)} bytes)" if len(line) > most else "")


def send(
    to: HasAddress | tuple[str, int],
    *pieces: bytes,
    answers: int | None = None,
    half_close: bool = False,
    timeout: float = 5.0,
) -> Exchange:
    """Send pieces of bytes over one connection and return the Exchange.

    Reads until `answers` whole responses came (None: one for each request in the pieces),
    the server ended the connection, or `timeout` seconds passed. If the last answer
    announces that the connection closes, that is waited for. `half_close` ends our
    direction after the last piece. OSError if there is no connection at all.
    """
    with Connection(to, timeout=timeout) as connection:
        connection.send(*pieces, half_close=half_close)
        return connection.read(answers)


class Connection:
    """Keep one connection open and talk over it in turns: send, read, send, read.

    Every `read` returns the Exchange of the whole connection so far. `timeout` seconds
    are allowed for the connecting, and for each call.
    """

    def __init__(self, to: HasAddress | tuple[str, int], *, timeout: float = 5.0) -> None:
        self.timeout = timeout
        self.end: End = "open"
        self._sent: list[bytes] = []
        self._received = bytearray()
        self._parser = Answers()
        address = to if isinstance(to, tuple) else to.address
        self._socket = socket.create_connection(address, timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close our side."""
        self._socket.close()

    def send(self, *pieces: bytes, half_close: bool = False) -> None:
        """Send the pieces, one after the other, reading what comes meanwhile."""
        deadline = time.monotonic() + self.timeout
        for piece in pieces:
            self._sent.append(piece)
            self._parser.expect(piece)
            rest = memoryview(piece)
            while rest and self.end == "open":
                rest = rest[self._turn(deadline, rest) :]
        if half_close and self.end == "open":
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:  # the peer was faster; reading will tell how
                pass

    def read(self, answers: int | None = None) -> Exchange:
        """Read until there are `answers` whole answers in all, and return the Exchange."""
        deadline = time.monotonic() + self.timeout
        if self.end == "timed out":
            self.end = "open"
        while self.end == "open" and not self._parser.enough(answers):
            self._turn(deadline)
        if self.end in ("closed", "reset"):
            self._parser.finish()
        return self.exchange

    @property
    def exchange(self) -> Exchange:
        """Everything sent and received so far."""
        self._parser.keep_body()
        return Exchange(
            tuple(self._sent), bytes(self._received), self.end, list(self._parser.answers)
        )

    def _turn(self, deadline: float, rest: memoryview | None = None) -> int:
        """Wait until a byte can move, move what can, and return how many bytes were sent."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if rest else 0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, wanted)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        if not ready:
            self.end = "timed out"
            return 0
        try:
            if ready[0][1] & selectors.EVENT_READ:
                self._take(self._socket.recv(65536))
            elif rest:
                return self._socket.send(rest)
        except (ConnectionResetError, BrokenPipeError):
            self.end = "reset"
        except BlockingIOError:  # pragma: no cover - a spurious wake-up
            pass
        return 0

    def _take(self, data: bytes) -> None:
        if data:
            self._received += data
            self._parser.feed(data)
        else:
            self.end = "closed"


def splits(data: bytes, seed: int = 0) -> list[tuple[bytes, ...]]:
    """Return the same bytes whole, by line, by byte, and at random cuts (by `seed`)."""
    cuts = sorted(random.Random(seed).sample(range(1, max(2, len(data))), min(5, len(data) // 2)))
    edges = [0, *cuts, len(data)]
    return [
        (data,),
        tuple(data.splitlines(keepends=True)),
        tuple(bytes([byte]) for byte in data),
        tuple(data[start:stop] for start, stop in zip(edges, edges[1:], strict=False)),
    ]

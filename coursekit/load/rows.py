"""What a row of the conformance score is made of: what is sent, what is right, by which clause.

A row never raises for what a server does: whatever comes back is turned into a verdict and a few
words that fit into a table, the same words on every run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import create_connection, socket

from coursekit.live import wire
from coursekit.live.answers import Answer
from coursekit.live.wire import Connection, Exchange

Judge = Callable[[Exchange], bool]
Tell = Callable[[Exchange], str]

PATIENCE = 1.0  # seconds a server has for an answer: each takes milliseconds, or for ever
SECOND_PATIENCE = 2.0  # for a second try, so that a busy machine is not held against a server
LINGER = 0.3  # seconds in which a server that is going to close has closed


@dataclass(frozen=True)
class Peer:
    """Be the server that is judged: where it is, and how long it may take."""

    address: tuple[str, int]
    patience: float = PATIENCE

    def connect(self) -> Connection:
        """Open a connection for several turns."""
        return Connection(self.address, timeout=self.patience)

    def ask(self, *pieces: bytes) -> Exchange:
        """Send pieces on a connection of their own and return the Exchange."""
        return wire.send(self.address, *pieces, timeout=self.patience)

    def plain(self) -> socket:
        """Open a plain socket, for what comes before an answer is whole."""
        return create_connection(self.address, self.patience)

    def receive(self, sock: socket, mark: bytes) -> bytes:
        """Receive until `mark` is in it; raise TimeoutError, or LookupError if the stream ends."""
        data, deadline = b"", time.monotonic() + self.patience
        while mark not in data:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            piece = sock.recv(65536)
            if not piece:
                raise LookupError(f"the connection ended before {mark!r}")
            data += piece
        return data

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds; return False if it does not in time."""
        deadline = time.monotonic() + self.patience
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


@dataclass(frozen=True)
class Verdict:
    """Hold what one server did in one row."""

    row: Row | Play
    passed: bool
    came: str


@dataclass(frozen=True)
class Row:
    """Send pieces over one connection and judge the Exchange."""

    name: str
    pieces: tuple[bytes, ...]
    right: str
    clause: str
    judge: Judge
    closing: bool = False  # the connection has to end too: wait a moment for it
    half_close: bool = False  # if nothing comes for half of the time, end our direction
    tell: Tell | None = None
    shown: bool = False  # there is more than one right answer: the matrix says which came

    def run(self, peer: Peer) -> Verdict:
        """Play the row against a server."""
        try:
            exchange = self.talk(peer)
        except OSError as error:
            return Verdict(self, False, f"no connection: {type(error).__name__}")
        # A row's own words are about its answer: without one, say how the connection ended.
        came = (exchange.answers and self.tell or describe)(exchange)
        if self.closing and exchange.answers and exchange.end == "timed out":
            came += ", stays open"
        return Verdict(self, bool(exchange.answers) and self.judge(exchange), came)

    def talk(self, peer: Peer) -> Exchange:
        """Send the pieces, read what comes, and look whether the connection ends."""
        with peer.connect() as connection:
            connection.send(*self.pieces)
            connection.timeout = peer.patience * (0.5 if self.half_close else 1.0)
            exchange = connection.read()
            if self.half_close and exchange.end == "timed out":
                # Not earlier: a proxy takes the end of our direction for a client that left.
                connection.end = "open"
                connection.send(half_close=True)
                exchange = connection.read()
            if self.closing and exchange.end == "open":
                connection.timeout = LINGER
                exchange = connection.read(len(exchange.answers) + 1)
            return exchange


@dataclass(frozen=True)
class Play:
    """Run a function against the server, for what one exchange cannot show.

    `act` returns the words for the table; the row is passed if they are `good`.
    """

    name: str
    act: Callable[[Peer], str]
    right: str
    clause: str
    good: str = "yes"

    def run(self, peer: Peer) -> Verdict:
        """Play the row against a server."""
        try:
            came = self.act(peer)
        except TimeoutError:
            came = "waits"
        except (OSError, LookupError, ValueError) as error:
            came = f"no answer: {type(error).__name__}"
        return Verdict(self, came == self.good, came)


# --- to write requests with -----------------------------------------------------------


def request(first: str, *lines: str, body: bytes = b"", host: str = "Host: x") -> bytes:
    """Return a request: its first line without the version if that is 1.1, headers, body."""
    line = first if " HTTP/" in first else f"{first} HTTP/1.1"
    return "\r\n".join([line, *([host] if host else []), *lines, "", ""]).encode("latin-1") + body


def get(path: str, *lines: str) -> bytes:
    """Return a GET request."""
    return request(f"GET {path}", *lines)


# --- to judge with --------------------------------------------------------------------


def describe(exchange: Exchange) -> str:
    """Say in a few words what came back."""
    if not exchange.answers:
        return {"closed": "closes", "reset": "resets"}.get(exchange.end, "waits")
    return " + ".join(map(_short, exchange.answers))


def _short(answer: Answer) -> str:
    if not answer.status:
        return "not HTTP"
    if not answer.complete:
        return f"{answer.status} cut off"
    return f"{answer.status}"


def is_500(exchange: Exchange) -> bool:
    """Tell whether the one answer is a complete 500."""
    first = exchange.answers[0]
    return len(exchange.answers) == 1 and first.status == 500 and first.complete


def refused(*statuses: int) -> Judge:
    """Return a judge that wants one answer with one of the statuses, then the end."""

    def judge(exchange: Exchange) -> bool:
        only = len(exchange.answers) == 1 and exchange.answers[0].status in statuses
        return only and exchange.end in ("closed", "reset")

    return judge


def body_is(body: bytes, status: int = 200) -> Judge:
    """Return a judge that wants one complete answer with this body."""

    def judge(exchange: Exchange) -> bool:
        first = exchange.answers[0]
        return first.status == status and first.body == body and first.complete

    return judge


def body_has(part: bytes) -> Judge:
    """Return a judge that wants one complete 200 with `part` in its body."""
    return lambda exchange: exchange.status == 200 and part in exchange.answer.body


def statuses(*wanted: int) -> Judge:
    """Return a judge that wants complete answers with just these statuses, in order."""

    def judge(exchange: Exchange) -> bool:
        return [a.status for a in exchange.answers if a.complete] == list(wanted)

    return judge


def cut_off(exchange: Exchange) -> bool:
    """Tell whether the client can see that the answer is not whole, and need not wait for it."""
    answer = exchange.answers[0]
    return answer.status == 200 and not answer.complete and exchange.end in ("closed", "reset")

"""Bytes from a server, cut into answers: tolerant, because servers break rules.

h11 does the parsing. An answer that h11 refuses is described in `Answer.problem`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import h11

BIG = 2**24  # bytes of head or chunk line that we accept: the servers' limits matter, not ours


@dataclass
class Answer:
    """Hold one response: status, reason, headers and body as they came.

    `interim` holds the statuses of 1xx responses before it. `problem` is empty for a
    complete and legal answer, else it says what is wrong.
    """

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    version: bytes = b"1.1"
    body: bytes = b""
    interim: tuple[int, ...] = ()
    complete: bool = False
    problem: str = ""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever its case, or None."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """Return every value of a header in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    @property
    def text(self) -> str:
        """The body as UTF-8, with marks where it is not."""
        return self.body.decode("utf-8", "replace")

    @property
    def closes(self) -> bool:
        """True if the answer says that the connection will be closed after it."""
        options = ",".join(self.all("connection")).lower()
        return "close" in options or (self.version == b"1.0" and "keep-alive" not in options)


class Answers:
    """Cut a stream of received bytes into answers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._asked = bytearray()
        self._methods: list[bytes] | None = None
        self._h11: h11.Connection | None = None
        self._interim: tuple[int, ...] = ()
        self._body = bytearray()  # of the last answer; bytes += would copy it each time

    def expect(self, piece: bytes) -> None:
        """Note what was asked: HEAD has no body in its answer."""
        self._asked += piece
        self._methods = None

    @property
    def asked(self) -> list[bytes]:
        """The methods of the requests sent so far."""
        if self._methods is None:
            self._methods = methods(bytes(self._asked))
        return self._methods

    def enough(self, wanted: int | None) -> bool:
        """Say whether all wanted answers are here, and none announced an end to wait for."""
        if wanted is None:
            wanted = max(1, len(self.asked))
        if wanted == 0:
            return True
        if len(self.answers) < wanted or not self.answers[-1].complete:
            return False
        # 101 changes the protocol: no more HTTP answers can be counted.
        return not self.answers[-1].closes or self.answers[-1].status == 101

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        while True:
            if self._h11 is None:
                if not data or (self.answers and not self.answers[-1].complete):
                    return
                self._h11 = self._ask()
            rest = self._step(self._h11, data)
            if rest is None:
                return
            self._h11, data = None, rest

    def finish(self) -> None:
        """Tell the parser that no byte will follow."""
        if self._h11 is not None:
            self._step(self._h11, b"")
            self._h11 = None

    def keep_body(self) -> None:
        """Give the last answer the body that came so far."""
        if self.answers and self._body:
            self.answers[-1].body = bytes(self._body)
        if self.answers and self.answers[-1].complete:
            self._body.clear()

    def _ask(self) -> h11.Connection:
        turn = len(self.answers)
        asked = self.asked[turn] if turn < len(self.asked) else b"GET"
        # These two alone change how an answer is read, and h11 sends no method of odd letters.
        method = asked if asked in (b"HEAD", b"CONNECT") else b"GET"
        headers = [(b"host", b"x")]
        if re.search(rb"\r\nupgrade:", bytes(self._asked), re.I):
            headers += [(b"upgrade", b"x"), (b"connection", b"upgrade")]
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=BIG)
        connection.send(h11.Request(method=method, target=b"/", headers=headers))
        connection.send(h11.EndOfMessage())
        return connection

    def _step(self, connection: h11.Connection, data: bytes) -> bytes | None:
        """Feed h11; return the bytes after a whole answer, or None if more are needed."""
        try:
            connection.receive_data(data)
            for event in iter(connection.next_event, h11.NEED_DATA):
                if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    break
                self._note(event)
                if isinstance(event, h11.EndOfMessage):
                    return connection.trailing_data[0]
        except h11.RemoteProtocolError as error:
            self._refuse(str(error))
        return None

    def _note(self, event: Any) -> None:
        if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            self._interim += (event.status_code,)
        elif isinstance(event, (h11.Response, h11.InformationalResponse)):
            headers = [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
            self.answers.append(
                Answer(event.status_code, bytes(event.reason), headers, bytes(event.http_version))
            )
            self.answers[-1].interim, self._interim = self._interim, ()
            self.answers[-1].complete = event.status_code == 101
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self.answers[-1].complete = True
            self.keep_body()

    def _refuse(self, problem: str) -> None:
        if not self.answers or self.answers[-1].complete:
            self.answers.append(Answer(0, b"", []))
        self.answers[-1].problem = self.answers[-1].problem or problem


def methods(sent: bytes) -> list[bytes]:
    """Return the methods of the requests in these bytes, as far as they can be read."""
    found: list[bytes] = []
    while sent:
        found.append((sent[:200].split() or [b"GET"])[0])
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=BIG)
        try:
            connection.receive_data(sent)
            for event in iter(connection.next_event, h11.NEED_DATA):
                if isinstance(event, h11.EndOfMessage):
                    break
            else:
                return found
        except h11.RemoteProtocolError:
            return found  # a refusal ends the connection: nothing after it is answered
        sent = connection.trailing_data[0]
    return found

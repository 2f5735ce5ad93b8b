"""Load from many clients at once, each answer checked: a closed loop in one asyncio process.

Each client sends, waits for its whole answer, compares the body, and sends again. Used where wrk is
not installed, and where it cannot go (a body to compare). It is slower than wrk by far, so whoever
uses it has to look at who was the bottleneck (`bench` does).

Run as a program it prints one line of JSON, so that its CPU time can be told from the server's:
    python -m coursekit.load.client HOST PORT SECONDS CLIENTS < request, expected body, opening
(each in base64 and on a line; the opening of a WebSocket may be missing: then it is HTTP).
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
LAST_CHUNK = b"\r\n0\r\n\r\n"


class NotThere(Exception):
    """Say that the answer is not complete yet."""


def unchunk(data: bytes) -> bytes:
    """Return the body that the chunks in `data` carry; raise NotThere while the last is missing."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            raise NotThere
        size = int(data[at:line_end].split(b";")[0], 16)
        at = line_end + 2
        if len(data) < at + size + 2:
            raise NotThere
        if size == 0:
            return b"".join(parts)
        parts.append(data[at : at + size])
        at += size + 2


def read_answer(data: bytes, ended: bool) -> tuple[int, bytes, bool]:
    """Return (status, body, does the server close?) of one whole answer, or raise NotThere."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        raise NotThere
    head, body = data[:head_end], data[head_end + 4 :]
    status = int(head[9:12])
    closes = bool(CLOSES.search(head)) or head.startswith(b"HTTP/1.0")
    if CHUNKED.search(head):
        # Looking at the end first keeps a long stream from being decoded at every packet.
        if not body.endswith(LAST_CHUNK[2:]):
            raise NotThere
        return status, unchunk(body), closes
    if length := LENGTH.search(head):
        if len(body) < int(length[1]):
            raise NotThere
        return status, body, closes
    if not ended:
        raise NotThere
    return status, body, True


@dataclass
class Load:
    """Count what a load generator saw."""

    answers: int = 0
    seconds: float = 0.0
    errors: int = 0  # connections refused, reset, or ended inside an answer
    wrong: int = 0  # answers with another status than 200 or another body than expected
    waits: list[float] = field(default_factory=list)  # seconds for each answer, when measured


class Client(asyncio.Protocol):
    """Send one request after the other on one connection, and connect again when it closes."""

    def __init__(self, run: Run) -> None:
        self.run, self.data, self.waiting = run, bytearray(), False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.run.open.add(self)
        if self.run.opening:
            self.transport.write(self.run.opening)
        else:
            self.ask()

    def ask(self) -> None:
        """Send the next request while there is time."""
        assert self.transport
        self.waiting = not self.run.over.is_set()
        if self.waiting:
            self.data.clear()
            self.transport.write(self.run.request)
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Collect an answer, compare it, ask again."""
        self.data += data
        if self.run.opening:
            return self.hear()
        try:
            status, body, closes = read_answer(bytes(self.data), ended=False)
        except NotThere:
            return
        self.finish(status, body)
        if closes and self.transport:
            self.transport.close()
        else:
            self.ask()

    def hear(self) -> None:
        """Collect the answer to the opening, then frames."""
        if self.waiting and len(self.data) >= len(self.run.expected):
            self.finish(200, bytes(self.data))
            self.ask()
        elif not self.waiting and self.data.endswith(b"\r\n\r\n"):
            self.ask()

    def finish(self, status: int, body: bytes) -> None:
        """Count one answer."""
        self.waiting = False
        self.run.load.answers += 1
        self.run.load.wrong += status != 200 or body != self.run.expected

    def connection_lost(self, error: Exception | None) -> None:
        """Take the end of the connection as the end of the answer where the answer says so."""
        self.run.open.discard(self)
        if self.waiting and not self.run.over.is_set():
            try:
                self.finish(*read_answer(bytes(self.data), ended=not error)[:2])
            except NotThere:
                self.run.load.errors += 1
        self.run.lost()


class Run:
    """Hold what all clients of one run share."""

    def __init__(
        self, host: str, port: int, request: bytes, expected: bytes, opening: bytes = b""
    ) -> None:
        self.host, self.port, self.request, self.expected = host, port, request, expected
        self.opening = opening  # of a WebSocket
        self.load, self.over = Load(), asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.open: set[Client] = set()

    def lost(self) -> None:
        """Replace a connection that ended."""
        if not self.over.is_set():
            task = asyncio.get_running_loop().create_task(self.connect())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def connect(self) -> None:
        """Open one connection; a refused one is an error, and is tried again a little later."""
        loop = asyncio.get_running_loop()
        while not self.over.is_set():
            try:
                await loop.create_connection(lambda: Client(self), self.host, self.port)
                return
            except OSError:
                self.load.errors += 1
                await asyncio.sleep(0.05)

    async def go(self, seconds: float, clients: int) -> Load:
        """Run `clients` closed loops for `seconds`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(clients):
            self.lost()
        await asyncio.sleep(seconds)
        self.over.set()
        self.load.seconds = loop.time() - began
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.open:
            if client.transport:
                client.transport.abort()
        while self.open:  # each is told in a turn of the loop of its own
            await asyncio.sleep(0)
        return self.load


def closed(
    host: str, port: int, request: bytes, expected: bytes, opening: bytes = b"", *,
    seconds: float, clients: int,
) -> Load:  # fmt: skip
    """Drive a server with `clients` closed loops for `seconds` and check every body."""
    return asyncio.run(Run(host, port, request, expected, opening).go(seconds, clients))


def main() -> None:
    """Read the request and the expected body from stdin, run, print the counts as JSON."""
    host, port, seconds, clients = sys.argv[1:5]
    parts = [base64.b64decode(line) for line in sys.stdin.read().split()]
    load = closed(host, int(port), *parts, seconds=float(seconds), clients=int(clients))
    print(json.dumps(vars(load)))


if __name__ == "__main__":
    main()

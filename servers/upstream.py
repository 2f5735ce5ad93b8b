"""The server behind the proxy, and what it takes to talk to it: sockets that never block.

Rule 1  A wait is a `poll`, with its limit, and the stop wakes it.
Rule 2  A reused connection may be dead already: who takes one must be ready for that.
"""

import logging
import select
import socket
import threading
import time
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass

from servers.http11 import Limits
from servers.service import Times, wait

RECV = 64 * 1024
SPARE = 8  # idle connections to the upstream that are kept


class UpstreamError(Exception):
    """Say how the upstream failed; `status` is the answer that tells the client (RFC 9110 15.6)."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class Side:
    """Hold a socket that never blocks, and the bytes that its peer has not taken yet."""

    __slots__ = ("deaf", "ending", "eof", "out", "since", "sock")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # macOS refuses on a connection that was reset meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.out = sock, bytearray()
        self.eof = False  # it sends no more
        self.ending = False  # it is told that no more comes, once `out` is sent
        self.deaf = False  # it takes no more
        self.since = 0.0  # when it became idle

    def receive(self) -> bytes | None:
        """Return what has arrived, b"" for the end, None for nothing; raise OSError."""
        try:
            data = self.sock.recv(RECV)
        except BlockingIOError:
            return None
        self.eof = not data
        return data

    def put(self, data: bytes) -> None:
        if not self.deaf:
            self.out += data

    def flush(self) -> None:
        """Send what the peer takes now. Whether it still answers is for `receive` to find."""
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
            if self.ending:
                self.ending = False
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.deaf = True
            self.out.clear()


class Upstream:
    """Know where the upstream is, and keep a few idle connections to it."""

    def __init__(self, address: tuple[str, int], patience: float, idle: float) -> None:
        self.address, self.patience, self.idle = address, patience, idle
        name, port = address
        self.host = f"[{name}]:{port}".encode() if ":" in name else f"{name}:{port}".encode()
        self.spare: list[Side] = []  # the oldest first
        self.guard = threading.Lock()

    def connect(self) -> Side:
        """Return a new connection; raise UpstreamError."""
        try:
            return Side(socket.create_connection(self.address, self.patience))
        except TimeoutError as error:
            raise UpstreamError("the upstream takes no connection", 504) from error
        except OSError as error:
            raise UpstreamError("the upstream cannot be reached") from error

    def take(self) -> Side | None:
        """Return an idle connection, or None.

        One that can be read is closed, or sends what nobody asked for. To look is not enough:
        the upstream may close while our request is on its way. That is Rule 3's case.
        """
        self.sweep()
        with self.guard:
            while self.spare:
                side = self.spare.pop()
                if not wait(side.sock, select.POLLIN, 0):
                    return side
                side.sock.close()
        return None

    def give(self, side: Side) -> None:
        """Keep a connection for another request."""
        side.since = time.monotonic()
        with self.guard:
            self.spare.append(side)
        self.sweep()

    def sweep(self, most: int = SPARE) -> None:
        """Close those that are idle too long, and the oldest if there are too many."""
        with self.guard:
            old = time.monotonic() - self.idle
            while len(self.spare) > most or (self.spare and self.spare[0].since < old):
                self.spare.pop(0).sock.close()


@dataclass(slots=True)
class Shared:
    """Hold what all connections of one proxy share."""

    upstream: Upstream
    stop: socket.socket | None
    limits: Limits
    times: Times
    log: logging.Logger
    trusted: Container[str]
    stopping: bool = False  # each answer from now on says Connection: close
    deadline: float = float("inf")  # of the graceful stop

    def poll(self, wanted: dict[socket.socket, int], seconds: float) -> dict[int, int]:
        """Wait for events at sockets, or for the stop to begin; return {} if it is too late."""
        poll = select.poll()
        for sock, events in wanted.items():
            poll.register(sock, events)
        if self.stop is not None and not self.stopping:
            poll.register(self.stop, select.POLLIN)
        left = min(seconds, self.deadline - time.monotonic())
        ready = dict(poll.poll(max(0.0, left) * 1000))
        if not self.stopping and self.stop is not None and self.stop.fileno() in ready:
            self.deadline = time.monotonic() + self.times.stop
            self.stopping = True
        return ready

"""What the connections of one server share: its app, its limits and times, its log.

And the answers that need no app: to a peer that broke a rule, or when the app failed.
"""

import logging
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from wsgiref.types import WSGIApplication

from servers.http11 import LIMITS, Limits, encode_head
from servers.wsgi import Environ

LOG = logging.getLogger("servers")


class Disconnected(ConnectionError):
    """Say that the peer has left, or does not read: nobody is there to be answered."""


@dataclass(frozen=True, slots=True)
class Times:
    """Bound every wait, in seconds. Precedents: nginx 60 and 75, Gunicorn 30 for the stop."""

    head: float = 10.0  # from a head's first byte to its last; then 408
    idle: float = 75.0  # between two requests; then the connection is closed
    io: float = 30.0  # for the next piece of a body, in or out; then it is broken off
    linger: float = 2.0  # for the peer to read a last answer
    stop: float = 30.0  # for the requests in flight when the server stops
    quiet: float = 0.0  # for an idle connection to ask once more when the server stops


TIMES = Times()


@dataclass(slots=True)
class Service:
    """Hold what all connections of one server share."""

    app: WSGIApplication
    base: Environ
    limits: Limits = LIMITS
    times: Times = TIMES
    log: logging.Logger = LOG
    stopping: bool = False  # each answer from now on says Connection: close
    # Called with a connection that has bytes for a slow peer, when it is the app's turn to go on.
    spooled: Callable[[Any], None] = lambda connection: None

    def goes_on(self) -> bool:
        """Tell whether a connection can be kept for another request."""
        return not self.stopping


def date_field() -> bytes:
    """Return the Date field line of this second (RFC 9110 6.6.1)."""
    global _date, _second
    now = time.time()
    if not _second <= now < _second + 1:
        _second = int(now)
        _date = f"Date: {formatdate(_second, usegmt=True)}\r\n".encode()
    return _date


_date, _second = b"", 0


def error_answer(status: int, message: str) -> tuple[bytes, bytes]:
    """Return head and body of an answer that says what went wrong and closes the connection."""
    line = f"{status} {HTTPStatus(status).phrase}"
    body = f"{line}: {message}\n".encode()
    fields = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Connection", b"close"),
    ]
    if status == 426:  # RFC 9110 15.5.22, RFC 6455 4.4: say what would be right
        fields += [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13")]
        fields += [(b"Connection", b"Upgrade")]
    return encode_head(line.encode(), fields)[:-2] + date_field() + b"\r\n", body


def wait(sock: socket.socket, event: int, seconds: float) -> bool:
    """Wait until `sock` is ready for select.POLLIN or POLLOUT; False if it is too late."""
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(seconds * 1000))

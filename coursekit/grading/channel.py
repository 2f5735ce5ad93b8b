"""The judge's end of the socket to an answer process: a request out, a reply back.

A message is eight bytes of length, then the repr of plain data. What comes back was written by
hostile code, perhaps: it is bounded, and read by ast.literal_eval alone.
"""

from __future__ import annotations

import ast
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any

LARGEST = 2**21  # bytes of one reply
# Python 3.11 counts the depth of all threads' trees in one place: "recursion depth mismatch".
_one_at_a_time = threading.Lock()


class Died(Exception):
    """The answer process ended by itself, or sent what is no reply."""


def read_plain(text: str) -> Any:
    """Return the plain data that a text stands for; ValueError, SyntaxError ... if it does not."""
    with _one_at_a_time:
        return ast.literal_eval(text)


class Channel:
    """Hold the socket; every call blocks for `timeout` seconds at most, then TimeoutError."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._socket = sock
        self.wait(timeout)

    def wait(self, seconds: float) -> None:
        """Allow this much for each part of the next exchanges."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Close it: the answer process leaves then, if it can."""
        self._socket.close()

    def exchange(
        self, request: tuple[Any, ...], sockets: Iterable[socket.socket]
    ) -> tuple[Any, ...]:
        """Send a request and sockets; return the reply (kind, value, notes), or raise Died."""
        data = repr(request).encode()
        read_plain(data.decode())  # a check that sends more than plain data is told here
        head = struct.pack("!Q", len(data))
        try:
            socket.send_fds(self._socket, [head], [one.fileno() for one in sockets])
            self._socket.sendall(data)
            size = struct.unpack("!Q", self._receive(8))[0]
            if size > LARGEST:
                raise Died
            kind, value, notes = read_plain(self._receive(size).decode())
        except TimeoutError:
            raise
        except (OSError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise Died from None
        return kind, value, notes

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self._socket.recv(min(65536, size - len(data)))
            if not more:
                raise Died
            data += more
        return bytes(data)

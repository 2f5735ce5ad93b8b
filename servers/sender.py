"""The way out of a connection: bytes leave at once, or with others', or when the peer reads.

Rule 1  Bytes leave in the order in which they were given, wherever they wait meanwhile.
Rule 2  What the peer does not take waits in a Spool, and whoever watches the sockets may send
        it while the app works (PEP 3333, Buffering and Streaming): `lock` keeps the two apart.
"""

import select
import socket
import threading

from servers.service import Disconnected, Service, wait
from servers.spool import Spool

PIECE = 64 * 1024  # of a spool at once, and the most that is held
UNSENT = 256 * 1024  # of an answer that the peer does not take: in memory, the rest goes to disk
ON_DISK = 256 * 1024 * 1024  # so much of it, and the app has to wait too
PATIENCE = 0.1  # seconds for a reader to move before it counts as slow


class Sender:
    """Send to one peer. The socket never blocks: where a wait is needed, `wait` stands there."""

    __slots__ = ("held", "lock", "service", "slow", "sock", "unsent")

    def __init__(self, sock: socket.socket, service: Service) -> None:
        self.sock, self.service = sock, service
        self.held = b""  # the end of an answer, which leaves with those of other connections
        self.unsent: Spool | None = None  # what the peer has not taken yet
        self.lock = threading.Lock()  # over what is in it
        self.slow = False  # the peer does not read: do not wait for it

    def hold(self, data: bytes) -> None:
        """Keep the end of an answer until `push` or the next send, if it is not much."""
        self.held += data
        if self.unsent or len(self.held) > PIECE:
            self.push()

    def push(self) -> None:
        """Send what is held."""
        if self.held:
            self.send(b"")

    def send(self, data: bytes) -> None:
        """Send, after what is held; what the peer does not take waits in `unsent`."""
        if self.held:
            data, self.held = self.held + data, b""
        if self.unsent:
            return self.spool(data)
        sent = self.send_some(data)
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while len(rest) > UNSENT and self.moves():
                rest = rest[self.send_some(rest) :]
            self.spool(rest)

    def spool(self, data: bytes | memoryview) -> None:
        """Let bytes wait for the peer; wait with them if it reads, or if they are too many."""
        with self.lock:
            if self.unsent is None:
                self.unsent = Spool(UNSENT)
            self.unsent.put(data)
        self.service.spooled(self)
        while len(self.unsent) > UNSENT and self.moves():
            self.flush()

    def moves(self) -> bool:
        """Wait for a reader a little; False if it is slow, and a file has to wait for it."""
        self.slow = not wait(self.sock, select.POLLOUT, 0 if self.slow else PATIENCE)
        if self.slow and self.unsent and len(self.unsent) > ON_DISK:
            if not wait(self.sock, select.POLLOUT, self.service.times.io):
                raise Disconnected("the peer does not read")
            self.slow = False
        return not self.slow

    def flush(self) -> None:
        """Send of `unsent` what the peer takes now."""
        with self.lock:
            while self.unsent:
                piece = self.unsent.peek(PIECE)
                sent = self.send_some(piece)
                self.unsent.drop(sent)
                if sent < len(piece):
                    return

    def send_some(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Disconnected(str(error)) from error

    def drop(self) -> None:
        """Forget what has not left."""
        with self.lock:
            if self.unsent is not None:
                self.unsent.close()
                self.unsent = None

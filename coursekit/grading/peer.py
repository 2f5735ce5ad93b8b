"""The other end of a socket that a check hands to the learner's function.

A piece is sent when the one before it was taken, so that two pieces never arrive as one: an
answer that reads once gets one piece, on every machine. What comes back is kept.
"""

from __future__ import annotations

import array
import fcntl
import select
import socket
import termios
import threading
import time

PATIENCE = 0.25  # seconds after which a piece that nobody takes is followed by the next


class Peer:
    """Bring pieces over a connected socket; `end` closes this direction after the last one."""

    def __init__(self, pieces: tuple[bytes, ...], *, end: bool) -> None:
        self._pieces, self._end = list(pieces), end
        self._name = f"<socket: {', then '.join(map(repr, pieces)) or 'silent'}>"
        self._received = bytearray()
        self._ours, self.theirs = socket.socketpair()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def __repr__(self) -> str:
        return self._name

    @property
    def received(self) -> bytes:
        """What the answer sent; waits until it has closed the socket or its call has ended."""
        if self._thread:
            self._thread.join()
        return bytes(self._received)

    def begin(self, deadline: float) -> socket.socket:
        """Start to bring the pieces, until `deadline` (time.monotonic); return the answer's end."""
        theirs = self.theirs.dup()
        self._thread = threading.Thread(target=self._talk, args=(deadline,), daemon=True)
        self._thread.start()
        return theirs

    def over(self) -> None:
        """Tell that the call has ended: nobody will take another piece."""
        self._over.set()

    def _talk(self, deadline: float) -> None:
        with self._ours:
            self._ours.setblocking(False)
            waited = 0.0
            while time.monotonic() < deadline:
                if self.theirs.fileno() >= 0:
                    waited = self._bring(waited)
                readable, _, _ = select.select([self._ours], [], [], 0.0005)
                if readable and not self._take():
                    break
        self.theirs.close()

    def _bring(self, waited: float) -> float:
        """Send the next piece if the last one was taken; return since when one lies there."""
        now = time.monotonic()
        if self._over.is_set():
            self.theirs.close()
            return 0.0
        if _unread(self.theirs) and now - (waited or now) < PATIENCE:
            return waited or now
        try:
            if self._pieces:
                sent = self._ours.send(self._pieces[0])
                self._pieces[0] = self._pieces[0][sent:]
                if not self._pieces[0]:
                    self._pieces.pop(0)
                return 0.0
        except BlockingIOError:
            return waited
        except OSError:
            self._pieces.clear()
        if self._end:
            self._ours.shutdown(socket.SHUT_WR)
        self.theirs.close()  # from now on the answer alone holds its end
        return 0.0

    def _take(self) -> bool:
        try:
            data = self._ours.recv(65536)
        except OSError:
            return False
        self._received += data
        return bool(data)


def _unread(sock: socket.socket) -> int:
    """Return how many bytes lie in a socket, not yet read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]

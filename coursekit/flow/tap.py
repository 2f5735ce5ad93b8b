"""A relay on the wire: it passes bytes both ways and notes what went by, and when.

Rule 1  What one side does, the other side sees: bytes, half-close (FIN) and reset (RST).
Rule 2  Every note is stamped by time.monotonic_ns, which all processes of one machine share
        (Linux CLOCK_MONOTONIC, macOS mach_absolute_time), so notes of an app in another
        process can be merged with these.
Rule 3  Nothing outlives stop(): no socket, no thread.
Rule 4  Memory is bounded: after KEPT bytes it still relays, but notes no more; `full` says so.

What a relay cannot do: the server sees the relay's port, not the client's; a connection is
accepted here before the server is asked, so a refusal reaches the client as a reset; close() and
a half-close are both a FIN, and only what comes later tells them apart; a reset overtakes bytes
that are still under way; urgent data, TCP options and packet borders are lost. tcpdump sees those.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Address = tuple[str, int]

KEPT = 16 * 2**20  # bytes that are noted
COST = 200  # bytes that a note takes beside its data

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close() sends RST


@dataclass(frozen=True)
class Wire:
    """Hold one thing seen on a connection; time in ns of time.monotonic_ns."""

    time: int
    connection: int  # counted from 1
    sender: str  # "client" or "server"
    kind: str  # "connect", "data", "eof", "reset", "refused"
    data: bytes = b""
    port: int = 0  # on "connect": the port that the server sees as its client's


class Tap:
    """Listen on loopback and relay each connection to `target`; use it in a `with`."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self.full = False
        self._room = KEPT
        self._connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self.listener.getsockname()[:2]
        self._events: list[Wire] = []
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._woken, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="tap", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Tap":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def events(self) -> list[Wire]:
        """Return what was seen so far, oldest first."""
        with self._lock:
            return list(self._events)

    def wait(self, seconds: float) -> bool:
        """Wait until every connection has ended on both sides; return whether it has."""
        deadline = time.monotonic() + seconds
        with self._lock:
            links = list(self._links)
        for link in links:
            for thread in link.threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for link in links for thread in link.threads)

    def stop(self) -> None:
        """End every connection and thread; a second call does nothing."""
        if self._waker.fileno() < 0:
            return
        self._waker.close()
        self._thread.join()
        for sock in (self.listener, self._woken):
            sock.close()
        for link in self._links:
            link.stop()

    def _note(self, connection: int, sender: str, kind: str, data: bytes = b"", port: int = 0
              ) -> None:
        with self._lock:  # the clock is read inside, so that the list is in order of time
            now = time.monotonic_ns()
            self._room -= COST + len(data)
            self.full = self.full or self._room < 0  # once full, or a gap would be hidden
            if not self.full:
                self._events.append(Wire(now, connection, sender, kind, data, port))

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([self.listener, self._woken], [], [])
            if self._woken in ready:
                return
            client, _ = self.listener.accept()
            self._connections += 1
            number = self._connections
            try:
                server = socket.create_connection(self.target)
            except OSError:
                self._note(number, "server", "refused")
                _abort(client)
                continue
            self._note(number, "client", "connect", port=server.getsockname()[1])
            with self._lock:  # wait() shall not miss a link whose threads run already
                self._links = [link for link in self._links if link.left]
                self._links.append(_Link(number, client, server, self._note))


class _Link:
    """Pump one connection, with a thread for each direction.

    Two threads, for a client and a server may both be busy sending: one thread that waits in a
    send would not be reading, and would stop a pair that runs well without the tap.
    """

    def __init__(self, number: int, client: socket.socket, server: socket.socket,
                 note: Callable[..., None]) -> None:
        self.number, self.note = number, note
        self.sockets = {"client": client, "server": server}
        for sock in self.sockets.values():
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reset_by = ""
        self.stopped = False
        self.left = len(self.sockets)
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self._pump, args=pair, name=f"tap-{number}", daemon=True)
            for pair in (("client", "server"), ("server", "client"))
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopped = True
        for sock in self.sockets.values():
            _shutdown(sock, socket.SHUT_RDWR)  # wakes a thread that waits in recv or send
        for thread in self.threads:
            thread.join()

    def _pump(self, source: str, target: str) -> None:
        try:
            self._relay(source, target)
        finally:
            with self.lock:
                self.left -= 1
                last = not self.left
            if last:
                self._close()

    def _relay(self, source: str, target: str) -> None:
        here, there = self.sockets[source], self.sockets[target]
        while True:
            try:
                data = here.recv(65536)
            except OSError:
                self._reset(source, there)
                return
            if self.stopped or self.reset_by:
                return
            if not data:
                self.note(self.number, source, "eof")
                _shutdown(there, socket.SHUT_WR)
                return
            self.note(self.number, source, "data", data)
            try:
                there.sendall(data)
            except OSError:
                self._reset(target, here)
                return

    def _reset(self, by: str, other: socket.socket) -> None:
        with self.lock:
            if self.stopped or self.reset_by:
                return
            self.reset_by = by
        self.note(self.number, by, "reset")
        # Sends nothing, but wakes the other pump: while it waits in recv, close() sends no RST.
        _shutdown(other, socket.SHUT_RD)

    def _close(self) -> None:
        for name, sock in self.sockets.items():
            if self.reset_by and name != self.reset_by:
                _abort(sock)
            sock.close()


def _shutdown(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        pass  # the other side has gone already: there is nobody left to tell


def _abort(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()

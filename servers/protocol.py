"""One client's connection on the loop: bytes come in, requests are answered in order.

Rule 1  Requests are read one at a time: the next one when the answer before it is complete.
Rule 2  Neither side may fill our memory: we stop reading when the app does not receive, and
        send waits when the peer does not read.
Rule 3  A connection is closed so that the peer reads the answer first (RFC 9112 9.6).
Left out: TLS (a proxy ends it).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, cast

from servers.asgi import PIECE
from servers.cycle import INFINITY, Cycle
from servers.head import ProtocolError, Request, wants_keep_alive
from servers.http11 import END, EOF, Data, Reader
from servers.service import Disconnected, error_answer
from servers.websocket import wants_websocket
from servers.wscycle import WebSocketCycle

if TYPE_CHECKING:
    from servers.serving import Server


class HTTPProtocol(asyncio.Protocol):
    """Serve one client."""

    __slots__ = ("advancing", "closed", "cycle", "deadline", "ends", "full", "held", "last",
                 "paused", "reader", "server", "transport", "unsent")  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.reader = Reader(server.limits)
        self.cycle: Cycle | None = None  # the request that is being read or answered
        self.advancing = False  # `advance` runs further up: it goes on with the next request
        self.paused = False  # we do not read
        self.held = b""  # the end of an answer, which leaves with those of other connections
        self.full = False  # the peer does not: the transport holds enough
        self.unsent = 0  # bytes that it held when the deadline passed
        self.last = False  # the last answer is out: drop what comes, until the peer closes
        self.closed = False  # the transport is closing, or is closed
        self.give(server.times.head)

    def give(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds  # by then the peer has to do something

    def idle(self) -> bool:
        return self.cycle is None and self.reader.empty() and not self.last

    # --- what the loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(PIECE)
        if hasattr(transport, "max_size"):
            # For asyncio's own 256 KiB malloc may ask the kernel, anew for each recv: that
            # takes more time than the recv.
            transport.max_size = PIECE
        names = (self.transport.get_extra_info(name) for name in ("peername", "sockname"))
        client, server = (name[:2] if isinstance(name, tuple) else None for name in names)
        self.ends = client, server
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.last:
            return
        fresh = self.cycle is None and self.reader.empty()
        self.reader.feed(data)
        self.advance()
        if self.cycle is not None:
            self.regulate()
        elif fresh and not self.reader.empty():  # its time runs from the first byte on
            self.give(self.server.times.head)

    def eof_received(self) -> bool:
        """Keep our direction open: a peer that sends no more may still read (RFC 9112 9.6)."""
        self.reader.feed(b"")
        if self.last:
            self.close()
        elif self.cycle is not None and self.cycle.complete:
            self.cycle.leave(shut=False)  # nearly always it has gone; only a reset would prove it
        else:
            self.advance()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        self.closed = True
        if self.cycle is not None:
            self.cycle.leave(shut=True)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.cycle is not None:
            self.cycle.wake()
        else:
            self.advance()

    # --- in ---

    def advance(self) -> None:
        """Read on: the body of the request that is being answered, or the next requests."""
        self.advancing = True
        try:
            while self.read():
                pass
        except ProtocolError as error:
            self.refuse(error.status, str(error))
        except Exception as error:
            self.server.log.critical("a bug in the server: %s", error, exc_info=error)
            self.refuse(500, "the server failed; its log says how")
        self.advancing = False

    def read(self) -> bool:
        """Read to the end of a request, or of what is here; True if another may be there."""
        cycle, reader, fresh = self.cycle, self.reader, self.cycle is None
        if cycle is None:
            event = None if self.full else reader.next_event()
            if event is EOF:
                self.close()
            if not isinstance(event, Request):
                return False
            upgrade = b"upgrade" in event.fields and wants_websocket(event)
            cycle = self.cycle = (WebSocketCycle if upgrade else Cycle)(self, event)
            self.deadline = INFINITY
        while not cycle.complete and (event := reader.next_event()):
            if event is END:
                cycle.complete = True
            else:
                assert isinstance(event, Data)
                cycle.feed(event.body)
        if fresh:
            self.begin(cycle)
        else:
            cycle.wake()
        return self.cycle is None and not self.last and (not reader.empty() or reader.eof)

    def begin(self, cycle: Cycle) -> None:
        """Call the app, and let it run up to its first wait."""
        server = self.server
        if server.most and len(server.tasks) >= server.most:
            return self.refuse(503, f"{server.most} requests are being answered, and no more")
        task = server.starter.start(cycle.run())
        if task is not None:
            server.tasks.add(task)
            task.add_done_callback(server.tasks.discard)

    def regulate(self) -> None:
        """Stop reading when enough waits to be received or answered, else go on."""
        pieces = [] if self.cycle is None else self.cycle.pieces
        waiting = len(self.reader.buffer) - self.reader.at + sum(map(len, pieces))
        much = waiting > PIECE and not self.last
        if much and not self.paused:
            self.transport.pause_reading()
        elif self.paused and not much:
            self.transport.resume_reading()
        self.paused = much

    def await_peer(self, cycle: Cycle) -> None:
        """Give the peer its time to send or to take the next piece, if that is what we wait for."""
        waiting = self.full or not cycle.complete
        self.deadline = time.monotonic() + self.server.times.io if waiting else INFINITY

    # --- out ---

    def write(self, data: bytes) -> None:
        """Send, after what is held."""
        if self.held:
            data, self.held = self.held + data, b""
        if data:
            self.transport.write(data)

    def hold(self, data: bytes) -> None:
        """Keep the end of an answer until the loop's turn is over, if it is not much."""
        if self.held or len(data) > PIECE or not self.server.holds(self):
            self.write(data)
        else:
            self.held = data

    def reusable(self) -> bool:
        """Tell, when a head leaves, whether the connection can be kept."""
        cycle = self.cycle
        return not self.server.stopping and cycle is not None and cycle.complete

    def answered(self, cycle: Cycle) -> None:
        """Go on after a complete answer, whatever its app does behind it."""
        self.cycle = None
        if not cycle.answer.keep_alive:
            return self.leave(cycle)
        self.give(self.server.times.idle)
        if not self.advancing and (self.reader.eof or not self.reader.empty()):
            self.server.loop.call_soon(self.advance)
        if self.paused:
            self.regulate()

    def app_failed(self, cycle: Cycle, error: BaseException) -> None:
        """Say so in the log, and answer 500, or break off what was begun."""
        target = cycle.request.target.decode("latin-1")
        if cycle.gone and not cycle.answer.done:
            if not isinstance(error, Disconnected):
                self.server.log.info("the client of %s left, the app raised %r", target, error)
            return self.part(cycle)
        if not self.server.ending:
            self.server.log.error("the app failed on %s: %s", target, error, exc_info=error)
        if self.cycle is cycle:
            cycle.cut()

    def part(self, cycle: Cycle) -> None:
        """Close after an app that leaves its client without an answer, because it has gone."""
        if self.cycle is cycle and not self.last:
            self.close()

    def refuse(self, status: int, message: str) -> None:
        """Answer without the app, if it has not begun to; then it is not heard any more."""
        cycle = self.cycle
        if cycle is not None:
            cycle.leave(shut=True)
            if cycle.answer.sent:
                return self.abort()
        head, body = error_answer(status, message)
        bodiless = cycle is not None and cycle.request.method == b"HEAD"
        self.write(head if bodiless else head + body)
        self.leave(cycle)

    def leave(self, cycle: Cycle | None) -> None:
        """Close, but let the peer read the last answer first.

        RFC 9112 9.6: to close while the peer still sends makes the kernel answer with a
        reset, which can destroy the answer on its way.
        """
        self.last = True
        self.write(b"")
        known = cycle is not None and cycle.complete and not wants_keep_alive(cycle.request)
        if self.closed or self.reader.eof or known:
            return self.close()  # the peer sends no more
        self.give(self.server.times.linger)
        self.transport.write_eof()
        if self.paused:
            self.regulate()

    def close(self) -> None:
        """Close when all is sent."""
        self.last = self.closed = True
        self.write(b"")
        if self.cycle is not None:
            self.cycle.leave(shut=True)
        self.give(self.server.times.io)
        self.transport.close()

    def abort(self) -> None:
        """Close at once, with a reset."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.last = self.closed = True
        self.transport.abort()

    def expire(self) -> None:
        """Do what is right when the deadline has passed: 408 to a slow request, else close."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent != self.unsent:  # it is slow, but it reads
            self.unsent = unsent
            self.give(self.server.times.io)
        elif unsent or self.last:
            self.abort()
        elif self.idle():
            self.close()
        else:
            self.refuse(408, "the request took too long to arrive")

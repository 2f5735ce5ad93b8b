"""A reverse proxy: it takes requests, and passes each on to the one server behind it.

Rule 1  A bad request ends here: the upstream sees only what this proxy has understood.
Rule 2  An upstream that fails before its answer is a 502, one that is late a 504; after the
        first byte only a visible break is honest.
Left out: TLS, several upstreams, caches, buffers for slow clients (nginx has all of them).
"""

import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Container
from contextlib import suppress

from servers.head import ProtocolError, Request, wants_continue
from servers.http11 import LIMITS, Limits, Reader
from servers.relay import Exchange
from servers.service import LOG, TIMES, Disconnected, Times, error_answer
from servers.upstream import Shared, Side, Upstream, UpstreamError

CLIENTS = 1000  # at a time; more wait in the backlog


class Client:
    """Serve one client: its requests in order, and an end that it can see."""

    def __init__(self, sock: socket.socket, peer: str, shared: Shared) -> None:
        self.side, self.peer, self.shared = Side(sock), peer, shared
        self.reader = Reader(shared.limits)
        self.exchange: Exchange | None = None
        self.request: Request | None = None

    def serve(self) -> None:
        """Serve to the end; raise nothing."""
        with self.side.sock, suppress(Disconnected):
            try:
                while (request := self.next_request()) and self.pass_on(request):
                    pass
                self.leave()
            except (ProtocolError, UpstreamError) as error:
                self.fail(error.status, str(error))
            except Disconnected:
                raise
            except Exception as error:
                self.shared.log.critical("a bug in the proxy: %s", error, exc_info=error)
                self.fail(500, "the proxy failed; its log says how")

    def next_request(self) -> Request | None:
        """Wait for a head; return None if the client, or the proxy, wants no more."""
        self.request = self.exchange = None
        times, reader = self.shared.times, self.reader
        deadline = time.monotonic() + (times.head if reader.rest() else times.idle)
        while (event := reader.next_event()) is None:
            idle = not reader.rest()
            if idle and self.shared.stopping:
                return None
            if not self.wait(select.POLLIN, deadline - time.monotonic()):
                if idle:
                    return None
                raise ProtocolError("the head took too long to arrive", 408)
            data = self.receive()
            if data is not None:
                reader.feed(data)
            if idle and data:
                deadline = time.monotonic() + times.head
        return event if isinstance(event, Request) else None

    def wait(self, event: int, seconds: float) -> bool:
        """Wait for this socket, or for the stop to begin; False if it is too late."""
        return bool(self.shared.poll({self.side.sock: event}, seconds))

    def receive(self) -> bytes | None:
        try:
            return self.side.receive()
        except OSError as error:
            raise Disconnected(str(error)) from error

    def pass_on(self, request: Request) -> bool:
        """Carry a request up and its answer down; True if another may follow."""
        self.request = request
        wants_continue(request)  # raises what is no 100-continue; that goes to the upstream
        self.exchange = Exchange(self.shared, self.side, self.reader, request, self.peer)
        self.exchange.run()
        self.drain()
        return self.exchange.keep

    def fail(self, status: int, message: str) -> None:
        """Tell the client what went wrong: by an answer, or by a break where one has begun."""
        if self.exchange is not None and self.exchange.response is not None:
            return self.cut(self.exchange)
        head, body = error_answer(status, message)
        bodiless = self.request is not None and self.request.method == b"HEAD"
        self.side.put(head if bodiless else head + body)
        self.leave()

    def cut(self, exchange: Exchange) -> None:
        """Break an answer off behind what has come of it."""
        self.drain()
        if exchange.down == "close":
            # Here the body ends where the connection does: only a reset looks unlike an end.
            linger = struct.pack("ii", 1, 0)
            self.side.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def drain(self) -> None:
        """Wait until the client has taken what is left; raise Disconnected if it does not."""
        self.side.flush()
        while self.side.out:
            if not self.wait(select.POLLOUT, self.shared.times.io):
                raise Disconnected("the client does not read")
            self.side.flush()

    def leave(self) -> None:
        """Close, but let the client read the last answer first (RFC 9112 9.6)."""
        self.side.ending = True
        self.drain()
        deadline = time.monotonic() + self.shared.times.linger
        while not (self.side.eof or self.side.deaf):
            if not self.wait(select.POLLIN, deadline - time.monotonic()):
                return
            self.receive()


def serve_proxy(
    listener: socket.socket,
    upstream: tuple[str, int],
    *,
    stop: socket.socket | None = None,
    limits: Limits = LIMITS,
    times: Times = TIMES,
    log: logging.Logger = LOG,
    trusted: Container[str] = (),
    idle: float = 1.0,
) -> None:
    """Pass what comes to `listener` on to `upstream`, until `stop` is readable.

    `trusted` holds the addresses of proxies before this one, whose X-Forwarded-* is believed;
    `idle` is how long a connection to the upstream is kept: less than the upstream keeps it
    (Gunicorn 2 s), so that it is seldom closed under a request.
    """
    shared = Shared(Upstream(upstream, times.io, idle), stop, limits, times, log, trusted)
    threads: set[threading.Thread] = set()
    with listener:
        listener.setblocking(False)
        while not shared.stopping:
            threads = {thread for thread in threads if thread.is_alive()}
            room = CLIENTS - len(threads)
            shared.poll({listener: select.POLLIN} if room > 0 else {}, 1.0)
            threads |= accept(listener, shared, room)
            shared.upstream.sweep()
        threads |= accept(listener, shared, CLIENTS)  # who was in the backlog at the stop
    for thread in threads:
        thread.join(max(0.0, shared.deadline + times.linger - time.monotonic()))
    shared.upstream.sweep(0)


def accept(listener: socket.socket, shared: Shared, room: int) -> set[threading.Thread]:
    """Start a thread for each client that waits, at most `room`; return them.

    Toy: a thread for each, even while it says nothing. nginx: ngx_event_accept.c, a loop.
    """
    threads = set()
    try:
        for _ in range(room):
            sock, peer = listener.accept()
            client = Client(sock, peer[0], shared)
            thread = threading.Thread(target=client.serve, daemon=True)
            thread.start()
            threads.add(thread)
    except BlockingIOError:
        pass
    except OSError as error:
        # No file descriptor is left, say. Asking again at once would spin.
        shared.log.error("cannot accept: %s", error)
        shared.poll({}, 1.0)
    return threads

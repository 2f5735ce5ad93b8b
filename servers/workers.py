"""Sockets, clocks and threads: who accepts, who reads, who calls the app, and when it ends.

Rule 1  A connection is served by one thread at a time; an idle one by none.
Rule 2  Every wait has an end: Times says which, and what the peer is told.
Rule 3  A connection is closed so that the peer reads the answer first (RFC 9112 9.6).
Left out: TLS (a proxy ends it), accept balancing over processes.
"""

import io
import logging
import select
import selectors
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.types import WSGIApplication

from servers.head import ProtocolError, Request, wants_continue
from servers.http11 import END, LIMITS, Data, Limits, Reader, encode_head
from servers.wsgi import (
    BodyInput,
    Environ,
    StartResponse,
    base_environ,
    environ_for,
    run_app,
)

LOG = logging.getLogger("servers")
EARLY_BODY = 64 * 1024  # a body up to this size is read before a thread is spent on it
UNSENT = 256 * 1024  # what may wait for a slow reader before the app has to wait too
RECV = 64 * 1024


class Disconnected(ConnectionError):
    """Say that the peer has left, or does not read: nobody is there to be answered."""


class Times(NamedTuple):
    """Bound every wait, in seconds. Precedents: nginx 60 and 75, Gunicorn 30 for the stop."""

    head: float = 10.0  # from a head's first byte to its last; then 408
    idle: float = 75.0  # between two requests; then the connection is closed
    io: float = 30.0  # for the next piece of a body, in or out; then it is broken off
    linger: float = 2.0  # for the peer to read a last answer
    stop: float = 30.0  # for the requests in flight when the server stops


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


def listen(host: str = "127.0.0.1", port: int = 0, backlog: int = 1024) -> socket.socket:
    """Return a listening TCP socket; port 0 lets the system choose. Raise OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it, a restart within a minute meets its own old connections (TIME_WAIT).
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def recv_until(sock: socket.socket, delimiter: bytes, limit: int = 65536) -> tuple[bytes, bytes]:
    """Receive up to and with `delimiter`; return (that, what came behind it).

    Raise EOFError if the peer stops before it, ValueError if it is not in the first `limit` bytes.
    """
    data = b""
    while delimiter not in data[:limit]:
        if len(data) >= limit:
            raise ValueError(f"no {delimiter!r} in the first {limit} bytes")
        piece = sock.recv(RECV)
        if not piece:
            raise EOFError(f"the peer stopped after {len(data)} bytes, before {delimiter!r}")
        data += piece
    end = data.index(delimiter) + len(delimiter)
    return data[:end], data[end:]


def date_field() -> bytes:
    """Return the Date field line of this second (RFC 9110 6.6.1)."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
    return _date[1]


_date = 0, b""


def error_answer(status: int, message: str) -> bytes:
    """Return a whole answer that says what went wrong and closes the connection."""
    reason = HTTPStatus(status).phrase
    body = f"{status} {reason}: {message}\n".encode()
    head = encode_head(
        f"{status} {reason}".encode(),
        [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
        ],
    )
    return head[:-2] + date_field() + b"\r\n" + body


def wait(sock: socket.socket, event: int, seconds: float) -> None:
    """Wait until `sock` is ready for select.POLLIN or POLLOUT; raise Disconnected if too late."""
    poll = select.poll()
    poll.register(sock, event)
    if not poll.poll(seconds * 1000):
        raise Disconnected(f"the peer did nothing for {seconds} seconds")


class Connection:
    """Serve one client. The socket never blocks: where a wait is needed, `wait` stands there."""

    __slots__ = ("busy", "closed", "complete", "deadline", "early", "expects", "last", "peer",
                 "reader", "request", "service", "size", "sock", "unsent", "watched")  # fmt: skip

    def __init__(self, sock: socket.socket, peer: tuple[str, int], service: Service) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.peer, self.service = sock, peer, service
        self.reader = Reader(service.limits)
        self.deadline = time.monotonic() + service.times.head
        self.unsent = b""  # what the peer has not taken yet
        self.busy = False  # a thread serves it
        self.last = False  # the last answer is out: read and drop until the peer closes
        self.watched = 0  # the event that the pool's selector waits for
        self.closed = False  # nothing more to do: the driver closes the socket
        self.reset()

    def reset(self) -> None:
        """Forget the request that was answered."""
        self.request: Request | None = None
        self.expects = False  # the client waits for 100 Continue
        self.early: list[bytes] = []  # pieces of the body read before the app is called
        self.size = 0  # of these, in bytes
        self.complete = False  # the request's END has been read

    def idle(self) -> bool:
        return self.request is None and not self.reader.rest() and not self.unsent

    # --- in ---

    def receive(self) -> None:
        """Feed the reader what has arrived; raise Disconnected."""
        try:
            self.reader.feed(self.sock.recv(RECV))
        except BlockingIOError:
            pass
        except OSError as error:
            raise Disconnected(str(error)) from error

    def advance(self) -> bool:
        """Read events until the app can be called; False if more bytes are needed."""
        while not (self.complete or self.expects or self.size >= EARLY_BODY):
            event = self.reader.next_event()
            if event is None:
                return False
            if isinstance(event, Request):
                self.request = event
                self.expects = wants_continue(event)
            elif isinstance(event, Data):
                self.early.append(event.body)
                self.size += len(event.body)
            elif event is END:
                self.complete = True
            else:
                raise Disconnected("the peer closed an idle connection")
        return True

    def more(self) -> bytes:
        """Return the body's next piece, b"" at its end; wait for it if need be."""
        if self.early:
            return self.early.pop(0)
        while not self.complete:
            event = self.reader.next_event()
            if isinstance(event, Data):
                return event.body
            if event is END:
                self.complete = True
            elif self.expects:
                self.expects = False
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            else:
                wait(self.sock, select.POLLIN, self.service.times.io)
                self.receive()
        return b""

    # --- out ---

    def send(self, data: bytes) -> None:
        """Send; keep up to UNSENT bytes that the peer does not take yet; raise Disconnected."""
        if self.unsent:
            data = self.unsent + data
        sent = self.send_some(data)
        self.unsent = b""
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while len(rest) > UNSENT:
                wait(self.sock, select.POLLOUT, self.service.times.io)
                rest = rest[self.send_some(rest) :]
            self.unsent = bytes(rest)

    def send_some(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Disconnected(str(error)) from error

    # --- one request ---

    def answer(self) -> None:
        """Call the app for the request that is there, and decide how the connection goes on."""
        request, service = self.request, self.service
        assert request is not None
        response = StartResponse(request, self.send, date_field, not service.stopping)
        body: io.BufferedIOBase
        if self.complete:
            body = io.BytesIO(b"".join(self.early))
        else:
            body = io.BufferedReader(BodyInput(self.more))
        try:
            run_app(service.app, environ_for(request, service.base, self.peer, body), response)
        except (Disconnected, ProtocolError):
            if response.sent:
                return self.close()
            raise
        except (Exception, SystemExit) as error:  # SystemExit: sys.exit() in an app ends no server
            target = request.target.decode("latin-1")
            service.log.error("the app failed on %s: %s", target, error, exc_info=error)
            return self.cut(response)
        if not response.keep_alive or not self.complete:
            return self.leave()
        self.reset()
        self.deadline = time.monotonic() + service.times.idle

    def cut(self, response: StartResponse) -> None:
        """End an answer that failed: a 500 if nothing was sent, else a visible break."""
        if not response.sent:
            return self.refuse(500, "the application failed; the server's log says how")
        if not response.chunked and response.left is None and not response.bodiless:
            # Here the body ends where the connection does: only a reset looks unlike an end.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def refuse(self, status: int, message: str) -> None:
        self.send(error_answer(status, message))
        self.leave()

    def leave(self) -> None:
        """Close, but let the peer read the last answer first.

        RFC 9112 9.6: to close while the peer still sends makes the kernel answer with a
        reset, which can destroy the answer on its way.
        """
        if self.complete and not self.reader.rest() and not self.unsent:
            return self.close()
        self.last = True
        self.deadline = time.monotonic() + self.service.times.linger
        if not self.unsent:
            self.half_close()

    def half_close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the peer was faster
            self.close()

    def close(self) -> None:
        self.closed = True

    # --- what a driver calls: the socket is ready, or the time is up ---

    def ready(self) -> bool:
        """Read and write what is possible without waiting; True if the app can be called."""
        try:
            if self.unsent:
                self.send(b"")
                if self.last and not self.unsent:
                    self.half_close()
            elif self.last:
                if not self.sock.recv(RECV):
                    self.close()
            else:
                self.receive()
                return self.advance()
        except BlockingIOError:
            pass
        except (ProtocolError, OSError) as error:
            self.fail(error)
        return False

    def serve(self) -> None:
        """Answer the request that is there, and those pipelined behind it, in order."""
        try:
            self.answer()
            while not (self.closed or self.last or self.unsent) and self.advance():
                self.answer()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        try:
            if isinstance(error, ProtocolError):
                return self.refuse(error.status, str(error))
            if not isinstance(error, OSError):
                self.service.log.critical("a bug in the server: %s", error, exc_info=error)
                return self.refuse(500, "the server failed; its log says how")
        except OSError:
            pass
        self.close()

    def expire(self) -> None:
        """Do what is right when the deadline has passed: 408 to a slow head, else just close."""
        if self.last or self.unsent or self.idle():
            return self.close()
        self.fail(ProtocolError("the request took too long to arrive", 408))


def one_connection(sock: socket.socket, peer: tuple[str, int], service: Service) -> None:
    """Serve one connection to its end, and nothing else meanwhile."""
    with sock:
        connection = Connection(sock, peer, service)
        while not connection.closed:
            event = select.POLLOUT if connection.unsent else select.POLLIN
            try:
                wait(sock, event, connection.deadline - time.monotonic())
            except Disconnected:
                connection.expire()
            else:
                if connection.ready():
                    connection.serve()


def serve_serial(
    listener: socket.socket,
    app: WSGIApplication,
    *,
    stop: socket.socket | None = None,
    limits: Limits = LIMITS,
    times: Times = TIMES,
    log: logging.Logger = LOG,
    script_name: str = "",
) -> None:
    """Serve one connection after another, until `stop` is readable; then close `listener`."""
    host, port = listener.getsockname()[:2]
    service = Service(app, base_environ(host, port, script_name), limits, times, log)
    with listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        if stop is not None:
            selector.register(stop, selectors.EVENT_READ)
        while stop not in [key.fileobj for key, _ in selector.select()]:
            sock, peer = listener.accept()
            one_connection(sock, peer[:2], service)


class Pool:
    """Serve many connections with a few threads.

    Leader and followers: the thread that holds `lead` watches all sockets, accepts and reads.
    When a request is complete it passes the lead on and calls the app itself: no queue, no
    wake-up pipe, and a thread is spent on a request, never on a connection.
    """

    def __init__(
        self, listener: socket.socket, service: Service, stop: socket.socket | None
    ) -> None:
        self.listener, self.service = listener, service
        self.lead = threading.Lock()
        self.guard = threading.Lock()  # over busy and watched, which two threads may change
        self.selector = selectors.DefaultSelector()
        self.connections: set[Connection] = set()
        self.waiting: deque[Connection] = deque()  # requests that no thread has taken yet
        self.deadline = float("inf")  # of the graceful stop
        self.swept = time.monotonic()
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        if stop is not None:
            self.selector.register(stop, selectors.EVENT_READ, partial(self.begin_stop, stop))

    def work(self) -> None:
        """Be one of the threads: lead, serve, lead again, until the stop is complete."""
        while True:
            with self.lead:
                while not self.waiting and not self.ended():
                    self.watch()
                if not self.waiting:
                    return
                connection = self.waiting.popleft()
            connection.serve()
            self.park(connection)

    def ended(self) -> bool:
        if not self.service.stopping:
            return False
        return not self.connections or time.monotonic() > self.deadline

    def watch(self) -> None:
        """Wait for any socket, and do all that needs no app."""
        for key, _ in self.selector.select(0.1 if self.service.stopping else 1.0):
            key.data()
        now = time.monotonic()
        if now - self.swept >= 1.0:
            self.swept = now
            self.sweep(now)

    def accept(self) -> None:
        try:
            while True:
                sock, peer = self.listener.accept()
                connection = Connection(sock, peer[:2], self.service)
                self.connections.add(connection)
                self.park(connection)
        except BlockingIOError:
            pass
        except OSError as error:  # out of files: leave the rest in the backlog for a second
            self.service.log.error("cannot accept: %s", error)

    def park(self, connection: Connection) -> None:
        """Let the selector watch a connection that no thread serves; or part with it."""
        event = selectors.EVENT_WRITE if connection.unsent else selectors.EVENT_READ
        with self.guard:
            connection.busy = False
            if connection.closed or event != connection.watched:
                self.watch_for(connection, 0 if connection.closed else event)
        if connection.closed:
            self.connections.discard(connection)
            connection.sock.close()

    def watch_for(self, connection: Connection, event: int) -> None:
        if connection.watched:
            self.selector.unregister(connection.sock)
        if event:
            self.selector.register(connection.sock, event, partial(self.wake, connection))
        connection.watched = event

    def wake(self, connection: Connection) -> None:
        """Do what can be done at once for a connection whose socket is ready."""
        with self.guard:
            if connection.busy:  # it pipelines: look again when the thread is done
                return self.watch_for(connection, 0)
            connection.busy = True
        if connection.ready():
            self.waiting.append(connection)
        else:
            self.park(connection)

    def sweep(self, now: float) -> None:
        for connection in list(self.connections):
            if not connection.busy and now > connection.deadline:
                connection.expire()
                self.park(connection)

    def begin_stop(self, stop: socket.socket) -> None:
        """Take no more connections, close the idle ones, answer what has begun."""
        self.service.stopping = True
        self.deadline = time.monotonic() + self.service.times.stop
        self.selector.unregister(stop)
        self.selector.unregister(self.listener)
        self.listener.close()
        for connection in list(self.connections):
            if not connection.busy and connection.idle():
                connection.close()
                self.park(connection)


def serve_threads(
    listener: socket.socket,
    app: WSGIApplication,
    *,
    threads: int = 8,
    stop: socket.socket | None = None,
    limits: Limits = LIMITS,
    times: Times = TIMES,
    log: logging.Logger = LOG,
    script_name: str = "",
) -> None:
    """Serve with a bounded number of threads, the caller's included, until `stop` is readable."""
    host, port = listener.getsockname()[:2]
    base = base_environ(host, port, script_name, threads=threads > 1)
    pool = Pool(listener, Service(app, base, limits, times, log), stop)
    others = [threading.Thread(target=pool.work, daemon=True) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    pool.work()
    for thread in others:
        thread.join(max(0.0, pool.deadline - time.monotonic()))

"""Who accepts, who reads, who calls the app: serving with one thread, and with several.

Rule 1  A thread is spent on a request, never on a connection: idle ones hold none.
Rule 2  Only the leader touches the listener; it does all that needs no app.
Left out: balancing of accepts over processes (the kernel does it, more or less).
"""

import logging
import select
import selectors
import socket
import threading
import time
from collections import deque
from functools import partial
from wsgiref.types import WSGIApplication

from servers.connection import RECV, Connection
from servers.http11 import LIMITS, Limits
from servers.service import LOG, TIMES, Service, Times
from servers.wsgi import base_environ


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


def one_connection(
    sock: socket.socket,
    peer: tuple[str, int],
    service: Service,
    stop: socket.socket | None = None,
) -> None:
    """Serve one connection to its end, and nothing else meanwhile; `stop` ends an idle one."""
    with sock:
        connection = Connection(sock, peer, service)
        while not connection.closed:
            poll = select.poll()
            poll.register(sock, select.POLLOUT if connection.unsent else select.POLLIN)
            if stop is not None and not service.stopping:
                poll.register(stop, select.POLLIN)
            events = dict(poll.poll(max(0.0, connection.deadline - time.monotonic()) * 1000))
            if sock.fileno() in events:
                if connection.ready():
                    connection.serve()
            elif not events:
                connection.expire()
            else:
                service.stopping = True
            if service.stopping and connection.idle():
                connection.close()


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
            one_connection(sock, peer[:2], service, stop)


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
        self.watch_listener(True)
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
        if now - self.swept >= 1.0 or self.service.stopping:
            self.swept = now
            self.sweep(now)

    def accept(self) -> None:
        try:
            while not self.service.stopping:
                sock, peer = self.listener.accept()
                connection = Connection(sock, peer[:2], self.service)
                self.connections.add(connection)
                self.park(connection)
        except BlockingIOError:
            pass
        except OSError as error:
            # No file descriptor is left, say. Asking again at once would spin: the backlog
            # keeps the rest until the next sweep.
            self.service.log.error("cannot accept: %s", error)
            self.watch_listener(False)

    def watch_listener(self, on: bool) -> None:
        watched = self.listener in self.selector.get_map()
        if on and not watched:
            self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        elif watched and not on:
            self.selector.unregister(self.listener)

    def park(self, connection: Connection) -> None:
        """Let the selector watch a connection that no thread serves; or part with it."""
        if self.ended():
            connection.close()
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
        """Part with whoever is too late; take connections again if that had to stop."""
        stopping = self.service.stopping
        for connection in list(self.connections):
            late = now > connection.deadline or (stopping and connection.idle())
            if late and not connection.busy:
                connection.expire()
                self.park(connection)
        if not self.service.stopping:
            self.watch_listener(True)

    def begin_stop(self, stop: socket.socket) -> None:
        """Take no more connections; answer who is there, and let `sweep` close the idle ones."""
        self.accept()
        self.service.stopping = True
        self.deadline = time.monotonic() + self.service.times.stop
        self.selector.unregister(stop)
        self.watch_listener(False)
        self.listener.close()
        for connection in list(self.connections):
            self.wake(connection)


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
    for connection in list(pool.connections):  # too late for these; a busy one goes with its app
        if not connection.busy:
            pool.park(connection)

"""Who accepts, and who calls the app: one thread, several, or several processes.

Left out: balancing of accepts over processes (the kernel does it, more or less).
"""

import itertools
import logging
import random
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from wsgiref.types import StartResponse, WSGIApplication

from servers.arbiter import Arbiter
from servers.connection import RECV, Connection
from servers.http11 import LIMITS, Limits
from servers.lifeline import Beat, resign
from servers.pool import Pool
from servers.service import LOG, TIMES, Service, Times
from servers.wsgi import Environ, base_environ

# One worker of several goes often, and no client should notice: whoever keeps a connection busy
# asks again within two seconds, and is told then that it ends.
PATIENT = replace(TIMES, quiet=2.0)

PAUSE = 0.1  # seconds until an accept that failed is tried again


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
            try:
                sock, peer = listener.accept()
            except OSError as error:  # the client has left again, or no descriptor is free
                log.error("cannot accept: %s", error)
                time.sleep(PAUSE)  # the backlog keeps the rest; asking at once would spin
                continue
            one_connection(sock, peer[:2], service, stop)


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
    processes: bool = False,
    beat: Beat = lambda: None,
) -> None:
    """Serve with a bounded number of threads, until `stop` is readable; raise what is a bug.

    `processes` says that others serve the same app, `beat` is called while all is well.
    """
    # long: ten lines of it are settings, each with a safe default
    host, port = listener.getsockname()[:2]
    base = base_environ(host, port, script_name, threads=threads > 1, processes=processes)
    pool = Pool(listener, Service(app, base, limits, times, log), stop)
    beat()  # the first says that we serve
    workers = [threading.Thread(target=pool.work, daemon=True) for _ in range(threads)]
    for thread in workers:
        thread.start()
    pool.oversee(beat)
    for thread in workers:
        thread.join(max(0.0, pool.deadline - time.monotonic()))
    for connection in list(pool.connections):  # too late for these; a busy one goes with its app
        if not connection.busy:
            pool.park(connection)


def serve_prefork(
    listener: socket.socket,
    load: Callable[[], WSGIApplication],
    *,
    workers: int = 2,
    threads: int = 8,
    timeout: float = 30.0,
    max_requests: int = 0,
    jitter: int = 0,
    limits: Limits = LIMITS,
    times: Times = PATIENT,
    log: logging.Logger = LOG,
    script_name: str = "",
) -> int:
    """Serve with forked workers, each of which calls `load` for the app; return the exit status.

    Call it in the main thread of a process without others. Signals end it: see Arbiter. A worker
    leaves after about `max_requests` requests (0: never), at most `jitter` more.
    """
    # long: twelve lines of it are settings, each with a safe default

    def work(lifeline: socket.socket, beat: Beat) -> None:
        app = load()
        if max_requests:
            most = max_requests + random.randint(0, jitter)
            app = counted(app, most, lambda: resign(lifeline))
        serve_threads(
            listener, app, threads=threads, stop=lifeline, limits=limits, times=times, log=log,
            script_name=script_name, processes=workers > 1, beat=beat,
        )  # fmt: skip

    with listener:
        # Who connects to a server that stops is refused, and not left in a queue that nobody reads.
        return Arbiter(work, workers=workers, timeout=timeout, grace=times.stop, log=log,
                       at_stop=listener.close).run()  # fmt: skip


def counted(app: WSGIApplication, most: int, done: Callable[[], None]) -> WSGIApplication:
    """Return the app with a limit: at request number `most` it calls `done`."""
    numbers = itertools.count(1)  # its next() is one step, whatever threads there are

    def counting(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if next(numbers) == most:
            done()
        return app(environ, start_response)

    return counting

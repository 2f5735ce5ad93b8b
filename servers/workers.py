"""Who accepts, and who calls the app: serving with one thread, and with several.

Left out: balancing of accepts over processes (the kernel does it, more or less).
"""

import logging
import select
import selectors
import socket
import threading
import time
from wsgiref.types import WSGIApplication

from servers.connection import RECV, Connection
from servers.http11 import LIMITS, Limits
from servers.pool import Pool
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
    """Serve with a bounded number of threads, until `stop` is readable; raise what is a bug."""
    host, port = listener.getsockname()[:2]
    base = base_environ(host, port, script_name, threads=threads > 1)
    pool = Pool(listener, Service(app, base, limits, times, log), stop)
    workers = [threading.Thread(target=pool.work, daemon=True) for _ in range(threads)]
    for thread in workers:
        thread.start()
    pool.oversee()
    for thread in workers:
        thread.join(max(0.0, pool.deadline - time.monotonic()))
    for connection in list(pool.connections):  # too late for these; a busy one goes with its app
        if not connection.busy:
            pool.park(connection)

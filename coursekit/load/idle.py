"""Measure what a thousand idle keep-alive connections cost a server, and who is left of them.

Each connection asks once and then stays open without a word, as browsers and proxies do. Meanwhile
one active client goes on asking; its waits are compared with its waits before.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from statistics import median

import psutil

from .client import NotThere, read_answer
from .drive import Address, Workload, check

PATIENCE = 2.0  # seconds for an answer that takes a server less than a millisecond
GIVE_UP = 5  # connections in a row that were not answered: the rest would only wait as well


@dataclass(frozen=True)
class Idle:
    """Hold what was seen."""

    wanted: int
    kept: int  # connections that were still open and answered a second request
    bytes_each: float  # of the server's memory for each connection that was opened
    slowdown: float  # the active client's median wait with the idle ones, divided by that without
    answered: float  # share of the active client's requests that got the right answer


def memory(pid: int) -> int:
    """Return the resident memory of a process and its descendants in bytes."""
    root = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)])


def allow_files(number: int) -> int:
    """Raise this process's limit of open files, which children inherit; return the limit."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        soft = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def ask(sock: socket.socket, request: bytes, expected: bytes) -> bool:
    """Send a request over an open connection and tell whether the right answer came."""
    data = b""
    try:
        sock.sendall(request)
        while True:
            piece = sock.recv(65536)
            data += piece
            try:
                status, body, _ = read_answer(data, ended=not piece)
                return status == 200 and body == expected
            except NotThere:
                if not piece:
                    return False
    except OSError:
        return False


class Visitor:
    """Ask over one connection, and over a new one where the server has closed it."""

    def __init__(self, address: Address, workload: Workload) -> None:
        self.address, self.workload = address, workload
        self.request = workload.request(address)
        self.sock: socket.socket | None = None

    def close(self) -> None:
        """Close the connection."""
        if self.sock:
            self.sock.close()
        self.sock = None

    def ask(self) -> bool:
        """Tell whether the right answer came."""
        if self.sock and ask(self.sock, self.request, self.workload.expected):
            return True
        self.close()
        try:
            self.sock = socket.create_connection(self.address, PATIENCE)
        except OSError:
            return False
        return ask(self.sock, self.request, self.workload.expected)

    def waits(self, asks: int) -> list[float]:
        """Return the seconds that each right answer took; stop when nothing comes any more."""
        found: list[float] = []
        failed = 0
        for _ in range(asks):
            began = time.perf_counter()
            if self.ask():
                found.append(time.perf_counter() - began)
                failed = 0
            elif (failed := failed + 1) >= GIVE_UP:
                break
        self.close()
        return found


def open_many(address: Address, workload: Workload, number: int) -> list[socket.socket]:
    """Open connections that asked once and were answered; stop when nothing comes any more."""
    request = workload.request(address)
    opened: list[socket.socket] = []
    missed = 0
    while len(opened) < number and missed < GIVE_UP:
        try:
            sock = socket.create_connection(address, PATIENCE)
        except OSError:
            missed += 1
            continue
        if ask(sock, request, workload.expected):
            opened.append(sock)
            missed = 0
        else:
            sock.close()
            missed += 1
    return opened


def idle(
    address: Address, pid: int, workload: Workload, *, connections: int = 1000, asks: int = 200
) -> Idle:
    """Open idle connections, watch an active client and the memory, then count who is left."""
    check(address, workload)
    request = workload.request(address)
    with socket.create_connection(address, PATIENCE) as sock:
        if not all(ask(sock, request, workload.expected) for _ in range(2)):
            return Idle(connections, 0, 0.0, 0.0, 1.0)  # it closes after each answer: nothing idles
    visitor = Visitor(address, workload)
    before, base = visitor.waits(asks), memory(pid)
    opened = open_many(address, workload, connections)
    grown = memory(pid) - base
    during = visitor.waits(asks)
    kept = sum(ask(sock, request, workload.expected) for sock in opened)
    for sock in opened:
        sock.close()
    each = grown / max(1, len(opened))
    slowdown = median(during) / median(before) if during and before else 0.0
    return Idle(connections, kept, each, slowdown, len(during) / asks)

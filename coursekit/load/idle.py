"""Measure what a thousand idle keep-alive connections cost a server, and who is left of them.

Each connection asks once and then stays open without a word, as browsers and proxies do. Meanwhile
one active client goes on asking; its waits are compared with its waits before.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
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


def active(address: Address, workload: Workload, asks: int) -> tuple[list[float], int]:
    """Ask again and again, with a new connection where it was closed; return (waits, successes)."""
    waits: list[float] = []
    right, failed = 0, 0
    sock: socket.socket | None = None
    for _ in range(asks):
        began = time.perf_counter()
        for _ in range(2):  # a kept-alive connection may have been closed: then a new one
            fresh = sock is None
            try:
                sock = sock or socket.create_connection(address, PATIENCE)
            except OSError:
                break
            if ask(sock, workload.request(address), workload.expected):
                right += 1
                waits.append(time.perf_counter() - began)
                break
            sock.close()
            sock = None
            if fresh:
                break
        failed = 0 if sock else failed + 1
        if failed >= GIVE_UP:
            break
    if sock:
        sock.close()
    return waits, right


def idle(
    address: Address, pid: int, workload: Workload, *, connections: int = 1000, asks: int = 200
) -> Idle:
    """Open idle connections, watch an active client and the memory, then count who is left."""
    check(address, workload)
    request = workload.request(address)
    with socket.create_connection(address, PATIENCE) as sock:
        if not all(ask(sock, request, workload.expected) for _ in range(2)):
            return Idle(connections, 0, 0.0, 0.0, 1.0)  # it closes after each answer: nothing idles
    before, _ = active(address, workload, asks)
    opened: list[socket.socket] = []
    base, missed = memory(pid), 0
    with ExitStack() as stack:
        while len(opened) < connections and missed < GIVE_UP:
            try:
                sock = stack.enter_context(socket.create_connection(address, PATIENCE))
                answered = ask(sock, request, workload.expected)
            except OSError:
                answered = False
            missed = 0 if answered else missed + 1
            if answered:
                opened.append(sock)
        grown = memory(pid) - base
        during, right = active(address, workload, asks)
        kept = sum(ask(sock, request, workload.expected) for sock in opened)
    return Idle(
        connections,
        kept,
        grown / max(1, len(opened)),
        median(during) / median(before) if during and before else 0.0,
        right / asks,
    )

"""Drive one running server with one workload, and say what each side spent on it.

The load generator is a process of its own (wrk where it is installed, else
`coursekit.load.client`), on a core of its own where the system can pin processes, so that its CPU
time is never mistaken for the server's. Neither generator is trusted alone: an own request before
and after compares the body byte by byte, and wrk's byte count has to fit that answer's size.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from .client import Load

Address = tuple[str, int]
UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class WrongAnswer(Exception):
    """Say that a server sent something else than the app's body; its figures are worth nothing."""


@dataclass(frozen=True)
class Workload:
    """Describe what the clients ask for and what has to come back."""

    name: str
    app: str
    expected: bytes
    target: str = "/"
    body: bytes = b""
    clients: int = 32
    close: bool = False  # a new connection for every request
    opening: bytes = b""  # of a WebSocket: then `body` and `expected` are frames

    def request(self, address: Address) -> bytes:
        """Return the bytes of one request."""
        if self.opening:
            return self.body
        lines = [f"{'POST' if self.body else 'GET'} {self.target} HTTP/1.1"]
        lines += [f"Host: {address[0]}:{address[1]}"]
        lines += ["Connection: close"] * self.close
        lines += [f"Content-Length: {len(self.body)}"] * bool(self.body)
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


@dataclass(frozen=True)
class Sample:
    """Hold one server's figures in one round."""

    answers: int
    seconds: float
    errors: int
    server_cpu: float  # seconds
    generator_cpu: float

    @property
    def per_cpu(self) -> float:
        """Return answers per CPU-second of the server's processes."""
        return self.answers / self.server_cpu if self.server_cpu else 0.0

    @property
    def generator_bound(self) -> bool:
        """Tell whether the generator was the busier side, so that the server was not at its limit.

        Each has a core, hence the one that used more CPU is the one that the other waited for.
        Below half a core neither was busy: the app's own waiting set the pace.
        """
        busy = self.generator_cpu > 0.5 * self.seconds
        return busy and self.generator_cpu > self.server_cpu


def cores() -> tuple[set[int], set[int]] | None:
    """Return a core for the server and one for the generator, or None where this cannot be done."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return None
    mine = sorted(os.sched_getaffinity(0))
    return ({mine[0]}, {mine[1]}) if len(mine) > 1 else None


@contextmanager
def pinned(core: set[int] | None) -> Iterator[None]:
    """Let processes that start inside the block inherit this core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, its living descendants, and those it has reaped."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # macOS has no times of reaped children; a bench's workers do not die, so none are missed.
        reaped = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        total += times.user + times.system + reaped
    return total


def check(address: Address, workload: Workload) -> int:
    """Ask once, compare status and body, and return the size of the whole answer in bytes.

    Raises WrongAnswer with what differs.
    """
    if workload.opening:
        return check_frame(address, workload)
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        method = "POST" if workload.body else "GET"
        connection.request(method, workload.target, workload.body or None)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise WrongAnswer(f"{workload.name}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise WrongAnswer(f"{workload.name}: status {answer.status}, expected 200")
    if body != workload.expected:
        raise WrongAnswer(
            f"{workload.name}: {len(body)} bytes beginning {body[:40]!r}, "
            f"expected {len(workload.expected)} beginning {workload.expected[:40]!r}"
        )
    head = sum(len(f"{name}: {value}\r\n") for name, value in answer.getheaders())
    return head + len(f"HTTP/1.1 200 {answer.reason}\r\n\r\n") + len(body)


def check_frame(address: Address, workload: Workload) -> int:
    """Open a WebSocket, say one frame, and compare what is said back."""
    with socket.create_connection(address, timeout=20) as sock, sock.makefile("rb") as file:
        sock.sendall(workload.opening)
        came = file.readline()
        if b" 101 " in came:
            while file.readline().rstrip():
                pass
            sock.sendall(workload.body)
            came = file.read(len(workload.expected))
    if came != workload.expected:
        raise WrongAnswer(f"{workload.name}: {came[:40]!r}, expected {workload.expected[:40]!r}")
    return len(came)


def have_wrk() -> bool:
    """Tell whether wrk is installed."""
    return shutil.which("wrk") is not None


def drive(address: Address, pid: int, workload: Workload, seconds: float, own: bool) -> Sample:
    """Check, warm up, load a server for `seconds`, check again; return the figures.

    `pid` is the server's first process; `own` takes the course's client although wrk is there.
    Raises WrongAnswer if a check, or the size of wrk's answers, does not fit.
    """
    size = check(address, workload)
    run = _client if own or workload.opening or not have_wrk() else _wrk
    split = cores()
    warm = time.monotonic() + 0.2
    while time.monotonic() < warm:
        check(address, workload)
    # The times of a child are known when it has been reaped, which is what run() ends with.
    before, spent = cpu_seconds(pid), os.times()
    load = run(address, workload, seconds, size, split)
    after, total = cpu_seconds(pid), os.times()
    generator = (total.children_user + total.children_system) - (
        spent.children_user + spent.children_system
    )
    check(address, workload)
    return Sample(load.answers, load.seconds, load.errors, after - before, generator)


def _client(
    address: Address, workload: Workload, seconds: float, size: int, split: object
) -> Load:
    """Run the course's own client: every body is compared."""
    parts = (workload.request(address), workload.expected, workload.opening)
    lines = [base64.b64encode(part) for part in parts]
    command = [sys.executable, "-m", "coursekit.load.client", address[0], str(address[1])]
    output = _generate([*command, str(seconds), str(workload.clients)], b"\n".join(lines), split)
    load = Load(**json.loads(output))
    if load.wrong:
        raise WrongAnswer(f"{workload.name}: {load.wrong} of {load.answers} answers were wrong")
    return load


def _wrk(address: Address, workload: Workload, seconds: float, size: int, split: object) -> Load:
    """Run wrk, and hold its byte count against the size of the answer that was checked."""
    url = f"http://{address[0]}:{address[1]}{workload.target}"
    command = ["wrk", "-t1", f"-c{workload.clients}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "20s"] + ["-H", "Connection: close"] * workload.close
    with tempfile.TemporaryDirectory() as folder:
        if workload.body:  # wrk knows no other way to send a body
            script = Path(folder, "post.lua")
            script.write_text(f'wrk.method = "POST"\nwrk.body = [==[{workload.body.decode()}]==]\n')
            command += ["-s", str(script)]
        load, read = parse_wrk(_generate([*command, url], b"", split).decode())
    # Answers cut off by the end of the run count as bytes alone, hence the clients on the right.
    most = (load.answers + workload.clients + load.errors) * (size + 64)
    least = load.answers * len(workload.expected)
    if not 0.99 * least <= read <= 1.01 * most:
        raise WrongAnswer(f"{workload.name}: {read} bytes for {load.answers} answers of {size}")
    return load


def parse_wrk(output: str) -> tuple[Load, int]:
    """Return counts and bytes read from what wrk prints; raise ValueError for anything else."""
    if not (total := re.search(r"(\d+) requests in ([\d.]+)(m?s|m), ([\d.]+)([KMG]?)B", output)):
        raise ValueError(f"this is not a result of wrk: {output!r}")
    seconds = float(total[2]) * {"ms": 0.001, "s": 1, "m": 60}[total[3]]
    socket_errors = re.search(r"Socket errors:(.*)", output)
    errors = sum(int(n) for n in re.findall(r"\d+", socket_errors[1])) if socket_errors else 0
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if refused:
        raise WrongAnswer(f"{refused[1]} answers had another status than 200")
    read = round(float(total[4]) * UNITS[total[5]])
    return Load(answers=int(total[1]), seconds=seconds, errors=errors), read


def _generate(command: list[str], stdin: bytes, split: object) -> bytes:
    """Run a load generator to its end on the second core."""
    with pinned(split[1] if isinstance(split, tuple) else None):
        done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True)
    return done.stdout

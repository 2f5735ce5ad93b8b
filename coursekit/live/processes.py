"""The processes of a server, as rows."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

# How mod_wsgi's daemon processes call themselves: display-name, cut to the length of "apache2".
DAEMON = "(wsgi:"
HELPER = "multiprocessing.resource_tracker"  # Python starts it beside workers that it spawns
GONE_WITHIN = 5.0  # seconds for a killed process to end


@dataclass(frozen=True)
class Worker:
    """Describe a process: id, role, CPU use in percent, memory (RSS) in MiB, depth in tree."""

    pid: int
    role: str
    cpu: float
    memory: float
    depth: int = 0


class Processes:
    """Watch the processes below one process. CPU percentages are since the last look."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def rows(self, shim: int) -> list[Worker]:
        """Return a row for each process below `shim`, parents before their children."""
        try:
            first, *rest = psutil.Process(shim).children(recursive=True)
        except (psutil.NoSuchProcess, ValueError):
            return []
        found = [(first, "master" if rest else "server"), *((p, role(p)) for p in rest)]
        self._known = {p.pid: self._known.get(p.pid, p) for p, _ in found}
        rows = [self.row(self._known[p.pid], role, depth(p, first.pid)) for p, role in found]
        return [row for row in rows if row is not None]

    @staticmethod
    def row(process: psutil.Process, role: str, depth: int = 0) -> Worker | None:
        """Return the row of one process, or None if it is gone."""
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            memory = process.memory_info().rss / 2**20
            return Worker(process.pid, role, process.cpu_percent(), round(memory, 1), depth)
        except psutil.NoSuchProcess:
            return None


def depth(process: psutil.Process, top: int) -> int:
    """Return how many forks a process is away from the top one; 0 for that one itself."""
    steps = 0
    with suppress(psutil.Error):  # it may have just ended
        while process.pid != top and (parent := process.parent()) is not None:
            process, steps = parent, steps + 1
    return steps


def role(process: psutil.Process) -> str:
    """Return what a process below the first one is: a worker, if it does not say else."""
    with suppress(psutil.Error):  # it may have just ended
        words = "".join(process.cmdline())
        if words.startswith(DAEMON):
            return "daemon"
        if HELPER in words:
            return "helper"
    return "worker"


def wait_until_gone(pid: int) -> None:
    """Wait until a killed process has ended; a zombie has, only its parent did not look yet."""
    deadline = time.monotonic() + GONE_WITHIN
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.005)

"""What a server costs before anybody asks: the time until it answers, and its memory at rest.

CPU time is of all its processes until then; memory is what they hold alone and their part of what
they share (PSS), where the system tells that, else the sum of what is resident.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import psutil

from coursekit.live import Server, ServerError

from .drive import cpu_seconds

Start = Callable[[], Server]


@dataclass(frozen=True)
class Rest:
    """Hold one server's figures: seconds until it answered, of CPU until then; bytes; processes."""

    answers_after: float
    cpu: float
    memory: int
    processes: int


def look(start: Start) -> Rest:
    """Start a server, look at it and end it."""
    began = time.monotonic()
    with start() as server:
        took = time.monotonic() - began
        first = psutil.Process(server.workers[0].pid)
        tree = [first, *first.children(recursive=True)]
        return Rest(took, cpu_seconds(first.pid), sum(map(memory, tree)), len(tree))


def memory(process: psutil.Process) -> int:
    """Return the bytes that one process holds."""
    full = process.memory_full_info()
    return int(getattr(full, "pss", 0) or full.rss)


def measure(
    servers: dict[str, Start], rounds: int, say: Callable[[str], None]
) -> dict[str, Rest | str]:
    """Let the servers take turns; return the medians of each, or why there are none."""
    seen: dict[str, list[Rest]] = {name: [] for name in servers}
    problems: dict[str, str] = {}
    for turn in range(rounds):
        for name in [each for each in servers if each not in problems]:
            say(f"start and rest, round {turn + 1} of {rounds}: {name}")
            try:
                seen[name].append(look(servers[name]))
            except (OSError, ServerError, psutil.Error) as error:
                problems[name] = str(error)
    return {name: problems.get(name) or middle(seen[name]) for name in servers}


def middle(found: list[Rest]) -> Rest:
    """Return the median of each figure."""
    return Rest(
        median(each.answers_after for each in found),
        median(each.cpu for each in found),
        int(median(each.memory for each in found)),
        int(median(each.processes for each in found)),
    )


def table(found: dict[str, Rest | str]) -> str:
    """Return the figures as text; a str in place of them says why not."""
    titles = ("answers after", "of CPU", "at rest", "processes")
    lines = [f"{'start and rest':20}{titles[0]:>15}{titles[1]:>10}{titles[2]:>12}{titles[3]:>11}"]
    for server, rest in found.items():
        if isinstance(rest, str):
            lines.append(f"  {server:18}  left out: {rest}")
            continue
        after, cpu = f"{1000 * rest.answers_after:.0f} ms", f"{1000 * rest.cpu:.0f} ms"
        held = f"{rest.memory / 2**20:.1f} MiB"
        lines.append(f"  {server:18}{after:>15}{cpu:>10}{held:>12}{rest.processes:>11}")
    return "\n".join(lines)

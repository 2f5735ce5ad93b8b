"""Load from a cell: `closed` and `open`, and the report of what came of each request.

    report = load.closed(server, "/sleep?0.2", clients=8, requests=64)
    report = load.open(server, "/cpu?5", rate=50, seconds=3)
    report.errors, report.statuses, report.p50, report.p99, report.served_by

Rule 1  Errors come first: a server that refuses is fast.
Rule 2  Latency counts from when a request was due, not from when it could be sent. In an open
        loop that is what its user waits; in a closed loop both are the same.
Rule 3  A figure that the generator may have made, not the server, is marked.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import PIPE
from typing import Any

import numpy as np

from coursekit.load.canned import canned
from coursekit.load.generator import Note, Plan

PATIENCE = 10.0  # seconds for an answer
NEAR = 0.5  # of the generator's own limit: from there on it may be what is measured


@dataclass(frozen=True)
class Report:
    """Hold what became of the requests of one run; all times in seconds."""

    name: str
    seconds: float
    notes: Sequence[Note]

    @property
    def errors(self) -> dict[str, int]:
        """How many requests got no answer, by reason."""
        return dict(Counter(note["error"] for note in self.notes if not note["status"]))

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers had each status."""
        return dict(sorted(Counter(n["status"] for n in self.notes if n["status"]).items()))

    @property
    def served_by(self) -> dict[str, int]:
        """How many answers each process and thread gave, by the header X-Served-By."""
        return dict(Counter(n["served_by"] for n in self.notes if n["served_by"]).most_common())

    @property
    def latencies(self) -> list[float]:
        """From when each answered request was due until its answer was whole, in order of due."""
        return [note["done"] - note["due"] for note in self.notes if note["status"]]

    def percentile(self, percent: float) -> float:
        """Return the latency that so many percent did not exceed; nan if nothing was answered."""
        return float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")

    @property
    def p50(self) -> float:
        """The median latency."""
        return self.percentile(50)

    @property
    def p99(self) -> float:
        """The latency that one answer in a hundred exceeds."""
        return self.percentile(99)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def lag(self, percent: float) -> float:
        """Return how late the generator itself was, so many percent of the times at most."""
        return float(np.percentile([note["sent"] - note["due"] for note in self.notes], percent))

    @property
    def beware(self) -> str:
        """Say why the generator may be what was measured; "" if it is not."""
        if self.per_second > NEAR * limit():
            return f"the generator itself reaches {limit():.0f} a second"
        late = [f"{name} {self.lag(p):.3f} s" for name, p in PERCENTILES
                if self.lag(p) > NEAR * self.percentile(p)]  # fmt: skip
        return f"the generator itself was late by {', '.join(late)}" if late else ""

    def __str__(self) -> str:
        errors = ", ".join(f"{count} {why}" for why, count in self.errors.items()) or "none"
        statuses = ", ".join(f"{count} x {status}" for status, count in self.statuses.items())
        lines = [f"{self.name}", f"  errors     {errors}", f"  answers    {statuses or 'none'}"]
        if self.latencies:
            lines.append(f"  a second   {self.per_second:.0f}")
            waits = [f"{name} {self.percentile(p):.3f} s" for name, p in PERCENTILES]
            lines.append(f"  latency    {', '.join(waits)}")
        if self.latencies and self.beware:
            lines.append(f"  beware     {self.beware}")
        return "\n".join(lines)

    __repr__ = __str__


PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("worst", 100.0))


def closed(server: Any, path: str = "/", *, clients: int = 8, requests: int = 64) -> Report:
    """Let `clients` ask, each again when it has its answer, until `requests` were sent.

    `server` is a coursekit.live Server or an address (host, port). Each request has a connection
    of its own, so that a client is bound to no worker.
    """
    plan = _plan(server, path, clients, requests, None)
    return _run(f"{clients} client{'s' * (clients > 1)}, {requests} requests", plan)


def open(server: Any, path: str = "/", *, rate: float = 50, seconds: float = 2.0) -> Report:
    """Ask `rate` times a second for `seconds`, evenly, whatever has been answered."""
    plan = _plan(server, path, 0, round(rate * seconds), rate)
    return _run(f"{rate:g} requests a second for {seconds:g} s", plan)


def _plan(server: Any, path: str, clients: int, requests: int, rate: float | None) -> Plan:
    if requests < 1 or (rate is None and clients < 1) or (rate is not None and rate <= 0):
        raise ValueError("a load needs clients, requests and a rate above 0")
    host, port = getattr(server, "address", server)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    return Plan(host=host, port=port, request=request, clients=clients, requests=requests,
                rate=rate, patience=PATIENCE)  # fmt: skip


def _run(name: str, plan: Plan) -> Report:
    """Carry the plan out in a process of its own; a run that takes long shows how far it is."""
    from coursekit.load.shown import progress  # it draws reports, and so imports this module

    command = [sys.executable, "-m", "coursekit.load.generator"]
    bar = None
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            json.dump(plan, process.stdin)
            process.stdin.close()
            for line in process.stdout:
                said = json.loads(line)
                if "through" in said:
                    bar = bar or progress(name, plan["requests"])
                    bar(said["through"])
                    continue
                if bar:
                    bar(plan["requests"])
                return Report(name, said["seconds"], said["notes"])
        except BaseException:
            process.kill()
            raise
    raise RuntimeError(f"the load generator ended with status {process.returncode}")


@functools.cache
def limit() -> float:
    """Return how many answers a second the generator takes from a server that does nothing."""
    with canned() as address:
        report = closed(address, clients=16, requests=1000)
    return report.per_second

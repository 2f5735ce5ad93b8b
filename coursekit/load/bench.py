"""Measure servers side by side: `python -m coursekit.load.bench [--quick]`, or `make bench`.

Absolute figures do not repeat on a shared machine, so none is reported alone: the servers take
turns in every round, each figure is the median of the rounds, and what counts is the ratio to
Gunicorn's gthread in the same run, per CPU-second that the server's processes spent.

A figure is left out, and the reason is said, when an answer was wrong, when the server did not come
up, or when the load generator was the side that could not keep up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .drive import Address, Sample, Workload, WrongAnswer, cores, drive, have_wrk, pinned

ROOT = Path(__file__).resolve().parents[2]
BASE = "gunicorn gthread"

HELLO = b"Hello from WSGI\n"
JSON = json.dumps({"text": "x" * (10 * 1024 - 12)}).encode("ascii")
LINES = b"".join((b"%d " % n).ljust(64 * 1024 - 1, b".") + b"\n" for n in range(16))
WORKLOADS = (
    Workload("hello", "apps.hello_wsgi:app", HELLO),
    Workload("hello, closing", "apps.hello_wsgi:app", HELLO, close=True),
    Workload("10 KiB echo", "apps.echo_wsgi:app", b"POST /\n10240 bytes\n\n" + JSON, body=JSON),
    Workload("1 MiB stream", "apps.stream_wsgi:app", LINES, "/?n=16&size=65536", clients=8),
    Workload("200 wait 50 ms", "apps.work_wsgi:app", b"done\n", "/sleep?0.05", clients=200),
)

GUNICORN = "-m gunicorn {app} -b 127.0.0.1:{port} -w 1 --no-control-socket --log-level critical"
SERVERS = {  # as a person would start them: one process; threads where the server has threads
    "toy": "-m servers wsgi {app} --host 127.0.0.1 --port {port} --threads {threads}",
    BASE: GUNICORN + " -k gthread --threads {threads}",
    "gunicorn sync": GUNICORN + " -k sync",
    "waitress": "-m waitress --listen=127.0.0.1:{port} --threads={threads} {app}",
}


@dataclass
class Result:
    """Collect one server's rounds of one workload."""

    samples: list[Sample] = field(default_factory=list)
    problem: str = ""

    @property
    def errors(self) -> int:
        """Return how many connections failed in all rounds."""
        return sum(sample.errors for sample in self.samples)

    @property
    def bound(self) -> bool:
        """Tell whether the generator set the pace in most rounds."""
        return 2 * sum(s.generator_bound for s in self.samples) > len(self.samples)

    def middle(self, figure: Callable[[Sample], float]) -> float:
        """Return the median of a figure over the rounds; 0 without any."""
        return median(map(figure, self.samples)) if self.samples else 0.0


Results = dict[str, dict[str, Result]]  # workload -> server -> result


@contextmanager
def serving(server: str, app: str, threads: int) -> Iterator[tuple[Address, int]]:
    """Run a server on the first core; give its address and process id; end its whole session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address: Address = probe.getsockname()
    words = SERVERS[server].format(app=app, port=address[1], threads=threads).split()
    split = cores()
    with pinned(split[0] if split else None):
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_until_up(address, process)
        yield address, process.pid
    finally:
        end(process)


def wait_until_up(address: Address, process: subprocess.Popen[bytes], limit: float = 30) -> None:
    """Return once the address accepts connections; raise OSError after `limit` s."""
    deadline = time.monotonic() + limit
    while True:
        if process.poll() is not None:
            raise OSError(f"it ended at once with exit status {process.returncode}")
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server and everything that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(3)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def measure(
    servers: Sequence[str], workloads: Sequence[Workload], *, rounds: int, seconds: float,
    threads: int = 8, own: bool = False, say: Callable[[str], None] = lambda line: None,
) -> Results:  # fmt: skip
    """Let the servers take turns, `rounds` times, on each workload."""
    results: Results = {w.name: {s: Result() for s in servers} for w in workloads}
    for workload in workloads:
        for turn in range(rounds):
            for server in servers:
                result = results[workload.name][server]
                if result.problem:
                    continue
                say(f"{workload.name}, round {turn + 1} of {rounds}: {server}")
                try:
                    with serving(server, workload.app, threads) as (address, pid):
                        result.samples.append(drive(address, pid, workload, seconds, own))
                except (OSError, WrongAnswer) as error:
                    result.problem = f"{error}"
    return results


def rows(results: dict[str, Result]) -> list[dict[str, object]]:
    """Return a row of figures for each server of one workload, with ratios to BASE."""
    base = results.get(BASE, Result()).middle(lambda s: s.per_cpu)
    found = []
    for server, result in results.items():
        row: dict[str, object] = {"server": server, "errors": result.errors}
        note = result.problem or ("the load generator was the limit" if result.bound else "")
        row["note"] = note
        if not note and result.samples:
            each = sorted(sample.per_cpu for sample in result.samples)
            row["per_cpu"] = round(median(each))
            row["per_second"] = round(result.middle(lambda s: s.answers / s.seconds))
            if base:
                row["ratio"] = round(median(each) / base, 2)
                row["spread"] = [round(each[0] / base, 2), round(each[-1] / base, 2)]
        found.append(row)
    return found


def table(name: str, found: list[dict[str, object]]) -> str:
    """Return the rows as text, for a terminal."""
    lines = [f"{name:20}{'ratio':>7}{'from - to':>16}{'per CPU-s':>11}{'per s':>9}{'errors':>8}"]
    for row in found:
        line = f"  {row['server']:18}"
        if "per_cpu" in row:
            low, high = row.get("spread", ["", ""])  # type: ignore[misc]
            line += f"{row.get('ratio', '')!s:>7}{f'{low} - {high}':>16}"
            line += f"{row['per_cpu']:>11}{row['per_second']:>9}{row['errors']:>8}"
        lines.append(line + (f"  left out: {row['note']}" if row["note"] else ""))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench from the command line; print tables and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.load.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="hello alone, 3 short rounds")
    parser.add_argument("--rounds", type=int, help="turns of each server (3 quick, else 5)")
    parser.add_argument("--seconds", type=float, help="of load in each turn (1 quick, else 2)")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    names = [w.name for w in WORKLOADS]
    parser.add_argument("--workloads", nargs="+", choices=names)
    parser.add_argument("--own", action="store_true", help="use the course's client, not wrk")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    args = parser.parse_args(arguments)
    chosen = args.workloads or (names[:1] if args.quick else names)
    workloads = [w for w in WORKLOADS if w.name in chosen]
    results = measure(
        args.servers, workloads, own=args.own, threads=args.threads,
        rounds=args.rounds or (3 if args.quick else 5),
        seconds=args.seconds or (1 if args.quick else 2),
        say=lambda line: print(f"\r{line:60}", end="", file=sys.stderr, flush=True),
    )  # fmt: skip
    print("\r" + " " * 60, end="\r", file=sys.stderr)
    report = {"machine": machine(args.own), "workloads": {n: rows(r) for n, r in results.items()}}
    for name, found in report["workloads"].items():
        print(table(name, found), end="\n\n")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def machine(own: bool) -> dict[str, str]:
    """Say on what the figures were taken."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "generator": "coursekit.load.client" if own or not have_wrk() else "wrk",
        "pinned": "a core each" if cores() else "no: this system cannot, or has one core",
    }


if __name__ == "__main__":
    sys.exit(main())

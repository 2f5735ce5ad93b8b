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
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from coursekit.live import Server, ServerError, live
from coursekit.live.child import Child

from . import on_loop, rest
from .drive import Address, Workload, WrongAnswer, cores, drive, pinned
from .idle import Idle, allow_files, idle
from .report import (
    ROOT,
    Result,
    Row,
    idle_table,
    import_milliseconds,
    machine,
    rows,
    sizes,
    table,
)

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
IDLE = "1,000 idle"
REST = "start and rest"

Start = Callable[[str, int], Server]  # (app, threads) -> a running server
BASE = "gunicorn gthread"


def serial(app: str, threads: int) -> Server:
    """Start the toy with one loop and no threads, which has no command line of its own."""
    module = "coursekit.load.serial"

    def words(*, port: int, fd: int | None, folder: str) -> list[str]:
        return ["python", "-m", module, app, str(port)]

    return Server("toy", app, Child("toy, serial", words, False, "nothing"), errors="log")


SERVERS: dict[str, Start] = {  # one process each; threads where the server has threads
    "toy": lambda app, n: live("toy", app, process=True, threads=n, errors="log"),
    "toy, serial": serial,
    BASE: lambda app, n: live("gunicorn", app, threads=n, errors="log"),
    "gunicorn sync": lambda app, n: live("gunicorn", app, errors="log"),
    "waitress": lambda app, n: live("waitress", app, threads=n, errors="log"),
    "cheroot": lambda app, n: live("cheroot", app, threads=n, errors="log"),
    "uwsgi": lambda app, n: live("uwsgi", app, threads=n, errors="log"),
    "wsgiref": lambda app, n: live("wsgiref", app, errors="log"),
}


@contextmanager
def serving(start: Start, app: str, threads: int) -> Iterator[tuple[Address, int]]:
    """Run a server on the first core; give its address and the id of its first process."""
    split = cores()
    with pinned(split[0] if split else None):
        server = start(app, threads)
    with server:
        yield server.address, server.workers[0].pid


def measure(
    servers: Mapping[str, Start], workloads: Sequence[Workload], *, rounds: int, seconds: float,
    threads: int = 8, own: bool = False, say: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, Result]]:  # fmt: skip
    """Let the servers take turns, `rounds` times, on each workload: {workload: {server: ...}}."""
    results = {w.name: {name: Result() for name in servers} for w in workloads}
    for workload in workloads:
        for turn in range(rounds):
            for name, start in servers.items():
                result = results[workload.name][name]
                if result.problem:
                    continue
                say(f"{workload.name}, round {turn + 1} of {rounds}: {name}")
                try:
                    with serving(start, workload.app, threads) as (address, pid):
                        result.samples.append(drive(address, pid, workload, seconds, own))
                except (OSError, ServerError, WrongAnswer) as error:
                    result.problem = str(error)
    return results


def measure_idle(
    servers: Mapping[str, Start], *, connections: int = 1000, asks: int = 200, threads: int = 8,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Idle | str]:  # fmt: skip
    """Let each server hold idle connections; return what was seen, or why nothing was."""
    limit = allow_files(connections + 100)
    found: dict[str, Idle | str] = {}
    for name, start in servers.items():
        if limit < connections + 100:
            found[name] = f"this system allows {limit} open files (ulimit -n)"
            continue
        say(f"{IDLE}: {name}")
        try:
            with serving(start, WORKLOADS[0].app, threads) as (address, pid):
                found[name] = idle(address, pid, WORKLOADS[0], connections=connections, asks=asks)
        except (OSError, ServerError, WrongAnswer) as error:
            found[name] = str(error)
    return found


def measure_on_loop(args: argparse.Namespace) -> dict[str, list[Row]]:
    """Measure the servers on a loop, each workload beside a base of its own."""
    wanted = [each for each in on_loop.TABLES if each.workload.name in args.workloads]
    found = {}
    for workload, servers, base in wanted:
        results = measure(servers, [workload], rounds=args.rounds, seconds=args.seconds,
                          own=args.own, say=say)  # fmt: skip
        found[workload.name] = rows(results[workload.name], base)
    return found


def at_rest(servers: Mapping[str, Start], threads: int) -> dict[str, rest.Start]:
    """Return what starts each server with its hello, those on a loop after the others."""
    loops = {f"{name}, ASGI" if name in servers else name: start
             for name, start in on_loop.HELLO.servers.items()}  # fmt: skip
    apps = dict.fromkeys(servers, WORKLOADS[0].app)
    apps |= dict.fromkeys(loops, on_loop.HELLO.workload.app)
    return {name: partial(start, apps[name], threads)
            for name, start in {**servers, **loops}.items()}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench from the command line; print tables and write JSON."""
    # long: its steps, one after the other
    args = parse(arguments)
    servers = {name: SERVERS[name] for name in args.servers}
    workloads = [w for w in WORKLOADS if w.name in args.workloads]
    found = measure(
        servers, workloads, rounds=args.rounds, seconds=args.seconds, threads=args.threads,
        own=args.own, say=say,
    )  # fmt: skip
    report: dict[str, object] = {"machine": machine(args.own), "base": BASE}
    report["workloads"] = {name: rows(results, BASE) for name, results in found.items()}
    tables = [table(name, rows(results, BASE)) for name, results in found.items()]
    report["on a loop"] = loops = measure_on_loop(args)
    tables += [table(name, found) for name, found in loops.items()]
    if IDLE in args.workloads:
        idles = measure_idle(servers, threads=args.threads, say=say)
        report["idle"] = {k: v if isinstance(v, str) else asdict(v) for k, v in idles.items()}
        tables.append(idle_table(idles))
    if REST in args.workloads:
        rests = rest.measure(at_rest(servers, args.threads), args.rounds, say)
        report["rest"] = {k: v if isinstance(v, str) else asdict(v) for k, v in rests.items()}
        tables.append(rest.table(rests))
    report["lines"] = sizes()
    report["import_ms"] = {m: import_milliseconds(m) for m in ("servers.workers", "waitress")}
    say("")
    print("\n\n".join(tables))
    print("\nlines:", ", ".join(f"{name} {lines}" for name, lines in sizes().items()))
    print("import, ms:", ", ".join(f"{m} {ms}" for m, ms in report["import_ms"].items()))  # type: ignore[attr-defined]
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = [w.name for w in (*WORKLOADS, *(each.workload for each in on_loop.TABLES))]
    names += [IDLE, REST]
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.load.bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="hello alone, in short rounds")
    parser.add_argument("--rounds", type=int, help="turns of each server (3)")
    parser.add_argument("--seconds", type=float, help="of load in each turn (2; quick: 1)")
    parser.add_argument("--threads", type=int, default=8, help="of the servers that have any (8)")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--workloads", nargs="+", choices=names)
    parser.add_argument("--own", action="store_true", help="use the course's client, not wrk")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    args = parser.parse_args(arguments)
    args.workloads = args.workloads or (names[:1] if args.quick else names)
    args.rounds = args.rounds or 3
    args.seconds = args.seconds or (1 if args.quick else 2)
    return args


def say(line: str) -> None:
    """Show progress on a terminal, in one line that is written over."""
    if sys.stderr.isatty():
        print(f"\r{line:60}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

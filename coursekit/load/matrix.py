"""The whole matrix: every server that is here, every row; and the file that keeps it.

    python -m coursekit conformance             show it, as measured now
    python -m coursekit conformance --write     write docs/conformance.md

Rule 1  What stands in the file was measured; a test measures it again and compares each cell.
Rule 2  A column is compared where the server is here in the version of the file, else said and
        left out: another version may behave in another way, and then the file is what is old.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from coursekit.doctor import TOOLS
from coursekit.live import missing

from .conformance import (
    KINDS,
    ROWS,
    ROWS_ASGI,
    SERVERS,
    SERVERS_ASGI,
    Kind,
    Table,
    side_by_side,
    start,
)
from .rows import Peer, Row, Verdict

FILE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
HEAD = """\
# What each server does

Every server serves the same app and is sent the same bytes, over real connections. `ok`: what the
RFC or PEP asks for; `x` and what came instead; in brackets which of several right answers it was.
The rows are `coursekit/load/rows_http.py`, `rows_wsgi.py` and `rows_asgi.py`, the apps are in
`apps/`. This file is made by `python -m coursekit conformance --write`, and a test holds it
against the servers.

A score is no rank: a row costs a point whatever it means in practice. Behind a front, both halves
of the pair are judged as one.
"""
HEAD_ASGI = """\
## Servers that speak ASGI

The rows of HTTP/1.1, with an app that answers the same over ASGI.
"""
# Where a server does one or the other from run to run: which of two threads, or of two ends of a
# connection, is first. (server, row) -> what was seen.
VARIES: dict[tuple[str, str], set[str]] = {
    ("gunicorn gevent", "raises SystemExit"): {"x closes", "x waits"},
    ("uwsgi", "raises SystemExit"): {"x closes", "x waits"},
    ("nginx + uwsgi", "raises SystemExit"): {"x 502", "x waits"},
    # These rows look into the app's memory, and each worker process has its own: two requests
    # that reach two workers do not meet, and are not counted together.
    ("toy prefork", "two requests overlap"): {"ok", "x one at a time"},
    ("toy prefork", "close() after the answer"): {"ok", "x never", "x more than once"},
    ("toy prefork", "close() when the client left"): {"ok", "x never"},
}
AGAIN = 5.0  # seconds for an answer, in the second look
PACKAGES = {"uwsgi": "pyuwsgi"}  # the others are called as the server is


def installed() -> list[str]:
    """Return the names of the servers that can be scored here."""
    return [name for name, server in SERVERS.items() if not missing(*needs(server))]


def measure(names: Iterable[str] | None = None) -> Table:
    """Score these servers, or all that are here, at the same time."""
    return side_by_side(*(installed() if names is None else names))


def measure_asgi() -> Table:
    """Score the servers that speak ASGI, at the same time."""
    return side_by_side(*SERVERS_ASGI, rows=ROWS_ASGI)


def versions(names: Iterable[str] = SERVERS) -> dict[str, str]:
    """Return server -> version as it stands in the file: "nginx 1.22 + gunicorn 27.0.1"."""
    found: dict[str, str] = {}
    for name in names:
        parts = [part.needs or (part.kind,) for part in _parts(KINDS[name])]
        found[name] = " + ".join(version_of(each) for part in parts for each in part)
    return found


def cell(server: str, verdict: Verdict) -> str:
    """Return what stands in the file for one row of one server."""
    words = f"x {verdict.came}" if not verdict.passed else "ok"
    if verdict.passed and isinstance(verdict.row, Row) and verdict.row.shown:
        words = f"ok ({verdict.came})"
    seen = VARIES.get((server, verdict.row.name), set())
    return " or ".join(sorted(seen)) if words in seen else words


def columns(table: Table) -> dict[str, dict[str, str]]:
    """Return {server: {row: cell}} of a measured table."""
    return {
        score.name: {v.row.name: cell(score.name, v) for v in score.verdicts}
        for score in table.scores
    }


def differences(name: str, now: dict[str, str], file: dict[str, str]) -> list[str]:
    """Say where a server does not do what the file says; those rows are played once more, alone.

    With much time: a machine that is busy with something else shall not look like a server.
    """
    rows = ROWS_ASGI if name in SERVERS_ASGI else ROWS
    wrong = [row for row in rows if now[row.name] != file.get(row.name)]
    if wrong:
        with ExitStack() as stack:
            peer = Peer(start(KINDS[name], stack).address, AGAIN)
            now = now | {row.name: cell(name, row.run(peer)) for row in wrong}
    return [
        f"{name}, {row.name}: {now[row.name]!r}, and the file says {file.get(row.name)!r}"
        for row in wrong
        if now[row.name] != file.get(row.name)
    ]


def text(table: Table, asgi: Table) -> str:
    """Return what the file says of the two measured tables."""
    return "\n".join([HEAD, *_tables(table), HEAD_ASGI, *_tables(asgi)])


def _tables(table: Table) -> list[str]:
    cells = columns(table)
    scores = [[name, kind, _score(cells[name])] for name, kind in versions(cells).items()]
    rows = [
        [verdict.row.name, *(cells[name][verdict.row.name] for name in cells),
         verdict.row.right, verdict.row.clause]
        for verdict in table.scores[0].verdicts
    ]  # fmt: skip
    tables = (["server", "version", "right"], scores), (["row", *cells, "right", "clause"], rows)
    return [_markdown(*each) for each in tables]


def kept(file: str, asgi: bool = False) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return {server: version} and {server: {row: cell}} of a half of a file's text."""
    blocks = re.findall(r"^(?:\|.*\n)+", file.partition(HEAD_ASGI)[2 * asgi], re.M)
    scores, matrix = (
        [line.strip("| ").split(" | ") for line in block.splitlines()] for block in blocks
    )
    names = matrix[0][1:-2]
    cells = {
        name: {line[0]: line[number] for line in matrix[2:]}
        for number, name in enumerate(names, 1)
    }
    return {line[0]: line[1] for line in scores[2:]}, cells


def _score(cells: dict[str, str]) -> str:
    words = [cell.partition(" (")[0] for cell in cells.values()]
    vary = sum(cell.startswith("ok or ") for cell in words)
    return f"{words.count('ok')} of {len(words)}" + f", {vary} vary" * bool(vary)


def _markdown(titles: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(titles)
    return "".join(f"| {' | '.join(line)} |\n" for line in [titles, rule, *lines])


def needs(server: Kind) -> Iterator[str]:
    """Yield what a server needs on the machine, by coursekit.doctor's names."""
    for part in _parts(server):
        yield from part.needs


def _parts(server: Kind) -> list[Kind]:
    return [server, *(_parts(server.behind) if server.behind else [])]


def version_of(kind: str) -> str:
    """Return name and version; the first two numbers where the system brings the program."""
    if kind in ("toy", "proxy", "wsgiref"):
        return kind
    if kind in ("nginx", "apache"):
        program = TOOLS[kind].path() or kind
        done = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
        found = re.search(r"/(\d+\.\d+)", done.stdout + done.stderr)
        return f"{kind} {found[1] if found else '?'}"
    return f"{kind} {version(PACKAGES.get(kind, kind))}"

"""Score a server: how many of the rows of HTTP/1.1 and PEP 3333 does it get right?

    score("toy")                                        a number, and what went wrong
    side_by_side("toy", "gunicorn", "waitress")         a table: one column each

Every server serves `apps.every_wsgi:app` and is played the same rows over real connections. The
rows are data: `rows_http.ROWS` and `rows_wsgi.ROWS`; a new row needs no code here. Two servers that
get the same number need not have got the same rows right: read the table.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from coursekit.live import Server, live

from . import rows_asgi, rows_http, rows_wsgi
from .rows import PATIENCE, SECOND_PATIENCE, Peer, Play, Row, Verdict

APP = "apps.every_wsgi:app"
APP_ASGI = "apps.every_asgi:app"
ROWS: list[Row | Play] = [*rows_http.ROWS, *rows_wsgi.ROWS]
ROWS_ASGI = rows_asgi.ROWS  # what PEP 3333 asks for is not asked of these


@dataclass(frozen=True)
class Kind:
    """Name a server with the options it is scored with, and what it needs on the machine."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    behind: Kind | None = None  # a front: the server it stands before
    app: str = APP


FOUR: dict[str, Any] = {"threads": 4}  # where a server has threads at all
GTHREAD = Kind("gunicorn", FOUR)
UWSGI = Kind("uwsgi", {**FOUR, "protocol": "uwsgi"}, ("uwsgi",))
APACHE = ("apache", "mod_wsgi")
# What `score` takes by name.
SERVERS = {
    "toy": Kind("toy", {**FOUR, "process": True}),
    "toy prefork": Kind("toy", {"threads": 4, "process": True, "workers": 2}),
    "wsgiref": Kind("wsgiref"),
    "gunicorn sync": Kind("gunicorn"),
    "gunicorn": GTHREAD,
    "gunicorn gevent": Kind("gunicorn", {"worker_class": "gevent"}),
    "waitress": Kind("waitress", FOUR),
    "cheroot": Kind("cheroot", FOUR),
    "uwsgi": Kind("uwsgi", FOUR, ("uwsgi",)),
    "mod_wsgi daemon": Kind("apache", FOUR, APACHE),
    "mod_wsgi embedded": Kind("apache", {**FOUR, "mode": "embedded"}, APACHE),
    "proxy + gunicorn": Kind("proxy", {}, (), GTHREAD),
    "apache + gunicorn": Kind("apache", {}, ("apache",), GTHREAD),
    "nginx + gunicorn": Kind("nginx", {}, ("nginx",), GTHREAD),
    "nginx 1.1 + gunicorn": Kind("nginx", {"http_version": "1.1"}, ("nginx",), GTHREAD),
    "nginx + uwsgi": Kind("nginx", {"protocol": "uwsgi"}, ("nginx",), UWSGI),
}


def _asgi(kind: str, **options: Any) -> Kind:
    return Kind(kind, options, app=APP_ASGI)


SERVERS_ASGI = {
    "toy, ASGI": _asgi("toy", interface="asgi", process=True),
    "uvicorn h11": _asgi("uvicorn", http="h11", loop="asyncio"),
    "uvicorn httptools": _asgi("uvicorn", http="httptools", loop="asyncio"),
    "uvicorn uvloop": _asgi("uvicorn", http="httptools", loop="uvloop"),
    "hypercorn": _asgi("hypercorn"),
    "daphne": _asgi("daphne"),
    "granian": _asgi("granian"),
    "gunicorn asgi": _asgi("gunicorn", worker_class="asgi"),
}
KINDS = {**SERVERS, **SERVERS_ASGI}


@dataclass(frozen=True)
class Score:
    """Hold the verdicts on one server."""

    name: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> int:
        """Return how many rows it got right."""
        return sum(verdict.passed for verdict in self.verdicts)

    @property
    def total(self) -> int:
        """Return how many rows there are."""
        return len(self.verdicts)

    @property
    def failed(self) -> list[Verdict]:
        """Return the verdicts on what it got wrong."""
        return [verdict for verdict in self.verdicts if not verdict.passed]

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.passed} of {self.total}"]
        for verdict in self.failed:
            row = verdict.row
            lines.append(f"  {row.name}: {verdict.came}; right: {row.right} ({row.clause})")
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True)
class Table:
    """Hold several scores, to be shown side by side as text or in a notebook."""

    scores: tuple[Score, ...]

    def lines(self) -> list[list[str]]:
        """Return the cells of the table: titles, a line for each row, the totals."""
        found = [["row", *(score.name for score in self.scores), "right", "clause"]]
        for verdicts in zip(*(score.verdicts for score in self.scores), strict=True):
            row = verdicts[0].row
            cells = [f"{'ok' if v.passed else 'x ' + v.came}" for v in verdicts]
            found.append([row.name, *cells, row.right, row.clause])
        totals = [f"{score.passed} of {score.total}" for score in self.scores]
        return [*found, ["total", *totals, "", ""]]

    def __str__(self) -> str:
        lines = self.lines()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        titles, *body, totals = self.lines()
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in titles)
        return (
            "<table><caption>What each server does: ok, or x and what came instead</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(map(_tr, body))}</tbody>"
            f"<tfoot>{_tr(totals)}</tfoot></table>"
        )


def _tr(line: Sequence[str]) -> str:
    first, *rest = (html.escape(cell) for cell in line)
    cells = "".join(
        f"<td>{'<strong>' + cell + '</strong>' if cell.startswith('x ') else cell}</td>"
        for cell in rest
    )
    return f'<tr><th scope="row">{first}</th>{cells}</tr>'


def play(address: tuple[str, int], rows: Sequence[Row | Play] = ROWS) -> tuple[Verdict, ...]:
    """Play the rows against the server at `address`, which has to serve `APP`.

    One or two that failed are played again with more time: that can be a busy machine. If more
    failed, only those are for which nothing came in time, and they only if they are one or two.
    """
    verdicts, late = [], []
    for index, row in enumerate(rows):
        began = time.monotonic()
        verdicts.append(row.run(Peer(address)))
        slow = time.monotonic() - began > 0.9 * PATIENCE
        if slow and not verdicts[-1].passed and "stays open" not in verdicts[-1].came:
            late.append(index)
    failed = [index for index, verdict in enumerate(verdicts) if not verdict.passed]
    again = failed if len(failed) <= 2 else late
    if len(again) <= 2:
        for index in again:
            verdicts[index] = rows[index].run(Peer(address, SECOND_PATIENCE))
    return tuple(verdicts)


def score(server: str | Server, rows: Sequence[Row | Play] = ROWS) -> Score:
    """Score a kind of server, which is started for it, or a Server that already serves `APP`."""
    return side_by_side(server, rows=rows).scores[0]


def side_by_side(*servers: str | Server, rows: Sequence[Row | Play] = ROWS) -> Table:
    """Score several servers at the same time."""
    with ExitStack() as stack:
        running = [
            start(KINDS[each], stack) if isinstance(each, str) else each for each in servers
        ]
        names = [each if isinstance(each, str) else each.kind for each in servers]
        with ThreadPoolExecutor(len(running) or 1) as pool:
            found = list(pool.map(lambda server: play(server.address, rows), running))
    return Table(tuple(Score(name, verdicts) for name, verdicts in zip(names, found, strict=True)))


def start(server: Kind, stack: ExitStack) -> Server:
    """Start a server as a child process: what goes wrong in it is a verdict, not an error here."""
    if server.behind is None:
        return stack.enter_context(live(server.kind, server.app, errors="log", **server.options))
    upstream = start(server.behind, stack)
    return stack.enter_context(
        live(server.kind, upstream=upstream, errors="log", **server.options)
    )


if __name__ == "__main__":
    print(side_by_side(*(sys.argv[1:] or ["toy", "wsgiref", "gunicorn", "waitress"])))

"""The rows of HTTP/1.1 for a server that speaks ASGI to its app: the same bytes, other apps."""

from __future__ import annotations

from dataclasses import replace

from . import rows_http
from .rows import Play, Row, body_has, body_is, get

SCOPE = "ASGI HTTP scope"


def translated(row: Row | Play) -> Row | Play:
    """Return a row of rows_http as it is for ASGI: what its app answers, and where it is said."""
    if isinstance(row, Play):
        clauses = {"first chunk at once": "ASGI send", "two requests overlap": "ASGI applications"}
        return replace(row, clause=clauses.get(row.name, row.clause))
    if row.name == "GET":
        return replace(row, judge=body_is(b"Hello from ASGI\n"))
    if row.name == "query apart from path":
        found = body_has(b"query_string = b'b=c'")
        return replace(row, pieces=(get("/scope/a?b=c"),), judge=found, clause=SCOPE)
    return replace(row, clause=row.clause.replace("PEP 3333 environ", SCOPE))


ROWS: list[Row | Play] = [translated(row) for row in rows_http.ROWS]

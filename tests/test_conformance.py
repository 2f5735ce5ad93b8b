"""The score: the toy gets every row right, and a server that does not is caught by the row."""

import socket
import threading

import pytest

import servers.wsgi
from apps import bad_wsgi, every_wsgi, odd_wsgi
from coursekit.live import live
from coursekit.load import matrix, rows
from coursekit.load.conformance import (
    APP,
    KINDS,
    ROWS,
    ROWS_ASGI,
    SERVERS,
    SERVERS_ASGI,
    Score,
    Table,
    play,
    score,
    side_by_side,
)
from coursekit.load.rows import Peer, Play, Row, Verdict, get

NAMES = [row.name for row in ROWS]


@pytest.fixture(scope="module")
def toy():
    with live("toy", APP, process=True, threads=4, errors="log") as server:
        yield Peer(server.address, patience=10)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_toy_gets_it_right(toy, row):
    verdict = row.run(toy)
    assert verdict.passed, f"{verdict.came}; right: {row.right} ({row.clause})"


def test_rows_are_complete():
    assert len(set(NAMES)) == len(NAMES) >= 60
    for row in ROWS:
        assert row.clause.startswith(("RFC ", "PEP 3333")) and row.right, row.name
    paths = b" ".join(piece for row in ROWS if isinstance(row, Row) for piece in row.pieces)
    played = {"counted", "endless", "exits"}  # by functions, not by one exchange
    for name in {*bad_wsgi.APPS, *odd_wsgi.APPS} - played - {"reads_all"}:
        assert f"/{name} ".encode() in paths, name


WSGIREF = {
    "GET": "",
    "keep-alive": "closes",
    "chunked body": "200, body lost",
    "two different CL": "200",
    "CL and TE": "200, by CL",
    "HEAD": "sends a body",
    "CR LF in a header": "200, split",
    "two requests overlap": "one at a time",
    "raises after output": "200, looks whole",
    "returns str": "",
    "exc_info before output": "",
}


@pytest.fixture(scope="module")
def wsgiref_score():
    return score("wsgiref", [row for row in ROWS if row.name in WSGIREF])


def test_wsgiref_fails_what_it_is_known_to_fail(wsgiref_score):
    failed = {verdict.row.name: verdict.came for verdict in wsgiref_score.failed}
    assert failed == {name: came for name, came in WSGIREF.items() if came}


# -- the whole matrix, and the file that keeps it

FILE = matrix.FILE.read_text("utf-8")
VERSIONS, KEPT = matrix.kept(FILE)
VERSIONS_ASGI, KEPT_ASGI = matrix.kept(FILE, asgi=True)
COLUMNS = [pytest.param(n, marks=pytest.mark.needs(*matrix.needs(s))) for n, s in KINDS.items()]


@pytest.fixture(scope="module")
def measured():
    """Score every server that is here, once."""
    return matrix.measure(), matrix.measure_asgi()


@pytest.mark.parametrize("name", COLUMNS)
def test_the_file_says_what_each_server_does(measured, name):
    here = matrix.versions([name])[name]
    there = {**VERSIONS, **VERSIONS_ASGI}[name]
    if here != there:
        pytest.skip(f"here is {here}, and the file is about {there}")
    table = measured[name in SERVERS_ASGI]
    file = {**KEPT, **KEPT_ASGI}[name]
    assert not matrix.differences(name, matrix.columns(table)[name], file)


def test_a_difference_is_said_and_looked_at_twice():
    now = {row.name: "ok" for row in ROWS}
    file = now | {"GET": "x 404", "keep-alive": "ok"}
    (said,) = matrix.differences("toy", now, file)
    assert said == "toy, GET: 'ok', and the file says 'x 404'"
    assert not matrix.differences("toy", now | {"GET": "x waits"}, now)  # it was only late


def test_the_file_is_read_as_it_is_written(measured):
    for asgi, table in enumerate(measured):
        versions, cells = matrix.kept(matrix.text(*measured), bool(asgi))
        assert cells == matrix.columns(table)
        assert versions == matrix.versions(cells)
    assert list(VERSIONS) == list(KEPT) == list(SERVERS)
    assert list(VERSIONS_ASGI) == list(KEPT_ASGI) == list(SERVERS_ASGI)
    assert all(set(column) == set(NAMES) for column in KEPT.values())
    assert all(set(column) == {row.name for row in ROWS_ASGI} for column in KEPT_ASGI.values())
    assert set(matrix.VARIES) <= {(name, row) for name in KINDS for row in NAMES}


def test_table_as_text_and_html(wsgiref_score):
    names = [verdict.row.name for verdict in wsgiref_score.verdicts]
    best = Score("<toy>", tuple(Verdict(v.row, True, "200") for v in wsgiref_score.verdicts))
    table = Table((best, wsgiref_score))
    lines = str(table).splitlines()
    assert len(lines) == len(names) + 2
    assert lines[0].split()[:3] == ["row", "<toy>", "wsgiref"]
    assert lines[-1].split("  ")[0] == "total"
    assert f"{len(names)} of {len(names)}" in lines[-1]
    html = table._repr_html_()
    assert html.count("<tr>") == len(lines) and "&lt;toy&gt;" in html and "<toy>" not in html
    assert 'scope="row"' in html and "<caption>" in html
    assert str(wsgiref_score).startswith(f"wsgiref: {wsgiref_score.passed} of {len(names)}\n")


def test_a_running_server_is_scored_where_it_is():
    some = [row for row in ROWS if row.name in ("GET", "calls it twice")]
    with live("toy", every_wsgi.app, errors="log") as server:
        assert score(server, some).passed == 2
        assert server.running


class Gone:
    """Be a server that has ended: nobody listens at its address."""

    kind = "gone"

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = listener.getsockname()


def test_columns_do_not_mix():
    with live("toy", APP, process=True) as toy:
        table = side_by_side(Gone(), toy, rows=[ROWS[0]])
    assert [(s.name, s.passed) for s in table.scores] == [("gone", 0), ("toy", 1)]
    assert "no connection: ConnectionRefusedError" in str(table)


def test_what_comes_too_late_is_played_twice(monkeypatch):
    monkeypatch.setattr("coursekit.load.conformance.PATIENCE", 0.0)
    patience = []

    def act(peer):
        patience.append(peer.patience)
        return "yes" if len(patience) > 1 else "waits"

    verdicts = play(("127.0.0.1", 1), [Play("slow at first", act, "yes", "PEP 3333")])
    assert verdicts[0].passed and patience == [rows.PATIENCE, rows.SECOND_PATIENCE]


@pytest.mark.parametrize(
    "name, broken, row",
    [
        ("wants_keep_alive", lambda request: False, "keep-alive"),
        ("encode_chunk", lambda data: b"not a chunk\r\n", "no length, HTTP/1.1"),
        ("unquote_to_bytes", lambda path: path.encode(), "%20 decoded in path"),
    ],
)
def test_a_broken_toy_is_caught(monkeypatch, name, broken, row):
    """Functions of the toy are exchanged while it runs: so will a learner's be."""
    monkeypatch.setattr("coursekit.load.conformance.SECOND_PATIENCE", 0.1)
    only = [each for each in ROWS if each.name == row]
    with live("toy", every_wsgi.app, errors="log") as server:
        assert score(server, only).passed == 1
        monkeypatch.setattr(servers.wsgi, name, broken)
        assert score(server, only).passed == 0


def test_half_an_answer_is_no_pass():
    """A server that stops in the middle of a body must not look like one that is done."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as sock:
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nHello from")

    thread = threading.Thread(target=serve)
    thread.start()
    verdict = ROWS[0].run(Peer(listener.getsockname()))
    thread.join()
    assert (verdict.passed, verdict.came) == (False, "200 cut off")
    assert ROWS[0].pieces == (get("/"),)

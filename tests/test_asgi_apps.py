"""The ASGI apps on the toy: the rows of HTTP, the misbehaving apps, and what each shows."""

import socket
from dataclasses import replace

import pytest

from apps import bad_asgi
from coursekit.live import live
from coursekit.load import rows_http
from coursekit.load.rows import (
    Peer,
    Row,
    body_has,
    body_is,
    cut_off,
    get,
    is_500,
    statuses,
)

# What the WSGI app says of itself, and what the ASGI app says instead.
OWN = {
    "GET": {"judge": body_is(b"Hello from ASGI\n")},
    "query apart from path": {
        "pieces": (get("/scope/a?b=c"),),
        "judge": body_has(b"path = '/scope/a'\nraw_path = b'/scope/a'\nquery_string = b'b=c'\n"),
    },
}
ROWS = [replace(row, **OWN.get(row.name, {})) for row in rows_http.ROWS]

ARRIVES = {"goes_on": b"ok\n", "raises_at_the_end": b"ok\n", "too_long": b"fi"}
CUT = ("unfinished", "too_short", "raises_after")
LEFT = ("endless", "deaf")


@pytest.fixture(scope="module")
def toy():
    with live("toy", "apps.every_asgi:app", process=True, interface="asgi", errors="log") as it:
        yield it


def play(row, toy):
    verdict = row.run(Peer(toy.address, patience=10))
    assert verdict.passed, f"{verdict.came}; right: {row.right} ({row.clause})"


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_rows_of_http(toy, row):
    play(row, toy)


@pytest.mark.parametrize("name", [name for name in bad_asgi.APPS if name not in LEFT])
def test_a_bad_app_costs_nobody_else_anything(toy, name):
    judge = body_is(ARRIVES[name]) if name in ARRIVES else cut_off if name in CUT else is_500
    play(Row(name, (get(f"/bad/{name}"),), bad_asgi.APPS[name].__doc__, "ASGI 3", judge), toy)
    play(Row("after it", (get("/"),), "200", "ASGI 3", statuses(200)), toy)


def test_the_log_names_message_and_state(toy):
    toy.send_raw(get("/bad/twice"))
    assert toy.log.grep(
        "the app failed on /bad/twice: 'http.response.start' cannot be sent after "
        "http.response.start: 'http.response.body' or"
    )


@pytest.mark.parametrize("name", LEFT)
def test_an_app_whose_client_leaves_is_told(toy, name):
    with socket.create_connection(toy.address) as sock:
        sock.sendall(get(f"/bad/{name}"))
        if name == "endless":
            assert sock.recv(1000)
    Peer(toy.address, 10).wait_for(lambda: name in toy.get("/bad/closed").text)
    assert name in toy.get("/bad/closed").text
    assert not toy.log.grep(f"the app failed on /bad/{name}")


def test_streams_are_counted_however_they_end(toy):
    assert toy.get("/stream/?n=2&size=4").content == b"0 .\n1 .\n"
    with socket.create_connection(toy.address) as sock:
        sock.sendall(get("/stream/endless?size=100000"))
        assert sock.recv(1000)
    with socket.create_connection(toy.address) as sock:
        sock.sendall(get("/stream/wait"))

    def counts():
        return dict(part.split("=") for part in toy.get("/stream/closed").text.split())

    Peer(toy.address, 10).wait_for(lambda: counts()["started"] == counts()["closed"])
    assert counts()["started"] == counts()["closed"] and int(counts()["finished"]) >= 2


@pytest.mark.parametrize(("target", "status"), [
    ("/work/", 200), ("/work/cpu?1", 200), ("/work/block?0.01", 200), ("/work/sleep?0", 200),
    ("/work/meet?1", 200), ("/work/meet?2", 503),
])  # fmt: skip
def test_work(toy, target, status):
    answer = toy.get(target)
    assert (answer.status_code, answer.text) == (status, "done\n")
    assert answer.headers["x-served-by"].split()[0] == str(toy.workers[-1].pid)


def test_one_scope_is_shown_without_what_is_secret(toy):
    text = toy.get("/scope/?q", headers={"cookie": "secret", "x-try": "shown"}).text
    assert "root_path = '/scope'" in text and "header b'x-try' = b'shown'" in text
    assert "secret" not in text and "cookie" not in text


def test_bad_apps_are_listed_with_what_is_right(toy):
    text = toy.get("/bad/").text
    assert all(f"/{name}  " in text for name in bad_asgi.APPS) and text.count("Right: ") == 29

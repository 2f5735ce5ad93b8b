"""The trace through a front: both wires and the app in one story, the same at each run."""

from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import httpx
import pytest

from coursekit import flow
from coursekit.flow import compare, decode, uwsgi
from coursekit.flow.detail import detail
from coursekit.flow.front import ended
from coursekit.flow.tap import Wire
from coursekit.live import Server, live

HELLO = "apps.hello_wsgi:app"
MS = 1_000_000
NOBODY = ("127.0.0.1", 1)  # a port that nobody listens on
UWSGI = {"protocol": "uwsgi"}
PAIRS = [
    pytest.param("nginx", "gunicorn", {}, marks=pytest.mark.needs("nginx"), id="nginx-gunicorn"),
    pytest.param("nginx", "uwsgi", UWSGI, marks=pytest.mark.needs("nginx", "uwsgi"),
                 id="nginx-uwsgi"),
    pytest.param("apache", "gunicorn", {}, marks=pytest.mark.needs("apache"),
                 id="apache-gunicorn"),
]
nginx = pytest.mark.needs("nginx")


@contextmanager
def door(front: str, behind: str, options: dict[str, str], app: str = HELLO) -> Iterator[Server]:
    with (live(behind, app, watch=True, errors="log", **options) as server,
          live(front, upstream=server, errors="log", **options) as opened):
        yield opened


def story(trace: flow.Trace) -> list[str]:
    """Return the steps as "nginx -> client: HTTP/1.1 200 OK"."""
    return [f"{trace.label(trace.lane(step, step.source))} -> "
            f"{trace.label(trace.lane(step, step.target))}: {step.label}" for step in trace.steps]


@pytest.mark.parametrize("front, behind, options", PAIRS)
def test_both_wires_and_the_app_are_one_story_at_each_run(front, behind, options):
    with door(front, behind, options) as opened:
        address, upstream = opened.address, opened.upstream
        forms = []
        for _ in range(3):
            with flow.record(opened) as trace:
                assert trace.get("/hello?x=1").status_code == 200
                assert trace.post("/post", content=b"abc").status_code == 200
            forms.append((trace.table(), trace.mermaid(), trace.summary()))
        assert (opened.address, opened.upstream) == (address, upstream)
        assert opened.get("/").status_code == 200
    assert forms[0] == forms[1] == forms[2]
    server = f"{behind} worker"
    assert [trace.label(lane) for lane in trace.lanes()] == ["client", front, server, "app"]
    assert trace.title() == "GET /hello?x=1: 200, POST /post: 200"
    told = story(trace)
    version = {"nginx": "1.0", "apache": "1.1"}[front]
    passed = trace.steps[3].label if options else f"GET /hello?x=1 HTTP/{version}"
    assert told[:8] == [
        f"client -> {front}: connects",
        f"client -> {front}: GET /hello?x=1 HTTP/1.1",
        f"{front} -> {server}: connects",
        f"{front} -> {server}: {passed}",
        f"{server} -> app: app(environ, start_response)",
        f'app -> {server}: start_response("200 OK")',
        f"app -> {server}: returns list of 1",
        f"app -> {server}: yields 16 bytes"]
    assert told[8].startswith(f"{server} -> {front}: HTTP/1.")
    assert told[9:16] == [
        f"{server} -> {front}: body, 16 bytes",
        f"{server} -> {front}: closes (FIN)",
        f"{front} -> {server}: closes (FIN)",
        f"{front} -> client: HTTP/1.1 200 OK",
        f"{front} -> client: body, 16 bytes",
        f"client -> {front}: POST /post HTTP/1.1",
        f"client -> {front}: body, 3 bytes"]
    assert told[-2:] == [f"client -> {front}: closes (FIN)", f"{front} -> client: closes (FIN)"]


def ends_behind(trace: flow.Trace) -> list[str]:
    second = {"front", "server"}
    return [step.label for step in trace.steps
            if {step.source, step.target} == second and step.kind in ("connect", "eof")]


@pytest.mark.parametrize("front", [
    "proxy", pytest.param("apache", marks=pytest.mark.needs("apache"))])
def test_a_kept_connection_behind_the_front_has_no_end(front):
    with live("gunicorn", HELLO, threads=2, watch=True) as server:
        with live(front, upstream=server) as opened, flow.record(opened) as trace:
            assert [trace.get("/").status_code for _ in range(2)] == [200, 200]
    assert ends_behind(trace) == ["connects"]


@nginx
def test_a_connection_that_ends_without_a_word_has_its_ends():
    with live("gunicorn", HELLO, threads=2, watch=True) as server:
        said = {"http_version": "1.1", "headers": {"Connection": ""}}
        with live("nginx", upstream=server, **said) as opened, flow.record(opened) as trace:
            trace.get("/")
    assert ends_behind(trace) == ["connects", "closes (FIN)", "closes (FIN)"]


SLOW = """
import pathlib, time
def app(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    if environ["PATH_INFO"] == "/wait":
        for _ in range(2000):
            if pathlib.Path(__file__).with_name("seen").exists():
                break
            time.sleep(0.01)
    time.sleep(0.2)  # a pause that is told apart: longer than SLACK
    yield b"two"
"""


@nginx
def test_a_stream_shows_when_the_front_passed_each_piece_on(tmp_path, monkeypatch):
    (tmp_path / "slow_app.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    plain = {"buffering": False, "http_version": "1.1"}
    with live("gunicorn", "slow_app:app", watch=True) as server:
        with live("nginx", upstream=server) as front, flow.record(front) as held:
            assert held.get("/").content == b"onetwo"
        with live("nginx", upstream=server, **plain) as front, flow.record(front) as passed:
            url = "http://{}:{}/wait".format(*passed.address)
            with httpx.stream("GET", url, trust_env=False, timeout=30) as response:
                pieces = response.iter_raw()
                assert next(pieces) == b"one"
                (tmp_path / "seen").touch()
                assert next(pieces) == b"two"
    gives, sends = "app -> gunicorn worker: yields 3 bytes", "nginx -> client: chunk of "
    assert [line for line in story(held) if line == gives or line.startswith(sends)] == [
        gives, gives, f"{sends}6 bytes"]
    assert [line for line in story(passed) if line == gives or line.startswith(sends)] == [
        gives, f"{sends}3 bytes", gives, f"{sends}3 bytes"]


@nginx
def test_a_front_whose_server_is_gone_answers_alone():
    with door("nginx", "gunicorn", {}) as opened, flow.record(opened) as trace:
        opened.upstream.target = NOBODY
        assert trace.get("/").status_code == 502
    assert story(trace)[1:4] == ["client -> nginx: GET / HTTP/1.1",
                                 "gunicorn worker -> nginx: refuses the connection",
                                 "nginx -> client: HTTP/1.1 502 Bad Gateway"]


@nginx
def test_every_form_of_the_picture_has_the_front():
    with door("nginx", "gunicorn", {}) as opened:
        with flow.record(opened) as through:
            through.get("/")
        with flow.record(opened.upstream) as direct:
            direct.get("/")
    widget, pair = flow.Flow(through), flow.Flow(through, direct)
    for svg in (widget.still["image/svg+xml"], pair.still["image/svg+xml"]):
        texts = [each.text for each in ElementTree.fromstring(svg).iter() if each.text]
        assert "nginx" in texts
    assert "participant L1 as nginx" in widget.still["text/vnd.mermaid"]
    assert compare.table(through, direct).startswith("                 nginx + gunicorn")
    assert widget.data["rows"][3][0]["who"] == "nginx → gunicorn worker"
    assert "fsts-front" in widget.data["figures"][0]["even"][1]
    widget.close()
    pair.close()


def packet(**names: str) -> bytes:
    words = [word.encode() for pair in names.items() for word in pair]
    body = b"".join(len(word).to_bytes(2, "little") + word for word in words)
    return b"\0" + len(body).to_bytes(2, "little") + b"\0" + body


ASKED = packet(REQUEST_METHOD="POST", REQUEST_URI="/a?b", HTTP_COOKIE="secret", SECRET="hidden")


def test_a_uwsgi_packet_is_read_whole_or_not_at_all():
    parts = uwsgi.requests(ASKED + b"abc")
    assert [part.label for part in parts] == ["uwsgi request, 4 variables", "body, 3 bytes"]
    assert parts[0].asked == ("POST", "/a?b")
    wrong = [b"", b"\0\0", ASKED[:-1], b"\1" + ASKED[1:], packet()[:1] + b"\x02\0\0\x09\0",
             packet()[:1] + b"\x03\0\0\x01\0a"]
    assert [uwsgi.variables(data) for data in wrong] == [None] * len(wrong)
    assert uwsgi.requests(b"GET / HTTP/1.1\r\n\r\n") == decode.requests(b"GET / HTTP/1.1\r\n\r\n")


def made(*, late: int = 1) -> flow.Trace:
    """A request through a front; `late` in ms is when the server's FIN was noted."""
    trace = flow.Trace("uwsgi", front="nginx")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    request = b"POST /a?b HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    wires = [Wire(0, 1, "client", "connect"), Wire(MS, 1, "client", "data", request),
             Wire(5 * MS, 1, "server", "data", answer), Wire(6 * MS, 1, "client", "eof"),
             Wire(7 * MS, 1, "server", "eof")]
    behind = [Wire(2 * MS, 1, "client", "connect"), Wire(3 * MS, 1, "client", "data", ASKED),
              Wire(4 * MS, 1, "server", "data", answer), Wire((4 + late) * MS, 1, "server", "eof"),
              Wire((5 + late) * MS, 1, "client", "eof")]
    trace.load(wires, [], behind)
    return trace


def test_what_nobody_waits_for_has_one_place():
    assert made().table() == made(late=3).table() == made(late=9).table()
    assert made().table() != made(late=200).table()
    assert story(made())[4:7] == ["uwsgi -> nginx: HTTP/1.1 200 OK", "uwsgi -> nginx: closes (FIN)",
                                  "nginx -> uwsgi: closes (FIN)"]


def test_variables_are_named_and_only_harmless_values_shown():
    trace = made()
    step = next(step for step in trace.steps if step.kind == "variables")
    assert step.note == "POST /a?b"
    assert detail(trace, step)["fields"] == [
        ["REQUEST_METHOD", "POST"], ["REQUEST_URI", "/a?b"], ["HTTP_COOKIE", "(not shown)"],
        ["SECRET", "(not shown)"]]
    assert detail(trace, trace.steps[0])["fields"] == []


def test_two_requests_at_once_that_are_alike_keep_the_clocks_order():
    one, two = made(), made()
    trace = flow.Trace("uwsgi", front="nginx")
    again = [Wire(w.time, 2, w.sender, w.kind, w.data) for w in two.wires]
    behind = [Wire(w.time, w.connection - 1, w.sender, w.kind, w.data) for w in one.behind]
    trace.load(one.wires + again, [], behind + [
        Wire(w.time, 2, w.sender, w.kind, w.data) for w in behind])
    times = [step.time for step in trace.steps if not step.ends]  # an end stands with its answer
    assert len(trace.steps) == 20 and times == sorted(times)


def test_it_is_known_which_connections_are_still_to_end():
    begun = [Wire(0, 1, "client", "connect")]
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    closing = [*begun, Wire(1, 1, "server", "data", head)]
    over = [Wire(2, 1, "server", "eof"), Wire(3, 1, "client", "eof")]
    assert ended([]) and ended(begun) and not ended(closing) and ended(closing + over)
    assert not ended([*begun, Wire(1, 1, "client", "data", ASKED)])
    assert ended([Wire(0, 1, "server", "refused")])

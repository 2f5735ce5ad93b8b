"""Real sockets on the loopback: what clients do, and what they must get."""

import asyncio
import errno
import functools
import logging
import os
import select
import socket
import struct
import threading
import time
from contextlib import contextmanager

import pytest
from wire_cases import wire_cases

from apps import bad_wsgi, odd_wsgi
from coursekit.live import wire
from servers import http11, sender
from servers.connection import Connection
from servers.service import Service
from servers.workers import Times, listen, recv_until, serve_serial, serve_threads
from servers.wsgi import base_environ

MODES = {
    "serial": serve_serial,
    "one thread": functools.partial(serve_threads, threads=1),
    "threads": functools.partial(serve_threads, threads=4),
}
POOLS = ["one thread", "threads"]
FAST_AND_SLOW = ["serial", "threads"]  # for tests of waits: the pool looks once a second
PATIENCE = 10.0  # seconds until a test gives up; never until it goes on

HOST = b"Host: a\r\n"
CLOSE = b"Connection: close\r\n"


def get(path=b"/", fields=b"", version=b"1.1", method=b"GET"):
    return b"%b %b HTTP/%b\r\n" % (method, path, version) + HOST + fields + b"\r\n"


def post(body, path=b"/", fields=b"", length=None):
    length = len(body) if length is None else length
    return get(path, b"Content-Length: %d\r\n" % length + fields, method=b"POST") + body


def until(condition):
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


class Served:
    """A toy server in a thread: its address, what it logged, and a way to stop it."""

    def __init__(self, mode, app, **options):
        self.listener = listen()
        self.address = self.listener.getsockname()
        self.records = []
        self.log = logging.Logger("test")
        self.log.addHandler(self)
        self.level = logging.DEBUG
        self.stop_socket, self.stopper = socket.socketpair()
        self.error = None
        self.thread = threading.Thread(target=self.run, args=(MODES[mode], app), kwargs=options)
        self.thread.daemon = True
        self.thread.start()

    def handle(self, record):
        self.records.append(record)

    def run(self, serve, app, **options):
        try:
            serve(self.listener, app, stop=self.stop_socket, log=self.log, **options)
        except BaseException as error:
            self.error = error

    def logged(self):
        """Return what was logged so far, and forget it."""
        records, self.records = self.records, []
        return [(record.levelname, record.getMessage(), record.exc_info) for record in records]

    def stop(self):
        self.stopper.close()

    def ended(self):
        """Wait until serving has returned."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the server does not stop"
        self.stop_socket.close()
        assert self.error is None
        assert self.listener.fileno() == -1, "the listener is still open"


@contextmanager
def serving(mode, app, **options):
    served = Served(mode, app, **options)
    try:
        yield served
    finally:
        served.stop()
        served.ended()
    assert served.logged() == [], "a test looks at what was logged, or nothing is"


def echo(environ, start_response):
    """Answer with the request line and the body that came."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["{REQUEST_METHOD} {REQUEST_URI}\n".format(**environ).encode() + body]


def hello(environ, start_response):
    """Answer without a look at the body."""
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]


def exchange(served, *pieces, answers=None, half_close=False):
    return wire.send(served.address, *pieces, answers=answers, half_close=half_close,
                     timeout=PATIENCE)  # fmt: skip


def statuses(result):
    return [answer.status for answer in result.answers]


def bodies(result):
    return [answer.body for answer in result.answers]


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture(scope="module", params=[("serial", 0), ("threads", -1)], ids=["serial", "threads"])
def echo_server(request):
    """A server, and which of the cuts it is given: whole, or in pieces."""
    mode, cut = request.param
    with serving(mode, echo) as served:
        yield served, cut


# --- the cases in files, over sockets ---


@pytest.mark.parametrize("case", wire_cases("good"), ids=str)
def test_a_good_case_is_answered(echo_server, case):
    served, cut = echo_server
    result = exchange(served, *case.pieces()[cut], answers=len(case.requests))
    expected = [b"%b %b\n" % request[:2] + request[4] for request in case.requests]
    assert statuses(result) == [200] * len(expected)
    assert bodies(result) == expected


@pytest.mark.parametrize("case", wire_cases("bad"), ids=str)
def test_a_bad_case_is_refused_and_the_connection_closed(echo_server, case):
    served, cut = echo_server
    result = exchange(served, *case.pieces()[cut], half_close=True)
    before = [200] * case.name.endswith("second-request")
    assert statuses(result) == [*before, case.status]
    assert (result.end, result.answers[-1].complete) == ("closed", True)


# --- one connection, many requests ---


def test_a_connection_is_kept_for_the_next_request(mode):
    with serving(mode, echo) as served, wire.Connection(served.address) as client:
        for turn in range(1, 4):
            client.send(post(b"%d" % turn))
            assert bodies(client.read())[-1] == b"POST /\n%d" % turn
        assert client.end == "open"


@pytest.mark.parametrize(("request_", "end", "says"), [
    (get(), "open", None),
    (get(fields=CLOSE), "closed", "close"),
    (get(fields=b"Connection: X, Close\r\n"), "closed", "close"),
    (get(version=b"1.0"), "closed", "close"),
    (get(version=b"1.0", fields=b"Connection: Keep-Alive\r\n"), "open", "keep-alive"),
    (get(version=b"1.0", fields=b"Connection: keep-alive, close\r\n"), "closed", "close"),
    (get(method=b"HEAD"), "open", None),
    (get(method=b"HEAD", version=b"1.0"), "closed", "close"),
])  # fmt: skip
def test_who_closes_says_so(mode, request_, end, says):
    with serving(mode, hello) as served:
        result = exchange(served, request_)
    assert (result.status, result.end) == (200, end)
    assert result.answer.header("Connection") == says


def test_pipelined_answers_come_in_order_also_when_the_first_is_slow(mode):
    release, started = threading.Event(), threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            started.set()
            assert release.wait(PATIENCE)
        return echo(environ, start_response)

    with serving(mode, app) as served, wire.Connection(served.address) as client:
        client.send(get(b"/slow") + get(b"/2"), post(b"three", b"/3"))
        assert started.wait(PATIENCE)
        client.send(get(b"/4"))
        release.set()
        answers = bodies(client.read(4))
    assert answers == [b"GET /slow\n", b"GET /2\n", b"POST /3\nthree", b"GET /4\n"]


def test_many_pipelined_requests_are_all_answered(mode):
    paths = [b"/%d" % number for number in range(500)]
    with serving(mode, echo) as served:
        result = exchange(served, b"".join(get(path) for path in paths), answers=500)
    assert bodies(result) == [b"GET %b\n" % path for path in paths]


def test_requests_pipelined_behind_a_large_answer_are_answered(mode):
    """The answers wait for a slow reader, the next request for the answers: not for ever."""
    large = bytes(2 * 2**20)

    def app(environ, start_response):
        start_response("200 OK", [])
        return [large]

    with serving(mode, app) as served:
        result = exchange(served, get() * 5, answers=5)
    assert [len(body) for body in bodies(result)] == [len(large)] * 5


def test_a_client_that_closed_its_half_gets_every_answer(mode):
    with serving(mode, echo) as served:
        result = exchange(served, get(b"/1") + get(b"/2") + post(b"x"), half_close=True, answers=4)
    assert bodies(result) == [b"GET /1\n", b"GET /2\n", b"POST /\nx"]
    assert result.end == "closed"


def test_a_client_that_says_nothing_gets_nothing(mode):
    with serving(mode, echo) as served:
        result = exchange(served, half_close=True)
    assert (result.received, result.end) == (b"", "closed")


# --- bodies of requests ---


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_of_any_size_arrives_and_the_next_request_too(mode, size, framing):
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    if framing == "length":
        first = post(body)
    else:
        chunks = [body[at : at + 10_000] for at in range(0, size, 10_000)]
        first = get(fields=b"Transfer-Encoding: chunked\r\n", method=b"POST")
        first += b"".join(map(http11.encode_chunk, [*chunks, b""]))
    with serving(mode, echo) as served:
        result = exchange(served, first, get(b"/next"), answers=2)
    assert bodies(result) == [b"POST /\n" + body, b"GET /next\n"]


@pytest.mark.parametrize("exactly", [True, False], ids=["by its length", "to its end"])
def test_a_large_upload_that_was_read_keeps_the_connection(mode, exactly):
    size = 1_000_000

    def app(environ, start_response):
        body = environ["wsgi.input"].read(size if exactly else -1)
        start_response("200 OK", [])
        return [b"%d" % len(body)]

    with serving(mode, app) as served, wire.Connection(served.address) as client:
        for turn in (1, 2):
            client.send(post(bytes(size)))
            assert client.read(turn).answers[-1].body == b"%d" % size
        assert client.end == "open"


@pytest.mark.parametrize("times", [1, 10, 10_000])
def test_a_body_that_the_app_left_unread_is_no_request(mode, times):
    with serving(mode, hello) as served:
        result = exchange(served, post(get(b"/hidden") * times), get(b"/next"), answers=2)
    assert (bodies(result), result.end) == ([b"hello\n"] * 2, "open")


def test_a_body_that_the_app_read_in_part_is_no_request(mode):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["wsgi.input"].read(5)]

    with serving(mode, app) as served:
        result = exchange(served, post(get(b"/hidden") * 10_000), get(b"/next"), answers=2)
    assert bodies(result) == [b"GET /", b""]


def test_the_app_is_not_called_before_the_body_is_whole(mode):
    """A slow upload costs no thread, and a broken one is refused with its own status."""
    wire_ = get(method=b"POST", fields=b"Transfer-Encoding: chunked\r\n")
    wire_ += http11.encode_chunk(bytes(70_000)) + b"no size\r\n"
    app = Closing(echo)
    with serving(mode, app) as served:
        result = exchange(served, wire_)
    assert (result.status, result.end) == (400, "closed")
    assert app.closed == []


def look(client):
    """Return what a client has received, after taking what is there."""
    client.read(0)
    try:
        client._take(client._socket.recv(65536))
    except BlockingIOError:
        pass
    return client.exchange.received


# --- Expect: 100-continue ---

EXPECT = b"Expect: 100-continue\r\n"


def test_a_client_that_waits_is_told_to_continue_when_the_app_reads(mode):
    with serving(mode, echo) as served, wire.Connection(served.address) as client:
        client.send(post(b"", fields=EXPECT, length=5))
        until(lambda: look(client).endswith(b"\r\n\r\n"))
        assert client.exchange.received == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello", get(b"/next"))
        result = client.read(2)
    assert bodies(result) == [b"POST /\nhello", b"GET /next\n"]
    assert [answer.interim for answer in result.answers] == [(100,), ()]


def test_a_client_that_does_not_wait_gets_no_continue(mode):
    with serving(mode, echo) as served:
        result = exchange(served, post(b"hello", fields=EXPECT), get(), answers=2)
    assert bodies(result) == [b"POST /\nhello", b"GET /\n"]
    assert [answer.interim for answer in result.answers] == [(), ()]


def test_http_1_0_knows_no_continue(mode):
    request = b"POST / HTTP/1.0\r\nContent-Length: 5\r\n" + EXPECT + b"\r\n"
    with serving(mode, echo) as served, wire.Connection(served.address) as client:
        client.send(request)
        client.send(b"hello")
        result = client.read()
    assert (result.answer.body, result.answer.interim) == (b"POST /\nhello", ())


def test_continue_comes_behind_the_answer_before_it(mode):
    with serving(mode, echo) as served:
        result = exchange(served, get(b"/1") + post(b"", fields=EXPECT, length=0), answers=2)
    assert bodies(result) == [b"GET /1\n", b"POST /\n"]
    assert [answer.interim for answer in result.answers] in ([(), (100,)], [(), ()])


# --- refusals arrive ---

MUCH = bytes(4 * 2**20)


@pytest.mark.parametrize(("wire_", "status"), [
    (b"GET  / HTTP/1.1\r\n\r\n" + MUCH, 400),
    (post(MUCH, length=2**40), 413),
    (get(b"/" * 9000) + MUCH, 414),
    (get(b"/" + b"a" * 2**20) + MUCH, 414),
    (post(MUCH, fields=b"Expect: tea\r\n"), 417),
    (get(fields=b"X: " + b"x" * 33_000 + b"\r\n") + MUCH, 431),
    (get(fields=b"X: 1\r\n" * 101) + MUCH, 431),
    (get(method=b"CONNECT") + MUCH, 501),
    (get(version=b"2.0") + MUCH, 505),
    (post(MUCH, b"/fails"), 500),
])  # fmt: skip
def test_a_refusal_arrives_although_the_client_sends_much_more(mode, wire_, status):
    def app(environ, start_response):
        raise RuntimeError("on purpose")

    with serving(mode, app) as served:
        result = exchange(served, wire_)
        assert (statuses(result), result.end) == ([status], "closed")
        assert result.answer.complete
        assert b"Traceback" not in result.received
        assert len(served.logged()) == (status == 500)


def test_what_is_sent_behind_a_last_answer_resets_nothing(mode):
    """The next request is on its way while the server, whose app failed, says goodbye."""
    failed = threading.Event()

    def app(environ, start_response):
        failed.set()
        raise RuntimeError("on purpose")

    with serving(mode, app) as served, wire.Connection(served.address) as client:
        client.send(get())
        assert failed.wait(PATIENCE)
        until(lambda: look(client).endswith(b"log says how\n"))
        client.send(get() * 1000)
        assert client.read(2).end == "closed"
        assert len(served.logged()) == 1


def test_a_refusal_has_no_body_for_head(mode):
    with serving(mode, bad_wsgi.raises) as served:
        result = exchange(served, get(method=b"HEAD"))
        assert result.status == 500
        assert result.received.endswith(b"\r\n\r\n")
        served.logged()


# --- waits end ---


@pytest.mark.parametrize("mode", FAST_AND_SLOW)
def test_a_request_that_does_not_arrive_is_answered_408(mode):
    starts = [b"GET / HT", get()[:-2], post(b"he", length=5), get(b"/whole") + b"GET"]
    if mode == "serial":
        starts = starts[2:3]
    with serving(mode, echo, times=Times(head=0.05, io=0.05)) as served:
        clients = [wire.Connection(served.address, timeout=PATIENCE) for _ in starts]
        for client, start in zip(clients, starts, strict=True):
            client.send(start)
        for client, start in zip(clients, starts, strict=True):
            result = client.read(2)
            assert (result.answers[-1].status, result.end) == (408, "closed")
            assert len(result.answers) == 1 + (b"whole" in start)
            client.close()


@pytest.mark.parametrize("mode", FAST_AND_SLOW)
def test_a_second_head_has_no_more_time_than_the_first(mode):
    with serving(mode, echo, times=Times(head=0.05, idle=1000)) as served:
        with wire.Connection(served.address, timeout=PATIENCE) as client:
            client.send(get())
            assert client.read(1).status == 200
            client.send(b"GET / HT")
            result = client.read(2)
    assert statuses(result) == [200, 408]


@pytest.mark.parametrize("mode", FAST_AND_SLOW)
def test_a_head_that_trickles_is_answered_408(mode):
    with serving(mode, echo, times=Times(head=0.3)) as served:
        with wire.Connection(served.address, timeout=PATIENCE) as client:
            client.send(b"GET / HTTP/1.1\r\nX: ")

            def refused():
                client.send(b"x")
                return b"\r\n\r\n" in look(client)

            until(refused)
            assert client.read().status == 408


@pytest.mark.parametrize("mode", FAST_AND_SLOW)
def test_an_idle_connection_is_closed_without_a_word(mode):
    with serving(mode, echo, times=Times(idle=0.05)) as served:
        result = exchange(served, get(), answers=2)
    assert (statuses(result), result.end) == ([200], "closed")


def test_a_body_that_stops_arriving_is_broken_off(mode):
    with serving(mode, echo, times=Times(io=0.05)) as served:
        result = exchange(served, post(bytes(70_000), length=80_000))
    assert statuses(result) in ([], [408])
    assert result.end == "closed"


@pytest.mark.parametrize("mode", FAST_AND_SLOW)
def test_a_client_that_goes_on_sending_after_a_refusal_is_left(mode):
    with serving(mode, echo, times=Times(linger=0.05)) as served:
        with socket.create_connection(served.address, PATIENCE) as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            assert read_all(sock).startswith(b"HTTP/1.1 400 ")

            def left():
                try:
                    sock.send(b"more")
                except (ConnectionResetError, BrokenPipeError):
                    return True
                return False

            until(left)


# --- clients leave ---


class Closing:
    """An app whose every answer counts close(): `closed` is a list of paths."""

    def __init__(self, app):
        self.app, self.closed = app, []

    def __call__(self, environ, start_response):
        chunks = self.app(environ, start_response)
        app = self

        class Body:
            def __iter__(self):
                return iter(chunks)

            def close(self):
                app.closed.append(environ["PATH_INFO"])
                if hasattr(chunks, "close"):
                    chunks.close()

        return Body()


def endless(environ, start_response):
    start_response("200 OK", [])
    while True:
        yield b"more and more\n" * 100


def abort(sock):
    """Close a socket so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("leave", [socket.socket.close, abort], ids=["close", "reset"])
def test_close_is_called_once_when_the_client_leaves_in_a_download(mode, leave):
    app = Closing(endless)
    with serving(mode, app) as served:
        sock = socket.create_connection(served.address, PATIENCE)
        sock.sendall(get(b"/down"))
        assert sock.recv(1000)
        leave(sock)
        until(lambda: app.closed)
        assert exchange(served, b"nonsense\r\n\r\n").status == 400, "the server lives on"
    assert app.closed == ["/down"]


@pytest.mark.parametrize("leave", [socket.socket.close, abort], ids=["close", "reset"])
@pytest.mark.parametrize("size", [10, 100_000])
def test_an_upload_that_breaks_off_reaches_no_app(mode, leave, size):
    app = Closing(hello)
    with serving(mode, app) as served:
        sock = socket.create_connection(served.address, PATIENCE)
        sock.sendall(post(bytes(size), b"/up", length=200_000))
        leave(sock)
        for _ in range(3):
            assert exchange(served, get(b"/next")).status == 200
    assert app.closed == ["/next"] * 3


def test_a_client_that_leaves_before_its_answer_does_no_harm(mode):
    release, started = threading.Event(), threading.Event()

    def app(environ, start_response):
        started.set()
        assert release.wait(PATIENCE)
        return hello(environ, start_response)

    app = Closing(app)
    with serving(mode, app) as served:
        sock = socket.create_connection(served.address, PATIENCE)
        sock.sendall(get(b"/gone"))
        assert started.wait(PATIENCE)
        abort(sock)
        release.set()
        until(lambda: app.closed)
        assert bodies(exchange(served, get())) == [b"hello\n"]


# --- slow readers ---


def slow_reader(served, request):
    """Send a request with a small window for the answer, and read nothing yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(served.address)
    sock.sendall(request)
    return sock


def read_all(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


LARGE = 16 * 2**20  # more than the system keeps for a client that does not read


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_slow_reader_holds_up_nobody_and_gets_everything(mode, version):
    done = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/large":
            for _ in range(LARGE // 2**18):
                yield bytes(2**18)
            done.set()

    with serving(mode, app) as served:
        with socket.create_connection(served.address, PATIENCE) as sock:
            sock.sendall(get(b"/large", CLOSE, version))
            assert done.wait(PATIENCE), "the app waits for the client"
            if mode != "serial":
                assert exchange(served, get()).status == 200
            assert read_all(sock).count(b"\0") == LARGE


def test_a_piece_is_on_its_way_while_the_app_makes_the_next():
    """PEP 3333, Buffering and Streaming: servers must not delay the transmission of any block."""
    spooled, release = threading.Event(), threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield bytes(LARGE)
        spooled.set()
        assert release.wait(PATIENCE)

    with serving("threads", app) as served:
        with socket.create_connection(served.address, 1.5) as sock:
            sock.sendall(get(fields=CLOSE))
            assert spooled.wait(PATIENCE)
            received = 0
            try:
                while received < LARGE:
                    received += sock.recv(2**18).count(b"\0")
            except TimeoutError:
                pass
            release.set()
    assert received == LARGE


def test_more_than_the_disk_should_hold_makes_the_app_wait(mode, monkeypatch):
    monkeypatch.setattr(sender, "ON_DISK", 2**20)
    sent = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for _ in range(LARGE // 2**18):
            sent.append(1)
            yield bytes(2**18)

    def stalled():
        before = len(sent)
        time.sleep(0.1)
        return 0 < before == len(sent)

    with serving(mode, app) as served:
        with socket.create_connection(served.address, PATIENCE) as sock:
            sock.sendall(get(fields=CLOSE))
            until(stalled)
            assert len(sent) < LARGE // 2**18
            assert read_all(sock).count(b"\0") == LARGE


def test_a_slow_reader_of_a_last_answer_has_more_time_than_linger():
    """What is left of a download is no drained upload: each wait has its own limit."""
    large, done = bytes(4 * 2**20), threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield large
        done.set()

    with serving("threads", app, times=Times(head=0.05, linger=0.0)) as served:
        with slow_reader(served, get(fields=CLOSE)) as sock:
            data = b""
            while not done.is_set():
                data += sock.recv(65536)
            for _ in range(2):  # each 408 proves that the server has looked at the clock
                assert exchange(served, b"GET").status == 408
            data += read_all(sock)
    assert data.count(b"\0") == len(large)


def test_a_client_that_does_not_read_is_left(mode, monkeypatch):
    """The disk takes what it does not, up to a limit; then the app has to wait, but not long."""
    monkeypatch.setattr(sender, "ON_DISK", 2**20)
    app = Closing(endless)
    with serving(mode, app, times=Times(io=0.05)) as served:
        with slow_reader(served, get(b"/stuck")):
            until(lambda: app.closed)
    assert app.closed == ["/stuck"]


@pytest.mark.parametrize("mode", POOLS)
def test_slow_and_idle_clients_hold_no_thread(mode):
    with serving(mode, echo) as served:
        socks = [socket.create_connection(served.address, PATIENCE) for _ in range(100)]
        try:
            for number, sock in enumerate(socks):
                sock.sendall([get(), get()[:9], post(b"a", length=9), b""][number % 4])
            for _ in range(5):
                assert exchange(served, get(b"/active")).answer.body == b"GET /active\n"
            for number, sock in enumerate(socks):
                sock.sendall([get(), get()[9:], b"a" * 8, get()][number % 4])
                head, rest = recv_until(sock, b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
        finally:
            for sock in socks:
                sock.close()


def test_as_many_requests_as_threads_run_at_once():
    together = threading.Barrier(4)

    def app(environ, start_response):
        together.wait(PATIENCE)
        return hello(environ, start_response)

    with serving("threads", app) as served:
        for _ in range(3):
            clients = [wire.Connection(served.address) for _ in range(4)]
            for client in clients:
                client.send(get())
            for client in clients:
                assert client.read().status == 200
                client.close()


# --- stopping ---


def test_a_stop_closes_idle_connections(mode):
    with serving(mode, echo) as served:
        with wire.Connection(served.address, timeout=PATIENCE) as client:
            client.send(get())
            assert client.read().status == 200
            served.stop()
            assert client.read(2).end == "closed"
            served.ended()


@pytest.mark.parametrize("sent", [get(b"/slow"), get(b"/slow", CLOSE)], ids=["keep", "close"])
def test_a_stop_lets_the_request_in_flight_finish_and_says_close(mode, sent):
    release, started = threading.Event(), threading.Event()

    def app(environ, start_response):
        started.set()
        assert release.wait(PATIENCE)
        return hello(environ, start_response)

    with serving(mode, app) as served, wire.Connection(served.address) as client:
        client.send(sent)
        assert started.wait(PATIENCE)
        served.stop()
        if mode == "threads":
            until(lambda: refuses(served.address))
        release.set()
        result = client.read(2)
        client.close()
        served.ended()
    assert bodies(result) == [b"hello\n"]
    assert result.end == "closed"
    if mode == "threads":  # the others were busy in the app and could not know of it
        assert result.answer.header("Connection") == "close"


def refuses(address):
    try:
        socket.create_connection(address, PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the queue when the listener was closed
        pass
    return False


@pytest.mark.parametrize("mode", POOLS)
def test_a_stop_waits_for_a_request_that_has_begun_to_arrive(mode):
    with serving(mode, echo) as served, wire.Connection(served.address) as client:
        client.send(post(b"he", length=5))
        assert exchange(served, get()).status == 200  # so the first bytes have been read
        served.stop()
        until(lambda: refuses(served.address))
        client.send(b"llo")
        result = client.read()
        client.close()
        served.ended()
    assert (bodies(result), result.end) == ([b"POST /\nhello"], "closed")


def test_a_stop_has_a_deadline():
    """Serving returns although one app is stuck and one request never arrives; nothing leaks."""
    release, started = threading.Event(), threading.Event()

    def app(environ, start_response):
        started.set()
        assert release.wait(PATIENCE)
        return hello(environ, start_response)

    with serving("threads", app, times=Times(stop=0.05)) as served:
        with wire.Connection(served.address) as stuck, wire.Connection(served.address) as half:
            half.send(b"GET")
            stuck.send(get())
            assert started.wait(PATIENCE)
            served.stop()
            served.ended()
            assert half.read().end in ("closed", "reset")
            release.set()
            assert bodies(stuck.read(2)) == [b"hello\n"]
            assert stuck.end == "closed"


@pytest.mark.parametrize("serve", [serve_serial, serve_threads])
def test_a_server_without_a_stop_socket_serves_for_ever(serve):
    """Its thread is a daemon and ends with the process; the listener is kept from the collector."""
    listener = listen()
    FOR_EVER.append(listener)
    threading.Thread(target=serve, args=(listener, hello), daemon=True).start()
    for _ in range(2):
        assert wire.send(listener.getsockname(), get()).status == 200


FOR_EVER = []


@pytest.mark.parametrize("mode", ["one thread"])
def test_a_stop_serves_those_who_came_before_it(mode):
    """One request is in the app, one is with the server, one connection was not accepted yet."""
    release, started = threading.Event(), threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            started.set()
            assert release.wait(PATIENCE)
        return echo(environ, start_response)

    with serving(mode, app) as served, wire.Connection(served.address) as idle:
        idle.send(get(b"/1"))
        assert idle.read(1).status == 200
        with wire.Connection(served.address) as first, wire.Connection(served.address) as second:
            first.send(get(b"/slow"))
            assert started.wait(PATIENCE)
            idle.send(get(b"/2"))
            second.send(get(b"/3"))
            served.stop()
            release.set()
            assert bodies(first.read(2)) == [b"GET /slow\n"]
            assert bodies(idle.read(3)) == [b"GET /1\n", b"GET /2\n"]
            assert bodies(second.read(2)) == [b"GET /3\n"]
            assert {first.end, idle.end, second.end} == {"closed"}
        idle.close()
        served.ended()


# --- apps that fail ---


@pytest.mark.parametrize("name", [
    "text_body", "bare_text", "bare_bytes", "nothing", "silent", "twice", "dict_headers",
    "bytes_headers", "number_status", "split_header", "split_status", "hop_by_hop", "raises",
    "raises_before", "exits",
])  # fmt: skip
def test_a_mistake_before_the_head_is_a_500_and_logged_by_name(mode, name):
    with serving(mode, bad_wsgi.app) as served:
        result = exchange(served, get(b"/" + name.encode()), get(b"/after"))
        [(level, message, exc_info)] = served.logged()
    assert statuses(result) == [500]
    assert result.end == "closed"
    assert b"X-Admin" not in result.received
    assert b"Error" not in result.received.replace(b"Internal Server Error", b"")
    assert level == "ERROR"
    assert f"/{name}" in message
    assert exc_info[2] is not None


class Stray(BaseException):
    """What is no Exception and no exit: asyncio's and gevent's own are such."""


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, GeneratorExit, Stray])
def test_no_exception_of_an_app_ends_a_server(mode, error):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise error("on purpose")
        return hello(environ, start_response)

    with serving(mode, app) as served:
        for _ in range(5):
            assert exchange(served, get(b"/raise")).status == 500
        assert exchange(served, get()).status == 200
        assert len(served.logged()) == 5


def test_ctrl_c_in_an_app_is_not_the_apps_doing():
    def app(environ, start_response):
        raise KeyboardInterrupt

    with serving("serial", app) as served:
        assert exchange(served, get()).received == b""
        served.thread.join(PATIENCE)
        assert type(served.error) is KeyboardInterrupt
        served.error = None


@pytest.mark.parametrize(("version", "fields"), [
    (b"1.1", []), (b"1.1", [("Content-Length", "1000")]),
    (b"1.0", []), (b"1.0", [("Content-Length", "1000")]),
])  # fmt: skip
def test_a_mistake_behind_the_head_is_seen_by_the_client(mode, version, fields):
    def app(environ, start_response):
        start_response("200 OK", fields)
        yield b"the first half, "
        raise RuntimeError("on purpose")

    with serving(mode, app) as served:
        result = exchange(served, get(version=version))
        [(level, _, exc_info)] = served.logged()
    assert result.status == 200
    assert not result.answer.complete or result.end == "reset"
    assert (level, exc_info[0]) == ("ERROR", RuntimeError)


@pytest.mark.parametrize("request_", [get(), get(version=b"1.0"), post(MUCH)])
def test_a_mistake_in_close_leaves_the_answer_whole(mode, request_):
    def app(environ, start_response):
        class Body:
            def __iter__(self):
                yield bytes(100_000)

            def close(self):
                raise RuntimeError("on purpose")

        start_response("200 OK", [])
        return Body()

    with serving(mode, app) as served:
        result = exchange(served, request_, answers=2)
        assert (len(result.answer.body), result.end) == (100_000, "closed")
        assert result.answer.complete
        assert len(served.logged()) == 1


def test_too_long_and_too_short_bodies_are_told(mode):
    with serving(mode, bad_wsgi.app) as served:
        paths = (b"/too_short", b"/too_long")
        short, long = (exchange(served, get(path), answers=2) for path in paths)
        messages = [message for _, message, _ in served.logged()]
    assert (short.answer.body, short.answer.complete, short.end) == (b"five\n", False, "closed")
    assert (long.answer.body, long.answer.complete, long.end) == (b"fi", True, "closed")
    assert "5 bytes before its Content-Length" in messages[0]
    assert "3 bytes longer than its Content-Length" in messages[1]


@pytest.mark.parametrize("name", odd_wsgi.APPS)
def test_odd_apps_are_served(mode, name):
    path = b"/" + name.encode()
    with serving(mode, odd_wsgi.app) as served:
        result = exchange(served, post(b"1\n2\n3\n4", path), get(b"/"), answers=2)
    assert len(result.answers) == 2
    assert all(answer.complete for answer in result.answers)
    assert result.answers[0].status == {"changes_its_mind": 503, "no_content": 204}.get(name, 200)


# --- the server's own faults ---


@pytest.mark.parametrize("name", ["parse_head", "request_framing", "Data"])
def test_a_broken_function_is_a_500_and_the_server_lives_on(mode, name, monkeypatch):
    """A learner's function stands in the module's place: its errors must show, and end nothing."""

    def broken(*_):
        raise TypeError("on purpose: not finished")

    with serving(mode, hello) as served:
        with monkeypatch.context() as patch:
            patch.setattr(http11, name, broken)
            for _ in range(5):
                result = exchange(served, post(b"x"))
                assert (result.status, result.end) == (500, "closed")
        assert exchange(served, get()).status == 200
        logged = served.logged()
    assert [level for level, _, _ in logged] == ["CRITICAL"] * 5
    assert all(exc_info[0] is TypeError for _, _, exc_info in logged)


def test_a_fault_that_cannot_even_be_told_ends_the_connection_alone(mode, monkeypatch):
    def broken(*_):
        raise TypeError("on purpose: not finished")

    with serving(mode, hello) as served:
        with monkeypatch.context() as patch:
            patch.setattr(http11, "parse_head", broken)
            patch.setattr(http11, "encode_field", broken)
            result = exchange(served, get())
            assert (result.received, result.end) == (b"", "closed")
        assert exchange(served, get()).status == 200
        assert {level for level, _, _ in served.logged()} == {"CRITICAL"}


class Refusing:
    """A listening socket that cannot accept: the process has no more file descriptors."""

    def __init__(self, listener):
        self.listener, self.asked, self.refuse = listener, 0, False

    def __getattr__(self, name):
        return getattr(self.listener, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        if self.refuse:
            self.asked += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self.listener.accept()


@pytest.fixture
def refusing(monkeypatch):
    """A mode whose listener can be told to refuse; and where it is found."""
    made = []

    def serve(listener, *arguments, **options):
        made.append(Refusing(listener))
        serve_threads(made[0], *arguments, threads=2, **options)

    monkeypatch.setitem(MODES, "refusing", serve)
    return made


def test_a_server_out_of_files_serves_whom_it_has_and_accepts_again(refusing):
    with serving("refusing", hello) as served, wire.Connection(served.address) as old:
        old.send(get())
        assert old.read().status == 200
        [listener] = refusing
        listener.refuse = True
        with wire.Connection(served.address, timeout=PATIENCE) as new:
            new.send(get())
            until(lambda: listener.asked)
            for turn in range(200):
                old.send(get())
                assert len(old.read(turn + 2).answers) == turn + 2
            assert listener.asked < 50, "it asks again and again without a pause"
            listener.refuse = False
            assert new.read().status == 200
        assert {message.split(":")[0] for _, message, _ in served.logged()} == {"cannot accept"}


def test_a_server_out_of_files_can_be_stopped(refusing):
    with serving("refusing", hello) as served:
        until(lambda: refusing)
        refusing[0].refuse = True
        with wire.Connection(served.address):
            until(lambda: refusing[0].asked)
            served.stop()
            served.ended()
        served.logged()


# --- one connection, without a server ---


@contextmanager
def connected(app=hello):
    """Give a connection that nobody drives, and its client's socket."""
    with listen() as listener, socket.create_connection(listener.getsockname()) as client:
        sock, peer = listener.accept()
        with sock:
            yield Connection(sock, peer, Service(app, base_environ("a", 1))), client


def test_waking_up_for_nothing_does_nothing():
    with connected() as (served, _):
        assert not served.ready()
        assert not served.closed


def test_what_a_full_socket_does_not_take_is_kept():
    with connected() as (served, client):
        served.send(bytes(LARGE))
        for _ in range(2):
            served.flush()
            assert served.unsent
        received = 0
        while received < LARGE:
            received += len(client.recv(2**18))
            served.flush()
        assert not served.unsent
        served.close()


def test_what_is_held_leaves_before_what_comes_later():
    with connected() as (served, client):
        served.hold(b"1")
        served.hold(b"2")
        assert not select.select([client], [], [], 0)[0]
        served.send(b"3")
        served.release()
        assert client.recv(10) == b"123"
        served.hold(b"much" * 2**15)
        assert select.select([client], [], [], PATIENCE)[0]
        served.close()


def test_a_client_that_left_before_its_answer_was_released_is_no_fault():
    with connected() as (served, client):
        served.hold(b"late")
        abort(client)
        until(lambda: select.select([served.sock], [], [], 0)[0])
        served.release()
        assert served.closed


def test_telling_a_client_that_has_left_is_no_fault():
    with connected() as (served, client):
        client.sendall(b"GET")
        until(lambda: served.ready() or not served.idle())
        abort(client)
        until(lambda: select.select([served.sock], [], [], 0)[0])
        served.expire()
        assert served.closed


# --- listening and receiving ---


def test_listen_picks_a_port_and_a_family():
    with listen() as v4:
        assert v4.family == socket.AF_INET
        assert v4.getsockname()[1] > 0
    if socket.has_ipv6:
        with listen("::1") as v6:
            assert v6.family == socket.AF_INET6


def test_listen_says_what_is_wrong():
    with listen() as taken:
        with pytest.raises(OSError) as info:
            listen(port=taken.getsockname()[1])
        assert info.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError):
        listen("192.0.2.1")
    with pytest.raises(OSError):
        listen("no.such.name.invalid")


def test_a_port_can_be_bound_again_at_once():
    with serving("serial", hello) as served:
        assert exchange(served, get(fields=CLOSE)).status == 200
    listen(port=served.address[1]).close()


@pytest.mark.parametrize("pieces", [
    (b"one\r\n\r\ntwo",), (b"one\r", b"\n\r", b"\ntwo"), (b"o", b"ne\r\n\r\n", b"two"),
])  # fmt: skip
def test_recv_until_gives_what_came_and_what_came_behind(pieces):
    left, right = socket.socketpair()
    with left, right:
        for piece in pieces:
            left.sendall(piece)
        left.shutdown(socket.SHUT_WR)
        data, behind = recv_until(right, b"\r\n\r\n")
        while piece := right.recv(10):
            behind += piece
    assert (data, behind) == (b"one\r\n\r\n", b"two")


@pytest.mark.parametrize(("sent", "error"), [
    (b"no end", EOFError), (b"", EOFError), (b"a" * 99, ValueError),
    (b"a" * 10 + b"\r\n", ValueError),
])  # fmt: skip
def test_recv_until_says_when_it_never_comes(sent, error):
    left, right = socket.socketpair()
    with left, right:
        left.sendall(sent)
        left.shutdown(socket.SHUT_WR)
        with pytest.raises(error):
            recv_until(right, b"\r\n", limit=10)


def test_recv_until_takes_a_delimiter_that_ends_at_the_limit():
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"a" * 8 + b"\r\nrest")
        assert recv_until(right, b"\r\n", limit=10) == (b"a" * 8 + b"\r\n", b"rest")




def test_an_accept_that_fails_ends_no_serial_server(monkeypatch):
    class Refusing(socket.socket):
        """A listener without a free file descriptor, the first time."""

        refused = False

        def accept(self):
            if not self.refused:
                self.refused = True
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    with listen() as plain:
        listener = Refusing(fileno=os.dup(plain.fileno()))
    monkeypatch.setattr("test_workers.listen", lambda: listener)
    with serving("serial", hello) as served:
        assert statuses(exchange(served, get(fields=CLOSE))) == [200]
        (level, said, _), = served.logged()  # fmt: skip
        assert level == "ERROR" and "too many open files" in said

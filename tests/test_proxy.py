"""The proxy between real clients and scripted upstreams: each waits for what it expects."""

import contextlib
import functools
import logging
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest
from wire_cases import wire_cases

from apps import echo_wsgi
from coursekit.live import live, wire
from coursekit.load.conformance import APP, ROWS
from coursekit.load.rows import Peer
from servers import http11, proxy, relay, upstream
from servers.__main__ import main
from servers.proxy import serve_proxy
from servers.service import Disconnected, Times
from servers.workers import listen, recv_until

PATIENCE = 10.0  # seconds until a test gives up; never until it goes on
HOST = b"Host: a\r\n"
CLOSE = b"Connection: close\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
MIB = 1024 * 1024


def get(path=b"/", fields=b"", version=b"1.1", method=b"GET"):
    return b"%b %b HTTP/%b\r\n" % (method, path, version) + HOST + fields + b"\r\n"


def post(body, fields=b"", method=b"POST"):
    return get(b"/", b"Content-Length: %d\r\n" % len(body) + fields, method=method) + body


def until(condition):
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


class Thread(threading.Thread):
    """A thread that hands on what it raised."""

    def __init__(self, function, *arguments, **options):
        super().__init__(daemon=True)
        self.function, self.error = functools.partial(function, *arguments, **options), None
        self.start()

    def run(self):
        try:
            self.function()
        except BaseException as error:
            self.error = error

    def ended(self):
        self.join(PATIENCE)
        assert not self.is_alive(), "it does not end"
        if self.error is not None:
            raise self.error


class Front:
    """The proxy in a thread: its address, and what it logged."""

    def __init__(self, to, **options):
        self.listener = listen()
        self.address = self.listener.getsockname()
        self.logged = []
        log = logging.Logger("test")
        log.addHandler(self)
        self.level = logging.DEBUG
        self.stop_socket, self.stopper = socket.socketpair()
        self.thread = Thread(serve_proxy, self.listener, to, stop=self.stop_socket, log=log,
                             **options)  # fmt: skip

    def handle(self, record):
        self.logged.append(record.getMessage())


@contextlib.contextmanager
def front(to, logs=(), **options):
    """Run the proxy meanwhile; it has to end, and to have logged what the test expects."""
    served = Front(to, **options)
    try:
        yield served
    finally:
        served.stopper.close()
        served.thread.ended()
        served.stop_socket.close()
        assert served.listener.fileno() == -1
    assert [line for line in served.logged if not line.startswith(tuple(logs) or "\0")] == []
    assert len(served.logged) >= len(logs)


@contextlib.contextmanager
def scripted(*plays):
    """Be an upstream that takes one connection for each play, in order; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def run():
            for play in plays:
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(PATIENCE)
                    play(sock)

        thread = Thread(run)
        yield listener.getsockname()
        thread.ended()


def head_of(sock):
    """Receive a head; return it, and what came behind it."""
    return recv_until(sock, b"\r\n\r\n")


def to_end(sock):
    """Receive up to the end of the connection; a reset is an end too."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


def answers(*replies, then=None):
    """Return a play: for each reply, wait for a head and send the reply."""

    def play(sock):
        for reply in replies:
            head_of(sock)
            sock.sendall(reply)
        (then or to_end)(sock)

    return play


def leaves(sock):
    """Close at once: there is nothing to be read, so this is an end and no reset."""


def resets(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ask(served, *pieces, **options):
    return wire.send(served.address, *pieces, timeout=PATIENCE, **options)


def connect(served):
    sock = socket.create_connection(served.address, PATIENCE)
    return sock


# --- in front of the toy: everything that is known of HTTP and WSGI ---


@pytest.fixture(scope="module")
def before_toy():
    with (
        live("toy", APP, process=True, threads=8, errors="log") as toy,
        front(toy.address) as served,
    ):
        yield Peer(served.address, patience=PATIENCE)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_row_of_the_score_passes_through(before_toy, row):
    verdict = row.run(before_toy)
    assert verdict.passed, f"{verdict.came}; right: {row.right} ({row.clause})"


@pytest.fixture(scope="module", params=[0, -1], ids=["whole", "in pieces"])
def before_echo(request):
    # The proxy adds four fields, and the upstream counts them too.
    limits = http11.Limits(fields=104)
    with live("toy", echo_wsgi.app, limits=limits) as toy, front(toy.address) as served:
        yield served, request.param


@pytest.mark.parametrize("case", wire_cases("good"), ids=str)
def test_a_good_case_is_passed_on(before_echo, case):
    served, cut = before_echo
    result = ask(served, *case.pieces()[cut], answers=len(case.requests))
    assert [answer.status for answer in result.answers] == [200] * len(case.requests)
    bodies = [answer.body.split(b"\n\n", 1)[1] for answer in result.answers]
    assert bodies == [request[4] for request in case.requests]


@pytest.mark.parametrize("case", wire_cases("bad"), ids=str)
def test_a_bad_case_is_refused_by_the_proxy(before_echo, case):
    served, cut = before_echo
    result = ask(served, *case.pieces()[cut], half_close=True)
    before = [200] * case.name.endswith("second-request")
    assert [answer.status for answer in result.answers] == [*before, case.status]
    assert (result.end, result.answers[-1].complete) == ("closed", True)
    assert not result.answers[-1].header("Via"), "this was the upstream's answer"


# --- one connection to the upstream, many requests ---


def test_a_connection_to_the_upstream_serves_many_clients():
    with scripted(answers(OK, OK, OK)) as to, front(to, idle=60) as served:
        for _ in range(2):
            assert ask(served, get()).answer.body == b"ok"
        assert ask(served, get(fields=CLOSE)).end == "closed"


def test_pipelined_requests_are_answered_in_order():
    seen = []

    def play(sock):
        for _ in range(3):
            seen.append(head_of(sock)[0].split()[1])
            sock.sendall(OK)
        to_end(sock)

    with scripted(play) as to, front(to, idle=60) as served:
        result = ask(served, b"".join(get(b"/%d" % number) for number in range(3)))
    assert seen == [b"/0", b"/1", b"/2"] and len(result.answers) == 3


@pytest.mark.parametrize("reply", [
    OK.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n"),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    OK + b"HTTP/1.1 200 OK\r\n",
], ids=["it says close", "HTTP/1.0", "it says too much"])  # fmt: skip
def test_a_connection_that_is_not_good_as_new_is_closed(reply):
    with scripted(answers(reply), answers(OK)) as to, front(to, idle=60) as served:
        for _ in range(2):
            assert ask(served, get()).answer.body == b"ok"


def test_http_1_0_keep_alive_is_good_enough():
    reply = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    with scripted(answers(reply, reply)) as to, front(to, idle=60) as served:
        for _ in range(2):
            assert ask(served, get(version=b"1.0")).answer.body == b"ok"


def pair():
    """Return a connected Side and its peer."""
    one, other = socket.socketpair()
    other.settimeout(PATIENCE)
    return upstream.Side(one), other


def test_idle_connections_are_closed_when_old_dead_or_too_many(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(upstream, "time", SimpleNamespace(monotonic=lambda: now[0]))
    kept = upstream.Upstream(("::1", 80), 1.0, 5.0)
    assert kept.host == b"[::1]:80"
    pairs = [pair() for _ in range(upstream.SPARE + 2)]
    for side, _ in pairs:
        kept.give(side)
    for _, peer in pairs[:2]:  # too many
        assert peer.recv(1) == b""
    pairs[-1][1].close()  # dead: the youngest, which would be taken
    assert kept.take() is pairs[-2][0]
    now[0] += 6  # old
    assert kept.take() is None
    for side, peer in pairs:
        side.sock.close()
        peer.close()


# --- the race: the upstream closes an idle connection at the moment it is used ---


def closes_under_a_request(sock):
    """Answer once; close when the second request has come, without a word."""
    head_of(sock)
    sock.sendall(OK)
    head_of(sock)


def test_an_idempotent_request_is_sent_again():
    with scripted(closes_under_a_request, answers(OK)) as to, front(to, idle=60) as served:
        assert ask(served, get()).status == 200
        assert ask(served, get()).status == 200


@pytest.mark.parametrize("request_", [post(b"", method=b"PUT"), post(b"hello", method=b"PUT"),
                                      get(method=b"DELETE"), get(method=b"OPTIONS")])  # fmt: skip
def test_so_is_its_body(request_):
    body = request_.split(b"\r\n\r\n", 1)[1]

    def play(sock):
        head, rest = head_of(sock)
        assert head.split()[0] == request_.split()[0]
        while len(rest) < len(body):
            rest += sock.recv(100)
        assert rest == body
        sock.sendall(OK)
        to_end(sock)

    with scripted(closes_under_a_request, play) as to, front(to, idle=60) as served:
        assert ask(served, get()).status == 200
        assert ask(served, request_).status == 200


@pytest.mark.parametrize("request_", [
    post(b"hello"), get(method=b"PATCH"), get(method=b"MINE"),
    post(bytes(relay.BUFFER), method=b"PUT"),
], ids=["POST", "PATCH", "MINE", "a large PUT"])  # fmt: skip
def test_what_may_have_been_done_or_is_gone_is_a_502(request_):
    def play(sock):
        head_of(sock)
        sock.sendall(OK)
        _, rest = head_of(sock)
        while request_.startswith(b"PUT") and len(rest) < relay.BUFFER:
            rest += sock.recv(65536)

    with scripted(play) as to, front(to, idle=60) as served:
        assert ask(served, get()).status == 200
        assert ask(served, request_).status == 502


def test_it_is_sent_again_once_only():
    plays = [closes_under_a_request, answers(then=head_of)]
    with scripted(*plays) as to, front(to, idle=60) as served:
        assert ask(served, get()).status == 200
        assert ask(served, get()).status == 502


def test_it_is_not_sent_again_when_an_answer_had_begun():
    def play(sock):
        head_of(sock)
        sock.sendall(OK)
        head_of(sock)
        sock.sendall(b"HTTP/1.1 2")

    with scripted(play) as to, front(to, idle=60) as served:
        assert ask(served, get()).status == 200
        assert ask(served, get()).status == 502


def test_the_first_use_of_a_connection_is_no_race():
    with scripted(answers(then=head_of)) as to, front(to) as served:
        result = ask(served, get())
    assert (result.status, result.end) == (502, "closed")


# --- both ways at the same time ---


def test_an_answer_comes_while_the_body_goes_up():
    """Each piece is sent only when the one before has come back."""

    def play(sock):
        with sock.makefile("rb") as file:
            while file.readline() != b"\r\n":
                pass
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n")
            while (line := file.readline()) != b"0\r\n":
                sock.sendall(line + file.readline())
            sock.sendall(b"0\r\n\r\n")
        to_end(sock)

    with scripted(play) as to, front(to) as served, connect(served) as client:
        client.sendall(get(fields=CHUNKED, method=b"POST"))
        head, rest = head_of(client)
        assert b"Connection: close" in head, "nobody knows yet whether the body will be read"
        for number in range(50):
            piece = http11.encode_chunk(b"%d" % number)
            client.sendall(piece)
            while len(rest) < len(piece):
                rest += client.recv(100)
            assert rest == piece
            rest = b""
        client.sendall(b"0\r\n\r\n")
        assert to_end(client) == b"0\r\n\r\n"


def test_an_early_answer_ends_an_upload_that_nobody_reads():
    """The upstream reads no body at all; its answer arrives before the client has sent its own."""
    seen = threading.Event()

    def play(sock):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n")
        assert seen.wait(PATIENCE)

    with scripted(play) as to, front(to) as served, connect(served) as client:
        client.sendall(get(fields=b"Content-Length: %d\r\n" % (64 * MIB), method=b"POST"))
        answer = to_end(client)
        seen.set()
    assert answer.startswith(b"HTTP/1.1 413 ") and answer.endswith(b"no\n")
    assert b"Connection: close" in answer


class Pair:
    """An Exchange between two socket pairs: `peer` is the client's end, `answering` the other."""

    def __init__(self, request, times=None):
        self.client, self.peer = pair()
        self.side, self.answering = pair()
        self.shared = upstream.Shared(
            upstream.Upstream(("127.0.0.1", 1), 1, 60), None, http11.LIMITS, times or Times(),
            logging.Logger("test"), (),
        )  # fmt: skip
        self.shared.upstream.give(self.side)
        reader = http11.Reader()
        reader.feed(request)
        self.exchange = relay.Exchange(
            self.shared, self.client, reader, reader.next_event(), "192.0.2.1"
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self.client.sock, self.peer, self.side.sock, self.answering):
            sock.close()


def test_an_upstream_that_stops_reading_may_still_answer():
    """Its system refuses the body (EPIPE); what it says after that is the answer."""
    chunk = http11.encode_chunk
    with Pair(get(fields=CHUNKED, method=b"POST") + chunk(b"a")) as between:
        exchange = between.exchange
        between.answering.shutdown(socket.SHUT_RD)  # of a socket pair: the other end is told
        exchange.read_request()
        exchange.turn()
        assert between.side.deaf
        between.peer.sendall(chunk(bytes(1000)) + chunk(b""))
        while not exchange.whole:
            exchange.turn()
        between.answering.sendall(OK)
        exchange.run()
        assert bytes(between.client.out).startswith(b"HTTP/1.1 200 OK")
        assert between.side.sock.fileno() == -1, "it was kept for another request"


def test_a_client_that_leaves_while_it_is_not_read_is_noticed():
    with Pair(get() + post(bytes(relay.BUFFER))) as between:
        between.peer.close()
        with pytest.raises(Disconnected):
            between.exchange.run()


def test_nothing_to_read_is_nothing():
    with Pair(get()) as between:
        between.exchange.from_client()
        between.exchange.from_upstream()
        assert not (between.client.eof or between.side.eof or between.exchange.heard)


@pytest.mark.parametrize("reads", [True, False])
def test_the_last_bytes_of_an_answer_are_waited_for(reads):
    with Pair(get(), Times(io=PATIENCE if reads else 0.05)) as between:
        client = proxy.Client(between.client.sock, "192.0.2.1", between.shared)
        client.side.out += bytes(8 * MIB)
        if reads:
            full, wait = threading.Event(), client.wait
            client.wait = lambda *args: full.set() or wait(*args)
            thread = Thread(client.drain)
            assert full.wait(PATIENCE)
            size = 0
            while size < 8 * MIB:
                size += len(between.peer.recv(MIB))
            thread.ended()
        else:
            with pytest.raises(Disconnected):
                client.drain()


# --- large bodies in little memory ---


@pytest.fixture
def process():
    """Start the proxy as a process, in front of an address; yield a function that does."""
    with contextlib.ExitStack() as stack:

        def start(to):
            where = f"http://{to[0]}:{to[1]}"
            command = [sys.executable, "-m", "servers", "proxy", where, "--port", "0"]
            run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(run)
            stack.callback(run.kill)
            name, _, port = run.stdout.readline().strip().removeprefix("http://").rpartition(":")
            return run, (name, int(port))

        yield start


SIZE, GROWTH = 64 * MIB, 8 * MIB


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_upload_takes_little_memory(process, framing):
    encode = bytes if framing == "length" else http11.encode_chunk
    fields = CHUNKED if framing == "chunked" else b"Content-Length: %d\r\n" % SIZE
    got = []

    def play(sock):
        rest = head_of(sock)[1]
        size = len(rest)
        while size < SIZE:
            size += len(sock.recv(MIB))
        got.append(size)
        sock.sendall(OK.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n"))
        to_end(sock)

    with scripted(answers(OK.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n")), play) as to:
        run, address = process(to)
        assert wire.send(address, get(), timeout=PATIENCE).status == 200
        memory = psutil.Process(run.pid).memory_info
        before, most = memory().rss, 0
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(get(fields=fields + CLOSE, method=b"POST"))
            for _ in range(SIZE // MIB):
                sock.sendall(encode(bytes(MIB)))
                most = max(most, memory().rss)
            sock.sendall(encode(b""))
            assert b"200 OK" in to_end(sock)
    assert got[0] >= SIZE
    assert most - before < GROWTH


def test_a_slow_reader_of_a_large_answer_takes_little_memory(process):
    """The upstream sends until nobody takes more; only then does the client read."""
    stalled = threading.Event()

    def play(sock):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n")
        rest = memoryview(http11.encode_chunk(bytes(SIZE)) + http11.encode_chunk(b""))
        sock.setblocking(False)
        while rest:
            if select.select([], [sock], [], 0 if stalled.is_set() else 0.3)[1]:
                rest = rest[sock.send(rest[:MIB]) :]
            else:
                stalled.set()
                select.select([], [sock], [], PATIENCE)
        sock.settimeout(PATIENCE)
        to_end(sock)

    with scripted(answers(OK.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n")), play) as to:
        run, address = process(to)
        assert wire.send(address, get(), timeout=PATIENCE).status == 200
        memory = psutil.Process(run.pid).memory_info
        before, most, size = memory().rss, 0, 0
        with socket.create_connection(address, PATIENCE) as sock:
            sock.sendall(get(fields=CLOSE))
            assert stalled.wait(PATIENCE)
            while data := sock.recv(MIB):
                size += len(data)
                most = max(most, memory().rss)
    assert size > SIZE
    assert most - before < GROWTH


# --- how the client can see the end ---

BODY_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nok"
BODY_CHUNKED = b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize("reply", [OK, BODY_CHUNKED, BODY_CLOSE], ids=["length", "chunks", "close"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_each_client_can_see_the_end(reply, version):
    then = leaves if reply is BODY_CLOSE else to_end
    with scripted(answers(reply, then=then)) as to, front(to) as served:
        result = ask(served, get(version=version, fields=b"Connection: keep-alive\r\n"))
    answer = result.answer
    assert (answer.body, answer.complete) == (b"ok", True)
    chunked = reply is not OK and version == b"1.1"
    assert bool(answer.header("Transfer-Encoding")) == chunked
    assert result.end == ("open" if chunked or reply is OK else "closed")
    assert answer.header("Date") and answer.header("Via") == "1.1 toy"


@pytest.mark.parametrize(("method", "reply"), [
    (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    (b"HEAD", b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"),
    (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nDate: now\r\n\r\n"),
])  # fmt: skip
def test_answers_without_a_body(method, reply):
    with scripted(answers(reply, OK)) as to, front(to, idle=60) as served:
        result = ask(served, get(method=method) + get())
    assert [answer.body for answer in result.answers] == [b"", b"ok"]
    assert result.answers[0].all("Date").count("now") == reply.count(b"now")
    assert result.answers[0].header("Content-Length") == ("9" if b": 9" in reply else None)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_interim_answers(version):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with scripted(answers(hints + hints + OK)) as to, front(to) as served:
        received = ask(served, get(version=version)).received
    assert received.count(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") == (
        2 if version == b"1.1" else 0
    )
    assert received.endswith(b"ok")


def test_a_body_that_waits_for_100_continue():
    def play(sock):
        assert b"expect: 100-continue" in head_of(sock)[0]
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert sock.recv(10) == b"hello"
        sock.sendall(OK)
        to_end(sock)

    with scripted(play) as to, front(to) as served, connect(served) as client:
        fields = b"Expect: 100-continue\r\nContent-Length: 5\r\n" + CLOSE
        client.sendall(get(fields=fields, method=b"POST"))
        assert head_of(client) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        client.sendall(b"hello")
        assert to_end(client).endswith(b"ok")


def test_the_client_hears_what_comes_before_it_is_whole():
    seen = threading.Event()

    def play(sock):
        head_of(sock)
        sock.sendall(BODY_CHUNKED[:-5])
        assert seen.wait(PATIENCE)
        sock.sendall(b"0\r\n\r\n")
        to_end(sock)

    with scripted(play) as to, front(to) as served, connect(served) as client:
        client.sendall(get())
        recv_until(client, b"ok\r\n")
        seen.set()
        assert recv_until(client, b"0\r\n\r\n")


# --- when the upstream fails ---


@pytest.mark.parametrize("reply", [
    b"", b"HTTP/1.1 2", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + CHUNKED + b"\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"a" * 100_000,
])  # fmt: skip
def test_no_answer_is_a_502(reply):
    def play(sock):
        head_of(sock)
        with contextlib.suppress(OSError):  # the proxy may have heard enough
            sock.sendall(reply)
            sock.shutdown(socket.SHUT_WR)
            to_end(sock)

    with scripted(play) as to, front(to) as served:
        result = ask(served, get())
    final = result.answers[-1]
    assert (final.status, final.complete, result.end) == (502, True, "closed")


def test_an_upstream_that_resets_is_a_502():
    def play(sock):
        head_of(sock)
        resets(sock)

    with scripted(play) as to, front(to) as served:
        assert ask(served, get()).status == 502


def test_an_upstream_that_is_not_there_is_a_502():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        to = listener.getsockname()
    with front(to) as served:
        result = ask(served, get(method=b"HEAD"))
    assert (result.status, result.answer.body, result.end) == (502, b"", "closed")


BROKEN = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\npart",
    b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n4\r\npart\r\n",
    b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n4\r\npart\r\nx\r\n",
]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("reply", BROKEN, ids=["length", "chunks", "no chunk"])
def test_a_cut_can_be_seen(reply, version):
    """Also by an HTTP/1.0 client, to whom the end of the connection is the answer's end."""
    part = threading.Event()

    def play(sock):
        head_of(sock)
        sock.sendall(reply[: reply.index(b"part") + 4])
        assert part.wait(PATIENCE)
        sock.sendall(reply[reply.index(b"part") + 4 :])

    with scripted(play) as to, front(to) as served:
        with wire.Connection(served.address, timeout=PATIENCE) as client:
            client.send(get(version=version))
            while b"part" not in client.exchange.received:
                client._turn(time.monotonic() + PATIENCE)
            part.set()
            result = client.read()
    to_the_close = version == b"1.0" and reply is not BROKEN[0]
    seen = result.end == "reset" if to_the_close else not result.answer.complete
    assert (result.status, seen) == (200, True)


def test_a_reset_in_the_middle_is_a_cut_and_never_an_end():
    part = threading.Event()

    def play(sock):
        head_of(sock)
        sock.sendall(BODY_CLOSE)
        assert part.wait(PATIENCE)
        resets(sock)

    with scripted(play) as to, front(to) as served, connect(served) as client:
        client.sendall(get())
        received = recv_until(client, b"ok\r\n")[0]
        part.set()
        received += to_end(client)
    assert CHUNKED in received and not received.endswith(b"0\r\n\r\n")


FAST = Times(head=0.2, idle=0.2, io=0.2, linger=0.2)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_silent_upstream_is_a_504(reply):
    with scripted(answers(reply)) as to, front(to, times=FAST) as served:
        result = ask(served, get(), answers=2)
    assert (result.answers[-1].status, result.end) == (504, "closed")


@pytest.mark.parametrize(("request_", "reply", "times"), [
    (get(), BROKEN[0], Times(io=0.05)),
    (get(fields=b"Connection: Upgrade\r\nUpgrade: echo\r\n"),
     b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Times(idle=0.05)),
], ids=["answer", "tunnel"])  # fmt: skip
def test_an_upstream_that_falls_silent_is_left(request_, reply, times):
    with Pair(request_, times) as between:
        between.answering.sendall(reply)
        with pytest.raises(upstream.UpstreamError) as info:
            between.exchange.run()
        assert info.value.status == 504
        assert between.exchange.response is not None, "the client has seen nothing"
        assert between.side.sock.fileno() == -1


def test_an_upstream_that_takes_no_connection_is_a_504(monkeypatch):
    with front(("192.0.2.1", 80)) as served:
        client = connect(served)

        def refuse(*_):
            raise TimeoutError

        monkeypatch.setattr(upstream.socket, "create_connection", refuse)
        with client:
            client.sendall(get())
            assert to_end(client).startswith(b"HTTP/1.1 504 ")


# --- when the client is slow, or leaves ---


def test_a_slow_head_is_a_408_and_silence_is_the_end():
    with front(("127.0.0.1", 1), times=FAST) as served:
        assert ask(served, b"GET / HT", answers=1).status == 408
        assert ask(served, answers=1).received == b""


def test_a_slow_body_is_a_408_and_the_upstream_is_left():
    ends = []
    play = answers(then=lambda sock: ends.append((head_of(sock), to_end(sock))))
    with scripted(play) as to, front(to, times=FAST) as served:
        result = ask(served, get(fields=b"Content-Length: 5\r\n", method=b"POST") + b"hel")
    assert (result.status, result.end) == (408, "closed")
    assert len(ends) == 1


def leave(client):
    client.close()


def leave_with_a_reset(client):
    resets(client)
    client.close()


@pytest.mark.parametrize("how", [leave, leave_with_a_reset])
@pytest.mark.parametrize("request_", [
    get(), get(fields=b"Content-Length: 5\r\n", method=b"POST") + b"hel",
    get(fields=b"Connection: Upgrade\r\nUpgrade: echo\r\n"),
], ids=["waiting", "in the body", "before an upgrade"])  # fmt: skip
def test_a_client_that_leaves_is_told_to_the_upstream(how, request_):
    came = threading.Event()

    def play(sock):
        head_of(sock)
        came.set()
        to_end(sock)  # fails if no end comes

    with scripted(play) as to, front(to) as served:
        client = connect(served)
        client.sendall(request_)
        assert came.wait(PATIENCE)
        how(client)


def endless(sock):
    """Send until the proxy takes no more; fail if it takes all that there is."""
    head_of(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises((ConnectionError, TimeoutError)) as ended:
        for _ in range(100_000):
            sock.sendall(bytes(65536))
    assert not isinstance(ended.value, TimeoutError)


@pytest.mark.parametrize("how", [leave, leave_with_a_reset])
def test_a_client_that_leaves_ends_an_endless_answer(how):
    with scripted(endless) as to, front(to) as served:
        client = connect(served)
        client.sendall(get())
        recv_until(client, b"\r\n\r\n")
        how(client)


def test_a_client_that_does_not_read_is_left():
    left = threading.Event()

    def play(sock):
        endless(sock)
        left.set()

    with scripted(play) as to, front(to, times=FAST) as served, connect(served) as client:
        client.sendall(get())
        assert left.wait(PATIENCE)


def test_a_client_that_closed_its_half_gets_every_answer():
    def play(sock):
        head_of(sock)
        assert sock.recv(1) == b""
        sock.sendall(OK)

    with scripted(play, play) as to, front(to) as served:
        result = ask(served, get() + get(), half_close=True, answers=3)
    assert [answer.body for answer in result.answers] == [b"ok", b"ok"]
    assert result.end == "closed"


def test_a_client_may_pipeline_more_than_is_read_ahead():
    """Behind a request that waits, only so much is read; all of it is answered in the end."""
    release = threading.Event()
    many = [post(bytes(30_000)) for _ in range(20)]

    def play(sock):
        for turn in range(len(many)):
            _, rest = head_of(sock)
            while len(rest) < 30_000:
                rest += sock.recv(65536)
            assert turn or release.wait(PATIENCE)
            sock.sendall(OK)
        to_end(sock)

    with scripted(play) as to, front(to, idle=60) as served, connect(served) as client:
        sender = Thread(client.sendall, b"".join(many))
        release.set()
        received = b""
        while received.count(b"\r\n\r\nok") < len(many):
            received += client.recv(65536)
        sender.ended()


def test_the_proxy_leaves_a_client_that_has_left_while_it_was_idle():
    with scripted(answers(OK)) as to, front(to) as served:
        client = connect(served)
        client.sendall(get())
        recv_until(client, b"ok")
        leave_with_a_reset(client)
        with connect(served) as other:
            other.close()


# --- another protocol ---

UPGRADE = b"Connection: Upgrade\r\nUpgrade: echo\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + b"\r\n"


def test_a_connection_that_changes_its_protocol_is_a_tunnel():
    def play(sock):
        head, rest = head_of(sock)
        assert UPGRADE in head
        sock.sendall(SWITCH)
        while len(rest) < 6:
            rest += sock.recv(100)
        assert rest == b"early\xff"
        sock.sendall(b"\x00hi")
        while data := sock.recv(65536):
            sock.sendall(data)
        sock.sendall(b"last")

    with scripted(play) as to, front(to) as served, connect(served) as client:
        client.sendall(get(fields=UPGRADE) + b"early\xff")
        head, rest = head_of(client)
        assert head.startswith(b"HTTP/1.1 101 ") and UPGRADE in head
        while len(rest) < 3:
            rest += client.recv(100)
        assert rest == b"\x00hi"
        large = bytes(range(256)) * 4096
        sender = Thread(client.sendall, large)
        back = b""
        while len(back) < len(large):
            back += client.recv(65536)
        sender.ended()
        assert back == large
        client.shutdown(socket.SHUT_WR)
        assert to_end(client) == b"last"


def test_a_server_may_stay_with_http():
    with scripted(answers(OK, OK)) as to, front(to) as served:
        assert [a.status for a in ask(served, get(fields=UPGRADE) + get()).answers] == [200, 200]


@pytest.mark.parametrize("end", [leaves, resets])
def test_a_tunnel_ends_for_both(end):
    """The one that is left has still to be told, and to close."""

    def play(sock):
        head_of(sock)
        sock.sendall(SWITCH)
        assert sock.recv(1) == b"x"
        end(sock)

    with scripted(play) as to, front(to) as served, connect(served) as client:
        client.sendall(get(fields=UPGRADE))
        head_of(client)
        client.sendall(b"x")
        assert to_end(client) == b""


def test_a_client_that_leaves_a_tunnel_with_a_reset():
    def play(sock):
        head_of(sock)
        sock.sendall(SWITCH)
        to_end(sock)

    with scripted(play) as to, front(to) as served:
        client = connect(served)
        client.sendall(get(fields=UPGRADE))
        head_of(client)
        leave_with_a_reset(client)


# --- the end ---


def test_the_stop_lets_the_request_in_flight_end():
    came, release = threading.Event(), threading.Event()

    def play(sock):
        head_of(sock)
        came.set()
        assert release.wait(PATIENCE)
        sock.sendall(OK)
        to_end(sock)

    with scripted(play) as to, front(to) as served, connect(served) as idle:
        with connect(served) as client:
            client.sendall(get())
            assert came.wait(PATIENCE)
            served.stopper.close()
            assert to_end(idle) == b""
            release.set()
            answer = to_end(client)
    assert b"Connection: close" in answer and answer.endswith(b"ok")


def test_the_stop_waits_only_so_long():
    came = threading.Event()

    def play(sock):
        head_of(sock)
        came.set()
        to_end(sock)

    with scripted(play) as to, front(to, times=Times(stop=0.2, linger=0.2)) as served:
        with connect(served) as client:
            client.sendall(get())
            assert came.wait(PATIENCE)
            served.stopper.close()
            served.thread.ended()


def test_it_may_have_no_stop():
    shared = upstream.Shared(None, None, None, Times(), None, ())
    one, other = socket.socketpair()
    with one, other:
        other.sendall(b"x")
        assert shared.poll({one: select.POLLIN}, PATIENCE) == {one.fileno(): select.POLLIN}
        assert shared.poll({other: select.POLLIN}, 0) == {}


class Listener:
    """A listening socket that once cannot accept: no file descriptor is left."""

    def __init__(self, listener):
        self.listener, self.refused = listener, False

    def __getattr__(self, name):
        return getattr(self.listener, name)

    def accept(self):
        if not self.refused:
            self.refused = True
            raise OSError(24, "Too many open files")
        return self.listener.accept()


def test_a_proxy_out_of_files_accepts_again(monkeypatch):
    log, shared = logging.Logger("test"), upstream.Shared(None, None, None, Times(), None, ())
    records = []
    monkeypatch.setattr(log, "handle", records.append)
    shared.log = log
    monkeypatch.setattr(upstream.Shared, "poll", lambda self, wanted, seconds: {})
    with listen() as listener, contextlib.ExitStack() as stack:
        stack.enter_context(socket.create_connection(listener.getsockname()))
        listener.setblocking(False)
        refusing = Listener(listener)
        monkeypatch.setattr(proxy.Client, "serve", lambda self: self.side.sock.close())
        shared.limits = http11.LIMITS
        assert proxy.accept(refusing, shared, 5) == set()
        assert records[0].getMessage() == "cannot accept: [Errno 24] Too many open files"
        [thread] = proxy.accept(refusing, shared, 5)
        thread.join(PATIENCE)


def test_more_clients_than_there_is_room_for_wait(monkeypatch):
    monkeypatch.setattr(proxy, "CLIENTS", 1)
    with scripted(answers(OK, OK)) as to, front(to, idle=60) as served, connect(served) as first:
        first.sendall(get())
        recv_until(first, b"ok")
        with connect(served) as second:
            second.sendall(get(fields=CLOSE))
            first.close()
            assert to_end(second).endswith(b"ok")


def test_a_bug_is_a_500_and_in_the_log(monkeypatch):
    def bug(*_):
        raise LookupError("on purpose")

    monkeypatch.setattr(proxy, "Exchange", bug)
    with front(("127.0.0.1", 1), logs=["a bug in the proxy: on purpose"]) as served:
        assert ask(served, get()).status == 500


def test_a_socket_that_was_reset_at_once_is_borne():
    class Sock:
        def setblocking(self, flag):
            self.blocking = flag

        def setsockopt(self, *_):
            raise OSError(22, "Invalid argument")

    assert upstream.Side(Sock()).sock.blocking is False


# --- the command line ---


def test_the_command_serves_until_sigterm(process):
    with live("toy", echo_wsgi.app) as toy:
        run, address = process(toy.address)
        with wire.Connection(address, timeout=PATIENCE) as client:
            client.send(get(b"/here"))
            assert client.read().answer.body.startswith(b"GET /here\n")
            run.send_signal(signal.SIGTERM)
            assert client.read(2).end == "closed"
        assert run.wait(PATIENCE) == 0
        assert run.stdout.read() == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "localhost:80",
        "https://localhost",
        "http://",
        "http://a/path",
        "http://a?b",
        "http://a:x",
        "http://a:70000",
    ],
)
def test_a_bad_url_is_a_line_of_usage(url, capsys):
    with pytest.raises(SystemExit) as info:
        main(["proxy", url])
    out, err = capsys.readouterr()
    assert (info.value.code, out, "Traceback" in err) == (2, "", False)
    assert err.startswith("usage: python -m servers proxy")


def test_a_port_in_use_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SystemExit) as info:
            main(["proxy", "http://127.0.0.1", "--port", str(taken.getsockname()[1])])
    assert info.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1

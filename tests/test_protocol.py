"""One connection on the loop, without sockets: a transport that notes what is asked of it."""

import asyncio
import inspect
import logging

import pytest

from apps import bad_asgi, echo_asgi, hello_asgi, stream_asgi
from servers.asgi import PIECE
from servers.cycle import Cycle
from servers.http11 import Limits, Reader
from servers.protocol import HTTPProtocol
from servers.service import Disconnected, Times
from servers.serving import Server

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class Transport(asyncio.Transport):
    """Take bytes, and note what else is asked for."""

    def __init__(self):
        super().__init__()
        self.wire, self.asked, self.size, self.options = b"", [], 0, []
        self.protocol = None

    def get_extra_info(self, name, default=None):
        return self if name == "socket" else ("192.0.2.1", 5000, 0, 0)

    def setsockopt(self, *option):
        self.options.append(option)

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        assert "close" not in self.asked and "abort" not in self.asked
        self.wire += data

    def set_write_buffer_limits(self, high=None, low=None):
        self.high = high

    def get_write_buffer_size(self):
        return self.size

    def write_eof(self):
        self.asked.append("eof")

    def close(self):
        self.asked.append("close")

    def abort(self):
        self.asked.append("abort")

    def pause_reading(self):
        self.asked.append("pause")

    def resume_reading(self):
        self.asked.append("resume")

    @property
    def statuses(self):
        return [int(part[:3]) for part in self.wire.split(b"HTTP/1.1 ")[1:]]


class Peer:
    """Be a client of one protocol instance, on a loop that runs."""

    all = []  # a server outlives its tasks: so must this one

    def __init__(self, app, **settings):
        self.all.append(self)
        self.server = Server(app, log=logging.getLogger("servers.test"), **settings)
        self.server.use(asyncio.get_running_loop())
        self.transport = Transport()
        self.protocol = self.transport.protocol = HTTPProtocol(self.server)
        self.protocol.connection_made(self.transport)

    async def send(self, *pieces):
        for piece in pieces:
            await self.tell("data_received", piece)
        return self.transport

    async def tell(self, event, *arguments):
        """Be the loop, which calls from outside of any task."""
        self.server.loop.call_soon(getattr(self.transport.protocol, event), *arguments)
        await settle()

    async def late(self):
        """Let the deadline pass."""
        self.protocol.deadline = 0.0
        self.server.loop.call_soon(self.server.sweep)
        await settle()
        return self.transport


async def settle():
    """Let everything happen that needs no time."""
    for _ in range(10):
        await asyncio.sleep(0)


def on_a_loop(test):
    """Run an async test on a loop of its own, where no task may fail unseen."""

    def run(*args, **kwargs):
        async def main():
            loop, seen = asyncio.get_running_loop(), []
            loop.set_exception_handler(lambda loop, context: seen.append(context))
            await test(*args, **kwargs)
            assert not seen

        asyncio.run(main())
        Peer.all.clear()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.pytestmark = getattr(test, "pytestmark", [])
    run.__signature__ = inspect.signature(test)
    return run


async def drains(scope, receive, send):
    """Read the whole request, in pieces that are noted, then answer."""
    more = True
    while more:
        message = await receive()
        scope["state"]["seen"].append(message)
        more = message.get("more_body", False)
    await bad_asgi.start(send)
    await bad_asgi.finish(send, b"read\n")


class Stuck:
    """An app that waits until it is let go; it keeps what receive said meanwhile."""

    def __init__(self, before=(), after=(), listens=False):
        self.before, self.after, self.listens = before, after, listens
        self.go = asyncio.Event()
        self.heard, self.errors = [], []

    async def __call__(self, scope, receive, send):
        try:
            for message in self.before:
                await send(message)
            while self.listens:
                self.heard.append(await receive())
                self.listens = not self.heard[-1]["type"].endswith(".disconnect")
            await self.go.wait()
            for message in self.after:
                await send(message)
        except BaseException as error:
            self.errors.append(error)
            raise


START = {"type": "http.response.start", "status": 200, "headers": []}
MORE = {"type": "http.response.body", "body": b"some", "more_body": True}
LAST = {"type": "http.response.body", "body": b"last"}


# --- requests in order ---


@on_a_loop
async def test_a_request_is_answered_and_the_connection_stays():
    peer = Peer(hello_asgi.app)
    assert (await peer.send(GET)).wire.endswith(b"\r\n\r\nHello from ASGI\n")
    assert (await peer.send(GET)).statuses == [200, 200]
    assert peer.transport.asked == [] and peer.protocol.idle()
    assert not peer.server.tasks


@on_a_loop
async def test_every_cut_of_the_bytes_gives_the_same():
    peer = Peer(echo_asgi.app)
    await peer.send(*(bytes([byte]) for byte in POST % 3 + b"abc" + GET))
    assert peer.transport.statuses == [200, 200]
    assert b"POST /\n3 bytes\n\nabc" in peer.transport.wire


@on_a_loop
async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time():
    stuck = Stuck(after=[START, LAST])
    peer = Peer(stuck)
    assert (await peer.send(GET + GET + GET)).wire == b""
    assert len(peer.server.tasks) == 1
    stuck.go.set()
    await settle()
    assert peer.transport.statuses == [200, 200, 200]
    assert peer.protocol.idle()


@on_a_loop
async def test_an_answer_ends_when_it_is_complete_not_when_its_app_returns():
    stuck = Stuck(before=[START, LAST])  # a background task
    peer = Peer(stuck)
    await peer.send(GET)
    assert (await peer.send(GET)).statuses == [200, 200]
    assert len(peer.server.tasks) == 2
    stuck.go.set()
    await settle()
    assert not peer.server.tasks


@on_a_loop
async def test_closing_when_the_client_said_so():
    peer = Peer(hello_asgi.app)
    await peer.send(b"GET / HTTP/1.0\r\n\r\n" + GET)
    assert peer.transport.statuses == [200]
    assert peer.transport.asked == ["close"]


@on_a_loop
async def test_closing_when_the_app_says_so_lets_the_peer_read_first():
    stuck = Stuck(after=[{**START, "headers": [(b"connection", b"close")]}, LAST])
    stuck.go.set()
    peer = Peer(stuck)
    await peer.send(GET, GET)
    assert peer.transport.statuses == [200] and peer.transport.asked == ["eof"]
    await peer.tell("eof_received")
    assert peer.transport.asked == ["eof", "close"]


@on_a_loop
async def test_a_peer_that_does_not_close_after_the_last_answer_is_closed():
    peer = Peer(hello_asgi.app)
    await peer.send(b"nonsense\r\n\r\n")
    assert peer.transport.statuses == [400] and peer.transport.asked == ["eof"]
    assert (await peer.late()).asked == ["eof", "abort"]


# --- the request's body ---


@on_a_loop
async def test_a_body_arrives_in_pieces():
    peer = Peer(drains)
    peer.server.state = {"seen": (seen := [])}
    await peer.send(POST % 6 + b"ab", b"cd", b"ef")
    assert [(m["body"], m["more_body"]) for m in seen] == [
        (b"ab", True), (b"cd", True), (b"ef", False),
    ]  # fmt: skip
    assert peer.transport.statuses == [200]


@on_a_loop
async def test_after_the_answer_receive_says_disconnect():
    stuck = Stuck(before=[START, LAST], listens=True)
    peer = Peer(stuck)
    await peer.send(GET)
    assert [m["type"] for m in stuck.heard] == ["http.disconnect"]
    stuck.go.set()
    await settle()


@on_a_loop
async def test_a_body_that_nobody_receives_is_not_read_on():
    stuck = Stuck(after=[START, LAST])
    peer = Peer(stuck)
    await peer.send(POST % (3 * PIECE) + bytes(PIECE + 1))
    assert peer.transport.asked == ["pause"]
    stuck.go.set()
    await settle()
    assert peer.transport.statuses == [200]
    assert b"Connection: close" in peer.transport.wire  # what is left of the body is never read
    assert peer.transport.asked == ["pause", "eof", "resume"]
    await peer.send(bytes(2 * PIECE))  # and dropped
    assert peer.transport.asked == ["pause", "eof", "resume"]


@on_a_loop
async def test_receiving_reads_on():
    seen = []

    async def slow(scope, receive, send):
        await go.wait()
        await drains(scope, receive, send)

    go, peer = asyncio.Event(), Peer(slow)
    peer.server.state = {"seen": seen}
    await peer.send(POST % (3 * PIECE) + bytes(2 * PIECE))
    assert peer.transport.asked == ["pause"]
    go.set()
    await settle()
    assert peer.transport.asked == ["pause", "resume"]
    await peer.send(bytes(PIECE))
    assert peer.transport.statuses == [200]
    assert sum(len(m["body"]) for m in seen) == 3 * PIECE


@on_a_loop
async def test_many_requests_ahead_are_not_read_on():
    stuck = Stuck(after=[START, LAST])
    peer = Peer(stuck)
    many = GET * (PIECE // len(GET) + 2)
    await peer.send(many)
    assert peer.transport.asked == ["pause"]
    stuck.go.set()
    for _ in range(100):
        await settle()
    assert len(peer.transport.statuses) == many.count(b"GET")
    assert peer.transport.asked == ["pause", "resume"]


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTS = (POST % 2).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")


@on_a_loop
async def test_100_continue_is_sent_when_the_app_wants_the_body():
    peer = Peer(echo_asgi.app)
    assert (await peer.send(EXPECTS)).wire == CONTINUE
    assert (await peer.send(b"hi")).wire.startswith(CONTINUE + b"HTTP/1.1 200")
    assert peer.transport.wire.count(CONTINUE) == 1


@on_a_loop
async def test_100_continue_is_not_sent_when_the_body_is_here_or_nobody_wants_it():
    peer = Peer(echo_asgi.app)
    assert (await peer.send(EXPECTS + b"hi")).statuses == [200]
    peer = Peer(hello_asgi.app)
    await peer.send(EXPECTS)
    assert peer.transport.statuses == [200] and b"Connection: close" in peer.transport.wire


@on_a_loop
async def test_100_continue_comes_too_late_behind_the_head():
    async def early(scope, receive, send):
        await send(START)
        await send(MORE)
        await receive()
        await send(LAST)

    peer = Peer(early)
    await peer.send(EXPECTS, b"hi")
    assert CONTINUE not in peer.transport.wire and b"last" in peer.transport.wire


@pytest.mark.parametrize(("wire", "status"), [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (POST % 1000, 413),
    (EXPECTS.replace(b"100-", b"200-"), 417),
    (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (GET.replace(b"Host", b"X: " + b"a" * 600 + b"\r\nHost"), 431),
    (b"HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
])  # fmt: skip
@on_a_loop
async def test_limits_and_errors(wire, status):
    peer = Peer(hello_asgi.app, limits=Limits(target=200, head=500, body=100))
    await peer.send(wire, GET)
    assert peer.transport.statuses == [status] and peer.transport.asked == ["eof"]
    assert b"Connection: close" in peer.transport.wire


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@on_a_loop
async def test_an_error_in_the_body_is_told_if_the_answer_has_not_begun():
    stuck = Stuck(listens=True)
    peer = Peer(stuck)
    await peer.send(CHUNKED, b"2\r\nhi\r\n", b"x\r\n")
    assert peer.transport.statuses == [400] and peer.transport.asked == ["eof"]
    assert [m["type"] for m in stuck.heard] == ["http.request", "http.disconnect"]
    stuck.go.set()
    await settle()
    assert not peer.server.tasks


@on_a_loop
async def test_an_error_in_the_body_breaks_off_an_answer_that_has_begun():
    stuck = Stuck(before=[START, MORE], listens=True, after=[LAST])
    peer = Peer(stuck)
    await peer.send(CHUNKED, b"x\r\n")
    assert peer.transport.statuses == [200] and peer.transport.asked == ["abort"]
    stuck.go.set()
    await settle()
    assert [type(error) for error in stuck.errors] == [Disconnected]


# --- the client leaves ---


@on_a_loop
async def test_a_lost_client_is_told_by_receive_and_by_send(caplog):
    stuck = Stuck(listens=True, after=[START, LAST])
    peer = Peer(stuck)
    await peer.send(GET)
    assert [m["type"] for m in stuck.heard] == ["http.request"]
    peer.protocol.connection_lost(None)
    await settle()
    assert [m["type"] for m in stuck.heard] == ["http.request", "http.disconnect"]
    stuck.go.set()
    await settle()
    assert isinstance(stuck.errors[0], OSError)
    assert peer.transport.wire == b"" and not caplog.records
    assert not peer.server.connections


@on_a_loop
async def test_a_client_that_ends_its_direction_is_still_answered():
    stuck = Stuck(listens=True, after=[START, LAST])
    peer = Peer(stuck)
    await peer.send(GET)
    await peer.tell("eof_received")
    assert [m["type"] for m in stuck.heard] == ["http.request", "http.disconnect"]
    stuck.go.set()
    await settle()
    assert peer.transport.wire.endswith(b"last")
    assert peer.transport.asked == ["close"]


@on_a_loop
async def test_an_app_may_return_when_its_client_has_left(caplog):
    peer = Peer(bad_asgi.app)
    await peer.send(b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n")
    assert peer.transport.statuses == [500]
    caplog.clear()
    peer = Peer(stream_asgi.app)
    await peer.send(GET.replace(b"/ ", b"/wait "))
    await peer.tell("eof_received")
    assert peer.transport.wire == b"" and peer.transport.asked == ["close"]
    assert not caplog.records and not peer.server.tasks


@on_a_loop
async def test_an_app_may_fail_when_its_client_has_left(caplog):
    async def fails(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        raise RuntimeError("on purpose: nobody is there")

    peer = Peer(fails)
    await peer.send(GET)
    with caplog.at_level("INFO"):
        await peer.tell("eof_received")
    assert peer.transport.asked == ["close"]
    (record,) = caplog.records
    assert record.levelname == "INFO" and "on purpose: nobody is there" in record.message


@pytest.mark.parametrize(("sent", "statuses", "asked"), [
    (b"", [], ["close"]),
    (GET, [200], ["close"]),
    (GET[:5], [400], ["close"]),
    (POST % 5 + b"ab", [400], ["close"]),
])  # fmt: skip
@on_a_loop
async def test_the_end_of_what_a_client_sends(sent, statuses, asked):
    peer = Peer(echo_asgi.app)
    if sent:
        await peer.send(sent)
    await peer.tell("eof_received")
    assert (peer.transport.statuses, peer.transport.asked) == (statuses, asked)


# --- the client does not read ---


@on_a_loop
async def test_send_waits_for_a_slow_reader():
    stuck = Stuck(after=[START, MORE, MORE, LAST])
    peer = Peer(stuck)
    await peer.send(GET)
    peer.protocol.pause_writing()
    stuck.go.set()
    await settle()
    assert b"some" not in peer.transport.wire  # the start alone needs no wait, but gives one
    await peer.tell("resume_writing")
    assert peer.transport.wire.count(b"some") == 2 and peer.transport.wire.endswith(b"0\r\n\r\n")


@on_a_loop
async def test_a_long_body_is_sent_piece_by_piece():
    peer = Peer(Stuck(before=[START, {**LAST, "body": bytes(5 * PIECE)}]))
    peer.transport.write = lambda data: (
        Transport.write(peer.transport, data), peer.protocol.pause_writing())  # fmt: skip
    await peer.send(GET)
    for pieces in range(1, 5):
        assert peer.transport.wire.count(bytes(PIECE)) == pieces
        await peer.tell("resume_writing")
    assert len(peer.transport.wire) > 5 * PIECE


@on_a_loop
async def test_the_next_request_waits_until_the_answer_is_read():
    peer = Peer(hello_asgi.app)
    peer.protocol.pause_writing()
    await peer.send(GET)
    assert peer.transport.wire == b""
    await peer.tell("resume_writing")
    assert peer.transport.statuses == [200]


@on_a_loop
async def test_send_stops_waiting_when_the_reader_leaves():
    stuck = Stuck(before=[START], after=[MORE])
    peer = Peer(stuck)
    await peer.send(GET)
    peer.protocol.pause_writing()
    stuck.go.set()
    await settle()
    peer.protocol.connection_lost(ConnectionResetError())
    await settle()
    assert [type(error) for error in stuck.errors] == [Disconnected]


@on_a_loop
async def test_a_complete_answer_is_complete_although_the_reader_leaves():
    stuck = Stuck(before=[START], after=[LAST])
    peer = Peer(stuck)
    await peer.send(GET)
    peer.protocol.pause_writing()
    stuck.go.set()
    await settle()
    peer.protocol.connection_lost(ConnectionResetError())
    await peer.tell("resume_writing")
    assert stuck.errors == []


# --- the clock ---


@on_a_loop
async def test_an_idle_connection_is_closed():
    peer = Peer(hello_asgi.app)
    await peer.send(GET)
    assert (await peer.late()).asked == ["close"]


@pytest.mark.parametrize("sent", [GET[:-2], POST % 5 + b"ab", CHUNKED])
@on_a_loop
async def test_a_slow_request_is_408(sent):
    peer = Peer(echo_asgi.app, times=Times(io=0.0))
    await peer.send(sent)
    assert peer.protocol.deadline < float("inf")
    assert (await peer.late()).statuses == [408]


@on_a_loop
async def test_the_app_has_all_the_time_it_wants():
    stuck = Stuck(listens=True)
    peer = Peer(stuck)
    await peer.send(GET)
    assert peer.protocol.deadline == float("inf")
    peer = Peer(Stuck())
    await peer.send(POST % 5)  # it does not receive: nobody waits for the peer
    assert peer.protocol.deadline == float("inf")


@on_a_loop
async def test_a_head_has_its_time_from_its_first_byte_on():
    peer = Peer(hello_asgi.app, times=Times(head=100.0, idle=1000.0))
    await peer.send(GET)
    idle = peer.protocol.deadline
    await peer.send(b"G")
    assert peer.protocol.deadline < idle - 500
    begun = peer.protocol.deadline
    await peer.send(b"E")
    assert peer.protocol.deadline == begun


@on_a_loop
async def test_who_reads_slowly_is_waited_for_and_who_does_not_read_is_not():
    stuck = Stuck(before=[START], after=[MORE])
    peer = Peer(stuck)
    await peer.send(GET)
    peer.protocol.pause_writing()
    stuck.go.set()
    await settle()
    for size in (900, 800):
        peer.transport.size = size
        assert (await peer.late()).asked == []
    assert (await peer.late()).asked == ["abort"]


# --- the app fails ---


@on_a_loop
async def test_what_an_app_raises_after_its_answer_is_logged_and_no_more(caplog):
    peer = Peer(bad_asgi.raises_at_the_end)
    await peer.send(GET, GET)
    assert peer.transport.statuses == [200, 200] and peer.transport.asked == []
    assert [record.message for record in caplog.records] == [
        "the app failed on /: on purpose: after the answer"
    ] * 2


@on_a_loop
async def test_a_surplus_ends_the_connection(caplog):
    peer = Peer(bad_asgi.too_long)
    await peer.send(GET, GET)
    assert peer.transport.wire.endswith(b"\r\n\r\nfi") and peer.transport.asked == ["eof"]
    assert "3 bytes longer" in caplog.text


@on_a_loop
async def test_where_the_end_is_the_close_only_a_reset_is_visible():
    peer = Peer(bad_asgi.raises_after)
    await peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.transport.asked == ["abort"] and peer.transport.options


@on_a_loop
async def test_ctrl_c_is_not_the_apps_doing():
    async def interrupted(scope, receive, send):
        raise KeyboardInterrupt

    peer = Peer(interrupted)
    reader = Reader()
    reader.feed(GET)
    with pytest.raises(KeyboardInterrupt):  # by hand: a task would end the loop with it
        Cycle(peer.protocol, reader.next_event()).run().send(None)
    assert peer.transport.wire == b""


@on_a_loop
async def test_a_bug_in_the_server_is_a_500_and_says_so(caplog, monkeypatch):
    peer = Peer(hello_asgi.app)
    monkeypatch.setattr("servers.protocol.Cycle", None)
    await peer.send(GET)
    assert peer.transport.statuses == [500]
    assert "a bug in the server: 'NoneType' object is not callable" in caplog.text


@on_a_loop
async def test_one_too_many_is_503():
    stuck = Stuck(after=[START, LAST])
    peer = Peer(stuck, most=1)
    await peer.send(GET)
    other = HTTPProtocol(peer.server)
    other.connection_made(refused := Transport())
    peer.server.loop.call_soon(other.data_received, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    await settle()
    assert refused.statuses == [503] and refused.wire.endswith(b"\r\n\r\n")
    stuck.go.set()
    await settle()
    assert (await peer.send(GET)).statuses == [200, 200]


# --- answers of one turn leave together ---


@on_a_loop
async def test_answers_of_one_turn_of_the_loop_are_held(monkeypatch):
    def in_one_turn():
        monkeypatch.setattr("servers.serving.QUICK", 60.0)
        peer.protocol.data_received(GET)
        other.data_received(GET)
        assert (peer.transport.wire, second.wire) == (b"", b"")
        peer.protocol.data_received(GET)  # what is held already leaves before more
        assert peer.transport.statuses == [200, 200]

    def in_a_long_turn():
        monkeypatch.setattr("servers.serving.QUICK", 0.0)
        peer.protocol.data_received(GET)
        assert peer.transport.statuses == [200, 200]
        other.data_received(GET)  # now nobody waits any more
        assert (peer.transport.statuses, second.statuses) == ([200] * 3, [200] * 2)

    peer = Peer(hello_asgi.app)
    other = HTTPProtocol(peer.server)
    other.connection_made(second := Transport())
    for turn in (in_one_turn, in_a_long_turn):
        peer.server.loop.call_soon(turn)
        await settle()
    assert (peer.transport.statuses, second.statuses) == ([200] * 3, [200] * 2)

"""A loop that serves over real sockets: how it starts, stops, and shares work among processes."""

import asyncio
import logging
import signal
import socket
import subprocess
import textwrap
import threading
import time
from contextlib import contextmanager

import psutil
import pytest
from test_main import GET, PATIENCE, accepts, run, started

from apps import bad_asgi, hello_asgi
from coursekit.live import live, wire
from servers import serving
from servers.service import Times

POLL = 0.002


def until(condition):
    """Wait until a condition holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(POLL)


class Served:
    """A server in a thread; `lines` is its log, `error` what ended it."""

    def __init__(self, app, settings):
        self.lines, self.error = [], None
        self.log = logging.Logger("servers.test", logging.DEBUG)
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())
        self.log.addHandler(handler)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.stopper, self.stop = socket.socketpair()
        self.thread = threading.Thread(target=self.run, args=(app, settings), daemon=True)
        self.thread.start()

    def run(self, app, settings):
        try:
            with self.listener:
                serving.serve(self.listener, app, stop=self.stop, log=self.log, **settings)
        except BaseException as error:
            self.error = error

    def end(self):
        self.stopper.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.stop.close()


@contextmanager
def served(app, **settings):
    server = Served(app, settings)
    try:
        yield server
    finally:
        server.end()


class Gate:
    """An app that tells when a request is inside, and answers when it is let go."""

    def __init__(self, first=b""):
        self.inside, self.go, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.first = first

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        try:
            await bad_asgi.start(send)
            if self.first:
                await bad_asgi.finish(send, self.first, more_body=True)
            self.inside.set()
            while not self.go.is_set():
                await asyncio.sleep(POLL)
            await bad_asgi.finish(send, b"done\n")
        finally:
            self.closed.set()


# --- to serve ---


def test_beat_is_called_while_all_is_well():
    beats = []
    with served(hello_asgi.app, beat=lambda: beats.append(1)) as server:
        assert wire.send(server.address, GET).status == 200
        until(lambda: len(beats) > 2)


def test_an_idle_connection_is_closed_after_its_time():
    with served(hello_asgi.app, times=Times(idle=0.01)) as server:
        with wire.Connection(server.address, timeout=PATIENCE) as client:
            client.send(GET)
            client.read()
            assert client.read(2).end == "closed"


def test_many_idle_clients_do_not_disturb():
    with served(hello_asgi.app) as server:
        idle = [socket.create_connection(server.address) for _ in range(200)]
        assert wire.send(server.address, GET).status == 200
        for sock in idle:
            sock.close()


# --- to stop ---


def test_a_request_in_flight_is_finished():
    gate = Gate()
    with served(gate) as server, wire.Connection(server.address, timeout=PATIENCE) as client:
        client.send(GET)
        assert gate.inside.wait(PATIENCE)
        server.stopper.close()
        until(lambda: not accepts(server.address))
        gate.go.set()
        result = client.read()
    assert (result.status, result.answer.body) == (200, b"done\n")
    assert b"Connection: close" in result.received and server.error is None


def test_work_behind_an_answer_is_finished():
    done = threading.Event()

    async def app(scope, receive, send):
        await hello_asgi.app(scope, receive, send)
        inside.set()
        while accepts(server.address):
            await asyncio.sleep(POLL)
        done.set()

    inside = threading.Event()
    with served(app) as server:
        assert wire.send(server.address, GET).status == 200
        assert inside.wait(PATIENCE)
    assert done.is_set()


def test_idle_connections_are_closed_and_unfinished_requests_have_their_time():
    with served(hello_asgi.app, times=Times(head=0.3)) as server:
        with wire.Connection(server.address, timeout=PATIENCE) as idle:
            with wire.Connection(server.address, timeout=PATIENCE) as half:
                idle.send(GET)
                assert idle.read().status == 200
                half.send(GET[:10])
                server.stopper.close()
                assert idle.read(2).end == "closed"
                assert half.read().status == 408


def test_an_idle_connection_may_ask_once_more():
    beats = []
    settings = {"times": Times(quiet=PATIENCE), "beat": lambda: beats.append(1)}
    with served(hello_asgi.app, **settings) as server:
        with wire.Connection(server.address, timeout=PATIENCE) as client:
            client.send(GET)
            client.read()
            server.stopper.close()
            until(lambda: not accepts(server.address))
            enough = len(beats) + 3
            until(lambda: len(beats) > enough)
            client.send(GET)
            assert len(client.read(2).answers) == 2
            assert b"Connection: close" in client.exchange.received


def test_a_stream_without_end_ends_at_the_deadline():
    gate = Gate(first=b"begun ")
    with served(gate, times=Times(stop=0.05)) as server:
        with wire.Connection(server.address, timeout=PATIENCE) as client:
            client.send(GET)
            assert gate.inside.wait(PATIENCE)
            server.stopper.close()
            result = client.read()
    assert gate.closed.is_set()
    assert not result.answer.complete and result.end in ("closed", "reset")
    assert "1 requests took too long to stop for: ended" in server.lines
    assert not any("the app failed" in line for line in server.lines)


def test_who_does_not_read_is_dropped_at_the_deadline():
    async def app(scope, receive, send):
        await bad_asgi.start(send)
        await bad_asgi.finish(send, bytes(50_000_000))

    with served(app, times=Times(stop=0.05)) as server:
        with socket.create_connection(server.address) as sock:
            sock.sendall(GET)
            assert sock.recv(10)
            server.end()
    assert server.error is None


def test_half_a_request_is_dropped_at_the_deadline():
    with served(hello_asgi.app, times=Times(stop=0.05)) as server:
        with wire.Connection(server.address, timeout=PATIENCE) as half:
            half.send(GET[:10])
            server.stopper.close()
            assert half.read().end in ("closed", "reset")
    assert not any("took too long" in line for line in server.lines) and server.error is None


# --- the app's own beginning and end ---


class Site:
    """An app with a lifespan, which notes what happens."""

    def __init__(self, startup="lifespan.startup.complete"):
        self.startup, self.events = startup, []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            scope["state"]["count"].append(scope["path"])
            scope["state"]["own"] = 1
            self.events.append(sorted(scope["state"]))
            return await hello_asgi.app(scope, receive, send)
        scope["state"]["count"] = []
        for answer in (self.startup, "lifespan.shutdown.complete"):
            self.events.append((await receive())["type"])
            await send({"type": answer, "message": "no database"})
        self.events.append(scope["state"]["count"])


def test_the_state_of_the_lifespan_is_shared_with_each_request():
    site = Site()
    with served(site) as server:
        for _ in range(2):
            assert wire.send(server.address, GET).status == 200
    assert site.events == [
        "lifespan.startup", ["count", "own"], ["count", "own"], "lifespan.shutdown", ["/", "/"],
    ]  # fmt: skip


def test_an_app_that_fails_to_start_is_not_served():
    with served(Site("lifespan.startup.failed")) as server:
        server.thread.join(PATIENCE)
    assert isinstance(server.error, serving.StartupFailed)
    assert str(server.error) == "the app's startup failed: no database"


# --- from the command line ---

HELLO = "apps.hello_asgi:app"


@pytest.fixture
def folder(tmp_path):
    """A folder with a site whose startup can fail."""
    (tmp_path / "site_.py").write_text(textwrap.dedent("""
        import os

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                failed = os.path.exists("no")
                kind = "lifespan.startup." + ("failed" if failed else "complete")
                await send({"type": kind, "message": "no database"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
                with open(f"ended-{os.getpid()}", "x"):
                    return
            headers = [(b"x-pid", b"%d" % os.getpid())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"served\\n"})
    """))
    return tmp_path


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_serves_and_ends_with_0(folder, signal_):
    with started("asgi", "site_:app", "--port", "0", cwd=folder) as (process, address):
        assert wire.send(address, GET).answer.body == b"served\n"
        process.send_signal(signal_)
        assert process.wait(PATIENCE) == 0
    assert len(list(folder.glob("ended-*"))) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_startup_that_fails_is_status_3(folder, workers):
    (folder / "no").touch()
    status, out, err = run("asgi", "site_:app", "--port", "0", "--workers", workers, cwd=folder)
    assert status == 3
    assert "the app's startup failed: no database\n" in err
    assert "Traceback" not in err


def test_workers_share_a_port(folder):
    """Each runs the lifespan; a worker that is killed is replaced; all end with the master."""
    with started("asgi", "site_:app", "--port", "0", "--workers", "2", cwd=folder,
                 stderr=subprocess.PIPE) as (process, address):  # fmt: skip
        me = psutil.Process(process.pid)
        until(lambda: len(me.children()) == 2)
        assert wire.send(address, GET).status == 200
        first = me.children()[0].pid
        seen = {int(wire.send(address, GET).answer.all("x-pid")[0]) for _ in range(20)}
        assert seen <= {child.pid for child in me.children()}
        me.children()[0].kill()
        until(lambda: len(me.children()) == 2 and first not in [c.pid for c in me.children()])
        assert wire.send(address, GET).status == 200
        process.terminate()
        err = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in err
    assert 1 <= len(list(folder.glob("ended-*"))) <= 2


# --- the toy in the kernel ---


def test_the_toy_in_the_kernel_serves_an_app_that_can_be_exchanged():
    with live("toy", hello_asgi.app, interface="asgi") as server:
        assert server.get("/").text == "Hello from ASGI\n"
        server.app = bad_asgi.app
        assert "/twice" in server.get("/").text


def test_the_toy_speaks_two_interfaces():
    with pytest.raises(ValueError, match="the toy speaks wsgi and asgi, not 'cgi'"):
        live("toy", hello_asgi.app, interface="cgi")

"""The pool: who leads, when the lead is passed on, and what a bug in it does."""

import select
import selectors
import socket
import struct
import threading
from contextlib import ExitStack, contextmanager

import pytest

from apps.hello_wsgi import app
from coursekit.live import live
from servers import pool, workers
from servers.service import Service, wait
from servers.wsgi import base_environ


def test_a_bug_in_the_pool_ends_the_serving_and_is_raised(monkeypatch):
    def broken(self):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pool.Pool, "watch", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        workers.serve_threads(workers.listen(), app, threads=2)


def test_the_lead_is_passed_on_once_and_only_by_one_who_is_in_the_app():
    listener = workers.listen()
    crew = pool.Pool(listener, workers.Service(app, {}), None)
    with crew.selector, listener:
        crew.lead.acquire()
        crew.pass_lead(crew.term)  # it waits in the selector: nobody is held up
        assert crew.lead.locked()
        crew.since = 1.0
        crew.pass_lead(crew.term)
        assert not crew.lead.locked() and crew.term == 1
        crew.since = 2.0
        crew.pass_lead(0)  # that term is over
        assert crew.since == 2.0 and crew.term == 1


@pytest.mark.parametrize("wary", [0, pool.WARY], ids=["trusted", "wary"])
def test_a_stuck_app_holds_up_nobody(monkeypatch, wary):
    release, inside = threading.Event(), threading.Event()

    def stuck(environ, start_response):
        if environ["PATH_INFO"] == "/stuck":
            inside.set()
            assert release.wait(20)
        return app(environ, start_response)

    real = pool.Pool.__init__

    def begin(self, *arguments):
        real(self, *arguments)
        self.wary = wary

    monkeypatch.setattr(pool.Pool, "__init__", begin)
    with live("toy", stuck, threads=2) as server:
        first = threading.Thread(target=server.get, args=("/stuck",))
        first.start()
        assert inside.wait(20)
        answers = [server.get("/").status_code for _ in range(3)]
        release.set()
        first.join()
    assert answers == [200, 200, 200]


@pytest.mark.parametrize("wary", [0, pool.WARY], ids=["trusted", "wary"])
def test_an_answer_is_not_held_for_an_app_that_is_stuck(wary):
    """Two requests come at once, and the only thread is stuck in the second."""
    release, calls = threading.Event(), []

    def once(environ, start_response):
        calls.append(environ)
        assert len(calls) != 2 or release.wait(20)
        return app(environ, start_response)

    listener, (stop, stopper) = workers.listen(), socket.socketpair()
    crew = pool.Pool(listener, Service(once, base_environ("a", 1)), stop)
    crew.wary = wary
    with stop, crew.selector, ExitStack() as stack:
        address = listener.getsockname()
        clients = [stack.enter_context(socket.create_connection(address, 20)) for _ in range(2)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        threads = [threading.Thread(target=run) for run in (crew.work, crew.oversee)]
        for thread in threads:
            thread.start()
        [answered], _, _ = select.select(clients, [], [], 20)
        assert answered.recv(100).startswith(b"HTTP/1.1 200")
        release.set()
        clients.remove(answered)
        assert clients[0].recv(100).startswith(b"HTTP/1.1 200")
        stopper.close()
        for thread in threads:
            thread.join(20)


@contextmanager
def spooling():
    """Give a pool, a busy connection of its with bytes that wait, and the client."""
    listener = workers.listen()
    crew = pool.Pool(listener, Service(app, base_environ("a", 1)), None)
    with listener, crew.selector, socket.create_connection(listener.getsockname()) as client:
        crew.accept()
        [served] = crew.connections
        served.busy = True
        while not served.unsent:
            served.send(bytes(2**20))
        yield crew, served, client
        served.close()
        served.sock.close()


def test_the_leader_helps_a_busy_connection_until_nothing_waits():
    with spooling() as (crew, served, client):
        assert served.watched == selectors.EVENT_WRITE
        while served.unsent:
            assert client.recv(2**20)
            crew.help(served)
        assert served.watched == 0


def test_the_leader_lets_the_thread_find_out_that_a_client_has_left():
    with spooling() as (crew, served, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert wait(served.sock, select.POLLHUP, 20)
        crew.help(served)
        assert served.watched == 0 and not served.closed


def test_who_is_served_no_more_needs_no_help():
    with spooling() as (crew, served, client):
        served.busy = False  # its thread was quicker
        crew.help(served)
        assert served.watched == selectors.EVENT_WRITE


def test_a_stuck_leader_has_no_heartbeat(monkeypatch):
    crew, beats = pool.Pool(workers.listen(), workers.Service(app, {}), None), []

    def end():
        crew.fault = ZeroDivisionError("the end of this test")

    monkeypatch.setattr(crew, "doze", end)
    with crew.selector, crew.listener, crew.lead:
        crew.swept -= pool.STUCK
        with pytest.raises(ZeroDivisionError):
            crew.oversee(lambda: beats.append("stuck"))
        crew.fault = None
        crew.since = 0.0  # it is in the app: that may take as long as it likes
        monkeypatch.setattr(crew, "pass_lead", lambda term: None)
        with pytest.raises(ZeroDivisionError):
            crew.oversee(lambda: beats.append("busy"))
    assert beats == ["busy"]

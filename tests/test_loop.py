"""The event loop of lesson 8: what waits, what wakes up, and in which order."""

import socket
import threading
import time
from contextlib import closing

import pytest

from servers.loop import Future, Loop


@pytest.fixture
def loop():
    with closing(Loop()) as loop:
        yield loop


def test_a_coroutine_and_a_generator_wait_alike(loop):
    def old():
        yield from loop.sleep(0.002)
        order.append("generator")
        return "old"

    async def new():
        await loop.sleep(0.001)
        order.append("coroutine")
        return "new"

    async def both():
        tasks = [loop.spawn(old()), loop.spawn(new())]
        return [await task for task in tasks]

    order = []
    assert loop.run(both()) == ["old", "new"]
    assert order == ["coroutine", "generator"]


def test_who_sleeps_less_wakes_first_and_equals_keep_their_order(loop, monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

        def select(self, pause):
            self.now += pause
            return []

    async def sleeper(seconds, name):
        await loop.sleep(seconds)
        woken.append((name, clock.now))

    async def main():
        for task in [loop.spawn(sleeper(*each)) for each in ((3, "c"), (1, "a"), (1, "b"))]:
            await task

    woken, clock = [], Clock()
    monkeypatch.setattr("servers.loop.time", clock)
    monkeypatch.setattr(loop.selector, "select", clock.select)
    loop.run(main())
    assert woken == [("a", 101.0), ("b", 101.0), ("c", 103.0)]


def test_an_error_reaches_who_waits(loop):
    async def fails():
        await loop.sleep(0)
        raise ValueError("on purpose")

    async def waits():
        with pytest.raises(ValueError, match="on purpose"):
            await loop.spawn(fails())
        return "survived"

    assert loop.run(waits()) == "survived"
    with pytest.raises(ValueError, match="on purpose"):
        loop.run(fails())


def test_what_is_done_needs_no_wait(loop):
    future = Future("ready")
    future.set(7)

    async def main():
        return await future

    assert loop.run(main()) == 7


def test_an_echo_server_and_its_clients_share_a_thread(loop):
    async def serve(listener):
        while True:
            sock, _ = await loop.sock_accept(listener)
            loop.spawn(echo(sock))

    async def echo(sock):
        with sock:
            while data := await loop.sock_recv(sock, 65536):
                await loop.sock_sendall(sock, data)

    async def ask(address, data):
        with socket.create_connection(address) as sock:
            await loop.sock_sendall(sock, data)
            received = b""
            while len(received) < len(data):
                received += await loop.sock_recv(sock, 65536)
        return received

    async def main():
        loop.spawn(serve(listener))
        asks = [loop.spawn(ask(listener.getsockname(), each)) for each in sent]
        return [await task for task in asks]

    sent = [b"one", b"two", b"three" * 10]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert loop.run(main()) == sent


def test_sending_waits_for_a_slow_reader(loop):
    async def main():
        sending = loop.spawn(loop.sock_sendall(one, data))
        received = b""
        while len(received) < len(data):
            received += await loop.sock_recv(two, 65536)
        await sending
        return received

    data = bytes(range(256)) * 20_000
    one, two = socket.socketpair()
    with one, two:
        assert loop.run(main()) == data


def test_another_thread_wakes_the_loop_up(loop):
    async def main():
        thread = threading.Thread(target=loop.call_from_thread, args=[lambda: future.set("rung")])
        thread.start()
        rung = await future
        thread.join()  # or it might push the button of a loop that is closed
        return rung

    future = Future("a thread")
    assert loop.run(main()) == "rung"


def test_the_bell_may_ring_too_often(loop):
    async def main():
        for _ in range(10_000):
            loop.call_from_thread(lambda: rung.append(1))
        await loop.sleep(0)
        await loop.sleep(0)

    rung = []
    loop.run(main())
    assert len(rung) == 10_000


def test_a_turn_lets_each_run_once(loop):
    """A task that is ready again and again does not keep a socket or a timer from its turn."""

    async def greedy():
        while not done:
            turns.append(1)
            future = Future("itself")
            loop.ready.append(future.set)
            await future

    async def other():
        await loop.sleep(0)
        done.append(1)

    async def main():
        tasks = [loop.spawn(greedy()), loop.spawn(other())]
        for task in tasks:
            await task

    turns, done = [], []
    loop.run(main())
    assert 1 <= len(turns) < 10


def test_who_does_not_wait_holds_up_all(loop):
    async def blocks():
        order.append("blocks")
        deadline = time.monotonic() + 0.01
        while time.monotonic() < deadline:
            pass
        order.append("done")

    async def other():
        order.append("other")

    async def main():
        for task in [loop.spawn(blocks()), loop.spawn(other())]:
            await task

    order = []
    loop.run(main())
    assert order == ["blocks", "done", "other"]


def test_its_state_can_be_read(loop):
    async def sleeper():
        await loop.sleep(60)

    async def reader(sock):
        await loop.sock_recv(sock, 1)

    async def writer(sock):
        await loop.sock_sendall(sock, b"x")

    one, two = socket.socketpair()
    with one, two:
        for work in (sleeper(), reader(one), writer(two)):
            loop.spawn(work)
        assert str(loop).splitlines()[0] == "3 can go on, 0 timers:"
        steps, loop.ready = list(loop.ready), type(loop.ready)()
        for step in steps:
            step()
        assert str(loop) == (
            "0 can go on, 1 timers:\n"
            "  sleeper 1        waits for 60 seconds\n"
            f"  reader 2         waits for socket {one.fileno()} to read\n"
            f"  writer 3         waits for socket {two.fileno()} to write"
        )
    for task in loop.tasks:
        task.work.close()

"""The relay: bytes, half-close and reset pass through, and nothing stays behind."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from coursekit import flow
from coursekit.flow import tap as tap_module
from coursekit.flow.tap import Tap


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, Tap]]:
    """Yield a client and a server socket that are joined by a tap, and the tap."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Tap(listener.getsockname()) as tap:
            with socket.create_connection(tap.address, timeout=5) as client:
                server, _ = listener.accept()
                server.settimeout(5)
                with server:
                    yield client, server, tap


def seen(tap: Tap) -> list[tuple[str, str]]:
    return [(event.sender, event.kind) for event in tap.events]


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_bytes_pass_both_ways_and_are_noted_with_rising_times(ends):
    client, server, tap = ends
    client.sendall(b"ping\x00")
    assert server.recv(100) == b"ping\x00"
    server.sendall(b"pong\xff")
    assert client.recv(100) == b"pong\xff"
    data = [(event.sender, event.data) for event in tap.events if event.kind == "data"]
    assert data == [("client", b"ping\x00"), ("server", b"pong\xff")]
    times = [event.time for event in tap.events]
    assert times == sorted(times)
    assert tap.events[0].port == server.getpeername()[1]


def test_half_close_passes_and_the_other_direction_stays_open(ends):
    client, server, tap = ends
    client.sendall(b"all")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(100) + server.recv(100) == b"all"
    assert server.recv(100) == b""
    server.sendall(b"answer")
    server.close()
    assert client.recv(100) == b"answer"
    assert client.recv(100) == b""
    assert tap.wait(5)
    assert seen(tap)[-3:] == [("client", "eof"), ("server", "data"), ("server", "eof")]


@pytest.mark.parametrize("by", ["client", "server"])
def test_a_reset_passes_to_the_other_side(ends, by):
    client, server, tap = ends
    client.sendall(b"x")
    assert server.recv(1) == b"x"
    here, there = (client, server) if by == "client" else (server, client)
    reset(here)
    with pytest.raises(ConnectionResetError):
        there.recv(100)
    assert tap.wait(5)
    assert seen(tap)[-1] == (by, "reset")


def test_a_refused_connection_is_a_reset_for_the_client():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with Tap(address) as tap:
        with pytest.raises(ConnectionResetError):  # in connect already, if the tap is quick
            with socket.create_connection(tap.address, timeout=5) as client:
                client.recv(1)
        assert seen(tap) == [("server", "refused")]


def test_both_sides_may_send_at_once(ends):
    client, server, _ = ends
    block = bytes(4_000_000)
    got: dict[str, int] = {}

    def work(name: str, sock: socket.socket) -> None:
        sender = threading.Thread(target=sock.sendall, args=(block,))
        sender.start()
        got[name] = 0
        while got[name] < len(block):
            got[name] += len(sock.recv(65536))
        sender.join()

    threads = [threading.Thread(target=work, args=pair)
               for pair in (("client", client), ("server", server))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == {"client": len(block), "server": len(block)}


def test_stop_leaves_no_thread_and_no_port():
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Tap(listener.getsockname()) as tap:
            clients = [socket.create_connection(tap.address) for _ in range(5)]
            until(lambda: len(tap.events) == 5)
        for client in clients:
            client.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tap.address)


def test_a_tap_that_is_full_relays_on_and_says_so(monkeypatch):
    monkeypatch.setattr(tap_module, "KEPT", 1000)
    with socket.create_server(("127.0.0.1", 0)) as listener, Tap(listener.getsockname()) as small:
        with socket.create_connection(small.address, timeout=5) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(5)
                for _ in range(3):
                    client.sendall(b"x" * 500)
                    assert len(server.recv(500, socket.MSG_WAITALL)) == 500
        assert small.full
        assert sum(len(wire.data) for wire in small.events) == 500
    trace = flow.Trace("small", wires=small.events)
    trace.full = True
    assert "more went by than is kept" in trace.table()

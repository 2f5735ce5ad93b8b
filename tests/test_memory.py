"""Large bodies, many connections and slow clients cost the toy little, and others nothing."""

import http.client
import socket
from contextlib import ExitStack

import psutil
import pytest

from coursekit.live import live
from coursekit.load.drive import Workload
from coursekit.load.idle import allow_files, idle

MIB = 1024 * 1024
SIZE = 64 * MIB
GROWTH = 8 * MIB
STREAM = f"/?n={SIZE // 65536}&size=65536"


KINDS = {"wsgi": {"threads": 2}, "asgi": {"interface": "asgi"}}


@pytest.fixture(params=KINDS)
def server(request):
    app, options = f"apps.stream_{request.param}:app", KINDS[request.param]
    with live("toy", app, process=True, errors="log", **options) as server:
        yield server


class Memory:
    """Watch how far a process grows."""

    def __init__(self, server):
        self.process = psutil.Process(server.workers[0].pid)
        self.base = self.process.memory_info().rss
        self.most = 0

    def look(self):
        self.most = max(self.most, self.process.memory_info().rss - self.base)


def upload(server, size, headers, encode, look=lambda: None):
    """Send a body of `size` bytes in pieces, and return what the app says."""
    with socket.create_connection(server.address, 30) as sock:
        headers = headers.replace(b"SIZE", b"%d" % size)
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n\r\n" % headers)
        for _ in range(0, size, MIB // 4):
            sock.sendall(encode(bytes(MIB // 4)))
            look()
        sock.sendall(encode(b"") if headers.startswith(b"Transfer") else b"")
        return b"".join(iter(lambda: sock.recv(65536), b""))


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    "headers, encode",
    [(b"Content-Length: SIZE", bytes), (b"Transfer-Encoding: chunked", chunk)],
    ids=["length", "chunked"],
)
def test_large_upload_takes_little_memory(server, headers, encode):
    upload(server, MIB, headers, encode)  # what the first request needs, all need
    memory = Memory(server)
    answer = upload(server, SIZE, headers, encode, memory.look)
    assert answer.endswith(b"%d bytes\n" % SIZE)
    assert memory.most < GROWTH, f"grew by {memory.most / MIB:.1f} MiB"


def test_large_download_takes_little_memory(server):
    server.get("/?n=16&size=65536")
    memory = Memory(server)
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request("GET", STREAM)
    answer = connection.getresponse()
    assert answer.status == 200
    size = 0
    while piece := answer.read(MIB):
        size += len(piece)
        memory.look()
    connection.close()
    assert size == SIZE
    assert memory.most < GROWTH, f"grew by {memory.most / MIB:.1f} MiB"


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_idle_connections(kind):
    if allow_files(1200) < 1200:
        pytest.skip("this system does not allow 1,200 open files (ulimit -n)")
    app = f"apps.hello_{kind}:app"
    with live("toy", app, process=True, errors="log", **KINDS[kind]) as server:
        hello = Workload("hello", app, f"Hello from {kind.upper()}\n".encode())
        seen = idle(server.address, server.workers[0].pid, hello, connections=1000, asks=100)
    assert (seen.kept, seen.answered) == (1000, 1.0)
    assert seen.bytes_each < 4096


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
SLOW = [
    pytest.param(b"GET / HTTP/1.1\r\nHost:", id="half a head"),
    pytest.param(POST % 10_000 + bytes(5_000), id="half a small upload"),
    pytest.param(POST % MIB + bytes(MIB // 2), id="half a large upload"),
    pytest.param(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), id="reads nothing"),
]


@pytest.mark.parametrize("sent", SLOW)
def test_slow_clients_hold_up_nobody(server, sent):
    """There are three times as many slow clients as threads."""
    with ExitStack() as stack:
        for _ in range(6):
            sock = stack.enter_context(socket.create_connection(server.address, 10))
            sock.sendall(sent)
        for _ in range(20):
            assert server.get("/?n=3&size=10", timeout=4).content.count(b"\n") == 3


def test_a_slow_reader_gets_all_of_a_large_answer(server):
    """It is served in the end: holding up nobody must not mean dropping the slow."""
    with socket.create_connection(server.address, 30) as slow:
        slow.sendall(b"GET /?n=64&size=65536 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        server.get("/closed")
        body = b"".join(iter(lambda: slow.recv(16384), b""))
    assert body.count(b"....") > 0 and body.endswith(b"\r\n0\r\n\r\n")
    assert len(body) > 64 * 65536

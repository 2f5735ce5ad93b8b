"""Hypercorn: an ASGI server for HTTP/1.1, HTTP/2 and WebSocket, on parsers without I/O.

Where to look in its source, https://github.com/pgjones/hypercorn:
    src/hypercorn/run.py                    the parent of the workers
    src/hypercorn/asyncio/tcp_server.py     one connection, bytes in and out
    src/hypercorn/protocol/h11.py           HTTP/1.1, by h11
    src/hypercorn/protocol/http_stream.py   one request: the messages of ASGI
    src/hypercorn/asyncio/lifespan.py       startup and shutdown of the app
Settings: https://hypercorn.readthedocs.io/en/latest/how_to_guides/configuring.html
"""

from servers.production import flags

INSTALL = "pip install hypercorn"
TAKES_FD = True
INTERFACE = "asgi"
READY = "Running on "
SIGNALS = {
    "TERM": "end, but answer what is in flight",
    "INT": "end, but answer what is in flight",
}


def command(
    app: str,
    *,
    port: int = 8000,
    fd: int | None = None,
    workers: int = 1,
    threads: int | None = None,
    folder: str | None = None,
    **options: object,
) -> list[str]:
    """Return the command line that serves `app` on 127.0.0.1:`port`, or on the socket `fd`."""
    if threads is not None:
        raise ValueError("hypercorn has one thread in each process: give it workers=N")
    bind = f"127.0.0.1:{port}" if fd is None else f"fd://{fd}"
    words = ["hypercorn", app, "--bind", bind]
    if workers != 1:
        words += ["--workers", str(workers)]
    return words + flags(options)

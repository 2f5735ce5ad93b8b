"""Uvicorn: an ASGI server on asyncio or uvloop; with `workers` a parent and several processes.

Where to look in its source, https://github.com/encode/uvicorn:
    uvicorn/server.py                           start, main loop, the shutdown
    uvicorn/protocols/http/h11_impl.py          a connection, read by h11: RequestResponseCycle
    uvicorn/protocols/http/httptools_impl.py    the same with a parser in C
    uvicorn/protocols/http/flow_control.py      backpressure, both ways
    uvicorn/lifespan/on.py                      startup and shutdown of the app
    uvicorn/supervisors/multiprocess.py         the parent of several workers
Settings: https://www.uvicorn.org/settings/
"""

from servers.production import flags

INSTALL = "pip install 'uvicorn[standard]'"
TAKES_FD = False  # it does, but takes it for a Unix socket: no TCP_NODELAY, 40 ms for an answer
INTERFACE = "asgi"
FAILED = "Error loading ASGI app"
SIGNALS = {
    "HUP": "end the workers one after the other, and start new ones",
    "TTIN": "one worker more",
    "TTOU": "one worker less",
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
    """Return the command line that serves `app` on 127.0.0.1:`port`."""
    if threads is not None:
        raise ValueError("uvicorn has one thread in each process: give it workers=N")
    words = ["uvicorn", app, "--port", str(port)]
    if workers != 1:
        words += ["--workers", str(workers)]
    return words + flags(options)

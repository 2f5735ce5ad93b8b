"""Uvicorn: an ASGI server on asyncio or uvloop; with `workers` a parent and several processes.

    http="h11"          a parser in Python, which is strict about what a head may be
    http="httptools"    the parser of Node, in C; "auto" takes it where it is installed
    loop="asyncio"      Python's own loop
    loop="uvloop"       one in C; "auto" takes it where it is installed

Where to look in its source, https://github.com/Kludex/uvicorn:
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
# It takes --fd N, but then believes to have a Unix socket, and asyncio does not set TCP_NODELAY:
# the second write of an answer waits 40 ms for the client's acknowledgement.
TAKES_FD = False
INTERFACE = "asgi"
READY = "Started server process"  # then it listens; a knock would leave a warning in its log
SIGNALS = {
    "HUP": "load the app anew: a new worker starts, then an old one leaves, and so on",
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
    words = ["uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    if workers != 1:
        words += ["--workers", str(workers)]
    return words + flags(options)

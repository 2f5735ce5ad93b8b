"""Granian: HTTP in Rust (hyper), the app in Python; a parent and its worker processes.

Its own interface is RSGI; here it speaks ASGI, and WSGI with interface="wsgi".

Where to look in its source, https://github.com/emmett-framework/granian:
    granian/server/common.py    the parent: starts, watches and replaces workers
    granian/asgi.py             the lifespan, and how the app is called
    src/asgi/io.rs              receive and send
    src/asgi/http.rs            a request: scope, and the answer
Settings: `granian --help`
"""

from servers.production import flags

INSTALL = "pip install granian"
TAKES_FD = False
INTERFACE = "asgi"
READY = r"Started worker-\d"
FAILED = "Worker-[0-9]+ exited on startup|Unable to load"
SIGNALS = {
    "HUP": "load the app anew: new workers start, then the old ones leave",
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
    interface: str = "asgi",
    **options: object,
) -> list[str]:
    """Return the command line that serves `app` on 127.0.0.1:`port`."""
    if threads is not None:
        raise ValueError("granian calls the app in one thread of each process: give it workers=N")
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    return ["granian", "--interface", interface, *where, *flags(options), app]

"""Waitress: one process, one thread that does all network I/O, a pool that runs the app.

Where to look in its source, https://github.com/Pylons/waitress:
    src/waitress/server.py      the listening socket and the loop
    src/waitress/channel.py     one connection: bytes in, requests queued, bytes out
    src/waitress/parser.py      the head of a request
    src/waitress/task.py        a request in a thread: environ, start_response, the answer
    src/waitress/adjustments.py every setting and its default
Settings: https://docs.pylonsproject.org/projects/waitress/en/stable/runner.html
"""

from servers.production import flags

INSTALL = "pip install waitress"
TAKES_FD = False  # its Python API takes bound sockets, its command line does not


def command(
    app: str,
    *,
    port: int = 8080,
    fd: int | None = None,
    workers: int = 1,
    threads: int | None = None,
    folder: str | None = None,
    **options: object,
) -> list[str]:
    """Return the command line that serves `app` on 127.0.0.1:`port`."""
    if workers != 1:
        raise ValueError("waitress is one process: give it threads=N, not workers=N")
    words = ["waitress-serve", f"--listen=127.0.0.1:{port}"]
    if threads is not None:
        words += [f"--threads={threads}"]
    return words + flags(options) + [app]

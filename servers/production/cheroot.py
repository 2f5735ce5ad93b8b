"""Cheroot, CherryPy's server: one process, one loop that waits, a pool of threads that works.

Where to look in its source, https://github.com/cherrypy/cheroot:
    cheroot/server.py               the head of a request, the bodies, one connection's life
    cheroot/connections.py          the loop: who has something to read, who was idle too long
    cheroot/workers/threadpool.py   the threads and the queue before them
    cheroot/wsgi.py                 environ and start_response
Reference: https://cheroot.cherrypy.dev/en/latest/
"""

from servers.production import flags

INSTALL = "pip install cheroot"
TAKES_FD = False


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
    if workers != 1:
        raise ValueError("cheroot is one process: give it threads=N, not workers=N")
    words = ["cheroot", app, "--bind", f"127.0.0.1:{port}"]
    if threads is not None:
        # The pool has a lower and an upper end; it never grows by itself.
        words += ["--threads", str(threads)]
    return words + flags(options)

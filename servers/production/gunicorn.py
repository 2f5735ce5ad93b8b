"""Gunicorn: a master process that starts, watches and replaces worker processes.

Where to look in its source, https://github.com/benoitc/gunicorn:
    gunicorn/arbiter.py             the master: starts workers, handles signals
    gunicorn/workers/sync.py        the simplest worker: one request at a time
    gunicorn/workers/gthread.py     the worker with a thread pool and keep-alive
    gunicorn/http/message.py        the head of a request, and what is refused
    gunicorn/http/wsgi.py           environ and start_response
Settings: https://docs.gunicorn.org/en/stable/settings.html
"""

from servers.production import flags

INSTALL = "pip install gunicorn"
TAKES_FD = True
SIGNALS = {
    "HUP": "load the app anew: new workers start, then the old ones leave",
    "TTIN": "one worker more",
    "TTOU": "one worker less",
    "TERM": "end, but answer what is in flight",
    "INT": "end at once",
    "QUIT": "end at once",
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
    bind = f"127.0.0.1:{port}" if fd is None else f"fd://{fd}"
    words = ["gunicorn", app, "--bind", bind, "--workers", str(workers)]
    if threads is not None:
        words += ["--threads", str(threads)]
    if folder is not None:
        # The file whose time stamp tells the master that a worker is alive.
        words += ["--worker-tmp-dir", folder]
    # Otherwise a control socket appears in ~/.gunicorn, one name for all of a user's servers.
    words += ["--no-control-socket"]
    return words + flags(options)

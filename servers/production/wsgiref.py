"""wsgiref: the WSGI server in Python's own library. One thread, one request at a time.

It has no command line that serves an app of yours, so this file is one:

    python -m servers.production.wsgiref apps.hello_wsgi:app 8000

Where to look in its source, https://github.com/python/cpython (folder Lib):
    wsgiref/simple_server.py    the socket side, and environ (it copies os.environ)
    wsgiref/handlers.py         run an app: start_response, headers, the body
    wsgiref/validate.py         a referee to put between a server and an app
    http/server.py              the head of a request
Reference: https://docs.python.org/3/library/wsgiref.html
"""

import importlib
import sys
from wsgiref.simple_server import make_server

INSTALL = "nothing to install: wsgiref comes with Python"
TAKES_FD = False


def command(
    app: str,
    *,
    port: int = 8000,
    fd: int | None = None,
    workers: int = 1,
    threads: int | None = None,
    folder: str | None = None,
) -> list[str]:
    """Return the command line that serves `app` on 127.0.0.1:`port`."""
    if workers != 1 or threads not in (None, 1):
        raise ValueError("wsgiref is one process with one thread: it takes no workers or threads")
    return ["python", "-m", "servers.production.wsgiref", app, str(port)]


def main(app: str, port: str) -> None:
    """Serve MODULE:ATTR until the process is ended."""
    module, _, attribute = app.partition(":")
    with make_server(
        "127.0.0.1", int(port), getattr(importlib.import_module(module), attribute)
    ) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

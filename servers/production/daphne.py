"""Daphne, the server of Django Channels: ASGI on Twisted, one process.

Where to look in its source, https://github.com/django/daphne:
    daphne/server.py            the reactor, one call of the app for each connection
    daphne/http_protocol.py     a request: from Twisted's parser to the messages of ASGI
    daphne/ws_protocol.py       a WebSocket, by Autobahn
Settings: `daphne --help`
"""

from servers.production import flags

INSTALL = "pip install daphne"
TAKES_FD = False  # it takes one, but only if somebody else has called listen()
INTERFACE = "asgi"
READY = "Listening on TCP address"  # to a nonsensical request it gives no answer


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
    if workers != 1 or threads is not None:
        raise ValueError("daphne is one process with one loop: leave out workers and threads")
    return ["daphne", "--port", str(port), *flags(options), app]

"""Serve an app with the toy's simplest loop, one connection after the other, in a process.

    python -m coursekit.load.serial apps.hello_wsgi:app 8000

The command line of the toy itself has threads alone, because nobody should deploy this.
"""

import signal
import socket
import sys

from servers.__main__ import load
from servers.workers import listen, serve_serial


def main(app: str, port: str) -> None:
    """Serve MODULE:ATTR until SIGTERM."""
    stop, stopper = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: stopper.close())
    serve_serial(listen("127.0.0.1", int(port)), load(app), stop=stop)


if __name__ == "__main__":
    main(*sys.argv[1:])

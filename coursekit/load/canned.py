"""A server with one answer for everything: what it serves a second is its client's own limit.

Several processes of it share a listener, so that the client has no need to wait for one.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PROCESSES = 4
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@contextmanager
def canned() -> Iterator[tuple[str, int]]:
    """Run the server in processes of its own meanwhile; give its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = [sys.executable, "-m", "coursekit.load.canned", str(listener.fileno())]
        processes = [
            subprocess.Popen(command, pass_fds=[listener.fileno()], stdin=subprocess.PIPE)
            for _ in range(PROCESSES)
        ]
        try:
            yield listener.getsockname()[:2]
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def serve(fd: int) -> None:
    """Answer whoever connects, without a look at what was asked, until the process is ended."""
    listener = socket.socket(fileno=fd)
    while True:
        sock, _ = listener.accept()
        with sock:
            try:
                sock.recv(65536)
                sock.sendall(ANSWER)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)
            except OSError:
                continue


if __name__ == "__main__":
    threading.Thread(target=serve, args=[int(sys.argv[1])], daemon=True).start()
    sys.stdin.read()  # it ends when whoever started this is gone

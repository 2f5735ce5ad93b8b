"""A worker's end of its lifeline: the socket that joins it to the master.

Rule 1  Up go single bytes: I serve, I live, I am leaving. Down comes nothing but the end.
Rule 2  The end means: finish and go. It comes when the master closes its side, or dies, and
        `resign` makes it come by itself.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

READY, ALIVE, LEAVING = b"r", b".", b"l"
Beat = Callable[[], None]


def heart(lifeline: socket.socket, every: float) -> Beat:
    """Return a function that tells the master that we live, not oftener than `every` seconds."""
    last = 0.0

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every:
            with suppress(OSError):  # a master that is gone, or has not read for long
                lifeline.send(ALIVE if last else READY, socket.MSG_DONTWAIT)
            last = now

    return beat


def resign(lifeline: socket.socket) -> None:
    """Leave as if the master had asked for it, and let it know, so that it replaces us now."""
    with suppress(OSError):  # twice, or without a master
        lifeline.send(LEAVING, socket.MSG_DONTWAIT)
        lifeline.shutdown(socket.SHUT_RD)


def unlearn_signals(numbers: Iterable[int], lifeline: socket.socket) -> None:
    """Be deaf to the master's signals in a worker, but for TERM, which means the same to both."""
    with suppress(OSError):  # asyncio, where it is loaded, lets go of it in every fork (3.12)
        os.close(signal.set_wakeup_fd(-1))
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: resign(lifeline))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

"""Two kinds of slow: waiting, which threads overlap, and computing, which they do not.

/sleep?0.2   wait 0.2 seconds
/cpu?5       compute for 5 rounds; a round is near a millisecond
/meet?3      wait until 3 requests are inside at once; 503 if they are not within half a second
/gate        connect to port $GATE of this machine, wait until that side closes
/            answer at once

Every answer names the process and the thread that made it, in the header X-Served-By.
"""

import os
import socket
import threading
import time


def app(environ, start_response):
    """Do the work that the path names, then answer `done`."""
    kind, amount = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    status = "200 OK"
    if kind == "/sleep":
        time.sleep(float(amount or 0.1))
    elif kind == "/cpu":
        compute(int(amount or 5))
    elif kind == "/gate":
        wait_at_gate()
    elif kind == "/meet" and not meet(int(amount or 2)):
        status = "503 Service Unavailable"
    body = b"done\n"
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
        ("X-Served-By", f"{os.getpid()} {threading.current_thread().name}"),
    ]
    start_response(status, headers)
    return [body]


def compute(rounds):
    """Keep the interpreter busy: pure Python, so that it holds the GIL."""
    return sum(n * n for _ in range(rounds) for n in range(15_000))


def wait_at_gate():
    """Let a client know that its request is inside, and wait until it lets us go on."""
    with socket.create_connection(("127.0.0.1", int(os.environ["GATE"])), 30) as gate:
        gate.recv(1)


BARRIERS = {}


def meet(party):
    """Wait until `party` requests are inside at the same time; tell whether they met."""
    barrier = BARRIERS.setdefault(party, threading.Barrier(party))
    try:
        barrier.wait(timeout=0.5)
    except threading.BrokenBarrierError:
        barrier.reset()
        return False
    return True

"""Two kinds of slow: waiting, which threads overlap, and computing, which they do not.

/sleep?0.2   wait 0.2 seconds
/cpu?5       compute for 5 rounds; a round is near a millisecond
/            answer at once

Every answer names the process and the thread that made it, in the header X-Served-By.
"""

import os
import threading
import time


def app(environ, start_response):
    """Do the work that the path names, then answer `done`."""
    kind, amount = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    if kind == "/sleep":
        time.sleep(float(amount or 0.1))
    elif kind == "/cpu":
        compute(int(amount or 5))
    body = b"done\n"
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
        ("X-Served-By", f"{os.getpid()} {threading.current_thread().name}"),
    ]
    start_response("200 OK", headers)
    return [body]


def compute(rounds):
    """Keep the interpreter busy: pure Python, so that it holds the GIL."""
    return sum(n * n for _ in range(rounds) for n in range(15_000))

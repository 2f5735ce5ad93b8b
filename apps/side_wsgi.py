"""Two requests that compute at once, and watch each other: do they run at the same moment?

/        answer 0 at once
/0, /1   count, each in a number of its own that the other can read, and answer how often the
         other's number had changed from one look to the next

The numbers lie in memory that threads share, and processes too if it was made before the fork: so
start it with preload. Where the system allows, /0 and /1 keep to a core each.
"""

import mmap
import os
import time

LOOKS = 1_000_000
PATIENCE = 20.0  # seconds for the other one to come

numbers = memoryview(mmap.mmap(-1, 16)).cast("Q")


def app(environ, start_response):
    """Answer with the number of changes seen; 503 if the other one does not come."""
    path, status, seen = environ["PATH_INFO"], "200 OK", 0
    if path in ("/0", "/1"):
        mine = int(path[1])
        keep_to_core(mine)
        if meet(mine):
            seen = look(mine)
        else:
            status = "503 Service Unavailable"
    body = b"%d\n" % seen
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def keep_to_core(which):
    """Let this thread run on one core only, where there is a choice."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[which % len(cores)]})


def meet(mine):
    """Say that we are here, wait for the other; tell whether it came."""
    numbers[mine] += 1
    deadline = time.monotonic() + PATIENCE
    while not numbers[1 - mine] and time.monotonic() < deadline:
        time.sleep(0.001)
    return numbers[1 - mine] > 0


def look(mine):
    """Count, and return how often the other's number was a new one."""
    changes, last, other = 0, 0, 1 - mine
    for _ in range(LOOKS):
        numbers[mine] += 1
        changes += numbers[other] != last
        last = numbers[other]
    return changes

"""Two kinds of slow on a loop: waiting, which overlaps, and holding the loop, which does not.

/sleep?0.2   wait 0.2 seconds on the loop: others are served meanwhile
/block?0.2   wait 0.2 seconds and hold the loop: nobody else is served
/cpu?5       compute for 5 rounds, which holds the loop too; a round is near a millisecond
/meet?3      wait until 3 requests are inside at once; 503 if they are not within half a second
/            answer at once

Every answer names the process and the task that made it, in the header X-Served-By.
"""

import asyncio
import os
import time

from apps.work_wsgi import compute


async def app(scope, receive, send):
    """Do the work that the path names, then answer `done`."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    kind = scope["path"].removeprefix(scope["root_path"])
    amount = scope["query_string"].decode("ascii")
    status = 200
    if kind == "/sleep":
        await asyncio.sleep(float(amount or 0.1))
    elif kind == "/block":
        time.sleep(float(amount or 0.1))
    elif kind == "/cpu":
        compute(int(amount or 5))
    elif kind == "/meet" and not await meet(int(amount or 2)):
        status = 503
    body = b"done\n"
    task = asyncio.current_task()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
        (b"x-served-by", f"{os.getpid()} {task and task.get_name()}".encode("ascii")),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


BARRIERS = {}


async def meet(party):
    """Wait until `party` requests are inside at the same time; tell whether they met."""
    barrier = BARRIERS.setdefault(party, asyncio.Barrier(party))
    try:
        async with asyncio.timeout(0.5):
            await barrier.wait()
    except TimeoutError:
        return False
    return True

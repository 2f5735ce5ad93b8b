"""Stream: an answer in pieces, and a request's body in pieces.

/?n=3&size=16&pause=0.2   n chunks of `size` bytes, with a pause before each but the first
/endless                  chunks until the client leaves, or the server ends it
/wait                     no answer: wait until the client leaves
/closed                   how many streams were started, finished, and ended so far
/sent                     how many chunks were handed to send() so far
POST to any path          how many bytes the body had; it is never held in memory as a whole
"""

import asyncio
from collections import Counter
from urllib.parse import parse_qs

COUNT = Counter(started=0, finished=0, closed=0)
SENT = Counter()


async def app(scope, receive, send):
    """Answer with a stream of unknown length; count a body; show the counters at /closed."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    path = scope["path"].removeprefix(scope["root_path"])
    if scope["method"] == "POST":
        text = f"{await count(receive)} bytes\n"
    elif path == "/closed":
        text = " ".join(f"{name}={count}" for name, count in COUNT.items())
    elif path == "/sent":
        text = str(SENT["chunks"])
    else:
        return await stream(scope, path, receive, send)
    await start(send, b"text/plain")
    await send({"type": "http.response.body", "body": text.encode("ascii")})


async def stream(scope, path, receive, send):
    """Count how a stream begins and ends, whatever ends it."""
    COUNT["started"] += 1
    try:
        if path == "/wait":
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            query = parse_qs(scope["query_string"].decode("ascii"))
            await chunks({key: values[0] for key, values in query.items()}, path, send)
        COUNT["finished"] += 1
    finally:
        # A client that leaves is seen here: send() raises OSError. At the server's end the task
        # is cancelled, and that is seen here too.
        COUNT["closed"] += 1


async def chunks(query, path, send):
    """Send n chunks: send() waits when the client does not read."""
    n, size, pause = int(query.get("n", 3)), int(query.get("size", 16)), query.get("pause", 0)
    await start(send, b"application/octet-stream")
    number = 0
    while number < n or path == "/endless":
        if number:
            await asyncio.sleep(float(pause))
        body = (b"%d " % number).ljust(size - 1, b".") + b"\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
        number += 1
        SENT["chunks"] += 1
    await send({"type": "http.response.body"})


async def start(send, kind):
    """Begin a 200 answer."""
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def count(receive):
    """Receive the body piece by piece and return its length."""
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    return total

"""Server-sent events: an answer that does not end, one event after the other.

/events            count up, until the client leaves
/events?pause=0.1  with this many seconds between two events
/open              how many streams are open

A browser that lost its connection asks again, with the last id that it got as Last-Event-ID:
the count goes on from there.
"""

import asyncio
from urllib.parse import parse_qs

OPEN = set()


async def app(scope, receive, send):
    """Serve the stream at /events; anywhere else tell how many are open."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    if scope["path"].removeprefix(scope["root_path"]) == "/events":
        return await events(scope, receive, send)
    await start(send, b"text/plain")
    await send({"type": "http.response.body", "body": b"%d open\n" % len(OPEN)})


async def events(scope, receive, send):
    """Send an event, wait for the client to leave, but not long, and send the next."""
    query = parse_qs(scope["query_string"].decode("ascii"))
    pause = float(query.get("pause", ["1"])[0])
    number = int(dict(scope["headers"]).get(b"last-event-id", 0))
    left = asyncio.create_task(leaves(receive))
    OPEN.add(left)
    try:
        await start(send, b"text/event-stream")
        while not left.done():
            number += 1
            event = b"id: %d\ndata: %d\n\n" % (number, number)
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.wait([left], timeout=pause)
    except OSError:
        pass  # the client left while we sent
    finally:
        OPEN.discard(left)
        left.cancel()


async def leaves(receive):
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def start(send, kind):
    """Begin an answer that nobody may keep: the next one will differ."""
    headers = [(b"content-type", kind), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

"""A chat over WebSocket: the path is the room, and everybody in a room hears everybody.

ws://.../any/room    what one says, all in the room hear, the speaker too
http://.../          the rooms, and how many are in each

`echo` is a smaller app: it says each message back.
"""

import asyncio

ROOMS = {}  # path: the inboxes of those who are there


async def app(scope, receive, send):
    """Serve the chat, and what the server tells of its beginning and its end."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await visit(ROOMS.setdefault(scope["path"], {}), receive, send)
    else:
        lines = [f"{room} {len(inboxes)}\n" for room, inboxes in sorted(ROOMS.items())]
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": "".join(lines).encode("utf-8")})


async def lifespan(receive, send):
    """Begin with no rooms, and end with none."""
    for kind in ("startup", "shutdown"):
        await receive()
        ROOMS.clear()
        await send({"type": f"lifespan.{kind}.complete"})


async def visit(room, receive, send):
    """Let somebody into a room until he leaves: one task listens to him, this one talks to him."""
    inbox = asyncio.Queue(maxsize=100)
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    room[inbox] = True  # a dict keeps the order in which they came
    listener = asyncio.create_task(listen(room, inbox, receive))
    try:
        while (text := await inbox.get()) is not None:
            await send({"type": "websocket.send", "text": text})
    except OSError:
        pass  # he left while we talked to him
    finally:
        room.pop(inbox)
        listener.cancel()


async def listen(room, inbox, receive):
    """Put what one visitor says into all inboxes; into his own None, when he has left."""
    while (message := await receive())["type"] == "websocket.receive":
        for each in room:
            if message.get("text") is not None and not each.full():  # who is slow misses it
                each.put_nowait(message["text"])
    await inbox.put(None)


async def echo(scope, receive, send):
    """Send each message back to where it came from."""
    assert scope["type"] == "websocket", f"this app speaks websocket only, not {scope['type']}"
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})

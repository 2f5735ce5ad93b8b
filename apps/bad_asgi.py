"""Apps that break ASGI on purpose, each in one way.

Each is an app of its own, `apps.bad_asgi:twice`, and all can be reached through `apps.bad_asgi:app`
by their name as the path: /twice. The path / lists them with what is wrong; /closed counts the
apps that were ended. "Right" says what a server owes its client and its log all the same.
"""

import asyncio

PLAIN = (b"content-type", b"text/plain")
CLOSED = []


async def start(send, *headers, status=200):
    """Send the start of an answer."""
    await send({"type": "http.response.start", "status": status, "headers": [PLAIN, *headers]})


async def finish(send, body=b"", more_body=False):
    """Send a piece of the body, the last one."""
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


# --- messages in the wrong order ------------------------------------------------------


async def body_first(scope, receive, send):
    """Send the body before the start. Right: 500."""
    await finish(send, b"a body without a head\n")


async def twice(scope, receive, send):
    """Send the start twice. Right: 500."""
    await start(send)
    await start(send, status=404)


async def goes_on(scope, receive, send):
    """Send a second body after the last one. Right: the first arrives, the second does not."""
    await start(send, (b"content-length", b"3"))
    await finish(send, b"ok\n")
    await finish(send, b"and more\n")


async def silent(scope, receive, send):
    """Return without a message. Right: 500."""


async def only_start(scope, receive, send):
    """Send the start and return. Right: 500."""
    await start(send)


async def unfinished(scope, receive, send):
    """Return in the middle of the body. Right: an answer that is visibly cut off."""
    await start(send)
    await finish(send, b"the first half, ", more_body=True)


async def unknown(scope, receive, send):
    """Send a message of no known type. Right: 500."""
    await send({"type": "http.response.trailers", "headers": []})


async def websocket(scope, receive, send):
    """Send a message of another protocol. Right: 500."""
    await send({"type": "websocket.accept"})


# --- messages of the wrong types ------------------------------------------------------


async def text_message(scope, receive, send):
    """Send text instead of a dict. Right: 500."""
    await send("http.response.start")


async def no_type(scope, receive, send):
    """Send a message without a type. Right: 500."""
    await send({"status": 200, "headers": []})


async def text_body(scope, receive, send):
    """Send a body of text. Right: 500."""
    await start(send)
    await finish(send, "text, not bytes\n")


async def text_headers(scope, receive, send):
    """Give names and values as text. Right: 500."""
    await start(send, ("x-name", "text"))


async def lone_headers(scope, receive, send):
    """Give a header without a value. Right: 500."""
    await start(send, (b"x-name",))


async def text_status(scope, receive, send):
    """Give the status as WSGI does. Right: 500."""
    await start(send, status="200 OK")


async def informs(scope, receive, send):
    """Give a status that is no answer yet. Right: 500."""
    await start(send, status=103)


# --- headers that an app must not send ------------------------------------------------


async def split_header(scope, receive, send):
    """Put a line end into a header, so that a second header appears. Right: 500."""
    await start(send, (b"x-name", b"visitor\r\nx-admin: yes"))
    await finish(send, b"one header became two\n")


async def split_name(scope, receive, send):
    """Put a line end into a header's name. Right: 500."""
    await start(send, (b"x-name: visitor\r\nx-admin", b"yes"))
    await finish(send, b"one header became two\n")


async def two_lengths(scope, receive, send):
    """Give two lengths that differ. Right: 500."""
    await start(send, (b"content-length", b"3"), (b"content-length", b"4"))
    await finish(send, b"ok\n")


async def odd_length(scope, receive, send):
    """Give a length that is no number. Right: 500."""
    await start(send, (b"content-length", b"three"))
    await finish(send, b"ok\n")


# --- Content-Length lies --------------------------------------------------------------


async def too_short(scope, receive, send):
    """Promise 10 bytes and send 5. Right: close, so that the client sees the gap."""
    await start(send, (b"content-length", b"10"))
    await finish(send, b"five\n")


async def too_long(scope, receive, send):
    """Promise 2 bytes and send 5. Right: never send more than 2."""
    await start(send, (b"content-length", b"2"))
    await finish(send, b"five\n")


# --- errors, early and late -----------------------------------------------------------


async def raises(scope, receive, send):
    """Raise at once. Right: 500."""
    raise RuntimeError("on purpose: before the start")


async def raises_before(scope, receive, send):
    """Raise after the start and before the first byte. Right: 500."""
    await start(send)
    raise RuntimeError("on purpose: before the first byte")


async def raises_after(scope, receive, send):
    """Raise after the first bytes. Right: an answer that is visibly cut off."""
    await start(send)
    await finish(send, b"the first half, ", more_body=True)
    raise RuntimeError("on purpose: after the first bytes")


async def raises_at_the_end(scope, receive, send):
    """Raise when the answer is complete. Right: the answer arrives, whole."""
    await start(send, (b"content-length", b"3"))
    await finish(send, b"ok\n")
    raise RuntimeError("on purpose: after the answer")


async def exits(scope, receive, send):
    """Raise SystemExit, which is not an Exception. Right: 500, and the server lives on."""
    raise SystemExit("on purpose: this app wants to end the process")


async def cancels_itself(scope, receive, send):
    """Cancel the task it runs in. Right: 500, and the server lives on."""
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


# --- the end --------------------------------------------------------------------------


async def endless(scope, receive, send):
    """Never stop sending. Right: send() raises OSError when the client has left."""
    await start(send)
    try:
        while True:
            await asyncio.sleep(0.001)  # or one visitor takes a whole core
            await finish(send, b"more and more and more\n" * 1000, more_body=True)
    finally:
        CLOSED.append("endless")


async def deaf(scope, receive, send):
    """Take no notice of the client's leaving. Right: what it sends is dropped, and no error."""
    while (await receive())["type"] != "http.disconnect":
        pass
    CLOSED.append("deaf")
    await start(send)
    await finish(send, b"nobody is there\n")


# --- all of them behind one address ---------------------------------------------------

APPS = {
    each.__name__: each
    for each in (
        body_first, twice, goes_on, silent, only_start, unfinished, unknown, websocket,
        text_message, no_type, text_body, text_headers, lone_headers, text_status, informs,
        split_header, split_name, two_lengths, odd_length, too_short, too_long, raises,
        raises_before, raises_after, raises_at_the_end, exits, cancels_itself, endless, deaf,
    )
}  # fmt: skip


async def app(scope, receive, send):
    """Run the app that the path names; list them at /, and what was ended at /closed."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    name = scope["path"].removeprefix(scope["root_path"]).strip("/")
    if name in APPS:
        return await APPS[name](scope, receive, send)
    lines = [f"/{each}  {APPS[each].__doc__}" for each in APPS]
    body = ("\n".join([*lines, ""]) if not name else " ".join(CLOSED)).encode("utf-8")
    await start(send, (b"content-length", b"%d" % len(body)))
    await finish(send, body)

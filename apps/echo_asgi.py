"""Send back what was asked: the request line, the length of the body, and the body itself."""


async def app(scope, receive, send):
    """Answer with METHOD PATH, the number of body bytes, an empty line and the body."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    body = await read_body(receive)
    path = scope["path"].removeprefix(scope["root_path"])  # the part that is below this app
    answer = f"{scope['method']} {path}\n{len(body)} bytes\n\n".encode() + body
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def read_body(receive):
    """Receive the whole request body; ConnectionError if the client leaves before its end."""
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left in the middle of its request")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)

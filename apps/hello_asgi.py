"""The smallest complete ASGI application (ASGI 3.0)."""


async def app(scope, receive, send):
    """Answer every HTTP request with a greeting in plain text."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    body = b"Hello from ASGI\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

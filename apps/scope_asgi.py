"""Show what a server puts into scope, line by line. Only the headers below are shown: a hub's
tokens and the user's cookies are none of anybody's business.
"""

SHOWN = (
    "type asgi http_version method scheme path raw_path query_string root_path client server "
    "state extensions"
).split()
HEADERS = (
    "host user-agent accept content-type content-length transfer-encoding expect x-forwarded-for "
    "x-forwarded-proto x-forwarded-host x-forwarded-prefix"
).split()


async def app(scope, receive, send):
    """Answer with one `key = value` line for each key, then one for each header."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    lines = [f"{key} = {scope[key]!r}\n" for key in SHOWN if key in scope]
    for name, value in scope["headers"]:
        # x-try... is for experiments with header names.
        if name.decode("latin-1") in HEADERS or name.startswith((b"x-try", b"x_try")):
            lines.append(f"header {name!r} = {value!r}\n")
    body = "".join(lines).encode("utf-8")
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

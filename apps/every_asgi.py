"""All small ASGI apps behind one address: the first part of the path chooses.

/echo/any/path   /scope   /stream/?n=3   /work/sleep?0.2   /bad/twice   /
"""

from apps import bad_asgi, echo_asgi, hello_asgi, scope_asgi, stream_asgi, work_asgi

APPS = {
    "echo": echo_asgi.app,
    "scope": scope_asgi.app,
    "stream": stream_asgi.app,
    "work": work_asgi.app,
    "bad": bad_asgi.app,
}


async def app(scope, receive, send):
    """Hand the request to the app that the first part of the path names, else say hello."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    first = scope["path"].lstrip("/").partition("/")[0]
    if first in APPS:
        # Only root_path grows: path stays whole, and an app takes its own part by the difference.
        scope = {**scope, "root_path": f"{scope['root_path']}/{first}"}
    await APPS.get(first, hello_asgi.app)(scope, receive, send)

"""Four apps that meet lifespan, each in its own way; to a request each says hello.

    app        starts and ends as the specification has it, with a line in the server's log
    raises     raises at startup, as an app does that has never heard of lifespan
    fails      says that its startup failed, and why
    framework  is a Starlette app whose startup raises
"""

import sys
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from apps.hello_asgi import app as hello

REASON = "on purpose: no database"


async def app(scope, receive, send):
    """Start, and end when told."""
    if scope["type"] != "lifespan":
        return await hello(scope, receive, send)
    for event in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{event}"
        sys.stderr.write(f"lifespan: {event}\n")  # one write: lines of workers never mix
        await send({"type": f"lifespan.{event}.complete"})


async def raises(scope, receive, send):
    """Raise instead of starting."""
    if scope["type"] == "lifespan":
        raise ConnectionError(REASON)
    await hello(scope, receive, send)


async def fails(scope, receive, send):
    """Say that there is nothing to serve."""
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.failed", "message": REASON})
    await hello(scope, receive, send)


@asynccontextmanager
async def broken(app):
    """Raise, in a framework that knows what to do with it."""
    raise ConnectionError(REASON)
    yield


framework = Starlette(routes=[Mount("/", hello)], lifespan=broken)

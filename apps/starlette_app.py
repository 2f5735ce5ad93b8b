"""A Starlette site with the addresses of flask_app, and what a loop adds: background work, state.

/state shows what the lifespan made at startup; /background answers first and works afterwards;
/events are server-sent; /ws is a WebSocket that says all texts back, in capitals.
"""

import hashlib
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from apps.page import PAGE, three_events, three_lines

DONE = []


@asynccontextmanager
async def lifespan(app):
    """Make what all requests share, and end it."""
    yield {"made": "at startup"}


async def index(request):
    """Show the page with the forms and the links."""
    return HTMLResponse(PAGE.format(framework="Starlette"))


async def form(request):
    """Answer a form."""
    return PlainTextResponse(f"Hello {(await request.form())['name']}\n")


async def upload(request):
    """Tell the name, the size and the SHA-256 of an uploaded file."""
    async with request.form() as sent:
        file = sent["file"]
        content = await file.read()
        digest = hashlib.sha256(content).hexdigest()
        return PlainTextResponse(f"{file.filename} {len(content)} {digest}\n")


async def cookie(request):
    """Set each cookie that the query names, or show what the browser sent."""
    answer = PlainTextResponse(f"{request.cookies}\n")
    for name, value in request.query_params.items():
        answer.set_cookie(name, value)
    return answer


async def old(request):
    """Send the visitor on to the new address."""
    return RedirectResponse("new", status_code=302)


def new(request):
    """Be where /old leads: a plain function, which Starlette runs in a thread."""
    return PlainTextResponse("the new place\n")


async def stream(request):
    """Stream three lines, each of them a piece of its own."""
    return StreamingResponse(three_lines(), media_type="text/plain")


async def background(request):
    """Answer, then work."""
    return PlainTextResponse("accepted\n", background=BackgroundTask(DONE.append, "in background"))


async def done(request):
    """Show the work that was done behind an answer."""
    return PlainTextResponse(f"{DONE}\n")


async def state(request):
    """Show what the lifespan made."""
    return PlainTextResponse(f"made {request.state.made}\n")


async def events(request):
    """Send three events."""
    return StreamingResponse(three_events(), media_type="text/event-stream")


async def shout(websocket):
    """Say each text back, in capitals."""
    await websocket.accept()
    async for said in websocket.iter_text():
        await websocket.send_text(said.upper())


async def fail(request):
    """Raise an error."""
    raise ValueError("on purpose")


pages = (cookie, old, new, stream, background, done, state, events, fail)
app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", index),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        *(Route(f"/{page.__name__}", page) for page in pages),
        WebSocketRoute("/ws", shout),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ],
)

"""A FastAPI site with the addresses of starlette_app: FastAPI reads the types and does the rest."""

import hashlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Form, Request, Response, UploadFile, WebSocket
from fastapi.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.staticfiles import StaticFiles

from apps.page import PAGE, three_events, three_lines

DONE = []


@asynccontextmanager
async def lifespan(app):
    """Make what all requests share, and end it."""
    yield {"made": "at startup"}


app = FastAPI(lifespan=lifespan, default_response_class=PlainTextResponse)
app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))


@app.get("/", response_class=HTMLResponse)
async def index():
    """Show the page with the forms and the links."""
    return PAGE.format(framework="FastAPI")


@app.post("/form")
async def form(name: Annotated[str, Form()]):
    """Answer a form."""
    return f"Hello {name}\n"


@app.post("/upload")
async def upload(file: UploadFile):
    """Tell the name, the size and the SHA-256 of an uploaded file."""
    content = await file.read()
    return f"{file.filename} {len(content)} {hashlib.sha256(content).hexdigest()}\n"


@app.get("/cookie")
async def cookie(request: Request, response: Response):
    """Set each cookie that the query names, or show what the browser sent."""
    for name, value in request.query_params.items():
        response.set_cookie(name, value)
    return f"{request.cookies}\n"


@app.get("/old")
async def old():
    """Send the visitor on to the new address."""
    return RedirectResponse("new", status_code=302)


@app.get("/new")
def new():
    """Be where /old leads: a plain function, which FastAPI runs in a thread."""
    return "the new place\n"


@app.get("/stream")
async def stream():
    """Stream three lines, each of them a piece of its own."""
    return StreamingResponse(three_lines(), media_type="text/plain")


@app.get("/background")
async def background(tasks: BackgroundTasks):
    """Answer, then work."""
    tasks.add_task(DONE.append, "in background")
    return "accepted\n"


@app.get("/done")
async def done():
    """Show the work that was done behind an answer."""
    return f"{DONE}\n"


@app.get("/state")
async def state(request: Request):
    """Show what the lifespan made."""
    return f"made {request.state.made}\n"


@app.get("/events")
async def events():
    """Send three events."""
    return StreamingResponse(three_events(), media_type="text/event-stream")


@app.websocket("/ws")
async def shout(websocket: WebSocket):
    """Say each text back, in capitals."""
    await websocket.accept()
    async for said in websocket.iter_text():
        await websocket.send_text(said.upper())


@app.get("/fail")
async def fail():
    """Raise an error."""
    raise ValueError("on purpose")

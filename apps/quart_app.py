"""A Quart site with the addresses of starlette_app: Flask's words, with await."""

import hashlib

from quart import Quart, Response, current_app, redirect, request, websocket

from apps.page import PAGE, three_events, three_lines

DONE = []
app = Quart(__name__, static_folder="static")


def text(content):
    """Return a plain text answer."""
    return Response(content, mimetype="text/plain")


@app.before_serving
async def startup():
    """Make what all requests share."""
    app.config["MADE"] = "at startup"


@app.get("/")
async def index():
    """Show the page with the forms and the links."""
    return PAGE.format(framework="Quart")


@app.post("/form")
async def form():
    """Answer a form."""
    return text(f"Hello {(await request.form)['name']}\n")


@app.post("/upload")
async def upload():
    """Tell the name, the size and the SHA-256 of an uploaded file."""
    file = (await request.files)["file"]
    content = file.read()
    return text(f"{file.filename} {len(content)} {hashlib.sha256(content).hexdigest()}\n")


@app.get("/cookie")
async def cookie():
    """Set each cookie that the query names, or show what the browser sent."""
    answer = text(f"{dict(request.cookies)}\n")
    for name, value in request.args.items():
        answer.set_cookie(name, value)
    return answer


@app.get("/old")
async def old():
    """Send the visitor on to the new address."""
    return redirect("new")


@app.get("/new")
def new():
    """Be where /old leads: a plain function, which Quart runs in a thread."""
    return text("the new place\n")


@app.get("/stream")
async def stream():
    """Stream three lines, each of them a piece of its own."""

    async def lines():
        for line in three_lines():
            yield line

    return text(lines())


@app.get("/background")
async def background():
    """Answer, then work."""
    current_app.add_background_task(DONE.append, "in background")
    return text("accepted\n")


@app.get("/done")
async def done():
    """Show the work that was done behind an answer."""
    return text(f"{DONE}\n")


@app.get("/state")
async def state():
    """Show what was made at startup."""
    return text(f"made {current_app.config['MADE']}\n")


@app.get("/events")
async def events():
    """Send three events."""

    async def one_by_one():
        for event in three_events():
            yield event

    return Response(one_by_one(), mimetype="text/event-stream")


@app.websocket("/ws")
async def shout():
    """Say each text back, in capitals."""
    while True:  # Quart cancels this when the client leaves
        said = await websocket.receive()
        await websocket.send(said.upper())


@app.get("/fail")
async def fail():
    """Raise an error."""
    raise ValueError("on purpose")

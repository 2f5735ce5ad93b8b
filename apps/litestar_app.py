"""A Litestar site with the addresses of starlette_app: handlers are told apart by their types."""

import hashlib
from pathlib import Path
from typing import Annotated

from litestar import Litestar, MediaType, Request, Response, get, post, websocket_listener
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect, Stream
from litestar.static_files import create_static_files_router

from apps.page import PAGE, three_events, three_lines

DONE = []
FORM = Body(media_type=RequestEncodingType.MULTI_PART)
URLENCODED = Body(media_type=RequestEncodingType.URL_ENCODED)


def startup(app: Litestar) -> None:
    """Make what all requests share."""
    app.state.made = "at startup"


@get("/", media_type=MediaType.HTML)
async def index() -> str:
    """Show the page with the forms and the links."""
    return PAGE.format(framework="Litestar")


@post("/form", media_type=MediaType.TEXT, status_code=200)
async def form(data: Annotated[dict[str, str], URLENCODED]) -> str:
    """Answer a form."""
    return f"Hello {data['name']}\n"


@post("/upload", media_type=MediaType.TEXT, status_code=200)
async def upload(data: Annotated[dict[str, UploadFile], FORM]) -> str:
    """Tell the name, the size and the SHA-256 of an uploaded file."""
    file = data["file"]
    content = await file.read()
    return f"{file.filename} {len(content)} {hashlib.sha256(content).hexdigest()}\n"


@get("/cookie")
async def cookie(request: Request) -> Response[str]:
    """Set each cookie that the query names, or show what the browser sent."""
    answer = Response(f"{dict(request.cookies)}\n", media_type=MediaType.TEXT)
    for name, value in request.query_params.items():
        answer.set_cookie(name, value)
    return answer


@get("/old", status_code=302)
async def old() -> Redirect:
    """Send the visitor on to the new address."""
    return Redirect("new")


@get("/new", media_type=MediaType.TEXT, sync_to_thread=True)
def new() -> str:
    """Be where /old leads: a plain function, which Litestar runs in a thread."""
    return "the new place\n"


@get("/stream", media_type=MediaType.TEXT)
async def stream() -> Stream:
    """Stream three lines, each of them a piece of its own."""
    return Stream(three_lines())


async def work() -> None:
    """Be what is done behind an answer."""
    DONE.append("in background")


@get("/background")
async def background() -> Response[str]:
    """Answer, then work."""
    return Response("accepted\n", media_type=MediaType.TEXT, background=BackgroundTask(work))


@get("/done", media_type=MediaType.TEXT)
async def done() -> str:
    """Show the work that was done behind an answer."""
    return f"{DONE}\n"


@get("/state", media_type=MediaType.TEXT)
async def state_(state: State) -> str:
    """Show what was made at startup."""
    return f"made {state.made}\n"


@get("/events", media_type="text/event-stream")
async def events() -> Stream:
    """Send three events."""
    return Stream(three_events())


@websocket_listener("/ws")
async def shout(data: str) -> str:
    """Say each text back, in capitals: Litestar receives, calls this, and sends."""
    return data.upper()


@get("/fail")
async def fail() -> None:
    """Raise an error."""
    raise ValueError("on purpose")


app = Litestar(
    [
        index, form, upload, cookie, old, new, stream, background, done, state_, fail, events,
        shout,
        create_static_files_router("/static", [Path(__file__).parent / "static"]),
    ],
    on_startup=[startup],
    openapi_config=None,
)  # fmt: skip

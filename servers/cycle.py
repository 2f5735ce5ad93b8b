"""One request and its answer: the app's receive and send, and what they wait for.

Rule 1  A wait is an Event that is made only when somebody has to wait.
Rule 2  What the app does after its client has left is its own affair: receive says
        http.disconnect, send raises Disconnected, which is an OSError (ASGI HTTP 2.4).
Rule 3  The answer is framed by Answer, which knows no loop; this only waits.
Left out: a limit of time for the app itself (Gunicorn kills a whole worker for it).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from servers.asgi import Answer, Message, scope_for
from servers.head import Request, wants_continue
from servers.service import Disconnected, date_field
from servers.wsgi import AppError

if TYPE_CHECKING:
    from servers.protocol import HTTPProtocol

INFINITY = float("inf")


class Cycle:
    """Be what one request and its answer need: receive and send, and where they stand."""

    __slots__ = ("answer", "complete", "expects", "gone", "heard_all", "news", "pieces",
                 "protocol", "request", "shut")  # fmt: skip

    def __init__(self, protocol: HTTPProtocol, request: Request) -> None:
        self.protocol, self.request = protocol, request
        self.answer = Answer(request, protocol.write, date_field, protocol.reusable, protocol.hold)
        self.pieces: list[bytes] = []  # of the body that the app has not received yet
        self.complete = False  # the whole request has arrived
        self.heard_all = False  # and the app has it
        self.gone = False  # the peer sends no more: it has left, as far as one can know
        self.shut = False  # nothing can be sent to it any more
        self.expects = b"expect" in request.fields and wants_continue(request)
        self.news: asyncio.Event | None = None  # something came that receive or send waits for

    # --- what the protocol tells ---

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.pieces.append(data)

    def leave(self, shut: bool) -> None:
        """Let the app know that its client has left; `shut`: or is not served any more."""
        self.gone = True
        self.shut = self.shut or shut
        self.wake()

    def wake(self) -> None:
        if self.news is not None:
            self.news.set()

    def retire(self) -> None:
        """Hear that the server stops: an answer goes on, to its end or to the deadline."""

    def cut(self) -> None:
        """End an answer that failed: a 500 if nothing was sent, else a visible break."""
        answer, protocol = self.answer, self.protocol
        if not answer.sent:
            return protocol.refuse(500, "the application failed; the server's log says how")
        if answer.done:
            return protocol.leave(self)
        if answer.chunked or answer.left is not None or answer.bodiless:
            return protocol.close()
        protocol.abort()  # the body ends where the connection does: a reset looks unlike that

    # --- what the app calls ---

    async def receive(self) -> Message:
        """Return the next message for the app, as soon as there is one."""
        while not (self.pieces or self.gone or self.answer.done):
            if self.complete and not self.heard_all:
                break
            if self.expects and not self.answer.sent:
                self.protocol.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.expects = False
            await self.hear_news()
        if self.answer.done or (self.gone and (self.heard_all or not self.complete)):
            return {"type": "http.disconnect"}
        body, self.pieces = b"".join(self.pieces), []
        self.heard_all = self.complete
        self.protocol.regulate()
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def send(self, message: Message) -> None:
        """Send what the app says; raise AppError if it is wrong, Disconnected if it is too late."""
        if self.shut:
            raise Disconnected("the client has left")
        rest: Message | None = message
        while rest is not None:
            rest = self.answer.take(rest)
            if self.answer.done:
                self.protocol.answered(self)
            if self.protocol.full:
                await self.drained()

    async def drained(self) -> None:
        """Wait until the peer has read enough; raise Disconnected if it leaves."""
        while self.protocol.full and not self.shut:
            await self.hear_news()
        if self.shut and not self.answer.done:
            raise Disconnected("the client left while it was answered")

    async def hear_news(self) -> None:
        if self.news is None:
            self.news = asyncio.Event()
        self.news.clear()
        self.protocol.await_peer(self)
        await self.news.wait()
        self.protocol.deadline = INFINITY

    # --- the app's task ---

    async def run(self) -> None:
        """Call the app, and see that its request gets an answer, or a visible break."""
        protocol = self.protocol
        server = protocol.server
        try:
            scope = scope_for(self.request, protocol.ends, server.root_path, server.state)
            await server.app(scope, self.receive, self.send)
            if not self.answer.done and not self.gone:
                raise AppError(f"the app returned {self.answer.state}")
        except KeyboardInterrupt:  # Ctrl-C is not the app's doing
            raise
        except BaseException as error:  # sys.exit() in an app, or CancelledError, ends no server
            protocol.app_failed(self, error)
        else:
            if not self.answer.done:
                protocol.part(self)

"""One WebSocket: the app's receive and send, and the transport's protocol once it is open.

Rule 1  Until it is accepted it is a request like any other: it can be denied, or become a 500.
Rule 2  What ends it has its turn: messages that came before the peer's Close, or before its
        fault, reach the app first, and what the app says to them reaches the peer.
Rule 3  Neither side may fill our memory: frames are read as the app receives, send waits as
        the peer reads, and of pings that wait for their pong only the last one is kept.
Left out: pings of our own, which find a peer that is gone without a word (uvicorn has them).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from servers.asgi import CLOSED, CONNECTING, DENYING, OPEN, PIECE, Message, step
from servers.cycle import INFINITY, Cycle
from servers.head import ProtocolError, Request
from servers.service import Disconnected
from servers.websocket import (
    CUT_OFF,
    PING,
    PONG,
    TEXT,
    Close,
    Event,
    FrameReader,
    check_handshake,
    encode_frame,
)
from servers.wsgi import AppError
from servers.wsmessages import FORBIDDEN, encode_accept, encode_end, encode_send, websocket_scope

if TYPE_CHECKING:
    from servers.protocol import HTTPProtocol

COST = 200  # bytes that a waiting message takes besides its data


class WebSocketCycle(Cycle, asyncio.Protocol):
    """Be what one WebSocket needs: receive and send, and where it stands."""

    __slots__ = ("due", "end", "faulty", "frames", "heard", "inbox", "key", "state", "waiting",
                 "waits")  # fmt: skip

    def __init__(self, protocol: HTTPProtocol, request: Request) -> None:
        self.key = check_handshake(request)  # or the peer hears why not
        super().__init__(protocol, request)
        self.state = CONNECTING
        self.frames = FrameReader(protocol.server.limits.message)
        self.inbox: deque[tuple[int, Message]] = deque([(0, {"type": "websocket.connect"})])
        self.waits: list[asyncio.Future[None]] = []  # an Event takes twice as long
        self.waiting = 0  # bytes that the inbox holds; 0: no message of the peer's
        self.heard = False  # the peer says nothing more that is to be read
        self.end: Close | None = None  # what the app is told when the inbox is empty
        self.faulty = False  # the peer broke a rule; `end` says which
        self.due: bytes | None = None  # a pong that leaves when the peer reads again

    # --- what the transport tells, once it is open ---

    def data_received(self, data: bytes) -> None:
        if not self.heard:
            self.frames.feed(data)
            self.advance()

    def eof_received(self) -> bool:
        if self.state is CLOSED or not self.heard:  # else the app has its last words
            self.protocol.close()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self.protocol.full = True

    def resume_writing(self) -> None:
        self.protocol.full = False
        if self.due is not None and not self.shut:
            self.pong(self.due)
        self.wake()

    # --- in ---

    def advance(self) -> None:
        """Read frames, as long as the app keeps up; the rest stays bytes."""
        protocol, frames = self.protocol, self.frames
        while frames.at < len(frames.buffer) and self.waiting <= PIECE and not self.heard:
            try:
                event = frames.next_event()
            except ProtocolError as error:
                event, self.faulty = Close(error.status, str(error)), True
            if event is None:
                break
            self.take(event)
        much = self.waiting > PIECE
        if much != protocol.paused and not protocol.closed:
            (protocol.transport.pause_reading if much else protocol.transport.resume_reading)()
            protocol.paused = much

    def take(self, event: Event) -> None:
        """Take a message or the peer's Close."""
        if isinstance(event, Close):
            self.heard = True
            self.end = self.end or event
            if self.state is CLOSED:
                self.part()
            elif not self.waiting:
                self.finish()
            self.wake()
        elif event.opcode == PING:
            self.pong(event.data)
        elif event.opcode != PONG and self.state is OPEN:
            kind = "text" if event.opcode == TEXT else "bytes"
            size = len(event.data) + COST
            self.inbox.append((size, {"type": "websocket.receive", kind: event.data}))
            self.waiting += size
            self.wake()

    def pong(self, data: Any) -> None:
        """Answer a ping, or the last one of several (RFC 6455 5.5.3)."""
        self.due = data if self.protocol.full else None
        if self.state is OPEN and not self.protocol.full:
            self.protocol.write(encode_frame(PONG, data))

    # --- what the app calls ---

    async def receive(self) -> Message:
        """Return the next message for the app, as soon as there is one."""
        while not self.inbox:
            if self.end is not None or self.gone or self.answer.done:
                self.finish()
                code, reason = self.end or (CUT_OFF, "")
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await self.hear_news()
        size, message = self.inbox.popleft()
        self.waiting -= size
        if self.protocol.paused and not self.inbox:  # soon: first the app's word on this one
            self.protocol.server.loop.call_soon(self.advance)
        return message

    async def send(self, message: Message) -> None:
        """Send what the app says; raise AppError if it is wrong, Disconnected if it is too late."""
        if self.shut:
            raise Disconnected("the WebSocket is closed")
        state = step(self.state, message)
        if self.state is OPEN and state is OPEN:
            self.protocol.write(encode_send(message))
            if self.protocol.full:
                await self.drained()
        elif state is OPEN:
            self.accept(message)
        elif self.state is OPEN:
            self.close(message.get("code", 1000), message.get("reason") or "")
        else:
            self.state = state
            for part in FORBIDDEN if state is CLOSED else (message,):
                kind = part["type"].removeprefix("websocket.")
                await super().send({**part, "type": kind})

    async def hear_news(self) -> None:
        """Wait; the peer has time to read, and is in no hurry to say something."""
        protocol = self.protocol
        if protocol.full and not protocol.last:
            protocol.give(protocol.server.times.io)
        news = protocol.server.loop.create_future()
        self.waits.append(news)
        await news

    def wake(self) -> None:
        if not self.protocol.last:
            self.protocol.deadline = INFINITY
        waits, self.waits = self.waits, []
        for news in waits:
            if not news.done():
                news.set_result(None)

    def accept(self, message: Message) -> None:
        """Switch protocols: from here on bytes are frames."""
        protocol = self.protocol
        protocol.write(encode_accept(self.request, self.key, message))
        self.state, self.answer.sent = OPEN, True
        protocol.transport.set_protocol(self)
        early = protocol.reader.rest()
        protocol.reader.at += len(early)
        self.data_received(early)

    def close(self, code: int, reason: str = "") -> None:
        """Send Close; the peer's, if it has not come, ends the connection."""
        self.protocol.write(encode_end(code, reason))
        self.state = CLOSED
        self.inbox.clear()
        self.waiting = 0
        self.part()

    def part(self) -> None:
        """End the connection if the peer has said Close too, else give it time to."""
        protocol = self.protocol
        if self.faulty:
            self.leave(shut=True)
            protocol.leave(self)  # it may still send: let it read our Close first
        elif self.heard:
            protocol.close()
        else:
            protocol.last = True
            protocol.give(protocol.server.times.linger)
            self.advance()

    def finish(self) -> None:
        """Answer the peer's Close, or name its fault, when the app has had all before it."""
        if self.state is OPEN and self.end is not None:
            self.close(self.end.code, self.end.reason if self.faulty else "")

    def retire(self) -> None:
        """Say to both sides that the server stops."""
        if self.state is OPEN:
            self.end = self.end or Close(1012, "the server stops")
            self.close(1012, "the server stops")
            self.leave(shut=True)

    def leave(self, shut: bool) -> None:
        """Take the end of the connection: a WebSocket knows no half of one."""
        super().leave(shut=True)

    def cut(self) -> None:
        """Tell the peer that the app failed."""
        if self.state is OPEN:
            self.close(1011)
        elif self.state is not CLOSED:
            super().cut()

    # --- the app's task ---

    async def run(self) -> None:
        """Call the app, and see that the WebSocket ends when it does."""
        protocol = self.protocol
        server = protocol.server
        try:
            scope = websocket_scope(self.request, protocol.ends, server.root_path, server.state)
            await server.app(scope, self.receive, self.send)
            if self.state in (CONNECTING, DENYING) and not (self.answer.done or self.gone):
                raise AppError(f"the app returned {self.state}")
        except KeyboardInterrupt:  # Ctrl-C is not the app's doing
            raise
        except BaseException as error:
            protocol.app_failed(self, error)
        else:
            if self.state is OPEN:
                self.close(1000)
            elif not self.answer.done:
                protocol.part(self)

"""The app's own beginning and end: what it does before the first request and after the last.

Rule 1  An app that raises, or returns, instead of answering does not know lifespan: go on.
Rule 2  An app that says `lifespan.startup.failed` must not be served.
Rule 3  It runs once for each loop, so once for each worker.
"""

import asyncio
import logging
from typing import Any

from servers.asgi import ASGIApp, Conversation, Message


class StartupFailed(Exception):
    """Say why the app cannot be served, in its own words."""


class Lifespan:
    """Tell an app that the server starts and stops; `state` is what it keeps for its requests."""

    def __init__(self, app: ASGIApp, log: logging.Logger) -> None:
        self.app, self.log = app, log
        self.state: dict[str, Any] = {}
        self.conversation: Conversation | None = None  # None: the app does not know lifespan

    async def startup(self) -> None:
        """Tell the app to start, and wait until it has; raise StartupFailed."""
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self.conversation = Conversation(self.app, scope)
        answer = await self.say("lifespan.startup")
        if answer is None:
            self.conversation = None
        elif answer["type"] == "lifespan.startup.failed":
            await self.conversation.end()
            reason = answer.get("message") or "it gives no reason"
            raise StartupFailed(f"the app's startup failed: {reason}")

    async def shutdown(self, seconds: float) -> None:
        """Tell the app to end, and wait until it has, but not longer than `seconds`."""
        if self.conversation is None:
            return
        try:
            answer = await asyncio.wait_for(self.say("lifespan.shutdown"), seconds)
        except TimeoutError:
            self.log.error("the app's shutdown took longer than %g seconds", seconds)
            answer = None
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            self.log.error("the app's shutdown failed: %s", answer.get("message", ""))
        await self.conversation.end()

    async def say(self, kind: str) -> Message | None:
        """Tell the app a message and return its answer; None if it ends without one."""
        assert self.conversation is not None
        self.conversation.tell({"type": kind})
        try:
            return await self.conversation.hear()
        except Exception as error:
            level = logging.DEBUG if kind == "lifespan.startup" else logging.ERROR
            self.log.log(level, "the app raised at %s: %r", kind, error)
            return None

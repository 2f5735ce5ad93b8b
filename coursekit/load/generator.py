"""Send requests by a plan, and note when each was due, sent and answered: one asyncio process.

A closed loop has a number of clients, each of which waits for its answer before it asks again. An
open loop asks at fixed times, whatever has been answered: as people do, who do not know of each
other. A process of its own, so that its work is never mistaken for the notebook's or the server's.

    python -m coursekit.load.generator < plan as JSON      prints JSON; the last line is the result
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, TypedDict

from .client import NotThere, read_answer

LONG = 2.0  # seconds: a run that takes longer tells how far it is
BEAT = 0.2  # seconds from one such line to the next

SERVED_BY = re.compile(rb"\r\nx-served-by: ([^\r]*)", re.IGNORECASE)


class Plan(TypedDict):
    """Say what to send and when; times in seconds. `rate` is None for a closed loop."""

    host: str
    port: int
    request: str
    clients: int
    requests: int
    rate: float | None
    patience: float


class Note(TypedDict):
    """Hold what became of one request; times in seconds since the start."""

    due: float
    sent: float
    done: float
    status: int  # 0: no answer, see `error`
    error: str
    served_by: str


class Generator:
    """Carry out a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.notes = plan, list[Note]()
        self.request = plan["request"].encode("latin-1")
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.left = plan["requests"]

    def now(self) -> float:
        """Return the seconds since the start."""
        return self.loop.time() - self.began

    async def closed(self) -> None:
        """Be all the clients of a closed loop."""
        await together(self.client() for _ in range(self.plan["clients"]))

    async def client(self) -> None:
        """Ask, and ask again when the answer is there, while requests are left."""
        while self.left > 0:
            self.left -= 1
            await self.ask(self.now())

    async def open(self) -> None:
        """Ask at the planned times, each on a connection of its own."""
        rate = self.plan["rate"] or 1.0
        await together(self.arrive(number / rate) for number in range(self.left))

    async def arrive(self, due: float) -> None:
        """Ask at a time."""
        await asyncio.sleep(due - self.now())
        await self.ask(due)

    async def ask(self, due: float) -> None:
        """Send one request and note what comes."""
        sent, status, error, by = self.now(), 0, "", ""
        try:
            async with asyncio.timeout(self.plan["patience"]):
                status, by = await self.exchange()
        except TimeoutError:
            error = "no answer in time"
        except (OSError, EOFError, ValueError) as problem:
            error = type(problem).__name__
        note = Note(due=due, sent=sent, done=self.now(), status=status, error=error, served_by=by)
        self.notes.append(note)

    async def exchange(self) -> tuple[int, str]:
        """Return the status of one answer, and who made it."""
        reader, writer = await asyncio.open_connection(self.plan["host"], self.plan["port"])
        try:
            writer.write(self.request)
            data = b""
            while True:
                piece = await reader.read(65536)
                data += piece
                try:
                    status, _, _ = read_answer(data, ended=not piece)
                except NotThere:
                    if not piece:
                        raise EOFError("the answer is not whole") from None
                    continue
                by = SERVED_BY.search(data)
                return status, by[1].decode("latin-1") if by else ""
        finally:
            writer.close()


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines at once, and wait for all."""
    await asyncio.gather(*work)


async def tell(generator: Generator) -> None:
    """Print how many requests are through, now and then, once the run has taken long."""
    await asyncio.sleep(LONG)
    while True:
        print(json.dumps({"through": len(generator.notes)}), flush=True)
        await asyncio.sleep(BEAT)


async def run(plan: Plan) -> dict[str, Any]:
    """Carry out a plan; return the notes in the order in which the requests were due."""
    generator = Generator(plan)
    telling = asyncio.create_task(tell(generator))
    await (generator.closed() if plan["rate"] is None else generator.open())
    telling.cancel()
    notes = sorted(generator.notes, key=lambda note: note["due"])
    return {"seconds": generator.now(), "notes": notes}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.stdin.readline())))))

"""A server inside the answer process, as a check sees it: an address, and bytes to and fro."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from coursekit.grading.failures import cut

DATE = re.compile(rb"(\r\nDate: )[^\r]+", re.I)

if TYPE_CHECKING:
    from coursekit.grading.answer import Answer
    from coursekit.live.wire import Exchange


class Served:
    """Hold the address of a learner's server; `send` remembers the exchange for the message."""

    def __init__(self, address: tuple[str, int], answer: Answer) -> None:
        self.address = address
        self._answer = answer

    @property
    def url(self) -> str:
        """The server's URL, for httpx."""
        return f"http://{self.address[0]}:{self.address[1]}"

    def send(self, *pieces: bytes, **how: Any) -> Exchange:
        """Send bytes on a new connection (coursekit.live.wire.send) and return the Exchange."""
        from coursekit.live import wire  # h11 is not needed to judge a function

        how.setdefault("timeout", 3.0)
        exchange = wire.send(self.address, *pieces, **how)
        self._answer.evidence = [
            *(("sent", _short(piece)) for piece in pieces[:6]),
            ("came", _short(exchange.received)),
            ("then", wire.ENDINGS[exchange.end]),
        ]
        given = [repr(piece) for piece in pieces] + [
            f"{key}={value!r}" for key, value in how.items()
        ]
        self._answer.replay = cut(f"server.send_raw({', '.join(given)})")
        return exchange

    def log(self) -> list[tuple[str, str, Any]]:
        """Return what the toy logged since the check began: (level, message, exception)."""
        self._answer.settle()
        return self._answer.log


def _short(data: bytes, most: int = 160) -> str:
    data = DATE.sub(rb"\1...", data)  # a verdict's text is the same on every run
    return repr(data[:most]) + (f"... ({len(data)} bytes)" if len(data) > most else "")

"""What is sent through a tap while it records, and what was seen of it so far."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx

from coursekit.live import wire

CLOSED = "this trace is closed: send inside `with record(server) as trace:`"

PATIENCE = 10.0  # seconds that `wait` waits


class Sending:
    """Send through the tap at `address`, as long as there is one."""

    def __init__(self) -> None:
        self.shut()

    def shut(self) -> None:
        """Send no more."""
        self.address: tuple[str, int] | None = None  # of the tap, while it records
        self._client: httpx.Client | None = None
        self._count: Callable[[], dict[str, int]] | None = None

    def open(self, address: tuple[str, int], client: httpx.Client,
             count: Callable[[], dict[str, int]]) -> None:
        """Send through the tap at `address` from now on; `count` tells what was seen so far."""
        self.address, self._client, self._count = address, client, count

    @property
    def url(self) -> str:
        """The address of the tap as the root of URLs, without a slash at the end."""
        if self.address is None:
            raise RuntimeError(CLOSED)
        return "http://{}:{}".format(*self.address)

    @property
    def ws(self) -> str:
        """The same for WebSocket: `websockets.sync.client.connect(trace.ws + "/chat")`."""
        return self.url.replace("http", "ws", 1)

    def request(self, method: str, path: str = "/", **options: Any) -> httpx.Response:
        """Send any request; options are those of httpx. Connections are kept and used again."""
        if self._client is None:
            raise RuntimeError(CLOSED)
        return self._client.request(method, path, **options)

    def get(self, path: str = "/", **options: Any) -> httpx.Response:
        """Send a GET, see request()."""
        return self.request("GET", path, **options)

    def post(self, path: str = "/", **options: Any) -> httpx.Response:
        """Send a POST, see request()."""
        return self.request("POST", path, **options)

    def send(self, *pieces: bytes, **options: Any) -> wire.Exchange:
        """Send raw bytes on a connection of their own; see coursekit.live.wire.send."""
        if self.address is None:
            raise RuntimeError(CLOSED)
        return wire.send(self.address, *pieces, **options)

    def stream(self, method: str, path: str = "/", **options: Any
               ) -> AbstractContextManager[httpx.Response]:
        """Send a request whose answer is read bit by bit: `with trace.stream("GET") as answer:`."""
        if self._client is None:
            raise RuntimeError(CLOSED)
        return self._client.stream(method, path, **options)

    @property
    def counts(self) -> dict[str, int]:
        """Return how often the app was called, and how many workers started and ended."""
        if self._count is not None:
            return self._count()
        return self._count_now()

    def wait(self, **wanted: int) -> None:
        """Wait until that much was seen: wait(calls=1), wait(starts=2, ends=2); see counts.

        TimeoutError after ten seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while any(self.counts[name] < number for name, number in wanted.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited for {wanted}, saw {self.counts}")
            time.sleep(0.005)

    def _count_now(self) -> dict[str, int]:
        """Return the counts when nothing is recorded any more."""
        return {}

"""A server that reads nothing: what an asyncio.Protocol can answer at most."""

import asyncio
import sys
from typing import cast

BODY = b"Hello from ASGI\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Date: Thu, 26 Nov 2026 12:00:00 GMT\r\n\r\n%b" % (len(BODY), BODY)
)


class Bare(asyncio.Protocol):
    """Answer whatever comes; a client that sends one request at a time notices nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take each piece for a request."""
        self.transport.write(ANSWER)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

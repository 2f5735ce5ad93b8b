"""Answer when told to: nobody has to guess whether a request is inside.

/gate?P     tell whoever listens on port P of 127.0.0.1, and answer when it hangs up
/behind?P   answer first, then do the same
/task?P     let a task of its own do the same, answer, and return
/blocks?P   answer first, then do the same, but hold the loop meanwhile
"""

import asyncio
import os
import socket

TASKS = set()  # asyncio itself holds a task only weakly


async def app(scope, receive, send):
    """Answer `done`, before or after the gate has opened."""
    assert scope["type"] == "http", f"this app speaks http only, not {scope['type']}"
    path, port = scope["path"].removeprefix(scope["root_path"]), scope["query_string"]
    if path == "/gate":
        await gate(int(port))
    elif path == "/task":
        TASKS.add(asyncio.create_task(gate(int(port))))
    await answer(send, b"done\n")
    if path == "/behind":
        await gate(int(port))
    elif path == "/blocks":
        with socket.create_connection(("127.0.0.1", int(port))) as sock:
            sock.sendall(b"%d\n" % os.getpid())
            sock.recv(1)


async def gate(port):
    """Wait at the gate, on the loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"%d\n" % os.getpid())
        await reader.read(1)
    finally:
        writer.close()


async def answer(send, body):
    """Send a whole answer."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

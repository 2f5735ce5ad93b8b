"""Who held the loop: by name and order, never by seconds that a busy machine could change."""

import asyncio
import threading
import time

import httpx
import pytest

from coursekit import flow
from coursekit.flow import loop as flow_loop
from coursekit.live import live

LONG = 1.0  # seconds: the subject, far above what a busy machine adds to a turn
LONGER = 0.9


async def app(scope, receive, send):
    if scope["path"] == "/blocks":
        time.sleep(LONG)
    elif scope["path"] == "/waits":
        await asyncio.sleep(LONG)
    elif scope["path"] == "/later":
        await asyncio.sleep(0)
        time.sleep(LONG)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def test_the_request_that_blocks_is_named_and_who_waits_is_not():
    with live("toy", app, interface="asgi") as server:
        with flow.watch_loop(server, longer=LONGER) as held:
            threads = [threading.Thread(target=httpx.get, args=[f"{server.url}{path}"])
                       for path in ("/waits", "/blocks")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            server.get("/later")
        assert server.app is app
    assert str(held) == ("held the loop for more than 0.9 s, in this order:\n"
                         "  1  GET /blocks\n  2  GET /later")
    assert {"GET /waits", "GET /blocks", "GET /later"} <= {who for who, _ in held}


def test_a_recording_may_watch_too():
    with live("toy", app, interface="asgi") as server:
        with flow.watch_loop(server, longer=LONGER) as held, flow.record(server) as trace:
            trace.get("/blocks")
    assert [turn.who for turn in held.long] == ["GET /blocks"]
    assert trace.calls and server.app is app


async def blocks():
    time.sleep(LONG)


async def waits():
    await asyncio.sleep(0)


def test_tasks_of_any_loop_have_the_names_of_their_coroutines():
    async def main():
        await asyncio.gather(waits(), blocks(), asyncio.create_task(blocks(), name="mine"))

    with flow.watch_loop(longer=LONGER) as held:
        asyncio.run(main())
    assert [turn.who for turn in held.long] == ["mine", "blocks"]


def test_the_running_loop_alone_is_watched_and_callbacks_have_names():
    def called():
        time.sleep(LONG)

    async def main():
        with flow.watch_loop(longer=LONGER) as held:
            other = threading.Thread(target=asyncio.run, args=[blocks()])
            other.start()
            asyncio.get_running_loop().call_soon(called)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            other.join()
        return held

    held = asyncio.run(main())
    assert [turn.who.rpartition(".")[2] for turn in held.long] == ["called"]


def test_nothing_long_is_said_and_asyncio_is_as_before():
    before = asyncio.Handle._run
    with flow.watch_loop(longer=60) as held:
        asyncio.run(waits())
    assert str(held) == repr(held) == "nobody held the loop for 60 s"
    assert asyncio.Handle._run is before


def test_a_wsgi_app_has_no_loop():
    with live("toy", "apps.hello_wsgi:app") as server:
        with pytest.raises(TypeError, match='interface="asgi"'):
            with flow.watch_loop(server):
                pass


def test_the_picture_has_the_same_facts_as_text(monkeypatch, capsys):
    with flow.watch_loop(longer=LONGER) as held:
        asyncio.run(blocks())
    held.show()
    assert capsys.readouterr().out == f"{held}\n"
    drawn = held._picture().value
    assert "held the loop for more than 0.9 s" in drawn and "<td>1</td>" in drawn
    assert "blocks" in drawn and drawn.startswith("<img alt=")
    monkeypatch.setattr(flow_loop, "MOST", 1)
    assert "blocks" in held._picture().value

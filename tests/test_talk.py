"""What stands for a chat and a stream where nothing can be drawn, and what a page is told."""

from coursekit.live import chat, live, stream
from coursekit.live.panel import Link


def test_a_sentence_stands_in_for_them(capsys):
    with live("toy", "apps.chat_asgi:app", interface="asgi") as server:
        chat(server, "/room")
        stream(server)
    assert capsys.readouterr().out == (
        "[a chat over WebSocket at /room: live in JupyterLab]\n"
        "[a stream of events from /events: live in JupyterLab]\n")


def test_a_page_is_told_port_path_and_view():
    state = Link(8000, "/room", "chat").get_state(["port", "path", "view"])
    assert state == {"port": 8000, "path": "/room", "view": "chat"}

"""Run it: start, ask, watch and stop any server of the course.

    with live("gunicorn", "apps.hello_wsgi:app", workers=2) as server:
        print(server.get("/").text)

`live` starts a server and `Server` is what it returns; `wire` talks to it in bytes;
`shown` is the whitelist for what may be printed of an environ or a scope.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.live import shown, wire
    from coursekit.live.commands import kinds, missing
    from coursekit.live.errors import ServerError
    from coursekit.live.server import Server
    from coursekit.live.start import live
    from coursekit.live.stored import here
    from coursekit.live.talk import chat, stream

__all__ = ["Server", "ServerError", "chat", "here", "kinds", "live", "missing", "shown", "stream",
           "wire"]  # fmt: skip

_HOME = {
    "Server": "server",
    "ServerError": "errors",
    "here": "stored",
    "kinds": "commands",
    "missing": "commands",
    "live": "start",
    "chat": "talk",
    "stream": "talk",
}


def __getattr__(name: str) -> Any:
    # On demand: a watched worker needs `shown` alone, and no HTTP client in its memory.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME.get(name, name)}")
    return getattr(module, name) if name in _HOME else module

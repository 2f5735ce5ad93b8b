"""Run it: start, ask, watch and stop any server of the course.

    with live("gunicorn", "apps.hello_wsgi:app", workers=2) as server:
        print(server.get("/").text)

`live` starts a server and `Server` is what it returns; `wire` talks to it in bytes;
`shown` is the whitelist for what may be printed of an environ or a scope.
"""

from coursekit.live import shown, wire
from coursekit.live.errors import ServerError
from coursekit.live.server import Server
from coursekit.live.start import kinds, live

__all__ = ["Server", "ServerError", "kinds", "live", "shown", "wire"]

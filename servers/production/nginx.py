"""nginx: a front. It runs no Python: it takes requests, and passes them to a server that does.

One master process reads the configuration and starts workers; each worker is one event loop
that holds thousands of connections. A slow client costs it a few kilobytes, not a worker of
the server behind.

Where to look in its source, https://github.com/nginx/nginx:
    src/os/unix/ngx_process_cycle.c              the master and its signals
    src/event/ngx_event_accept.c                 a connection comes in
    src/http/ngx_http_parse.c                    the head of a request
    src/http/ngx_http_upstream.c                 the way to the server behind, and back
    src/http/modules/ngx_http_proxy_module.c     ... spoken in HTTP
    src/http/modules/ngx_http_uwsgi_module.c     ... spoken in uWSGI's binary protocol
Directives: https://nginx.org/en/docs/dirindex.html
"""

import os

INSTALL = "your system's package nginx (python -m coursekit doctor has the command)"
TAKES_FD = False
SIGNALS = {
    "HUP": "read the configuration anew: new workers start, the old ones finish",
    "QUIT": "end, but answer what is in flight",
    "TERM": "end at once",
}

CONFIG = """\
daemon off;
{user}worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr warn;

events {{
    worker_connections 1024;
}}

http {{
    access_log off;
    # Without these an unprivileged nginx would try to use folders of the system.
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;

    server {{
        listen 127.0.0.1:{port};
{locations}    }}
}}
"""
UWSGI_PARAMS = (
    ("QUERY_STRING", "$query_string"),
    ("REQUEST_METHOD", "$request_method"),
    ("CONTENT_TYPE", "$content_type"),
    ("CONTENT_LENGTH", "$content_length"),
    ("REQUEST_URI", "$request_uri"),
    ("PATH_INFO", "$document_uri"),
    ("SERVER_PROTOCOL", "$server_protocol"),
    ("REQUEST_SCHEME", "$scheme"),
    ("REMOTE_ADDR", "$remote_addr"),
    ("REMOTE_PORT", "$remote_port"),
    ("SERVER_PORT", "$server_port"),
    ("SERVER_NAME", "$server_name"),
)


def files(
    app: None = None,
    *,
    upstream: tuple[str, int],
    port: int = 8080,
    fd: int | None = None,
    folder: str = "/tmp/nginx",
    workers: int = 1,
    protocol: str = "http",
    prefix: str = "/",
    static: str | None = None,
    http_version: str | None = None,
    buffering: bool = True,
    headers: dict[str, str] | None = None,
    extra: str = "",
) -> dict[str, str]:
    """Return nginx.conf for a front that passes what is below `prefix` to `upstream`.

    protocol      how it speaks to the upstream: "http", or "uwsgi" (uWSGI's binary protocol)
    static        a folder whose files it serves itself, below /static/
    http_version  "1.1": chunks pass through, the connection may be kept (default: nginx's own)
    buffering     False: every piece goes to the client as soon as it is here
    headers       what the upstream is told beside the client's headers, {"Host": "$host"}
    extra         more directives for the location, as they are
    """
    # long: each option of the configuration is one argument
    how, lines = "proxy", http_lines(upstream, http_version, headers or {})
    if protocol == "uwsgi":
        how, lines = "uwsgi", uwsgi_lines(upstream, headers or {})
    if not buffering:
        lines.append(f"{how}_buffering off;")
    locations = location(prefix, [*lines, *extra.splitlines()])
    if static is not None:
        locations = location("/static/", [f"alias {static}/;"]) + locations
    # As root, its workers would be nobody, who may read nothing of yours.
    user = "user root;\n" if os.geteuid() == 0 else ""
    text = CONFIG.format(user=user, workers=workers, folder=folder, port=port, locations=locations)
    return {"nginx.conf": text}


def http_lines(
    upstream: tuple[str, int], version: str | None, headers: dict[str, str]
) -> list[str]:
    """Return the directives that pass a request on in HTTP."""
    lines = [f"proxy_http_version {version};"] if version else []
    lines += [f'proxy_set_header {name} "{value}";' for name, value in headers.items()]
    return [*lines, "proxy_pass http://{}:{};".format(*upstream)]


def uwsgi_lines(upstream: tuple[str, int], headers: dict[str, str]) -> list[str]:
    """Return the directives that pass a request on as names and values, as environ has them."""
    lines = [f"uwsgi_param {name} {value};" for name, value in UWSGI_PARAMS]
    for name, value in headers.items():
        lines.append(f'uwsgi_param HTTP_{name.upper().replace("-", "_")} "{value}";')
    return [*lines, "uwsgi_pass {}:{};".format(*upstream)]


def location(prefix: str, lines: list[str]) -> str:
    """Return a block of the configuration."""
    body = "".join(f"            {line}\n" for line in lines)
    return f"\n        location {prefix} {{\n{body}        }}\n"


def command(*, folder: str = "/tmp/nginx") -> list[str]:
    """Return the command line that runs nginx with the configuration in `folder`."""
    return ["nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf"]

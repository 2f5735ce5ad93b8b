"""Apache httpd: with mod_wsgi Python lives inside it; as a proxy it is a front like nginx.

    mode="daemon"     mod_wsgi starts processes of their own for the app, and httpd's children
                      pass requests to them through a socket: the usual way
    mode="embedded"   the app runs in httpd's own children, as many as httpd wants
    upstream=...      no Python at all: mod_proxy passes requests to a server that has it

Where to look in its source:
    https://github.com/apache/httpd             server/mpm/event/event.c    processes, threads
                                                server/protocol.c           the head of a request
                                                modules/proxy/mod_proxy_http.c
    https://github.com/GrahamDumpleton/mod_wsgi src/server/mod_wsgi.c       both modes
                                                src/server/wsgi_daemon.c    processes of its own
Directives: https://httpd.apache.org/docs/2.4/mod/directives.html
            https://modwsgi.readthedocs.io/en/latest/configuration.html
"""

import importlib.util
import os
import shutil
import sys
from glob import glob

INSTALL = "your system's package apache2 (python -m coursekit doctor has the command)"
TAKES_FD = False
# httpd runs, and answers a knock, with an app or without: app.wsgi below writes this line after
# the import, or else mod_wsgi a traceback, whose last line is the first that is not indented.
READY = r"\] ready: "
FAILED = r"WSGI0174.*\n(.*\n)*.*\] (?!Traceback)\S"
MODULES = (
    "/usr/lib/apache2/modules",  # Debian, Ubuntu
    "/usr/lib64/httpd/modules",  # Fedora
    "/opt/homebrew/opt/httpd/lib/httpd/modules",
    "/usr/local/opt/httpd/lib/httpd/modules",
)

CONFIG = """\
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/httpd.pid
DefaultRuntimeDir {folder}
Mutex file:{folder}
ErrorLog /dev/stderr

LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
<IfModule !unixd_module>
    LoadModule unixd_module {modules}/mod_unixd.so
</IfModule>

# One child process of httpd holds all connections of the course, with a thread for each request.
StartServers {children}
ServerLimit {children}
ThreadsPerChild {threads}
MaxRequestWorkers {requests}
MinSpareThreads 1
MaxSpareThreads {requests}

{rest}"""
WSGI = """\
LoadModule wsgi_module {wsgi}
WSGIPythonHome {home}
{how}
<Directory {folder}>
    Require all granted
</Directory>
"""
DAEMON = """\
WSGISocketPrefix {folder}/wsgi
# Without home= it hangs for a user who has no home folder.
WSGIDaemonProcess app {processes}threads={threads} home={cwd} python-path={cwd} \\
    display-name=%{{GROUP}}
WSGIScriptAlias / {folder}/app.wsgi process-group=app application-group=%{{GLOBAL}}
"""
EMBEDDED = """\
WSGIPythonPath {cwd}
WSGIScriptAlias / {folder}/app.wsgi application-group=%{{GLOBAL}}
WSGIImportScript {folder}/app.wsgi process-group=%{{GLOBAL}} application-group=%{{GLOBAL}}
"""
PROXY = """\
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_{protocol}_module {modules}/mod_proxy_{protocol}.so
ProxyPass {prefix} {protocol}://{upstream}/
ProxyPassReverse {prefix} {protocol}://{upstream}/
"""
APP = """\
import sys
from {module} import {attribute} as application

print("ready: {module}:{attribute}", file=sys.stderr)
"""


def files(
    app: str | None,
    *,
    upstream: tuple[str, int] | None = None,
    port: int = 8080,
    fd: int | None = None,
    folder: str = "/tmp/apache",
    workers: int = 1,
    threads: int = 8,
    mode: str = "daemon",
    protocol: str = "http",
    prefix: str = "/",
    extra: str = "",
) -> dict[str, str]:
    """Return httpd.conf, and app.wsgi if there is an app.

    mode      of mod_wsgi: "daemon" or "embedded"; `workers` and `threads` are the app's
    protocol  how it speaks to an upstream: "http" or "uwsgi"
    prefix    the path below which it passes requests on
    extra     more directives, as they are
    """
    # long: each option of the configuration is one argument
    modules = next((each for each in MODULES if os.path.isdir(each)), MODULES[0])
    children, per_child, made = 1, 32, {}
    if app is None:
        place = "{}:{}".format(*upstream or ())
        rest = PROXY.format(modules=modules, protocol=protocol, prefix=prefix, upstream=place)
    else:
        module, _, attribute = app.partition(":")
        made["app.wsgi"] = APP.format(module=module, attribute=attribute)
        rest = wsgi(folder, mode, workers, threads)
        if mode == "embedded":
            children, per_child = workers, threads
    made["httpd.conf"] = CONFIG.format(
        folder=folder, port=port, modules=modules, children=children, threads=per_child,
        requests=children * per_child, rest=rest + extra,
    )  # fmt: skip
    return made


def wsgi(folder: str, mode: str, workers: int, threads: int) -> str:
    """Return the part of httpd.conf that is about mod_wsgi."""
    # processes=1 would set wsgi.multiprocess, for more could be added elsewhere.
    processes = f"processes={workers} " if workers > 1 else ""
    how = (DAEMON if mode == "daemon" else EMBEDDED).format(
        folder=folder, cwd=os.getcwd(), threads=threads, processes=processes
    )
    return WSGI.format(folder=folder, wsgi=mod_wsgi(), home=sys.prefix, how=how)


def mod_wsgi() -> str:
    """Return where mod_wsgi's module for httpd is; pip builds it for this Python."""
    spec = importlib.util.find_spec("mod_wsgi")
    folders = spec.submodule_search_locations if spec else None
    found = glob(f"{folders[0]}/server/mod_wsgi-py*.so") if folders else []
    return found[0] if found else "mod_wsgi.so"


def command(*, folder: str = "/tmp/apache") -> list[str]:
    """Return the command line that runs httpd with the configuration in `folder`."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    httpd = shutil.which("apache2", path=path) or "httpd"
    words = [httpd, "-D", "FOREGROUND", "-f", f"{folder}/httpd.conf"]
    if os.geteuid() != 0:
        return words
    # httpd refuses to serve as root, and anybody else may not read what is root's: so it
    # becomes nobody, who keeps of root's rights only that to the files.
    right = "+dac_override"
    return [
        "setpriv",
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        f"--inh-caps={right}",
        f"--ambient-caps={right}",
        *words,
    ]

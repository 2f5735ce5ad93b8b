"""A Flask site that uses what sites use: forms, uploads, cookies, sessions, streams, static files.

`app` is the site as it would be deployed; `debug_app` shows an error's traceback in the browser.
Neither knows which server runs it.
"""

import hashlib

from flask import Blueprint, Flask, Response, redirect, request, session
from werkzeug.debug import DebuggedApplication

from apps.page import PAGE, SECRET, three_lines

site = Blueprint("site", __name__)


def make_app(debug=False):
    """Return the WSGI app; with `debug`, errors leave it, for a debugger around it to show."""
    flask = Flask(__name__)
    flask.config.update(SECRET_KEY=SECRET, PROPAGATE_EXCEPTIONS=debug)
    flask.register_blueprint(site)
    return flask


@site.get("/")
def index():
    """Show the page with the forms and the links."""
    return PAGE.format(framework="Flask")


@site.post("/form")
def form():
    """Answer a form."""
    return Response(f"Hello {request.form['name']}\n", mimetype="text/plain")


@site.post("/upload")
def upload():
    """Tell the name, the size and the SHA-256 of an uploaded file."""
    file = request.files["file"]
    content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    return Response(f"{file.filename} {len(content)} {digest}\n", mimetype="text/plain")


@site.get("/cookie")
def cookie():
    """Set each cookie that the query names, or show what the browser sent."""
    answer = Response(f"{dict(request.cookies)}\n", mimetype="text/plain")
    for name, value in request.args.items():
        answer.set_cookie(name, value)
    return answer


@site.get("/visits")
def visits():
    """Count this visitor's visits in a signed cookie."""
    session["visits"] = session.get("visits", 0) + 1
    return Response(f"visit {session['visits']}\n", mimetype="text/plain")


@site.get("/old")
def old():
    """Send the visitor on to the new address."""
    return redirect("new")


@site.get("/new")
def new():
    """Be where /old leads."""
    return Response("the new place\n", mimetype="text/plain")


@site.get("/stream")
def stream():
    """Stream three lines, each of them a piece of its own."""
    return Response(three_lines(), mimetype="text/plain")


@site.get("/fail")
def fail():
    """Raise an error."""
    raise ValueError("on purpose")


app = make_app()
# evalex=False: a traceback to read, without the console that runs what a visitor types.
debug_app = DebuggedApplication(make_app(debug=True), evalex=False)

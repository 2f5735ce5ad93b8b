"""A Django site in one file, with the same addresses as flask_app.

`app` is its WSGI side, `asgi` its ASGI side: the views are the same, and know of neither. It
refuses a WebSocket, which Django does not know without another package, channels.

DEBUG is on, so that an error shows Django's debug page. Sessions live in a signed cookie, hence no
database is needed.
"""

import hashlib
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path
from django.views.static import serve

from apps.page import PAGE, SECRET, three_events, three_lines

settings.configure(
    DEBUG=True,
    SECRET_KEY=SECRET,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    # Toy: without CsrfViewMiddleware, so that a lesson can send a form in one line.
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
)


def text(content):
    """Return a plain text answer."""
    return HttpResponse(content, content_type="text/plain")


def index(request):
    """Show the page with the forms and the links."""
    return HttpResponse(PAGE.format(framework="Django"))


def form(request):
    """Answer a form."""
    return text(f"Hello {request.POST['name']}\n")


def upload(request):
    """Tell the name, the size and the SHA-256 of an uploaded file."""
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for part in file.chunks():
        digest.update(part)
    return text(f"{file.name} {file.size} {digest.hexdigest()}\n")


def cookie(request):
    """Set each cookie that the query names, or show what the browser sent."""
    answer = text(f"{request.COOKIES}\n")
    for name, value in request.GET.items():
        answer.set_cookie(name, value)
    return answer


def visits(request):
    """Count this visitor's visits in a signed cookie."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return text(f"visit {request.session['visits']}\n")


def old(request):
    """Send the visitor on to the new address."""
    return HttpResponseRedirect("new")


def new(request):
    """Be where /old leads."""
    return text("the new place\n")


def stream(request):
    """Stream three lines, each of them a piece of its own."""
    return StreamingHttpResponse(three_lines(), content_type="text/plain")


def events(request):
    """Send three server-sent events."""
    return StreamingHttpResponse(three_events(), content_type="text/event-stream")


def fail(request):
    """Raise an error."""
    raise ValueError("on purpose")


pages = (form, upload, cookie, visits, old, new, stream, events, fail)
urlpatterns = [
    path("", index),
    *(path(view.__name__, view) for view in pages),
    # Toy: Django serves static files by itself in DEBUG alone; lesson 7 gives them to nginx.
    path("static/<path:path>", serve, {"document_root": Path(__file__).parent / "static"}),
]

app = get_wsgi_application()
asgi = get_asgi_application()

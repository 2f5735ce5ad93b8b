"""Serve `coursekit.flow.watched:app`: the app that COURSEKIT_APP names, with notes taken.

COURSEKIT_APP     module:attr of the app to wrap, WSGI or ASGI
COURSEKIT_EVENTS  path of the file that gets one JSON line an event
Both are read when `app` is first asked for, that is in the worker (or in a preloading master).
"""

import importlib
import os
from typing import Any

from coursekit.flow.events import EventFile
from coursekit.flow.watch import watch


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = os.environ["COURSEKIT_APP"].partition(":")
    app = getattr(importlib.import_module(module), attribute or "app")
    globals()["app"] = watch(app, EventFile(os.environ["COURSEKIT_EVENTS"]))
    return globals()["app"]


if "COURSEKIT_APP" in os.environ:
    # uWSGI looks into the module's dict, and never asks the function above.
    __getattr__("app")

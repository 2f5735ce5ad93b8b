"""Remember the newest executed answer cell of each exercise in this kernel.

nbval keeps no history, so `In` is empty there; IPython's pre_run_cell event always comes.
"""

from __future__ import annotations

import sys
from typing import Any

from coursekit.grading.source import marked

_newest: dict[str, str] = {}


def shell() -> Any:
    """Return IPython's shell, or None outside it; never imports IPython itself."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def watch() -> None:
    """Follow the cells of this kernel from now on; a second call changes nothing."""
    running = shell()
    if running is None or _before_cell in running.events.callbacks["pre_run_cell"]:
        return
    running.events.register("pre_run_cell", _before_cell)
    for text in running.history_manager.input_hist_raw:  # cells run before the import
        note(text)


def _before_cell(info: Any) -> None:
    note(info.raw_cell or "")


def note(text: str) -> None:
    """Remember a cell's text if it is an answer cell."""
    slug = marked(text)
    if slug:
        _newest[slug] = text


def newest(slug: str) -> str | None:
    """Return the newest executed answer of an exercise, or None."""
    return _newest.get(slug)


def forget(slug: str) -> None:
    """Forget an exercise's answer, until its cell runs again."""
    _newest.pop(slug, None)

"""Show widgets beside a text that says the same: a front end draws one, all others read the other.

The text is the text/plain of the same output, so nbval compares it and GitHub shows it.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from typing import Any

from coursekit.practice import cells

VIEW = "application/vnd.jupyter.widget-view+json"


# Rows of a finger's height: what can be pressed is 24 pixels or more apart (WCAG 2.2, 2.5.8).
ROWS = "<style>.fsts-choices :is(label, input) { height: 26px; line-height: 26px }</style>"


def in_a_kernel() -> bool:
    """Tell whether a widget could be drawn: in a Jupyter kernel, not in a terminal or a test."""
    running = cells.shell()
    return running is not None and "ipykernel" in sys.modules and hasattr(running, "kernel")


def show(text: str, make: Callable[..., Any], *args: Any) -> None:
    """Display the widget that `make(*args)` returns, with a text in its place elsewhere."""
    if not in_a_kernel():
        print(text)
        return
    from IPython.display import display

    widget = make(*args)
    model = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": text, VIEW: model}, raw=True)


def radio(
    question: str, options: list[str], chosen: str | None, store: Callable[[str], None]
) -> Any:
    """Return radio buttons with a question; `store` gets the choice."""
    import ipywidgets as w  # type: ignore[import-untyped]

    heading = w.HTML(f"{ROWS}<strong>{html.escape(question)}</strong>")
    # No description: the label of a group is the heading, and each button has its own text.
    buttons = w.RadioButtons(options=options, value=chosen, layout=w.Layout(width="auto"))
    buttons.tooltip = question
    buttons.add_class("fsts-choices")
    said = w.HTML(_stored(chosen))

    def changed(event: dict[str, Any]) -> None:
        store(event["new"])
        said.value = _stored(event["new"])

    buttons.observe(changed, names="value")
    return w.VBox([heading, buttons, said])


def _stored(choice: str | None) -> str:
    return f"Your prediction: {html.escape(choice)}" if choice else "Choose one, then run on."


def button(text: str, name: str, act: Callable[[], None]) -> Any:
    """Return a button; `name` is what a screen reader and a pointer's tip say."""
    import ipywidgets as w

    made = w.Button(description=text, tooltip=name, layout=w.Layout(width="auto"))
    made.on_click(lambda _: act())
    return made

"""The buttons below a verdict: what the functions of this package do, one press each."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from coursekit.grading.source import FormatError, find
from coursekit.practice import widgets


def show(slug: str) -> None:
    """Show the buttons of an exercise; elsewhere than in a kernel there is nothing to press."""
    if widgets.in_a_kernel():
        widgets.show("", _bar, slug)


def _bar(slug: str) -> Any:
    import ipywidgets as w  # type: ignore[import-untyped]

    from coursekit.practice import exercise

    # A live region: a screen reader speaks what appears in it.
    said = w.HTML()
    asked = w.HBox()

    def say(text: str) -> None:
        asked.children = ()
        said.value = f'<pre role="status" style="white-space: pre-wrap">{html.escape(text)}</pre>'

    def tell(make: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            try:
                say(str(make()))
            except (LookupError, FormatError, OSError) as error:
                say(str(error))

        return act

    def ask() -> None:
        text = exercise.solution_text(slug)
        if "sure=True" not in text:
            return say(text)
        say("You have not passed yet. Show a solution all the same? It is counted.")
        yes = widgets.button(
            "Show it",
            f"Show the solution of {slug}",
            tell(lambda: exercise.solution_text(slug, True)),
        )
        no = widgets.button("Not yet", "Keep the solution hidden", lambda: say(""))
        asked.children = (yes, no)

    rows = [
        widgets.button("Check again", f"Check {slug} again", tell(lambda: exercise.judged(slug))),
        widgets.button(
            "Hint", f"Show the next hint for {slug}", tell(lambda: exercise.next_hint(slug))
        ),
        widgets.button("Solution", f"Show a solution of {slug}", ask),
    ]
    if _installs(slug):
        rows.append(_install_button(slug, tell))
    rows.append(widgets.button("Reset", f"Begin {slug} anew", tell(lambda: _anew(slug))))
    return w.VBox([w.HBox(rows, layout=w.Layout(flex_flow="row wrap")), said, asked])


def _install_button(slug: str, tell: Callable[[Callable[[], object]], Callable[[], None]]) -> Any:
    from coursekit.practice.installing import place_answer

    name = f"Let the toy server in this kernel run on your {slug}"
    return widgets.button("Install into the live server", name, tell(lambda: place_answer(slug)))


def _installs(slug: str) -> bool:
    try:
        return bool(find(slug).installs)
    except (LookupError, FormatError):
        return False


def _anew(slug: str) -> str:
    from coursekit.practice import exercise

    return f"Forgotten. The cell as it was, to copy over yours:\n\n{exercise.forgotten(slug)}"

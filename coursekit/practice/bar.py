"""The buttons below a verdict: what the functions of this package do, one press each."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from coursekit.grading.source import FormatError, find
from coursekit.practice import widgets
from coursekit.practice.installing import place_answer


def show(slug: str) -> None:
    """Show the buttons of an exercise; elsewhere than in a kernel there is nothing to press."""
    if widgets.in_a_kernel():
        widgets.show("", lambda: Bar(slug).widget)


class Bar:
    """Hold the buttons of one exercise, and below them what the last one said."""

    def __init__(self, slug: str) -> None:
        import ipywidgets as w  # type: ignore[import-untyped]

        self.slug = slug
        self.said, self.asked = w.HTML(), w.HBox()
        row = w.HBox(self._buttons(), layout=w.Layout(flex_flow="row wrap"))
        self.widget = w.VBox([row, self.said, self.asked])

    def _buttons(self) -> list[Any]:
        from coursekit.practice import exercise  # it shows this bar

        slug = self.slug
        rows: list[tuple[str, str, Callable[[], object]]] = [
            ("Check again", f"Check {slug} again", lambda: exercise.judged(slug)),
            ("Hint", f"Show the next hint for {slug}", lambda: exercise.next_hint(slug)),
            ("Solution", f"Show a solution of {slug}", self._solution),
        ]
        if _installs(slug):
            name = f"Let the toy server in this kernel run on your {slug}"
            rows.append(("Install into the live server", name, lambda: place_answer(slug)))
        anew = "Forgotten. The cell as it was, to copy over yours:\n\n"
        rows.append(("Reset", f"Begin {slug} anew", lambda: anew + exercise.forgotten(slug)))
        return [self._button(*row) for row in rows]

    def _button(self, text: str, name: str, make: Callable[[], object]) -> Any:
        """Return a button that says what `make` returns, or why it cannot."""

        def act() -> None:
            self.asked.children = ()
            try:
                self._say(str(make()))
            except (LookupError, FormatError, OSError) as error:
                self._say(str(error))

        return widgets.button(text, name, act)

    def _say(self, text: str) -> None:
        # A live region: a screen reader speaks what appears in it.
        style = "white-space: pre-wrap"
        self.said.value = f'<pre role="status" style="{style}">{html.escape(text)}</pre>'

    def _solution(self) -> str:
        """Return the solution, or ask first: before passing it is counted."""
        from coursekit.practice import exercise

        slug = self.slug
        text = exercise.solution_text(slug)
        if "sure=True" not in text:
            return text
        name = f"Show the solution of {slug}"
        yes = self._button("Show it", name, lambda: exercise.solution_text(slug, True))
        self.asked.children = (yes, self._button("Not yet", "Keep it hidden", lambda: ""))
        return "You have not passed yet. Show a solution all the same? It is counted."


def _installs(slug: str) -> bool:
    try:
        return bool(find(slug).installs)
    except (LookupError, FormatError):
        return False

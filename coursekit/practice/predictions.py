"""Ask before the experiment, compare after it; a prediction is remembered, never demanded."""

from __future__ import annotations

from typing import Any

from coursekit.practice import state, widgets


def predict(id: str, question: str, options: list[str]) -> None:
    """Ask what will happen: a choice that is stored, or a numbered list where there is no page."""
    options = [str(option) for option in options]
    numbered = [f"  {number}. {option}" for number, option in enumerate(options, 1)]
    widgets.show("\n".join([f"Predict: {question}", *numbered]), _choices, id, question, options)


def _choices(id: str, question: str, options: list[str]) -> Any:
    known = state.load()["predictions"].get(id, {}).get("predicted")

    def store(choice: str) -> None:
        said = {"question": question, "options": options, "predicted": choice}
        state.change(lambda all: all["predictions"].setdefault(id, {}).update(said))

    return widgets.radio(
        f"Predict: {question}", options, known if known in options else None, store
    )


def reveal(id: str, actual: object) -> None:
    """Say what happened, and how it compares with the prediction, if there is one."""
    happened = str(actual)
    print(f"It happened: {happened}")
    stored = state.load()["predictions"].get(id, {})
    said = stored.get("predicted")
    if said is None:
        return
    if stored.get("actual") != happened:
        state.change(lambda all: all["predictions"][id].update(actual=happened))
    if said == happened:
        print(f"You predicted it: {said}")
    else:
        print(f"You predicted: {said}. What did you think of that did not happen?")

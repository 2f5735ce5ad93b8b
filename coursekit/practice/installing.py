"""Put a learner's functions into the toy of this kernel, and take them out again.

The toy's functions call each other through their modules' globals, so a live toy in this kernel
uses the new one from its next call on.
"""

from __future__ import annotations

import importlib
from typing import Any

from coursekit.grading.source import find, installs
from coursekit.practice import cells

_originals: dict[str, Any] = {}


def install(slug: str) -> None:
    """Put the functions of your answer into the toy, where the exercise says.

    LookupError if the exercise has no such place, or your cell did not run.
    """
    print(place_answer(slug))


def place_answer(slug: str) -> str:
    """Install an answer and return a sentence about it."""
    targets = _targets(slug)
    if not targets:
        raise LookupError(f"{slug} holds nothing that the toy could use")
    running = cells.shell()
    names = running.user_ns if running else {}
    for target in targets:
        name = target.rpartition(".")[2]
        if name not in names:
            raise LookupError(f"run your cell first: it defines {name}")
        put(target, names[name])
    return f"The toy here runs on your {', '.join(targets)}. uninstall() undoes it."


def put(target: str, function: Any) -> None:
    """Put a function at "module.name" and remember what was there."""
    module, name = _found(target)
    _originals.setdefault(target, getattr(module, name))
    setattr(module, name, function)


def uninstall(slug: str | None = None) -> None:
    """Put the toy's own functions back: those of one exercise, or all."""
    targets = set(_targets(slug) if slug else _originals) & set(_originals)
    for target in sorted(targets):
        module, name = _found(target)
        setattr(module, name, _originals.pop(target))
    print(
        f"Back in the toy: {', '.join(sorted(targets))}." if targets else "Nothing was installed."
    )


def installed() -> list[str]:
    """Return what a learner's functions stand for at this moment."""
    return sorted(_originals)


def _targets(slug: str) -> tuple[str, ...]:
    """Return where an exercise's functions go: its answer cell says it, run here or not."""
    return installs(cells.newest(slug) or "") or find(slug).installs


def _found(target: str) -> tuple[Any, str]:
    """Return the module (or the class in it) and the name that a dotted target means."""
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            holder = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:-1]:
            holder = getattr(holder, part)
        if not hasattr(holder, parts[-1]):
            break
        return holder, parts[-1]
    raise LookupError(f"the toy has no {target}")

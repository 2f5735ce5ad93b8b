"""What a learner did, in one plain file: progress.json beside the notebooks.

Rule 1  Every change is a function of what the file holds at that moment, under a lock: two
        kernels merge, neither overwrites the other.
Rule 2  The file is replaced whole, never written in place; a damaged one is kept aside.
Rule 3  Exercises and predictions are keyed by their ids, which outlive renamed lessons.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coursekit.grading.source import ROOT

VERSION = 1
State = dict[str, Any]
EMPTY: State = {"version": VERSION, "exercises": {}, "predictions": {}}

# MIGRATE[n] turns the data of version n into that of version n + 1.
MIGRATE: dict[int, Callable[[State], State]] = {}


def place() -> Path:
    """Return where the file is: COURSEKIT_PROGRESS, else progress.json at the project's root."""
    return Path(os.environ.get("COURSEKIT_PROGRESS") or ROOT / "progress.json")


def load() -> State:
    """Return what is known of this learner; a damaged file is renamed and said so."""
    with _locked():
        return _read()


def change(edit: Callable[[State], None]) -> State:
    """Let a function edit the newest state, store the result, and return it."""
    with _locked():
        state = _read()
        edit(state)
        _write(state)
    return state


def exercise(slug: str, edit: Callable[[State], None]) -> State:
    """Edit what is known of one exercise, and return it."""

    def within(state: State) -> None:
        edit(state["exercises"].setdefault(slug, {}))

    known: State = change(within)["exercises"][slug]
    return known


@contextmanager
def _locked() -> Iterator[None]:
    path = place()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        yield


def _read() -> State:
    path = place()
    try:
        state = json.loads(path.read_text("utf-8"))
        return migrated(state)
    except FileNotFoundError:
        return json.loads(json.dumps(EMPTY))  # type: ignore[no-any-return]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        aside = _aside(path)
        print(
            f"{path.name} was damaged ({error}); it is kept as {aside.name}, and a new one begins."
        )
        return json.loads(json.dumps(EMPTY))  # type: ignore[no-any-return]


def migrated(state: State) -> State:
    """Return the state in today's form; ValueError if it is none, or of a later course."""
    while state["version"] < VERSION:
        state = MIGRATE[state["version"]](state)
    if state["version"] > VERSION:
        raise ValueError(f"version {state['version']} is newer than this course's {VERSION}")
    for part in ("exercises", "predictions"):
        if not all(isinstance(entry, dict) for entry in state[part].values()):
            raise ValueError(f"{part} is not a table")
    return state


def _aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}.json")).exists():
        number += 1
    os.replace(path, aside)
    return aside


def _write(state: State) -> None:
    path = place()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
    os.replace(name, path)

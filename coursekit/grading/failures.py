"""Say why a check failed: what was sent, what came, where they first differ, what it may mean.

A Failure holds evidence as text lines; `expect` and its relatives raise it. Likely causes that
need no knowledge of the exercise (text instead of bytes, nothing returned ...) are found here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Likely = str | Callable[[Any], str | None] | None
WIDTH = 72


class Failure(Exception):
    """A check found a difference; `lines` are pairs of a label and a text."""

    def __init__(
        self, *lines: tuple[str, str], likely: str | None = None, replay: str | None = None
    ) -> None:
        super().__init__(lines[0][1] if lines else "failed")
        self.lines = list(lines)
        self.likely = likely
        self.replay = replay


def difference(want: Any, got: Any, *, secret: bool = False, likely: Likely = None) -> Failure:
    """Return the Failure that shows where two values differ; `secret` hides the wanted one."""
    path, want_part, got_part = first_difference(want, got)
    cause = likely(got) if callable(likely) else likely
    cause = cause or common_cause(want_part, got_part)
    if secret:
        return Failure(("got", shown(got)), likely=cause if likely else None)
    lines = [("expected", shown(want)), ("got", shown(got))]
    if path:
        lines += [
            ("differs", f"at {path}"),
            ("expected", shown(want_part)),
            ("got", shown(got_part)),
        ]
    if type(want_part) is type(got_part) and isinstance(want_part, (bytes, str)):
        lines = [*lines[:-2], *caret(want_part, got_part)]
    return Failure(*lines, likely=cause)


def first_difference(want: Any, got: Any, path: str = "") -> tuple[str, Any, Any]:
    """Return where two values first differ ("[1]['a']") and the two parts there."""
    if type(want) is type(got) and isinstance(want, (list, tuple)):
        for place, (one, other) in enumerate(zip(want, got, strict=False)):
            if not same(one, other):
                return first_difference(one, other, f"{path}[{place}]")
    if isinstance(want, dict) and isinstance(got, dict):
        for key in want:
            if key in got and not same(want[key], got[key]):
                return first_difference(want[key], got[key], f"{path}[{key!r}]")
    return path, want, got


def same(want: Any, got: Any) -> bool:
    """Compare plain data, types included: True is not 1, a list is not a tuple."""
    if type(want) is not type(got):
        return False
    if isinstance(want, (list, tuple)):
        return len(want) == len(got) and all(map(same, want, got))
    if isinstance(want, dict):
        return set(want) == set(got) and all(same(want[key], got[key]) for key in want)
    return bool(want == got)


def caret(want: bytes | str, got: bytes | str) -> list[tuple[str, str]]:
    """Return both values cut to the place of their first difference, and a caret under it."""
    place = common_length(want, got)
    start = max(0, place - 24)
    head = "..." if start else ""
    before = len(repr(want[start:place])) - 1 + len(head)
    unit = "byte" if isinstance(want, bytes) else "character"
    where = f"{unit} {place}"
    if place == len(got):
        where += ": here yours ends"
    elif place == len(want):
        where += f": here yours should end, {len(got) - place} more came"
    return [
        ("expected", head + clipped(want[start:])),
        ("got", head + clipped(got[start:])),
        ("", " " * before + "^ " + where),
    ]


def common_length(want: Any, got: Any) -> int:
    """Return how many items are alike from the start."""
    alike = zip(want, got, strict=False)
    return next(
        (place for place, (one, other) in enumerate(alike) if one != other),
        min(len(want), len(got)),
    )


def clipped(value: bytes | str, most: int = 48) -> str:
    """Return the beginning of a value as Python writes it."""
    return repr(value[:most]) + ("..." if len(value) > most else "")


def shown(value: Any) -> str:
    """Return a value as one line of bounded length."""
    if isinstance(value, (bytes, str)) and len(value) > 2 * WIDTH:
        return f"{clipped(value)} ({len(value)} in all)"
    text = repr(value)
    return text if len(text) <= 3 * WIDTH else text[: 3 * WIDTH] + " ..."


def cut(text: str, most: int = 400) -> str:
    """Return a line that can be pasted to replay a check, or its beginning if it is long."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text)} characters)"


def common_cause(want: Any, got: Any) -> str | None:
    """Return the usual reason for such a difference, if there is one."""
    if got is None and want is not None:
        return "nothing was returned: is a return missing on this path?"
    if got == "<generator>" or got == "<coroutine>":
        return f"a {got[1:-1]} came back, not a value"
    if isinstance(want, bytes) and isinstance(got, str):
        return "this is text; the wire carries bytes"
    if isinstance(want, str) and isinstance(got, bytes):
        return "these are bytes; text was wanted"
    if type(want) is not type(got):
        return f"wanted {type(want).__name__}, got {type(got).__name__}"
    if isinstance(want, (bytes, str)):
        return _cause_in_text(want, got)
    if isinstance(want, (list, tuple, dict)) and len(want) != len(got):
        return f"{len(want)} items were wanted, {len(got)} came"
    return None


def _cause_in_text(want: Any, got: Any) -> str | None:
    newline, both = (b"\n", b"\r\n") if isinstance(want, bytes) else ("\n", "\r\n")
    if not got:
        return "nothing came"
    if want.replace(both, newline) == got.replace(both, newline):
        return "the line ends differ: HTTP wants \\r\\n"
    if want.lower() == got.lower():
        return "only upper and lower case differ"
    if want.strip() == got.strip():
        return "only the spaces around it differ"
    if want.startswith(got):
        return f"it stops too soon: {len(got)} of {len(want)}"
    if got.startswith(want):
        return f"it goes on too long: {len(got)} instead of {len(want)}"
    return None

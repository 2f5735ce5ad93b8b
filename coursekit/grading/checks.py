"""What a checks cell uses: `check` declares one, `expect` and its relatives decide.

@check("the rest stays for the next call", points=2, hint="What does one recv promise?")
def rest(answer):
    expect(answer.call("recv_until", ...), b"...")
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coursekit.grading.failures import Failure, Likely, difference, same

if TYPE_CHECKING:
    from coursekit.grading.answer import Answer
    from coursekit.live.wire import Exchange

Body = Callable[["Answer"], None]


@dataclass(frozen=True)
class Check:
    """Hold one check: what it asks, its worth in points, its hint, clause, and limit in seconds."""

    name: str
    body: Body
    points: int
    hint: str
    clause: str
    limit: float
    likely: Likely


_declared: list[Check] = []
_declaring = threading.Lock()


def check(
    name: str,
    *,
    points: int = 1,
    hint: str = "",
    clause: str = "",
    limit: float = 5.0,
    likely: Likely = None,
) -> Callable[[Body], Body]:
    """Declare the function below as a check.

    `hint` is a question, `clause` names the rule ("RFC 9112 6.3"), `limit` is in seconds,
    `likely` is the usual cause of a failure: a text, or a function of what came.
    """
    if not name or points < 1 or (hint and not hint.endswith("?")):
        raise ValueError(f"check {name!r}: needs a name, points of 1 or more, and a hint that asks")

    def declare(body: Body) -> Body:
        _declared.append(Check(name, body, points, hint, clause, limit, likely))
        return body

    return declare


def declared_by(source: str, slug: str) -> list[Check]:
    """Run a checks cell and return the checks that it declares, in order."""
    import linecache  # answer.run reads a harness's source through it

    name = f"<checks: {slug}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    with _declaring:
        _declared.clear()
        exec(compile(source, name, "exec", dont_inherit=True), {"__name__": f"checks_{slug}"})
        found = list(_declared)
        _declared.clear()
    names = [one.name for one in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(f"{slug}: a checks cell declares checks, each with a name of its own")
    return found


def expect(got: Any, want: Any, *, likely: Likely = None, secret: bool = False) -> None:
    """Fail unless both are equal, types included; `secret` keeps the wanted value to itself."""
    if not same(want, got):
        raise difference(want, got, secret=secret, likely=likely)


def expect_that(true: bool, message: str, *, likely: str | None = None) -> None:
    """Fail with a message unless something is true."""
    if not true:
        raise Failure(("found", message), likely=likely)


def expect_answer(
    exchange: Exchange,
    status: int = 200,
    body: bytes | None = None,
    *,
    which: int = 0,
    likely: Likely = None,
) -> None:
    """Fail unless an exchange holds answer number `which` with this status (and body)."""
    if len(exchange.answers) <= which:
        raise Failure(
            ("expected", f"answer number {which + 1}"), ("got", f"{len(exchange.answers)} answers"),
            likely=likely if isinstance(likely, str) else None,
        )  # fmt: skip
    answer = exchange.answers[which]
    if answer.problem:
        raise Failure(("expected", "an answer that HTTP allows"), ("got", answer.problem))
    expect(answer.status, status, likely=likely)
    if body is not None:
        expect(answer.body, body, likely=likely)

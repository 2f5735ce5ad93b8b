"""What a server writes: its lines, and how to find one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

# live() asks a server whether it is up with these bytes, which no app ever sees. What
# servers write about them is left out of the log.
KNOCK = b"is-anybody-there\r\n\r\n"
_MARK = KNOCK.strip().decode()


class Log:
    """Read a server's log. `read` returns all of its text so far."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    @property
    def lines(self) -> list[str]:
        """The lines so far."""
        return [line for line in self._read().splitlines() if _MARK not in line]

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def tail(self, count: int = 10) -> str:
        """Return the last lines as one text."""
        return "\n".join(self.lines[-count:])

    def grep(self, pattern: str) -> list[str]:
        """Return the lines in which a regular expression is found."""
        return [line for line in self.lines if re.search(pattern, line)]

    def wait(self, pattern: str, timeout: float = 10.0) -> list[str]:
        """Return `grep(pattern)` as soon as it finds something; TimeoutError after `timeout` s."""
        deadline = time.monotonic() + timeout
        while not (found := self.grep(pattern)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no line with {pattern!r} in {timeout} s; the log:\n{self}")
            time.sleep(0.02)
        return found

"""What a cell sees when its server failed."""

from __future__ import annotations


class ServerError(Exception):
    """Say that a server failed. `errors` holds what was raised inside it, if it is known."""

    def __init__(self, message: str, errors: list[BaseException] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []

"""What a direction of a connection is cut into: parts, and heads among them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """Hold one part of a message; `start` and `end` are offsets in the direction's bytes."""

    kind: str  # "head", "body", "chunk", "last chunk", "frame", "cut off", "other"
    start: int
    end: int
    message: int  # which message of this direction, from 0; interim responses count apart
    label: str
    size: int = 0  # bytes of content that it carries
    interim: bool = False
    asked: tuple[str, str] = "", ""  # method and target, in the first part of a request
    note: str = ""  # in place of a preview of the bytes
    info: Mapping[str, Any] = field(default_factory=dict)  # of a frame


@dataclass(frozen=True)
class Head:
    """Hold a message's first line and headers, names in lower case."""

    first: str
    headers: dict[str, str]
    end: int

    @property
    def status(self) -> int:
        """Return the status of a response, 0 where there is none."""
        found = re.match(r"HTTP/\d\.\d (\d{3})", self.first)
        return int(found[1]) if found else 0

    @property
    def method(self) -> str:
        """Return the method of a request."""
        return self.first.split(" ")[0]


def read_head(data: bytes, start: int) -> Head | None:
    """Return the head that begins at `start`, or None if its empty line has not come."""
    found = re.compile(rb"\r?\n\r?\n").search(data, start)
    if not found:
        return None
    first, *lines = data[start:found.start()].decode("latin-1").replace("\r\n", "\n").split("\n")
    fields = [line.partition(":") for line in lines]
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    return Head(first, headers, found.end())

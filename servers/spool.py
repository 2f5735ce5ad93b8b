"""Bytes that cannot go on yet: in memory while they are few, then in a temporary file.

A slow client costs a server a thread or some disk. The disk is cheaper.
"""

from tempfile import SpooledTemporaryFile


class Spool:
    """Queue bytes, first in, first out; over `memory` bytes they move to a file."""

    __slots__ = ("at", "end", "file")

    def __init__(self, memory: int) -> None:
        self.file = SpooledTemporaryFile(max_size=memory)
        self.at = self.end = 0  # where reading and writing go on

    def __len__(self) -> int:
        return self.end - self.at

    def put(self, data: bytes | memoryview) -> None:
        """Add bytes at the end; raise OSError if the disk is full."""
        self.file.seek(self.end)
        self.end += self.file.write(data)

    def peek(self, size: int) -> bytes:
        """Return up to `size` bytes from the front, and leave them."""
        self.file.seek(self.at)
        return self.file.read(min(size, len(self)))

    def drop(self, size: int) -> None:
        """Forget `size` bytes at the front."""
        self.at += size
        if self.at == self.end:  # empty: begin again, so that the file does not grow for ever
            self.file.seek(0)
            self.file.truncate()
            self.at = self.end = 0

    def take(self, size: int) -> bytes:
        """Return and forget up to `size` bytes from the front; b"" if there are none."""
        data = self.peek(size)
        self.drop(len(data))
        return data

    def close(self) -> None:
        """Give memory and file back."""
        self.file.close()

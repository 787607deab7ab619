"""What a blob store is to bedeck: named bytes in one place, as a folder, S3, GCS or Azure have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Objects", "Stored"]


class Stored(NamedTuple):
    """An object: its name, its bytes, and when it was written, in seconds of the store's own clock since 1970."""

    name: str
    size: int
    at: float


class Objects(Protocol):
    """Named bytes. Names are relative and have ``/`` between their parts: ``log/0000000001.json``.

    What fails raises `StoreError`, with the place and the name; what is not there, `NotFoundError`. Any number of
    threads may use one.
    """

    @property
    def place(self) -> str:
        """Where they are, for messages: a path or a URL, without a slash at its end."""
        ...

    @property
    def usable(self) -> bool:
        """Whether this process may use them: what needs threads does not work in a forked child."""
        ...

    def get(self, name: str) -> bytes:
        """All bytes of a small object: one of a GiB and more is a `DamagedError`."""
        ...

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; fewer where the object ends before."""
        ...

    def changed(self, name: str, tag: str | None) -> tuple[bytes, str] | None:
        """The bytes of a small object and its tag; `None` where that is ``tag`` still, which costs little to ask."""
        ...

    def size(self, name: str) -> int:
        """Bytes of an object."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names that start with ``prefix`` and come after ``after``, ascending. May be none."""
        ...

    def scan(self, prefix: str) -> Iterator[Stored]:
        """The objects whose names start with ``prefix``, in no order. May be none."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Make an object that is not there yet, whole and durably; `False`, and nothing changed, where it is there."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Make or replace a small object, whole and durably."""
        ...

    def upload(self, name: str, file: Path) -> None:
        """Make or replace an object with what a file holds, of any size, whole and durably."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is removed already."""
        ...

"""A store that is elsewhere, and can be broken on the way: answers can be damaged, held up, refused."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bedeck import Key, Schema, Type
from bedeck._objects.local import LocalObjects
from bedeck.errors import StoreError
from bedeck.objects import Stored
from bedeck.store import Store

__all__ = ["LARGE", "Away", "asked", "flip", "fork", "gone", "large_rows", "sound"]

Fault = Callable[[str, bytes], bytes]

LARGE = Schema({"a": Type(key=Key("k", "int")), "t": Type(key=Key("k", "int"))})


def large_rows(tag: str, count: int = 13_000) -> dict[str, list[dict[str, Any]]]:
    """Rows for `LARGE`: 13,000 of "t" are a blob of 13 MiB; those of two tags have nothing in common."""

    def noise(key: int) -> bytes:
        return hashlib.shake_128(f"{tag} {key}".encode()).digest(1000)

    return {"a": [{"k": 1, "of": tag}], "t": [{"k": key, "noise": noise(key)} for key in range(count)]}


class Away:
    """The objects below a folder, as if over a network, for processes that were not forked.

    Each answer goes through ``fault``, which is told the object's name. What was asked for is noted in the file
    ``notes``, a line each, whatever process asks.
    """

    def __init__(self, path: Path, notes: Path | None = None) -> None:
        self._objects = LocalObjects(path)
        self._notes = notes
        self._process = os.getpid()
        self.fault: Fault = sound

    @property
    def place(self) -> str:
        return f"away://{self._objects.path.name}"

    @property
    def usable(self) -> bool:
        return os.getpid() == self._process

    def store(self) -> Store:
        return Store(self)

    def get(self, name: str) -> bytes:
        return self._answer(name, lambda: self._objects.get(name))

    def get_range(self, name: str, start: int, end: int) -> bytes:
        return self._answer(name, lambda: self._objects.get_range(name, start, end), f"{start} {end}")

    def changed(self, name: str, tag: str | None) -> tuple[bytes, str] | None:
        found: list[tuple[bytes, str] | None] = []

        def ask() -> bytes:
            found.append(self._objects.changed(name, tag))
            return found[0][0] if found[0] else b""

        data = self._answer(name, ask)
        return found[0] and (data, found[0][1])

    def size(self, name: str) -> int:
        self._answer(name, lambda: b"")
        return self._objects.size(name)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self._answer(prefix, lambda: b"")
        yield from self._objects.list(prefix, after)

    def scan(self, prefix: str) -> Iterator[Stored]:
        yield from self._objects.scan(prefix)

    def create(self, name: str, data: bytes) -> bool:
        return self._objects.create(name, data)

    def put(self, name: str, data: bytes) -> None:
        self._objects.put(name, data)

    def upload(self, name: str, file: Path) -> None:
        self._objects.upload(name, file)

    def delete(self, name: str) -> None:
        self._objects.delete(name)

    def _answer(self, name: str, ask: Callable[[], bytes], detail: str = "") -> bytes:
        if self._process != os.getpid():
            raise AssertionError(f"{name} asked for in a forked child, where a network client would hang")
        if self._notes:
            with self._notes.open("a") as file:
                file.write(f"{name} {detail}\n")
        return self.fault(name, ask())


def sound(_: str, data: bytes) -> bytes:
    return data


def gone(name: str, _: bytes) -> bytes:
    """The network is."""
    raise StoreError(f"cannot read {name}: no route to host")


def asked(notes: Path, start: str) -> list[str]:
    """What was asked for, of what begins with ``start``."""
    return [line for line in notes.read_text().splitlines() if line.startswith(start)]


def fork() -> int:
    """Fork, whatever newer Pythons think of that where there are threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def flip(data: bytes, place: int) -> bytes:
    """The same but for one bit."""
    byte = place // 8 % max(len(data), 1)
    return data[:byte] + bytes([data[byte] ^ 1 << place % 8]) + data[byte + 1 :] if data else data

"""What `bedeck.reference` holds everything in that comes from a file: nothing is used before it is checked."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from bedeck.errors import DamagedError

__all__ = ["Json", "Section"]

U64 = (1 << 64) - 1

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Json:
    """A value in a file's JSON; `where` is the file, the section and the path to it. A null member is not there."""

    where: str
    value: Any

    @classmethod
    def parse(cls, where: str, data: bytes) -> Json:
        try:
            return cls(where, json.loads(data.decode()))
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"{where}: is not JSON: {error}") from error

    def __getitem__(self, name: str) -> Json:
        if name not in self.of(dict):
            raise self.damaged(f"has no {name!r}")
        return Json(f"{self.where}.{name}", self.value[name])

    def __contains__(self, name: str) -> bool:
        return self.of(dict).get(name) is not None

    def members(self) -> dict[str, Json]:
        return {name: Json(f"{self.where}.{name}", value) for name, value in self.of(dict).items()}

    def items(self) -> list[Json]:
        return [Json(f"{self.where}[{place}]", value) for place, value in enumerate(self.of(list))]

    def text(self) -> str:
        return self.of(str)

    def flag(self) -> bool:
        return self.of(bool)

    def integer(self, least: int = 0, most: int = U64) -> int:
        if isinstance(self.value, bool) or not least <= self.of(int) <= most:
            raise self.damaged(f"is {self.value}, not a number from {least} to {most}")
        return self.of(int)

    def hex(self, digits: int) -> str:
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", self.text()):
            raise self.damaged(f"is not {digits} hex digits")
        return self.text()

    def of(self, kind: type[Kind]) -> Kind:
        if not isinstance(self.value, kind):
            raise self.damaged(f"is not of type {kind.__name__}")
        return self.value

    def damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{self.where}: {what}")


@dataclass(frozen=True)
class Section:
    """Bytes of a file that have a name: a section of a blob, or one record in it."""

    file: str
    name: str
    data: bytes

    def take(self, offset: int, length: int) -> bytes:
        if not 0 <= offset <= offset + length <= len(self.data):
            raise self.damaged(f"has {len(self.data)} bytes; {length} at {offset} were asked for")
        return self.data[offset : offset + length]

    def part(self, name: str, offset: int, length: int) -> Section:
        return Section(self.file, f"{self.name}: {name}", self.take(offset, length))

    def bits(self, offset: int, bits: int) -> int:
        """The number of `bits` bits at bit `offset`, least significant first."""
        first, shift = divmod(offset, 8)
        return int.from_bytes(self.take(first, (shift + bits + 7) // 8), "little") >> shift & (1 << bits) - 1

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turns what conversions raise on a value that cannot be into `DamagedError`."""
        try:
            yield
        except (ValueError, LookupError, OverflowError, struct.error) as error:
            raise self.damaged(f"{what}: {error}") from error

    def damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{self.file}: {self.name}: {what}")

"""Ids as text, from the command line and standard input, as keys of a type."""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bedeck._arrow import shown
from bedeck._cli.output import lines_of_input

__all__ = ["NoKeys", "key_of", "no_key", "texts"]

# What all keys of these kinds look like.
_FORMS = {
    "uuid": re.compile("[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "base62": re.compile("[0-9a-zA-Z]{22}"),
}
# What no record has as its key: one beyond 64 bits, and one longer than a key can be.
_NO_KEYS: dict[str, object] = {"int": 1 << 64, "bytes": bytes(1 << 16)}


def texts(ids: Iterable[str]) -> Iterator[str]:
    """The ids, each ``-`` among them replaced by the lines of standard input."""
    for text in ids:
        if text == "-":
            # What is no UTF-8 is no key either, and keeps its place.
            yield from (line.rstrip(b"\r\n").decode(errors="surrogateescape") for line in lines_of_input())
        else:
            yield text


def key_of(text: str, kind: str) -> object:
    """The key that ``text`` writes, ``None`` where it cannot be one of ``kind``: ints in decimal, bytes in base64."""
    match kind:
        case "int":
            # More digits than 64 bits have, of which int() refuses thousands, are no key.
            return int(text) if re.fullmatch("-?[0-9]{1,40}", text) else None
        case "bytes":
            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                return None
        case "uuid" | "base62":
            return text if _FORMS[kind].fullmatch(text) else None
        case _:
            return text


@dataclass
class NoKeys:
    """Ids that cannot be keys of the type that was asked: how many, and the first."""

    kind: str
    count: int = 0
    first: str = ""

    def add(self, text: str) -> None:
        """Count one."""
        self.first = self.first if self.count else text
        self.count += 1

    def note(self) -> str:
        """What to say of them."""
        spaces = "; spaces separate ids, not commas" if "," in self.first else ""
        if self.count == 1:
            return f"note: {shown(self.first)} cannot be a key of kind {self.kind}{spaces}"
        return f"note: {self.count:,} ids cannot be keys of kind {self.kind}, the first {shown(self.first)}{spaces}"


def no_key(kind: str) -> object:
    """A key that is in no catalogue."""
    return _NO_KEYS.get(kind, "")

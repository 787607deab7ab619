"""Stores larger than any disk: their files are holes, but for the few lines that a test writes into them.

What lies where is worked out by the formulas of the reference reader, and written by hand; no checksum fits, so the
files are marked as verified.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import bedeck
from bedeck import Key, Schema, Type, verified
from bedeck._guard import Json, Section
from bedeck._layout import Index
from forgery import Forgery, encode

__all__ = ["Sparse"]

MAGIC = b"\x89BEDECK\n"
ALIGNMENT = 2 << 20
SECTIONS = ("pilots", "records", "heap", "values", "locator")
ENDS, LINE, FIXED, INLINE = 28, 64, 14, 255
NAMED = ("id", "name", "type", "reference")  # what manifests tell of a field
FIELDS = [
    {
        "id": 0,
        "name": "next_id",
        "type": "reference",
        "reference": {"name": "next", "type": "n"},
        "nulls": 0,
        "bits": {"offset": 64, "bits": 32, "base": 0},
        "dangling": {"offset": 0, "count": 0},
        "bytes": 0,
    },
    {
        "id": 1,
        "name": "title",
        "type": "string",
        "nulls": 0,
        "var": {"order": 0, "offset": 96, "bits": 9, "unit": 1, "long": True},
        "bytes": 0,
    },
]


class Sparse:
    """A store of one type, `n`: integer keys, a `title` each, and `next`, another record.

    Its index has so many parts, 102,567 slots and 35,716 buckets each, all pilots 0; a record lies `apart` bytes behind
    that of the slot before, and long titles from `heap` bytes on.
    """

    def __init__(self, parts: int, *, apart: int = 70, heap: int = 1 << 20) -> None:
        shape = {"seed": 0, "parts": parts, "buckets": 35_716, "slots": 102_567}
        self.index = Index.read(Json("shape", shape), Section("shape", "pilots", bytes(parts * shape["buckets"])))
        self.shape, self.apart, self.heap = shape, apart, heap
        total = self.index.total
        lengths = (len(self.index.pilots), total * apart + 64, heap + ALIGNMENT, 8, -(-total // ENDS) * LINE)
        self.sections: dict[str, dict[str, int]] = {}
        end = ALIGNMENT
        for name, length in zip(SECTIONS, lengths, strict=True):
            self.sections[name] = {"offset": end, "length": length}
            end += -(-length // ALIGNMENT) * ALIGNMENT
        self.end = end
        self.pieces: list[tuple[int, bytes]] = []
        self.records = 0

    def slot(self, key: int) -> int:
        return self.index.slot(key.to_bytes(8, "little"))

    def put(self, key: int, title: str, following: int, *, length: int | None = None) -> None:
        """Write the record of `key` with this title, whose `next` is the record in the slot `following`.

        `length` is what is said of a long title instead of how long it is.
        """
        slot, text = self.slot(key), title.encode()
        number, tail = len(text), text
        if len(text) > INLINE:
            number, tail = 511, struct.pack("<QI", self.heap, length or len(text))
            self._write("heap", self.heap, text)
            self.heap += len(text)
        record = struct.pack("<QIH", key, following, number) + tail
        assert len(record) <= self.apart + FIXED + INLINE
        line, place = divmod(slot, ENDS)
        ends = [0] * place + [len(record)] * (ENDS - place)
        self._write("records", slot * self.apart, record)
        self._write("locator", line * LINE, struct.pack(f"<Q{ENDS}H", slot * self.apart, *ends))
        self.records += 1

    def directory(self) -> dict[str, Any]:
        return {
            "type": "n",
            "kind": "base",
            "records": self.records,
            "epoch": "0" * 32,
            "digest": "0" * 32,
            "key": {"field": "i", "kind": "int", "width": 8},
            "index": self.shape,
            "locator": {"width": 2},
            "record": {"fixed": FIXED, "key": None},
            "fields": FIELDS,
            "sections": self.sections,
            "counters": {"holes": self.index.total - self.records},
        }

    def write(self, store: Path, content: str = "") -> Path:
        """Make the store, marked as verified, and give its blob; skips the test where no file can be as large.

        Files of different `content` are told to be different.
        """
        bedeck.build(Schema({"n": Type(Key("i", "int"), fields={"title": "string"})}), store, {"n": []})
        forged = Forgery(store)
        content = content.encode().hex().ljust(64, "0")
        name = f"n-{content[:32]}.blob"
        path = store / "blobs" / name
        described = encode(self.directory())
        prelude = MAGIC + struct.pack("<IIQQ", 1, 0, self.end, len(described))
        with path.open("wb") as file:
            try:
                file.truncate(self.end + len(described))
            except OSError as error:
                pytest.skip(f"no file of {self.end:,} bytes can be here: {error}")
            for offset, piece in [(0, prelude), *self.pieces, (self.end, described)]:
                file.seek(offset)
                file.write(piece)
        named = [{member: of[member] for member in NAMED if member in of} for of in FIELDS]
        forged.manifest["types"]["n"]["fields"] = named
        forged.layer("n")["blob"] = {"name": name, "size": path.stat().st_size, "hash": content, "sections": []}
        forged.write_manifest(store)
        marks, mark = verified.folder(), verified.name_of(path, content)
        assert marks
        assert mark
        (marks / mark).touch()
        return path

    def _write(self, section: str, offset: int, data: bytes) -> None:
        self.pieces.append((self.sections[section]["offset"] + offset, data))


def described(directory: Mapping[str, Any]) -> Json:
    """A directory as the reference reader takes it."""
    return Json("directory", json.loads(json.dumps(directory)))

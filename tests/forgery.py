"""Stores as somebody would forge them who can write to all of their files: whatever is in them, every checksum fits."""

import json
import shutil
from pathlib import Path
from typing import Any, Self

from bedeck._core import blake3
from bedeck.store import LocalStore

__all__ = ["Blob", "Forgery", "describe", "encode"]

DIRECTORY_PLACE = slice(16, 32)  # its offset and length, in the prelude


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


class Blob:
    """A blob taken apart into its sections, in file order and with their padding, to be changed and put together."""

    def __init__(self, data: bytes, described: dict[str, Any]) -> None:
        places = {section["name"]: (section["offset"], section["length"]) for section in described["sections"]}
        self.parts = {name: bytearray(data[offset : offset + length]) for name, (offset, length) in places.items()}

    @property
    def directory(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.parts["directory"])
        return value

    @directory.setter
    def directory(self, value: object) -> None:
        self.parts["directory"] = bytearray(encode(value))
        offset = sum(len(part) for name, part in self.parts.items() if name != "directory")
        places = (offset, len(self.parts["directory"]))
        self.parts["prelude"][DIRECTORY_PLACE] = b"".join(place.to_bytes(8, "little") for place in places)

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.parts = {name: bytearray(part) for name, part in self.parts.items()}
        return other


def describe(type_name: str, parts: dict[str, bytes | bytearray]) -> dict[str, Any]:
    """What a manifest says of a blob that consists of `parts`, none of them longer than a chunk."""
    sections: list[dict[str, Any]] = []
    offset = 0
    for name, part in parts.items():
        chunks = [blake3(bytes(part))] if part else []
        sections.append({"name": name, "offset": offset, "length": len(part), "chunks": chunks})
        offset += len(part)
    hashed = blake3(b"".join(bytes.fromhex(chunk) for section in sections for chunk in section["chunks"]))
    return {"name": f"{type_name}-{hashed[:32]}.blob", "size": offset, "hash": hashed, "sections": sections}


class Forgery:
    """The announced version of a store, in memory: `manifest`, and `blobs` by type. `write` makes a store of it."""

    def __init__(self, store: Path) -> None:
        local = LocalStore(store)
        self.manifest = local.manifest(local.resolve())
        self.entry: dict[str, Any] = {
            "announced": {"version": self.manifest["version"]},
            "at": "2026-01-01T00:00:00Z",
            "by": "somebody",
            "details": {},
            "entry": 1,
            "kind": "announce",
            "pinned": None,
        }
        self.blobs: dict[str, Blob] = {}
        for name in self.manifest["types"]:
            described = self.layer(name)["blob"]
            self.blobs[name] = Blob((store / "blobs" / described["name"]).read_bytes(), described)

    def layer(self, type_name: str) -> dict[str, Any]:
        layer: dict[str, Any] = self.manifest["types"][type_name]["layers"][0]
        return layer

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.manifest = json.loads(json.dumps(self.manifest))
        other.entry = json.loads(json.dumps(self.entry))
        other.blobs = {name: blob.copy() for name, blob in self.blobs.items()}
        return other

    def write(self, store: Path) -> None:
        """Make a store of it at `store`, in place of what is there."""
        shutil.rmtree(store, ignore_errors=True)
        (store / "blobs").mkdir(parents=True)
        for name, blob in self.blobs.items():
            self.layer(name)["blob"] = described = describe(name, dict(blob.parts))
            (store / "blobs" / described["name"]).write_bytes(b"".join(blob.parts.values()))
        self.write_manifest(store)

    def write_manifest(self, store: Path) -> None:
        """Write the manifest as it is, and an entry that announces it."""
        data = encode(self.manifest)
        (store / "manifests").mkdir(parents=True, exist_ok=True)
        (store / "manifests" / f"{blake3(data)}.json").write_bytes(data)
        announced = {**self.entry["announced"], "manifest": blake3(data)}
        self.write_entry(store, {**self.entry, "announced": announced})

    def write_entry(self, store: Path, entry: dict[str, Any], number: int = 1) -> None:
        line = encode(entry)
        (store / "log").mkdir(parents=True, exist_ok=True)
        (store / "log" / f"{number:010}.json").write_bytes(line + f"\nblake3:{blake3(line)}\n".encode())

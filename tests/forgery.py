"""Stores as somebody would forge them who can write to all of their files: whatever is in them, every checksum fits."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from bedeck._core import blake3
from bedeck.store import LocalStore

__all__ = ["Blob", "Forgery", "describe", "encode"]

CHUNK = 4 << 20
DIRECTORY_PLACE = slice(16, 32)  # its offset and length, in the prelude


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


class Blob:
    """A blob taken apart into its sections, in file order and with their padding, to be changed and put together."""

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        self.parts = {name: bytearray(part) for name, part in parts.items()}

    @classmethod
    def read(cls, data: bytes, described: Mapping[str, Any]) -> Self:
        places = {section["name"]: (section["offset"], section["length"]) for section in described["sections"]}
        return cls({name: data[offset : offset + length] for name, (offset, length) in places.items()})

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
        return type(self)(self.parts)

    def lie_over(self, base: str, before: str) -> None:
        """Say that it lies over the base with the hash `base`, where it says so of the one `before`."""
        with suppress(ValueError):  # a directory that is no JSON any more
            directory = self.directory
            if isinstance(directory, dict) and directory.get("base") == before:
                self.directory = {**directory, "base": base}


def describe(type_name: str, parts: dict[str, bytes | bytearray]) -> dict[str, Any]:
    """What a manifest says of a blob that consists of `parts`."""
    sections: list[dict[str, Any]] = []
    offset = 0
    for name, part in parts.items():
        chunks = [blake3(bytes(part[at : at + CHUNK])) for at in range(0, len(part), CHUNK)]
        sections.append({"name": name, "offset": offset, "length": len(part), "chunks": chunks})
        offset += len(part)
    hashed = blake3(b"".join(bytes.fromhex(chunk) for section in sections for chunk in section["chunks"]))
    return {"name": f"{type_name}-{hashed[:32]}.blob", "size": offset, "hash": hashed, "sections": sections}


class Forgery:
    """The announced version of a store, in memory: `manifest`, and `blobs` by type, a base first.

    `write` makes a store of it.
    """

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
        self.blobs: dict[str, list[Blob]] = {}
        for name, of in self.manifest["types"].items():
            described = [layer["blob"] for layer in of["layers"]]
            self.blobs[name] = [Blob.read((store / "blobs" / of["name"]).read_bytes(), of) for of in described]

    def base(self, type_name: str) -> Blob:
        return self.blobs[type_name][0]

    def layer(self, type_name: str, place: int = 0) -> dict[str, Any]:
        layer: dict[str, Any] = self.manifest["types"][type_name]["layers"][place]
        return layer

    def lay(self, type_name: str, kind: str, blob: Blob) -> None:
        """Put a layer over those that are there."""
        version = self.manifest["version"]
        layer = {"version": version, "kind": kind, "blob": describe(type_name, dict(blob.parts))}
        self.manifest["types"][type_name]["layers"].append(layer)
        self.blobs[type_name].append(blob)

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.manifest = json.loads(json.dumps(self.manifest))
        other.entry = json.loads(json.dumps(self.entry))
        other.blobs = {name: [blob.copy() for blob in blobs] for name, blobs in self.blobs.items()}
        return other

    def write(self, store: Path) -> None:
        """Make a store of it at `store`, in place of what is there; what lay over a base lies over it as it is now."""
        shutil.rmtree(store, ignore_errors=True)
        (store / "blobs").mkdir(parents=True)
        for name, blobs in self.blobs.items():
            before = self.layer(name)["blob"].get("hash")
            for place, blob in enumerate(blobs):
                if place:
                    blob.lie_over(self.layer(name)["blob"]["hash"], before)
                self.layer(name, place)["blob"] = described = describe(name, dict(blob.parts))
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

"""Stores of small versions that are no catalogues: blobs of any bytes, for the tests of the log and of retention."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bedeck._core import blake3
from bedeck.log import Entry
from bedeck.manifest import FORMAT
from bedeck.store import Store

__all__ = ["announce", "blob_names", "make_blob", "make_manifest"]


def make_blob(folder: Path, type_name: str, data: bytes) -> dict[str, Any]:
    """Write a blob as a build does; what the manifest says of it."""
    hashed = blake3(data)
    name = f"{type_name}-{hashed[:32]}.blob"
    (folder / name).write_bytes(data)
    return {"name": name, "size": len(data), "hash": hashed, "sections": []}


def make_manifest(store: Store, on: Entry | None, blobs: Mapping[str, Iterable[dict[str, Any]]]) -> dict[str, Any]:
    """The manifest of the version after `on`, of these blobs by type."""
    version = store.highest(on) + 1
    types = {name: {"layers": [{"version": version, "blob": blob} for blob in of]} for name, of in blobs.items()}
    parent = on.announced.manifest if on else None
    return {"format": FORMAT, "namespace": "default", "version": version, "parent": parent, "types": types}


def announce(store: Store, track: bytes | None = None, details: Mapping[str, Any] | None = None) -> Entry:
    """Announce the next version: tracks of its own, or `track`, and the artists that all versions have."""
    with store.hold() as folder:
        on = store.newest()
        data = b"tracks %d" % (store.highest(on) + 1) if track is None else track
        blobs = {"track": [make_blob(folder, "track", data)], "artist": [make_blob(folder, "artist", b"artists")]}
        files = {path.name: path for path in folder.iterdir()}
        return store.announce(on, make_manifest(store, on, blobs), files, details)


def blob_names(store: Store, version: int) -> set[str]:
    """The names of the objects that are the blobs of a version."""
    return {f"blobs/{name}" for name in store.measure(store.manifest(store.resolve(version)))}

"""The cache of a store on this host: versions that were brought here, for all processes, and for when it is away."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bedeck._core import blake3
from bedeck._objects.local import make_folder, telling
from bedeck.download import Download
from bedeck.errors import StoreError
from bedeck.log import Entry, Ref, name_of, parse
from bedeck.manifest import blobs_of, manifest_name
from bedeck.origin import newest_first
from bedeck.state import Files, described
from bedeck.store import LocalStore, Store
from bedeck.turn import Hold, turn

__all__ = ["Cache", "default_folder"]

PARTS: Final = ("blobs", "log", "manifests", "tmp")


class Cache:
    """A folder with some of a store's files, under the same names, shared by all processes of a host.

    One process at a time downloads; others wait for it, and use what it brought. What was begun by one that died is
    gone on with. Log entries are those of versions that are whole here, so that the newest one says what to serve
    while the store is not there. Versions before the newest ``keep`` are removed, except what a process has open.
    """

    def __init__(self, store: Store, folder: Path | None, keep: int) -> None:
        self.downloaded = 0
        self._store = store
        self._keep = keep
        self._path = (folder or default_folder()) / name_for(store.place)
        self._local = LocalStore(self._path)

    @property
    def place(self) -> str:
        """The path or URL of the store."""
        return self._store.place

    def heard(self) -> float | None:
        """Seconds since any process of this host had an answer from the store, where this one cannot ask."""
        if self._store.objects.usable:
            return None
        with suppress(OSError):
            return time.time() - (self._path / "tmp" / "heard").stat().st_mtime
        return float("inf")

    def head(self) -> Entry | None:
        """The newest entry of the log; where this process cannot ask, of those that others have brought here."""
        if not self._store.objects.usable:
            return next((entry for _, entry in newest_first(self._local)), None)
        head = self._store.head()
        with suppress(OSError):
            (self._path / "tmp" / "heard").touch()
        return head

    def resolve(self, version: int) -> Ref:
        """Where the manifest of a version is."""
        return self._store.resolve(version)

    def manifest(self, ref: Ref) -> Mapping[str, Any]:
        """What a version consists of, from here, or else from the store."""
        try:
            manifest = self._local.manifest(ref)
        except StoreError:
            self._ask(ref)
            manifest = self._store.manifest(ref)
            self._copy(manifest_name(ref.manifest))
        self._store.named(manifest)
        return manifest

    def bring(self, ref: Ref, manifest: Mapping[str, Any]) -> Files:
        """Download what is not here."""
        return self._found(ref, manifest) or self._fetch(ref, manifest, doubt=False)

    def mend(self, ref: Ref, manifest: Mapping[str, Any]) -> Files:
        """Compare what is here with its checksums, chunk by chunk, and download what does not match."""
        return self._fetch(ref, manifest, doubt=True)

    def take(self, blobs: Mapping[str, Path]) -> None:
        """Put files here, by name, that would have to be downloaded otherwise."""
        with telling(f"use the cache {self._path}, which cache= can put elsewhere"), self._turn():
            for name, path in blobs.items():
                self._local.objects.upload(f"blobs/{name}", path)

    def settle(self, entry: Entry) -> None:
        """Put ``entry`` into the log here, and remove what is not needed any more."""
        with suppress(StoreError):
            if self._local.entry(entry.number) == entry:
                return
        with telling(f"clear the cache {self._path}"), self._turn():
            self.manifest(entry.served)
            self._copy(name_of(entry.number))
            self._clear()

    def kept(self, version: int | None) -> Iterator[tuple[Ref, Entry | None]]:
        """What is here of ``version``, or what the entries here had served."""
        return newest_first(self._local) if version is None else self._manifests(version)

    def _ask(self, ref: Ref) -> None:
        if not self._store.objects.usable:
            told = f"version {ref.version} of {self.place} is not in the cache {self._path}"
            raise StoreError(f"{told}, and this process was forked from one that asks the store: open it after forking")

    def _copy(self, name: str) -> None:
        data = self._store.objects.get(name)
        try:
            self._local.objects.put(name, data)
        except StoreError as error:
            raise StoreError(f"cannot {self._using()}: {error.__cause__}") from error

    def _using(self) -> str:
        return f"use the cache {self._path}, which cache= can put elsewhere"

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Work in the folder while no other process of this host does."""
        for part in PARTS:
            make_folder(self._path / part)
        with turn(self._path / "tmp" / "lock"):
            yield

    def _found(self, ref: Ref, manifest: Mapping[str, Any]) -> Files | None:
        """The files of a version, held, where all are here."""
        hold = Hold()
        try:
            for name in self._local.measure(manifest):
                hold.take(self._path / "blobs" / name)
        except OSError:  # a StoreError is one
            return None
        return Files(self.place, self._path, ref, manifest, hold)

    def _fetch(self, ref: Ref, manifest: Mapping[str, Any], *, doubt: bool) -> Files:
        """The same, once they are."""
        self._ask(ref)
        with telling(self._using()), self._turn():
            if not doubt and (files := self._found(ref, manifest)):
                return files
            self._store.measure(manifest)
            hold = Hold()
            blobs = {blob["name"]: blob for blob in described(manifest)}
            for part in (self._path / "tmp").glob("*.part"):
                if part.stem not in blobs:
                    part.unlink()
            for name, blob in blobs.items():
                part, path = self._path / "tmp" / f"{name}.part", self._path / "blobs" / name
                Download(self._store.objects, blob, part, path, self._count).run()
                hold.take(path)
            return Files(self.place, self._path, ref, manifest, hold)

    def _count(self, length: int) -> None:
        self.downloaded += length

    def _manifests(self, version: int) -> Iterator[tuple[Ref, None]]:
        for path in sorted((self._path / "manifests").glob("*.json")):
            if (ref := ref_of(path)).version == version:
                yield ref, None

    def _clear(self) -> None:
        """Remove what only older versions need."""
        blobs: set[str] = set()
        kept: set[Ref] = set()
        for ref, _ in newest_first(self._local):
            if len(kept) < self._keep:
                with suppress(StoreError):
                    blobs.update(name for name, _ in blobs_of(self._local.manifest(ref)))
                    kept.add(ref)
        for path in (self._path / "blobs").iterdir():
            if path.name not in blobs:
                Hold.remove(path)
        for number in self._local.entries():
            with suppress(StoreError):
                if self._local.entry(number).served in kept:
                    continue
            self._local.objects.delete(name_of(number))
        for path in (self._path / "manifests").iterdir():
            with suppress(StoreError):
                self._local.measure(self._local.manifest(ref_of(path)))
                continue  # others may have it open, and be about to announce it here
            path.unlink()


def ref_of(path: Path) -> Ref:
    """What the file at ``path`` is the manifest of: version 0 where it is none."""
    version = parse(path.read_bytes()).get("version")
    return Ref(version if isinstance(version, int) else 0, path.stem)


def default_folder() -> Path:
    """The folder of caches of this user."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "bedeck"
    except RuntimeError as error:
        raise StoreError(f"no place for a cache ({error}): name a folder with cache=, or set XDG_CACHE_HOME") from None


def name_for(place: str) -> str:
    """The name of the folder for the store at ``place``: a hash, behind something to know it by."""
    known = re.sub(r"[^A-Za-z0-9]+", "-", place.partition("://")[2] or place).strip("-")
    return f"{known[-40:].strip('-')}-{blake3(place.encode(errors='surrogateescape'))[:16]}"

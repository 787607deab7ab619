"""One version, open: its files mapped, and the selections compiled against it."""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bedeck import verified
from bedeck._core import Compiled, Version
from bedeck.build import cores
from bedeck.errors import DamagedError, SelectionError
from bedeck.log import Ref
from bedeck.memory import Footprint, Warmed, warn
from bedeck.turn import Hold

__all__ = ["Choice", "Files", "State", "Verify", "described"]

Verify = Literal["once", "always"]
Choice = tuple[str, tuple[str, ...] | None]  # a type and fields of it, or all its own

# Selections compiled on the way; a service has a handful, one that takes fields from its users may have any number.
MOST_COMPILED = 1024


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a version on this host: below ``folder``, as a store has them, each there in its full size.

    ``place`` is the store they are of. They stay as long as ``hold`` lives, where something might remove them.
    """

    place: str
    folder: Path
    ref: Ref
    manifest: Mapping[str, Any]
    hold: Hold | None = None

    def open(self, verify: Verify, footprint: Footprint, before: "State | None") -> "State":
        """Verify those that are not known to be whole, and map all. Raises `DamagedError`, `FormatError`.

        What ``before`` has open, the same base under another overlay, is taken from there, as it is.
        """
        if not isinstance(self.manifest.get("namespace"), str):
            raise DamagedError(f"manifest {self.ref.manifest} of {self.place} names no namespace: build again")
        types = self.manifest["types"].items()
        entries = json.dumps([{"name": name, **of} for name, of in types])
        had = list(described(before.files.manifest)) if before and before.files.folder == self.folder else []
        with verified.turn() if self._stale(verify, had) else nullcontext():
            stale = self._stale(verify, had)
            marks = {path: verified.name_of(path, content) for path, content in stale.items()}
            names = [path.name for path in stale]
            core = Version.open(self.folder / "blobs", entries, names, cores(), before.core if before else None)
            for path, content in stale.items():
                verified.mark(path, content, marks[path])
        return State(self, footprint, core)

    def _stale(self, verify: Verify, had: Container[Mapping[str, Any]]) -> dict[Path, str]:
        """The blobs that are to be verified, and their hashes: not those that are open already."""
        new = (blob for blob in described(self.manifest) if blob not in had)
        blobs = {self.folder / "blobs" / blob["name"]: blob["hash"] for blob in new}
        return {path: of for path, of in blobs.items() if verify == "always" or not verified.is_marked(path, of)}


class State:
    """One version, open, and the selections compiled against it."""

    def __init__(self, files: Files, footprint: Footprint, core: Version) -> None:
        footprint.count()
        self.files = files
        self.footprint = footprint
        self.version = files.ref.version
        self.core = core
        self.warmed = self.locked = False  # as far as it was asked for
        self._compiled: dict[Choice, Compiled] = {}
        self._whole: dict[str, Compiled] = {}
        self._prepared: dict[Choice, Compiled] = {}

    def compiled(self, name: str, fields: tuple[str, ...] | None) -> Compiled:
        """The selection of ``fields`` of the type ``name``; of all its own fields if ``None``."""
        try:
            found = self._compiled.get((name, fields))
        except TypeError:  # of what cannot be hashed none is a name
            found = None
        if found is None:
            _check_names(fields or ())
            found = self._prepared.pop((name, fields), None) or self.compile(name, fields)
            if len(self._compiled) >= MOST_COMPILED:
                self._compiled.clear()
            self._compiled[name, fields] = found
        return found

    def whole(self, name: str) -> Compiled:
        """The selection of the key and all fields of the type ``name``."""
        found = self._whole.get(name)
        if found is None:
            found = self._whole[name] = self.core.whole(name)
        return found

    def used(self) -> tuple[list[Choice], list[str]]:
        """What was asked for so far: choices of fields, and types of which whole records were."""
        return list(self._compiled), list(self._whole)

    def prepare(self, selections: Iterable[Choice], before: "State") -> None:
        """Compile ``selections``, and what ``before`` was asked for.

        Raises `SelectionError` for the first that this version cannot answer. What nobody asks this version for is not
        compiled for the one after it.
        """
        choices, names = before.used()
        for name, fields in (*selections, *choices):
            if (name, fields) not in self._compiled and (name, fields) not in self._prepared:
                self._prepared[name, fields] = self.compile(name, fields)
        for name in names:
            self.core.whole(name)

    def warm(self, progress: Callable[[int, int], object] | None, *, lock: bool) -> Warmed:
        """Read every page, map it into this process, and lock it there if asked to, and if all can be locked."""
        total = self.core.size()
        self.footprint.tell_misfit()
        refused = self.footprint.unlockable() if lock else None
        if refused:  # now, since what follows may take minutes
            warn(refused)
        self.core.warm(None if progress is None else lambda done: progress(done, total))
        if lock and not refused and (number := self.core.lock()) is not None:
            refused = self.footprint.refused_lock(number)
            warn(refused)
        self.warmed, self.locked = True, self.locked or lock
        return Warmed(bytes=total, locked=total if lock and not refused else 0, refused=refused)

    def warm_like(self, other: "State") -> None:
        """Do what ``other`` was asked to do."""
        if other.warmed:
            self.warm(None, lock=other.locked)

    def compile(self, name: str, fields: tuple[str, ...] | None) -> Compiled:
        """The same, compiled for this call alone: whatever is asked for so holds no later version up."""
        try:
            return self.core.compile(name, None if fields is None else list(fields))
        except UnicodeEncodeError as error:
            raise SelectionError(f"type {name!r} has no {error.object!r}, which is not Unicode text") from None


def described(manifest: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """What ``manifest`` says of each blob of a version: its name, size, hash and sections."""
    return (layer["blob"] for of in manifest["types"].values() for layer in of["layers"])


def _check_names(fields: tuple[object, ...]) -> None:
    for place, name in enumerate(fields):
        if not isinstance(name, str):
            raise TypeError(f"fields[{place}]: a name is text, not {type(name).__name__}")

"""Which versions of a store are kept, and the removal of what none of them needs."""

import secrets
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bedeck._core import blake3
from bedeck.errors import DamagedError, FormatError, NotFoundError, StoreError
from bedeck.log import Entry, Ref, parse
from bedeck.manifest import BLOB_NAME, MANIFEST_NAME, blobs_of, manifest_name, read_manifest
from bedeck.objects import Objects, Stored

if TYPE_CHECKING:
    from bedeck.store import Store

__all__ = ["GRACE", "Collected", "VersionInfo", "collect", "versions"]

SCRATCH: Final = "tmp/scratch-"
GRACE: Final = 24 * 3600.0  # seconds that a build may take from its first blob in the store to its announcement


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version that is kept: who announced it and when, in log entry ``entry``, and what it takes.

    ``bytes`` are those of all its blobs, ``written`` those of the blobs that came with it. ``details`` are what its
    producer told. ``damage`` tells of a manifest that cannot be read, when both counts are 0, and of blobs that are
    missing or of another size; nobody has looked into them. One version is ``served``: the one that is ``pinned``, or
    else the one that is ``announced``.
    """

    version: int
    manifest: str
    entry: int
    at: str
    by: str
    bytes: int
    written: int
    served: bool
    announced: bool
    pinned: bool
    damage: str | None
    details: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be: the versions ``dropped``, newest first, and ``objects``.

    ``kept`` has the versions that stay; ``spared``, objects that no version needs and that are younger than the grace.
    """

    kept: list[int]
    dropped: list[int]
    objects: list[Stored]
    spared: list[Stored]

    @property
    def bytes(self) -> int:
        """Bytes of all that was removed."""
        return sum(of.size for of in self.objects)


def versions(store: "Store") -> list[VersionInfo]:
    """The versions that are kept, newest first."""
    head = store.newest()
    if head is None:
        return []
    there = {of.name for of in store.objects.scan("manifests/") if MANIFEST_NAME.fullmatch(of.name)}
    sizes = {of.name: of.size for of in store.objects.scan("blobs/")}
    dropped: set[int] = set()
    found: list[VersionInfo] = []
    for entry in store.history():
        dropped |= entry.dropped
        name = manifest_name(entry.announced.manifest)
        if entry.kind == "announce" and name in there:
            there.remove(name)
            if entry.announced.version not in dropped:
                found.append(info(store.objects, entry, head, sizes))
        if not there:
            break
    return found


def collect(store: "Store", keep: int, grace: float, *, dry_run: bool) -> Collected:
    """Remove all but the newest ``keep`` announced versions, what is announced and what is pinned."""
    if keep < 1:
        raise ValueError(f"keep={keep}: at least one version has to be kept")
    while True:
        now = time.time() if dry_run else clock(store.objects)
        head = store.newest()
        if head is None:
            raise NotFoundError(f"nothing is announced in {store.place} yet")
        plan = planned(store, head, keep, now - grace)
        if dry_run:
            return plan
        # Once this is in the log, nobody can pin them; and nobody has done so, or it would not be the next entry.
        details = {"keep": keep, "versions": plan.dropped}
        if not plan.dropped or store.log.append(head, "collect", head.announced, head.pinned, details):
            break
    for of in plan.objects:
        store.objects.delete(of.name)
    return plan


def planned(store: "Store", head: Entry, keep: int, before: float) -> Collected:
    """What to remove. What a build may be about to announce is removed if it was written ``before`` that time."""
    objects, highest = store.objects, store.highest(head)
    manifests = {of.name: of for of in objects.scan("manifests/") if MANIFEST_NAME.fullmatch(of.name)}
    blobs = [of for of in objects.scan("blobs/") if BLOB_NAME.fullmatch(of.name)]
    kept = {manifest_name(ref.manifest): ref for ref in wanted(store, head, keep, manifests)}
    needed = {name for ref in kept.values() for name in names_of(read_manifest(objects, ref))}
    dropped: set[int] = set()
    last_named: dict[str, float] = {}
    going: list[Stored] = []
    spared: list[Stored] = []
    for of in (of for name, of in manifests.items() if name not in kept):
        version, names = told_by(objects, of.name)
        if version is not None and version <= highest:  # was announced, or lost a race
            dropped.add(version)
            last_named.update((name, max(of.at, last_named.get(name, of.at))) for name in names)
            going.append(of)
        elif of.at < before:
            going.append(of)
        else:
            needed |= names
            spared.append(of)
    for of in (of for of in blobs if of.name not in needed):
        # One that is newer than whatever named it was sent again, for a version to come.
        (going if of.at <= max(before, last_named.get(of.name, before)) else spared).append(of)
    going += [of for of in objects.scan("tmp/") if of.name.startswith(SCRATCH) and of.at < before]
    going.sort(key=lambda of: of.name)  # blobs, then manifests: until these go too, the next one knows what they named
    stay = {ref.version for ref in kept.values()}
    return Collected(sorted(stay)[::-1], sorted(dropped - stay)[::-1], going, spared)


def wanted(store: "Store", head: Entry, keep: int, manifests: Container[str]) -> set[Ref]:
    """What is announced and what is pinned, and of the newest ``keep`` versions those that have not gone already."""
    refs = {head.served, head.announced}
    dropped: set[int] = set()
    for entry in store.history():
        dropped |= entry.dropped
        if entry.kind == "announce":
            keep -= 1
            if entry.announced.version not in dropped and manifest_name(entry.announced.manifest) in manifests:
                refs.add(entry.announced)
        if not keep:
            break
    return refs


def info(objects: Objects, entry: Entry, head: Entry, sizes: Mapping[str, int]) -> VersionInfo:
    """What is told of the version that ``entry`` announces, where the store has blobs of ``sizes``."""
    ref = entry.announced
    blobs: dict[str, int] = {}
    written: set[str] = set()
    try:
        manifest = read_manifest(objects, ref)
        blobs = dict(blobs_of(manifest))
        layers = [layer for of in manifest["types"].values() for layer in of["layers"]]
        written = {layer["blob"]["name"] for layer in layers if layer.get("version") == ref.version}
        damage = next(amiss(blobs, sizes), None)
    except (DamagedError, FormatError) as error:
        damage = str(error)
    return VersionInfo(
        version=ref.version,
        manifest=ref.manifest,
        entry=entry.number,
        at=entry.at,
        by=entry.by,
        bytes=sum(blobs.values()),
        written=sum(blobs[name] for name in written),
        served=ref == head.served,
        announced=ref == head.announced,
        pinned=ref == head.pinned,
        damage=damage,
        details=entry.details,
    )


def amiss(blobs: Mapping[str, int], sizes: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with ``blobs``."""
    for name, size in blobs.items():
        found = sizes.get(f"blobs/{name}")
        if found is None:
            yield f"blob {name} is missing"
        elif found != size:
            yield f"blob {name} has {found} bytes instead of {size}"


def told_by(objects: Objects, name: str) -> tuple[int | None, set[str]]:
    """The version that a manifest is of, and the names of its blobs; `None` and none where it does not tell."""
    try:
        data = objects.get(name)
        manifest = parse(data) if manifest_name(blake3(data)) == name else {}
        match manifest:
            case {"version": int(version), "types": dict()}:
                return version, names_of(manifest)
    except (NotFoundError, DamagedError):
        pass
    return None, set()


def names_of(manifest: Mapping[str, Any]) -> set[str]:
    """The names of the objects that are the blobs of a manifest."""
    return {f"blobs/{name}" for name, _ in blobs_of(manifest)}


def clock(objects: Objects) -> float:
    """What the store's own clock says, by which its objects are dated."""
    name = f"{SCRATCH}{secrets.token_hex(8)}"
    objects.put(name, b"")
    try:
        return next(of.at for of in objects.scan("tmp/") if of.name == name)
    finally:
        with suppress(StoreError):
            objects.delete(name)

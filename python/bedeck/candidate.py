"""A candidate: a version that was built, and is not announced."""

import json
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bedeck._core import Builder, Version
from bedeck.build import Room, cores
from bedeck.cycle import CycleField, CycleType, Dangling
from bedeck.ground import Ground, Parent
from bedeck.intake import Intake, Progress, Taken, Work, expected
from bedeck.log import Ref
from bedeck.manifest import Manifest, assembled, is_alike
from bedeck.memory import Footprint
from bedeck.recipe import Recipe, merged
from bedeck.records import View
from bedeck.state import Files, State

__all__ = ["Candidate", "Site"]

Built = list[dict[str, Any]]


class Candidate:
    """A version that was built on ``ground``: its manifest, what is new in it, and its files, in ``folder``."""

    def __init__(self, ground: Ground, folder: Path, intake: Intake, built: Built) -> None:
        self.parent = ground.parent
        self.recipe = intake.recipe
        self.taken = intake.taken
        self._folder = folder
        before = self.parent.manifest if self.parent else None
        hashed = ground.head.announced.manifest if ground.head else None
        self.manifest: Manifest = assembled(intake, built, ground.version, hashed, before)
        known = _names(before) if before else set()
        self.blobs = {name: folder / name for name in _names(self.manifest) - known}
        for of in built:
            of["changes"] = of.get("changes") or self._compared(of["name"])
        self.types = {of["name"]: _told(of, intake.taken[of["name"]], known) for of in built}

    @property
    def gone(self) -> tuple[str, ...]:
        """Types that the version before has and this one has not."""
        return tuple(name for name in (self.parent.types if self.parent else ()) if name not in self.types)

    @property
    def is_new(self) -> bool:
        """Whether it answers otherwise than the version before, or in other files where that is what was asked for."""
        if self.parent is None or not is_alike(self.manifest, self.parent.manifest):
            return True
        return self.recipe.compact and _names(self.manifest) != _names(self.parent.manifest)

    @cached_property
    def view(self) -> View:
        """Its records."""
        files = Files("a candidate", self._folder, Ref(self.manifest["version"], "0" * 64), self.manifest)
        if self.parent is not None:
            of_parent = self.parent.state.files.folder / "blobs"
            for name in _names(self.manifest) - self.blobs.keys():
                if not (self._folder / name).exists():
                    (self._folder / name).symlink_to(of_parent / name)
        types = [{"name": name, **of} for name, of in self.manifest["types"].items()]
        core = Version.open(self._folder, json.dumps(types), [], 1, None)
        return View(State(files, Footprint("a candidate", {}), core))

    @property
    def before(self) -> View | None:
        """The records of the version before."""
        return self.parent.view if self.parent else None

    def _compared(self, name: str) -> dict[str, Any]:
        """How a type differs from the version before, where the builder could not tell: of other keys, all of it."""
        before = self.parent.types.get(name) if self.parent else None
        of = self.manifest["types"][name]
        if self.parent is None or before is None or before["key"] != of["key"]:
            return {"added": of["records"], "removed": before["records"] if before else 0, "changed": 0, "fields": {}}
        found = json.loads(self.parent.state.core.diff(self.view.state.core, name, 0, cores(), None))
        names = {field["id"]: field["name"] for field in of["fields"]}
        counts = {member: found[member]["count"] for member in ("added", "removed", "changed")}
        return {**counts, "fields": {names[id_]: sample["count"] for id_, sample in found["fields"]}}

    @property
    def details(self) -> dict[str, Any]:
        """What its announcement tells of it."""
        return {
            "how": self.recipe.how,
            "sources": {name: taken.sources for name, taken in self.taken.items()},
            "counts": {name: of.counts() for name, of in self.types.items()},
        }


@dataclass(frozen=True, slots=True)
class Site:
    """Where candidates are made: in ``folder``, of sources whose relative paths start at ``base``.

    ``share`` is that of the records which may be changed over a base before there is a new one; ``say`` is told, in a
    sentence, what takes more than others would expect.
    """

    folder: Path
    base: Path
    room: Room
    share: float
    progress: Progress | None
    say: Callable[[str], object]

    def make(self, recipe: Recipe, ground: Ground) -> Candidate:
        """Read, build, and prove what was built. An update that takes new bases reads the version before as well."""
        parent, work = ground.parent, Work(expected(recipe, self.base), self.progress)
        with closing(Builder(self.folder, self.room.threads, self.room.memory)) as builder:
            intake = Intake(recipe, self.base, parent.manifest if parent else None, work, settled=True)
            intake.fill(builder)
            built = self._finish(builder, recipe, parent, work)
        if built is None and parent is not None:
            return self.make(merged(recipe, parent, self.base, intake.taken), ground)
        return Candidate(ground, self.folder, intake, built or [])

    def _finish(self, builder: Builder, recipe: Recipe, parent: Parent | None, work: Work) -> Built | None:
        """What was built of each type; `None` where that takes new bases, which an update alone does not give."""
        if parent is None:
            built: Built = json.loads(builder.finish(work.at))
            return built

        def report(name: str, stage: str, done: int, of: int) -> None:
            if stage == "compact":
                self.say(f'type "{name}" gets a new base, which consumers fetch anew: {of:,} bytes so far')
            else:
                work.at(name, stage, done, of)

        options = {
            "update": recipe.update,
            "compact": recipe.compact,
            "compact_share": self.share,
            "digests": {name: of["digest"] for name, of in parent.types.items()},
        }
        for name, keys in recipe.deletes.items():
            builder.delete(name, keys)
        outcome = json.loads(builder.finish_over(parent.state.core, json.dumps(options), report))
        if "compact" in outcome:
            self.say(f"new bases are needed, for which all records are read: {outcome['compact']}")
        types: Built | None = outcome.get("types")
        return types


def _told(of: Mapping[str, Any], taken: Taken, known: AbstractSet[str]) -> CycleType:
    """What became of a type, as the builder and the intake say; ``known`` are blobs that the version before has."""
    changes, nulls = of["changes"], of["nulls"]
    blobs = (layer["blob"] for layer in of["layers"] if "blob" in layer)
    return CycleType(
        kind=of.get("kind", "anew"),
        rows=of["rows"],
        records=of["records"],
        dropped=of["dropped"],
        null_keys=taken.null_keys,
        added=changes["added"],
        removed=changes["removed"],
        changed=changes["changed"],
        bytes=sum(blob["size"] for blob in blobs if blob["name"] not in known),
        key_kind=of["key"]["kind"],
        fields={
            field["name"]: CycleField(
                nulls.get(field["name"], 0),
                changes["fields"].get(field["name"], 0),
                Dangling(*of["dangling"].get(field["name"], (0, 0))),
            )
            for field in taken.fields
        },
    )


def _names(manifest: Mapping[str, Any]) -> set[str]:
    """The blobs that a manifest names."""
    return {layer["blob"]["name"] for of in manifest["types"].values() for layer in of["layers"]}

"""A candidate: a version that was built, and is not announced."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bedeck._core import Builder, Version
from bedeck.build import Room
from bedeck.catalogue import View
from bedeck.cycle import CycleField, CycleType, Dangling
from bedeck.ground import Ground, Parent
from bedeck.intake import Intake, Taken, Work
from bedeck.log import Ref
from bedeck.manifest import Manifest, assembled, is_alike
from bedeck.memory import Footprint
from bedeck.recipe import Recipe, merged
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
        self.types = {of["name"]: _told(of, intake.taken[of["name"]], self.parent) for of in built}
        self.blobs = {
            layer["blob"]["name"]: folder / layer["blob"]["name"]
            for of in built
            for layer in of["layers"]
            if "blob" in layer
        }

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
                (self._folder / name).symlink_to(of_parent / name)
        types = [{"name": name, **of} for name, of in self.manifest["types"].items()]
        core = Version.open(self._folder, json.dumps(types), [], 1, None)
        return View(State(files, Footprint("a candidate", {}), core))

    @property
    def before(self) -> View | None:
        """The records of the version before."""
        return self.parent.view if self.parent else None

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

    ``share`` is that of the records which may be changed over a base before there is a new one. ``compacting`` is told
    of each type that gets one, with the bytes of what it has, before it is written.
    """

    folder: Path
    base: Path
    room: Room
    share: float
    work: Work
    compacting: Callable[[str, int], object]

    def make(self, recipe: Recipe, ground: Ground) -> Candidate:
        """Read, build, and prove what was built. An update that takes new bases reads the version before as well."""
        parent = ground.parent
        with closing(Builder(self.folder, self.room.threads, self.room.memory)) as builder:
            intake = Intake(recipe, self.base, parent.manifest if parent else None, self.work, settled=True)
            intake.fill(builder)
            built = self._finish(builder, recipe, parent)
        if built is None and parent is not None:
            return self.make(merged(recipe, parent, self.base, intake.taken), ground)
        return Candidate(ground, self.folder, intake, built or [])

    def _finish(self, builder: Builder, recipe: Recipe, parent: Parent | None) -> Built | None:
        """What was built of each type; `None` where that takes new bases, which an update alone does not give."""
        if parent is None:
            built: Built = json.loads(builder.finish(self.work.at))
            return built
        if recipe.update:
            return None
        built = json.loads(builder.finish(self.work.at))
        for of in built:
            known = parent.types.get(of["name"])
            of["kind"] = "anew"
            if known and not recipe.compact and (known["digest"], known["key"]) == (of["digest"], of["key"]):
                of["kind"] = "kept"
                of["layers"] = [{"kept": place} for place in range(len(known["layers"]))]
        return built


def _told(of: Mapping[str, Any], taken: Taken, parent: Parent | None) -> CycleType:
    """What became of a type, as the builder and the intake say."""
    before = parent.types[of["name"]]["records"] if parent and of["name"] in parent.types else 0
    changes = of.get("changes") or {"added": of["records"], "removed": before, "changed": 0, "fields": {}}
    nulls = of.get("nulls", {})
    return CycleType(
        kind=of.get("kind", "anew"),
        rows=of["rows"],
        records=of["records"],
        dropped=of["dropped"],
        null_keys=taken.null_keys,
        added=changes["added"],
        removed=changes["removed"],
        changed=changes["changed"],
        bytes=sum(layer["blob"]["size"] for layer in of["layers"] if "blob" in layer),
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

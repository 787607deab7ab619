"""The ground of a cycle: what a store announces, open, or nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bedeck.errors import DamagedError
from bedeck.log import Entry
from bedeck.memory import Footprint
from bedeck.origin import Origin
from bedeck.records import View
from bedeck.state import State
from bedeck.store import Store

__all__ = ["Ground", "Parent"]


@dataclass(frozen=True, slots=True)
class Parent:
    """The version that is announced: its manifest, and all its records."""

    manifest: dict[str, Any]
    state: State

    @property
    def types(self) -> dict[str, Any]:
        """What the manifest says of each type."""
        types: dict[str, Any] = self.manifest["types"]
        return types

    @property
    def view(self) -> View:
        """Its records."""
        return View(self.state)


@dataclass(frozen=True, slots=True)
class Ground:
    """The newest entry of a store's log, the number of the version to come, and the version that is announced."""

    head: Entry | None
    version: int
    parent: Parent | None

    @classmethod
    def of(cls, store: Store, origin: Origin) -> Ground:
        """What is announced in ``store`` now, brought by ``origin``, its files verified.

        Raises `StoreError`; `DamagedError` where what is announced is damaged.
        """
        head = store.newest()
        version = store.highest(head) + 1
        if head is None:
            return cls(None, version, None)
        manifest = store.manifest(head.announced)
        files = origin.bring(head.announced, manifest)
        footprint = Footprint(f"version {head.announced.version} of {store.place}", store.measure(manifest))
        try:
            state = files.open("once", footprint, None)
        except DamagedError:
            mended = origin.mend(head.announced, manifest)
            if mended is None:
                raise
            state = mended.open("once", footprint, None)
        return cls(head, version, Parent(manifest, state))

"""A candidate: a version that was built on another one, and is not announced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedeck import verified
from bedeck._core import Builder, Version
from bedeck.catalogue import State, View
from bedeck.cycle import CycleField, CycleType, Dangling
from bedeck.errors import DamagedError
from bedeck.intake import Intake, Work
from bedeck.log import Entry, Ref
from bedeck.manifest import Manifest, assembled
from bedeck.memory import Footprint
from bedeck.schema import Schema
from bedeck.store import LocalStore, Store
from bedeck.validators import Subject

__all__ = ["Candidate", "Ground", "NewBasesNeeded"]

Outcome = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a cycle builds on: the newest entry of the log, and the version that it announces, open; or nothing yet."""

    head: Entry | None
    manifest: Manifest | None
    state: State | None

    @classmethod
    def of(cls, store: Store, threads: int) -> Ground:
        """What is announced in a store. Raises `StoreError`."""
        ...

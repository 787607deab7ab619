"""What is different between two versions of a store: records added, removed and changed, by type and field."""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedeck.build import cores
from bedeck.catalogue import Catalogue
from bedeck.catalogue import open as open_catalogue
from bedeck.errors import SelectionError
from bedeck.records import Missing

__all__ = ["Diff", "Example", "FieldDiff", "TypeDiff", "diff"]

NULL: Missing = "null"


@dataclass(frozen=True, slots=True)
class Example:
    """One record that is different: its key, and the values before and after, of a field or, in a dict, of all."""

    key: Any
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """Records that both versions have and in which this field has another value; by the name that it has now."""

    changed: int
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class TypeDiff:
    """What became of one type. ``fields`` are those that both versions have, ``new_fields`` and ``lost_fields`` others.

    ``note`` says why a type was not compared record by record: only one version has it, or its key is another.
    """

    added: int
    removed: int
    changed: int
    same: int
    fields: Mapping[str, FieldDiff]
    new_fields: Sequence[str]
    lost_fields: Sequence[str]
    examples_added: Sequence[Example]
    examples_removed: Sequence[Example]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Diff:
    """What became of a store from version ``before`` to version ``after``, by type."""

    before: int
    after: int
    types: Mapping[str, TypeDiff]


def diff(  # noqa: PLR0913 - what may be left out is named
    store: str | os.PathLike[str],
    before: int | None = None,
    after: int | None = None,
    *,
    types: Sequence[str] | None = None,
    examples: int = 5,
    progress: Callable[[int, int], object] | None = None,
) -> Diff:
    """Compare two versions of the store at ``store``, record by record; the served one for each that is ``None``.

    Records are the same where their key and all fields that both versions have are; fields are told apart by their
    number, so that a renamed one is the same field. Linear in the records of both versions, on all cores; memory does
    not grow with them. ``examples`` bounds those told of each difference, the first in the order of the records.
    ``progress`` is called with the work done and all of it; what it raises, and Ctrl-C, end the comparison.

    Raises what `bedeck.open` raises, and `SelectionError` for a type that neither version has.
    """
    left, right = (open_catalogue(store, version=version) for version in (before, after))
    known = sorted({*left.types, *right.types})
    for name in types or ():
        if name not in known:
            raise SelectionError(f"there is no type {name!r} in either version; they have {', '.join(known)}")
    chosen = [name for name in known if types is None or name in types]
    tell = _Share(len(chosen), progress)
    compared = {name: _compare(left, right, name, examples, tell.of(place)) for place, name in enumerate(chosen)}
    return Diff(left.version, right.version, compared)


class _Share:
    """Progress of types one after the other, told as that of one work."""

    def __init__(self, types: int, progress: Callable[[int, int], object] | None) -> None:
        self._types = types
        self._progress = progress

    def of(self, place: int) -> Callable[[int, int], object] | None:
        progress = self._progress
        if progress is None:
            return None
        return lambda done, of: progress(place * of + done, self._types * of)


def _compare(
    left: Catalogue, right: Catalogue, name: str, most: int, progress: Callable[[int, int], object] | None
) -> TypeDiff:
    sides = {side: side.info()["types"].get(name) for side in (left, right)}
    if None in sides.values():
        only = left if sides[left] else right
        return _apart(left, right, name, f"only version {only.version} has it")
    kinds = {side: _kind(of) for side, of in sides.items()}
    if kinds[left] != kinds[right]:
        return _apart(left, right, name, f"its keys were {kinds[left]}, and are {kinds[right]}")
    found = json.loads(left.state.core.diff(right.state.core, name, most, cores(), progress))
    old, new = (_names(side, name) for side in (left, right))
    pair = _Pair(left, right, name, str(sides[left]["key"]["kind"]))
    return TypeDiff(
        added=found["added"]["count"],
        removed=found["removed"]["count"],
        changed=found["changed"]["count"],
        same=found["same"],
        fields={
            new[number]: FieldDiff(sample["count"], list(pair.values(sample["keys"], old[number], new[number])))
            for number, sample in found["fields"]
        },
        new_fields=[field for number, field in new.items() if number not in old],
        lost_fields=[field for number, field in old.items() if number not in new],
        examples_added=list(pair.records(found["added"]["keys"])),
        examples_removed=list(pair.records(found["removed"]["keys"])),
    )


def _apart(left: Catalogue, right: Catalogue, name: str, note: str) -> TypeDiff:
    removed, added = (len(side[name]) if name in side else 0 for side in (left, right))
    return TypeDiff(added, removed, 0, 0, {}, [], [], [], [], note)


def _kind(described: Mapping[str, Any]) -> str:
    key = described["key"]
    return str(key["kind"]) if key.get("signed", True) else f"unsigned {key['kind']}"


def _names(side: Catalogue, name: str) -> dict[int, str]:
    return {int(field["id"]): str(field["name"]) for field in side.state.files.manifest["types"][name]["fields"]}


@dataclass(frozen=True, slots=True)
class _Pair:
    """A type in both versions."""

    left: Catalogue
    right: Catalogue
    name: str
    kind: str

    def values(self, keys: Sequence[str], old: str, new: str) -> Iterator[Example]:
        """What a field was and is, by its name in each."""
        ids = [self._key(key) for key in keys]
        before = self.left[self.name].decorate(ids, [old], missing=NULL)
        after = self.right[self.name].decorate(ids, [new], missing=NULL)
        for key, was, now in zip(ids, before, after, strict=True):
            yield Example(key, was[old], now[new])

    def records(self, keys: Sequence[str]) -> Iterator[Example]:
        """What the records are of which only one version has the key."""
        ids = [self._key(key) for key in keys]
        before, after = (side[self.name].decorate(ids, missing=NULL) for side in (self.left, self.right))
        for key, was, now in zip(ids, before, after, strict=True):
            yield Example(key, was, now)

    def _key(self, text: str) -> object:
        key = json.loads(text)
        return base64.b64decode(key) if self.kind == "bytes" else key

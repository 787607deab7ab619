"""Versions of many layers as the property tests draw them: what became of a catalogue since its bases were built.

`layered` draws the rows of the bases, and the rows there are now; `lay` writes the store that has these: the bases by
the builder or by `layering`, groups and overlays by `layering`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

import bedeck
import layering
from bedeck import Schema
from bedeck._guard import Json
from bedeck._layout import Key
from forgery import Forgery
from oracle import each, printed
from strategies import (
    INTEGERS,
    NAMES,
    Column,
    Rows,
    absent,
    catalogues,
    column,
    key_maker,
    keys,
    shown,
    table_of,
    type_of,
    values,
)

__all__ = ["Layered", "Past", "lay", "layered"]

SHARES = st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0])


@dataclass(frozen=True)
class Held:
    """A column of some rows as a blob has it: under its number, and the name and type that it had by then."""

    id: int
    column: Column


@dataclass(frozen=True, repr=False)
class Past:
    """What became of one type: its rows as the base has them and as they are now, and what the layers between hold.

    `inserted` are the keys inserted since the base, in order, `None` for one that is gone again. Groups have a value
    for each row of the base, the overlay for each row that was replaced, then for each inserted one that is there.
    """

    base: Rows
    base_ids: Sequence[int]
    now: Rows
    ids: Sequence[int]
    replaced: Sequence[Any]
    deleted: Sequence[Any]
    inserted: Sequence[Any]
    groups: Sequence[Sequence[Held]]
    overlay: Sequence[Held]

    def __repr__(self) -> str:
        return shown(self)

    @property
    def over(self) -> list[Any]:
        """The keys of the overlay's records."""
        return [*self.replaced, *(key for key in self.inserted if key is not None)]

    @property
    def known(self) -> Rows:
        """The rows there are, with the keys of those that are gone."""
        return replace(self.now, keys=[*self.now.keys, *self.deleted])


Layered = dict[str, Past]


# What is drawn


@dataclass(frozen=True)
class Fate:
    """What becomes of the keys of a type."""

    replaced: list[Any]
    deleted: list[Any]
    inserted: list[Any]

    @property
    def over(self) -> int:
        return len(self.replaced) + sum(key is not None for key in self.inserted)


@st.composite
def layered(draw: st.DrawFn) -> Layered:
    """A catalogue, and what became of each of its types."""
    base = draw(catalogues())
    fates = {name: draw(fate(rows, base)) for name, rows in base.items()}
    pool = {
        name: [*rows.keys, *(key for key in fates[name].inserted if key is not None)] for name, rows in base.items()
    }
    numbers = iter(range(10**6))
    ids = {name: [next(numbers) for _ in rows.columns] for name, rows in base.items()}
    pasts = {}
    for name, rows in base.items():
        linked = [other for other in sorted(base) if other in connected(base, name)]
        drawing = Drawing(draw, rows, fates[name], {other: base[other] for other in linked}, pool)
        pasts[name] = drawing.past(ids[name], numbers)
    return pasts


def connected(catalogue: Mapping[str, Rows], name: str) -> set[str]:
    """The types that references connect with one, itself included."""
    found, before = {name}, set[str]()
    while found != before:
        before = set(found)
        for other, rows in catalogue.items():
            targets = {str(column.target) for column in rows.columns if column.target is not None}
            if other in found or targets & found:
                found |= {other, *targets}
    return found


@st.composite
def fate(draw: st.DrawFn, rows: Rows, catalogue: Mapping[str, Rows]) -> Fate:
    """Some keys are replaced, some deleted, and some inserted: of those that references name in vain, and others."""
    kind, source = str(rows.key.kind), Random(draw(st.integers(0, 99)))
    deleted_share, replaced_share = draw(SHARES), draw(SHARES)
    deleted = [key for key in rows.keys if source.random() < deleted_share]
    replaced = [key for key in rows.keys if key not in deleted and source.random() < replaced_share]
    spec = key_spec(rows)
    wanted = {
        printed(kind, key): None
        for other in catalogue.values()
        for link in other.columns
        if link.target == rows.name
        for value in link.values
        for key in (value if isinstance(value, list) else [value])
        if key is not None and spec.stored(key) is not None and source.random() < 0.5
    }
    new = [*wanted, *draw(st.lists(keys(kind, signed=rows.signed), max_size=2))]
    new += [key_maker(kind)(source) for _ in range(draw(st.sampled_from([0, 0, 1, 10, 40])))]
    inserted: list[Any] = [key for key in dict.fromkeys(new) if key not in rows.keys]
    source.shuffle(inserted)
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        inserted.insert(source.randint(0, len(inserted)), None)
    return Fate(source.sample(replaced, len(replaced)), deleted, inserted)


def key_spec(rows: Rows) -> Key:
    width = {"base62": 16, "uuid": 16, "int": 8}.get(str(rows.key.kind), 0)
    described = {"field": "id", "kind": str(rows.key.kind), "width": width, "signed": rows.signed}
    return Key.read(Json("key", described))


class Drawing:
    """Draws the columns of a type: those of its base, and new ones."""

    def __init__(
        self, draw: st.DrawFn, rows: Rows, fate: Fate, linked: Mapping[str, Rows], pool: Mapping[str, list[Any]]
    ) -> None:
        self.draw, self.rows, self.fate, self.linked, self.pool = draw, rows, fate, linked, pool
        self.used = {"id"}
        self.used |= {name for of in rows.columns for name in (of.name, of.reference) if name is not None}
        self.groups: list[list[Held]] = [[] for _ in range(draw(st.sampled_from([0, 0, 1, 2])))]
        self.overlay: list[Held] = []
        self.unchanged = [place for place, key in enumerate(rows.keys) if key not in {*fate.replaced, *fate.deleted}]

    def past(self, base_ids: list[int], numbers: Any) -> Past:
        now: list[Held] = []
        for number, was in zip(base_ids, self.rows.columns, strict=True):
            if not self.chance(5):
                now.append(self.later(number, self.changed(was), was))
            elif self.chance(2):
                self.hold(number, was)  # it left the schema, not the blobs
        fresh = self.draw(st.sampled_from([0, 0, 1, 2]))
        now += [self.later(next(numbers), self.fresh(), None) for _ in range(fresh)]
        now = list(self.draw(st.permutations(now)))
        rows, fate = self.rows, self.fate
        over = [*fate.replaced, *(key for key in fate.inserted if key is not None)]
        keys = [*(rows.keys[place] for place in self.unchanged), *over]
        columns = [held.column for held in now]
        return Past(
            base=rows,
            base_ids=base_ids,
            now=Rows(rows.name, rows.key, rows.signed, keys, columns, rows.hot),
            ids=[held.id for held in now],
            replaced=fate.replaced,
            deleted=fate.deleted,
            inserted=fate.inserted,
            groups=self.groups,
            overlay=self.draw(st.permutations(self.overlay)),
        )

    def chance(self, one_in: int) -> bool:
        return self.draw(st.integers(1, one_in)) == 1

    def name(self) -> str:
        name = self.draw(NAMES.filter(lambda name: name not in self.used))
        self.used.add(name)
        return name

    def changed(self, was: Column) -> Column:
        """A column of the base as the schema has it now, perhaps renamed, or of a wider type; without its values."""
        name, aliases = was.name, []
        if self.chance(4):
            aliases = [was.name] if self.chance(2) else []
            name = self.name()
        if self.chance(4):
            aliases.append(self.name())
        scalar = self.draw(st.sampled_from(wider(was.scalar))) if self.chance(3) else was.scalar
        type_ = f"list<{scalar}>" if was.is_list else scalar
        reference = self.name() if was.reference is not None and self.chance(4) else was.reference
        return replace(was, name=name, type=type_, reference=reference, aliases=tuple(aliases), values=[])

    def fresh(self) -> Column:
        """A column that the base has not."""
        if self.chance(3):
            target = self.draw(st.sampled_from(sorted(self.linked)))
            is_list = self.draw(st.booleans())
            return Column(self.name(), "list<reference>" if is_list else "reference", [], self.name(), target)
        return replace(self.draw(column(self.name(), 0)), values=[])

    def later(self, number: int, of: Column, was: Column | None) -> Held:
        """A column with the values that it has now: of rows that stay, and of those in the overlay."""
        rows = len(self.rows.keys)
        staying = [None] * rows if was is None else was.values
        for group in self.groups:
            if self.chance(3):
                narrow = was if was is not None and self.chance(2) else of
                staying = self.draw(self.values(narrow, rows))
                group.append(Held(number, replace(narrow, values=staying)))
        over = [None] * self.fate.over
        if not self.chance(9):
            over = self.hold(number, of)
        return Held(number, replace(of, values=[*(staying[place] for place in self.unchanged), *over]))

    def hold(self, number: int, of: Column) -> list[Any]:
        """Have the overlay hold a column; its values."""
        over = self.draw(self.values(of, self.fate.over))
        self.overlay.append(Held(number, replace(of, values=over)))
        return over

    def values(self, of: Column, rows: int) -> st.SearchStrategy[list[Any]]:
        if of.target is None:
            return values(of.scalar, is_list=of.is_list, rows=rows)
        return links(self.linked[of.target], self.pool[of.target], is_list=of.is_list, rows=rows)


@st.composite
def links(draw: st.DrawFn, target: Rows, there: list[Any], *, is_list: bool, rows: int) -> list[Any]:
    """References to keys that are there, or were, or never will be."""
    pool = [*there[:20], *there[-20:], *draw(st.lists(absent(target, longest=30), min_size=1, max_size=2))]
    source = Random(draw(st.integers(0, 99)))
    chosen = [
        source.choices([*pool, None], k=source.choice([0, 1, 3])) if is_list else source.choice(pool)
        for _ in range(rows)
    ]
    return [None if source.random() < 0.1 else value for value in chosen]


def wider(scalar: str) -> list[str]:
    """The types that values of a type may be read as later."""
    if scalar in ("string", "categorical"):
        return ["string", "categorical"]
    if scalar not in INTEGERS:
        return [scalar]
    sign, bits = INTEGERS[scalar]
    return [scalar, *(name for name, (s, b) in INTEGERS.items() if b > bits and (sign, s) != ("", "u"))]


# How it is written


def lay(folder: Path, pasts: Layered, random: Random, *, rebased: bool = False) -> Path:
    """A store of one version that has all layers; `rebased`, with bases that no builder wrote either."""
    base = {name: past.base for name, past in pasts.items()}
    schema = Schema({name: type_of(rows) for name, rows in base.items()})
    bedeck.build(schema, folder / "base", {name: table_of(rows, base) for name, rows in base.items()})
    forgery = Forgery(folder / "base")
    forgery.manifest["version"] = forgery.entry["announced"]["version"] = 2
    Laying(forgery, pasts, random).lay(rebased=rebased)
    forgery.write(folder / "store")
    return folder / "store"


class Laying:
    """Puts layers over the bases of a store."""

    def __init__(self, forgery: Forgery, pasts: Layered, random: Random) -> None:
        self.forgery, self.pasts, self.random = forgery, pasts, random
        self.types = forgery.manifest["types"]
        self.specs = {name: Key.read(Json("key", of["key"])) for name, of in self.types.items()}
        self.shapes = {name: layering.Shape.read(forgery.base(name)) for name in pasts}

    def lay(self, *, rebased: bool) -> None:
        for name in self.pasts:
            of, forged = self.types[name], {field["name"]: field["id"] for field in self.types[name]["fields"]}
            assert [forged[column.name] for column in self.pasts[name].base.columns] == self.pasts[name].base_ids
            of["digest"] = layering.digest(
                self.pasts[name].now.keys,
                [self.printed(held) for held in map(Held, self.pasts[name].ids, self.pasts[name].now.columns)],
            )
            of["records"] = len(self.pasts[name].now.keys)
        if rebased:
            self.rebase()
        for name, past in self.pasts.items():
            for group in past.groups:
                self.group(name, group)
            if past.over or past.deleted or past.inserted or past.overlay or self.random.random() < 0.5:
                self.overlay(name)
            self.types[name]["fields"] = [
                described(number, column) for number, column in zip(past.ids, past.now.columns, strict=True)
            ]

    def rebase(self) -> None:
        """Write the bases too."""
        for name, past in self.pasts.items():
            self.shapes[name] = layering.Shape.of([self.stored(name, key) for key in past.base.keys], self.random)
        bases = {name: past.base for name, past in self.pasts.items()}
        for name in self.pasts:
            those = sorted(connected(bases, name))
            epoch = layering.epoch({other: (self.shapes[other], bases[other].keys) for other in those})
            self.types[name]["epoch"] = epoch
        for name, past in self.pasts.items():
            self.types[name]["layers"], self.forgery.blobs[name] = [], []
            held = map(Held, past.base_ids, past.base.columns)
            self.write(name, "base", self.shapes[name], past.base.keys, [self.coded(one, "base") for one in held])

    def group(self, name: str, group: Sequence[Held]) -> None:
        columns = [self.coded(held, "group") for held in group]
        self.write(name, "group", self.shapes[name], self.pasts[name].base.keys, columns)

    def overlay(self, name: str) -> None:
        past, base = self.pasts[name], self.shapes[name]
        shape = layering.Shape.of([self.stored(name, key) for key in past.over], self.random)
        places = {base.slot(self.stored(name, key)): layering.DELETED for key in past.deleted}
        places |= {base.slot(self.stored(name, key)): shape.slot(self.stored(name, key)) for key in past.replaced}
        inserted = [layering.DELETED if key is None else shape.slot(self.stored(name, key)) for key in past.inserted]
        over = layering.changes(base.total, places, inserted)
        columns = [self.coded(held, "overlay") for held in past.overlay]
        self.write(name, "overlay", shape, past.over, columns, over)

    def write(  # noqa: PLR0913, PLR0917 - a blob
        self,
        name: str,
        kind: str,
        shape: layering.Shape,
        keys: Sequence[Any],
        columns: Sequence[layering.Column],
        over: Mapping[str, bytes] | None = None,
    ) -> None:
        of = self.types[name]
        directory = {"type": name, "kind": kind, "records": len(keys), "epoch": of["epoch"], "digest": of["digest"]}
        if kind != "base":
            directory["base"] = self.forgery.layer(name)["blob"]["hash"]
        stored = [self.stored(name, key) for key in keys]
        slots = [shape.slot(key) for key in stored]
        has_keys = None if kind == "group" else stored
        blob = layering.write(directory, shape, of["key"], slots, has_keys, columns, self.random, over=over)
        self.forgery.lay(name, kind, blob)

    def stored(self, name: str, key: Any) -> bytes:
        stored = self.specs[name].stored(key)
        assert stored is not None
        return stored

    # References

    def printed(self, held: Held) -> layering.Column:
        """A column of which references have keys as they print."""
        column, target = held.column, held.column.target
        kind = "" if target is None else self.specs[target].kind
        texts = column.values if target is None else each(column.values, lambda key: printed(kind, key))
        return layering.Column(held.id, column.name, column.type, texts)

    def coded(self, held: Held, kind: str) -> layering.Column:
        """A column of which references have codes; those of a base know no key that came later."""
        whole = self.printed(held)
        if held.column.target is None:
            return whole
        target = held.column.target
        there = self.ordinals(target, kind)
        every = [key for value in whole.values if value is not None for key in (value if whole.is_list else [value])]
        absent = {key for key in every if key is not None and key not in there}
        dangling = sorted((text(key), key) for key in absent)
        codes = {key: len(dangling) + ordinal for key, ordinal in there.items()}
        codes |= {key: code for code, (_, key) in enumerate(dangling)}
        is_text = self.specs[target].kind not in ("int", "bytes")
        return replace(
            whole,
            values=each(whole.values, lambda key: codes[key]),
            reference={"name": str(held.column.reference), "type": target},
            dangling=[text for text, _ in dangling],
            printed=whole.values if is_text and self.random.random() < 0.4 else None,
        )

    def ordinals(self, target: str, kind: str) -> dict[Any, int]:
        """The ordinals of keys as references know them: of some that are there they may know only the keys."""
        past, shape = self.pasts[target], self.shapes[target]
        there = {key: shape.slot(self.stored(target, key)) for key in past.base.keys}
        if kind == "base":
            return there
        there |= {key: shape.total + i for i, key in enumerate(past.inserted) if key is not None}
        known = self.random.choice([0.0, 0.5, 1.0, 1.0])
        return {key: ordinal for key, ordinal in there.items() if self.random.random() < known}


def text(key: Any) -> bytes:
    """A key without a record as it is kept."""
    if isinstance(key, int):
        return (key % 2**64).to_bytes(8, "little")
    return key if isinstance(key, bytes) else key.encode()


def described(number: int, column: Column) -> dict[str, Any]:
    """A field as a manifest has it."""
    of: dict[str, Any] = {"id": number, "name": column.name, "type": column.type}
    if column.target is not None:
        of["reference"] = {"name": column.reference, "type": column.target}
    if column.aliases:
        of["aliases"] = list(column.aliases)
    return of

"""Versions of a catalogue built one over the other, straight through the core, and what changes from day to day."""

import json
import random
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa

from bedeck._core import Builder, Version
from oracle import printed
from strategies import BASE62, Rows, key_maker, table_of

__all__ = ["Chain", "canonical", "changed", "spec_of", "subset"]

MEMORY = 1 << 30


class Chain:
    """The newest of some versions, whose blobs are all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs"
        self.blobs.mkdir()
        self.entries: dict[str, dict[str, Any]] = {}
        self.digests: dict[str, str] = {}
        self.version: Version | None = None

    def base(self, catalogue: Mapping[str, Rows], **spec: Any) -> list[dict[str, Any]]:
        """Begins with new bases."""
        built = build(self.folder, catalogue, spec).result
        self._take(catalogue, built)
        return built

    def over(self, catalogue: Mapping[str, Rows], **told: Any) -> Any:
        """Goes on to the next version; gives what became of each type, or why nothing did."""
        outcome = self.attempt(catalogue, **told)
        if "types" not in outcome.result:
            return outcome.result["compact"]
        self._take(catalogue, outcome.result["types"])
        return {type_["name"]: type_ for type_ in outcome.result["types"]}

    def attempt(self, catalogue: Mapping[str, Rows], **told: Any) -> "Attempt":
        """What would become of it: the answer, and where the blobs are."""
        return build(self.folder, catalogue, **{"spec": {}, **told}, over=self.version, digests=self.digests)

    def layers(self, name: str) -> list[str]:
        """The kinds of the layers of a type."""
        return [layer["kind"] for layer in self.entries[name]["layers"]]

    def _take(self, catalogue: Mapping[str, Rows], built: list[dict[str, Any]]) -> None:
        entries = {}
        for type_ in built:
            before = self.entries.get(type_["name"], {"layers": []})["layers"]
            layers = [before[layer["kept"]] if "kept" in layer else layer for layer in type_["layers"]]
            entries[type_["name"]] = {
                "name": type_["name"],
                "fields": fields_of(catalogue[type_["name"]]),
                "layers": layers,
            }
        for path in self.folder.glob("build-*/*.blob"):
            path.rename(self.blobs / path.name)
        self.entries = entries
        self.digests = {type_["name"]: type_["digest"] for type_ in built}
        everything = [layer["blob"]["name"] for entry in entries.values() for layer in entry["layers"]]
        self.version = Version.open(self.blobs, json.dumps(list(entries.values())), everything, 1, self.version)


class Attempt:
    """A build that has ended."""

    def __init__(self, folder: Path, result: Any) -> None:
        self.folder = folder
        self.result = result

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.glob("*.blob")}

    def discard(self) -> None:
        shutil.rmtree(self.folder)


def build(  # noqa: PLR0913, PLR0917 - all that a build can be told
    folder: Path,
    catalogue: Mapping[str, Rows],
    spec: Mapping[str, Any],
    over: Version | None = None,
    digests: Mapping[str, str] | None = None,
    deleted: Mapping[str, Iterable[Any]] | None = None,
    threads: int = 1,
    shuffle: int | None = None,
    target: Mapping[str, Rows] | None = None,
    report: Callable[[str, str, int, int], object] | None = None,
    **options: Any,
) -> Attempt:
    place = Path(mkdtemp(prefix="build-", dir=folder))
    builder = Builder(place, threads, MEMORY)
    for name, rows in catalogue.items():
        builder.add_type(json.dumps(spec_of(rows) | spec))
        table = canonical(table_of(rows, target or catalogue))
        if shuffle is not None:
            order = list(range(table.num_rows))
            random.Random(shuffle).shuffle(order)
            table = table.take(pa.array(order, pa.int64()))
        if table.num_rows or over is None:
            builder.add_source(name, "rows", table)
    for name, ids in (deleted or {}).items():
        builder.delete(name, ids)
    if over is None:
        return Attempt(place, json.loads(builder.finish(None)))
    told = {**options, "digests": dict(digests or {})}
    return Attempt(place, json.loads(builder.finish_over(over, json.dumps(told), report)))


# What the core is told


@dataclass(frozen=True)
class Numbered(Rows):
    """Rows whose fields have these numbers."""

    numbers: tuple[int, ...] | list[int] = ()


def fields_of(rows: Rows) -> list[dict[str, Any]]:
    fields = []
    numbers = rows.numbers if isinstance(rows, Numbered) else range(0, 3 * len(rows.columns), 3)
    for number, column in zip(numbers, rows.columns, strict=True):
        described: dict[str, Any] = {"id": number, "name": column.name, "type": column.type}
        if column.target is not None:
            described["reference"] = {"name": column.reference, "type": column.target}
        fields.append(described)
    return fields


def spec_of(rows: Rows) -> dict[str, Any]:
    return {
        "name": rows.name,
        "key": {"field": rows.key.field, "kind": rows.key.kind},
        "fields": fields_of(rows),
        "hot": list(rows.hot),
        "printed": [hot for hot in rows.hot if any(c.name == hot and c.target for c in rows.columns)],
    }


def canonical(table: pa.Table) -> pa.Table:
    """The table in the Arrow types that the core takes."""
    return pa.table(
        [table[name].cast(large(table[name].type)) for name in table.column_names], names=table.column_names
    )


def large(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_list(type_):
        return pa.large_list(large(type_.value_type))
    return {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(type_, type_)


# What happens from day to day


def changed(catalogue: Mapping[str, Rows], source: random.Random, lost: dict[str, list[Any]]) -> dict[str, Rows]:
    """The catalogue of another day: some records gone, some new or come again (of `lost`), some of others' values."""
    return {name: mutated(rows, source, lost.setdefault(name, []), catalogue) for name, rows in catalogue.items()}


def mutated(rows: Rows, source: random.Random, lost: list[Any], catalogue: Mapping[str, Rows]) -> Rows:
    keys, columns = list(rows.keys), [list(column.values) for column in rows.columns]
    if source.random() < 0.4:
        for place in sorted(source.sample(range(len(keys)), source.randint(0, min(3, len(keys)))), reverse=True):
            lost.append(keys.pop(place))
            [values.pop(place) for values in columns]
    if source.random() < 0.4:
        make = key_maker(str(rows.key.kind))
        named = [key for other in catalogue.values() for key in named_by(other, rows.name)]
        pool = [*lost, *named, *(make(source) for _ in range(3))]
        known = {printed(str(rows.key.kind), key) for key in keys}
        chosen = source.sample(pool, min(len(pool), source.randint(1, 3)))
        for key in dict.fromkeys(printed(str(rows.key.kind), key) for key in chosen):
            if key not in known and fits(rows, key):
                keys.append(key)
                [values.append(source.choice(pool_of(rows, place))) for place, values in enumerate(columns)]
    if source.random() < 0.6:
        for _ in range(source.randint(0, 4) if keys and columns else 0):
            row, place = source.randrange(len(keys)), source.randrange(len(columns))
            columns[place][row] = source.choice(pool_of(rows, place))
    if source.random() < 0.3 and columns and keys:
        place = source.randrange(len(columns))
        columns[place] = [source.choice(pool_of(rows, place)) for _ in keys]
    of_columns = [replace(column, values=values) for column, values in zip(rows.columns, columns, strict=True)]
    return replace(rows, keys=keys, columns=of_columns)


def named_by(rows: Rows, name: str) -> list[Any]:
    """Keys that the rows of a type refer to."""
    values = [value for column in rows.columns if column.target == name for value in column.values if value is not None]
    return [key for value in values for key in (value if isinstance(value, list) else [value]) if key is not None]


def fits(rows: Rows, key: Any) -> bool:
    """Whether it can be a key of the type, as it is printed."""
    match rows.key.kind:
        case "base62":
            return (
                re.fullmatch("[0-9a-zA-Z]{22}", key) is not None
                and sum(BASE62.index(digit) * 62**place for place, digit in enumerate(reversed(key))) < 1 << 128
            )
        case "uuid":
            return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key) is not None
        case "int":
            return True
        case "string":
            return len(key.encode()) < 1 << 16
    return len(key) < 1 << 16


def pool_of(rows: Rows, place: int) -> list[Any]:
    return rows.columns[place].values or [None]


def subset(rows: Rows, keep: Iterable[int]) -> Rows:
    """Some of the rows."""
    chosen = list(keep)
    columns = [replace(column, values=[column.values[row] for row in chosen]) for column in rows.columns]
    return replace(rows, keys=[rows.keys[row] for row in chosen], columns=columns)

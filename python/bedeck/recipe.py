"""Recipes: what a version is built of, be it all sources, what changed since, or the version before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bedeck._arrow import pyarrow
from bedeck.errors import NotFoundError, SchemaError
from bedeck.evolution import types_of
from bedeck.schema import Key, Reference, Schema, Type
from bedeck.sources import Source, Stream, read

if TYPE_CHECKING:
    import pyarrow as pa

    from bedeck.ground import Parent
    from bedeck.intake import Taken

__all__ = ["Recipe", "compacted", "full", "merged", "updated"]

SCHEMA_IS_OTHER: Final = "an update has the types of the version before: run a cycle with all sources first"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a version is built of: the sources of types, and keys to delete.

    ``how`` is the name of what is done. An ``update`` has records that are new or other than before, and leaves the
    rest as it is; otherwise the sources have all records. ``compact`` asks for new bases. ``taken`` is what to tell of
    the sources, where it is not what reading them tells, and ``declared`` the schema as the manifest is to have it,
    where it is not ``schema``.
    """

    how: str
    schema: Schema
    sources: Mapping[str, Source]
    deletes: Mapping[str, pa.Array] = field(default_factory=dict)
    update: bool = False
    compact: bool = False
    taken: Mapping[str, Taken] | None = None
    declared: Mapping[str, Any] | None = None


def full(schema: Schema, sources: Mapping[str, Source], declared: Schema) -> Recipe:
    """All records, as sources have them; ``declared`` is the schema that the manifest is to have."""
    return Recipe("cycle", schema, sources, declared=declared.to_mapping())


def updated(
    schema: Schema, parent: Parent | None, upserts: Mapping[str, Source], deletes: Mapping[str, pa.Array]
) -> Recipe:
    """The records of the version before, but for those that are new, other, or to be deleted."""
    if parent is None:
        raise NotFoundError(f"nothing is announced yet that could be updated: {SCHEMA_IS_OTHER}")
    known = _known(schema, parent)
    for name in (*upserts, *deletes):
        if name not in known.types:
            raise SchemaError(f'type "{name}" is new: {SCHEMA_IS_OTHER}')
    return Recipe("update", known, upserts, deletes, update=True, declared=parent.manifest["schema"])


def compacted(schema: Schema, parent: Parent | None) -> Recipe:
    """The records of the version before, in new bases."""
    if parent is None:
        raise NotFoundError("nothing is announced yet that could be compacted: run a cycle first")
    known = _known(schema, parent)
    sources = {name: parent.view[name] for name in known.types}
    declared = parent.manifest["schema"]
    return Recipe("compact", known, sources, compact=True, taken={}, declared=declared)


def merged(update: Recipe, parent: Parent, base: Path, taken: Mapping[str, Taken]) -> Recipe:
    """All records that there are after an update, in new bases; ``taken`` is what reading the update told."""
    merge = partial(_merge, update, parent, base, taken)
    sources = {name: partial(merge, name) for name in update.schema.types}
    return replace(update, sources=sources, deletes={}, update=False, compact=True, taken=taken)


def _known(schema: Schema, parent: Parent) -> Schema:
    """The schema that a version has: its types, keys and fields declared as they are, all else as ``schema`` says."""
    for name in parent.types:
        if name not in schema.types:
            raise SchemaError(f'type "{name}" is not in the schema any more: {SCHEMA_IS_OTHER}')
    types = {name: _type(schema.types[name], parent.types[name], types_of(name, parent.types)) for name in parent.types}
    return Schema(types, parent.manifest["namespace"], schema.validators)


def _type(type_: Type, of: Mapping[str, Any], fields: Mapping[str, Any]) -> Type:
    columns = [(member["name"], member["reference"]) for member in of["fields"] if "reference" in member]
    named = [*of["fields"], *(reference for _, reference in columns)]
    names = {member["name"] for member in named}
    return replace(
        type_,
        key=Key(of["key"]["field"], of["key"]["kind"]),
        fields={name: str(values) for name, values in fields.items()},
        references={reference["name"]: Reference(column, reference["type"]) for column, reference in columns},
        renamed={member["name"]: member["aliases"] for member in named if "aliases" in member},
        hot=tuple(name for name in type_.hot if name in names),
    )


def _merge(update: Recipe, parent: Parent, base: Path, taken: Mapping[str, Taken], name: str) -> pa.RecordBatchReader:
    """The records of a type that an update leaves, then those that it has."""
    type_ = update.schema.types[name]
    (old,) = read(name, type_, parent.view[name])
    new = list(read(name, type_, update.sources[name], base, sparse=True)) if name in update.sources else []
    schema = (new or [old])[0].reader.schema
    gone = _gone(update, taken[name], name, old.reader.schema.types[0])
    return pyarrow().RecordBatchReader.from_batches(schema, _batches(old, gone, new, schema))


def _gone(update: Recipe, taken: Taken, name: str, arrow_type: pa.DataType) -> pa.Array:
    """The keys that an update has, or deletes, as records have them."""
    arrays = [*taken.keys, *([update.deletes[name]] if name in update.deletes else [])]
    keys = pyarrow().chunked_array([array.cast(arrow_type) for array in arrays], arrow_type).drop_null()
    if update.schema.types[name].key.kind == "uuid":
        keys = pyarrow().compute.utf8_lower(keys)
    return keys.combine_chunks()


def _batches(old: Stream, gone: pa.Array, new: list[Stream], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    compute = pyarrow().compute
    with old:
        for batch in old.reader:
            stays = compute.invert(compute.is_in(batch.column(0), gone))
            yield _conform(batch.filter(stays), schema)
    for stream in new:
        with stream:
            yield from stream.reader


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of a schema; nulls for those that the batch has not."""
    nulls, names = pyarrow().nulls, set(batch.schema.names)
    columns = [batch.column(of.name) if of.name in names else nulls(batch.num_rows, of.type) for of in schema]
    return pyarrow().record_batch(columns, schema=schema)

"""Mappings: rows that are Python objects, as Arrow batches that change no value of them.

pyarrow alone would not do: it makes 1 of 1.5 where integers are wanted, a date of a datetime, and a list of a text.
So every value is first taken as what it is, and then cast like a column of that Arrow type.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import accumulate, chain, islice
from numbers import Integral, Real
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bedeck._arrow import NOTHING, ResolvedType, cast, infer, pyarrow, resolve, schema_of, shown, take
from bedeck.errors import SchemaError, SourceError, suggest
from bedeck.schema import INTEGERS, FieldType, Type

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ORIGIN", "take_mappings"]

ORIGIN = "<iterable>"
CHUNK = 16_384
INT64_MAX = 2**63 - 1
NO_LISTS = (str, bytes, bytearray, memoryview, Mapping, AbstractSet)


def take_mappings(
    type_name: str,
    type_: Type,
    rows: Iterable[object],
    known: Mapping[str, FieldType] = NOTHING,
    *,
    sparse: bool = False,
) -> tuple[ResolvedType, Generator[pa.RecordBatch, None, None]]:
    """What columns the mappings have, by the first 16,384 of them, and all of them as canonical batches, lazily.

    Columns stand in the order of the mappings, if all of those have the same, and are sorted by name if not; columns
    that are only declared come last. Raises `SourceError` for what is no mapping, for values of types that do not go
    together, and for a field that is new after the first mappings; `SchemaError` as `resolve` does, and at the end for
    a declared field that none of the mappings had, if there were any.
    """
    mappings = _mappings(rows)
    first = list(islice(mappings, CHUNK))
    types = [(name, take(_cells(first, name), _array, name, ORIGIN, 0).type) for name in _names(first, type_)]
    resolved = resolve(type_name, type_, pyarrow().schema(types), known)
    names = {*type_.fields, *known}
    batches = _batches(resolved, chain(first, mappings), names, () if sparse else tuple(type_.fields))
    return resolved, batches


def _mappings(rows: Iterable[object]) -> Iterator[Mapping[str, object]]:
    for row, mapping in enumerate(rows):
        if not isinstance(mapping, Mapping):
            raise SourceError(f"{ORIGIN}: row {row}: {shown(mapping)} is no mapping of names to values")
        yield mapping


def _names(chunk: Sequence[Mapping[str, object]], type_: Type) -> list[str]:
    names = list(dict.fromkeys(chain.from_iterable(chunk)))
    for name in names:
        if not isinstance(name, str):
            raise SourceError(f"{ORIGIN}: a field is called {name!r}: names are text")
    if any(list(mapping) != names for mapping in chunk):
        names.sort()
    starts = (reference.field for reference in type_.references.values())
    hot = (name for name in type_.hot if name not in type_.references)
    of_no_rows = () if chunk else (type_.key.field, *starts, *hot)
    return list(dict.fromkeys((*names, *type_.fields, *of_no_rows)))


def _cells(chunk: Sequence[Mapping[str, object]], name: str) -> list[object]:
    return [mapping.get(name) for mapping in chunk]


def _batches(
    resolved: ResolvedType,
    mappings: Iterator[Mapping[str, object]],
    declared: AbstractSet[str],
    needed: Sequence[str],
) -> Generator[pa.RecordBatch, None, None]:
    pa = pyarrow()
    names = {column.name for column in resolved.columns}
    schema = schema_of(resolved)
    row, seen = 0, set[str]()
    while chunk := list(islice(mappings, CHUNK)):
        _check_names(chunk, names, row)
        if not seen.issuperset(needed):
            seen.update(*chunk)
        arrays = []
        for column in resolved.columns:
            convert = partial(_canonical, values=column.values, declared=column.name in declared)
            arrays.append(take(_cells(chunk, column.name), convert, column.name, ORIGIN, row))
        yield pa.record_batch(arrays, schema=schema)
        row += len(chunk)
    if row:
        _check_declared(resolved.name, needed, sorted(seen))


def _check_names(chunk: Sequence[Mapping[str, object]], names: AbstractSet[str], start: int) -> None:
    for row, mapping in enumerate(chunk, start):
        for name in mapping.keys() - names:
            raise SourceError(
                f'{ORIGIN}: row {row}: field "{name}" is new, the rows before have none: declare its type'
            )


def _check_declared(type_name: str, needed: Sequence[str], seen: Collection[str]) -> None:
    for name in needed:
        if name not in seen:
            way_out = suggest(name, (other for other in seen if other not in needed))
            raise SchemaError(f'[type.{type_name}]: field "{name}": no row of {ORIGIN} has it{way_out}')


def _canonical(cells: Sequence[object], values: FieldType, *, declared: bool) -> pa.Array:
    array = _array(cells)
    if not declared and not _is_like(array.type, values):
        raise TypeError(f"{array.type}, where {values} was inferred from the first rows: declare the field's type")
    return cast(array, values)


def _is_like(arrow_type: pa.DataType, values: FieldType) -> bool:
    types = pyarrow().types
    if types.is_null(arrow_type):
        return True
    if types.is_large_list(arrow_type) and values.item is not None:
        return _is_like(arrow_type.value_type, values.item)
    found = infer(arrow_type)
    if found is None or found.kind not in INTEGERS:
        return found is not None and found.kind == values.kind
    return values.kind in (*INTEGERS, "float64")


def _array(cells: Sequence[object]) -> pa.Array:
    """The array that holds these Python values, none of them changed; raises TypeError or ValueError if none does."""
    pa = pyarrow()
    classes = dict.fromkeys(map(type, cells))
    classes.pop(NoneType, None)
    lists = [cls for cls in classes if issubclass(cls, Collection) and not issubclass(cls, NO_LISTS)]
    if lists and len(lists) < len(classes):
        raise TypeError("a list among values that are none")
    if lists:
        return _list_array(cells)
    kinds = dict.fromkeys(_kind(cls, [cell for cell in cells if type(cell) is cls]) for cls in classes)
    if UUID in classes:
        cells = [str(cell) if isinstance(cell, UUID) else cell for cell in cells]
    return pa.array(cells, _common(list(kinds)))


def _list_array(cells: Sequence[Any]) -> pa.Array:
    pa = pyarrow()
    offsets = [0, *accumulate(0 if cell is None else len(cell) for cell in cells)]
    items = _array([item for cell in cells if cell is not None for item in cell])
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), items, mask=pa.array([cell is None for cell in cells])
    )


def _kind(cls: type, values: Sequence[Any]) -> pa.DataType:
    pa = pyarrow()
    if issubclass(cls, UUID):
        return pa.string()
    if issubclass(cls, bool) or not issubclass(cls, Real):
        return pa.infer_type(values)
    if not issubclass(cls, Integral):
        return pa.float64()
    return pa.int64() if max(values) <= INT64_MAX else pa.uint64()


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType:
    pa = pyarrow()
    if len(kinds) <= 1:
        return kinds[0] if kinds else pa.null()
    for widest in (pa.float64(), pa.uint64()):
        if widest in kinds and all(kind in (pa.int64(), pa.uint64(), widest) for kind in kinds):
            return widest
    raise TypeError(f"{kinds[1]} after rows of {kinds[0]}: values of one field are of one type")

"""The answers that a plain Python dict gives, in the three forms of bedeck's: Python, JSON and Arrow."""

import base64
import datetime as dt
import json
import math
import re
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from strategies import Column, Rows, arrow_type, key_type

__all__ = ["Oracle", "exact", "printed", "read_json", "read_table"]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
Plan = dict[str, Any]
Leaf = Callable[[str, Any], Any]


class Oracle:
    """Dicts of dicts: by type, then by key as it is printed. Of every type `known` has keys, also such as are gone."""

    def __init__(self, catalogue: Mapping[str, Rows], known: Mapping[str, Rows] | None = None) -> None:
        self.catalogue = catalogue
        self.known = known or catalogue
        self.records = {
            name: {
                key: {column.name: column.values[row] for column in rows.columns} for row, key in enumerate(rows.keys)
            }
            for name, rows in catalogue.items()
        }

    def decorate(self, name: str, ids: Iterable[Any], paths: list[str] | None) -> list[Any]:
        return self._answers(name, ids, paths, python_value)

    def decorate_json(self, name: str, ids: Iterable[Any], paths: list[str] | None) -> list[Any]:
        return self._answers(name, ids, paths, json_value)

    def decorate_arrow(self, name: str, ids: Iterable[Any], paths: list[str] | None) -> list[Any]:
        nothing = dict.fromkeys(self.plan(name, paths))
        return [nothing if row is None else row for row in self._answers(name, ids, paths, lambda _, raw: raw)]

    def schema(self, name: str, paths: list[str] | None) -> pa.Schema:
        """The Arrow schema of an answer."""
        return pa.schema(self._fields(name, self.plan(name, paths)))

    def whole(self, name: str) -> list[str]:
        """Key and fields: what a record has, and what a type streams."""
        return ["id", *(column.name for column in self.catalogue[name].columns)]

    def plan(self, name: str, paths: list[str] | None) -> Plan:
        plan: Plan = {}
        for path in self.whole(name)[1:] if paths is None else paths:
            at = plan
            *through, last = path.split(".")
            for step in through:
                at = at.setdefault(step, {})
            at.setdefault(last, None)
        return plan

    def _answers(self, name: str, ids: Iterable[Any], paths: list[str] | None, leaf: Leaf) -> list[Any]:
        plan, kind = self.plan(name, paths), str(self.catalogue[name].key.kind)
        return [self._answer(name, printed(kind, key), plan, leaf) for key in ids]

    def _answer(self, name: str, key: Any, plan: Plan, leaf: Leaf) -> Any:
        record = self.records[name].get(key)
        if record is None:
            return None
        return {step: self._value(name, key, record, step, beyond, leaf) for step, beyond in plan.items()}

    def _value(self, name: str, key: Any, record: Any, step: str, beyond: Plan | None, leaf: Leaf) -> Any:  # noqa: PLR0913, PLR0917 - one step of an answer
        if step == "id":
            return leaf("key", key)
        column = self._column(name, step, through=beyond is not None)
        if column.target is None:
            return each(record[column.name], lambda raw: leaf(column.scalar, raw))
        target, kind = column.target, str(self.catalogue[column.target].key.kind)
        if beyond is None:
            return each(record[column.name], lambda raw: leaf("key", printed(kind, raw)))
        return each(record[column.name], lambda raw: self._answer(target, printed(kind, raw), beyond, leaf))

    def _column(self, name: str, step: str, *, through: bool) -> Column:
        columns = self.catalogue[name].columns
        names = [(column, (column.reference,) if through else (column.name, *column.aliases)) for column in columns]
        return next(column for column, those in names if step in those)

    def _fields(self, name: str, plan: Plan) -> list[pa.Field]:
        return [pa.field(step, self._type(name, step, beyond)) for step, beyond in plan.items()]

    def _type(self, name: str, step: str, beyond: Plan | None) -> pa.DataType:
        if step == "id":
            return key_type(self.catalogue[name])
        column = self._column(name, step, through=beyond is not None)
        if beyond is not None:
            item = pa.struct(self._fields(str(column.target), beyond))
        elif column.target is not None:
            item = key_type(self.catalogue[column.target])
        else:
            item = arrow_type(column.scalar)
            item = pa.dictionary(pa.int32(), item) if column.scalar == "categorical" else item
        return pa.list_(item) if column.is_list else item


def printed(kind: str, key: Any) -> Any:
    """A key as it is printed; what is malformed as it is."""
    if kind == "uuid" and re.fullmatch("[0-9a-fA-F]{8}(-?)([0-9a-fA-F]{4}\\1){3}[0-9a-fA-F]{12}", key):
        return str(uuid.UUID(key))
    return key


def each(raw: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(raw, list):
        return [each(item, function) for item in raw]
    return None if raw is None else function(raw)


def python_value(scalar: str, raw: Any) -> Any:
    if not scalar.startswith("timestamp"):
        return raw
    unit, zone = parts(scalar)
    moment = EPOCH + dt.timedelta(microseconds=raw * 10**6 // 10 ** DIGITS[unit])
    return moment.astimezone(ZoneInfo(zone)) if zone else moment.replace(tzinfo=None)


def json_value(scalar: str, raw: Any) -> Any:
    """A value as `read_json` reads it: floats as decimals, of which neither more nor fewer digits would do."""
    match raw:
        case float():
            number = np.float32(raw) if scalar == "float32" else np.float64(raw)
            return Decimal(str(number)) if math.isfinite(raw) else None
        case bytes():
            return base64.b64encode(raw).decode()
        case dt.date():
            return raw.isoformat()
        case int() if scalar.startswith("timestamp"):
            digits = DIGITS[parts(scalar)[0]]
            seconds, fraction = divmod(raw, 10**digits)
            text = (EPOCH + dt.timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
            return f"{text}.{fraction:0{digits}}Z" if digits else f"{text}Z"
    return raw


def parts(timestamp: str) -> tuple[str, str]:
    unit, _, zone = timestamp[len("timestamp[") : -1].partition(",")
    return unit, zone


def read_json(answer: bytes) -> Any:
    """What a JSON answer says, every digit of its numbers included; what RFC 8259 does not know is refused."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(answer.decode(), parse_float=Decimal, parse_constant=refuse)


def read_table(answer: Any) -> list[Any]:
    """The rows of an Arrow answer, valid in every buffer; timestamps as ticks, for Python has no nanoseconds."""
    table = pa.table(answer)
    table.validate(full=True)
    columns = {name: plain(table[name].combine_chunks()) for name in table.column_names}
    return [{name: column[row] for name, column in columns.items()} for row in range(table.num_rows)]


def plain(array: pa.Array) -> list[Any]:
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in plain(chunk)]
    if pa.types.is_struct(array.type):
        columns = [(array.type[place].name, plain(array.field(place))) for place in range(array.type.num_fields)]
        rows = [{name: column[row] for name, column in columns} for row in range(len(array))]
        return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)]
    if pa.types.is_list(array.type):
        items, ends = plain(array.values), array.offsets.to_pylist()
        lists = [items[start:end] for start, end in pairwise(ends)]
        return [row if valid else None for row, valid in zip(lists, array.is_valid().to_pylist(), strict=True)]
    return (array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array).to_pylist()


def exact(value: Any) -> Any:
    """What two values have to have in common to be the same: type, order of names, sign of zero, NaN for NaN."""
    match value:
        case dict():
            return [(name, exact(member)) for name, member in value.items()]
        case list():
            return [exact(item) for item in value]
        case float():
            return "nan" if math.isnan(value) else struct.pack("<d", value)
        case Decimal():
            return str(value.normalize())
        case dt.datetime():
            return value.isoformat()
    return (type(value).__name__, value)

"""Arrow columns: which type a field takes from them, and what they hold in the canonical form of that type.

======================================================  =====================================  ====================
a column of                                             is a field of type                     and streamed as
======================================================  =====================================  ====================
bool, int8..int64, uint8..uint64, float32, float64      the same                               the same
string, large_string, string_view, null                 ``string``                             large_string
dictionary of these                                     ``categorical``                        large_string
binary, large_binary, binary_view, fixed_size_binary    ``binary``                             large_binary
date32, date64                                          ``date``                               date32
timestamp, with or without a zone                       ``timestamp[us]``, with unit and zone  the same
list, large_list, fixed_size_list, list views of these  ``list<...>``                          large_list
dictionary of anything else                             that of its values                     the same
extension type arrow.uuid                               ``string``, in canonical form          large_string
any other extension type                                that of its storage                    the same
======================================================  =====================================  ====================

A column of any other type is refused, unless a type is declared for it to which Arrow can cast it. Keys are streamed as
large_string, int64, uint64 or large_binary, and so are the keys in references.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bedeck.errors import SchemaError, SourceError, suggest, within
from bedeck.evolution import settled
from bedeck.schema import INTEGERS, FieldType, is_name
from bedeck.zones import zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    import pyarrow as pa

    from bedeck.schema import Key, Type

__all__ = [
    "ResolvedField",
    "ResolvedType",
    "cast",
    "cast_key",
    "infer",
    "pyarrow",
    "resolve",
    "schema_of",
    "shown",
    "take",
]

# What Python and Arrow blame values with: every ArrowException for that is one of these.
REFUSALS = (ArithmeticError, NotImplementedError, TypeError, ValueError)
SHOWN = 80
NOTHING: Mapping[str, FieldType] = {}
UUID_BYTES = 16
UUID_DIGITS = "(.{8})(.{4})(.{4})(.{4})(.{12})"

INFERRED = {
    **{kind: kind for kind in ("bool", *INTEGERS, "string", "binary")},
    "null": "string",
    "float": "float32",
    "double": "float64",
    "large_string": "string",
    "string_view": "string",
    "large_binary": "binary",
    "binary_view": "binary",
    "fixed_size_binary": "binary",
    "date32": "date",
    "date64": "date",
}
STREAMED = {
    "bool": "bool_",
    "string": "large_string",
    "categorical": "large_string",
    "binary": "large_binary",
    "date": "date32",
}
KEY_TYPES = {
    "base62": ("string",),
    "uuid": ("string",),
    "int": ("int64", "uint64"),
    "string": ("string",),
    "bytes": ("binary",),
}


@dataclass(frozen=True, slots=True)
class ResolvedField:
    """A column as it is streamed: its ``name`` and the type of its ``values``.

    Where a reference starts at the column, ``reference`` is its name and ``target`` the type it leads to.
    """

    name: str
    values: FieldType
    reference: str | None = None
    target: str | None = None

    @property
    def type(self) -> str:
        """The type as a blob states it: what ``catalogue.toml`` would say, or ``reference`` or ``list<reference>``."""
        if self.reference is None:
            return str(self.values)
        return "reference" if self.values.item is None else "list<reference>"


@dataclass(frozen=True, slots=True)
class ResolvedType:
    """A type with everything inferred that can be told from columns: the ``key``, and the ``fields`` in their order.

    ``kind`` is the key's kind; ``None`` where only all its values, which are text, can tell: base62, uuid or string.
    """

    name: str
    key: ResolvedField
    kind: str | None
    fields: tuple[ResolvedField, ...]

    @property
    def columns(self) -> tuple[ResolvedField, ...]:
        """The columns as they are streamed: the key, then the fields."""
        return (self.key, *self.fields)


def pyarrow() -> ModuleType:
    """The module, imported when it is first needed. Raises ImportError, with the way to install it."""
    try:
        import_module("pyarrow.compute")
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise ImportError("reading sources needs pyarrow: pip install pyarrow") from error


def resolve(
    type_name: str, type_: Type, arrow_schema: pa.Schema, known: Mapping[str, FieldType] = NOTHING
) -> ResolvedType:
    """Decide which fields a source with this Arrow schema gives.

    ``known`` has the types of fields, by name, that a field keeps if it can, unless ``type_`` declares another.

    Raises `SchemaError`, naming type, field, Arrow type and the way out, where this schema and ``type_`` do not agree.
    """
    with within(f"[type.{type_name}]"):
        _check_columns(type_, arrow_schema.names)
        columns = dict(zip(arrow_schema.names, arrow_schema.types, strict=True))
        key, kind = _resolve_key(type_.key, columns.pop(type_.key.field))
        references = {to.field: (name, to.type) for name, to in type_.references.items()}
        fields = []
        for name, arrow_type in columns.items():
            with within(f'field "{name}"'):
                values = _resolve_values(arrow_type, type_.fields.get(name), known.get(name))
                if name in references:
                    values = _resolve_reference(arrow_type, values)
                fields.append(ResolvedField(name, values, *references.get(name, ())))
        return ResolvedType(type_name, ResolvedField(type_.key.field, key), kind, tuple(fields))


def infer(arrow_type: pa.DataType) -> FieldType | None:
    """The type that a field of this Arrow type has unless another is declared; ``None`` where there is none."""
    pa = pyarrow()
    if isinstance(arrow_type, pa.BaseExtensionType):
        return FieldType("string") if _is_uuid(arrow_type) else infer(arrow_type.storage_type)
    if pa.types.is_dictionary(arrow_type):
        values = infer(arrow_type.value_type)
        return FieldType("categorical") if values == FieldType("string") else values
    if pa.types.is_timestamp(arrow_type):
        return FieldType("timestamp", arrow_type.unit, arrow_type.tz)
    if _is_list(arrow_type):
        item = infer(arrow_type.value_type)
        return FieldType("list", item=item) if item and item.kind != "list" else None
    kind = INFERRED.get(str(arrow_type).split("[")[0])
    return FieldType(kind) if kind else None


def schema_of(resolved: ResolvedType) -> pa.Schema:
    """The Arrow schema of the streams of a type."""
    return pyarrow().schema([(column.name, _arrow_type(column.values)) for column in resolved.columns])


def cast(array: pa.Array, values: FieldType) -> pa.Array:
    """The array in canonical form, its text UTF-8 for sure. Raises an ArrowException where a value would change."""
    result = _cast(array, values)
    result.validate(full=True)
    return result


def cast_key(array: pa.Array, resolved: ResolvedType) -> pa.Array:
    """`cast` for the column of the key, where 16 bytes may stand for a uuid."""
    if resolved.kind == "uuid" and pyarrow().types.is_fixed_size_binary(array.type):
        array = _uuid_text(array)
    return cast(array, resolved.key.values)


def take(
    values: Any,  # noqa: ANN401 - whatever convert takes
    convert: Callable[[Any], pa.Array],
    name: str,
    origin: str,
    row: int,
) -> pa.Array:
    """Convert a column, given as an array or a list that begins at ``row`` of ``origin``.

    Raises `SourceError`, naming origin, row, field and value, for the first value that ``convert`` refuses.
    """
    try:
        return convert(values)
    except REFUSALS:
        bad = bisect_left(range(len(values)), 1, key=lambda n: _refusal(convert, values[: n + 1]) is not None)
        reason = str(_refusal(convert, values[: bad + 1])).partition("\n")[0]
        place = f'{origin}: row {row + bad}, field "{name}", value {shown(values[bad])}'
        raise SourceError(f"{place}: {reason}") from None


def _refusal(convert: Callable[[Any], pa.Array], values: object) -> Exception | None:
    try:
        convert(values)
    except REFUSALS as error:
        return error
    return None


def shown(value: object) -> str:
    """A value, an Arrow scalar or a Python object, as a message shows it: whole if it is short."""
    text = repr(_to_python(value) if hasattr(value, "as_py") else value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}"


def _to_python(scalar: Any) -> object:  # noqa: ANN401 - an Arrow scalar
    for form in (scalar.type, "large_binary", "large_string"):  # text may not be UTF-8, and Python has no nanoseconds
        try:
            return scalar.cast(form).as_py()
        except (ValueError, NotImplementedError):
            continue
    return scalar.type


def _check_columns(type_: Type, names: Sequence[str]) -> None:
    for name in names:
        if not is_name(name):
            why = "a name is not empty and has no dot and no NUL"
            raise SchemaError(f'a column is called "{name}": rename it, for {why}')
        if names.count(name) > 1:
            raise SchemaError(f'{names.count(name)} columns are called "{name}": rename all but one')
    starts = {f'reference "{name}"': to.field for name, to in type_.references.items()}
    wanted = {"the key": type_.key.field, **{f'field "{name}"': name for name in type_.fields}, **starts}
    for what, name in wanted.items():
        if name not in names:
            raise SchemaError(f'{what}: there is no column "{name}"{suggest(name, names)}')
    for name, to in type_.references.items():
        if name != to.field and name in names:
            raise SchemaError(f'reference "{name}": a column has this name: give the reference another one')
    for name in type_.hot:
        if name not in (*names, *type_.references):
            raise SchemaError(f'hot: there is no "{name}"{suggest(name, (*names, *type_.references))}')
    _check_renamed(type_, names)


def _check_renamed(type_: Type, names: Sequence[str]) -> None:
    for name, olds in type_.renamed.items():
        if name not in (*names, *type_.references):
            raise SchemaError(f'renamed: there is no "{name}"{suggest(name, (*names, *type_.references))}')
        for old in olds:
            if old in names:
                raise SchemaError(f'renamed "{name}": there still is a column "{old}": leave it out, or rename nothing')


def _resolve_key(key: Key, arrow_type: pa.DataType) -> tuple[FieldType, str | None]:
    types = pyarrow().types
    kind = key.kind or ("uuid" if _is_uuid(arrow_type) else None)
    values = _key_type(infer(arrow_type))
    if kind is not None and types.is_null(arrow_type):
        values = FieldType(KEY_TYPES[kind][0])
    if kind == "uuid" and types.is_fixed_size_binary(arrow_type) and arrow_type.byte_width == UUID_BYTES:
        values = FieldType("string")
    if values is None or values.item is not None:
        way_out = "; cast it to int64 if these are whole numbers" if types.is_floating(arrow_type) else ""
        raise SchemaError(f'key "{key.field}": {arrow_type} is no key: a key is text, an integer or bytes{way_out}')
    if kind is not None and values.kind not in KEY_TYPES[kind]:
        raise SchemaError(f'key "{key.field}": declared {kind}, but the column is {arrow_type}: declare what it is')
    return values, kind or {"int64": "int", "uint64": "int", "binary": "bytes"}.get(values.kind)


def _resolve_values(arrow_type: pa.DataType, declared: str | None, known: FieldType | None) -> FieldType:
    values = FieldType.parse(declared) if declared else infer(arrow_type)
    if values is not None and known is not None and not declared:
        values = known if pyarrow().types.is_null(arrow_type) else settled(values, known)
    if values is None:
        raise SchemaError(f"{arrow_type} is no type of a field: {_way_out(arrow_type)}")
    if not _can_cast(arrow_type, values):
        raise SchemaError(f"{arrow_type} cannot be cast to {values}")
    _check_zone((values.item or values).tz)
    return values


def _check_zone(name: str | None) -> None:
    try:
        if name is not None:
            zone(name)
    except ValueError as error:
        raise SchemaError(f'time zone "{name}" is unknown here: correct it, or pip install tzdata') from error


def _resolve_reference(arrow_type: pa.DataType, values: FieldType) -> FieldType:
    keys = _key_type(values)
    if keys is None:
        whole = ""
        if (values.item or values).kind in ("float32", "float64"):  # what pandas makes of integers with gaps
            whole = f'; declare it "{"list<int64>" if values.item else "int64"}" if these are whole numbers'
        raise SchemaError(f"{arrow_type} holds no keys to refer with: a key is text, an integer or bytes{whole}")
    return keys


def _key_type(values: FieldType | None) -> FieldType | None:
    if values is None or values.kind == "binary":
        return values
    if values.item is not None:
        item = _key_type(values.item)
        return FieldType("list", item=item) if item else None
    if values.kind in INTEGERS:
        return FieldType("uint64" if values.kind.startswith("u") else "int64")
    return FieldType("string") if values.kind in ("string", "categorical") else None


def _way_out(arrow_type: pa.DataType) -> str:
    for kind in ("float64", "int64", "string"):
        for declared in (FieldType(kind), FieldType("list", item=FieldType(kind))):
            if _can_cast(arrow_type, declared):
                return f'declare one it can be cast to, such as "{declared}", or leave the column out'
    return "make columns of plain types of it, or leave it out"


def _can_cast(arrow_type: pa.DataType, values: FieldType) -> bool:
    pa = pyarrow()
    try:
        _cast(pa.nulls(1, arrow_type), values)
    except pa.ArrowException:
        return False
    return True


def _arrow_type(values: FieldType) -> pa.DataType:
    pa = pyarrow()
    if values.item is not None:
        return pa.large_list(_arrow_type(values.item))
    if values.unit is not None:
        return pa.timestamp(values.unit, values.tz)
    return getattr(pa, STREAMED.get(values.kind, values.kind))()


def _cast(array: pa.Array, values: FieldType) -> pa.Array:
    pa = pyarrow()
    if isinstance(array.type, pa.BaseExtensionType):
        as_text = _is_uuid(array.type) and values.kind != "binary"
        array = _uuid_text(array.storage) if as_text else array.storage
    if pa.types.is_dictionary(array.type):
        plain = infer(array.type.value_type)  # Arrow takes no items of views
        array = (_cast(array.dictionary, plain) if plain else array.dictionary).take(array.indices)
    if values.item is not None and _is_list(array.type):
        return _cast_list(array, values.item)
    result = array.cast(_arrow_type(values))
    if _may_lose(array.type, values) and not result.cast(array.type).equals(array):
        raise pa.ArrowInvalid(f"Casting from {array.type} to {values} would lose data")
    return result


def _cast_list(array: pa.Array, item: FieldType) -> pa.Array:
    pa = pyarrow()
    if not len(array):
        return pa.nulls(0, pa.large_list(_arrow_type(item)))
    lengths = pa.compute.list_value_length(array).cast(pa.int64()).fill_null(0)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pa.compute.cumulative_sum(lengths)])
    mask = array.is_null() if array.null_count else None  # flatten leaves out what lies under nulls, too
    return pa.LargeListArray.from_arrays(offsets, _cast(array.flatten(), item), mask=mask)


def _may_lose(arrow_type: pa.DataType, values: FieldType) -> bool:
    types = pyarrow().types  # these two Arrow takes for safe casts, and drops the time of day, and makes 2 true
    if values.kind == "date":
        return bool(types.is_timestamp(arrow_type))
    return values.kind == "bool" and (types.is_integer(arrow_type) or types.is_floating(arrow_type))


def _uuid_text(array: pa.Array) -> pa.Array:
    pa = pyarrow()
    if not len(array):
        return pa.nulls(0, pa.large_string())
    start = array.offset * UUID_BYTES
    digits = memoryview(array.buffers()[1])[start : start + len(array) * UUID_BYTES].hex()
    text = pa.Array.from_buffers(pa.binary(2 * UUID_BYTES), len(array), [None, pa.py_buffer(digits.encode())])
    text = text.cast(pa.large_string())
    text = pa.compute.replace_substring_regex(text, UUID_DIGITS, r"\1-\2-\3-\4-\5")
    return pa.compute.if_else(array.is_valid(), text, None)


def _is_uuid(arrow_type: pa.DataType) -> bool:
    return getattr(arrow_type, "extension_name", None) == "arrow.uuid"


def _is_list(arrow_type: pa.DataType) -> bool:
    types = pyarrow().types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(test(arrow_type) for test in tests)

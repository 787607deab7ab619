"""The schema of a catalogue: its types, their keys, fields and references.

A ``catalogue.toml`` and a `Schema` are one thing in two forms::

    namespace = "music"

    [type.track]
    source = "tracks/*.parquet"
    key = "id"
    [type.track.fields]
    popularity = "uint8"
    [type.track.references]
    artists = { field = "artist_ids", type = "artist" }

    [type.artist]
    source = "artists.parquet"
    key = "id"

What can be inferred may be left out: the kind of a key, and the type of every field.
"""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, Self

from bedeck.errors import SchemaError, suggest, within
from bedeck.limits import Limit, checked

__all__ = ["FieldType", "Key", "KeyKind", "OnDuplicate", "Reference", "Schema", "Type"]

KeyKind = Literal["base62", "uuid", "int", "string", "bytes"]
OnDuplicate = Literal["error", "first", "last"]

KEY_KINDS = ("base62", "uuid", "int", "string", "bytes")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
PLAIN = ("bool", *INTEGERS, "float32", "float64", "string", "binary", "date", "categorical")
EXAMPLES = (*PLAIN, "timestamp[us]", "timestamp[us,UTC]", "list<string>")
# What others call a type, where no name is near enough to find it by.
MEANT = {
    **dict.fromkeys(("int", "integer"), "int64"),
    **dict.fromkeys(("float", "double"), "float64"),
    **dict.fromkeys(("str", "text"), "string"),
    **dict.fromkeys(("bytes", "blob"), "binary"),
    "boolean": "bool",
    "datetime": "timestamp[us]",
}
UNITS = ("s", "ms", "us", "ns")
KEY_TYPES = ("string", "binary", *INTEGERS)
TYPE_MEMBERS = (
    "key",
    "source",
    "fields",
    "references",
    "renamed",
    "uri",
    "hot",
    "on_duplicate",
    "strict",
    "validators",
)

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]*|[+-]\d\d:\d\d", re.ASCII)
LIST = re.compile(r"list<(.*)>")
TIMESTAMP = re.compile(r"timestamp\[([^,]*)(?:,([^,]*))?\]")


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field, as ``catalogue.toml`` writes it; a field of any type may be null.

    ``kind`` is ``bool int8..int64 uint8..uint64 float32 float64 string binary date categorical timestamp`` or ``list``.
    A timestamp has a ``unit`` (``s ms us ns``) and perhaps a time zone ``tz``, by name or offset (``Europe/Stockholm``,
    ``UTC``, ``+02:00``); a list has the type of its ``item``, which is no list. ``str`` gives the written form:
    ``list<timestamp[us,UTC]>``. Raises `SchemaError` for anything else. Does not look up whether the time zone exists.
    """

    kind: str
    unit: str | None = None
    tz: str | None = None
    item: "FieldType | None" = None

    def __post_init__(self) -> None:
        if self.kind not in (*PLAIN, "timestamp", "list"):
            raise SchemaError(f'unknown type "{self.kind}"{_suggest_type(self.kind)}')
        if (self.kind == "list") != (self.item is not None) or (self.item is not None and self.item.kind == "list"):
            raise SchemaError('a list has items of a type that is no list, as in "list<string>"')
        if self.unit not in (UNITS if self.kind == "timestamp" else (None,)):
            raise SchemaError(f'a timestamp has a unit, one of {", ".join(UNITS)}, as in "timestamp[us]"')
        if self.tz is not None and (self.kind != "timestamp" or not ZONE.fullmatch(self.tz)):
            raise SchemaError(f'"{self.tz}" is no time zone, as in "timestamp[us,Europe/Stockholm]"')

    @classmethod
    def parse(cls, text: str) -> Self:
        """The type that ``text`` writes; spaces in it do not matter. Raises `SchemaError`."""
        if not isinstance(text, str):
            raise SchemaError(f'a type is written as text, as in "uint8", not {text!r}')
        compact = "".join(text.split())
        if found := LIST.fullmatch(compact):
            return cls("list", item=cls.parse(found[1]))
        if found := TIMESTAMP.fullmatch(compact):
            return cls("timestamp", found[1], found[2])
        return cls(compact)

    def __str__(self) -> str:
        if self.item is not None:
            return f"list<{self.item}>"
        if self.unit is not None:
            return f"timestamp[{self.unit},{self.tz}]" if self.tz else f"timestamp[{self.unit}]"
        return self.kind


@dataclass(frozen=True, slots=True)
class Key:
    """What identifies a record: the column ``field``, and the ``kind`` of its values, inferred where it is ``None``."""

    field: str
    kind: KeyKind | None = None

    def __post_init__(self) -> None:
        _check_name(self.field)
        _check_choice("kind", self.kind, (None, *KEY_KINDS))


@dataclass(frozen=True, slots=True)
class Reference:
    """From the column ``field``, which holds a key or a list of keys, to the records of ``type`` that have them."""

    field: str
    type: str

    def __post_init__(self) -> None:
        _check_name(self.field)
        _check_identifier(self.type)


@dataclass(frozen=True, init=False)
class Type:
    """One type of a catalogue.

    * ``key``: the column that identifies a record; a `Key`, or only its name.
    * ``source``: a path or glob of Parquet files, or several; ``None`` where the source is given to the build.
    * ``fields``: types of columns, by name, as `FieldType` writes them; other columns have theirs inferred.
    * ``references``: by the name that leads through them, which may be that of their own column but of no other.
    * ``renamed``: what columns and references were called before, by the name that they have now: one name or several.
      Their records stay what they are, and the old names go on answering as long as they stand here.
    * ``uri``: how a key is written in full, as in ``spotify:track:{id}``, with the key's column in braces: for lists
      of several types, `Catalogue.decorate`.
    * ``hot``: columns and references to place before others of their sort in the record, in this order. Where keys are
      text, a reference's column has them stored there as they print, too, so that asking for them follows nothing.
      Text and lists that are not hot lie aside, in a file of their own, where they take 128 bytes a record or more.
    * ``on_duplicate``: of rows with the same key refuse all (``error``), or keep the ``first`` or ``last``.
    * ``strict``: refuse references to records that do not exist, instead of counting them.
    * ``validators``: limits that differ from the catalogue's for this type, as in `bedeck.validators`; for some of them
      a limit for each field.

    Raises `SchemaError`. Mappings are copied, and not to be changed.
    """

    key: Key
    source: str | tuple[str, ...] | None
    fields: Mapping[str, str]
    references: Mapping[str, Reference]
    renamed: Mapping[str, tuple[str, ...]]
    uri: str | None
    hot: tuple[str, ...]
    on_duplicate: OnDuplicate
    strict: bool
    validators: Mapping[str, Limit]

    def __init__(  # noqa: PLR0913 - a type consists of so much
        self,
        key: Key | str,
        source: str | Sequence[str] | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        references: Mapping[str, Reference] | None = None,
        renamed: Mapping[str, str | Sequence[str]] | None = None,
        uri: str | None = None,
        hot: Sequence[str] = (),
        on_duplicate: OnDuplicate = "error",
        strict: bool = False,
        validators: Mapping[str, Limit] | None = None,
    ) -> None:
        members = {
            "key": Key(key) if isinstance(key, str) else key,
            "source": source if source is None or isinstance(source, str) else _texts("source", source),
            "fields": {name: _canonical(name, text) for name, text in _named("fields", fields or {}).items()},
            "references": _named("references", references or {}),
            "renamed": {name: _olds(name, of) for name, of in _named("renamed", renamed or {}).items()},
            "uri": uri,
            "hot": _texts("hot", hot),
            "on_duplicate": on_duplicate,
            "strict": strict,
            "validators": checked(validators or {}, of_type=True),
        }
        for name, value in members.items():
            object.__setattr__(self, name, value)
        _check_type(self)


@dataclass(frozen=True)
class Schema:
    """The types of a catalogue, by name, and the ``namespace`` it belongs to.

    ``validators`` has limits that differ from what `bedeck.validators` has by default.

    Raises `SchemaError`, also where a reference leads to a type that is not there.
    Mappings are copied, and not to be changed.
    """

    types: Mapping[str, Type]
    namespace: str = "default"
    validators: Mapping[str, Limit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", _named("types", self.types))
        object.__setattr__(self, "validators", checked(self.validators))
        with within("namespace"):
            _check_identifier(self.namespace)
        if not self.types:
            raise SchemaError("there is no type: declare one as [type.<name>]")
        for name in self.types:
            with within(f"[type.{name}]"):
                _check_identifier(name)
        for name, type_ in self.types.items():
            with within(f"[type.{name}]"):
                _check_targets(type_, self.types)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a ``catalogue.toml``. Raises `SchemaError`, naming the file, the table and the key that is wrong."""
        with within(fspath(path)):
            try:
                return cls.parse(tomllib.loads(Path(path).read_text(encoding="utf-8")))
            except OSError as error:
                raise SchemaError(f"cannot be read: {error.strerror}") from error
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise SchemaError(f"not TOML: {error}") from error

    @classmethod
    def parse(cls, mapping: Mapping[str, object]) -> Self:
        """Read what a ``catalogue.toml`` holds, or what `to_mapping` gives. Raises `SchemaError`."""
        table = _table(mapping, known=("namespace", "type", "validators"))
        types = {}
        for name, members in _table(table.pop("type", {})).items():
            with within(f"[type.{name}]"):
                types[name] = _parse_type(members)
        return cls(types, **table)

    def to_mapping(self) -> dict[str, object]:
        """The schema in plain dicts, lists, strings and booleans, defaults left out; `parse` reads it back."""
        mapping: dict[str, object] = {"namespace": self.namespace}
        if self.validators:
            mapping["validators"] = dict(self.validators)
        return {**mapping, "type": {name: _write_type(type_) for name, type_ in self.types.items()}}


def _parse_type(members: object) -> Type:
    table = _table(members, known=TYPE_MEMBERS, needed=("key",))
    if not isinstance(table["key"], str):
        with within("key"):
            table["key"] = Key(**_table(table["key"], known=("field", "kind"), needed=("field",)))
    references = {}
    for name, reference in _table(table.get("references", {})).items():
        with within(f'reference "{name}"'):
            references[name] = Reference(**_table(reference, known=("field", "type"), needed=("field", "type")))
    return Type(**{**table, "references": references})


def _write_type(type_: Type) -> dict[str, object]:
    key = type_.key
    members = {
        "key": {"field": key.field, "kind": key.kind} if key.kind else key.field,
        "source": list(type_.source) if isinstance(type_.source, tuple) else type_.source,
        "fields": dict(type_.fields),
        "references": {name: {"field": to.field, "type": to.type} for name, to in type_.references.items()},
        "renamed": {name: list(olds) for name, olds in type_.renamed.items()},
        "uri": type_.uri,
        "hot": list(type_.hot),
        "on_duplicate": None if type_.on_duplicate == "error" else type_.on_duplicate,
        "strict": type_.strict,
        "validators": dict(type_.validators),
    }
    return {name: value for name, value in members.items() if value}


def _canonical(name: str, text: str) -> str:
    with within(f'field "{name}"'):
        return str(FieldType.parse(text))


def _olds(name: str, olds: object) -> tuple[str, ...]:
    return (olds,) if isinstance(olds, str) else _texts(f'renamed "{name}"', olds)


def _check_type(type_: Type) -> None:
    if not isinstance(type_.key, Key):
        raise SchemaError(f"key is a Key or the name of a column, not {type_.key!r}")
    if type_.source is not None and not (type_.source and all(type_.source)):
        raise SchemaError(f"source is a path, a glob or a list of these, not {type_.source!r}")
    for name in (*type_.fields, *type_.hot):
        _check_name(name)
    if type_.key.field in type_.fields:
        raise SchemaError(f'field "{type_.key.field}" is the key: declare its kind instead, in key = {{ field, kind }}')
    for name, reference in type_.references.items():
        with within(f'reference "{name}"'):
            _check_reference(name, reference, type_)
    _check_renamed(type_)
    if type_.uri is not None:
        _check_uri(type_.uri, f"{{{type_.key.field}}}")
    _check_choice("on_duplicate", type_.on_duplicate, ("error", "first", "last"))
    if not isinstance(type_.strict, bool):
        raise SchemaError(f"strict is true or false, not {type_.strict!r}")


def _check_reference(name: str, reference: object, type_: Type) -> None:
    _check_name(name)
    if not isinstance(reference, Reference):
        raise SchemaError(f"a Reference is expected, not {reference!r}")
    if reference.field == type_.key.field:
        raise SchemaError("it starts at the key: give the type a second column with the same values, and start there")
    others = [other.field for key, other in type_.references.items() if key != name and isinstance(other, Reference)]
    if reference.field in others:
        raise SchemaError(f'another reference starts at the column "{reference.field}" too: give the type a second one')
    if name != reference.field and name in (type_.key.field, *type_.fields, *others):
        raise SchemaError("a column has this name: give the reference another one, or that of its own column")
    declared = FieldType.parse(type_.fields.get(reference.field, "string"))
    if (declared.item or declared).kind not in KEY_TYPES:
        raise SchemaError(f'its column "{reference.field}" is declared {declared}, which cannot hold keys')


def _check_renamed(type_: Type) -> None:
    now = {type_.key.field, *type_.fields, *type_.references, *(to.field for to in type_.references.values())}
    before: set[str] = set()
    for name, olds in type_.renamed.items():
        with within(f'renamed "{name}"'):
            _check_name(name)
            if name == type_.key.field:
                raise SchemaError("it is the key, which has no other name than its own")
            if not olds:
                raise SchemaError('it names nothing: name what it was called before, as in new = "old"')
            for old in olds:
                _check_name(old)
                if old in now or old in type_.renamed or old in before:
                    raise SchemaError(f'"{old}" is the name of something else, too')
                before.add(old)


def _check_uri(uri: object, key: str) -> None:
    if not isinstance(uri, str) or uri.count(key) != 1:
        raise SchemaError(f"uri holds the key once, as {key}, not {uri!r}")


def _check_targets(type_: Type, types: Collection[str]) -> None:
    if not isinstance(type_, Type):
        raise SchemaError(f"a Type is expected, not {type_!r}")
    for name, reference in type_.references.items():
        if reference.type not in types:
            raise SchemaError(f'reference "{name}": unknown type "{reference.type}"{suggest(reference.type, types)}')


def _check_identifier(name: object) -> None:
    if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
        raise SchemaError(f"{name!r} is not a name of letters, digits and underscores that starts with no digit")


def is_name(name: str) -> bool:
    """Whether a field can be called so: dots lead through references, and Arrow ends a name at a NUL."""
    return bool(name) and "." not in name and "\0" not in name


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not is_name(name):
        raise SchemaError(f"{name!r} is not the name of a field: a name is not empty and has no dot and no NUL")


def _check_choice(what: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        known = [choice for choice in choices if isinstance(choice, str)]
        raise SchemaError(f"unknown {what} {value!r}{suggest(str(value), known)}")


def _texts(what: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise SchemaError(f"{what} is a list of texts, not {value!r}")
    return tuple(value)


def _suggest_type(kind: str) -> str:
    if meant := MEANT.get(kind.lower()):
        return f'; did you mean "{meant}"?'
    return suggest(kind, EXAMPLES, most=len(EXAMPLES))


def _named(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SchemaError(f"{what}: a mapping by name is expected, or in a catalogue.toml a table, not {value!r}")
    return dict(value)


def _table(value: object, known: Collection[str] | None = None, needed: Collection[str] = ()) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SchemaError(f"a table is expected, not {value!r}")
    for name, member in value.items():
        if known is not None and name not in known:
            what = "table" if isinstance(member, Mapping) else "key"
            raise SchemaError(f'unknown {what} "{name}"{suggest(str(name), known)}')
    for name in needed:
        if name not in value:
            raise SchemaError(f'"{name}" is missing')
    return dict(value)

"""How a schema may change from one version to the next: ids of fields, types that widen, and what breaks a consumer.

A field is told by its id, which it keeps through a new name and a wider type. A change that a consumer may notice in
what it is answered is incompatible; docs/evolution.md has the rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bedeck.schema import INTEGERS, FieldType

__all__ = ["Change", "FieldIds", "changes", "holds", "settled", "types_of"]

BITS = {kind: int(kind.lstrip("uint")) for kind in INTEGERS}
TEXTS = frozenset({"string", "categorical"})
REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the schemas of two versions, in words; incompatible if a consumer can break of it."""

    type: str
    field: str | None
    what: str
    compatible: bool


def holds(wide: FieldType, narrow: FieldType) -> bool:
    """Whether each value of ``narrow`` is one of ``wide`` as well, the same in Python and as JSON."""
    if wide.item is not None and narrow.item is not None:
        return holds(wide.item, narrow.item)
    if wide == narrow:
        return True
    if wide.kind in BITS and narrow.kind in BITS:
        signed = (wide.kind[0] == "i", narrow.kind[0] == "i")
        room = BITS[wide.kind] - BITS[narrow.kind]
        return room > 0 and signed in {(True, True), (False, False), (True, False)}
    return {wide.kind, narrow.kind} <= TEXTS or (wide.kind, narrow.kind) == ("float64", "float32")


def settled(found: FieldType, known: FieldType) -> FieldType:
    """The type of a field that nobody declares, where its column has one and the version before another."""
    return known if holds(known, found) else found


def types_of(name: str, types: Mapping[str, Any]) -> dict[str, FieldType]:
    """The type of the values in each field of a type, as a manifest has them in its ``types``; none where it is new."""
    fields = types[name]["fields"] if name in types else ()
    return {field["name"]: _values(field, types) for field in fields}


def _values(field: Mapping[str, Any], types: Mapping[str, Any]) -> FieldType:
    if "reference" not in field:
        return FieldType.parse(field["type"])
    key = types[field["reference"]["type"]]["key"]
    integer = "int64" if key.get("signed", True) else "uint64"
    values = FieldType({"int": integer, "bytes": "binary"}.get(key["kind"], "string"))
    return values if field["type"] == REFERENCE else FieldType("list", item=values)


class FieldIds:
    """Ids of fields, and the names they had: the parent's where a field is the same, new ones otherwise, none twice."""

    def __init__(self, parent: Mapping[str, Any] | None) -> None:
        self.next: int = parent["next_field_id"] if parent else 0
        self._types: Mapping[str, Any] = parent["types"] if parent else {}

    def of(self, type_name: str, names: tuple[str, ...], described: Mapping[str, Any]) -> int:
        """The id of a field that has or had one of ``names``, the first that the parent has.

        A field that can no longer hold what it held is another one, whatever it is called.
        """
        known = {field["name"]: field for field in self._types.get(type_name, {"fields": ()})["fields"]}
        before = next((known[name] for name in names if name in known), None)
        if before is not None and _continues(described, before):
            return int(before["id"])
        self.next += 1
        return self.next - 1


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """What is different between the types of two manifests."""
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield Change(name, None, "the type is gone", compatible=False)
        elif name not in before:
            yield Change(name, None, "the type is new", compatible=True)
        else:
            yield from _of_key(name, before[name]["key"], after[name]["key"])
            yield from _of_names(name, before[name]["fields"], after[name]["fields"])
            yield from _of_fields(name, before[name]["fields"], after)


def _of_key(type_name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    if before["field"] != after["field"]:
        yield Change(type_name, after["field"], f'the key was called "{before["field"]}"', compatible=False)
    old, new = (_kind(key) for key in (before, after))
    if old != new:
        yield Change(type_name, after["field"], f"the key is {new}, and was {old}", compatible=False)


def _kind(key: Mapping[str, Any]) -> str:
    return str(key["kind"]) if key.get("signed", True) else f"{key['kind']} without a sign"


def _of_names(type_name: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
    """Names of fields and of references that nothing answers to any more."""
    for what, of in (("field", _itself), ("reference", _reference)):
        answering = {name for field in after for name in _names(of(field))}
        for field in before:
            for name in _names(of(field)):
                if name not in answering:
                    yield Change(type_name, field["name"], f'the {what} "{name}" is gone', compatible=False)


def _of_fields(type_name: str, before: list[Any], types: Mapping[str, Any]) -> Iterator[Change]:
    after = types[type_name]["fields"]
    old, kept = {field["id"]: field for field in before}, {field["id"] for field in after}
    for field in after:
        was = old.get(field["id"]) or next(
            (other for other in before if other["name"] in _names(field) and other["id"] not in kept), None
        )
        if was is None:
            yield Change(type_name, field["name"], "the field is new", compatible=True)
            continue
        if was["name"] != field["name"]:
            yield Change(type_name, field["name"], f'the field was called "{was["name"]}"', compatible=True)
        if _told(was) != _told(field):
            compatible = was["id"] == field["id"] or _leads_now(field, was, types) or _widens(field, was)
            what = f"the field is {_told(field)}, and was {_told(was)}"
            yield Change(type_name, field["name"], what, compatible)


def _leads_now(after: Mapping[str, Any], before: Mapping[str, Any], types: Mapping[str, Any]) -> bool:
    """Whether a field has the keys that it had, and these now lead to records."""
    if "reference" not in after or "reference" in before:
        return False
    values = FieldType.parse(before["type"])
    kind, target = (values.item or values).kind, types[after["reference"]["type"]]["key"]["kind"]
    fits = kind in BITS if target == "int" else kind == "binary" if target == "bytes" else kind in TEXTS
    return fits and (values.item is None) == (after["type"] == REFERENCE)


def _widens(after: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a field without references can have each value that it could have before."""
    plain = "reference" not in after and "reference" not in before
    return plain and holds(FieldType.parse(after["type"]), FieldType.parse(before["type"]))


def _continues(after: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether what layers hold of a field can be read as what it is now: floats of another width cannot."""
    targets = [field["reference"]["type"] if "reference" in field else None for field in (after, before)]
    if after["type"] == before["type"] or targets[0] != targets[1]:
        return targets[0] == targets[1]
    return _widens(after, before) and "float" not in after["type"]


def _itself(field: Mapping[str, Any]) -> Mapping[str, Any]:
    return field


def _reference(field: Mapping[str, Any]) -> Mapping[str, Any]:
    return field.get("reference") or {}


def _names(named: Mapping[str, Any]) -> list[str]:
    return [named["name"], *named.get("aliases", ())] if named else []


def _told(field: Mapping[str, Any]) -> str:
    return f"a {field['type']} to {field['reference']['type']}" if "reference" in field else f"of type {field['type']}"

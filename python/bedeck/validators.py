"""Validators: what looks at a version before it is announced, and may refuse it. On by default, with limits.

======================= ======== ===========================================================================
validator               limit    refuses
======================= ======== ===========================================================================
``min-records``         1        a type with fewer records
``record-count``        0.1      a type whose number of records changed by more than this share
``changed-records``     0.5      a type of whose records more than this share are gone, or have another value
                                 in one and the same field
``duplicate-keys``      0        a type of whose rows more than this share have a key that came before; no limit
                                 by default where its ``on_duplicate`` says which of them to keep
``null-keys``           0        a type of whose rows more than this share have no key
``dangling-references`` 0.05     a field of whose references more than this share lead to no record
``null-share``          0.05     a field of which this much more of all records have no value than before
``schema-change``       compatible a schema that a consumer may break of (``none``: one that differs at all)
======================= ======== ===========================================================================

A share of 1 is all there is; `False` ends a validator. What is compared with the version before passes where there is
none, and where at most ten records are concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from bedeck.cycle import CycleField, CycleType, Finding
from bedeck.errors import SchemaError, suggest
from bedeck.evolution import changes
from bedeck.limits import DEFAULTS, Limits

if TYPE_CHECKING:
    from bedeck.candidate import Candidate
    from bedeck.records import View
    from bedeck.schema import Schema

__all__ = ["Validator", "Validators", "validate"]

Validator = Callable[["View", "View | None"], "Iterable[Finding | str] | None"]

FEW: Final = 10
SAMPLE: Final = 20_000  # records that are looked at for examples
EXAMPLES: Final = 5
SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Validators:
    """The limits of a schema, ``given`` ones that go before them, and ``own`` validators, by name."""

    schema: Schema
    given: Mapping[str, Any]
    own: Mapping[str, Validator]

    def limits(self, type_name: str | None = None) -> Limits:
        """The limits of a type; those of the catalogue if `None`."""
        type_ = self.schema.types.get(type_name or "")
        return Limits((self.given, type_.validators if type_ else {}, self.schema.validators))

    def check(self, name: str) -> None:
        """Raise ValueError where there is no validator of this name."""
        known = (*DEFAULTS, *self.own)
        if name not in known:
            raise ValueError(f"there is no validator {name!r}{suggest(name, known, len(known))}")


def validate(candidate: Candidate, validators: Validators) -> list[Finding]:
    """All that all validators find, in order of types and validators. What an own one raises is a finding, too."""
    found: list[Finding] = []
    for name, of in candidate.types.items():
        type_ = validators.schema.types[name]
        checked = Checked(candidate, name, of, validators.limits(name), keeps_one=type_.on_duplicate != "error")
        _check_fields(checked)
        found += (finding for check in CHECKS for finding in check(checked))
    found += _schema_change(candidate, validators.limits().changes())
    for name, validator in validators.own.items():
        found += _own(name, validator, candidate)
    return found


@dataclass(frozen=True, slots=True)
class Checked:
    """One type of a candidate, its limits, and whether the schema says which of several rows with one key it keeps."""

    candidate: Candidate
    name: str
    of: CycleType
    limits: Limits
    keeps_one: bool

    @property
    def before(self) -> Mapping[str, Any] | None:
        """What the manifest of the version before says of the type."""
        parent = self.candidate.parent
        return parent.types.get(self.name) if parent else None

    @property
    def comparable(self) -> int:
        """Records of the version before that others can be compared with."""
        return self.before["records"] if self.before else 0

    def allowed(self, validator: str, field: str | None = None) -> float:
        """The share that a validator allows, of a field where it is about one."""
        return self.limits.share(validator, field)

    def find(
        self, validator: str, what: str, share: float, *, field: str | None = None, examples: Iterable[str] = ()
    ) -> Finding:
        """A finding of ``share`` of something, where less is allowed."""
        most = f"{_percent(share)}, where {_percent(self.allowed(validator, field))} is allowed"
        return self.told(validator, f"{what} ({most})", ceil(share * 100) / 100, field, examples)

    def told(
        self, validator: str, what: str, limit: float, field: str | None = None, examples: Iterable[str] = ()
    ) -> Finding:
        """A finding, and a limit that would let it pass."""
        told = f"{validator} = {{ {_quoted(field)} = {limit:g} }}" if field else f"{validator} = {limit:g}"
        where = f"{told}  # in [type.{self.name}.validators]"
        return Finding(validator, what, self.name, field, tuple(islice(examples, EXAMPLES)), where)


def _check_fields(of: Checked) -> None:
    for name, validator in of.limits.fields().items():
        if name not in of.of.fields:
            place = f'[type.{of.name}]: validator "{validator}"'
            raise SchemaError(f'{place}: the type has no field "{name}"{suggest(name, of.of.fields)}')


def _min_records(of: Checked) -> Iterator[Finding]:
    least, records = of.allowed("min-records"), of.of.records
    if records < least:
        told = f"{_counted(records, 'record')}, where at least {int(least):,} are expected"
        yield of.told("min-records", told, records)


def _record_count(of: Checked) -> Iterator[Finding]:
    records, before = of.of.records, of.comparable
    if before and abs(records - before) > FEW and abs(records - before) / before > of.allowed("record-count"):
        more, examples = ("more", _new(of)) if records > before else ("fewer", _gone(of))
        told = f"{records:,} records, and {before:,} before, {abs(records - before):,} {more}"
        yield of.find("record-count", told, abs(records - before) / before, examples=examples)


def _changed_records(of: Checked) -> Iterator[Finding]:
    before = of.comparable
    if before and of.of.removed > FEW and of.of.removed / before > of.allowed("changed-records"):
        told = f"{of.of.removed:,} of {before:,} records are gone"
        yield of.find("changed-records", told, of.of.removed / before, examples=_gone(of))
    for name, field in of.of.fields.items():
        if not before or field.changed <= FEW or _name_before(of, name) is None:
            continue
        if field.changed / before > of.allowed("changed-records", name):
            told = f"{field.changed:,} of {before:,} records have another value"
            examples = _changed(of, name, _differs)
            yield of.find("changed-records", told, field.changed / before, field=name, examples=examples)


def _duplicate_keys(of: Checked) -> Iterator[Finding]:
    share = of.of.dropped / max(of.of.rows, 1)
    if of.keeps_one and not of.limits.has("duplicate-keys"):
        return
    if share > of.allowed("duplicate-keys"):
        told = f"{of.of.dropped:,} of {of.of.rows:,} rows have a key that came before"
        yield of.find("duplicate-keys", told, share)


def _null_keys(of: Checked) -> Iterator[Finding]:
    rows = of.of.rows + of.of.null_keys
    share = of.of.null_keys / max(rows, 1)
    if share > of.allowed("null-keys"):
        told = f"{of.of.null_keys:,} of {rows:,} rows have no key"
        yield of.find("null-keys", told, share, examples=of.candidate.taken[of.name].nameless)


def _dangling_references(of: Checked) -> Iterator[Finding]:
    for name, field in of.of.fields.items():
        uses, keys = field.dangling
        if uses <= FEW:
            continue
        share = uses / max(_references(of, name, field), uses)
        if share > of.allowed("dangling-references", name):
            told = f"{_counted(uses, 'reference')} to {_counted(keys, 'key')} without a record"
            yield of.find("dangling-references", told, share, field=name, examples=_dangling(of, name))


def _null_share(of: Checked) -> Iterator[Finding]:
    before = of.before.get("nulls", {}) if of.before and of.comparable else {}
    for name, field in of.of.fields.items():
        nulls = before.get(str(_described(of, name)["id"]))
        if nulls is None or field.nulls - nulls <= FEW:
            continue
        was, now = nulls / of.comparable, field.nulls / of.of.records
        if now - was > of.allowed("null-share", name):
            told = f"{field.nulls:,} of {of.of.records:,} records have no value, and {nulls:,} of {of.comparable:,} had"
            examples = _changed(of, name, _is_lost)
            yield of.find("null-share", told, now - was, field=name, examples=examples)


CHECKS: Final = (
    _min_records,
    _record_count,
    _changed_records,
    _duplicate_keys,
    _null_keys,
    _dangling_references,
    _null_share,
)


def _schema_change(candidate: Candidate, passing: str) -> Iterator[Finding]:
    if candidate.parent is None or passing == "any":
        return
    limit = 'schema-change = "any"  # in [validators]'
    names = candidate.parent.manifest["namespace"], candidate.manifest["namespace"]
    if names[0] != names[1]:
        yield Finding("schema-change", f'the namespace is "{names[1]}", and was "{names[0]}"', limit=limit)
    for change in changes(candidate.parent.types, candidate.manifest["types"]):
        if passing == "none" or not change.compatible:
            yield Finding("schema-change", change.what, change.type, change.field, limit=limit)


def _own(name: str, validator: Validator, candidate: Candidate) -> Iterator[Finding]:
    try:
        found = validator(candidate.view, candidate.before)
        told = [found] if isinstance(found, str | Finding) else list(found or ())
    except Exception as error:  # noqa: BLE001 - whatever it is, the version is not known to be good
        told = [f"{type(error).__name__}: {error}"]
    for one in told:
        if isinstance(one, Finding):
            yield Finding(name, one.what, one.type, one.field, one.examples)
        else:
            yield Finding(name, str(one))


def _gone(of: Checked) -> Iterator[str]:
    """Keys of the version before that are gone."""
    return _only(of, of.candidate.before, of.candidate.view)


def _new(of: Checked) -> Iterator[str]:
    """Keys that the version before has not."""
    return _only(of, of.candidate.view, of.candidate.before)


def _only(of: Checked, view: View | None, other: View | None) -> Iterator[str]:
    if view is not None and other is not None and _is_same_kind(of):
        keys = list(islice(view[of.name], SAMPLE))
        there = other[of.name].decorate(keys, [])
        yield from (_shown(key) for key, record in zip(keys, there, strict=True) if record is None)


def _is_same_kind(of: Checked) -> bool:
    return of.before is not None and of.before["key"]["kind"] == of.of.key_kind


def _changed(of: Checked, name: str, differs: Callable[[object, object], bool]) -> Iterator[str]:
    """Keys whose value of a field differs so, with both values."""
    old = _name_before(of, name)
    if old is None or of.candidate.before is None or not _is_same_kind(of):
        return
    keys = list(islice(of.candidate.view[of.name], SAMPLE))
    before, after = (
        of.candidate.before[of.name].decorate(keys, [old]),
        of.candidate.view[of.name].decorate(keys, [name]),
    )
    for key, was, record in zip(keys, before, after, strict=True):
        if was is not None and differs(was[old], record[name]):
            yield f"{_shown(key)}: {_shown(was[old])} -> {_shown(record[name])}"


def _differs(before: object, after: object) -> bool:
    return before != after


def _is_lost(before: object, after: object) -> bool:
    return before is not None and after is None


def _references(of: Checked, name: str, field: CycleField) -> float:
    """References in a field: of lists as many as a sample has on the average."""
    records = of.of.records - field.nulls
    described = _described(of, name)
    if not described["type"].startswith("list"):
        return records
    keys = islice(of.candidate.view[of.name], SAMPLE)
    lists = [record[name] for record in of.candidate.view[of.name].decorate(keys, [name]) if record[name] is not None]
    return records * sum(map(len, lists)) / max(len(lists), 1)


def _dangling(of: Checked, name: str) -> Iterator[str]:
    """Keys of records with a reference that leads to none, with the key that it names."""
    reference = _described(of, name)["reference"]
    target = of.candidate.manifest["types"][reference["type"]]["key"]["field"]
    keys = list(islice(of.candidate.view[of.name], SAMPLE))
    ways = of.candidate.view[of.name].decorate(keys, [f"{reference['name']}.{target}"])
    names = of.candidate.view[of.name].decorate(keys, [name])
    for key, way, named in zip(keys, ways, names, strict=True):
        led, told = way[reference["name"]], named[name]
        pairs = zip(led or (), told or (), strict=True) if isinstance(told, list) else ((led, told),)
        lost = next((of_key for record, of_key in pairs if record is None and of_key is not None), None)
        if lost is not None:
            yield f"{_shown(key)} -> {_shown(lost)}"


def _name_before(of: Checked, name: str) -> str | None:
    """What a field was called in the version before, if that has it."""
    id_, fields = _described(of, name)["id"], of.before["fields"] if of.before else ()
    return next((field["name"] for field in fields if field["id"] == id_), None)


def _described(of: Checked, name: str) -> dict[str, Any]:
    fields: list[dict[str, Any]] = of.candidate.manifest["types"][of.name]["fields"]
    return next(field for field in fields if field["name"] == name)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."

"""Limits of the validators: what each may be, what it is where nobody says, and which holds for a type and a field."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from bedeck.errors import SchemaError, suggest, within

__all__ = ["CHANGES", "DEFAULTS", "Limit", "Limits", "checked"]

Share = float | bool
Limit = Share | str | Mapping[str, Share]

CHANGES: Final = ("none", "compatible", "any")
# Least records, shares from 0 to 1, and which changes of a schema pass.
DEFAULTS: Final[Mapping[str, Share | str]] = {
    "min-records": 1,
    "record-count": 0.1,
    "changed-records": 0.5,
    "duplicate-keys": 0.0,
    "null-keys": 0.0,
    "dangling-references": 0.05,
    "null-share": 0.05,
    "schema-change": "compatible",
}
BY_FIELD: Final = frozenset({"changed-records", "dangling-references", "null-share"})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for one type: of several tables the first that has one says."""

    tables: tuple[Mapping[str, Limit], ...]

    def share(self, validator: str, field: str | None = None) -> float:
        """The limit of a validator that has a number; the one of ``field`` where a table names it."""
        for table in self.tables:
            limit = table.get(validator)
            if isinstance(limit, Mapping):
                limit = limit.get(field or "")
            if limit is False:
                return 0 if validator == "min-records" else inf
            if isinstance(limit, int | float):
                return limit
        return float(DEFAULTS[validator])

    def changes(self) -> str:
        """Which changes of the schema pass: ``none``, ``compatible`` ones or ``any``."""
        tables = (*self.tables, DEFAULTS)
        return next(str(table["schema-change"] or "any") for table in tables if "schema-change" in table)

    def has(self, validator: str) -> bool:
        """Whether somebody says what the limit of a validator is."""
        return any(validator in table for table in self.tables)

    def fields(self) -> dict[str, str]:
        """The fields that limits are named for, and the validator that does."""
        tables = (table.items() for table in self.tables)
        by_field = ((name, limit) for table in tables for name, limit in table if isinstance(limit, Mapping))
        return {field: name for name, limit in by_field for field in limit}


def checked(table: object, *, of_type: bool = False) -> dict[str, Limit]:
    """Limits as ``[validators]`` has them, or with ``of_type`` those of a type; `False` ends a validator.

    Raises `SchemaError`.
    """
    if not isinstance(table, Mapping):
        raise SchemaError(f"validators: a mapping by name is expected, or in a catalogue.toml a table, not {table!r}")
    limits: dict[str, Limit] = {}
    for name, limit in table.items():
        with within(f'validator "{name}"'):
            if name not in DEFAULTS:
                raise SchemaError(f"there is none of this name{suggest(str(name), DEFAULTS, len(DEFAULTS))}")
            limits[name] = _limit(name, limit, of_type=of_type)
    return limits


def _limit(name: str, limit: object, *, of_type: bool) -> Limit:
    if limit is False:
        return False
    if name == "schema-change":
        if limit not in CHANGES:
            raise SchemaError(f"{limit!r} is none of {', '.join(CHANGES)}, and not false")
        return str(limit)
    if name == "min-records":
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise SchemaError(f"a number of records is expected, or false, not {limit!r}")
        return limit
    if not isinstance(limit, Mapping):
        return _share(limit)
    if not of_type or name not in BY_FIELD:
        where = "in [type.X.validators] alone" if name in BY_FIELD else "for no field of its own"
        raise SchemaError(f"it has limits by field {where}: write one share")
    return {field: _share(of) for field, of in limit.items()}


def _share(limit: object) -> Share:
    if limit is False:
        return False
    if not isinstance(limit, int | float) or isinstance(limit, bool) or not 0 <= limit < inf:
        raise SchemaError(f"a share is expected, as 0.1, or false, not {limit!r}")
    return float(limit)

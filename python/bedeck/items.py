"""Entities that carry an id and fields of their own: copies, with metadata."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

__all__ = ["decorate"]


def decorate(
    items: Iterable[Mapping[str, Any]],
    records: Callable[[list[Any]], list[Any]],
    key: str,
    into: str | None,
    missing: Literal["null", "drop", "error"],
) -> list[dict[str, Any]]:
    """A copy of each of ``items``, in order, with the record of its id: under ``into``, or its fields among the item's.

    ``records`` gives those of a list of ids, ``None`` where there is none. Linear in the list.

    Raises ``TypeError`` where an item is no mapping, or has no ``key``; `MissingKeyError` as `Records` does.
    """
    given = list(items)
    ids = [_id(item, key, place) for place, item in enumerate(given)]
    found = zip(given, records(ids), strict=True)
    if into is not None:
        return [{**item, into: record} for item, record in found if record is not None or missing != "drop"]
    return [{**item, **(record or {})} for item, record in found if record is not None or missing != "drop"]


def _id(item: object, key: str, place: int) -> object:
    if not isinstance(item, Mapping):
        raise TypeError(f"items[{place}]: a mapping with {key!r} is expected, not {type(item).__name__}")
    if key not in item:
        raise TypeError(f"items[{place}] has no {key!r}, only {', '.join(map(repr, item)) or 'nothing'}")
    return item[key]

"""A small catalogue for the tests of producers, and what a store holds of it."""

from typing import Any

import bedeck
from bedeck import Key, Reference, Schema, Type
from bedeck.store import LocalStore

__all__ = ["SCHEMA", "Rows", "held", "keyed", "rows"]

Rows = list[dict[str, Any]]

SCHEMA = Schema(
    {
        "track": Type(Key("id", "int"), references={"artists": Reference("artist_ids", "artist")}),
        "artist": Type(Key("id", "string")),
    }
)


def rows(tracks: int = 200, artists: int = 20, tag: str = "") -> dict[str, Rows]:
    return {
        "track": [
            {"id": n, "title": f"title {n}{tag}", "artist_ids": [f"a{n % artists}", f"a{n % 7}"]} for n in range(tracks)
        ],
        "artist": [{"id": f"a{n}", "name": f"name {n}{tag}"} for n in range(artists)],
    }


def held(store: LocalStore, name: str = "track") -> dict[Any, dict[str, Any]]:
    """All records of what is served."""
    records = bedeck.open(store.path)[name]
    return {key: dict(records[key]) for key in records}


def keyed(rows: Rows) -> dict[Any, dict[str, Any]]:
    return {row["id"]: row for row in rows}

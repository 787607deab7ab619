"""Entities that carry an id and fields of their own."""

import time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import bedeck

ROWS = [{"id": f"t{n}", "title": f"Title {n}", "year": 2000 + n} for n in range(9)]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> bedeck.Records:
    store: Path = tmp_path_factory.mktemp("items") / "store"
    bedeck.build(bedeck.Schema({"track": bedeck.Type("id")}), store, {"track": ROWS})
    return bedeck.open(store)["track"]


def entries() -> list[dict[str, Any]]:
    return [{"id": "t1", "added": "monday", "title": "my own"}, {"id": "no", "added": "friday"}, {"id": "t2"}]


def test_the_record_lies_where_it_is_wanted(tracks: bedeck.Records):
    items = entries()
    found = tracks.decorate_items(items, ["title"], into="track")
    assert found == [
        {**items[0], "track": {"title": "Title 1"}},
        {**items[1], "track": None},
        {**items[2], "track": {"title": "Title 2"}},
    ]
    assert items == entries()
    assert tracks.select("title").decorate_items(items, into="track") == found
    assert tracks.decorate_items(iter(items), ["title"], into="track") == found


def test_or_its_fields_are_among_those_of_the_item(tracks: bedeck.Records):
    assert tracks.decorate_items(entries()) == [
        {"id": "t1", "added": "monday", "title": "Title 1", "year": 2001},
        {"id": "no", "added": "friday"},
        {"id": "t2", "title": "Title 2", "year": 2002},
    ]


@pytest.mark.parametrize("into", [None, "track"])
def test_what_is_missing_is_as_asked_for(tracks: bedeck.Records, into: str | None):
    found = tracks.decorate_items(entries(), ["title"], into=into, missing="drop")
    assert [item["id"] for item in found] == ["t1", "t2"]
    with pytest.raises(bedeck.MissingKeyError, match=r"ids\[1\].*no"):
        tracks.decorate_items(entries(), into=into, missing="error")


def test_items_are_any_mappings_with_any_key(tracks: bedeck.Records):
    items = [MappingProxyType({"track_id": "t3", "id": 1}), bedeck_record(tracks)]
    assert tracks.decorate_items(items[:1], ["title"], key="track_id") == [
        {"track_id": "t3", "id": 1, "title": "Title 3"}
    ]
    assert tracks.decorate_items(items[1:], ["year"], into="more") == [{**ROWS[4], "more": {"year": 2004}}]
    assert tracks.decorate_items([]) == []


def bedeck_record(tracks: bedeck.Records) -> bedeck.Record:
    return tracks["t4"]


def test_what_is_wrong_is_told(tracks: bedeck.Records):
    with pytest.raises(TypeError, match=r"items\[1\]: a mapping with 'id' is expected, not str"):
        tracks.decorate_items([{"id": "t1"}, "t2"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"items\[0\] has no 'id', only 'key'"):
        tracks.decorate_items([{"key": "t1"}])
    with pytest.raises(TypeError, match=r"ids\[0\]"):
        tracks.decorate_items([{"id": 7}])
    with pytest.raises(bedeck.SelectionError, match="titel"):
        tracks.decorate_items(entries(), ["titel"])
    with pytest.raises(ValueError, match="missing="):
        tracks.decorate_items(entries(), missing="none")  # type: ignore[arg-type]
    with pytest.raises(bedeck.DeadlineError):
        tracks.decorate_items(entries() * 1000, deadline=time.monotonic() - 1)

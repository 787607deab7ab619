"""Two versions compared: what `bedeck.diff` and the verb `diff` tell is what a comparison of dicts tells."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bedeck
from bedeck.cli import main

ARTISTS = [{"id": f"a{i}", "name": f"artist {i}"} for i in range(8)]
SCHEMA = bedeck.Schema(
    {
        "artist": bedeck.Type("id"),
        "track": bedeck.Type("id", references={"artists": bedeck.Reference("artist_ids", "artist")}),
    }
)

Rows = dict[str, dict[str, Any]]

rows = st.dictionaries(
    st.integers(0, 40).map(lambda i: f"t{i}"),
    st.fixed_dictionaries(
        {
            "title": st.sampled_from(["No Air", 'Ein "Lied"', "夜"]) | st.none(),
            "seconds": st.integers(0, 3) | st.none(),
            "artist_ids": st.lists(st.integers(0, 11).map(lambda i: f"a{i}") | st.none(), max_size=3) | st.none(),
        }
    ),
    max_size=30,
)


COLUMNS = {"id": pa.string(), "title": pa.string(), "seconds": pa.int64(), "artist_ids": pa.list_(pa.string())}


def table(tracks: Rows) -> pa.Table:
    listed = [{"id": key, **row} for key, row in tracks.items()]
    return pa.Table.from_pylist(listed, schema=pa.schema(COLUMNS))


def build(store: Path, *versions: Rows) -> Path:
    for tracks in versions:
        bedeck.build(SCHEMA, store, {"artist": ARTISTS, "track": table(tracks)})
    return store


@given(rows, rows)
def test_counts_are_those_of_a_comparison_of_dicts(old: Rows, new: Rows) -> None:
    with TemporaryDirectory() as folder:
        found = bedeck.diff(build(Path(folder, "store"), old, new), 1, 2, examples=100)
        track = found.types["track"]
        both = old.keys() & new.keys()
        names = ("title", "seconds", "artist_ids")
        differing = {name: {key for key in both if old[key][name] != new[key][name]} for name in names}
        assert {example.key for example in track.examples_added} == new.keys() - old.keys()
        assert {example.key for example in track.examples_removed} == old.keys() - new.keys()
        assert (track.added, track.removed) == (len(new.keys() - old.keys()), len(old.keys() - new.keys()))
        changed = set().union(*differing.values())
        assert (track.changed, track.same) == (len(changed), len(both) - len(changed))
        for name, keys in differing.items():
            assert track.fields[name].changed == len(keys)
            told = {example.key: (example.before, example.after) for example in track.fields[name].examples}
            assert told == {key: (old[key][name], new[key][name]) for key in keys}
        artist = found.types["artist"]
        assert (artist.added, artist.removed, artist.changed, artist.same) == (0, 0, 0, len(ARTISTS))


ONE = {
    "t1": {"title": "No Air", "seconds": 1, "artist_ids": ["a1"]},
    "t2": {"title": "夜", "seconds": 2, "artist_ids": []},
}
TWO = {
    "t1": {"title": "No Air", "seconds": 7, "artist_ids": ["a1"]},
    "t3": {"title": None, "seconds": 2, "artist_ids": None},
}


def test_the_verb_tells_people_and_programs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = build(tmp_path / "store", ONE, TWO)
    with pytest.raises(SystemExit, match="0"):
        main(["diff", str(store), "1", "2", "--type", "track"])
    told = capfd.readouterr().out
    assert told.splitlines()[:4] == [
        "version 1 to version 2",
        "track: 1 added, 1 removed, 1 changed, 0 the same",
        "  seconds: 1 changed",
        '    "t1": 1 -> 7',
    ]
    assert '    "t2": {"title": "夜", "seconds": 2, "artist_ids": []}' in told
    with pytest.raises(SystemExit, match="0"):
        main(["diff", str(store), "1", "--json"])
    facts = json.loads(capfd.readouterr().out)
    assert facts["after"] == 2
    assert facts["types"]["track"]["fields"]["seconds"] == {
        "changed": 1,
        "examples": [{"key": "t1", "before": 1, "after": 7}],
    }


def test_what_cannot_be_compared_record_by_record_says_why(tmp_path: Path) -> None:
    store = tmp_path / "store"
    bedeck.build(
        bedeck.Schema({"x": bedeck.Type("id"), "gone": bedeck.Type("id")}),
        store,
        {"x": [{"id": 1}], "gone": [{"id": "g"}]},
    )
    bedeck.build(bedeck.Schema({"x": bedeck.Type("id")}), store, {"x": [{"id": "1"}, {"id": "2"}]})
    found = bedeck.diff(store, 1, 2)
    assert found.types["gone"].note == "only version 1 has it"
    assert found.types["gone"].removed == 1
    assert (found.types["x"].added, found.types["x"].removed) == (2, 1)
    assert found.types["x"].note == "its keys were int, and are string"
    with pytest.raises(bedeck.SelectionError, match="no type 'y' in either"):
        bedeck.diff(store, 1, 2, types=["y"])
    with pytest.raises(bedeck.NotFoundError, match="no version 9"):
        bedeck.diff(store, 1, 9)


def test_fields_are_told_apart_by_what_both_versions_have(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for row in ({"id": b"k", "old": 1, "both": 1}, {"id": b"k", "both": 2, "new": 3}):
        bedeck.build(bedeck.Schema({"x": bedeck.Type("id")}), store, {"x": [row]})
    x = bedeck.diff(store, 1).types["x"]
    assert (x.new_fields, x.lost_fields, x.changed) == (["new"], ["old"], 1)
    assert x.fields["both"].examples[0] == bedeck.diff(store, 1, 2).types["x"].fields["both"].examples[0]
    assert (x.fields["both"].examples[0].key, x.fields["both"].examples[0].after) == (b"k", 2)


def test_progress_is_told_and_can_end_it(tmp_path: Path) -> None:
    store = build(tmp_path / "store", ONE, TWO)
    told: list[tuple[int, int]] = []
    bedeck.diff(store, 1, 2, progress=lambda done, of: told.append((done, of)))
    assert told
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]

    def stop(_done: int, _of: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bedeck.diff(store, 1, 2, progress=stop)

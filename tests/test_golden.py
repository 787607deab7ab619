"""Stores that were written in each version of the format, once: every later bedeck reads them, and builds on them."""

import base64
import json
import runpy
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import bedeck
from bedeck import reference

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path for path in GOLDEN.iterdir() if (path / "answers.json").exists())
VERSIONS = [1, 2, 3, 4]
UNKNOWN = {"track": "0" * 22, "artist": "00000000-0000-0000-0000-000000000000", "album": 99, "market": "", "print": b""}

golden = pytest.mark.parametrize("golden", FORMATS, ids=[path.name for path in FORMATS])


@pytest.fixture
def store(golden: Path, tmp_path: Path) -> Path:
    return shutil.copytree(golden / "store", tmp_path / "store")


def answers(golden: Path, version: int) -> dict[str, Any]:
    return json.loads((golden / "answers.json").read_text())[str(version)]


def ids(name: str, records: Iterable[dict[str, Any]]) -> list[Any]:
    keys = [record["id"] for record in records]
    return [base64.b64decode(key) for key in keys] if name == "print" else keys


def test_there_is_one_of_each_version_of_the_format():
    assert [path.name for path in FORMATS] == ["format-1"]


@golden
@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_is_as_it_was_written(golden: Path, store: Path, version: int):
    ours, theirs = bedeck.open(store, version=version), reference.open(store, version)
    for name, of_type in answers(golden, version).items():
        fields, expected = of_type["fields"], of_type["records"]
        asked = [UNKNOWN[name], *ids(name, expected), UNKNOWN[name]]
        assert json.loads(ours[name].decorate_json(asked, fields)) == [None, *expected, None]
        assert json.loads(theirs[name].decorate_json(asked, fields)) == [None, *expected, None]
        assert len(ours[name]) == len(theirs[name]) == len(expected)
        assert sorted(ours[name]) == sorted(theirs[name]) == sorted(ids(name, expected))
        assert theirs[name].digest() == ours.info()["types"][name]["digest"]


@golden
def test_what_was_renamed_answers_to_its_old_name(golden: Path, store: Path):
    tracks = answers(golden, 4)["track"]["records"]
    expected = [{"title": track["name"]} for track in tracks]
    assert json.loads(bedeck.open(store)["track"].decorate_json(ids("track", tracks), ["title"])) == expected


@golden
def test_all_kinds_of_layers_are_in_it(store: Path):
    kinds = {
        version: [layer["kind"] for layer in bedeck.open(store, version=version).info()["types"]["track"]["layers"]]
        for version in VERSIONS
    }
    assert kinds == {
        1: ["group"],
        2: ["group", "overlay"],
        3: ["group", "group", "overlay"],
        4: ["group", "group", "group", "overlay"],
    }


@golden
def test_versions_are_built_on_it(golden: Path, store: Path):
    before = answers(golden, 4)["track"]
    asked, fields = ids("track", before["records"]), before["fields"]
    rows = bedeck.open(store)["track"].decorate(asked[3:5], [field for field in fields if "." not in field])
    schema = runpy.run_path(str(GOLDEN / "make.py"))["newest"]()
    producer = bedeck.Producer(store, schema)
    producer.update({"track": [{**row, "name": "built on it"} for row in rows]}, {"track": asked[:1]})
    expected = [{**record, "name": "built on it"} for record in before["records"][3:5]]
    expected = [None, *before["records"][1:3], *expected, *before["records"][5:]]
    for compact in (False, True):
        if compact:
            producer.compact()
        for read in (bedeck.open(store), reference.open(store)):
            assert json.loads(read["track"].decorate_json(asked, fields)) == expected

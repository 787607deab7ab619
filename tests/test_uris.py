"""Lists of URIs, of several types."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bedeck

SCHEMA = bedeck.Schema(
    {
        "track": bedeck.Type("id", uri="music:track:{id}", references={"artist": bedeck.Reference("by", "artist")}),
        "artist": bedeck.Type("id", uri="music:artist:{id}"),
        "user": bedeck.Type(bedeck.Key("n", "int"), uri="music:user:{n}:profile"),
        "list": bedeck.Type("id", uri="music:{id}"),
        "note": bedeck.Type("id", uri="music:{id}:note (.*)"),
        "blob": bedeck.Type("id", uri="music:blob:{id}"),
        "bare": bedeck.Type("id"),
    }
)
ROWS: dict[str, list[dict[str, Any]]] = {
    "track": [{"id": f"t{n}", "title": f"Title {n}", "by": f"a{n % 3}"} for n in range(9)],
    "artist": [{"id": f"a{n}", "name": f"Name {n}"} for n in range(3)],
    "user": [{"n": n, "name": f"User {n}"} for n in (0, 7, -7, 2**63 - 1)],
    "list": [{"id": text, "name": f"List {text}"} for text in ("x", "track:t1", "user:7", "a\nb", "é")],
    "note": [{"id": "7", "name": "Note 7"}, {"id": "user:7", "name": "Note user"}],
    "blob": [{"id": b"x", "size": 1}],
    "bare": [{"id": "x", "name": "bare"}],
}
FIELDS = {"track": ["title", "artist.name"], "artist": ["name"], "user": ["name"], "list": ["name"]}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> bedeck.Catalogue:
    store = tmp_path_factory.mktemp("uris") / "store"
    bedeck.build(SCHEMA, store, ROWS)
    return bedeck.open(store)


def test_each_is_answered_in_its_place(catalogue: bedeck.Catalogue):
    uris = ["music:artist:a1", "music:track:t4", "music:track:no", "other:track:t1", "", "music:track:t4", "music:list"]
    title = {"title": "Title 4", "artist": {"name": "Name 1"}}
    expected = [{"name": "Name 1"}, title, None, None, None, title, None]
    assert catalogue.decorate(uris, FIELDS) == expected
    assert catalogue.decorate(iter(uris), FIELDS) == expected
    with catalogue.view() as view:
        assert view.decorate(uris, FIELDS) == expected
    assert catalogue.decorate(uris, FIELDS, missing="drop") == [row for row in expected if row]
    assert catalogue.decorate([], FIELDS) == catalogue.decorate(uris, {}, missing="drop") == []
    assert catalogue.decorate(["music:track:t1"], {"artist": None}) == [None]


def test_all_fields_are_those_of_the_type(catalogue: bedeck.Catalogue):
    found = catalogue.decorate(["music:track:t1", "music:artist:a2"], {"track": None, "artist": None})
    assert found == [{"title": "Title 1", "by": "a1"}, {"name": "Name 2"}]


@pytest.mark.parametrize(
    ("key", "there"),
    [("7", True), ("-7", True), ("0", True), (str(2**63 - 1), True)]
    + [(text, False) for text in ("07", "+7", "7.0", " 7", "-0", "", "\u0667", "9" * 20, "9" * 5000, "7\n", "seven")],
)
def test_integers_have_one_way_to_be_written(catalogue: bedeck.Catalogue, key: str, there: bool):  # noqa: FBT001
    [found] = catalogue.decorate([f"music:user:{key}:profile"], {"user": ["name"]})
    assert (found is not None) == there


def test_the_text_around_the_key_decides(catalogue: bedeck.Catalogue):
    uris = ["music:x", "music:track:t1", "music:user:7", "music:user:7:profile", "music:a\nb", "music:é"]
    names = [row and row.get("name") for row in catalogue.decorate(uris, FIELDS)]
    assert names == ["List x", None, "List user:7", "User 7", "List a\nb", "List é"]
    both = {"list": ["name"], "note": ["name"]}
    assert catalogue.decorate(["music:7:note (.*)", "music:7:note", "music:user:7:note (.*)"], both) == [
        {"name": "Note 7"},
        None,
        {"name": "Note user"},
    ]
    assert catalogue.decorate(uris[1:2], {"list": ["name"]}) == [{"name": "List track:t1"}]


def test_what_is_wrong_is_told(catalogue: bedeck.Catalogue):
    with pytest.raises(bedeck.MissingKeyError, match=r"uris\[1\]: 'music:track:no'"):
        catalogue.decorate(["music:track:t1", "music:track:no"], FIELDS, missing="error")
    with pytest.raises(bedeck.SelectionError, match=r"'bare' has no URIs: declare uri = .*\{id\}"):
        catalogue.decorate([], {"bare": None})
    with pytest.raises(bedeck.SelectionError, match="'blob' has keys of bytes"):
        catalogue.decorate([], {"blob": None})
    with pytest.raises(bedeck.SelectionError, match=r"'trak'.*did you mean"):
        catalogue.decorate([], {"trak": None})
    with pytest.raises(bedeck.SelectionError, match="titel"):
        catalogue.decorate([], {"track": ["titel"]})
    for strange in (None, b"music:track:t1", 7):
        with pytest.raises(TypeError, match=r"uris\[1\]: text is expected, not "):
            catalogue.decorate(["x", strange], FIELDS)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="one string"):
        catalogue.decorate([], {"track": "title"})
    with pytest.raises(TypeError, match="one string"):
        catalogue.decorate("music:track:t1", FIELDS)
    with pytest.raises(ValueError, match="missing='none': expected \"null\""):
        catalogue.decorate([], FIELDS, missing="none")  # type: ignore[arg-type]
    with pytest.raises(bedeck.DeadlineError):
        catalogue.decorate(["music:track:t1"] * 1000, FIELDS, deadline=time.monotonic() - 1)


@given(asked=st.lists(st.tuples(st.sampled_from(["track", "artist", "user"]), st.integers(-8, 12))))
def test_it_is_as_each_type_alone(catalogue: bedeck.Catalogue, asked: list[tuple[str, int]]):
    keys = [n if name == "user" else f"{name[0]}{n}" for name, n in asked]
    uris = [SCHEMA.types[name].uri or "" for name, _ in asked]
    full = [uri.replace("{id}", str(key)).replace("{n}", str(key)) for uri, key in zip(uris, keys, strict=True)]
    alone = [catalogue[name].decorate([key], FIELDS[name])[0] for (name, _), key in zip(asked, keys, strict=True)]
    assert catalogue.decorate(full, FIELDS) == alone
    for holder in (catalogue, catalogue.view()):
        assert json.loads(holder.decorate_json(full, FIELDS)) == alone
        assert json.loads(holder.decorate_json(full, FIELDS, missing="drop")) == [row for row in alone if row]


def test_a_list_is_of_one_version(tmp_path: Path):
    store = tmp_path / "store"
    for version in (1, 2):
        rows = {name: [{**row, "name": str(version)} for row in of] for name, of in ROWS.items()}
        bedeck.build(SCHEMA, store, rows)
    view = bedeck.open(store, version=1).view()
    fields = {"track": ["name"], "artist": ["name"]}
    assert view.decorate(["music:track:t1", "music:artist:a1"], fields) == [{"name": "1"}, {"name": "1"}]
    assert view.decorate_json(["music:x"], {"list": ["name"]}) == b'[{"name":"1"}]'


def test_of_two_types_with_the_same_uris_one_can_be_asked_for(tmp_path: Path):
    types = {name: bedeck.Type("id", uri="x:{id}") for name in ("a", "b")}
    bedeck.build(bedeck.Schema(types), tmp_path, {name: [{"id": "1", "of": name}] for name in types})
    catalogue = bedeck.open(tmp_path)
    assert catalogue.decorate(["x:1"], {"b": ["of"]}) == [{"of": "b"}]
    with pytest.raises(bedeck.SelectionError, match="'a' and 'b' have the same uri"):
        catalogue.decorate([], {"a": ["of"], "b": ["of"]})

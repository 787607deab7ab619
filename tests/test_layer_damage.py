"""Damaged and forged layers: native core and reference reader refuse them, or answer as before, and as each other."""

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import bedeck
import layering
from bedeck import Catalogue, reference
from bedeck._files import read_blob
from bedeck._guard import Json
from bedeck.errors import DamagedError, Error, FormatError
from forgery import Blob, Forgery
from layered import Laying, lay
from mutations import mutate
from oracle import exact
from pasts import past

EXAMPLES = int(os.environ.get("BEDECK_EXAMPLES", "100"))
LAYERS = [("track", 0), ("track", 2), ("artist", 1)]
OVERLAYS = [("artist", 1), ("track", 3)]
DELETED = struct.pack("<I", layering.DELETED)
PASTS = past()
IDS = {name: of.known.keys for name, of in PASTS.items()}
FIELDS = {
    "artist": ["id", "name", "releases", "albums", "country"],
    "track": ["title", "plays", "genre", "artist_ids", "next_id", "released", "artists.name", "next.artists.country"],
}


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Forgery:
    """A store whose types have all kinds of layers, not to be changed."""
    return Forgery(lay(tmp_path_factory.mktemp("genuine"), PASTS, Random(1)))


@pytest.fixture
def forgery(genuine: Forgery) -> Forgery:
    return genuine.copy()


def answers(catalogue: Catalogue | reference.Store) -> Any:
    """All that is asked of a version, by type; of what is refused, the error."""
    return {name: answer(catalogue, name) for name in IDS}


def answer(catalogue: Catalogue | reference.Store, name: str) -> Any:
    try:
        records = catalogue[name]
        return exact([list(records), len(records), records.decorate(IDS[name], FIELDS[name])])
    except Error as error:
        return error


def refused(forgery: Forgery, store: Path, match: str | None = None) -> None:
    """Both readers refuse the store when it is opened."""
    forgery.write(store)
    for read in (bedeck.open, reference.open):
        with pytest.raises((DamagedError, FormatError), match=match):
            read(store)


def patched(blob: Blob, section: str, at: int, data: bytes) -> None:
    blob.parts[section][at : at + len(data)] = data


def changed(blob: Blob, **members: Any) -> None:
    """Have the directory say something else; `None` leaves a member out."""
    directory = {**blob.directory, **members}
    blob.directory = {name: value for name, value in directory.items() if value is not None}


# Bytes that no checksum fits


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with one bit of each byte flipped in turn."""
    for place, byte in enumerate(data):
        yield data[:place] + bytes([byte ^ 1 << place % 8]) + data[place + 1 :]


@pytest.mark.parametrize(("name", "place"), LAYERS)
def test_every_changed_byte_and_other_lengths_of_a_layer_are_told(
    forgery: Forgery, tmp_path: Path, name: str, place: int
) -> None:
    forgery.write(tmp_path / "store")
    layer = forgery.layer(name, place)
    path = tmp_path / "store" / "blobs" / layer["blob"]["name"]
    data = path.read_bytes()
    lengths = [data[:length] for length in range(0, len(data), 7)] + [data[:-1], data + b"\0", data + data]
    for number, wrong in enumerate((*flipped(data), *lengths)):
        path.write_bytes(wrong)
        with pytest.raises(DamagedError) as raised:
            bedeck.open(tmp_path / "store")
        assert str(path) in str(raised.value)
        if number % 9 == 0:  # it takes its time
            with pytest.raises((DamagedError, FormatError)) as raised_there:
                read_blob(tmp_path / "store", name, Json("layer", layer))
            assert str(path) in str(raised_there.value)


# Forged so that every checksum fits: what leads from a base to its overlay


@pytest.mark.parametrize("section", ["changes", "places", "inserted"])
@pytest.mark.parametrize(("name", "place"), OVERLAYS)
def test_flipped_bits_of_what_leads_to_an_overlay_are_told(
    genuine: Forgery, tmp_path: Path, name: str, place: int, section: str
) -> None:
    length = genuine.blobs[name][place].directory["sections"][section]["length"]
    for bit in (*range(min(96, 8 * length)), *range(96, 8 * length, 13)):  # those behind are of slots that are not
        forged = genuine.copy()
        forged.blobs[name][place].parts[section][bit // 8] ^= 1 << bit % 8
        refused(forged, tmp_path / "store", match=r"blobs/\w+-\w+\.blob: ")


@pytest.mark.parametrize("section", ["changes", "places", "inserted"])
@pytest.mark.parametrize("by", [-64, -4, -1, 1, 4, 64])
def test_sections_that_lead_to_an_overlay_have_the_length_they_should(
    forgery: Forgery, tmp_path: Path, section: str, by: int
) -> None:
    blob = forgery.blobs["track"][3]
    sections = blob.directory["sections"]
    sections[section]["length"] = max(0, sections[section]["length"] + by)
    changed(blob, sections=sections)
    if (section, by) == ("inserted", 4):  # one more that came and went, which may be
        patched(blob, "inserted", 8, DELETED)
        forgery.write(tmp_path / "store")
        assert len(bedeck.open(tmp_path / "store")["track"]) == len(reference.open(tmp_path / "store")["track"]) == 6
    else:
        refused(forgery, tmp_path / "store")


@pytest.mark.parametrize("section", ["pilots", "records", "heap", "values", "locator", "changes", "places", "inserted"])
@pytest.mark.parametrize("extent", [(1 << 40, 8), (0, 1 << 40), (1 << 63, 1 << 63), (2**64 - 1, 1)])
def test_sections_of_an_overlay_lie_in_its_file(
    forgery: Forgery, tmp_path: Path, section: str, extent: tuple[int, int]
) -> None:
    blob = forgery.blobs["track"][3]
    sections = {**blob.directory["sections"], section: {"offset": extent[0], "length": extent[1]}}
    changed(blob, sections=sections)
    refused(forgery, tmp_path / "store")


def test_a_place_in_another_order_is_told_by_the_reference(forgery: Forgery, tmp_path: Path) -> None:
    places = forgery.blobs["artist"][1].parts["places"]
    places[:8] = places[4:8] + places[:4]  # one is that of a record, one says that it is deleted
    forgery.write(tmp_path / "store")
    with pytest.raises(DamagedError, match="key other than that of its place"):
        reference.open(tmp_path / "store")
    records = bedeck.open(tmp_path / "store")["artist"]
    assert set(records) == {"abba", "dio", "enya", "cher", "falco", "gala"}
    assert [record and record["id"] for record in records.decorate(IDS["artist"], ["id"])] in (
        ["abba", "dio", "enya", "cher", "falco", "gala", None],
        ["abba", "dio", "enya", None, "falco", "gala", None],
    )


# What lies over what


def test_an_overlay_without_its_base_is_told(forgery: Forgery, tmp_path: Path) -> None:
    for name in ("artist", "track"):
        alone = forgery.copy()
        for kept in (alone.blobs[name], alone.manifest["types"][name]["layers"]):
            del kept[:-1]
        refused(alone, tmp_path / "store")


def test_a_type_without_layers_is_told(forgery: Forgery, tmp_path: Path) -> None:
    forgery.write(tmp_path / "store")
    forgery.manifest["types"]["track"]["layers"] = []
    forgery.write_manifest(tmp_path / "store")
    for read in (bedeck.open, reference.open):
        with pytest.raises(DamagedError, match="layers"):
            read(tmp_path / "store")


@pytest.mark.parametrize(
    "order", [[1, 0, 2, 3], [3, 0, 1, 2], [0, 3, 1, 2], [0, 1, 3, 2], [0, 0], [0, 3, 3], [0, 1, 0]]
)
def test_layers_in_another_order_are_told(forgery: Forgery, tmp_path: Path, order: list[int]) -> None:
    forgery.write(tmp_path / "store")
    layers = forgery.manifest["types"]["track"]["layers"]
    forgery.manifest["types"]["track"]["layers"] = [layers[place] for place in order]
    forgery.write_manifest(tmp_path / "store")
    for read in (bedeck.open, reference.open):
        with pytest.raises(DamagedError):
            read(tmp_path / "store")


def test_more_groups_than_there_can_be_are_told(forgery: Forgery, tmp_path: Path) -> None:
    forgery.write(tmp_path / "store")
    base, group, *_ = forgery.manifest["types"]["track"]["layers"]
    forgery.manifest["types"]["track"]["layers"] = [base, *[group] * 1001]
    forgery.write_manifest(tmp_path / "store")
    with pytest.raises(DamagedError, match="more than 1,000 groups"):
        bedeck.open(tmp_path / "store")


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize("base", [None, "", "0" * 64, 1, "itself"])
def test_a_layer_over_another_base_is_told(forgery: Forgery, tmp_path: Path, place: int, base: Any) -> None:
    blob = forgery.blobs["track"][place]
    changed(blob, base=forgery.layer("artist")["blob"]["hash"] if base == "itself" else base)
    refused(forgery, tmp_path / "store")


def test_a_base_that_says_it_lies_over_one_is_told(forgery: Forgery, tmp_path: Path) -> None:
    changed(forgery.base("track"), base="0" * 64)
    refused(forgery, tmp_path / "store")


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("kind", [None, "base", "group", "overlay", "snapshot", 1])
@pytest.mark.parametrize("where", ["directory", "manifest", "both"])
def test_a_layer_of_another_kind_is_told(forgery: Forgery, tmp_path: Path, place: int, kind: Any, where: str) -> None:
    blob, layer = forgery.blobs["track"][place], forgery.layer("track", place)
    if layer["kind"] == kind:
        return
    if where != "manifest":
        changed(blob, kind=kind)
    if where != "directory":
        layer["kind"] = kind
    refused(forgery, tmp_path / "store")


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize(
    "members",
    [
        {"epoch": "0" * 32},
        {"key": {"field": "id", "kind": "int", "width": 8, "signed": False}},
        {"key": {"field": "i", "kind": "int", "width": 8}},
        {"key": {"field": "id", "kind": "string", "width": 0}},
        {"type": "artist"},
    ],
)
def test_a_layer_that_is_not_of_its_base_is_told(
    forgery: Forgery, tmp_path: Path, place: int, members: dict[str, Any]
) -> None:
    changed(forgery.blobs["track"][place], **members)
    refused(forgery, tmp_path / "store")


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("member", ["seed", "parts", "buckets", "slots"])
@pytest.mark.parametrize("by", [-1, 1, 2**31])
def test_a_group_of_other_slots_is_told(forgery: Forgery, tmp_path: Path, place: int, member: str, by: int) -> None:
    blob = forgery.blobs["track"][place]
    index = blob.directory["index"]
    changed(blob, index={**index, member: index[member] + by})
    refused(forgery, tmp_path / "store")


def test_a_group_that_lacks_records_is_told(forgery: Forgery, tmp_path: Path) -> None:
    for blob in forgery.blobs["track"][1:3]:
        if blob.directory["locator"]["width"] == 0:
            changed(blob, record={**blob.directory["record"], "fixed": 200})
            refused(forgery, tmp_path / "store", match="section records|: records: ")
            return
    pytest.fail("no group has records of one length")


def test_a_group_with_a_hole_where_the_base_has_a_record_is_told(forgery: Forgery, tmp_path: Path) -> None:
    laying = Laying(forgery, PASTS, Random(2))
    shape = laying.shapes["track"]
    group = PASTS["track"].groups[0]
    some = [key for key in PASTS["track"].base.keys if key != 1]
    columns = [laying.coded(held, "group") for held in group]
    short = [replace(column, values=column.values[1:]) for column in columns]
    directory = {
        name: forgery.blobs["track"][1].directory[name] for name in ("type", "kind", "base", "epoch", "digest")
    }
    slots = [shape.slot(laying.stored("track", key)) for key in some]
    key = forgery.manifest["types"]["track"]["key"]
    layouts = (
        layering.write({**directory, "records": 5}, shape, key, slots, None, short, Random(seed)) for seed in range(99)
    )
    forgery.blobs["track"][1] = next(blob for blob in layouts if blob.directory["locator"]["width"])
    forgery.write(tmp_path / "store")
    with pytest.raises(DamagedError, match="has nothing of the record in slot"):
        reference.open(tmp_path / "store")
    with pytest.raises(DamagedError):
        bedeck.open(tmp_path / "store")["track"].decorate([1], ["genre"])


# What the schema of the version says


def field(forgery: Forgery, name: str, field_name: str) -> dict[str, Any]:
    fields: list[dict[str, Any]] = forgery.manifest["types"][name]["fields"]
    return next(of for of in fields if of["name"] == field_name)


@pytest.mark.parametrize(
    ("name", "field_name", "type_"),
    [
        ("track", "plays", "uint16"),
        ("track", "plays", "int32"),
        ("track", "plays", "string"),
        ("track", "plays", "float64"),
        ("track", "plays", "list<uint32>"),
        ("track", "title", "binary"),
        ("track", "released", "timestamp[us]"),
        ("track", "next_id", "list<reference>"),
        ("track", "artist_ids", "list<string>"),
        ("artist", "releases", "uint16"),
        ("artist", "releases", "int8"),
    ],
)
def test_a_type_that_layers_cannot_be_read_as_is_told(
    forgery: Forgery, tmp_path: Path, name: str, field_name: str, type_: str
) -> None:
    described = field(forgery, name, field_name)
    described["type"] = type_
    if "reference" not in type_:
        described.pop("reference", None)
    refused(forgery, tmp_path / "store")


@pytest.mark.parametrize("target", ["track", "album"])
def test_a_reference_to_another_type_is_told(forgery: Forgery, tmp_path: Path, target: str) -> None:
    field(forgery, "track", "artist_ids")["reference"]["type"] = target
    refused(forgery, tmp_path / "store")


def test_a_field_that_no_layer_has_is_null(forgery: Forgery, tmp_path: Path) -> None:
    fields = forgery.manifest["types"]["track"]["fields"]
    fields += [
        {"id": 99, "name": "later", "type": "list<date>"},
        {"id": 98, "name": "other_id", "type": "reference", "reference": {"name": "other", "type": "artist"}},
    ]
    forgery.write(tmp_path / "store")
    nothing = {"later": None, "other_id": None, "other": None}
    for read in (bedeck.open, reference.open):
        records = read(tmp_path / "store")["track"]
        assert records.decorate([1, 6], ["later", "other_id", "other.name"]) == [nothing, nothing]
    assert reference.open(tmp_path / "store")["track"].digest() == forgery.manifest["types"]["track"]["digest"]


# References to what is not there


def lead(forgery: Forgery, ordinal: int) -> None:
    """Write the overlay of tracks anew; in the first of its records, `next` leads to that ordinal of tracks."""

    class Leading(Laying):
        def coded(self, held: Any, kind: str) -> layering.Column:
            column = super().coded(held, kind)
            if column.name != "next_id":
                return column
            codes = [len(column.dangling) + ordinal, *column.values[1:]]
            return replace(column, values=codes, printed=None)

    forgery.blobs["track"].pop()
    forgery.manifest["types"]["track"]["layers"].pop()
    Leading(forgery, PASTS, Random(5)).overlay("track")


def hole(shape: layering.Shape, taken: set[int]) -> int:
    return next(slot for slot in range(shape.total) if slot not in taken)


ORDINALS: Mapping[str, Callable[[layering.Shape, set[int]], int]] = {
    "a hole of the base": hole,
    "one that came and is gone": lambda shape, _: shape.total + 2,
    "one that never came": lambda shape, _: shape.total + 3,
    "one far beyond": lambda _shape, _: 2**32 - 2,
    "one beyond all": lambda _shape, _: 2**40,
}


@pytest.mark.parametrize("ordinal", list(ORDINALS))
def test_a_reference_to_an_ordinal_that_no_record_has_is_told(forgery: Forgery, tmp_path: Path, ordinal: str) -> None:
    laying = Laying(forgery, PASTS, Random(4))
    shape = laying.shapes["track"]
    taken = {shape.slot(laying.stored("track", key)) for key in PASTS["track"].base.keys}
    lead(forgery, ORDINALS[ordinal](shape, taken))
    blob, (sections, at) = forgery.blobs["track"][3], ("inserted", 8)
    blob.parts[sections][at : at + 4] = DELETED  # there is room for one more
    extents = blob.directory["sections"]
    extents["inserted"]["length"] = 12
    changed(blob, sections=extents)
    forgery.write(tmp_path / "store")
    first = PASTS["track"].replaced[0]
    for read in (bedeck.open, reference.open):
        records = read(tmp_path / "store")["track"]
        assert records.decorate([first], ["title"]) == [{"title": "three"}]
        for way in ("next_id", "next.title"):
            with pytest.raises(DamagedError):
                records.decorate([first], [way])
            with pytest.raises(DamagedError):
                records.decorate_json([first], [way])


def test_a_reference_to_a_deleted_record_keeps_its_key(forgery: Forgery, tmp_path: Path) -> None:
    laying = Laying(forgery, PASTS, Random(4))
    gone = laying.shapes["track"].slot(laying.stored("track", 4))
    lead(forgery, gone)
    forgery.write(tmp_path / "store")
    for read in (bedeck.open, reference.open):
        records = read(tmp_path / "store")["track"]
        assert records.decorate([3, 4], ["next_id", "next.title"]) == [{"next_id": 4, "next": None}, None]
        assert json.loads(records.decorate_json([3], ["next_id", "next.title"])) == [{"next_id": 4, "next": None}]


# Anything else


@pytest.mark.parametrize("first", range(0, 3 * EXAMPLES, EXAMPLES))
def test_what_both_readers_take_they_answer_alike(genuine: Forgery, tmp_path: Path, first: int) -> None:
    for seed in range(first, first + EXAMPLES):
        forged = genuine.copy()
        told = mutate(Random(seed), forged)
        forged.write(tmp_path / "store")
        try:
            theirs = answers(reference.open(tmp_path / "store"))
            ours = answers(bedeck.open(tmp_path / "store"))
        except Error:
            continue
        for name, answered in theirs.items():
            if not (isinstance(answered, Error) or isinstance(ours[name], Error)):
                assert ours[name] == answered, f"seed {seed}: {told}"

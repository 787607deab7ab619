"""The way of the reference reader to a version, and its guards. Whole stores are compared where they are built."""

import json
from pathlib import Path

import pytest

from bedeck import reference
from bedeck._blake3 import blake3
from bedeck._guard import Json
from bedeck.errors import DamagedError, FormatError, NotFoundError


def test_json_is_taken_apart_with_every_shape_checked() -> None:
    with pytest.raises(DamagedError, match="where: is not JSON"):
        Json.parse("where", b"{")
    with pytest.raises(DamagedError, match="where: is not JSON"):
        Json.parse("where", b"[" * 100_000)
    tree = Json.parse("where", b'{"a": [1, null], "h": "0g"}')
    with pytest.raises(DamagedError, match="has no 'b'"):
        tree["b"]
    with pytest.raises(DamagedError, match=r"where\.a\[1\]: is not of type int"):
        tree["a"].items()[1].integer()
    with pytest.raises(DamagedError, match=r"where\.a\[0\]: is 1, not a number from 2 to 3"):
        tree["a"].items()[0].integer(2, 3)
    with pytest.raises(DamagedError, match="hex"):
        tree["h"].hex(2)


def announce(store: Path, number: int, manifest: str = "0" * 64, **members: object) -> Path:
    announced = {"version": number, "manifest": manifest}
    entry = {"entry": number, "kind": "announce", "announced": announced, "pinned": None} | members
    line = json.dumps(entry).encode()
    path = store / "log" / f"{number:010}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(line + b"\nblake3:" + blake3(line).hex().encode() + b"\n")
    return path


def publish(store: Path, number: int, **members: object) -> None:
    data = json.dumps({"format": 1, "namespace": "default", "version": number, "types": {}} | members).encode()
    (store / "manifests").mkdir(exist_ok=True)
    (store / "manifests" / f"{blake3(data).hex()}.json").write_bytes(data)
    announce(store, number, blake3(data).hex())


def test_the_newest_announced_version_is_opened_or_the_one_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no version is announced"):
        reference.open(tmp_path)
    publish(tmp_path, 1)
    publish(tmp_path, 2)
    (tmp_path / "log" / "9.json").write_bytes(b"")  # ten digits are a log entry's name
    assert reference.open(tmp_path).version == 2
    assert reference.open(tmp_path, version=1).version == 1
    with pytest.raises(NotFoundError, match="version 3"):
        reference.open(tmp_path, version=3)


def test_a_pinned_version_goes_before_the_announced_one(tmp_path: Path) -> None:
    for number in (1, 2):
        publish(tmp_path, number)
    first, second = (json.loads(path.read_text().split("\n")[0]) for path in sorted(tmp_path.glob("log/*")))
    announce(tmp_path, 3, kind="pin", announced=second["announced"], pinned=first["announced"])
    assert reference.open(tmp_path).version == 1
    assert reference.open(tmp_path, version=2).version == 2
    announce(tmp_path, 4, kind="unpin", announced=second["announced"])
    assert reference.open(tmp_path).version == 2


def test_a_version_that_was_dropped_is_not_found_though_its_files_are_there(tmp_path: Path) -> None:
    for number in (1, 2):
        publish(tmp_path, number)
    second = json.loads((tmp_path / "log" / "0000000002.json").read_text().split("\n")[0])["announced"]
    announce(tmp_path, 3, kind="collect", announced=second, details={"versions": [1]})
    with pytest.raises(NotFoundError, match="version 1 is not kept any more, as entry 3"):
        reference.open(tmp_path, version=1)
    assert reference.open(tmp_path).version == reference.open(tmp_path, version=2).version == 2


def test_every_flipped_bit_of_log_and_manifest_is_found(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    for path in (*tmp_path.glob("log/*"), *tmp_path.glob("manifests/*")):
        data = path.read_bytes()
        for bit in range(8 * len(data)):
            flipped = int.from_bytes(data, "little") ^ 1 << bit
            path.write_bytes(flipped.to_bytes(len(data), "little"))
            with pytest.raises(DamagedError, match=path.name):
                reference.open(tmp_path)
        path.write_bytes(data)
    assert not reference.open(tmp_path).tables


def test_what_a_newer_bedeck_wrote_is_told_from_damage(tmp_path: Path) -> None:
    publish(tmp_path, 1, format=2)
    with pytest.raises(FormatError, match=r"manifest\.format"):
        reference.open(tmp_path)
    announce(tmp_path, 2, kind="repeal")
    with pytest.raises(FormatError, match="kind"):
        reference.open(tmp_path)


def test_a_log_entry_that_does_not_fit_is_damaged(tmp_path: Path) -> None:
    announce(tmp_path, 1, entry=2)
    with pytest.raises(DamagedError, match="number"):
        reference.open(tmp_path)
    announce(tmp_path, 1, manifest="../x")
    with pytest.raises(DamagedError, match="hex"):
        reference.open(tmp_path)
    announce(tmp_path, 1)
    with pytest.raises(DamagedError, match=r"manifests.*: is missing"):
        reference.open(tmp_path)

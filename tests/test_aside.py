"""What is not hot, and large, lies aside: in a file of its own, with the same answers."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck

ROWS = 500


def rows(size: int) -> list[dict[str, Any]]:
    rng = random.Random(size)
    return [
        {
            "id": f"t{place}",
            "title": f"title {rng.random()}",
            "plays": rng.randrange(1000) or None,
            "notes": None if place % 7 == 0 else f"{place}" + "x" * rng.randrange(2 * size),
            "tags": [f"tag {rng.random()}" for _ in range(rng.randrange(4))],
            "cover": f"{place}".encode() * 3,
            "like": [f"t{rng.randrange(2 * ROWS)}" for _ in range(rng.randrange(3))],
        }
        for place in range(ROWS)
    ]


def build(store: Path, size: int, hot: tuple[str, ...]) -> bedeck.Records:
    type_ = bedeck.Type("id", hot=hot, references={"similar": bedeck.Reference("like", "track")})
    bedeck.build(bedeck.Schema({"track": type_}), store, {"track": rows(size)})
    return bedeck.open(store)["track"]


def kinds(store: Path) -> list[str]:
    return [layer["kind"] for layer in bedeck.open(store).info()["types"]["track"]["layers"]]


@pytest.mark.parametrize(
    ("size", "hot", "aside"),
    [(200, ("title",), ["group"]), (200, (), []), (10, ("title",), []), (200, ("title", "notes", "tags"), [])],
)
def test_text_that_is_not_hot_lies_aside_where_it_is_large(
    tmp_path: Path, size: int, hot: tuple[str, ...], aside: list[str]
) -> None:
    build(tmp_path / "store", size, hot)
    assert kinds(tmp_path / "store") == aside


@pytest.mark.parametrize("size", [150, 240])
def test_answers_are_the_same_wherever_it_lies(tmp_path: Path, size: int) -> None:
    together, apart = build(tmp_path / "one", size, ()), build(tmp_path / "two", size, ("title",))
    assert kinds(tmp_path / "two") == ["group"]
    ids = [f"t{place}" for place in range(0, ROWS + 20, 3)]
    fields = ["id", "notes", "title", "tags", "cover", "plays", "like", "similar.notes", "similar.title"]
    assert apart.decorate(ids, fields) == together.decorate(ids, fields)
    assert apart.decorate_json(ids, fields) == together.decorate_json(ids, fields)
    assert pa.table(apart.decorate_arrow(ids, fields)) == pa.table(together.decorate_arrow(ids, fields))
    assert [dict(record) for record in apart.select(*fields[:5]).records(ids[:9])] == together.decorate(
        ids[:9], fields[:5]
    )
    assert sorted(pa.table(apart).to_pylist(), key=str) == sorted(pa.table(together).to_pylist(), key=str)


def test_it_takes_part_in_digests_damage_and_memory(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    build(one, 200, ())
    build(two, 200, ("title",))
    digests = {bedeck.open(store).info()["types"]["track"]["digest"] for store in (one, two)}
    assert len(digests) == 1
    catalogue = bedeck.open(two)
    catalogue.verify()
    files = list((two / "blobs").iterdir())
    assert len(files) == len(["base", "group"])
    assert catalogue.memory()["bytes"] == sum(path.stat().st_size for path in files)
    assert set(catalogue.memory()["types"]["track"]["fields"]) == set(rows(1)[0]) - {"id"}
    for path in files:
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(bedeck.DamagedError, match=path.name):
            bedeck.open(two)
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)


def test_a_cycle_goes_on_over_it(tmp_path: Path) -> None:
    type_ = bedeck.Type("id", hot=("title",))
    producer = bedeck.Producer(tmp_path / "store", bedeck.Schema({"track": type_}))
    before = [{name: value for name, value in row.items() if name != "like"} for row in rows(200)]
    producer.cycle({"track": before})
    assert kinds(tmp_path / "store") == ["group"]
    after = [{**row, "notes": "other"} if row["id"] == "t3" else row for row in before if row["id"] != "t5"]
    producer.cycle({"track": after})
    assert kinds(tmp_path / "store") == ["group", "overlay"]
    tracks = bedeck.open(tmp_path / "store")["track"]
    names = [name for name in before[0] if name != "id"]
    assert tracks.decorate([row["id"] for row in before], names) == [
        {name: row[name] for name in names} if row["id"] != "t5" else None
        for row in ({**row, "notes": "other"} if row["id"] == "t3" else row for row in before)
    ]

"""Stores that are elsewhere come through a cache on this host: whole or not at all, once for all processes."""

# ruff: noqa: S301 - what is unpickled here was pickled here

import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import bedeck
import servers
from away import LARGE, Away, asked, flip, gone, large_rows, sound
from bedeck.errors import DamagedError, NotFoundError, StoreError
from bedeck.store import LocalStore, Store
from stores import SMALL, answers, contents, small_rows

PATIENCE = 60  # seconds until a test that waits for something gives up
OFTEN = 0.01
MIB = 1 << 20
ROWS = [small_rows(tag) for tag in ("", " again", " and again")]


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small store with version 1."""
    bedeck.build(SMALL, tmp_path / "store", ROWS[0])
    return tmp_path / "store"


@pytest.fixture
def away(path: Path, tmp_path: Path) -> Away:
    return Away(path, tmp_path / "notes")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of large rows, not to be changed."""
    store = tmp_path_factory.mktemp("built") / "store"
    for tag in ("old", "new"):
        bedeck.build(LARGE, store, large_rows(tag))
    return store


@pytest.fixture
def large(built: Path, tmp_path: Path) -> Path:
    """The same, to be changed, with version 1 announced."""
    store = Path(shutil.copytree(built, tmp_path / "large"))
    LocalStore(store).pin(1, "the other is for later")
    return store


def blobs_of(path: Path, version: int) -> set[str]:
    local = LocalStore(path)
    return set(local.measure(local.manifest(local.resolve(version))))


# Bringing


def test_a_store_elsewhere_answers_as_a_local_one(away: Away, path: Path, tmp_path: Path) -> None:
    catalogue = bedeck.open(away.store(), cache=tmp_path / "cache")
    assert answers(catalogue, ROWS[0]) == answers(bedeck.open(path), ROWS[0])
    folder = catalogue.path
    assert folder.parent == tmp_path / "cache"
    assert contents(folder / "blobs") == contents(path / "blobs")
    assert contents(folder / "log") == contents(path / "log")
    assert contents(folder / "manifests") == contents(path / "manifests")
    assert [name.name for name in (folder / "tmp").iterdir() if name.suffix == ".part"] == []
    status = catalogue.status()
    assert status.downloaded == status.bytes == sum(file.stat().st_size for file in (path / "blobs").iterdir())
    assert (status.reachable, status.failures) == (True, 0)
    assert catalogue.info()["path"] == "away://store"


def test_what_is_here_is_not_asked_for_again(away: Away, path: Path, tmp_path: Path) -> None:
    first = bedeck.open(away.store())
    assert first.path.is_relative_to(tmp_path / "home" / "bedeck")
    again = bedeck.open(away.store())
    assert again.status().downloaded == 0
    bedeck.build(SMALL, path, {**ROWS[0], "a": ROWS[1]["a"]})
    assert first.refresh()
    changed = blobs_of(path, 2) - blobs_of(path, 1)
    assert len(changed) == 1
    assert first.status().downloaded == sum(
        (path / "blobs" / name).stat().st_size for name in blobs_of(path, 1) | changed
    )


def test_a_local_store_may_have_a_cache_too(path: Path, tmp_path: Path) -> None:
    """As one on a file system of the network."""
    catalogue = bedeck.open(path, cache=tmp_path / "cache")
    shutil.rmtree(path)
    catalogue.verify()
    assert answers(catalogue, ROWS[0])["t: len"] == 2
    assert bedeck.open(path, cache=tmp_path / "cache").status().reachable is False


def test_a_blob_of_many_chunks_comes_in_pieces_and_whole(large: Path, tmp_path: Path) -> None:
    away = Away(large, tmp_path / "notes")
    catalogue = bedeck.open(away.store())
    assert contents(catalogue.path / "blobs").items() <= contents(large / "blobs").items()
    pieces = [line.split() for line in asked(tmp_path / "notes", "blobs/t-")]
    spans = sorted((int(start), int(end)) for _, start, end in (piece for piece in pieces if len(piece) == 3))
    assert len(spans) > 3
    assert all(end - start <= 4 * MIB for start, end in spans)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]


def test_one_version_can_be_named_and_is_found_again_without_the_store(away: Away, path: Path) -> None:
    bedeck.build(SMALL, path, ROWS[1])
    expected = answers(bedeck.open(path, version=1), ROWS[0])
    assert answers(bedeck.open(away.store(), version=1), ROWS[0]) == expected
    away.fault = gone
    assert answers(bedeck.open(away.store(), version=1), ROWS[0]) == expected
    with pytest.raises(StoreError, match="no route to host"):
        bedeck.open(away.store(), version=2)
    with pytest.raises(StoreError, match="no route to host"):
        bedeck.open(away.store())


def test_where_there_is_no_place_for_a_cache_it_is_told(away: Away, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"use the cache .*cache= can put elsewhere"):
        bedeck.open(away.store(), cache=tmp_path / "file")


# Layers


@pytest.fixture
def layered(tmp_path: Path) -> Path:
    """A store whose second version is an overlay of a few records over the first, served for now."""
    producer = bedeck.Producer(tmp_path / "layered", LARGE)
    rows = large_rows("old")
    producer.cycle(rows)
    rows["t"][:20] = large_rows("new", 20)["t"]
    producer.cycle(rows)
    LocalStore(tmp_path / "layered").pin(1, "the other is for later")
    return tmp_path / "layered"


def test_of_a_version_over_the_same_base_only_what_is_new_comes_and_is_mapped(layered: Path) -> None:
    away = Away(layered)
    catalogue = bedeck.open(away.store())
    catalogue.warm()
    base, before = blobs_of(layered, 1), catalogue.status().downloaded
    view = catalogue.view()
    LocalStore(layered).unpin("now")
    assert catalogue.refresh()
    (overlay,) = blobs_of(layered, 2) - base
    size = (layered / "blobs" / overlay).stat().st_size
    assert size < MIB
    assert catalogue.status().downloaded - before == size
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(catalogue.path) in line]
    assert sorted(Path(words[5]).name for words in lines) == sorted(base | {overlay})
    keys = range(40)
    expected = [large_rows(tag, 40)["t"][key]["noise"] for tag, key in [("new" if k < 20 else "old", k) for k in keys]]
    assert [row["noise"] for row in catalogue["t"].decorate(keys)] == expected
    assert [row["noise"] for row in view["t"].decorate(keys)] == [row["noise"] for row in large_rows("old", 40)["t"]]
    memory = catalogue.memory()
    assert memory["mapped"] == memory["bytes"]


def test_an_overlay_without_its_base_is_told_until_the_base_is_back(layered: Path, tmp_path: Path) -> None:
    LocalStore(layered).unpin("now")
    (base,) = (name for name in blobs_of(layered, 1) if name.startswith("t-"))
    (layered / "blobs" / base).rename(tmp_path / base)
    with pytest.raises(DamagedError, match=base):
        bedeck.open(Away(layered).store())
    (tmp_path / base).rename(layered / "blobs" / base)
    catalogue = bedeck.open(Away(layered).store())
    assert catalogue.version == 2


# Away


def test_while_the_store_is_away_the_last_version_serves_and_the_next_one_heals(
    away: Away, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = bedeck.open(away.store())
    before = answers(catalogue, ROWS[0])
    bedeck.build(SMALL, path, ROWS[1])
    away.fault = gone
    for failures in (1, 2, 3):
        with pytest.raises(StoreError, match="no route to host"):
            catalogue.refresh()
        status = catalogue.status()
        assert (status.reachable, status.failures, status.version, status.announced) == (False, failures, 1, 1)
        assert "no route to host" in status.error
        assert answers(catalogue, ROWS[0]) == before
    assert caplog.text.count("no route to host") == 3
    away.fault = sound
    assert catalogue.refresh()
    status = catalogue.status()
    assert (status.reachable, status.failures, status.version) == (True, 0, 2)


def test_a_start_while_the_store_is_away_serves_what_is_here_and_moves_on_later(
    away: Away, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = answers(bedeck.open(away.store()), ROWS[0])
    bedeck.build(SMALL, path, ROWS[1])
    away.fault = gone
    catalogue = bedeck.open(away.store())
    assert answers(catalogue, ROWS[0]) == before
    status = catalogue.status()
    assert (status.reachable, status.failures, status.version, status.announced) == (False, 1, 1, 1)
    assert status.age is not None
    assert "no route to host" in status.error
    assert "beginning with version 1" in caplog.text
    away.fault = sound
    assert catalogue.refresh()
    assert catalogue.version == 2


def test_a_start_elsewhere_takes_pins_from_here_as_well(away: Away, path: Path) -> None:
    bedeck.build(SMALL, path, ROWS[1])
    catalogue = bedeck.open(away.store())
    LocalStore(path).pin(1, "back")
    assert catalogue.refresh()
    away.fault = gone
    status = bedeck.open(away.store()).status()
    assert (status.version, status.announced, status.pinned) == (1, 2, 1)


def test_a_follower_heals_by_itself(away: Away, path: Path) -> None:
    with closing(bedeck.open(away.store(), follow=True, poll=OFTEN)) as catalogue:
        failed, refreshed = threading.Event(), threading.Event()
        events = {"failed": failed, "refreshed": refreshed}
        catalogue.listen(lambda event: events[event.kind].set())
        away.fault = gone
        bedeck.build(SMALL, path, ROWS[1])
        assert failed.wait(PATIENCE)
        assert catalogue.version == 1
        away.fault = sound
        assert refreshed.wait(PATIENCE)
        assert (catalogue.version, catalogue.status().failures) == (2, 0)


def test_a_slow_store_holds_up_no_reader(away: Away, path: Path) -> None:
    catalogue = bedeck.open(away.store())
    before = answers(catalogue, ROWS[0])
    bedeck.build(SMALL, path, ROWS[1])
    asking, go_on = threading.Event(), threading.Event()

    def slow(name: str, data: bytes) -> bytes:
        if name.startswith("blobs/"):
            asking.set()
            assert go_on.wait(PATIENCE)
        return data

    away.fault = slow
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(catalogue.refresh)
        assert asking.wait(PATIENCE)
        for _ in range(100):
            assert answers(catalogue, ROWS[0]) == before
            assert catalogue["t"].select("s").decorate([1]) == [{"s": "one"}]
        assert catalogue.status().announced == 2
        go_on.set()
        assert refreshed.result(PATIENCE)
    assert catalogue.version == 2


# Damage on the way


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda data: flip(data, 12_345),
    "the last bit": lambda data: flip(data, 8 * len(data) - 1),
    "cut short": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "nothing": lambda data: data[:0],
    "too much": lambda data: data + b"\0",
    "something else": lambda data: b"<html>" + data[6:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("of", ["log/", "manifests/", "blobs/a-", "blobs/t-"])
def test_what_arrives_damaged_is_never_served(
    away: Away, path: Path, damage: Callable[[bytes], bytes], of: str
) -> None:
    catalogue = bedeck.open(away.store())
    before, home = answers(catalogue, ROWS[0]), contents(catalogue.path)
    bedeck.build(SMALL, path, ROWS[1])
    away.fault = lambda name, data: damage(data) if name.startswith(of) else data
    for failures in (1, 2):
        with pytest.raises(StoreError, match=r"checksum|does not hold|not a bedeck|is not that"):
            catalogue.refresh()
        assert answers(catalogue, ROWS[0]) == before
        status = catalogue.status()
        assert (status.version, status.failures, status.reachable) == (1, failures, True)
    assert contents(catalogue.path).items() >= {k: v for k, v in home.items() if not k.startswith("tmp/")}.items()
    away.fault = sound
    assert catalogue.refresh()
    assert answers(catalogue, ROWS[0]) == answers(bedeck.open(path), ROWS[0])
    assert contents(catalogue.path / "blobs") == contents(path / "blobs")


def test_a_chunk_that_arrives_damaged_once_is_asked_for_again(
    large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away, first = Away(large, tmp_path / "notes"), set[str]()

    def once(name: str, data: bytes) -> bytes:
        if not name.startswith("blobs/t-") or len(data) < MIB or first:
            return data
        first.add(name)
        return flip(data, 99_999)

    away.fault = once
    catalogue = bedeck.open(away.store())
    assert first
    assert "came damaged from away://large" in caplog.text
    assert catalogue.status().failures == 0
    assert contents(catalogue.path / "blobs").items() <= contents(large / "blobs").items()


@pytest.mark.parametrize("part", ["manifests", "blobs"])
def test_an_announcement_of_what_is_not_there_is_told_and_the_next_one_heals(away: Away, path: Path, part: str) -> None:
    catalogue = bedeck.open(away.store())
    bedeck.build(SMALL, path, ROWS[1])
    names = {f"manifests/{LocalStore(path).resolve(2).manifest}.json"}
    if part == "blobs":
        names = {f"blobs/{name}" for name in blobs_of(path, 2)}
    (missing, *_) = sorted(names)
    data = (path / missing).read_bytes()
    (path / missing).unlink()
    for failures in (1, 2):
        with pytest.raises(DamagedError, match="missing"):
            catalogue.refresh()
        status = catalogue.status()
        assert (status.version, status.announced, status.failures, status.reachable) == (1, 2, failures, True)
    (path / missing).write_bytes(data)
    bedeck.build(SMALL, path, ROWS[2])
    assert catalogue.refresh()
    assert (catalogue.version, catalogue.status().failures) == (3, 0)


# Damage at rest


def damage_at_rest(path: Path) -> None:
    """Flip a bit in the middle of a file, by a new file: its mark does not fit any more."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(flip(data, 4 * len(data)))


def test_a_chunk_that_is_damaged_at_rest_is_brought_again_and_no_other(large: Path) -> None:
    away = Away(large)
    before = contents(bedeck.open(away.store()).path / "blobs")
    folder = bedeck.open(away.store()).path / "blobs"
    (blob,) = folder.glob("t-*")
    damage_at_rest(blob)
    catalogue = bedeck.open(away.store())
    assert contents(folder) == before
    status = catalogue.status()
    assert 0 < status.downloaded <= 4 * MIB
    assert (status.failures, status.version) == (0, 1)


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:9])])
@pytest.mark.parametrize("part", ["blobs", "manifests", "log"])
def test_files_of_the_cache_that_are_gone_or_cut_short_are_brought_again(
    away: Away, path: Path, change: Callable[[Path], object], part: str
) -> None:
    folder = bedeck.open(away.store()).path
    for file in (folder / part).iterdir():
        change(file)
    catalogue = bedeck.open(away.store())
    assert answers(catalogue, ROWS[0]) == answers(bedeck.open(path), ROWS[0])
    for name in ("blobs", "manifests", "log"):
        assert contents(folder / name) == contents(path / name)


@pytest.mark.parametrize("part", ["blobs", "manifests", "log"])
def test_damage_at_rest_while_the_store_is_away_leads_to_the_version_before(
    away: Away, path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = bedeck.open(away.store())
    expected = answers(catalogue, ROWS[0])
    old = contents(catalogue.path / part).keys()
    bedeck.build(SMALL, path, ROWS[1])
    assert catalogue.refresh()
    away.fault = gone
    for name in contents(catalogue.path / part).keys() - old:
        damage_at_rest(catalogue.path / part / name)
    again = bedeck.open(away.store())
    assert answers(again, ROWS[0]) == expected
    assert (again.status().version, again.status().failures) == (1, 1)
    assert "beginning with version 1" in caplog.text
    away.fault = sound
    assert again.refresh()
    assert again.version == 2


# Room


def test_only_the_newest_versions_are_kept_and_what_is_in_use(away: Away, path: Path) -> None:
    catalogue = bedeck.open(away.store())
    other = bedeck.open(away.store())  # as another process would
    for rows in ROWS[1:]:
        bedeck.build(SMALL, path, rows)
        assert catalogue.refresh()
    here = set(contents(catalogue.path / "blobs"))
    assert here == blobs_of(path, 1) | blobs_of(path, 2) | blobs_of(path, 3)
    del other
    bedeck.build(SMALL, path, small_rows(" once more"))
    assert catalogue.refresh()
    assert set(contents(catalogue.path / "blobs")) == blobs_of(path, 3) | blobs_of(path, 4)
    assert len(contents(catalogue.path / "log")) == len(contents(catalogue.path / "manifests")) == 2


@pytest.mark.parametrize("keep", [1, 3])
def test_how_many_are_kept_can_be_said(away: Away, path: Path, keep: int) -> None:
    for rows in (*ROWS[1:], small_rows(" once more"), small_rows(" and for all")):
        bedeck.build(SMALL, path, rows)
        folder = bedeck.open(away.store(), keep=keep).path
    here = set(contents(folder / "blobs"))
    assert here == set().union(*(blobs_of(path, version) for version in range(6 - keep, 6)))


# Over the network


@pytest.fixture(scope="module")
def s3() -> Iterator[servers.Place]:
    with servers.s3() as place:
        yield place


def test_a_store_in_s3_is_followed(s3: servers.Place, tmp_path: Path) -> None:
    store = Store.at(f"{s3.url}/followed", **s3.options)
    rows = [large_rows(tag) for tag in ("old", "new")]
    with pytest.raises(NotFoundError, match="nothing is announced"):
        bedeck.open(store, cache=tmp_path / "cache")
    bedeck.build(LARGE, store, rows[0])
    with closing(bedeck.open(store, cache=tmp_path / "cache", follow=True, poll=OFTEN)) as catalogue:
        refreshed = threading.Event()
        catalogue.listen(lambda _: refreshed.set())
        keys = range(0, 13_000, 997)
        assert [row["noise"] for row in catalogue["t"].decorate(keys)] == [rows[0]["t"][key]["noise"] for key in keys]
        bedeck.build(LARGE, store, rows[1])
        assert refreshed.wait(PATIENCE)
        assert [row["noise"] for row in catalogue["t"].decorate(keys)] == [rows[1]["t"][key]["noise"] for key in keys]
        status = catalogue.status()
        assert (status.version, status.announced, status.reachable, status.failures) == (2, 2, True, 0)
        assert status.downloaded > 25 * MIB
        again = pickle.loads(pickle.dumps(catalogue))
        again.close()
        assert (again.version, again.status().downloaded, again.path) == (2, 0, catalogue.path)

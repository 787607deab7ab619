"""Damaged, foreign, newer and forged files: an error tells, or no answer changes; never a wrong one, never a crash."""

import faulthandler
import json
import multiprocessing
import os
import resource
import shutil
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck.errors import DamagedError, Error, FormatError, NotFoundError, StoreError
from bedeck.store import LocalStore
from forgery import Forgery
from layered import lay
from mutations import json_value, mutate
from pasts import past
from stores import RICH, SMALL, Rows, answers, keys_of, readings, rich_rows, small_rows

PROCESSES = multiprocessing.get_context("forkserver")
PATIENCE = 60  # seconds until a forged store counts as one that hangs its reader
ROOM = 1 << 30  # bytes that reading a forged store of a few KB may take
EXAMPLES = int(os.environ.get("BEDECK_EXAMPLES", "100"))
SEED = os.environ.get("BEDECK_SEED")  # tries this forgery alone

OLD, NEW = small_rows(), small_rows(" again")
MOST_CRASHES = 5  # then it gives up
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store with versions 1 and 2, not to be changed."""
    store = tmp_path_factory.mktemp("built") / "store"
    for rows in (OLD, NEW):
        bedeck.build(SMALL, store, rows, threads=1)
    return store


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "store"))


@pytest.fixture
def forgery(built: Path) -> Forgery:
    return Forgery(built)


def blob_paths(store: Path, version: int) -> dict[str, Path]:
    local = LocalStore(store)
    manifest = local.manifest(local.resolve(version))
    return {name: store / "blobs" / of["layers"][0]["blob"]["name"] for name, of in manifest["types"].items()}


def manifest_path(store: Path, version: int) -> Path:
    return store / "manifests" / f"{LocalStore(store).resolve(version).manifest}.json"


def files(store: Path, version: int) -> dict[str, Path]:
    """The files of a version: its log entry, manifest, and the blobs of both types."""
    entry = store / "log" / f"{version:010}.json"
    return {"entry": entry, "manifest": manifest_path(store, version), **blob_paths(store, version)}


def told(store: Path, before: dict[str, Any], rows: Rows = NEW, version: int | None = None) -> str:
    """The error's message where `store` does not open; empty where it answers as `before`. Anything else fails."""
    try:
        catalogue = bedeck.open(store, version=version)
    except StoreError as error:
        return str(error)
    assert answers(catalogue, rows) == before
    return ""


def flips(path: Path, step: int = 1) -> Iterator[int]:
    """Flip every ``step``-th bit of a file in turn, each time giving its place; in the end the file is as it was."""
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place in range(0, len(data) * 8, step):
            byte = place // 8
            os.pwrite(file.fileno(), bytes([data[byte] ^ 1 << place % 8]), byte)
            yield place
            os.pwrite(file.fileno(), data[byte : byte + 1], byte)


# A bit, an end, a byte too many


@pytest.mark.parametrize("type_name", ["a", "t"])
def test_every_flipped_bit_of_a_blob_is_told_by_file_and_section(store: Path, forgery: Forgery, type_name: str) -> None:
    path = blob_paths(store, 2)[type_name]
    sections = [name for name, part in forgery.base(type_name).parts.items() for _ in part]
    for place in flips(path):
        with pytest.raises(DamagedError) as raised:
            bedeck.open(store)
        message = str(raised.value)
        assert message.startswith(f"{path}: section {sections[place // 8]}, bytes "), f"bit {place}: {message}"
        assert "restore the file" in message
    assert not told(store, answers(bedeck.open(store), NEW))


@pytest.mark.parametrize("file", ["entry", "manifest"])
def test_every_flipped_bit_of_entry_and_manifest_is_told(store: Path, file: str) -> None:
    path = files(store, 2)[file]
    for place in flips(path):
        with pytest.raises(DamagedError) as raised:
            bedeck.open(store)
        assert str(path) in str(raised.value), f"bit {place}: {raised.value}"


@pytest.mark.parametrize("file", ["entry", "manifest", "a", "t"])
def test_damage_to_a_version_is_told_where_it_is_asked_for_and_changes_no_other(store: Path, file: str) -> None:
    before = answers(bedeck.open(store), NEW)
    path = files(store, 1)[file]
    for _ in flips(path, 41):
        assert str(path) in told(store, {}, OLD, version=1)
        assert not told(store, before)


@pytest.mark.parametrize("file", ["entry", "manifest", "a", "t"])
def test_every_truncated_or_extended_file_is_told(store: Path, file: str) -> None:
    path = files(store, 2)[file]
    data = path.read_bytes()
    for changed in (*(data[:length] for length in range(len(data))), *(data + more for more in (b"\0", b"\n", data))):
        path.write_bytes(changed)
        with pytest.raises(DamagedError) as raised:
            bedeck.open(store)
        assert str(path) in str(raised.value), f"{len(changed)} bytes: {raised.value}"


@pytest.mark.parametrize("verify", ["once", "always"])
def test_what_was_checked_and_is_damaged_then_is_told(store: Path, verify: Any) -> None:
    catalogue = bedeck.open(store, verify=verify)
    path = blob_paths(store, 2)["t"]
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    with pytest.raises(DamagedError, match="section directory"):
        catalogue.verify()
    with pytest.raises(DamagedError, match="section directory"):
        bedeck.open(store, verify=verify)


# Newer formats


def test_a_blob_of_a_newer_format_says_to_upgrade(forgery: Forgery, tmp_path: Path) -> None:
    forgery.base("t").parts["prelude"][8:12] = struct.pack("<I", 2)
    forgery.write(tmp_path / "store")
    with pytest.raises(FormatError, match=r"blobs/t-\w+\.blob: section prelude: format 2, .*; upgrade bedeck"):
        bedeck.open(tmp_path / "store")


def test_a_manifest_of_a_newer_format_says_to_upgrade(forgery: Forgery, tmp_path: Path) -> None:
    forgery.manifest["format"] = 2
    forgery.manifest["types"] = "what a newer format makes of it"
    forgery.write_manifest(tmp_path / "store")
    with pytest.raises(FormatError, match=r"manifest \w+ of .*store is in format 2: upgrade bedeck"):
        bedeck.open(tmp_path / "store")


def test_an_entry_of_a_newer_kind_says_to_upgrade(store: Path, forgery: Forgery) -> None:
    forgery.write_entry(store, {"entry": 3, "kind": "repeal", "what": [1, 2]}, number=3)
    with pytest.raises(FormatError, match=r"log entry 3 .*of kind 'repeal' \(file .*\): upgrade bedeck"):
        bedeck.open(store)
    assert bedeck.open(store, version=2).version == 2


# Files that are not what they should be


@pytest.mark.parametrize("file", ["entry", "manifest", "a", "t"])
@pytest.mark.parametrize(
    "content", [b"", PNG, b"PAR1", b"\0", b"{}\n"], ids=["empty", "png", "parquet", "zeros", "json"]
)
@pytest.mark.parametrize("full", [False, True], ids=["short", "in full size"])
def test_a_foreign_file_is_told(store: Path, file: str, content: bytes, full: bool) -> None:  # noqa: FBT001
    path = files(store, 2)[file]
    size = path.stat().st_size
    path.write_bytes((content * size)[:size] if full else content)
    with pytest.raises((DamagedError, FormatError)) as raised:
        bedeck.open(store)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\x89", PNG, b"\0" * 5000, b"\x89BEDECK\n", b"\x89BEDECK\n" + b"\0" * 60])
def test_a_foreign_file_of_which_the_checksums_fit_is_told(forgery: Forgery, tmp_path: Path, content: bytes) -> None:
    forgery.base("t").parts = {"prelude": bytearray(content)}
    forgery.write(tmp_path / "store")
    with pytest.raises((DamagedError, FormatError), match=r"blobs/t-\w+\.blob: section (prelude|directory): "):
        bedeck.open(tmp_path / "store")


@pytest.mark.parametrize("file", ["entry", "manifest", "a", "t"])
def test_a_missing_file_is_told(store: Path, file: str) -> None:
    path = files(store, 2)[file]
    path.unlink()
    if file == "entry":  # then version 2 was never announced
        assert bedeck.open(store).version == 1
        with pytest.raises(NotFoundError, match="no version 2 in"):
            bedeck.open(store, version=2)
    else:
        with pytest.raises(DamagedError, match=rf"{path.stem}.* is missing from .*(build again|restore)"):
            bedeck.open(store)
        assert bedeck.open(store, version=1).version == 1


@pytest.mark.parametrize("folder", ["log", "manifests", "blobs"])
def test_a_missing_folder_is_told(store: Path, folder: str) -> None:
    shutil.rmtree(store / folder)
    with pytest.raises(NotFoundError if folder == "log" else DamagedError, match=str(store)):
        bedeck.open(store)


@pytest.mark.parametrize("file", ["entry", "manifest", "a", "t"])
@pytest.mark.parametrize("make", ["folder", "loop", "pipe"])
def test_what_is_no_file_is_told(store: Path, file: str, make: str) -> None:
    path = files(store, 2)[file]
    path.unlink()
    {"folder": path.mkdir, "loop": lambda: path.symlink_to(path), "pipe": lambda: os.mkfifo(path)}[make]()
    assert str(path.name) in in_child(open_alone, store)


@pytest.mark.parametrize("make", ["folder", "pipe"])
def test_what_is_no_file_but_of_the_right_size_is_told(forgery: Forgery, tmp_path: Path, make: str) -> None:
    forgery.base("t").parts = {}
    forgery.write(tmp_path / "store")
    (path,) = (tmp_path / "store" / "blobs").glob("t-*")
    path.unlink()
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}[make]()
    forgery.layer("t")["blob"]["size"] = path.stat().st_size
    forgery.write_manifest(tmp_path / "store")
    assert f"{path.name}: not a regular file" in in_child(open_alone, tmp_path / "store")


@pytest.mark.parametrize("file", ["entry", "manifest"])
def test_a_file_too_large_to_be_what_it_should_is_told(store: Path, file: str) -> None:
    path = files(store, 2)[file]
    os.truncate(path, 1 << 42)
    assert str(path) in in_child(open_alone, store)


# Blobs in the place of others


def test_swapped_blobs_are_told(store: Path) -> None:
    a, t = (blob_paths(store, 2)[name] for name in ("a", "t"))
    aside = a.rename(store / "aside")
    t.rename(a)
    aside.rename(t)
    with pytest.raises(DamagedError, match=str(store)):
        bedeck.open(store)


def test_swapped_blobs_of_one_size_are_told(store: Path) -> None:
    a, t = (blob_paths(store, 2)[name] for name in ("a", "t"))
    size = a.stat().st_size
    a.write_bytes((t.read_bytes() + bytes(size))[:size])
    with pytest.raises(DamagedError, match=rf"{a}: section prelude, bytes 0\.\.64: the checksum is wrong"):
        bedeck.open(store)


def test_swapped_blobs_of_which_the_checksums_fit_are_told(forgery: Forgery, tmp_path: Path) -> None:
    forgery.blobs = {"a": forgery.blobs["t"], "t": forgery.blobs["a"]}
    forgery.write(tmp_path / "store")
    with pytest.raises(DamagedError, match=r'blobs/a-\w+\.blob: section directory: holds type "t", Base, not "a"'):
        bedeck.open(tmp_path / "store")


def test_a_blob_of_another_version_is_told(store: Path) -> None:
    old, new = (blob_paths(store, version)["t"] for version in (1, 2))
    new.write_bytes(old.read_bytes())
    with pytest.raises(DamagedError, match=str(new)):
        bedeck.open(store)


def test_a_blob_of_another_version_of_which_the_checksums_fit_is_told(forgery: Forgery, tmp_path: Path) -> None:
    rows = small_rows()
    rows["a"][0]["k"] = "another key"
    bedeck.build(SMALL, tmp_path / "other", rows)
    forgery.blobs["a"] = Forgery(tmp_path / "other").blobs["a"]
    forgery.write(tmp_path / "store")
    with pytest.raises(DamagedError, match=r"blobs/t-\w+\.blob: section directory: epoch "):
        bedeck.open(tmp_path / "store")


def test_a_reference_to_a_type_that_is_not_there_is_told(forgery: Forgery, tmp_path: Path) -> None:
    del forgery.blobs["a"], forgery.manifest["types"]["a"]
    forgery.write(tmp_path / "store")
    with pytest.raises(DamagedError, match=r'blobs/t-\w+\.blob: section directory: .*refers to type "a"'):
        bedeck.open(tmp_path / "store")


# Forged: every checksum fits


def in_child(target: Callable[..., str], *arguments: Any) -> str:
    """What `target` returns in a process of its own that may neither crash nor hang."""
    answer: Any = PROCESSES.SimpleQueue()
    process = PROCESSES.Process(target=answering, args=(answer, target, *arguments))
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        pytest.fail(f"{target.__name__} hangs")
    assert process.exitcode == 0, f"{target.__name__} ended with {process.exitcode}"
    returned: str = answer.get()
    return returned


def answering(answer: Any, target: Callable[..., str], *arguments: Any) -> None:
    limit_memory()
    answer.put(target(*arguments))


def limit_memory() -> None:
    """Have every allocation beyond `ROOM` fail from now on."""
    pa.set_memory_pool(pa.system_memory_pool())  # others reserve address space that they do not use
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))


def open_alone(store: Path) -> str:
    try:
        return repr(bedeck.open(store))
    except StoreError as error:
        return str(error)


def read_alone(store: Path, rows: Rows) -> str:
    """What `store` did that it may not."""
    return "\n".join(read_all(store, rows, {}))


def read_all(store: Path, rows: Rows, types: dict[str, Any]) -> Iterator[str]:
    """Read all there is; what ended neither in an answer nor in an error of bedeck.

    `types` say what there should be; where empty, `store` itself says what there is.
    """
    try:
        catalogue = bedeck.open(store)
        found = catalogue.info()["types"]
    except Error:
        return
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is no Exception
        yield f"open: {describe(error)}"
        return
    types = types or found
    alike = {name: name in found and of["key"]["kind"] == found[name]["key"]["kind"] for name, of in types.items()}
    ids = {name: keys_of(rows, name) if alike[name] else [] for name in types}
    for what, read in (
        ("info", catalogue.info),
        ("repr", lambda: repr(catalogue)),
        ("memory", catalogue.memory),
        ("warm", catalogue.warm),
        ("verify", catalogue.verify),
        *readings(catalogue, types, ids),
    ):
        try:
            read()
        except Error:
            continue
        except pa.ArrowInvalid as error:
            if "External error" not in str(error):  # all that Arrow's streams can tell of ours
                yield f"{what}: {describe(error)}"
        except BaseException as error:  # noqa: BLE001
            yield f"{what}: {describe(error)}"


def describe(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


Forge = Callable[[Random, Forgery, Path], str]


def try_forgeries(folder: Path, store: Path, forge: Forge, rows: Rows, seeds: range) -> None:
    """Read stores forged from `store`; note in `folder` the seed being tried, and what went wrong."""
    genuine = Forgery(store)
    types = genuine.manifest["types"]
    faulthandler.enable()
    limit_memory()
    for seed in seeds:
        (folder / "seed").write_text(str(seed))
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        forged = genuine.copy()
        changed = forge(Random(seed), forged, folder / "forged")
        with (folder / "wrong").open("a") as wrong:
            for what in read_all(folder / "forged", rows, types):
                wrong.write(f"BEDECK_SEED={seed}: {changed[:300]}: {what}\n")
    faulthandler.cancel_dump_traceback_later()


def forge_blob(random: Random, forgery: Forgery, store: Path) -> str:
    changed = mutate(random, forgery)
    forgery.write(store)
    return changed


def forge_manifest(random: Random, forgery: Forgery, store: Path) -> str:
    forgery.write(store)
    changed = json_value(random, forgery.manifest)
    forgery.write_manifest(store)
    return changed


def forge_entry(random: Random, forgery: Forgery, store: Path) -> str:
    forgery.write(store)
    entry = json.loads((store / "log" / "0000000001.json").read_bytes().splitlines()[0])
    changed = json_value(random, entry)
    forgery.write_entry(store, entry)
    return changed


def rich(folder: Path) -> Path:
    bedeck.build(RICH, folder / "store", rich_rows(12), threads=1)
    return folder / "store"


def small(folder: Path) -> Path:
    bedeck.build(SMALL, folder / "store", OLD, threads=1)
    return folder / "store"


def layers(folder: Path) -> Path:
    return lay(folder, past(), Random(1))


PAST = {name: [{"id": key} for key in of.known.keys] for name, of in past().items()}


@pytest.mark.parametrize(
    ("forge", "make", "rows", "count"),
    [
        (forge_blob, rich, rich_rows(12), 6 * EXAMPLES),
        (forge_blob, layers, PAST, 6 * EXAMPLES),
        (forge_manifest, layers, PAST, 3 * EXAMPLES),
        (forge_entry, small, OLD, EXAMPLES),
    ],
    ids=["blob", "layers", "manifest", "entry"],
)
def test_forged_stores_end_in_an_answer_or_an_error(
    tmp_path: Path, forge: Forge, make: Callable[[Path], Path], rows: Rows, count: int
) -> None:
    store = make(tmp_path)
    wrong = tmp_path / "wrong"
    wrong.touch()
    seeds = range(int(SEED), int(SEED) + 1) if SEED else range(count)
    crashes: list[str] = []
    while seeds and len(crashes) < MOST_CRASHES:
        process = PROCESSES.Process(target=try_forgeries, args=(tmp_path, store, forge, rows, seeds))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        seed = int((tmp_path / "seed").read_text())
        crashes.append(f"BEDECK_SEED={seed}: ended with {process.exitcode}, or took more than {PATIENCE} s")
        seeds = range(seed + 1, seeds.stop)
    told = "\n".join(crashes + wrong.read_text().splitlines())
    assert not told, f"reproduce with the seed, as in BEDECK_SEED=1 pytest -k forged_stores:\n{told}"


# What they found: each the least change that did it


def test_a_record_at_the_end_of_all_addresses_is_told(forgery: Forgery, tmp_path: Path) -> None:
    forgery.base("a").parts["locator"][:8] = struct.pack("<Q", 2**64 - 64)
    forgery.write(tmp_path / "store")
    assert not in_child(read_alone, tmp_path / "store", NEW)


TICKS = {
    "date": 1,
    "list<date>": 1,
    "timestamp[s]": 86_400,
    "timestamp[us,Europe/Stockholm]": 86_400_000_000,
    "timestamp[us,Asia/Tokyo]": 86_400_000_000,
}
BASES = [
    *((type_, day * ticks) for type_, ticks in TICKS.items() for day in (2_932_897, -719_163)),
    *((type_, base) for type_ in TICKS for base in (2**63 - 1, -(2**63))),
    (
        "timestamp[us,Asia/Tokyo]",
        2_932_897 * TICKS["timestamp[us,Asia/Tokyo]"] - 1,
    ),  # where it is the next year by then
]


def retyped(folder: Path, from_type: str, to_type: str, base: int) -> Path:
    """A store of one record, of which a field, built as `from_type`, says that it is `to_type` and starts at `base`."""
    schema = bedeck.Schema({"x": bedeck.Type(key=bedeck.Key("k"), fields={"d": from_type})})
    bedeck.build(schema, folder / "genuine", {"x": [{"k": 1, "d": [0] if from_type.startswith("list") else 0}]})
    forgery = Forgery(folder / "genuine")
    directory = forgery.base("x").directory
    (field,) = directory["fields"]
    field["type"] = to_type
    (field.get("bits") or field["item"])["base"] = base
    forgery.base("x").directory = directory
    forgery.manifest["types"]["x"]["fields"][0]["type"] = to_type
    forgery.write(folder / "store")
    return folder / "store"


@pytest.mark.parametrize(("type_", "base"), BASES)
def test_a_day_that_no_calendar_has_is_told(tmp_path: Path, type_: str, base: int) -> None:
    store = retyped(tmp_path, "list<int32>" if "list" in type_ else "int64", type_, base)
    assert not read_alone(store, {"x": [{"k": 1}]})
    with pytest.raises(DamagedError, match=r"blobs/x-\w+\.blob: section records: "):
        bedeck.open(store)["x"].decorate([1])


@pytest.mark.parametrize(
    "zone", ["Nowhere/Land", "../../etc/passwd", "/etc/passwd", "", "\0", "Europe", "+99:99", "x" * 999]
)
def test_a_time_zone_that_is_none_is_told(tmp_path: Path, zone: str) -> None:
    store = retyped(tmp_path, "int64", f"timestamp[us,{zone}]", 0)
    assert not read_alone(store, {"x": [{"k": 1}]})
    with pytest.raises(Error, match="zone"):
        bedeck.open(store)["x"].decorate([1])


@pytest.mark.parametrize("records", [0, 1, 4, 2**31, 2**32, 2**62, 2**63, 2**64 - 1])
def test_a_number_of_records_that_cannot_be_is_told(forgery: Forgery, tmp_path: Path, records: int) -> None:
    directory = forgery.base("t").directory
    forgery.base("t").directory = {**directory, "records": records}
    forgery.write(tmp_path / "store")
    assert not in_child(read_alone, tmp_path / "store", NEW)


@pytest.mark.parametrize("member", ["format", "namespace", "version", "parent", "schema", "next_field_id", "types"])
def test_a_manifest_that_lacks_something_is_told_or_serves(forgery: Forgery, tmp_path: Path, member: str) -> None:
    forgery.write(tmp_path / "store")
    del forgery.manifest[member]
    forgery.write_manifest(tmp_path / "store")
    assert not read_alone(tmp_path / "store", NEW)


@pytest.mark.parametrize("member", ["name", "size", "hash", "sections"])
def test_a_manifest_that_describes_a_blob_wrongly_is_told(forgery: Forgery, tmp_path: Path, member: str) -> None:
    store = tmp_path / "store"
    forgery.write(store)
    described = dict(forgery.layer("t")["blob"])
    values: list[object] = [None, [], "", "0" * 64, -1, 0.5, 2**64]
    for value in values:
        forgery.layer("t")["blob"] = {**described, member: value}
        forgery.write_manifest(store)
        with pytest.raises(DamagedError, match=str(store)):
            bedeck.open(store)


@pytest.mark.parametrize("member", ["name", "offset", "length", "chunks"])
def test_a_manifest_that_describes_a_section_wrongly_is_told(forgery: Forgery, tmp_path: Path, member: str) -> None:
    store = tmp_path / "store"
    forgery.write(store)
    sections = forgery.layer("t")["blob"]["sections"]
    described = sections[2]
    values: list[object] = [None, [], -1, 2**64, 0.5]
    for value in values:
        sections[2] = {**described, member: value}
        forgery.write_manifest(store)
        with pytest.raises(DamagedError, match=str(store)):
            bedeck.open(store)


def test_a_text_that_is_not_utf_8_is_told(forgery: Forgery, tmp_path: Path) -> None:
    records = forgery.base("t").parts["records"]
    place = records.index(b"one again")
    records[place] = 0xFF
    forgery.write(tmp_path / "store")
    assert not read_alone(tmp_path / "store", NEW)
    records_of = bedeck.open(tmp_path / "store")["t"]
    with pytest.raises(DamagedError, match=r"blobs/t-\w+\.blob: section records: "):
        records_of.decorate([1])
    with pytest.raises(DamagedError):
        records_of.decorate_arrow([1])

"""What was verified on this host is not verified again; what may have changed since, or is somebody else's word, is."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bedeck
from bedeck import state, verified
from bedeck.errors import DamagedError
from bedeck.store import LocalStore
from stores import SMALL, answers, small_rows

ROWS = small_rows()
Open = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the folder of marks is made."""
    path = tmp_path / "runtime"
    path.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path


@pytest.fixture
def blobs(tmp_path: Path) -> dict[str, Path]:
    """The blobs of a store, by type."""
    bedeck.build(SMALL, tmp_path / "store", ROWS)
    local = LocalStore(tmp_path / "store")
    found = local.blobs(local.manifest(local.resolve()))
    return {name.partition("-")[0]: path for name, path in found.items()}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock that marks are made by to so many seconds after the newest change of a blob."""

    def set_clock(seconds: float, *paths: Path) -> None:
        now = max(path.stat().st_ctime for path in paths) + seconds
        monkeypatch.setattr(verified, "time", SimpleNamespace(time=lambda: now))

    return set_clock


@pytest.fixture
def open_(tmp_path: Path, blobs: dict[str, Path], later: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the store well after its last change; gives the types of the blobs that were verified."""
    verify: list[str] = []

    class Spy:
        @staticmethod
        def open(folder: Path, entries: str, stale: list[str], *others: Any) -> Any:
            verify.extend(stale)
            return catalogue_version.open(folder, entries, stale, *others)

    catalogue_version = state.Version
    monkeypatch.setattr(state, "Version", Spy)

    def open_store(**options: Any) -> list[str]:
        verify.clear()
        if settled := [path for path in blobs.values() if path.exists()]:
            later(60, *settled)
        opened = bedeck.open(tmp_path / "store", **options)
        assert answers(opened, ROWS)["t: len"] == 2
        return sorted(name.partition("-")[0] for name in verify)

    return open_store


def rewrite(path: Path, data: bytes) -> None:
    """Write `data` to the file, so that its change time is another: clocks of file systems tick slowly."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_bytes(data)


def marks(runtime: Path) -> list[Path]:
    return sorted(path for path in (runtime / "bedeck").glob("*") if path.name != "turn")


def test_what_was_verified_is_not_verified_again(open_: Open) -> None:
    assert open_() == ["a", "t"]
    assert open_() == []
    assert open_() == []


def test_always_verifies_always(open_: Open) -> None:
    assert open_() == ["a", "t"]
    assert open_(verify="always") == ["a", "t"]
    assert open_(verify="always") == ["a", "t"]
    assert open_(verify="once") == []


def test_always_leaves_a_mark_too(open_: Open) -> None:
    assert open_(verify="always") == ["a", "t"]
    assert open_() == []


def test_no_other_word_is_taken_for_verify(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='verify=\'never\': expected "once" or "always"'):
        bedeck.open(tmp_path, verify="never")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: rewrite(path, path.read_bytes()),
        lambda path: path.write_bytes(path.read_bytes()) and os.utime(path, (0, 0)),
        lambda path: path.chmod(0o600),
        lambda path: Path(f"{path}.other").hardlink_to(path),
    ],
    ids=["rewritten", "rewritten, its time set back", "mode", "another name"],
)
def test_a_file_that_may_have_changed_is_verified_again(
    open_: Open, blobs: dict[str, Path], change: Callable[[Path], object]
) -> None:
    assert open_() == ["a", "t"]
    before = blobs["t"].stat().st_ctime_ns
    while blobs["t"].stat().st_ctime_ns == before:
        Path(f"{blobs['t']}.other").unlink(missing_ok=True)
        change(blobs["t"])
    assert open_() == ["t"]
    assert open_() == []


def test_a_copy_in_its_place_is_verified(open_: Open, blobs: dict[str, Path], tmp_path: Path) -> None:
    assert open_() == ["a", "t"]
    copy = tmp_path / "copy"
    copy.write_bytes(blobs["a"].read_bytes())
    copy.replace(blobs["a"])
    assert open_() == ["a"]
    assert open_() == []


def test_a_bit_that_flips_after_the_mark_is_found(open_: Open, blobs: dict[str, Path]) -> None:
    assert open_() == ["a", "t"]
    whole = blobs["a"].read_bytes()
    found = blobs["a"].stat()
    rewrite(blobs["a"], whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(blobs["a"], ns=(found.st_atime_ns, found.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(DamagedError, match="section directory"):
            open_()
    rewrite(blobs["a"], whole)
    assert open_() == ["a"]
    assert open_() == []


def test_damage_leaves_no_mark(open_: Open, blobs: dict[str, Path], runtime: Path) -> None:
    rewrite(blobs["t"], blobs["t"].read_bytes()[:-1] + b"!")
    with pytest.raises(DamagedError):
        open_()
    assert marks(runtime) == []


def test_a_file_that_changed_moments_ago_gets_no_mark(
    open_: Open, blobs: dict[str, Path], later: Callable[..., None], runtime: Path
) -> None:
    for seconds, kept in ((-100, 0), (0, 0), (1, 0), (3, 2)):
        later(seconds, *blobs.values())
        bedeck.open(blobs["a"].parents[1])
        assert len(marks(runtime)) == kept
    assert open_() == []


def test_a_file_that_changes_while_it_is_verified_gets_no_mark(
    open_: Open, blobs: dict[str, Path], runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = state.Version

    class Meddler:
        @staticmethod
        def open(*arguments: Any) -> Any:
            opened = real.open(*arguments)
            rewrite(blobs["t"], blobs["t"].read_bytes())
            return opened

    with monkeypatch.context() as patched:
        patched.setattr(state, "Version", Meddler)
        open_()
    assert len(marks(runtime)) == 1
    assert open_() == ["t"]


def test_a_mark_is_of_one_content(open_: Open, blobs: dict[str, Path]) -> None:
    open_()
    (content,) = {of["blob"]["hash"] for of in layers(blobs) if of["blob"]["name"] == blobs["a"].name}
    assert verified.is_marked(blobs["a"], content)
    assert not verified.is_marked(blobs["a"], "0" * 64)
    assert not verified.is_marked(blobs["t"], content)
    assert not verified.is_marked(blobs["a"].with_suffix(".gone"), content)


def layers(blobs: dict[str, Path]) -> list[dict[str, Any]]:
    local = LocalStore(blobs["a"].parents[1])
    return [layer for of in local.manifest(local.resolve())["types"].values() for layer in of["layers"]]


def test_a_new_version_is_verified_and_what_is_left_of_the_old_one_is_not(open_: Open, tmp_path: Path) -> None:
    assert open_() == ["a", "t"]
    bedeck.build(SMALL, tmp_path / "store", small_rows(" again"))
    assert open_() == ["a", "t"]
    assert open_() == []
    assert open_(version=1) == []


def test_marks_end_with_a_reboot(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_() == ["a", "t"]
    assert open_() == []
    real = Path.read_text

    def read_text(path: Path, *arguments: Any, **options: Any) -> str:
        return "another-boot\n" if path.name == "boot_id" else real(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert open_() == ["a", "t"]
    assert open_() == []


def test_where_boots_cannot_be_told_apart_all_is_verified(
    open_: Open, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_text(path: Path, **_: Any) -> str:
        raise FileNotFoundError(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", read_text)
        assert open_() == ["a", "t"]
        assert open_() == ["a", "t"]
    assert marks(runtime) == []


def test_marks_are_empty_files_that_only_their_user_can_write(open_: Open, runtime: Path) -> None:
    old = os.umask(0)
    try:
        open_()
    finally:
        os.umask(old)
    assert (runtime / "bedeck").stat().st_mode & 0o777 == 0o700
    assert [(path.stat().st_size, path.stat().st_mode & 0o777) for path in marks(runtime)] == [(0, 0o600)] * 2


def give_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid():
        other = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: other)
    else:
        os.chown(folder, 12345, -1)


def link(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.symlink_to(folder.rename(folder.with_name("elsewhere")))


def replace_by_file(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.touch()


@pytest.mark.parametrize(
    "spoil",
    [
        give_away,
        lambda folder, _: folder.chmod(0o777),
        lambda folder, _: folder.chmod(0o1777),
        lambda folder, _: folder.chmod(0o770),
        link,
        replace_by_file,
    ],
    ids=["of another user", "world-writable", "sticky", "group-writable", "a link", "a file"],
)
def test_marks_that_somebody_else_could_have_made_count_for_nothing(
    open_: Open, runtime: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    assert open_() == ["a", "t"]
    spoil(runtime / "bedeck", monkeypatch)
    assert open_() == ["a", "t"]
    assert open_() == ["a", "t"]


def test_nothing_is_written_into_a_folder_of_somebody_else(open_: Open, runtime: Path) -> None:
    (runtime / "bedeck").mkdir()
    (runtime / "bedeck").chmod(0o777)
    assert open_() == ["a", "t"]
    assert marks(runtime) == []


def test_where_marks_cannot_be_kept_all_is_verified(
    open_: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    assert open_() == ["a", "t"]
    assert open_() == ["a", "t"]
    assert not (tmp_path / "nowhere").exists()


def test_without_a_runtime_folder_marks_are_kept_among_temporary_files(
    open_: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert open_() == ["a", "t"]
    assert open_() == []
    folder = tmp_path / f"bedeck-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 3  # and the turn


def test_marks_that_cannot_be_written_are_done_without(
    open_: Open, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(path: Path, **_: Any) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "touch", touch)
    assert open_() == ["a", "t"]
    assert open_() == ["a", "t"]
    assert marks(runtime) == []


ANOTHER = """
import sys
import bedeck
from bedeck import state

class Spy:
    @staticmethod
    def open(folder, entries, stale, *others):
        print("verifies", *sorted(name.partition("-")[0] for name in stale))
        return real.open(folder, entries, stale, *others)

real, state.Version = state.Version, Spy
print(len(bedeck.open(sys.argv[1])["t"]))
"""


def test_another_process_of_this_user_need_not_verify_again(
    open_: Open, blobs: dict[str, Path], tmp_path: Path
) -> None:
    def other() -> list[str]:
        command = [sys.executable, "-c", ANOTHER, str(tmp_path / "store")]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very Python
        return ended.stdout.splitlines()

    open_()
    assert other() == ["verifies", "2"]
    rewrite(blobs["t"], blobs["t"].read_bytes())
    assert other() == ["verifies t", "2"]


def test_one_process_at_a_time_verifies_and_the_next_one_finds_the_marks(
    blobs: dict[str, Path], tmp_path: Path, runtime: Path, later: Callable[..., None]
) -> None:
    command = [sys.executable, "-c", ANOTHER, str(tmp_path / "store")]
    later(60, *blobs.values())
    with verified.turn():
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this very Python
        while str(runtime / "bedeck" / "turn") not in opened(other.pid):
            assert other.poll() is None
        for blob in (of["blob"] for of in layers(blobs)):
            path = tmp_path / "store" / "blobs" / blob["name"]
            verified.mark(path, blob["hash"], verified.name_of(path, blob["hash"]))
    assert other.communicate(timeout=60)[0].splitlines() == ["verifies", "2"]


def opened(process: int) -> set[str]:
    """The files that a process has open."""
    found = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return found

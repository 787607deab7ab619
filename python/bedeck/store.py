"""The local store: blobs, manifests and the log that announces them, as in docs/format.md, 'The store'."""

import fcntl
import getpass
import json
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bedeck._core import blake3
from bedeck.errors import BusyError, DamagedError, FormatError, NotFoundError, StoreError

__all__ = ["Entry", "LocalStore"]

FORMAT: Final = 1
PARTS: Final = frozenset({"blobs", "log", "manifests", "tmp"})
ENTRY_NAME: Final = re.compile(r"(?!0{10})[0-9]{10}\.json")
BLOB_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*-[0-9a-f]{32}\.blob")
LARGEST: Final = 1 << 30  # bytes of a manifest: that of 100 million records has some 200 KB
HASH: Final = re.compile(r"[0-9a-f]{64}")
RECOVER: Final = "restore it from a copy of the store, open another version with version=, or build into a new folder"
REBUILD: Final = "build again, restore it from a copy of the store, or open another version with version="


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry `number` of the log: `version` is announced, and `manifest` (64 hex digits) says what it consists of."""

    number: int
    version: int
    manifest: str
    at: str
    by: str


class LocalStore:
    """A store in a local folder. Making one touches no file; any number of threads and processes may read and write it.

    Readers take no lock and see a version only once its entry is in the log. What a method raises is a `StoreError`,
    most often one of its subclasses, and names the file and the way out. Blobs are told by name and size here;
    what is in them is for the core to check.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"LocalStore({str(self.path)!r})"

    def log(self) -> list[int]:
        """The numbers of the log's entries, ascending. Files of other names are passed over; gaps show as gaps.

        Raises NotFoundError where there is no store.
        """
        try:
            names = [path.name for path in (self.path / "log").iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            raise self._no_store() from None
        except OSError as error:
            raise StoreError(f"cannot list the log of {self.path}: {error}") from error
        return sorted(int(name[:10]) for name in names if ENTRY_NAME.fullmatch(name))

    def entry(self, number: int) -> Entry:
        """Entry `number` of the log, its checksum compared.

        Raises NotFoundError (no such entry), DamagedError, or FormatError (a kind of entry this bedeck does not know).
        """
        path = self._entry_path(number)
        what = f"log entry {number}"
        line, newline, checksum = self._read(path, what).partition(b"\n")
        if newline + checksum != checksum_of(line):
            raise DamagedError(f"{what} of {self.path} does not match its checksum (file {path}): {RECOVER}")
        match parse(line):
            case {
                "at": str(at),
                "by": str(by),
                "entry": int(written),
                "kind": "announce",
                "manifest": str(manifest),
                "version": int(version),
            } if written == number and HASH.fullmatch(manifest):
                return Entry(number, version, manifest, at, by)
            case {"kind": str(kind)} if kind != "announce":
                raise FormatError(f"{what} of {self.path} is of kind {kind!r} (file {path}): upgrade bedeck to read it")
            case _:
                raise DamagedError(f"{what} of {self.path} does not hold what its name says (file {path}): {RECOVER}")

    def head(self) -> Entry | None:
        """The entry with the highest number, which says what is announced; None where nothing is yet."""
        numbers = self.log()
        return self.entry(numbers[-1]) if numbers else None

    def resolve(self, version: int | None = None) -> Entry:
        """The newest entry that announces `version`, or what is announced now: O(1) entries read, O(log) for a version.

        An entry that cannot be read, or is missing between others, is an error only where the answer may lie in it.
        Raises NotFoundError where there is no store, no announcement, or no such version.
        """
        if version is not None:
            return self._find(version)
        head = self.head()
        if head is None:
            told = "its first build is still running, or did not finish"
            raise NotFoundError(f"nothing is announced in {self.path} yet: {told}")
        return head

    def manifest(self, entry: Entry) -> dict[str, Any]:
        """What the version of `entry` consists of: its manifest, verified by hash.

        Raises DamagedError, also where it is missing, or FormatError (not a manifest, or one of a newer bedeck).
        """
        path = self._manifest_path(entry.manifest)
        what = f"manifest {entry.manifest}"
        data = self._read(path, what, DamagedError)
        if blake3(data) != entry.manifest:
            raise DamagedError(f"{what} of {self.path} does not match its checksum (file {path}): {RECOVER}")
        manifest = parse(data)
        match manifest:
            case {"format": int(found)} if found > FORMAT:
                raise FormatError(f"{what} of {self.path} is in format {found}: upgrade bedeck to read it")
            case {"format": int(found), "version": entry.version, "types": dict()} if found == FORMAT:
                return manifest
            case {"format": int()}:
                raise DamagedError(f"{what} of {self.path} is not that of version {entry.version}: {RECOVER}")
            case _:
                raise FormatError(f"{path} is not a bedeck manifest: {RECOVER}")

    def blobs(self, manifest: Mapping[str, Any]) -> dict[str, Path]:
        """The files that `manifest` names, by name, each found to be there in its full size.

        Raises DamagedError, naming the blob, or the type for which none is named.
        """
        try:
            named = list(blobs_of(manifest))
        except DamagedError as error:
            raise DamagedError(f"version {manifest['version']} of {self.path}: {error}") from None
        return {name: self._measured(self.path / "blobs" / name, size) for name, size in named}

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """Hold the store for one build; gives an empty folder inside it to write the blobs to, gone afterwards.

        Makes the store where there is none, and clears what a killed build left. Raises BusyError at once where another
        build holds it, and StoreError where `path` is a folder of something else. The hold ends with the process.
        """
        with telling(f"prepare the store {self.path}"):
            self._make()
            lock = os.open(self.path / "tmp" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock(lock)
            folder = self.path / "tmp" / "build"
            with telling(f"prepare the store {self.path}"):
                if folder.exists():
                    shutil.rmtree(folder)
                folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                os.ftruncate(lock, 0)
                # Closing alone would not do where a process forked meanwhile has the lock open too.
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def publish(self, folder: Path, manifest: Mapping[str, Any]) -> Entry:
        """Move the blobs that `manifest` names out of `folder`, write the manifest, and announce it, in this order.

        To be called within `hold()`. `manifest["parent"]` is the hash of the manifest that was announced when the build
        began, or None; `manifest["version"]` is higher than that one's version (ValueError). Blobs that are not in
        `folder` have to be in the store. Once this returns, a power cut loses nothing of it; until then, whatever
        happens, what was announced still is. Raises BusyError where another build has announced something meanwhile.
        """
        head = self.head()
        if (head.manifest if head else None) != manifest["parent"]:
            raise self._lost()
        if manifest["version"] <= (head.version if head else 0):
            raise ValueError(f"version {manifest['version']} is not higher than the announced one of {self.path}")
        with telling(f"write to the store {self.path}"):
            self._move_blobs(folder, manifest)
            name = self._write_manifest(folder, manifest)
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            entry = Entry((head.number if head else 0) + 1, manifest["version"], name, now, user())
            self._announce(folder, entry)
        return entry

    def _entry_path(self, number: int) -> Path:
        return self.path / "log" / f"{number:010}.json"

    def _manifest_path(self, name: str) -> Path:
        return self.path / "manifests" / f"{name}.json"

    def _read(self, path: Path, what: str, missing: type[StoreError] = NotFoundError) -> bytes:
        try:
            # Not to wait for the other end of a pipe, nor to read for ever.
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                found = os.fstat(file.fileno())
                sound = stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST
                data = file.read() if sound else b""
        except FileNotFoundError:
            raise missing(f"{what} is missing from {self.path} (file {path}): {RECOVER}") from None
        except OSError as error:
            raise StoreError(f"cannot read {what} of {self.path}: {error}") from error
        if not sound:
            raise DamagedError(f"{what} of {self.path} is not a regular file of its size (file {path}): {RECOVER}")
        return data

    def _find(self, version: int) -> Entry:
        numbers = self.log()
        unread: StoreError | None = None
        for number in reversed(numbers):
            try:
                entry = self.entry(number)
            except StoreError as error:
                unread = unread or error
                continue
            if entry.version == version:
                return entry
        if unread:
            raise unread
        for expected, number in enumerate(numbers, 1):
            if number != expected:
                raise DamagedError(f"log entry {expected} of {self.path} is missing among others: {RECOVER}")
        raise NotFoundError(f"no version {version} in {self.path}: none of the {len(numbers)} log entries announces it")

    def _measured(self, path: Path, size: int) -> Path:
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise DamagedError(f"blob {path.name} is missing from {path.parent}: {REBUILD}") from None
        except OSError as error:
            raise StoreError(f"cannot read blob {path.name} of {self.path}: {error}") from error
        if found != size:
            raise DamagedError(f"blob {path} has {found} bytes instead of {size}: {REBUILD}")
        return path

    def _no_store(self) -> NotFoundError:
        way_out = "check the path, or build one there"
        with suppress(OSError):
            if self.path.is_file() or self._is_foreign():
                what = "a file" if self.path.is_file() else "a folder of other files"
                way_out = f"it is {what}; check the path, or build into a new or an empty folder"
        return NotFoundError(f"no bedeck store at {self.path}: {way_out}")

    def _is_foreign(self) -> bool:
        found = {path.name for path in self.path.iterdir()}
        return not (found <= PARTS or found >= PARTS - {"tmp"})

    def _make(self) -> None:
        if self.path.is_file():
            raise StoreError(f"{self.path} is a file: name a new or an empty folder")
        make_folder(self.path)
        if self._is_foreign():
            raise StoreError(f"{self.path} holds other files and is no bedeck store: name a new or an empty folder")
        for part in sorted(PARTS):
            (self.path / part).mkdir(exist_ok=True)
        sync(self.path)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            holder = f"process {number}" if number else "a process just starting or ending"
            raise BusyError(f"{self.path} is held by {holder}: let that build end, then try again") from None
        with telling(f"prepare the store {self.path}"):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def _lost(self) -> BusyError:
        return BusyError(f"another build has announced a version in {self.path} since this one began: build again")

    def _move_blobs(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        made = [self._measured(folder / name, size) for name, size in blobs_of(manifest) if (folder / name).exists()]
        for path in made:
            sync(path)
        for path in made:
            # Over one of the same name too: that is how building again heals a damaged blob.
            path.replace(self.path / "blobs" / path.name)
        sync(self.path / "blobs")
        self.blobs(manifest)

    def _write_manifest(self, folder: Path, manifest: Mapping[str, Any]) -> str:
        data = canonical(manifest) + b"\n"
        name = blake3(data)
        write(folder / "manifest.json", data).replace(self._manifest_path(name))
        sync(self.path / "manifests")
        return name

    def _announce(self, folder: Path, entry: Entry) -> None:
        line = canonical(
            {
                "at": entry.at,
                "by": entry.by,
                "entry": entry.number,
                "kind": "announce",
                "manifest": entry.manifest,
                "version": entry.version,
            }
        )
        aside = write(folder / "entry.json", line + checksum_of(line))
        try:
            # A link, unlike a rename, never replaces: of two builds on one parent, one loses here.
            os.link(aside, self._entry_path(entry.number))
        except FileExistsError:
            raise self._lost() from None
        sync(self.path / "log")


def blobs_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Name and size of each blob that `manifest` names; DamagedError where it does not name them as it should."""
    for type_name, type_ in manifest["types"].items():
        match type_:
            case {"layers": [*layers]} if layers:
                yield from (blob_of(type_name, layer) for layer in layers)
            case _:
                raise DamagedError(f"the manifest gives no layers for type {type_name}: {RECOVER}")


def blob_of(type_name: str, layer: object) -> tuple[str, int]:
    """Name and size of the blob of `layer`; DamagedError where it does not name one as it should."""
    match layer:
        case {"blob": {"name": str(name), "size": int(size), "hash": str()}} if BLOB_NAME.fullmatch(name):
            return name, size
    raise DamagedError(f"the manifest names no proper blob for type {type_name}: {RECOVER}")


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; an empty one where that is not what it holds."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def canonical(value: Mapping[str, Any]) -> bytes:
    """`value` as JSON in the one form that is hashed."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def checksum_of(line: bytes) -> bytes:
    """What follows `line` in a log entry."""
    return f"\nblake3:{blake3(line)}\n".encode()


def user() -> str:
    """Who announces: user@host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that has no name
        name = str(os.getuid())
    return f"{name}@{platform.node()}"


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it where they are not there, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def write(path: Path, data: bytes) -> Path:
    """Write `data` to a new file at `path`, durably."""
    path.unlink(missing_ok=True)  # never into a file that has another name elsewhere
    path.write_bytes(data)
    sync(path)
    return path


def sync(path: Path) -> None:
    """Have the disk hold what was written to the file or folder `path`."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def telling(doing: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what could not be done."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"cannot {doing}: {error}; mend that, then build again") from error

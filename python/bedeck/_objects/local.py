"""Named bytes in a local folder."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from bedeck.errors import DamagedError, NotFoundError, StoreError
from bedeck.objects import Stored

__all__ = ["LARGEST", "LocalObjects", "make_folder", "sync", "telling"]

LARGEST: Final = 1 << 30  # bytes read at once: the manifest of 100 million records has some 200 KB
FORGOTTEN_SECONDS: Final = 24 * 3600  # what a write put aside is of a process that was killed


class LocalObjects:
    """The files below a folder, as `bedeck.objects.Objects`. Reading writes nothing, and needs no permission to write.

    A file is written aside, in ``tmp/``, synced, then put in its place by a link, which never replaces, or a rename;
    then the folder it is in is synced. Folders are made where they are missing.
    """

    usable = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"LocalObjects({str(self.path)!r})"

    @property
    def place(self) -> str:
        """The path of the folder."""
        return str(self.path)

    def get(self, name: str) -> bytes:
        """All bytes of a file, which has to be a regular one below a GiB: `DamagedError`."""
        with self._reading(name), self._open(name) as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST:
                return file.read()
        raise DamagedError(f"{self.path / name} is not a regular file of its size: restore it from a copy of the store")

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; fewer where the file ends before."""
        with self._reading(name), self._open(name) as file:
            file.seek(start)
            return file.read(end - start)

    def changed(self, name: str, tag: str | None) -> tuple[bytes, str] | None:
        """The bytes of a file and its tag, or `None` where that is ``tag`` still."""
        with self._reading(name):
            found = (self.path / name).stat()
        now = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
        return None if now == tag else (self.get(name), now)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with self._reading(name):
            return (self.path / name).stat().st_size

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names in one folder that start with ``prefix`` and come after ``after``, ascending. May be none."""
        folder, _, start = prefix.rpartition("/")
        try:
            found = os.listdir(self.path / folder)  # noqa: PTH208 - a log may have very many entries
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"cannot list {folder} of {self.path}: {error}") from error
        names = sorted(f"{folder}/{name}" if folder else name for name in found if name.startswith(start))
        yield from (name for name in names if name > after)

    def scan(self, prefix: str) -> Iterator[Stored]:
        """The files in one folder whose names start with ``prefix``. May be none."""
        for name in self.list(prefix):
            with suppress(NotFoundError), self._reading(name):
                found = (self.path / name).stat()
                yield Stored(name, found.st_size, found.st_mtime)

    def create(self, name: str, data: bytes) -> bool:
        """Make a file that is not there yet, whole and durably; `False`, and nothing changed, where it is there."""
        with telling(f"write to the store {self.path}"):
            path, aside = self._prepare(name)
            try:
                write(aside, data)
                # A link, unlike a rename, never replaces: of many at once, one is made.
                os.link(aside, path)
                made = True
            except FileExistsError:
                made = False
            finally:
                aside.unlink(missing_ok=True)
            sync(path.parent)  # whoever made it
        return made

    def put(self, name: str, data: bytes) -> None:
        """Make or replace a small file, whole and durably."""
        with telling(f"write to the store {self.path}"):
            path, aside = self._prepare(name)
            try:
                write(aside, data)
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
            sync(path.parent)

    def upload(self, name: str, file: Path) -> None:
        """Make or replace a file, whole and durably, with another, which is moved if it lies in ``tmp/``, or copied."""
        with telling(f"write to the store {self.path}"):
            path, aside = self._prepare(name)
            try:
                made = file if file.is_relative_to(self.path / "tmp") else Path(shutil.copyfile(file, aside))
                os.utime(made)  # it is as old as its being here, whenever it was made
                sync(made)
                made.replace(path)
            finally:
                aside.unlink(missing_ok=True)
            sync(path.parent)

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is removed already."""
        with telling(f"remove {name} of {self.path}"):
            (self.path / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed processes have left aside."""
        for aside in (self.path / "tmp").glob("aside-*"):
            with suppress(OSError):
                if time.time() - aside.stat().st_mtime > FORGOTTEN_SECONDS:
                    aside.unlink()

    def _prepare(self, name: str) -> tuple[Path, Path]:
        """Where the file is to lie, and where to write it before."""
        path = self.path / name
        for folder in (path.parent, self.path / "tmp"):
            make_folder(folder)
        return path, self.path / "tmp" / f"aside-{secrets.token_hex(8)}"

    def _open(self, name: str) -> BinaryIO:
        # Not to wait for the other end of a pipe, nor to read for ever.
        return open(self.path / name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"there is no {name} in {self.path}") from None
        except OSError as error:
            raise StoreError(f"cannot read {name} of {self.path}: {error}") from error


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it where they are not there, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def write(path: Path, data: bytes) -> None:
    """Write ``data`` to a new file at ``path``, durably."""
    with path.open("xb") as file:
        file.write(data)
    sync(path)


def sync(path: Path) -> None:
    """Have the disk hold what was written to the file or folder ``path``."""
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
        raise StoreError(f"cannot {doing}: {error}; mend that, then try again") from error

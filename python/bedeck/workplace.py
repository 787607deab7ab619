"""Workplaces: folders that a process works in, which are gone with it, or, where it was killed, with the next one."""

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bedeck._objects.local import make_folder, telling
from bedeck.errors import StoreError

__all__ = ["own_folder", "workplace"]

PREFIX: Final = "cycle-"


@contextmanager
def workplace(root: Path) -> Iterator[Path]:
    """An empty folder in ``root``, of this process alone, gone afterwards; those of processes that are gone go first.

    A folder is locked as long as its process lives. Raises `StoreError`.
    """
    with telling(f"work in {root}"):
        make_folder(root)
        _clear(root)
    opened = None
    while opened is None:
        folder = root / f"{PREFIX}{secrets.token_hex(8)}"
        try:  # from here on, since what ends the process in order may come at any time
            with telling(f"work in {root}"):
                folder.mkdir(mode=0o700)
                opened = _lock(folder)
            if opened is not None:  # else another process took it for one that was left, before it was locked
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if opened is not None:
                os.close(opened)


def own_folder() -> Path:
    """A folder for workplaces among temporary files, of this user alone. Raises `StoreError` where it is not."""
    path = Path(tempfile.gettempdir(), f"bedeck-work-{os.getuid()}")
    with telling(f"work in {path}"):
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise StoreError(f"{path} is not a folder of this user alone: remove it, or name another folder with work=")
    return path


def _clear(root: Path) -> None:
    for folder in root.glob(f"{PREFIX}*"):
        opened = _lock(folder)
        if opened is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(opened)


def _lock(folder: Path) -> int | None:
    """Lock a folder, which ends with the process; `None` where it is locked, or gone."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.stat().st_ino == os.fstat(opened).st_ino:
            return opened
    os.close(opened)
    return None

"""Turns of the processes of one host: a locked file, which one of them has at a time."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["Hold", "turn"]

GLANCE_SECONDS: Final = 0.05

# What this process has locked. A child that is forked meanwhile has the files open too, and would keep them locked.
_locked: set[int] = set()


@contextmanager
def turn(path: Path, patience: float | None = None) -> Iterator[bool]:
    """Wait until no other process or thread has the file at ``path`` locked, then lock it; made where it is missing.

    After ``patience`` seconds, where that is given, go on without: `False`. A lock ends with its process, however that
    ends. Raises OSError.
    """
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _locked.add(opened)
    try:
        yield _lock(opened, patience)
    finally:
        if opened in _locked:  # else this is a forked child, which has left it
            _locked.remove(opened)
            fcntl.flock(opened, fcntl.LOCK_UN)
            os.close(opened)


def _lock(opened: int, patience: float | None) -> bool:
    if patience is None:
        fcntl.flock(opened, fcntl.LOCK_EX)
        return True
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(GLANCE_SECONDS)
        else:
            return True


class Hold:
    """Files that are in use by this process, and by those forked from it, as long as this lives."""

    def __init__(self) -> None:
        self._opened: list[int] = []

    def take(self, path: Path) -> None:
        """Hold the file at ``path``. Raises FileNotFoundError where it is gone, even if only by now."""
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._opened.append(opened)
        fcntl.flock(opened, fcntl.LOCK_SH)
        if not os.fstat(opened).st_nlink:
            raise FileNotFoundError(f"{path} was removed")

    @staticmethod
    def remove(path: Path) -> bool:
        """Remove the file at ``path`` unless somebody holds it; whether it is gone."""
        try:
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(opened)
        return True

    def __del__(self) -> None:
        for opened in self._opened:
            os.close(opened)


def _leave() -> None:
    while _locked:
        os.close(_locked.pop())


os.register_at_fork(after_in_child=_leave)

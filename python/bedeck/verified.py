"""Marks that say which blobs were verified on this host since it was started.

A mark is an empty file in a folder that only this user can write, named by a hash of boot, file, size, change time and
content. Whatever changes a blob changes its change time, so its mark no longer fits; a reboot ends all marks.
"""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bedeck import turn as turns
from bedeck._core import blake3

__all__ = ["is_marked", "mark", "turn"]

# A change within the file system's clock tick leaves the change time as it was: younger files get no mark.
SETTLED_SECONDS = 2
PATIENCE_SECONDS = 60  # a process that is stopped keeps its turn


def folder() -> Path | None:
    """Where marks are kept, made if need be; `None` where that is not a folder of this user alone."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    try:  # looking for a folder of temporary files, Python writes into it
        path = Path(runtime, "bedeck") if runtime else Path(tempfile.gettempdir(), f"bedeck-{os.getuid()}")
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return path if private else None


def name_of(path: Path, content: str) -> str | None:
    """The mark of a file as it is now; `None` where this cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        found = path.stat()
    except OSError:
        return None
    parts = (boot, found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns, content)
    return blake3("\0".join(map(str, parts)).encode())


def is_marked(path: Path, content: str) -> bool:
    """Whether the file at `path` was verified to have the hash `content`, and has not changed since."""
    marks, name = folder(), name_of(path, content)
    return marks is not None and name is not None and (marks / name).exists()


def mark(path: Path, content: str, before: str | None) -> None:
    """Remember that the file at `path` was verified; `before` is its `name_of` from before that. Never fails."""
    marks, name = folder(), name_of(path, content)
    if marks is None or name is None or name != before:
        return
    with suppress(OSError):
        if time.time() - path.stat().st_ctime > SETTLED_SECONDS:
            (marks / name).touch(mode=0o600)


@contextmanager
def turn() -> Iterator[None]:
    """Verify while no other process of this host does: who waits finds marks then. Never fails."""
    marks = folder()
    with ExitStack() as stack:
        if marks is not None:
            with suppress(OSError):
                stack.enter_context(turns.turn(marks / "turn", PATIENCE_SECONDS))
        yield

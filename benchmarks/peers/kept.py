"""Files that peers serve from: written once, kept for later runs, with the seconds that it took."""

import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

__all__ = ["kept", "seconds_of", "size_of"]


def kept(path: Path, write: Callable[[Path], object]) -> Path:
    """Have a file or folder written, unless it is there; return its path."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{path.name}")
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        unfinished.unlink(missing_ok=True)
        start = perf_counter()
        write(unfinished)
        _note(path).write_text(f"{perf_counter() - start:.3f}\n", "ascii")
        unfinished.replace(path)
    return path


def seconds_of(path: Path) -> float:
    """The seconds that writing it took."""
    return float(_note(path).read_text("ascii"))


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.seconds")

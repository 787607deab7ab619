"""Small stores, made and opened in a line, where writing them durably costs nothing."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bedeck
from bedeck import Catalogue, Schema, Type
from bedeck.sources import Source

__all__ = ["blobs", "make", "scratch"]

MEMORY = Path("/dev/shm")  # noqa: S108 - each folder in it is made by tempfile


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, in memory where there is such a place; what was opened from it stays open."""
    with tempfile.TemporaryDirectory(prefix="bedeck-test-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


def make(types: Mapping[str, Type], sources: Mapping[str, Source], *, threads: int | None = None) -> Catalogue:
    """A catalogue built from `sources`."""
    with scratch() as folder:
        bedeck.build(Schema(types), folder / "store", sources, threads=threads)
        return bedeck.open(folder / "store")


def blobs(types: Mapping[str, Type], sources: Mapping[str, Source], *, threads: int) -> dict[str, bytes]:
    """The files of a version built from `sources`, by name."""
    with scratch() as folder:
        bedeck.build(Schema(types), folder / "store", sources, threads=threads)
        return {path.name: path.read_bytes() for path in (folder / "store" / "blobs").iterdir()}

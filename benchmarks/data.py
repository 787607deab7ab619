"""The data of a run: a synthetic catalogue as Parquet, made once and kept, and what is built from it, made anew."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import bedeck
from bedeck.synth import requests, synth

__all__ = ["Data"]

_UNKNOWN = 0.02


@dataclass(frozen=True, slots=True)
class Data:
    """A catalogue of `tracks` tracks, with their artists and albums, in its own folder below `cache`."""

    cache: Path
    tracks: int

    @property
    def folder(self) -> Path:
        """The folder of everything below."""
        return self.cache / f"tracks-{self.tracks}"

    @property
    def source(self) -> Path:
        """The folder of the Parquet files."""
        return self.folder / "source"

    @property
    def store(self) -> Path:
        """The store that bedeck builds."""
        return self.folder / "store"

    def make(self) -> None:
        """Write the Parquet files, unless they are there."""
        if not (self.source / "catalogue.toml").exists():
            synth(self.source, self.tracks)

    def build(self) -> bedeck.Build:
        """Build bedeck's store from the Parquet files, in place of one that is there."""
        shutil.rmtree(self.store, ignore_errors=True)
        return bedeck.build(self.source / "catalogue.toml", self.store)

    def track_files(self) -> list[Path]:
        """The Parquet files of the tracks."""
        return sorted(self.source.glob("tracks-*.parquet"))

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Some columns of all tracks, as Arrow record batches."""
        for file in self.track_files():
            yield from pq.ParquetFile(file).iter_batches(columns=columns)

    def artists(self) -> pa.Table:
        """The `id` and `name` of all artists."""
        return pq.read_table(self.source / "artists.parquet", columns=["id", "name"])

    def source_bytes(self) -> int:
        """Bytes of the Parquet files of the tracks."""
        return sum(file.stat().st_size for file in self.track_files())

    def store_bytes(self) -> int:
        """Bytes of the whole store, log and manifest included."""
        return sum(path.stat().st_size for path in self.store.rglob("*") if path.is_file())

    def lists(self, count: int, size: int, seed: int) -> list[str]:
        """So many lists of ids, uniform over the tracks, 2 % of them unknown; each is one string, with spaces between.

        Splitting it gives new `str` objects whose hash is not yet known, as a request parser would.
        """
        made = requests(self.source, count, seed=seed, shape="uniform", size=size, unknown=_UNKNOWN)
        return [" ".join(ids) for ids in made]

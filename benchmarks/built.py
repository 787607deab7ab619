"""bedeck's store of a catalogue: built as any user would, watched, and kept."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from time import sleep

import bedeck
from benchmarks.data import Data
from benchmarks.processes import watched

__all__ = ["Built", "build"]

_SETTLING = 1e-7  # seconds a track in which the system frees what a build has left in memory


@dataclass(frozen=True, slots=True)
class Built:
    """A build: by which version, the seconds it took, its peak of anonymous memory, records and bytes by type."""

    version: str
    seconds: float
    peak: int
    records: Mapping[str, int]
    bytes: Mapping[str, int]
    kept: bool = False  # from an earlier run

    def bytes_each(self, name: str) -> float:
        """Bytes of the blob of a type, by its records."""
        return self.bytes[name] / self.records[name]


def build(data: Data, *, anew: bool) -> Built:
    """Build the store from the Parquet files, in a process of its own, in place of one that is there.

    One that this version of bedeck has built already is kept, unless it is to be built anew.
    """
    note = data.folder / "build.json"
    if not anew and note.exists() and data.store.exists():
        kept = Built(**json.loads(note.read_text("utf-8")) | {"kept": True})
        if kept.version == version("bedeck"):
            return kept
    note.unlink(missing_ok=True)
    shutil.rmtree(data.store, ignore_errors=True)
    done, peak = watched(bedeck.build, data.source / "catalogue.toml", data.store)
    os.sync()
    sleep(_SETTLING * data.tracks)
    built = Built(
        version("bedeck"),
        done.seconds,
        peak,
        {name: type_.records for name, type_ in done.types.items()},
        {name: type_.bytes for name, type_ in done.types.items()},
    )
    note.write_text(json.dumps(asdict(built)), "utf-8")
    return built

"""Batches of two types while the version changes back to back: how many are of two versions at once."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import numpy as np

import bedeck
from bedeck.store import LocalStore

__all__ = ["Batches", "batches"]

BATCHES = 200_000
VERSIONS = 8
RECORDS = 20_000
SIZE = 50
READERS = 2
_SCHEMA = bedeck.Schema(
    {
        "track": bedeck.Type("id", references={"artist": bedeck.Reference("artist_id", "artist")}),
        "artist": bedeck.Type("id"),
    }
)


@dataclass(frozen=True, slots=True)
class Batches:
    """How many batches were asked for, how many had records of more than one version, and how often it changed."""

    batches: int
    mixed: int
    refreshes: int


def batches(folder: Path) -> Batches:
    """Count them, in a store of its own that is removed afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    for version in range(1, VERSIONS + 1):
        bedeck.build(_SCHEMA, folder, _rows(version))
    catalogue, local = bedeck.open(folder), LocalStore(folder)
    mixed = [0] * READERS
    sys.setswitchinterval(1e-5)  # or readers that never pause hold refreshes up: this is a process of its own
    readers = [Thread(target=_read, args=(catalogue, reader, mixed)) for reader in range(READERS)]
    for reader in readers:
        reader.start()
    while any(reader.is_alive() for reader in readers):
        local.pin(1 + catalogue.version % VERSIONS, "one after the other")
        catalogue.refresh()
    refreshes = catalogue.status().refreshes
    shutil.rmtree(folder)
    return Batches(BATCHES, sum(mixed), refreshes)


def _rows(version: int) -> dict[str, list[dict[str, int]]]:
    """Every record of both types has the number of its version."""
    artists = [{"id": key, "version": version} for key in range(RECORDS)]
    return {"track": [{**row, "artist_id": row["id"]} for row in artists], "artist": artists}


def _read(catalogue: bedeck.Catalogue, reader: int, mixed: list[int]) -> None:
    keys = np.random.default_rng(reader).integers(0, RECORDS, (1_000, SIZE))
    lists = [row.tolist() for row in keys]
    for place in range(BATCHES // READERS):
        ids = lists[place % len(lists)]
        with catalogue.view() as view:
            tracks = view["track"].decorate(ids, ["version", "artist.version"])
            artists = view["artist"].decorate(ids, ["version"])
        found = {row["version"] for row in [*tracks, *artists] if row}
        found |= {row["artist"]["version"] for row in tracks if row}
        mixed[reader] += len(found) != 1

"""The lists of ids that are asked for: of several shapes and lengths, made once and kept."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from bedeck.synth import requests
from benchmarks.data import Data

__all__ = ["CASES", "MAIN", "Case", "Lists"]

_UNKNOWN = 0.02
_SHAPES = {"uniform": "uniform", "zipf": "Zipf", "playlist": "of playlists"}


@dataclass(frozen=True, slots=True)
class Case:
    """Lists of one shape, as `bedeck.synth.requests` makes them, and one length; None is that of playlists."""

    shape: Literal["uniform", "zipf", "playlist"]
    size: int | None

    @property
    def name(self) -> str:
        """How a report calls it."""
        return "playlists" if self.size is None else f"{self.size:,} {_SHAPES[self.shape]}"


MAIN = Case("uniform", 100)
CASES = (MAIN, Case("zipf", 100), Case("playlist", None), *(Case("uniform", size) for size in (1, 10, 1000)))


class Lists:
    """The lists for one catalogue, 2 % of their ids unknown."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def of(self, case: Case, count: int, seed: int) -> list[str]:
        """So many lists, each as one string with spaces between: the first ones of those of that seed.

        Splitting it gives new `str` objects whose hash is not yet known, as a request parser would.
        """
        file = self._file(case, seed)
        kept = file.read_text("ascii").splitlines() if file.exists() else []
        return kept[:count] if len(kept) >= count else self._make(case, count, seed)

    def _file(self, case: Case, seed: int) -> Path:
        return self._data.folder / "lists" / f"{case.shape}-{case.size or 'any'}-{seed}.txt"

    def _make(self, case: Case, count: int, seed: int) -> list[str]:
        made = requests(self._data.source, 2 * count, seed=seed, shape=case.shape, size=case.size, unknown=_UNKNOWN)
        lists = list(islice((" ".join(ids) for ids in made if ids), count))
        file = self._file(case, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".tmp")
        unfinished.write_text("\n".join(lists), "ascii")
        unfinished.replace(file)
        return lists

"""Lists of track ids of real shapes, each a function of its number."""

import numpy as np

from bedeck._synth.draws import Draws, Numbers, draw, quantiles, sixteen, stream, thirty_two
from bedeck._synth.population import Population

__all__ = ["Requests"]

_SIZES = {  # of editorial playlists, by per mille: round numbers are common
    0: 12, 50: 30, 200: 49, 230: 50, 330: 50, 470: 75, 500: 76, 700: 100, 755: 101, 900: 155, 950: 250, 990: 600,
    1000: 642,
}  # fmt: skip
_REPEATED = 255  # of 65,536 lists: 1 in 257
_BY_ARTIST = 23000  # of 65,536 tracks of a playlist are by the artist of an earlier one
_ON_ALBUM = 1500  # and so many from the same album
_ATTEMPTS = 16  # to make the ids of a list differ, the later half of them without regard to popularity
_PLATEAU = 210_000  # the n / 210,000 most popular tracks are about equally popular, as in reported streams


class Requests:
    """The lists of one seed and shape for one catalogue."""

    def __init__(self, people: Population, seed: int, shape: str, size: int | None, unknown: float) -> None:
        self._people = people
        self._seed = seed
        self._shape = shape
        self._size = size
        self._sizes = quantiles(_SIZES)
        self._unknown = int(unknown * 2**32)
        self._ends = _octaves(people.tracks)

    def ids(self, number: int) -> list[str]:
        """Return the list of that number."""
        start = stream(self._seed, f"request {number}")
        chance = draw(start, np.arange(2))
        size = int(self._sizes[sixteen(chance, 0)[0]]) if self._size is None else self._size
        if not size:
            return []
        rows = self._people.ids("track", self._tracks(start, size))
        strange = np.flatnonzero(thirty_two(draw(stream(start, "unknown"), np.arange(size)), 0) < self._unknown)
        rows[strange] = self._people.ids(f"unknown {start}", strange)
        if sixteen(chance, 1)[0] < _REPEATED:
            first, second = (int(thirty_two(chance, half)[1]) * size >> 32 for half in (0, 1))
            rows[first] = rows[second - (first == second)]
        ids: list[str] = rows.view("S22").ravel().astype("U22").tolist()
        return ids

    def _tracks(self, start: int, size: int) -> Numbers:
        tracks = self._picks(start, 0, np.arange(size))
        if self._shape == "playlist":
            self._stay(tracks, draw(stream(start, "stay"), np.arange(size)))
        for attempt in range(1, _ATTEMPTS):
            again = np.ones(size, np.bool_)
            again[np.unique(tracks, return_index=True)[1]] = False
            if not again.any():
                break
            tracks[again] = self._picks(start, attempt, np.flatnonzero(again))
        return tracks

    def _picks(self, start: int, attempt: int, places: Numbers) -> Numbers:
        draws = draw(stream(start, f"pick {attempt}"), places)
        if self._shape == "uniform" or attempt >= _ATTEMPTS // 2:
            return (draws % self._people.tracks).view(np.int64)
        octave = sixteen(draws, 0) * (len(self._ends) - 1) >> 16
        first = self._ends[octave]
        ranks = first + (thirty_two(draws, 1).view(np.int64) * (self._ends[octave + 1] - first) >> 32)
        return self._people.ranks.back(ranks)

    def _stay(self, tracks: Numbers, draws: Draws) -> None:
        """Replace some of the tracks by others of the artist of the one before: from the album beside, or the same."""
        chance = sixteen(draws, 0)
        stays = chance < _BY_ARTIST + _ON_ALBUM
        stays[0] = False
        before = np.maximum.accumulate(np.where(stays, 0, np.arange(len(tracks))))[stays]
        albums = self._people.album_of(tracks[before])[0] ^ (chance[stays] < _BY_ARTIST)
        first, sizes = self._people.span_of(np.minimum(albums, self._people.albums - 1))
        tracks[stays] = first + (thirty_two(draws, 1)[stays].view(np.int64) * sizes >> 32)


def _octaves(tracks: int) -> Numbers:
    """Return popularity ranks between which equal shares of all requests lie: Zipf's law, s = 1, by powers of two."""
    plateau = max(2, tracks // _PLATEAU)
    ends = [0]
    while plateau * ((2 << len(ends)) - 1) < tracks * 3 // 2:
        ends.append(plateau * ((1 << len(ends)) - 1))
    return np.array([*ends, tracks])

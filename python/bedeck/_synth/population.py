"""Who is who in a synthetic catalogue: which track is on which album, by whom, and under which ids.

Everything is a function of (tracks, seed, number), so that references need no memory of what they refer to.
"""

import numpy as np
import numpy.typing as npt

from bedeck._synth.draws import Draws, Numbers, Shuffle, chooser, draw, sixteen, skewed, stream, thirty_two

__all__ = ["Population", "Rows"]

Rows = npt.NDArray[np.uint8]  # one fixed-width text a row

_ALPHABET = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS = np.frombuffer(b"".join(bytes((a, b)) for a in _ALPHABET for b in _ALPHABET), np.uint16)
_PAIR_RANGES = (483, *[3844] * 10)  # of the eleven pairs of an id: 2^128 is 483.2 * 62^20

_BLOCK = 64  # tracks; they fill 16 albums, in one of the ways below, shuffled
_BLOCK_ALBUMS = 16
_BLOCK_SIZES = (
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 7, 10, 12, 16),
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 7, 11, 13, 15),
    (1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 8, 10, 12, 15),
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 6, 9, 11, 12, 14),
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 6, 8, 10, 11, 12),
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 5, 10, 14, 21),
    (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 8, 12, 30),
)
_LAYOUTS = 128
_RUN = 2  # albums in a row are by one artist, as in a discography

_CREDITS = {1: 71000, 2: 21000, 3: 6100, 4: 1300, 5: 320, 6: 130, 7: 60, 8: 35, 10: 20, 14: 12, 20: 6, 33: 4, 52: 3}
_DANGLING = 9  # of 65,536 tracks credit an artist who is not in the catalogue: 0.01 % of all credits
_COMPILATION = 3300  # of 65,536 albums of so many tracks:
_COMPILATION_TRACKS = 8


class Population:
    """The numbers of a catalogue: of tracks, artists and albums, each from 0, and how they refer to each other."""

    various = 0  # the artist of compilations

    def __init__(self, tracks: int, seed: int) -> None:
        self.tracks = tracks
        self.artists = max(1, tracks // 9)
        self.ranks = Shuffle(tracks, seed)  # track number -> popularity rank, 0 the most popular
        self._seed = seed
        self._layout()
        blocks, rest = divmod(tracks, _BLOCK)
        self.albums = blocks * _BLOCK_ALBUMS
        if rest:
            self.albums = int(self.album_of(np.array([tracks - 1]))[0][0]) + 1
        counts = [min(count, self.artists) for count in _CREDITS]
        self._credits = np.array(counts).take(chooser(list(_CREDITS.values())))

    def draw(self, name: str, numbers: Numbers) -> Draws:
        """Return the draws of these numbers from the stream of that name."""
        return draw(stream(self._seed, name), numbers)

    def ids(self, kind: str, numbers: Numbers) -> Rows:
        """Return the ids of these entities as (n, 22) characters: uniform 128-bit numbers in base 62."""
        words = draw(stream(self._seed, f"{kind} id"), numbers * 6 + np.arange(6)[:, None])
        rows = np.empty((len(numbers), len(_PAIR_RANGES)), np.uint16)
        for place, below in enumerate(_PAIR_RANGES):  # a column at a time: numpy is slow along short rows
            pairs = thirty_two(words[place // 2], place % 2) * below >> 32
            rows[:, place] = _PAIRS.take(pairs.view(np.int64))
        return rows.view(np.uint8)

    def album_of(self, tracks: Numbers) -> tuple[Numbers, Numbers]:
        """Return the albums of these tracks and their places there, from 0."""
        place = self._layout_of(tracks // _BLOCK) * _BLOCK + tracks % _BLOCK
        return tracks // _BLOCK * _BLOCK_ALBUMS + self._album.take(place), self._number.take(place)

    def span_of(self, albums: Numbers) -> tuple[Numbers, Numbers]:
        """Return the first tracks of these albums and how many tracks they have."""
        block = albums // _BLOCK_ALBUMS
        place = self._layout_of(block) * _BLOCK_ALBUMS + albums % _BLOCK_ALBUMS
        first = block * _BLOCK + self._start.take(place)
        return first, np.minimum(self._size.take(place), self.tracks - first)

    def leads(self, albums: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return the main artists of these albums, and which of them are compilations."""
        draws = self.draw("lead", albums // _RUN)
        compilation = (self.span_of(albums)[1] >= _COMPILATION_TRACKS) & (
            sixteen(self.draw("compilation", albums), 0) < _COMPILATION
        )
        return np.where(compilation, self.various, self._artist(draws)), compilation

    def guests(self, tracks: Numbers) -> Numbers:
        """Return the main artists of these tracks if they are on a compilation."""
        return self._artist(self.draw("guest", tracks))

    def credits(self, tracks: Numbers, leads: Numbers) -> tuple[Numbers, Numbers]:
        """Return how many artists each of these tracks has, and the artists of all of them, one track after the other.

        The first is the lead, the others differ from it and from each other. A number of `artists` or more dangles.
        """
        draws = self.draw("credits", tracks)
        counts = self._credits.take(sixteen(draws, 0))
        ends = np.cumsum(counts)
        starts = ends - counts
        room = self.artists + 1 - counts
        low = np.minimum(self.various + 1, room - 1)
        second = low + skewed(thirty_two(draws, 1), (room - low).view(np.uint64))
        artists = np.repeat(second - 1 - starts, counts) + np.arange(ends[-1])
        artists += artists >= np.repeat(leads, counts)
        artists[starts] = leads
        dangling = np.flatnonzero(sixteen(draws, 1) < _DANGLING)
        artists[ends[dangling] - 1] = self.artists + tracks[dangling]
        return counts, artists

    def _artist(self, draws: Draws) -> Numbers:
        first = min(self.various + 1, self.artists - 1)
        return first + skewed(thirty_two(draws, 0), self.artists - first)

    def _layout_of(self, blocks: Numbers) -> Numbers:
        return sixteen(self.draw("layout", blocks), 0) % _LAYOUTS

    def _layout(self) -> None:
        places = np.arange(_BLOCK_ALBUMS)
        sizes = np.empty((_LAYOUTS, _BLOCK_ALBUMS), np.int64)
        for layout in range(_LAYOUTS):
            order = np.argsort(draw(stream(0, "sizes"), layout * _BLOCK_ALBUMS + places))
            sizes[layout] = np.take(_BLOCK_SIZES[layout % len(_BLOCK_SIZES)], order)
        starts = np.cumsum(sizes, axis=1) - sizes
        self._size, self._start = sizes.ravel(), starts.ravel()
        self._album = np.repeat(np.tile(places, _LAYOUTS), self._size)
        self._number = np.tile(np.arange(_BLOCK), _LAYOUTS) - np.repeat(self._start, self._size)

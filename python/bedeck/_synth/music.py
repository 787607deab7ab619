"""The rows of a synthetic music catalogue, as Arrow record batches of any range of numbers.

The distributions are those measured on real catalogues: lengths and scripts of titles, credits, durations, markets.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedeck._synth.columns import Mask, Sets, booleans, categories, lists, numbers, texts
from bedeck._synth.draws import Draws, Numbers, chooser, draw, quantiles, sixteen, skewed, stream, thirty_two
from bedeck._synth.patterns import ARTISTS, FEATURES, LABELS, SUFFIXES, TITLES
from bedeck._synth.phrases import Patterns, Pieces, Tokens
from bedeck._synth.population import Population, Rows
from bedeck._synth.words import CODES, EUROPE, GENRES, WORLD

__all__ = ["Music"]

# of 65,536
_EXPLICIT = 8847  # tracks: 13.5 %
_NO_ISRC = 983  # tracks: 1.5 %
_NO_RELEASE_DATE = 262  # albums: 0.4 %
_FEATURED = 18500  # tracks of two artists or more, so that 8.2 % of all titles name a guest
_CAPITALS, _LOWER = 2760, 2890  # titles, besides those that are without trying
_TITLE_TRACK = 29500  # albums that are not singles are called like their first track
_SECOND_ARTIST = 4000  # albums
# per mille
_DISTINCT_TITLES = 716  # of the tracks; suffixes and guests make it 78.8 %
_DISTINCT_NAMES = 988  # of the artists

_SINGLE = 3  # tracks at most
_LABELS = 3000
_LAST_DAY, _DAYS = 20453, 24000  # 2025-12-31, and back to 1960
_RANK_BITS = 19  # enough to tell the few most popular tracks apart

_DURATIONS = {  # milliseconds by per mille
    0: 31_000, 5: 60_000, 50: 127_000, 250: 167_000, 500: 200_000, 750: 227_000, 950: 339_000, 990: 464_000,
    999: 900_000, 1000: 2_753_000,
}  # fmt: skip
_MARKETS = (  # share, countries, fewest and most in a list, how many lists
    (17, CODES, 0, 0, 1),
    (26, CODES, 1, 4, 60),
    (73, EUROPE, 10, 33, 50),
    (650, WORLD, 50, 63, 120),
    (234, CODES, 130, 184, 120),
)

_ALNUM, _DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789"
_ALNUM_PAIRS, _ALNUM_DIGIT, _DIGIT_PAIRS = (
    np.frombuffer(b"".join(bytes(pair) for pair in product(*pairs)), np.uint16)
    for pairs in ((_ALNUM, _ALNUM), (_ALNUM, _DIGITS), (_DIGITS, _DIGITS))
)
_ISRC_COUNTRIES = np.frombuffer(b"USGBDEFRQMSEBRBXESITJPKRCAAUNLMXNODKFIBECHATARCOINZANGTRPLRUTCQZ", np.uint16)


class Music:
    """A catalogue of so many tracks: batches of tracks, albums and artists by their numbers."""

    track_fields = pa.schema(
        {
            "id": pa.string(),
            "title": pa.string(),
            "artist_ids": pa.list_(pa.string()),
            "album_id": pa.string(),
            "duration_ms": pa.int32(),
            "explicit": pa.bool_(),
            "popularity": pa.uint8(),
            "isrc": pa.string(),
            "markets": Sets.type,
            "track_number": pa.int16(),
        }
    )
    album_fields = pa.schema(
        {
            "id": pa.string(),
            "title": pa.string(),
            "artist_ids": pa.list_(pa.string()),
            "album_type": pa.dictionary(pa.int8(), pa.string()),
            "release_date": pa.date32(),
            "label": pa.dictionary(pa.int16(), pa.string()),
            "total_tracks": pa.int16(),
        }
    )
    artist_fields = pa.schema(
        {
            "id": pa.string(),
            "name": pa.string(),
            "genres": Sets.type,
            "followers": pa.int64(),
        }
    )

    def __init__(self, tracks: int, seed: int) -> None:
        self.population = Population(tracks, seed)
        self._pieces = Pieces()
        self._titles, self._suffixes, self._names, labels = (
            Patterns(patterns, self._pieces) for patterns in (TITLES, SUFFIXES, ARTISTS, LABELS)
        )
        self._feature = chooser([weight for weight, _ in FEATURES])
        self._opening = np.array([self._pieces.add(text)[0] for _, text in FEATURES])
        self._closing = np.array([self._pieces.add(")")[0] if "(" in text else 0 for _, text in FEATURES])
        self._various = self._pieces.add("Various Artists")[0]
        self._pieces.close()
        self._own_titles = _least(tracks, lambda n: self._titles.distinct(n) * 1000 >= tracks * _DISTINCT_TITLES)
        self._own_names = -(-self.population.artists * _DISTINCT_NAMES // 1000)
        self._popularity, self._duration = _popularities(), quantiles(_DURATIONS)
        self._markets, self._market = _markets()
        self._genres, self._genre = _genres()
        self._types = pa.array(["album", "single", "compilation"])
        self._labels = self._pieces.text(self._phrases(labels, "label", np.arange(_LABELS))).unique()
        self._label = chooser([10**6 // (rank + 20) for rank in range(len(self._labels))])
        self._octave = chooser([10**12 * 85**octave // 100**octave for octave in range(20)])

    def tracks(self, start: int, stop: int) -> pa.RecordBatch:
        """Return the batch of tracks start to stop - 1."""
        people, tracks = self.population, np.arange(start, stop)
        albums, places = people.album_of(tracks)
        near = np.arange(albums[0], albums[-1] + 1)  # what comes from the album is made once an album
        here = albums - albums[0]
        leads, compilation = people.leads(near)
        counts, artists = people.credits(tracks, np.where(compilation[here], people.guests(tracks), leads[here]))
        ranks = people.ranks.forth(tracks)
        draws = people.draw("track", tracks)
        return pa.RecordBatch.from_arrays(
            [
                texts(people.ids("track", tracks)),
                self._track_titles(tracks, ranks, counts, artists),
                lists(counts, texts(people.ids("artist", artists))),
                texts(people.ids("album", near).take(here, axis=0)),
                numbers(self._duration.take(sixteen(draws, 0)), pa.int32()),
                booleans(sixteen(draws, 1) < _EXPLICIT),
                numbers(self._popularity.take((ranks << _RANK_BITS) // people.tracks), pa.uint8()),
                texts(self._isrcs(near, here, places), sixteen(draws, 2) >= _NO_ISRC),
                self._markets.column(self._market.take(sixteen(people.draw("markets", near), 0)).take(here)),
                numbers((places + 1).astype(np.int16), pa.int16()),
            ],
            schema=self.track_fields,
        )

    def albums(self, start: int, stop: int) -> pa.RecordBatch:
        """Return the batch of albums start to stop - 1."""
        people, albums = self.population, np.arange(start, stop)
        first, sizes = people.span_of(albums)
        leads, compilation = people.leads(albums)
        draws = people.draw("album", albums)
        single = sizes <= _SINGLE
        second = (sixteen(draws, 1) < _SECOND_ARTIST) & ~compilation & (people.artists > 1)
        counts = 1 + second.astype(np.int64)
        artists = np.repeat(leads, counts)
        artists[np.cumsum(counts) - 1] = (leads + second) % people.artists
        return pa.RecordBatch.from_arrays(
            [
                texts(people.ids("album", albums)),
                self._album_titles(albums, first, single | (sixteen(draws, 0) < _TITLE_TRACK)),
                lists(counts, texts(people.ids("artist", artists))),
                categories(np.where(compilation, 2, single).astype(np.int8), self._types),
                numbers(self._released(albums).astype(np.int32), pa.date32(), sixteen(draws, 2) >= _NO_RELEASE_DATE),
                categories(self._label.take(sixteen(draws, 3)), self._labels),
                numbers(sizes.astype(np.int16), pa.int16()),
            ],
            schema=self.album_fields,
        )

    def artists(self, start: int, stop: int) -> pa.RecordBatch:
        """Return the batch of artists start to stop - 1."""
        people, artists = self.population, np.arange(start, stop)
        draws = people.draw("artist", artists)
        return pa.RecordBatch.from_arrays(
            [
                texts(people.ids("artist", artists)),
                self._pieces.text(self._artist_names(artists)),
                self._genres.column(self._genre.take(sixteen(draws, 0))),
                numbers(self._followers(artists, draws), pa.int64()),
            ],
            schema=self.artist_fields,
        )

    def _phrases(self, patterns: Patterns, name: str, values: Numbers, *, cased: bool = False) -> Tokens:
        draws = self.population.draw(name, values)
        tokens = patterns.tokens(values, sixteen(draws, 0))
        if cased:
            chance = sixteen(draws, 1)
            case = np.where(chance < _CAPITALS, 1, 0) + np.where(chance >= 65536 - _LOWER, 2, 0)
            tokens += (case * self._pieces.cases).astype(np.int32)[:, None]
        return tokens

    def _title_numbers(self, tracks: Numbers, ranks: Numbers) -> Numbers:
        """Give popular tracks titles of their own, and the others, as covers and reissues, those of popular ones."""
        cover = skewed(thirty_two(self.population.draw("cover", tracks), 0), self._own_titles)
        return np.where(ranks < self._own_titles, ranks, cover)

    def _track_titles(self, tracks: Numbers, ranks: Numbers, counts: Numbers, artists: Numbers) -> pa.Array:
        draws = self.population.draw("feature", tracks)
        tokens = np.zeros((len(tracks), 14), np.int32)  # title, " (feat. ", name, ")", suffix
        tokens[:, :4] = self._phrases(self._titles, "title", self._title_numbers(tracks, ranks), cased=True)
        featuring = np.flatnonzero((counts > 1) & (sixteen(draws, 0) < _FEATURED))
        feature = self._feature.take(sixteen(draws, 1)[featuring])
        tokens[featuring, 4] = self._opening.take(feature)
        tokens[featuring, 5:9] = self._artist_names(artists[(np.cumsum(counts) - counts + 1)[featuring]])
        tokens[featuring, 9] = self._closing.take(feature)
        tokens[:, 10:] = self._phrases(self._suffixes, "suffix", tracks)
        return self._pieces.text(tokens)

    def _album_titles(self, albums: Numbers, first: Numbers, title_track: Mask) -> pa.Array:
        of_track = self._title_numbers(first, self.population.ranks.forth(first))
        titles = np.where(title_track, of_track, self.population.tracks + albums)
        return self._pieces.text(self._phrases(self._titles, "title", titles, cased=True))

    def _artist_names(self, artists: Numbers) -> Tokens:
        borrowed = skewed(thirty_two(self.population.draw("namesake", artists), 0), self._own_names)
        tokens = self._phrases(self._names, "name", np.where(artists < self._own_names, artists, borrowed))
        tokens[artists == self.population.various] = (self._various, 0, 0, 0)
        return tokens

    def _released(self, albums: Numbers) -> Numbers:
        age = skewed(thirty_two(self.population.draw("release", albums), 0), 2**32)
        return _LAST_DAY - skewed(age.view(np.uint64), _DAYS)

    def _isrcs(self, near: Numbers, here: Numbers, places: Numbers) -> Rows:
        """Take country, registrant, year and the first serial number from the album."""
        draws = self.population.draw("isrc", near)
        year = (self._released(near) * 400 // 146097 + 70) % 100
        registrant = sixteen(draws, 0) * 46656 >> 16
        country = skewed(thirty_two(draws, 1), len(_ISRC_COUNTRIES))
        serial = sixteen(draws, 1).take(here) + places
        rows = np.empty((len(here), 6), np.uint16)
        rows[:, 0] = _ISRC_COUNTRIES.take(country).take(here)
        rows[:, 1] = _ALNUM_PAIRS.take(registrant // 36).take(here)
        rows[:, 2] = _ALNUM_DIGIT.take(registrant % 36 * 10 + year // 10).take(here)
        rows[:, 3] = _DIGIT_PAIRS.take(year.take(here) % 10 * 10 + serial // 10_000)
        rows[:, 4] = _DIGIT_PAIRS.take(serial // 100 % 100)
        rows[:, 5] = _DIGIT_PAIRS.take(serial % 100)
        return rows.view(np.uint8)

    def _followers(self, artists: Numbers, draws: Draws) -> Numbers:
        """Draw from 0 to 2^27 by octaves, higher ones for the artists with more tracks."""
        fame = np.frexp(self.population.artists / (artists + 1.0))[1] // 2
        octave: Numbers = 1 << np.minimum(self._octave.take(sixteen(draws, 1)) + fame, 26).astype(np.int64)
        return octave - 1 + (thirty_two(draws, 1).view(np.int64) & (octave - 1))


def _least(most: int, holds: Callable[[int], bool]) -> int:
    """Return the least number from 1 on for which that holds, or the most."""
    return min(most, bisect_left(range(1, most + 1), 1, key=lambda n: int(holds(n))) + 1)


def _popularities() -> npt.NDArray[np.uint8]:
    """Return the popularity, 0 to 100, by the first bits of a track's rank: 70 % have none, the rest ever fewer."""
    some = [10**12 * 89**value // 100**value for value in range(100)]
    return (100 - chooser([*reversed(some), sum(some) * 7 // 3], _RANK_BITS)).astype(np.uint8)


def _markets() -> tuple[Sets, npt.NDArray[np.int16]]:
    """Return a few hundred lists of countries, ten of them 70 % of all, and the choice among them by a 16-bit draw."""
    codes = CODES.split()
    found: dict[bytes, int] = {}
    for share, words, fewest, most, count in _MARKETS:
        base = np.array([codes.index(code) for code in words.split()], np.uint8)
        weights = [10**9 // ((rank + 1) * (rank + 4)) for rank in range(count)]
        for rank, weight in enumerate(weights):
            order = np.argsort(draw(stream(0, "markets"), rank * 256 + np.arange(len(base))))
            size = most - rank % (most - fewest + 1)
            members = np.sort(base[order[:size]]).tobytes()
            found[members] = found.get(members, 0) + weight * share * 1000 // sum(weights)
    return Sets(codes, list(found)), chooser(list(found.values()))


def _genres() -> tuple[Sets, npt.NDArray[np.int16]]:
    """Return a few hundred lists of related genres, and the choice among them by a 16-bit draw: half the time none."""
    genres = [genre.replace("_", " ") for genre in GENRES.split()]
    found = {
        bytes(range(first, first + size)): 10**6 // (size * (first + 5))
        for size in range(1, 5)
        for first in range(len(genres) - size + 1)
    }
    return Sets(genres, [b"", *found]), chooser([sum(found.values()), *found.values()])

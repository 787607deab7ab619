"""Synthetic catalogues and requests, of any size, that look and weigh like real ones.

A catalogue is a folder of Parquet files with a `catalogue.toml`, which `bedeck.build` takes. All of it is made up, and
a function of the number of tracks and a seed; so requests for a catalogue can be made without it, and anywhere.

Needs numpy and pyarrow: `pip install numpy pyarrow`.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

    from bedeck._synth.music import Music

__all__ = ["requests", "synth"]

_MOST_TRACKS = 2**32 - 2
_FILE = 1 << 20  # tracks
_BATCH = 1 << 14  # rows made at once: a row group
_AHEAD = 2  # batches made while another is written
_PARQUET = {
    "compression": "zstd",
    "compression_level": 1,
    "store_schema": False,  # so that words of a fixed list are read back as plain strings
    "write_statistics": False,
    "use_dictionary": ["markets.list.element", "genres.list.element", "label", "album_type", "popularity"],
}
_NOTE = "bedeck.synth"  # in the footer of every file: the tracks and the seed
_OURS = "# A synthetic catalogue: bedeck.synth, "  # how our catalogue.toml starts
_CATALOGUE = """\
{ours}{tracks} tracks, seed {seed}
namespace = "music"

[type.track]
source = "tracks-*.parquet"
key = "id"
uri = "spotify:track:{{id}}"
hot = ["title", "artists", "explicit", "album_id"]
[type.track.references]
artists = {{ field = "artist_ids", type = "artist" }}
album = {{ field = "album_id", type = "album" }}

[type.artist]
source = "artists.parquet"
key = "id"
uri = "spotify:artist:{{id}}"

[type.album]
source = "albums.parquet"
key = "id"
uri = "spotify:album:{{id}}"
[type.album.references]
artists = {{ field = "artist_ids", type = "artist" }}
"""


class _Part(NamedTuple):
    file: str
    schema: "pa.Schema"
    make: "Callable[[int, int], pa.RecordBatch]"
    start: int
    stop: int


def synth(
    directory: str | os.PathLike[str],
    tracks: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a music catalogue of so many tracks to a directory; return the path of its `catalogue.toml`.

    * `tracks-00000.parquet` and so on, 1,048,576 tracks each: id, title, artist_ids, album_id, duration_ms, explicit,
      popularity, isrc, markets, track_number;
    * `albums.parquet`, a quarter as many: id, title, artist_ids, album_type, release_date, label, total_tracks;
    * `artists.parquet`, a ninth as many: id, name, genres, followers.

    Ids are 22 base62 characters, uniform below 2^128. Titles, names, credits (1.40 a track, 52 at most), durations,
    markets and popularity are distributed as in real catalogues; popular artists have more tracks. Of the credits
    of tracks 0.01 % name an artist who is not there; all other references resolve. 1.5 % of the ISRCs and 0.4 % of the
    release dates are null. Up to a million tracks 78.8 % of the titles are distinct, beyond that fewer (62 % of 5 M).

    The same tracks, seed and version of pyarrow give the same bytes, on any little-endian machine. What a run that was
    cut short leaves behind is replaced by the next; `catalogue.toml` comes last. Time is linear in the tracks, memory
    is not: about 250 MB for any number. `progress(done, total)` is called with the rows written, of all three types.

    Raises ValueError unless 1 <= tracks <= 2^32 - 2, FileExistsError if the directory holds `tracks-*.parquet` files of
    a larger catalogue (this one would take them for its own) or a `catalogue.toml` of something else, and ImportError
    without numpy or pyarrow.
    """
    _check(tracks)
    _need("numpy", "pyarrow")
    from bedeck._synth.music import Music  # noqa: PLC0415 - numpy and pyarrow are optional

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    parts = list(_parts(Music(tracks, seed)))
    _refuse_strangers(directory, {part.file for part in parts})
    catalogue = directory / "catalogue.toml"
    _refuse_another(catalogue)
    catalogue.unlink(missing_ok=True)
    _write(directory, parts, json.dumps({"tracks": tracks, "seed": seed}), progress)
    catalogue.write_text(_CATALOGUE.format(ours=_OURS, tracks=tracks, seed=seed), "utf-8")
    return catalogue


def requests(  # noqa: PLR0913 - two to say what for, the rest have defaults
    catalogue: str | os.PathLike[str] | int,
    lists: int,
    *,
    seed: int = 0,
    shape: Literal["playlist", "uniform", "zipf"] = "playlist",
    size: int | None = None,
    unknown: float = 0.02,
    catalogue_seed: int = 0,
) -> Iterator[list[str]]:
    """Yield so many lists of track ids, as a service is asked for them.

    `catalogue` is a directory that `synth` has written to, or a number of tracks: then it is the catalogue that `synth`
    makes of that number and `catalogue_seed`. `seed` chooses the lists; list k does not depend on how many there are.

    `shape`: "uniform" takes all tracks alike; "zipf" takes popular tracks more often, as listeners do (0.2 % of a large
    catalogue get half of all requests); "playlist" does so too, and now and then stays with an artist or an album.
    `size` is the length of every list; None is that of editorial playlists: quartiles 50, 76 and 101, 641 at most.
    `unknown` is the share of ids that are not in the catalogue. The ids of a list differ, but in one list of 257
    one id comes twice; so do some where a list is about as long as the catalogue.

    Memory is that of one list. Raises ValueError for a number out of range or an unknown shape, FileNotFoundError if
    the directory holds no such catalogue, ImportError without numpy (for a directory, pyarrow as well).
    """
    if shape not in ("playlist", "uniform", "zipf"):
        raise ValueError(f'shape is {shape!r}: give "playlist", "uniform" or "zipf"')
    if lists < 0 or (size is not None and size < 0):
        raise ValueError(f"lists is {lists} and size {size}: neither can be negative")
    if not 0 <= unknown <= 1:
        raise ValueError(f"unknown is {unknown}: it is a share, from 0 to 1")
    tracks, origin = (catalogue, catalogue_seed) if isinstance(catalogue, int) else _note(Path(catalogue))
    _check(tracks)
    _need("numpy")
    from bedeck._synth.population import Population  # noqa: PLC0415 - numpy is optional
    from bedeck._synth.requests import Requests  # noqa: PLC0415

    made = Requests(Population(tracks, origin), seed, shape, size, unknown)
    return map(made.ids, range(lists))


def _parts(music: "Music") -> Iterator[_Part]:
    people = music.population
    for first in range(0, people.tracks, _FILE):
        file, end = f"tracks-{first // _FILE:05}.parquet", min(first + _FILE, people.tracks)
        for start in range(first, end, _BATCH):
            yield _Part(file, music.track_fields, music.tracks, start, min(start + _BATCH, end))
    for start in range(0, people.albums, _BATCH):
        stop = min(start + _BATCH, people.albums)
        yield _Part("albums.parquet", music.album_fields, music.albums, start, stop)
    for start in range(0, people.artists, _BATCH):
        stop = min(start + _BATCH, people.artists)
        yield _Part("artists.parquet", music.artist_fields, music.artists, start, stop)


def _write(directory: Path, parts: list[_Part], note: str, progress: Callable[[int, int], None] | None) -> None:
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415 - pyarrow is optional

    done, total = 0, sum(part.stop - part.start for part in parts)
    with closing(_made(parts)) as batches:
        for file, group in groupby(parts, key=lambda part: part.file):
            of_file = list(group)
            with _replacing(directory / file) as path, ParquetWriter(path, of_file[0].schema, **_PARQUET) as writer:
                writer.add_key_value_metadata({_NOTE: note})
                for part in of_file:
                    writer.write_batch(next(batches))
                    done += part.stop - part.start
                    if progress:
                        progress(done, total)


def _made(parts: list[_Part]) -> "Generator[pa.RecordBatch]":
    with ThreadPoolExecutor(1, "bedeck-synth") as maker:
        ahead: deque[Future[pa.RecordBatch]] = deque()
        for part in parts:
            ahead.append(maker.submit(part.make, part.start, part.stop))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _refuse_strangers(directory: Path, files: set[str]) -> None:
    strangers = sorted(path.name for path in directory.glob("tracks-*.parquet") if path.name not in files)
    if strangers:
        raise FileExistsError(f"{directory / strangers[0]} would become part of this catalogue: remove it first")


def _refuse_another(catalogue: Path) -> None:
    if catalogue.exists() and not catalogue.read_bytes().startswith(_OURS.encode()):
        raise FileExistsError(f"{catalogue} is not one of bedeck.synth: name another folder, or remove it first")


def _note(directory: Path) -> tuple[int, int]:
    """Return the tracks and the seed of the catalogue in a directory."""
    _need("numpy", "pyarrow")
    from pyarrow.parquet import read_metadata  # noqa: PLC0415 - pyarrow is optional

    file = directory / "tracks-00000.parquet"
    notes = read_metadata(file).metadata if file.exists() else None
    if not notes or _NOTE.encode() not in notes:
        raise FileNotFoundError(f"{directory} holds no catalogue of bedeck.synth")
    note = json.loads(notes[_NOTE.encode()])
    return note["tracks"], note["seed"]


def _check(tracks: int) -> None:
    if not 1 <= tracks <= _MOST_TRACKS:
        raise ValueError(f"tracks is {tracks}: give a number from 1 to {_MOST_TRACKS}")


def _need(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        way_out = f"pip install {' '.join(missing)}"
        raise ImportError(f"bedeck.synth needs {' and '.join(missing)}: {way_out}", name=missing[0])

"""A decorated playlist, for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bedeck._cli.terminal import fit, safe

__all__ = ["FIELDS", "lines"]

FIELDS = ("title", "artists.name", "album.title", "duration_ms", "explicit")

SHARES = (0.4, 0.34, 0.26)  # of title, artists and album in the columns there are
FIXED = len("  000  E      h:mm:ss")


def lines(ids: Sequence[str], tracks: Sequence[Mapping[str, Any] | None], width: int) -> Iterator[str]:
    """A line of ``width`` columns for each track: place, title, explicit mark, artists, album and duration."""
    limits = [max(8, int((width - FIXED) * share)) for share in SHARES]
    for place, (id_, track) in enumerate(zip(ids, tracks, strict=True), 1):
        if track is None:
            yield f"  {place:3}  -  {id_} is not in the catalogue"
            continue
        artists = ", ".join(artist["name"] if artist else "-" for artist in track["artists"])
        texts = (track["title"], artists, track["album"]["title"])
        title, artist, album = (fit(safe(text), limit) for text, limit in zip(texts, limits, strict=True))
        mark = "E" if track["explicit"] else " "
        yield f"  {place:3}  {title} {mark} {artist} {album} {_clock(track['duration_ms']):>7}"


def _clock(milliseconds: int) -> str:
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes}:{seconds:02}"

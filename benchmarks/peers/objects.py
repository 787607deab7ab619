"""Columns to a list of dicts, or to JSON: what peers end with that keep columns."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from benchmarks.jobs import Job

__all__ = ["finish"]


def finish(job: Job, columns: Sequence[Iterable[Any]], unknown: Iterable[int]) -> Any:  # noqa: ANN401 - bytes or list
    """The answer to a job from a column for each of its fields; artists are text that is JSON already.

    Places that are unknown become None, whatever the columns have there.
    """
    answer: list[Any] = _tracks(*columns) if job.name == "json" else _scalars(*columns)
    for place in unknown:
        answer[place] = None
    return orjson.dumps(answer) if job.name == "json" else answer


def _tracks(*columns: Iterable[Any]) -> list[Any]:
    fragment = orjson.Fragment
    return [
        {
            "title": title,
            "artists": fragment(artists),
            "explicit": explicit,
            "popularity": popularity,
            "duration_ms": duration_ms,
            "isrc": isrc,
            "album_id": album_id,
        }
        for title, artists, explicit, popularity, duration_ms, isrc, album_id in zip(*columns, strict=True)
    ]


def _scalars(*columns: Iterable[Any]) -> list[Any]:
    return [
        {
            "id": id_,
            "title": title,
            "album_id": album_id,
            "duration_ms": duration_ms,
            "explicit": explicit,
            "popularity": popularity,
            "isrc": isrc,
            "track_number": track_number,
        }
        for id_, title, album_id, duration_ms, explicit, popularity, isrc, track_number in zip(*columns, strict=True)
    ]

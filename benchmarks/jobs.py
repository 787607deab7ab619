"""What every contestant is asked for: the answer to a list of track ids, in one of two forms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

__all__ = ["DICTS", "JOBS", "JSON", "Answer", "Job"]

Answer: TypeAlias = Callable[[list[str]], Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A form of answer and the fields in it, as bedeck selects them."""

    name: Literal["json", "dicts"]
    title: str
    fields: tuple[str, ...]

    def canonical(self, answer: bytes | list[Any]) -> bytes:
        """The answer as JSON with sorted keys: two answers are equal if these bytes are."""
        value = orjson.loads(answer) if isinstance(answer, bytes) else answer
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


JSON = Job(
    "json",
    "JSON body",
    ("title", "artists.name", "explicit", "popularity", "duration_ms", "isrc", "album_id"),
)
DICTS = Job(
    "dicts",
    "list of dicts",
    ("id", "title", "album_id", "duration_ms", "explicit", "popularity", "isrc", "track_number"),
)
JOBS = (JSON, DICTS)

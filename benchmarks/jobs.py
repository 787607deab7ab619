"""What every contestant is asked for: the answer to a list of track ids, in one of three forms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
import pyarrow as pa

__all__ = ["COLUMNS", "DICTS", "JOBS", "JSON", "Answer", "Job"]

Answer: TypeAlias = Callable[[list[str]], Any]

_SCALARS = ("id", "title", "album_id", "duration_ms", "explicit", "popularity", "isrc", "track_number")


@dataclass(frozen=True, slots=True)
class Job:
    """A form of answer and the fields in it, as bedeck selects them."""

    name: Literal["json", "dicts", "columns"]
    title: str
    fields: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The first part of each field: what an answer has, and a file of finished answers."""
        return tuple(field.split(".")[0] for field in self.fields)

    def canonical(self, answer: Any) -> bytes:  # noqa: ANN401 - each form has its type
        """The answer as JSON with sorted keys: two answers are equal if these bytes are."""
        return orjson.dumps(self._rows(answer), option=orjson.OPT_SORT_KEYS)

    def _rows(self, answer: Any) -> Any:  # noqa: ANN401 - the same
        if self.name == "json":
            return orjson.loads(answer)
        if self.name == "dicts":
            return answer
        return [None if row["id"] is None else row for row in pa.table(answer).to_pylist()]


JSON = Job("json", "JSON body", ("title", "artists.name", "explicit", "popularity", "duration_ms", "isrc", "album_id"))
DICTS = Job("dicts", "list of dicts", _SCALARS)
COLUMNS = Job("columns", "columns", _SCALARS)
JOBS = (JSON, DICTS, COLUMNS)

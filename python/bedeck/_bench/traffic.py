"""Requests for a service, as the bytes that go over the wire."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bedeck.records import Records

__all__ = ["Lists", "post", "sampled", "written"]

Lists = Sequence[Sequence[Any]]

MOST: Final = 2000  # requests that are told apart: more would come from the memory of this side
POOL: Final = 200_000  # keys that lists are drawn from
EXPECTED: Final = 'a JSON list of ids is expected in each line, as ["a", "b"] or [1, 2]'
ANSWERED: Final = 0.98  # of the keys in a list have a record


def sampled(records: Records, size: int, seed: int) -> list[list[Any]]:
    """Lists of ``size`` keys of the type, uniformly from its first 200,000; 2 % of the keys have no record.

    The records of a type lie in the order of their hashes, so that its first ones are as good as any. Raises
    ``ValueError`` where it has none, or its keys cannot be asked for in JSON.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    keys = list(islice(records, POOL))
    match keys:
        case []:
            raise ValueError(f"type {records.name!r} has no records to ask for: name another type")
        case [bytes(), *_]:
            raise ValueError(f"type {records.name!r} has keys of bytes, which JSON does not have: name another type")
    pool = [key if isinstance(key, int) else str(key) for key in keys]
    unknown = _unknown(pool[0])
    return [
        [draw.choice(pool) if draw.random() < ANSWERED else unknown for _ in range(size)]
        for _ in range(min(MOST, 200_000 // size + 50))
    ]


def written(file: Path) -> list[list[Any]]:
    """The lists of a file, which has a JSON list of ids in each line. Raises ``ValueError`` where it has not."""
    lines = enumerate(file.read_bytes().splitlines(), 1)
    lists = [_ids(line, f"{file}, line {number}") for number, line in lines if line.strip()]
    if not lists:
        raise ValueError(f"{file} is empty: {EXPECTED}")
    return lists


def _ids(line: bytes, place: str) -> list[Any]:
    try:
        ids = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{place} is no JSON: {EXPECTED}") from None
    if not isinstance(ids, list) or not all(type(key) in {str, int} for key in ids):
        raise ValueError(f"{place} is no list of strings or whole numbers: {EXPECTED}")
    return ids


def post(path: str, lists: Lists, fields: Sequence[str] | None, host: str) -> list[bytes]:
    """A POST for each list of ids."""
    return list(_requests(path, lists, fields, host))


def _requests(path: str, lists: Iterable[Sequence[Any]], fields: Sequence[str] | None, host: str) -> Iterator[bytes]:
    chosen = {} if fields is None else {"fields": list(fields)}
    for ids in lists:
        body = json.dumps({"ids": list(ids), **chosen}, separators=(",", ":")).encode()
        lines = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        yield f"{lines}\r\n\r\n".encode() + body


def _unknown(key: Any) -> Any:  # noqa: ANN401 - a key
    return 2**63 - 1 if isinstance(key, int) else "0" * len(key)

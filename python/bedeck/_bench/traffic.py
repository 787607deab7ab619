"""Requests for a service, as the bytes that go over the wire."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from bedeck.records import Records

__all__ = ["Lists", "post", "sampled"]

Lists = Sequence[Sequence[Any]]

MOST: Final = 2000  # requests that are told apart: more would come from the memory of this side
POOL: Final = 200_000  # keys that lists are drawn from
ANSWERED: Final = 0.98  # of the keys in a list have a record


def sampled(records: Records, size: int, seed: int) -> list[list[Any]]:
    """Lists of ``size`` keys of the type, uniformly from its first 200,000; 2 % of the keys have no record.

    The records of a type lie in the order of their hashes, so that its first ones are as good as any.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    pool = [_plain(key) for key in islice(records, POOL)]
    if not pool:
        raise ValueError(f"type {records.name!r} has no records to ask for")
    unknown = _unknown(pool[0])
    return [
        [draw.choice(pool) if draw.random() < ANSWERED else unknown for _ in range(size)]
        for _ in range(min(MOST, 200_000 // size + 50))
    ]


def post(path: str, lists: Lists, fields: Sequence[str] | None, host: str) -> list[bytes]:
    """A POST for each list of ids."""
    return list(_requests(path, lists, fields, host))


def _requests(path: str, lists: Iterable[Sequence[Any]], fields: Sequence[str] | None, host: str) -> Iterator[bytes]:
    chosen = {} if fields is None else {"fields": list(fields)}
    for ids in lists:
        body = json.dumps({"ids": list(ids), **chosen}, separators=(",", ":")).encode()
        lines = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        yield f"{lines}\r\n\r\n".encode() + body


def _plain(key: Any) -> Any:  # noqa: ANN401 - a key
    if isinstance(key, bytes):
        raise TypeError("keys of bytes cannot be asked for in JSON")
    return key if isinstance(key, int) else str(key)


def _unknown(key: Any) -> Any:  # noqa: ANN401 - a key
    return 2**63 - 1 if isinstance(key, int) else "0" * len(key)

"""Answers in fewer bytes, where the client takes them so: gzip (RFC 1952), and zstd (RFC 8878) where Python has it."""

import gzip
import importlib
from collections.abc import Callable
from typing import Final

from bedeck._serve.message import Answer

__all__ = ["encoded"]

LEVEL: Final = 1  # more takes many times as long, and gives little
VARY: Final = (b"vary", b"accept-encoding")


def encoded(answer: Answer, accepted: bytes, least: int) -> Answer:
    """``answer``, its body compressed where that is at least ``least`` bytes and ``accepted`` has one of `ENCODINGS`.

    A body that is sent while it is made stays as it is.
    """
    body = answer.body
    if isinstance(body, bytes):
        answer.headers = (*answer.headers, VARY)
        wanted = _wanted(accepted) if len(body) >= least else None
        if wanted is not None:
            answer.body = ENCODINGS[wanted](body)
            answer.headers = (*answer.headers, (b"content-encoding", wanted))
    return answer


def _wanted(accepted: bytes) -> bytes | None:
    taken = {}
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        taken[name.strip()] = weight.replace(b" ", b"") not in {b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"}
    return next((name for name in ENCODINGS if taken.get(name, taken.get(b"*", False))), None)


def _encodings() -> dict[bytes, Callable[[bytes], bytes]]:
    found: dict[bytes, Callable[[bytes], bytes]] = {}
    try:
        zstd = importlib.import_module("compression.zstd")  # from Python 3.14 on
    except ModuleNotFoundError:
        pass
    else:
        found[b"zstd"] = lambda body: bytes(zstd.compress(body, LEVEL))
    return {**found, b"gzip": lambda body: gzip.compress(body, LEVEL, mtime=0)}


ENCODINGS: Final = _encodings()
